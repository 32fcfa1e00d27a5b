#include "core/buffer.h"
#include "tests/core/suite.h"
#include "tests/vectors/capped_host.h"

#include <string.h>

#define BLOCK       RUDP_BUFFER_BLOCK_BYTES
#define SPACE_BYTES (40u * BLOCK) /* offsets that the model knows, above origin */
#define PIECE_MAX   (3u * BLOCK)
#define SEED_COUNT  10u
#define STEP_COUNT  1500u

struct fixture {
    struct capped_host memory;
    struct rudp_buffer buffer;
    uint64_t origin;
    uint8_t bytes[SPACE_BYTES];
    bool written[SPACE_BYTES];
};

static struct fixture f; /* one test a process, and large */

static void setup(uint64_t origin, uint64_t seed)
{
    capped_host_init(&f.memory, SIZE_MAX, seed);
    f.buffer = (struct rudp_buffer){.base_offset = origin};
    f.origin = origin;
    memset(f.written, 0, sizeof f.written);
}

static void teardown(void)
{
    rudp_buffer_clear(&f.buffer, &f.memory.host);
    ck_assert_uint_eq(f.memory.used_bytes, 0);
}

static enum rudp_status write_text(uint64_t offset, const char *text)
{
    return rudp_buffer_write(&f.buffer, &f.memory.host, offset, text, strlen(text));
}

static uint64_t draw(uint64_t below)
{
    return rudp_random_u64(&f.memory.host) % below;
}

/* --- The model: the bytes themselves ---------------------------------------------------------- */

static size_t base(void)
{
    return (size_t)(f.buffer.base_offset - f.origin);
}

static void forget(size_t start, size_t end)
{
    memset(f.written + start, 0, end - start);
}

static void write_random(void)
{
    size_t start = base() + draw(SPACE_BYTES - base());
    size_t bytes = draw(min_u64(PIECE_MAX, SPACE_BYTES - start) + 1);
    uint8_t data[PIECE_MAX];

    f.memory.host.random.fill(f.memory.host.random.context, data, bytes);
    f.memory.cap_bytes = draw(8) == 0 ? f.memory.used_bytes + draw(2 * BLOCK) : SIZE_MAX;
    f.memory.refused = false;
    enum rudp_status status =
        rudp_buffer_write(&f.buffer, &f.memory.host, f.origin + start, data, bytes);

    f.memory.cap_bytes = SIZE_MAX;
    ck_assert_uint_eq(status, f.memory.refused ? RUDP_E_MEMORY : RUDP_OK);
    memcpy(f.bytes + start, data, bytes);
    memset(f.written + start, status == RUDP_OK, bytes); /* a failed write promises nothing */
}

/* Reads a random part of what is written. */
static void read_random(void)
{
    size_t start = base() + draw(SPACE_BYTES - base());
    size_t bytes = 0;
    uint8_t data[PIECE_MAX];

    while (bytes < PIECE_MAX && start + bytes < SPACE_BYTES && f.written[start + bytes])
        bytes++;
    bytes = draw(bytes + 1);
    rudp_buffer_read(&f.buffer, f.origin + start, data, bytes);
    ck_assert_mem_eq(data, f.bytes + start, bytes);
}

static void change(void)
{
    uint64_t action = draw(64);
    size_t at = base() + draw(min_u64(SPACE_BYTES - base(), 2 * BLOCK));

    if (action < 30) {
        write_random();
    } else if (action < 34) {
        rudp_buffer_release_below(&f.buffer, &f.memory.host, f.origin + at);
        forget(0, at);
    } else if (action < 36) {
        at = base() + draw(SPACE_BYTES - base());
        rudp_buffer_release_from(&f.buffer, &f.memory.host, f.origin + at);
        forget(at, SPACE_BYTES);
    } else if (action == 36) {
        rudp_buffer_clear(&f.buffer, &f.memory.host);
        forget(0, SPACE_BYTES);
    } else {
        read_random();
    }
}

/* Memory held, if every block with a byte ever written and not released since is there. */
static void check_memory(void)
{
    size_t block_count = 0;

    for (uint32_t i = 0; i < f.buffer.capacity; i++)
        block_count += f.buffer.blocks[i] != NULL;
    ck_assert_uint_eq(f.memory.used_bytes,
                      block_count * BLOCK + f.buffer.capacity * sizeof(uint8_t *));
    ck_assert(block_count > 0 || f.buffer.capacity == 0);
}

/* Whatever is written, released and refused: what was written and not released reads back. */
START_TEST(random_changes_equal_model)
{
    for (uint64_t seed = 0; seed < SEED_COUNT; seed++) {
        setup(seed * 123457, seed);
        for (uint32_t step = 0; step < STEP_COUNT && base() < SPACE_BYTES - BLOCK; step++) {
            change();
            check_memory();
        }
        teardown();
    }
}
END_TEST

/* --- Single claims ---------------------------------------------------------------------------- */

/* A byte far ahead costs its block and pointers, not what lies between. */
START_TEST(far_offset_costs_pointers)
{
    setup(0, 0);
    ck_assert_uint_eq(write_text(UINT64_C(1000) * BLOCK, "x"), RUDP_OK);
    ck_assert_uint_eq(f.memory.used_bytes, BLOCK + 1024 * sizeof(uint8_t *));
    teardown();
}
END_TEST

/* An offset that no ring could reach is refused without an allocation. */
START_TEST(absurd_offset_is_refused)
{
    setup(0, 0);
    ck_assert_uint_eq(write_text(UINT64_C(1) << 61, "x"), RUDP_E_MEMORY);
    ck_assert(!f.memory.refused);
    ck_assert_uint_eq(f.memory.used_bytes, 0);
    teardown();
}
END_TEST

/* Writing nothing holds nothing. */
START_TEST(empty_write_takes_no_memory)
{
    setup(0, 0);
    ck_assert_uint_eq(write_text(5, ""), RUDP_OK);
    ck_assert_uint_eq(f.memory.used_bytes, 0);
    teardown();
}
END_TEST

/* When the last block goes, the ring goes. */
START_TEST(release_of_last_block_frees_ring)
{
    setup(0, 0);
    ck_assert_uint_eq(write_text(BLOCK - 2, "abcd"), RUDP_OK);
    rudp_buffer_release_below(&f.buffer, &f.memory.host, BLOCK);
    ck_assert_uint_gt(f.memory.used_bytes, BLOCK);
    rudp_buffer_release_below(&f.buffer, &f.memory.host, 2 * BLOCK);
    ck_assert_uint_eq(f.memory.used_bytes, 0);
    teardown();
}
END_TEST

/* Releasing beyond everything written moves the base, and writing goes on there. */
START_TEST(release_beyond_end_moves_base)
{
    char back[3];

    setup(0, 0);
    ck_assert_uint_eq(write_text(0, "abc"), RUDP_OK);
    rudp_buffer_release_below(&f.buffer, &f.memory.host, UINT64_C(1) << 40);
    ck_assert_uint_eq(f.memory.used_bytes, 0);
    ck_assert_uint_eq(write_text(UINT64_C(1) << 40, "def"), RUDP_OK);
    rudp_buffer_read(&f.buffer, UINT64_C(1) << 40, back, sizeof back);
    ck_assert_mem_eq(back, "def", 3);
    teardown();
}
END_TEST

/* Releasing below the base again is harmless. */
START_TEST(release_below_base_is_no_change)
{
    setup(BLOCK, 0);
    ck_assert_uint_eq(write_text(BLOCK, "abc"), RUDP_OK);
    rudp_buffer_release_below(&f.buffer, &f.memory.host, 1);
    ck_assert_uint_eq(f.buffer.base_offset, BLOCK);
    ck_assert_uint_gt(f.memory.used_bytes, BLOCK);
    teardown();
}
END_TEST

/* Taking back everything from the base on frees all, though the base is inside a block. */
START_TEST(release_from_base_frees_all)
{
    setup(100, 0);
    ck_assert_uint_eq(write_text(100, "abc"), RUDP_OK);
    rudp_buffer_release_from(&f.buffer, &f.memory.host, 100);
    ck_assert_uint_eq(f.memory.used_bytes, 0);
    teardown();
}
END_TEST

/* Taking back the end keeps the bytes before it. */
START_TEST(release_from_keeps_bytes_below)
{
    char back[2];

    setup(0, 0);
    ck_assert_uint_eq(write_text(0, "abcd"), RUDP_OK);
    rudp_buffer_release_from(&f.buffer, &f.memory.host, 2);
    rudp_buffer_read(&f.buffer, 0, back, sizeof back);
    ck_assert_mem_eq(back, "ab", 2);
    teardown();
}
END_TEST

/* A write that gets no block does not leave an empty ring behind. */
START_TEST(failed_first_write_holds_nothing)
{
    setup(0, 0);
    f.memory.cap_bytes = BLOCK;
    ck_assert_uint_eq(write_text(0, "abc"), RUDP_E_MEMORY);
    ck_assert_uint_eq(f.memory.used_bytes, 0);
    teardown();
}
END_TEST

/* A ring that cannot grow leaves what is there as it is. */
START_TEST(failed_growth_keeps_bytes)
{
    char back[3];

    setup(0, 0);
    ck_assert_uint_eq(write_text(0, "abc"), RUDP_OK);
    f.memory.cap_bytes = f.memory.used_bytes;
    ck_assert_uint_eq(write_text(100 * BLOCK, "x"), RUDP_E_MEMORY);
    rudp_buffer_read(&f.buffer, 0, back, sizeof back);
    ck_assert_mem_eq(back, "abc", 3);
    teardown();
}
END_TEST

int main(void)
{
    return SUITE_RUN("buffer", random_changes_equal_model, far_offset_costs_pointers,
                     absurd_offset_is_refused, empty_write_takes_no_memory,
                     release_of_last_block_frees_ring, release_beyond_end_moves_base,
                     release_below_base_is_no_change, release_from_base_frees_all,
                     release_from_keeps_bytes_below, failed_first_write_holds_nothing,
                     failed_growth_keeps_bytes);
}
