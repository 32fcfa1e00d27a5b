/* test_adopt.c - descriptors that come to a process from elsewhere, and what those who hold one may
 * write into it. Run under the shim and linked with it. */
#include "engine/raw.h"
#include "shim/pair.h"
#include "tests/core/suite.h"
#include "tests/shim/udp.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/sockios.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#define FLOOD_COUNT 20000

static void check_talk(int fd, const struct udp_address *own)
{
    struct udp_address other;
    int other_fd = udp_bound(AF_INET, &other);

    udp_send_text(other_fd, "question", own);
    udp_expect_text(fd, "question", NULL);
    udp_send_text(fd, "answer", &other);
    udp_expect_text(other_fd, "answer", NULL);
    ck_assert_int_eq(close(other_fd), 0);
}

static int count_descriptors(void)
{
    int count = 0;
    DIR *directory = opendir("/proc/self/fd");

    ck_assert(directory != NULL);
    while (readdir(directory) != NULL)
        count++;
    (void)closedir(directory);
    return count;
}

/* Closed sockets deliver for a moment; a leak never ends. */
static void expect_descriptors(int count)
{
    while (count_descriptors() != count)
        (void)poll(NULL, 0, 1);
}

/* --- Messages that carry descriptors, past the hooks --------------------------------------------
 */

struct parcel {
    _Alignas(struct cmsghdr) uint8_t control[CMSG_SPACE(4 * sizeof(int))];
    struct iovec part;
    struct msghdr message;
};

/* It is in A's name. */
static uint64_t read_cookie(int fd)
{
    struct sockaddr_un name = {.sun_family = AF_UNSPEC};
    socklen_t bytes = sizeof name - 1;

    ck_assert_int_eq(RAW_CALL(SYS_getsockname, fd, raw_pointer(&name), raw_pointer(&bytes)), 0);
    ck_assert_int_eq(name.sun_family, AF_UNIX);
    return strtoull(name.sun_path + sizeof SHIM_PAIR_NAME_PREFIX, NULL, 16);
}

static void fill_parcel(struct parcel *parcel, void *data, size_t bytes, const int *fds,
                        size_t fd_count)
{
    *parcel = (struct parcel){.part = {data, bytes}};
    parcel->message = (struct msghdr){.msg_iov = &parcel->part, .msg_iovlen = 1};
    if (fd_count == 0)
        return;
    struct cmsghdr header = {
        .cmsg_len = CMSG_LEN(fd_count * sizeof *fds),
        .cmsg_level = SOL_SOCKET,
        .cmsg_type = SCM_RIGHTS,
    };

    memcpy(parcel->control, &header, sizeof header);
    memcpy(parcel->control + CMSG_LEN(0), fds, fd_count * sizeof *fds);
    parcel->message.msg_control = parcel->control;
    parcel->message.msg_controllen = CMSG_SPACE(fd_count * sizeof *fds);
}

static void write_framed(int fd, uint16_t type, const int *fds, size_t fd_count)
{
    struct shim_pair_header header = {.cookie = read_cookie(fd), .type = type};
    struct parcel parcel;

    fill_parcel(&parcel, &header, sizeof header, fds, fd_count);
    ck_assert_int_eq(RAW_CALL(SYS_sendmsg, fd, raw_pointer(&parcel.message), 0), sizeof header);
}

static void wait_until_read(int fd)
{
    int unread_bytes = 1;

    while (unread_bytes > 0) {
        ck_assert_int_eq(RAW_CALL(SYS_ioctl, fd, SIOCOUTQ, raw_pointer(&unread_bytes)), 0);
        (void)poll(NULL, 0, 1);
    }
}

/* Whoever holds A gets the wire; and what it says goes on the way it was. */
START_TEST(holder_asks)
{
    struct udp_address own;
    struct sockaddr_in seen;
    socklen_t seen_bytes = sizeof seen;
    uint8_t answer[64];
    struct parcel parcel;
    int ends[2];
    int wire_fd = -1;
    int fd = udp_bound(AF_INET, &own);

    UDP_ASSERT_OK(socketpair(AF_UNIX, SOCK_SEQPACKET, 0, ends));
    write_framed(fd, SHIM_PAIR_ASK, &ends[1], 1);
    ck_assert(udp_wait(ends[0], POLLIN, UDP_PATIENCE_MS));
    fill_parcel(&parcel, answer, sizeof answer, &wire_fd, 1);
    ck_assert_int_gt(RAW_CALL(SYS_recvmsg, ends[0], raw_pointer(&parcel.message), 0), 0);
    memcpy(&wire_fd, parcel.control + CMSG_LEN(0), sizeof wire_fd);
    ck_assert_int_eq(
        RAW_CALL(SYS_getsockname, wire_fd, raw_pointer(&seen), raw_pointer(&seen_bytes)), 0);
    ck_assert_int_eq(ntohs(seen.sin_port), udp_port(&own));
    ck_assert_int_eq(close(wire_fd), 0);
    check_talk(fd, &own);
}
END_TEST

/* Questions with nothing, too much or the wrong thing in them, and messages of no known kind: all
 * are read away, their descriptors closed, and the socket works on. */
START_TEST(nonsense)
{
    struct udp_address own;
    int stream[2];
    int pipes[2];
    int packet[2];
    int fd = udp_bound(AF_INET, &own);

    UDP_ASSERT_OK(socketpair(AF_UNIX, SOCK_STREAM, 0, stream));
    UDP_ASSERT_OK(socketpair(AF_UNIX, SOCK_SEQPACKET, 0, packet));
    UDP_ASSERT_OK(pipe(pipes));
    const int many[] = {packet[1], stream[0], pipes[0], pipes[1]};
    int before_count = count_descriptors();

    write_framed(fd, SHIM_PAIR_ASK, NULL, 0);
    write_framed(fd, SHIM_PAIR_ASK, &stream[0], 1);
    write_framed(fd, SHIM_PAIR_ASK, &pipes[1], 1);
    write_framed(fd, SHIM_PAIR_ASK, &fd, 1);
    write_framed(fd, SHIM_PAIR_ASK, many, 4);
    write_framed(fd, SHIM_PAIR_CONNECT, NULL, 0);
    write_framed(fd, SHIM_PAIR_CONNECT, many, 1);
    write_framed(fd, SHIM_PAIR_CONNECT, many, 2); /* which is not the socket's A */
    write_framed(fd, SHIM_PAIR_CONNECT, many, 4);
    write_framed(fd, SHIM_PAIR_KNOCK, many, 4);
    write_framed(fd, SHIM_PAIR_ERROR, many, 1);
    write_framed(fd, 0, many, 2);
    write_framed(fd, UINT16_MAX, many, 3);
    wait_until_read(fd);
    check_talk(fd, &own);
    expect_descriptors(before_count);
    ck_assert(udp_wait(packet[0], POLLIN, 0)); /* it was a question all the same */
}
END_TEST

/* One who asks and asks and never reads an answer holds nobody up. */
START_TEST(flood)
{
    struct udp_address own;
    int ends[2];
    int before_count;
    int fd = udp_bound(AF_INET, &own);

    UDP_ASSERT_OK(socketpair(AF_UNIX, SOCK_SEQPACKET, 0, ends));
    before_count = count_descriptors();
    pid_t child = fork();

    if (child == 0) {
        for (int count = 0; count < FLOOD_COUNT; count++)
            write_framed(fd, SHIM_PAIR_ASK, &ends[1], 1);
        _exit(0);
    }
    while (waitpid(child, NULL, WNOHANG) == 0)
        check_talk(fd, &own);
    wait_until_read(fd);
    check_talk(fd, &own);
    expect_descriptors(before_count);
}
END_TEST

/* --- Descriptors that come back ----------------------------------------------------------------
 */

static void pass(int channel, int fd)
{
    struct parcel parcel;

    char byte = 'x';

    fill_parcel(&parcel, &byte, 1, &fd, 1);
    ck_assert_int_eq(sendmsg(channel, &parcel.message, 0), 1);
}

static int take(int channel)
{
    struct parcel parcel;
    char byte;
    int fd = -1;

    fill_parcel(&parcel, &byte, 1, &fd, 1);
    ck_assert_int_eq(recvmsg(channel, &parcel.message, 0), 1);
    memcpy(&fd, parcel.control + CMSG_LEN(0), sizeof fd);
    return fd;
}

/* A socket that a program passed to itself and closed is the same socket when it arrives. */
START_TEST(passed_to_itself)
{
    struct udp_address own;
    int channel[2];
    int fd = udp_bound(AF_INET, &own);

    UDP_ASSERT_OK(socketpair(AF_UNIX, SOCK_STREAM, 0, channel));
    check_talk(fd, &own);
    pass(channel[0], fd);
    ck_assert_int_eq(close(fd), 0);
    fd = take(channel[1]);
    struct udp_address seen = udp_local(fd);

    ck_assert_int_eq(udp_port(&seen), udp_port(&own));
    check_talk(fd, &own);
    ck_assert_int_eq(close(fd), 0);
    fd = udp_unbound(AF_INET); /* and nothing keeps its port when it is closed */
    UDP_ASSERT_OK(bind(fd, (struct sockaddr *)&own.addr, own.bytes));
}
END_TEST

/* A plain socket that is passed becomes reliable where it arrives; passed twice, it is one socket
 * under two numbers. */
START_TEST(plain_one_passed)
{
    struct udp_address own = udp_loopback(AF_INET, 0);
    int channel[2];
    int plain = (int)RAW_CALL(SYS_socket, AF_INET, SOCK_DGRAM, 0);

    ck_assert_int_ge(plain, 0);
    ck_assert_int_eq(RAW_CALL(SYS_bind, plain, raw_pointer(&own.addr), own.bytes), 0);
    UDP_ASSERT_OK(socketpair(AF_UNIX, SOCK_STREAM, 0, channel));
    pass(channel[0], plain);
    pass(channel[0], plain);
    ck_assert_int_eq(RAW_CALL(SYS_close, plain), 0);
    int fd = take(channel[1]);
    int again = take(channel[1]);

    own = udp_local(fd);
    check_talk(fd, &own);
    check_talk(again, &own);
    ck_assert_int_eq(close(fd), 0);
    check_talk(again, &own);
}
END_TEST

int main(void)
{
    return SUITE_RUN("adopt", holder_asks, nonsense, flood, passed_to_itself, plain_one_passed);
}
