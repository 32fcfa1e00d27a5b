/* session_receive.c - one received packet of a session: checked whole first, then applied. */
#include "core/session.h"

static bool is_eliciting(enum rudp_frame_type type)
{
    return type != RUDP_FRAME_PADDING && type != RUDP_FRAME_ACK && type != RUDP_FRAME_CREDIT &&
           type != RUDP_FRAME_CLOSE;
}

/* True when the frame claims nothing that this session knows to be impossible. */
static bool frame_is_plausible(const struct rudp_session *session, const struct rudp_frame *frame)
{
    if (frame->type == RUDP_FRAME_ACK)
        return rudp_loss_ack_is_valid(&session->loss, &frame->ack);
    if (frame->type == RUDP_FRAME_CREDIT)
        return frame->credit.delivered_offset <= session->send.next_offset - session->send_origin;
    return true;
}

/* What the frames of a packet amount to. */
struct survey {
    bool eliciting;
    bool closes;
    bool tells_delivery;
};

/* Who sends a HELLO need not know anything of the session: it cannot say what became of what the
 * session sent, nor end it. */
static bool may_come_with(enum rudp_packet_type packet, enum rudp_frame_type type)
{
    return packet != RUDP_PACKET_HELLO || type == RUDP_FRAME_PADDING || type == RUDP_FRAME_PING ||
           type == RUDP_FRAME_PARAMS || type == RUDP_FRAME_DATA || type == RUDP_FRAME_DATA_START;
}

/* First pass: every frame reads and makes sense. */
static enum rudp_drop check_frames(const struct rudp_session *session,
                                   const struct rudp_header *header, struct rudp_reader frames,
                                   struct survey *survey)
{
    struct rudp_frame frame;

    *survey = (struct survey){0};
    while (frames.left_bytes > 0) {
        enum rudp_status status = rudp_wire_read_frame(&frames, &frame);

        if (status == RUDP_E_TRUNCATED)
            return RUDP_DROP_TRUNCATED;
        if (status != RUDP_OK || !may_come_with(header->type, frame.type) ||
            !frame_is_plausible(session, &frame))
            return RUDP_DROP_MALFORMED;
        survey->eliciting = survey->eliciting || is_eliciting(frame.type);
        survey->closes = survey->closes || frame.type == RUDP_FRAME_CLOSE;
        survey->tells_delivery = survey->tells_delivery || frame.type == RUDP_FRAME_CREDIT;
    }
    return RUDP_DROP_COUNT;
}

static void apply_params(struct rudp_session *session, const struct rudp_params *params)
{
    uint64_t limit_offset = session->send_origin + params->credit_bytes;

    /* The first word on it may be less than was assumed: an opener that has not read what came of
     * earlier incarnations has less room. */
    if (session->credit_known)
        limit_offset = max_u64(limit_offset, session->send.limit_offset);
    session->credit_known = true;
    session->peer = *params;
    session->send.limit_offset = limit_offset;
    rudp_session_limit_packet_bytes(session, session->packet_bytes);
}

static void apply_credit(struct rudp_session *session, const struct rudp_context *context,
                         const struct rudp_credit_frame *credit)
{
    struct rudp_send_stream *send = &session->send;
    uint64_t before_offset = send->base_offset;

    send->limit_offset =
        max_u64(send->limit_offset, add_ceil_u64(session->send_origin, credit->limit_offset));
    /* An older incarnation of this CREDIT may come late: on_delivered ignores what is known. */
    rudp_send_stream_on_delivered(send, context->host,
                                  session->send_origin + credit->delivered_offset);
    if (send->base_offset > before_offset) {
        session->stalled_us = RUDP_NEVER;
        session->undelivered_ask_shift = 0;
    }
    if (!rudp_send_stream_is_blocked(send)) {
        session->blocked_count = 0;
        session->blocked_us = RUDP_NEVER;
        session->blocked_due = false;
    }
}

static enum rudp_drop apply_data(struct rudp_session *session, const struct rudp_context *context,
                                 const struct rudp_data_frame *data)
{
    uint64_t start = RUDP_NEVER;

    if (data->offset > RUDP_WIRE_VARINT_MAX - data->bytes)
        return RUDP_DROP_MALFORMED;
    if (data->has_start)
        start = session->recv_origin + data->start_offset;
    enum rudp_status status =
        rudp_recv_stream_write(&session->recv, context->host, session->recv_origin + data->offset,
                               data->data, data->bytes, start);

    switch (status) {
    case RUDP_OK:
        rudp_session_note_use(session, context);
        return RUDP_DROP_COUNT;
    case RUDP_E_INVALID:
        return RUDP_DROP_CREDIT;
    case RUDP_E_LIMIT:
        return RUDP_DROP_RANGES;
    default:
        return RUDP_DROP_MEMORY;
    }
}

/* is_exact: the peer's last word on what it delivered is known. */
static void apply_close(struct rudp_session *session, const struct rudp_context *context,
                        enum rudp_close_code code, bool is_exact)
{
    enum rudp_close_reason reason =
        code == RUDP_CLOSE_FINISHED ? RUDP_CLOSE_REASON_PEER : RUDP_CLOSE_REASON_PEER_ABORTED;

    if (rudp_session_reopen(session, context, RUDP_CLOSE_SILENT, is_exact))
        return;
    /* A finished peer has received all that came before our FIN (docs/protocol.md section 7). */
    if (code == RUDP_CLOSE_FINISHED && session->fin_sent) {
        rudp_session_finish(session, context, RUDP_CLOSE_REASON_LOCAL, RUDP_CLOSE_SILENT);
        session->undelivered_bytes = 0;
        return;
    }
    rudp_session_finish(session, context, reason, RUDP_CLOSE_SILENT);
}

static enum rudp_drop apply_frame(struct rudp_session *session, const struct rudp_context *context,
                                  const struct rudp_frame *frame, const struct survey *survey)
{
    switch (frame->type) {
    case RUDP_FRAME_PADDING:
    case RUDP_FRAME_PING:
        return RUDP_DROP_COUNT;
    case RUDP_FRAME_BLOCKED:
        if (session->closing)
            rudp_session_discard(session, context);
        session->credit_due = true;
        return RUDP_DROP_COUNT;
    case RUDP_FRAME_PARAMS:
        apply_params(session, &frame->params);
        return RUDP_DROP_COUNT;
    case RUDP_FRAME_ACK:
        rudp_session_on_ack(session, context, &frame->ack);
        return RUDP_DROP_COUNT;
    case RUDP_FRAME_CREDIT:
        apply_credit(session, context, &frame->credit);
        return RUDP_DROP_COUNT;
    case RUDP_FRAME_DATA:
    case RUDP_FRAME_DATA_START:
        return apply_data(session, context, &frame->data);
    case RUDP_FRAME_FIN:
        if (rudp_recv_stream_finish(&session->recv, session->recv_origin + frame->final_offset) !=
            RUDP_OK)
            return RUDP_DROP_MALFORMED;
        return RUDP_DROP_COUNT;
    case RUDP_FRAME_CLOSE:
        apply_close(session, context, frame->close_code,
                    frame->close_code != RUDP_CLOSE_PROTOCOL &&
                        (survey->tells_delivery || session->recv.final_offset != RUDP_NEVER));
        return RUDP_DROP_COUNT;
    case RUDP_FRAME_PATH_CHALLENGE:
        session->path_response = frame->path_value;
        session->path_response_due = true;
        return RUDP_DROP_COUNT;
    case RUDP_FRAME_PATH_RESPONSE:
        return RUDP_DROP_COUNT; /* only one from a new address means something */
    }
    return RUDP_DROP_MALFORMED;
}

/* Second pass. Stops when the session ends or a frame cannot be kept: then the packet is not
 * acknowledged and comes again; what was applied of it before is harmless to apply twice. */
static enum rudp_drop apply_frames(struct rudp_session *session, const struct rudp_context *context,
                                   struct rudp_reader frames, const struct survey *survey)
{
    struct rudp_frame frame;

    while (frames.left_bytes > 0 && session->state != RUDP_SESSION_CLOSED && !session->reopen_due) {
        if (rudp_wire_read_frame(&frames, &frame) != RUDP_OK)
            return RUDP_DROP_MALFORMED;
        enum rudp_drop drop = apply_frame(session, context, &frame, survey);

        if (drop != RUDP_DROP_COUNT)
            return drop;
    }
    return RUDP_DROP_COUNT;
}

/* Both called at once, and the peer that called gave up and answers as a new one: its numbers and
 * its stream begin anew. */
static bool is_from_another_peer(const struct rudp_session *session,
                                 const struct rudp_header *header)
{
    return header->type == RUDP_PACKET_HELLO_ACK && session->state == RUDP_SESSION_HELLO_SENT &&
           session->peer_id != 0 && session->peer_id != header->source_id;
}

/* True when the packet's ids and type fit the session's state; learns the peer's id. */
static bool accept_header(struct rudp_session *session, const struct rudp_context *context,
                          const struct rudp_header *header, const struct survey *survey)
{
    switch (header->type) {
    case RUDP_PACKET_HELLO: /* of a peer that was not answered yet, or calls at the same time */
        if (session->peer_id == 0) {
            session->peer_id = header->source_id;
            session->hello_due = false;
        }
        return session->peer_id == header->source_id;
    case RUDP_PACKET_HELLO_ACK:
        if (is_from_another_peer(session, header)) {
            session->credit_known = false; /* it was the caller's */
            rudp_session_raise(session, RUDP_EVENT_PEER_RESTARTED);
        }
        if (session->state == RUDP_SESSION_HELLO_SENT)
            session->peer_id = header->source_id; /* it knows our id: better than a hello */
        if (session->peer_id != header->source_id)
            return false;
        break;
    case RUDP_PACKET_SHORT:
        if (session->peer_id == 0) /* a peer that ended before it answered */
            return survey->closes;
        break;
    default:
        return false;
    }
    rudp_session_establish(session, context);
    return true;
}

/* What a packet that took effect sets in motion. */
static void after_packet(struct rudp_session *session, const struct rudp_context *context)
{
    rudp_session_check_readable(session, context);
    rudp_session_check_writable(session, context);
    if (session->state != RUDP_SESSION_CLOSED && rudp_recv_stream_is_complete(&session->recv) &&
        !rudp_session_reopen(session, context, RUDP_CLOSE_FINISHED, true)) {
        enum rudp_close_reason reason =
            session->closing ? RUDP_CLOSE_REASON_LOCAL : RUDP_CLOSE_REASON_PEER;

        rudp_session_finish(session, context, reason, RUDP_CLOSE_FINISHED);
    }
}

/* A peer that hears nothing would take this side for dead, which only lacks memory. */
static void after_drop(struct rudp_session *session, const struct rudp_context *context,
                       enum rudp_drop drop, uint64_t ack_delay_us)
{
    if (drop == RUDP_DROP_MEMORY || drop == RUDP_DROP_RANGES)
        rudp_received_on_dropped(&session->received, ack_delay_us, context->now_us);
    rudp_session_check_writable(session, context); /* credit in front of what was dropped */
}

enum rudp_drop rudp_session_receive(struct rudp_session *session,
                                    const struct rudp_context *context,
                                    const struct rudp_header *header,
                                    const struct rudp_reader *frames, size_t packet_bytes)
{
    if (is_from_another_peer(session, header))
        rudp_session_restart_receiving(session, context);
    uint64_t packet_number = rudp_wire_expand_packet_number(
        header->packet_number, rudp_received_next_pn(&session->received));
    struct survey survey;

    session->unproven_received_bytes += packet_bytes;
    if (rudp_received_is_duplicate(&session->received, packet_number))
        return RUDP_DROP_DUPLICATE;
    enum rudp_drop drop = check_frames(session, header, *frames, &survey);

    if (drop != RUDP_DROP_COUNT)
        return drop;
    if (rudp_received_reserve(&session->received, context->host) != RUDP_OK)
        return RUDP_DROP_MEMORY;
    if (!accept_header(session, context, header, &survey))
        return RUDP_DROP_UNEXPECTED;
    session->last_received_us = context->now_us;
    session->mark = context->mark;
    session->unanswered_count = 0;
    session->stats.received_packet_count++;
    session->stats.received_bytes += packet_bytes;
    /* A handshake packet is answered at once: the peer waits for it. */
    uint64_t ack_delay_us =
        header->type == RUDP_PACKET_SHORT ? context->config->ack_delay_us_max : 0;

    drop = apply_frames(session, context, *frames, &survey);
    if (drop != RUDP_DROP_COUNT) {
        after_drop(session, context, drop, ack_delay_us);
        return drop;
    }
    if (survey.eliciting)
        session->last_active_us = context->now_us;
    enum rudp_status status = rudp_received_add(&session->received, context->host, packet_number,
                                                survey.eliciting, ack_delay_us, context->now_us);

    RUDP_ASSERT(status == RUDP_OK);
    rudp_session_note_use(session, context);
    after_packet(session, context);
    return RUDP_DROP_COUNT;
}

enum rudp_drop rudp_session_receive_retry(struct rudp_session *session,
                                          const struct rudp_context *context,
                                          const struct rudp_header *header)
{
    enum {
        RETRY_COUNT_MAX = 3 /* answered at once */
    };

    /* A hello that came meanwhile may have been forged, and proves nothing. */
    if (session->state != RUDP_SESSION_HELLO_SENT)
        return RUDP_DROP_UNEXPECTED;
    session->token_bytes = header->token_bytes;
    for (uint8_t i = 0; i < header->token_bytes; i++)
        session->token[i] = header->token[i];
    /* A peer that is never content is not answered at once for ever; one that restarts again and
     * again gets its token with the next hello. */
    if (session->retry_count == RETRY_COUNT_MAX)
        return RUDP_DROP_COUNT;
    session->retry_count++;
    rudp_session_lose_all(session, context);
    session->loss.probe_timeout_count = 0;
    session->hello_due = true;
    return RUDP_DROP_COUNT;
}

/* Finds the first frame of a type. False when there is none. */
static bool find_frame(struct rudp_reader frames, enum rudp_frame_type type,
                       struct rudp_frame *frame)
{
    while (frames.left_bytes > 0 && rudp_wire_read_frame(&frames, frame) == RUDP_OK)
        if (frame->type == type)
            return true;
    return false;
}

/* Takes path for the new address to validate, and answers a challenge that came from it: the peer
 * may be validating our new address at the same time. */
static void try_candidate(struct rudp_session *session, const struct rudp_context *context,
                          const struct rudp_path *path, const struct rudp_reader *frames)
{
    struct rudp_frame frame;

    if (session->challenge == 0 || !rudp_address_equal(&session->candidate.remote, &path->remote)) {
        session->candidate = *path;
        session->challenge = rudp_random_u64(context->host) | 1;
    }
    if (find_frame(*frames, RUDP_FRAME_PATH_CHALLENGE, &frame)) {
        session->candidate_response = frame.path_value;
        session->candidate_response_due = true;
    }
    if (context->now_us < session->challenge_us)
        return;
    session->challenge_due = true;
    session->challenge_us = context->now_us + rudp_session_pto_base_us(session, context);
}

enum rudp_drop rudp_session_receive_elsewhere(struct rudp_session *session,
                                              const struct rudp_context *context,
                                              const struct rudp_path *path,
                                              const struct rudp_header *header,
                                              const struct rudp_reader *frames, size_t packet_bytes)
{
    struct survey survey;
    struct rudp_frame frame;
    uint64_t next_pn = rudp_received_next_pn(&session->received);
    uint64_t packet_number = rudp_wire_expand_packet_number(header->packet_number, next_pn);

    if (session->state != RUDP_SESSION_ESTABLISHED || header->type != RUDP_PACKET_SHORT ||
        rudp_received_is_duplicate(&session->received, packet_number))
        return RUDP_DROP_WRONG_ADDRESS;
    /* A peer that is gone answers no challenge, and its last word is as good from anywhere: only
     * the peer knows the id. */
    if (check_frames(session, header, *frames, &survey) == RUDP_DROP_COUNT && survey.closes)
        return rudp_session_receive(session, context, header, frames, packet_bytes);
    bool is_candidate =
        session->challenge != 0 && rudp_address_equal(&session->candidate.remote, &path->remote);

    if (is_candidate && find_frame(*frames, RUDP_FRAME_PATH_RESPONSE, &frame) &&
        frame.path_value == session->challenge) {
        session->path = *path;
        session->challenge = 0;
        session->challenge_due = false;
        rudp_session_raise(session, RUDP_EVENT_MOVED);
        return RUDP_DROP_COUNT;
    }
    if (packet_number >= next_pn)
        try_candidate(session, context, path, frames);
    return RUDP_DROP_WRONG_ADDRESS;
}
