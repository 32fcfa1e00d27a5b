#define _GNU_SOURCE
#include "shim/send.h"

#include "engine/raw.h"
#include "shim/ask.h"
#include "shim/control.h"
#include "shim/drain.h"
#include "shim/hold.h"
#include "shim/log.h"
#include "shim/memory.h"
#include "shim/peers.h"
#include "shim/process.h"
#include "shim/real.h"

#include <errno.h>
#include <limits.h>
#include <netinet/in.h>
#include <pthread.h>

#define PART_COUNT_SMALL      16u
#define DATAGRAM_BYTES_MAX_V4 65507u

/* A call's datagram, as far as it can be known before the socket is entered. */
struct outgoing {
    const struct fd_table_seen *seen;
    const struct msghdr *message;
    int flags;
    size_t bytes;
    bool is_named;              /* else: to whom the socket is connected */
    struct rudp_address remote; /* if is_named */
    struct shim_control_sent control;
    struct rudp_slice *slices; /* room for the message's parts */
};

static int fail(int error)
{
    errno = error;
    return -1;
}

static bool parts_are_readable(const struct outgoing *out)
{
    for (size_t index = 0; index < out->message->msg_iovlen; index++)
        if (!shim_memory_is_readable(out->slices[index].data, out->slices[index].bytes))
            return false;
    return true;
}

/* Held, so that the wire is the socket's; where it has no room, the call that waits is native. */
static ssize_t send_on_wire(const struct outgoing *out)
{
    struct engine_signal_mask mask;

    if (!shim_hold(out->seen, &mask))
        return fail(ENOTSOCK);
    int wire_fd = out->seen->sock->wire_fd;
    long result = wire_fd < 0 ? -ECONNREFUSED /* a client whose owner does not answer */
                              : RAW_CALL(SYS_sendmsg, wire_fd, raw_pointer(out->message),
                                         out->flags | MSG_DONTWAIT);

    shim_unhold(out->seen, mask);
    return result == -EAGAIN ? real.sendmsg(wire_fd, out->message, out->flags)
                             : (ssize_t)real_result(result);
}

/* To the unspecified address means to this machine, as in the kernel. */
static void resolve_unspecified(struct rudp_address *address)
{
    static const uint8_t any[16];
    static const uint8_t any_v4[16] = {[10] = 0xff, [11] = 0xff};

    if (memcmp(address->ip, any, sizeof any) == 0) {
        address->ip[15] = 1;
    } else if (memcmp(address->ip, any_v4, sizeof any_v4) == 0) {
        address->ip[12] = 127;
        address->ip[15] = 1;
    }
}

/* False: the kernel refuses such a destination, and says best how. */
static bool read_destination(struct outgoing *out)
{
    const struct msghdr *message = out->message;

    out->is_named = message->msg_name != NULL && message->msg_namelen > 0;
    if (!out->is_named)
        return true;
    if (!shim_memory_is_readable(message->msg_name, message->msg_namelen))
        return false;
    if (!engine_address_from_sockaddr(&out->remote, message->msg_name, message->msg_namelen))
        return false;
    if (out->seen->sock->family == AF_INET && !engine_address_is_v4(&out->remote))
        return false;
    resolve_unspecified(&out->remote);
    return out->remote.port != 0;
}

/* The message's length and parts. False: longer than any datagram. */
static bool read_parts(struct outgoing *out)
{
    const struct msghdr *message = out->message;

    for (size_t index = 0; index < message->msg_iovlen; index++) {
        out->slices[index] = (struct rudp_slice){
            .data = message->msg_iov[index].iov_base,
            .bytes = message->msg_iov[index].iov_len,
        };
        if (message->msg_iov[index].iov_len > RUDP_MESSAGE_BYTES_MAX)
            return false;
        out->bytes += message->msg_iov[index].iov_len;
        if (out->bytes > RUDP_MESSAGE_BYTES_MAX)
            return false;
    }
    return true;
}

static bool is_too_long(const struct outgoing *out, const struct rudp_address *remote)
{
    return out->bytes >
           (engine_address_is_v4(remote) ? DATAGRAM_BYTES_MAX_V4 : RUDP_MESSAGE_BYTES_MAX);
}

/* --- In the process that runs the engine --------------------------------------------------------
 */

/* Before the first packet: so that the session knows its port. A datagram to port 0 binds as a
 * first send does, and is not sent. */
static void bind_automatically(struct shim_socket *sock, struct engine_socket *engine)
{
    struct sockaddr_storage nowhere = {.ss_family = sock->family};
    socklen_t bytes =
        sock->family == AF_INET ? sizeof(struct sockaddr_in) : sizeof(struct sockaddr_in6);

    (void)RAW_CALL(SYS_sendto, sock->wire_fd, 0, 0, MSG_DONTWAIT, raw_pointer(&nowhere), bytes);
    shim_socket_refresh_local(sock);
    engine_socket_wire_changed(engine);
}

static enum shim_verdict send_datagram(struct shim_socket *sock, int fd, const struct outgoing *out,
                                       int *error)
{
    struct shim_datagram datagram = {
        .remote = out->is_named ? out->remote : sock->shared->peer,
        .local = out->control.local,
        .send_mark = engine_mark(out->control.ttl, out->control.tos),
        .slices = out->slices,
        .slice_count = out->message->msg_iovlen,
    };
    bool token_sent;

    if (!out->is_named && !sock->shared->is_connected)
        return SHIM_PLAIN; /* the kernel refuses */
    *error = shim_failure_take(sock, &datagram.remote, &token_sent);
    if (token_sent)
        shim_failure_drop_token(sock, fd, &datagram.remote);
    if (*error != 0)
        return SHIM_FAILED;
    if (is_too_long(out, &datagram.remote)) {
        *error = EMSGSIZE;
        return SHIM_FAILED;
    }
    enum shim_verdict verdict = shim_drain_send(sock, &datagram, error);

    if (verdict == SHIM_FULL)
        shim_drain_plug(sock, fd);
    return verdict;
}

/* Held. */
static enum shim_verdict send_entered(const struct outgoing *out, int *error)
{
    struct shim_socket *sock = out->seen->sock;
    int fd = out->seen->fd;
    long unread_bytes = shim_pair_unread_bytes(fd);
    struct engine_socket *engine = shim_socket_engine(sock);

    if (unread_bytes < 0) {
        *error = ENOTSOCK;
        return SHIM_FAILED;
    }
    engine_socket_enter(engine);
    if (sock->shared->local.port == 0)
        bind_automatically(sock, engine);
    if (unread_bytes > 0)
        shim_drain(sock); /* what libc or a child wrote into the pair came first */
    enum shim_verdict verdict = send_datagram(sock, fd, out, error);

    engine_socket_leave(engine);
    return verdict;
}

/* Blocks, as far as the descriptor and flags say, until A has room. The kernel does the waiting, so
 * that time limits, signals and cancellation are its own. */
static bool wait_for_room(const struct outgoing *out)
{
    struct shim_pair_header knock = {.cookie = out->seen->cookie, .type = SHIM_PAIR_KNOCK};

    return real.send(out->seen->fd, &knock, sizeof knock,
                     (out->flags & MSG_DONTWAIT) | MSG_NOSIGNAL) >= 0;
}

static enum shim_verdict send_held(const struct outgoing *out, int *error)
{
    struct engine_signal_mask mask;
    enum shim_verdict verdict = SHIM_FAILED;

    *error = ENOTSOCK;
    if (shim_hold(out->seen, &mask)) {
        verdict = send_entered(out, error);
        shim_unhold(out->seen, mask);
    }
    return verdict;
}

static ssize_t send_as_owner(const struct outgoing *out)
{
    int error;

    for (;;) {
        switch (send_held(out, &error)) {
        case SHIM_SENT:
            return (ssize_t)out->bytes;
        case SHIM_PLAIN:
            return send_on_wire(out);
        case SHIM_FAILED:
            return fail(error);
        case SHIM_FULL:
            if (!wait_for_room(out))
                return -1;
        }
    }
}

/* --- In another process that holds the descriptor -----------------------------------------------
 */

/* Whom the wire is connected to, as the kernel knows it. False: nobody. */
static bool find_peer(const struct shim_socket *sock, struct rudp_address *peer)
{
    struct sockaddr_storage addr;
    socklen_t bytes = sizeof addr;

    return RAW_CALL(SYS_getpeername, sock->wire_fd, raw_pointer(&addr), raw_pointer(&bytes)) == 0 &&
           engine_address_from_sockaddr(peer, (const struct sockaddr *)&addr, bytes);
}

/* Where it goes by what the kernel knows of the wire: the rest belongs to the other process. */
static bool find_route(struct shim_socket *sock, const struct outgoing *out,
                       struct shim_pair_header *header)
{
    struct sockaddr_storage addr;
    socklen_t bytes = sizeof addr;

    header->peer = out->remote;
    header->local = out->control.local;
    if (sock->wire_fd < 0)
        return true; /* the owner knows, also to whom it is connected */
    if (!out->is_named && !find_peer(sock, &header->peer))
        return false;
    struct rudp_address local = {.port = 0};

    if (RAW_CALL(SYS_getsockname, sock->wire_fd, raw_pointer(&addr), raw_pointer(&bytes)) == 0)
        (void)engine_address_from_sockaddr(&local, (const struct sockaddr *)&addr, bytes);
    return shim_rules_tag(&shim_process_settings()->rules, &local, &header->peer);
}

static bool find_route_held(const struct outgoing *out, struct shim_pair_header *header)
{
    struct engine_signal_mask mask;

    if (!shim_hold(out->seen, &mask))
        return false;
    bool is_tagged = find_route(out->seen->sock, out, header);

    shim_unhold(out->seen, mask);
    return is_tagged;
}

/* The error of that peer, which is thereby reported; 0: none. */
static int take_failure_held(const struct outgoing *out, const struct rudp_address *peer)
{
    struct engine_signal_mask mask;
    bool token_sent;

    if (!shim_hold(out->seen, &mask))
        return 0;
    int error = shim_failure_take(out->seen->sock, peer, &token_sent);

    shim_unhold(out->seen, mask);
    if (token_sent)
        (void)shim_ask_to_drop_token(out->seen, peer);
    return error;
}

static ssize_t send_through_pair(const struct outgoing *out)
{
    struct shim_pair_header header = {
        .cookie = out->seen->cookie,
        .type = SHIM_PAIR_DATAGRAM,
        .payload_bytes = (uint32_t)out->bytes,
        .ttl = (int16_t)out->control.ttl,
        .tos = (int16_t)out->control.tos,
    };
    struct iovec parts[1 + PART_COUNT_SMALL] = {{&header, sizeof header}};
    const struct msghdr *message = out->message;

    if (!find_route_held(out, &header))
        return send_on_wire(out);
    if (is_too_long(out, &header.peer) || message->msg_iovlen > PART_COUNT_SMALL)
        return fail(EMSGSIZE);
    int error = take_failure_held(out, &header.peer);

    if (error != 0)
        return fail(error);
    if (message->msg_iovlen > 0)
        memcpy(parts + 1, message->msg_iov, message->msg_iovlen * sizeof *parts);
    struct msghdr framed = {.msg_iov = parts, .msg_iovlen = 1 + message->msg_iovlen};
    ssize_t sent_bytes =
        real.sendmsg(out->seen->fd, &framed, (out->flags & MSG_DONTWAIT) | MSG_NOSIGNAL);

    return sent_bytes < 0 ? sent_bytes : (ssize_t)out->bytes;
}

/* ------------------------------------------------------------------------------------------------
 */

/* Corking glues several calls into one datagram. Sessions do not do that. */
static ssize_t send_corked(const struct outgoing *out)
{
    struct shim_pair_header header = {.type = SHIM_PAIR_DATAGRAM};

    return find_route_held(out, &header) ? fail(EOPNOTSUPP) : send_on_wire(out);
}

/* Has the engine run here if it runs nowhere. 0: it does; 1: it runs in another process; or a
 * negative errno. */
static int start(const struct outgoing *out)
{
    struct shim_socket *sock = out->seen->sock;
    struct engine_signal_mask mask;

    if (!shim_socket_is_ours(sock))
        return 1;
    if (shim_socket_engine(sock) != NULL)
        return 0;
    if (!shim_hold(out->seen, &mask))
        return -ENOTSOCK;
    int result = shim_socket_start(sock);

    shim_unhold(out->seen, mask);
    return result;
}

static bool is_write_shut(const struct shim_socket *sock)
{
    const struct shim_shared *shared = sock->shared;

    return shared != NULL && atomic_load(&shared->write_shut);
}

/* Only IPv4 knows of urgent data, and refuses it. */
static bool goes_by_v4(const struct outgoing *out)
{
    const struct shim_socket *sock = out->seen->sock;
    struct rudp_address peer = out->remote;

    return sock->family == AF_INET ||
           ((out->is_named || find_peer(sock, &peer)) && engine_address_is_v4(&peer));
}

/* Without a destination that is what is wrong, shut or not. */
static ssize_t send_shut(const struct shim_socket *sock)
{
    struct rudp_address peer;

    return fail(find_peer(sock, &peer) ? EPIPE : EDESTADDRREQ);
}

static ssize_t send_outgoing(struct outgoing *out)
{
    if (!read_destination(out))
        return send_on_wire(out);
    if ((out->flags & MSG_OOB) != 0 && goes_by_v4(out))
        return fail(EOPNOTSUPP);
    if (is_write_shut(out->seen->sock))
        return out->is_named ? fail(EPIPE) : send_shut(out->seen->sock);
    if (!read_parts(out))
        return fail(EMSGSIZE);
    if (!parts_are_readable(out))
        return send_on_wire(out);
    if (out->message->msg_control != NULL && out->message->msg_controllen > 0) {
        long refusal = shim_socket_probe(out->seen->sock, out->message);
        int error = refusal < 0 ? (int)-refusal : shim_control_read(out->message, &out->control);

        if (error != 0)
            return fail(error);
    }
    if ((out->flags & MSG_MORE) != 0)
        return send_corked(out);
    int result = start(out);

    if (result < 0)
        return fail(-result);
    return result == 0 ? send_as_owner(out) : send_through_pair(out);
}

/* Its own frame: 16 KiB of stack that few calls need. */
__attribute__((noinline)) static ssize_t send_many_parts(struct outgoing *out)
{
    struct rudp_slice slices[IOV_MAX];

    out->slices = slices;
    ssize_t sent_bytes = send_outgoing(out);

    out->slices = NULL;
    return sent_bytes;
}

ssize_t shim_send(const struct fd_table_seen *seen, const struct msghdr *message, int flags)
{
    struct rudp_slice slices[PART_COUNT_SMALL];
    struct outgoing out = {
        .seen = seen,
        .message = message,
        .flags = flags,
        .control = {.ttl = -1, .tos = -1},
        .slices = slices,
    };

    shim_ask_if_due(seen);
    pthread_testcancel(); /* sending is a cancellation point, also where no native call waits */
    shim_hold_heir(seen);

    if (!shim_memory_is_readable(message, sizeof *message))
        return fail(EFAULT);
    if (message->msg_iovlen > IOV_MAX)
        return fail(EMSGSIZE);
    if (!shim_memory_is_readable(message->msg_iov, message->msg_iovlen * sizeof *message->msg_iov))
        return fail(EFAULT);
    return message->msg_iovlen <= PART_COUNT_SMALL ? send_outgoing(&out) : send_many_parts(&out);
}
