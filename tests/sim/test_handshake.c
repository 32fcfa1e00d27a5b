#include "core/wire.h"
#include "tests/sim/attack.h"
#include "tests/sim/fixture.h"

#include <string.h>

/* What leaves a node, for tests that look at packets. */
struct capture {
    const struct sim_node *from; /* whose packets */
    uint32_t counts[RUDP_PACKET_RESET + 1];
    struct rudp_header last;
};

static enum sim_fate capture_packet(void *context, struct sim *sim, const struct sim_node *from,
                                    const uint8_t *packet, size_t bytes)
{
    struct capture *capture = context;
    struct rudp_header header;
    struct rudp_reader frames;

    (void)sim;
    if (from != capture->from)
        return SIM_PASS;
    ck_assert_int_eq(rudp_wire_read_packet(packet, bytes, &header, &frames), RUDP_OK);
    capture->counts[header.type]++;
    capture->last = header;
    return SIM_PASS;
}

static void watch(struct sim *sim, uint32_t node, struct capture *capture)
{
    *capture = (struct capture){.from = &sim->nodes[node]};
    sim->tap = capture_packet;
    sim->tap_context = capture;
}

/* A message sent together with the open is read when the hello arrives: no extra round trip. */
START_TEST(hello_carries_first_message)
{
    struct sim *sim = create_pair(NULL);

    sim_node_enter(&sim->nodes[SIM_CLIENT]);
    struct sim_session *session = sim_open(sim, SIM_CLIENT, SIM_SERVER, NULL);

    send_messages(session, 1, 100);
    sim_node_leave(&sim->nodes[SIM_CLIENT]);
    sim_run_for_us(sim, LATENCY_US);
    ck_assert_uint_eq(server_side(sim)->read_count, 1);
    finish(sim);
}
END_TEST

/* What the acceptor sends at once comes with its answer to the hello. */
START_TEST(hello_ack_carries_answer)
{
    struct sim *sim = create_pair(NULL);

    sim->nodes[SIM_SERVER].accept_app =
        (struct sim_app){.message_count = 1, .bytes_min = 50, .bytes_max = 50};
    struct sim_session *session = sim_open(sim, SIM_CLIENT, SIM_SERVER, NULL);

    sim_run_for_us(sim, RTT_US);
    ck_assert_uint_eq(session->read_count, 1);
    finish(sim);
}
END_TEST

/* A lost hello is sent again when the initial probe timeout passes, and not earlier. */
START_TEST(lost_hello_is_resent_at_initial_timeout)
{
    struct sim *sim = create_pair(NULL);
    uint64_t timeout_us = sim->nodes[SIM_CLIENT].config.rto_initial_us;

    sim_drop_next(sim, SIM_CLIENT, SIM_SERVER, 1);
    sim_open(sim, SIM_CLIENT, SIM_SERVER, NULL);
    sim_run_for_us(sim, timeout_us - 1);
    ck_assert_uint_eq(sim->nodes[SIM_CLIENT].sent_packet_count, 1);
    sim_run_for_us(sim, 1 + TICK_US);
    ck_assert_uint_eq(sim->nodes[SIM_CLIENT].sent_packet_count, 2);
    finish(sim);
}
END_TEST

/* A repeated hello, whose answer was lost, makes no second session. */
START_TEST(repeated_hello_is_the_same_session)
{
    struct sim *sim = create_pair(NULL);

    sim_drop_next(sim, SIM_SERVER, SIM_CLIENT, 3);
    sim_open(sim, SIM_CLIENT, SIM_SERVER, NULL);
    sim_run_for_us(sim, 5 * RUDP_US_PER_S);
    ck_assert(sim_latest(sim, SIM_CLIENT)->established);
    ck_assert_uint_eq(sim_endpoint_stats(&sim->nodes[SIM_SERVER]).session_count, 1);
    finish(sim);
}
END_TEST

/* With nobody there the session ends when the connect timeout passes, and says what was not sent.
 */
START_TEST(connect_timeout_reports_undelivered)
{
    struct sim *sim = create_pair(NULL);
    uint64_t timeout_us = sim->nodes[SIM_CLIENT].config.connect_timeout_us;

    sim_link(sim, SIM_CLIENT, SIM_SERVER)->options.loss_ppm = SIM_PPM;
    struct sim_session *session = sim_open(sim, SIM_CLIENT, SIM_SERVER, NULL);

    send_messages(session, 1, 100);
    sim_run_for_us(sim, timeout_us - 1);
    ck_assert(!session->closed);
    sim_run_for_us(sim, 1 + TICK_US);
    ck_assert(session->closed);
    ck_assert_int_eq(session->reason, RUDP_CLOSE_REASON_CONNECT_TIMEOUT);
    ck_assert_uint_eq(session->undelivered_bytes, sim_flow_offset(&session->flow, 1));
    finish(sim);
}
END_TEST

/* Two hellos that cross make one session: each side has the one it opened. */
START_TEST(simultaneous_open_is_one_session)
{
    struct sim *sim = create_pair(NULL);
    struct sim_session *client = sim_open(sim, SIM_CLIENT, SIM_SERVER, NULL);
    struct sim_session *server = sim_open(sim, SIM_SERVER, SIM_CLIENT, NULL);

    send_messages(client, 10, 500);
    send_messages(server, 10, 500);
    run_until_delivered(sim);
    sim_run_for_us(sim, RUDP_US_PER_S);
    ck_assert(client->established);
    ck_assert(server->established);
    ck_assert_uint_eq(sim_endpoint_stats(client->node).session_count, 1);
    ck_assert_uint_eq(sim_endpoint_stats(server->node).session_count, 1);
    finish(sim);
}
END_TEST

/* An endpoint that accepts no sessions counts a hello and does not answer it. */
START_TEST(refused_hello_is_counted)
{
    struct rudp_config config = default_config();

    config.accepts_sessions = false;
    struct sim *sim = create_pair(&config);

    sim_open(sim, SIM_CLIENT, SIM_SERVER, NULL);
    sim_run_for_us(sim, RTT_US);
    struct rudp_endpoint_stats stats = sim_endpoint_stats(&sim->nodes[SIM_SERVER]);

    ck_assert_uint_eq(stats.dropped_count[RUDP_DROP_REFUSED], 1);
    ck_assert_uint_eq(sim->nodes[SIM_SERVER].sent_packet_count, 0);
    finish(sim);
}
END_TEST

/* More callers than half-open sessions are allowed all get through, by cookie. */
START_TEST(cookies_let_a_crowd_in)
{
    enum {
        NODE_COUNT = 21,
        HALF_OPEN_MAX = 4
    };
    struct rudp_config config = default_config();

    config.half_open_count_max = HALF_OPEN_MAX;
    struct sim *sim = sim_create(&(struct sim_options){
        .seed = 7, .node_count = NODE_COUNT, .latency_us = LATENCY_US, .config = &config});

    for (uint32_t i = 0; i < NODE_COUNT; i++)
        if (i != SIM_SERVER)
            send_messages(sim_open(sim, i, SIM_SERVER, NULL), 3, 200);
    run_until_delivered(sim);
    struct rudp_endpoint_stats stats = sim_endpoint_stats(&sim->nodes[SIM_SERVER]);

    ck_assert_uint_eq(stats.session_count, NODE_COUNT - 1);
    ck_assert_uint_eq(stats.dropped_count[RUDP_DROP_TOKEN], NODE_COUNT - 1 - HALF_OPEN_MAX);
    finish(sim);
}
END_TEST

/* A flood of hellos from made-up addresses keeps no more state than the half-open limit. */
START_TEST(hello_flood_keeps_bounded_state)
{
    enum {
        FLOOD_COUNT = 2000,
        HALF_OPEN_MAX = 4
    };
    struct rudp_config config = default_config();
    uint8_t packet[RUDP_PACKET_BYTES_BASE];
    size_t used_bytes = 0;

    config.half_open_count_max = HALF_OPEN_MAX;
    struct sim *sim = create_pair(&config);
    struct sim_node *server = &sim->nodes[SIM_SERVER];

    for (uint32_t i = 0; i < FLOOD_COUNT; i++) {
        struct rudp_address source = sim_stranger(i);

        sim_forge_hello(packet, sizeof packet, RUDP_WIRE_VERSION, 1000 + i);
        sim_inject(sim, SIM_SERVER, &source, packet, sizeof packet);
        sim_run_for_us(sim, 10);
        if (i == HALF_OPEN_MAX)
            used_bytes = server->memory.used_bytes;
    }
    ck_assert_uint_eq(sim_endpoint_stats(server).half_open_count, HALF_OPEN_MAX);
    ck_assert_uint_le(server->memory.used_bytes, used_bytes);
    finish(sim);
}
END_TEST

/* To an address that is not proven the acceptor sends at most three times what came from there,
 * however much its program has to say. */
START_TEST(unproven_address_gets_three_times)
{
    struct sim *sim = create_pair(NULL);
    struct sim_node *server = &sim->nodes[SIM_SERVER];
    struct rudp_address source = sim_stranger(1);
    uint8_t packet[RUDP_PACKET_BYTES_BASE];

    server->accept_app =
        (struct sim_app){.message_count = 50, .bytes_min = 9000, .bytes_max = 9000};
    sim_forge_hello(packet, sizeof packet, RUDP_WIRE_VERSION, 77);
    sim_inject(sim, SIM_SERVER, &source, packet, sizeof packet);
    sim_run_for_us(sim, server->config.connect_timeout_us + RUDP_US_PER_S);
    ck_assert_uint_eq(server->contact_count, 1);
    ck_assert_uint_le(server->contacts[0].sent_bytes, 3 * sizeof packet);
    ck_assert_uint_gt(server->contacts[0].sent_bytes, sizeof packet);
    finish(sim);
}
END_TEST

/* A hello of a version that is not spoken here is answered with those that are. */
START_TEST(unknown_version_is_answered_by_list)
{
    struct sim *sim = create_pair(NULL);
    struct rudp_address source = sim_stranger(1);
    uint8_t packet[RUDP_PACKET_BYTES_BASE];
    struct capture capture;

    watch(sim, SIM_SERVER, &capture);
    sim_forge_hello(packet, sizeof packet, RUDP_WIRE_VERSION + 1, 77);
    sim_inject(sim, SIM_SERVER, &source, packet, sizeof packet);
    sim_run_for_us(sim, RUDP_US_PER_S);
    ck_assert_uint_eq(capture.counts[RUDP_PACKET_VERSION], 1);
    ck_assert_uint_eq(capture.last.destination_id, 77);
    ck_assert_uint_eq(capture.last.versions[0], RUDP_WIRE_VERSION);
    ck_assert_uint_eq(sim_endpoint_stats(&sim->nodes[SIM_SERVER]).session_count, 0);
    finish(sim);
}
END_TEST

/* Injects a VERSION packet that offers that version, for the opener's latest hello. */
static void offer_version(struct sim *sim, const struct capture *capture, uint32_t version)
{
    uint8_t packet[RUDP_PACKET_BYTES_BASE];
    struct rudp_header header = {.type = RUDP_PACKET_VERSION,
                                 .destination_id = capture->last.source_id,
                                 .version_count = 1,
                                 .versions = {version}};
    struct rudp_writer writer = {packet, 0, sizeof packet};

    rudp_wire_write_header(&writer, &header);
    rudp_wire_write_check(&writer);
    sim_inject(sim, SIM_CLIENT, &sim->nodes[SIM_SERVER].address, packet, writer.used_bytes);
}

/* An opener whose peer speaks no version of ours gives up at once. */
START_TEST(no_common_version_ends_the_session)
{
    struct sim *sim = create_pair(NULL);
    struct capture capture;

    watch(sim, SIM_CLIENT, &capture);
    sim_drop_next(sim, SIM_CLIENT, SIM_SERVER, 1);
    struct sim_session *session = sim_open(sim, SIM_CLIENT, SIM_SERVER, NULL);

    offer_version(sim, &capture, RUDP_WIRE_VERSION + 1);
    sim_run_for_us(sim, 1);
    ck_assert(session->closed);
    ck_assert_int_eq(session->reason, RUDP_CLOSE_REASON_VERSION);
    finish(sim);
}
END_TEST

/* A refused version that comes after the peer answered is forged, or late: it changes nothing. */
START_TEST(version_is_ignored_once_answered)
{
    struct sim *sim = create_pair(NULL);
    struct capture capture;

    watch(sim, SIM_CLIENT, &capture);
    struct sim_session *session = sim_open(sim, SIM_CLIENT, SIM_SERVER, NULL);
    struct capture hello = capture;

    sim_run_for_us(sim, 2 * RTT_US);
    offer_version(sim, &hello, RUDP_WIRE_VERSION + 1);
    send_messages(session, 1, 100);
    run_until_delivered(sim);
    ck_assert(!session->closed);
    finish(sim);
}
END_TEST

/* A damaged hello is counted as damaged and nothing else happens. */
START_TEST(damaged_hello_is_counted)
{
    struct sim *sim = create_pair(NULL);

    sim_link(sim, SIM_CLIENT, SIM_SERVER)->options.corrupt_ppm = SIM_PPM;
    sim_open(sim, SIM_CLIENT, SIM_SERVER, NULL);
    sim_run_for_us(sim, RTT_US);
    struct rudp_endpoint_stats stats = sim_endpoint_stats(&sim->nodes[SIM_SERVER]);

    ck_assert_uint_eq(stats.session_count, 0);
    ck_assert_uint_eq(sim->nodes[SIM_SERVER].received_packet_count, 1);
    ck_assert_uint_eq(sim->nodes[SIM_SERVER].sent_packet_count, 0);
    finish(sim);
}
END_TEST

/* A session that the acceptor's program gives up before its first answer arrives ends at the
 * opener too, and its messages are not delivered again. */
START_TEST(abort_before_the_answer_reaches_the_opener)
{
    struct sim *sim = create_pair(NULL);

    sim->reasons_allowed = 1u << RUDP_CLOSE_REASON_ABORTED | 1u << RUDP_CLOSE_REASON_PEER_ABORTED;
    sim->nodes[SIM_SERVER].accept_app = (struct sim_app){.end = SIM_END_AT, .aborts = true};
    sim_drop_next(sim, SIM_SERVER, SIM_CLIENT, 2); /* the answer and the CLOSE */
    struct sim_session *session = sim_open(sim, SIM_CLIENT, SIM_SERVER, NULL);

    send_messages(session, 1, 100);
    sim_run_for_us(sim, session->node->config.connect_timeout_us / 2);
    ck_assert(session->closed);
    ck_assert_int_eq(session->reason, RUDP_CLOSE_REASON_PEER_ABORTED);
    ck_assert_uint_eq(sim->session_count, 2);
    finish(sim);
}
END_TEST

int main(void)
{
    return SUITE_RUN("handshake", hello_carries_first_message, hello_ack_carries_answer,
                     lost_hello_is_resent_at_initial_timeout, repeated_hello_is_the_same_session,
                     connect_timeout_reports_undelivered, simultaneous_open_is_one_session,
                     refused_hello_is_counted, cookies_let_a_crowd_in,
                     hello_flood_keeps_bounded_state, unproven_address_gets_three_times,
                     unknown_version_is_answered_by_list, no_common_version_ends_the_session,
                     version_is_ignored_once_answered, damaged_hello_is_counted,
                     abort_before_the_answer_reaches_the_opener);
}
