/* The link of udp-impair, in virtual time: each impairment does what its setting says. */
#include "tools/impair/link.h"

#include <check.h>
#include <stdlib.h>
#include <string.h>

#define COUNT 100000u

static struct impair_link make(const struct impair_settings *settings, uint64_t seed)
{
    struct impair_link link;

    impair_link_init(&link, settings, seed, 0);
    return link;
}

static struct impair_verdict pass(struct impair_link *link, size_t bytes, uint64_t now_us)
{
    struct impair_verdict verdict;

    impair_link_pass(link, bytes, now_us, &verdict);
    return verdict;
}

static void pass_many(struct impair_link *link, size_t count)
{
    for (size_t i = 0; i < count; i++)
        pass(link, 100, i);
}

/* The expectation and six standard deviations of count draws of that probability. */
static void assert_near(uint64_t seen, uint64_t count, uint64_t ppm)
{
    uint64_t expected = count * ppm / IMPAIR_PPM;
    uint64_t variance = expected * (IMPAIR_PPM - ppm) / IMPAIR_PPM;
    uint64_t off = seen > expected ? seen - expected : expected - seen;

    ck_assert_msg(off * off <= 36 * variance, "%lu seen, %lu expected", (unsigned long)seen,
                  (unsigned long)expected);
}

/* The generator gives the published sequence of xoshiro256** for the state 1, 2, 3, 4. */
START_TEST(prng_matches_the_reference)
{
    struct impair_prng prng = {{1, 2, 3, 4}};

    ck_assert_uint_eq(impair_prng_u64(&prng), 11520);
    ck_assert_uint_eq(impair_prng_u64(&prng), 0);
    ck_assert_uint_eq(impair_prng_u64(&prng), 1509978240);
    ck_assert_uint_eq(impair_prng_u64(&prng), 1215971899390074240);
}
END_TEST

/* Nothing set: every datagram leaves once, whole, at once. */
START_TEST(a_perfect_link_changes_nothing)
{
    struct impair_link link = make(&(struct impair_settings){0}, 1);

    for (uint64_t i = 0; i < 1000; i++) {
        struct impair_verdict verdict = pass(&link, i, i);

        ck_assert_uint_eq(verdict.copy_count, 1);
        ck_assert_uint_eq(verdict.bytes, i);
        ck_assert_uint_eq(verdict.flip_bit, IMPAIR_NO_FLIP);
        ck_assert_uint_eq(verdict.due_us[0], i);
    }
}
END_TEST

START_TEST(loss_is_as_frequent_as_set)
{
    struct impair_link link = make(&(struct impair_settings){.loss_ppm = 200000}, 1);

    pass_many(&link, COUNT);
    assert_near(link.counters.lost, COUNT, 200000);
}
END_TEST

START_TEST(loss_of_everything_loses_everything)
{
    struct impair_link link = make(&(struct impair_settings){.loss_ppm = IMPAIR_PPM}, 1);

    pass_many(&link, 1000);
    ck_assert_uint_eq(link.counters.lost, 1000);
}
END_TEST

/* Gilbert-Elliott: the bad state holds enter / (enter + leave) of the time... */
START_TEST(burst_loss_has_the_stationary_frequency)
{
    struct impair_link link = make(&(struct impair_settings){.burst_enter_ppm = 10000,
                                                             .burst_leave_ppm = 90000,
                                                             .burst_loss_ppm = IMPAIR_PPM},
                                   1);

    pass_many(&link, COUNT);
    ck_assert_uint_gt(link.counters.lost_in_burst, COUNT * 9 / 100);
    ck_assert_uint_lt(link.counters.lost_in_burst, COUNT * 11 / 100);
}
END_TEST

/* ...and a burst lasts 1 / leave datagrams: 11 on average here, where independent loss of the same
 * amount would give runs of 1.1. */
START_TEST(burst_loss_comes_in_bursts)
{
    struct impair_link link = make(&(struct impair_settings){.burst_enter_ppm = 10000,
                                                             .burst_leave_ppm = 90000,
                                                             .burst_loss_ppm = IMPAIR_PPM},
                                   1);
    uint64_t run_count = 0;
    bool lost_before = false;

    for (size_t i = 0; i < COUNT; i++) {
        bool lost = pass(&link, 100, i).copy_count == 0;

        run_count += lost && !lost_before;
        lost_before = lost;
    }
    ck_assert_uint_gt(link.counters.lost_in_burst, 10 * run_count);
    ck_assert_uint_lt(link.counters.lost_in_burst, 12 * run_count);
}
END_TEST

START_TEST(delay_is_exact)
{
    struct impair_link link = make(&(struct impair_settings){.delay_us = 12345}, 1);

    ck_assert_uint_eq(pass(&link, 100, 1000).due_us[0], 13345);
}
END_TEST

START_TEST(jitter_stays_in_its_range_and_keeps_the_order)
{
    struct impair_link link =
        make(&(struct impair_settings){.delay_us = 1000, .jitter_us = 500}, 1);
    uint64_t last_us = 0, latest_us = 0;

    for (uint64_t i = 0; i < 1000; i++) {
        uint64_t now_us = 100 * i;
        uint64_t due_us = pass(&link, 100, now_us).due_us[0];

        ck_assert_uint_ge(due_us, now_us + 1000);
        ck_assert_uint_le(due_us, now_us + 1500);
        ck_assert_uint_ge(due_us, last_us);
        last_us = due_us;
        latest_us = due_us - now_us > latest_us ? due_us - now_us : latest_us;
    }
    ck_assert_uint_gt(latest_us, 1450);
}
END_TEST

/* 8 Mbit/s: 1,000 bytes take one millisecond, and the next waits for them. */
START_TEST(rate_spaces_datagrams)
{
    struct impair_link link =
        make(&(struct impair_settings){.rate_bits_per_s = 8000000, .queue_bytes = 65536}, 1);

    ck_assert_uint_eq(pass(&link, 1000, 500).due_us[0], 1500);
    ck_assert_uint_eq(pass(&link, 1000, 500).due_us[0], 2500);
    ck_assert_uint_eq(pass(&link, 1000, 2500).due_us[0], 3500);
    ck_assert_uint_eq(pass(&link, 1000, 9000).due_us[0], 10000);
}
END_TEST

START_TEST(queue_drops_what_exceeds_it)
{
    struct impair_link link =
        make(&(struct impair_settings){.rate_bits_per_s = 8000000, .queue_bytes = 10000}, 1);

    pass_many(&link, 500); /* 100 bytes each, within half a millisecond: 5 of them leave */
    ck_assert_uint_ge(link.counters.queue_full, 500 - 100 - 5 - 1);
    ck_assert_uint_le(link.counters.queue_full, 500 - 100 - 5 + 1);
}
END_TEST

/* A queue shorter than the datagram does not close the line for it. */
START_TEST(a_free_line_takes_any_datagram)
{
    struct impair_link link =
        make(&(struct impair_settings){.rate_bits_per_s = 8000000, .queue_bytes = 100}, 1);

    ck_assert_uint_eq(pass(&link, 65507, 1).copy_count, 1);
    ck_assert_uint_eq(pass(&link, 1, 1).copy_count, 0);
}
END_TEST

START_TEST(reordered_datagrams_are_overtaken)
{
    struct impair_link link =
        make(&(struct impair_settings){.reorder_ppm = 100000, .reorder_by_us = 5000}, 1);
    uint64_t late_count = 0;

    for (uint64_t i = 0; i < COUNT; i++)
        late_count += pass(&link, 100, i).due_us[0] == i + 5000;
    ck_assert_uint_eq(late_count, link.counters.reordered);
    assert_near(late_count, COUNT, 100000);
}
END_TEST

START_TEST(duplicates_are_second_copies)
{
    struct impair_link link = make(&(struct impair_settings){.duplicate_ppm = 50000}, 1);
    uint64_t copy_count = 0;

    for (uint64_t i = 0; i < COUNT; i++)
        copy_count += pass(&link, 100, i).copy_count;
    ck_assert_uint_eq(copy_count, COUNT + link.counters.duplicated);
    assert_near(link.counters.duplicated, COUNT, 50000);
}
END_TEST

/* Every bit of the datagram is hit sooner or later, and none outside it. */
START_TEST(corruption_flips_bits_of_the_datagram)
{
    struct impair_link link = make(&(struct impair_settings){.corrupt_ppm = IMPAIR_PPM}, 1);
    bool hit[8 * 4] = {false};

    for (uint64_t i = 0; i < 1000; i++) {
        struct impair_verdict verdict = pass(&link, 4, i);

        ck_assert_uint_lt(verdict.flip_bit, 8 * 4);
        hit[verdict.flip_bit] = true;
    }
    for (size_t i = 0; i < 8 * 4; i++)
        ck_assert(hit[i]);
}
END_TEST

START_TEST(an_empty_datagram_cannot_be_damaged)
{
    struct impair_link link =
        make(&(struct impair_settings){.corrupt_ppm = IMPAIR_PPM, .truncate_ppm = IMPAIR_PPM}, 1);
    struct impair_verdict verdict = pass(&link, 0, 1);

    ck_assert_uint_eq(verdict.bytes, 0);
    ck_assert_uint_eq(verdict.flip_bit, IMPAIR_NO_FLIP);
    ck_assert_uint_eq(link.counters.corrupted + link.counters.truncated, 0);
}
END_TEST

START_TEST(truncation_shortens)
{
    struct impair_link link = make(&(struct impair_settings){.truncate_ppm = IMPAIR_PPM}, 1);
    bool seen[8] = {false};

    for (uint64_t i = 0; i < 1000; i++) {
        size_t bytes = pass(&link, 8, i).bytes;

        ck_assert_uint_lt(bytes, 8);
        seen[bytes] = true;
    }
    for (size_t i = 0; i < 8; i++)
        ck_assert(seen[i]);
}
END_TEST

static const struct impair_settings everything = {
    .loss_ppm = 100000,
    .burst_enter_ppm = 10000,
    .burst_leave_ppm = 300000,
    .burst_loss_ppm = 800000,
    .delay_us = 1000,
    .jitter_us = 300,
    .reorder_ppm = 50000,
    .reorder_by_us = 2000,
    .duplicate_ppm = 50000,
    .corrupt_ppm = 50000,
    .truncate_ppm = 50000,
};

static bool verdicts_equal(const struct impair_verdict *a, const struct impair_verdict *b)
{
    if (a->copy_count != b->copy_count || a->bytes != b->bytes || a->flip_bit != b->flip_bit)
        return false;
    return memcmp(a->due_us, b->due_us, a->copy_count * sizeof a->due_us[0]) == 0;
}

START_TEST(same_seed_same_decisions)
{
    struct impair_link a = make(&everything, 42), b = make(&everything, 42);

    for (uint64_t i = 0; i < 10000; i++) {
        struct impair_verdict of_a = pass(&a, i % 1500, i), of_b = pass(&b, i % 1500, i);

        ck_assert(verdicts_equal(&of_a, &of_b));
    }
}
END_TEST

START_TEST(other_seed_or_direction_other_decisions)
{
    struct impair_link a = make(&everything, 42), b = make(&everything, 43), c;
    size_t same_as_b = 0, same_as_c = 0;

    impair_link_init(&c, &everything, 42, 1);
    for (uint64_t i = 0; i < 1000; i++) {
        struct impair_verdict of_a = pass(&a, 1000, i), of_b = pass(&b, 1000, i);
        struct impair_verdict of_c = pass(&c, 1000, i);

        same_as_b += verdicts_equal(&of_a, &of_b);
        same_as_c += verdicts_equal(&of_a, &of_c);
    }
    ck_assert_uint_lt(same_as_b, 500);
    ck_assert_uint_lt(same_as_c, 500);
}
END_TEST

/* Which datagrams are lost does not depend on their lengths, on the rate limit or on what else is
 * set: a run can be repeated with one thing changed. */
START_TEST(losses_do_not_depend_on_the_other_settings)
{
    struct impair_settings only_loss = {.loss_ppm = everything.loss_ppm};
    struct impair_settings limited = everything;

    limited.rate_bits_per_s = 1000000;
    limited.queue_bytes = 20000;
    limited.burst_enter_ppm = 0;
    struct impair_link a = make(&only_loss, 7), b = make(&limited, 7);

    for (uint64_t i = 0; i < 10000; i++) {
        uint64_t dropped = b.counters.queue_full;
        bool lost_a = pass(&a, 10, i).copy_count == 0;
        bool lost_b = pass(&b, i % 1500, 1000 * i).copy_count == 0;

        if (b.counters.queue_full == dropped)
            ck_assert_int_eq(lost_a, lost_b);
    }
    ck_assert_uint_gt(b.counters.queue_full, 0);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("impair_link");
    TCase *tests = tcase_create("link");

    tcase_add_test(tests, prng_matches_the_reference);
    tcase_add_test(tests, a_perfect_link_changes_nothing);
    tcase_add_test(tests, loss_is_as_frequent_as_set);
    tcase_add_test(tests, loss_of_everything_loses_everything);
    tcase_add_test(tests, burst_loss_has_the_stationary_frequency);
    tcase_add_test(tests, burst_loss_comes_in_bursts);
    tcase_add_test(tests, delay_is_exact);
    tcase_add_test(tests, jitter_stays_in_its_range_and_keeps_the_order);
    tcase_add_test(tests, rate_spaces_datagrams);
    tcase_add_test(tests, queue_drops_what_exceeds_it);
    tcase_add_test(tests, a_free_line_takes_any_datagram);
    tcase_add_test(tests, reordered_datagrams_are_overtaken);
    tcase_add_test(tests, duplicates_are_second_copies);
    tcase_add_test(tests, corruption_flips_bits_of_the_datagram);
    tcase_add_test(tests, an_empty_datagram_cannot_be_damaged);
    tcase_add_test(tests, truncation_shortens);
    tcase_add_test(tests, same_seed_same_decisions);
    tcase_add_test(tests, other_seed_or_direction_other_decisions);
    tcase_add_test(tests, losses_do_not_depend_on_the_other_settings);
    suite_add_tcase(suite, tests);
    SRunner *runner = srunner_create(suite);

    srunner_run_all(runner, CK_NORMAL);
    int failed_count = srunner_ntests_failed(runner);

    srunner_free(runner);
    return failed_count == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
