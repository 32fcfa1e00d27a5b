#include "core/pacer.h"
#include "tests/core/suite.h"

#define PACKET 1200u

/* Sends whenever allowed until end_us and returns how many packets left. */
static uint64_t send_until_us(struct rudp_pacer *pacer, uint64_t bytes_per_s, uint64_t now_us,
                              uint64_t end_us)
{
    uint64_t sent_count = 0;

    while (now_us < end_us) {
        uint64_t next_us = rudp_pacer_next_us(pacer, bytes_per_s, PACKET, now_us);

        if (next_us > now_us) {
            now_us = next_us;
            continue;
        }
        rudp_pacer_on_sent(pacer, PACKET);
        sent_count++;
    }
    return sent_count;
}

/* The bucket starts full: ten packets leave at once, the eleventh waits. */
START_TEST(burst_is_ten_packets)
{
    struct rudp_pacer pacer = {0};

    for (uint32_t i = 0; i < 10; i++) {
        ck_assert_uint_eq(rudp_pacer_next_us(&pacer, 120000, PACKET, 5000), 5000);
        rudp_pacer_on_sent(&pacer, PACKET);
    }
    ck_assert_uint_eq(rudp_pacer_next_us(&pacer, 120000, PACKET, 5000), 15000);
}
END_TEST

/* At high rates the bucket holds two milliseconds. */
START_TEST(burst_is_two_milliseconds_when_that_is_more)
{
    struct rudp_pacer pacer = {0};
    uint64_t bytes_per_s = UINT64_C(120) * 1000 * 1000;
    uint32_t sent_count = 0;

    while (rudp_pacer_next_us(&pacer, bytes_per_s, PACKET, 0) == 0) {
        rudp_pacer_on_sent(&pacer, PACKET);
        sent_count++;
    }
    ck_assert_uint_eq(sent_count, 200);
}
END_TEST

/* The clock may start at 0: the first call is not forgotten. */
START_TEST(clock_may_start_at_zero)
{
    struct rudp_pacer pacer = {0};

    for (uint32_t i = 0; i < 10; i++) {
        ck_assert_uint_eq(rudp_pacer_next_us(&pacer, 120000, PACKET, 0), 0);
        rudp_pacer_on_sent(&pacer, PACKET);
    }
    ck_assert_uint_gt(rudp_pacer_next_us(&pacer, 120000, PACKET, 0), 0);
}
END_TEST

/* Over time the rate is kept to within a packet and the initial burst. */
START_TEST(rate_is_kept)
{
    static const uint64_t rates[] = {1000, 77777, 1234567, 99999999, 1234567890};

    for (size_t i = 0; i < sizeof rates / sizeof rates[0]; i++) {
        struct rudp_pacer pacer = {0};
        uint64_t duration_us = rates[i] > 1000000 ? RUDP_US_PER_S : 100 * RUDP_US_PER_S;
        uint64_t burst_bytes = max_u64(10 * PACKET, rates[i] / 500);
        uint64_t sent_bytes =
            PACKET * send_until_us(&pacer, rates[i], 1000000, 1000000 + duration_us);
        uint64_t earned_bytes = rates[i] * (duration_us / 1000) / 1000;

        ck_assert_uint_le(sent_bytes, burst_bytes + earned_bytes);
        ck_assert_uint_ge(sent_bytes + 2 * PACKET, earned_bytes);
    }
}
END_TEST

/* Asking often does not eat what a slow rate earns. */
START_TEST(polling_does_not_lose_fractions)
{
    struct rudp_pacer pacer = {0};
    uint64_t bytes_per_s = 1000; /* one byte a millisecond, asked for every 100 us */
    uint64_t sent_count = 0;

    for (uint64_t now_us = 1; now_us < 100 * RUDP_US_PER_S; now_us += 100) {
        if (rudp_pacer_next_us(&pacer, bytes_per_s, PACKET, now_us) == now_us) {
            rudp_pacer_on_sent(&pacer, PACKET);
            sent_count++;
        }
    }
    ck_assert_uint_ge(sent_count, 10 + 100000 / PACKET - 1);
    ck_assert_uint_le(sent_count, 10 + 100000 / PACKET);
}
END_TEST

/* The answer is exact: a microsecond earlier it is still no. */
START_TEST(next_time_holds)
{
    struct rudp_pacer pacer = {0};
    uint64_t bytes_per_s = 777777;

    while (rudp_pacer_next_us(&pacer, bytes_per_s, PACKET, 1) == 1)
        rudp_pacer_on_sent(&pacer, PACKET);
    uint64_t next_us = rudp_pacer_next_us(&pacer, bytes_per_s, PACKET, 1);

    struct rudp_pacer early = pacer;

    ck_assert_uint_gt(rudp_pacer_next_us(&early, bytes_per_s, PACKET, next_us - 1), next_us - 1);
    ck_assert_uint_eq(rudp_pacer_next_us(&pacer, bytes_per_s, PACKET, next_us), next_us);
}
END_TEST

/* Idling fills the bucket once, however long it lasts and fast it is. */
START_TEST(idle_time_is_not_saved_up)
{
    struct rudp_pacer pacer = {0};
    uint64_t rates[] = {120000, UINT64_C(1) << 50, RUDP_NEVER - 1};

    for (size_t i = 0; i < 3; i++) {
        uint64_t now_us = (i + 1) * UINT64_C(1000000) * RUDP_US_PER_S;
        uint64_t bucket_bytes = max_u64(10 * PACKET, min_u64(rates[i], UINT64_C(1) << 50) / 500);

        ck_assert_uint_eq(rudp_pacer_next_us(&pacer, rates[i], PACKET, now_us), now_us);
        ck_assert_uint_eq(pacer.budget_bytes, bucket_bytes);
    }
}
END_TEST

/* Without a rate nothing waits. */
START_TEST(no_rate_is_no_pacing)
{
    struct rudp_pacer pacer = {0};

    for (uint32_t i = 0; i < 1000; i++) {
        ck_assert_uint_eq(rudp_pacer_next_us(&pacer, RUDP_NEVER, PACKET, 7), 7);
        rudp_pacer_on_sent(&pacer, PACKET);
    }
}
END_TEST

/* A packet larger than what is left empties the bucket. */
START_TEST(budget_never_goes_below_zero)
{
    struct rudp_pacer pacer = {0};

    ck_assert_uint_eq(rudp_pacer_next_us(&pacer, 120000, PACKET, 1), 1);
    rudp_pacer_on_sent(&pacer, 60000);
    ck_assert_uint_eq(pacer.budget_bytes, 0);
}
END_TEST

int main(void)
{
    return SUITE_RUN("pacer", burst_is_ten_packets, burst_is_two_milliseconds_when_that_is_more,
                     clock_may_start_at_zero, rate_is_kept, polling_does_not_lose_fractions,
                     next_time_holds, idle_time_is_not_saved_up, no_rate_is_no_pacing,
                     budget_never_goes_below_zero);
}
