/* A session step by step, with a peer made by hand. docs/protocol.md sections 2 to 7. */
#include "core/session.h"
#include "tests/core/puppet.h"

/* Copies of the last word (docs/protocol.md section 7). */
#define CLOSE_COPY_COUNT 3u

#define OTHER_ID   UINT64_C(0x2222222222222222)
#define TICK_US    256u                           /* timers may fire this late (core/wheel.h) */
#define SILENCE_US (UINT64_C(40) * RUDP_US_PER_S) /* longer than any patience of these tests */

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

/* Delivers a short packet with these bytes of the stream. */
static void deliver_data(uint64_t offset, const char *data, size_t bytes)
{
    puppet_begin(&p, RUDP_PACKET_SHORT);
    puppet_add_data(&p, offset, data, bytes);
    (void)puppet_deliver(&p);
}

static void deliver_fin(uint64_t final_offset)
{
    puppet_begin(&p, RUDP_PACKET_SHORT);
    ck_assert(rudp_wire_write_fin(&p.writer, final_offset));
    (void)puppet_deliver(&p);
}

static void deliver_close(enum rudp_close_code code)
{
    puppet_begin(&p, RUDP_PACKET_SHORT);
    ck_assert(rudp_wire_write_close(&p.writer, code));
    (void)puppet_deliver(&p);
}

static void deliver_ack(uint64_t smallest, uint64_t largest)
{
    puppet_begin(&p, RUDP_PACKET_SHORT);
    puppet_add_ack(&p, smallest, largest);
    (void)puppet_deliver(&p);
}

static void deliver_credit(uint64_t delivered_offset, uint64_t limit_offset)
{
    struct rudp_credit_frame credit = {delivered_offset, limit_offset};

    puppet_begin(&p, RUDP_PACKET_SHORT);
    ck_assert(rudp_wire_write_credit(&p.writer, &credit));
    (void)puppet_deliver(&p);
}

/* Lets time pass, deadline by deadline, without a word from the peer; acknowledges nothing. Returns
 * how many packets with a frame of that type left. */
static uint32_t wait_silently(uint64_t duration_us, enum rudp_frame_type type)
{
    uint64_t end_us = p.now_us + duration_us;
    uint32_t count = 0;
    struct rudp_frame frame;

    for (;;) {
        while (puppet_await(&p, type, &frame))
            count++;
        uint64_t deadline_us = rudp_endpoint_deadline_us(p.endpoint);

        if (deadline_us > end_us)
            break;
        puppet_wait_us(&p, sub_floor_u64(deadline_us, p.now_us));
    }
    puppet_wait_us(&p, end_us - p.now_us);
    return count;
}

/* The endpoint sends what the window lets it, and all of it is acknowledged, as often as it goes
 * on. */
static void acknowledge_all(void)
{
    uint64_t smallest = 0;
    bool sends = true;

    while (sends) {
        (void)puppet_drain(&p);
        sends = p.header.packet_number >= smallest;
        if (sends)
            deliver_ack(smallest, p.header.packet_number);
        smallest = p.header.packet_number + UINT64_C(1);
    }
}

static void check_closed(enum rudp_close_reason reason, uint64_t undelivered_bytes)
{
    ck_assert_uint_eq(p.event_counts[RUDP_EVENT_CLOSED], 1);
    ck_assert_str_eq(rudp_close_reason_text(p.closed.reason), rudp_close_reason_text(reason));
    ck_assert_uint_eq(p.closed.undelivered_bytes, undelivered_bytes);
}

/* --- Packets that do not take effect ---------------------------------------------------------- */

/* The same packet again is dropped. */
START_TEST(packet_is_taken_once)
{
    start();
    puppet_accepted(&p);
    puppet_ping(&p);
    p.next_pn--;
    puppet_ping(&p);
    ck_assert_uint_eq(puppet_drops(&p, RUDP_DROP_DUPLICATE), 1);
    finish();
}
END_TEST

/* A bad frame at its end, and nothing of the packet is taken. */
START_TEST(malformed_packet_has_no_effect)
{
    start();
    puppet_accepted(&p);
    puppet_begin(&p, RUDP_PACKET_SHORT);
    puppet_add_data(&p, 0, "\2hi", 3);
    p.in[p.writer.used_bytes++] = 0x3f;
    (void)puppet_deliver(&p);
    ck_assert_uint_eq(puppet_drops(&p, RUDP_DROP_MALFORMED), 1);
    ck_assert_uint_eq(p.event_counts[RUDP_EVENT_READABLE], 0);
    finish();
}
END_TEST

/* A frame that ends too early likewise. */
START_TEST(cut_frame_has_no_effect)
{
    start();
    puppet_accepted(&p);
    puppet_begin(&p, RUDP_PACKET_SHORT);
    p.in[p.writer.used_bytes++] = RUDP_FRAME_FIN;
    (void)puppet_deliver(&p);
    ck_assert_uint_eq(puppet_drops(&p, RUDP_DROP_TRUNCATED), 1);
    finish();
}
END_TEST

/* What was not sent cannot be acknowledged, nor delivered. */
START_TEST(impossible_claims_are_malformed)
{
    start();
    puppet_accepted(&p);
    deliver_ack(0, 1000);
    deliver_credit(1, 100000);
    ck_assert_uint_eq(puppet_drops(&p, RUDP_DROP_MALFORMED), 2);
    finish();
}
END_TEST

/* Delivers a HELLO with that frame to an opener that waits for its peer, and takes it for forged:
 * nothing of it counts, and the peer's own answer is taken. */
static void check_forged_hello(bool (*write_frame)(struct rudp_writer *writer))
{
    start();
    puppet_open(&p);
    ck_assert_uint_eq(puppet_send(&p, "hello", 5), RUDP_OK);
    puppet_expect(&p, RUDP_PACKET_HELLO);
    puppet_begin(&p, RUDP_PACKET_HELLO);
    ck_assert(write_frame(&p.writer));
    (void)puppet_deliver(&p);
    ck_assert_uint_eq(puppet_drops(&p, RUDP_DROP_MALFORMED), 1);
    ck_assert_uint_eq(p.event_counts[RUDP_EVENT_CLOSED], 0);
    ck_assert_uint_eq(rudp_session_queued_bytes(p.session), 6);
    p.own_id = OTHER_ID;
    p.next_pn = 0;
    puppet_begin(&p, RUDP_PACKET_HELLO_ACK);
    (void)puppet_deliver(&p);
    ck_assert_uint_eq(p.event_counts[RUDP_EVENT_ESTABLISHED], 1);
    ck_assert_uint_eq(p.event_counts[RUDP_EVENT_PEER_RESTARTED], 0);
    finish();
}

static bool write_ack_of_hello(struct rudp_writer *writer)
{
    struct rudp_ack_frame ack = {.range_count = 1, .ranges = {{0, 0}}};

    return rudp_wire_write_ack(writer, &ack);
}

static bool write_delivery_of_all(struct rudp_writer *writer)
{
    struct rudp_credit_frame credit = {.delivered_offset = 6, .limit_offset = 100000};

    return rudp_wire_write_credit(writer, &credit);
}

static bool write_abort(struct rudp_writer *writer)
{
    return rudp_wire_write_close(writer, RUDP_CLOSE_ABORTED);
}

static bool write_end(struct rudp_writer *writer)
{
    return rudp_wire_write_fin(writer, 0);
}

/* A HELLO may come from anybody: it claims no delivery and ends nothing. */
START_TEST(hello_says_nothing_of_the_session)
{
    static bool (*const write_frame[])(struct rudp_writer * writer) = {
        write_ack_of_hello, write_delivery_of_all, write_abort, write_end};

    for (size_t i = 0; i < sizeof write_frame / sizeof write_frame[0]; i++)
        check_forged_hello(write_frame[i]);
}
END_TEST

/* A handshake of somebody else with a known id is not taken. */
START_TEST(hello_ack_of_another_peer_is_unexpected)
{
    start();
    puppet_accepted(&p);
    p.own_id = OTHER_ID;
    puppet_begin(&p, RUDP_PACKET_HELLO_ACK);
    (void)puppet_deliver(&p);
    ck_assert_uint_eq(puppet_drops(&p, RUDP_DROP_UNEXPECTED), 1);
    finish();
}
END_TEST

/* Bytes beyond the credit are dropped, and the session lives. */
START_TEST(bytes_beyond_the_credit_are_dropped)
{
    start();
    puppet_accepted(&p);
    deliver_data(p.config.receive_buffer_bytes, "x", 1);
    ck_assert_uint_eq(puppet_drops(&p, RUDP_DROP_CREDIT), 1);
    deliver_data(0, "\2hi", 3);
    puppet_check_read(&p, "hi");
    finish();
}
END_TEST

/* A peer that leaves a gap behind every byte is stopped. */
START_TEST(too_many_gaps_are_dropped)
{
    start();
    puppet_accepted(&p);
    for (uint64_t i = 1; i < 5000; i++)
        deliver_data(2 * i, "x", 1);
    ck_assert_uint_gt(puppet_drops(&p, RUDP_DROP_RANGES), 0);
    finish();
}
END_TEST

/* What cannot be kept is not acknowledged, so that it comes again. */
START_TEST(data_without_memory_is_not_acknowledged)
{
    struct rudp_frame frame;

    start();
    puppet_accepted(&p);
    puppet_ping(&p);
    (void)puppet_drain(&p);
    p.memory.cap_bytes = p.memory.used_bytes;
    deliver_data(0, "\2hi", 3);
    ck_assert_uint_eq(puppet_drops(&p, RUDP_DROP_MEMORY), 1);
    uint32_t dropped_pn = p.next_pn - 1;

    p.memory.cap_bytes = SIZE_MAX;
    puppet_ping(&p);
    ck_assert(puppet_await(&p, RUDP_FRAME_ACK, &frame));
    ck_assert_uint_eq(frame.ack.ranges[0].smallest, dropped_pn + 1);
    finish();
}
END_TEST

/* Packets that cannot be kept are answered, together and within the usual delay: this side lives.
 */
START_TEST(data_without_memory_is_answered)
{
    struct rudp_frame frame;

    start();
    puppet_accepted(&p);
    puppet_ping(&p);
    (void)wait_silently(RUDP_US_PER_S, RUDP_FRAME_ACK);
    uint32_t kept_pn = p.next_pn - 1;

    p.memory.cap_bytes = p.memory.used_bytes;
    for (uint32_t i = 0; i < 3; i++)
        deliver_data(0, "\2hi", 3);
    ck_assert_uint_eq(puppet_drops(&p, RUDP_DROP_MEMORY), 3);
    puppet_wait_us(&p, p.config.ack_delay_us_max - 1);
    ck_assert(!puppet_next(&p));
    puppet_wait_us(&p, 1 + TICK_US);
    ck_assert(puppet_await(&p, RUDP_FRAME_ACK, &frame));
    ck_assert_uint_eq(frame.ack.ranges[0].largest, kept_pn);
    ck_assert(!puppet_next(&p));
    finish();
}
END_TEST

/* That answer itself needs no memory, of which an idle session has given back all it can. */
START_TEST(answer_needs_no_memory)
{
    start();
    puppet_accepted(&p);
    (void)wait_silently(10 * RUDP_US_PER_S, RUDP_FRAME_ACK);
    p.memory.cap_bytes = p.memory.used_bytes;
    for (uint32_t i = 1; i <= 3; i++) {
        deliver_data(0, "\2hi", 3);
        ck_assert_uint_eq(puppet_drops(&p, RUDP_DROP_MEMORY), i);
        ck_assert_uint_eq(wait_silently(RUDP_US_PER_S, RUDP_FRAME_ACK), 1);
    }
    p.memory.cap_bytes = SIZE_MAX;
    deliver_data(0, "\2hi", 3);
    puppet_check_read(&p, "hi");
    finish();
}
END_TEST

/* When the first packet of all cannot be kept there is nothing to acknowledge: the answer is an
 * empty one, which proves the address to the peer. */
START_TEST(first_packet_without_memory_is_answered)
{
    const size_t number_bytes = 4 * sizeof(struct rudp_range);

    start();
    puppet_open(&p);
    puppet_expect(&p, RUDP_PACKET_HELLO);
    p.memory.cap_bytes = p.memory.used_bytes + number_bytes;
    puppet_begin(&p, RUDP_PACKET_HELLO_ACK);
    puppet_add_ack(&p, 0, p.header.packet_number);
    puppet_add_data(&p, 0, "\2hi", 3);
    (void)puppet_deliver(&p);
    ck_assert_uint_eq(puppet_drops(&p, RUDP_DROP_MEMORY), 1);
    puppet_expect(&p, RUDP_PACKET_SHORT);
    ck_assert(!puppet_next(&p));
    finish();
}
END_TEST

/* A length that no message has ends the session, and the peer is told why. */
START_TEST(impossible_message_is_a_protocol_error)
{
    struct rudp_frame frame;

    start();
    puppet_accepted(&p);
    deliver_data(0, "\xff", 1);
    check_closed(RUDP_CLOSE_REASON_PROTOCOL, 0);
    ck_assert(puppet_await(&p, RUDP_FRAME_CLOSE, &frame));
    ck_assert_uint_eq(frame.close_code, RUDP_CLOSE_PROTOCOL);
    finish();
}
END_TEST

/* The end of the peer's stream does not move. */
START_TEST(contradicting_fin_is_malformed)
{
    start();
    puppet_accepted(&p);
    deliver_fin(10);
    deliver_fin(11);
    ck_assert_uint_eq(puppet_drops(&p, RUDP_DROP_MALFORMED), 1);
    finish();
}
END_TEST

/* --- The program's calls ---------------------------------------------------------------------- */

/* What does not fit the caller's buffer stays, and its length is told. */
START_TEST(peek_into_short_buffer_keeps_the_message)
{
    char out[1];
    size_t bytes;

    start();
    puppet_accepted(&p);
    deliver_data(0, "\2hi", 3);
    ck_assert_uint_eq(rudp_session_peek(p.endpoint, p.session, out, sizeof out, &bytes),
                      RUDP_E_BUFFER);
    ck_assert_uint_eq(bytes, 2);
    puppet_check_read(&p, "hi");
    ck_assert_uint_eq(rudp_session_peek(p.endpoint, p.session, out, sizeof out, &bytes),
                      RUDP_E_EMPTY);
    finish();
}
END_TEST

/* A full buffer is said, and so is that there is room again. */
START_TEST(full_buffer_is_followed_by_writable)
{
    static const uint8_t data[60000];

    puppet_init(&p);
    p.config.send_buffer_bytes = RUDP_BUFFER_BYTES_MIN;
    puppet_start(&p);
    puppet_accepted(&p);
    ck_assert_uint_eq(puppet_send(&p, data, sizeof data), RUDP_OK);
    ck_assert_uint_eq(puppet_send(&p, data, sizeof data), RUDP_OK);
    ck_assert_uint_eq(puppet_send(&p, data, sizeof data), RUDP_E_FULL);
    acknowledge_all();
    ck_assert_uint_eq(p.event_counts[RUDP_EVENT_WRITABLE], 0); /* received is not yet delivered */
    deliver_credit(sizeof data + 4, 300000);
    ck_assert_uint_eq(p.event_counts[RUDP_EVENT_WRITABLE], 1);
    finish();
}
END_TEST

/* Refused for lack of memory: room is announced too, when it is worth trying again. */
START_TEST(refused_for_memory_is_followed_by_writable)
{
    start();
    puppet_accepted(&p);
    p.memory.cap_bytes = p.memory.used_bytes;
    ck_assert_uint_eq(puppet_send(&p, "hi", 2), RUDP_E_MEMORY);
    p.memory.cap_bytes = SIZE_MAX;
    puppet_wait_us(&p, RUDP_MEMORY_WAIT_US + RUDP_WHEEL_TICK_US);
    ck_assert_uint_eq(p.event_counts[RUDP_EVENT_WRITABLE], 1);
    finish();
}
END_TEST

/* After closing nothing is accepted, and closing again changes nothing. */
START_TEST(send_after_close_is_refused)
{
    start();
    puppet_accepted(&p);
    rudp_session_close(p.endpoint, p.session, p.now_us);
    rudp_session_close(p.endpoint, p.session, p.now_us + 1);
    ck_assert_uint_eq(puppet_send(&p, "hi", 2), RUDP_E_CLOSED);
    rudp_session_abort(p.endpoint, p.session, p.now_us);
    rudp_session_close(p.endpoint, p.session, p.now_us);
    ck_assert_uint_eq(puppet_send(&p, "hi", 2), RUDP_E_CLOSED);
    finish();
}
END_TEST

/* Flushed is when the peer has all, not when all was sent. */
START_TEST(flushed_is_acknowledged)
{
    start();
    puppet_accepted(&p);
    ck_assert_uint_eq(puppet_send(&p, "hi", 2), RUDP_OK);
    puppet_expect(&p, RUDP_PACKET_SHORT);
    ck_assert(!rudp_session_is_flushed(p.session));
    deliver_ack(p.header.packet_number, p.header.packet_number);
    ck_assert(rudp_session_is_flushed(p.session));
    finish();
}
END_TEST

/* The tag is the caller's. */
START_TEST(tag_is_kept)
{
    start();
    puppet_open(&p);
    ck_assert_uint_eq(rudp_session_tag(p.session), 0);
    rudp_session_set_tag(p.session, 42);
    ck_assert_uint_eq(rudp_session_tag(p.session), 42);
    finish();
}
END_TEST

/* The packet size stays within what the protocol and the peer allow. */
START_TEST(packet_size_is_clamped)
{
    struct rudp_session_stats stats;

    start();
    puppet_accepted(&p);
    rudp_session_set_packet_bytes(p.session, 9000);
    rudp_session_stats(p.session, &stats);
    ck_assert_uint_eq(stats.packet_bytes, 1200); /* the puppet's PARAMS */
    rudp_session_set_packet_bytes(p.session, 1);
    rudp_session_stats(p.session, &stats);
    ck_assert_uint_eq(stats.packet_bytes, RUDP_PACKET_BYTES_MIN);
    finish();
}
END_TEST

/* --- Credit ----------------------------------------------------------------------------------- */

/* Data without credit: the peer is asked for it again and again, until it gives some. */
START_TEST(blocked_sender_asks_for_credit)
{
    static const uint8_t data[60000];
    struct rudp_frame frame;

    start();
    puppet_accepted(&p);
    for (uint32_t i = 0; i < 3; i++)
        ck_assert_uint_eq(puppet_send(&p, data, sizeof data), RUDP_OK);
    acknowledge_all();
    ck_assert_uint_gt(wait_silently(2 * RUDP_US_PER_S, RUDP_FRAME_BLOCKED), 0);
    deliver_credit(0, 200000);
    ck_assert(puppet_await(&p, RUDP_FRAME_DATA, &frame));
    ck_assert_uint_ge(frame.data.offset + frame.data.bytes, 100000);
    finish();
}
END_TEST

/* Begins the peer's part of the handshake, with this credit. */
static void begin_with_credit(enum rudp_packet_type type, uint64_t credit_bytes)
{
    struct rudp_header header = {
        .type = type,
        .version = RUDP_WIRE_VERSION,
        .destination_id = type == RUDP_PACKET_HELLO ? 0 : p.session_id,
        .source_id = p.own_id,
        .packet_number = p.next_pn++,
    };
    struct rudp_params params = {.credit_bytes = credit_bytes, .packet_bytes_max = 1200};

    puppet_begin_header(&p, &header);
    ck_assert(rudp_wire_write_params(&p.writer, &params));
}

/* A caller that has little room left, for its program has not read the answers of an earlier
 * incarnation, gets no more than it granted. */
START_TEST(little_credit_of_an_opener_is_kept)
{
    static const uint8_t data[5000];
    struct rudp_frame frame;

    start();
    begin_with_credit(RUDP_PACKET_HELLO, 10);
    ck_assert(rudp_wire_write_padding(&p.writer, 1000));
    (void)puppet_deliver(&p);
    ck_assert_uint_eq(puppet_send(&p, data, sizeof data), RUDP_OK);
    ck_assert(puppet_await(&p, RUDP_FRAME_DATA, &frame));
    ck_assert_uint_eq(frame.data.offset, 0);
    ck_assert_uint_eq(frame.data.bytes, 10);
    ck_assert(!puppet_await(&p, RUDP_FRAME_DATA, &frame));
    finish();
}
END_TEST

/* An opener that sent more than its peer turns out to grant asks for the rest, and sends it again
 * when it may. */
START_TEST(credit_below_the_assumed_one_is_asked_for)
{
    static const uint8_t data[5000];
    struct rudp_frame frame;

    start();
    puppet_open(&p);
    ck_assert_uint_eq(puppet_send(&p, data, sizeof data), RUDP_OK);
    ck_assert(puppet_await(&p, RUDP_FRAME_DATA, &frame));
    ck_assert_uint_gt(frame.data.bytes, 10);
    begin_with_credit(RUDP_PACKET_HELLO_ACK, 10);
    (void)puppet_deliver(&p);
    ck_assert(!puppet_await(&p, RUDP_FRAME_DATA, &frame));
    puppet_wait_us(&p, RUDP_US_PER_S); /* the hello is not acknowledged: its bytes had no room */
    ck_assert(puppet_await(&p, RUDP_FRAME_DATA, &frame));
    ck_assert_uint_eq(frame.data.offset, 0);
    ck_assert_uint_eq(frame.data.bytes, 10);
    deliver_ack(p.header.packet_number, p.header.packet_number);
    ck_assert_uint_gt(wait_silently(2 * RUDP_US_PER_S, RUDP_FRAME_BLOCKED), 0);
    deliver_credit(0, 6000);
    ck_assert(puppet_await(&p, RUDP_FRAME_DATA, &frame));
    ck_assert_uint_eq(frame.data.offset, 10);
    finish();
}
END_TEST

/* A peer that asks is told. */
START_TEST(blocked_peer_is_told_the_credit)
{
    struct rudp_frame frame;

    start();
    puppet_accepted(&p);
    puppet_begin(&p, RUDP_PACKET_SHORT);
    ck_assert(rudp_wire_write_blocked(&p.writer, 1000));
    (void)puppet_deliver(&p);
    ck_assert(puppet_await(&p, RUDP_FRAME_CREDIT, &frame));
    ck_assert_uint_eq(frame.credit.limit_offset, p.config.receive_buffer_bytes);
    finish();
}
END_TEST

/* A peer that wants starts, and takes half a message, is served on. */
START_TEST(delivery_inside_a_message_is_survived)
{
    struct rudp_params params = {
        .credit_bytes = 100000, .packet_bytes_max = 1200, .wants_starts = true};
    uint8_t data[3000];
    struct rudp_frame frame;

    start();
    puppet_accepted(&p);
    puppet_begin(&p, RUDP_PACKET_SHORT);
    ck_assert(rudp_wire_write_params(&p.writer, &params));
    (void)puppet_deliver(&p);
    memset(data, 0xff, sizeof data);
    ck_assert_uint_eq(puppet_send(&p, data, sizeof data), RUDP_OK);
    ck_assert(puppet_await(&p, RUDP_FRAME_DATA_START, &frame));
    ck_assert_uint_eq(frame.data.start_offset, 0);
    (void)puppet_drain(&p);
    deliver_credit(1000, 100000);
    ck_assert_uint_gt(wait_silently(RUDP_US_PER_S, RUDP_FRAME_DATA_START), 0);
    finish();
}
END_TEST

/* --- Patience --------------------------------------------------------------------------------- */

/* An idle session is probed, but not before its time. */
START_TEST(keepalive_probes_an_idle_session)
{
    start();
    puppet_accepted(&p);
    ck_assert_uint_eq(wait_silently(p.config.keepalive_us - RUDP_US_PER_S, RUDP_FRAME_PING), 0);
    ck_assert_uint_gt(wait_silently(2 * RUDP_US_PER_S, RUDP_FRAME_PING), 0);
    finish();
}
END_TEST

/* A peer that has messages and does not say that it delivered them is asked much sooner: it may
 * have ended. */
START_TEST(undelivered_messages_are_asked_after)
{
    start();
    puppet_accepted(&p);
    ck_assert_uint_eq(puppet_send(&p, "hi", 2), RUDP_OK);
    acknowledge_all();
    ck_assert_uint_eq(wait_silently(450 * RUDP_US_PER_MS, RUDP_FRAME_PING), 0);
    ck_assert_uint_gt(wait_silently(100 * RUDP_US_PER_MS, RUDP_FRAME_PING), 0);
    deliver_credit(3, 100000);
    acknowledge_all();
    ck_assert_uint_eq(wait_silently(p.config.keepalive_us - RUDP_US_PER_S, RUDP_FRAME_PING), 0);
    finish();
}
END_TEST

/* What a challenge takes long after the session's last use is not overdue at once, and is given
 * back later. */
START_TEST(memory_of_a_challenge_is_kept_for_a_while)
{
    start();
    puppet_accepted(&p);
    (void)wait_silently(10 * RUDP_US_PER_S, RUDP_FRAME_PING);
    size_t idle_bytes = p.memory.used_bytes;

    p.path.remote.port++;
    puppet_ping(&p);
    ck_assert_uint_gt(puppet_drain(&p), 0);
    ck_assert_uint_gt(p.memory.used_bytes, idle_bytes);
    ck_assert_uint_gt(rudp_endpoint_deadline_us(p.endpoint), p.now_us + RUDP_US_PER_S);
    (void)wait_silently(3 * RUDP_US_PER_S, RUDP_FRAME_PING);
    ck_assert_uint_eq(p.memory.used_bytes, idle_bytes);
    finish();
}
END_TEST

/* With an idle timeout, silence ends the session, and the peer is told. */
START_TEST(silence_ends_an_idle_session)
{
    puppet_init(&p);
    p.config.idle_timeout_us = 5 * RUDP_US_PER_S;
    p.config.keepalive_us = 0;
    puppet_start(&p);
    puppet_accepted(&p);
    ck_assert_uint_eq(wait_silently(4 * RUDP_US_PER_S, RUDP_FRAME_CLOSE), 0);
    ck_assert_uint_eq(wait_silently(2 * RUDP_US_PER_S, RUDP_FRAME_CLOSE), CLOSE_COPY_COUNT);
    check_closed(RUDP_CLOSE_REASON_IDLE, 0);
    finish();
}
END_TEST

/* A peer that answers no probe is dead, and what it did not get is reported. */
START_TEST(unanswered_probes_end_the_session)
{
    puppet_init(&p);
    p.config.retry_count_max = 3;
    puppet_start(&p);
    puppet_accepted(&p);
    ck_assert_uint_eq(puppet_send(&p, "hi", 2), RUDP_OK);
    (void)wait_silently(SILENCE_US, RUDP_FRAME_DATA);
    check_closed(RUDP_CLOSE_REASON_DEAD, 3);
    finish();
}
END_TEST

/* Nobody answers the hello: an error within the connect timeout, after several tries. */
START_TEST(unanswered_hello_ends_the_session)
{
    start();
    puppet_open(&p);
    ck_assert_uint_eq(puppet_send(&p, "hi", 2), RUDP_OK);
    uint32_t hello_count =
        wait_silently(p.config.connect_timeout_us + RUDP_US_PER_MS, RUDP_FRAME_PARAMS);

    ck_assert_uint_gt(hello_count, 3);
    check_closed(RUDP_CLOSE_REASON_CONNECT_TIMEOUT, 3);
    finish();
}
END_TEST

/* An acceptor waits as long for its peer's proof. */
START_TEST(unproven_session_ends)
{
    start();
    puppet_hello(&p);
    (void)wait_silently(p.config.connect_timeout_us + RUDP_US_PER_MS, RUDP_FRAME_PARAMS);
    check_closed(RUDP_CLOSE_REASON_CONNECT_TIMEOUT, 0);
    finish();
}
END_TEST

/* Closing waits for the peer as long as it may linger, and says what did not arrive. */
START_TEST(linger_ends_a_close_that_nobody_answers)
{
    puppet_init(&p);
    p.config.linger_us = 2 * RUDP_US_PER_S;
    puppet_start(&p);
    puppet_accepted(&p);
    ck_assert_uint_eq(puppet_send(&p, "hi", 2), RUDP_OK);
    rudp_session_close(p.endpoint, p.session, p.now_us);
    ck_assert_uint_eq(wait_silently(3 * RUDP_US_PER_S, RUDP_FRAME_CLOSE), CLOSE_COPY_COUNT);
    check_closed(RUDP_CLOSE_REASON_LINGER, 3);
    finish();
}
END_TEST

/* --- Close ------------------------------------------------------------------------------------ */

/* Nothing was said to anybody: it is over at once. */
START_TEST(close_before_anything_was_sent_is_silent)
{
    start();
    puppet_open(&p);
    rudp_session_close(p.endpoint, p.session, p.now_us);
    puppet_take_events(&p);
    check_closed(RUDP_CLOSE_REASON_LOCAL, 0);
    ck_assert(!puppet_next(&p));
    finish();
}
END_TEST

/* FIN follows the data; when both are acknowledged CLOSE goes out and the session is over. */
START_TEST(close_ends_when_all_is_acknowledged)
{
    struct rudp_frame frame;

    start();
    puppet_accepted(&p);
    ck_assert_uint_eq(puppet_send(&p, "hi", 2), RUDP_OK);
    rudp_session_close(p.endpoint, p.session, p.now_us);
    ck_assert(puppet_await(&p, RUDP_FRAME_FIN, &frame));
    ck_assert_uint_eq(frame.final_offset, 3);
    ck_assert_uint_eq(p.event_counts[RUDP_EVENT_CLOSED], 0);
    deliver_ack(1, p.header.packet_number);
    check_closed(RUDP_CLOSE_REASON_LOCAL, 0);
    ck_assert(puppet_await(&p, RUDP_FRAME_CLOSE, &frame));
    ck_assert_uint_eq(frame.close_code, RUDP_CLOSE_FINISHED);
    finish();
}
END_TEST

/* FIN in the packet of the last bytes: never without what was read here, if the peer does not know
 * it, because the peer may end with it. */
START_TEST(fin_does_not_outrun_the_delivery)
{
    struct rudp_frame frame;

    start();
    puppet_accepted(&p);
    deliver_data(0, "\2hi", 3);
    puppet_ping(&p);        /* the second packet: acknowledged at once, */
    (void)puppet_drain(&p); /* with the news that nothing was read yet */
    puppet_check_read(&p, "hi");
    ck_assert_uint_eq(puppet_send(&p, "yo", 2), RUDP_OK);
    rudp_session_close(p.endpoint, p.session, p.now_us);
    ck_assert(puppet_await(&p, RUDP_FRAME_FIN, &frame));
    ck_assert(puppet_find(&p, RUDP_FRAME_CREDIT, &frame));
    ck_assert_uint_eq(frame.credit.delivered_offset, 3);
    finish();
}
END_TEST

/* A lost FIN is sent again. */
START_TEST(lost_fin_is_sent_again)
{
    struct rudp_frame frame;

    start();
    puppet_accepted(&p);
    rudp_session_close(p.endpoint, p.session, p.now_us);
    ck_assert(puppet_await(&p, RUDP_FRAME_FIN, &frame));
    ck_assert_uint_gt(wait_silently(3 * RUDP_US_PER_S, RUDP_FRAME_FIN), 0);
    finish();
}
END_TEST

/* CLOSE 0 after our FIN: the peer had all of it, whatever acknowledgement got lost. */
START_TEST(finished_peer_has_all_before_our_fin)
{
    struct rudp_frame frame;

    start();
    puppet_accepted(&p);
    ck_assert_uint_eq(puppet_send(&p, "hi", 2), RUDP_OK);
    rudp_session_close(p.endpoint, p.session, p.now_us);
    ck_assert(puppet_await(&p, RUDP_FRAME_FIN, &frame));
    deliver_close(RUDP_CLOSE_FINISHED);
    check_closed(RUDP_CLOSE_REASON_LOCAL, 0);
    finish();
}
END_TEST

/* A peer that gave up: what it is not known to have is reported. */
START_TEST(aborting_peer_ends_the_session)
{
    start();
    puppet_accepted(&p);
    ck_assert_uint_eq(puppet_send(&p, "hi", 2), RUDP_OK);
    (void)puppet_drain(&p);
    deliver_close(RUDP_CLOSE_ABORTED);
    check_closed(RUDP_CLOSE_REASON_PEER_ABORTED, 3);
    finish();
}
END_TEST

/* The peer's FIN ends the session when all before it is here; what came can still be read, and what
 * the peer will not read is reported. */
START_TEST(fin_of_the_peer_ends_the_session)
{
    struct rudp_frame frame;

    start();
    puppet_accepted(&p);
    ck_assert_uint_eq(puppet_send(&p, "yo", 2), RUDP_OK);
    (void)puppet_drain(&p);
    deliver_fin(3);
    ck_assert_uint_eq(p.event_counts[RUDP_EVENT_CLOSED], 0);
    deliver_data(0, "\2hi", 3);
    check_closed(RUDP_CLOSE_REASON_PEER, 3);
    puppet_check_read(&p, "hi");
    ck_assert(puppet_await(&p, RUDP_FRAME_CLOSE, &frame));
    ck_assert_uint_eq(frame.close_code, RUDP_CLOSE_FINISHED);
    rudp_session_release(p.endpoint, p.session);
    finish();
}
END_TEST

/* Giving up tells the peer, and repeats it as often as the protocol says. */
START_TEST(abort_tells_the_peer)
{
    struct rudp_frame frame;

    start();
    puppet_accepted(&p);
    rudp_session_abort(p.endpoint, p.session, p.now_us);
    puppet_take_events(&p);
    check_closed(RUDP_CLOSE_REASON_ABORTED, 0);
    ck_assert(puppet_await(&p, RUDP_FRAME_CLOSE, &frame));
    ck_assert_uint_eq(frame.close_code, RUDP_CLOSE_ABORTED);
    for (uint32_t copy = 1; copy < CLOSE_COPY_COUNT; copy++)
        ck_assert(puppet_next(&p));
    ck_assert(!puppet_next(&p));
    finish();
}
END_TEST

/* The delivered offset that the next CREDIT tells. */
static uint64_t told_delivery(void)
{
    struct rudp_frame frame;

    puppet_ping(&p);
    puppet_wait_us(&p, p.config.ack_delay_us_max);
    ck_assert(puppet_await(&p, RUDP_FRAME_CREDIT, &frame));
    return frame.credit.delivered_offset;
}

/* Passes on the next message, of one byte. */
static void pass_on(void)
{
    char byte;
    size_t bytes;

    ck_assert_uint_eq(rudp_session_peek(p.endpoint, p.session, &byte, 1, &bytes), RUDP_OK);
    rudp_session_pass_on(p.endpoint, p.session, p.now_us);
}

/* What was passed on is not told as delivered before the program has read it, and the caller is
 * asked after it. Once the session closes it stays as it is: the rest is the peer's again. */
START_TEST(delivery_is_told_when_confirmed)
{
    start();
    puppet_accepted(&p);
    puppet_begin(&p, RUDP_PACKET_SHORT);
    puppet_add_data(&p, 0, "\1a\1b\1c", 6);
    (void)puppet_deliver(&p);
    for (uint32_t i = 0; i < 3; i++)
        pass_on();
    ck_assert_uint_eq(told_delivery(), 0);
    puppet_wait_us(&p, RUDP_US_PER_S);
    ck_assert_uint_gt(p.event_counts[RUDP_EVENT_UNCONFIRMED], 0);
    rudp_session_confirm(p.endpoint, p.session, 2 * rudp_message_stream_bytes(1), p.now_us);
    ck_assert_uint_eq(told_delivery(), 2);
    rudp_session_confirm(p.endpoint, p.session, rudp_message_stream_bytes(1), p.now_us);
    rudp_session_close(p.endpoint, p.session, p.now_us);
    rudp_session_confirm(p.endpoint, p.session, 0, p.now_us);
    ck_assert_uint_eq(told_delivery(), 4);
    finish();
}
END_TEST

int main(void)
{
    return SUITE_RUN(
        "session", packet_is_taken_once, malformed_packet_has_no_effect, cut_frame_has_no_effect,
        impossible_claims_are_malformed, hello_says_nothing_of_the_session,
        hello_ack_of_another_peer_is_unexpected, bytes_beyond_the_credit_are_dropped,
        too_many_gaps_are_dropped, data_without_memory_is_not_acknowledged,
        data_without_memory_is_answered, answer_needs_no_memory,
        first_packet_without_memory_is_answered, impossible_message_is_a_protocol_error,
        contradicting_fin_is_malformed, peek_into_short_buffer_keeps_the_message,
        full_buffer_is_followed_by_writable, refused_for_memory_is_followed_by_writable,
        send_after_close_is_refused, flushed_is_acknowledged, tag_is_kept, packet_size_is_clamped,
        blocked_sender_asks_for_credit, little_credit_of_an_opener_is_kept,
        credit_below_the_assumed_one_is_asked_for, blocked_peer_is_told_the_credit,
        delivery_inside_a_message_is_survived, keepalive_probes_an_idle_session,
        undelivered_messages_are_asked_after, memory_of_a_challenge_is_kept_for_a_while,
        silence_ends_an_idle_session, unanswered_probes_end_the_session,
        unanswered_hello_ends_the_session, unproven_session_ends,
        linger_ends_a_close_that_nobody_answers, close_before_anything_was_sent_is_silent,
        close_ends_when_all_is_acknowledged, fin_does_not_outrun_the_delivery,
        lost_fin_is_sent_again, finished_peer_has_all_before_our_fin,
        aborting_peer_ends_the_session, fin_of_the_peer_ends_the_session, abort_tells_the_peer,
        delivery_is_told_when_confirmed);
}
