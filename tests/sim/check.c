#include "tests/sim/check.h"

#include "core/wire.h"
#include "tests/sim/contact.h"

#include <inttypes.h>

/* --- Delivery --- */

static bool is_ordered(const struct sim_session *reader)
{
    return reader->node->config.order == RUDP_ORDERED;
}

/* Which message of the flow it is, of those at or above from that the binding has not delivered. */
static uint32_t find_message(const struct sim_session *reader, const struct sim_flow *flow,
                             uint32_t from, uint64_t binding, const uint8_t *data, size_t bytes)
{
    uint32_t end = is_ordered(reader) ? (uint32_t)min_u64(from + 1, flow->count) : flow->count;

    for (uint32_t i = from; i < end; i++)
        if ((binding == 0 || flow->sent[i].delivered_by != binding) &&
            sim_flow_is_message(flow, i, data, bytes))
            return i;
    return SIM_FLOW_NONE;
}

static void bind_reader(struct sim_session *reader, struct sim_session *source, uint32_t base)
{
    reader->source = source;
    reader->source_base = base;
    reader->next_index = source->bases[base];
    reader->binding = ++reader->sim->binding_count;
    reader->binding_count++;
    source->bound_incarnations[base] = reader->node->incarnation;
}

/* Not what began after this reader did, nor what another one at its endpoint has read. */
static bool can_read(const struct sim_session *reader, const struct sim_session *source,
                     uint32_t base)
{
    return (reader->opener || source->base_us[base] <= reader->opened_us) &&
           source->bound_incarnations[base] != reader->node->incarnation;
}

/* Finds the flow whose incarnation begins with this message, the newest first. */
static uint32_t find_source(struct sim_session *reader, const uint8_t *data, size_t bytes)
{
    struct sim *sim = reader->sim;

    for (uint32_t s = sim->session_count; s-- > 0;) {
        struct sim_session *source = sim->sessions[s];

        if (source->node != reader->peer || source->peer != reader->node ||
            !(source->opener || reader->opener))
            continue;
        for (uint32_t base = source->base_count; base-- > 0;) {
            if (reader->source == source && reader->source_base >= base)
                break;
            if (!can_read(reader, source, base))
                continue;
            uint32_t index =
                find_message(reader, &source->flow, source->bases[base], 0, data, bytes);
            if (index == SIM_FLOW_NONE)
                continue;
            bind_reader(reader, source, base);
            return index;
        }
    }
    return SIM_FLOW_NONE;
}

/* A new flow is read by a new session, by an opener that began anew, and by one that was answered
 * by another session than the one that had called it. */
static bool may_bind(const struct sim_session *reader)
{
    return reader->binding_count < reader->base_count ||
           (reader->opener && reader->source != NULL &&
            (reader->source->closed || reader->source->base_count > reader->source_base + 1));
}

void sim_check_message(struct sim_session *reader, const uint8_t *data, size_t bytes)
{
    uint32_t index = SIM_FLOW_NONE;

    if (reader->peer == NULL) /* an attacker may say what it likes */
        return;
    if (reader->source != NULL)
        index = find_message(reader, &reader->source->flow, reader->next_index, reader->binding,
                             data, bytes);
    if (index == SIM_FLOW_NONE && may_bind(reader))
        index = find_source(reader, data, bytes);
    if (index == SIM_FLOW_NONE) {
        sim_fail(reader->sim,
                 "session %u: a message of %zu bytes is not the next one (%u), or comes again",
                 reader->id, bytes, reader->next_index);
        return;
    }
    struct sim_flow *flow = &reader->source->flow;

    sim_flow_deliver(flow, index, reader->binding);
    while (reader->next_index < flow->count &&
           flow->sent[reader->next_index].delivered_by == reader->binding)
        reader->next_index++;
}

/* --- Packets --- */

void sim_check_received(struct sim_node *node, const struct rudp_address *from,
                        const uint8_t *packet, size_t bytes, bool genuine)
{
    struct sim_contact *contact = sim_contact_get(node, from);
    struct rudp_header header;
    struct rudp_reader frames;

    contact->received_bytes += bytes;
    if (!genuine || contact->proven ||
        rudp_wire_read_packet(packet, bytes, &header, &frames) != RUDP_OK)
        return;
    if (header.type == RUDP_PACKET_HELLO && header.version == RUDP_WIRE_VERSION) {
        contact->hello_received = true;
        contact->proven = header.token_bytes > 0;
    }
    if (header.type == RUDP_PACKET_SHORT && contact->hello_received)
        contact->proven = true;
}

void sim_check_sent(struct sim_node *node, const struct rudp_path *path, size_t bytes)
{
    struct sim_contact *contact = sim_contact_get(node, &path->remote);
    struct rudp_address unspecified = {0};

    if (bytes > node->packet_bytes_max)
        sim_fail(node->sim, "node %u: a packet of %zu bytes, %u allowed", node->index, bytes,
                 node->packet_bytes_max);
    if (!rudp_address_equal(&path->local, &unspecified) &&
        !rudp_address_equal(&path->local, &node->local))
        sim_fail(node->sim, "node %u: a packet from an address that is not its own", node->index);
    contact->sent_bytes += bytes;
    if (!contact->called && !contact->proven && contact->sent_bytes > 3 * contact->received_bytes)
        sim_fail(node->sim,
                 "node %u: %" PRIu64 " bytes to an unproven address, %" PRIu64 " received",
                 node->index, contact->sent_bytes, contact->received_bytes);
}

void sim_check_called(struct sim_node *node, const struct rudp_address *address)
{
    sim_contact_get(node, address)->called = true;
}

/* --- Events --- */

/* The peer has nothing left of its side, or has begun anew since: when all it said at the end was
 * lost, it looks as if it had restarted. */
static bool peer_has_left(const struct sim_session *session)
{
    const struct sim *sim = session->sim;

    for (uint32_t i = 0; i < sim->session_count; i++) {
        const struct sim_session *other = sim->sessions[i];

        /* One that a forged hello opened is never established. */
        if (other->node == session->peer && other->peer == session->node && other->established &&
            !other->closed && sim_stats(other).restart_count == 0)
            return false;
    }
    return true;
}

/* Both programs ended the session: neither reads what the other still sends, so neither may get
 * credit for all of it, and what one had sent may be acknowledged for good before the other would
 * have read it. */
static bool both_ended(const struct sim_session *session)
{
    const struct sim *sim = session->sim;
    bool peer_ended = false;

    for (uint32_t i = 0; i < sim->session_count; i++)
        if (sim->sessions[i]->node == session->peer && sim->sessions[i]->peer == session->node)
            peer_ended = peer_ended || sim->sessions[i]->ended;
    return session->ended && peer_ended;
}

void sim_check_event(struct sim_session *session, const struct rudp_event *event)
{
    struct sim *sim = session->sim;

    if (session->closed)
        sim_fail(sim, "session %u: an event after CLOSED", session->id);
    if (event->type == RUDP_EVENT_MOVED)
        sim_contact_get(session->node, &rudp_session_path(session->core)->remote)->proven = true;
    if (event->type == RUDP_EVENT_PEER_RESTARTED && !session->opener)
        sim_fail(sim, "session %u: restarts although its peer opened it", session->id);
    if (event->type != RUDP_EVENT_CLOSED)
        return;
    if (event->undelivered_bytes > sim_flow_offset(&session->flow, session->flow.count))
        sim_fail(sim, "session %u: more undelivered than sent", session->id);
    bool gone_without_word = event->reason == RUDP_CLOSE_REASON_PEER_RESTARTED ||
                             event->reason == RUDP_CLOSE_REASON_DEAD;
    bool stuck = (event->reason == RUDP_CLOSE_REASON_LINGER ||
                  event->reason == RUDP_CLOSE_REASON_PEER_ABORTED) &&
                 both_ended(session);
    bool expected = (sim->reasons_allowed & (1u << event->reason)) != 0 ||
                    (gone_without_word && peer_has_left(session)) || stuck;

    /* A session nobody answered in, or whose peer is a stranger, may fail in its own ways. */
    if (!expected && session->peer != NULL && session->established)
        sim_fail(sim, "session %u: %s", session->id, rudp_close_reason_text(event->reason));
}

/* --- Steps --- */

/* What the core says was delivered was read by the peer's program. */
static void check_claim(struct sim_session *session)
{
    struct rudp_session_stats stats = sim_stats(session);
    uint64_t pushed_bytes = sim_flow_offset(&session->flow, session->flow.count);
    uint64_t read_bytes = sim_flow_offset(&session->flow, session->flow.prefix_count);

    if (session->peer != NULL && pushed_bytes > stats.queued_bytes + read_bytes)
        sim_fail(session->sim,
                 "session %u: of %" PRIu64 " bytes only %" PRIu64 " queued, %" PRIu64 " delivered",
                 session->id, pushed_bytes, stats.queued_bytes, read_bytes);
    if (stats.queued_bytes > session->node->config.send_buffer_bytes)
        sim_fail(session->sim, "session %u: %" PRIu64 " bytes queued", session->id,
                 stats.queued_bytes);
}

/* What an endpoint, a tombstone and a session may take beside the session's buffers. */
#define ENDPOINT_BYTES  (64u * 1024u)
#define TOMBSTONE_BYTES 512u
#define SESSION_BYTES   (256u * 1024u)

/* The most memory the node's endpoint may hold. */
static size_t memory_bound(const struct sim_node *node)
{
    const struct rudp_config *config = &node->config;
    struct rudp_endpoint_stats stats = sim_endpoint_stats(node);
    size_t buffers_bytes = config->send_buffer_bytes + config->receive_buffer_bytes;

    return ENDPOINT_BYTES + stats.tombstone_count * TOMBSTONE_BYTES +
           stats.session_count * (SESSION_BYTES + buffers_bytes);
}

void sim_check_step(struct sim_node *node, bool advanced)
{
    struct sim *sim = node->sim;

    if (node->endpoint == NULL)
        return;
    if (node->memory.used_bytes > memory_bound(node))
        sim_fail(sim, "node %u: %zu bytes allocated, %zu is the bound", node->index,
                 node->memory.used_bytes, memory_bound(node));
    if (node->memory.wrong_count > 0)
        sim_fail(sim, "node %u: memory released with a wrong size", node->index);
    if (advanced && rudp_endpoint_deadline_us(node->endpoint) <= sim->now_us)
        sim_fail(sim, "node %u: the deadline lies in the past after advance", node->index);
    for (uint32_t i = 0; i < sim->session_count; i++) {
        struct sim_session *session = sim->sessions[i];

        if (session->node == node && session->core != NULL && !session->closed)
            check_claim(session);
    }
}

/* --- The end --- */

static void check_report(struct sim_session *session)
{
    struct sim_flow *flow = &session->flow;
    uint64_t pushed_bytes = sim_flow_offset(flow, flow->count);
    uint64_t read_bytes = sim_flow_offset(flow, flow->prefix_count);

    if (!session->closed) {
        if (flow->prefix_count < flow->count)
            sim_fail(session->sim, "session %u: %u of %u messages delivered", session->id,
                     flow->prefix_count, flow->count);
        return;
    }
    /* Any other reason is itself the report that data may be lost. */
    if (session->reason != RUDP_CLOSE_REASON_LOCAL && session->reason != RUDP_CLOSE_REASON_PEER)
        return;
    if (both_ended(session))
        return;
    if (pushed_bytes - session->undelivered_bytes > read_bytes)
        sim_fail(session->sim,
                 "session %u: %" PRIu64 " bytes neither delivered nor reported, reason %s",
                 session->id, pushed_bytes - session->undelivered_bytes - read_bytes,
                 rudp_close_reason_text(session->reason));
}

void sim_check_settled(struct sim *sim)
{
    for (uint32_t i = 0; i < sim->session_count; i++) {
        struct sim_session *session = sim->sessions[i];

        /* A peer that died took with it what it had received. */
        if (session->peer != NULL && !session->gone &&
            session->peer_incarnation == session->peer->incarnation)
            check_report(session);
    }
}

void sim_check_destroyed(struct sim_node *node)
{
    if (node->memory.used_bytes > 0)
        sim_fail(node->sim, "node %u: %zu bytes leaked", node->index, node->memory.used_bytes);
    if (node->memory.wrong_count > 0)
        sim_fail(node->sim, "node %u: memory released with a wrong size", node->index);
}
