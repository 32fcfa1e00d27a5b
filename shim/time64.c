#define _GNU_SOURCE
#include "shim/time64.h"

#include <stdarg.h>

int hook___fcntl_time64(int fd, int command, ...)
{
    va_list arguments;

    va_start(arguments, command);
    long argument = va_arg(arguments, long);
    va_end(arguments);
    return hook_fcntl64(fd, command, argument);
}

int hook___ioctl_time64(int fd, unsigned long request, ...)
{
    va_list arguments;

    va_start(arguments, request);
    long argument = va_arg(arguments, long);
    va_end(arguments);
    return hook_ioctl(fd, request, argument);
}

int hook___getsockopt64(int fd, int level, int option, void *value, socklen_t *value_bytes)
{
    return hook_getsockopt(fd, level, option, value, value_bytes);
}

int hook___setsockopt64(int fd, int level, int option, const void *value, socklen_t value_bytes)
{
    return hook_setsockopt(fd, level, option, value, value_bytes);
}

ssize_t hook___sendmsg64(int fd, const struct msghdr *message, int flags)
{
    return hook_sendmsg(fd, message, flags);
}

int hook___sendmmsg64(int fd, struct mmsghdr *messages, unsigned int count, int flags)
{
    return hook_sendmmsg(fd, messages, count, flags);
}

ssize_t hook___recvmsg64(int fd, struct msghdr *message, int flags)
{
    return hook_recvmsg(fd, message, flags);
}

/* A timeout of 68 years is as good as a longer one. */
static time_t narrow_seconds(int64_t seconds)
{
    if (seconds < 0)
        return -1;
    return seconds > INT32_MAX ? INT32_MAX : (time_t)seconds;
}

static struct timespec narrow_timespec(const struct shim_timespec64 *timeout)
{
    return (struct timespec){
        .tv_sec = narrow_seconds(timeout->seconds),
        .tv_nsec = timeout->nanoseconds,
    };
}

int hook___ppoll64(struct pollfd *fds, nfds_t count, const struct shim_timespec64 *timeout,
                   const sigset_t *mask)
{
    struct timespec narrow;

    if (timeout == NULL)
        return hook_ppoll(fds, count, NULL, mask);
    narrow = narrow_timespec(timeout);
    return hook_ppoll(fds, count, &narrow, mask);
}

/* Linux writes what is left of the time. */
int hook___select64(int count, fd_set *reads, fd_set *writes, fd_set *others,
                    struct shim_timeval64 *timeout)
{
    struct timeval narrow;

    if (timeout == NULL)
        return hook_select(count, reads, writes, others, NULL);
    narrow = (struct timeval){
        .tv_sec = narrow_seconds(timeout->seconds),
        .tv_usec = (suseconds_t)timeout->microseconds,
    };
    int result = hook_select(count, reads, writes, others, &narrow);

    *timeout = (struct shim_timeval64){narrow.tv_sec, narrow.tv_usec};
    return result;
}

int hook___pselect64(int count, fd_set *reads, fd_set *writes, fd_set *others,
                     const struct shim_timespec64 *timeout, const sigset_t *mask)
{
    struct timespec narrow;

    if (timeout == NULL)
        return hook_pselect(count, reads, writes, others, NULL, mask);
    narrow = narrow_timespec(timeout);
    return hook_pselect(count, reads, writes, others, &narrow, mask);
}

int hook___epoll_pwait2_time64(int epoll_fd, struct epoll_event *events, int count_max,
                               const struct shim_timespec64 *timeout, const sigset_t *mask)
{
    struct timespec narrow;

    if (timeout == NULL)
        return hook_epoll_pwait2(epoll_fd, events, count_max, NULL, mask);
    narrow = narrow_timespec(timeout);
    return hook_epoll_pwait2(epoll_fd, events, count_max, &narrow, mask);
}

int hook___recvmmsg64(int fd, struct mmsghdr *messages, unsigned int count, int flags,
                      struct shim_timespec64 *timeout)
{
    struct timespec narrow;

    if (timeout == NULL)
        return hook_recvmmsg(fd, messages, count, flags, NULL);
    narrow = narrow_timespec(timeout);
    int result = hook_recvmmsg(fd, messages, count, flags, &narrow);

    *timeout = (struct shim_timespec64){
        .seconds = narrow.tv_sec,
        .nanoseconds = (int32_t)narrow.tv_nsec,
    };
    return result;
}
