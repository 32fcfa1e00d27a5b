/* session_send.c - what a session sends now: one packet a call, assembled from what is due. */
#include "core/session.h"

#include <string.h>

/* A round trip this short is not worth pacing. */
#define PACING_RTT_US_MIN 1000u

/* Room that a packet should have before stream bytes are put into it. */
#define DATA_BYTES_MIN 16u

/* How much longer a DATA_START's head gets when its start is known. */
#define START_BYTES_MAX 4u

/* Probe timeouts in a row before a small packet is tried too. */
#define SMALL_PROBE_COUNT 4u

#define AMPLIFICATION_FACTOR 3u /* RFC 9000 section 8.1 */

struct draft {
    struct rudp_writer writer; /* capacity leaves room for the check */
    struct rudp_sent_packet sent;
    bool eliciting;
    bool has_ack;
};

static enum rudp_packet_type packet_type(const struct rudp_session *session)
{
    if (session->state == RUDP_SESSION_ESTABLISHED)
        return RUDP_PACKET_SHORT;
    /* An opener that was called meanwhile answers, and calls on: the hello may have been forged. */
    return session->peer_id == 0 || session->hello_due ? RUDP_PACKET_HELLO : RUDP_PACKET_HELLO_ACK;
}

/* When the pacer lets the next data packet go. */
static uint64_t paced_until_us(struct rudp_session *session, const struct rudp_context *context)
{
    uint64_t rtt_us = session->loss.rtt.sample_count > 0 ? session->loss.rtt.smoothed_us : 0;

    if (rtt_us < PACING_RTT_US_MIN)
        return context->now_us;
    uint64_t bytes_per_s = rudp_cc_pacing_bytes_per_s(&session->cc, rtt_us);

    return rudp_pacer_next_us(&session->pacer, bytes_per_s, session->packet_bytes, context->now_us);
}

static bool window_is_open(const struct rudp_session *session)
{
    return session->loss.in_flight_count == 0 ||
           session->loss.in_flight_bytes + session->packet_bytes <=
               rudp_cc_window_bytes(&session->cc);
}

/* True when stream bytes may leave now. Notes when pacing holds them. */
static bool data_may_leave(struct rudp_session *session, const struct rudp_context *context)
{
    struct rudp_range range;
    bool is_resend;

    session->pacing_us = 0;
    if (!rudp_send_stream_pick(&session->send, 1, &range, &is_resend) || !window_is_open(session))
        return false;
    uint64_t next_us = paced_until_us(session, context);

    if (next_us <= context->now_us)
        return true;
    session->pacing_us = next_us;
    return false;
}

static bool fin_may_leave(const struct rudp_session *session)
{
    return session->fin_due && session->state == RUDP_SESSION_ESTABLISHED &&
           session->send.next_offset == session->send.end_offset;
}

static bool ack_is_due(const struct rudp_session *session, const struct rudp_context *context)
{
    return session->received.ack_deadline_us != 0 &&
           session->received.ack_deadline_us <= context->now_us;
}

/* Sending data without credit: ask for it, ever more slowly. */
static void watch_for_credit(struct rudp_session *session, const struct rudp_context *context)
{
    if (!rudp_send_stream_is_blocked(&session->send) || session->blocked_due ||
        session->blocked_us != RUDP_NEVER || session->loss.in_flight_count > 0)
        return;
    uint64_t wait_us = rudp_session_pto_base_us(session, context)
                       << min_u64(session->blocked_count, 10);

    session->blocked_us = context->now_us + min_u64(wait_us, context->config->rto_max_us);
    if (session->blocked_count < UINT32_MAX)
        session->blocked_count++;
}

/* Anything to say at all? */
static bool something_is_due(struct rudp_session *session, const struct rudp_context *context,
                             bool *with_data)
{
    if (session->state == RUDP_SESSION_HELLO_SENT && session->peer_id == 0) {
        *with_data = true;
        return session->hello_due;
    }
    watch_for_credit(session, context);
    *with_data = data_may_leave(session, context) || session->probe_count > 0;
    return *with_data || session->hello_due || ack_is_due(session, context) ||
           session->credit_due || session->path_response_due || session->ping_due ||
           session->blocked_due || fin_may_leave(session);
}

uint64_t rudp_session_budget_bytes(const struct rudp_session *session)
{
    if (session->state != RUDP_SESSION_ACCEPTED)
        return RUDP_NEVER;
    return sub_floor_u64(AMPLIFICATION_FACTOR * session->unproven_received_bytes,
                         session->unproven_sent_bytes);
}

/* The last probe of a timeout when those before it brought nothing: if it arrives and the large one
 * does not, the path drops large packets. */
static bool is_small_probe(const struct rudp_session *session, const struct rudp_context *context)
{
    return session->probe_count == 1 && session->loss.probe_timeout_count >= SMALL_PROBE_COUNT &&
           session->state != RUDP_SESSION_HELLO_SENT && !context->config->packet_bytes_fixed;
}

/* How large the packet may be. */
static size_t packet_limit(const struct rudp_session *session, const struct rudp_context *context,
                           size_t out_bytes)
{
    uint64_t limit_bytes = min_u64(session->packet_bytes, out_bytes);

    if (is_small_probe(session, context))
        limit_bytes = min_u64(limit_bytes, RUDP_PACKET_BYTES_MIN);
    return (size_t)min_u64(limit_bytes, rudp_session_budget_bytes(session));
}

static void write_header(struct rudp_session *session, struct draft *draft)
{
    struct rudp_header header = {
        .type = packet_type(session),
        .version = session->version,
        .destination_id = session->peer_id,
        .source_id = session->local_id,
        .packet_number = (uint32_t)session->loss.next_pn,
    };

    if (header.type == RUDP_PACKET_HELLO) {
        header.destination_id = 0;
        header.token = session->token;
        header.token_bytes = session->token_bytes;
    }
    rudp_wire_write_header(&draft->writer, &header);
}

static void write_params(const struct rudp_session *session, const struct rudp_context *context,
                         struct draft *draft)
{
    struct rudp_params params = {
        .credit_bytes = session->recv.limit_offset - session->recv_origin,
        .packet_bytes_max = RUDP_PACKET_BYTES_MAX,
        .ack_delay_us_max = context->config->ack_delay_us_max,
        .wants_starts = context->config->order == RUDP_UNORDERED,
    };

    if (rudp_wire_write_params(&draft->writer, &params))
        draft->eliciting = true;
}

static void write_ack(struct rudp_session *session, const struct rudp_context *context,
                      struct draft *draft)
{
    struct rudp_ack_frame ack;

    if (session->received.ack_deadline_us == 0 && !session->credit_due)
        return;
    if (!rudp_received_fill_ack(&session->received, &ack, context->now_us)) {
        /* Nothing that came could be kept: all there is to say is that somebody is there. */
        if (session->received.ack_deadline_us != 0 && rudp_wire_write_padding(&draft->writer, 1))
            rudp_received_on_ack_sent(&session->received);
        return;
    }
    if (rudp_wire_write_ack(&draft->writer, &ack)) {
        rudp_received_on_ack_sent(&session->received);
        draft->has_ack = true;
    }
}

static struct rudp_credit_frame credit_now(const struct rudp_session *session)
{
    /* Below the origin it is the last incarnation's messages that are unread. */
    return (struct rudp_credit_frame){
        .delivered_offset =
            sub_floor_u64(rudp_session_delivered_offset(session), session->recv_origin),
        .limit_offset = session->recv.limit_offset - session->recv_origin,
    };
}

bool rudp_session_final_credit(const struct rudp_session *session,
                               const struct rudp_context *context, struct rudp_credit_frame *credit)
{
    bool was_ended = session->closing || session->close_reason == RUDP_CLOSE_REASON_ABORTED;

    *credit = credit_now(session);
    return was_ended && context->config->order == RUDP_ORDERED;
}

static bool tell_credit(struct rudp_session *session, struct draft *draft)
{
    struct rudp_credit_frame credit = credit_now(session);

    if (!rudp_wire_write_credit(&draft->writer, &credit))
        return false;
    session->credit_told_limit = session->recv.limit_offset;
    draft->sent.content |= RUDP_SENT_CREDIT;
    draft->sent.credit_offset = rudp_session_delivered_offset(session);
    return true;
}

/* CREDIT rides with acknowledgements. One that matters by itself makes its packet eliciting. */
static void write_credit(struct rudp_session *session, struct draft *draft)
{
    if ((!draft->has_ack && !session->credit_due) || session->peer_id == 0)
        return;
    if (!tell_credit(session, draft))
        return;
    if (session->credit_due && rudp_wire_write_ping(&draft->writer)) {
        session->credit_due = false;
        draft->eliciting = true;
    }
}

static void write_control(struct rudp_session *session, struct draft *draft)
{
    struct rudp_writer *writer = &draft->writer;

    if (session->path_response_due &&
        rudp_wire_write_path_response(writer, session->path_response)) {
        session->path_response_due = false;
        draft->eliciting = true;
    }
    if (session->blocked_due &&
        rudp_wire_write_blocked(writer, session->send.limit_offset - session->send_origin)) {
        session->blocked_due = false;
        draft->eliciting = true;
    }
}

/* One range into the packet. False when there is no more room or nothing to send. */
static bool write_range(struct rudp_session *session, const struct rudp_context *context,
                        struct draft *draft)
{
    struct rudp_send_stream *send = &session->send;
    struct rudp_writer *writer = &draft->writer;
    struct rudp_range range;
    bool is_resend;
    uint8_t *room;

    if (draft->sent.range_count == RUDP_SENT_RANGES_MAX ||
        writer->capacity_bytes - writer->used_bytes < DATA_BYTES_MIN ||
        !rudp_send_stream_pick(send, writer->capacity_bytes - writer->used_bytes, &range,
                               &is_resend))
        return false;
    struct rudp_data_frame data = {.offset = range.start - session->send_origin};

    data.bytes = range.end - range.start;
    data.start_offset = data.offset;
    data.has_start = session->peer.wants_starts || context->config->order == RUDP_UNORDERED;
    size_t head_bytes = rudp_wire_data_head_bytes(&data) + (data.has_start ? START_BYTES_MAX : 0);
    uint64_t room_bytes = writer->capacity_bytes - writer->used_bytes;

    if (room_bytes <= head_bytes)
        return false;
    range.end = min_u64(range.end, range.start + room_bytes - head_bytes);
    data.bytes = range.end - range.start;
    if (data.has_start) {
        uint64_t start = rudp_send_stream_start(send, &range, is_resend);

        data.has_start = start < range.end;
        data.start_offset = start - session->send_origin;
    }
    if (!rudp_wire_write_data(writer, &data, &room))
        return false;
    rudp_buffer_read(&send->buffer, range.start, room, (size_t)data.bytes);
    rudp_send_stream_on_sent(send, &range, is_resend);
    draft->sent.ranges[draft->sent.range_count].offset = range.start;
    draft->sent.ranges[draft->sent.range_count].bytes = (uint32_t)data.bytes;
    draft->sent.range_count++;
    draft->eliciting = true;
    if (is_resend)
        session->stats.resent_bytes += data.bytes;
    return true;
}

/* FIN leaves with the newest delivery or behind its confirmation, not before: a peer that ends at
 * FIN would report what was read here as undelivered. */
static bool delivery_is_told(const struct rudp_session *session, const struct draft *draft)
{
    return (draft->sent.content & RUDP_SENT_CREDIT) != 0 ||
           rudp_session_delivered_offset(session) <= session->credit_confirmed;
}

static void write_fin(struct rudp_session *session, struct draft *draft)
{
    if (!fin_may_leave(session) || !delivery_is_told(session, draft) ||
        !rudp_wire_write_fin(&draft->writer, session->send.end_offset - session->send_origin))
        return;
    session->fin_due = false;
    session->fin_sent = true;
    draft->sent.content |= RUDP_SENT_FIN;
    draft->eliciting = true;
}

static void write_frames(struct rudp_session *session, const struct rudp_context *context,
                         struct draft *draft, bool with_data)
{
    if (packet_type(session) != RUDP_PACKET_SHORT)
        write_params(session, context, draft);
    /* FIN comes with the newest delivery, so that the peer knows what was read to the end. */
    if (fin_may_leave(session))
        session->credit_due = true;
    if (packet_type(session) != RUDP_PACKET_HELLO) { /* which is not for one peer in particular */
        write_ack(session, context, draft);
        write_credit(session, draft);
        write_control(session, draft);
    }
    if (with_data)
        while (write_range(session, context, draft))
            continue;
    write_fin(session, draft);
    if ((session->ping_due || session->probe_count > 0) && !draft->eliciting &&
        rudp_wire_write_ping(&draft->writer))
        draft->eliciting = true;
    session->ping_due = false;
}

/* Acknowledges, and nothing else: nobody waits for this packet. */
static void write_bare_ack(struct rudp_session *session, const struct rudp_context *context,
                           struct draft *draft)
{
    write_ack(session, context, draft);
    if (draft->has_ack)
        (void)tell_credit(session, draft);
}

/* Fills the packet up to packet_bytes, its check included. */
static void pad_to(struct draft *draft, uint64_t packet_bytes)
{
    uint64_t now_bytes = draft->writer.used_bytes + RUDP_WIRE_CHECK_BYTES;

    if (now_bytes < packet_bytes)
        (void)rudp_wire_write_padding(&draft->writer, (size_t)(packet_bytes - now_bytes));
}

static void finish_packet(struct rudp_session *session, const struct rudp_context *context,
                          struct draft *draft)
{
    enum rudp_packet_type type = packet_type(session);

    if (type == RUDP_PACKET_HELLO) {
        pad_to(draft, min_u64(session->packet_bytes, RUDP_PACKET_BYTES_BASE));
        session->hello_due = false;
    } else if (type == RUDP_PACKET_SHORT && draft->eliciting) {
        pad_to(draft, RUDP_WIRE_RESET_BYTES); /* a peer that lost its state may then say so */
    }
    draft->writer.capacity_bytes += RUDP_WIRE_CHECK_BYTES;
    rudp_wire_write_check(&draft->writer);

    uint32_t packet_bytes = (uint32_t)draft->writer.used_bytes;

    draft->sent.sent_us = context->now_us;
    draft->sent.packet_bytes = packet_bytes;
    rudp_loss_on_sent(&session->loss, &draft->sent, draft->eliciting);
    if (draft->eliciting && (draft->sent.content & RUDP_SENT_CREDIT))
        session->credit_in_flight = true;
    if (draft->sent.range_count > 0) {
        rudp_pacer_on_sent(&session->pacer, packet_bytes);
        session->last_active_us = context->now_us;
    }
    if (draft->eliciting && session->probe_count > 0)
        session->probe_count--;
    session->unproven_sent_bytes += packet_bytes;
    rudp_session_note_use(session, context);
    session->stats.sent_packet_count++;
    session->stats.sent_bytes += packet_bytes;
}

/* A packet of its own to the address under validation. Nobody waits for its acknowledgement: the
 * peer's next packet from there asks for another one. */
static size_t write_to_candidate(struct rudp_session *session, const struct rudp_context *context,
                                 struct rudp_path *path, uint8_t *out, size_t out_bytes)
{
    struct draft draft = {.writer = {out, 0, out_bytes - RUDP_WIRE_CHECK_BYTES}};

    write_header(session, &draft);
    /* Both fit: rudp_session_write made sure of the room. */
    if (session->challenge_due)
        (void)rudp_wire_write_path_challenge(&draft.writer, session->challenge);
    if (session->candidate_response_due)
        (void)rudp_wire_write_path_response(&draft.writer, session->candidate_response);
    session->challenge_due = false;
    session->candidate_response_due = false;
    finish_packet(session, context, &draft);
    *path = session->candidate;
    return draft.writer.used_bytes;
}

/* It waits a little for room: as a rule the peer's next packet makes some. */
static bool ack_is_overdue(const struct rudp_session *session, const struct rudp_context *context)
{
    uint64_t deadline_us = session->received.ack_deadline_us;

    return deadline_us != 0 && deadline_us + RUDP_MEMORY_WAIT_US <= context->now_us;
}

/* Room in the ledger for the next packet. Probes and acknowledgements get it without memory, too:
 * two sides that both fell silent for lack of it would not come out of it again. RUDP_E_MEMORY:
 * only for an acknowledgement. RUDP_E_FULL: none now. */
static enum rudp_status make_room(struct rudp_session *session, const struct rudp_context *context)
{
    bool overdue = ack_is_overdue(session, context);

    if (rudp_loss_reserve(&session->loss, context->host) == RUDP_OK)
        return RUDP_OK;
    session->memory_us = context->now_us + RUDP_MEMORY_WAIT_US;
    if ((overdue || session->probe_count > 0) && rudp_session_give_up_oldest(session, context))
        return RUDP_OK;
    /* What belongs to a handshake must itself be acknowledged. */
    return overdue && session->state == RUDP_SESSION_ESTABLISHED ? RUDP_E_MEMORY : RUDP_E_FULL;
}

size_t rudp_session_write(struct rudp_session *session, const struct rudp_context *context,
                          struct rudp_path *path, uint8_t *out, size_t out_bytes)
{
    bool with_data = false;

    if (session->state == RUDP_SESSION_CLOSED)
        return 0;
    bool is_due = something_is_due(session, context, &with_data);

    bool to_candidate = session->challenge_due || session->candidate_response_due;

    if (!is_due && !to_candidate)
        return 0;
    enum rudp_status room = make_room(session, context);

    if (room == RUDP_E_FULL)
        return 0;
    size_t limit_bytes = packet_limit(session, context, out_bytes);
    size_t header_bytes = RUDP_WIRE_LONG_BYTES + 4 + 1 + session->token_bytes;

    if (limit_bytes < header_bytes + 2 * DATA_BYTES_MIN + RUDP_WIRE_CHECK_BYTES)
        return 0;
    if (to_candidate)
        return write_to_candidate(session, context, path, out, limit_bytes);
    struct draft draft = {.writer = {out, 0, limit_bytes - RUDP_WIRE_CHECK_BYTES}};

    write_header(session, &draft);
    size_t empty_bytes = draft.writer.used_bytes;

    if (room == RUDP_OK)
        write_frames(session, context, &draft, with_data);
    else
        write_bare_ack(session, context, &draft);
    if (draft.writer.used_bytes == empty_bytes)
        return 0;
    finish_packet(session, context, &draft);
    *path = session->path;
    path->send_mark = session->send_mark;
    return draft.writer.used_bytes;
}

size_t rudp_session_write_close(const struct rudp_session *session,
                                const struct rudp_context *context, uint8_t *out, size_t out_bytes)
{
    struct rudp_writer writer = {out, 0, out_bytes - RUDP_WIRE_CHECK_BYTES};
    struct rudp_header header = {
        .type = RUDP_PACKET_SHORT,
        .destination_id = session->peer_id,
        .packet_number = (uint32_t)session->loss.next_pn,
    };
    struct rudp_ack_frame ack;

    if (session->close_code == RUDP_CLOSE_SILENT)
        return 0;
    rudp_wire_write_header(&writer, &header);
    if (rudp_received_fill_ack(&session->received, &ack, context->now_us)) {
        ack.range_count = (uint32_t)min_u64(ack.range_count, 3); /* the rest must fit behind it */
        (void)rudp_wire_write_ack(&writer, &ack);
    }
    struct rudp_credit_frame credit;

    if (rudp_session_final_credit(session, context, &credit))
        (void)rudp_wire_write_credit(&writer, &credit);
    if (!rudp_wire_write_close(&writer, (enum rudp_close_code)session->close_code))
        return 0;
    writer.capacity_bytes = out_bytes;
    rudp_wire_write_check(&writer);
    return writer.used_bytes;
}
