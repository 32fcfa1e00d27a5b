/* test_sockets.c - addresses, options, readiness, copies and ends of sockets. True of every UDP
 * socket: run plainly, under the shim, and linked with it. */
#include "tests/core/suite.h"
#include "tests/shim/udp.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <sys/select.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

static int int_option(int fd, int level, int option)
{
    int value = -1;
    socklen_t bytes = sizeof value;

    UDP_ASSERT_OK(getsockopt(fd, level, option, &value, &bytes));
    ck_assert_uint_eq(bytes, sizeof value);
    return value;
}

static void set_int_option(int fd, int level, int option, int value)
{
    UDP_ASSERT_OK(setsockopt(fd, level, option, &value, sizeof value));
}

static struct timeval ms(long milliseconds)
{
    return (struct timeval){.tv_sec = milliseconds / 1000, .tv_usec = milliseconds % 1000 * 1000};
}

/* A socket looks like a UDP socket, not like what carries it. */
START_TEST(kind)
{
    int fd = udp_unbound(AF_INET);
    int fd6 = udp_unbound(AF_INET6);

    ck_assert_int_eq(int_option(fd, SOL_SOCKET, SO_DOMAIN), AF_INET);
    ck_assert_int_eq(int_option(fd6, SOL_SOCKET, SO_DOMAIN), AF_INET6);
    ck_assert_int_eq(int_option(fd, SOL_SOCKET, SO_TYPE), SOCK_DGRAM);
    ck_assert_int_eq(int_option(fd, SOL_SOCKET, SO_PROTOCOL), IPPROTO_UDP);
    ck_assert_int_eq(int_option(fd, SOL_SOCKET, SO_ERROR), 0);
    UDP_ASSERT_ERROR(listen(fd, 1), EOPNOTSUPP);
    UDP_ASSERT_ERROR(accept(fd, NULL, NULL), EOPNOTSUPP);
    UDP_ASSERT_ERROR((int)lseek(fd, 0, SEEK_CUR), ESPIPE);
}
END_TEST

/* Descriptors get the lowest free numbers, as without the shim. */
START_TEST(numbers)
{
    int lowest = open("/dev/null", O_RDONLY);

    ck_assert_int_ge(lowest, 0);
    ck_assert_int_eq(close(lowest), 0);
    ck_assert_int_eq(udp_unbound(AF_INET), lowest);
    ck_assert_int_eq(udp_unbound(AF_INET6), lowest + 1);
    ck_assert_int_eq(open("/dev/null", O_RDONLY), lowest + 2);
}
END_TEST

/* SOCK_NONBLOCK and SOCK_CLOEXEC hold, and only when asked for. */
START_TEST(flags)
{
    int plain = udp_unbound(AF_INET);
    int both = socket(AF_INET, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, IPPROTO_UDP);

    ck_assert_int_eq(fcntl(plain, F_GETFD), 0);
    ck_assert_int_eq(fcntl(plain, F_GETFL) & O_NONBLOCK, 0);
    ck_assert_int_eq(fcntl(both, F_GETFD), FD_CLOEXEC);
    ck_assert_int_eq(fcntl(both, F_GETFL) & O_NONBLOCK, O_NONBLOCK);
}
END_TEST

/* Options of the IP level and buffers read back as the kernel has it. */
START_TEST(options)
{
    int fd = udp_unbound(AF_INET);
    struct udp_address own;
    int bound = udp_bound(AF_INET, &own);

    ck_assert_int_eq(int_option(fd, IPPROTO_IP, IP_PKTINFO), 0);
    set_int_option(fd, IPPROTO_IP, IP_PKTINFO, 1);
    ck_assert_int_eq(int_option(fd, IPPROTO_IP, IP_PKTINFO), 1);
    ck_assert_int_eq(int_option(bound, IPPROTO_IP, IP_PKTINFO), 0);
    ck_assert_int_eq(int_option(bound, IPPROTO_IP, IP_RECVTTL), 0);
    ck_assert_int_eq(int_option(bound, SOL_SOCKET, SO_TIMESTAMPNS), 0);
    set_int_option(fd, IPPROTO_IP, IP_TOS, 0x10);
    ck_assert_int_eq(int_option(fd, IPPROTO_IP, IP_TOS), 0x10);
    set_int_option(fd, SOL_SOCKET, SO_RCVBUF, 50000);
    ck_assert_int_eq(int_option(fd, SOL_SOCKET, SO_RCVBUF), 100000);
    set_int_option(bound, SOL_SOCKET, SO_RCVBUF, 50000);
    ck_assert_int_eq(int_option(bound, SOL_SOCKET, SO_RCVBUF), 100000);
    set_int_option(bound, SOL_SOCKET, SO_SNDBUF, 30000);
    ck_assert_int_eq(int_option(bound, SOL_SOCKET, SO_SNDBUF), 60000);
    set_int_option(bound, IPPROTO_IP, IP_RECVERR, 1);
    ck_assert_int_eq(int_option(bound, IPPROTO_IP, IP_RECVERR), 1);
    UDP_ASSERT_ERROR(recv(bound, &fd, sizeof fd, MSG_ERRQUEUE | MSG_DONTWAIT), EAGAIN);
}
END_TEST

/* SO_TIMESTAMP and SO_TIMESTAMPNS exclude each other. */
START_TEST(timestamp_options)
{
    int fd = udp_unbound(AF_INET);

    set_int_option(fd, SOL_SOCKET, SO_TIMESTAMP, 1);
    ck_assert_int_ne(int_option(fd, SOL_SOCKET, SO_TIMESTAMP), 0);
    set_int_option(fd, SOL_SOCKET, SO_TIMESTAMPNS, 1);
    ck_assert_int_ne(int_option(fd, SOL_SOCKET, SO_TIMESTAMPNS), 0);
    ck_assert_int_eq(int_option(fd, SOL_SOCKET, SO_TIMESTAMP), 0);
}
END_TEST

/* --- Addresses ----------------------------------------------------------------------------------
 */

/* A socket has no address, then the one its first send gave it; binding twice is refused. */
START_TEST(automatic_address)
{
    struct udp_address to;
    int receiver = udp_bound(AF_INET, &to);
    int fd = udp_unbound(AF_INET);
    struct udp_address before = udp_local(fd);
    struct udp_address any = udp_loopback(AF_INET, 0);
    struct udp_address peer = {.bytes = sizeof peer.addr};
    struct udp_address seen;

    ck_assert_uint_eq(before.bytes, sizeof(struct sockaddr_in));
    ck_assert_uint_eq(udp_port(&before), 0);
    udp_send_text(fd, "x", &to);
    struct udp_address after = udp_local(fd);

    ck_assert_uint_ne(udp_port(&after), 0);
    udp_expect_text(receiver, "x", &seen);
    ck_assert_uint_eq(udp_port(&seen), udp_port(&after));
    UDP_ASSERT_ERROR(bind(fd, (struct sockaddr *)&any.addr, any.bytes), EINVAL);
    UDP_ASSERT_ERROR(getpeername(fd, (struct sockaddr *)&peer.addr, &peer.bytes), ENOTCONN);
}
END_TEST

/* An address in use is refused. */
START_TEST(address_in_use)
{
    struct udp_address taken;
    int holder = udp_bound(AF_INET, &taken);
    int fd = udp_unbound(AF_INET);

    UDP_ASSERT_ERROR(bind(fd, (struct sockaddr *)&taken.addr, taken.bytes), EADDRINUSE);
    ck_assert_int_eq(close(holder), 0);
    UDP_ASSERT_OK(bind(fd, (struct sockaddr *)&taken.addr, taken.bytes));
}
END_TEST

/* A connected socket hears its peer alone, keeps what came before, and can be turned to another. */
START_TEST(connect_selects)
{
    struct udp_address own;
    struct udp_address first;
    struct udp_address second;
    int fd = udp_bound(AF_INET, &own);
    int first_fd = udp_bound(AF_INET, &first);
    int second_fd = udp_bound(AF_INET, &second);
    struct udp_address peer = {.bytes = sizeof peer.addr};

    udp_send_text(second_fd, "before", &own);
    ck_assert(udp_wait(fd, POLLIN, UDP_PATIENCE_MS));
    UDP_ASSERT_OK(connect(fd, (struct sockaddr *)&first.addr, first.bytes));
    UDP_ASSERT_OK(getpeername(fd, (struct sockaddr *)&peer.addr, &peer.bytes));
    ck_assert_mem_eq(&peer.addr, &first.addr, first.bytes);
    udp_send_text(first_fd, "mine", &own);
    udp_expect_text(fd, "before", &peer);
    ck_assert_mem_eq(&peer.addr, &second.addr, second.bytes);
    udp_expect_text(fd, "mine", &peer);
    ck_assert_mem_eq(&peer.addr, &first.addr, first.bytes);
}
END_TEST

/* Datagrams of the old peer keep their source when the socket is turned to a new one. */
START_TEST(reconnect_keeps_sources)
{
    struct udp_address own;
    struct udp_address first;
    struct udp_address second;
    int fd = udp_bound(AF_INET, &own);
    int first_fd = udp_bound(AF_INET, &first);
    int second_fd = udp_bound(AF_INET, &second);
    int epoll_fd = epoll_create1(0);
    struct epoll_event event = {.events = EPOLLIN | EPOLLET};
    struct udp_address seen;

    UDP_ASSERT_OK(epoll_ctl(epoll_fd, EPOLL_CTL_ADD, fd, &event));
    UDP_ASSERT_OK(connect(fd, (struct sockaddr *)&first.addr, first.bytes));
    udp_send_text(first_fd, "old 1", &own);
    ck_assert_int_eq(epoll_wait(epoll_fd, &event, 1, UDP_PATIENCE_MS), 1);
    udp_send_text(first_fd, "old 2", &own);
    ck_assert_int_eq(epoll_wait(epoll_fd, &event, 1, UDP_PATIENCE_MS), 1);
    UDP_ASSERT_OK(connect(fd, (struct sockaddr *)&second.addr, second.bytes));
    udp_send_text(second_fd, "new", &own);
    udp_expect_text(fd, "old 1", &seen);
    ck_assert_mem_eq(&seen.addr, &first.addr, first.bytes);
    udp_expect_text(fd, "old 2", &seen);
    ck_assert_mem_eq(&seen.addr, &first.addr, first.bytes);
    udp_expect_text(fd, "new", &seen);
    ck_assert_mem_eq(&seen.addr, &second.addr, second.bytes);
}
END_TEST

/* AF_UNSPEC dissolves a connection; a port that was bound by its number stays. */
START_TEST(disconnect)
{
    struct sockaddr unspecified = {.sa_family = AF_UNSPEC};
    struct udp_address peer;
    struct udp_address other;
    struct udp_address own;
    int peer_fd = udp_bound(AF_INET, &peer);
    int other_fd = udp_bound(AF_INET, &other);
    int chooser = udp_bound(AF_INET, &own);
    int fd = udp_unbound(AF_INET);

    ck_assert_int_eq(close(chooser), 0);
    UDP_ASSERT_OK(bind(fd, (struct sockaddr *)&own.addr, own.bytes));
    UDP_ASSERT_OK(connect(fd, (struct sockaddr *)&peer.addr, peer.bytes));
    UDP_ASSERT_OK(connect(fd, &unspecified, sizeof unspecified));
    UDP_ASSERT_ERROR(send(fd, "x", 1, 0), EDESTADDRREQ);
    UDP_ASSERT_ERROR(getpeername(fd, (struct sockaddr *)&peer.addr, &peer.bytes), ENOTCONN);
    udp_send_text(other_fd, "hello", &own);
    udp_expect_text(fd, "hello", NULL);
    ck_assert_int_eq(close(peer_fd), 0);
}
END_TEST

/* --- Readiness ----------------------------------------------------------------------------------
 */

/* poll, select and level-triggered epoll say readable exactly while a datagram waits. */
START_TEST(level_readiness)
{
    struct udp_address own;
    struct udp_address from;
    int fd = udp_bound(AF_INET, &own);
    int sender = udp_bound(AF_INET, &from);
    int epoll_fd = epoll_create1(0);
    struct epoll_event event = {.events = EPOLLIN, .data.fd = fd};
    struct timeval patience = ms(UDP_PATIENCE_MS);
    fd_set set;

    UDP_ASSERT_OK(epoll_ctl(epoll_fd, EPOLL_CTL_ADD, fd, &event));
    ck_assert(!udp_wait(fd, POLLIN, 0));
    ck_assert(udp_wait(fd, POLLOUT, 0));
    ck_assert_int_eq(epoll_wait(epoll_fd, &event, 1, 0), 0);
    udp_send_text(sender, "x", &own);
    FD_ZERO(&set);
    FD_SET(fd, &set);
    ck_assert_int_eq(select(fd + 1, &set, NULL, NULL, &patience), 1);
    ck_assert_int_eq(epoll_wait(epoll_fd, &event, 1, UDP_PATIENCE_MS), 1);
    ck_assert_int_eq(epoll_wait(epoll_fd, &event, 1, 0), 1);
    udp_expect_text(fd, "x", NULL);
    ck_assert_int_eq(epoll_wait(epoll_fd, &event, 1, 0), 0);
    ck_assert(!udp_wait(fd, POLLIN, 0));
}
END_TEST

/* Edge-triggered epoll reports once per arrival. */
START_TEST(edge_readiness)
{
    struct udp_address own;
    struct udp_address from;
    int fd = udp_bound(AF_INET, &own);
    int sender = udp_bound(AF_INET, &from);
    int epoll_fd = epoll_create1(0);
    struct epoll_event event = {.events = EPOLLIN | EPOLLET, .data.fd = fd};

    UDP_ASSERT_OK(epoll_ctl(epoll_fd, EPOLL_CTL_ADD, fd, &event));
    udp_send_text(sender, "1", &own);
    ck_assert_int_eq(epoll_wait(epoll_fd, &event, 1, UDP_PATIENCE_MS), 1);
    ck_assert_int_eq(epoll_wait(epoll_fd, &event, 1, 0), 0);
    udp_send_text(sender, "2", &own);
    ck_assert_int_eq(epoll_wait(epoll_fd, &event, 1, UDP_PATIENCE_MS), 1);
    udp_expect_text(fd, "1", NULL);
    udp_expect_text(fd, "2", NULL);
}
END_TEST

/* Nothing to read: at once with O_NONBLOCK or MSG_DONTWAIT, after the time with SO_RCVTIMEO. */
START_TEST(nothing_to_read)
{
    struct udp_address own;
    struct timeval timeout = ms(100); /* whole ticks of any kernel: it reads back as it is */
    struct timeval seen;
    socklen_t bytes = sizeof seen;
    struct timespec before;
    struct timespec after;
    char byte;
    int on = 1;
    int off = 0;
    int fd = udp_bound(AF_INET, &own);

    UDP_ASSERT_ERROR(recv(fd, &byte, 1, MSG_DONTWAIT), EAGAIN);
    UDP_ASSERT_OK(fcntl(fd, F_SETFL, O_NONBLOCK));
    UDP_ASSERT_ERROR(read(fd, &byte, 1), EAGAIN);
    UDP_ASSERT_OK(ioctl(fd, FIONBIO, &off));
    UDP_ASSERT_OK(setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &timeout, sizeof timeout));
    UDP_ASSERT_OK(clock_gettime(CLOCK_MONOTONIC, &before));
    UDP_ASSERT_ERROR(recv(fd, &byte, 1, 0), EAGAIN);
    UDP_ASSERT_OK(clock_gettime(CLOCK_MONOTONIC, &after));
    ck_assert_int_ge(
        (after.tv_sec - before.tv_sec) * 1000 + (after.tv_nsec - before.tv_nsec) / 1000000, 49);
    UDP_ASSERT_OK(getsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &seen, &bytes));
    ck_assert_int_eq(seen.tv_usec, timeout.tv_usec);
    UDP_ASSERT_OK(ioctl(fd, FIONBIO, &on));
    UDP_ASSERT_ERROR(recv(fd, &byte, 1, 0), EAGAIN);
}
END_TEST

static void ignore_signal(int signal_number)
{
    (void)signal_number;
}

/* A signal interrupts a waiting receive. */
START_TEST(interrupted)
{
    struct sigaction action = {.sa_handler = ignore_signal};
    struct itimerval soon = {.it_value = {.tv_usec = 20000}, .it_interval = {.tv_usec = 20000}};
    struct udp_address own;
    char byte;
    int fd = udp_bound(AF_INET, &own);

    UDP_ASSERT_OK(sigaction(SIGALRM, &action, NULL));
    UDP_ASSERT_OK(setitimer(ITIMER_REAL, &soon, NULL));
    UDP_ASSERT_ERROR(recv(fd, &byte, 1, 0), EINTR);
}
END_TEST

/* --- Copies and ends ----------------------------------------------------------------------------
 */

/* A copy is the same socket; it lives on when the other is closed. */
START_TEST(copies_share)
{
    struct udp_address own;
    struct udp_address from;
    int fd = udp_bound(AF_INET, &own);
    int sender = udp_bound(AF_INET, &from);
    int copies[3] = {dup(fd), fcntl(fd, F_DUPFD_CLOEXEC, 50), dup2(fd, 60)};

    ck_assert_int_ge(copies[1], 50);
    ck_assert_int_eq(copies[2], 60);
    udp_send_text(sender, "1", &own);
    udp_expect_text(copies[0], "1", NULL);
    ck_assert_int_eq(close(fd), 0);
    udp_send_text(sender, "2", &own);
    udp_expect_text(copies[1], "2", NULL);
    ck_assert_int_eq(close(copies[0]), 0);
    ck_assert_int_eq(close(copies[1]), 0);
    udp_send_text(copies[2], "3", &from);
    udp_expect_text(sender, "3", NULL);
    UDP_ASSERT_ERROR(recv(fd, &own, 1, MSG_DONTWAIT), EBADF);
}
END_TEST

/* A copy over a socket closes it: its port is free. */
START_TEST(copy_over)
{
    struct udp_address old;
    struct udp_address kept;
    struct udp_address from;
    int old_fd = udp_bound(AF_INET, &old);
    int kept_fd = udp_bound(AF_INET, &kept);
    int again = udp_unbound(AF_INET);
    int sender = udp_bound(AF_INET, &from);

    ck_assert_int_eq(dup3(kept_fd, old_fd, O_CLOEXEC), old_fd);
    UDP_ASSERT_OK(bind(again, (struct sockaddr *)&old.addr, old.bytes));
    udp_send_text(sender, "x", &kept);
    udp_expect_text(old_fd, "x", NULL);
}
END_TEST

/* A closed socket's number can be anything afterwards. */
START_TEST(number_reused)
{
    struct udp_address own;
    int ends[2];
    char byte = 0;
    int fd = udp_bound(AF_INET, &own);

    ck_assert_int_eq(close(fd), 0);
    UDP_ASSERT_OK(pipe(ends));
    ck_assert_int_eq(ends[0], fd);
    ck_assert_int_eq(write(ends[1], "p", 1), 1);
    ck_assert_int_eq(read(ends[0], &byte, 1), 1);
    ck_assert_int_eq(byte, 'p');
}
END_TEST

/* A port that was talked over can be bound again at once, by a socket that hears and answers. */
START_TEST(rebind_at_once)
{
    struct udp_address server;
    struct udp_address client;
    struct udp_address from;
    int server_fd = udp_bound(AF_INET, &server);

    for (int round = 0; round < 5; round++) {
        int client_fd = udp_bound(AF_INET, &client);

        udp_send_text(client_fd, "ping", &server);
        udp_expect_text(server_fd, "ping", &from);
        udp_send_text(server_fd, "pong", &from);
        udp_expect_text(client_fd, "pong", NULL);
        ck_assert_int_eq(close(server_fd), 0);
        server_fd = udp_unbound(AF_INET);
        UDP_ASSERT_OK(bind(server_fd, (struct sockaddr *)&server.addr, server.bytes));
    }
}
END_TEST

/* After SHUT_WR sending is EPIPE without a signal, receiving goes on. */
START_TEST(shut_write)
{
    int fds[2];

    udp_pair(AF_INET, fds);
    UDP_ASSERT_OK(shutdown(fds[0], SHUT_WR));
    UDP_ASSERT_ERROR(send(fds[0], "x", 1, 0), EPIPE);
    ck_assert_int_eq(send(fds[1], "y", 1, 0), 1);
    udp_expect_text(fds[0], "y", NULL);
}
END_TEST

/* After SHUT_RD a waiting receive returns nothing; an unconnected socket says it is not connected.
 */
START_TEST(shut_read)
{
    char byte;
    int fds[2];
    int unconnected = udp_unbound(AF_INET);

    udp_pair(AF_INET, fds);
    UDP_ASSERT_OK(shutdown(fds[0], SHUT_RD));
    ck_assert_int_eq(recv(fds[0], &byte, 1, 0), 0);
    UDP_ASSERT_ERROR(shutdown(unconnected, SHUT_RDWR), ENOTCONN);
}
END_TEST

/* A group's datagrams reach its members. */
START_TEST(multicast)
{
    struct sockaddr_in group = {.sin_family = AF_INET};
    struct sockaddr_in any = {.sin_family = AF_INET};
    struct ip_mreq membership;
    struct in_addr loopback = {.s_addr = htonl(INADDR_LOOPBACK)};
    struct udp_address from;
    int member = udp_unbound(AF_INET);
    int sender = udp_bound(AF_INET, &from);

    group.sin_addr.s_addr = htonl(0xefc00101);
    membership = (struct ip_mreq){.imr_multiaddr = group.sin_addr, .imr_interface = loopback};
    UDP_ASSERT_OK(bind(member, (struct sockaddr *)&any, sizeof any));
    UDP_ASSERT_OK(
        setsockopt(member, IPPROTO_IP, IP_ADD_MEMBERSHIP, &membership, sizeof membership));
    UDP_ASSERT_OK(setsockopt(sender, IPPROTO_IP, IP_MULTICAST_IF, &loopback, sizeof loopback));
    struct udp_address bound = udp_local(member);

    group.sin_port = htons(udp_port(&bound));
    ck_assert_int_eq(sendto(sender, "all", 3, 0, (struct sockaddr *)&group, sizeof group), 3);
    udp_expect_text(member, "all", NULL);
}
END_TEST

int main(void)
{
    return SUITE_RUN("sockets", kind, numbers, flags, options, timestamp_options, automatic_address,
                     address_in_use, connect_selects, reconnect_keeps_sources, disconnect,
                     level_readiness, edge_readiness, nothing_to_read, interrupted, copies_share,
                     copy_over, number_reused, rebind_at_once, shut_write, shut_read, multicast);
}
