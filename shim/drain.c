#define _GNU_SOURCE
#include "shim/drain.h"

#include "engine/raw.h"
#include "shim/ask.h"
#include "shim/connect.h"
#include "shim/control.h"
#include "shim/deliver.h"
#include "shim/discovery.h"
#include "shim/pending.h"
#include "shim/log.h"
#include "shim/peers.h"
#include "shim/process.h"
#include "shim/reading.h"

#include <errno.h>
#include <netinet/in.h>

/* Datagrams read from B in one go: more than the kernel queues, so all that was there before is
 * read. A holder of A who never stops writing gets no more than its turn. */
#define DRAIN_COUNT_MAX 1024u

/* Asks the kernel's routing what it says to a datagram for remote, without sending one: 0, EACCES
 * for a broadcast address, or the error that sendto would have given. */
static int route_error(sa_family_t family, const struct rudp_address *remote)
{
    struct sockaddr_storage addr;
    socklen_t bytes = engine_address_to_sockaddr(remote, family, &addr);
    long fd = RAW_CALL(SYS_socket, family, SOCK_DGRAM | SOCK_CLOEXEC, 0);

    if (fd < 0)
        return 0; /* no descriptor left: the wire will tell */
    long result = RAW_CALL(SYS_connect, fd, raw_pointer(&addr), bytes);

    (void)RAW_CALL(SYS_close, fd);
    return result < 0 ? (int)-result : 0;
}

/* IPv4 on a socket that was told to speak IPv6 only: the kernel knows best how to refuse that. */
static bool is_other_family(const struct shim_socket *sock, const struct rudp_address *remote)
{
    int is_v6_only = 0;
    socklen_t bytes = sizeof is_v6_only;

    return sock->family == AF_INET6 && engine_address_is_v4(remote) &&
           RAW_CALL(SYS_getsockopt, sock->wire_fd, IPPROTO_IPV6, IPV6_V6ONLY,
                    raw_pointer(&is_v6_only), raw_pointer(&bytes)) == 0 &&
           is_v6_only != 0;
}

/* Whether a datagram to remote is any of the protocol's business. */
static bool is_tagged(struct shim_socket *sock, const struct rudp_address *remote)
{
    return shim_rules_tag(&shim_process_settings()->rules, &sock->shared->local, remote) &&
           !rudp_address_equal(&sock->shared->broadcast, remote) &&
           !shim_socket_is_itself(sock, remote);
}

/* A session is about to be opened. SHIM_SENT: the kernel has nothing against it; else what to do
 * instead. */
static enum shim_verdict check_route(struct shim_socket *sock, const struct rudp_address *remote,
                                     int *error)
{
    if (is_other_family(sock, remote))
        return SHIM_PLAIN;
    if (atomic_load(&sock->shared->steers_routes))
        return SHIM_SENT;
    int refusal = route_error(sock->family, remote);

    if (refusal == EACCES) { /* the wire decides whether the program may broadcast */
        sock->shared->broadcast = *remote;
        return SHIM_PLAIN;
    }
    if (refusal == ENETUNREACH || refusal == EHOSTUNREACH || refusal == EADDRNOTAVAIL) {
        *error = refusal;
        return SHIM_FAILED;
    }
    return SHIM_SENT;
}

/* SHIM_SENT: it is open; else what to say instead. */
static enum shim_verdict open_session(struct shim_socket *sock, const struct rudp_path *path,
                                      struct rudp_session **session, int *error)
{
    struct engine_socket *engine = atomic_load_explicit(&sock->engine, memory_order_acquire);
    enum rudp_status status = engine_socket_open_session(engine, path, session);

    *error = ENOBUFS;
    if (status == RUDP_E_CLOSED && shim_peer_await_closed(sock, &path->remote))
        return SHIM_FULL; /* it was ceded to another process, and is not over yet */
    if (status != RUDP_OK)
        return SHIM_FAILED;
    if (shim_peer_add(sock, *session, true) == NULL) {
        rudp_session_abort(shim_socket_endpoint(sock), *session, engine_now_us());
        return SHIM_FAILED;
    }
    return SHIM_SENT;
}

static enum shim_verdict send_to(struct shim_socket *sock, struct rudp_session *session,
                                 const struct shim_datagram *datagram, int *error)
{
    struct shim_peer *peer = shim_peer_of(session);

    rudp_session_set_send_mark(session, datagram->send_mark);
    if (datagram->is_passage)
        shim_passage_begin(&sock->shared->intake, session, rudp_session_sent_count(session));
    switch (rudp_session_send(shim_socket_endpoint(sock), session, datagram->slices,
                              datagram->slice_count, engine_now_us())) {
    case RUDP_OK:
        return SHIM_SENT;
    case RUDP_E_FULL:
    case RUDP_E_MEMORY:
        if (peer != NULL)
            peer->is_full = true;
        return SHIM_FULL;
    case RUDP_E_TOO_LONG:
        *error = EMSGSIZE;
        return SHIM_FAILED;
    default:
        *error = ECONNRESET;
        return SHIM_FAILED;
    }
}

enum shim_verdict shim_drain_reliably(struct shim_socket *sock,
                                      const struct shim_datagram *datagram, int *error)
{
    struct rudp_session *session =
        rudp_endpoint_find(shim_socket_endpoint(sock), &datagram->remote);
    const struct rudp_path path = {.remote = datagram->remote, .local = datagram->local};

    enum shim_verdict verdict =
        session == NULL ? open_session(sock, &path, &session, error) : SHIM_SENT;

    return verdict == SHIM_SENT ? send_to(sock, session, datagram, error) : verdict;
}

enum shim_verdict shim_drain_plainly(struct shim_socket *sock, const struct shim_datagram *datagram,
                                     int *error)
{
    struct engine_socket *engine = atomic_load_explicit(&sock->engine, memory_order_acquire);
    const struct rudp_path path = {
        .remote = datagram->remote,
        .local = datagram->local,
        .send_mark = datagram->send_mark,
    };

    RUDP_ASSERT(datagram->slice_count == 1);
    int result = engine_socket_send_datagram(engine, &path, datagram->slices[0].data,
                                             datagram->slices[0].bytes);

    *error = -result;
    if (result == -EAGAIN)
        return SHIM_FULL;
    return result < 0 ? SHIM_FAILED : SHIM_SENT;
}

/* There is no session with the peer. */
static enum shim_verdict send_first(struct shim_socket *sock, const struct shim_datagram *datagram,
                                    int *error)
{
    if (!is_tagged(sock, &datagram->remote))
        return SHIM_PLAIN;
    enum rudp_peer_kind kind = shim_discovery_consult(&datagram->remote);

    if (kind == RUDP_PEER_PLAIN)
        return SHIM_PLAIN;
    enum shim_verdict verdict = check_route(sock, &datagram->remote, error);

    if (verdict != SHIM_SENT)
        return verdict;
    if (kind == RUDP_PEER_ASKED)
        return shim_pending_add(sock, datagram, error);
    if (kind == RUDP_PEER_UNKNOWN && shim_process_settings()->falls_back) {
        *error = ENOBUFS; /* too many are being asked */
        return SHIM_FAILED;
    }
    return shim_drain_reliably(sock, datagram, error);
}

enum shim_verdict shim_drain_send(struct shim_socket *sock, const struct shim_datagram *datagram,
                                  int *error)
{
    struct rudp_session *session =
        rudp_endpoint_find(shim_socket_endpoint(sock), &datagram->remote);

    shim_reading_confirm(sock); /* the news travels with the datagram */
    if (shim_pending_has(sock, &datagram->remote))
        return shim_pending_add(sock, datagram, error);
    return session == NULL ? send_first(sock, datagram, error)
                           : send_to(sock, session, datagram, error);
}

static void count_unaddressed(struct shim_socket *sock)
{
    if (sock->shared->unaddressed_count++ == 0)
        shim_log(SHIM_LOG_WARN, "a datagram was written past the hooks on a socket that is not "
                                "connected: nowhere to send it");
}

/* A message that is none of the program's. */
static void heed(struct shim_socket *sock, const struct shim_pair_header *header)
{
    switch (header->type) {
    case SHIM_PAIR_PLUG:
    case SHIM_PAIR_KNOCK: /* it has done its work */
        break;
    case SHIM_PAIR_WIRE:
        shim_connect_refresh(sock);
        break;
    case SHIM_PAIR_WANT:
        atomic_store(&sock->shared->wanted_controls, header->interface_index & SHIM_CONTROL_ALL);
        shim_deliver_choose_frame(sock);
        break;
    case SHIM_PAIR_READ:
        shim_reading_confirm(sock);
        break;
    default:
        sock->shared->strange_count++;
        break;
    }
}

/* Passes on what was read from B. False: its session is full, it must stay there. */
static bool pass_on(struct shim_socket *sock, const uint8_t *data, size_t bytes)
{
    struct shim_pair_header header = {.type = SHIM_PAIR_DATAGRAM};
    bool is_framed = shim_pair_parse(&header, sock->cookie, data, bytes);
    bool is_addressed = header.peer.port != 0;
    size_t header_bytes = is_framed ? sizeof header : 0;
    const struct rudp_slice slice = {.data = data + header_bytes, .bytes = bytes - header_bytes};
    const struct shim_datagram datagram = {
        .remote = is_addressed ? header.peer : sock->shared->peer,
        .local = header.local,
        .send_mark = is_framed ? engine_mark(header.ttl, header.tos) : 0,
        .slices = &slice,
        .slice_count = 1,
        .is_passage = true,
    };
    int error = 0;

    if (header.type != SHIM_PAIR_DATAGRAM) {
        heed(sock, &header);
        return true;
    }
    if (!is_addressed && !sock->shared->is_connected) {
        count_unaddressed(sock);
        return true;
    }
    switch (shim_drain_send(sock, &datagram, &error)) {
    case SHIM_SENT:
        return true;
    case SHIM_PLAIN:
        /* Like any datagram it may be lost, and whoever wrote it does not wait for an answer. */
        (void)shim_drain_plainly(sock, &datagram, &error);
        return true;
    case SHIM_FULL:
        return false;
    case SHIM_FAILED:
        shim_failure_add(sock, &datagram.remote, error, true);
        return true;
    }
    return true;
}

/* A question goes with the descriptors that it carries. */
static bool is_question(const struct shim_socket *sock, const uint8_t *data, size_t bytes,
                        uint16_t *type)
{
    struct shim_pair_header header;

    if (!shim_pair_parse(&header, sock->cookie, data, bytes) || !shim_ask_is_question(header.type))
        return false;
    *type = header.type;
    return true;
}

static long read_pair(const struct shim_socket *sock, size_t buffer_bytes, int flags)
{
    return RAW_CALL(SYS_recvfrom, sock->pair_fd, raw_pointer(sock->scratch), (long)buffer_bytes,
                    flags | MSG_DONTWAIT, 0, 0);
}

void shim_drain(struct shim_socket *sock)
{
    struct shim_passage *intake = &sock->shared->intake;
    uint16_t question;

    if (atomic_load(&sock->shared->is_stale) && atomic_exchange(&sock->shared->is_stale, false))
        shim_connect_refresh(sock);
    if (sock->is_plugged)
        return;
    sock->drain_blocked = false;
    for (uint32_t count = 0; count < DRAIN_COUNT_MAX; count++) {
        /* Looked at first, taken when it has a place. */
        long bytes = read_pair(sock, SHIM_PAIR_BYTES_MAX, MSG_PEEK);

        if (bytes < 0)
            break;
        if (is_question(sock, sock->scratch, (size_t)bytes, &question)) {
            shim_ask_answer(sock, question);
            continue;
        }
        shim_pair_note_begin(&intake->note);
        sock->drain_blocked = !pass_on(sock, sock->scratch, (size_t)bytes);
        if (!sock->drain_blocked)
            shim_pair_drop_noted(sock->pair_fd, &intake->note);
        shim_passage_end(intake);
        if (sock->drain_blocked)
            break;
    }
    shim_deliver_watch(sock);
}

void shim_drain_resume(struct shim_socket *sock)
{
    sock->is_plugged = false;
    shim_drain(sock);
}

void shim_drain_plug(struct shim_socket *sock, int program_fd)
{
    sock->is_plugged = true;
    shim_pair_plug(program_fd, sock->cookie);
    shim_deliver_watch(sock);
}
