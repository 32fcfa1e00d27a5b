#include "core/replies.h"
#include "tests/core/suite.h"
#include "tests/vectors/capped_host.h"

struct fixture {
    struct capped_host memory;
    struct rudp_replies replies;
};

static void setup(struct fixture *f)
{
    capped_host_init(&f->memory, SIZE_MAX, 0);
    f->replies = (struct rudp_replies){0};
}

static void teardown(struct fixture *f)
{
    rudp_replies_clear(&f->replies, &f->memory.host);
    ck_assert_uint_eq(f->memory.used_bytes, 0);
}

/* Queues an answer of one byte to that port. False when refused. */
static bool put(struct fixture *f, uint8_t value)
{
    struct rudp_reply *slot = rudp_replies_reserve(&f->replies, &f->memory.host);

    if (slot == NULL)
        return false;
    slot->path = (struct rudp_path){.remote.port = value};
    slot->packet[0] = value;
    slot->packet_bytes = 1;
    rudp_replies_commit(&f->replies);
    return true;
}

static void check_take(struct fixture *f, uint8_t value)
{
    struct rudp_path path;
    uint8_t out[RUDP_REPLY_BYTES_MAX];

    ck_assert_uint_eq(rudp_replies_take(&f->replies, &f->memory.host, &path, out, sizeof out), 1);
    ck_assert_uint_eq(path.remote.port, value);
    ck_assert_uint_eq(out[0], value);
}

/* Answers leave in the order they were made, also after the ring went round. */
START_TEST(answers_leave_in_order)
{
    struct fixture f;

    setup(&f);
    ck_assert(put(&f, 0));
    for (uint8_t i = 1; i < 2 * RUDP_REPLY_COUNT_MAX; i++) {
        ck_assert(put(&f, i));
        check_take(&f, (uint8_t)(i - 1));
    }
    teardown(&f);
}
END_TEST

/* A full queue refuses, and takes again when one has left. */
START_TEST(full_queue_refuses)
{
    struct fixture f;

    setup(&f);
    for (uint8_t i = 0; i < RUDP_REPLY_COUNT_MAX; i++)
        ck_assert(put(&f, i));
    ck_assert(!put(&f, 99));
    check_take(&f, 0);
    ck_assert(put(&f, 99));
    teardown(&f);
}
END_TEST

/* Without memory fewer answers wait at a time, in order, and as many as ever once there is some. */
START_TEST(some_answers_need_no_memory)
{
    struct fixture f;

    setup(&f);
    f.memory.cap_bytes = 0;
    for (uint8_t i = 0; i < RUDP_REPLY_SPARE_COUNT; i++)
        ck_assert(put(&f, i));
    ck_assert(!put(&f, 99));
    check_take(&f, 0);
    ck_assert(put(&f, RUDP_REPLY_SPARE_COUNT));
    for (uint8_t i = 1; i <= RUDP_REPLY_SPARE_COUNT; i++)
        check_take(&f, i);
    f.memory.cap_bytes = SIZE_MAX;
    for (uint8_t i = 0; i < RUDP_REPLY_COUNT_MAX; i++)
        ck_assert(put(&f, i));
    teardown(&f);
}
END_TEST

/* A slot that was not committed is not an answer. */
START_TEST(reserved_slot_does_not_count)
{
    struct fixture f;
    struct rudp_path path;
    uint8_t out[RUDP_REPLY_BYTES_MAX];

    setup(&f);
    ck_assert_ptr_nonnull(rudp_replies_reserve(&f.replies, &f.memory.host));
    ck_assert_uint_eq(rudp_replies_take(&f.replies, &f.memory.host, &path, out, sizeof out), 0);
    teardown(&f);
}
END_TEST

/* An answer that does not fit the caller's buffer waits for a larger one. */
START_TEST(short_buffer_takes_nothing)
{
    struct fixture f;
    struct rudp_path path;
    uint8_t out[1];

    setup(&f);
    ck_assert(put(&f, 5));
    ck_assert_uint_eq(rudp_replies_take(&f.replies, &f.memory.host, &path, out, 0), 0);
    check_take(&f, 5);
    teardown(&f);
}
END_TEST

/* The queue's memory goes with its last answer. */
START_TEST(empty_queue_holds_no_memory)
{
    struct fixture f;

    setup(&f);
    ck_assert(put(&f, 5));
    check_take(&f, 5);
    ck_assert_uint_eq(f.memory.used_bytes, 0);
    teardown(&f);
}
END_TEST

int main(void)
{
    return SUITE_RUN("replies", answers_leave_in_order, full_queue_refuses,
                     some_answers_need_no_memory, reserved_slot_does_not_count,
                     short_buffer_takes_nothing, empty_queue_holds_no_memory);
}
