#define _GNU_SOURCE
#include "shim/deliver.h"

#include "shim/control.h"
#include "shim/discovery.h"
#include "shim/drain.h"
#include "shim/pending.h"
#include "shim/linger.h"
#include "shim/log.h"
#include "shim/peers.h"
#include "shim/port.h"
#include "shim/process.h"
#include "shim/reading.h"

#include <errno.h>
#include <netinet/in.h>
#include <sys/epoll.h>
#include <time.h>

#define NS_PER_S 1000000000u

/* A program that talks to a peer from another process now may not come to read what the peer sent
 * before: it is in its queue, as on plain UDP, and the peer does not wait longer for that. */
#define CEDE_UNREAD_US_MAX (250u * RUDP_US_PER_MS)

static atomic_bool is_stopped;

void shim_deliver_stop(void)
{
    atomic_store(&is_stopped, true);
}

void shim_deliver_go_on(void)
{
    atomic_store(&is_stopped, false);
}

const struct rudp_config *shim_deliver_config(void)
{
    return &shim_process_settings()->config;
}

static uint64_t wall_clock_ns(void)
{
    struct timespec now;

    engine_read_clock(CLOCK_REALTIME, &now);
    return (uint64_t)now.tv_sec * NS_PER_S + (uint64_t)now.tv_nsec;
}

void shim_deliver_choose_frame(struct shim_socket *sock)
{
    sock->shared->sends_bare =
        sock->shared->is_connected && atomic_load(&sock->shared->wanted_controls) == 0;
    /* While something else waits, readers had better expect a header: one that is not expected
     * passes through the program's buffer. */
    atomic_store(&sock->shared->is_bare,
                 sock->shared->sends_bare && shim_pair_unread_bytes(sock->pair_fd) == 0);
}

static bool goes_bare(const struct shim_socket *sock, const struct rudp_address *source)
{
    return sock->shared->sends_bare && rudp_address_equal(source, &sock->shared->peer);
}

/* Writes a datagram from header's peer, noted unless note is NULL, after the hint for readers:
 * before, a reader might find it and expect the other kind. */
static int write_datagram(struct shim_socket *sock, const struct shim_pair_header *header,
                          const void *data, size_t bytes, struct shim_pair_note *note)
{
    bool is_bare = goes_bare(sock, &header->peer);

    if (!is_bare)
        atomic_store(&sock->shared->is_bare, false);
    else if (!atomic_load(&sock->shared->is_bare))
        shim_deliver_choose_frame(sock);
    header = is_bare ? NULL : header;
    return note == NULL ? shim_pair_write(sock->pair_fd, header, data, bytes)
                        : shim_pair_write_noted(sock->pair_fd, header, data, bytes, note);
}

/* Where a message came to, for the program's control messages. */
static struct rudp_address local_of(const struct shim_socket *sock, const struct rudp_path *path)
{
    static const struct rudp_address unspecified;
    struct rudp_address local = path->local;

    if (memcmp(local.ip, unspecified.ip, sizeof unspecified.ip) == 0)
        return sock->shared->local;
    local.port = sock->shared->local.port;
    return local;
}

static int write_message(struct shim_socket *sock, const struct rudp_session *session, size_t bytes)
{
    const struct rudp_path *path = rudp_session_path(session);
    const struct engine_arrival arrival = engine_session_arrival(session);
    uint32_t wanted = atomic_load(&sock->shared->wanted_controls);
    struct shim_pair_header header = {
        .cookie = sock->cookie,
        .type = SHIM_PAIR_DATAGRAM,
        .payload_bytes = (uint32_t)bytes,
        .peer = path->remote,
        .local = local_of(sock, path),
        .interface_index = arrival.interface_index,
        .ttl = (int16_t)arrival.ttl,
        .tos = (int16_t)arrival.tos,
        .received_ns = (wanted & SHIM_CONTROL_STAMPS) != 0 ? wall_clock_ns() : 0,
    };

    return write_datagram(sock, &header, sock->scratch, bytes, &sock->shared->delivery.note);
}

/* The pair refused a write: full, closed for reading, or without a holder. True: take the message
 * as delivered, the program said it will not read. */
static bool refusal_ends_message(struct shim_socket *sock, int error)
{
    if (error == -EPIPE)
        return true;
    if (error == -ECONNREFUSED || error == -ENOTCONN)
        sock->is_deserted = true;
    else
        sock->pair_full = true;
    return false;
}

static void end_if_deserted(struct shim_socket *sock)
{
    if (!sock->is_deserted)
        return;
    shim_linger_begin(sock);
    shim_linger_progress(sock);
}

/* Moves one message of peer into the pair. False: nothing more can be moved now. */
static bool deliver_one(struct shim_socket *sock, struct shim_peer *peer)
{
    struct rudp_endpoint *endpoint = shim_socket_endpoint(sock);
    size_t bytes;
    enum rudp_status status =
        rudp_session_peek(endpoint, peer->session, sock->scratch, SHIM_PAIR_BYTES_MAX, &bytes);

    if (status != RUDP_OK) {
        RUDP_ASSERT(status == RUDP_E_EMPTY);
        if (peer->is_closed)
            shim_peer_remove(sock, endpoint, peer);
        return true;
    }
    shim_passage_begin(&sock->shared->delivery, peer->session,
                       rudp_session_received_count(peer->session));
    int result = write_message(sock, peer->session, bytes);

    if (result < 0 && !refusal_ends_message(sock, result)) {
        shim_passage_end(&sock->shared->delivery);
        shim_peer_push_ready(sock, peer);
        return false;
    }
    if (result < 0) {
        rudp_session_consume(endpoint, peer->session, engine_now_us());
    } else { /* from here on the kernel keeps it for whoever reads A */
        rudp_session_pass_on(endpoint, peer->session, engine_now_us());
        shim_reading_note(sock, peer, bytes);
    }
    shim_passage_end(&sock->shared->delivery);
    shim_peer_push_ready(sock, peer);
    return true;
}

/* Another socket on the port will get the messages: the kernel delivers only the peer's here. */
static bool is_for_another(const struct shim_socket *sock, const struct shim_peer *peer)
{
    const struct shim_shared *shared = sock->shared;

    return shared->is_connected && shared->port_is_shared && !peer->is_opener &&
           !rudp_address_equal(&rudp_session_path(peer->session)->remote, &shared->peer);
}

void shim_deliver(struct shim_socket *sock)
{
    if (atomic_load(&sock->phase) >= SHIM_LINGER || atomic_load(&is_stopped))
        return;
    shim_reading_confirm(sock);
    sock->pair_full = !shim_port_deliver(sock);
    if (!sock->pair_full)
        shim_failure_send_tokens(sock);
    while (!sock->pair_full) {
        struct shim_peer *peer = shim_peer_pop_ready(sock);

        if (peer == NULL)
            break;
        if (!is_for_another(sock, peer) && !deliver_one(sock, peer))
            break;
    }
    shim_deliver_watch(sock);
    end_if_deserted(sock);
}

static void on_pair_ready(void *context, struct engine_socket *engine, uint32_t events)
{
    struct shim_socket *sock = context;

    (void)engine;
    if ((events & (EPOLLIN | EPOLLERR)) != 0)
        shim_drain(sock);
    if ((events & (EPOLLOUT | EPOLLERR)) != 0)
        shim_deliver(sock);
}

void shim_deliver_begin(struct shim_socket *sock)
{
    sock->is_plugged = false;
    sock->drain_blocked = false;
    sock->pair_full = false;
    sock->is_counted = false;
    sock->watched = 0;
}

void shim_deliver_watch(struct shim_socket *sock)
{
    bool reads = !sock->is_plugged && !sock->drain_blocked;
    uint32_t events = (reads ? EPOLLIN : 0u) | (sock->pair_full ? EPOLLOUT : 0u);

    if (atomic_load(&sock->phase) >= SHIM_LINGER)
        events = 0;
    if (events == sock->watched)
        return;
    struct engine_socket *engine = atomic_load_explicit(&sock->engine, memory_order_acquire);
    int result = engine_socket_watch(engine, sock->pair_fd, events, on_pair_ready);

    if (result < 0)
        shim_log(SHIM_LOG_ERROR, "the pair cannot be watched: error %d", (int64_t)-result);
    else
        sock->watched = events;
}

/* errno value to report for a session that lost something; 0: this side ended it. */
static int close_error(const struct shim_socket *sock, enum rudp_close_reason reason)
{
    switch (reason) {
    case RUDP_CLOSE_REASON_LOCAL:
    case RUDP_CLOSE_REASON_ABORTED:
        return 0;
    case RUDP_CLOSE_REASON_CONNECT_TIMEOUT:
        return sock->shared->soft_error == ECONNREFUSED ? ECONNREFUSED : ETIMEDOUT;
    case RUDP_CLOSE_REASON_PEER:
    case RUDP_CLOSE_REASON_PEER_ABORTED:
    case RUDP_CLOSE_REASON_PEER_RESTARTED:
        return ECONNRESET;
    case RUDP_CLOSE_REASON_VERSION:
    case RUDP_CLOSE_REASON_PROTOCOL:
        return EPROTO;
    case RUDP_CLOSE_REASON_DEAD:
    case RUDP_CLOSE_REASON_IDLE:
    case RUDP_CLOSE_REASON_LINGER:
        return ETIMEDOUT;
    }
    return ETIMEDOUT;
}

static void on_closed(struct shim_socket *sock, const struct rudp_event *event)
{
    struct shim_peer *peer = shim_peer_of(event->session);
    const struct rudp_address remote = rudp_session_path(event->session)->remote;
    int error = event->undelivered_bytes > 0 ? close_error(sock, event->reason) : 0;

    if (peer == NULL) { /* it could not be kept when it was opened */
        rudp_session_release(shim_socket_endpoint(sock), event->session);
        return;
    }
    peer->is_closed = true;
    if (event->reason == RUDP_CLOSE_REASON_CONNECT_TIMEOUT)
        shim_discovery_doubt(&remote);
    if (error != 0 && !peer->is_reported) {
        peer->is_reported = true;
        bool is_the_peer =
            sock->shared->is_connected && rudp_address_equal(&remote, &sock->shared->peer);

        shim_log(SHIM_LOG_WARN, "%s; bytes lost: %d", rudp_close_reason_text(event->reason),
                 (int64_t)event->undelivered_bytes);
        shim_failure_add(sock, &remote, error, is_the_peer || peer->is_opener);
    }
    if (atomic_load(&sock->phase) >= SHIM_LINGER) {
        shim_peer_remove(sock, shim_socket_endpoint(sock), peer);
        shim_linger_progress(sock);
        return;
    }
    if (peer->is_full)
        shim_drain_resume(sock);
    shim_peer_push_ready(sock, peer); /* removed there, after its last message */
    shim_deliver(sock);
}

static void on_opened(struct shim_socket *sock, struct rudp_session *session)
{
    shim_discovery_heard_protocol(&rudp_session_path(session)->remote);
    if (shim_peer_add(sock, session, false) == NULL)
        rudp_session_abort(shim_socket_endpoint(sock), session, engine_now_us());
    else
        (void)shim_pending_sweep(sock); /* what was to be sent to it before anything that is now */
}

static void on_event(void *context, struct engine_socket *engine, const struct rudp_event *event)
{
    struct shim_socket *sock = context;
    struct shim_peer *peer = shim_peer_of(event->session);

    (void)engine;
    switch (event->type) {
    case RUDP_EVENT_OPENED:
        on_opened(sock, event->session);
        break;
    case RUDP_EVENT_ESTABLISHED:
        sock->shared->soft_error = 0;
        shim_discovery_heard_protocol(&rudp_session_path(event->session)->remote);
        break;
    case RUDP_EVENT_READABLE:
        if (peer != NULL)
            shim_peer_push_ready(sock, peer);
        if (!sock->pair_full)
            shim_deliver(sock);
        break;
    case RUDP_EVENT_WRITABLE:
        if (peer != NULL)
            peer->is_full = false;
        (void)shim_pending_sweep(sock);
        shim_drain_resume(sock);
        break;
    case RUDP_EVENT_PEER_RESTARTED:
        shim_log(SHIM_LOG_INFO, "a peer restarted: what it had not delivered is sent again");
        break;
    case RUDP_EVENT_MOVED:
        break;
    case RUDP_EVENT_UNCONFIRMED:
        shim_reading_confirm(sock);
        break;
    case RUDP_EVENT_CLOSED:
        on_closed(sock, event);
        break;
    }
}

/* Whether the program gets this plain datagram. */
static bool accepts_plain(struct shim_socket *sock, const struct engine_datagram *datagram)
{
    const struct shim_settings *settings = shim_process_settings();
    const struct rudp_path *path = &datagram->path;

    /* What was sent to a group is never ours, whoever sent it. */
    if (datagram->is_to_group ||
        !shim_rules_tag(&settings->rules, &sock->shared->local, &path->remote) ||
        shim_socket_is_itself(sock, &path->remote))
        return true;
    bool has_session = rudp_endpoint_find(shim_socket_endpoint(sock), &path->remote) != NULL;

    if (settings->accepts_plain) {
        /* With a session, answers go by the session: a datagram that anybody may have forged does
         * not end it. */
        if (!has_session)
            shim_discovery_heard_plain(&path->remote);
        return true;
    }
    return !has_session && shim_discovery_kind(&path->remote) == RUDP_PEER_PLAIN;
}

static void on_datagram(void *context, struct engine_socket *engine,
                        const struct engine_datagram *datagram)
{
    struct shim_socket *sock = context;

    (void)engine;
    if (atomic_load(&sock->phase) >= SHIM_LINGER)
        return;
    if (!accepts_plain(sock, datagram)) {
        if (sock->shared->refused_plain_count++ == 0)
            shim_log(SHIM_LOG_WARN, "a plain datagram of a tagged peer is dropped, the first one; "
                                    "RUDP_ACCEPT_PLAIN=yes hands them to the program");
        return;
    }
    struct shim_pair_header header = {
        .cookie = sock->cookie,
        .type = SHIM_PAIR_DATAGRAM,
        .payload_bytes = (uint32_t)datagram->bytes,
        .peer = datagram->path.remote,
        .local = local_of(sock, &datagram->path),
        .interface_index = datagram->interface_index,
        .ttl = (int16_t)datagram->ttl,
        .tos = (int16_t)datagram->tos,
        .received_ns = datagram->received_ns,
    };
    int result = write_datagram(sock, &header, datagram->data, datagram->bytes, NULL);

    if (result == -EAGAIN)
        sock->shared->overflow_count++; /* as a full receive buffer does on a plain socket */
    else if (result < 0)
        (void)refusal_ends_message(sock, result);
    end_if_deserted(sock);
}

void shim_deliver_wire_error(struct shim_socket *sock, int error)
{
    if (shim_rules_tag(&shim_process_settings()->rules, &sock->shared->local,
                       &sock->shared->peer) &&
        shim_discovery_kind(&sock->shared->peer) != RUDP_PEER_PLAIN)
        sock->shared->soft_error =
            error; /* the peer may be about to start: the session goes on trying */
    else
        shim_failure_add(sock, &sock->shared->peer, error, true);
}

static void on_wire_error(void *context, struct engine_socket *engine,
                          const struct rudp_address *remote, int error)
{
    struct shim_socket *sock = context;

    (void)engine;
    /* An unconnected UDP socket does not hear of these either. */
    if (sock->shared->is_connected &&
        (remote == NULL || rudp_address_equal(remote, &sock->shared->peer)))
        shim_deliver_wire_error(sock, error);
}

static bool on_leave(void *context, struct engine_socket *engine, struct rudp_session *session)
{
    struct shim_socket *sock = context;
    struct shim_peer *peer = shim_peer_of(session);

    (void)engine;
    /* One that a sender waits for stays with that sender's socket. */
    if (atomic_load(&sock->phase) >= SHIM_LINGER ||
        (peer != NULL && (peer->is_closed || peer->is_full)))
        return false;
    if (peer != NULL)
        shim_peer_unlink(sock, peer);
    return true;
}

static void on_join(void *context, struct engine_socket *engine, struct rudp_session *session)
{
    struct shim_socket *sock = context;
    struct shim_peer *peer = shim_peer_of(session);

    (void)engine;
    if (peer == NULL)
        return; /* OPENED will come */
    shim_peer_link(sock, peer);
    shim_peer_push_ready(sock, peer);
    if (!sock->pair_full)
        shim_deliver(sock);
}

static void on_cede(void *context, struct engine_socket *engine, struct rudp_session *session)
{
    struct shim_socket *sock = context;
    struct shim_peer *peer = shim_peer_of(session);
    uint64_t now_us = engine_now_us();

    (void)engine;
    if (peer == NULL || atomic_load(&sock->phase) >= SHIM_LINGER)
        return;
    if (peer->ceded_us == 0)
        peer->ceded_us = now_us;
    shim_reading_confirm(sock);
    if (!rudp_session_is_confirmed(session)) {
        if (now_us < peer->ceded_us + CEDE_UNREAD_US_MAX)
            return;
        rudp_session_confirm(shim_socket_endpoint(sock), session, 0, now_us);
    }
    peer->is_ceded = true;
    rudp_session_close(shim_socket_endpoint(sock), session, now_us);
}

const struct engine_handler shim_deliver_handler = {
    .on_event = on_event,
    .on_leave = on_leave,
    .on_join = on_join,
    .on_cede = on_cede,
    .on_datagram = on_datagram,
    .on_wire_error = on_wire_error,
};
