#include "tests/sim/scenario.h"

#include "tests/sim/attack.h"
#include "tests/sim/check.h"

#include <stdlib.h>
#include <string.h>

#define MS RUDP_US_PER_MS
#define S  RUDP_US_PER_S

/* A peer that leaves forever would not let its opener come to an end. */
#define LEAVE_COUNT_MAX 8u

#define RUN_US_MAX      (3600 * (uint64_t)S) /* virtual; what takes longer is stuck */
#define ACCIDENT_US_MAX (3 * (uint64_t)S)    /* accidents happen early, while there is traffic */
#define CONNECT_US      (300 * (uint64_t)S)  /* patient */
#define AFTERMATH_US    (CONNECT_US + 20 * (uint64_t)S) /* no tombstone lives longer */
#define RETRY_US        (20 * (uint64_t)MS)
#define TELLTALE_BYTES  8u /* messages that tell flows apart are at least this long */
#define TRAFFIC_BYTES   400000u
#define QUEUE_BYTES     100000u /* one packet of any size; under half a second at the lowest rate */

struct scenario {
    struct sim *sim;
    struct sim_random random;
    uint32_t features;
    struct sim_app opener_app;
    struct sim_app acceptor_app;
    bool reopens;
};

static const char *const feature_texts[] = {
#define X(name, text, percent) text,
    SCENARIO_FEATURE_MAP(X)
#undef X
};

static const uint32_t feature_percents[] = {
#define X(name, text, percent) percent,
    SCENARIO_FEATURE_MAP(X)
#undef X
};

const char *scenario_feature_text(uint32_t feature)
{
    return feature < SCENARIO_FEATURE_COUNT ? feature_texts[feature] : NULL;
}

static uint32_t bit(enum scenario_feature feature)
{
    return 1u << feature;
}

static bool has(const struct scenario *scenario, enum scenario_feature feature)
{
    return (scenario->features & bit(feature)) != 0;
}

static bool chance(struct scenario *scenario, uint32_t percent)
{
    return sim_random_chance(&scenario->random, percent * (SIM_PPM / 100));
}

static uint64_t between(struct scenario *scenario, uint64_t low, uint64_t high)
{
    return sim_random_between(&scenario->random, low, high);
}

static uint64_t magnitude(struct scenario *scenario, uint64_t low, uint64_t high)
{
    return sim_random_magnitude(&scenario->random, low, high);
}

/* Some accidents exclude each other, because what may be claimed would depend on their order. */
static uint32_t exclude(uint32_t features, uint32_t forced, uint32_t winner, uint32_t losers)
{
    if ((features & winner) == 0)
        return features;
    if ((forced & losers) != 0)
        return features & ~(winner & ~forced);
    return features & ~losers;
}

static void draw_features(struct scenario *scenario, uint32_t allowed, uint32_t forced)
{
    uint32_t features = 0;

    for (uint32_t i = 0; i < SCENARIO_FEATURE_COUNT; i++)
        if (chance(scenario, feature_percents[i]))
            features |= 1u << i;
    features = (features & allowed) | forced;
    features = exclude(features, forced, bit(SCENARIO_RESTART),
                       bit(SCENARIO_CLOSE) | bit(SCENARIO_REBIND) | bit(SCENARIO_BOTH) |
                           bit(SCENARIO_CROWD));
    features =
        exclude(features, forced, bit(SCENARIO_REBIND), bit(SCENARIO_BOTH) | bit(SCENARIO_CROWD));
    /* A forged hello between two that cross makes incarnations whose messages look the same. */
    features =
        exclude(features, forced, bit(SCENARIO_BOTH), bit(SCENARIO_CROWD) | bit(SCENARIO_ATTACK));
    scenario->features = features;
}

/* --- Settings --- */

static uint32_t draw_packet_bytes(struct scenario *scenario)
{
    if (has(scenario, SCENARIO_MTU))
        return (uint32_t)between(scenario, 1300, 9000);
    switch (between(scenario, 0, 9)) {
    case 0:
        return (uint32_t)between(scenario, RUDP_PACKET_BYTES_MIN, RUDP_PACKET_BYTES_BASE);
    case 1:
        return (uint32_t)between(scenario, RUDP_PACKET_BYTES_BASE, 1500);
    case 2:
        return (uint32_t)between(scenario, 1500, RUDP_PACKET_BYTES_MAX);
    default:
        return RUDP_PACKET_BYTES_BASE;
    }
}

static size_t draw_buffer_bytes(struct scenario *scenario)
{
    return RUDP_BUFFER_BYTES_MIN << between(scenario, 0, 3);
}

/* Patient settings: with these nobody gives up because of chance, so giving up is a failure. */
static void draw_config(struct scenario *scenario, struct rudp_config *config)
{
    rudp_config_init(config);
    config->packet_bytes = draw_packet_bytes(scenario);
    config->packet_bytes_fixed = !has(scenario, SCENARIO_MTU) && chance(scenario, 50);
    config->connect_timeout_us = CONNECT_US;
    config->rto_initial_us = magnitude(scenario, 50 * MS, S);
    config->rto_min_us = magnitude(scenario, 2 * MS, 50 * MS);
    config->rto_max_us = between(scenario, S, 3 * S);
    config->retry_count_max = 100;
    config->keepalive_us = chance(scenario, 30) ? magnitude(scenario, S, 25 * S) : 25 * S;
    if (has(scenario, SCENARIO_REBIND)) /* a NAT needs to hear from inside */
        config->keepalive_us = between(scenario, S, 5 * S);
    config->linger_us = RUN_US_MAX;
    config->ack_delay_us_max = between(scenario, 0, 25 * MS);
    config->send_buffer_bytes = draw_buffer_bytes(scenario);
    config->receive_buffer_bytes = draw_buffer_bytes(scenario);
    if (has(scenario, SCENARIO_CROWD))
        config->half_open_count_max = (uint32_t)between(scenario, 0, 2);
    if (has(scenario, SCENARIO_CLOSE))
        config->reopens = scenario->reopens;
    if (has(scenario, SCENARIO_UNORDERED) && chance(scenario, 70))
        config->order = RUDP_UNORDERED;
}

/* --- Programs --- */

static void draw_sizes(struct scenario *scenario, struct sim_app *app)
{
    static const uint32_t bytes_max[] = {20, 200, 1500, 9000, 65507};
    uint32_t size = bytes_max[between(scenario, 0, 4)];

    app->bytes_min = between(scenario, 0, 4);
    if (has(scenario, SCENARIO_RESTART) || has(scenario, SCENARIO_ATTACK))
        app->bytes_min = TELLTALE_BYTES;
    app->bytes_max = size;
    app->edge_sizes = chance(scenario, 50);
    app->message_count = (uint32_t)magnitude(scenario, 1, min_u64(400, 4 * TRAFFIC_BYTES / size));
    if (app->edge_sizes) /* each of these may be large */
        app->message_count = (uint32_t)min_u64(app->message_count, 40);
    if (chance(scenario, 10))
        app->message_count = 0;
}

static void draw_app(struct scenario *scenario, struct sim_app *app)
{
    *app = (struct sim_app){0};
    draw_sizes(scenario, app);
    if (chance(scenario, 50)) {
        app->batch_count = (uint32_t)magnitude(scenario, 1, 16);
        app->batch_gap_us = magnitude(scenario, MS, 300 * MS);
    }
    if (has(scenario, SCENARIO_IDLE)) {
        app->message_count = (uint32_t)min_u64(app->message_count, 20);
        app->batch_count = (uint32_t)between(scenario, 1, 5);
        app->batch_gap_us = magnitude(scenario, S, 60 * S);
    }
    if (chance(scenario, 20))
        app->start_us = scenario->sim->now_us + magnitude(scenario, MS, 2 * S);
    if (has(scenario, SCENARIO_SLOW) && chance(scenario, 60))
        app->read_gap_us = magnitude(scenario, 100, 50 * MS);
    if (has(scenario, SCENARIO_SLOW) && chance(scenario, 40))
        app->read_from_us = scenario->sim->now_us + magnitude(scenario, 10 * MS, 5 * S);
    app->short_buffers = chance(scenario, 20);
    if (chance(scenario, 20))
        app->release_after_us = magnitude(scenario, MS, S);
}

static void draw_end(struct scenario *scenario, struct sim_app *app, const struct sim_app *other)
{
    static const enum sim_end ends[] = {SIM_END_WHEN_SENT, SIM_END_WHEN_DONE, SIM_END_AT};

    app->end = ends[between(scenario, 0, 2)];
    app->expected_count = other->message_count;
    app->end_us = scenario->sim->now_us + magnitude(scenario, 100, 3 * S);
    /* Who aborts a call that crosses another's call leaves two sessions to tell apart. */
    app->aborts = chance(scenario, 15) && !has(scenario, SCENARIO_BOTH);
    if (app->aborts)
        scenario->sim->reasons_allowed |=
            1u << RUDP_CLOSE_REASON_ABORTED | 1u << RUDP_CLOSE_REASON_PEER_ABORTED;
}

static void draw_programs(struct scenario *scenario)
{
    draw_app(scenario, &scenario->opener_app);
    draw_app(scenario, &scenario->acceptor_app);
    if (!has(scenario, SCENARIO_CLOSE))
        return;
    scenario->sim->reasons_allowed |= 1u << RUDP_CLOSE_REASON_LOCAL | 1u << RUDP_CLOSE_REASON_PEER;
    for (uint32_t i = 0; i < scenario->sim->node_count; i++)
        if (scenario->sim->nodes[i].config.reopens) /* to a program that leaves every time */
            scenario->sim->reasons_allowed |= 1u << RUDP_CLOSE_REASON_CONNECT_TIMEOUT;
    uint64_t who = between(scenario, 0, 3);

    if (who != 0)
        draw_end(scenario, &scenario->opener_app, &scenario->acceptor_app);
    if (who != 1)
        draw_end(scenario, &scenario->acceptor_app, &scenario->opener_app);
}

/* --- Network --- */

static void draw_link(struct scenario *scenario, struct sim_link_options *link, uint64_t delay_us)
{
    *link = (struct sim_link_options){.delay_us = delay_us};
    if (chance(scenario, 50))
        link->jitter_us = between(scenario, 0, delay_us / 2);
    if (has(scenario, SCENARIO_LOSS))
        link->loss_ppm = (uint32_t)magnitude(scenario, 5000, 350000);
    if (has(scenario, SCENARIO_BURST)) {
        link->burst_enter_ppm = (uint32_t)magnitude(scenario, 1000, 50000);
        link->burst_leave_ppm = (uint32_t)between(scenario, 100000, 500000);
        link->burst_loss_ppm = (uint32_t)between(scenario, 500000, 1000000);
    }
    link->reorder_us = magnitude(scenario, 100, 100 * MS);
    if (has(scenario, SCENARIO_REORDER))
        link->reorder_ppm = (uint32_t)magnitude(scenario, 10000, 500000);
    if (has(scenario, SCENARIO_DUPLICATE))
        link->duplicate_ppm = (uint32_t)magnitude(scenario, 10000, 300000);
    if (has(scenario, SCENARIO_DAMAGE)) {
        link->corrupt_ppm = (uint32_t)magnitude(scenario, 1000, 80000);
        link->truncate_ppm = (uint32_t)magnitude(scenario, 1000, 50000);
    }
    if (has(scenario, SCENARIO_RATE)) {
        link->rate_bytes_per_s = magnitude(scenario, 250000, 10000000);
        link->queue_bytes_max = QUEUE_BYTES;
    }
    if (has(scenario, SCENARIO_MTU))
        link->mtu_bytes = (size_t)between(scenario, RUDP_PACKET_BYTES_BASE, 1400);
    if (has(scenario, SCENARIO_OUTAGE) && chance(scenario, 70)) {
        link->outage_start_us = scenario->sim->now_us + between(scenario, 0, ACCIDENT_US_MAX);
        link->outage_end_us = link->outage_start_us + magnitude(scenario, 50 * MS, 10 * S);
    }
}

static void draw_network(struct scenario *scenario)
{
    struct sim *sim = scenario->sim;
    uint64_t delay_us = magnitude(scenario, 50, 200 * MS);

    for (uint32_t i = 0; i < sim->node_count * sim->node_count; i++)
        draw_link(scenario, &sim->links[i].options, delay_us);
    for (uint32_t i = 0; i < sim->node_count; i++) {
        if (chance(scenario, 30))
            sim->nodes[i].wake_slack_us = between(scenario, 0, 3 * MS);
        if (has(scenario, SCENARIO_MEMORY))
            sim->nodes[i].memory.failure_ppm = (uint32_t)magnitude(scenario, 1000, 200000);
    }
}

/* --- Accidents --- */

static void on_open(void *context, void *owned)
{
    struct scenario *scenario = context;
    struct sim *sim = scenario->sim;
    const uint32_t *nodes = owned;

    /* A program that was called, or called, meanwhile goes on in that session. */
    for (uint32_t i = 0; i < sim->session_count; i++)
        if (sim->sessions[i]->node == &sim->nodes[nodes[0]] &&
            sim->sessions[i]->peer == &sim->nodes[nodes[1]] && !sim->sessions[i]->gone)
            return;
    const struct sim_app *app =
        nodes[0] == SIM_SERVER ? &scenario->acceptor_app : &scenario->opener_app;

    if (sim_open(sim, nodes[0], nodes[1], app) != NULL)
        return;
    uint32_t *again = malloc(2 * sizeof *again);

    RUDP_ASSERT(again != NULL);
    memcpy(again, nodes, 2 * sizeof *again);
    sim_at(sim, sim->now_us + RETRY_US, on_open, scenario, again);
}

static void file_open(struct scenario *scenario, uint32_t from, uint32_t to, uint64_t at_us)
{
    uint32_t *nodes = malloc(2 * sizeof *nodes);

    RUDP_ASSERT(nodes != NULL);
    nodes[0] = from;
    nodes[1] = to;
    sim_at(scenario->sim, at_us, on_open, scenario, nodes);
}

static void on_restart(void *context, void *owned)
{
    struct scenario *scenario = context;
    const uint32_t *node = owned;

    sim_restart(scenario->sim, *node);
    if (*node == SIM_CLIENT)
        file_open(scenario, SIM_CLIENT, SIM_SERVER, scenario->sim->now_us);
}

static void on_rebind(void *context, void *owned)
{
    struct scenario *scenario = context;
    struct sim *sim = scenario->sim;
    const struct sim_session *opener = sim_latest(sim, SIM_CLIENT);
    const struct sim_session *acceptor = sim_latest(sim, SIM_SERVER);

    (void)owned;
    if (opener != NULL && opener->closed)
        return;
    /* During the handshake a new address is a new caller: that is not what this is about. */
    if (opener != NULL && acceptor != NULL && opener->established && acceptor->established)
        sim_rebind(sim, SIM_CLIENT);
    else
        sim_at(sim, sim->now_us + RETRY_US, on_rebind, scenario, NULL);
}

static void file_accidents(struct scenario *scenario)
{
    struct sim *sim = scenario->sim;

    if (has(scenario, SCENARIO_RESTART)) {
        for (uint64_t left = between(scenario, 1, 3); left > 0; left--) {
            uint32_t *node = malloc(sizeof *node);

            RUDP_ASSERT(node != NULL);
            *node = chance(scenario, 70) ? SIM_SERVER : SIM_CLIENT;
            sim_at(sim, sim->now_us + magnitude(scenario, MS, ACCIDENT_US_MAX), on_restart,
                   scenario, node);
        }
        sim->reasons_allowed |= 1u << RUDP_CLOSE_REASON_PEER_RESTARTED;
    }
    if (has(scenario, SCENARIO_REBIND))
        for (uint64_t left = between(scenario, 1, 3); left > 0; left--)
            sim_at(sim, sim->now_us + magnitude(scenario, MS, ACCIDENT_US_MAX), on_rebind, scenario,
                   NULL);
    if (has(scenario, SCENARIO_ATTACK))
        sim_attack(sim, magnitude(scenario, 2 * MS, 50 * MS), sim->now_us + ACCIDENT_US_MAX);
}

static void file_opens(struct scenario *scenario)
{
    struct sim *sim = scenario->sim;

    if (has(scenario, SCENARIO_CROWD)) {
        for (uint32_t i = 0; i < sim->node_count; i++)
            if (i != SIM_SERVER)
                file_open(scenario, i, SIM_SERVER, sim->now_us + between(scenario, 0, 50 * MS));
        return;
    }
    file_open(scenario, SIM_CLIENT, SIM_SERVER, sim->now_us);
    if (has(scenario, SCENARIO_BOTH))
        file_open(scenario, SIM_SERVER, SIM_CLIENT, sim->now_us + between(scenario, 0, 20 * MS));
}

/* --- The run --- */

static bool is_over(const struct sim *sim)
{
    return sim->session_count > 0 && sim_is_settled(sim);
}

static bool is_flushed(const struct sim *sim)
{
    for (uint32_t i = 0; i < sim->session_count; i++) {
        const struct sim_session *session = sim->sessions[i];

        if (session->core != NULL && !session->closed && session->peer != NULL &&
            session->established && sim_stats(session).queued_bytes > 0)
            return false;
    }
    return true;
}

/* What an endpoint without sessions may hold. */
static void check_emptied(struct scenario *scenario)
{
    struct sim *sim = scenario->sim;

    for (uint32_t i = 0; i < sim->node_count; i++) {
        struct rudp_endpoint_stats stats = sim_endpoint_stats(&sim->nodes[i]);

        if (stats.session_count > 0 || stats.half_open_count > 0 || stats.tombstone_count > 0)
            sim_fail(sim, "node %u: %u sessions, %u half open, %u tombstones are left", i,
                     stats.session_count, stats.half_open_count, stats.tombstone_count);
    }
}

static bool is_everything_released(const struct sim *sim)
{
    for (uint32_t i = 0; i < sim->session_count; i++)
        if (sim->sessions[i]->core != NULL)
            return false;
    return true;
}

static void run(struct scenario *scenario)
{
    struct sim *sim = scenario->sim;
    uint64_t limit_us = sim->now_us + RUN_US_MAX;

    sim_run_for_us(sim, ACCIDENT_US_MAX); /* every accident happens, settled or not */
    if (!sim_run_until(sim, is_over, limit_us)) {
        sim_fail(sim, "does not settle");
        return;
    }
    sim_check_settled(sim);
    if (!sim_run_until(sim, is_flushed, limit_us))
        sim_fail(sim, "what was delivered is not acknowledged");
    sim_run_for_us(sim, AFTERMATH_US); /* sessions that nobody answers end too */
    if (sim->failed || !is_everything_released(sim))
        return;
    sim_run_for_us(sim, AFTERMATH_US);
    check_emptied(scenario);
}

static void report(const struct scenario *scenario, struct scenario_result *result)
{
    const struct sim *sim = scenario->sim;

    *result = (struct scenario_result){.log_hash = sim->log.hash,
                                       .step_count = sim->step_count,
                                       .virtual_us = sim->now_us,
                                       .features = scenario->features};
    for (uint32_t i = 0; i < sim->session_count; i++)
        result->delivered_count += sim->sessions[i]->read_count;
    for (uint32_t i = 0; i < sim->node_count; i++)
        if (sim->nodes[i].memory.peak_bytes > result->peak_bytes)
            result->peak_bytes = sim->nodes[i].memory.peak_bytes;
}

void scenario_run(uint64_t seed, uint32_t allowed, uint32_t forced, FILE *log_file,
                  struct scenario_result *result)
{
    struct scenario scenario = {0};
    struct rudp_config configs[2];

    sim_random_init(&scenario.random, seed);
    scenario.reopens = sim_mix_u64(seed) % 2 == 0; /* older seeds draw what they always drew */
    draw_features(&scenario, allowed, forced);
    draw_config(&scenario, &configs[SIM_CLIENT]);
    draw_config(&scenario, &configs[SIM_SERVER]);
    scenario.sim = sim_create(&(struct sim_options){
        .seed = seed,
        .node_count = has(&scenario, SCENARIO_CROWD) ? (uint32_t)between(&scenario, 3, 8) : 2,
        .config = &configs[SIM_CLIENT],
        .server_config = &configs[SIM_SERVER],
        .log_file = log_file,
    });
    draw_network(&scenario);
    draw_programs(&scenario);
    for (uint32_t i = 0; i < scenario.sim->node_count; i++)
        scenario.sim->nodes[i].accept_app = scenario.acceptor_app;
    if (has(&scenario, SCENARIO_BOTH)) /* whoever calls first, the programs do the same */
        scenario.sim->nodes[SIM_CLIENT].accept_app = scenario.opener_app;
    for (uint32_t i = 0; scenario.reopens && i < scenario.sim->node_count; i++) {
        scenario.sim->nodes[i].leave_count_max = LEAVE_COUNT_MAX;
        /* An opener that reads late finds the answers of several incarnations, one behind the
         * other, and check.c tells them apart by the first: an empty one would fit any. */
        scenario.sim->nodes[i].accept_app.first_bytes_min = TELLTALE_BYTES;
    }
    file_opens(&scenario);
    file_accidents(&scenario);
    run(&scenario);
    report(&scenario, result);
    result->passed = sim_destroy(scenario.sim, result->failure);
}
