/* session.c - a session's life: begin, establish, begin again, end. */
#include "core/session.h"

#include <string.h>

/* Defaults of what a peer does not say about itself (docs/protocol.md section 2). */
#define PEER_PACKET_BYTES_DEFAULT 1200u
#define PEER_ACK_DELAY_US_DEFAULT 25000u

/* How long a delivery may wait for a packet that carries the news anyway. */
#define DELIVERY_TOLD_AFTER_US (100u * RUDP_US_PER_MS)

/* Of so much the peer is told at once: its buffer may be no larger than the smallest, full of what
 * it does not know to be delivered, and then no packet comes to carry the news. */
#define DELIVERY_TOLD_BYTES (RUDP_BUFFER_BYTES_MIN / 4)

/* How soon a caller is asked whether its program has read what was passed on, at first, and how
 * often that doubles. */
#define CONFIRM_AFTER_US  (10u * RUDP_US_PER_MS)
#define CONFIRM_SHIFT_MAX 5u

static void reset_credit(struct rudp_session *session)
{
    session->credit_told_limit = session->recv.limit_offset;
    session->discarded_offset = RUDP_NEVER;
    session->credit_confirmed = session->recv.base_offset;
    session->credit_in_flight = false;
}

static void reset_incarnation(struct rudp_session *session, const struct rudp_context *context,
                              uint64_t local_id)
{
    session->local_id = local_id;
    session->peer_id = 0;
    session->version = RUDP_WIRE_VERSION;
    session->peer = (struct rudp_params){
        .packet_bytes_max = PEER_PACKET_BYTES_DEFAULT,
        .ack_delay_us_max = PEER_ACK_DELAY_US_DEFAULT,
    };
    session->credit_known = false;
    session->packet_bytes = context->config->packet_bytes;
    session->large_lost_count = 0;
    session->answered = false;
    session->opened_us = context->now_us;
    session->last_received_us = context->now_us;
    session->last_active_us = context->now_us;
    session->unanswered_count = 0;
    session->pacing_us = 0;
    session->blocked_us = RUDP_NEVER;
    session->blocked_count = 0;
    session->credit_us = RUDP_NEVER;
    session->memory_us = RUDP_NEVER;
    reset_credit(session);
    session->token_bytes = 0;
    session->retry_count = 0;
    session->reopen_due = false;
    session->hello_us = RUDP_NEVER;
    session->probe_count = 0;
    session->ping_due = false;
    session->undelivered_ask_shift = 0;
    session->blocked_due = false;
    session->credit_due = false;
    session->path_response_due = false;
    session->challenge = 0;
    session->challenge_us = 0;
    session->challenge_due = false;
    session->candidate_response_due = false;
    session->fin_sent = false;
    session->fin_acked = false;
    session->fin_due = session->closing;
    rudp_cc_init(&session->cc, context->config->cc, session->packet_bytes);
    session->pacer = (struct rudp_pacer){0};
}

enum rudp_status rudp_session_init(struct rudp_session *session, const struct rudp_context *context,
                                   const struct rudp_path *path, bool opener, uint64_t local_id)
{
    memset(session, 0, sizeof *session);
    session->state = opener ? RUDP_SESSION_HELLO_SENT : RUDP_SESSION_ACCEPTED;
    session->opener = opener;
    session->hello_due = opener;
    session->path = *path;
    session->readable_armed = true;
    session->close_code = RUDP_CLOSE_SILENT;
    session->stalled_us = RUDP_NEVER;
    session->held_offset = RUDP_NEVER;
    session->confirm_us = RUDP_NEVER;
    session->compact_us = RUDP_NEVER;
    rudp_loss_init(&session->loss);
    rudp_recv_stream_init(&session->recv, context->config->order,
                          context->config->receive_buffer_bytes);
    if (rudp_send_stream_init(&session->send, context->host) != RUDP_OK)
        return RUDP_E_MEMORY;
    reset_incarnation(session, context, local_id);
    return RUDP_OK;
}

static void clear_sending(struct rudp_session *session, const struct rudp_context *context)
{
    rudp_send_stream_clear(&session->send, context->host);
    rudp_loss_clear(&session->loss, context->host);
}

void rudp_session_clear(struct rudp_session *session, const struct rudp_context *context)
{
    clear_sending(session, context);
    rudp_received_clear(&session->received, context->host);
    rudp_recv_stream_clear(&session->recv, context->host);
}

void rudp_session_raise(struct rudp_session *session, enum rudp_event_type type)
{
    session->events |= 1u << type;
}

void rudp_session_finish(struct rudp_session *session, const struct rudp_context *context,
                         enum rudp_close_reason reason, uint8_t close_code)
{
    if (session->state == RUDP_SESSION_CLOSED)
        return;
    /* Who may not be sent more hears it from the tombstone, when it calls again. */
    bool may_tell =
        session->peer_id != 0 &&
        rudp_session_budget_bytes(session) >= RUDP_CLOSE_COPY_COUNT * RUDP_CLOSE_PACKET_BYTES_MAX;

    session->state = RUDP_SESSION_CLOSED;
    session->close_reason = reason;
    session->close_code = may_tell ? close_code : RUDP_CLOSE_SILENT;
    session->undelivered_bytes = rudp_send_stream_queued_bytes(&session->send);
    /* After a close of our own the peer's acknowledgement is all there is to know, unless the peer
     * closed too: then it reads no more than its FIN said. */
    if (session->closing && session->recv.final_offset == RUDP_NEVER &&
        rudp_send_stream_is_acked(&session->send))
        session->undelivered_bytes = 0;
    clear_sending(session, context);
    rudp_session_raise(session, RUDP_EVENT_CLOSED);
}

void rudp_session_restart_receiving(struct rudp_session *session,
                                    const struct rudp_context *context)
{
    rudp_received_clear(&session->received, context->host);
    session->recv_origin = rudp_recv_stream_restart(&session->recv, context->host,
                                                    context->config->receive_buffer_bytes);
    reset_credit(session);
}

bool rudp_session_reopen(struct rudp_session *session, const struct rudp_context *context,
                         uint8_t close_code, bool is_exact)
{
    /* What an unordered peer took out of turn is not told. */
    if (!context->config->reopens || !is_exact || !session->opener || session->peer.wants_starts ||
        session->state == RUDP_SESSION_CLOSED ||
        rudp_send_stream_queued_bytes(&session->send) == 0 ||
        !rudp_session_may_restart(session, context))
        return false;
    session->reopen_due = true;
    session->reopen_code = close_code;
    return true;
}

bool rudp_session_may_restart(const struct rudp_session *session,
                              const struct rudp_context *context)
{
    return session->stalled_us == RUDP_NEVER ||
           context->now_us < session->stalled_us + context->config->connect_timeout_us;
}

/* A peer that ends incarnation after incarnation is called ever more slowly, and for the connect
 * timeout in all. */
static void watch_stall(struct rudp_session *session, const struct rudp_context *context)
{
    if (rudp_send_stream_queued_bytes(&session->send) == 0) {
        session->stalled_us = RUDP_NEVER;
        return;
    }
    if (session->stalled_us == RUDP_NEVER) {
        session->stalled_us = context->now_us;
        session->stalled_count = 0;
        return;
    }
    uint64_t wait_us = rudp_session_pto_base_us(session, context)
                       << min_u64(session->stalled_count++, 10);

    session->opened_us = session->stalled_us;
    session->hello_due = false;
    session->hello_us = context->now_us + min_u64(wait_us, context->config->rto_max_us);
}

void rudp_session_restart(struct rudp_session *session, const struct rudp_context *context,
                          uint64_t local_id)
{
    RUDP_ASSERT(session->opener && session->state != RUDP_SESSION_CLOSED);
    rudp_loss_restart(&session->loss, context->host);
    rudp_session_restart_receiving(session, context);
    rudp_send_stream_restart(&session->send);
    session->send_origin = session->send.base_offset;
    reset_incarnation(session, context, local_id);
    session->state = RUDP_SESSION_HELLO_SENT;
    session->hello_due = true;
    watch_stall(session, context);
    session->stats.restart_count++;
    rudp_session_raise(session, RUDP_EVENT_PEER_RESTARTED);
}

void rudp_session_establish(struct rudp_session *session, const struct rudp_context *context)
{
    if (session->state == RUDP_SESSION_ESTABLISHED)
        return;
    session->state = RUDP_SESSION_ESTABLISHED;
    session->answered = true;
    session->hello_due = false;
    session->last_active_us = context->now_us;
    rudp_session_raise(session, RUDP_EVENT_ESTABLISHED);
}

void rudp_session_limit_packet_bytes(struct rudp_session *session, uint32_t packet_bytes)
{
    uint64_t limited = min_u64(packet_bytes, session->peer.packet_bytes_max);

    limited = max_u64(min_u64(limited, RUDP_PACKET_BYTES_MAX), RUDP_PACKET_BYTES_MIN);
    if (limited == session->packet_bytes)
        return;
    session->packet_bytes = (uint32_t)limited;
    session->large_lost_count = 0;
    rudp_cc_set_packet_bytes(&session->cc, session->packet_bytes);
}

void rudp_session_take(struct rudp_session *session, const struct rudp_context *context)
{
    uint64_t window_bytes = context->config->receive_buffer_bytes;
    struct rudp_recv_stream *recv = &session->recv;

    rudp_recv_stream_take(recv, context->host);
    session->stats.received_message_count++;
    recv->limit_offset = max_u64(recv->limit_offset, recv->base_offset + window_bytes);
    /* A window that opened far is worth a packet of its own. */
    if (recv->limit_offset - session->credit_told_limit >= window_bytes / 4)
        session->credit_due = session->state != RUDP_SESSION_CLOSED;
}

void rudp_session_discard(struct rudp_session *session, const struct rudp_context *context)
{
    struct rudp_recv_stream *recv = &session->recv;
    size_t message_bytes;

    session->discarded_offset = rudp_session_delivered_offset(session);
    while (rudp_recv_stream_next(recv, context->host, &message_bytes) == RUDP_OK)
        rudp_recv_stream_take(recv, context->host);
    recv->limit_offset =
        max_u64(recv->limit_offset, recv->base_offset + context->config->receive_buffer_bytes);
}

/* Nobody tells when the program reads: it is asked after, ever more slowly. */
static void watch_reading(struct rudp_session *session, const struct rudp_context *context)
{
    if (session->held_offset == RUDP_NEVER || session->closing) {
        session->confirm_us = RUDP_NEVER;
        session->confirm_count = 0;
        return;
    }
    if (session->confirm_us != RUDP_NEVER)
        return;
    session->confirm_us =
        context->now_us + (CONFIRM_AFTER_US << min_u64(session->confirm_count, CONFIRM_SHIFT_MAX));
    session->confirm_count++;
}

void rudp_session_watch_delivery(struct rudp_session *session, const struct rudp_context *context)
{
    watch_reading(session, context);
    uint64_t delivered_offset = rudp_session_delivered_offset(session);

    if (session->state != RUDP_SESSION_ESTABLISHED || rudp_session_delivery_is_confirmed(session)) {
        session->credit_us = RUDP_NEVER;
        return;
    }
    if (session->credit_due || session->credit_in_flight)
        return;
    if (delivered_offset - session->credit_confirmed >= DELIVERY_TOLD_BYTES) {
        session->credit_due = true;
        return;
    }
    if (session->credit_us != RUDP_NEVER)
        return;
    uint64_t pto_us = rudp_session_pto_base_us(session, context);

    session->credit_us = context->now_us + max_u64(2 * pto_us, DELIVERY_TOLD_AFTER_US);
}

void rudp_session_check_readable(struct rudp_session *session, const struct rudp_context *context)
{
    size_t message_bytes;

    if (!session->readable_armed || session->closing)
        return;
    enum rudp_status status = rudp_recv_stream_next(&session->recv, context->host, &message_bytes);

    if (status == RUDP_E_MALFORMED) {
        rudp_session_finish(session, context, RUDP_CLOSE_REASON_PROTOCOL, RUDP_CLOSE_PROTOCOL);
        return;
    }
    if (status != RUDP_OK)
        return;
    session->readable_armed = false;
    rudp_session_raise(session, RUDP_EVENT_READABLE);
}

void rudp_session_check_writable(struct rudp_session *session, const struct rudp_context *context)
{
    if (session->wanted_bytes == 0 || session->state == RUDP_SESSION_CLOSED)
        return;
    uint64_t queued_bytes = rudp_send_stream_queued_bytes(&session->send);
    uint64_t room_bytes = sub_floor_u64(context->config->send_buffer_bytes, queued_bytes);

    /* A quarter of the buffer at once, so that a fast sender is not woken for every message. */
    if (room_bytes < max_u64(session->wanted_bytes, context->config->send_buffer_bytes / 4))
        return;
    session->wanted_bytes = 0;
    rudp_session_raise(session, RUDP_EVENT_WRITABLE);
}
