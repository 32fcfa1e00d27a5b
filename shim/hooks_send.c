/* hooks_send.c - every call that sends: each becomes sendmsg. */
#define _GNU_SOURCE
#include "shim/adopt.h"
#include "shim/hook.h"
#include "shim/memory.h"
#include "shim/send.h"

#include <errno.h>
#include <limits.h>

static ssize_t send_buffer(const struct fd_table_seen *seen, const void *data, size_t bytes,
                           int flags, const struct sockaddr *addr, socklen_t addr_bytes)
{
    struct iovec part = {(void *)(uintptr_t)data, bytes};
    struct msghdr message = {
        .msg_name = (void *)(uintptr_t)addr,
        .msg_namelen = addr_bytes,
        .msg_iov = &part,
        .msg_iovlen = 1,
    };

    return shim_send(seen, &message, flags);
}

ssize_t hook_send(int fd, const void *data, size_t bytes, int flags)
{
    struct fd_table_seen seen;

    if (fd_table_look(fd, &seen)) {
        ssize_t result = send_buffer(&seen, data, bytes, flags, NULL, 0);

        if (!shim_hook_is_stale(&seen, result))
            return result;
    }
    return real.send(fd, data, bytes, flags);
}
SHIM_DEFINE_ALIAS(__send, send);

ssize_t hook_sendto(int fd, const void *data, size_t bytes, int flags, const struct sockaddr *addr,
                    socklen_t addr_bytes)
{
    struct fd_table_seen seen;
    bool is_odd = addr != NULL && (addr_bytes == 0 || addr_bytes > sizeof(struct sockaddr_storage));

    if (fd_table_look(fd, &seen)) {
        if (is_odd) /* which sendmsg takes for no address, and sendto does not */
            return real.sendto(seen.sock->wire_fd, data, bytes, flags, addr, addr_bytes);
        ssize_t result = send_buffer(&seen, data, bytes, flags, addr, addr_bytes);

        if (!shim_hook_is_stale(&seen, result))
            return result;
    }
    return real.sendto(fd, data, bytes, flags, addr, addr_bytes);
}

/* A message to elsewhere may take descriptors of ours along. */
static ssize_t send_elsewhere(int fd, const struct msghdr *message, int flags)
{
    ssize_t result = real.sendmsg(fd, message, flags);

    if (result >= 0 && message != NULL && message->msg_controllen > 0)
        shim_adopt_passing(message);
    return result;
}

static int send_many_elsewhere(int fd, struct mmsghdr *messages, unsigned int count, int flags)
{
    int result = real.sendmmsg(fd, messages, count, flags);

    for (int index = 0; index < result; index++)
        if (messages[index].msg_hdr.msg_controllen > 0)
            shim_adopt_passing(&messages[index].msg_hdr);
    return result;
}

ssize_t hook_sendmsg(int fd, const struct msghdr *message, int flags)
{
    struct fd_table_seen seen;

    if (message != NULL && fd_table_look(fd, &seen)) {
        ssize_t result = shim_send(&seen, message, flags);

        if (!shim_hook_is_stale(&seen, result))
            return result;
    }
    return send_elsewhere(fd, message, flags);
}

/* One after the other; an error after the first is found again by the next call. */
int hook_sendmmsg(int fd, struct mmsghdr *messages, unsigned int count, int flags)
{
    struct fd_table_seen seen;
    unsigned int done = 0;

    if (!fd_table_look(fd, &seen))
        return send_many_elsewhere(fd, messages, count, flags);
    for (; done < count && done < IOV_MAX; done++) {
        if (!shim_memory_is_writable(&messages[done], sizeof messages[done])) {
            errno = EFAULT;
            break;
        }
        ssize_t result = shim_send(&seen, &messages[done].msg_hdr, flags);

        if (result < 0)
            break;
        messages[done].msg_len = (unsigned int)result;
    }
    return done > 0 || count == 0 ? (int)done : -1;
}

ssize_t hook_write(int fd, const void *data, size_t bytes)
{
    struct fd_table_seen seen;

    if (fd_table_look(fd, &seen)) {
        ssize_t result = send_buffer(&seen, data, bytes, 0, NULL, 0);

        if (!shim_hook_is_stale(&seen, result))
            return result;
    }
    return real.write(fd, data, bytes);
}
SHIM_DEFINE_ALIAS(__write, write);

static bool has_bytes(const struct iovec *parts, int part_count)
{
    for (int index = 0; index < part_count; index++)
        if (parts[index].iov_len > 0)
            return true;
    return false;
}

ssize_t hook_writev(int fd, const struct iovec *parts, int part_count)
{
    struct fd_table_seen seen;
    struct msghdr message = {
        .msg_iov = (struct iovec *)(uintptr_t)parts,
        .msg_iovlen = (size_t)part_count,
    };

    /* Nothing to write is nothing to send here, unlike with write. */
    if (fd_table_look(fd, &seen) && part_count > 0 && part_count <= IOV_MAX &&
        shim_memory_is_readable(parts, (size_t)part_count * sizeof *parts) &&
        has_bytes(parts, part_count)) {
        ssize_t result = shim_send(&seen, &message, 0);

        if (!shim_hook_is_stale(&seen, result))
            return result;
    }
    return real.writev(fd, parts, part_count);
}
