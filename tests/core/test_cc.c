#include "core/cc.h"
#include "tests/core/suite.h"

#define PACKET 1200u

static struct rudp_cc after_loss(void)
{
    struct rudp_cc cc;

    rudp_cc_init(&cc, RUDP_CC_CUBIC, PACKET);
    rudp_cc_on_loss(
        &cc, &(struct rudp_cc_loss){.now_us = 5, .lost_bytes = PACKET, .largest_lost_sent_us = 5});
    return cc;
}

/* A new path starts in slow start with ten packets. */
START_TEST(starts_in_slow_start)
{
    struct rudp_cc cc;

    rudp_cc_init(&cc, RUDP_CC_CUBIC, PACKET);
    ck_assert(rudp_cc_in_slow_start(&cc));
    ck_assert_uint_eq(rudp_cc_window_bytes(&cc), 10 * PACKET);
}
END_TEST

/* Events reach the algorithm: growth, reduction, undo, collapse. */
START_TEST(events_reach_the_algorithm)
{
    struct rudp_cc cc;
    struct rudp_cc_ack ack = {.now_us = 1, .acked_bytes = PACKET, .largest_acked_sent_us = 1};
    struct rudp_cc_loss loss = {.now_us = 2, .lost_bytes = 1, .largest_lost_sent_us = 1};

    rudp_cc_init(&cc, RUDP_CC_CUBIC, PACKET);
    rudp_cc_on_ack(&cc, &ack);
    ck_assert_uint_eq(rudp_cc_window_bytes(&cc), 11 * PACKET);
    rudp_cc_on_loss(&cc, &loss);
    ck_assert_uint_eq(rudp_cc_window_bytes(&cc), 11 * PACKET * 7 / 10);
    rudp_cc_on_spurious_loss(&cc);
    ck_assert_uint_eq(rudp_cc_window_bytes(&cc), 11 * PACKET);
    rudp_cc_on_persistent_congestion(&cc);
    ck_assert_uint_eq(rudp_cc_window_bytes(&cc), 4 * PACKET);
}
END_TEST

/* In slow start two windows a round trip are paced out. */
START_TEST(pacing_is_double_in_slow_start)
{
    struct rudp_cc cc;

    rudp_cc_init(&cc, RUDP_CC_CUBIC, PACKET);
    ck_assert_uint_eq(rudp_cc_pacing_bytes_per_s(&cc, 100000), 2 * 10 * 12000);
}
END_TEST

/* After it one and a quarter. */
START_TEST(pacing_is_five_quarters_after_slow_start)
{
    struct rudp_cc cc = after_loss();

    ck_assert_uint_eq(rudp_cc_window_bytes(&cc), 8400);
    ck_assert_uint_eq(rudp_cc_pacing_bytes_per_s(&cc, 100000), 105000);
}
END_TEST

/* Without a round trip there is no rate. */
START_TEST(no_pacing_before_the_first_sample)
{
    struct rudp_cc cc = after_loss();

    ck_assert_uint_eq(rudp_cc_pacing_bytes_per_s(&cc, 0), RUDP_NEVER);
}
END_TEST

/* The largest window on the fastest path does not overflow, the slowest path does not give 0. */
START_TEST(pacing_holds_at_the_extremes)
{
    struct rudp_cc cc = after_loss();

    ck_assert_uint_ge(rudp_cc_pacing_bytes_per_s(&cc, UINT64_C(1) << 40), 1);
    cc.state.cubic.window_bytes = UINT64_C(1) << 30;
    ck_assert_uint_eq(rudp_cc_pacing_bytes_per_s(&cc, 1), (UINT64_C(1) << 30) * 1250000);
}
END_TEST

/* A larger packet lifts the window to the floor of four, and leaves a larger window alone. */
START_TEST(packet_size_changes_the_floor_only)
{
    struct rudp_cc cc = after_loss();

    rudp_cc_set_packet_bytes(&cc, 2100);
    ck_assert_uint_eq(rudp_cc_window_bytes(&cc), 8400);
    rudp_cc_set_packet_bytes(&cc, 9000);
    ck_assert_uint_eq(rudp_cc_window_bytes(&cc), 36000);
}
END_TEST

int main(void)
{
    return SUITE_RUN("cc", starts_in_slow_start, events_reach_the_algorithm,
                     pacing_is_double_in_slow_start, pacing_is_five_quarters_after_slow_start,
                     no_pacing_before_the_first_sample, pacing_holds_at_the_extremes,
                     packet_size_changes_the_floor_only);
}
