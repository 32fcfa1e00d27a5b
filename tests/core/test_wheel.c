#include "core/wheel.h"
#include "tests/core/suite.h"
#include "tests/vectors/capped_host.h"

#include <string.h>

#define TICK        RUDP_WHEEL_TICK_US
#define HOUR_US     (UINT64_C(3600) * RUDP_US_PER_S)
#define ENTRY_COUNT 60u
#define SEED_COUNT  30u
#define STEP_COUNT  600u

struct fixture {
    struct rudp_wheel wheel;
    struct rudp_wheel_entry entries[ENTRY_COUNT];
    uint64_t model_us[ENTRY_COUNT]; /* when each is due; RUDP_NEVER: not at all */
    uint64_t now_us;
    struct capped_host random;
};

static void setup(struct fixture *f, uint64_t now_us, uint64_t seed)
{
    memset(f, 0, sizeof *f);
    capped_host_init(&f->random, 0, seed);
    f->now_us = now_us;
    rudp_wheel_init(&f->wheel, now_us);
    for (uint32_t i = 0; i < ENTRY_COUNT; i++)
        f->model_us[i] = RUDP_NEVER;
}

static uint64_t draw(struct fixture *f, uint64_t below)
{
    return rudp_random_u64(&f->random.host) % below;
}

static uint64_t round_up(uint64_t deadline_us)
{
    return (deadline_us + TICK - 1) / TICK * TICK;
}

/* --- The model: a list of deadlines ----------------------------------------------------------- */

static uint64_t model_next_us(const struct fixture *f)
{
    uint64_t next_us = RUDP_NEVER;

    for (uint32_t i = 0; i < ENTRY_COUNT; i++)
        next_us = min_u64(next_us, f->model_us[i]);
    return next_us;
}

/* A delay of any magnitude: from at once to beyond the wheel's reach. */
static uint64_t draw_delay_us(struct fixture *f)
{
    return draw(f, UINT64_C(1) << (1 + draw(f, 40)));
}

static void change(struct fixture *f)
{
    uint32_t i = (uint32_t)draw(f, ENTRY_COUNT);
    uint64_t action = draw(f, 8);
    uint64_t deadline_us = f->now_us + draw_delay_us(f);

    if (action == 0) {
        rudp_wheel_remove(&f->wheel, &f->entries[i]);
        deadline_us = RUDP_NEVER;
    } else if (action == 1) {
        deadline_us = RUDP_NEVER;
        rudp_wheel_file(&f->wheel, &f->entries[i], deadline_us);
    } else if (action == 2 && f->model_us[i] != RUDP_NEVER) {
        deadline_us = max_u64(deadline_us, f->model_us[i]); /* moved later behind its back */
        f->entries[i].deadline_us = deadline_us;
    } else {
        rudp_wheel_file(&f->wheel, &f->entries[i], deadline_us);
    }
    f->model_us[i] = deadline_us;
}

/* Lets the clock run to now_us: exactly those fire that are due by a whole tick. */
static void run_to(struct fixture *f, uint64_t now_us)
{
    struct rudp_wheel_entry *entry;

    f->now_us = now_us;
    while ((entry = rudp_wheel_expire(&f->wheel, now_us)) != NULL) {
        size_t i = (size_t)(entry - f->entries);

        ck_assert_uint_lt(i, ENTRY_COUNT);
        ck_assert_uint_le(f->model_us[i], now_us);
        ck_assert_ptr_null(entry->link);
        f->model_us[i] = RUDP_NEVER;
    }
    ck_assert_uint_gt(round_up(min_u64(model_next_us(f), RUDP_NEVER - TICK)), now_us / TICK * TICK);
}

/* Whatever is filed, moved and removed: each fires when due, none early, none twice, none lost. */
START_TEST(random_changes_equal_model)
{
    for (uint64_t seed = 0; seed < SEED_COUNT; seed++) {
        struct fixture f;

        setup(&f, seed * 999983, seed);
        for (uint32_t step = 0; step < STEP_COUNT; step++) {
            uint64_t next_us = model_next_us(&f);

            if (draw(&f, 2) == 0)
                change(&f);
            else if (draw(&f, 2) == 0 || next_us == RUDP_NEVER)
                run_to(&f, f.now_us + draw_delay_us(&f) / 8);
            else
                run_to(&f, max_u64(f.now_us, next_us));
        }
    }
}
END_TEST

/* A caller that sleeps until the wheel's deadline is never late by more than the tick. */
START_TEST(deadline_is_never_after_the_earliest)
{
    for (uint64_t seed = 0; seed < SEED_COUNT; seed++) {
        struct fixture f;

        setup(&f, seed * 7919 * TICK, seed);
        for (uint32_t step = 0; step < STEP_COUNT; step++) {
            change(&f);
            uint64_t next_us = model_next_us(&f);

            if (next_us == RUDP_NEVER)
                continue;
            ck_assert_uint_le(rudp_wheel_deadline_us(&f.wheel),
                              max_u64(round_up(next_us), f.now_us));
            if (draw(&f, 2) == 0)
                run_to(&f, max_u64(f.now_us, rudp_wheel_deadline_us(&f.wheel)));
        }
    }
}
END_TEST

/* Sleeping from deadline to deadline reaches every entry in a bounded number of steps: one a level
 * and one a turn of the whole wheel. */
START_TEST(deadlines_make_progress)
{
    struct fixture f;
    uint32_t wake_count = 0;

    setup(&f, 12345, 0);
    rudp_wheel_file(&f.wheel, &f.entries[0], 400 * HOUR_US);
    f.model_us[0] = 400 * HOUR_US;
    while (f.model_us[0] != RUDP_NEVER) {
        run_to(&f, rudp_wheel_deadline_us(&f.wheel));
        wake_count++;
    }
    ck_assert_uint_le(wake_count, 400 / 74 + 1 + RUDP_WHEEL_LEVELS);
    ck_assert_uint_eq(f.now_us, round_up(400 * HOUR_US));
}
END_TEST

/* --- Single claims ---------------------------------------------------------------------------- */

/* A deadline between ticks fires at the tick after it. */
START_TEST(fires_not_a_microsecond_early)
{
    struct fixture f;

    setup(&f, 0, 0);
    rudp_wheel_file(&f.wheel, &f.entries[0], 1000);
    ck_assert_ptr_null(rudp_wheel_expire(&f.wheel, 4 * TICK - 1));
    ck_assert_ptr_eq(rudp_wheel_expire(&f.wheel, 4 * TICK), &f.entries[0]);
    ck_assert_ptr_null(rudp_wheel_expire(&f.wheel, 4 * TICK));
}
END_TEST

/* An empty wheel has no deadline, and so has one that was emptied. */
START_TEST(empty_wheel_never_wakes)
{
    struct fixture f;

    setup(&f, 0, 0);
    ck_assert_uint_eq(rudp_wheel_deadline_us(&f.wheel), RUDP_NEVER);
    rudp_wheel_file(&f.wheel, &f.entries[0], HOUR_US);
    rudp_wheel_remove(&f.wheel, &f.entries[0]);
    rudp_wheel_remove(&f.wheel, &f.entries[0]);
    ck_assert_uint_eq(rudp_wheel_deadline_us(&f.wheel), RUDP_NEVER);
}
END_TEST

/* Filing for "never" is not filing. */
START_TEST(never_is_not_filed)
{
    struct fixture f;

    setup(&f, 0, 0);
    rudp_wheel_file(&f.wheel, &f.entries[0], RUDP_NEVER);
    ck_assert_ptr_null(f.entries[0].link);
}
END_TEST

/* An entry called off where it lies is dropped when its slot comes, and the wheel is empty then. */
START_TEST(called_off_entry_is_dropped)
{
    struct fixture f;

    setup(&f, 0, 0);
    rudp_wheel_file(&f.wheel, &f.entries[0], 10 * TICK);
    rudp_wheel_file(&f.wheel, &f.entries[1], 1000 * TICK);
    f.entries[0].deadline_us = RUDP_NEVER;
    f.entries[1].deadline_us = RUDP_NEVER;
    ck_assert_ptr_null(rudp_wheel_expire(&f.wheel, 2000 * TICK));
    ck_assert_ptr_null(f.entries[0].link);
    ck_assert_uint_eq(rudp_wheel_deadline_us(&f.wheel), RUDP_NEVER);
}
END_TEST

/* A deadline moved later costs no refiling: the entry stays in its slot. */
START_TEST(later_deadline_stays_in_slot)
{
    struct fixture f;

    setup(&f, 0, 0);
    rudp_wheel_file(&f.wheel, &f.entries[0], 10 * TICK);
    uint64_t wake_us = rudp_wheel_deadline_us(&f.wheel);

    rudp_wheel_file(&f.wheel, &f.entries[0], 20 * TICK);
    ck_assert_uint_eq(rudp_wheel_deadline_us(&f.wheel), wake_us);
    ck_assert_ptr_null(rudp_wheel_expire(&f.wheel, 19 * TICK));
    ck_assert_ptr_eq(rudp_wheel_expire(&f.wheel, 20 * TICK), &f.entries[0]);
}
END_TEST

/* A deadline that passed already fires at the next call. */
START_TEST(past_deadline_fires_at_once)
{
    struct fixture f;

    setup(&f, HOUR_US, 0);
    rudp_wheel_file(&f.wheel, &f.entries[0], 1);
    ck_assert_uint_le(rudp_wheel_deadline_us(&f.wheel), HOUR_US);
    ck_assert_ptr_eq(rudp_wheel_expire(&f.wheel, HOUR_US), &f.entries[0]);
}
END_TEST

/* The first tick beyond the wheel's reach fires in its turn, as the last within it does. */
START_TEST(ends_of_reach_fire_in_time)
{
    struct fixture f;
    uint64_t reach_us = (UINT64_C(1) << 30) * TICK; /* 64 slots to the power of 5 levels */

    setup(&f, 0, 0);
    rudp_wheel_file(&f.wheel, &f.entries[0], reach_us);
    rudp_wheel_file(&f.wheel, &f.entries[1], reach_us - TICK);
    ck_assert_ptr_null(rudp_wheel_expire(&f.wheel, reach_us - TICK - 1));
    ck_assert_ptr_eq(rudp_wheel_expire(&f.wheel, reach_us - TICK), &f.entries[1]);
    ck_assert_ptr_null(rudp_wheel_expire(&f.wheel, reach_us - 1));
    ck_assert_ptr_eq(rudp_wheel_expire(&f.wheel, reach_us), &f.entries[0]);
}
END_TEST

/* The owner may file the entry again, or others, while the wheel expires. */
START_TEST(filing_while_expiring)
{
    struct fixture f;

    setup(&f, 0, 0);
    rudp_wheel_file(&f.wheel, &f.entries[0], 100 * TICK);
    rudp_wheel_file(&f.wheel, &f.entries[1], 100 * TICK);
    struct rudp_wheel_entry *first = rudp_wheel_expire(&f.wheel, 100 * TICK);

    ck_assert_ptr_nonnull(first);
    rudp_wheel_file(&f.wheel, first, 101 * TICK);
    struct rudp_wheel_entry *second = rudp_wheel_expire(&f.wheel, 100 * TICK);

    ck_assert_ptr_nonnull(second);
    ck_assert_ptr_ne(first, second);
    ck_assert_ptr_null(rudp_wheel_expire(&f.wheel, 100 * TICK));
    ck_assert_ptr_eq(rudp_wheel_expire(&f.wheel, 101 * TICK), first);
}
END_TEST

int main(void)
{
    return SUITE_RUN("wheel", random_changes_equal_model, deadline_is_never_after_the_earliest,
                     deadlines_make_progress, fires_not_a_microsecond_early,
                     empty_wheel_never_wakes, never_is_not_filed, called_off_entry_is_dropped,
                     later_deadline_stays_in_slot, past_deadline_fires_at_once,
                     ends_of_reach_fire_in_time, filing_while_expiring);
}
