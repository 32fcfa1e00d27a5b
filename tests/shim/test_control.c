/* test_control.c - control messages. True of every UDP socket: run plainly, under the shim, and
 * linked with it. */
#include "tests/core/suite.h"
#include "tests/shim/udp.h"

#include <errno.h>
#include <net/if.h>
#include <string.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

#define CONTROL_BYTES 512

/* What one recvmsg returned. */
struct received {
    char text[32];
    ssize_t bytes;
    int flags;
    size_t control_bytes;
    _Alignas(struct cmsghdr) char control[CONTROL_BYTES];
};

static void receive(int fd, struct received *received, size_t control_room)
{
    struct iovec part = {received->text, sizeof received->text};
    struct msghdr message = {
        .msg_iov = &part,
        .msg_iovlen = 1,
        .msg_control = received->control,
        .msg_controllen = control_room,
    };

    received->bytes = recvmsg(fd, &message, 0);
    ck_assert_msg(received->bytes >= 0, "recvmsg: %s", strerror(errno));
    received->flags = message.msg_flags;
    received->control_bytes = message.msg_controllen;
}

/* The data of the control message of that kind, of which there must be one. */
static void find_control(const struct received *received, int level, int type, void *data,
                         size_t bytes)
{
    struct msghdr message = {
        .msg_control = (void *)(uintptr_t)received->control,
        .msg_controllen = received->control_bytes,
    };

    for (struct cmsghdr *header = CMSG_FIRSTHDR(&message); header != NULL;
         header = CMSG_NXTHDR(&message, header)) {
        if (header->cmsg_level != level || header->cmsg_type != type)
            continue;
        ck_assert_uint_eq(header->cmsg_len, CMSG_LEN(bytes));
        memcpy(data, CMSG_DATA(header), bytes);
        return;
    }
    ck_abort_msg("no control message of level %d, type %d", level, type);
}

static void enable(int fd, int level, int option)
{
    int on = 1;

    UDP_ASSERT_OK(setsockopt(fd, level, option, &on, sizeof on));
}

/* IP_PKTINFO tells the address a datagram came to, on a socket bound to any; IP_RECVTTL and
 * IP_RECVTOS their fields. */
START_TEST(ip_fields)
{
    struct sockaddr_in any = {.sin_family = AF_INET};
    struct udp_address own;
    struct in_pktinfo info;
    struct received received;
    int ttl;
    uint8_t tos;
    int receiver = udp_unbound(AF_INET);
    int sender = udp_bound(AF_INET, &own);

    UDP_ASSERT_OK(bind(receiver, (struct sockaddr *)&any, sizeof any));
    enable(receiver, IPPROTO_IP, IP_PKTINFO);
    enable(receiver, IPPROTO_IP, IP_RECVTTL);
    enable(receiver, IPPROTO_IP, IP_RECVTOS);
    struct udp_address local = udp_local(receiver);
    struct udp_address to = udp_loopback(AF_INET, udp_port(&local));

    udp_send_text(sender, "x", &to);
    receive(receiver, &received, sizeof received.control);
    ck_assert_int_eq(received.flags, 0);
    find_control(&received, IPPROTO_IP, IP_PKTINFO, &info, sizeof info);
    ck_assert_uint_eq(info.ipi_addr.s_addr, htonl(INADDR_LOOPBACK));
    ck_assert_uint_eq(info.ipi_spec_dst.s_addr, htonl(INADDR_LOOPBACK));
    find_control(&received, IPPROTO_IP, IP_TTL, &ttl, sizeof ttl);
    ck_assert_int_eq(ttl, 64);
    find_control(&received, IPPROTO_IP, IP_TOS, &tos, sizeof tos);
    ck_assert_uint_eq(tos, 0);
}
END_TEST

/* The same for IPv6, on a connected socket. */
START_TEST(ipv6_fields)
{
    struct in6_pktinfo info;
    struct received received;
    int number;
    int fds[2];

    udp_pair(AF_INET6, fds);
    enable(fds[1], IPPROTO_IPV6, IPV6_RECVPKTINFO);
    enable(fds[1], IPPROTO_IPV6, IPV6_RECVHOPLIMIT);
    enable(fds[1], IPPROTO_IPV6, IPV6_RECVTCLASS);
    ck_assert_int_eq(send(fds[0], "x", 1, 0), 1);
    receive(fds[1], &received, sizeof received.control);
    find_control(&received, IPPROTO_IPV6, IPV6_PKTINFO, &info, sizeof info);
    ck_assert_mem_eq(&info.ipi6_addr, &in6addr_loopback, sizeof in6addr_loopback);
    find_control(&received, IPPROTO_IPV6, IPV6_HOPLIMIT, &number, sizeof number);
    ck_assert_int_eq(number, 64);
    find_control(&received, IPPROTO_IPV6, IPV6_TCLASS, &number, sizeof number);
    ck_assert_int_eq(number, 0);
}
END_TEST

/* Time stamps are of this moment, in the resolution asked for. */
START_TEST(timestamps)
{
    struct received received;
    struct timespec before;
    struct timespec stamp;
    struct timeval coarse;
    int fds[2];

    udp_pair(AF_INET, fds);
    UDP_ASSERT_OK(clock_gettime(CLOCK_REALTIME, &before));
    enable(fds[1], SOL_SOCKET, SO_TIMESTAMPNS);
    ck_assert_int_eq(send(fds[0], "x", 1, 0), 1);
    receive(fds[1], &received, sizeof received.control);
    find_control(&received, SOL_SOCKET, SO_TIMESTAMPNS, &stamp, sizeof stamp);
    ck_assert_int_ge(stamp.tv_sec, before.tv_sec);
    ck_assert_int_le(stamp.tv_sec, before.tv_sec + UDP_PATIENCE_MS / 1000);
    enable(fds[1], SOL_SOCKET, SO_TIMESTAMP);
    ck_assert_int_eq(send(fds[0], "y", 1, 0), 1);
    receive(fds[1], &received, sizeof received.control);
    find_control(&received, SOL_SOCKET, SO_TIMESTAMP, &coarse, sizeof coarse);
    ck_assert_int_ge(coarse.tv_sec, before.tv_sec);
}
END_TEST

/* A control buffer that is too small is filled as far as it goes, and said to be. */
START_TEST(cut_control)
{
    struct received received;
    int fds[2];

    udp_pair(AF_INET, fds);
    enable(fds[1], IPPROTO_IP, IP_PKTINFO);
    ck_assert_int_eq(send(fds[0], "x", 1, 0), 1);
    receive(fds[1], &received, CMSG_LEN(4));
    ck_assert_int_eq(received.flags, MSG_CTRUNC);
    ck_assert_uint_eq(received.control_bytes, CMSG_LEN(4));
    ck_assert_int_eq(send(fds[0], "y", 1, 0), 1);
    receive(fds[1], &received, 0);
    ck_assert_int_eq(received.flags, MSG_CTRUNC);
    ck_assert_uint_eq(received.control_bytes, 0);
    ck_assert_int_eq(received.bytes, 1);
}
END_TEST

/* Nothing was asked for: nothing is told. */
START_TEST(no_control)
{
    struct received received;
    struct udp_address to;
    struct udp_address own;
    int receiver = udp_bound(AF_INET, &to);
    int sender = udp_bound(AF_INET, &own);

    udp_send_text(sender, "x", &to);
    receive(receiver, &received, sizeof received.control);
    ck_assert_uint_eq(received.control_bytes, 0);
    ck_assert_int_eq(received.flags, 0);
}
END_TEST

static ssize_t send_with(int fd, const struct udp_address *to, int type, const void *data,
                         size_t bytes)
{
    _Alignas(struct cmsghdr) char control[CMSG_SPACE(sizeof(struct in_pktinfo))] = {0};
    struct udp_address target = *to;
    char text[] = "x";
    struct iovec part = {text, 1};
    struct msghdr message = {
        .msg_name = &target.addr,
        .msg_namelen = target.bytes,
        .msg_iov = &part,
        .msg_iovlen = 1,
        .msg_control = control,
        .msg_controllen = CMSG_SPACE(bytes),
    };
    struct cmsghdr *header = CMSG_FIRSTHDR(&message);

    header->cmsg_level = IPPROTO_IP;
    header->cmsg_type = type;
    header->cmsg_len = CMSG_LEN(bytes);
    memcpy(CMSG_DATA(header), data, bytes);
    return sendmsg(fd, &message, 0);
}

/* IP_PKTINFO chooses the source of what is sent; a malformed one is refused. */
START_TEST(source_choice)
{
    struct sockaddr_in any = {.sin_family = AF_INET};
    struct in_pktinfo info = {.ipi_spec_dst.s_addr = htonl(0x7f000002)};
    struct udp_address to;
    struct udp_address seen;
    struct sockaddr_in seen4;
    int receiver = udp_bound(AF_INET, &to);
    int sender = udp_unbound(AF_INET);

    UDP_ASSERT_OK(bind(sender, (struct sockaddr *)&any, sizeof any));
    UDP_ASSERT_ERROR((int)send_with(sender, &to, IP_PKTINFO, &info, 4), EINVAL);
    ck_assert_int_eq(send_with(sender, &to, IP_PKTINFO, &info, sizeof info), 1);
    udp_expect_text(receiver, "x", &seen);
    memcpy(&seen4, &seen.addr, sizeof seen4);
    ck_assert_uint_eq(seen4.sin_addr.s_addr, info.ipi_spec_dst.s_addr);
}
END_TEST

/* IP_TTL and IP_TOS with a datagram are what it leaves with. */
START_TEST(sent_fields)
{
    struct udp_address to;
    struct received received;
    int receiver = udp_bound(AF_INET, &to);
    int sender = udp_unbound(AF_INET);
    int sent = 16;
    int ttl;
    uint8_t tos;

    enable(receiver, IPPROTO_IP, IP_RECVTTL);
    enable(receiver, IPPROTO_IP, IP_RECVTOS);
    ck_assert_int_eq(send_with(sender, &to, IP_TTL, &sent, sizeof sent), 1);
    receive(receiver, &received, CONTROL_BYTES);
    find_control(&received, IPPROTO_IP, IP_TTL, &ttl, sizeof ttl);
    ck_assert_int_eq(ttl, 16);
    ck_assert_int_eq(send_with(sender, &to, IP_TOS, &sent, sizeof sent), 1);
    receive(receiver, &received, CONTROL_BYTES);
    find_control(&received, IPPROTO_IP, IP_TOS, &tos, sizeof tos);
    ck_assert_uint_eq(tos, 16);
}
END_TEST

int main(void)
{
    return SUITE_RUN("control", ip_fields, ipv6_fields, timestamps, cut_control, no_control,
                     source_choice, sent_fields);
}
