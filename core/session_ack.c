/* session_ack.c - what acknowledgements and losses mean for the streams and for congestion control.
 */
#include "core/session.h"

/* RFC 8899 section 4.3 (black hole detection), with a count that 40 % loss does not reach. */
#define BLACK_HOLE_LOST_COUNT 24u

/* So many of them count at once: an outage loses a whole window, and says nothing about size. */
#define BLACK_HOLE_AT_ONCE_MAX 12u

struct fate {
    struct rudp_session *session;
    const struct rudp_context *context;
    uint32_t large_lost_count; /* at once */
};

/* Only losses with no success behind them tell of a black hole: a burst that overflowed a queue is
 * declared lost when what came after it is acknowledged. */
static void note_large_lost(struct fate *fate, const struct rudp_sent_packet *packet)
{
    struct rudp_session *session = fate->session;

    if (packet->packet_bytes <= RUDP_PACKET_BYTES_MIN ||
        packet->sent_us <= session->large_acked_sent_us)
        return;
    if (fate->context->config->packet_bytes_fixed || session->packet_bytes == RUDP_PACKET_BYTES_MIN)
        return;
    if (fate->large_lost_count == BLACK_HOLE_AT_ONCE_MAX)
        return;
    fate->large_lost_count++;
    if (++session->large_lost_count < BLACK_HOLE_LOST_COUNT)
        return;
    bool above_base = session->packet_bytes > RUDP_PACKET_BYTES_BASE;

    rudp_session_limit_packet_bytes(session,
                                    above_base ? RUDP_PACKET_BYTES_BASE : RUDP_PACKET_BYTES_MIN);
}

static void on_acked(void *pointer, const struct rudp_sent_packet *packet, bool spurious)
{
    struct fate *fate = pointer;
    struct rudp_session *session = fate->session;

    if (spurious)
        session->stats.spurious_packet_count++;
    if (packet->packet_bytes > RUDP_PACKET_BYTES_MIN) {
        session->large_lost_count = 0;
        session->large_acked_sent_us = max_u64(session->large_acked_sent_us, packet->sent_us);
    }
    if (packet->range_count > 0)
        session->close_us = fate->context->now_us;
    for (uint8_t i = 0; i < packet->range_count; i++) {
        struct rudp_range range = {packet->ranges[i].offset,
                                   packet->ranges[i].offset + packet->ranges[i].bytes};

        rudp_send_stream_on_acked(&session->send, fate->context->host, &range);
    }
    if (packet->content & RUDP_SENT_FIN) {
        session->fin_acked = true;
        session->fin_due = false;
    }
    if (packet->content & RUDP_SENT_CREDIT) {
        session->credit_in_flight = false;
        session->credit_confirmed = max_u64(session->credit_confirmed, packet->credit_offset);
    }
}

/* What the packet carried is to be sent again. */
static void on_given_up(void *pointer, const struct rudp_sent_packet *packet)
{
    struct fate *fate = pointer;
    struct rudp_session *session = fate->session;

    for (uint8_t i = 0; i < packet->range_count; i++) {
        struct rudp_range range = {packet->ranges[i].offset,
                                   packet->ranges[i].offset + packet->ranges[i].bytes};

        rudp_send_stream_on_lost(&session->send, fate->context->host, &range);
    }
    if ((packet->content & RUDP_SENT_FIN) && !session->fin_acked)
        session->fin_due = true;
    if (packet->content & RUDP_SENT_CREDIT) {
        session->credit_in_flight = false;
        /* A later one may have arrived: resending each lost one would never end on a lossy path. */
        if (session->credit_confirmed < rudp_session_delivered_offset(session))
            session->credit_due = true;
    }
}

static void on_lost(void *pointer, const struct rudp_sent_packet *packet)
{
    struct fate *fate = pointer;

    fate->session->stats.lost_packet_count++;
    note_large_lost(fate, packet);
    on_given_up(pointer, packet);
}

static struct rudp_loss_handler handler_for(struct fate *fate)
{
    return (struct rudp_loss_handler){fate, on_acked, on_lost};
}

static void tell_congestion_control_of_loss(struct rudp_session *session,
                                            const struct rudp_context *context,
                                            const struct rudp_loss_result *result)
{
    if (result->event_undone)
        rudp_cc_on_spurious_loss(&session->cc);
    if (result->lost_count == 0)
        return;
    struct rudp_cc_loss loss = {
        .now_us = context->now_us,
        .lost_bytes = result->lost_bytes,
        .largest_lost_sent_us = result->largest_lost_sent_us,
        .in_flight_bytes = session->loss.in_flight_bytes,
    };

    rudp_cc_on_loss(&session->cc, &loss);
    if (result->persistent_congestion)
        rudp_cc_on_persistent_congestion(&session->cc);
}

static void tell_congestion_control_of_ack(struct rudp_session *session,
                                           const struct rudp_context *context,
                                           const struct rudp_ack_frame *frame,
                                           const struct rudp_loss_result *result,
                                           uint64_t in_flight_before_bytes)
{
    if (result->acked_bytes == 0)
        return;
    /* The window counts as used from half of it on: bursts and pacing leave gaps. */
    bool app_limited = in_flight_before_bytes * 2 < rudp_cc_window_bytes(&session->cc);
    struct rudp_cc_ack ack = {
        .now_us = context->now_us,
        .acked_bytes = result->acked_bytes,
        .largest_acked_pn = frame->ranges[0].largest,
        .largest_acked_sent_us = result->largest_acked_sent_us,
        .next_pn = session->loss.next_pn,
        .latest_rtt_us = result->rtt_us == RUDP_NEVER ? 0 : result->rtt_us,
        .smoothed_rtt_us = session->loss.rtt.smoothed_us,
        .in_flight_bytes = session->loss.in_flight_bytes,
        .app_limited = app_limited,
    };

    rudp_cc_on_ack(&session->cc, &ack);
}

static void after_ack(struct rudp_session *session, const struct rudp_context *context)
{
    if (session->closing && session->fin_acked && rudp_send_stream_is_acked(&session->send))
        rudp_session_finish(session, context, RUDP_CLOSE_REASON_LOCAL, RUDP_CLOSE_FINISHED);
}

void rudp_session_on_ack(struct rudp_session *session, const struct rudp_context *context,
                         const struct rudp_ack_frame *ack)
{
    struct fate fate = {.session = session, .context = context};
    struct rudp_loss_handler handler = handler_for(&fate);
    struct rudp_loss_result result;
    uint64_t before_bytes = session->loss.in_flight_bytes;
    /* The delay is not cut to the peer's maximum, as RFC 9002 section 5.3 would: an acknowledgement
     * that was lost comes again much later with its true delay, and cutting that turned 0.3 ms
     * round trips into 20 ms. The estimator keeps the result at or above the lowest round trip
     * seen. */
    rudp_loss_on_ack(&session->loss, context->host, ack, rudp_session_pto_base_us(session, context),
                     context->now_us, &handler, &result);
    tell_congestion_control_of_ack(session, context, ack, &result, before_bytes);
    tell_congestion_control_of_loss(session, context, &result);
    after_ack(session, context);
}

void rudp_session_on_loss_timer(struct rudp_session *session, const struct rudp_context *context)
{
    struct fate fate = {.session = session, .context = context};
    struct rudp_loss_handler handler = handler_for(&fate);
    struct rudp_loss_result result = {.rtt_us = RUDP_NEVER};

    rudp_loss_detect(&session->loss, rudp_session_pto_base_us(session, context), context->now_us,
                     &handler, &result);
    tell_congestion_control_of_loss(session, context, &result);
}

void rudp_session_lose_all(struct rudp_session *session, const struct rudp_context *context)
{
    struct fate fate = {.session = session, .context = context};
    struct rudp_loss_handler handler = handler_for(&fate);

    rudp_loss_all(&session->loss, &handler);
}

bool rudp_session_give_up_oldest(struct rudp_session *session, const struct rudp_context *context)
{
    struct fate fate = {.session = session, .context = context};
    struct rudp_loss_handler handler = {&fate, on_acked, on_given_up};

    return rudp_loss_give_up_oldest(&session->loss, &handler);
}

void rudp_session_requeue_oldest(struct rudp_session *session, const struct rudp_context *context)
{
    const struct rudp_sent_packet *packet = rudp_loss_oldest(&session->loss);

    if (packet == NULL)
        return;
    for (uint8_t i = 0; i < packet->range_count; i++) {
        struct rudp_range range = {packet->ranges[i].offset,
                                   packet->ranges[i].offset + packet->ranges[i].bytes};

        rudp_send_stream_on_lost(&session->send, context->host, &range);
    }
    if ((packet->content & RUDP_SENT_FIN) && !session->fin_acked)
        session->fin_due = true;
    if (packet->content & RUDP_SENT_CREDIT)
        session->credit_due = true;
}
