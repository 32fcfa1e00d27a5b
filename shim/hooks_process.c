/* hooks_process.c - where main begins, the ways a process ends, and calls made by number. */
#define _GNU_SOURCE
#include "shim/adopt.h"
#include "shim/hook.h"
#include "shim/neighbour.h"

#include <errno.h>
#include <stdarg.h>
#include <sys/syscall.h>

static int (*program_main)(int, char **, char **);

/* Constructors are over: threads may start. */
static int main_after_start(int argument_count, char **arguments, char **environment)
{
    shim_neighbour_check();
    shim_adopt_start();
    return program_main(argument_count, arguments, environment);
}

int hook___libc_start_main(int (*main_of)(int, char **, char **), int argument_count,
                           char **arguments, void (*begin)(void), void (*end)(void),
                           void (*loader_end)(void), void *stack_end)
{
    program_main = main_of;
    return real.__libc_start_main(main_after_start, argument_count, arguments, begin, end,
                                  loader_end, stack_end);
}

/* libc's own ends the parent without a call that could be hooked, and the child may well wait in
 * poll from here on: it stands by at once. */
int hook_daemon(int stays_in_directory, int keeps_streams)
{
    int result = real.daemon(stays_in_directory, keeps_streams);

    if (result == 0)
        shim_heir_arm_all();
    return result;
}

void hook__exit(int status)
{
    shim_process_leave();
    real._exit(status);
}

void hook__Exit(int status)
{
    shim_process_leave();
    real._Exit(status);
}

#define POINTER(index) ((void *)(uintptr_t)a[index])

/* Calls that programs are known to make by number on their sockets. False: any other. */
static bool call_socket_hook(long number, const long a[6], long *result)
{
    int fd = (int)a[0];

    switch (number) {
    case SYS_sendto:
        *result = hook_sendto(fd, POINTER(1), (size_t)a[2], (int)a[3], POINTER(4), (socklen_t)a[5]);
        return true;
    case SYS_sendmsg:
        *result = hook_sendmsg(fd, POINTER(1), (int)a[2]);
        return true;
    case SYS_sendmmsg:
        *result = hook_sendmmsg(fd, POINTER(1), (unsigned int)a[2], (int)a[3]);
        return true;
    case SYS_write:
        *result = hook_write(fd, POINTER(1), (size_t)a[2]);
        return true;
    case SYS_writev:
        *result = hook_writev(fd, POINTER(1), (int)a[2]);
        return true;
    case SYS_recvfrom:
        *result = hook_recvfrom(fd, POINTER(1), (size_t)a[2], (int)a[3], POINTER(4), POINTER(5));
        return true;
    case SYS_recvmsg:
        *result = hook_recvmsg(fd, POINTER(1), (int)a[2]);
        return true;
    case SYS_recvmmsg:
        *result = hook_recvmmsg(fd, POINTER(1), (unsigned int)a[2], (int)a[3], POINTER(4));
        return true;
    case SYS_read:
        *result = hook_read(fd, POINTER(1), (size_t)a[2]);
        return true;
    case SYS_readv:
        *result = hook_readv(fd, POINTER(1), (int)a[2]);
        return true;
    default:
        return false;
    }
}

static bool call_address_hook(long number, const long a[6], long *result)
{
    int fd = (int)a[0];

    switch (number) {
    case SYS_bind:
        *result = hook_bind(fd, POINTER(1), (socklen_t)a[2]);
        return true;
    case SYS_connect:
        *result = hook_connect(fd, POINTER(1), (socklen_t)a[2]);
        return true;
    case SYS_shutdown:
        *result = hook_shutdown(fd, (int)a[1]);
        return true;
    case SYS_getsockname:
        *result = hook_getsockname(fd, POINTER(1), POINTER(2));
        return true;
    case SYS_getpeername:
        *result = hook_getpeername(fd, POINTER(1), POINTER(2));
        return true;
    case SYS_getsockopt:
        *result = hook_getsockopt(fd, (int)a[1], (int)a[2], POINTER(3), POINTER(4));
        return true;
    case SYS_setsockopt:
        *result = hook_setsockopt(fd, (int)a[1], (int)a[2], POINTER(3), (socklen_t)a[4]);
        return true;
    default:
        return false;
    }
}

static bool call_descriptor_hook(long number, const long a[6], long *result)
{
    int fd = (int)a[0];

    switch (number) {
    case SYS_socket:
        *result = hook_socket((int)a[0], (int)a[1], (int)a[2]);
        return true;
    case SYS_ioctl:
        *result = hook_ioctl(fd, (unsigned long)a[1], POINTER(2));
        return true;
    case SYS_fcntl:
        *result = hook_fcntl(fd, (int)a[1], POINTER(2));
        return true;
    case SYS_close:
        *result = hook_close(fd);
        return true;
    case SYS_close_range:
        *result = hook_close_range((unsigned int)a[0], (unsigned int)a[1], (int)a[2]);
        return true;
    case SYS_dup:
        *result = hook_dup(fd);
        return true;
#ifdef SYS_dup2
    case SYS_dup2:
        *result = hook_dup2(fd, (int)a[1]);
        return true;
#endif
    case SYS_pidfd_getfd:
        *result = hook_pidfd_getfd((int)a[0], (int)a[1], (unsigned int)a[2]);
        return true;
    case SYS_dup3:
        *result = hook_dup3(fd, (int)a[1], (int)a[2]);
        return true;
    default:
        return false;
    }
}

/* The calls of hooks_wait.c, on every architecture that has them. */
static bool waits(long number)
{
    static const long numbers[] = {
#ifdef SYS_poll
        SYS_poll,
#endif
#ifdef SYS_select
        SYS_select,
#endif
#ifdef SYS__newselect
        SYS__newselect,
#endif
#ifdef SYS_epoll_wait
        SYS_epoll_wait,
#endif
#ifdef SYS_ppoll_time64
        SYS_ppoll_time64,   SYS_pselect6_time64,
#endif
        SYS_ppoll,          SYS_pselect6,        SYS_epoll_pwait,
#ifdef SYS_epoll_pwait2
        SYS_epoll_pwait2,
#endif
        SYS_io_uring_enter,
    };

    for (size_t index = 0; index < sizeof numbers / sizeof *numbers; index++)
        if (numbers[index] == number)
            return true;
    return false;
}

static bool call_exec_hook(long number, const long a[6], long *result)
{
    switch (number) {
    case SYS_execve:
        *result = hook_execve(POINTER(0), POINTER(1), POINTER(2));
        return true;
    case SYS_execveat:
        *result = hook_execveat((int)a[0], POINTER(1), POINTER(2), POINTER(3), (int)a[4]);
        return true;
    default:
        return false;
    }
}

long hook_syscall(long number, ...)
{
    va_list arguments;
    long a[6];
    long result;

    va_start(arguments, number);
    for (size_t index = 0; index < 6; index++) /* as libc: a call that has fewer ignores the rest */
        a[index] = va_arg(arguments, long);
    va_end(arguments);
    if (number == SYS_exit_group)
        shim_process_leave();
    if (shim_process_is_ready() &&
        (call_socket_hook(number, a, &result) || call_address_hook(number, a, &result) ||
         call_descriptor_hook(number, a, &result) || call_exec_hook(number, a, &result)))
        return result;
    if (waits(number))
        shim_heir_before_wait();
    return real.syscall(number, a[0], a[1], a[2], a[3], a[4], a[5]);
}
