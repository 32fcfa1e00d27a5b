#include "core/loss.h"
#include "tests/core/suite.h"
#include "tests/vectors/capped_host.h"

#include <string.h>

#define PACKET_BYTES  1000u
#define RTT_US        80000u
#define PTO_US        100000u
#define START_US      UINT64_C(1000000)
#define PACKETS_MODEL 4000u
#define SEED_COUNT    20u

/* What became of a packet, as the handler was told. */
struct fate {
    uint32_t acked_count;
    uint32_t lost_count;
    uint32_t spurious_count;
    bool eliciting;
    uint32_t bytes;
};

struct fixture {
    struct capped_host memory;
    struct rudp_loss loss;
    struct rudp_loss_result result;
    struct fate fates[PACKETS_MODEL];
    uint32_t lost_count;
    uint32_t acked_count;
    uint64_t now_us;
};

static struct fixture f; /* one test a process, and large */

/* A packet is recognised by its only range, whose offset is its number. */
static void on_acked(void *context, const struct rudp_sent_packet *packet, bool spurious)
{
    struct fate *fate = &((struct fixture *)context)->fates[packet->ranges[0].offset];

    fate->acked_count++;
    fate->spurious_count += spurious;
    ck_assert_int_eq(spurious, fate->lost_count > 0);
    f.acked_count++;
}

static void on_lost(void *context, const struct rudp_sent_packet *packet)
{
    struct fate *fate = &((struct fixture *)context)->fates[packet->ranges[0].offset];

    fate->lost_count++;
    ck_assert_uint_eq(fate->acked_count, 0);
    f.lost_count++;
}

static const struct rudp_loss_handler handler = {&f, on_acked, on_lost};

static void setup(uint64_t seed)
{
    memset(&f, 0, sizeof f);
    capped_host_init(&f.memory, SIZE_MAX, seed);
    rudp_loss_init(&f.loss);
    f.now_us = START_US;
}

static void teardown(void)
{
    rudp_loss_clear(&f.loss, &f.memory.host);
    ck_assert_uint_eq(f.memory.used_bytes, 0);
}

static uint64_t draw(uint64_t below)
{
    return rudp_random_u64(&f.memory.host) % below;
}

static void send_one(uint32_t bytes, bool eliciting)
{
    uint64_t pn = f.loss.next_pn;
    struct rudp_sent_packet packet = {
        .sent_us = f.now_us,
        .packet_bytes = bytes,
        .range_count = 1,
        .ranges = {{.offset = pn % PACKETS_MODEL, .bytes = 1}},
    };

    ck_assert_uint_eq(rudp_loss_reserve(&f.loss, &f.memory.host), RUDP_OK);
    f.fates[pn % PACKETS_MODEL] = (struct fate){.eliciting = eliciting, .bytes = bytes};
    rudp_loss_on_sent(&f.loss, &packet, eliciting);
}

static void send_many(uint32_t count)
{
    for (uint32_t i = 0; i < count; i++)
        send_one(PACKET_BYTES, true);
}

static void take_ack(const struct rudp_ack_frame *ack)
{
    ck_assert(rudp_loss_ack_is_valid(&f.loss, ack));
    rudp_loss_on_ack(&f.loss, &f.memory.host, ack, PTO_US, f.now_us, &handler, &f.result);
}

/* The numbers smallest..largest are acknowledged now. */
static void ack(uint64_t smallest, uint64_t largest)
{
    struct rudp_ack_frame frame = {.range_count = 1, .ranges = {{smallest, largest}}};

    take_ack(&frame);
}

static void detect(void)
{
    f.result = (struct rudp_loss_result){.rtt_us = RUDP_NEVER};
    rudp_loss_detect(&f.loss, PTO_US, f.now_us, &handler, &f.result);
}

static void wait_us(uint64_t duration_us)
{
    f.now_us += duration_us;
}

/* One round trip of RTT_US, so that times are known: takes number 0. */
static void learn_rtt(void)
{
    send_many(1);
    wait_us(RTT_US);
    ck_assert_uint_eq(f.loss.next_pn, 1);
    ack(0, 0);
}

/* --- The model: packets on a path that loses, delays and reorders ------------------------------
 */

struct arrival {
    uint64_t at_us; /* RUDP_NEVER: lost on the way */
};

static struct arrival arrivals[PACKETS_MODEL];

/* What a receiver that has what arrived until some time ago would say now. */
static bool fill_ack(struct rudp_ack_frame *ack_frame)
{
    uint64_t pn = f.loss.next_pn;

    ack_frame->range_count = 0;
    while (pn > 0 && ack_frame->range_count < RUDP_WIRE_ACK_RANGES_MAX) {
        struct rudp_ack_range *range = &ack_frame->ranges[ack_frame->range_count];

        while (pn > 0 && arrivals[pn - 1].at_us + RTT_US / 2 > f.now_us)
            pn--;
        if (pn == 0)
            break;
        range->largest = pn - 1;
        while (pn > 0 && arrivals[pn - 1].at_us + RTT_US / 2 <= f.now_us)
            pn--;
        range->smallest = pn;
        ack_frame->range_count++;
    }
    return ack_frame->range_count > 0;
}

static void send_random(void)
{
    uint64_t pn = f.loss.next_pn;
    uint64_t delay_us = RTT_US / 2 + (draw(6) == 0 ? draw(2 * (uint64_t)RTT_US) : 0);

    arrivals[pn].at_us = draw(8) == 0 ? RUDP_NEVER / 2 : f.now_us + delay_us;
    send_one(100 + (uint32_t)draw(1000), draw(5) != 0);
}

/* In flight is what was sent, elicits, and has no fate yet: in packets and in bytes. */
static void check_in_flight(void)
{
    uint64_t bytes = 0;
    uint32_t count = 0;
    uint32_t wrong_count = 0;

    for (uint64_t pn = 0; pn < f.loss.next_pn; pn++) {
        const struct fate *fate = &f.fates[pn];
        bool in_flight = fate->eliciting && fate->acked_count == 0 && fate->lost_count == 0;

        bytes += in_flight ? fate->bytes : 0;
        count += in_flight;
        wrong_count += fate->acked_count > 1 || fate->lost_count > 1;
        wrong_count += !fate->eliciting && fate->acked_count + fate->lost_count > 0;
    }
    ck_assert_uint_eq(wrong_count, 0);
    ck_assert_uint_eq(f.loss.in_flight_bytes, bytes);
    ck_assert_uint_eq(f.loss.in_flight_count, count);
}

static void run_random(uint64_t seed)
{
    struct rudp_ack_frame ack_frame;

    setup(seed);
    while (f.loss.next_pn < PACKETS_MODEL - 1) {
        for (uint64_t count = draw(12); count > 0 && f.loss.next_pn < PACKETS_MODEL - 1; count--)
            send_random();
        wait_us(draw(20000));
        f.memory.cap_bytes = draw(4) == 0 ? f.memory.used_bytes : SIZE_MAX;
        if (draw(3) == 0 && fill_ack(&ack_frame))
            take_ack(&ack_frame);
        if (f.loss.loss_time_us <= f.now_us)
            detect();
        f.memory.cap_bytes = SIZE_MAX;
        ck_assert_uint_gt(f.loss.loss_time_us, f.now_us);
        if (draw(8) == 0)
            check_in_flight();
    }
    send_one(PACKET_BYTES, true); /* arrives: it decides those before it */
    wait_us(RTT_US);
    ack(f.loss.next_pn - 1, f.loss.next_pn - 1);
    while (f.loss.loss_time_us != RUDP_NEVER) {
        f.now_us = f.loss.loss_time_us;
        detect();
    }
    check_in_flight();
    ck_assert_uint_eq(f.loss.in_flight_bytes, 0);
    ck_assert_uint_eq(f.loss.in_flight_count, 0);
    ck_assert_uint_gt(f.lost_count, 0);
    teardown();
}

/* On any path each packet gets one fate, a second one only when it was lost too early, and what is
 * in flight adds up. */
START_TEST(random_path_decides_each_packet_once)
{
    for (uint64_t seed = 0; seed < SEED_COUNT; seed++)
        run_random(seed);
}
END_TEST

/* --- Acknowledgements ------------------------------------------------------------------------- */

/* What was not sent cannot be acknowledged. */
START_TEST(ack_of_unsent_packet_is_invalid)
{
    struct rudp_ack_frame frame = {.range_count = 1, .ranges = {{0, 1}}};

    setup(0);
    send_many(1);
    ck_assert(!rudp_loss_ack_is_valid(&f.loss, &frame));
    frame.ranges[0].largest = 0;
    ck_assert(rudp_loss_ack_is_valid(&f.loss, &frame));
    frame.range_count = 0;
    ck_assert(!rudp_loss_ack_is_valid(&f.loss, &frame));
    teardown();
}
END_TEST

/* The same acknowledgement again brings nothing. */
START_TEST(repeated_ack_changes_nothing)
{
    setup(0);
    send_many(3);
    wait_us(RTT_US);
    ack(0, 2);
    ck_assert_uint_eq(f.result.acked_bytes, 3 * PACKET_BYTES);
    ack(0, 2);
    ck_assert_uint_eq(f.result.acked_bytes, 0);
    ck_assert_uint_eq(f.result.rtt_us, RUDP_NEVER);
    ck_assert_uint_eq(f.acked_count, 3);
    teardown();
}
END_TEST

/* Only the newest number gives a round-trip sample. */
START_TEST(rtt_is_of_the_largest_number)
{
    setup(0);
    send_many(1);
    wait_us(10000);
    send_many(1);
    wait_us(RTT_US);
    ack(0, 1);
    ck_assert_uint_eq(f.result.rtt_us, RTT_US);
    ck_assert_uint_eq(f.result.largest_acked_sent_us, START_US + 10000);
    teardown();
}
END_TEST

/* An older number that comes later would measure the peer's patience. */
START_TEST(rtt_is_not_of_an_older_number)
{
    setup(0);
    send_many(2);
    wait_us(RTT_US);
    ack(1, 1);
    wait_us(1);
    ack(0, 0);
    ck_assert_uint_eq(f.result.acked_bytes, PACKET_BYTES);
    ck_assert_uint_eq(f.result.rtt_us, RUDP_NEVER);
    teardown();
}
END_TEST

/* A packet that elicits nothing is acknowledged at the peer's leisure: no sample. */
START_TEST(rtt_is_not_of_an_acknowledgement)
{
    setup(0);
    send_one(PACKET_BYTES, false);
    wait_us(RTT_US);
    ack(0, 0);
    ck_assert_uint_eq(f.result.rtt_us, RUDP_NEVER);
    ck_assert_uint_eq(f.acked_count, 0);
    teardown();
}
END_TEST

/* Something new from the peer ends the series of probe timeouts. */
START_TEST(ack_ends_the_series_of_probes)
{
    setup(0);
    send_many(1);
    f.loss.probe_timeout_count = 3;
    ack(0, 0);
    ck_assert_uint_eq(f.loss.probe_timeout_count, 0);
    teardown();
}
END_TEST

/* --- Loss ------------------------------------------------------------------------------------- */

/* Three later packets acknowledged, and it is lost; two are not enough. */
START_TEST(third_later_packet_declares_loss)
{
    setup(0);
    learn_rtt();
    send_many(4);
    ack(3, 3);
    ck_assert_uint_eq(f.result.lost_count, 0);
    ack(4, 4);
    ck_assert_uint_eq(f.result.lost_count, 1);
    ck_assert_uint_eq(f.result.lost_bytes, PACKET_BYTES);
    ck_assert_uint_eq(f.fates[1].lost_count, 1);
    teardown();
}
END_TEST

/* Nine eighths of a round trip, and it is lost; a microsecond earlier it is not. */
START_TEST(time_declares_loss)
{
    setup(0);
    learn_rtt();
    send_many(2);
    uint64_t sent_us = f.now_us;

    wait_us(RTT_US);
    ack(2, 2);
    ck_assert_uint_eq(f.loss.loss_time_us, sent_us + RTT_US + RTT_US / 8);
    f.now_us = f.loss.loss_time_us - 1;
    detect();
    ck_assert_uint_eq(f.result.lost_count, 0);
    wait_us(1);
    detect();
    ck_assert_uint_eq(f.result.lost_count, 1);
    ck_assert_uint_eq(f.result.largest_lost_sent_us, sent_us);
    ck_assert_uint_eq(f.loss.loss_time_us, RUDP_NEVER);
    teardown();
}
END_TEST

/* Nothing is lost by time alone: later packets must have arrived. */
START_TEST(newest_packets_are_not_declared_lost)
{
    setup(0);
    send_many(3);
    wait_us(100 * (uint64_t)RTT_US);
    detect();
    ck_assert_uint_eq(f.result.lost_count, 0);
    ck_assert_uint_eq(f.loss.loss_time_us, RUDP_NEVER);
    teardown();
}
END_TEST

/* Before the first sample the window is guessed: as long as the first probe timeout, not 1 ms. */
START_TEST(time_before_the_first_sample_is_the_probe_timeout)
{
    setup(0);
    send_many(1);
    send_one(PACKET_BYTES, false);
    wait_us(RTT_US);
    ack(1, 1);
    ck_assert_uint_eq(f.loss.rtt.sample_count, 0);
    ck_assert_uint_eq(f.result.lost_count, 0);
    ck_assert_uint_ge(f.loss.loss_time_us, START_US + PTO_US);
    teardown();
}
END_TEST

/* --- Reordering ------------------------------------------------------------------------------- */

/* Sends four packets, of which the first is declared lost: by the three behind it, or by time. */
static uint64_t lose_first_of_four(void)
{
    uint64_t pn = f.loss.next_pn;

    wait_us(1); /* what is sent when losses are declared belongs to them */
    send_many(4);
    wait_us(RTT_US);
    ack(pn + 1, pn + 3);
    if (f.loss.loss_time_us != RUDP_NEVER) {
        f.now_us = f.loss.loss_time_us;
        detect();
    }
    ck_assert_uint_eq(f.fates[pn].lost_count, 1);
    return pn;
}

/* A lost packet that arrives after all is told as spurious. */
START_TEST(late_packet_is_spurious)
{
    setup(0);
    learn_rtt();
    uint64_t pn = lose_first_of_four();

    ack(pn, pn + 3);
    ck_assert_uint_eq(f.result.spurious_count, 1);
    ck_assert_uint_eq(f.result.acked_bytes, 0);
    ck_assert_uint_eq(f.fates[pn].spurious_count, 1);
    teardown();
}
END_TEST

/* Once reordering was seen, later packets prove nothing any more, only time does. */
START_TEST(reordering_ends_the_packet_threshold)
{
    setup(0);
    learn_rtt();
    uint64_t pn = lose_first_of_four();

    ack(pn, pn);
    send_many(5);
    ack(f.loss.next_pn - 1, f.loss.next_pn - 1);
    ck_assert_uint_eq(f.result.lost_count, 0);
    ck_assert_uint_ne(f.loss.loss_time_us, RUDP_NEVER);
    teardown();
}
END_TEST

/* Each spurious loss doubles the reordering window, up to a whole round trip. */
START_TEST(reordering_window_doubles_to_a_round_trip)
{
    uint8_t shifts[6];

    setup(0);
    learn_rtt();
    for (uint32_t i = 0; i < 6; i++) {
        uint64_t pn = lose_first_of_four();

        ack(pn, pn);
        shifts[i] = f.loss.reordering_shift;
    }
    ck_assert_uint_eq(shifts[5], 3);
    for (uint32_t i = 1; i < 6; i++)
        ck_assert_uint_eq(shifts[i], min_u64(shifts[i - 1] + 1u, 3));
    teardown();
}
END_TEST

/* Sixteen loss events without a spurious one, and the window is back at its start. */
START_TEST(reordering_window_shrinks_after_sixteen_events)
{
    setup(0);
    learn_rtt();
    for (uint32_t i = 0; i < 2; i++) {
        uint64_t pn = lose_first_of_four();

        ack(pn, pn);
    }
    for (uint32_t i = 0; i < 15; i++)
        (void)lose_first_of_four();
    ck_assert_uint_gt(f.loss.reordering_shift, 0);
    (void)lose_first_of_four();
    ck_assert_uint_eq(f.loss.reordering_shift, 0);
    teardown();
}
END_TEST

/* --- Loss events ------------------------------------------------------------------------------ */

/* When all packets of an event arrived after all, the event is undone; before, it is not. */
START_TEST(event_is_undone_by_its_last_packet)
{
    setup(0);
    learn_rtt();
    send_many(5);
    ack(5, 5);
    ck_assert_uint_eq(f.result.lost_count, 2);
    ack(1, 1);
    ck_assert(!f.result.event_undone);
    ack(2, 2);
    ck_assert(f.result.event_undone);
    teardown();
}
END_TEST

/* A packet of an earlier event says nothing about the last one, whose packet is really lost. */
START_TEST(event_is_not_undone_by_an_earlier_one)
{
    setup(0);
    learn_rtt();
    send_many(4);
    ack(4, 4);
    ck_assert_uint_eq(f.result.lost_count, 1);
    wait_us(1);
    send_many(4);
    ack(8, 8);
    ck_assert_uint_eq(f.fates[5].lost_count, 1);
    ack(1, 1);
    ck_assert_uint_eq(f.result.spurious_count, 1);
    ck_assert(!f.result.event_undone);
    teardown();
}
END_TEST

/* Two packets lost over more than three probe timeouts with nothing between them acknowledged. */
START_TEST(long_silence_is_persistent_congestion)
{
    setup(0);
    learn_rtt();
    send_many(1);
    wait_us(3 * PTO_US + 1);
    send_many(1);
    wait_us(2 * RTT_US);
    send_many(1);
    wait_us(RTT_US);
    ack(3, 3);
    ck_assert_uint_eq(f.result.lost_count, 2);
    ck_assert(f.result.persistent_congestion);
    teardown();
}
END_TEST

/* Something that got through between them: the path is bad, not blocked. */
START_TEST(acknowledged_packet_ends_persistent_congestion)
{
    setup(0);
    learn_rtt();
    send_many(1);
    wait_us(2 * PTO_US);
    send_many(1);
    wait_us(2 * PTO_US);
    send_many(1);
    wait_us(2 * RTT_US);
    send_many(1);
    wait_us(RTT_US);
    struct rudp_ack_frame frame = {.range_count = 2, .ranges = {{4, 4}, {2, 2}}};

    take_ack(&frame);
    ck_assert_uint_eq(f.result.lost_count, 2);
    ck_assert(!f.result.persistent_congestion);
    teardown();
}
END_TEST

/* --- The ledger ------------------------------------------------------------------------------- */

/* The bound holds while everything is in flight. */
START_TEST(ledger_is_full_at_its_bound)
{
    setup(0);
    send_many(RUDP_LOSS_PACKETS_MAX);
    ck_assert_uint_eq(rudp_loss_reserve(&f.loss, &f.memory.host), RUDP_E_FULL);
    ack(0, 0);
    ck_assert_uint_eq(rudp_loss_reserve(&f.loss, &f.memory.host), RUDP_OK);
    teardown();
}
END_TEST

/* At the bound the memory of a lost packet gives way. */
START_TEST(full_ledger_forgets_lost_packets)
{
    setup(0);
    send_many(RUDP_LOSS_PACKETS_MAX);
    ack(3, 3);
    ck_assert_uint_eq(f.result.lost_count, 1);
    ck_assert_uint_eq(rudp_loss_reserve(&f.loss, &f.memory.host), RUDP_OK);
    ck_assert_uint_eq(f.loss.first_pn, 1);
    teardown();
}
END_TEST

/* Without memory there is no room, and what is there stays. */
START_TEST(reserve_without_memory_is_refused)
{
    setup(0);
    f.memory.cap_bytes = 0;
    ck_assert_uint_eq(rudp_loss_reserve(&f.loss, &f.memory.host), RUDP_E_MEMORY);
    f.memory.cap_bytes = SIZE_MAX;
    send_many(16);
    f.memory.cap_bytes = f.memory.used_bytes;
    ck_assert_uint_eq(rudp_loss_reserve(&f.loss, &f.memory.host), RUDP_E_MEMORY);
    f.memory.cap_bytes = SIZE_MAX;
    ack(0, 15);
    ck_assert_uint_eq(f.acked_count, 16);
    teardown();
}
END_TEST

/* Packets that nobody waits for do not fill it. */
START_TEST(ledger_does_not_grow_with_acknowledgements)
{
    setup(0);
    for (uint32_t i = 0; i < PACKETS_MODEL; i++)
        send_one(PACKET_BYTES, false);
    ck_assert_uint_le(f.loss.capacity, 16);
    ck_assert_uint_eq(f.loss.in_flight_count, 0);
    teardown();
}
END_TEST

/* A new incarnation starts at number 0 and keeps what the path taught. */
START_TEST(restart_keeps_the_round_trip)
{
    setup(0);
    learn_rtt();
    send_many(5);
    rudp_loss_restart(&f.loss, &f.memory.host);
    ck_assert_uint_eq(f.loss.next_pn, 0);
    ck_assert_uint_eq(f.loss.in_flight_bytes, 0);
    ck_assert_uint_eq(f.loss.rtt.smoothed_us, RTT_US);
    ck_assert_uint_eq(f.memory.used_bytes, 0);
    teardown();
}
END_TEST

/* After a RETRY everything in flight is lost, and no congestion is concluded from it. */
START_TEST(losing_all_is_no_loss_event)
{
    setup(0);
    send_many(3);
    send_one(PACKET_BYTES, false);
    ack(1, 1);
    rudp_loss_all(&f.loss, &handler);
    ck_assert_uint_eq(f.lost_count, 2);
    ck_assert_uint_eq(f.loss.in_flight_count, 0);
    ck_assert_uint_eq(f.loss.event_lost_count, 0);
    teardown();
}
END_TEST

/* The oldest packet worth sending again is in flight and carries something. */
START_TEST(oldest_is_in_flight_and_carries_something)
{
    struct rudp_sent_packet ping = {.sent_us = START_US, .packet_bytes = 20};

    setup(0);
    ck_assert_ptr_null(rudp_loss_oldest(&f.loss));
    ck_assert_uint_eq(rudp_loss_reserve(&f.loss, &f.memory.host), RUDP_OK);
    rudp_loss_on_sent(&f.loss, &ping, true);
    ck_assert_ptr_null(rudp_loss_oldest(&f.loss));
    send_many(2);
    ack(1, 1);
    ck_assert_uint_eq(rudp_loss_oldest(&f.loss)->ranges[0].offset, 2);
    teardown();
}
END_TEST

/* A packet that carries no bytes but content counts too. */
START_TEST(oldest_may_carry_content_only)
{
    struct rudp_sent_packet fin = {
        .sent_us = START_US, .packet_bytes = 20, .content = RUDP_SENT_FIN};

    setup(0);
    ck_assert_uint_eq(rudp_loss_reserve(&f.loss, &f.memory.host), RUDP_OK);
    rudp_loss_on_sent(&f.loss, &fin, true);
    ck_assert_uint_eq(rudp_loss_oldest(&f.loss)->content, RUDP_SENT_FIN);
    teardown();
}
END_TEST

/* Without memory for more a full ledger makes room by its oldest packet, of which it knows nothing
 * any more. */
START_TEST(full_ledger_gives_up_its_oldest)
{
    setup(0);
    send_many(1);
    f.memory.cap_bytes = f.memory.used_bytes;
    send_many(f.loss.capacity - 1);
    ck_assert_uint_eq(rudp_loss_reserve(&f.loss, &f.memory.host), RUDP_E_MEMORY);
    ck_assert(rudp_loss_give_up_oldest(&f.loss, &handler));
    ck_assert_uint_eq(f.lost_count, 1);
    send_many(1);
    ack(0, f.loss.next_pn - 1);
    ck_assert_uint_eq(f.acked_count, f.loss.next_pn - 1);
    ck_assert_uint_eq(f.loss.in_flight_bytes, 0);
    teardown();
}
END_TEST

/* A number is used without a ledger by what nobody waits for. */
START_TEST(acknowledgement_needs_no_ledger)
{
    struct rudp_sent_packet packet = {.sent_us = START_US, .packet_bytes = 20};

    setup(0);
    ck_assert(!rudp_loss_give_up_oldest(&f.loss, &handler));
    rudp_loss_on_sent(&f.loss, &packet, false);
    ck_assert_uint_eq(f.loss.next_pn, 1);
    send_many(2);
    ack(0, 2);
    ck_assert_uint_eq(f.acked_count, 2);
    ck_assert_uint_eq(f.loss.in_flight_count, 0);
    teardown();
}
END_TEST

/* Idle, the ledger holds nothing; numbers go on. Not idle, it keeps everything. */
START_TEST(compact_gives_back_an_idle_ledger)
{
    setup(0);
    send_many(3);
    rudp_loss_compact(&f.loss, &f.memory.host);
    ck_assert_uint_gt(f.memory.used_bytes, 0);
    ack(0, 2);
    rudp_loss_compact(&f.loss, &f.memory.host);
    ck_assert_uint_eq(f.memory.used_bytes, 0);
    ck_assert_uint_eq(f.loss.next_pn, 3);
    ack(0, 2);
    ck_assert_uint_eq(f.acked_count, 3);
    teardown();
}
END_TEST

int main(void)
{
    return SUITE_RUN(
        "loss", random_path_decides_each_packet_once, ack_of_unsent_packet_is_invalid,
        repeated_ack_changes_nothing, rtt_is_of_the_largest_number, rtt_is_not_of_an_older_number,
        rtt_is_not_of_an_acknowledgement, ack_ends_the_series_of_probes,
        third_later_packet_declares_loss, time_declares_loss, newest_packets_are_not_declared_lost,
        time_before_the_first_sample_is_the_probe_timeout, late_packet_is_spurious,
        reordering_ends_the_packet_threshold, reordering_window_doubles_to_a_round_trip,
        reordering_window_shrinks_after_sixteen_events, event_is_undone_by_its_last_packet,
        event_is_not_undone_by_an_earlier_one, long_silence_is_persistent_congestion,
        acknowledged_packet_ends_persistent_congestion, ledger_is_full_at_its_bound,
        full_ledger_forgets_lost_packets, reserve_without_memory_is_refused,
        ledger_does_not_grow_with_acknowledgements, restart_keeps_the_round_trip,
        losing_all_is_no_loss_event, oldest_is_in_flight_and_carries_something,
        oldest_may_carry_content_only, full_ledger_gives_up_its_oldest,
        acknowledgement_needs_no_ledger, compact_gives_back_an_idle_ledger);
}
