#define _GNU_SOURCE
#include "shim/real.h"

#include "engine/raw.h"

#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <string.h>
#include <unistd.h>

long real_result(long raw_result)
{
    if (raw_result >= 0)
        return raw_result;
    errno = (int)-raw_result;
    return -1;
}

#if defined(SHIM_LINKED_IN)

/* The hooks are linked under their C names: the plain names are libc's, or a sanitizer's. */
#define X(name, result, parameters) extern result plain_##name parameters __asm__(#name);
#define ALIAS(name, target)
SHIM_SURFACE_MAP(X, ALIAS)
#undef X

struct real real = {
#define X(name, result, parameters) .name = plain_##name,
    SHIM_SURFACE_MAP(X, ALIAS)
#undef ALIAS
#undef X
};

void real_resolve(void)
{
}

#else

#define P(pointer) raw_pointer(pointer)

/* RAW(name, result, parameters, system call): the entry used until real_resolve. */
#define RAW(name, result, parameters, ...)                                                         \
    static result raw_##name parameters                                                            \
    {                                                                                              \
        return (result)real_result(RAW_CALL(__VA_ARGS__));                                         \
    }

RAW(socket, int, (int domain, int type, int protocol), SYS_socket, domain, type, protocol)
RAW(bind, int, (int fd, const struct sockaddr *addr, socklen_t bytes), SYS_bind, fd, P(addr), bytes)
RAW(connect, int, (int fd, const struct sockaddr *addr, socklen_t bytes), SYS_connect, fd, P(addr),
    bytes)
RAW(shutdown, int, (int fd, int how), SYS_shutdown, fd, how)
RAW(getsockname, int, (int fd, struct sockaddr *addr, socklen_t *bytes), SYS_getsockname, fd,
    P(addr), P(bytes))
RAW(getpeername, int, (int fd, struct sockaddr *addr, socklen_t *bytes), SYS_getpeername, fd,
    P(addr), P(bytes))
RAW(getsockopt, int, (int fd, int level, int option, void *value, socklen_t *bytes), SYS_getsockopt,
    fd, level, option, P(value), P(bytes))
RAW(setsockopt, int, (int fd, int level, int option, const void *value, socklen_t bytes),
    SYS_setsockopt, fd, level, option, P(value), bytes)
RAW(send, ssize_t, (int fd, const void *data, size_t bytes, int flags), SYS_sendto, fd, P(data),
    (long)bytes, flags, 0, 0)
RAW(sendto, ssize_t,
    (int fd, const void *data, size_t bytes, int flags, const struct sockaddr *addr,
     socklen_t addr_bytes),
    SYS_sendto, fd, P(data), (long)bytes, flags, P(addr), addr_bytes)
RAW(sendmsg, ssize_t, (int fd, const struct msghdr *message, int flags), SYS_sendmsg, fd,
    P(message), flags)
RAW(sendmmsg, int, (int fd, struct mmsghdr *messages, unsigned int count, int flags), SYS_sendmmsg,
    fd, P(messages), count, flags)
RAW(write, ssize_t, (int fd, const void *data, size_t bytes), SYS_write, fd, P(data), (long)bytes)
RAW(writev, ssize_t, (int fd, const struct iovec *parts, int count), SYS_writev, fd, P(parts),
    count)
RAW(recv, ssize_t, (int fd, void *buffer, size_t bytes, int flags), SYS_recvfrom, fd, P(buffer),
    (long)bytes, flags, 0, 0)
RAW(recvfrom, ssize_t,
    (int fd, void *buffer, size_t bytes, int flags, struct sockaddr *addr, socklen_t *addr_bytes),
    SYS_recvfrom, fd, P(buffer), (long)bytes, flags, P(addr), P(addr_bytes))
RAW(recvmsg, ssize_t, (int fd, struct msghdr *message, int flags), SYS_recvmsg, fd, P(message),
    flags)
RAW(recvmmsg, int,
    (int fd, struct mmsghdr *messages, unsigned int count, int flags, struct timespec *timeout),
    SYS_recvmmsg, fd, P(messages), count, flags, P(timeout))
RAW(read, ssize_t, (int fd, void *buffer, size_t bytes), SYS_read, fd, P(buffer), (long)bytes)
RAW(readv, ssize_t, (int fd, const struct iovec *parts, int count), SYS_readv, fd, P(parts), count)
RAW(close, int, (int fd), SYS_close, fd)
RAW(close_range, int, (unsigned int first, unsigned int last, int flags), SYS_close_range, first,
    last, flags)
RAW(dup, int, (int fd), SYS_dup, fd)
RAW(dup3, int, (int fd, int target, int flags), SYS_dup3, fd, target, flags)

RAW(pidfd_getfd, int, (int pidfd, int target, unsigned int flags), SYS_pidfd_getfd, pidfd, target,
    flags)

static ssize_t raw___read_chk(int fd, void *buffer, size_t bytes, size_t buffer_bytes)
{
    return raw_read(fd, buffer, bytes < buffer_bytes ? bytes : buffer_bytes);
}

static ssize_t raw___recv_chk(int fd, void *buffer, size_t bytes, size_t buffer_bytes, int flags)
{
    return raw_recv(fd, buffer, bytes < buffer_bytes ? bytes : buffer_bytes, flags);
}

static ssize_t raw___recvfrom_chk(int fd, void *buffer, size_t bytes, size_t buffer_bytes,
                                  int flags, struct sockaddr *addr, socklen_t *addr_bytes)
{
    return raw_recvfrom(fd, buffer, bytes < buffer_bytes ? bytes : buffer_bytes, flags, addr,
                        addr_bytes);
}

static void raw_closefrom(int first)
{
    (void)RAW_CALL(SYS_close_range, first, INT32_MAX, 0);
}

static int raw_dup2(int fd, int target)
{
    if (fd != target)
        return raw_dup3(fd, target, 0);
    /* dup3 refuses equal numbers; dup2 only asks whether the number is open. */
    return (int)real_result(RAW_CALL(SYS_fcntl, fd, F_GETFD)) < 0 ? -1 : fd;
}

static int raw_ioctl(int fd, unsigned long request, ...)
{
    va_list arguments;

    va_start(arguments, request);
    long argument = va_arg(arguments, long);
    va_end(arguments);
    return (int)real_result(RAW_CALL(SYS_ioctl, fd, (long)request, argument));
}

static int raw_fcntl(int fd, int command, ...)
{
    va_list arguments;

    va_start(arguments, command);
    long argument = va_arg(arguments, long);
    va_end(arguments);
    return (int)real_result(RAW_CALL(SYS_fcntl, fd, command, argument));
}

static long raw_syscall(long number, ...)
{
    va_list arguments;
    long a[6];

    va_start(arguments, number);
    for (size_t index = 0; index < 6; index++)
        a[index] = va_arg(arguments, long);
    va_end(arguments);
    return real_result(RAW_CALL(number, a[0], a[1], a[2], a[3], a[4], a[5]));
}

/* A C library that runs constructors from in there (musl) comes here before ours has run. */
static int raw___libc_start_main(int (*main_of)(int, char **, char **), int argument_count,
                                 char **arguments, void (*begin)(void), void (*end)(void),
                                 void (*loader_end)(void), void *stack_end)
{
    real_resolve();
    return real.__libc_start_main(main_of, argument_count, arguments, begin, end, loader_end,
                                  stack_end);
}

RAW(execve, int, (const char *path, char *const arguments[], char *const environment[]), SYS_execve,
    P(path), P(arguments), P(environment))
RAW(execveat, int,
    (int directory_fd, const char *path, char *const arguments[], char *const environment[],
     int flags),
    SYS_execveat, directory_fd, P(path), P(arguments), P(environment), flags)

/* Which system call these are differs too much between architectures, and nothing waits before the
 * constructors have run. */
#define RESOLVING(name, parameters, ...)                                                           \
    static int raw_##name parameters                                                               \
    {                                                                                              \
        real_resolve();                                                                            \
        return real.name == raw_##name ? (int)real_result(-ENOSYS) : real.name(__VA_ARGS__);       \
    }

RESOLVING(poll, (struct pollfd * fds, nfds_t count, int timeout_ms), fds, count, timeout_ms)
RESOLVING(ppoll,
          (struct pollfd * fds, nfds_t count, const struct timespec *timeout, const sigset_t *mask),
          fds, count, timeout, mask)
RESOLVING(select,
          (int count, fd_set *reads, fd_set *writes, fd_set *others, struct timeval *timeout),
          count, reads, writes, others, timeout)
RESOLVING(pselect,
          (int count, fd_set *reads, fd_set *writes, fd_set *others, const struct timespec *timeout,
           const sigset_t *mask),
          count, reads, writes, others, timeout, mask)
RESOLVING(epoll_wait, (int epoll_fd, struct epoll_event *events, int count_max, int timeout_ms),
          epoll_fd, events, count_max, timeout_ms)
RESOLVING(epoll_pwait,
          (int epoll_fd, struct epoll_event *events, int count_max, int timeout_ms,
           const sigset_t *mask),
          epoll_fd, events, count_max, timeout_ms, mask)
RESOLVING(epoll_pwait2,
          (int epoll_fd, struct epoll_event *events, int count_max, const struct timespec *timeout,
           const sigset_t *mask),
          epoll_fd, events, count_max, timeout, mask)
RESOLVING(__poll_chk, (struct pollfd * fds, nfds_t count, int timeout_ms, size_t fds_bytes), fds,
          count, timeout_ms, fds_bytes)
RESOLVING(__ppoll_chk,
          (struct pollfd * fds, nfds_t count, const struct timespec *timeout, const sigset_t *mask,
           size_t fds_bytes),
          fds, count, timeout, mask, fds_bytes)

/* These need more of libc than a system call. */
static int raw_execvpe(const char *file, char *const arguments[], char *const environment[])
{
    real_resolve();
    return real.execvpe(file, arguments, environment);
}

static int raw_fexecve(int fd, char *const arguments[], char *const environment[])
{
    real_resolve();
    return real.fexecve(fd, arguments, environment);
}

/* Looked for by the hook itself, which must not be returned to. */
#define raw_dlopen NULL

/* The hooks make these into those above. */
#define raw_execv  NULL
#define raw_execvp NULL
#define raw_execl  NULL
#define raw_execlp NULL
#define raw_execle NULL

/* Nothing becomes a daemon before the constructors have run. */
static int raw_daemon(int stays_in_directory, int keeps_streams)
{
    (void)stays_in_directory;
    (void)keeps_streams;
    return (int)real_result(-ENOSYS);
}

/* Nothing to flush exists this early, in libc neither. */
static void raw__exit(int status)
{
    for (;;)
        (void)RAW_CALL(SYS_exit_group, status);
}

#define raw_fcntl64                 raw_fcntl
#define raw__Exit                   raw__exit

struct real real = {
#define X(name, result, parameters) .name = raw_##name,
#define ALIAS(name, target)
    SHIM_SURFACE_MAP(X, ALIAS)
#undef ALIAS
#undef X
};

void real_resolve(void)
{
#define X(name, result, parameters)                                                                \
    do {                                                                                           \
        void *found = dlsym(RTLD_NEXT, #name);                                                     \
        if (found != NULL)                                                                         \
            memcpy(&real.name, &found, sizeof found);                                              \
    } while (0);
#define ALIAS(name, target)
    SHIM_SURFACE_MAP(X, ALIAS)
#undef ALIAS
#undef X
}

#endif
