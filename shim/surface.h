/* surface.h - every call that the shim intercepts, in one table.
 *
 * Generated from it: the declarations of the hooks, the pointers to the calls behind them
 * (real.h), the linker's version script (shim/CMakeLists.txt reads the names with a regular
 * expression: one entry a line), and the test that compares both with the built library.
 *
 * A hook is the C function hook_NAME with the assembler name NAME. So the headers' own
 * declarations of NAME (transparent unions, fortified inlines, redirects) do not get in the way,
 * and a test can link the hooks under their C names next to libc's. */
#ifndef RUDP_SHIM_SURFACE_H
#define RUDP_SHIM_SURFACE_H

#include <poll.h>
#include <signal.h>
#include <stddef.h>
#include <sys/epoll.h>
#include <sys/select.h>
#include <sys/socket.h>
#include <sys/types.h>
#include <sys/uio.h>
#include <time.h>

/* X(name, result, parameters): a call of its own.
 * ALIAS(name, target): another name libc gives to target. */
#define SHIM_SURFACE_MAP(X, ALIAS)                                                                 \
    X(socket, int, (int domain, int type, int protocol))                                           \
    X(bind, int, (int fd, const struct sockaddr *addr, socklen_t addr_bytes))                      \
    X(connect, int, (int fd, const struct sockaddr *addr, socklen_t addr_bytes))                   \
    X(shutdown, int, (int fd, int how))                                                            \
    X(getsockname, int, (int fd, struct sockaddr *addr, socklen_t *addr_bytes))                    \
    X(getpeername, int, (int fd, struct sockaddr *addr, socklen_t *addr_bytes))                    \
    X(getsockopt, int, (int fd, int level, int option, void *value, socklen_t *value_bytes))       \
    X(setsockopt, int, (int fd, int level, int option, const void *value, socklen_t value_bytes))  \
    X(ioctl, int, (int fd, unsigned long request, ...))                                            \
    X(send, ssize_t, (int fd, const void *data, size_t bytes, int flags))                          \
    X(sendto, ssize_t,                                                                             \
      (int fd, const void *data, size_t bytes, int flags, const struct sockaddr *addr,             \
       socklen_t addr_bytes))                                                                      \
    X(sendmsg, ssize_t, (int fd, const struct msghdr *message, int flags))                         \
    X(sendmmsg, int, (int fd, struct mmsghdr *messages, unsigned int count, int flags))            \
    X(write, ssize_t, (int fd, const void *data, size_t bytes))                                    \
    X(writev, ssize_t, (int fd, const struct iovec *parts, int part_count))                        \
    X(recv, ssize_t, (int fd, void *buffer, size_t bytes, int flags))                              \
    X(recvfrom, ssize_t,                                                                           \
      (int fd, void *buffer, size_t bytes, int flags, struct sockaddr *addr,                       \
       socklen_t *addr_bytes))                                                                     \
    X(recvmsg, ssize_t, (int fd, struct msghdr *message, int flags))                               \
    X(recvmmsg, int,                                                                               \
      (int fd, struct mmsghdr *messages, unsigned int count, int flags, struct timespec *timeout)) \
    X(read, ssize_t, (int fd, void *buffer, size_t bytes))                                         \
    X(readv, ssize_t, (int fd, const struct iovec *parts, int part_count))                         \
    X(__read_chk, ssize_t, (int fd, void *buffer, size_t bytes, size_t buffer_bytes))              \
    X(__recv_chk, ssize_t, (int fd, void *buffer, size_t bytes, size_t buffer_bytes, int flags))   \
    X(__recvfrom_chk, ssize_t,                                                                     \
      (int fd, void *buffer, size_t bytes, size_t buffer_bytes, int flags, struct sockaddr *addr,  \
       socklen_t *addr_bytes))                                                                     \
    X(poll, int, (struct pollfd * fds, nfds_t count, int timeout_ms))                              \
    X(ppoll, int,                                                                                  \
      (struct pollfd * fds, nfds_t count, const struct timespec *timeout, const sigset_t *mask))   \
    X(select, int,                                                                                 \
      (int count, fd_set *reads, fd_set *writes, fd_set *others, struct timeval *timeout))         \
    X(pselect, int,                                                                                \
      (int count, fd_set *reads, fd_set *writes, fd_set *others, const struct timespec *timeout,   \
       const sigset_t *mask))                                                                      \
    X(epoll_wait, int, (int epoll_fd, struct epoll_event *events, int count_max, int timeout_ms))  \
    X(epoll_pwait, int,                                                                            \
      (int epoll_fd, struct epoll_event *events, int count_max, int timeout_ms,                    \
       const sigset_t *mask))                                                                      \
    X(epoll_pwait2, int,                                                                           \
      (int epoll_fd, struct epoll_event *events, int count_max, const struct timespec *timeout,    \
       const sigset_t *mask))                                                                      \
    X(__poll_chk, int, (struct pollfd * fds, nfds_t count, int timeout_ms, size_t fds_bytes))      \
    X(__ppoll_chk, int,                                                                            \
      (struct pollfd * fds, nfds_t count, const struct timespec *timeout, const sigset_t *mask,    \
       size_t fds_bytes))                                                                          \
    X(close, int, (int fd))                                                                        \
    X(close_range, int, (unsigned int first, unsigned int last, int flags))                        \
    X(closefrom, void, (int first))                                                                \
    X(dup, int, (int fd))                                                                          \
    X(dup2, int, (int fd, int target))                                                             \
    X(dup3, int, (int fd, int target, int flags))                                                  \
    X(fcntl, int, (int fd, int command, ...))                                                      \
    X(fcntl64, int, (int fd, int command, ...))                                                    \
    X(pidfd_getfd, int, (int pidfd, int target, unsigned int flags))                               \
    X(syscall, long, (long number, ...))                                                           \
    X(__libc_start_main, int,                                                                      \
      (int (*main_of)(int, char **, char **), int argument_count, char **arguments,                \
       void (*begin)(void), void (*end)(void), void (*loader_end)(void), void *stack_end))         \
    X(dlopen, void *, (const char *file, int mode))                                                \
    X(execve, int, (const char *path, char *const arguments[], char *const environment[]))         \
    X(execv, int, (const char *path, char *const arguments[]))                                     \
    X(execvp, int, (const char *file, char *const arguments[]))                                    \
    X(execvpe, int, (const char *file, char *const arguments[], char *const environment[]))        \
    X(execveat, int,                                                                               \
      (int directory_fd, const char *path, char *const arguments[], char *const environment[],     \
       int flags))                                                                                 \
    X(fexecve, int, (int fd, char *const arguments[], char *const environment[]))                  \
    X(execl, int, (const char *path, const char *first, ...))                                      \
    X(execlp, int, (const char *file, const char *first, ...))                                     \
    X(execle, int, (const char *path, const char *first, ...))                                     \
    X(daemon, int, (int stays_in_directory, int keeps_streams))                                    \
    X(_exit, void, (int status))                                                                   \
    X(_Exit, void, (int status))                                                                   \
    ALIAS(__connect, connect)                                                                      \
    ALIAS(__send, send)                                                                            \
    ALIAS(__write, write)                                                                          \
    ALIAS(__read, read)                                                                            \
    ALIAS(__poll, poll)                                                                            \
    ALIAS(__select, select)                                                                        \
    ALIAS(__close, close)                                                                          \
    ALIAS(__dup2, dup2)                                                                            \
    ALIAS(__fcntl, fcntl)

#if defined(SHIM_LINKED_IN) /* hooks under their C names: a test links them, nothing is interposed \
                             */
#define SHIM_SYMBOL_TEXT(name) "hook_" #name
#else
#define SHIM_SYMBOL_TEXT(name) #name
#endif

#define SHIM_EXPORT __attribute__((visibility("default")))

#define X(name, result, parameters)                                                                \
    SHIM_EXPORT result hook_##name parameters __asm__(SHIM_SYMBOL_TEXT(name));
#define ALIAS(name, target)
SHIM_SURFACE_MAP(X, ALIAS)
#undef ALIAS
#undef X

/* Defines the alias next to its target's definition. */
#define SHIM_DEFINE_ALIAS(name, target)                                                            \
    extern __typeof__(hook_##target) hook_##name __asm__(SHIM_SYMBOL_TEXT(name))                   \
        __attribute__((alias(SHIM_SYMBOL_TEXT(target)), visibility("default")))

#endif
