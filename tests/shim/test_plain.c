/* test_plain.c - beside peers without the shim. Run under the shim or linked with it, with
 * RUDP_ACCEPT_PLAIN=yes. */
#include "engine/raw.h"
#include "tests/core/suite.h"
#include "tests/shim/raw_peer.h"

#include <errno.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

/* Who spoke plainly is answered plainly, and never sees a byte of ours, connected or not. */
START_TEST(plain_answer)
{
    struct udp_address own;
    struct udp_address plain;
    struct udp_address seen;
    int plain_fd = raw_bound(INADDR_LOOPBACK, &plain);
    int fd = udp_bound(AF_INET, &own);

    raw_send(plain_fd, "request", &own);
    udp_expect_text(fd, "request", &seen);
    udp_send_text(fd, "answer", &seen);
    raw_expect(plain_fd, "answer");
    UDP_ASSERT_OK(connect(fd, (struct sockaddr *)&seen.addr, seen.bytes));
    ck_assert_int_eq(send(fd, "connected", 9, 0), 9);
    raw_expect(plain_fd, "connected");
}
END_TEST

/* A forked child's answer takes the way of its parent's. */
START_TEST(plain_answer_of_child)
{
    struct udp_address own;
    struct udp_address plain;
    struct udp_address seen;
    int status;
    int plain_fd = raw_bound(INADDR_LOOPBACK, &plain);
    int fd = udp_bound(AF_INET, &own);

    raw_send(plain_fd, "request", &own);
    udp_expect_text(fd, "request", &seen);
    pid_t child = fork();

    ck_assert_int_ge(child, 0);
    if (child == 0)
        _exit(sendto(fd, "answer", 6, 0, (struct sockaddr *)&seen.addr, seen.bytes) != 6);
    ck_assert_int_eq(waitpid(child, &status, 0), child);
    ck_assert_int_eq(status, 0);
    raw_expect(plain_fd, "answer");
}
END_TEST

/* Answers from the address that the control message names. */
static void answer_from(int fd, uint32_t ip, const struct udp_address *to)
{
    struct in_pktinfo info = {.ipi_spec_dst.s_addr = htonl(ip)};
    _Alignas(struct cmsghdr) char control[CMSG_SPACE(sizeof info)] = {0};
    struct iovec part = {.iov_base = (char[]){'x'}, .iov_len = 1};
    struct sockaddr_storage addr = to->addr;
    struct msghdr message = {
        .msg_name = &addr,
        .msg_namelen = to->bytes,
        .msg_iov = &part,
        .msg_iovlen = 1,
        .msg_control = control,
        .msg_controllen = sizeof control,
    };
    struct cmsghdr *header = CMSG_FIRSTHDR(&message);

    header->cmsg_level = IPPROTO_IP;
    header->cmsg_type = IP_PKTINFO;
    header->cmsg_len = CMSG_LEN(sizeof info);
    memcpy(CMSG_DATA(header), &info, sizeof info);
    _exit(sendmsg(fd, &message, 0) != 1);
}

/* A forked child says from which address, as its parent would. */
START_TEST(plain_answer_names_its_source)
{
    enum {
        SPOKEN_TO = 0x7f000005
    };
    struct sockaddr_in any = {.sin_family = AF_INET};
    struct sockaddr_in source;
    socklen_t source_bytes = sizeof source;
    struct udp_address plain;
    struct udp_address seen;
    int status;
    char byte;
    int plain_fd = raw_bound(INADDR_LOOPBACK, &plain);
    int fd = udp_unbound(AF_INET);

    UDP_ASSERT_OK(bind(fd, (struct sockaddr *)&any, sizeof any));
    struct udp_address own = udp_local(fd);

    ((struct sockaddr_in *)&own.addr)->sin_addr.s_addr = htonl(SPOKEN_TO);
    raw_send(plain_fd, "request", &own);
    udp_expect_text(fd, "request", &seen);
    pid_t child = fork();

    ck_assert_int_ge(child, 0);
    if (child == 0)
        answer_from(fd, SPOKEN_TO, &seen);
    ck_assert_int_eq(waitpid(child, &status, 0), child);
    ck_assert_int_eq(status, 0);
    ck_assert_int_eq(RAW_CALL(SYS_recvfrom, plain_fd, raw_pointer(&byte), 1, 0,
                              raw_pointer(&source), raw_pointer(&source_bytes)),
                     1);
    ck_assert_uint_eq(ntohl(source.sin_addr.s_addr), SPOKEN_TO);
}
END_TEST

/* A plain peer whose program is gone refuses at once, as on plain UDP. */
START_TEST(plain_refusal)
{
    struct udp_address own;
    struct udp_address plain;
    struct udp_address seen;
    char byte;
    int plain_fd = raw_bound(INADDR_LOOPBACK, &plain);
    int fd = udp_bound(AF_INET, &own);

    raw_send(plain_fd, "request", &own);
    udp_expect_text(fd, "request", &seen);
    ck_assert_int_eq(RAW_CALL(SYS_close, plain_fd), 0);
    UDP_ASSERT_OK(connect(fd, (struct sockaddr *)&seen.addr, seen.bytes));
    ck_assert_int_eq(send(fd, "x", 1, 0), 1);
    UDP_ASSERT_ERROR(recv(fd, &byte, 1, 0), ECONNREFUSED);
}
END_TEST

int main(void)
{
    return SUITE_RUN("plain", plain_answer, plain_answer_of_child, plain_answer_names_its_source,
                     plain_refusal);
}
