/* test_messages.c - sending and receiving. True of every UDP socket: run plainly, under the shim,
 * and linked with it. */
#include "tests/core/suite.h"
#include "tests/shim/udp.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

static void echo(int family)
{
    struct udp_address server;
    struct udp_address client;
    struct udp_address seen;
    int server_fd = udp_bound(family, &server);
    int client_fd = udp_bound(family, &client);

    udp_send_text(client_fd, "question", &server);
    udp_expect_text(server_fd, "question", &seen);
    ck_assert_mem_eq(&seen.addr, &client.addr, client.bytes);
    ck_assert_uint_eq(seen.bytes, client.bytes);
    udp_send_text(server_fd, "answer", &seen);
    udp_expect_text(client_fd, "answer", &seen);
    ck_assert_mem_eq(&seen.addr, &server.addr, server.bytes);
}

/* An unconnected server answers where a datagram came from, IPv4. */
START_TEST(echo_v4)
{
    echo(AF_INET);
}
END_TEST

/* The same over IPv6. */
START_TEST(echo_v6)
{
    echo(AF_INET6);
}
END_TEST

/* A dual-stack socket sees an IPv4 peer at its mapped address, and answers it. */
START_TEST(echo_dual_stack)
{
    struct sockaddr_in6 any = {.sin6_family = AF_INET6};
    struct sockaddr_in6 seen;
    struct udp_address client;
    struct udp_address from;
    int server_fd = udp_unbound(AF_INET6);
    int client_fd = udp_bound(AF_INET, &client);

    UDP_ASSERT_OK(bind(server_fd, (struct sockaddr *)&any, sizeof any));
    struct udp_address local = udp_local(server_fd);
    struct udp_address server = udp_loopback(AF_INET, udp_port(&local));

    udp_send_text(client_fd, "question", &server);
    udp_expect_text(server_fd, "question", &from);
    memcpy(&seen, &from.addr, sizeof seen);
    ck_assert_int_eq(seen.sin6_family, AF_INET6);
    ck_assert(IN6_IS_ADDR_V4MAPPED(&seen.sin6_addr));
    ck_assert_uint_eq(ntohs(seen.sin6_port), udp_port(&client));
    udp_send_text(server_fd, "answer", &from);
    udp_expect_text(client_fd, "answer", &from);
    ck_assert_mem_eq(&from.addr, &server.addr, server.bytes);
}
END_TEST

/* send, write and writev on one connected socket arrive at recv, read and readv on the other. */
START_TEST(connected_calls)
{
    char first[4];
    char second[8];
    int fds[2];
    char head[] = "part";
    char tail[] = "ition";
    struct iovec out[2] = {{head, 4}, {tail, 5}};
    struct iovec in[2] = {{first, sizeof first}, {second, sizeof second}};

    udp_pair(AF_INET, fds);
    ck_assert_int_eq(send(fds[0], "one", 3, 0), 3);
    ck_assert_int_eq(write(fds[0], "two", 3), 3);
    ck_assert_int_eq(writev(fds[0], out, 2), 9);
    ck_assert_int_eq(recv(fds[1], second, sizeof second, 0), 3);
    ck_assert_mem_eq(second, "one", 3);
    ck_assert_int_eq(read(fds[1], second, sizeof second), 3);
    ck_assert_mem_eq(second, "two", 3);
    ck_assert_int_eq(readv(fds[1], in, 2), 9);
    ck_assert_mem_eq(first, "part", 4);
    ck_assert_mem_eq(second, "ition", 5);
}
END_TEST

/* sendmsg gathers and recvmsg scatters one datagram, over more parts than fit a small array. */
START_TEST(many_parts)
{
    enum {
        PART_COUNT = 300,
        PART_BYTES = 7
    };
    static char out[PART_COUNT][PART_BYTES];
    static char in[PART_COUNT][PART_BYTES];
    struct iovec out_parts[PART_COUNT];
    struct iovec in_parts[PART_COUNT];
    struct udp_address to;
    struct udp_address own;
    int receiver = udp_bound(AF_INET, &to);
    int sender = udp_bound(AF_INET, &own);

    for (size_t i = 0; i < PART_COUNT; i++) {
        memset(out[i], (int)i, PART_BYTES);
        out_parts[i] = (struct iovec){out[i], PART_BYTES};
        in_parts[i] = (struct iovec){in[i], PART_BYTES};
    }
    struct msghdr message = {
        .msg_name = &to.addr,
        .msg_namelen = to.bytes,
        .msg_iov = out_parts,
        .msg_iovlen = PART_COUNT,
    };
    struct msghdr received = {.msg_iov = in_parts, .msg_iovlen = PART_COUNT};

    ck_assert_int_eq(sendmsg(sender, &message, 0), sizeof out);
    ck_assert_int_eq(recvmsg(receiver, &received, 0), sizeof in);
    ck_assert_mem_eq(in, out, sizeof in);
}
END_TEST

static void fill_batch(struct mmsghdr *messages, struct iovec *parts, char (*texts)[8],
                       size_t count, struct udp_address *to)
{
    for (size_t i = 0; i < count; i++) {
        parts[i] = (struct iovec){texts[i], sizeof texts[i]};
        messages[i] = (struct mmsghdr){.msg_hdr = {.msg_iov = &parts[i], .msg_iovlen = 1}};
        if (to != NULL) {
            messages[i].msg_hdr.msg_name = &to->addr;
            messages[i].msg_hdr.msg_namelen = to->bytes;
        }
    }
}

/* What sendmmsg sends, recvmmsg receives: as many as there are, with their lengths. */
START_TEST(batches)
{
    enum {
        COUNT = 5
    };
    char texts[COUNT][8] = {"a", "bb", "ccc", "dddd", "eeeee"};
    char room[COUNT + 1][8];
    struct mmsghdr messages[COUNT + 1];
    struct iovec parts[COUNT + 1];
    struct udp_address to;
    struct udp_address own;
    int receiver = udp_bound(AF_INET, &to);
    int sender = udp_bound(AF_INET, &own);

    fill_batch(messages, parts, texts, COUNT, &to);
    for (size_t i = 0; i < COUNT; i++)
        parts[i].iov_len = i + 1;
    ck_assert_int_eq(sendmmsg(sender, messages, COUNT, 0), COUNT);
    ck_assert_uint_eq(messages[COUNT - 1].msg_len, COUNT);

    fill_batch(messages, parts, room, COUNT + 1, NULL);
    struct timespec patience = {.tv_sec = UDP_PATIENCE_MS / 1000};
    int count = recvmmsg(receiver, messages, COUNT, 0, &patience);

    ck_assert_int_eq(count, COUNT);
    for (size_t i = 0; i < COUNT; i++) {
        ck_assert_uint_eq(messages[i].msg_len, i + 1);
        ck_assert_mem_eq(room[i], texts[i], i + 1);
    }
}
END_TEST

/* MSG_WAITFORONE waits for the first datagram only. */
START_TEST(batch_waits_for_one)
{
    enum {
        COUNT = 4
    };
    char room[COUNT][8];
    struct mmsghdr messages[COUNT];
    struct iovec parts[COUNT];
    int fds[2];

    udp_pair(AF_INET, fds);
    fill_batch(messages, parts, room, COUNT, NULL);
    ck_assert_int_eq(send(fds[0], "x", 1, 0), 1);
    ck_assert_int_eq(recvmmsg(fds[1], messages, COUNT, MSG_WAITFORONE, NULL), 1);
    ck_assert_uint_eq(messages[0].msg_len, 1);
}
END_TEST

/* Programs that make the system call by its number are served too. */
START_TEST(batch_by_number)
{
    enum {
        COUNT = 3
    };
    char texts[COUNT][8] = {"1", "2", "3"};
    struct mmsghdr messages[COUNT];
    struct iovec parts[COUNT];
    struct udp_address to;
    struct udp_address own;
    int receiver = udp_bound(AF_INET, &to);
    int sender = udp_bound(AF_INET, &own);

    fill_batch(messages, parts, texts, COUNT, &to);
    for (size_t i = 0; i < COUNT; i++)
        parts[i].iov_len = 1;
    ck_assert_int_eq(syscall(SYS_sendmmsg, sender, messages, COUNT, 0), COUNT);
    udp_expect_text(receiver, "1", NULL);
    udp_expect_text(receiver, "2", NULL);
    udp_expect_text(receiver, "3", NULL);
}
END_TEST

/* stdio writes where no preloaded library sees it. Each flush is a datagram, of any size: also of
 * one where the shim's own header would have room. */
START_TEST(written_by_stdio)
{
    const size_t sizes[] = {1, 79, 80, 81, 200, 1200};
    char out[1200];
    char in[sizeof out + 1];
    int fds[2];

    udp_pair(AF_INET, fds);
    FILE *stream = fdopen(fds[0], "w");

    ck_assert_ptr_nonnull(stream);
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        memset(out, (int)('a' + i), sizes[i]);
        ck_assert_uint_eq(fwrite(out, 1, sizes[i], stream), sizes[i]);
        ck_assert_int_eq(fflush(stream), 0);
        ck_assert_msg(udp_wait(fds[1], POLLIN, UDP_PATIENCE_MS), "%zu bytes", sizes[i]);
        ck_assert_int_eq(recv(fds[1], in, sizeof in, 0), (ssize_t)sizes[i]);
        ck_assert_mem_eq(in, out, sizes[i]);
    }
    fclose(stream);
}
END_TEST

/* A datagram that was looked at is still there, with the same source. */
START_TEST(peek_keeps)
{
    char buffer[16];
    struct udp_address to;
    struct udp_address own;
    struct udp_address seen = {.bytes = sizeof seen.addr};
    int receiver = udp_bound(AF_INET, &to);
    int sender = udp_bound(AF_INET, &own);

    udp_send_text(sender, "look", &to);
    for (int i = 0; i < 2; i++) {
        seen.bytes = sizeof seen.addr;
        ck_assert_int_eq(recvfrom(receiver, buffer, sizeof buffer, MSG_PEEK,
                                  (struct sockaddr *)&seen.addr, &seen.bytes),
                         4);
        ck_assert_mem_eq(&seen.addr, &own.addr, own.bytes);
    }
    udp_expect_text(receiver, "look", NULL);
}
END_TEST

/* MSG_PEEK with MSG_TRUNC tells the length of a datagram that does not fit, even into nothing. */
START_TEST(peek_tells_length)
{
    char buffer[4];
    int fds[2];

    udp_pair(AF_INET, fds);
    ck_assert_int_eq(send(fds[0], "eleven byte", 11, 0), 11);
    ck_assert_int_eq(recv(fds[1], buffer, sizeof buffer, MSG_PEEK | MSG_TRUNC), 11);
    ck_assert_int_eq(recv(fds[1], NULL, 0, MSG_PEEK | MSG_TRUNC), 11);
    udp_expect_text(fds[1], "eleven byte", NULL);
}
END_TEST

static void cut(int receiver)
{
    char buffer[4];
    struct iovec part = {buffer, sizeof buffer};
    struct msghdr message = {.msg_iov = &part, .msg_iovlen = 1, .msg_flags = -1};

    ck_assert_int_eq(recvmsg(receiver, &message, 0), sizeof buffer);
    ck_assert_int_eq(message.msg_flags, MSG_TRUNC);
    ck_assert_mem_eq(buffer, "trun", 4);
    ck_assert_int_eq(recvmsg(receiver, &message, MSG_TRUNC), 9);
    ck_assert_int_eq(message.msg_flags, MSG_TRUNC);
    ck_assert_mem_eq(buffer, "trun", 4);
    ck_assert_int_eq(recvmsg(receiver, &message, 0), 2);
    ck_assert_int_eq(message.msg_flags, 0);
    ck_assert_mem_eq(buffer, "ok", 2);
}

/* A datagram larger than the buffer is cut, said to be, and its rest is gone: unconnected. */
START_TEST(truncation)
{
    struct udp_address to;
    struct udp_address own;
    int receiver = udp_bound(AF_INET, &to);
    int sender = udp_bound(AF_INET, &own);

    udp_send_text(sender, "truncated", &to);
    udp_send_text(sender, "truncated", &to);
    udp_send_text(sender, "ok", &to);
    cut(receiver);
}
END_TEST

/* The same on a connected socket. */
START_TEST(truncation_connected)
{
    int fds[2];

    udp_pair(AF_INET, fds);
    ck_assert_int_eq(send(fds[0], "truncated", 9, 0), 9);
    ck_assert_int_eq(send(fds[0], "truncated", 9, 0), 9);
    ck_assert_int_eq(send(fds[0], "ok", 2, 0), 2);
    cut(fds[1]);
}
END_TEST

/* An empty datagram is a datagram: readable, with a source, before the next one. */
START_TEST(empty_datagram)
{
    char buffer[4];
    struct udp_address to;
    struct udp_address own;
    struct udp_address seen = {.bytes = sizeof seen.addr};
    int receiver = udp_bound(AF_INET, &to);
    int sender = udp_bound(AF_INET, &own);

    udp_send_to(sender, "", 0, &to);
    udp_send_text(sender, "next", &to);
    ck_assert(udp_wait(receiver, POLLIN, UDP_PATIENCE_MS));
    ck_assert_int_eq(
        recvfrom(receiver, buffer, sizeof buffer, 0, (struct sockaddr *)&seen.addr, &seen.bytes),
        0);
    ck_assert_mem_eq(&seen.addr, &own.addr, own.bytes);
    udp_expect_text(receiver, "next", NULL);
}
END_TEST

/* write of nothing sends an empty datagram, read of nothing takes none. */
START_TEST(empty_write_and_read)
{
    char buffer[4];
    int fds[2];

    udp_pair(AF_INET, fds);
    ck_assert_int_eq(write(fds[0], "", 0), 0);
    ck_assert_int_eq(write(fds[0], "next", 4), 4);
    ck_assert(udp_wait(fds[1], POLLIN, UDP_PATIENCE_MS));
    ck_assert_int_eq(read(fds[1], buffer, 0), 0);
    ck_assert_int_eq(read(fds[1], buffer, sizeof buffer), 0);
    ck_assert_int_eq(read(fds[1], buffer, sizeof buffer), 4);
}
END_TEST

static int next_bytes(int fd)
{
    int bytes = -1;

    UDP_ASSERT_OK(ioctl(fd, FIONREAD, &bytes));
    return bytes;
}

/* FIONREAD tells the length of the next datagram alone. */
START_TEST(fionread)
{
    struct udp_address to;
    struct udp_address own;
    int receiver = udp_bound(AF_INET, &to);
    int sender = udp_bound(AF_INET, &own);
    int fds[2];

    ck_assert_int_eq(next_bytes(receiver), 0);
    udp_send_text(sender, "12345", &to);
    udp_send_text(sender, "123", &to);
    ck_assert(udp_wait(receiver, POLLIN, UDP_PATIENCE_MS));
    ck_assert_int_eq(next_bytes(receiver), 5);
    udp_expect_text(receiver, "12345", NULL);
    ck_assert(udp_wait(receiver, POLLIN, UDP_PATIENCE_MS));
    ck_assert_int_eq(next_bytes(receiver), 3);

    udp_pair(AF_INET, fds);
    ck_assert_int_eq(send(fds[0], "1234", 4, 0), 4);
    ck_assert(udp_wait(fds[1], POLLIN, UDP_PATIENCE_MS));
    ck_assert_int_eq(next_bytes(fds[1]), 4);
}
END_TEST

/* A source address that does not fit is cut, and its whole length told. */
START_TEST(short_address)
{
    char buffer[8];
    struct udp_address to;
    struct udp_address own;
    struct sockaddr_in seen;
    socklen_t bytes = sizeof(sa_family_t);
    int receiver = udp_bound(AF_INET, &to);
    int sender = udp_bound(AF_INET, &own);

    memset(&seen, 0x55, sizeof seen);
    udp_send_text(sender, "x", &to);
    ck_assert_int_eq(recvfrom(receiver, buffer, sizeof buffer, 0, (struct sockaddr *)&seen, &bytes),
                     1);
    ck_assert_uint_eq(bytes, sizeof seen);
    ck_assert_int_eq(seen.sin_family, AF_INET);
    ck_assert_uint_eq(seen.sin_port, 0x5555);
}
END_TEST

/* Every size up to the largest a datagram can have arrives unaltered. */
START_TEST(every_size)
{
    static const size_t sizes[] = {0, 1, 79, 80, 81, 100, 1200, 1201, 9000, 65506, 65507};
    static uint8_t out[65507];
    static uint8_t in[65508];
    struct udp_address to;
    struct udp_address own;
    int receiver = udp_bound(AF_INET, &to);
    int sender = udp_bound(AF_INET, &own);

    for (size_t i = 0; i < sizeof out; i++)
        out[i] = (uint8_t)(i * 31 + i / 256);
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        udp_send_to(sender, out, sizes[i], &to);
        ck_assert(udp_wait(receiver, POLLIN, UDP_PATIENCE_MS));
        ck_assert_int_eq(recv(receiver, in, sizeof in, 0), (ssize_t)sizes[i]);
        ck_assert_mem_eq(in, out, sizes[i]);
    }
}
END_TEST

/* Memory that cannot be read is an error, not the end, and the socket goes on. */
START_TEST(unreadable_memory)
{
    struct udp_address server;
    struct udp_address seen;
    int server_fd = udp_bound(AF_INET, &server);
    int client_fd = udp_bound(AF_INET, &seen);
    void *page = mmap(NULL, 4096, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    struct iovec parts[2] = {{.iov_base = &server, .iov_len = 4}, {.iov_base = page, .iov_len = 4}};
    struct msghdr message = {
        .msg_name = &server.addr, .msg_namelen = server.bytes, .msg_iov = parts, .msg_iovlen = 2};

    ck_assert_ptr_ne(page, MAP_FAILED);
    UDP_ASSERT_ERROR(sendto(client_fd, page, 4, 0, (struct sockaddr *)&server.addr, server.bytes),
                     EFAULT);
    UDP_ASSERT_ERROR(sendto(client_fd, "text", 4, 0, page, server.bytes), EFAULT);
    UDP_ASSERT_ERROR(sendmsg(client_fd, &message, 0), EFAULT);
    udp_send_text(client_fd, "after all", &server);
    udp_expect_text(server_fd, "after all", &seen);
}
END_TEST

/* One byte more is refused, and the socket goes on. */
START_TEST(too_long)
{
    static uint8_t out[65508];
    struct udp_address to;
    struct udp_address own;
    int receiver = udp_bound(AF_INET, &to);
    int sender = udp_bound(AF_INET, &own);

    UDP_ASSERT_ERROR(sendto(sender, out, sizeof out, 0, (struct sockaddr *)&to.addr, to.bytes),
                     EMSGSIZE);
    udp_send_text(sender, "fits", &to);
    udp_expect_text(receiver, "fits", NULL);
}
END_TEST

/* Destinations that the kernel refuses are refused alike. */
START_TEST(refused_destinations)
{
    struct udp_address to = udp_loopback(AF_INET, 9);
    struct udp_address to6 = udp_loopback(AF_INET6, 9);
    struct udp_address port0 = udp_loopback(AF_INET, 0);
    int fd = udp_unbound(AF_INET);

    UDP_ASSERT_ERROR(send(fd, "x", 1, 0), EDESTADDRREQ);
    UDP_ASSERT_ERROR(sendto(fd, "x", 1, 0, (struct sockaddr *)&to.addr, 4), EINVAL);
    UDP_ASSERT_ERROR(sendto(fd, "x", 1, 0, (struct sockaddr *)&to6.addr, to6.bytes), EAFNOSUPPORT);
    UDP_ASSERT_ERROR(sendto(fd, "x", 1, 0, (struct sockaddr *)&port0.addr, port0.bytes), EINVAL);
    UDP_ASSERT_ERROR(sendto(fd, "x", 1, MSG_OOB, (struct sockaddr *)&to.addr, to.bytes),
                     EOPNOTSUPP);
    struct sockaddr_in everyone = {.sin_family = AF_INET, .sin_port = htons(9)};

    everyone.sin_addr.s_addr = htonl(INADDR_BROADCAST);
    UDP_ASSERT_ERROR(sendto(fd, "x", 1, 0, (struct sockaddr *)&everyone, sizeof everyone), EACCES);
}
END_TEST

/* A datagram to the unspecified address goes to this machine. */
START_TEST(unspecified_destination)
{
    struct sockaddr_in any = {.sin_family = AF_INET};
    struct udp_address own;
    int receiver = udp_unbound(AF_INET);
    int sender = udp_bound(AF_INET, &own);

    UDP_ASSERT_OK(bind(receiver, (struct sockaddr *)&any, sizeof any));
    struct udp_address to = udp_local(receiver);

    udp_send_text(sender, "here", &to);
    udp_expect_text(receiver, "here", NULL);
}
END_TEST

/* A socket may send to itself, by name or connected, bound to one address or to any. */
START_TEST(to_itself)
{
    struct sockaddr_in any = {.sin_family = AF_INET};
    struct udp_address own;
    int fd = udp_bound(AF_INET, &own);
    int any_fd = udp_unbound(AF_INET);

    udp_send_text(fd, "by name", &own);
    udp_expect_text(fd, "by name", NULL);
    UDP_ASSERT_OK(connect(fd, (struct sockaddr *)&own.addr, own.bytes));
    ck_assert_int_eq(send(fd, "connected", 9, 0), 9);
    udp_expect_text(fd, "connected", NULL);
    UDP_ASSERT_OK(bind(any_fd, (struct sockaddr *)&any, sizeof any));
    own = udp_local(any_fd);
    struct udp_address looped = udp_loopback(AF_INET, udp_port(&own));

    udp_send_text(any_fd, "any", &looped);
    udp_expect_text(any_fd, "any", NULL);
}
END_TEST

int main(void)
{
    return SUITE_RUN("messages", echo_v4, echo_v6, echo_dual_stack, connected_calls, many_parts,
                     batches, batch_waits_for_one, batch_by_number, written_by_stdio, peek_keeps,
                     peek_tells_length, truncation, truncation_connected, empty_datagram,
                     empty_write_and_read, fionread, short_address, every_size, unreadable_memory,
                     too_long, refused_destinations, unspecified_destination, to_itself);
}
