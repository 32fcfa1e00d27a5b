#include "core/ranges.h"
#include "tests/core/suite.h"
#include "tests/vectors/capped_host.h"

#include <string.h>

#define NUMBERS    192u /* the model knows these; the ranges stay among them */
#define NO_BOUND   UINT32_MAX
#define SEED_COUNT 20u
#define STEP_COUNT 600u

struct fixture {
    struct capped_host memory;
    struct rudp_ranges ranges;
    bool model[NUMBERS];
};

static const struct rudp_host *host_of(struct fixture *f)
{
    return &f->memory.host;
}

static void setup(struct fixture *f, uint64_t seed)
{
    memset(f, 0, sizeof *f);
    capped_host_init(&f->memory, SIZE_MAX, seed);
}

static void teardown(struct fixture *f)
{
    rudp_ranges_clear(&f->ranges, host_of(f));
    ck_assert_uint_eq(f->memory.used_bytes, 0);
}

static void add(struct fixture *f, uint64_t start, uint64_t end)
{
    ck_assert_uint_eq(rudp_ranges_add(&f->ranges, host_of(f), start, end, NO_BOUND), RUDP_OK);
}

static void check_items(const struct rudp_ranges *ranges, const struct rudp_range *expected,
                        uint32_t count)
{
    ck_assert_uint_eq(ranges->count, count);
    ck_assert_mem_eq(ranges->items, expected, count * sizeof *expected);
}

#define CHECK_ITEMS(f, ...)                                                                        \
    check_items(&(f)->ranges, (struct rudp_range[]){__VA_ARGS__},                                  \
                sizeof((struct rudp_range[]){__VA_ARGS__}) / sizeof(struct rudp_range))

static uint64_t draw(struct fixture *f, uint64_t below)
{
    return rudp_random_u64(host_of(f)) % below;
}

/* --- The model: one flag a number ------------------------------------------------------------- */

static uint32_t model_count(const struct fixture *f)
{
    uint32_t count = 0;

    for (uint32_t n = 0; n < NUMBERS; n++)
        count += f->model[n] && (n == 0 || !f->model[n - 1]);
    return count;
}

static bool model_covers(const struct fixture *f, uint64_t start, uint64_t end)
{
    for (uint64_t n = start; n < end; n++) {
        if (!f->model[n])
            return false;
    }
    return true;
}

static void model_set(struct fixture *f, uint64_t start, uint64_t end, bool value)
{
    for (uint64_t n = start; n < end; n++)
        f->model[n] = value;
}

static void check_equals_model(struct fixture *f)
{
    uint64_t total = 0;
    uint32_t passed_count = 0; /* ranges that end at n or below */
    uint32_t wrong_count = 0;

    ck_assert_uint_eq(f->ranges.count, model_count(f));
    for (uint32_t n = 0; n < NUMBERS - 1; n++) {
        total += f->model[n];
        passed_count += n > 0 && f->model[n - 1] && !f->model[n];
        wrong_count += rudp_ranges_contains(&f->ranges, n) != f->model[n];
        wrong_count += rudp_ranges_index_above(&f->ranges, n) != passed_count;
    }
    ck_assert_uint_eq(wrong_count, 0);
    ck_assert_uint_eq(rudp_ranges_total(&f->ranges), total);
    uint64_t start = draw(f, NUMBERS);
    uint64_t end = start + draw(f, NUMBERS - start);

    ck_assert_int_eq(rudp_ranges_covers(&f->ranges, start, end), model_covers(f, start, end));
    ck_assert_uint_eq(f->memory.used_bytes, f->ranges.capacity * sizeof(struct rudp_range));
}

/* One random change to both; with a bound that it may hit and memory that may run out. */
static void change(struct fixture *f)
{
    uint64_t start = draw(f, NUMBERS - 1);
    uint64_t end = start + draw(f, draw(f, 8) == 0 ? NUMBERS - start : 5);
    uint64_t action = draw(f, 16);
    bool adds = action < 10;
    struct fixture before = *f;

    end = min_u64(end, NUMBERS - 1);
    if (action == 15) {
        rudp_ranges_trim_below(&f->ranges, start);
        model_set(f, 0, start, false);
        return;
    }
    f->memory.cap_bytes = draw(f, 8) == 0 ? f->memory.used_bytes : SIZE_MAX;
    f->memory.refused = false;
    model_set(f, start, end, adds);
    uint32_t bound = (uint32_t)(10 + draw(f, 30));
    enum rudp_status status = adds ? rudp_ranges_add(&f->ranges, host_of(f), start, end, bound)
                                   : rudp_ranges_remove(&f->ranges, host_of(f), start, end, bound);
    bool grows = model_count(f) > before.ranges.count;

    ck_assert_uint_eq(status == RUDP_OK, !f->memory.refused && !(grows && model_count(f) > bound));
    if (status == RUDP_OK)
        return;
    ck_assert_uint_eq(status, RUDP_E_MEMORY);
    ck_assert(grows);
    memcpy(f->model, before.model, sizeof f->model);
}

/* Any sequence of changes leaves what a flag for each number would hold, and failed ones nothing.
 */
START_TEST(random_changes_equal_model)
{
    for (uint64_t seed = 0; seed < SEED_COUNT; seed++) {
        struct fixture f;

        setup(&f, seed);
        for (uint32_t step = 0; step < STEP_COUNT; step++) {
            change(&f);
            check_equals_model(&f);
        }
        teardown(&f);
    }
}
END_TEST

/* --- Single claims ---------------------------------------------------------------------------- */

/* Numbers that follow each other are one range. */
START_TEST(add_merges_what_touches)
{
    struct fixture f;

    setup(&f, 0);
    add(&f, 10, 20);
    add(&f, 30, 40);
    add(&f, 20, 30);
    CHECK_ITEMS(&f, {10, 40});
    teardown(&f);
}
END_TEST

/* A gap of one number keeps ranges apart. */
START_TEST(add_keeps_gap_of_one)
{
    struct fixture f;

    setup(&f, 0);
    add(&f, 10, 20);
    add(&f, 21, 30);
    CHECK_ITEMS(&f, {10, 20}, {21, 30});
    teardown(&f);
}
END_TEST

/* An empty range changes nothing, not even where it would touch. */
START_TEST(add_of_nothing_is_no_change)
{
    struct fixture f;

    setup(&f, 0);
    add(&f, 5, 5);
    ck_assert_uint_eq(f.ranges.count, 0);
    ck_assert_uint_eq(f.memory.used_bytes, 0);
    teardown(&f);
}
END_TEST

/* The ends of the number space are numbers like others. */
START_TEST(add_reaches_both_ends)
{
    struct fixture f;

    setup(&f, 0);
    add(&f, 0, 1);
    add(&f, UINT64_MAX - 1, UINT64_MAX);
    add(&f, 1, 2);
    CHECK_ITEMS(&f, {0, 2}, {UINT64_MAX - 1, UINT64_MAX});
    teardown(&f);
}
END_TEST

/* At the bound a new range is refused, and one that only extends is not. */
START_TEST(add_at_bound_still_extends)
{
    struct fixture f;

    setup(&f, 0);
    add(&f, 10, 20);
    add(&f, 30, 40);
    ck_assert_uint_eq(rudp_ranges_add(&f.ranges, host_of(&f), 50, 60, 2), RUDP_E_MEMORY);
    ck_assert_uint_eq(rudp_ranges_add(&f.ranges, host_of(&f), 40, 50, 2), RUDP_OK);
    CHECK_ITEMS(&f, {10, 20}, {30, 50});
    teardown(&f);
}
END_TEST

/* Removing the middle splits, and at the bound is refused with nothing changed. */
START_TEST(remove_at_bound_does_not_split)
{
    struct fixture f;

    setup(&f, 0);
    add(&f, 10, 20);
    ck_assert_uint_eq(rudp_ranges_remove(&f.ranges, host_of(&f), 12, 15, 1), RUDP_E_MEMORY);
    CHECK_ITEMS(&f, {10, 20});
    ck_assert_uint_eq(rudp_ranges_remove(&f.ranges, host_of(&f), 12, 15, 2), RUDP_OK);
    CHECK_ITEMS(&f, {10, 12}, {15, 20});
    teardown(&f);
}
END_TEST

/* Trimming cuts the range it falls into and keeps the memory. */
START_TEST(trim_cuts_and_keeps_capacity)
{
    struct fixture f;

    setup(&f, 0);
    add(&f, 10, 20);
    add(&f, 30, 40);
    uint32_t capacity = f.ranges.capacity;

    rudp_ranges_trim_below(&f.ranges, 35);
    CHECK_ITEMS(&f, {35, 40});
    ck_assert_uint_eq(f.ranges.capacity, capacity);
    teardown(&f);
}
END_TEST

/* A refused allocation is an answer, and the set is as before. */
START_TEST(no_memory_leaves_set_unchanged)
{
    struct fixture f;

    setup(&f, 0);
    f.memory.cap_bytes = 0;
    ck_assert_uint_eq(rudp_ranges_add(&f.ranges, host_of(&f), 1, 2, NO_BOUND), RUDP_E_MEMORY);
    ck_assert_uint_eq(f.ranges.count, 0);
    ck_assert_ptr_null(f.ranges.items);
    teardown(&f);
}
END_TEST

/* After a reservation as many adds succeed without memory, and not one more. */
START_TEST(reserved_adds_need_no_memory)
{
    struct fixture f;

    setup(&f, 0);
    add(&f, 0, 1);
    ck_assert_uint_eq(rudp_ranges_reserve(&f.ranges, host_of(&f), 15), RUDP_OK);
    f.memory.cap_bytes = f.memory.used_bytes;
    for (uint64_t n = 1; n <= 15; n++)
        add(&f, 10 * n, 10 * n + 1);
    ck_assert_uint_eq(f.ranges.count, 16);
    ck_assert_uint_eq(rudp_ranges_reserve(&f.ranges, host_of(&f), 1), RUDP_E_MEMORY);
    ck_assert_uint_eq(f.ranges.count, 16);
    teardown(&f);
}
END_TEST

/* A count that no array could have is refused without an allocation. */
START_TEST(absurd_reservation_is_refused)
{
    struct fixture f;

    setup(&f, 0);
    ck_assert_uint_eq(rudp_ranges_reserve(&f.ranges, host_of(&f), UINT32_MAX), RUDP_E_MEMORY);
    ck_assert(!f.memory.refused);
    teardown(&f);
}
END_TEST

int main(void)
{
    return SUITE_RUN("ranges", random_changes_equal_model, add_merges_what_touches,
                     add_keeps_gap_of_one, add_of_nothing_is_no_change, add_reaches_both_ends,
                     add_at_bound_still_extends, remove_at_bound_does_not_split,
                     trim_cuts_and_keeps_capacity, no_memory_leaves_set_unchanged,
                     reserved_adds_need_no_memory, absurd_reservation_is_refused);
}
