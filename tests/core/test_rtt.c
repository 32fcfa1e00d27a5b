#include "core/rtt.h"
#include "tests/core/suite.h"

/* The first round trip is the estimate, half of it the deviation. */
START_TEST(first_sample_is_taken_whole)
{
    struct rudp_rtt rtt;

    rudp_rtt_init(&rtt);
    ck_assert_uint_eq(rtt.min_us, RUDP_NEVER);
    rudp_rtt_sample(&rtt, 80000, 20000);
    ck_assert_uint_eq(rtt.smoothed_us, 80000);
    ck_assert_uint_eq(rtt.deviation_us, 40000);
    ck_assert_uint_eq(rtt.min_us, 80000);
    ck_assert_uint_eq(rtt.latest_us, 80000);
}
END_TEST

/* RFC 9002 section 5.3: an eighth of the new sample, a quarter of its error against the old mean.
 */
START_TEST(later_samples_are_smoothed)
{
    struct rudp_rtt rtt;

    rudp_rtt_init(&rtt);
    rudp_rtt_sample(&rtt, 80000, 0);
    rudp_rtt_sample(&rtt, 160000, 0);
    ck_assert_uint_eq(rtt.smoothed_us, 90000);
    ck_assert_uint_eq(rtt.deviation_us, 50000);
    ck_assert_uint_eq(rtt.sample_count, 2);
}
END_TEST

/* The peer's delay is taken off as long as the rest is a possible round trip. */
START_TEST(ack_delay_is_subtracted)
{
    struct rudp_rtt rtt;

    rudp_rtt_init(&rtt);
    rudp_rtt_sample(&rtt, 80000, 0);
    rudp_rtt_sample(&rtt, 100000, 20000);
    ck_assert_uint_eq(rtt.smoothed_us, 80000);
}
END_TEST

/* A delay that would leave less than the minimum is not believed at all. */
START_TEST(ack_delay_below_minimum_is_ignored)
{
    struct rudp_rtt rtt;

    rudp_rtt_init(&rtt);
    rudp_rtt_sample(&rtt, 80000, 0);
    rudp_rtt_sample(&rtt, 96000, 16001);
    ck_assert_uint_eq(rtt.smoothed_us, 82000);
}
END_TEST

/* The minimum takes in the peer's delay, which may be a lie. */
START_TEST(minimum_ignores_ack_delay)
{
    struct rudp_rtt rtt;

    rudp_rtt_init(&rtt);
    rudp_rtt_sample(&rtt, 80000, 70000);
    rudp_rtt_sample(&rtt, 60000, 50000);
    ck_assert_uint_eq(rtt.min_us, 60000);
}
END_TEST

/* A peer that sits on an acknowledgement moves the estimate no further than the clamp. */
START_TEST(absurd_sample_is_clamped)
{
    struct rudp_rtt rtt;

    rudp_rtt_init(&rtt);
    rudp_rtt_sample(&rtt, UINT64_MAX, 0);
    ck_assert_uint_eq(rtt.smoothed_us, RUDP_RTT_US_MAX);
}
END_TEST

/* The count stops at its end, and the estimate goes on. */
START_TEST(sample_count_saturates)
{
    struct rudp_rtt rtt;

    rudp_rtt_init(&rtt);
    rudp_rtt_sample(&rtt, 0, 0);
    rtt.sample_count = UINT32_MAX;
    rudp_rtt_sample(&rtt, 8000, 0);
    ck_assert_uint_eq(rtt.sample_count, UINT32_MAX);
    ck_assert_uint_eq(rtt.smoothed_us, 1000);
}
END_TEST

/* A steady path is probed after four deviations, */
START_TEST(probe_timeout_is_four_deviations)
{
    struct rudp_rtt rtt;

    rudp_rtt_init(&rtt);
    rudp_rtt_sample(&rtt, 80000, 0);
    ck_assert_uint_eq(rudp_rtt_probe_timeout_us(&rtt), 80000 + 4 * 40000);
}
END_TEST

/* and not less than a millisecond, however steady and fast it is. */
START_TEST(probe_timeout_is_never_zero)
{
    struct rudp_rtt rtt;

    rudp_rtt_init(&rtt);
    rudp_rtt_sample(&rtt, 0, 0);
    ck_assert_uint_eq(rudp_rtt_probe_timeout_us(&rtt), RUDP_US_PER_MS);
}
END_TEST

int main(void)
{
    return SUITE_RUN("rtt", first_sample_is_taken_whole, later_samples_are_smoothed,
                     ack_delay_is_subtracted, ack_delay_below_minimum_is_ignored,
                     minimum_ignores_ack_delay, absurd_sample_is_clamped, sample_count_saturates,
                     probe_timeout_is_four_deviations, probe_timeout_is_never_zero);
}
