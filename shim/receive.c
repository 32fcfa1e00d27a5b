#define _GNU_SOURCE
#include "shim/receive.h"

#include "engine/raw.h"
#include "shim/ask.h"
#include "shim/control.h"
#include "shim/hold.h"
#include "shim/linger.h"
#include "shim/memory.h"
#include "shim/peers.h"
#include "shim/real.h"

#include <errno.h>
#include <limits.h>
#include <netinet/in.h>
#include <sys/ioctl.h>

#define PART_COUNT_SMALL 16u
#define SHIFT_BYTES      512u

/* One call. The program's buffer is the middle of three parts: a header is expected before it, or
 * room for one is left behind it, so that either kind of datagram is read whole whatever was
 * expected, and only has to be shifted. */
struct incoming {
    const struct fd_table_seen *seen;
    struct iovec *parts; /* first or last is edge, the others are the program's */
    size_t part_count;
    size_t room_bytes; /* of the program's parts */
    uint8_t edge[SHIM_PAIR_HEADER_BYTES];
    bool is_bare_expected;
    sa_family_t family;
    uint32_t wanted_controls;
    struct shim_pair_header header; /* if is_framed */
    bool is_framed;
    size_t payload_bytes; /* of the datagram, however much was read of it */
};

static ssize_t fail(int error)
{
    errno = error;
    return -1;
}

/* Copies between a flat buffer and the read parts, seen as one stretch of bytes. */
static size_t copy_parts(const struct incoming *in, size_t offset, uint8_t *flat, size_t bytes,
                         bool is_read)
{
    size_t done_bytes = 0;

    for (size_t index = 0; index < in->part_count && done_bytes < bytes; index++) {
        const struct iovec *part = &in->parts[index];

        if (offset >= part->iov_len) {
            offset -= part->iov_len;
            continue;
        }
        size_t step = (size_t)min_u64(part->iov_len - offset, bytes - done_bytes);
        uint8_t *place = (uint8_t *)part->iov_base + offset;

        memcpy(is_read ? flat + done_bytes : place, is_read ? place : flat + done_bytes, step);
        done_bytes += step;
        offset = 0;
    }
    return done_bytes;
}

/* Whether the first bytes of the program's parts can be written: the kernel has not tried, or not
 * all of them, when the data did not lie where it belongs. */
static bool can_shift(const struct incoming *in, size_t bytes)
{
    for (size_t index = 0; index < in->part_count && bytes > 0; index++) {
        const struct iovec *part = &in->parts[index];
        size_t step = (size_t)min_u64(part->iov_len, bytes);

        if (part->iov_base == in->edge)
            continue;
        if (!shim_memory_is_writable(part->iov_base, step))
            return false;
        bytes -= step;
    }
    return true;
}

/* The data lies a header's length away from where the program wants it. */
static void shift(const struct incoming *in, size_t from, size_t to, size_t bytes)
{
    uint8_t window[SHIFT_BYTES];

    for (size_t done = 0; done < bytes;) {
        size_t step = (size_t)min_u64(bytes - done, sizeof window);
        size_t at = from > to ? done : bytes - done - step; /* upwards from the end */

        (void)copy_parts(in, from + at, window, step, true);
        (void)copy_parts(in, to + at, window, step, false);
        done += step;
    }
}

/* False: the program's memory cannot hold it. */
static bool settle(struct incoming *in, size_t bytes)
{
    uint8_t start[SHIM_PAIR_HEADER_BYTES];
    size_t start_bytes = copy_parts(in, 0, start, min_u64(bytes, sizeof start), true);
    size_t program_at = in->is_bare_expected ? 0 : sizeof in->edge;

    in->is_framed = shim_pair_parse(&in->header, in->seen->cookie, start, start_bytes);
    in->payload_bytes = in->is_framed ? bytes - sizeof in->header : bytes;
    size_t data_at = in->is_framed ? sizeof in->header : 0;
    size_t kept_bytes = (size_t)min_u64(in->payload_bytes, in->room_bytes);

    if (data_at == program_at)
        return true;
    if (!can_shift(in, kept_bytes))
        return false;
    shift(in, data_at, program_at, kept_bytes);
    return true;
}

/* --- Errors -------------------------------------------------------------------------------------
 */

/* The error a token stands for, if it was not reported yet. */
static int take_error(const struct fd_table_seen *seen, const struct shim_pair_header *token)
{
    struct engine_signal_mask mask;
    int error = token->error;
    bool token_sent;

    if (!shim_hold(seen, &mask))
        return error;
    if (!seen->sock->is_client) /* which does not see what others have taken */
        error = shim_failure_take(seen->sock, &token->peer, &token_sent);
    shim_unhold(seen, mask);
    return error;
}

void shim_receive_keep_error(const struct fd_table_seen *seen, int error)
{
    struct engine_signal_mask mask;

    if (!shim_hold(seen, &mask))
        return;
    struct engine_socket *engine = shim_socket_engine(seen->sock);

    if (engine != NULL) {
        engine_socket_enter(engine);
        shim_failure_add(seen->sock, &seen->sock->shared->peer, error, true);
        engine_socket_leave(engine);
    }
    shim_unhold(seen, mask);
}

/* A token that a peek found stays in the queue: once its error is reported, it must go. */
static void consume_token(const struct incoming *in)
{
    struct engine_signal_mask mask;
    uint8_t nothing;

    if (!shim_hold(in->seen, &mask))
        return;
    struct engine_socket *engine = shim_socket_engine(in->seen->sock);

    if (engine != NULL) {
        engine_socket_enter(engine);
        shim_failure_drop_token(in->seen->sock, in->seen->fd, &in->header.peer);
        engine_socket_leave(engine);
    }
    shim_unhold(in->seen, mask);
    /* Without an owner nobody could put back what is taken wrongly; but a peek that finds the token
     * again would never end. */
    if (engine == NULL && !shim_ask_to_drop_token(in->seen, &in->header.peer) &&
        fd_table_is_still(in->seen))
        (void)RAW_CALL(SYS_recvfrom, in->seen->fd, raw_pointer(&nothing), 0, MSG_DONTWAIT, 0, 0);
}

/* --- Results ------------------------------------------------------------------------------------
 */

/* Bare datagrams come from whom the socket is connected to. The wire is the socket's for as long as
 * the number stands for it. */
static socklen_t bare_source(const struct fd_table_seen *seen, struct sockaddr_storage *addr)
{
    socklen_t bytes = sizeof *addr;
    long result =
        RAW_CALL(SYS_getpeername, seen->sock->wire_fd, raw_pointer(addr), raw_pointer(&bytes));

    return result < 0 || !fd_table_is_still(seen) ? 0 : bytes;
}

/* 0 or the errno value of memory that cannot be written. */
static int write_name(const struct incoming *in, struct msghdr *message)
{
    struct sockaddr_storage addr;
    socklen_t bytes;

    if (message->msg_name == NULL)
        return 0;
    bytes = in->is_framed ? engine_address_to_sockaddr(&in->header.peer, in->family, &addr)
                          : bare_source(in->seen, &addr);
    size_t kept_bytes = (size_t)min_u64(bytes, message->msg_namelen);

    if (!shim_memory_is_writable(message->msg_name, kept_bytes))
        return EFAULT;
    memcpy(message->msg_name, &addr, kept_bytes);
    message->msg_namelen = bytes; /* the whole length, also when it was cut */
    return 0;
}

static ssize_t report(const struct incoming *in, struct msghdr *message, int flags)
{
    bool is_cut = in->payload_bytes > in->room_bytes;
    int error = write_name(in, message);

    if (error != 0)
        return fail(error);
    message->msg_flags = (flags & MSG_CMSG_CLOEXEC) | (is_cut ? MSG_TRUNC : 0);
    message->msg_flags |= shim_control_write(message, in->wanted_controls, in->family,
                                             in->is_framed ? &in->header : NULL);
    return (ssize_t)(is_cut && (flags & MSG_TRUNC) == 0 ? in->room_bytes : in->payload_bytes);
}

/* What the program asked of the socket. As it was, once the number stands for something else. */
static void look_at_socket(struct incoming *in)
{
    const struct shim_socket *sock = in->seen->sock;
    const struct shim_shared *shared = sock->shared;

    if (shared == NULL || !fd_table_is_still(in->seen))
        return;
    in->family = sock->family;
    in->wanted_controls = atomic_load_explicit(&shared->wanted_controls, memory_order_relaxed);
    in->is_bare_expected = atomic_load_explicit(&shared->is_bare, memory_order_relaxed);
}

static void arrange(struct incoming *in, const struct msghdr *message)
{
    struct iovec edge = {in->edge, sizeof in->edge};

    look_at_socket(in);
    in->part_count = message->msg_iovlen + 1;
    in->room_bytes = 0;
    for (size_t index = 0; index < message->msg_iovlen; index++)
        in->room_bytes += message->msg_iov[index].iov_len;
    if (message->msg_iovlen > 0)
        memcpy(in->parts + (in->is_bare_expected ? 0 : 1), message->msg_iov,
               message->msg_iovlen * sizeof edge);
    in->parts[in->is_bare_expected ? message->msg_iovlen : 0] = edge;
}

static ssize_t receive(struct incoming *in, struct msghdr *message, int flags)
{
    int fd = in->seen->fd;

    for (;;) {
        arrange(in, message);
        struct msghdr native = {.msg_iov = in->parts, .msg_iovlen = in->part_count};
        ssize_t bytes = real.recvmsg(fd, &native, (flags & ~MSG_OOB) | MSG_TRUNC);

        if (bytes < 0)
            return bytes;
        if (!settle(in, (size_t)bytes))
            return fail(EFAULT);
        if (!in->is_framed || in->header.type != SHIM_PAIR_ERROR)
            return report(in, message, flags);

        int error = take_error(in->seen, &in->header);

        if ((flags & MSG_PEEK) != 0)
            consume_token(in);
        if (error != 0)
            return fail(error);
    }
}

/* Its own frame: 16 KiB of stack that few calls need. */
__attribute__((noinline)) static ssize_t receive_many_parts(const struct fd_table_seen *seen,
                                                            struct msghdr *message, int flags)
{
    struct iovec parts[IOV_MAX];
    struct incoming in = {.seen = seen, .parts = parts};

    return receive(&in, message, flags);
}

ssize_t shim_receive(const struct fd_table_seen *seen, struct msghdr *message, int flags)
{
    struct iovec parts[PART_COUNT_SMALL];
    struct incoming in = {.seen = seen, .parts = parts};

    shim_ask_if_due(seen);
    shim_hold_heir(seen);
    if ((flags & MSG_ERRQUEUE) != 0 && seen->sock->wire_fd < 0)
        return fail(EAGAIN);
    if ((flags & MSG_ERRQUEUE) != 0)
        return real.recvmsg(seen->sock->wire_fd, message, flags);
    if (!shim_memory_is_writable(message, sizeof *message))
        return fail(EFAULT);
    if (message->msg_name != NULL && message->msg_namelen > INT_MAX)
        return fail(EINVAL);
    if (message->msg_iovlen >= IOV_MAX) /* one part is ours */
        return fail(EMSGSIZE);
    if (!shim_memory_is_readable(message->msg_iov, message->msg_iovlen * sizeof *message->msg_iov))
        return fail(EFAULT);
    ssize_t result = message->msg_iovlen < PART_COUNT_SMALL
                         ? receive(&in, message, flags)
                         : receive_many_parts(seen, message, flags);

    if (!fd_table_is_still(seen)) /* closed meanwhile: this call may have been its last holder */
        shim_linger_sweep();
    return result;
}

int shim_receive_next_bytes(const struct shim_socket *sock, int fd)
{
    struct shim_pair_header header;
    uint8_t start[SHIM_PAIR_HEADER_BYTES];
    int bytes = 0;
    long result = RAW_CALL(SYS_ioctl, fd, FIONREAD, raw_pointer(&bytes));

    if (result < 0)
        return (int)real_result(result);
    long start_bytes =
        RAW_CALL(SYS_recvfrom, fd, raw_pointer(start), sizeof start, MSG_PEEK | MSG_DONTWAIT, 0, 0);
    bool is_framed =
        start_bytes >= 0 && shim_pair_parse(&header, sock->cookie, start, (size_t)start_bytes);

    return is_framed ? bytes - (int)sizeof header : bytes;
}
