#include "core/wire.h"
#include "tests/sim/fixture.h"

#include <inttypes.h>
#include <string.h>

#define PAYLOAD_BYTES 1100u /* one message that fills a packet, nearly */

#define LEDGER_PACKETS   16u   /* that a session can note when it begins to send, */
#define LEDGER_BYTES_MAX 2000u /* and memory for these, but not for more */

#define WARM_COUNT 100u /* messages of a packet each that open the window far enough */

/* Drops or holds back some of the client's packets. */
struct filter {
    uint32_t seen_count;
    uint32_t stop_count;  /* how many packets it looks at */
    uint32_t every_count; /* takes every so-manieth */
    uint32_t taken_count;
    enum sim_fate fate;
};

static enum sim_fate filter_packet(void *context, struct sim *sim, const struct sim_node *from,
                                   const uint8_t *packet, size_t bytes)
{
    struct filter *filter = context;

    (void)sim;
    (void)packet;
    if (from->index != SIM_CLIENT || bytes < PAYLOAD_BYTES ||
        filter->seen_count >= filter->stop_count)
        return SIM_PASS;
    if (filter->seen_count++ % filter->every_count != 0)
        return SIM_PASS;
    filter->taken_count++;
    return filter->fate;
}

static void set_filter(struct sim *sim, struct filter *filter)
{
    sim->tap = filter_packet;
    sim->tap_context = filter;
}

/* A lost packet is resent when its probe timeout passes, and not earlier. */
START_TEST(loss_resends_at_probe_timeout)
{
    struct rudp_config config = default_config();

    config.rto_min_us = 300 * RUDP_US_PER_MS; /* above what this path needs: the timeout is this */
    struct sim *sim = create_pair(&config);
    struct sim_session *session = open_pair(sim);

    sim_drop_next(sim, SIM_CLIENT, SIM_SERVER, 1);
    send_messages(session, 1, 100);
    sim_run_for_us(sim, config.rto_min_us - 1);
    ck_assert_uint_eq(sim_stats(session).resent_bytes, 0);
    sim_run_for_us(sim, 1 + TICK_US);
    ck_assert_uint_eq(sim_stats(session).resent_bytes, sim_flow_offset(&session->flow, 1));
    finish(sim);
}
END_TEST

/* The round trip that the session measures is the path's, without the time an acknowledgement was
 * held back. */
START_TEST(measured_round_trip_is_the_path)
{
    struct sim *sim = create_pair(NULL);
    struct sim_session *session = open_pair(sim);

    for (uint32_t i = 0; i < 50; i++) {
        send_messages(session, 1, 100);
        sim_run_for_us(sim, 50 * RUDP_US_PER_MS);
    }
    ck_assert_uint_eq(sim_stats(session).rtt_min_us, RTT_US);
    ck_assert_uint_le(sim_stats(session).rtt_us, RTT_US + RTT_US / 10);
    finish(sim);
}
END_TEST

/* A packet lost in the middle of others is repaired by the acknowledgements of the later ones: no
 * probe timeout is waited for. */
START_TEST(gap_is_repaired_without_timeout)
{
    struct sim *sim = create_pair(NULL);
    struct sim_session *session = open_pair(sim);

    sim_drop_next(sim, SIM_CLIENT, SIM_SERVER, 1);
    send_messages(session, 8, PAYLOAD_BYTES);
    sim_run_for_us(sim, 2 * RTT_US);
    ck_assert_uint_eq(sim_stats(session).probe_count, 0);
    ck_assert_uint_eq(server_side(sim)->read_count, 8);
    finish(sim);
}
END_TEST

/* When every second packet of a window is lost, ranges say which: exactly those are sent again. */
START_TEST(ranges_repair_every_gap_and_nothing_else)
{
    struct sim *sim = create_pair(NULL);
    struct sim_session *session = open_pair(sim);
    struct filter filter = {.stop_count = 40, .every_count = 2, .fate = SIM_DROP};

    set_filter(sim, &filter);
    send_messages(session, 40, PAYLOAD_BYTES);
    run_until_delivered(sim);
    sim_run_for_us(sim, RUDP_US_PER_S);
    ck_assert_uint_eq(filter.taken_count, 20);
    ck_assert_uint_eq(sim_stats(session).lost_packet_count, 20);
    ck_assert_uint_eq(sim_stats(session).spurious_packet_count, 0);
    finish(sim);
}
END_TEST

/* Packets that were only late are recognised as such, and the window they cost is given back. */
START_TEST(spurious_loss_is_undone)
{
    struct sim *sim = create_pair(NULL);
    struct sim_session *session = open_pair(sim);
    struct filter filter = {.stop_count = 2, .every_count = 1, .fate = SIM_HOLD};

    send_messages(session, 30, PAYLOAD_BYTES); /* leaves slow start's first windows behind */
    run_until_delivered(sim);
    sim_run_for_us(sim, RUDP_US_PER_S);
    uint64_t window_bytes = sim_stats(session).window_bytes;

    sim->hold_us = LATENCY_US + RTT_US / 2;
    set_filter(sim, &filter);
    send_messages(session, 8, PAYLOAD_BYTES);
    run_until_delivered(sim);
    sim_run_for_us(sim, RUDP_US_PER_S);
    ck_assert_uint_eq(sim_stats(session).lost_packet_count, 2);
    ck_assert_uint_eq(sim_stats(session).spurious_packet_count, 2);
    ck_assert_uint_ge(sim_stats(session).window_bytes, window_bytes);
    finish(sim);
}
END_TEST

/* On a path that reorders, the patience adapts: later traffic loses less by mistake. */
START_TEST(time_threshold_adapts_to_reordering)
{
    struct sim *sim = create_pair(NULL);
    struct sim_session *session = open_pair(sim);
    struct sim_link_options *link = &sim_link(sim, SIM_CLIENT, SIM_SERVER)->options;

    link->reorder_ppm = SIM_PPM / 4;
    link->reorder_us = RTT_US / 2;
    send_messages(session, 300, PAYLOAD_BYTES);
    run_until_delivered(sim);
    uint64_t first_count = sim_stats(session).spurious_packet_count;

    send_messages(session, 300, PAYLOAD_BYTES);
    run_until_delivered(sim);
    ck_assert_uint_gt(first_count, 0);
    ck_assert_uint_lt(sim_stats(session).spurious_packet_count - first_count, first_count);
    finish(sim);
}
END_TEST

/* Keeps the first packet with stream bytes. */
struct keeper {
    uint8_t packet[RUDP_PACKET_BYTES_BASE];
    size_t bytes;
};

static enum sim_fate keep_packet(void *context, struct sim *sim, const struct sim_node *from,
                                 const uint8_t *packet, size_t bytes)
{
    struct keeper *keeper = context;

    (void)sim;
    if (from->index == SIM_CLIENT && bytes >= PAYLOAD_BYTES && keeper->bytes == 0) {
        memcpy(keeper->packet, packet, bytes);
        keeper->bytes = bytes;
    }
    return SIM_PASS;
}

/* A copy of a packet that comes 8,192 packets late is dropped as a duplicate. */
START_TEST(duplicate_is_known_after_8192_packets)
{
    struct sim *sim = create_pair(NULL);
    struct sim_session *session = open_pair(sim);
    struct keeper keeper = {.bytes = 0};
    uint64_t packet_count = 0;

    sim->tap = keep_packet;
    sim->tap_context = &keeper;
    send_messages(session, 1, PAYLOAD_BYTES);
    sim->tap = keep_packet;
    uint64_t first_count = sim_stats(session).sent_packet_count;

    while (packet_count < 8191) {
        sim_run_for_us(sim, 100);
        if (sim_stats(session).queued_bytes < 100 * PAYLOAD_BYTES)
            send_messages(session, 20, PAYLOAD_BYTES);
        packet_count = sim_stats(session).sent_packet_count - first_count;
    }
    run_until_delivered(sim);
    uint32_t read_count = server_side(sim)->read_count;

    sim_replay(sim, SIM_SERVER, &sim->nodes[SIM_CLIENT].address, keeper.packet, keeper.bytes);
    sim_run_for_us(sim, RTT_US);
    struct rudp_endpoint_stats stats = sim_endpoint_stats(&sim->nodes[SIM_SERVER]);

    ck_assert_uint_eq(stats.dropped_count[RUDP_DROP_DUPLICATE], 1);
    ck_assert_uint_eq(server_side(sim)->read_count, read_count);
    finish(sim);
}
END_TEST

/* When every packet comes twice, each second one is dropped and counted. */
START_TEST(duplicates_are_dropped_and_counted)
{
    struct sim *sim = create_pair(NULL);
    struct sim_session *session = open_pair(sim);
    struct sim_link *link = sim_link(sim, SIM_CLIENT, SIM_SERVER);

    link->options.duplicate_ppm = SIM_PPM;
    link->options.reorder_us = LATENCY_US;
    uint64_t carried_count = link->carried_count;

    send_messages(session, 100, PAYLOAD_BYTES);
    run_until_delivered(sim);
    sim_run_for_us(sim, RUDP_US_PER_S);
    struct rudp_endpoint_stats stats = sim_endpoint_stats(&sim->nodes[SIM_SERVER]);

    ck_assert_uint_eq(stats.dropped_count[RUDP_DROP_DUPLICATE],
                      link->carried_count - carried_count);
    finish(sim);
}
END_TEST

/* A peer that falls silent is declared dead after the configured probe timeouts, and what it did
 * not get is reported. */
START_TEST(silent_peer_is_dead_after_retries)
{
    struct rudp_config config = default_config();

    config.retry_count_max = 4;
    struct sim *sim = create_pair(&config);

    sim->reasons_allowed = 1u << RUDP_CLOSE_REASON_DEAD;
    struct sim_session *session = open_pair(sim);

    sim_link(sim, SIM_CLIENT, SIM_SERVER)->options.loss_ppm = SIM_PPM;
    session->app.release_after_us = RUDP_US_PER_S; /* to look at it when it is closed */
    send_messages(session, 1, 100);
    while (!session->closed && sim_step(sim))
        continue;
    ck_assert_int_eq(session->reason, RUDP_CLOSE_REASON_DEAD);
    ck_assert_uint_eq(sim_stats(session).probe_count, config.retry_count_max + 1);
    ck_assert_uint_eq(session->undelivered_bytes, sim_flow_offset(&session->flow, 1));
    finish(sim);
}
END_TEST

/* After five seconds without any packet through, everything arrives. */
START_TEST(outage_is_survived)
{
    struct sim *sim = create_pair(NULL);
    struct sim_session *session = open_pair(sim);

    for (uint32_t from = SIM_CLIENT; from <= SIM_SERVER; from++) {
        struct sim_link_options *link = &sim_link(sim, from, 1 - from)->options;

        link->outage_start_us = sim->now_us;
        link->outage_end_us = sim->now_us + 5 * (uint64_t)RUDP_US_PER_S;
    }
    send_messages(session, 100, PAYLOAD_BYTES);
    run_until_delivered(sim);
    finish(sim);
}
END_TEST

/* A path that carries packets of 1,250 bytes only makes a session of 1,400 smaller ones. */
START_TEST(black_hole_makes_packets_smaller)
{
    struct rudp_config config = default_config();

    config.packet_bytes = 1400;
    struct sim *sim = create_pair(&config);
    struct sim_session *session = open_pair(sim);

    sim_link(sim, SIM_CLIENT, SIM_SERVER)->options.mtu_bytes = 1250;
    send_messages(session, 20, 9000);
    run_until_delivered(sim);
    ck_assert_uint_le(sim_stats(session).packet_bytes, 1250);
    finish(sim);
}
END_TEST

/* So does a path that carries no large packet at all while the peer has nothing to say: small
 * probes find out, long before the peer would count as dead. */
START_TEST(silent_black_hole_makes_packets_smaller)
{
    struct rudp_config config = default_config();

    config.packet_bytes = 1400;
    config.keepalive_us = 0;
    struct sim *sim = create_pair(&config);
    struct sim_session *session = open_pair(sim);
    uint64_t start_us = sim->now_us;

    sim_link(sim, SIM_CLIENT, SIM_SERVER)->options.mtu_bytes = 1250;
    send_messages(session, 100, 9000);
    run_until_delivered(sim);
    ck_assert_uint_eq(sim_stats(session).packet_bytes, RUDP_PACKET_BYTES_BASE);
    ck_assert_uint_lt(sim->now_us - start_us, 5 * RUDP_US_PER_S);
    finish(sim);
}
END_TEST

/* And while the peer shows that it lives, in packets that ask for nothing but an acknowledgement.
 */
START_TEST(black_hole_to_a_pinging_peer_makes_packets_smaller)
{
    struct rudp_config config = default_config();

    config.packet_bytes = 1400;
    config.keepalive_us = 100 * RUDP_US_PER_MS;
    struct sim *sim = create_pair(&config);
    struct sim_session *session = open_pair(sim);
    uint64_t start_us = sim->now_us;

    sim_link(sim, SIM_CLIENT, SIM_SERVER)->options.mtu_bytes = 1250;
    send_messages(session, 100, 9000);
    run_until_delivered(sim);
    ck_assert_uint_eq(sim_stats(session).packet_bytes, RUDP_PACKET_BYTES_BASE);
    ck_assert_uint_lt(sim->now_us - start_us, 5 * RUDP_US_PER_S);
    finish(sim);
}
END_TEST

/* Loses everything for a while, then the large packets until a small one has passed. */
struct outage {
    uint64_t end_us;
    uint32_t lost_count;
    bool small_passed;
};

static enum sim_fate take_outage(void *context, struct sim *sim, const struct sim_node *from,
                                 const uint8_t *packet, size_t bytes)
{
    struct outage *outage = context;

    (void)packet;
    if (from->index != SIM_CLIENT || outage->small_passed)
        return SIM_PASS;
    if (sim->now_us >= outage->end_us && bytes <= RUDP_PACKET_BYTES_MIN) {
        outage->small_passed = true;
        return SIM_PASS;
    }
    outage->lost_count++;
    return SIM_DROP;
}

/* An outage that took a large window leaves the packet size alone, even when of the probes behind
 * it the small one comes through first. */
START_TEST(outage_is_no_black_hole)
{
    struct sim *sim = create_pair(NULL);
    struct sim_session *session = open_pair(sim);

    send_messages(session, 300, 1200);
    run_until_delivered(sim);
    struct outage outage = {.end_us = sim->now_us + RUDP_US_PER_S};

    sim->tap = take_outage;
    sim->tap_context = &outage;
    send_messages(session, 300, 1200);
    run_until_delivered(sim);
    ck_assert(outage.small_passed);
    ck_assert_uint_ge(outage.lost_count, 30);
    ck_assert_uint_eq(sim_stats(session).packet_bytes, RUDP_PACKET_BYTES_BASE);
    finish(sim);
}
END_TEST

/* A burst that a full queue swallowed leaves the packet size alone: what came after it arrived. */
START_TEST(burst_loss_is_no_black_hole)
{
    struct sim *sim = create_pair(NULL);
    struct sim_session *session = open_pair(sim);

    send_messages(session, 300, 1200);
    run_until_delivered(sim);
    uint32_t packet_bytes = sim_stats(session).packet_bytes;

    sim_drop_next(sim, SIM_CLIENT, SIM_SERVER, 30);
    send_messages(session, 300, 1200);
    run_until_delivered(sim);
    ck_assert_uint_ge(sim_stats(session).lost_packet_count, 30);
    ck_assert_uint_eq(sim_stats(session).packet_bytes, packet_bytes);
    finish(sim);
}
END_TEST

/* Sends bytes in messages of 50,000 through a fresh session; how long until all were read. */
static uint64_t time_transfer_us(struct sim *sim, uint64_t bytes)
{
    struct sim_app app = {
        .message_count = (uint32_t)(bytes / 50000), .bytes_min = 50000, .bytes_max = 50000};
    uint64_t start_us = sim->now_us;

    sim_open(sim, SIM_CLIENT, SIM_SERVER, &app);
    ck_assert(sim_run_until(sim, sim_is_settled, start_us + 600 * (uint64_t)RUDP_US_PER_S));
    return sim->now_us - start_us;
}

/* 10 MB over 100 Mbit/s and 10 ms of round trip take at most 1.5 times what the link needs. */
START_TEST(bulk_uses_the_link)
{
    const uint64_t bytes = 10000000;
    const uint64_t rate_bytes_per_s = 12500000;
    struct sim *sim =
        sim_create(&(struct sim_options){.seed = 7, .latency_us = 5 * RUDP_US_PER_MS});

    for (uint32_t from = SIM_CLIENT; from <= SIM_SERVER; from++) {
        struct sim_link_options *link = &sim_link(sim, from, 1 - from)->options;

        link->rate_bytes_per_s = rate_bytes_per_s;
        link->queue_bytes_max = rate_bytes_per_s / 100; /* one round trip's worth */
    }
    uint64_t ideal_us = bytes * RUDP_US_PER_S / rate_bytes_per_s;
    uint64_t took_us = time_transfer_us(sim, bytes);

    printf("10 MB over 100 Mbit/s, 10 ms: %" PRIu64 " %% of the ideal time\n",
           took_us * 100 / ideal_us);
    ck_assert_uint_le(took_us, ideal_us + ideal_us / 2);
    finish(sim);
}
END_TEST

/* A megabyte gets through a link that loses every fifth packet each way. */
START_TEST(bulk_completes_at_20_percent_loss)
{
    struct sim *sim = sim_create(&(struct sim_options){.seed = 7, .latency_us = LATENCY_US});

    for (uint32_t from = SIM_CLIENT; from <= SIM_SERVER; from++)
        sim_link(sim, from, 1 - from)->options.loss_ppm = SIM_PPM / 5;
    printf("1 MB at 20 %% loss, 20 ms: %" PRIu64 " ms\n",
           time_transfer_us(sim, 1000000) / RUDP_US_PER_MS);
    finish(sim);
}
END_TEST

/* A peer that lacks memory for much longer than all probes take answers them, though it has given
 * back what an idle session can: when it has memory again, everything arrives. */
START_TEST(peer_without_memory_is_not_dead)
{
    struct sim *sim = create_pair(NULL);
    struct sim_session *session = open_pair(sim);
    struct sim_node *server = &sim->nodes[SIM_SERVER];

    sim_run_for_us(sim, 10 * RUDP_US_PER_S);
    server->memory.limit_bytes = server->memory.used_bytes;
    send_messages(session, 100, PAYLOAD_BYTES);
    sim_run_for_us(sim, 300 * RUDP_US_PER_S);
    ck_assert_msg(!sim->failed, "%s", sim->failure);
    ck_assert_uint_gt(sim_stats(session).probe_count, 2 * session->node->config.retry_count_max);
    ck_assert_uint_gt(sim_endpoint_stats(server).dropped_count[RUDP_DROP_MEMORY], 0);
    ck_assert_uint_eq(server_side(sim)->read_count, 0);
    server->memory.limit_bytes = 0;
    run_until_delivered(sim);
    ck_assert_uint_eq(server_side(sim)->read_count, 100);
    finish(sim);
}
END_TEST

/* Both windows opened, and what that took given back again. */
static struct sim *create_used_pair(void)
{
    struct sim *sim = create_pair(NULL);
    struct sim_session *session = open_pair(sim);

    send_messages(session, WARM_COUNT, PAYLOAD_BYTES);
    send_messages(server_side(sim), WARM_COUNT, PAYLOAD_BYTES);
    run_until_delivered(sim);
    sim_run_for_us(sim, 10 * RUDP_US_PER_S);
    return sim;
}

/* Sends so much that the ledger is full, without memory for a larger one or anything else. */
static void fill_ledger(struct sim_session *session)
{
    struct sim_memory *memory = &session->node->memory;

    sim_node_enter(session->node);
    send_messages(session, WARM_COUNT, PAYLOAD_BYTES);
    memory->limit_bytes = memory->used_bytes + LEDGER_BYTES_MAX;
    sim_node_leave(session->node);
}

/* When neither side can note one more packet, both still speak; and memory on one of them gets both
 * out of it. */
START_TEST(peers_without_memory_are_not_dead)
{
    struct sim *sim = create_used_pair();
    struct sim_session *client = sim_latest(sim, SIM_CLIENT);
    struct sim_session *server = server_side(sim);

    fill_ledger(client);
    fill_ledger(server);
    sim_run_for_us(sim, 300 * RUDP_US_PER_S);
    ck_assert_msg(!sim->failed, "%s", sim->failure);
    ck_assert_uint_eq(server->read_count, WARM_COUNT);
    ck_assert_uint_eq(client->read_count, WARM_COUNT);
    server->node->memory.limit_bytes = 0;
    run_until_delivered(sim);
    ck_assert_uint_eq(server->read_count, 2 * WARM_COUNT);
    ck_assert_uint_eq(client->read_count, 2 * WARM_COUNT);
    finish(sim);
}
END_TEST

/* A sender whose packets in flight are all lost, and that has no memory to note one more, sends its
 * probes nevertheless. */
START_TEST(probes_need_no_memory)
{
    struct sim *sim = create_used_pair();
    struct sim_session *client = sim_latest(sim, SIM_CLIENT);

    sim_drop_next(sim, SIM_CLIENT, SIM_SERVER, LEDGER_PACKETS);
    fill_ledger(client);
    run_until_delivered(sim);
    ck_assert_uint_ge(sim_stats(client).probe_count, 1);
    ck_assert_uint_eq(server_side(sim)->read_count, 2 * WARM_COUNT);
    finish(sim);
}
END_TEST

int main(void)
{
    return SUITE_RUN("recovery", loss_resends_at_probe_timeout, measured_round_trip_is_the_path,
                     gap_is_repaired_without_timeout, ranges_repair_every_gap_and_nothing_else,
                     spurious_loss_is_undone, time_threshold_adapts_to_reordering,
                     duplicate_is_known_after_8192_packets, duplicates_are_dropped_and_counted,
                     silent_peer_is_dead_after_retries, outage_is_survived,
                     black_hole_makes_packets_smaller, silent_black_hole_makes_packets_smaller,
                     black_hole_to_a_pinging_peer_makes_packets_smaller, outage_is_no_black_hole,
                     burst_loss_is_no_black_hole, bulk_uses_the_link,
                     bulk_completes_at_20_percent_loss, peer_without_memory_is_not_dead,
                     peers_without_memory_are_not_dead, probes_need_no_memory);
}
