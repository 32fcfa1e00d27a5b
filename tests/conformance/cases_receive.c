/* cases_receive.c - one datagram per call, flags, lengths, many at once. */
#include "cases.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/udp.h>
#include <string.h>
#include <sys/ioctl.h>
#include <time.h>
#include <unistd.h>

static void boundaries(const struct variant *variant)
{
    struct ends ends;

    open_ends(variant, &ends);
    say(variant, &ends, "first message");
    say(variant, &ends, "second");
    say(variant, &ends, "third");
    AWAIT_INPUT(ends.b);
    step_recv(ends.b, 5, 0); /* the rest of it is gone */
    AWAIT_INPUT(ends.b);
    step_recvmsg(ends.b, 4, 0, 0);
    AWAIT_INPUT(ends.b);
    step_recvmsg(ends.b, 20, 0, 0);
    step_recv(ends.b, 20, MSG_DONTWAIT);
}

static void truncation(const struct variant *variant)
{
    static const int flags[] = {0, MSG_TRUNC, MSG_PEEK, MSG_PEEK | MSG_TRUNC, MSG_TRUNC};
    static const size_t rooms[] = {0, 4, 11, 12};
    struct ends ends;

    open_ends(variant, &ends);
    for (size_t room = 0; room < sizeof rooms / sizeof *rooms; room++) {
        for (size_t index = 0; index < sizeof flags / sizeof *flags; index++) {
            say(variant, &ends, "eleven char");
            AWAIT_INPUT(ends.b);
            step_recvmsg(ends.b, rooms[room], 0, flags[index]);
            if ((flags[index] & MSG_PEEK) != 0)
                step_recv(ends.b, rooms[room], flags[index] & ~MSG_PEEK);
            step_recv(ends.b, 1, MSG_DONTWAIT);
        }
    }
}

static void peek(const struct variant *variant)
{
    struct ends ends;

    open_ends(variant, &ends);
    say(variant, &ends, "look");
    say(variant, &ends, "");
    AWAIT_INPUT(ends.b);
    step_recvfrom(ends.b, 0, MSG_PEEK, SIZE_MAX);
    step_recvfrom(ends.b, 0, MSG_PEEK | MSG_TRUNC, SIZE_MAX);
    step_recvfrom(ends.b, 2, MSG_PEEK, SIZE_MAX);
    step_recvfrom(ends.b, 10, MSG_PEEK | MSG_TRUNC, SIZE_MAX);
    step_poll(ends.b);
    step_recvfrom(ends.b, 10, 0, SIZE_MAX);
    AWAIT_INPUT(ends.b);
    step_recvfrom(ends.b, 10, MSG_PEEK, SIZE_MAX);
    step_recvfrom(ends.b, 10, 0, SIZE_MAX);
    step_recvfrom(ends.b, 10, MSG_PEEK | MSG_DONTWAIT, SIZE_MAX);
}

static void non_blocking(const struct variant *variant)
{
    struct ends ends;

    open_ends(variant, &ends);
    trace_line("flags %#x", fcntl(ends.b, F_GETFL));
    step_recv(ends.b, 10, MSG_DONTWAIT);
    MUST(fcntl(ends.b, F_SETFL, O_NONBLOCK) == 0);
    trace_line("flags %#x", fcntl(ends.b, F_GETFL));
    step_recv(ends.b, 10, 0);
    step_recvmsg(ends.b, 10, 0, 0);
    int copy = dup(ends.b);

    MUST(fcntl(copy, F_SETFL, 0) == 0); /* of the description, not of the number */
    trace_line("flags %#x", fcntl(ends.b, F_GETFL));
    int is_on = 1;

    MUST(ioctl(copy, FIONBIO, &is_on) == 0);
    trace_line("flags %#x", fcntl(ends.b, F_GETFL));
    trace("read");
    trace_result(read(ends.b, &(char){0}, 1));
    trace_end();
}

static void wait_all(const struct variant *variant)
{
    struct ends ends;

    open_ends(variant, &ends);
    say(variant, &ends, "one");
    say(variant, &ends, "two");
    AWAIT_INPUT(ends.b);
    step_recv(ends.b, 20, MSG_WAITALL);
    AWAIT_INPUT(ends.b);
    step_recvmsg(ends.b, 20, 0, MSG_WAITALL);
}

static void zero_length(const struct variant *variant)
{
    struct ends ends;

    open_ends(variant, &ends);
    step_sendto(ends.a, "", 0, 0, variant->is_connected ? NULL : &ends.at_b);
    step_sendto(ends.a, NULL, 0, 0, variant->is_connected ? NULL : &ends.at_b);
    AWAIT_INPUT(ends.b);
    step_poll(ends.b);
    step_ioctl(ends.b, REQUEST(FIONREAD));
    step_recvmsg(ends.b, 10, 0, 0);
    AWAIT_INPUT(ends.b);
    step_recvfrom(ends.b, 0, 0, SIZE_MAX);
    step_recv(ends.b, 10, MSG_DONTWAIT);
    if (!variant->is_connected)
        return;
    trace("write");
    trace_result(write(ends.a, "", 0));
    trace_end();
    AWAIT_INPUT(ends.b);
    step_recv(ends.b, 10, 0);
    say(variant, &ends, "after");
    AWAIT_INPUT(ends.b);
    trace("read nothing");
    trace_result(read(ends.b, &(char){0}, 0));
    trace_end();
    step_recv(ends.b, 10, MSG_DONTWAIT);
}

static void source_address(const struct variant *variant)
{
    static const size_t lengths[] = {0, 1, 2, 3, 8, 15, 16, 17, 24, 27, 28, 100, SIZE_MAX};
    struct ends ends;

    open_ends(variant, &ends);
    for (size_t index = 0; index < sizeof lengths / sizeof *lengths; index++) {
        say(variant, &ends, "from whom");
        AWAIT_INPUT(ends.b);
        step_recvfrom(ends.b, 10, 0, lengths[index]);
    }
    say(variant, &ends, "nobody asks");
    AWAIT_INPUT(ends.b);
    trace("no address");
    trace_result(recvfrom(ends.b, &(char){0}, 1, 0, NULL, NULL));
    trace_end();
    say(variant, &ends, "negative");
    AWAIT_INPUT(ends.b);
    step_recvfrom(ends.b, 10, 0, (socklen_t)-1);
    step_recv(ends.b, 10, MSG_DONTWAIT);
}

static void next_size(const struct variant *variant)
{
    struct ends ends;

    open_ends(variant, &ends);
    step_ioctl(ends.b, REQUEST(FIONREAD));
    say(variant, &ends, "five5");
    say(variant, &ends, "");
    say(variant, &ends, "sixsix");
    for (int index = 0; index < 3; index++) {
        AWAIT_INPUT(ends.b);
        step_ioctl(ends.b, REQUEST(FIONREAD));
        step_recv(ends.b, 10, 0);
    }
    step_ioctl(ends.b, REQUEST(FIONREAD));
}

static void read_and_write(const struct variant *variant)
{
    struct ends ends;
    char in[2][4] = {"....", "...."};
    struct iovec parts[1025] = {{in[0], 3}, {NULL, 0}, {in[1], 3}};
    struct iovec words[2] = {{(char[]){"in "}, 3}, {(char[]){"parts"}, 5}};

    open_ends(variant, &ends);
    trace("write");
    trace_result(write(ends.a, "whole", 5));
    trace_end();
    trace("writev");
    trace_result(writev(ends.a, words, 2));
    trace_end();
    trace("writev of nothing");
    trace_result(writev(ends.a, words, 0));
    trace_end();
    if (!variant->is_connected)
        return;
    AWAIT_INPUT(ends.b);
    trace("readv");
    trace_result(readv(ends.b, parts, 3));
    trace_bytes(in, sizeof in);
    trace_end();
    AWAIT_INPUT(ends.b);
    trace("read");
    trace_result(read(ends.b, in, 8));
    trace_bytes(in, sizeof in);
    trace_end();
    trace("readv of nothing");
    trace_result(readv(ends.b, parts, 0));
    trace_end();
    trace("readv of too many");
    trace_result(readv(ends.b, parts, 1025));
    trace_end();
}

/* --- Many at once -------------------------------------------------------------------------------
 */

#define BATCH 4

struct batch {
    struct mmsghdr messages[BATCH];
    struct iovec parts[BATCH];
    char data[BATCH][8];
};

static void prepare(struct batch *batch)
{
    memset(batch, 0, sizeof *batch);
    memset(batch->data, '.', sizeof batch->data);
    for (size_t index = 0; index < BATCH; index++) {
        batch->parts[index] = (struct iovec){batch->data[index], sizeof batch->data[index]};
        batch->messages[index].msg_hdr.msg_iov = &batch->parts[index];
        batch->messages[index].msg_hdr.msg_iovlen = 1;
        batch->messages[index].msg_len = 99;
    }
}

static int step_recvmmsg(int fd, struct batch *batch, unsigned int count, int flags,
                         struct timespec *timeout)
{
    trace("recvmmsg(%s, %u", trace_fd(fd), count);
    trace_message_flags(flags);
    trace(")");
    int result = (int)trace_result(recvmmsg(fd, batch->messages, count, flags, timeout));

    for (int index = 0; index < result; index++) {
        trace_more("%u", batch->messages[index].msg_len);
        trace_bytes(batch->data[index], sizeof batch->data[index]);
        trace_message_flags(batch->messages[index].msg_hdr.msg_flags);
    }
    trace_end();
    return result;
}

static void receive_many(const struct variant *variant)
{
    struct timespec timeout = {.tv_sec = PATIENCE_MS / 1000};
    struct batch batch;
    struct ends ends;

    open_ends(variant, &ends);
    prepare(&batch);
    step_recvmmsg(ends.b, &batch, BATCH, MSG_DONTWAIT, NULL);
    step_recvmmsg(ends.b, &batch, 0, MSG_DONTWAIT, NULL);
    for (int index = 0; index < BATCH; index++)
        say(variant, &ends, index == 1 ? "longer than room" : "short");
    step_recvmmsg(ends.b, &batch, BATCH, 0, NULL);
    prepare(&batch);
    for (int index = 0; index < BATCH; index++)
        say(variant, &ends, "again");
    step_recvmmsg(ends.b, &batch, BATCH, 0, &timeout);
    trace_line("time left: %s", timeout.tv_sec >= 0 && timeout.tv_sec < PATIENCE_MS / 1000
                                    ? "less than given"
                                    : "as given");
    prepare(&batch);
    say(variant, &ends, "one");
    AWAIT_INPUT(ends.b);
    step_recvmmsg(ends.b, &batch, BATCH, MSG_WAITFORONE, NULL);
    prepare(&batch);
    say(variant, &ends, "single");
    AWAIT_INPUT(ends.b);
    step_recvmmsg(ends.b, &batch, BATCH, MSG_DONTWAIT, NULL);
    say(variant, &ends, "two");
    say(variant, &ends, "left");
    step_recvmmsg(ends.b, &batch, 1, 0, NULL);
    AWAIT_INPUT(ends.b);
    step_recv(ends.b, 4, 0);
    step_recv(ends.b, 4, MSG_DONTWAIT);
}

/* The time limit is looked at after each datagram only: none of it is left after the first. */
static void receive_many_limits(const struct variant *variant)
{
    static const struct timespec limits[] = {{0, 0},  {0, 1},          {-1, 0},
                                             {0, -1}, {0, 1000000000}, {0, 999999999}};
    struct batch batch;
    struct ends ends;

    open_ends(variant, &ends);
    for (size_t index = 0; index < sizeof limits / sizeof *limits; index++) {
        struct timespec limit = limits[index];

        say(variant, &ends, "late");
        AWAIT_INPUT(ends.b);
        prepare(&batch);
        step_recvmmsg(ends.b, &batch, index < 5 ? BATCH : 1, 0, &limit);
        trace_line("left: %ld s", (long)limit.tv_sec);
        while (recv(ends.b, batch.data, 1, MSG_DONTWAIT) >= 0)
            trace_line("one was left");
    }
    prepare(&batch);
    batch.messages[1].msg_hdr.msg_iov = NULL; /* an error after the first is for the next call */
    say(variant, &ends, "good");
    say(variant, &ends, "bad");
    AWAIT_INPUT(ends.b);
    step_recvmmsg(ends.b, &batch, 2, 0, NULL);
    step_get(ends.b, OPTION(SOL_SOCKET, SO_ERROR));
    trace("recvmmsg(NULL)");
    trace_result(recvmmsg(ends.b, NULL, 1, MSG_DONTWAIT, NULL));
    trace_end();
    trace("recvmmsg(bad timeout)");
    trace_result(recvmmsg(ends.b, batch.messages, 1, MSG_DONTWAIT, (struct timespec *)8));
    trace_end();
}

static void seek(const struct variant *variant)
{
    char byte;
    struct iovec part = {&byte, 1};
    struct ends ends;

    open_ends(variant, &ends);
    trace("pread");
    trace_result(pread(ends.a, &byte, 1, 0));
    trace_end();
    trace("preadv");
    trace_result(preadv(ends.a, &part, 1, 0));
    trace_end();
    trace("pwrite");
    trace_result(pwrite(ends.a, "x", 1, 0));
    trace_end();
    trace("lseek");
    trace_result(lseek(ends.a, 0, SEEK_CUR));
    trace_end();
    trace("ftruncate");
    trace_result(ftruncate(ends.a, 0));
    trace_end();
}

static const struct conformance_case cases[] = {
    {"boundaries", "1", BY_FAMILY | BY_CONNECTION | BY_BLOCKING, boundaries},
    {"truncation", "2", BY_FAMILY | BY_CONNECTION, truncation},
    {"peek", "3", BY_FAMILY | BY_CONNECTION, peek},
    {"non_blocking", "4 48", BY_FAMILY | BY_CONNECTION | BY_BLOCKING, non_blocking},
    {"wait_all", "5", BY_FAMILY | BY_CONNECTION | BY_BLOCKING, wait_all},
    {"zero_length", "6", BY_FAMILY | BY_CONNECTION | BY_BLOCKING, zero_length},
    {"source_address", "7", BY_FAMILY | BY_CONNECTION, source_address},
    {"next_size", "18", BY_FAMILY | BY_CONNECTION, next_size},
    {"read_and_write", "33", BY_FAMILY | BY_CONNECTION, read_and_write},
    {"receive_many", "31", BY_FAMILY | BY_CONNECTION, receive_many},
    {"receive_many_limits", "31", BY_CONNECTION, receive_many_limits},
    {"seek", "34", BY_CONNECTION, seek},
};

DEFINE_GROUP(receive);
