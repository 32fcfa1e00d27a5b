#include "tests/sim/fixture.h"
#include "tests/sim/regression_seeds.h"
#include "tests/sim/scenario.h"

#include <inttypes.h>

#define SEED_COUNT     4000u
#define GROUP_COUNT    8 /* tests that share the seeds: each in a process of its own */
#define REPEATED_COUNT 20u
#define FEATURE_SEEDS  25u
#define SECONDS_MAX    300 /* for a group, on a machine under load and with a sanitizer */

static void run_seed(uint64_t seed, uint32_t forced)
{
    struct scenario_result result;

    scenario_run(seed, SCENARIO_ALL, forced, NULL, &result);
    ck_assert_msg(result.passed, "seed %" PRIu64 ", forced %" PRIx32 ": %s", seed, forced,
                  result.failure);
}

#define REGRESSION(name, seed)                                                                     \
    START_TEST(name)                                                                               \
    {                                                                                              \
        run_seed(seed, SCENARIO_NONE);                                                             \
    }                                                                                              \
    END_TEST
REGRESSION_SEED_MAP(REGRESSION)

#define FORCED_REGRESSION(name, seed, feature)                                                     \
    START_TEST(name)                                                                               \
    {                                                                                              \
        run_seed(seed, 1u << (feature));                                                           \
    }                                                                                              \
    END_TEST
FORCED_REGRESSION_SEED_MAP(FORCED_REGRESSION)

/* The same seed makes the same run, bit for bit; another seed makes another. */
START_TEST(seed_replays_exactly)
{
    struct scenario_result previous = {.log_hash = 0};

    for (uint64_t seed = 1; seed <= REPEATED_COUNT; seed++) {
        struct scenario_result first;
        struct scenario_result second;

        scenario_run(seed, SCENARIO_ALL, SCENARIO_NONE, NULL, &first);
        scenario_run(seed, SCENARIO_ALL, SCENARIO_NONE, NULL, &second);
        ck_assert_uint_eq(first.log_hash, second.log_hash);
        ck_assert_uint_eq(first.step_count, second.step_count);
        ck_assert_uint_ne(first.log_hash, previous.log_hash);
        previous = first;
    }
}
END_TEST

/* Random seeds hold every invariant. */
START_TEST(seeds_hold_invariants)
{
    for (uint64_t seed = (uint64_t)_i + 1; seed <= SEED_COUNT; seed += GROUP_COUNT)
        run_seed(seed, SCENARIO_NONE);
}
END_TEST

/* So do runs that have one feature for certain, whatever else is drawn. */
START_TEST(features_hold_invariants)
{
    for (uint64_t seed = 1; seed <= FEATURE_SEEDS; seed++)
        run_seed(seed, 1u << _i);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("seeds");
    TCase *tcase = tcase_create("seeds");
    SRunner *runner = srunner_create(suite);

    tcase_set_timeout(tcase, SECONDS_MAX);
#define ADD(name, ...) tcase_add_test(tcase, name);
    REGRESSION_SEED_MAP(ADD)
    FORCED_REGRESSION_SEED_MAP(ADD)
#undef ADD
    tcase_add_test(tcase, seed_replays_exactly);
    tcase_add_loop_test(tcase, seeds_hold_invariants, 0, GROUP_COUNT);
    tcase_add_loop_test(tcase, features_hold_invariants, 0, SCENARIO_FEATURE_COUNT);
    suite_add_tcase(suite, tcase);
    srunner_run_all(runner, CK_NORMAL);
    int failed_count = srunner_ntests_failed(runner);

    srunner_free(runner);
    return failed_count == 0 ? 0 : 1;
}
