/* The pool: blocks keep what is written to them, are reused, and survive a fork. */
#include "engine/pool.h"
#include "tests/core/suite.h"

#include <stdint.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#define BLOCK_COUNT 200u
#define STEP_COUNT  20000u
#define BYTES_MAX   100000u /* beyond the largest class */

struct block {
    unsigned char *memory;
    size_t bytes;
    unsigned char content;
};

static uint64_t next_random(uint64_t *state)
{
    *state = *state * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
    return *state >> 33;
}

static void check_content(const struct block *block)
{
    for (size_t at = 0; at<block->bytes; at += block->bytes> 512 ? 97 : 1)
        ck_assert_uint_eq(block->memory[at], block->content);
}

/* However blocks of all sizes come and go, no two overlap. */
START_TEST(blocks_do_not_overlap)
{
    static struct block blocks[BLOCK_COUNT];
    uint64_t random = 1;

    for (uint32_t step = 0; step < STEP_COUNT; step++) {
        struct block *block = &blocks[next_random(&random) % BLOCK_COUNT];

        if (block->memory != NULL) {
            check_content(block);
            engine_pool_give(block->memory, block->bytes);
            block->memory = NULL;
            continue;
        }
        block->bytes =
            1 + next_random(&random) % (next_random(&random) % 8 == 0 ? BYTES_MAX : 5000);
        block->content = (unsigned char)step;
        block->memory = engine_pool_take(block->bytes);
        ck_assert_ptr_nonnull(block->memory);
        ck_assert_uint_eq((uintptr_t)block->memory % _Alignof(max_align_t), 0);
        memset(block->memory, block->content, block->bytes);
    }
}
END_TEST

/* A block that was given back serves the next request of its size. */
START_TEST(blocks_are_reused)
{
    void *first = engine_pool_take(1000);

    engine_pool_give(first, 1000);
    ck_assert_ptr_eq(engine_pool_take(900), first);
}
END_TEST

/* A forked child uses its copy of the pool. */
START_TEST(child_has_a_pool)
{
    engine_pool_give(engine_pool_take(100), 100);
    engine_pool_before_fork();
    pid_t child = fork();

    engine_pool_after_fork();
    if (child == 0)
        _exit(engine_pool_take(100) == NULL);
    int status;

    ck_assert_int_eq(waitpid(child, &status, 0), child);
    ck_assert_int_eq(status, 0);
}
END_TEST

int main(void)
{
    return SUITE_RUN("pool", blocks_do_not_overlap, blocks_are_reused, child_has_a_pool);
}
