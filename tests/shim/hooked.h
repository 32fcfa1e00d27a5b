/* hooked.h - included first into test programs that are linked with the shim instead of started
 * under it (sanitizers and preloading do not mix): their calls go to the hooks by name. */
#ifndef RUDP_TESTS_SHIM_HOOKED_H
#define RUDP_TESTS_SHIM_HOOKED_H

/* Before the names are macros: the headers that declare them. */
#include <arpa/inet.h>
#include <check.h>
#include <errno.h>
#include <fcntl.h>
#include <net/if.h>
#include <netinet/in.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <sys/resource.h>
#include <sys/select.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "shim/surface.h"

#define socket      hook_socket
#define bind        hook_bind
#define connect     hook_connect
#define shutdown    hook_shutdown
#define getsockname hook_getsockname
#define getpeername hook_getpeername
#define getsockopt  hook_getsockopt
#define setsockopt  hook_setsockopt
#define ioctl       hook_ioctl
#define send        hook_send
#define sendto      hook_sendto
#define sendmsg     hook_sendmsg
#define sendmmsg    hook_sendmmsg
#define write       hook_write
#define writev      hook_writev
#define recv        hook_recv
#define recvfrom    hook_recvfrom
#define recvmsg     hook_recvmsg
#define recvmmsg    hook_recvmmsg
#define read        hook_read
#define readv       hook_readv
#define poll        hook_poll
#define ppoll       hook_ppoll
#define select      hook_select
#define epoll_wait  hook_epoll_wait
#define close       hook_close
#define close_range hook_close_range
#define closefrom   hook_closefrom
#define dup         hook_dup
#define dup2        hook_dup2
#define dup3        hook_dup3
#define fcntl       hook_fcntl
#define syscall     hook_syscall
#define execve      hook_execve
#define execv       hook_execv
#define execvp      hook_execvp
#define execvpe     hook_execvpe
#define execl       hook_execl
#define execlp      hook_execlp
#define execle      hook_execle
#define execveat    hook_execveat
#define fexecve     hook_fexecve
#define daemon      hook_daemon
#define _exit       hook__exit
#define _Exit       hook__Exit

#endif
