/* A batch of packets on a socket that takes few at a time: nothing is lost, doubled or reordered.
 */
#include "engine/wire_io.h"
#include "tests/core/suite.h"

#include "core/config.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define SMALL_BYTES 8192   /* a few packets, none of full size */
#define LARGE_BYTES 200000 /* a packet of full size */

struct fixture {
    struct wire wire; /* one end of a pair: it is full when the other end's queue is */
    int far_fd;
    struct rudp_path path;
};

static void setup(struct fixture *f, int send_buffer_bytes)
{
    int ends[2];

    ck_assert_int_eq(socketpair(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0, ends), 0);
    ck_assert_int_eq(
        setsockopt(ends[0], SOL_SOCKET, SO_SNDBUF, &send_buffer_bytes, sizeof send_buffer_bytes),
        0);
    *f = (struct fixture){.far_fd = ends[1]};
    f->path.remote.port = 9;
    f->wire = (struct wire){
        .fd = ends[0],
        .family = AF_INET,
        .is_connected = true,
        .peer = f->path.remote,
    };
}

/* Packets that hold their number, as many as fit. Returns how many. */
static uint32_t fill(struct fixture *f, struct wire_batch *batch, size_t packet_bytes)
{
    size_t room_bytes;
    uint8_t *room;
    uint32_t count = 0;

    while ((room = wire_batch_room(batch, &room_bytes)) != NULL) {
        ck_assert_uint_ge(room_bytes, RUDP_PACKET_BYTES_MAX);
        memset(room, 0, packet_bytes);
        memcpy(room, &count, sizeof count);
        wire_batch_add(batch, &f->wire, &f->path, packet_bytes);
        count++;
    }
    return count;
}

static uint32_t receive_number(struct fixture *f)
{
    uint8_t packet[RUDP_PACKET_BYTES_MAX];
    uint32_t number;

    ck_assert_int_ge(recv(f->far_fd, packet, sizeof packet, MSG_DONTWAIT), sizeof number);
    memcpy(&number, packet, sizeof number);
    return number;
}

/* Sends the batch, making room for one packet whenever the wire is full. */
START_TEST(full_wire_keeps_the_rest)
{
    struct fixture f;
    struct wire_send_report report;
    struct wire_batch *batch = wire_batch_acquire();
    uint32_t received_count = 0;
    uint32_t full_count = 0;
    size_t sent_count = 0;

    setup(&f, SMALL_BYTES);
    uint32_t count = fill(&f, batch, 1200);

    ck_assert_uint_gt(count, 32);
    while (wire_batch_send(batch, &f.wire, &report) == WIRE_FULL) {
        ck_assert_int_eq(report.error, 0);
        ck_assert(!wire_batch_is_empty(batch));
        sent_count += report.sent_count;
        ck_assert_uint_eq(receive_number(&f), received_count++);
        full_count++;
    }
    sent_count += report.sent_count;
    ck_assert_uint_gt(full_count, 0);
    ck_assert_uint_eq(sent_count, count);
    ck_assert(wire_batch_is_empty(batch));
    while (received_count < count)
        ck_assert_uint_eq(receive_number(&f), received_count++);
    wire_batch_release(batch);
}
END_TEST

/* A batch that was sent can be filled again, with packets of any size. */
START_TEST(sent_batch_is_filled_again)
{
    struct fixture f;
    struct wire_send_report report;
    struct wire_batch *batch = wire_batch_acquire();

    setup(&f, LARGE_BYTES);
    for (uint32_t round = 0; round < 100; round++) {
        size_t room_bytes;
        size_t bytes = round % 2 == 0 ? RUDP_PACKET_BYTES_MAX : sizeof round;
        uint8_t *room = wire_batch_room(batch, &room_bytes);

        ck_assert_ptr_nonnull(room);
        memset(room, 0, bytes);
        memcpy(room, &round, sizeof round);
        wire_batch_add(batch, &f.wire, &f.path, bytes);
        ck_assert_int_eq(wire_batch_send(batch, &f.wire, &report), WIRE_SENT);
        ck_assert_uint_eq(receive_number(&f), round);
    }
    wire_batch_release(batch);
}
END_TEST

/* A packet that the socket refuses twice is dropped and named; those behind it are still sent. */
START_TEST(refused_packet_is_dropped_and_named)
{
    struct fixture f;
    struct wire_send_report report;
    struct wire_batch *batch = wire_batch_acquire();

    setup(&f, SMALL_BYTES);
    for (uint32_t number = 0; number < 3; number++) {
        size_t room_bytes;
        size_t bytes = number == 1 ? RUDP_PACKET_BYTES_MAX : sizeof number; /* EMSGSIZE */
        uint8_t *room = wire_batch_room(batch, &room_bytes);

        memset(room, 0, bytes);
        memcpy(room, &number, sizeof number);
        f.path.remote.port = (uint16_t)(100 + number);
        f.wire.peer = f.path.remote;
        wire_batch_add(batch, &f.wire, &f.path, bytes);
    }
    ck_assert_int_eq(wire_batch_send(batch, &f.wire, &report), WIRE_ERROR);
    ck_assert_int_eq(report.error, EMSGSIZE);
    ck_assert_uint_eq(report.remote.port, 101);
    ck_assert_int_eq(wire_batch_send(batch, &f.wire, &report), WIRE_SENT);
    ck_assert_uint_eq(receive_number(&f), 0);
    ck_assert_uint_eq(receive_number(&f), 2);
    wire_batch_release(batch);
}
END_TEST

int main(void)
{
    return SUITE_RUN("batch", full_wire_keeps_the_rest, sent_batch_is_filled_again,
                     refused_packet_is_dropped_and_named);
}
