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
    return SUITE_RUN("plain", plain_answer, plain_answer_of_child, plain_refusal);
}
