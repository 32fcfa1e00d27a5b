#include "core/received.h"
#include "tests/core/suite.h"
#include "tests/vectors/capped_host.h"

#include <string.h>

#define WINDOW       RUDP_RECEIVED_WINDOW
#define WINDOW_MIN   8192u /* docs/protocol.md section 1 */
#define ACK_DELAY_US 5000u
#define SEED_COUNT   5u
#define STEP_COUNT   20000u
#define NUMBERS      40000u

struct fixture {
    struct capped_host memory;
    struct rudp_received received;
};

static bool known[NUMBERS];

static void setup(struct fixture *f, uint64_t seed)
{
    memset(f, 0, sizeof *f);
    capped_host_init(&f->memory, SIZE_MAX, seed);
}

static void teardown(struct fixture *f)
{
    rudp_received_clear(&f->received, &f->memory.host);
    ck_assert_uint_eq(f->memory.used_bytes, 0);
}

/* A packet as the session takes it in: reserve, then add, which must not fail then. */
static void arrive(struct fixture *f, uint64_t packet_number, bool eliciting, uint64_t now_us)
{
    ck_assert_uint_eq(rudp_received_reserve(&f->received, &f->memory.host), RUDP_OK);
    ck_assert_uint_eq(rudp_received_add(&f->received, &f->memory.host, packet_number, eliciting,
                                        ACK_DELAY_US, now_us),
                      RUDP_OK);
    ck_assert(rudp_received_is_duplicate(&f->received, packet_number));
}

/* --- Duplicates ------------------------------------------------------------------------------- */

/* Numbers that arrived are duplicates, others of the window are not, in whatever order. */
START_TEST(random_arrivals_equal_model)
{
    for (uint64_t seed = 0; seed < SEED_COUNT; seed++) {
        struct fixture f;
        uint64_t highest = 0;

        setup(&f, seed);
        memset(known, 0, sizeof known);
        for (uint32_t step = 0; step < STEP_COUNT; step++) {
            uint64_t draw = rudp_random_u64(&f.memory.host);
            uint64_t lowest = sub_floor_u64(highest, WINDOW_MIN - 1);
            uint64_t pn = lowest + draw % (highest + 2 - lowest);

            ck_assert_int_eq(rudp_received_is_duplicate(&f.received, pn), known[pn]);
            if (known[pn])
                continue;
            arrive(&f, pn, draw >> 60 == 0, step);
            known[pn] = true;
            highest = max_u64(highest, pn);
            ck_assert_uint_eq(rudp_received_next_pn(&f.received), highest + 1);
        }
        teardown(&f);
    }
}
END_TEST

/* What left the window counts as received. */
START_TEST(numbers_below_the_window_are_duplicates)
{
    struct fixture f;

    setup(&f, 0);
    arrive(&f, WINDOW + 100, true, 1);
    ck_assert(rudp_received_is_duplicate(&f.received, 99));
    ck_assert(!rudp_received_is_duplicate(&f.received, 100));
    teardown(&f);
}
END_TEST

/* A peer that leaves a gap behind every packet cannot make the set grow without end, nor make a
 * late packet the one that does not fit. */
START_TEST(gaps_at_the_bound_take_every_packet)
{
    struct fixture f;

    setup(&f, 0);
    for (uint64_t pn = 2; pn <= WINDOW; pn += 2)
        arrive(&f, pn, true, 1);
    arrive(&f, 0, true, 1); /* below all of them, when their number is at its bound */
    for (uint64_t pn = WINDOW + 2; pn <= 3 * WINDOW; pn += 2)
        arrive(&f, pn, true, 1);
    ck_assert_uint_le(f.received.numbers.count, WINDOW / 2 + 1);
    teardown(&f);
}
END_TEST

/* --- When to acknowledge ---------------------------------------------------------------------- */

/* A first packet in order may wait for company. */
START_TEST(first_packet_waits_the_ack_delay)
{
    struct fixture f;

    setup(&f, 0);
    arrive(&f, 0, true, 100);
    ck_assert_uint_eq(f.received.ack_deadline_us, 100 + ACK_DELAY_US);
    teardown(&f);
}
END_TEST

/* The second one does not wait. */
START_TEST(second_packet_is_acknowledged_at_once)
{
    struct fixture f;

    setup(&f, 0);
    arrive(&f, 0, true, 100);
    arrive(&f, 1, true, 200);
    ck_assert_uint_eq(f.received.ack_deadline_us, 200);
    teardown(&f);
}
END_TEST

/* A gap is told at once. */
START_TEST(packet_behind_a_gap_is_acknowledged_at_once)
{
    struct fixture f;

    setup(&f, 0);
    arrive(&f, 0, false, 100);
    arrive(&f, 2, true, 200);
    ck_assert_uint_eq(f.received.ack_deadline_us, 200);
    teardown(&f);
}
END_TEST

/* So is what fills it. */
START_TEST(packet_that_fills_a_gap_is_acknowledged_at_once)
{
    struct fixture f;

    setup(&f, 0);
    arrive(&f, 0, false, 100);
    arrive(&f, 2, false, 100);
    arrive(&f, 1, true, 200);
    ck_assert_uint_eq(f.received.ack_deadline_us, 200);
    teardown(&f);
}
END_TEST

/* A later packet does not push the deadline of an earlier one back. */
START_TEST(deadline_of_the_first_packet_stays)
{
    struct fixture f;

    setup(&f, 0);
    arrive(&f, 0, true, 100);
    arrive(&f, 1, false, 200);
    ck_assert_uint_eq(f.received.ack_deadline_us, 100 + ACK_DELAY_US);
    teardown(&f);
}
END_TEST

/* Acknowledgements are not acknowledged. */
START_TEST(packet_that_elicits_nothing_owes_nothing)
{
    struct fixture f;

    setup(&f, 0);
    arrive(&f, 5, false, 100);
    ck_assert_uint_eq(f.received.ack_deadline_us, 0);
    teardown(&f);
}
END_TEST

/* 0 says that nothing is owed, so a deadline at the clock's zero is one later. */
START_TEST(deadline_at_time_zero_is_not_none)
{
    struct fixture f;

    setup(&f, 0);
    arrive(&f, 5, true, 0);
    ck_assert_uint_eq(f.received.ack_deadline_us, 1);
    teardown(&f);
}
END_TEST

/* After an acknowledgement counting begins anew. */
START_TEST(ack_sent_settles_what_was_owed)
{
    struct fixture f;

    setup(&f, 0);
    arrive(&f, 0, true, 100);
    rudp_received_on_ack_sent(&f.received);
    ck_assert_uint_eq(f.received.ack_deadline_us, 0);
    arrive(&f, 1, true, 200);
    ck_assert_uint_eq(f.received.ack_deadline_us, 200 + ACK_DELAY_US);
    teardown(&f);
}
END_TEST

/* --- What to acknowledge ---------------------------------------------------------------------- */

/* There is nothing to say before the first packet. */
START_TEST(ack_of_nothing_is_refused)
{
    struct fixture f;
    struct rudp_ack_frame ack;

    setup(&f, 0);
    ck_assert(!rudp_received_fill_ack(&f.received, &ack, 1));
    teardown(&f);
}
END_TEST

/* The frame has the newest ranges first and the time since the highest number came. */
START_TEST(ack_lists_newest_ranges_first)
{
    struct fixture f;
    struct rudp_ack_frame ack;

    setup(&f, 0);
    arrive(&f, 3, true, 100);
    arrive(&f, 4, true, 200);
    arrive(&f, 1, true, 300);
    ck_assert(rudp_received_fill_ack(&f.received, &ack, 450));
    ck_assert_uint_eq(ack.delay_us, 250);
    ck_assert_uint_eq(ack.range_count, 2);
    ck_assert_uint_eq(ack.ranges[0].smallest, 3);
    ck_assert_uint_eq(ack.ranges[0].largest, 4);
    ck_assert_uint_eq(ack.ranges[1].smallest, 1);
    ck_assert_uint_eq(ack.ranges[1].largest, 1);
    teardown(&f);
}
END_TEST

/* More ranges than a frame holds: the oldest are left out. */
START_TEST(ack_leaves_the_oldest_ranges_out)
{
    struct fixture f;
    struct rudp_ack_frame ack;

    setup(&f, 0);
    for (uint64_t i = 0; i < RUDP_WIRE_ACK_RANGES_MAX + 3; i++)
        arrive(&f, 2 * i, true, 1);
    ck_assert(rudp_received_fill_ack(&f.received, &ack, 1));
    ck_assert_uint_eq(ack.range_count, RUDP_WIRE_ACK_RANGES_MAX);
    ck_assert_uint_eq(ack.ranges[RUDP_WIRE_ACK_RANGES_MAX - 1].smallest, 6);
    teardown(&f);
}
END_TEST

/* --- Memory ----------------------------------------------------------------------------------- */

/* Without memory the packet cannot be remembered, and that is said before it takes effect. */
START_TEST(reserve_tells_that_memory_is_out)
{
    struct fixture f;

    setup(&f, 0);
    f.memory.cap_bytes = 0;
    ck_assert_uint_eq(rudp_received_reserve(&f.received, &f.memory.host), RUDP_E_MEMORY);
    ck_assert_uint_eq(rudp_received_add(&f.received, &f.memory.host, 0, true, 0, 1), RUDP_E_MEMORY);
    ck_assert(!rudp_received_is_duplicate(&f.received, 0));
    teardown(&f);
}
END_TEST

/* Without memory for one more gap the oldest is given up; every packet is still taken, and nothing
 * is acknowledged that did not come. */
START_TEST(gaps_without_memory_take_every_packet)
{
    struct fixture f;
    struct rudp_ack_frame ack;

    setup(&f, 0);
    arrive(&f, 0, true, 1);
    f.memory.cap_bytes = f.memory.used_bytes;
    for (uint64_t pn = 2; pn <= 100; pn += 2)
        arrive(&f, pn, true, 1);
    ck_assert(rudp_received_fill_ack(&f.received, &ack, 1));
    ck_assert_uint_eq(ack.ranges[0].largest, 100);
    for (uint32_t i = 0; i < ack.range_count; i++)
        ck_assert_uint_eq(ack.ranges[i].smallest, ack.ranges[i].largest);
    arrive(&f, 99, true, 1);
    teardown(&f);
}
END_TEST

/* An idle session forgets old gaps, not the highest number. */
START_TEST(compact_keeps_the_highest_number)
{
    struct fixture f;
    struct rudp_ack_frame ack;

    setup(&f, 0);
    for (uint64_t pn = 0; pn < 1000; pn += 2)
        arrive(&f, pn, true, 1);
    size_t before_bytes = f.memory.used_bytes;

    rudp_received_compact(&f.received, &f.memory.host);
    ck_assert_uint_lt(f.memory.used_bytes, before_bytes / 10);
    ck_assert_uint_eq(rudp_received_next_pn(&f.received), 999);
    ck_assert(rudp_received_is_duplicate(&f.received, 1));
    ck_assert(rudp_received_fill_ack(&f.received, &ack, 1));
    ck_assert_uint_eq(ack.ranges[0].smallest, 998);
    teardown(&f);
}
END_TEST

/* Compacting needs a little memory itself; without it everything still holds. */
START_TEST(compact_without_memory_is_harmless)
{
    struct fixture f;

    setup(&f, 0);
    arrive(&f, 4, true, 1);
    f.memory.cap_bytes = f.memory.used_bytes;
    rudp_received_compact(&f.received, &f.memory.host);
    ck_assert_uint_eq(rudp_received_next_pn(&f.received), 5);
    ck_assert(rudp_received_is_duplicate(&f.received, 4));
    teardown(&f);
}
END_TEST

/* There is nothing to compact before the first packet. */
START_TEST(compact_of_nothing_is_harmless)
{
    struct fixture f;

    setup(&f, 0);
    rudp_received_compact(&f.received, &f.memory.host);
    ck_assert_uint_eq(rudp_received_next_pn(&f.received), 0);
    teardown(&f);
}
END_TEST

int main(void)
{
    return SUITE_RUN(
        "received", random_arrivals_equal_model, numbers_below_the_window_are_duplicates,
        gaps_at_the_bound_take_every_packet, first_packet_waits_the_ack_delay,
        second_packet_is_acknowledged_at_once, packet_behind_a_gap_is_acknowledged_at_once,
        packet_that_fills_a_gap_is_acknowledged_at_once, deadline_of_the_first_packet_stays,
        packet_that_elicits_nothing_owes_nothing, deadline_at_time_zero_is_not_none,
        ack_sent_settles_what_was_owed, ack_of_nothing_is_refused, ack_lists_newest_ranges_first,
        ack_leaves_the_oldest_ranges_out, reserve_tells_that_memory_is_out,
        gaps_without_memory_take_every_packet, compact_keeps_the_highest_number,
        compact_without_memory_is_harmless, compact_of_nothing_is_harmless);
}
