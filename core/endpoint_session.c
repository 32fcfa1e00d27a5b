/* endpoint_session.c - the program's calls on sessions. */
#include "core/endpoint_state.h"
#include "core/wire.h"

/* At 20 % loss each way one peer in 3,000 leaves so many in a row unanswered and is there. */
#define TOLD_PROBE_COUNT_MAX 8u

enum rudp_status rudp_endpoint_open(struct rudp_endpoint *endpoint, const struct rudp_path *path,
                                    struct rudp_session **session, uint64_t now_us)
{
    ENDPOINT_CALL_ON_ONE(endpoint);
    struct rudp_context context = endpoint_context(endpoint, now_us);

    /* To the peer a second hello from here means that this side started again. */
    for (struct rudp_session *other = endpoint_find_address(endpoint, &path->remote); other != NULL;
         other = endpoint_find_next(other))
        if (other->closing)
            return RUDP_E_CLOSED;
    enum rudp_status status = endpoint_add(endpoint, &context, path, true, session);

    if (status == RUDP_OK) {
        endpoint_touch(endpoint, *session);
        endpoint_update(endpoint, *session, &context);
    }
    return status;
}

static bool has_called(const struct rudp_session *session)
{
    return session->state != RUDP_SESSION_HELLO_SENT || session->peer_id != 0 ||
           session->loss.next_pn != 0;
}

void rudp_endpoint_hold_hello(struct rudp_endpoint *endpoint, const struct rudp_address *remote,
                              uint64_t until_us, uint64_t now_us)
{
    ENDPOINT_CALL(endpoint);
    struct rudp_context context = endpoint_context(endpoint, now_us);

    for (struct rudp_session *session = endpoint_find_address(endpoint, remote); session != NULL;
         session = endpoint_find_next(session)) {
        if (has_called(session))
            continue;
        session->hello_due = until_us <= now_us;
        session->hello_us = session->hello_due ? RUDP_NEVER : until_us;
        endpoint_update(endpoint, session, &context);
    }
}

void rudp_session_set_tag(struct rudp_session *session, uint64_t tag)
{
    session->tag = tag;
}

uint64_t rudp_session_tag(const struct rudp_session *session)
{
    return session->tag;
}

void rudp_session_set_send_mark(struct rudp_session *session, uint32_t mark)
{
    session->send_mark = mark;
}

uint64_t rudp_session_mark(const struct rudp_session *session)
{
    return session->mark;
}

const struct rudp_path *rudp_session_path(const struct rudp_session *session)
{
    return &session->path;
}

enum rudp_status rudp_session_send(struct rudp_endpoint *endpoint, struct rudp_session *session,
                                   const struct rudp_slice *slices, size_t slice_count,
                                   uint64_t now_us)
{
    ENDPOINT_CALL_ON_ONE(endpoint);
    endpoint_touch(endpoint, session);
    struct rudp_context context = endpoint_context(endpoint, now_us);

    if (session->state == RUDP_SESSION_CLOSED || session->closing)
        return RUDP_E_CLOSED;
    enum rudp_status status = rudp_send_stream_push(
        &session->send, &endpoint->host, slices, slice_count, endpoint->config.send_buffer_bytes);

    if (status == RUDP_OK) {
        session->stats.sent_message_count++;
    } else if (status == RUDP_E_FULL || status == RUDP_E_MEMORY) {
        session->wanted_bytes = 0;
        for (size_t i = 0; i < slice_count; i++)
            session->wanted_bytes += slices[i].bytes;
        session->wanted_bytes += RUDP_STREAM_PREFIX_BYTES_MAX;
        if (status == RUDP_E_MEMORY)
            session->memory_us = now_us + RUDP_MEMORY_WAIT_US;
    }
    endpoint_update(endpoint, session, &context);
    return status;
}

enum rudp_status rudp_session_peek(struct rudp_endpoint *endpoint, struct rudp_session *session,
                                   void *buffer, size_t buffer_bytes, size_t *message_bytes)
{
    ENDPOINT_CALL_ON_ONE(endpoint);
    endpoint_touch(endpoint, session);

    if (session->closing) /* the peer is told that it was not delivered */
        return RUDP_E_EMPTY;
    enum rudp_status status = rudp_recv_stream_next(&session->recv, &endpoint->host, message_bytes);

    if (status != RUDP_OK) {
        session->readable_armed = true;
        return RUDP_E_EMPTY; /* a malformed one ends the session with the next packet */
    }
    if (*message_bytes > buffer_bytes)
        return RUDP_E_BUFFER;
    rudp_recv_stream_copy(&session->recv, buffer);
    return RUDP_OK;
}

void rudp_session_consume(struct rudp_endpoint *endpoint, struct rudp_session *session,
                          uint64_t now_us)
{
    ENDPOINT_CALL_ON_ONE(endpoint);
    endpoint_touch(endpoint, session);
    struct rudp_context context = endpoint_context(endpoint, now_us);

    rudp_session_take(session, &context);
    endpoint_update(endpoint, session, &context);
}

void rudp_session_pass_on(struct rudp_endpoint *endpoint, struct rudp_session *session,
                          uint64_t now_us)
{
    ENDPOINT_CALL_ON_ONE(endpoint);
    endpoint_touch(endpoint, session);
    struct rudp_context context = endpoint_context(endpoint, now_us);
    uint64_t before_offset = session->recv.base_offset;

    rudp_session_take(session, &context);
    if (context.config->order == RUDP_ORDERED)
        session->held_offset = min_u64(session->held_offset, before_offset);
    endpoint_update(endpoint, session, &context);
}

void rudp_session_confirm(struct rudp_endpoint *endpoint, struct rudp_session *session,
                          uint64_t unread_bytes, uint64_t now_us)
{
    ENDPOINT_CALL_ON_ONE(endpoint);
    endpoint_touch(endpoint, session);
    struct rudp_context context = endpoint_context(endpoint, now_us);
    uint64_t read_offset = sub_floor_u64(session->recv.base_offset, unread_bytes);

    if (session->held_offset == RUDP_NEVER || session->closing)
        return;
    if (read_offset > session->held_offset)
        session->confirm_count = 0;
    session->held_offset =
        unread_bytes == 0 ? RUDP_NEVER : max_u64(session->held_offset, read_offset);
    endpoint_update(endpoint, session, &context);
}

bool rudp_session_is_confirmed(const struct rudp_session *session)
{
    return session->held_offset == RUDP_NEVER;
}

uint64_t rudp_message_stream_bytes(size_t message_bytes)
{
    return rudp_wire_varint_bytes(message_bytes) + message_bytes;
}

void rudp_session_close(struct rudp_endpoint *endpoint, struct rudp_session *session,
                        uint64_t now_us)
{
    ENDPOINT_CALL_ON_ONE(endpoint);
    endpoint_touch(endpoint, session);
    struct rudp_context context = endpoint_context(endpoint, now_us);

    if (session->closing || session->state == RUDP_SESSION_CLOSED)
        return;
    session->closing = true;
    session->close_us = now_us;
    session->fin_due = true;
    /* Nobody was told of this session yet, and there is nothing to tell. */
    if (session->state == RUDP_SESSION_HELLO_SENT && session->send.end_offset == 0)
        rudp_session_finish(session, &context, RUDP_CLOSE_REASON_LOCAL, RUDP_CLOSE_SILENT);
    endpoint_update(endpoint, session, &context);
}

void rudp_session_abort(struct rudp_endpoint *endpoint, struct rudp_session *session,
                        uint64_t now_us)
{
    ENDPOINT_CALL_ON_ONE(endpoint);
    endpoint_touch(endpoint, session);
    struct rudp_context context = endpoint_context(endpoint, now_us);

    rudp_session_finish(session, &context, RUDP_CLOSE_REASON_ABORTED, RUDP_CLOSE_ABORTED);
    endpoint_update(endpoint, session, &context);
}

bool rudp_session_is_flushed(const struct rudp_session *session)
{
    return session->state == RUDP_SESSION_CLOSED || rudp_send_stream_is_acked(&session->send);
}

bool rudp_session_is_told(const struct rudp_session *session)
{
    return session->state == RUDP_SESSION_CLOSED ||
           session->unanswered_count >= TOLD_PROBE_COUNT_MAX ||
           rudp_session_delivery_is_confirmed(session);
}

uint64_t rudp_session_sent_count(const struct rudp_session *session)
{
    return session->stats.sent_message_count;
}

uint64_t rudp_session_received_count(const struct rudp_session *session)
{
    return session->stats.received_message_count;
}

uint64_t rudp_session_queued_bytes(const struct rudp_session *session)
{
    return rudp_send_stream_queued_bytes(&session->send);
}

bool rudp_session_is_closed(const struct rudp_session *session)
{
    return session->state == RUDP_SESSION_CLOSED;
}

void rudp_session_set_packet_bytes(struct rudp_session *session, uint32_t packet_bytes)
{
    rudp_session_limit_packet_bytes(session, packet_bytes);
}

void rudp_session_stats(const struct rudp_session *session, struct rudp_session_stats *stats)
{
    const struct rudp_loss *loss = &session->loss;

    *stats = session->stats;
    stats->rtt_us = loss->rtt.sample_count > 0 ? loss->rtt.smoothed_us : 0;
    stats->rtt_min_us = loss->rtt.sample_count > 0 ? loss->rtt.min_us : 0;
    stats->window_bytes = rudp_cc_window_bytes(&session->cc);
    stats->in_flight_bytes = loss->in_flight_bytes;
    stats->queued_bytes = rudp_send_stream_queued_bytes(&session->send);
    stats->unread_bytes = rudp_recv_stream_unread_bytes(&session->recv);
    stats->packet_bytes = session->packet_bytes;
    stats->established = session->state == RUDP_SESSION_ESTABLISHED;
    stats->opener = session->opener;
    stats->closing = session->closing;
}

void rudp_session_release(struct rudp_endpoint *endpoint, struct rudp_session *session)
{
    ENDPOINT_CALL_ON_ONE(endpoint);
    endpoint_touch(endpoint, session);
    struct rudp_context context = endpoint_context(endpoint, 0);

    RUDP_ASSERT(session->state == RUDP_SESSION_CLOSED && session->events == 0);
    endpoint_remove(endpoint, session, &context);
}
