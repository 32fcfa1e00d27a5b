/* test_queue.c - a datagram that was read from the pair by mistake goes back to where it was.
 * Linked with the shim. */
#include "engine/raw.h"
#include "shim/connect.h"
#include "shim/fd_table.h"
#include "tests/core/suite.h"
#include "tests/shim/udp.h"

#include <errno.h>
#include <poll.h>
#include <string.h>
#include <unistd.h>

/* Also one without a byte. */
static const char *const texts[] = {"first", "second", "", "fourth"};

#define TEXT_COUNT (sizeof texts / sizeof *texts)

static void count_one(void *context, const struct shim_pair_header *header, size_t bytes)
{
    (void)header;
    (void)bytes;
    ++*(size_t *)context;
}

static void await_all(struct shim_socket *sock, int fd)
{
    for (size_t count = 0; count < TEXT_COUNT;) {
        count = 0;
        engine_socket_enter(shim_socket_engine(sock));
        ck_assert(shim_connect_each_unread(sock, fd, count_one, &count));
        engine_socket_leave(shim_socket_engine(sock));
        (void)poll(NULL, 0, 1);
    }
}

/* The head as it is, past the hooks. */
static long read_head(int fd, void *data, size_t bytes, int flags)
{
    return RAW_CALL(SYS_recvfrom, fd, raw_pointer(data), bytes, MSG_DONTWAIT | flags, 0, 0);
}

/* Takes the head and puts it back. header_bytes: of the form that it has. */
static void take_and_put_back(struct shim_socket *sock, int fd, size_t header_bytes)
{
    char taken[256];
    char head[256];

    engine_socket_enter(shim_socket_engine(sock));
    long bytes = read_head(fd, taken, sizeof taken, 0);

    ck_assert_int_eq(bytes, (long)(header_bytes + strlen(texts[0])));
    shim_connect_put_back(sock, fd, taken, (size_t)bytes);
    engine_socket_leave(shim_socket_engine(sock));
    ck_assert_int_eq(read_head(fd, head, sizeof head, MSG_PEEK), bytes);
    ck_assert_mem_eq(head, taken, (size_t)bytes);
}

static void check_order(int sender, int fd, size_t header_bytes)
{
    struct udp_address to = udp_local(fd);
    struct udp_address sender_address = udp_local(sender);
    struct udp_address from;
    struct shim_socket *sock = fd_table_acquire(fd);

    for (size_t index = 0; index < TEXT_COUNT; index++)
        udp_send_text(sender, texts[index], &to);
    await_all(sock, fd);
    take_and_put_back(sock, fd, header_bytes);
    for (size_t index = 0; index < TEXT_COUNT; index++) {
        udp_expect_text(fd, texts[index], &from);
        ck_assert_uint_eq(udp_port(&from), udp_port(&sender_address));
    }
    ck_assert(!udp_wait(fd, POLLIN, 0));
    shim_socket_release(sock);
    UDP_ASSERT_OK(close(sender));
    UDP_ASSERT_OK(close(fd));
}

START_TEST(unconnected_framed)
{
    struct udp_address address;
    int fd = udp_bound(AF_INET, &address);
    struct udp_address own;

    check_order(udp_bound(AF_INET, &own), fd, SHIM_PAIR_HEADER_BYTES);
}
END_TEST

START_TEST(connected_bare)
{
    struct udp_address own;
    int sender = udp_bound(AF_INET, &own);

    check_order(sender, udp_connected(&own), 0);
}
END_TEST

START_TEST(connected_framed)
{
    struct udp_address own;
    int sender = udp_bound(AF_INET, &own);
    int fd = udp_connected(&own);
    int on = 1;

    UDP_ASSERT_OK(setsockopt(fd, IPPROTO_IP, IP_RECVTTL, &on, sizeof on));
    check_order(sender, fd, SHIM_PAIR_HEADER_BYTES);
}
END_TEST

int main(void)
{
    return SUITE_RUN("queue", unconnected_framed, connected_bare, connected_framed);
}
