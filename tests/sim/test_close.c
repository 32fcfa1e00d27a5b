#include "core/wire.h"
#include "tests/sim/attack.h"
#include "tests/sim/fixture.h"

#define GRACEFUL (1u << RUDP_CLOSE_REASON_LOCAL | 1u << RUDP_CLOSE_REASON_PEER)
#define ABORTIVE (1u << RUDP_CLOSE_REASON_ABORTED | 1u << RUDP_CLOSE_REASON_PEER_ABORTED)

static bool is_closed_everywhere(const struct sim *sim)
{
    for (uint32_t i = 0; i < sim->session_count; i++)
        if (!sim->sessions[i]->closed)
            return false;
    return true;
}

static void run_until_closed(struct sim *sim)
{
    bool closed =
        sim_run_until(sim, is_closed_everywhere, sim->now_us + 60 * (uint64_t)RUDP_US_PER_S);

    ck_assert_msg(!sim->failed, "%s", sim->failure);
    ck_assert(closed);
}

/* A close right after the last send loses nothing, though the path loses a fifth. */
START_TEST(close_delivers_what_was_accepted)
{
    struct sim *sim = create_pair(NULL);

    sim->reasons_allowed = GRACEFUL;
    for (uint32_t from = SIM_CLIENT; from <= SIM_SERVER; from++)
        sim_link(sim, from, 1 - from)->options.loss_ppm = SIM_PPM / 5;
    struct sim_session *session = sim_open(sim, SIM_CLIENT, SIM_SERVER, NULL);

    send_messages(session, 100, 1000);
    sim_close(session);
    run_until_closed(sim);
    ck_assert_int_eq(session->reason, RUDP_CLOSE_REASON_LOCAL);
    ck_assert_uint_eq(session->undelivered_bytes, 0);
    ck_assert_uint_eq(session->flow.prefix_count, 100);
    ck_assert_int_eq(server_side(sim)->reason, RUDP_CLOSE_REASON_PEER);
    finish(sim);
}
END_TEST

/* When both sides close at once, both are done after one exchange, and neither calls it an error.
 */
START_TEST(both_sides_may_close)
{
    struct sim *sim = create_pair(NULL);

    sim->reasons_allowed = GRACEFUL;
    struct sim_session *session = open_pair(sim);

    sim_close(session);
    sim_close(server_side(sim));
    sim_run_for_us(sim, 2 * RTT_US);
    ck_assert(session->closed);
    ck_assert(server_side(sim)->closed);
    ck_assert_int_eq(session->reason, RUDP_CLOSE_REASON_LOCAL);
    ck_assert_int_eq(server_side(sim)->reason, RUDP_CLOSE_REASON_LOCAL);
    finish(sim);
}
END_TEST

/* Two programs that end with more to send than the other gave credit for do not wait for each other
 * until the linger time: what neither reads is thrown away and reported. */
START_TEST(both_sides_may_close_with_full_windows)
{
    struct rudp_config config = default_config();

    config.receive_buffer_bytes = RUDP_BUFFER_BYTES_MIN;
    struct sim *sim = create_pair(&config);

    sim->reasons_allowed = GRACEFUL;
    struct sim_session *session = open_pair(sim);
    struct sim_session *other = server_side(sim);

    sim_pause_reading(session);
    sim_pause_reading(other);
    send_messages(session, 40, 9000);
    send_messages(other, 40, 9000);
    sim_close(session);
    sim_close(other);
    sim_run_for_us(sim, config.linger_us / 2);
    ck_assert(session->closed);
    ck_assert(other->closed);
    ck_assert_uint_eq(session->undelivered_bytes, sim_flow_offset(&session->flow, 40));
    ck_assert_uint_eq(other->undelivered_bytes, sim_flow_offset(&other->flow, 40));
    finish(sim);
}
END_TEST

/* A FIN that was lost is sent again: the close does not wait for the linger time. */
START_TEST(lost_fin_is_resent)
{
    struct sim *sim = create_pair(NULL);

    sim->reasons_allowed = GRACEFUL;
    struct sim_session *session = open_pair(sim);

    sim_drop_next(sim, SIM_CLIENT, SIM_SERVER, 1);
    sim_close(session);
    sim_run_for_us(sim, RUDP_US_PER_S);
    ck_assert(session->closed);
    ck_assert_int_eq(session->reason, RUDP_CLOSE_REASON_LOCAL);
    finish(sim);
}
END_TEST

/* A peer that gives up while this side closes did not get what was lost: that is reported. */
START_TEST(abort_during_close_is_reported)
{
    struct sim *sim = create_pair(NULL);

    sim->reasons_allowed = ABORTIVE;
    struct sim_session *session = open_pair(sim);

    sim_drop_next(sim, SIM_CLIENT, SIM_SERVER, 1);
    send_messages(session, 1, 100);
    sim_close(session);
    sim_abort(server_side(sim));
    sim_run_for_us(sim, RTT_US);
    ck_assert(session->closed);
    ck_assert_int_eq(session->reason, RUDP_CLOSE_REASON_PEER_ABORTED);
    ck_assert_uint_eq(session->undelivered_bytes, sim_flow_offset(&session->flow, 1));
    finish(sim);
}
END_TEST

/* What the peer still had to send when this side closed is reported to the peer. */
START_TEST(close_reports_what_the_peer_did_not_read)
{
    struct sim *sim = create_pair(NULL);

    sim->reasons_allowed = GRACEFUL;
    struct sim_session *session = open_pair(sim);

    sim_pause_reading(server_side(sim));
    send_messages(session, 10, 1000);
    sim_run_for_us(sim, RUDP_US_PER_S); /* received and acknowledged, but not read */
    sim_close(server_side(sim));
    run_until_closed(sim);
    ck_assert_int_eq(session->reason, RUDP_CLOSE_REASON_PEER);
    ck_assert_uint_eq(session->undelivered_bytes, sim_flow_offset(&session->flow, 10));
    finish(sim);
}
END_TEST

static struct rudp_config reopening_config(void)
{
    struct rudp_config config = default_config();

    config.reopens = true;
    return config;
}

/* What a peer that closed had not read goes to whoever serves its address next, and what it had
 * read does not come again, though the path loses a fifth. */
START_TEST(rest_goes_to_the_next_session)
{
    struct rudp_config config = reopening_config();
    struct sim *sim = create_pair(&config);

    sim->reasons_allowed = GRACEFUL;
    struct sim_session *session = open_pair(sim);
    struct sim_session *leaving = server_side(sim);

    for (uint32_t from = SIM_CLIENT; from <= SIM_SERVER; from++)
        sim_link(sim, from, 1 - from)->options.loss_ppm = SIM_PPM / 5;
    send_messages(session, 10, 1000);
    sim_run_for_us(sim, RUDP_US_PER_S);
    sim_pause_reading(leaving);
    send_messages(session, 10, 1000);
    sim_run_for_us(sim, RUDP_US_PER_S); /* received and acknowledged, but not read */
    send_messages(leaving, 5, 1000);
    sim_close(leaving);
    send_messages(session, 10, 1000); /* behind the others, not before them */
    sim_run_for_us(sim, 10 * RUDP_US_PER_S);
    ck_assert(!session->closed);
    ck_assert_uint_eq(session->read_count, 5);
    ck_assert_uint_eq(leaving->read_count, 10);
    ck_assert_uint_eq(server_side(sim)->read_count, 20);
    ck_assert_uint_eq(sim_stats(session).restart_count, 1);
    ck_assert(leaving->closed);
    ck_assert_uint_eq(leaving->undelivered_bytes, 0);
    finish(sim);
}
END_TEST

/* A peer that had read everything is not called again. */
START_TEST(nothing_left_opens_nothing)
{
    struct rudp_config config = reopening_config();
    struct sim *sim = create_pair(&config);

    sim->reasons_allowed = GRACEFUL;
    struct sim_session *session = open_pair(sim);

    send_messages(session, 10, 1000);
    run_until_delivered(sim);
    send_messages(server_side(sim), 1, 1000);
    sim_close(server_side(sim));
    run_until_closed(sim);
    ck_assert_uint_eq(session->undelivered_bytes, 0);
    ck_assert_uint_eq(session->read_count, 1);
    ck_assert_uint_eq(sim->session_count, 2);
    finish(sim);
}
END_TEST

/* A program that closed its own session does not lose what the peer, closing too, had not read. */
START_TEST(closing_opener_serves_the_next_session)
{
    struct rudp_config config = reopening_config();
    struct sim *sim = create_pair(&config);

    sim->reasons_allowed = GRACEFUL;
    struct sim_session *session = open_pair(sim);
    struct sim_session *leaving = server_side(sim);

    sim_drop_next(sim, SIM_CLIENT, SIM_SERVER, 1); /* the messages */
    send_messages(session, 1, 1000);
    sim_close(session);
    sim_close(leaving);
    run_until_closed(sim);
    ck_assert_uint_eq(leaving->read_count, 0);
    ck_assert_uint_eq(server_side(sim)->read_count, 1);
    ck_assert_uint_eq(session->undelivered_bytes, 0);
    finish(sim);
}
END_TEST

/* A peer that is thrown out by its own program reads no further either: what it had not read is
 * sent anew. */
START_TEST(rest_of_an_aborted_session_goes_on)
{
    struct rudp_config config = reopening_config();
    struct sim *sim = create_pair(&config);

    sim->reasons_allowed = ABORTIVE;
    struct sim_session *session = open_pair(sim);
    struct sim_session *leaving = server_side(sim);

    sim_pause_reading(leaving);
    send_messages(session, 3, 1000);
    sim_run_for_us(sim, RUDP_US_PER_S);
    sim_drop_next(sim, SIM_SERVER, SIM_CLIENT,
                  3); /* every copy: what is left of it says the same */
    sim_abort(leaving);
    send_messages(session, 1, 1000);
    sim_run_for_us(sim, 10 * RUDP_US_PER_S);
    ck_assert_uint_eq(server_side(sim)->read_count, 4);
    finish(sim);
}
END_TEST

/* A server that ends every session at once is not called forever, nor fast: within the connect
 * timeout, ever more slowly; then the program is told. */
START_TEST(peer_that_always_leaves_is_given_up)
{
    struct rudp_config config = reopening_config();
    struct sim *sim = create_pair(&config);

    sim->reasons_allowed = ABORTIVE | 1u << RUDP_CLOSE_REASON_CONNECT_TIMEOUT;
    sim->nodes[SIM_SERVER].accept_app =
        (struct sim_app){.read_from_us = RUDP_NEVER, .end = SIM_END_AT, .aborts = true};
    struct sim_session *session = sim_open(sim, SIM_CLIENT, SIM_SERVER, NULL);
    uint64_t start_us = sim->now_us;

    send_messages(session, 1, 100);
    run_until_closed(sim);
    ck_assert_int_eq(session->reason, RUDP_CLOSE_REASON_CONNECT_TIMEOUT);
    ck_assert_uint_eq(session->undelivered_bytes, sim_flow_offset(&session->flow, 1));
    ck_assert_uint_ge(sim->now_us - start_us, config.connect_timeout_us);
    ck_assert_uint_le(sim->now_us - start_us, config.connect_timeout_us + config.rto_max_us);
    ck_assert_uint_lt(sim->session_count, 20);
    finish(sim);
}
END_TEST

/* A program can read what came before the peer closed, after the session is over too. */
START_TEST(closed_session_is_read_to_the_end)
{
    struct sim *sim = create_pair(NULL);

    sim->reasons_allowed = GRACEFUL;
    struct sim_session *session = open_pair(sim);

    sim_pause_reading(server_side(sim));
    send_messages(session, 10, 1000);
    sim_close(session);
    run_until_closed(sim);
    ck_assert_uint_eq(server_side(sim)->read_count, 0);
    sim_resume_reading(server_side(sim));
    ck_assert_uint_eq(server_side(sim)->read_count, 10);
    finish(sim);
}
END_TEST

/* An abort ends this side at once and the other one latency later, with what it lost. */
START_TEST(abort_tells_the_peer)
{
    struct sim *sim = create_pair(NULL);

    sim->reasons_allowed = ABORTIVE;
    struct sim_session *session = open_pair(sim);

    sim_abort(session);
    ck_assert(session->closed);
    sim_run_for_us(sim, LATENCY_US);
    ck_assert(server_side(sim)->closed);
    ck_assert_int_eq(server_side(sim)->reason, RUDP_CLOSE_REASON_PEER_ABORTED);
    finish(sim);
}
END_TEST

/* A close whose peer is gone ends when the linger time passes and reports what did not arrive. */
START_TEST(linger_time_bounds_a_close)
{
    struct rudp_config config = default_config();

    config.linger_us = 3 * RUDP_US_PER_S;
    struct sim *sim = create_pair(&config);

    sim->reasons_allowed = 1u << RUDP_CLOSE_REASON_LINGER;
    struct sim_session *session = open_pair(sim);

    sim_link(sim, SIM_CLIENT, SIM_SERVER)->options.loss_ppm = SIM_PPM;
    send_messages(session, 3, 1000);
    sim_close(session);
    sim_run_for_us(sim, config.linger_us - 1);
    ck_assert(!session->closed);
    sim_run_for_us(sim, 1 + TICK_US);
    ck_assert(session->closed);
    ck_assert_int_eq(session->reason, RUDP_CLOSE_REASON_LINGER);
    ck_assert_uint_eq(session->undelivered_bytes, sim_flow_offset(&session->flow, 3));
    finish(sim);
}
END_TEST

/* A close on a slow link goes on as long as there is progress, far beyond the linger time. */
START_TEST(progress_extends_a_close)
{
    struct rudp_config config = default_config();

    config.linger_us = RUDP_US_PER_S;
    struct sim *sim = create_pair(&config);

    sim->reasons_allowed = GRACEFUL;
    struct sim_session *session = open_pair(sim);

    sim_link(sim, SIM_CLIENT, SIM_SERVER)->options.rate_bytes_per_s = 50000;
    sim_link(sim, SIM_CLIENT, SIM_SERVER)->options.queue_bytes_max = 20000;
    send_messages(session, 250, 1000);
    uint64_t start_us = sim->now_us;

    sim_close(session);
    run_until_closed(sim);
    ck_assert_uint_gt(sim->now_us - start_us, 4 * config.linger_us);
    ck_assert_int_eq(session->reason, RUDP_CLOSE_REASON_LOCAL);
    ck_assert_uint_eq(session->undelivered_bytes, 0);
    finish(sim);
}
END_TEST

/* A peer that every copy of the CLOSE was lost on the way to asks again and is answered by what is
 * left of the session. */
START_TEST(lost_close_is_answered_again)
{
    struct sim *sim = create_pair(NULL);

    sim->reasons_allowed = ABORTIVE;
    struct sim_session *session = open_pair(sim);

    sim_drop_next(sim, SIM_CLIENT, SIM_SERVER, 3);
    sim_abort(session);
    sim_run_for_us(sim, 8 * RUDP_US_PER_S);
    ck_assert(!server_side(sim)->closed);
    send_messages(server_side(sim), 1, 100);
    sim_run_for_us(sim, RTT_US);
    ck_assert(server_side(sim)->closed);
    ck_assert_int_eq(server_side(sim)->reason, RUDP_CLOSE_REASON_PEER_ABORTED);
    finish(sim);
}
END_TEST

/* A packet for a session that does not exist is answered by RESET, if it is as long as that. */
START_TEST(unknown_session_is_reset)
{
    struct sim *sim = create_pair(NULL);
    struct sim_node *server = &sim->nodes[SIM_SERVER];
    struct rudp_address source = sim_stranger(1);
    uint8_t packet[RUDP_PACKET_BYTES_BASE];
    size_t bytes = sim_forge_close(packet, sizeof packet, 4711, 0);

    ck_assert_uint_ge(bytes, RUDP_WIRE_RESET_BYTES);
    sim_inject(sim, SIM_SERVER, &source, packet, bytes);
    sim_run_for_us(sim, RTT_US);
    ck_assert_uint_eq(server->sent_packet_count, 1);
    ck_assert_uint_eq(server->contacts[0].sent_bytes, RUDP_WIRE_RESET_BYTES);
    finish(sim);
}
END_TEST

/* A RESET, CLOSE or hello by somebody who does not know the ids changes nothing. */
START_TEST(forged_ends_are_ignored)
{
    struct sim *sim = create_pair(NULL);
    struct sim_session *session = open_pair(sim);
    const struct rudp_address *peer = &sim->nodes[SIM_SERVER].address;
    uint8_t packet[RUDP_PACKET_BYTES_BASE];

    for (uint64_t id = 1; id <= 100; id++) {
        size_t bytes = sim_forge_reset(packet, sizeof packet, id);

        sim_inject(sim, SIM_CLIENT, peer, packet, bytes);
        bytes = sim_forge_close(packet, sizeof packet, id, 0);
        sim_inject(sim, SIM_CLIENT, peer, packet, bytes);
        bytes = sim_forge_hello(packet, sizeof packet, RUDP_WIRE_VERSION, id);
        sim_inject(sim, SIM_CLIENT, peer, packet, bytes);
    }
    send_messages(session, 10, 1000);
    run_until_delivered(sim);
    ck_assert(!session->closed);
    ck_assert_uint_eq(sim_stats(session).restart_count, 0);
    finish(sim);
}
END_TEST

/* A server that starts again gets everything it had not delivered: the client's session goes on,
 * and knows of it one round trip after its next packet. */
START_TEST(restarted_acceptor_gets_the_rest)
{
    struct sim *sim = create_pair(NULL);

    sim->reasons_allowed = 1u << RUDP_CLOSE_REASON_PEER_RESTARTED;
    struct sim_session *session = open_pair(sim);

    send_messages(session, 5, 1000);
    run_until_delivered(sim);
    sim_run_for_us(sim, RUDP_US_PER_S);
    sim_restart(sim, SIM_SERVER);
    send_messages(session, 5, 1000);
    sim_run_for_us(sim, RTT_US);
    ck_assert_uint_eq(sim_stats(session).restart_count, 1);
    run_until_delivered(sim);
    ck_assert_uint_eq(server_side(sim)->read_count, 5);
    ck_assert(!session->closed);
    finish(sim);
}
END_TEST

/* A server that ends with messages that it acknowledged and did not read is missed soon, though
 * nothing is left to be acknowledged. */
START_TEST(unread_messages_find_a_restarted_peer)
{
    struct sim *sim = create_pair(NULL);

    sim->reasons_allowed = 1u << RUDP_CLOSE_REASON_PEER_RESTARTED;
    struct sim_session *session = open_pair(sim);

    sim_pause_reading(server_side(sim));
    send_messages(session, 5, 1000);
    sim_run_for_us(sim, 10 * RTT_US);
    ck_assert_uint_eq(sim_stats(session).in_flight_bytes, 0);
    sim_restart(sim, SIM_SERVER);
    sim_run_for_us(sim, RUDP_US_PER_S);
    ck_assert_uint_eq(sim_stats(session).restart_count, 1);
    run_until_delivered(sim);
    ck_assert_uint_eq(server_side(sim)->read_count, 5);
    finish(sim);
}
END_TEST

/* An idle session notices by its keepalive that the peer started again. */
START_TEST(keepalive_finds_a_restarted_peer)
{
    struct rudp_config config = default_config();

    config.keepalive_us = 5 * RUDP_US_PER_S;
    struct sim *sim = create_pair(&config);
    struct sim_session *session = open_pair(sim);

    sim_restart(sim, SIM_SERVER);
    sim_run_for_us(sim, config.keepalive_us + 2 * RTT_US);
    ck_assert_uint_eq(sim_stats(session).restart_count, 1);
    ck_assert(session->established);
    finish(sim);
}
END_TEST

/* What the old server had delivered, but not reported, comes again; nothing else does. */
START_TEST(restart_repeats_only_unreported_messages)
{
    struct sim *sim = create_pair(NULL);
    struct sim_session *session = open_pair(sim);

    send_messages(session, 5, 1000);
    run_until_delivered(sim);
    sim_run_for_us(sim, RUDP_US_PER_S);
    sim_link(sim, SIM_SERVER, SIM_CLIENT)->options.loss_ppm = SIM_PPM;
    send_messages(session, 3, 1000);
    sim_run_for_us(sim, RTT_US);
    ck_assert_uint_eq(server_side(sim)->read_count, 8);
    sim_link(sim, SIM_SERVER, SIM_CLIENT)->options.loss_ppm = 0;
    sim_restart(sim, SIM_SERVER);
    sim_run_for_us(sim, 5 * RUDP_US_PER_S);
    ck_assert_uint_eq(server_side(sim)->read_count, 3);
    finish(sim);
}
END_TEST

/* A client that starts again at its old address opens a new session; the server's old one ends and
 * reports what it still had to send. */
START_TEST(restarted_opener_ends_the_old_session)
{
    struct sim *sim = create_pair(NULL);

    sim->reasons_allowed = 1u << RUDP_CLOSE_REASON_PEER_RESTARTED;
    open_pair(sim);
    struct sim_session *old = server_side(sim);

    sim_link(sim, SIM_SERVER, SIM_CLIENT)->options.loss_ppm = SIM_PPM;
    send_messages(old, 3, 1000);
    sim_restart(sim, SIM_CLIENT);
    sim_link(sim, SIM_SERVER, SIM_CLIENT)->options.loss_ppm = 0;
    struct sim_session *session = sim_open(sim, SIM_CLIENT, SIM_SERVER, NULL);

    send_messages(session, 3, 1000);
    sim_run_for_us(sim, 3 * RTT_US);
    ck_assert(old->closed);
    ck_assert_int_eq(old->reason, RUDP_CLOSE_REASON_PEER_RESTARTED);
    ck_assert_uint_eq(old->undelivered_bytes, sim_flow_offset(&old->flow, 3));
    ck_assert_ptr_ne(server_side(sim), old);
    ck_assert_uint_eq(server_side(sim)->read_count, 3);
    finish(sim);
}
END_TEST

/* A session follows its client to a new address, and loses nothing on the way. */
START_TEST(session_follows_to_a_new_address)
{
    struct sim *sim = create_pair(NULL);
    struct sim_session *session = open_pair(sim);

    send_messages(session, 20, 1000);
    send_messages(server_side(sim), 20, 1000);
    sim_rebind(sim, SIM_CLIENT);
    run_until_delivered(sim);
    sim_run_for_us(sim, RUDP_US_PER_S);
    ck_assert(server_side(sim)->moved);
    ck_assert(rudp_address_equal(&rudp_session_path(server_side(sim)->core)->remote,
                                 &sim->nodes[SIM_CLIENT].address));
    finish(sim);
}
END_TEST

/* Sends each of the client's packets a second time, from elsewhere and first. */
static enum sim_fate copy_from_elsewhere(void *context, struct sim *sim,
                                         const struct sim_node *from, const uint8_t *packet,
                                         size_t bytes)
{
    struct rudp_address source = sim_stranger(1);

    (void)context;
    if (from->index == SIM_CLIENT)
        sim_inject(sim, SIM_SERVER, &source, packet, bytes);
    return SIM_PASS;
}

/* Whoever only copies packets to another address does not get the session to move there. */
START_TEST(copied_packets_move_nothing)
{
    struct sim *sim = create_pair(NULL);
    struct sim_session *session = open_pair(sim);

    sim->tap = copy_from_elsewhere;
    send_messages(session, 20, 1000);
    send_messages(server_side(sim), 20, 1000);
    run_until_delivered(sim);
    ck_assert(!server_side(sim)->moved);
    finish(sim);
}
END_TEST

int main(void)
{
    return SUITE_RUN(
        "close", close_delivers_what_was_accepted, both_sides_may_close,
        both_sides_may_close_with_full_windows, lost_fin_is_resent, abort_during_close_is_reported,
        rest_goes_to_the_next_session, nothing_left_opens_nothing,
        closing_opener_serves_the_next_session, rest_of_an_aborted_session_goes_on,
        peer_that_always_leaves_is_given_up, unread_messages_find_a_restarted_peer,
        keepalive_finds_a_restarted_peer, close_reports_what_the_peer_did_not_read,
        closed_session_is_read_to_the_end, abort_tells_the_peer, linger_time_bounds_a_close,
        progress_extends_a_close, lost_close_is_answered_again, unknown_session_is_reset,
        forged_ends_are_ignored, restarted_acceptor_gets_the_rest,
        restart_repeats_only_unreported_messages, restarted_opener_ends_the_old_session,
        session_follows_to_a_new_address, copied_packets_move_nothing);
}
