/* hooks_wait.c - the calls that wait for many descriptors. Readiness is the kernel's own, and
 * nothing is done here but this: a forked child that serves an inherited socket by waiting first
 * stands by for its owner from then on (heir.h). */
#define _GNU_SOURCE
#include "shim/heir.h"
#include "shim/real.h"

int hook_poll(struct pollfd *fds, nfds_t count, int timeout_ms)
{
    shim_heir_before_wait();
    return real.poll(fds, count, timeout_ms);
}
SHIM_DEFINE_ALIAS(__poll, poll);

int hook_ppoll(struct pollfd *fds, nfds_t count, const struct timespec *timeout,
               const sigset_t *mask)
{
    shim_heir_before_wait();
    return real.ppoll(fds, count, timeout, mask);
}

int hook_select(int count, fd_set *reads, fd_set *writes, fd_set *others, struct timeval *timeout)
{
    shim_heir_before_wait();
    return real.select(count, reads, writes, others, timeout);
}
SHIM_DEFINE_ALIAS(__select, select);

int hook_pselect(int count, fd_set *reads, fd_set *writes, fd_set *others,
                 const struct timespec *timeout, const sigset_t *mask)
{
    shim_heir_before_wait();
    return real.pselect(count, reads, writes, others, timeout, mask);
}

int hook_epoll_wait(int epoll_fd, struct epoll_event *events, int count_max, int timeout_ms)
{
    shim_heir_before_wait();
    return real.epoll_wait(epoll_fd, events, count_max, timeout_ms);
}

int hook_epoll_pwait(int epoll_fd, struct epoll_event *events, int count_max, int timeout_ms,
                     const sigset_t *mask)
{
    shim_heir_before_wait();
    return real.epoll_pwait(epoll_fd, events, count_max, timeout_ms, mask);
}

int hook_epoll_pwait2(int epoll_fd, struct epoll_event *events, int count_max,
                      const struct timespec *timeout, const sigset_t *mask)
{
    shim_heir_before_wait();
    return real.epoll_pwait2(epoll_fd, events, count_max, timeout, mask);
}

int hook___poll_chk(struct pollfd *fds, nfds_t count, int timeout_ms, size_t fds_bytes)
{
    shim_heir_before_wait();
    return real.__poll_chk(fds, count, timeout_ms, fds_bytes);
}

int hook___ppoll_chk(struct pollfd *fds, nfds_t count, const struct timespec *timeout,
                     const sigset_t *mask, size_t fds_bytes)
{
    shim_heir_before_wait();
    return real.__ppoll_chk(fds, count, timeout, mask, fds_bytes);
}
