#include "tests/sim/sim.h"

#include "tests/sim/app.h"
#include "tests/sim/check.h"
#include "tests/sim/contact.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#define START_US         RUDP_US_PER_S
#define PORT             4000u
#define DRAIN_COUNT_MAX  200000u /* packets and events at one instant: more is a loop */
#define STRANGER_NETWORK 0xcb00u /* 203.0.x.x */
#define NODE_NETWORK     0x0a00u /* 10.0.x.x */

/* --- Addresses --- */

static struct rudp_address make_address(uint32_t network, uint32_t host, uint32_t port)
{
    struct rudp_address address = {.port = (uint16_t)port};

    address.ip[10] = 0xff; /* IPv4-mapped */
    address.ip[11] = 0xff;
    address.ip[12] = (uint8_t)(network >> 8);
    address.ip[13] = (uint8_t)network;
    address.ip[14] = (uint8_t)(host >> 8);
    address.ip[15] = (uint8_t)host;
    return address;
}

struct rudp_address sim_stranger(uint32_t number)
{
    return make_address(STRANGER_NETWORK, number & 0xffff, PORT + (number >> 16));
}

struct sim_node *sim_node_at(struct sim *sim, const struct rudp_address *address)
{
    for (uint32_t i = 0; i < sim->node_count; i++)
        if (rudp_address_equal(&sim->nodes[i].address, address))
            return &sim->nodes[i];
    return NULL;
}

/* --- Failure --- */

void sim_fail(struct sim *sim, const char *format, ...)
{
    va_list arguments;

    if (sim->failed)
        return; /* what follows from the first failure only confuses */
    sim->failed = true;
    va_start(arguments, format);
    vsnprintf(sim->failure, sizeof sim->failure, format, arguments);
    va_end(arguments);
    if (sim->log.file != NULL)
        fprintf(sim->log.file, "%10" PRIu64 " FAILED: %s\n", sim->now_us, sim->failure);
}

/* --- Packets on their way --- */

struct packet {
    struct sim *sim;
    struct rudp_address from;
    struct rudp_address to;
    bool genuine;
    size_t bytes;
    uint8_t data[];
};

static void arrive(void *context, void *owned)
{
    struct packet *packet = owned;
    struct sim *sim = packet->sim;
    struct sim_node *node = sim_node_at(sim, &packet->to);

    (void)context;
    if (node == NULL || node->endpoint == NULL)
        return; /* a NAT has forgotten the address */
    struct rudp_path path = {.remote = packet->from, .local = node->local};

    sim_log_packet(&sim->log, sim->now_us, node->index, "receives", packet->data, packet->bytes);
    sim_check_received(node, &packet->from, packet->data, packet->bytes, packet->genuine);
    node->received_packet_count++;
    sim_node_enter(node);
    rudp_endpoint_receive(node->endpoint, &path, packet->data, packet->bytes, sim->now_us);
    sim_node_leave(node);
}

static struct packet *file_packet(struct sim *sim, const struct rudp_address *from,
                                  const struct rudp_address *to, const uint8_t *data, size_t bytes,
                                  uint64_t at_us)
{
    struct packet *packet = malloc(sizeof *packet + bytes);

    RUDP_ASSERT(packet != NULL);
    *packet = (struct packet){.sim = sim, .from = *from, .to = *to, .bytes = bytes};
    memcpy(packet->data, data, bytes);
    sim_at(sim, at_us, arrive, NULL, packet);
    return packet;
}

void sim_inject(struct sim *sim, uint32_t to, const struct rudp_address *source,
                const uint8_t *packet, size_t bytes)
{
    file_packet(sim, source, &sim->nodes[to].address, packet, bytes, sim->now_us);
}

void sim_replay(struct sim *sim, uint32_t to, const struct rudp_address *source,
                const uint8_t *packet, size_t bytes)
{
    file_packet(sim, source, &sim->nodes[to].address, packet, bytes, sim->now_us)->genuine = true;
}

static void record(struct sim *sim, const struct sim_node *from, const struct rudp_address *to,
                   const uint8_t *data, size_t bytes)
{
    struct sim_recorded *slot = &sim->recorded[sim->recorded_count++ % SIM_RECORDED_COUNT];

    slot->packet = realloc(slot->packet, bytes);
    RUDP_ASSERT(slot->packet != NULL);
    memcpy(slot->packet, data, bytes);
    slot->bytes = bytes;
    slot->at_us = sim->now_us;
    slot->path.remote = from->address;
    slot->path.local = *to;
}

static void carry(struct sim_node *from, const struct rudp_address *to, const uint8_t *data,
                  size_t bytes)
{
    struct sim *sim = from->sim;
    struct sim_node *target = sim_node_at(sim, to);
    struct sim_arrival arrivals[SIM_ARRIVALS_MAX];

    if (target == NULL)
        return; /* nobody lives there */
    struct sim_link *link = sim_link(sim, from->index, target->index);
    uint32_t count = sim_link_carry(link, sim->now_us, bytes, arrivals);

    if (count == 0)
        sim_log_note(&sim->log, sim->now_us, from->index, "loses", bytes, 0);
    for (uint32_t i = 0; i < count; i++) {
        struct packet *packet =
            file_packet(sim, &from->address, to, data, arrivals[i].bytes, arrivals[i].at_us);

        packet->genuine = true;
        sim_link_damage(link, packet->data, &arrivals[i]);
    }
}

static void transmit(struct sim_node *node, const struct rudp_path *path, const uint8_t *data,
                     size_t bytes)
{
    struct sim *sim = node->sim;
    enum sim_fate fate = SIM_PASS;

    node->sent_packet_count++;
    sim_log_packet(&sim->log, sim->now_us, node->index, "sends", data, bytes);
    sim_check_sent(node, path, bytes);
    record(sim, node, &path->remote, data, bytes);
    if (sim->tap != NULL)
        fate = sim->tap(sim->tap_context, sim, node, data, bytes);
    if (fate == SIM_PASS)
        carry(node, &path->remote, data, bytes);
    else if (fate == SIM_HOLD)
        file_packet(sim, &node->address, &path->remote, data, bytes, sim->now_us + sim->hold_us)
            ->genuine = true;
    else
        sim_log_note(&sim->log, sim->now_us, node->index, "loses", bytes, 0);
}

/* --- Nodes --- */

static void fill_random(void *context, void *out, size_t bytes)
{
    sim_random_fill(context, out, bytes);
}

static void start_endpoint(struct sim_node *node)
{
    struct rudp_host host = {.allocator = sim_memory_allocator(&node->memory),
                             .random = {.context = &node->random, .fill = fill_random}};
    enum rudp_status status =
        rudp_endpoint_create(&node->endpoint, &node->config, &host, node->sim->now_us);

    RUDP_ASSERT(status == RUDP_OK);
    node->incarnation++;
    node->wake_us = RUDP_NEVER;
}

/* The program dies: nobody releases its sessions, nobody tells their peers. */
static void stop_endpoint(struct sim_node *node)
{
    struct sim *sim = node->sim;

    for (uint32_t i = 0; i < sim->session_count; i++) {
        if (sim->sessions[i]->node != node)
            continue;
        sim->sessions[i]->core = NULL;
        sim->sessions[i]->gone = true;
    }
    if (node->endpoint != NULL)
        rudp_endpoint_destroy(node->endpoint);
    node->endpoint = NULL;
    node->wake_us = RUDP_NEVER;
    sim_contacts_clear(node);
    sim_check_destroyed(node);
}

static void drain(struct sim_node *node)
{
    static uint8_t packet[RUDP_PACKET_BYTES_MAX]; /* content does not outlive the call */
    struct sim *sim = node->sim;
    struct rudp_event event;
    struct rudp_path path;
    uint32_t count = 0;
    uint32_t count_before;

    do {
        count_before = count;
        while (!sim->failed && rudp_endpoint_next_event(node->endpoint, &event)) {
            sim_app_on_event(node, &event);
            count++;
        }
        size_t bytes;
        while (!sim->failed &&
               (bytes = rudp_endpoint_next_packet(node->endpoint, &path, packet, sizeof packet,
                                                  sim->now_us)) > 0) {
            transmit(node, &path, packet, bytes);
            count++;
        }
        if (count > DRAIN_COUNT_MAX)
            sim_fail(sim, "node %u: no end of packets and events", node->index);
    } while (count > count_before && !sim->failed);
}

void sim_node_enter(struct sim_node *node)
{
    node->enter_depth++;
}

void sim_node_leave(struct sim_node *node)
{
    struct sim *sim = node->sim;

    RUDP_ASSERT(node->enter_depth > 0);
    if (node->enter_depth == 1 && node->endpoint != NULL) {
        drain(node);
        node->wake_us = max_u64(rudp_endpoint_deadline_us(node->endpoint), sim->now_us);
        if (node->wake_us != RUDP_NEVER && node->wake_slack_us > 0)
            node->wake_us += sim_random_between(&sim->random, 0, node->wake_slack_us);
        sim_check_step(node, false);
    }
    node->enter_depth--;
}

void sim_rebind(struct sim *sim, uint32_t node_index)
{
    struct sim_node *node = &sim->nodes[node_index];

    node->address = make_address(NODE_NETWORK, node_index + 1, PORT + node->address_count++);
    sim_log_note(&sim->log, sim->now_us, node_index, "has a new address", node->address.port, 0);
}

void sim_restart(struct sim *sim, uint32_t node_index)
{
    struct sim_node *node = &sim->nodes[node_index];
    uint32_t failure_ppm = node->memory.failure_ppm;

    sim_log_note(&sim->log, sim->now_us, node_index, "restarts", node->incarnation, 0);
    stop_endpoint(node);
    node->memory.failure_ppm = 0; /* a program that cannot start is not what this is about */
    start_endpoint(node);
    node->memory.failure_ppm = failure_ppm;
}

static void init_node(struct sim *sim, uint32_t index, const struct sim_options *options)
{
    struct sim_node *node = &sim->nodes[index];

    node->sim = sim;
    node->index = index;
    if (index == SIM_SERVER && options->server_config != NULL)
        node->config = *options->server_config;
    else if (options->config != NULL)
        node->config = *options->config;
    else
        rudp_config_init(&node->config);
    node->packet_bytes_max = node->config.packet_bytes;
    node->address = make_address(NODE_NETWORK, index + 1, PORT + node->address_count++);
    node->local = make_address(NODE_NETWORK, index + 1, PORT);
    sim_random_init(&node->random, sim_random_u64(&sim->random));
    sim_random_init(&node->memory.random, sim_random_u64(&sim->random));
    start_endpoint(node);
}

/* --- Sessions --- */

struct sim_session *sim_session_add(struct sim_node *node, struct rudp_session *core,
                                    struct sim_node *peer, bool opener, const struct sim_app *app)
{
    struct sim *sim = node->sim;
    struct sim_session *session = calloc(1, sizeof *session);

    if (sim->session_count == sim->session_capacity) {
        sim->session_capacity = sim->session_capacity * 2 + 8;
        sim->sessions = realloc(sim->sessions, sim->session_capacity * sizeof *sim->sessions);
    }
    RUDP_ASSERT(session != NULL);
    RUDP_ASSERT(sim->sessions != NULL);
    session->sim = sim;
    session->node = node;
    session->peer = peer;
    session->peer_incarnation = peer == NULL ? 0 : peer->incarnation;
    session->core = core;
    session->id = sim->session_count;
    session->opener = opener;
    session->opened_us = sim->now_us;
    session->app = app == NULL ? (struct sim_app){0} : *app;
    session->base_count = 1;
    session->flow.seed = sim_mix_u64(sim->seed) + session->id;
    sim_random_init(&session->random, session->flow.seed);
    sim->sessions[sim->session_count++] = session;
    rudp_session_set_tag(core, session->id);
    sim_app_start(session);
    return session;
}

struct sim_session *sim_open(struct sim *sim, uint32_t from, uint32_t to, const struct sim_app *app)
{
    struct sim_node *node = &sim->nodes[from];
    struct sim_node *peer = &sim->nodes[to];
    struct rudp_path path = {.remote = peer->address};
    struct rudp_session *core;

    if (rudp_endpoint_open(node->endpoint, &path, &core, sim->now_us) != RUDP_OK)
        return NULL;
    sim_node_enter(node);
    sim_check_called(node, &path.remote);
    struct sim_session *session = sim_session_add(node, core, peer, true, app);

    sim_log_note(&sim->log, sim->now_us, from, "opens", session->id, to);
    sim_node_leave(node);
    return session;
}

struct sim_session *sim_latest(struct sim *sim, uint32_t node)
{
    for (uint32_t i = sim->session_count; i-- > 0;)
        if (sim->sessions[i]->node == &sim->nodes[node])
            return sim->sessions[i];
    return NULL;
}

enum rudp_status sim_send(struct sim_session *session, size_t bytes)
{
    static uint8_t data[RUDP_MESSAGE_BYTES_MAX]; /* content does not outlive the call */
    struct sim *sim = session->sim;
    struct rudp_endpoint *endpoint = session->node->endpoint;

    RUDP_ASSERT(bytes <= sizeof data);
    sim_flow_fill(&session->flow, session->flow.count, data, bytes);
    /* In two pieces, the first as long as the flow is: a core that confuses them is found out. */
    size_t first_bytes = (size_t)min_u64(bytes, session->flow.count);
    struct rudp_slice slices[2] = {{data, first_bytes}, {data + first_bytes, bytes - first_bytes}};

    sim_node_enter(session->node);
    enum rudp_status status = rudp_session_send(endpoint, session->core, slices, 2, sim->now_us);

    sim_log_note(&sim->log, sim->now_us, session->node->index, "message", bytes, status);
    if (status == RUDP_OK) {
        sim_flow_push(&session->flow, bytes);
        session->next_drawn = false;
    } else if (status == RUDP_E_FULL || status == RUDP_E_MEMORY) {
        session->full_count++;
    }
    sim_node_leave(session->node);
    return status;
}

void sim_close(struct sim_session *session)
{
    struct sim *sim = session->sim;

    sim_log_note(&sim->log, sim->now_us, session->node->index, "closes", session->id, 0);
    session->ended = true;
    sim_node_enter(session->node);
    rudp_session_close(session->node->endpoint, session->core, sim->now_us);
    sim_node_leave(session->node);
}

void sim_abort(struct sim_session *session)
{
    struct sim *sim = session->sim;

    sim_log_note(&sim->log, sim->now_us, session->node->index, "aborts", session->id, 0);
    session->ended = true;
    sim_node_enter(session->node);
    rudp_session_abort(session->node->endpoint, session->core, sim->now_us);
    sim_node_leave(session->node);
}

void sim_pause_reading(struct sim_session *session)
{
    session->reading_paused = true;
}

void sim_resume_reading(struct sim_session *session)
{
    session->reading_paused = false;
    sim_node_enter(session->node);
    sim_app_read(session);
    sim_node_leave(session->node);
}

struct rudp_session_stats sim_stats(const struct sim_session *session)
{
    struct rudp_session_stats stats;

    rudp_session_stats(session->core, &stats);
    return stats;
}

struct rudp_endpoint_stats sim_endpoint_stats(const struct sim_node *node)
{
    struct rudp_endpoint_stats stats;

    rudp_endpoint_stats(node->endpoint, &stats);
    return stats;
}

/* --- The run --- */

void sim_at(struct sim *sim, uint64_t at_us, void (*run)(void *context, void *owned), void *context,
            void *owned)
{
    RUDP_ASSERT(at_us >= sim->now_us);
    sim_queue_file(
        &sim->queue,
        (struct sim_action){.at_us = at_us, .run = run, .context = context, .owned = owned});
}

static struct sim_node *next_node(const struct sim *sim)
{
    struct sim_node *next = &sim->nodes[0];

    for (uint32_t i = 1; i < sim->node_count; i++)
        if (sim->nodes[i].wake_us < next->wake_us)
            next = &sim->nodes[i];
    return next;
}

static uint64_t next_us(const struct sim *sim)
{
    return min_u64(sim_queue_next_us(&sim->queue), next_node(sim)->wake_us);
}

bool sim_step(struct sim *sim)
{
    uint64_t at_us = next_us(sim);

    if (sim->failed || at_us == RUDP_NEVER)
        return false;
    RUDP_ASSERT(at_us >= sim->now_us);
    sim->now_us = at_us;
    sim->step_count++;
    if (sim_queue_next_us(&sim->queue) == at_us) {
        sim_queue_run_next(&sim->queue);
        return !sim->failed;
    }
    struct sim_node *node = next_node(sim);

    sim_node_enter(node);
    rudp_endpoint_advance(node->endpoint, sim->now_us);
    sim_node_leave(node);
    sim_check_step(node, true);
    return !sim->failed;
}

void sim_run_until_us(struct sim *sim, uint64_t until_us)
{
    while (!sim->failed && next_us(sim) <= until_us)
        sim_step(sim);
    sim->now_us = max_u64(sim->now_us, until_us);
}

void sim_run_for_us(struct sim *sim, uint64_t duration_us)
{
    sim_run_until_us(sim, sim->now_us + duration_us);
}

bool sim_run_until(struct sim *sim, bool (*met)(const struct sim *sim), uint64_t limit_us)
{
    while (!met(sim))
        if (sim->now_us > limit_us || !sim_step(sim))
            return false;
    return !sim->failed;
}

/* An earlier session of the program read what this one waits for. */
static bool waits_in_vain(const struct sim_session *session)
{
    const struct sim *sim = session->sim;

    if (session->app.end != SIM_END_WHEN_DONE)
        return false;
    for (uint32_t i = 0; i < session->id; i++)
        if (sim->sessions[i]->node == session->node && sim->sessions[i]->peer == session->peer &&
            sim->sessions[i]->read_count > 0)
            return true;
    return false;
}

static bool is_settled(const struct sim_session *session)
{
    const struct sim_flow *flow = &session->flow;

    if (session->gone || session->peer == NULL)
        return true;
    if (session->closed) /* and what it still held was read */
        return session->core == NULL;
    /* Somebody will end it: that is when it settles. */
    if (session->ended || (session->app.end != SIM_END_NEVER && !waits_in_vain(session)))
        return false;
    return flow->count >= session->app.message_count && flow->prefix_count == flow->count;
}

bool sim_is_settled(const struct sim *sim)
{
    for (uint32_t i = 0; i < sim->session_count; i++)
        if (!is_settled(sim->sessions[i]))
            return false;
    return true;
}

struct sim_link *sim_link(struct sim *sim, uint32_t from, uint32_t to)
{
    return &sim->links[from * sim->node_count + to];
}

void sim_drop_next(struct sim *sim, uint32_t from, uint32_t to, uint64_t count)
{
    sim_link(sim, from, to)->drop_next_count += count;
}

struct sim *sim_create(const struct sim_options *options)
{
    struct sim *sim = calloc(1, sizeof *sim);

    RUDP_ASSERT(sim != NULL);
    sim->seed = options->seed;
    sim->now_us = START_US;
    sim->log.file = options->log_file;
    sim->node_count = options->node_count == 0 ? 2 : options->node_count;
    sim_random_init(&sim->random, options->seed);
    sim->links = calloc((size_t)sim->node_count * sim->node_count, sizeof *sim->links);
    sim->nodes = calloc(sim->node_count, sizeof *sim->nodes);
    RUDP_ASSERT(sim->links != NULL);
    RUDP_ASSERT(sim->nodes != NULL);
    for (uint32_t i = 0; i < sim->node_count * sim->node_count; i++) {
        sim->links[i].options.delay_us = options->latency_us;
        sim_random_init(&sim->links[i].random, sim_random_u64(&sim->random));
    }
    for (uint32_t i = 0; i < sim->node_count; i++)
        init_node(sim, i, options);
    return sim;
}

bool sim_destroy(struct sim *sim, char failure[SIM_FAILURE_BYTES_MAX])
{
    for (uint32_t i = 0; i < sim->node_count; i++)
        stop_endpoint(&sim->nodes[i]);
    bool succeeded = !sim->failed;

    memcpy(failure, sim->failure, SIM_FAILURE_BYTES_MAX);
    for (uint32_t i = 0; i < sim->session_count; i++) {
        sim_flow_clear(&sim->sessions[i]->flow);
        free(sim->sessions[i]);
    }
    for (uint32_t i = 0; i < SIM_RECORDED_COUNT; i++)
        free(sim->recorded[i].packet);
    sim_queue_clear(&sim->queue);
    free(sim->sessions);
    free(sim->links);
    free(sim->nodes);
    free(sim);
    return succeeded;
}
