/* The arena: blocks keep what is written to them, are reused, given back, and shared by a fork. */
#include "engine/arena.h"
#include "tests/core/suite.h"

#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#define BLOCK_COUNT  200u
#define STEP_COUNT   20000u
#define BYTES_MAX    100000u
#define THREAD_COUNT 4u
#define BOUND_BYTES  ((size_t)64 * 1024 * 1024)

struct block {
    unsigned char *memory;
    size_t bytes;
    unsigned char content;
};

/* Blocks that come and go. */
struct mixture {
    struct engine_arena *arena;
    uint64_t random;
    struct block blocks[BLOCK_COUNT];
};

static uint64_t next_random(uint64_t *state)
{
    *state = *state * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
    return *state >> 33;
}

/* Where it runs millions of times, in threads: libcheck writes to a pipe for each of its asserts.
 */
static void expect(bool holds)
{
    if (!holds)
        abort();
}

static void check_content(const struct block *block)
{
    size_t step = block->bytes > 512 ? 97 : 1;

    for (size_t at = 0; at < block->bytes; at += step)
        expect(block->memory[at] == block->content);
}

static void stir(struct mixture *mixture)
{
    struct block *block = &mixture->blocks[next_random(&mixture->random) % BLOCK_COUNT];

    if (block->memory != NULL) {
        check_content(block);
        engine_arena_give(mixture->arena, block->memory, block->bytes);
        block->memory = NULL;
        return;
    }
    size_t limit = next_random(&mixture->random) % 8 == 0 ? BYTES_MAX : 5000;

    block->bytes = 1 + next_random(&mixture->random) % limit;
    block->content = (unsigned char)next_random(&mixture->random);
    block->memory = engine_arena_take(mixture->arena, block->bytes);
    expect(block->memory != NULL);
    expect((uintptr_t)block->memory % _Alignof(max_align_t) == 0);
    memset(block->memory, block->content, block->bytes);
}

static void *stir_often(void *argument)
{
    for (uint32_t step = 0; step < STEP_COUNT; step++)
        stir(argument);
    return NULL;
}

static struct engine_arena *make(enum engine_arena_kind kind)
{
    struct engine_arena *arena = engine_arena_create(kind, BOUND_BYTES);

    ck_assert_ptr_nonnull(arena);
    return arena;
}

/* However blocks of all sizes come and go, in several threads, no two overlap. */
START_TEST(blocks_do_not_overlap)
{
    static struct mixture mixtures[THREAD_COUNT];
    struct engine_arena *arena = make(ENGINE_ARENA_SHARED);
    pthread_t threads[THREAD_COUNT];

    for (uint32_t index = 0; index < THREAD_COUNT; index++) {
        mixtures[index] = (struct mixture){.arena = arena, .random = index + 1};
        ck_assert_int_eq(pthread_create(&threads[index], NULL, stir_often, &mixtures[index]), 0);
    }
    for (uint32_t index = 0; index < THREAD_COUNT; index++)
        ck_assert_int_eq(pthread_join(threads[index], NULL), 0);
    engine_arena_destroy(arena);
}
END_TEST

/* A block that was given back serves the next request of its size. */
START_TEST(blocks_are_reused)
{
    struct engine_arena *arena = make(ENGINE_ARENA_PRIVATE);
    void *first = engine_arena_take(arena, 1000);

    engine_arena_give(arena, first, 1000);
    ck_assert_ptr_eq(engine_arena_take(arena, 900), first);
    engine_arena_destroy(arena);
}
END_TEST

/* What one process writes into a shared arena its child sees, and what the child takes is not given
 * out again. */
START_TEST(fork_shares)
{
    struct engine_arena *arena = make(ENGINE_ARENA_SHARED);
    void **note = engine_arena_take(arena, sizeof *note);
    int status;

    *note = NULL;
    pid_t child = fork();

    if (child == 0) {
        *note = engine_arena_take(arena, 100);
        memset(*note, 7, 100);
        _exit(0);
    }
    ck_assert_int_eq(waitpid(child, &status, 0), child);
    ck_assert_ptr_nonnull(*note);
    ck_assert_int_eq(*(unsigned char *)*note, 7);
    ck_assert_ptr_ne(engine_arena_take(arena, 100), *note);
    engine_arena_destroy(arena);
}
END_TEST

/* A private arena is copied by fork. */
START_TEST(fork_copies)
{
    struct engine_arena *arena = make(ENGINE_ARENA_PRIVATE);
    int *note = engine_arena_take(arena, sizeof *note);
    int status;

    *note = 1;
    pid_t child = fork();

    if (child == 0) {
        *note = 2;
        _exit(engine_arena_take(arena, 100) == NULL);
    }
    ck_assert_int_eq(waitpid(child, &status, 0), child);
    ck_assert_int_eq(status, 0);
    ck_assert_int_eq(*note, 1);
    engine_arena_destroy(arena);
}
END_TEST

/* Processes killed at any point of their work leave an arena that others go on with: no block is
 * given out twice. */
START_TEST(kills_do_no_harm)
{
    static struct mixture mine;
    struct engine_arena *arena = make(ENGINE_ARENA_SHARED);
    _Atomic uint32_t *round_count = engine_arena_take(arena, sizeof *round_count);

    mine = (struct mixture){.arena = arena, .random = 1};
    for (uint32_t kill_count = 0; kill_count < 50; kill_count++) {
        int status;

        atomic_store(round_count, 0);
        pid_t child = fork();

        if (child == 0) {
            struct mixture *own = &mine; /* a copy: what the parent holds must not be touched */

            *own = (struct mixture){.arena = arena, .random = kill_count + 2};
            for (;;) {
                stir(own);
                atomic_fetch_add(round_count, 1);
            }
        }
        while (atomic_load(round_count) < 20)
            stir(&mine);
        ck_assert_int_eq(kill(child, SIGKILL), 0);
        ck_assert_int_eq(waitpid(child, &status, 0), child);
        ck_assert(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
        for (uint32_t step = 0; step < 200; step++)
            stir(&mine);
    }
    engine_arena_destroy(arena);
}
END_TEST

static void take_all(struct engine_arena *arena, size_t bytes, void **first)
{
    void **memory;

    *first = NULL;
    while ((memory = engine_arena_take(arena, bytes)) != NULL) {
        *memory = *first;
        *first = memory;
    }
}

static void give_all(struct engine_arena *arena, size_t bytes, void *first)
{
    while (first != NULL) {
        void *next = *(void **)first;

        engine_arena_give(arena, first, bytes);
        first = next;
    }
}

/* An arena that is used up refuses, and serves again what comes back, also in smaller pieces. */
START_TEST(exhaustion_refuses)
{
    struct engine_arena *arena = engine_arena_create(ENGINE_ARENA_SHARED, 1024 * 1024);
    void *first;

    take_all(arena, 65536, &first);
    ck_assert_ptr_null(engine_arena_take(arena, 65536));
    ck_assert_ptr_null(engine_arena_take(arena, SIZE_MAX / 2));
    give_all(arena, 65536, first);
    take_all(arena, 4096, &first);
    ck_assert_ptr_nonnull(first);
    give_all(arena, 4096, first);
    engine_arena_destroy(arena);
}
END_TEST

/* Idle pages go back to the kernel, but for a few megabytes. */
START_TEST(pages_are_given_back)
{
    struct engine_arena *arena = make(ENGINE_ARENA_SHARED);
    struct stat status;
    void *first = NULL;

    for (uint32_t count = 0; count < 8192; count++) { /* 32 MiB */
        void **memory = engine_arena_take(arena, 4096);

        *memory = first;
        first = memory;
    }
    ck_assert_int_eq(fstat(engine_arena_fd(arena), &status), 0);
    ck_assert_int_ge(status.st_blocks, 32 * 1024 * 1024 / 512);
    give_all(arena, 4096, first);
    ck_assert_int_eq(fstat(engine_arena_fd(arena), &status), 0);
    ck_assert_int_le(status.st_blocks, 6 * 1024 * 1024 / 512);
    engine_arena_destroy(arena);
}
END_TEST

/* Where address space is limited the arena is smaller, and a limit on files does not matter. */
START_TEST(limits_make_it_smaller)
{
    struct rlimit file = {.rlim_cur = 4096, .rlim_max = RLIM_INFINITY};
    struct rlimit space = {.rlim_cur = (rlim_t)1 << 30, .rlim_max = RLIM_INFINITY};

    ck_assert_int_eq(setrlimit(RLIMIT_FSIZE, &file), 0);
#ifndef ARENA_TEST_UNDER_SANITIZER /* whose shadow memory is far beyond any limit */
    ck_assert_int_eq(setrlimit(RLIMIT_AS, &space), 0);
#endif
    struct engine_arena *arena = engine_arena_create(ENGINE_ARENA_SHARED, 0);

    ck_assert_ptr_nonnull(arena);
    memset(engine_arena_take(arena, 100000), 1, 100000);
    ck_assert_int_ge(engine_arena_fd(arena), 0);
    engine_arena_destroy(arena);
    (void)space;
}
END_TEST

/* Booking passes the bound never, and what is unbooked can be booked again. */
START_TEST(bound_holds)
{
    struct engine_arena *arena = engine_arena_create(ENGINE_ARENA_PRIVATE, 1000);

    ck_assert(engine_arena_book(arena, 600));
    ck_assert(!engine_arena_book(arena, 600));
    ck_assert(engine_arena_book(arena, 400));
    ck_assert_uint_eq(engine_arena_booked(arena), 1000);
    engine_arena_unbook(arena, 600);
    ck_assert(engine_arena_book(arena, 600));
    engine_arena_set_bound(arena, 0);
    ck_assert(engine_arena_book(arena, SIZE_MAX / 2));
    engine_arena_destroy(arena);
}
END_TEST

int main(void)
{
    return SUITE_RUN("arena", blocks_do_not_overlap, blocks_are_reused, fork_shares, fork_copies,
                     kills_do_no_harm, exhaustion_refuses, pages_are_given_back,
                     limits_make_it_smaller, bound_holds);
}
