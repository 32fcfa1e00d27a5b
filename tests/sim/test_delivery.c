#include "tests/sim/fixture.h"

#define KIB ((size_t)1024)

/* A lone small message is read one latency after it was sent: nothing waits for company. */
START_TEST(lone_message_leaves_at_once)
{
    struct sim *sim = create_pair(NULL);
    struct sim_session *session = open_pair(sim);

    send_messages(session, 1, 1);
    sim_run_for_us(sim, LATENCY_US);
    ck_assert_uint_eq(server_side(sim)->read_count, 1);
    finish(sim);
}
END_TEST

/* A thousand messages of ten bytes, handed over together, need as many packets as their bytes. */
START_TEST(many_messages_share_a_packet)
{
    struct sim *sim = create_pair(NULL);
    struct sim_session *session = open_pair(sim);
    uint64_t packet_count = sim_stats(session).sent_packet_count;

    send_messages(session, 1000, 10);
    run_until_delivered(sim);
    packet_count = sim_stats(session).sent_packet_count - packet_count;
    ck_assert_uint_le(packet_count, 1000 * 11 / (RUDP_PACKET_BYTES_BASE - 100) + 1);
    finish(sim);
}
END_TEST

/* Every size arrives as it was sent, boundaries included: none, around a packet, the largest. */
START_TEST(sizes_keep_their_boundaries)
{
    static const size_t sizes[] = {0, 1, 0, 100, 63, 64, 1200, 1201, 9000, 16383, 16384, 65507};
    struct sim *sim = create_pair(NULL);
    struct sim_session *session = open_pair(sim);
    size_t count = sizeof sizes / sizeof sizes[0];

    for (size_t i = 0; i < count; i++)
        send_messages(session, 1, sizes[i]);
    run_until_delivered(sim);
    ck_assert_uint_eq(server_side(sim)->read_count, count);
    finish(sim);
}
END_TEST

/* Drops the packet with the first of three messages; how many were read while it was missing. */
static uint32_t read_around_gap(enum rudp_order order)
{
    struct rudp_config config = default_config();

    config.order = order;
    struct sim *sim = create_pair(&config);
    struct sim_session *session = open_pair(sim);

    sim_drop_next(sim, SIM_CLIENT, SIM_SERVER, 1);
    for (uint32_t i = 0; i < 3; i++)
        send_messages(session, 1, 100);
    sim_run_for_us(sim, LATENCY_US);
    uint32_t read_count = server_side(sim)->read_count;

    run_until_delivered(sim);
    ck_assert_uint_eq(server_side(sim)->read_count, 3);
    finish(sim);
    return read_count;
}

/* Ordered delivery waits for what was lost. */
START_TEST(ordered_waits_for_the_gap)
{
    ck_assert_uint_eq(read_around_gap(RUDP_ORDERED), 0);
}
END_TEST

/* Unordered delivery does not. */
START_TEST(unordered_delivers_around_the_gap)
{
    ck_assert_uint_eq(read_around_gap(RUDP_UNORDERED), 2);
}
END_TEST

/* Fills the session until it refuses; how many messages it took. */
static uint32_t fill(struct sim_session *session, size_t bytes)
{
    enum rudp_status status;
    uint32_t count = 0;

    while ((status = sim_send(session, bytes)) == RUDP_OK) {
        sim_run_for_us(session->sim, RUDP_US_PER_MS);
        count++;
    }
    ck_assert_int_eq(status, RUDP_E_FULL);
    session->waits_writable = true;
    return count;
}

/* A reader that reads nothing holds no more than its buffer, and the sender is told FULL; when it
 * reads again the sender becomes writable and everything arrives. */
START_TEST(closed_window_reopens)
{
    struct rudp_config config = default_config();

    config.send_buffer_bytes = 256 * KIB;
    config.receive_buffer_bytes = 128 * KIB;
    struct sim *sim = create_pair(&config);
    struct sim_session *session = open_pair(sim);

    send_messages(session, 10, 5000);
    run_until_delivered(sim);
    sim_pause_reading(server_side(sim));
    fill(session, 5000);
    sim_run_for_us(sim, 5 * RUDP_US_PER_S);
    ck_assert_uint_le(sim_stats(server_side(sim)).unread_bytes, config.receive_buffer_bytes);
    ck_assert(session->waits_writable);
    sim_resume_reading(server_side(sim));
    run_until_delivered(sim);
    ck_assert(!session->waits_writable);
    finish(sim);
}
END_TEST

/* What an earlier incarnation of the peer left unread takes room from the next one, which sends no
 * more than there is room for, and waits for the reader as long as it takes. */
START_TEST(unread_incarnation_takes_room_from_the_next)
{
    struct rudp_config config = default_config();

    config.receive_buffer_bytes = 128 * KIB;
    config.keepalive_us = 0;
    struct sim *sim = create_pair(&config);
    struct sim_session *session = open_pair(sim);

    sim_pause_reading(session);
    send_messages(server_side(sim), 25, 5000);
    sim_run_for_us(sim, 10 * RTT_US);
    sim_restart(sim, SIM_SERVER);
    send_messages(session, 1, 100); /* finds that out */
    sim_run_for_us(sim, 10 * RTT_US);
    ck_assert_uint_eq(sim_stats(session).restart_count, 1);
    send_messages(server_side(sim), 10, 5000);
    sim_run_for_us(sim, 120 * (uint64_t)RUDP_US_PER_S);
    ck_assert_uint_eq(sim_endpoint_stats(session->node).dropped_count[RUDP_DROP_CREDIT], 0);
    ck_assert(!server_side(sim)->closed);
    sim_resume_reading(session);
    run_until_delivered(sim);
    ck_assert_uint_eq(session->read_count, 35);
    finish(sim);
}
END_TEST

/* The news of an open window may get lost: the sender learns of it all the same. */
START_TEST(lost_credit_is_repeated)
{
    struct rudp_config config = default_config();

    config.receive_buffer_bytes = 128 * KIB;
    struct sim *sim = create_pair(&config);
    struct sim_session *session = open_pair(sim);

    sim_pause_reading(server_side(sim));
    send_messages(session, 50, 5000);
    sim_run_for_us(sim, 5 * RUDP_US_PER_S);
    sim_drop_next(sim, SIM_SERVER, SIM_CLIENT, 8);
    sim_resume_reading(server_side(sim));
    run_until_delivered(sim);
    finish(sim);
}
END_TEST

/* A peer that does not read fills its own session only: another one at the same socket goes on. */
START_TEST(back_pressure_is_per_session)
{
    enum {
        OTHER = 2
    };
    struct rudp_config config = default_config();

    config.send_buffer_bytes = 128 * KIB;
    struct sim *sim = sim_create(&(struct sim_options){
        .seed = 7, .node_count = 3, .latency_us = LATENCY_US, .config = &config});
    struct sim_session *stalled = open_pair(sim);
    struct sim_session *flowing = sim_open(sim, SIM_CLIENT, OTHER, NULL);

    sim_pause_reading(server_side(sim));
    fill(stalled, 5000);
    send_messages(flowing, 20, 5000);
    sim_run_for_us(sim, RUDP_US_PER_S);
    ck_assert_uint_eq(sim_latest(sim, OTHER)->read_count, 20);
    ck_assert(stalled->waits_writable);
    finish(sim);
}
END_TEST

/* A message longer than any datagram is refused, and nothing of it is kept. */
START_TEST(too_long_message_is_refused)
{
    static uint8_t data[RUDP_MESSAGE_BYTES_MAX + 1];
    struct sim *sim = create_pair(NULL);
    struct sim_session *session = open_pair(sim);
    struct rudp_slice slice = {data, sizeof data};

    ck_assert_int_eq(
        rudp_session_send(session->node->endpoint, session->core, &slice, 1, sim->now_us),
        RUDP_E_TOO_LONG);
    ck_assert_uint_eq(sim_stats(session).queued_bytes, 0);
    finish(sim);
}
END_TEST

/* When memory is short the sender is told, becomes writable when there is some, and nothing that
 * was accepted is lost. */
START_TEST(short_memory_is_back_pressure)
{
    struct sim *sim = create_pair(NULL);
    struct sim_app app = {.message_count = 100, .bytes_min = 20000, .bytes_max = 20000};

    sim->nodes[SIM_CLIENT].memory.limit_bytes = 300 * KIB;
    struct sim_session *session = sim_open(sim, SIM_CLIENT, SIM_SERVER, &app);

    run_until_delivered(sim);
    ck_assert_uint_gt(session->full_count, 0);
    ck_assert_uint_eq(session->flow.prefix_count, 100);
    finish(sim);
}
END_TEST

/* An established session that fell idle, and had carried a megabyte each way, is small. */
START_TEST(idle_session_is_small)
{
    enum {
        NODE_COUNT = 33
    };
    const size_t goal_bytes = 2 * KIB;
    struct rudp_config config = default_config();

    config.keepalive_us = 0;
    struct sim *sim = sim_create(&(struct sim_options){
        .seed = 7, .node_count = NODE_COUNT, .latency_us = LATENCY_US, .config = &config});
    struct sim_node *server = &sim->nodes[SIM_SERVER];
    size_t empty_bytes = server->memory.used_bytes;

    for (uint32_t i = 0; i < NODE_COUNT; i++)
        if (i != SIM_SERVER)
            send_messages(sim_open(sim, i, SIM_SERVER, NULL), 20, 50000);
    run_until_delivered(sim);
    for (uint32_t i = 0; i < sim->session_count; i++)
        if (sim->sessions[i]->node == server)
            send_messages(sim->sessions[i], 20, 50000);
    run_until_delivered(sim);
    sim_run_for_us(sim, 10 * RUDP_US_PER_S);
    size_t session_bytes = (server->memory.used_bytes - empty_bytes) / (NODE_COUNT - 1);

    printf("an idle session takes %zu bytes\n", session_bytes);
    ck_assert_uint_le(session_bytes, goal_bytes);
    finish(sim);
}
END_TEST

/* An idle session costs no packets between keepalives, and one for each. */
START_TEST(keepalive_is_the_only_idle_traffic)
{
    struct rudp_config config = default_config();

    struct rudp_config server_config = config;

    config.keepalive_us = 10 * RUDP_US_PER_S;
    server_config.keepalive_us = 0; /* only answers */
    struct sim *sim = sim_create(&(struct sim_options){
        .seed = 7, .latency_us = LATENCY_US, .config = &config, .server_config = &server_config});

    open_pair(sim);
    sim_run_for_us(sim, 5 * RUDP_US_PER_S);
    uint64_t quiet_count = sim->nodes[SIM_CLIENT].sent_packet_count;

    sim_run_for_us(sim, 4 * RUDP_US_PER_S);
    ck_assert_uint_eq(sim->nodes[SIM_CLIENT].sent_packet_count, quiet_count);
    sim_run_for_us(sim, 3 * RUDP_US_PER_S);
    ck_assert_uint_eq(sim->nodes[SIM_CLIENT].sent_packet_count, quiet_count + 1);
    finish(sim);
}
END_TEST

/* Nothing heard for the idle timeout ends the session, not earlier. */
START_TEST(silence_ends_at_idle_timeout)
{
    struct rudp_config config = default_config();

    config.keepalive_us = 0;
    config.idle_timeout_us = 30 * RUDP_US_PER_S;
    struct sim *sim = create_pair(&config);

    sim->reasons_allowed = 1u << RUDP_CLOSE_REASON_IDLE | 1u << RUDP_CLOSE_REASON_PEER_ABORTED;
    struct sim_session *session = open_pair(sim);
    uint64_t established_us = session->established_us;

    sim_run_until_us(sim, established_us + config.idle_timeout_us - 1);
    ck_assert(!session->closed);
    sim_run_for_us(sim, RTT_US + RUDP_US_PER_S);
    ck_assert(session->closed);
    finish(sim);
}
END_TEST

/* A reader that offers too little room is told how much the message needs, and gets it then. */
START_TEST(short_buffer_leaves_the_message)
{
    struct sim *sim = create_pair(NULL);
    struct sim_session *session = open_pair(sim);
    uint8_t buffer[100];
    size_t bytes = 0;

    sim_pause_reading(server_side(sim));
    send_messages(session, 1, sizeof buffer);
    sim_run_for_us(sim, LATENCY_US);
    struct sim_session *reader = server_side(sim);

    ck_assert_int_eq(rudp_session_peek(reader->node->endpoint, reader->core, buffer, 10, &bytes),
                     RUDP_E_BUFFER);
    ck_assert_uint_eq(bytes, sizeof buffer);
    sim_resume_reading(reader);
    ck_assert_uint_eq(reader->read_count, 1);
    finish(sim);
}
END_TEST

int main(void)
{
    return SUITE_RUN(
        "delivery", lone_message_leaves_at_once, many_messages_share_a_packet,
        sizes_keep_their_boundaries, ordered_waits_for_the_gap, unordered_delivers_around_the_gap,
        closed_window_reopens, unread_incarnation_takes_room_from_the_next, lost_credit_is_repeated,
        back_pressure_is_per_session, too_long_message_is_refused, short_memory_is_back_pressure,
        idle_session_is_small, keepalive_is_the_only_idle_traffic, silence_ends_at_idle_timeout,
        short_buffer_leaves_the_message);
}
