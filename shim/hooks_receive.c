/* hooks_receive.c - every call that receives: each becomes recvmsg. */
#define _GNU_SOURCE
#include "shim/adopt.h"
#include "shim/hook.h"
#include "shim/memory.h"
#include "shim/receive.h"

#include <errno.h>
#include <limits.h>
#include <string.h>

#define NS_PER_S 1000000000

/* The address of a datagram to where the program wants it; errors as the kernel's, which looks at
 * the place after the datagram was taken. */
static int give_address(const struct sockaddr_storage *from, socklen_t from_bytes,
                        struct sockaddr *addr, socklen_t *addr_bytes)
{
    if (!shim_memory_is_writable(addr_bytes, sizeof *addr_bytes))
        return EFAULT;
    if (*addr_bytes > INT_MAX)
        return EINVAL;
    size_t bytes = *addr_bytes < from_bytes ? *addr_bytes : from_bytes;

    if (!shim_memory_is_writable(addr, bytes))
        return EFAULT;
    memcpy(addr, from, bytes);
    *addr_bytes = from_bytes; /* the whole length, also when it was cut */
    return 0;
}

static ssize_t receive_buffer(const struct fd_table_seen *seen, void *buffer, size_t bytes,
                              int flags, struct sockaddr *addr, socklen_t *addr_bytes)
{
    struct sockaddr_storage from;
    struct iovec part = {buffer, bytes};
    struct msghdr message = {
        .msg_name = addr != NULL ? &from : NULL,
        .msg_namelen = sizeof from,
        .msg_iov = &part,
        .msg_iovlen = 1,
    };
    ssize_t result = shim_receive(seen, &message, flags);

    if (result < 0 || addr == NULL)
        return result;
    int error = give_address(&from, message.msg_namelen, addr, addr_bytes);

    if (error == 0)
        return result;
    errno = error;
    return -1;
}

ssize_t hook_recv(int fd, void *buffer, size_t bytes, int flags)
{
    struct fd_table_seen seen;

    if (fd_table_look(fd, &seen)) {
        ssize_t result = receive_buffer(&seen, buffer, bytes, flags, NULL, NULL);

        if (!shim_hook_is_stale(&seen, result))
            return result;
    }
    return real.recv(fd, buffer, bytes, flags);
}

ssize_t hook_recvfrom(int fd, void *buffer, size_t bytes, int flags, struct sockaddr *addr,
                      socklen_t *addr_bytes)
{
    struct fd_table_seen seen;

    if (fd_table_look(fd, &seen)) {
        ssize_t result = receive_buffer(&seen, buffer, bytes, flags, addr, addr_bytes);

        if (!shim_hook_is_stale(&seen, result))
            return result;
    }
    return real.recvfrom(fd, buffer, bytes, flags, addr, addr_bytes);
}

/* A message from elsewhere may bring descriptors of UDP sockets. */
static ssize_t receive_elsewhere(int fd, struct msghdr *message, int flags)
{
    ssize_t result = real.recvmsg(fd, message, flags);

    if (result >= 0 && message != NULL && message->msg_controllen > 0)
        shim_adopt_passed(message);
    return result;
}

static int receive_many_elsewhere(int fd, struct mmsghdr *messages, unsigned int count, int flags,
                                  struct timespec *timeout)
{
    int result = real.recvmmsg(fd, messages, count, flags, timeout);

    for (int index = 0; index < result; index++)
        if (messages[index].msg_hdr.msg_controllen > 0)
            shim_adopt_passed(&messages[index].msg_hdr);
    return result;
}

ssize_t hook_recvmsg(int fd, struct msghdr *message, int flags)
{
    struct fd_table_seen seen;

    if (message != NULL && fd_table_look(fd, &seen)) {
        ssize_t result = shim_receive(&seen, message, flags);

        if (!shim_hook_is_stale(&seen, result))
            return result;
    }
    return receive_elsewhere(fd, message, flags);
}

/* The time that is left until deadline goes back to the caller. False: none is left. */
static bool update_timeout(const struct timespec *deadline, struct timespec *timeout)
{
    struct timespec now;

    engine_read_clock(CLOCK_MONOTONIC, &now);
    timeout->tv_sec = deadline->tv_sec - now.tv_sec;
    timeout->tv_nsec = deadline->tv_nsec - now.tv_nsec;
    if (timeout->tv_nsec < 0) {
        timeout->tv_sec--;
        timeout->tv_nsec += NS_PER_S;
    }
    if (timeout->tv_sec >= 0)
        return timeout->tv_sec > 0 || timeout->tv_nsec > 0;
    *timeout = (struct timespec){.tv_sec = 0};
    return false;
}

static struct timespec deadline_of(const struct timespec *timeout)
{
    struct timespec deadline;

    engine_read_clock(CLOCK_MONOTONIC, &deadline);
    deadline.tv_sec += timeout->tv_sec;
    deadline.tv_nsec += timeout->tv_nsec;
    if (deadline.tv_nsec >= NS_PER_S) {
        deadline.tv_sec++;
        deadline.tv_nsec -= NS_PER_S;
    }
    return deadline;
}

/* As in the kernel, the timeout is looked at after each datagram only, and an error after the first
 * is for the next call. */
static int receive_many(const struct fd_table_seen *seen, struct mmsghdr *messages,
                        unsigned int count, int flags, struct timespec *timeout)
{
    struct timespec deadline = timeout != NULL ? deadline_of(timeout) : (struct timespec){0};
    int each_flags = flags & ~MSG_WAITFORONE;
    unsigned int done = 0;

    while (done < count) {
        if (!shim_memory_is_writable(&messages[done], sizeof messages[done])) {
            errno = EFAULT;
            break;
        }
        ssize_t result = shim_receive(seen, &messages[done].msg_hdr, each_flags);

        if (result < 0)
            break;
        messages[done++].msg_len = (unsigned int)result;
        if ((flags & MSG_WAITFORONE) != 0)
            each_flags |= MSG_DONTWAIT;
        if (timeout != NULL && !update_timeout(&deadline, timeout))
            return (int)done;
    }
    if (done == 0)
        return count == 0 ? 0 : -1;
    if (done < count && errno != EAGAIN && errno != EINTR)
        shim_receive_keep_error(seen, errno);
    return (int)done;
}

static bool is_timeout(struct timespec *timeout)
{
    return timeout == NULL ||
           (shim_memory_is_writable(timeout, sizeof *timeout) && timeout->tv_sec >= 0 &&
            timeout->tv_nsec >= 0 && timeout->tv_nsec < NS_PER_S);
}

int hook_recvmmsg(int fd, struct mmsghdr *messages, unsigned int count, int flags,
                  struct timespec *timeout)
{
    struct fd_table_seen seen;

    if (!fd_table_look(fd, &seen) || !is_timeout(timeout)) /* the kernel refuses the latter */
        return receive_many_elsewhere(fd, messages, count, flags, timeout);
    return receive_many(&seen, messages, count < IOV_MAX ? count : IOV_MAX, flags, timeout);
}

/* Reading nothing takes nothing: read(2) does not look at the socket then. */
ssize_t hook_read(int fd, void *buffer, size_t bytes)
{
    struct fd_table_seen seen;

    if (bytes > 0 && fd_table_look(fd, &seen)) {
        ssize_t result = receive_buffer(&seen, buffer, bytes, 0, NULL, NULL);

        if (!shim_hook_is_stale(&seen, result))
            return result;
    }
    return real.read(fd, buffer, bytes);
}
SHIM_DEFINE_ALIAS(__read, read);

static size_t sum_bytes(const struct iovec *parts, int part_count)
{
    size_t bytes = 0;

    for (int index = 0; index < part_count; index++)
        bytes += parts[index].iov_len;
    return bytes;
}

ssize_t hook_readv(int fd, const struct iovec *parts, int part_count)
{
    struct fd_table_seen seen;
    struct msghdr message = {
        .msg_iov = (struct iovec *)(uintptr_t)parts,
        .msg_iovlen = (size_t)part_count,
    };

    if (fd_table_look(fd, &seen) && part_count > 0 && part_count <= IOV_MAX &&
        shim_memory_is_readable(parts, (size_t)part_count * sizeof *parts) &&
        sum_bytes(parts, part_count) > 0) {
        ssize_t result = shim_receive(&seen, &message, 0);

        if (!shim_hook_is_stale(&seen, result))
            return result;
    }
    return real.readv(fd, parts, part_count);
}

/* The fortified forms end the program when the buffer is too small: libc's own do that. */

ssize_t hook___read_chk(int fd, void *buffer, size_t bytes, size_t buffer_bytes)
{
    return bytes > buffer_bytes ? real.__read_chk(fd, buffer, bytes, buffer_bytes)
                                : hook_read(fd, buffer, bytes);
}

ssize_t hook___recv_chk(int fd, void *buffer, size_t bytes, size_t buffer_bytes, int flags)
{
    return bytes > buffer_bytes ? real.__recv_chk(fd, buffer, bytes, buffer_bytes, flags)
                                : hook_recv(fd, buffer, bytes, flags);
}

ssize_t hook___recvfrom_chk(int fd, void *buffer, size_t bytes, size_t buffer_bytes, int flags,
                            struct sockaddr *addr, socklen_t *addr_bytes)
{
    return bytes > buffer_bytes
               ? real.__recvfrom_chk(fd, buffer, bytes, buffer_bytes, flags, addr, addr_bytes)
               : hook_recvfrom(fd, buffer, bytes, flags, addr, addr_bytes);
}
