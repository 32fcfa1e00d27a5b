#include "engine/socket.h"

#include "core/list.h"
#include "engine/share.h"

#include <errno.h>

/* Bounds on one turn, so that one busy socket neither starves the others nor holds its monitor for
 * long. What is left goes on at the next event. */
#define RECEIVE_CALLS_MAX  4u
#define TRANSMIT_CALLS_MAX 4u

/* While the wire takes nothing (or no batch is to be had), due timers run at this pace only: the
 * core cannot send what they ask for, so their deadlines stay in the past. */
#define BLOCKED_POLL_US (10 * RUDP_US_PER_MS)

static struct wire_arena *receive_arena;

/* Packets in the arena that are another socket's. Only the engine thread receives. */
static size_t strays[WIRE_RECEIVE_COUNT];
static size_t stray_count;

void engine_socket_set_arena(struct wire_arena *arena)
{
    receive_arena = arena;
}

static void report_error(struct engine_socket *sock, const struct rudp_address *remote, int error)
{
    sock->stats.wire_error_count++;
    if (sock->handler.on_wire_error != NULL)
        sock->handler.on_wire_error(sock->context, sock, remote, error);
}

/* Whom an error that the socket had pending is about; NULL: unknown. */
static const struct rudp_address *connected_peer(const struct engine_socket *sock)
{
    return sock->wire.is_connected ? &sock->wire.peer : NULL;
}

/* Edge-triggered: a program that asked for its error queue leaves EPOLLERR standing, which would
 * spin a level-triggered wait. Modifying reports anew what holds. */
static void watch_wire(struct engine_socket *sock)
{
    uint32_t events = EPOLLIN | EPOLLET | (sock->unsent != NULL ? EPOLLOUT : 0u);

    engine_thread_modify(&sock->wire_source, sock->wire.fd, events);
}

/* Sends what is in the batch. False when the wire is full and keeps the rest. */
static bool send_batch(struct engine_socket *sock, struct wire_batch *batch)
{
    enum wire_result result;

    do {
        struct wire_send_report report;

        result = wire_batch_send(batch, &sock->wire, &report);
        sock->stats.sent_packet_count += report.sent_count;
        sock->stats.send_call_count += report.call_count;
        if (report.error != 0)
            report_error(sock, result == WIRE_ERROR ? &report.remote : connected_peer(sock),
                         report.error);
    } while (result == WIRE_ERROR);
    return result == WIRE_SENT;
}

int engine_socket_send_datagram(struct engine_socket *sock, const struct rudp_path *path,
                                const void *data, size_t bytes)
{
    struct wire_batch *batch = wire_batch_acquire();
    struct wire_send_report report;
    size_t room_bytes;

    if (batch == NULL)
        return -ENOBUFS;
    uint8_t *room = wire_batch_room(batch, &room_bytes);

    RUDP_ASSERT(room != NULL);
    RUDP_ASSERT(bytes <= room_bytes);
    if (bytes > 0)
        memcpy(room, data, bytes);
    wire_batch_add(batch, &sock->wire, path, bytes);
    enum wire_result result = wire_batch_send(batch, &sock->wire, &report);

    wire_batch_release(batch);
    if (result == WIRE_FULL)
        return -EAGAIN;
    return result == WIRE_ERROR ? -report.error : 0;
}

static void fill_batch(struct engine_socket *sock, struct wire_batch *batch)
{
    uint64_t now_us = engine_now_us();
    struct rudp_path path;
    size_t room_bytes;
    uint8_t *room;

    while ((room = wire_batch_room(batch, &room_bytes)) != NULL) {
        size_t bytes = rudp_endpoint_next_packet(sock->endpoint, &path, room, room_bytes, now_us);

        if (bytes == 0)
            return;
        wire_batch_add(batch, &sock->wire, &path, bytes);
    }
}

enum transmit_result {
    TRANSMIT_DONE,    /* nothing is left to send now */
    TRANSMIT_MORE,    /* the turn is over, more is left */
    TRANSMIT_BLOCKED, /* the wire or the memory is full */
};

static enum transmit_result transmit(struct engine_socket *sock)
{
    if (sock->unsent != NULL)
        return TRANSMIT_BLOCKED;
    struct wire_batch *batch = wire_batch_acquire();
    enum transmit_result result = TRANSMIT_MORE;

    if (batch == NULL)
        return TRANSMIT_BLOCKED;
    for (uint32_t i = 0; i < TRANSMIT_CALLS_MAX && result == TRANSMIT_MORE; i++) {
        fill_batch(sock, batch);
        if (wire_batch_is_empty(batch))
            result = TRANSMIT_DONE;
        else if (!send_batch(sock, batch))
            result = TRANSMIT_BLOCKED;
    }
    if (result != TRANSMIT_BLOCKED) {
        wire_batch_release(batch);
        return result;
    }
    sock->unsent = batch;
    sock->stats.wire_full_count++;
    watch_wire(sock);
    return TRANSMIT_BLOCKED;
}

static bool dispatch_events(struct engine_socket *sock)
{
    struct rudp_event event;
    bool any = false;

    while (!sock->is_retired && rudp_endpoint_next_event(sock->endpoint, &event)) {
        sock->handler.on_event(sock->context, sock, &event);
        any = true;
    }
    return any;
}

struct survey {
    bool (*holds)(const struct rudp_session *session);
    bool all;
};

static void survey_session(void *context, struct rudp_session *session)
{
    struct survey *survey = context;

    survey->all = survey->all && survey->holds(session);
}

static bool holds_for_all(struct engine_socket *sock,
                          bool (*holds)(const struct rudp_session *session))
{
    struct survey survey = {.holds = holds, .all = true};

    rudp_endpoint_each(sock->endpoint, survey_session, &survey);
    return survey.all;
}

static uint64_t blocked_deadline_us(const struct engine_socket *sock, uint64_t deadline_us)
{
    uint64_t poll_us = engine_now_us() + BLOCKED_POLL_US;

    /* Only a full wire says by itself when it goes on. */
    return sock->unsent == NULL ? poll_us : max_u64(deadline_us, poll_us);
}

/* Deadlines that move later are not refiled: the timer comes early once and is armed anew. */
static void arm(struct engine_socket *sock, enum transmit_result result)
{
    uint64_t deadline_us = rudp_endpoint_deadline_us(sock->endpoint);

    if (result == TRANSMIT_MORE)
        deadline_us = 0;
    if (result == TRANSMIT_BLOCKED)
        deadline_us = blocked_deadline_us(sock, deadline_us);
    if (deadline_us >= sock->armed_us)
        return;
    sock->armed_us = deadline_us;
    engine_thread_arm(&sock->timer, deadline_us);
}

void engine_socket_settle(struct engine_socket *sock)
{
    enum transmit_result result;

    if (!sock->is_owned || sock->is_retired)
        return;
    do { /* handlers send, and what is sent may make events */
        dispatch_events(sock);
        result = transmit(sock);
    } while (dispatch_events(sock) && result == TRANSMIT_DONE);
    if (sock->is_retired)
        return;
    arm(sock, result);
    if (engine_wait_has_sleeper(&sock->session_wait)) /* which looks for itself */
        engine_wait_wake(&sock->session_wait);
}

uint64_t engine_packet_mark(const struct wire_packet *packet)
{
    return (uint64_t)packet->interface_index << 32 | engine_mark(packet->ttl, packet->tos);
}

struct engine_arrival engine_session_arrival(const struct rudp_session *session)
{
    uint64_t mark = rudp_session_mark(session);

    return (struct engine_arrival){
        .interface_index = (uint32_t)(mark >> 32),
        .ttl = wire_mark_ttl((uint32_t)mark),
        .tos = wire_mark_tos((uint32_t)mark),
    };
}

static void hand_foreign(struct engine_socket *sock, const struct wire_packet *packet)
{
    struct engine_datagram datagram = {
        .path = {.remote = packet->remote, .local = packet->destination},
        .data = packet->data,
        .bytes = packet->bytes,
        .interface_index = packet->interface_index,
        .ttl = packet->ttl,
        .tos = packet->tos,
        .received_ns = packet->received_ns,
        .is_to_group = !rudp_address_equal(&packet->source, &packet->destination),
    };

    sock->stats.foreign_count++;
    if (sock->handler.on_datagram != NULL)
        sock->handler.on_datagram(sock->context, sock, &datagram);
}

static void take_packets(struct engine_socket *sock, size_t count)
{
    uint64_t now_us = engine_now_us();

    sock->stats.receive_call_count++;
    sock->stats.received_packet_count += count;
    for (size_t i = 0; i < count && !sock->is_retired; i++) {
        struct wire_packet packet;

        wire_arena_packet(receive_arena, i, &packet);
        if (engine_share_is_stray(sock, &packet)) {
            strays[stray_count++] = i;
            continue;
        }
        struct rudp_path path = {.remote = packet.remote};

        if (sock->wire.is_wildcard)
            path.local = packet.source;
        rudp_endpoint_set_mark(sock->endpoint, engine_packet_mark(&packet));
        if (rudp_endpoint_receive(sock->endpoint, &path, packet.data, packet.bytes, now_us) ==
            RUDP_VERDICT_FOREIGN)
            hand_foreign(sock, &packet);
    }
}

/* Reads until nothing waits, as edge triggering asks for, or the turn is over: strays must leave
 * the arena before more can be read. */
static void receive(struct engine_socket *sock)
{
    stray_count = 0;
    for (uint32_t i = 0; i < RECEIVE_CALLS_MAX && stray_count == 0 && !sock->is_retired; i++) {
        long count = wire_receive(&sock->wire, receive_arena);

        if (count > 0)
            take_packets(sock, (size_t)count);
        if (count >= 0 && count < (long)WIRE_RECEIVE_COUNT)
            return;
        if (count < 0)
            report_error(sock, connected_peer(sock), (int)-count);
    }
    if (!sock->is_retired)
        watch_wire(sock);
}

/* Nothing locked. */
static void hand_over_strays(struct engine_socket *sock)
{
    for (size_t i = 0; i < stray_count; i++) {
        struct wire_packet packet;

        wire_arena_packet(receive_arena, strays[i], &packet);
        engine_share_hand_over(sock, &packet);
    }
    stray_count = 0;
}

static void send_unsent(struct engine_socket *sock)
{
    struct wire_batch *batch = sock->unsent;

    if (!send_batch(sock, batch)) {
        watch_wire(sock);
        return;
    }
    sock->unsent = NULL;
    wire_batch_release(batch);
}

void engine_socket_on_wire(struct engine_source *source, uint32_t events)
{
    struct engine_socket *sock = RUDP_CONTAINER(source, struct engine_socket, wire_source);

    engine_socket_lock(sock);
    if (!sock->is_retired) {
        if ((events & EPOLLOUT) != 0 && sock->unsent != NULL)
            send_unsent(sock);
        if ((events & (EPOLLIN | EPOLLERR | EPOLLHUP)) != 0)
            receive(sock);
        engine_socket_settle(sock);
    }
    engine_socket_unlock(sock);
    hand_over_strays(sock);
}

void engine_socket_on_watch(struct engine_source *source, uint32_t events)
{
    struct engine_socket *sock = RUDP_CONTAINER(source, struct engine_socket, watch_source);

    engine_socket_lock(sock);
    events &= sock->watch_events | EPOLLERR | EPOLLHUP;
    if (!sock->is_retired && sock->watch_fd >= 0 && events != 0) {
        sock->on_watch(sock->context, sock, events);
        engine_socket_settle(sock);
    }
    engine_socket_unlock(sock);
}

void engine_socket_on_due(struct engine_timer *timer)
{
    struct engine_socket *sock = RUDP_CONTAINER(timer, struct engine_socket, timer);

    engine_socket_lock(sock);
    if (!sock->is_retired) {
        sock->armed_us = RUDP_NEVER;
        rudp_endpoint_advance(sock->endpoint, engine_now_us());
        engine_socket_settle(sock);
    }
    engine_socket_unlock(sock);
}

/* Blocks until holds is true for every session or timeout_us passed. */
static bool wait_for_all(struct engine_socket *sock,
                         bool (*holds)(const struct rudp_session *session), uint64_t timeout_us)
{
    uint64_t deadline_us = add_ceil_u64(engine_now_us(), timeout_us);
    bool in_time = true;

    for (;;) {
        struct engine_signal_mask mask = engine_sys_block_signals();
        uint32_t ticket = 0;

        engine_socket_lock(sock);
        bool all = holds_for_all(sock, holds);
        bool may_wait = !all && in_time && sock->is_owned;

        if (may_wait)
            ticket = engine_wait_ticket(&sock->session_wait);
        engine_socket_unlock(sock); /* settling would wake the sleeper that is about to be */
        engine_sys_restore_signals(mask);
        if (!may_wait)
            return all;
        in_time = engine_wait_sleep(&sock->session_wait, ticket, deadline_us);
    }
}

bool engine_socket_flush(struct engine_socket *sock, uint64_t timeout_us)
{
    return wait_for_all(sock, rudp_session_is_flushed, timeout_us);
}

bool engine_socket_await_told(struct engine_socket *sock, uint64_t timeout_us)
{
    return wait_for_all(sock, rudp_session_is_told, timeout_us);
}

bool engine_socket_await_closed(struct engine_socket *sock, uint64_t timeout_us)
{
    return wait_for_all(sock, rudp_session_is_closed, timeout_us);
}
