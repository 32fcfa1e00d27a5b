/* test_past.c - calls that reach a socket past its functions: by number, by stdio, by splice and
 * its like, by io_uring. On connected sockets, where they work as plainly. */
#include "tests/core/suite.h"
#include "tests/shim/udp.h"

#include <errno.h>
#include <fcntl.h>
#include <liburing.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <sys/sendfile.h>
#include <sys/syscall.h>
#include <unistd.h>

#define LARGE_BYTES 9000

static void expect_port_is_free(const struct udp_address *address)
{
    int fd = udp_unbound(AF_INET);

    UDP_ASSERT_OK(bind(fd, (const struct sockaddr *)&address->addr, address->bytes));
    ck_assert_int_eq(close(fd), 0);
}

static void expect_datagram(int fd, const void *data, size_t bytes)
{
    static uint8_t seen[LARGE_BYTES + 1];

    ck_assert(udp_wait(fd, POLLIN, UDP_PATIENCE_MS));
    ck_assert_int_eq(recv(fd, seen, sizeof seen, 0), (ssize_t)bytes);
    ck_assert_mem_eq(seen, data, bytes);
}

/* --- By number ----------------------------------------------------------------------------------
 */

/* A socket made, named, asked, copied and closed by numbers alone. */
START_TEST(socket_by_number)
{
    struct udp_address own = udp_loopback(AF_INET, 0);
    struct udp_address seen = {.bytes = sizeof seen.addr};
    int type = 0;
    socklen_t type_bytes = sizeof type;
    int waiting_bytes = -1;
    int fd = (int)syscall(SYS_socket, AF_INET, SOCK_DGRAM, 0);

    ck_assert_int_ge(fd, 0);
    UDP_ASSERT_OK(syscall(SYS_bind, fd, &own.addr, own.bytes));
    UDP_ASSERT_OK(syscall(SYS_getsockname, fd, &seen.addr, &seen.bytes));
    ck_assert_uint_ne(udp_port(&seen), 0);
    UDP_ASSERT_OK(syscall(SYS_connect, fd, &seen.addr, seen.bytes));
    UDP_ASSERT_OK(syscall(SYS_getpeername, fd, &own.addr, &own.bytes));
    ck_assert_uint_eq(udp_port(&own), udp_port(&seen));
    UDP_ASSERT_OK(syscall(SYS_getsockopt, fd, SOL_SOCKET, SO_DOMAIN, &type, &type_bytes));
    ck_assert_int_eq(type, AF_INET);
    UDP_ASSERT_OK(syscall(SYS_setsockopt, fd, IPPROTO_IP, IP_TOS, &type, sizeof type));
    UDP_ASSERT_OK(syscall(SYS_ioctl, fd, FIONREAD, &waiting_bytes));
    ck_assert_int_eq(waiting_bytes, 0);

    int copy = (int)syscall(SYS_dup, fd);
    int other = (int)syscall(SYS_fcntl, fd, F_DUPFD_CLOEXEC, 0L);

    ck_assert_int_eq(syscall(SYS_dup3, fd, other, 0), other);
    ck_assert_int_eq(syscall(SYS_write, other, "self", 4), 4);
    udp_expect_text(copy, "self", NULL);
    UDP_ASSERT_OK(syscall(SYS_close, fd));
    UDP_ASSERT_OK(syscall(SYS_close_range, (unsigned)copy, (unsigned)other, 0));
    UDP_ASSERT_ERROR((int)send(copy, "x", 1, 0), EBADF);
    expect_port_is_free(&seen);
}
END_TEST

#define SEND_COUNT    6
#define RECEIVE_COUNT 5

static long send_by_number(int way, int fd, char *text, size_t bytes)
{
    struct iovec part = {text, bytes};
    struct mmsghdr messages = {.msg_hdr = {.msg_iov = &part, .msg_iovlen = 1}};

    switch (way) {
    case 0:
        return syscall(SYS_sendto, fd, text, bytes, 0, NULL, 0);
    case 1:
        return syscall(SYS_sendmsg, fd, &messages.msg_hdr, 0);
    case 2:
        return syscall(SYS_sendmmsg, fd, &messages, 1, 0) == 1 ? (long)messages.msg_len : -1;
    case 3:
        return syscall(SYS_write, fd, text, bytes);
    case 4:
        return syscall(SYS_writev, fd, &part, 1);
    default:
        return pwritev2(fd, &part, 1, -1, 0);
    }
}

static long receive_by_number(int way, int fd, char *text, size_t bytes)
{
    struct iovec part = {text, bytes};
    struct mmsghdr messages = {.msg_hdr = {.msg_iov = &part, .msg_iovlen = 1}};

    switch (way) {
    case 0:
        return syscall(SYS_recvfrom, fd, text, bytes, 0, NULL, NULL);
    case 1:
        return syscall(SYS_recvmsg, fd, &messages.msg_hdr, 0);
    case 2:
        return syscall(SYS_recvmmsg, fd, &messages, 1, 0, NULL) == 1 ? (long)messages.msg_len : -1;
    case 3:
        return syscall(SYS_read, fd, text, bytes);
    default:
        return syscall(SYS_readv, fd, &part, 1);
    }
}

START_TEST(transfer_by_number)
{
    int fds[2];
    char seen[16];
    char text[] = "by number";

    udp_pair(AF_INET, fds);
    for (int way = 0; way < SEND_COUNT; way++) {
        ck_assert_int_eq(send_by_number(way, fds[0], text, sizeof text), sizeof text);
        ck_assert(udp_wait(fds[1], POLLIN, UDP_PATIENCE_MS));
        ck_assert_int_eq(receive_by_number(way % RECEIVE_COUNT, fds[1], seen, sizeof seen),
                         sizeof text);
        ck_assert_str_eq(seen, text);
    }
}
END_TEST

/* --- By stdio -----------------------------------------------------------------------------------
 */

/* A FILE on a socket: each flush is a datagram, each line read is one. */
START_TEST(stream)
{
    int fds[2];
    char line[32] = "";

    udp_pair(AF_INET, fds);
    FILE *writer = fdopen(dup(fds[0]), "w");
    FILE *reader = fdopen(dup(fds[1]), "r");

    for (int number = 0; number < 100; number++) {
        ck_assert_int_gt(fprintf(writer, "line %d\n", number), 0);
        ck_assert_int_eq(fflush(writer), 0);
        ck_assert_ptr_eq(fgets(line, sizeof line, reader), line);
        ck_assert_int_eq(atoi(line + 5), number);
    }
    ck_assert_int_eq(fclose(writer), 0);
    ck_assert_int_eq(fclose(reader), 0);
}
END_TEST

/* What fclose sends before it closes arrives, and the port is free, also when the number is a
 * file's by then. */
START_TEST(closed_stream)
{
    struct udp_address to;
    int receiver = udp_bound(AF_INET, &to);
    int fd = udp_connected(&to);
    struct udp_address own = udp_local(fd);
    FILE *writer = fdopen(fd, "w");

    ck_assert_int_ge(fputs("last words", writer), 0);
    ck_assert_int_eq(fclose(writer), 0);
    ck_assert_int_eq(open("/dev/null", O_RDONLY), fd);
    udp_expect_text(receiver, "last words", NULL);
    expect_port_is_free(&own);
}
END_TEST

/* --- By splice ----------------------------------------------------------------------------------
 */

/* sendfile: one datagram a call. */
START_TEST(from_file)
{
    static uint8_t data[LARGE_BYTES];
    int fds[2];
    off_t offset = 0;
    FILE *file = tmpfile();

    for (size_t index = 0; index < sizeof data; index++)
        data[index] = (uint8_t)(index % 251);
    ck_assert_uint_eq(fwrite(data, 1, sizeof data, file), sizeof data);
    ck_assert_int_eq(fflush(file), 0);
    udp_pair(AF_INET, fds);
    ck_assert_int_eq(sendfile(fds[0], fileno(file), &offset, sizeof data), sizeof data);
    expect_datagram(fds[1], data, sizeof data);
    ck_assert_int_eq(fclose(file), 0);
}
END_TEST

/* vmsplice, tee and splice: from memory through pipes into a socket, and from one into a pipe. */
START_TEST(through_pipes)
{
    static char data[] = "through the pipe";
    struct iovec part = {data, sizeof data};
    char seen[sizeof data] = "";
    int fds[2];
    int ends[2];
    int copies[2];

    udp_pair(AF_INET, fds);
    UDP_ASSERT_OK(pipe(ends));
    UDP_ASSERT_OK(pipe(copies));
    ck_assert_int_eq(vmsplice(ends[1], &part, 1, 0), sizeof data);
    ck_assert_int_eq(tee(ends[0], copies[1], sizeof data, 0), sizeof data);
    ck_assert_int_eq(splice(ends[0], NULL, fds[0], NULL, sizeof data, 0), sizeof data);
    expect_datagram(fds[1], data, sizeof data);
    ck_assert_int_eq(splice(copies[0], NULL, fds[1], NULL, sizeof data, 0), sizeof data);
    ck_assert(udp_wait(fds[0], POLLIN, UDP_PATIENCE_MS));
    ck_assert_int_eq(splice(fds[0], NULL, ends[1], NULL, sizeof data, 0), sizeof data);
    ck_assert_int_eq(read(ends[0], seen, sizeof seen), sizeof seen);
    ck_assert_str_eq(seen, data);
}
END_TEST

/* --- By io_uring --------------------------------------------------------------------------------
 */

static struct io_uring ring;

/* False, said so: this system does not let programs have one. */
static bool open_ring(void)
{
    int result = io_uring_queue_init(8, &ring, 0);

    if (result == -ENOSYS || result == -EPERM) {
        (void)printf("skipped: io_uring: %s\n", strerror(-result));
        return false;
    }
    ck_assert_int_eq(result, 0);
    return true;
}

static int complete(void)
{
    struct io_uring_cqe *completion;
    struct __kernel_timespec patience = {.tv_sec = UDP_PATIENCE_MS / 1000};

    ck_assert_int_eq(io_uring_wait_cqe_timeout(&ring, &completion, &patience), 0);
    int result = completion->res;

    io_uring_cqe_seen(&ring, completion);
    return result;
}

enum {
    RING_SEND,
    RING_SENDMSG,
    RING_WRITE,
    RING_WAY_COUNT
};

static void ring_send(int way, int fd, const char *text, const struct msghdr *message)
{
    struct io_uring_sqe *entry = io_uring_get_sqe(&ring);

    if (way == RING_SEND)
        io_uring_prep_send(entry, fd, text, strlen(text), 0);
    else if (way == RING_SENDMSG)
        io_uring_prep_sendmsg(entry, fd, message, 0);
    else
        io_uring_prep_write(entry, fd, text, (unsigned)strlen(text), 0);
    ck_assert_int_eq(io_uring_submit(&ring), 1);
}

static void ring_receive(int way, int fd, char *text, size_t bytes, struct msghdr *message)
{
    struct io_uring_sqe *entry = io_uring_get_sqe(&ring);

    if (way == RING_SEND)
        io_uring_prep_recv(entry, fd, text, bytes, 0);
    else if (way == RING_SENDMSG)
        io_uring_prep_recvmsg(entry, fd, message, 0);
    else
        io_uring_prep_read(entry, fd, text, (unsigned)bytes, 0);
    ck_assert_int_eq(io_uring_submit(&ring), 1);
}

/* A receive that waits in the ring gets what a send of the ring sends. */
START_TEST(ring_transfer)
{
    char text[] = "round";
    char seen[16] = "";
    struct iovec out = {text, strlen(text)};
    struct iovec in = {seen, sizeof seen};
    struct msghdr send_message = {.msg_iov = &out, .msg_iovlen = 1};
    struct msghdr receive_message = {.msg_iov = &in, .msg_iovlen = 1};
    int fds[2];

    if (!open_ring())
        return;
    udp_pair(AF_INET, fds);
    ring_receive(_i, fds[1], seen, sizeof seen, &receive_message);
    ring_send(_i, fds[0], text, &send_message);
    ck_assert_int_eq(complete(), 5);
    ck_assert_int_eq(complete(), 5);
    ck_assert_str_eq(seen, text);
    io_uring_queue_exit(&ring);
}
END_TEST

/* A poll of the ring sees datagrams come to a socket that is not connected, too. */
START_TEST(ring_poll)
{
    struct udp_address own;
    int fd = udp_bound(AF_INET, &own);
    int sender = udp_unbound(AF_INET);

    if (!open_ring())
        return;
    io_uring_prep_poll_add(io_uring_get_sqe(&ring), fd, POLLIN);
    ck_assert_int_eq(io_uring_submit(&ring), 1);
    udp_send_text(sender, "poll", &own);
    ck_assert_int_eq(complete() & POLLIN, POLLIN);
    udp_expect_text(fd, "poll", NULL);
    io_uring_queue_exit(&ring);
}
END_TEST

/* The ring gives a socket to epoll, as libuv does: its readiness comes all the same, on edges too.
 */
START_TEST(ring_epoll)
{
    struct udp_address own;
    struct epoll_event event = {.events = EPOLLIN | EPOLLET, .data.fd = 7};
    int epoll = epoll_create1(EPOLL_CLOEXEC);
    int fd = udp_bound(AF_INET, &own);
    int sender = udp_unbound(AF_INET);

    if (!open_ring())
        return;
    io_uring_prep_epoll_ctl(io_uring_get_sqe(&ring), epoll, fd, EPOLL_CTL_ADD, &event);
    ck_assert_int_eq(io_uring_submit(&ring), 1);
    ck_assert_int_eq(complete(), 0);
    for (int round = 0; round < 3; round++) {
        ck_assert_int_eq(epoll_wait(epoll, &event, 1, 0), 0);
        udp_send_text(sender, "edge", &own);
        ck_assert_int_eq(epoll_wait(epoll, &event, 1, UDP_PATIENCE_MS), 1);
        ck_assert_int_eq(event.data.fd, 7);
        udp_expect_text(fd, "edge", NULL);
    }
    io_uring_prep_epoll_ctl(io_uring_get_sqe(&ring), epoll, fd, EPOLL_CTL_DEL, &event);
    ck_assert_int_eq(io_uring_submit(&ring), 1);
    ck_assert_int_eq(complete(), 0);
    udp_send_text(sender, "unheard", &own);
    udp_expect_text(fd, "unheard", NULL);
    ck_assert_int_eq(epoll_wait(epoll, &event, 1, 0), 0);
    io_uring_queue_exit(&ring);
}
END_TEST

/* A socket that the ring closes is closed: its port is free, also when the number is a file's by
 * then. */
START_TEST(ring_close)
{
    struct udp_address own;
    int fd = udp_bound(AF_INET, &own);

    if (!open_ring())
        return;
    io_uring_prep_close(io_uring_get_sqe(&ring), fd);
    ck_assert_int_eq(io_uring_submit(&ring), 1);
    ck_assert_int_eq(complete(), 0);
    ck_assert_int_eq(open("/dev/null", O_RDONLY), fd);
    expect_port_is_free(&own);
    io_uring_queue_exit(&ring);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("past the hooks");
    TCase *tcase = tcase_create("past the hooks");
    SRunner *runner = srunner_create(suite);
    const TTest *const tests[] = {
        socket_by_number, transfer_by_number, stream,     closed_stream, from_file,
        through_pipes,    ring_poll,          ring_epoll, ring_close,
    };

    tcase_set_timeout(tcase, UDP_PATIENCE_MS / 1000 * 3);
    for (size_t i = 0; i < sizeof tests / sizeof *tests; i++)
        tcase_add_test(tcase, tests[i]);
    tcase_add_loop_test(tcase, ring_transfer, 0, RING_WAY_COUNT);
    suite_add_tcase(suite, tcase);
    srunner_run_all(runner, CK_NORMAL);
    int failed_count = srunner_ntests_failed(runner);

    srunner_free(runner);
    return failed_count == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
