#include "core/hystart.h"
#include "tests/core/suite.h"

#define ROUND_PACKETS 10u
#define ACKED         1200u

struct fixture {
    struct rudp_hystart hystart;
    uint64_t pn; /* of the next acknowledgement */
};

static uint64_t ack_one(struct fixture *f, uint64_t rtt_us)
{
    struct rudp_cc_ack ack = {
        .acked_bytes = ACKED,
        .largest_acked_pn = f->pn,
        .next_pn = f->pn + ROUND_PACKETS,
        .latest_rtt_us = rtt_us,
    };

    f->pn++;
    return rudp_hystart_on_ack(&f->hystart, &ack);
}

/* Acknowledges one round of packets and returns the growth the last of them allowed. */
static uint64_t ack_round(struct fixture *f, uint64_t rtt_us)
{
    uint64_t growth_bytes = 0;

    for (uint32_t i = 0; i < ROUND_PACKETS; i++)
        growth_bytes = ack_one(f, rtt_us);
    return growth_bytes;
}

static void setup(struct fixture *f)
{
    *f = (struct fixture){0};
    rudp_hystart_init(&f->hystart);
}

/* While the round trip stays as it is, slow start goes on. */
START_TEST(steady_rtt_stays_in_slow_start)
{
    struct fixture f;

    setup(&f);
    for (uint32_t round = 0; round < 100; round++)
        ck_assert_uint_eq(ack_round(&f, 40000), ACKED);
    ck_assert(!rudp_hystart_is_done(&f.hystart));
}
END_TEST

/* Growth by an eighth enters Conservative Slow Start at the eighth sample of the round. */
START_TEST(grown_rtt_enters_css_at_eighth_sample)
{
    struct fixture f;

    setup(&f);
    ack_round(&f, 40000);
    for (uint32_t i = 0; i < 7; i++)
        ck_assert_uint_eq(ack_one(&f, 45000), ACKED);
    ck_assert_uint_eq(ack_one(&f, 45000), ACKED / 4);
    ck_assert(f.hystart.in_css);
}
END_TEST

/* A microsecond less than the threshold is not growth. */
START_TEST(rtt_below_threshold_is_no_growth)
{
    struct fixture f;

    setup(&f);
    ack_round(&f, 40000);
    ck_assert_uint_eq(ack_round(&f, 44999), ACKED);
}
END_TEST

/* On a fast path less than 4 ms is no growth, */
START_TEST(threshold_is_at_least_4_ms)
{
    struct fixture f;

    setup(&f);
    ack_round(&f, 1000);
    ck_assert_uint_eq(ack_round(&f, 4999), ACKED);
    setup(&f);
    ack_round(&f, 1000);
    ck_assert_uint_eq(ack_round(&f, 5000), ACKED / 4);
}
END_TEST

/* and on a slow one 16 ms are. */
START_TEST(threshold_is_at_most_16_ms)
{
    struct fixture f;

    setup(&f);
    ack_round(&f, 600000);
    ck_assert_uint_eq(ack_round(&f, 615999), ACKED);
    setup(&f);
    ack_round(&f, 600000);
    ck_assert_uint_eq(ack_round(&f, 616000), ACKED / 4);
}
END_TEST

/* One low sample in a round shows that the path has not become slower. */
START_TEST(lowest_sample_of_round_counts)
{
    struct fixture f;

    setup(&f);
    ack_round(&f, 40000);
    ck_assert_uint_eq(ack_one(&f, 40000), ACKED);
    for (uint32_t i = 1; i < ROUND_PACKETS; i++)
        ck_assert_uint_eq(ack_one(&f, 60000), ACKED);
}
END_TEST

/* Five rounds in CSS end slow start, the one it began in included. */
START_TEST(css_ends_after_five_rounds)
{
    struct fixture f;

    setup(&f);
    ack_round(&f, 40000);
    for (uint32_t round = 0; round < 5; round++) {
        ack_round(&f, 50000);
        ck_assert(!rudp_hystart_is_done(&f.hystart));
    }
    ack_one(&f, 50000);
    ck_assert(rudp_hystart_is_done(&f.hystart));
}
END_TEST

/* When the round trip falls below what CSS was entered with, slow start is taken up again. */
START_TEST(fallen_rtt_resumes_slow_start)
{
    struct fixture f;

    setup(&f);
    ack_round(&f, 40000);
    ack_round(&f, 50000);
    ck_assert(f.hystart.in_css);
    ck_assert_uint_eq(ack_round(&f, 49999), ACKED);
    ck_assert(!f.hystart.in_css);
    ck_assert_uint_eq(f.hystart.css_round_count, 0);
}
END_TEST

/* Acknowledgements without a sample neither enter CSS nor count. */
START_TEST(no_sample_is_not_counted)
{
    struct fixture f;

    setup(&f);
    ack_round(&f, 40000);
    for (uint32_t i = 0; i < 7; i++)
        ack_one(&f, 60000);
    ck_assert_uint_eq(ack_one(&f, 0), ACKED);
    ck_assert_uint_eq(f.hystart.sample_count, 7);
    ck_assert_uint_eq(ack_one(&f, 60000), ACKED / 4);
}
END_TEST

int main(void)
{
    return SUITE_RUN("hystart", steady_rtt_stays_in_slow_start,
                     grown_rtt_enters_css_at_eighth_sample, rtt_below_threshold_is_no_growth,
                     threshold_is_at_least_4_ms, threshold_is_at_most_16_ms,
                     lowest_sample_of_round_counts, css_ends_after_five_rounds,
                     fallen_rtt_resumes_slow_start, no_sample_is_not_counted);
}
