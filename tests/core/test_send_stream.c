#include "core/send_stream.h"
#include "core/wire.h"
#include "tests/core/suite.h"
#include "tests/vectors/capped_host.h"

#include <string.h>

#define SPACE_BYTES   (1024u * 1024)
#define FLIGHT_MAX    64u
#define MESSAGE_COUNT 4096u
#define BUFFER_BYTES  (128u * 1024)
#define SEED_COUNT    20u
#define STEP_COUNT    1500u

struct flying {
    struct rudp_range range;
    bool lost; /* told so, and may arrive yet */
};

struct fixture {
    struct capped_host memory;
    struct rudp_send_stream stream;
    bool short_of_memory; /* the run refuses allocations now and then */
    bool refused;         /* it did: coarser sets are allowed from here on */
    struct flying flying[FLIGHT_MAX];
    uint32_t flying_count;
    uint64_t boundaries[MESSAGE_COUNT]; /* where messages begin, and the end of the last */
    uint32_t boundary_count;
    uint8_t bytes[SPACE_BYTES];
    bool acked[SPACE_BYTES];
};

static struct fixture f; /* one test a process, and large */

static void setup(uint64_t seed)
{
    memset(&f, 0, sizeof f);
    capped_host_init(&f.memory, SIZE_MAX, seed);
    ck_assert_uint_eq(rudp_send_stream_init(&f.stream, &f.memory.host), RUDP_OK);
    f.boundary_count = 1;
}

static void teardown(void)
{
    rudp_send_stream_clear(&f.stream, &f.memory.host);
    ck_assert_uint_eq(f.memory.used_bytes, 0);
}

static uint64_t draw(uint64_t below)
{
    return rudp_random_u64(&f.memory.host) % below;
}

static enum rudp_status push(const void *data, size_t bytes)
{
    struct rudp_slice slice = {data, bytes};

    return rudp_send_stream_push(&f.stream, &f.memory.host, &slice, 1, BUFFER_BYTES);
}

static void push_bytes(size_t bytes)
{
    static const uint8_t zeroes[RUDP_MESSAGE_BYTES_MAX];

    ck_assert_uint_eq(push(zeroes, bytes), RUDP_OK);
}

/* Sends the next range, which must be this one. */
static void check_sends(uint64_t start, uint64_t end, bool resend)
{
    struct rudp_range range;
    bool is_resend;

    ck_assert(rudp_send_stream_pick(&f.stream, end - start, &range, &is_resend));
    ck_assert_uint_eq(range.start, start);
    ck_assert_uint_eq(range.end, end);
    ck_assert_int_eq(is_resend, resend);
    rudp_send_stream_on_sent(&f.stream, &range, is_resend);
}

static bool sends_nothing(void)
{
    struct rudp_range range;
    bool is_resend;

    return !rudp_send_stream_pick(&f.stream, 1, &range, &is_resend);
}

static void ack(uint64_t start, uint64_t end)
{
    rudp_send_stream_on_acked(&f.stream, &f.memory.host, &(struct rudp_range){start, end});
}

static void lose(uint64_t start, uint64_t end)
{
    rudp_send_stream_on_lost(&f.stream, &f.memory.host, &(struct rudp_range){start, end});
}

/* --- The model: one flag a byte, and what is on its way --------------------------------------- */

static void allow_memory(bool allowed)
{
    f.memory.cap_bytes = allowed ? SIZE_MAX : f.memory.used_bytes;
    f.memory.refused = false;
}

static void push_random(void)
{
    uint8_t data[3000];
    size_t bytes = draw(draw(4) == 0 ? sizeof data : 40);
    size_t cut = draw(bytes + 1);
    struct rudp_slice slices[] = {{data, cut}, {data + cut, bytes - cut}};
    uint64_t at = f.stream.end_offset;
    uint8_t prefix[8];

    if (f.boundary_count == MESSAGE_COUNT || at + bytes + sizeof prefix > SPACE_BYTES)
        return;
    f.memory.host.random.fill(f.memory.host.random.context, data, bytes);
    enum rudp_status status =
        rudp_send_stream_push(&f.stream, &f.memory.host, slices, 2, BUFFER_BYTES);

    if (status != RUDP_OK) {
        ck_assert(status == RUDP_E_FULL || f.memory.refused);
        ck_assert_uint_eq(f.stream.end_offset, at);
        return;
    }
    size_t prefix_bytes = rudp_wire_put_varint(prefix, bytes);

    memcpy(f.bytes + at, prefix, prefix_bytes);
    memcpy(f.bytes + at + prefix_bytes, data, bytes);
    f.boundaries[f.boundary_count++] = at + prefix_bytes + bytes;
    ck_assert_uint_eq(f.stream.end_offset, at + prefix_bytes + bytes);
}

/* First boundary in the range, its end when there is none. */
static uint64_t model_start(const struct rudp_range *range)
{
    for (uint32_t i = 0; i < f.boundary_count; i++) {
        if (f.boundaries[i] >= range->start)
            return min_u64(f.boundaries[i], range->end);
    }
    return range->end;
}

static void check_picked(const struct rudp_range *range, bool is_resend)
{
    uint8_t data[SPACE_BYTES / 64];
    size_t bytes = (size_t)(range->end - range->start);

    ck_assert_uint_le(bytes, sizeof data);
    rudp_buffer_read(&f.stream.buffer, range->start, data, bytes);
    ck_assert_mem_eq(data, f.bytes + range->start, bytes);
    ck_assert_uint_eq(rudp_send_stream_start(&f.stream, range, is_resend), model_start(range));
    bool holds_acked = memchr(f.acked + range->start, true, bytes) != NULL;

    ck_assert(f.refused || !holds_acked);
}

static void send_random(void)
{
    struct rudp_range range;
    bool is_resend;

    if (f.flying_count == FLIGHT_MAX ||
        !rudp_send_stream_pick(&f.stream, 1 + draw(1500), &range, &is_resend))
        return;
    check_picked(&range, is_resend);
    rudp_send_stream_on_sent(&f.stream, &range, is_resend);
    f.flying[f.flying_count++] = (struct flying){range, false};
}

static void forget_flying(uint32_t index)
{
    f.flying[index] = f.flying[--f.flying_count];
}

static void ack_random(void)
{
    if (f.flying_count == 0)
        return;
    uint32_t index = (uint32_t)draw(f.flying_count);
    struct rudp_range range = f.flying[index].range;

    rudp_send_stream_on_acked(&f.stream, &f.memory.host, &range);
    memset(f.acked + range.start, true, range.end - range.start);
    forget_flying(index);
}

static void lose_random(void)
{
    if (f.flying_count == 0)
        return;
    uint32_t index = (uint32_t)draw(f.flying_count);
    struct flying *flying = &f.flying[index];

    if (!flying->lost)
        rudp_send_stream_on_lost(&f.stream, &f.memory.host, &flying->range);
    if (flying->lost || draw(2) == 0)
        forget_flying(index); /* never heard of again */
    else
        flying->lost = true;
}

/* The peer's application took some messages, whether their acknowledgement came or not. */
static void deliver_random(void)
{
    uint64_t before = f.stream.base_offset;
    uint64_t offset = f.boundaries[draw(f.boundary_count)];

    if (offset > f.stream.next_offset || offset > before + 20000)
        return;
    rudp_send_stream_on_delivered(&f.stream, &f.memory.host, offset);
    ck_assert_uint_eq(f.stream.base_offset, max_u64(before, offset));
}

static bool is_flying(uint64_t at)
{
    for (uint32_t i = 0; i < f.flying_count; i++) {
        const struct flying *flying = &f.flying[i];

        if (!flying->lost && flying->range.start <= at && at < flying->range.end)
            return true;
    }
    return false;
}

/* Every byte sent and not delivered is known to have arrived, on its way, or to be sent again. */
static void check_nothing_forgotten(void)
{
    uint64_t acked_bytes = 0;
    uint64_t invented_count = 0;
    uint64_t forgotten_count = 0;

    for (uint64_t at = f.stream.base_offset; at < f.stream.next_offset; at++) {
        bool known = rudp_ranges_contains(&f.stream.acked, at);

        acked_bytes += known;
        invented_count += known && !f.acked[at];
        forgotten_count += !known && !rudp_ranges_contains(&f.stream.lost, at) && !is_flying(at);
    }
    ck_assert_uint_eq(invented_count, 0);
    ck_assert_uint_eq(forgotten_count, 0);
    ck_assert_uint_eq(rudp_send_stream_unacked_bytes(&f.stream),
                      rudp_send_stream_queued_bytes(&f.stream) - acked_bytes);
}

static void change(void)
{
    uint64_t action = draw(100);

    allow_memory(!f.short_of_memory || draw(4) != 0);
    if (action < 20)
        push_random();
    else if (action < 55)
        send_random();
    else if (action < 75)
        ack_random();
    else if (action < 93)
        lose_random();
    else if (action < 99)
        deliver_random();
    else
        f.stream.limit_offset += draw(30000);
    f.refused |= f.memory.refused;
}

/* Sends and acknowledges until nothing is left. */
static void drain(void)
{
    allow_memory(true);
    f.stream.limit_offset = RUDP_NEVER;
    while (f.flying_count > 0)
        ack_random();
    for (uint32_t step = 0; !rudp_send_stream_is_acked(&f.stream); step++) {
        ck_assert_uint_lt(step, SPACE_BYTES);
        send_random();
        ack_random();
    }
    ck_assert_uint_eq(rudp_send_stream_unacked_bytes(&f.stream), 0);
}

static void run_random(uint64_t seed, bool short_of_memory)
{
    setup(seed);
    f.short_of_memory = short_of_memory;
    for (uint32_t step = 0; step < STEP_COUNT; step++) {
        uint64_t base = f.stream.base_offset;

        change();
        ck_assert_uint_ge(f.stream.base_offset, base);
        if (step % 32 == 0)
            check_nothing_forgotten();
    }
    drain();
    teardown();
}

/* Whatever is sent, acknowledged, lost, found again and delivered: no byte is forgotten, and none
 * is sent again that is known to have arrived. */
START_TEST(random_fates_forget_nothing)
{
    for (uint64_t seed = 0; seed < SEED_COUNT; seed++)
        run_random(seed, false);
}
END_TEST

/* Without memory more may be sent again, but still nothing is forgotten. */
START_TEST(random_fates_without_memory_forget_nothing)
{
    for (uint64_t seed = 0; seed < SEED_COUNT; seed++)
        run_random(seed, true);
}
END_TEST

/* --- Accepting messages ----------------------------------------------------------------------- */

/* Wherever memory for the range sets ends, there is no stream and nothing is held. */
START_TEST(init_without_memory_holds_nothing)
{
    struct rudp_send_stream stream;
    bool refused = true;
    size_t refused_count = 0;

    for (size_t cap_bytes = 0; refused; cap_bytes += sizeof(struct rudp_range)) {
        capped_host_init(&f.memory, cap_bytes, 0);
        enum rudp_status status = rudp_send_stream_init(&stream, &f.memory.host);

        refused = f.memory.refused;
        refused_count += refused;
        ck_assert_uint_eq(status, refused ? RUDP_E_MEMORY : RUDP_OK);
        if (!refused)
            rudp_send_stream_clear(&stream, &f.memory.host);
        ck_assert_uint_eq(f.memory.used_bytes, 0);
    }
    ck_assert_uint_gt(refused_count, 1);
}
END_TEST

/* A message is its length and its bytes; slices are joined. */
START_TEST(push_joins_slices_behind_their_length)
{
    struct rudp_slice slices[] = {{"ab", 2}, {"", 0}, {"cde", 3}};
    uint8_t out[6];

    setup(0);
    ck_assert_uint_eq(rudp_send_stream_push(&f.stream, &f.memory.host, slices, 3, BUFFER_BYTES),
                      RUDP_OK);
    ck_assert_uint_eq(f.stream.end_offset, sizeof out);
    rudp_buffer_read(&f.stream.buffer, 0, out, sizeof out);
    ck_assert_mem_eq(out, "\5abcde", sizeof out);
    teardown();
}
END_TEST

/* An empty message is a message. */
START_TEST(push_of_nothing_is_one_byte)
{
    setup(0);
    ck_assert_uint_eq(rudp_send_stream_push(&f.stream, &f.memory.host, NULL, 0, BUFFER_BYTES),
                      RUDP_OK);
    ck_assert_uint_eq(f.stream.end_offset, 1);
    teardown();
}
END_TEST

/* The longest message is taken, one byte more is not, in one slice or in two. */
START_TEST(push_refuses_what_no_datagram_holds)
{
    static const uint8_t zeroes[RUDP_MESSAGE_BYTES_MAX + 1];
    struct rudp_slice slices[] = {{zeroes, RUDP_MESSAGE_BYTES_MAX}, {zeroes, 1}};

    setup(0);
    ck_assert_uint_eq(push(zeroes, sizeof zeroes), RUDP_E_TOO_LONG);
    ck_assert_uint_eq(rudp_send_stream_push(&f.stream, &f.memory.host, slices, 2, BUFFER_BYTES),
                      RUDP_E_TOO_LONG);
    ck_assert_uint_eq(f.stream.end_offset, 0);
    ck_assert_uint_eq(push(zeroes, RUDP_MESSAGE_BYTES_MAX), RUDP_OK);
    teardown();
}
END_TEST

/* The bound counts the length too. */
START_TEST(push_is_refused_at_the_bound)
{
    struct rudp_slice slice = {"abc", 3};

    setup(0);
    ck_assert_uint_eq(rudp_send_stream_push(&f.stream, &f.memory.host, &slice, 1, 3), RUDP_E_FULL);
    ck_assert_uint_eq(rudp_send_stream_push(&f.stream, &f.memory.host, &slice, 1, 4), RUDP_OK);
    teardown();
}
END_TEST

/* A message that finds memory for half of it only leaves nothing behind. */
START_TEST(push_without_memory_keeps_nothing)
{
    uint8_t data[3 * RUDP_BUFFER_BLOCK_BYTES] = {0};

    setup(0);
    size_t before_bytes = f.memory.used_bytes;

    f.memory.cap_bytes = before_bytes + 2 * RUDP_BUFFER_BLOCK_BYTES;
    ck_assert_uint_eq(push(data, sizeof data), RUDP_E_MEMORY);
    ck_assert_uint_eq(f.memory.used_bytes, before_bytes);
    ck_assert_uint_eq(f.stream.end_offset, 0);
    teardown();
}
END_TEST

/* --- Sending ---------------------------------------------------------------------------------- */

/* Nothing is sent beyond the credit, and that is being blocked. */
START_TEST(pick_stops_at_the_credit)
{
    setup(0);
    push_bytes(99);
    f.stream.limit_offset = 30;
    ck_assert(!rudp_send_stream_is_blocked(&f.stream));
    check_sends(0, 30, false);
    ck_assert(sends_nothing());
    ck_assert(rudp_send_stream_is_blocked(&f.stream));
    teardown();
}
END_TEST

/* What was lost goes before what is new, lowest first. */
START_TEST(pick_takes_lost_ranges_first)
{
    setup(0);
    push_bytes(99);
    f.stream.limit_offset = 30;
    check_sends(0, 30, false);
    lose(20, 25);
    lose(0, 10);
    check_sends(0, 10, true);
    check_sends(20, 25, true);
    ck_assert(sends_nothing());
    teardown();
}
END_TEST

/* Credit that turns out to be less than was sent is for what is sent again, too. */
START_TEST(pick_holds_lost_ranges_beyond_the_credit)
{
    setup(0);
    push_bytes(99);
    f.stream.limit_offset = 50;
    check_sends(0, 50, false);
    f.stream.limit_offset = 30;
    lose(20, 50);
    check_sends(20, 30, true);
    ck_assert(sends_nothing());
    ck_assert(rudp_send_stream_is_blocked(&f.stream));
    f.stream.limit_offset = 60;
    ck_assert(!rudp_send_stream_is_blocked(&f.stream));
    check_sends(30, 50, true);
    check_sends(50, 60, false);
    ck_assert(sends_nothing());
    teardown();
}
END_TEST

/* What arrived in another packet is not lost. */
START_TEST(loss_spares_what_was_acknowledged)
{
    setup(0);
    push_bytes(29);
    check_sends(0, 30, false);
    ack(0, 5);
    ack(10, 20);
    lose(0, 30);
    check_sends(5, 10, true);
    check_sends(20, 30, true);
    ck_assert(sends_nothing());
    teardown();
}
END_TEST

/* A packet that was not lost after all takes its bytes out of the queue. */
START_TEST(late_acknowledgement_cancels_sending_again)
{
    setup(0);
    push_bytes(29);
    check_sends(0, 30, false);
    lose(0, 30);
    ack(10, 20);
    check_sends(0, 10, true);
    check_sends(20, 30, true);
    teardown();
}
END_TEST

/* What is delivered need not be sent again. */
START_TEST(delivery_cancels_sending_again)
{
    setup(0);
    push_bytes(9);
    push_bytes(9);
    check_sends(0, 20, false);
    lose(5, 15);
    rudp_send_stream_on_delivered(&f.stream, &f.memory.host, 10);
    lose(0, 7);
    ack(0, 8);
    check_sends(10, 15, true);
    ck_assert(sends_nothing());
    teardown();
}
END_TEST

/* Being acknowledged is about everything accepted, sent or not. */
START_TEST(unsent_bytes_are_not_acknowledged)
{
    setup(0);
    push_bytes(9);
    ck_assert(!rudp_send_stream_is_acked(&f.stream));
    check_sends(0, 10, false);
    ack(0, 10);
    ck_assert(rudp_send_stream_is_acked(&f.stream));
    push_bytes(0);
    ck_assert(!rudp_send_stream_is_acked(&f.stream));
    teardown();
}
END_TEST

/* A new incarnation sends what was not delivered, from the first byte, with credit to begin. */
START_TEST(restart_sends_undelivered_bytes_again)
{
    setup(0);
    push_bytes(9);
    push_bytes(9);
    check_sends(0, 20, false);
    ack(10, 20);
    lose(0, 5);
    rudp_send_stream_on_delivered(&f.stream, &f.memory.host, 10);
    rudp_send_stream_restart(&f.stream);
    ck_assert_uint_eq(f.stream.limit_offset, 10 + RUDP_SEND_CREDIT_INITIAL);
    check_sends(10, 20, false);
    teardown();
}
END_TEST

/* The start of a message is found in a range that begins inside another. */
START_TEST(start_is_the_first_boundary_in_the_range)
{
    setup(0);
    push_bytes(9);
    push_bytes(99); /* its length takes two bytes */
    push_bytes(4);
    ck_assert_uint_eq(rudp_send_stream_start(&f.stream, &(struct rudp_range){0, 5}, false), 0);
    ck_assert_uint_eq(rudp_send_stream_start(&f.stream, &(struct rudp_range){5, 50}, false), 10);
    ck_assert_uint_eq(rudp_send_stream_start(&f.stream, &(struct rudp_range){50, 112}, false), 111);
    ck_assert_uint_eq(rudp_send_stream_start(&f.stream, &(struct rudp_range){112, 115}, false),
                      115);
    ck_assert_uint_eq(rudp_send_stream_start(&f.stream, &(struct rudp_range){5, 50}, true), 10);
    teardown();
}
END_TEST

/* A peer that says it took half a message talks nonsense; that must not end this process. */
START_TEST(delivery_inside_a_message_is_survived)
{
    uint8_t data[200];

    for (unsigned value = 0; value < 256; value++) {
        setup(0);
        memset(data, (int)value, sizeof data);
        ck_assert_uint_eq(push(data, sizeof data), RUDP_OK);
        f.stream.next_offset = f.stream.end_offset;
        rudp_send_stream_on_delivered(&f.stream, &f.memory.host, f.stream.end_offset - 3);
        struct rudp_range range = {f.stream.end_offset - 2, f.stream.end_offset};
        uint64_t start = rudp_send_stream_start(&f.stream, &range, true);

        ck_assert(start >= range.start && start <= range.end);
        teardown();
    }
}
END_TEST

int main(void)
{
    return SUITE_RUN(
        "send_stream", random_fates_forget_nothing, random_fates_without_memory_forget_nothing,
        init_without_memory_holds_nothing, push_joins_slices_behind_their_length,
        push_of_nothing_is_one_byte, push_refuses_what_no_datagram_holds,
        push_is_refused_at_the_bound, push_without_memory_keeps_nothing, pick_stops_at_the_credit,
        pick_takes_lost_ranges_first, pick_holds_lost_ranges_beyond_the_credit,
        loss_spares_what_was_acknowledged, late_acknowledgement_cancels_sending_again,
        delivery_cancels_sending_again, unsent_bytes_are_not_acknowledged,
        restart_sends_undelivered_bytes_again, start_is_the_first_boundary_in_the_range,
        delivery_inside_a_message_is_survived);
}
