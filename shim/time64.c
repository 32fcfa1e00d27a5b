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
int hook___recvmmsg64(int fd, struct mmsghdr *messages, unsigned int count, int flags,
                      struct shim_timespec64 *timeout)
{
    struct timespec narrow;

    if (timeout == NULL)
        return hook_recvmmsg(fd, messages, count, flags, NULL);
    narrow = (struct timespec){
        .tv_sec = timeout->seconds > INT32_MAX ? INT32_MAX : (time_t)timeout->seconds,
        .tv_nsec = timeout->nanoseconds,
    };
    if (timeout->seconds < 0)
        narrow.tv_sec = -1;
    int result = hook_recvmmsg(fd, messages, count, flags, &narrow);

    *timeout = (struct shim_timespec64){
        .seconds = narrow.tv_sec,
        .nanoseconds = (int32_t)narrow.tv_nsec,
    };
    return result;
}
