/* endpoint_receive.c - whose packet is it: finds or makes the session, answers strangers. */
#include "core/endpoint_state.h"

/* Enough budget for an address that a cookie has proven. */
#define PROVEN_BYTES (UINT64_C(1) << 40)

struct arrival {
    const struct rudp_path *path;
    const struct rudp_header *header;
    const struct rudp_reader *frames;
    size_t packet_bytes;
};

/* Sends an answer that needs no session, when there is room for it. */
static void reply(struct rudp_endpoint *endpoint, const struct rudp_path *path,
                  const struct rudp_header *header)
{
    struct rudp_reply *slot = rudp_replies_reserve(&endpoint->replies, &endpoint->host);

    if (slot == NULL) {
        endpoint->dropped_count[RUDP_DROP_REPLY_LIMIT]++;
        return;
    }
    struct rudp_writer writer = {slot->packet, 0, sizeof slot->packet};

    rudp_wire_write_header(&writer, header);
    rudp_wire_write_check(&writer);
    slot->path = *path;
    slot->packet_bytes = (uint8_t)writer.used_bytes;
    rudp_replies_commit(&endpoint->replies);
}

static void reply_version(struct rudp_endpoint *endpoint, const struct arrival *arrival)
{
    struct rudp_header header = {
        .type = RUDP_PACKET_VERSION,
        .destination_id = arrival->header->source_id,
        .version_count = 1,
        .versions = {RUDP_WIRE_VERSION},
    };

    reply(endpoint, arrival->path, &header);
}

static void reply_retry(struct rudp_endpoint *endpoint, const struct arrival *arrival,
                        uint64_t now_us)
{
    uint8_t token[RUDP_COOKIE_BYTES];
    struct rudp_header header = {
        .type = RUDP_PACKET_RETRY,
        .version = RUDP_WIRE_VERSION,
        .destination_id = arrival->header->source_id,
        .token = token,
        .token_bytes = sizeof token,
    };

    rudp_cookie_make(&endpoint->cookie_key, &arrival->path->remote, arrival->header->source_id,
                     now_us, token);
    reply(endpoint, arrival->path, &header);
}

/* Only to a packet at least as long as the answer, so that two ends that know nothing of each
 * other cannot keep a loop going and nobody is flooded through us. */
static void reply_reset(struct rudp_endpoint *endpoint, const struct arrival *arrival)
{
    struct rudp_header header = {
        .type = RUDP_PACKET_RESET,
        .version = RUDP_WIRE_VERSION,
        .source_id = arrival->header->destination_id,
    };

    if (arrival->packet_bytes >= RUDP_WIRE_RESET_BYTES)
        reply(endpoint, arrival->path, &header);
}

static bool carries_close(struct rudp_reader frames)
{
    struct rudp_frame frame;

    while (frames.left_bytes > 0 && rudp_wire_read_frame(&frames, &frame) == RUDP_OK)
        if (frame.type == RUDP_FRAME_CLOSE)
            return true;
    return false;
}

/* To where the packet came from: a peer behind a new address has no other way to learn of it. */
static void reply_close(struct rudp_endpoint *endpoint, struct rudp_tombstone *tombstone,
                        const struct arrival *arrival)
{
    if (carries_close(*arrival->frames))
        return;
    struct rudp_reply *slot = rudp_replies_reserve(&endpoint->replies, &endpoint->host);

    if (slot == NULL) {
        endpoint->dropped_count[RUDP_DROP_REPLY_LIMIT]++;
        return;
    }
    slot->path = *arrival->path;
    slot->packet_bytes =
        (uint8_t)rudp_tombstone_write(tombstone, slot->packet, sizeof slot->packet);
    rudp_replies_commit(&endpoint->replies);
}

/* Hands a packet to its session and puts the session where it then belongs. */
static enum rudp_drop deliver(struct rudp_endpoint *endpoint, struct rudp_session *session,
                              const struct rudp_context *context, const struct arrival *arrival)
{
    endpoint_touch(endpoint, session);
    enum rudp_drop drop = rudp_session_receive(session, context, arrival->header, arrival->frames,
                                               arrival->packet_bytes);

    if (drop == RUDP_DROP_COUNT)
        session->path.local = arrival->path->local;
    endpoint_update(endpoint, session, context);
    return drop;
}

/* What a hello from an address means for a session that exists with it. */
enum hello_relation {
    HELLO_SAME,  /* repeated, or both called at once: part of that session */
    HELLO_OTHER, /* another incarnation of the peer, which would end that session */
    HELLO_BESIDE /* that session is ending anyway */
};

static enum hello_relation relate(const struct rudp_session *session, uint64_t source_id)
{
    if (session->peer_id == source_id)
        return HELLO_SAME;
    if (session->state == RUDP_SESSION_HELLO_SENT && session->peer_id == 0)
        return HELLO_SAME;
    return session->closing || session->recv.final_offset != RUDP_NEVER ? HELLO_BESIDE
                                                                        : HELLO_OTHER;
}

/* The session that the hello belongs to or would replace. */
static struct rudp_session *find_related(struct rudp_endpoint *endpoint,
                                         const struct arrival *arrival,
                                         enum hello_relation *relation)
{
    struct rudp_session *other = NULL;
    struct rudp_session *session = endpoint_find_address(endpoint, &arrival->path->remote);

    *relation = HELLO_BESIDE;
    for (; session != NULL; session = endpoint_find_next(session)) {
        enum hello_relation found = relate(session, arrival->header->source_id);

        if (found == HELLO_SAME) {
            *relation = HELLO_SAME;
            return session;
        }
        if (found == HELLO_OTHER) {
            *relation = HELLO_OTHER;
            other = session;
        }
    }
    return other;
}

static enum rudp_drop accept_new(struct rudp_endpoint *endpoint, const struct rudp_context *context,
                                 const struct arrival *arrival, bool proven)
{
    struct rudp_session *session;
    enum rudp_status status = endpoint_add(endpoint, context, arrival->path, false, &session);

    if (status != RUDP_OK)
        return status == RUDP_E_LIMIT ? RUDP_DROP_SESSION_LIMIT : RUDP_DROP_MEMORY;
    endpoint_touch(endpoint, session);
    session->peer_id = arrival->header->source_id;
    if (proven)
        session->unproven_received_bytes = PROVEN_BYTES;
    rudp_session_raise(session, RUDP_EVENT_OPENED);
    enum rudp_drop drop = rudp_session_receive(session, context, arrival->header, arrival->frames,
                                               arrival->packet_bytes);

    if (drop != RUDP_DROP_COUNT) /* nobody was told of it yet */
        endpoint_remove(endpoint, session, context);
    else
        endpoint_update(endpoint, session, context);
    return drop;
}

/* The peer started again, proven by its token: the old incarnation ends (section 4, "Restart"). */
static enum rudp_drop replace(struct rudp_endpoint *endpoint, const struct rudp_context *context,
                              struct rudp_session *old, const struct arrival *arrival)
{
    endpoint_touch(endpoint, old);
    if (old->opener) {
        endpoint_restart(endpoint, old, context);
        return deliver(endpoint, old, context, arrival);
    }
    rudp_session_finish(old, context, RUDP_CLOSE_REASON_PEER_RESTARTED, RUDP_CLOSE_SILENT);
    endpoint_update(endpoint, old, context);
    return accept_new(endpoint, context, arrival, true);
}

static enum rudp_drop receive_hello(struct rudp_endpoint *endpoint,
                                    const struct rudp_context *context,
                                    const struct arrival *arrival)
{
    const struct rudp_header *header = arrival->header;
    enum hello_relation relation;

    if (endpoint_find_id(endpoint, header->source_id) != NULL)
        return RUDP_DROP_UNEXPECTED; /* our own, thrown back: no session with oneself */
    struct rudp_session *related = find_related(endpoint, arrival, &relation);

    if (relation == HELLO_SAME && related->peer_id == header->source_id)
        return deliver(endpoint, related, context, arrival);
    struct rudp_tombstone *tombstone =
        rudp_tombstones_find_peer(&endpoint->tombstones, header->source_id, &arrival->path->remote);

    if (tombstone != NULL) {
        if (!tombstone->resets)
            reply_close(endpoint, tombstone, arrival);
        return RUDP_DROP_DUPLICATE;
    }
    if (relation == HELLO_SAME) /* both call, and it is no late hello of an earlier session's */
        return deliver(endpoint, related, context, arrival);
    if (!endpoint->accepting)
        return RUDP_DROP_REFUSED;
    bool proven =
        rudp_cookie_is_valid(&endpoint->cookie_key, &arrival->path->remote, header->source_id,
                             context->now_us, header->token, header->token_bytes);
    bool must_prove = relation == HELLO_OTHER ||
                      endpoint->half_open_count >= endpoint->config.half_open_count_max;

    if (must_prove && !proven) {
        reply_retry(endpoint, arrival, context->now_us);
        return RUDP_DROP_TOKEN;
    }
    if (relation == HELLO_OTHER)
        return replace(endpoint, context, related, arrival);
    return accept_new(endpoint, context, arrival, proven);
}

/* A packet of ours that came back, as from an echo service: it names the peer's id. A RESET for it
 * would come back too, and end the session that sent it. */
static bool is_thrown_back(const struct rudp_endpoint *endpoint, const struct arrival *arrival)
{
    const struct rudp_session *session = endpoint_find_address(endpoint, &arrival->path->remote);

    while (session != NULL && session->peer_id != arrival->header->destination_id)
        session = endpoint_find_next(session);
    return session != NULL;
}

/* A packet that carries an id of ours. */
static enum rudp_drop receive_with_id(struct rudp_endpoint *endpoint,
                                      const struct rudp_context *context,
                                      const struct arrival *arrival)
{
    const struct rudp_header *header = arrival->header;
    struct rudp_session *session = endpoint_find_id(endpoint, header->destination_id);

    if (session == NULL) {
        struct rudp_tombstone *tombstone =
            rudp_tombstones_find(&endpoint->tombstones, header->destination_id);

        if (tombstone != NULL && !tombstone->resets)
            reply_close(endpoint, tombstone, arrival);
        else if (header->type == RUDP_PACKET_SHORT && !is_thrown_back(endpoint, arrival))
            reply_reset(endpoint, arrival);
        return RUDP_DROP_UNKNOWN_ID;
    }
    if (rudp_address_equal(&session->path.remote, &arrival->path->remote))
        return deliver(endpoint, session, context, arrival);
    endpoint_touch(endpoint, session);
    enum rudp_drop drop = rudp_session_receive_elsewhere(session, context, arrival->path, header,
                                                         arrival->frames, arrival->packet_bytes);

    if (drop == RUDP_DROP_COUNT && session->state != RUDP_SESSION_CLOSED)
        endpoint_rehash(endpoint, session);
    endpoint_update(endpoint, session, context);
    return drop;
}

/* RETRY and VERSION: answers to a hello of ours. */
static enum rudp_drop receive_answer(struct rudp_endpoint *endpoint,
                                     const struct rudp_context *context,
                                     const struct arrival *arrival)
{
    const struct rudp_header *header = arrival->header;
    struct rudp_session *session = endpoint_find_id(endpoint, header->destination_id);
    enum rudp_drop drop = RUDP_DROP_UNEXPECTED;

    if (session == NULL)
        return RUDP_DROP_UNKNOWN_ID;
    if (!rudp_address_equal(&session->path.remote, &arrival->path->remote))
        return RUDP_DROP_WRONG_ADDRESS;
    endpoint_touch(endpoint, session);
    if (header->type == RUDP_PACKET_RETRY) {
        drop = rudp_session_receive_retry(session, context, header);
    } else if (session->state == RUDP_SESSION_HELLO_SENT && session->peer_id == 0) {
        /* A list with our version in it cannot be an answer to our hello. */
        for (uint8_t i = 0; i < header->version_count; i++)
            if (header->versions[i] == RUDP_WIRE_VERSION)
                return RUDP_DROP_UNEXPECTED;
        rudp_session_finish(session, context, RUDP_CLOSE_REASON_VERSION, RUDP_CLOSE_SILENT);
        drop = RUDP_DROP_COUNT;
    }
    endpoint_update(endpoint, session, context);
    return drop;
}

static enum rudp_drop receive_reset(struct rudp_endpoint *endpoint,
                                    const struct rudp_context *context,
                                    const struct arrival *arrival)
{
    struct rudp_session *session = endpoint_find_address(endpoint, &arrival->path->remote);

    while (session != NULL && session->peer_id != arrival->header->source_id)
        session = endpoint_find_next(session);
    if (session == NULL)
        return RUDP_DROP_UNKNOWN_ID;
    endpoint_touch(endpoint, session);
    if (session->opener && rudp_session_may_restart(session, context))
        endpoint_restart(endpoint, session, context);
    else
        rudp_session_finish(session, context, RUDP_CLOSE_REASON_PEER_RESTARTED, RUDP_CLOSE_SILENT);
    endpoint_update(endpoint, session, context);
    return RUDP_DROP_COUNT;
}

static enum rudp_drop receive_packet(struct rudp_endpoint *endpoint,
                                     const struct rudp_context *context,
                                     const struct arrival *arrival)
{
    const struct rudp_header *header = arrival->header;

    if (header->type != RUDP_PACKET_SHORT && header->type != RUDP_PACKET_VERSION &&
        header->version != RUDP_WIRE_VERSION) {
        if (header->type == RUDP_PACKET_HELLO && endpoint->accepting)
            reply_version(endpoint, arrival);
        return RUDP_DROP_VERSION;
    }
    switch (header->type) {
    case RUDP_PACKET_HELLO:
        return receive_hello(endpoint, context, arrival);
    case RUDP_PACKET_HELLO_ACK:
    case RUDP_PACKET_SHORT:
        return receive_with_id(endpoint, context, arrival);
    case RUDP_PACKET_RETRY:
    case RUDP_PACKET_VERSION:
        return receive_answer(endpoint, context, arrival);
    case RUDP_PACKET_RESET:
        return receive_reset(endpoint, context, arrival);
    }
    return RUDP_DROP_MALFORMED;
}

/* Why a packet that does not read is dropped; RUDP_DROP_FOREIGN: it may be a datagram of the
 * program's. The short form is too common a first byte (ASCII letters) to claim without a known
 * id. */
static enum rudp_drop judge_unreadable(const struct rudp_endpoint *endpoint, const uint8_t *packet,
                                       enum rudp_status status, const struct rudp_header *header)
{
    if (status == RUDP_E_FOREIGN)
        return RUDP_DROP_FOREIGN;
    if ((packet[0] & 0xc0) == 0x40 &&
        (status != RUDP_E_CHECK || endpoint_find_id(endpoint, header->destination_id) == NULL))
        return RUDP_DROP_FOREIGN;
    switch (status) {
    case RUDP_E_CHECK:
        return RUDP_DROP_CHECK;
    case RUDP_E_TRUNCATED:
        return RUDP_DROP_TRUNCATED;
    default:
        return RUDP_DROP_MALFORMED;
    }
}

void rudp_endpoint_set_mark(struct rudp_endpoint *endpoint, uint64_t mark)
{
    endpoint->mark = mark;
}

enum rudp_verdict rudp_endpoint_receive(struct rudp_endpoint *endpoint,
                                        const struct rudp_path *path, const uint8_t *packet,
                                        size_t packet_bytes, uint64_t now_us)
{
    ENDPOINT_CALL_ON_ONE(endpoint);
    struct rudp_context context = endpoint_context(endpoint, now_us);
    struct rudp_header header;
    struct rudp_reader frames;
    enum rudp_drop drop;
    enum rudp_status status = rudp_wire_read_packet(packet, packet_bytes, &header, &frames);

    if (status == RUDP_OK) {
        struct arrival arrival = {path, &header, &frames, packet_bytes};

        drop = receive_packet(endpoint, &context, &arrival);
    } else {
        drop = judge_unreadable(endpoint, packet, status, &header);
        if (drop == RUDP_DROP_FOREIGN)
            return RUDP_VERDICT_FOREIGN;
    }
    if (drop != RUDP_DROP_COUNT)
        endpoint->dropped_count[drop]++;
    return RUDP_VERDICT_OURS;
}
