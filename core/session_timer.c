/* session_timer.c - when a session must act though nothing arrives, and doing it. */
#include "core/session.h"

/* How long after its last use an idle session's memory is kept. */
#define COMPACT_AFTER_US (2u * RUDP_US_PER_S)

/* A peer that acknowledged messages and does not say that it delivered them may have ended: so soon
 * it is asked for a sign of life, and then ever more slowly, up to the keepalive's pace. */
#define UNDELIVERED_ASK_US        (500u * RUDP_US_PER_MS)
#define UNDELIVERED_ASK_SHIFT_MAX 6u

/* Hellos of full size before smaller ones are tried. */
#define SMALL_HELLO_COUNT 4u

uint64_t rudp_session_pto_base_us(const struct rudp_session *session,
                                  const struct rudp_context *context)
{
    uint64_t pto_us = context->config->rto_initial_us;

    if (session->loss.rtt.sample_count > 0)
        pto_us = rudp_rtt_probe_timeout_us(&session->loss.rtt);
    if (session->state == RUDP_SESSION_ESTABLISHED)
        pto_us += session->peer.ack_delay_us_max;
    pto_us = max_u64(pto_us, context->config->rto_min_us);
    return min_u64(pto_us, context->config->rto_max_us);
}

uint64_t rudp_session_pto_us(const struct rudp_session *session, const struct rudp_context *context)
{
    uint64_t pto_us = rudp_session_pto_base_us(session, context);
    uint64_t max_us = context->config->rto_max_us;

    /* Half as long again each time. With doubling (RFC 9002 section 6.2.1) the mean wait has no
     * bound once every other probe fails, as it does at 40 % loss each way. */
    for (uint32_t i = 0; i < session->loss.probe_timeout_count && pto_us < max_us; i++)
        pto_us += pto_us / 2;
    return min_u64(pto_us, max_us);
}

static bool is_handshaking(const struct rudp_session *session)
{
    return session->state == RUDP_SESSION_HELLO_SENT || session->state == RUDP_SESSION_ACCEPTED;
}

/* When to act for want of an acknowledgement: declare loss, or probe. */
static uint64_t recovery_deadline_us(const struct rudp_session *session,
                                     const struct rudp_context *context)
{
    if (session->loss.loss_time_us != RUDP_NEVER)
        return session->loss.loss_time_us;
    /* With a probe waiting to leave, only something from the peer or memory can help. */
    if (session->loss.in_flight_count == 0 || session->probe_count > 0 || session->hello_due)
        return RUDP_NEVER;
    return session->loss.last_sent_us + rudp_session_pto_us(session, context);
}

/* Of what was sent. */
static bool has_undelivered(const struct rudp_session *session)
{
    return session->send.base_offset < session->send.next_offset;
}

/* How long nothing may be sent or heard. */
static uint64_t silence_us_max(const struct rudp_session *session,
                               const struct rudp_context *context)
{
    uint64_t keepalive_us = context->config->keepalive_us;

    if (keepalive_us == 0)
        keepalive_us = RUDP_NEVER;
    if (!has_undelivered(session))
        return keepalive_us;
    return min_u64(keepalive_us, (uint64_t)UNDELIVERED_ASK_US << session->undelivered_ask_shift);
}

static uint64_t keepalive_deadline_us(const struct rudp_session *session,
                                      const struct rudp_context *context)
{
    if (session->state != RUDP_SESSION_ESTABLISHED || session->loss.in_flight_count > 0 ||
        session->ping_due)
        return RUDP_NEVER;
    return add_ceil_u64(max_u64(session->last_received_us, session->loss.last_sent_us),
                        silence_us_max(session, context));
}

static void on_silence(struct rudp_session *session)
{
    session->ping_due = true;
    if (has_undelivered(session) && session->undelivered_ask_shift < UNDELIVERED_ASK_SHIFT_MAX)
        session->undelivered_ask_shift++;
}

static uint64_t idle_deadline_us(const struct rudp_session *session,
                                 const struct rudp_context *context)
{
    if (context->config->idle_timeout_us == 0 || is_handshaking(session))
        return RUDP_NEVER;
    return session->last_received_us + context->config->idle_timeout_us;
}

static uint64_t compact_deadline_us(const struct rudp_session *session)
{
    /* What is in flight is still needed. */
    if (session->compact_us == RUDP_NEVER || session->loss.in_flight_count > 0)
        return RUDP_NEVER;
    return max_u64(session->compact_us, session->last_active_us + COMPACT_AFTER_US);
}

void rudp_session_note_use(struct rudp_session *session, const struct rudp_context *context)
{
    /* From now on: what is no activity, like a challenge, would else be overdue at once. */
    if (session->compact_us == RUDP_NEVER)
        session->compact_us = context->now_us + COMPACT_AFTER_US;
}

uint64_t rudp_session_deadline_us(const struct rudp_session *session,
                                  const struct rudp_context *context)
{
    if (session->state == RUDP_SESSION_CLOSED)
        return RUDP_NEVER;
    uint64_t deadline_us = recovery_deadline_us(session, context);

    deadline_us = min_u64(deadline_us, keepalive_deadline_us(session, context));
    deadline_us = min_u64(deadline_us, idle_deadline_us(session, context));
    deadline_us = min_u64(deadline_us, compact_deadline_us(session));
    deadline_us = min_u64(deadline_us, session->blocked_us);
    deadline_us = min_u64(deadline_us, session->credit_us);
    deadline_us = min_u64(deadline_us, session->memory_us);
    deadline_us = min_u64(deadline_us, session->hello_us);
    deadline_us = min_u64(deadline_us, session->confirm_us);
    if (session->received.ack_deadline_us > context->now_us) /* else it is about to leave */
        deadline_us = min_u64(deadline_us, session->received.ack_deadline_us);
    if (session->pacing_us != 0)
        deadline_us = min_u64(deadline_us, session->pacing_us);
    if (is_handshaking(session))
        deadline_us =
            min_u64(deadline_us, session->opened_us + context->config->connect_timeout_us);
    if (session->closing)
        deadline_us = min_u64(deadline_us, session->close_us + context->config->linger_us);
    return deadline_us;
}

static void on_probe_timeout(struct rudp_session *session, const struct rudp_context *context)
{
    session->loss.probe_timeout_count++;
    session->unanswered_count++;
    session->stats.probe_count++;
    if (session->state == RUDP_SESSION_ESTABLISHED &&
        session->unanswered_count > context->config->retry_count_max) {
        rudp_session_finish(session, context, RUDP_CLOSE_REASON_DEAD, RUDP_CLOSE_TIMEOUT);
        return;
    }
    rudp_session_requeue_oldest(session, context);
    /* A hello that is never answered may be too large for the path. */
    if (session->state == RUDP_SESSION_HELLO_SENT && !context->config->packet_bytes_fixed &&
        session->unanswered_count == SMALL_HELLO_COUNT)
        rudp_session_limit_packet_bytes(session, RUDP_PACKET_BYTES_MIN);
    if (session->state == RUDP_SESSION_HELLO_SENT)
        session->hello_due = true;
    if (session->peer_id != 0)
        session->probe_count = session->loss.probe_timeout_count > 1 ? 2 : 1;
}

static void check_recovery(struct rudp_session *session, const struct rudp_context *context)
{
    if (recovery_deadline_us(session, context) > context->now_us)
        return;
    if (session->loss.loss_time_us != RUDP_NEVER)
        rudp_session_on_loss_timer(session, context);
    else
        on_probe_timeout(session, context);
}

/* Ends the session when one of its patience limits is reached. */
static void check_limits(struct rudp_session *session, const struct rudp_context *context)
{
    uint64_t now_us = context->now_us;

    /* Silently: nothing more goes to an address that was never proven. */
    if (is_handshaking(session) &&
        now_us >= session->opened_us + context->config->connect_timeout_us)
        rudp_session_finish(session, context, RUDP_CLOSE_REASON_CONNECT_TIMEOUT, RUDP_CLOSE_SILENT);
    if (session->closing && now_us >= session->close_us + context->config->linger_us)
        rudp_session_finish(session, context, RUDP_CLOSE_REASON_LINGER, RUDP_CLOSE_TIMEOUT);
    if (now_us >= idle_deadline_us(session, context))
        rudp_session_finish(session, context, RUDP_CLOSE_REASON_IDLE, RUDP_CLOSE_TIMEOUT);
}

/* An idle session keeps only what it needs to go on. */
static void compact(struct rudp_session *session, const struct rudp_context *context)
{
    session->compact_us = RUDP_NEVER;
    if (session->loss.in_flight_count > 0)
        return;
    rudp_loss_compact(&session->loss, context->host);
    rudp_received_compact(&session->received, context->host);
    if (rudp_send_stream_queued_bytes(&session->send) == 0)
        rudp_buffer_clear(&session->send.buffer, context->host);
    if (session->recv.received.count == 0) {
        rudp_buffer_clear(&session->recv.buffer, context->host);
        rudp_ranges_clear(&session->recv.received, context->host);
        rudp_ranges_clear(&session->recv.taken, context->host);
        rudp_ranges_clear(&session->recv.starts, context->host);
    }
}

void rudp_session_advance(struct rudp_session *session, const struct rudp_context *context)
{
    uint64_t now_us = context->now_us;

    if (session->state == RUDP_SESSION_CLOSED)
        return;
    check_limits(session, context);
    if (session->state == RUDP_SESSION_CLOSED)
        return;
    check_recovery(session, context);
    if (session->state == RUDP_SESSION_CLOSED)
        return;
    if (now_us >= keepalive_deadline_us(session, context))
        on_silence(session);
    if (now_us >= session->confirm_us) {
        session->confirm_us = RUDP_NEVER;
        rudp_session_raise(session, RUDP_EVENT_UNCONFIRMED);
    }
    if (now_us >= session->hello_us) {
        session->hello_us = RUDP_NEVER;
        session->hello_due = session->state == RUDP_SESSION_HELLO_SENT;
    }
    if (now_us >= session->blocked_us) {
        session->blocked_us = RUDP_NEVER;
        session->blocked_due = true;
    }
    if (now_us >= session->credit_us) {
        session->credit_us = RUDP_NEVER;
        session->credit_due = true;
    }
    if (session->pacing_us != 0 && now_us >= session->pacing_us)
        session->pacing_us = 0;
    if (now_us >= session->memory_us) {
        session->memory_us = RUDP_NEVER;
        rudp_session_check_writable(session, context);
    }
    if (now_us >= compact_deadline_us(session))
        compact(session, context);
}
