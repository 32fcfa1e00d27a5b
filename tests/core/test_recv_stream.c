#include "core/recv_stream.h"
#include "core/wire.h"
#include "tests/core/suite.h"
#include "tests/vectors/capped_host.h"

#include <string.h>

#define MESSAGE_COUNT 120u
#define MESSAGE_MAX   3000u
#define SPACE_BYTES   (MESSAGE_COUNT * (MESSAGE_MAX + 4))
#define WINDOW_BYTES  (64u * 1024)
#define SEED_COUNT    25u
#define STEP_MAX      200000u
#define GAPS_MAX      4096u /* the stream's bound on ranges */

struct fixture {
    struct capped_host memory;
    struct rudp_recv_stream stream;
    uint64_t origin; /* offset of this incarnation's first byte */
    uint8_t bytes[SPACE_BYTES];
    uint64_t boundaries[MESSAGE_COUNT + 1];
    uint32_t taken_count[MESSAGE_COUNT];
    uint32_t taken_total;
};

static struct fixture f; /* one test a process, and large */

static void setup(enum rudp_order order, uint64_t seed)
{
    memset(&f, 0, sizeof f);
    capped_host_init(&f.memory, SIZE_MAX, seed);
    rudp_recv_stream_init(&f.stream, order, WINDOW_BYTES);
}

static void teardown(void)
{
    rudp_recv_stream_clear(&f.stream, &f.memory.host);
    ck_assert_uint_eq(f.memory.used_bytes, 0);
}

static uint64_t draw(uint64_t below)
{
    return rudp_random_u64(&f.memory.host) % below;
}

static enum rudp_status write_at(uint64_t offset, const void *data, uint64_t bytes, uint64_t start)
{
    return rudp_recv_stream_write(&f.stream, &f.memory.host, offset, data, bytes, start);
}

/* Writes text, whose first byte is where a message begins. */
static void write_message(uint64_t offset, const char *text, uint64_t bytes)
{
    ck_assert_uint_eq(write_at(offset, text, bytes, offset), RUDP_OK);
}

static enum rudp_status next(size_t *message_bytes)
{
    return rudp_recv_stream_next(&f.stream, &f.memory.host, message_bytes);
}

/* Takes the next message, which must be this text. */
static void check_take(const char *text)
{
    char out[64];
    size_t bytes;

    ck_assert_uint_eq(next(&bytes), RUDP_OK);
    ck_assert_uint_eq(bytes, strlen(text));
    rudp_recv_stream_copy(&f.stream, out);
    ck_assert_mem_eq(out, text, bytes);
    rudp_recv_stream_take(&f.stream, &f.memory.host);
}

static void check_empty(void)
{
    size_t bytes;

    ck_assert_uint_eq(next(&bytes), RUDP_E_EMPTY);
}

/* --- The model: a stream of known messages, cut and mixed ------------------------------------- */

/* Every message but an empty one begins with its number, to be recognised. */
static void make_messages(void)
{
    uint64_t at = 0;

    for (uint32_t i = 0; i < MESSAGE_COUNT; i++) {
        size_t bytes = 4 + draw(draw(3) == 0 ? MESSAGE_MAX - 4 : 30);
        uint8_t prefix[8];
        size_t prefix_bytes = rudp_wire_put_varint(prefix, bytes);

        f.boundaries[i] = at;
        memcpy(f.bytes + at, prefix, prefix_bytes);
        at += prefix_bytes;
        f.memory.host.random.fill(f.memory.host.random.context, f.bytes + at, bytes);
        memcpy(f.bytes + at, &i, sizeof i);
        at += bytes;
    }
    f.boundaries[MESSAGE_COUNT] = at;
}

static uint64_t first_start(uint64_t offset, uint64_t end)
{
    for (uint32_t i = 0; i < MESSAGE_COUNT; i++) {
        if (f.boundaries[i] >= offset)
            return f.boundaries[i] < end ? f.boundaries[i] : RUDP_NEVER;
    }
    return RUDP_NEVER;
}

/* A random piece arrives, at or a little above what was delivered. */
static void write_random(bool short_of_memory)
{
    uint64_t total_bytes = f.boundaries[MESSAGE_COUNT];
    uint64_t base = f.stream.base_offset - f.origin;
    uint64_t offset = sub_floor_u64(base + draw(draw(2) == 0 ? 2000 : WINDOW_BYTES), 500);
    uint64_t end = min_u64(offset + 1 + draw(1400), total_bytes);

    if (offset >= total_bytes)
        return;
    uint64_t start = first_start(offset, end);

    f.memory.cap_bytes = short_of_memory && draw(3) == 0 ? f.memory.used_bytes : SIZE_MAX;
    f.memory.refused = false;
    enum rudp_status status = write_at(f.origin + offset, f.bytes + offset, end - offset,
                                       start == RUDP_NEVER ? RUDP_NEVER : f.origin + start);

    if (end + f.origin > f.stream.limit_offset)
        ck_assert_uint_eq(status, RUDP_E_INVALID);
    else
        ck_assert(status == RUDP_OK || (status == RUDP_E_MEMORY && f.memory.refused));
}

/* Takes the next message if there is one, and recognises it. */
static void take_random(void)
{
    uint8_t out[MESSAGE_MAX];
    size_t bytes;
    uint32_t number;
    enum rudp_status status = next(&bytes);

    if (status == RUDP_E_EMPTY)
        return;
    ck_assert_uint_eq(status, RUDP_OK);
    ck_assert_uint_le(bytes, sizeof out);
    rudp_recv_stream_copy(&f.stream, out);
    memcpy(&number, out, sizeof number);
    ck_assert_uint_lt(number, MESSAGE_COUNT);
    uint64_t end = f.boundaries[number + 1];

    ck_assert_mem_eq(out, f.bytes + end - bytes, bytes);
    ck_assert_uint_eq(f.taken_count[number]++, 0);
    if (f.stream.order == RUDP_ORDERED)
        ck_assert_uint_eq(number, f.taken_total);
    f.taken_total++;
    rudp_recv_stream_take(&f.stream, &f.memory.host);
    f.stream.limit_offset = max_u64(f.stream.limit_offset, f.stream.base_offset + WINDOW_BYTES);
}

/* Blocks for the window, ranges and pointers for at most as many more. */
static void check_memory(void)
{
    ck_assert_uint_le(f.memory.used_bytes, 2 * (WINDOW_BYTES + 2 * RUDP_BUFFER_BLOCK_BYTES));
    ck_assert_uint_le(rudp_recv_stream_unread_bytes(&f.stream), WINDOW_BYTES);
}

static void run_random(enum rudp_order order, uint64_t seed, bool short_of_memory)
{
    setup(order, seed);
    make_messages();
    for (uint32_t step = 0; f.taken_total < MESSAGE_COUNT; step++) {
        ck_assert_uint_lt(step, STEP_MAX);
        write_random(short_of_memory);
        if (draw(3) == 0)
            take_random();
        if (step % 16 == 0)
            check_memory();
    }
    check_empty();
    ck_assert_uint_eq(f.stream.base_offset, f.boundaries[MESSAGE_COUNT]);
    ck_assert_uint_eq(rudp_recv_stream_unread_bytes(&f.stream), 0);
    teardown();
}

/* However the stream is cut, repeated and mixed, each message comes once, in order, unaltered. */
START_TEST(random_pieces_deliver_in_order)
{
    for (uint64_t seed = 0; seed < SEED_COUNT; seed++)
        run_random(RUDP_ORDERED, seed, false);
}
END_TEST

/* Unordered, each comes once. */
START_TEST(random_pieces_deliver_unordered)
{
    for (uint64_t seed = 0; seed < SEED_COUNT; seed++)
        run_random(RUDP_UNORDERED, seed, false);
}
END_TEST

/* What was refused for lack of memory comes again and is delivered then, still once. */
START_TEST(random_pieces_without_memory_deliver)
{
    for (uint64_t seed = 0; seed < SEED_COUNT; seed++)
        run_random(seed % 2 == 0 ? RUDP_ORDERED : RUDP_UNORDERED, seed, true);
}
END_TEST

/* A peer that restarts while pieces are missing: whole messages in order stay, then the new
 * incarnation's stream is delivered whole. */
START_TEST(random_restart_keeps_whole_messages)
{
    for (uint64_t seed = 0; seed < SEED_COUNT; seed++) {
        setup(seed % 2 == 0 ? RUDP_ORDERED : RUDP_UNORDERED, seed);
        make_messages();
        for (uint64_t step = draw(400); step > 0; step--) {
            write_random(false);
            if (draw(8) == 0)
                take_random();
        }
        f.origin = rudp_recv_stream_restart(&f.stream, &f.memory.host, WINDOW_BYTES);
        uint32_t before = 0;

        while (before < MESSAGE_COUNT && f.boundaries[before] < f.origin)
            before++;
        ck_assert_uint_eq(f.boundaries[before], f.origin);
        while (f.stream.base_offset < f.origin)
            take_random();
        check_empty();
        memset(f.taken_count, 0, sizeof f.taken_count);
        f.taken_total = 0;
        for (uint32_t step = 0; f.taken_total < MESSAGE_COUNT; step++) {
            ck_assert_uint_lt(step, STEP_MAX);
            write_random(false);
            take_random();
        }
        teardown();
    }
}
END_TEST

/* --- Single claims ---------------------------------------------------------------------------- */

/* Empty messages are messages. */
START_TEST(empty_messages_are_delivered)
{
    setup(RUDP_ORDERED, 0);
    write_message(0, "\0\0", 2);
    check_take("");
    check_take("");
    check_empty();
    teardown();
}
END_TEST

/* A message is not there before its last byte is, not even when its length is cut in two. */
START_TEST(message_waits_for_its_last_byte)
{
    uint8_t message[2 + 100] = {0x40, 100};
    size_t bytes;

    setup(RUDP_ORDERED, 0);
    for (uint64_t i = 0; i < sizeof message; i++) {
        check_empty();
        ck_assert_uint_eq(write_at(i, message + i, 1, RUDP_NEVER), RUDP_OK);
    }
    ck_assert_uint_eq(next(&bytes), RUDP_OK);
    ck_assert_uint_eq(bytes, 100);
    teardown();
}
END_TEST

/* A length above what a datagram holds is not a message's, however it is written. */
START_TEST(impossible_length_is_malformed)
{
    size_t bytes;

    setup(RUDP_ORDERED, 0);
    write_message(0, "\x80\x00\xff\xf8", 4);
    ck_assert_uint_eq(next(&bytes), RUDP_E_MALFORMED);
    teardown();
    setup(RUDP_ORDERED, 0);
    write_message(0, "\xc0", 1);
    ck_assert_uint_eq(next(&bytes), RUDP_E_MALFORMED);
    teardown();
}
END_TEST

/* Bytes beyond the credit are refused, and so are those behind the final offset. */
START_TEST(bytes_beyond_the_limits_are_refused)
{
    setup(RUDP_ORDERED, 0);
    ck_assert_uint_eq(write_at(WINDOW_BYTES - 1, "ab", 2, RUDP_NEVER), RUDP_E_INVALID);
    ck_assert_uint_eq(rudp_recv_stream_finish(&f.stream, 10), RUDP_OK);
    ck_assert_uint_eq(write_at(9, "ab", 2, RUDP_NEVER), RUDP_E_INVALID);
    ck_assert_uint_eq(write_at(9, "a", 1, RUDP_NEVER), RUDP_OK);
    teardown();
}
END_TEST

/* What was delivered already is harmless, whole or in part. */
START_TEST(repeated_bytes_are_taken_once)
{
    setup(RUDP_ORDERED, 0);
    write_message(0, "\1a\1b", 4);
    check_take("a");
    write_message(0, "\1a", 2);
    write_message(0, "\1a\1b\1c", 6);
    check_take("b");
    check_take("c");
    check_empty();
    teardown();
}
END_TEST

/* The end is known once and does not move, nor lie before what came. */
START_TEST(final_offset_does_not_move)
{
    setup(RUDP_ORDERED, 0);
    write_message(0, "\1a", 2);
    ck_assert_uint_eq(rudp_recv_stream_finish(&f.stream, 1), RUDP_E_INVALID);
    ck_assert_uint_eq(rudp_recv_stream_finish(&f.stream, 4), RUDP_OK);
    ck_assert_uint_eq(rudp_recv_stream_finish(&f.stream, 4), RUDP_OK);
    ck_assert_uint_eq(rudp_recv_stream_finish(&f.stream, 5), RUDP_E_INVALID);
    teardown();
}
END_TEST

/* Complete is when every byte up to the end is here, read or not. */
START_TEST(complete_needs_every_byte)
{
    setup(RUDP_ORDERED, 0);
    ck_assert(!rudp_recv_stream_is_complete(&f.stream));
    ck_assert_uint_eq(rudp_recv_stream_finish(&f.stream, 4), RUDP_OK);
    write_message(2, "\1b", 2);
    ck_assert(!rudp_recv_stream_is_complete(&f.stream));
    write_message(0, "\1a", 2);
    ck_assert(rudp_recv_stream_is_complete(&f.stream));
    check_take("a");
    check_take("b");
    ck_assert(rudp_recv_stream_is_complete(&f.stream));
    teardown();
}
END_TEST

/* Behind a gap messages are found from the first start on, one after the other. */
START_TEST(unordered_takes_messages_behind_a_gap)
{
    setup(RUDP_UNORDERED, 0);
    write_message(10, "\1a\1b", 4);
    check_take("a");
    check_take("b");
    check_empty();
    ck_assert_uint_eq(rudp_recv_stream_unread_bytes(&f.stream), 0);
    write_message(0, "\x09zzzzzzzzz", 10);
    check_take("zzzzzzzzz");
    ck_assert_uint_eq(f.stream.base_offset, 14);
    teardown();
}
END_TEST

/* Ordered delivery waits for the gap. */
START_TEST(ordered_waits_for_the_gap)
{
    setup(RUDP_ORDERED, 0);
    write_message(2, "\1b", 2);
    check_empty();
    write_message(0, "\1a", 2);
    check_take("a");
    check_take("b");
    teardown();
}
END_TEST

/* A start that is inside a message already taken is nobody's. */
START_TEST(start_inside_a_taken_message_is_ignored)
{
    setup(RUDP_UNORDERED, 0);
    write_message(10, "\3\1xy", 4);
    check_take("\1xy");
    ck_assert_uint_eq(write_at(11, "\1x", 2, 11), RUDP_OK);
    check_empty();
    teardown();
}
END_TEST

/* Without memory to remember that it was taken, a message behind a gap waits. */
START_TEST(unordered_without_memory_waits)
{
    setup(RUDP_UNORDERED, 0);
    write_message(10, "\1a", 2);
    f.memory.cap_bytes = f.memory.used_bytes;
    check_empty();
    f.memory.cap_bytes = SIZE_MAX;
    check_take("a");
    teardown();
}
END_TEST

/* Overlapping messages of a lying peer come out as they are found, and nothing breaks. */
START_TEST(overlapping_messages_are_survived)
{
    setup(RUDP_UNORDERED, 0);
    ck_assert_uint_eq(write_at(10, "\4\2ab\1c", 6, 10), RUDP_OK);
    ck_assert_uint_eq(write_at(11, "\2ab", 3, 11), RUDP_OK);
    check_take("\2ab\1");
    check_take("ab");
    write_message(0, "\x0bzzzzzzzzzzz", 12);
    check_take("zzzzzzzzzzz");
    ck_assert_uint_ge(f.stream.base_offset, 15);
    ck_assert_uint_le(rudp_recv_stream_unread_bytes(&f.stream), 1);
    teardown();
}
END_TEST

/* A peer that leaves a gap behind every byte is told at the bound, and gaps can still be filled. */
START_TEST(too_many_gaps_are_refused)
{
    setup(RUDP_ORDERED, 0);
    for (uint64_t i = 0; i < GAPS_MAX; i++)
        ck_assert_uint_eq(write_at(10 + 4 * i, "a", 1, RUDP_NEVER), RUDP_OK);
    ck_assert_uint_eq(write_at(10 + 4 * GAPS_MAX, "a", 1, RUDP_NEVER), RUDP_E_LIMIT);
    ck_assert_uint_eq(write_at(0, "a", 1, RUDP_NEVER), RUDP_OK);
    ck_assert_uint_ne(write_at(12, "a", 1, RUDP_NEVER), RUDP_OK);
    ck_assert_uint_eq(write_at(11, "a", 1, RUDP_NEVER), RUDP_OK);
    teardown();
}
END_TEST

/* A restart after a cut-off message begins where that one began. What is unread takes its part of
 * the window. */
START_TEST(restart_forgets_a_cut_message)
{
    setup(RUDP_ORDERED, 0);
    write_message(0, "\1a\5bcd", 6);
    ck_assert_uint_eq(rudp_recv_stream_finish(&f.stream, 8), RUDP_OK);
    ck_assert_uint_eq(rudp_recv_stream_restart(&f.stream, &f.memory.host, WINDOW_BYTES), 2);
    ck_assert_uint_eq(f.stream.limit_offset, WINDOW_BYTES);
    ck_assert_uint_eq(f.stream.final_offset, RUDP_NEVER);
    write_message(2, "\1c", 2);
    check_take("a");
    check_take("c");
    teardown();
}
END_TEST

int main(void)
{
    return SUITE_RUN("recv_stream", random_pieces_deliver_in_order, random_pieces_deliver_unordered,
                     random_pieces_without_memory_deliver, random_restart_keeps_whole_messages,
                     empty_messages_are_delivered, message_waits_for_its_last_byte,
                     impossible_length_is_malformed, bytes_beyond_the_limits_are_refused,
                     repeated_bytes_are_taken_once, final_offset_does_not_move,
                     complete_needs_every_byte, unordered_takes_messages_behind_a_gap,
                     ordered_waits_for_the_gap, start_inside_a_taken_message_is_ignored,
                     unordered_without_memory_waits, overlapping_messages_are_survived,
                     too_many_gaps_are_refused, restart_forgets_a_cut_message);
}
