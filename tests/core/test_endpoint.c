/* The endpoint step by step, with a peer made by hand. docs/protocol.md sections 4, 7 and 8. */
#include "tests/core/puppet.h"

#define OTHER_ID UINT64_C(0x2222222222222222)

static struct puppet p; /* one test a process, and large */

static void start(void)
{
    puppet_init(&p);
    puppet_start(&p);
}

static void finish(void)
{
    puppet_destroy(&p);
}

static struct rudp_header long_header(enum rudp_packet_type type, uint64_t destination_id,
                                      uint64_t source_id)
{
    return (struct rudp_header){
        .type = type,
        .version = type == RUDP_PACKET_VERSION ? 0 : RUDP_WIRE_VERSION,
        .destination_id = destination_id,
        .source_id = source_id,
    };
}

static void deliver_header(const struct rudp_header *header)
{
    puppet_begin_header(&p, header);
    (void)puppet_deliver(&p);
}

static void deliver_reset(uint64_t id)
{
    struct rudp_header header = long_header(RUDP_PACKET_RESET, 0, id);

    deliver_header(&header);
}

static void deliver_version(uint64_t destination_id, uint32_t version)
{
    struct rudp_header header = long_header(RUDP_PACKET_VERSION, destination_id, 0);

    header.version_count = 1;
    header.versions[0] = version;
    deliver_header(&header);
}

static void deliver_retry(uint64_t destination_id)
{
    struct rudp_header header = long_header(RUDP_PACKET_RETRY, destination_id, 0);

    header.token = (const uint8_t *)"token";
    header.token_bytes = 5;
    deliver_header(&header);
}

/* --- Life ------------------------------------------------------------------------------------- */

/* A setting out of range makes no endpoint. */
START_TEST(create_checks_the_settings)
{
    puppet_init(&p);
    p.config.packet_bytes = 0;
    ck_assert_uint_eq(rudp_endpoint_create(&p.endpoint, &p.config, &p.memory.host, 0),
                      RUDP_E_INVALID);
    ck_assert_uint_eq(p.memory.used_bytes, 0);
}
END_TEST

/* More sessions than set are refused, those of the program and those of peers. */
START_TEST(session_limit_is_kept)
{
    puppet_init(&p);
    p.config.session_count_max = 1;
    puppet_start(&p);
    puppet_accepted(&p);
    ck_assert_uint_eq(rudp_endpoint_open(p.endpoint, &p.path, &p.session, p.now_us), RUDP_E_LIMIT);
    p.path.remote.port++;
    puppet_hello(&p);
    ck_assert_uint_eq(puppet_drops(&p, RUDP_DROP_SESSION_LIMIT), 1);
    finish();
}
END_TEST

struct script {
    const uint64_t *values;
    size_t count;
    size_t index;
};

static void fill_scripted(void *context, void *out, size_t bytes)
{
    struct script *script = context;
    uint64_t value = script->values[min_u64(script->index, script->count - 1)];

    ck_assert_uint_eq(bytes, sizeof value);
    script->index++;
    memcpy(out, &value, sizeof value);
}

/* An id is never 0 and never one in use: whatever the generator says. */
START_TEST(ids_do_not_collide)
{
    const uint64_t values[] = {1, 2, 3, 4 /* keys */, 0, 7, 7, 0, 8};
    struct script script = {values, sizeof values / sizeof values[0], 0};
    uint64_t ids[2];

    puppet_init(&p);
    p.memory.host.random = (struct rudp_random){&script, fill_scripted};
    puppet_start(&p);
    for (size_t i = 0; i < 2; i++) {
        puppet_open(&p);
        puppet_expect(&p, RUDP_PACKET_HELLO);
        ids[i] = p.session_id;
    }
    ck_assert_uint_eq(ids[0], 7);
    ck_assert_uint_eq(ids[1], 8);
    finish();
}
END_TEST

static void count_session(void *context, struct rudp_session *session)
{
    ck_assert_ptr_nonnull(session);
    ++*(uint32_t *)context;
}

/* Every session is visited, also one that is over and not released. */
START_TEST(each_visits_every_session)
{
    uint32_t count = 0;

    start();
    puppet_open(&p);
    puppet_open(&p);
    rudp_session_abort(p.endpoint, p.session, p.now_us);
    rudp_endpoint_each(p.endpoint, count_session, &count);
    ck_assert_uint_eq(count, 2);
    finish();
}
END_TEST

/* A session that is closing is not found, and the next one waits for its end: the peer would take
 * a second hello for a restart. */
START_TEST(find_skips_closing_sessions)
{
    struct rudp_session *next;

    start();
    puppet_opened(&p);
    ck_assert_ptr_eq(rudp_endpoint_find(p.endpoint, &p.path.remote), p.session);
    rudp_session_close(p.endpoint, p.session, p.now_us);
    ck_assert_ptr_null(rudp_endpoint_find(p.endpoint, &p.path.remote));
    ck_assert_uint_eq(rudp_endpoint_open(p.endpoint, &p.path, &next, p.now_us), RUDP_E_CLOSED);
    rudp_session_abort(p.endpoint, p.session, p.now_us);
    ck_assert_uint_eq(rudp_endpoint_open(p.endpoint, &p.path, &next, p.now_us), RUDP_OK);
    ck_assert_ptr_eq(rudp_endpoint_find(p.endpoint, &p.path.remote), next);
    finish();
}
END_TEST

/* --- Accepting -------------------------------------------------------------------------------- */

/* A hello makes a session and is answered, its first messages delivered at once. */
START_TEST(hello_opens_and_delivers)
{
    struct rudp_frame frame;

    start();
    puppet_begin(&p, RUDP_PACKET_HELLO);
    puppet_add_data(&p, 0, "\2hi", 3);
    (void)puppet_deliver(&p);
    ck_assert_uint_eq(p.event_counts[RUDP_EVENT_OPENED], 1);
    ck_assert_uint_eq(p.event_counts[RUDP_EVENT_READABLE], 1);
    puppet_check_read(&p, "hi");
    puppet_expect(&p, RUDP_PACKET_HELLO_ACK);
    ck_assert_uint_eq(p.header.destination_id, p.own_id);
    ck_assert(puppet_find(&p, RUDP_FRAME_PARAMS, &frame));
    ck_assert(puppet_find(&p, RUDP_FRAME_ACK, &frame));
    finish();
}
END_TEST

/* A session remembers the mark of its last packet, not of those it dropped. */
START_TEST(mark_is_of_the_last_packet_taken)
{
    start();
    rudp_endpoint_set_mark(p.endpoint, 7);
    puppet_accepted(&p);
    ck_assert_uint_eq(rudp_session_mark(p.session), 7);
    rudp_endpoint_set_mark(p.endpoint, 8);
    deliver_reset(OTHER_ID);
    ck_assert_uint_eq(rudp_session_mark(p.session), 7);
    puppet_ping(&p);
    ck_assert_uint_eq(rudp_session_mark(p.session), 8);
    finish();
}
END_TEST

/* The address is proven by a packet with the session's own id, not before. */
START_TEST(short_packet_proves_the_address)
{
    struct rudp_endpoint_stats stats;

    start();
    puppet_hello(&p);
    rudp_endpoint_stats(p.endpoint, &stats);
    ck_assert_uint_eq(stats.half_open_count, 1);
    ck_assert_uint_eq(p.event_counts[RUDP_EVENT_ESTABLISHED], 0);
    (void)puppet_drain(&p);
    puppet_ping(&p);
    rudp_endpoint_stats(p.endpoint, &stats);
    ck_assert_uint_eq(stats.half_open_count, 0);
    ck_assert_uint_eq(p.event_counts[RUDP_EVENT_ESTABLISHED], 1);
    finish();
}
END_TEST

/* To an address that is not proven goes at most three times what came from it. */
START_TEST(unproven_address_gets_three_times_its_bytes)
{
    static const uint8_t data[20000];

    start();
    puppet_begin(&p, RUDP_PACKET_HELLO);
    (void)puppet_deliver(&p);
    size_t received_bytes = p.writer.used_bytes;
    size_t sent_bytes = 0;

    ck_assert_uint_eq(puppet_send(&p, data, sizeof data), RUDP_OK);
    for (uint32_t i = 0; i < 50; i++) {
        sent_bytes += puppet_drain(&p);
        puppet_wait_us(&p, 100 * RUDP_US_PER_MS);
    }
    ck_assert_uint_gt(sent_bytes, 0);
    ck_assert_uint_le(sent_bytes, 3 * received_bytes);
    finish();
}
END_TEST

/* Nor more when the program gives the session up, however little was left to say it with. */
START_TEST(unproven_address_is_told_the_end_within_its_bytes)
{
    static const uint8_t data[400];
    uint32_t told_count = 0;

    for (size_t answer_bytes = 0; answer_bytes < sizeof data; answer_bytes++) {
        start();
        p.next_pn = UINT32_C(0xa0000000); /* takes long to acknowledge */
        puppet_begin(&p, RUDP_PACKET_HELLO);
        ck_assert(rudp_wire_write_padding(&p.writer, 100));
        (void)puppet_deliver(&p);
        size_t received_bytes = p.writer.used_bytes;

        ck_assert_uint_eq(puppet_send(&p, data, answer_bytes), RUDP_OK);
        size_t sent_bytes = puppet_drain(&p);

        rudp_session_abort(p.endpoint, p.session, p.now_us);
        puppet_take_events(&p);
        size_t close_bytes = puppet_drain(&p);

        told_count += close_bytes > 0;
        ck_assert_uint_le(sent_bytes + close_bytes, 3 * received_bytes);
        finish();
    }
    ck_assert_uint_gt(told_count, 0);
    ck_assert_uint_lt(told_count, sizeof data);
}
END_TEST

/* A repeated hello belongs to its session and is answered again. */
START_TEST(repeated_hello_is_answered_again)
{
    start();
    puppet_hello(&p);
    (void)puppet_drain(&p);
    puppet_hello(&p);
    puppet_expect(&p, RUDP_PACKET_HELLO_ACK);
    ck_assert_uint_eq(puppet_session_count(&p), 1);
    finish();
}
END_TEST

/* An endpoint that does not accept says nothing to strangers, in any version, until told to. */
START_TEST(refusing_endpoint_is_silent)
{
    struct rudp_header header = long_header(RUDP_PACKET_HELLO, 0, p.own_id);

    puppet_init(&p);
    p.config.accepts_sessions = false;
    puppet_start(&p);
    puppet_hello(&p);
    ck_assert_uint_eq(puppet_drops(&p, RUDP_DROP_REFUSED), 1);
    header.source_id = p.own_id;
    header.version = 9;
    deliver_header(&header);
    ck_assert(!puppet_next(&p));
    rudp_endpoint_set_accepting(p.endpoint, true);
    puppet_hello(&p);
    puppet_expect(&p, RUDP_PACKET_HELLO_ACK);
    finish();
}
END_TEST

/* Above the limit of half-open sessions a hello must show the token it is sent, and only then is
 * anything kept. */
START_TEST(cookie_is_asked_above_the_half_open_limit)
{
    puppet_init(&p);
    p.config.half_open_count_max = 0;
    puppet_start(&p);
    puppet_hello(&p);
    ck_assert_uint_eq(puppet_drops(&p, RUDP_DROP_TOKEN), 1);
    ck_assert_uint_eq(puppet_session_count(&p), 0);
    puppet_expect(&p, RUDP_PACKET_RETRY);
    ck_assert_uint_eq(p.header.destination_id, p.own_id);
    puppet_hello_with_token(&p, p.header.token, p.header.token_bytes);
    puppet_expect(&p, RUDP_PACKET_HELLO_ACK);
    ck_assert_uint_eq(puppet_session_count(&p), 1);
    finish();
}
END_TEST

/* A wrong token is as good as none. */
START_TEST(wrong_token_is_answered_by_retry)
{
    puppet_init(&p);
    p.config.half_open_count_max = 0;
    puppet_start(&p);
    puppet_hello_with_token(&p, (const uint8_t *)"wrong token!", 12);
    puppet_expect(&p, RUDP_PACKET_RETRY);
    ck_assert_uint_eq(puppet_session_count(&p), 0);
    finish();
}
END_TEST

/* A hello that cannot be kept for lack of memory leaves nothing behind. */
START_TEST(hello_without_memory_leaves_nothing)
{
    start();
    size_t empty_bytes = p.memory.used_bytes;

    p.memory.cap_bytes = empty_bytes + 1000;
    puppet_hello(&p);
    ck_assert_uint_eq(puppet_drops(&p, RUDP_DROP_MEMORY), 1);
    ck_assert_uint_eq(puppet_session_count(&p), 0);
    ck_assert_uint_eq(p.event_counts[RUDP_EVENT_OPENED], 0);
    p.memory.cap_bytes = SIZE_MAX;
    puppet_hello(&p);
    ck_assert_uint_eq(p.event_counts[RUDP_EVENT_OPENED], 1);
    finish();
}
END_TEST

/* --- Versions --------------------------------------------------------------------------------- */

/* A hello of another version is told which one is spoken here. */
START_TEST(unknown_version_is_answered_with_ours)
{
    struct rudp_header header = long_header(RUDP_PACKET_HELLO, 0, OTHER_ID);

    start();
    header.version = 77;
    deliver_header(&header);
    ck_assert_uint_eq(puppet_drops(&p, RUDP_DROP_VERSION), 1);
    puppet_expect(&p, RUDP_PACKET_VERSION);
    ck_assert_uint_eq(p.header.destination_id, OTHER_ID);
    ck_assert_uint_eq(p.header.version_count, 1);
    ck_assert_uint_eq(p.header.versions[0], RUDP_WIRE_VERSION);
    finish();
}
END_TEST

/* An opener whose version is not spoken gives up at once. */
START_TEST(version_without_ours_ends_the_opener)
{
    start();
    puppet_open(&p);
    puppet_expect(&p, RUDP_PACKET_HELLO);
    deliver_version(p.session_id, 77);
    ck_assert_uint_eq(p.event_counts[RUDP_EVENT_CLOSED], 1);
    ck_assert_uint_eq(p.closed.reason, RUDP_CLOSE_REASON_VERSION);
    finish();
}
END_TEST

/* A list that has our version is no answer to our hello. */
START_TEST(version_with_ours_is_ignored)
{
    start();
    puppet_open(&p);
    puppet_expect(&p, RUDP_PACKET_HELLO);
    deliver_version(p.session_id, RUDP_WIRE_VERSION);
    ck_assert_uint_eq(puppet_drops(&p, RUDP_DROP_UNEXPECTED), 1);
    ck_assert_uint_eq(p.event_counts[RUDP_EVENT_CLOSED], 0);
    finish();
}
END_TEST

/* Once the peer was heard, it is too late for it; also from elsewhere, or for nobody. */
START_TEST(version_out_of_place_is_ignored)
{
    start();
    puppet_opened(&p);
    deliver_version(p.session_id, 77);
    ck_assert_uint_eq(puppet_drops(&p, RUDP_DROP_UNEXPECTED), 1);
    deliver_version(p.session_id + 1, 77);
    ck_assert_uint_eq(puppet_drops(&p, RUDP_DROP_UNKNOWN_ID), 1);
    p.path.remote.port++;
    deliver_version(p.session_id, 77);
    ck_assert_uint_eq(puppet_drops(&p, RUDP_DROP_WRONG_ADDRESS), 1);
    ck_assert_uint_eq(p.event_counts[RUDP_EVENT_CLOSED], 0);
    finish();
}
END_TEST

/* --- Opening ---------------------------------------------------------------------------------- */

/* A RETRY makes the hello go out again, with its token and the messages. */
START_TEST(retry_is_followed_with_its_token)
{
    struct rudp_frame frame;

    start();
    puppet_open(&p);
    ck_assert_uint_eq(puppet_send(&p, "hi", 2), RUDP_OK);
    puppet_expect(&p, RUDP_PACKET_HELLO);
    deliver_retry(p.session_id);
    puppet_expect(&p, RUDP_PACKET_HELLO);
    ck_assert_uint_eq(p.header.token_bytes, 5);
    ck_assert_mem_eq(p.header.token, "token", 5);
    ck_assert(puppet_find(&p, RUDP_FRAME_DATA, &frame));
    ck_assert_uint_eq(frame.data.offset, 0);
    finish();
}
END_TEST

/* Three are answered at once; the token of a fourth goes with the next hello. */
START_TEST(fourth_retry_is_not_answered_at_once)
{
    start();
    puppet_open(&p);
    for (uint32_t i = 0; i < 4; i++) {
        (void)puppet_drain(&p);
        deliver_retry(p.session_id);
    }
    ck_assert(!puppet_next(&p));
    puppet_wait_us(&p, 2 * p.config.rto_initial_us);
    puppet_expect(&p, RUDP_PACKET_HELLO);
    ck_assert_mem_eq(p.header.token, "token", 5);
    finish();
}
END_TEST

/* Both call at once: one session, which answers with its own id, and whose peer is the caller. */
START_TEST(simultaneous_open_is_one_session)
{
    start();
    puppet_open(&p);
    ck_assert_uint_eq(puppet_send(&p, "hi", 2), RUDP_OK);
    puppet_expect(&p, RUDP_PACKET_HELLO);
    uint64_t session_id = p.session_id;

    puppet_begin(&p, RUDP_PACKET_HELLO);
    puppet_add_data(&p, 0, "\2yo", 3);
    (void)puppet_deliver(&p);
    ck_assert_uint_eq(puppet_session_count(&p), 1);
    ck_assert_uint_eq(p.event_counts[RUDP_EVENT_OPENED], 0);
    puppet_check_read(&p, "yo");
    ck_assert(puppet_next(&p));
    while (p.header.type != RUDP_PACKET_HELLO_ACK)
        ck_assert(puppet_next(&p));
    ck_assert_uint_eq(p.header.source_id, session_id);
    ck_assert_uint_eq(p.header.destination_id, p.own_id);
    ck_assert_uint_eq(p.event_counts[RUDP_EVENT_ESTABLISHED], 0);
    puppet_begin(&p, RUDP_PACKET_HELLO_ACK);
    (void)puppet_deliver(&p);
    ck_assert_uint_eq(p.event_counts[RUDP_EVENT_ESTABLISHED], 1);
    finish();
}
END_TEST

/* A caller that gave up and answers under another id begins anew: what its hello brought may come
 * again, and the program is told. */
START_TEST(answer_of_another_peer_is_a_restart)
{
    start();
    puppet_open(&p);
    puppet_expect(&p, RUDP_PACKET_HELLO);
    puppet_begin(&p, RUDP_PACKET_HELLO);
    puppet_add_data(&p, 0, "\2yo", 3);
    (void)puppet_deliver(&p);
    puppet_check_read(&p, "yo");
    ck_assert_uint_eq(p.event_counts[RUDP_EVENT_PEER_RESTARTED], 0);
    p.own_id = OTHER_ID;
    p.next_pn = 0;
    puppet_begin(&p, RUDP_PACKET_HELLO_ACK);
    puppet_add_data(&p, 0, "\2yo", 3);
    (void)puppet_deliver(&p);
    ck_assert_uint_eq(p.event_counts[RUDP_EVENT_PEER_RESTARTED], 1);
    ck_assert_uint_eq(p.event_counts[RUDP_EVENT_ESTABLISHED], 1);
    puppet_check_read(&p, "yo");
    finish();
}
END_TEST

/* --- Restart and reset ------------------------------------------------------------------------ */

/* Has the puppet call again under another id, with the token it is sent. */
static void call_again(void)
{
    p.own_id = OTHER_ID;
    p.next_pn = 0;
    puppet_hello(&p);
    puppet_expect(&p, RUDP_PACKET_RETRY);
    puppet_hello_with_token(&p, p.header.token, p.header.token_bytes);
}

/* Another id from the address of a live session must first be proven: nobody ends it from afar. */
START_TEST(restart_must_be_proven)
{
    start();
    puppet_accepted(&p);
    p.own_id = OTHER_ID;
    puppet_hello(&p);
    ck_assert_uint_eq(puppet_drops(&p, RUDP_DROP_TOKEN), 1);
    ck_assert_uint_eq(p.event_counts[RUDP_EVENT_CLOSED], 0);
    finish();
}
END_TEST

/* Proven, it ends the accepted session, whose answers are counted, and begins a new one. */
START_TEST(restart_replaces_an_accepted_session)
{
    struct rudp_endpoint_stats stats;

    start();
    puppet_accepted(&p);
    ck_assert_uint_eq(puppet_send(&p, "old", 3), RUDP_OK);
    (void)puppet_drain(&p);
    call_again();
    ck_assert_uint_eq(p.event_counts[RUDP_EVENT_CLOSED], 1);
    ck_assert_uint_eq(p.closed.reason, RUDP_CLOSE_REASON_PEER_RESTARTED);
    ck_assert_uint_eq(p.closed.undelivered_bytes, 4);
    ck_assert_uint_eq(p.event_counts[RUDP_EVENT_OPENED], 2);
    rudp_endpoint_stats(p.endpoint, &stats);
    ck_assert_uint_eq(stats.undelivered_bytes, 4);
    finish();
}
END_TEST

/* An opener goes on in a new incarnation and sends again what was not delivered. */
START_TEST(restart_continues_an_opened_session)
{
    struct rudp_frame frame;

    start();
    puppet_opened(&p);
    uint64_t old_id = p.session_id;

    ck_assert_uint_eq(puppet_send(&p, "hi", 2), RUDP_OK);
    (void)puppet_drain(&p);
    call_again();
    ck_assert_uint_eq(p.event_counts[RUDP_EVENT_PEER_RESTARTED], 1);
    ck_assert_uint_eq(puppet_session_count(&p), 1);
    ck_assert(puppet_await(&p, RUDP_FRAME_DATA, &frame));
    ck_assert_uint_ne(p.session_id, old_id);
    ck_assert_uint_eq(frame.data.offset, 0);
    ck_assert_uint_eq(frame.data.bytes, 3);
    finish();
}
END_TEST

/* A packet to an id that nobody has is answered by RESET with that id. */
START_TEST(unknown_id_is_reset)
{
    start();
    p.session_id = OTHER_ID;
    puppet_ping(&p);
    ck_assert_uint_eq(puppet_drops(&p, RUDP_DROP_UNKNOWN_ID), 1);
    puppet_expect(&p, RUDP_PACKET_RESET);
    ck_assert_uint_eq(p.header.source_id, OTHER_ID);
    finish();
}
END_TEST

/* Not to a packet shorter than the answer, nor to a handshake, nor to a RESET. */
START_TEST(reset_does_not_answer_everything)
{
    start();
    p.session_id = OTHER_ID;
    puppet_begin(&p, RUDP_PACKET_SHORT);
    (void)puppet_deliver(&p);
    puppet_begin(&p, RUDP_PACKET_HELLO_ACK);
    (void)puppet_deliver(&p);
    deliver_reset(OTHER_ID);
    ck_assert_uint_eq(puppet_drops(&p, RUDP_DROP_UNKNOWN_ID), 3);
    ck_assert(!puppet_next(&p));
    finish();
}
END_TEST

/* A RESET with the id that the session sends to ends an accepted session. */
START_TEST(reset_ends_an_accepted_session)
{
    start();
    puppet_accepted(&p);
    deliver_reset(p.own_id);
    ck_assert_uint_eq(p.event_counts[RUDP_EVENT_CLOSED], 1);
    ck_assert_uint_eq(p.closed.reason, RUDP_CLOSE_REASON_PEER_RESTARTED);
    finish();
}
END_TEST

/* It makes an opener call again, from number 0 under a new id, with what was not delivered. */
START_TEST(reset_makes_an_opener_call_again)
{
    struct rudp_frame frame;

    start();
    puppet_opened(&p);
    uint64_t old_id = p.session_id;

    ck_assert_uint_eq(puppet_send(&p, "hi", 2), RUDP_OK);
    (void)puppet_drain(&p);
    deliver_reset(p.own_id);
    ck_assert_uint_eq(p.event_counts[RUDP_EVENT_PEER_RESTARTED], 1);
    puppet_expect(&p, RUDP_PACKET_HELLO);
    ck_assert_uint_eq(p.header.packet_number, 0);
    ck_assert_uint_ne(p.session_id, old_id);
    ck_assert(puppet_find(&p, RUDP_FRAME_DATA, &frame));
    finish();
}
END_TEST

/* A RESET with another id, or from elsewhere, is nothing. */
START_TEST(forged_reset_is_ignored)
{
    start();
    puppet_accepted(&p);
    deliver_reset(OTHER_ID);
    p.path.remote.port++;
    deliver_reset(p.own_id);
    ck_assert_uint_eq(puppet_drops(&p, RUDP_DROP_UNKNOWN_ID), 2);
    ck_assert_uint_eq(p.event_counts[RUDP_EVENT_CLOSED], 0);
    finish();
}
END_TEST

/* --- After the end ---------------------------------------------------------------------------- */

/* Late packets to a closed session are answered by CLOSE, also at a new address of the peer's; a
 * CLOSE is not answered. */
START_TEST(tombstone_answers_late_packets)
{
    struct rudp_frame frame;

    start();
    puppet_accepted(&p);
    rudp_session_abort(p.endpoint, p.session, p.now_us);
    (void)puppet_drain(&p);
    puppet_ping(&p);
    ck_assert(puppet_await(&p, RUDP_FRAME_CLOSE, &frame));
    ck_assert_uint_eq(frame.close_code, RUDP_CLOSE_ABORTED);
    puppet_begin(&p, RUDP_PACKET_SHORT);
    ck_assert(rudp_wire_write_close(&p.writer, RUDP_CLOSE_ABORTED));
    (void)puppet_deliver(&p);
    ck_assert(!puppet_next(&p));
    p.path.remote.port++;
    puppet_ping(&p);
    ck_assert(puppet_await(&p, RUDP_FRAME_CLOSE, &frame));
    ck_assert(rudp_address_equal(&p.out_path.remote, &p.path.remote));
    finish();
}
END_TEST

/* A hello that comes late, after its session's end, opens nothing. */
START_TEST(late_hello_opens_nothing)
{
    start();
    puppet_accepted(&p);
    rudp_session_abort(p.endpoint, p.session, p.now_us);
    puppet_take_events(&p);
    rudp_session_release(p.endpoint, p.session);
    puppet_hello(&p);
    ck_assert_uint_eq(p.event_counts[RUDP_EVENT_OPENED], 1);
    ck_assert_uint_eq(puppet_session_count(&p), 0);
    finish();
}
END_TEST

/* Nor does it answer a call that began since: its messages were read already. */
START_TEST(late_hello_joins_no_later_call)
{
    start();
    puppet_accepted(&p);
    rudp_session_abort(p.endpoint, p.session, p.now_us);
    puppet_take_events(&p);
    rudp_session_release(p.endpoint, p.session);
    (void)puppet_drain(&p);
    puppet_open(&p);
    puppet_expect(&p, RUDP_PACKET_HELLO);
    puppet_begin(&p, RUDP_PACKET_HELLO);
    puppet_add_data(&p, 0, "\2yo", 3);
    (void)puppet_deliver(&p);
    ck_assert_uint_eq(puppet_drops(&p, RUDP_DROP_DUPLICATE), 1);
    ck_assert_uint_eq(p.event_counts[RUDP_EVENT_READABLE], 0);
    finish();
}
END_TEST

/* Answers to strangers are bounded; those that do not fit are counted. */
START_TEST(answers_are_bounded)
{
    start();
    p.session_id = OTHER_ID;
    for (uint32_t i = 0; i < 100; i++)
        puppet_ping(&p);
    uint64_t dropped_count = puppet_drops(&p, RUDP_DROP_REPLY_LIMIT);
    uint32_t sent_count = 0;

    while (puppet_next(&p))
        sent_count++;
    ck_assert_uint_gt(dropped_count, 0);
    ck_assert_uint_eq(sent_count + dropped_count, 100);
    finish();
}
END_TEST

/* An endpoint without memory still ends its sessions aloud, and answers for those that are over. */
START_TEST(close_needs_no_memory)
{
    struct rudp_frame frame;

    start();
    puppet_accepted(&p);
    p.memory.cap_bytes = p.memory.used_bytes;
    rudp_session_abort(p.endpoint, p.session, p.now_us);
    p.memory.cap_bytes = p.memory.used_bytes; /* what the session gave back is gone, too */
    ck_assert(puppet_await(&p, RUDP_FRAME_CLOSE, &frame));
    (void)puppet_drain(&p);
    puppet_ping(&p);
    ck_assert(puppet_await(&p, RUDP_FRAME_CLOSE, &frame));
    ck_assert_uint_eq(puppet_drops(&p, RUDP_DROP_REPLY_LIMIT), 0);
    finish();
}
END_TEST

/* The CLOSE of a tombstone is such an answer too. */
START_TEST(close_beyond_the_bound_is_counted)
{
    start();
    puppet_accepted(&p);
    rudp_session_abort(p.endpoint, p.session, p.now_us);
    (void)puppet_drain(&p);
    for (uint32_t i = 0; i < 100; i++)
        puppet_ping(&p);
    ck_assert_uint_gt(puppet_drops(&p, RUDP_DROP_REPLY_LIMIT), 0);
    finish();
}
END_TEST

/* --- Hostile packets -------------------------------------------------------------------------- */

static enum rudp_verdict receive(const void *packet, size_t bytes)
{
    enum rudp_verdict verdict = rudp_endpoint_receive(p.endpoint, &p.path, packet, bytes, p.now_us);

    puppet_take_events(&p);
    return verdict;
}

/* An ordinary datagram is the program's, also an empty one, or one that begins like a short packet.
 */
START_TEST(ordinary_datagrams_are_foreign)
{
    start();
    ck_assert_uint_eq(receive("", 0), RUDP_VERDICT_FOREIGN);
    ck_assert_uint_eq(receive("\1\2\3", 3), RUDP_VERDICT_FOREIGN);
    ck_assert_uint_eq(receive("@ordinary text of a program", 27), RUDP_VERDICT_FOREIGN);
    finish();
}
END_TEST

/* A packet of a known session that was damaged is ours, and counted. */
START_TEST(damaged_packet_of_a_session_is_counted)
{
    start();
    puppet_accepted(&p);
    puppet_begin(&p, RUDP_PACKET_SHORT);
    ck_assert(rudp_wire_write_ping(&p.writer));
    p.writer.capacity_bytes = sizeof p.in;
    rudp_wire_write_check(&p.writer);
    p.in[p.writer.used_bytes - 1] ^= 1;
    ck_assert_uint_eq(receive(p.in, p.writer.used_bytes), RUDP_VERDICT_OURS);
    ck_assert_uint_eq(puppet_drops(&p, RUDP_DROP_CHECK), 1);
    finish();
}
END_TEST

/* Cut anywhere or changed in any bit, a hello opens nothing. */
START_TEST(cut_or_changed_hello_opens_nothing)
{
    start();
    puppet_begin(&p, RUDP_PACKET_HELLO);
    puppet_add_data(&p, 0, "\2hi", 3);
    p.writer.capacity_bytes = sizeof p.in;
    rudp_wire_write_check(&p.writer);
    for (size_t bytes = 0; bytes < p.writer.used_bytes; bytes++)
        (void)receive(p.in, bytes);
    for (size_t bit = 0; bit < 8 * p.writer.used_bytes; bit++) {
        p.in[bit / 8] ^= (uint8_t)(1u << bit % 8);
        (void)receive(p.in, p.writer.used_bytes);
        p.in[bit / 8] ^= (uint8_t)(1u << bit % 8);
    }
    ck_assert_uint_eq(puppet_session_count(&p), 0);
    ck_assert_uint_gt(puppet_drops(&p, RUDP_DROP_TRUNCATED), 0);
    ck_assert_uint_gt(puppet_drops(&p, RUDP_DROP_CHECK), 0);
    (void)receive(p.in, p.writer.used_bytes);
    ck_assert_uint_eq(puppet_session_count(&p), 1);
    finish();
}
END_TEST

/* A packet whose check is good and whose type has no meaning is malformed. */
START_TEST(long_packet_of_unknown_type_is_malformed)
{
    start();
    puppet_begin(&p, RUDP_PACKET_HELLO);
    p.in[0] |= 0x0f;
    (void)puppet_deliver(&p);
    ck_assert_uint_eq(puppet_drops(&p, RUDP_DROP_MALFORMED), 1);
    finish();
}
END_TEST

/* --- A new address ---------------------------------------------------------------------------- */

/* A packet from elsewhere is not taken, but asks whether the peer is there; its answer moves the
 * session. */
START_TEST(new_address_is_challenged_and_moves)
{
    struct rudp_frame frame;

    start();
    puppet_accepted(&p);
    p.path.remote.port++;
    puppet_ping(&p);
    ck_assert_uint_eq(puppet_drops(&p, RUDP_DROP_WRONG_ADDRESS), 1);
    ck_assert(puppet_await(&p, RUDP_FRAME_PATH_CHALLENGE, &frame));
    ck_assert(rudp_address_equal(&p.out_path.remote, &p.path.remote));
    ck_assert_uint_le(p.out_bytes, 3 * p.writer.used_bytes);
    puppet_begin(&p, RUDP_PACKET_SHORT);
    ck_assert(rudp_wire_write_path_response(&p.writer, frame.path_value));
    (void)puppet_deliver(&p);
    ck_assert_uint_eq(p.event_counts[RUDP_EVENT_MOVED], 1);
    ck_assert(rudp_address_equal(&rudp_session_path(p.session)->remote, &p.path.remote));
    ck_assert_ptr_eq(rudp_endpoint_find(p.endpoint, &p.path.remote), p.session);
    finish();
}
END_TEST

/* Another value than the one sent there is no answer. */
START_TEST(wrong_path_response_does_not_move)
{
    struct rudp_frame frame;

    start();
    puppet_accepted(&p);
    p.path.remote.port++;
    puppet_ping(&p);
    ck_assert(puppet_await(&p, RUDP_FRAME_PATH_CHALLENGE, &frame));
    puppet_begin(&p, RUDP_PACKET_SHORT);
    ck_assert(rudp_wire_write_path_response(&p.writer, frame.path_value + 1));
    (void)puppet_deliver(&p);
    ck_assert_uint_eq(p.event_counts[RUDP_EVENT_MOVED], 0);
    finish();
}
END_TEST

/* A copy of an old packet from elsewhere starts nothing. */
START_TEST(old_packet_from_elsewhere_is_ignored)
{
    start();
    puppet_accepted(&p);
    puppet_ping(&p);
    (void)puppet_drain(&p);
    p.next_pn--;
    p.path.remote.port++;
    puppet_ping(&p);
    ck_assert_uint_eq(puppet_drops(&p, RUDP_DROP_WRONG_ADDRESS), 1);
    ck_assert(!puppet_next(&p));
    finish();
}
END_TEST

/* A challenge of the peer's is answered with its value. */
START_TEST(challenge_is_answered)
{
    struct rudp_frame frame;

    start();
    puppet_accepted(&p);
    puppet_begin(&p, RUDP_PACKET_SHORT);
    ck_assert(rudp_wire_write_path_challenge(&p.writer, 4711));
    (void)puppet_deliver(&p);
    ck_assert(puppet_await(&p, RUDP_FRAME_PATH_RESPONSE, &frame));
    ck_assert_uint_eq(frame.path_value, 4711);
    finish();
}
END_TEST

int main(void)
{
    return SUITE_RUN(
        "endpoint", create_checks_the_settings, session_limit_is_kept, ids_do_not_collide,
        each_visits_every_session, find_skips_closing_sessions, hello_opens_and_delivers,
        short_packet_proves_the_address, unproven_address_gets_three_times_its_bytes,
        unproven_address_is_told_the_end_within_its_bytes, repeated_hello_is_answered_again,
        refusing_endpoint_is_silent, cookie_is_asked_above_the_half_open_limit,
        wrong_token_is_answered_by_retry, hello_without_memory_leaves_nothing,
        unknown_version_is_answered_with_ours, version_without_ours_ends_the_opener,
        version_with_ours_is_ignored, version_out_of_place_is_ignored,
        retry_is_followed_with_its_token, fourth_retry_is_not_answered_at_once,
        simultaneous_open_is_one_session, answer_of_another_peer_is_a_restart,
        restart_must_be_proven, restart_replaces_an_accepted_session,
        restart_continues_an_opened_session, unknown_id_is_reset, reset_does_not_answer_everything,
        reset_ends_an_accepted_session, reset_makes_an_opener_call_again, forged_reset_is_ignored,
        tombstone_answers_late_packets, late_hello_opens_nothing, late_hello_joins_no_later_call,
        answers_are_bounded, close_needs_no_memory, close_beyond_the_bound_is_counted,
        ordinary_datagrams_are_foreign, damaged_packet_of_a_session_is_counted,
        cut_or_changed_hello_opens_nothing, long_packet_of_unknown_type_is_malformed,
        new_address_is_challenged_and_moves, wrong_path_response_does_not_move,
        old_packet_from_elsewhere_is_ignored, challenge_is_answered,
        mark_is_of_the_last_packet_taken);
}
