/* time64.h - the names that glibc gives its socket calls in 32-bit programs built with 64-bit time
 * (_TIME_BITS=64). What differs from the calls of surface.h is the width of a timeout; the options
 * with times in them have numbers of their own there. Other programs do not have these names. */
#ifndef RUDP_SHIM_TIME64_H
#define RUDP_SHIM_TIME64_H

#include "shim/surface.h"

#include <stdint.h>

struct shim_timespec64 {
    int64_t seconds;
    int32_t nanoseconds;
    int32_t padding;
};

struct shim_timeval64 {
    int64_t seconds;
    int64_t microseconds;
};

#define SHIM_SURFACE_TIME64_MAP(X)                                                                 \
    X(__fcntl_time64, int, (int fd, int command, ...))                                             \
    X(__ioctl_time64, int, (int fd, unsigned long request, ...))                                   \
    X(__getsockopt64, int, (int fd, int level, int option, void *value, socklen_t *value_bytes))   \
    X(__setsockopt64, int,                                                                         \
      (int fd, int level, int option, const void *value, socklen_t value_bytes))                   \
    X(__sendmsg64, ssize_t, (int fd, const struct msghdr *message, int flags))                     \
    X(__sendmmsg64, int, (int fd, struct mmsghdr *messages, unsigned int count, int flags))        \
    X(__recvmsg64, ssize_t, (int fd, struct msghdr *message, int flags))                           \
    X(__ppoll64, int,                                                                              \
      (struct pollfd * fds, nfds_t count, const struct shim_timespec64 *timeout,                   \
       const sigset_t *mask))                                                                      \
    X(__select64, int,                                                                             \
      (int count, fd_set *reads, fd_set *writes, fd_set *others, struct shim_timeval64 *timeout))  \
    X(__pselect64, int,                                                                            \
      (int count, fd_set *reads, fd_set *writes, fd_set *others,                                   \
       const struct shim_timespec64 *timeout, const sigset_t *mask))                               \
    X(__epoll_pwait2_time64, int,                                                                  \
      (int epoll_fd, struct epoll_event *events, int count_max,                                    \
       const struct shim_timespec64 *timeout, const sigset_t *mask))                               \
    X(__recvmmsg64, int,                                                                           \
      (int fd, struct mmsghdr *messages, unsigned int count, int flags,                            \
       struct shim_timespec64 *timeout))

#define X(name, result, parameters)                                                                \
    SHIM_EXPORT result hook_##name parameters __asm__(SHIM_SYMBOL_TEXT(name));
SHIM_SURFACE_TIME64_MAP(X)
#undef X

#endif
