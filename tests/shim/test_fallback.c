/* test_fallback.c - RUDP_FALLBACK=plain: who speaks the protocol gets a session, who does not gets
 * what the program sent and nothing else. Run under the shim or linked with it, with
 * RUDP_FALLBACK=plain RUDP_RTO_INITIAL=80ms RUDP_SNDBUF=128K and a RUDP_DISCOVERY_PORT of its own.
 */
#include "engine/raw.h"
#include "tests/core/suite.h"
#include "tests/shim/raw_peer.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#define SILENT_HOST     0x7f000007u /* 127.0.0.7 */
#define BUFFER_BYTES    (128u * 1024u)
#define MESSAGE_BYTES   1000u
#define ASKED_COUNT_MAX 256u

/* Listens at the discovery port of the silent host and never answers. */
static void be_silent(void)
{
    struct sockaddr_in own = {
        .sin_family = AF_INET,
        .sin_addr.s_addr = htonl(SILENT_HOST),
        .sin_port = htons((uint16_t)atoi(getenv("RUDP_DISCOVERY_PORT"))),
    };
    int one = 1;
    long fd = RAW_CALL(SYS_socket, AF_INET, SOCK_DGRAM, 0);

    ck_assert_int_ge(fd, 0);
    ck_assert_int_eq(
        RAW_CALL(SYS_setsockopt, fd, SOL_SOCKET, SO_REUSEPORT, raw_pointer(&one), sizeof one), 0);
    ck_assert_int_eq(RAW_CALL(SYS_bind, fd, raw_pointer(&own), sizeof own), 0);
}

static int bound_at(uint32_t ip, struct udp_address *address)
{
    struct sockaddr_in own = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(ip)};
    int fd = udp_unbound(AF_INET);

    UDP_ASSERT_OK(bind(fd, (struct sockaddr *)&own, sizeof own));
    *address = udp_local(fd);
    return fd;
}

/* A plain peer on the same host gets the bytes as they are, and its answer arrives. */
START_TEST(plain_peer)
{
    struct udp_address plain;
    struct udp_address own;
    struct udp_address seen;
    int plain_fd = raw_bound(INADDR_LOOPBACK, &plain);
    int fd = udp_bound(AF_INET, &own);

    udp_send_text(fd, "first", &plain);
    udp_send_text(fd, "", &plain);
    udp_send_text(fd, "third", &plain);
    raw_expect(plain_fd, "first");
    raw_expect(plain_fd, "");
    raw_expect(plain_fd, "third");
    raw_send(plain_fd, "answer", &own);
    udp_expect_text(fd, "answer", &seen);
    ck_assert_mem_eq(&seen.addr, &plain.addr, plain.bytes);
}
END_TEST

/* A peer under the shim is spoken to by a session: plain datagrams would not be let in there. */
START_TEST(speaking_peer)
{
    static const int families[] = {AF_INET, AF_INET6};

    for (size_t index = 0; index < 2; index++) {
        struct udp_address a;
        struct udp_address b;
        int a_fd = udp_bound(families[index], &a);
        int b_fd = udp_bound(families[index], &b);

        udp_send_text(a_fd, "to b", &b);
        udp_expect_text(b_fd, "to b", NULL);
        udp_send_text(b_fd, "to a", &a);
        udp_expect_text(a_fd, "to a", NULL);
    }
}
END_TEST

/* A wildcard socket speaks at every address, but for one that a plain socket has for itself. */
START_TEST(closest_socket_decides)
{
    struct sockaddr_in any = {.sin_family = AF_INET};
    struct udp_address plain;
    struct udp_address own;
    int plain_fd = raw_bound(SILENT_HOST, &plain);
    int wildcard_fd = udp_unbound(AF_INET);
    int one = 1;
    int fd = udp_bound(AF_INET, &own);

    ck_assert_int_eq(
        RAW_CALL(SYS_setsockopt, plain_fd, SOL_SOCKET, SO_REUSEADDR, raw_pointer(&one), sizeof one),
        0);
    any.sin_port = htons(udp_port(&plain));
    UDP_ASSERT_OK(setsockopt(wildcard_fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one));
    UDP_ASSERT_OK(bind(wildcard_fd, (struct sockaddr *)&any, sizeof any));
    struct udp_address wildcard = udp_loopback(AF_INET, udp_port(&plain));

    udp_send_text(fd, "plain", &plain);
    raw_expect(plain_fd, "plain");
    udp_send_text(fd, "reliable", &wildcard);
    udp_expect_text(wildcard_fd, "reliable", NULL);
}
END_TEST

/* Silence is no: what was held leaves plainly, in order. */
START_TEST(silent_host)
{
    struct udp_address plain;
    struct udp_address own;
    char text[32];
    int plain_fd = raw_bound(SILENT_HOST, &plain);

    be_silent();
    int fd = udp_bound(AF_INET, &own);

    for (int index = 0; index < 50; index++) {
        (void)snprintf(text, sizeof text, "number %d", index);
        udp_send_text(fd, text, &plain);
    }
    for (int index = 0; index < 50; index++) {
        (void)snprintf(text, sizeof text, "number %d", index);
        raw_expect(plain_fd, text);
    }
}
END_TEST

/* Of several sockets that wait for one answer, each gets it. */
START_TEST(several_sockets)
{
    enum {
        SOCKET_COUNT = 5
    };
    struct udp_address plain;
    struct udp_address own;
    int plain_fd = raw_bound(SILENT_HOST, &plain);

    be_silent();
    for (int index = 0; index < SOCKET_COUNT; index++)
        udp_send_text(udp_bound(AF_INET, &own), "held", &plain);
    for (int index = 0; index < SOCKET_COUNT; index++)
        raw_expect(plain_fd, "held");
}
END_TEST

/* What is held is bounded: then a send would block, and there is room again when it has left. */
START_TEST(back_pressure)
{
    struct udp_address plain;
    struct udp_address own;
    static uint8_t message[MESSAGE_BYTES];
    size_t sent_bytes = 0;

    (void)raw_bound(SILENT_HOST, &plain);
    be_silent();
    int fd = udp_bound(AF_INET, &own);

    while (sendto(fd, message, sizeof message, MSG_DONTWAIT, (struct sockaddr *)&plain.addr,
                  plain.bytes) > 0)
        sent_bytes += sizeof message;
    ck_assert_int_eq(errno, EAGAIN);
    ck_assert_uint_gt(sent_bytes, BUFFER_BYTES / 2);
    ck_assert_uint_lt(sent_bytes, BUFFER_BYTES);
    ck_assert(!udp_wait(fd, POLLOUT, 0));
    ck_assert(udp_wait(fd, POLLOUT, UDP_PATIENCE_MS));
    ck_assert_int_eq(sendto(fd, message, sizeof message, MSG_DONTWAIT,
                            (struct sockaddr *)&plain.addr, plain.bytes),
                     (int)sizeof message);
}
END_TEST

/* What is held outlives its descriptor. */
START_TEST(closed_while_held)
{
    struct udp_address plain;
    struct udp_address own;
    int plain_fd = raw_bound(SILENT_HOST, &plain);

    be_silent();
    int fd = udp_bound(AF_INET, &own);

    udp_send_text(fd, "last", &plain);
    UDP_ASSERT_OK(close(fd));
    raw_expect(plain_fd, "last");
    struct sockaddr_in again = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};

    again.sin_port = htons(udp_port(&own));
    fd = udp_unbound(AF_INET);
    UDP_ASSERT_OK(bind(fd, (struct sockaddr *)&again, sizeof again));
}
END_TEST

/* The same for the process. */
START_TEST(exit_while_held)
{
    struct udp_address plain;
    int status;
    int plain_fd = raw_bound(SILENT_HOST, &plain);

    be_silent();
    pid_t child = fork();

    ck_assert_int_ge(child, 0);
    if (child == 0) {
        int fd = socket(AF_INET, SOCK_DGRAM, 0);

        _exit(sendto(fd, "last", 4, 0, (struct sockaddr *)&plain.addr, plain.bytes) != 4);
    }
    ck_assert_int_eq(waitpid(child, &status, 0), child);
    ck_assert_int_eq(status, 0);
    raw_expect(plain_fd, "last");
}
END_TEST

/* A forked child's messages are the owner's to hold. */
START_TEST(child_of_the_owner)
{
    struct udp_address plain;
    struct udp_address own;
    int status;
    int plain_fd = raw_bound(SILENT_HOST, &plain);

    be_silent();
    int fd = udp_bound(AF_INET, &own);
    pid_t child = fork();

    ck_assert_int_ge(child, 0);
    if (child == 0)
        _exit(sendto(fd, "child", 5, 0, (struct sockaddr *)&plain.addr, plain.bytes) != 5);
    ck_assert_int_eq(waitpid(child, &status, 0), child);
    ck_assert_int_eq(status, 0);
    udp_send_text(fd, "parent", &plain);
    raw_expect(plain_fd, "child");
    raw_expect(plain_fd, "parent");
}
END_TEST

/* What was held is the socket's: when its owner is killed, the process that goes on asks anew. */
START_TEST(owner_is_killed)
{
    struct udp_address plain;
    int ready[2];
    int status;
    char byte;
    int plain_fd = raw_bound(SILENT_HOST, &plain);

    be_silent();
    UDP_ASSERT_OK(pipe(ready));
    pid_t owner = fork();

    ck_assert_int_ge(owner, 0);
    if (owner == 0) {
        struct udp_address own;
        int fd = udp_bound(AF_INET, &own);
        pid_t heir = fork();

        if (heir == 0) {
            (void)recv(fd, &byte, 1, MSG_DONTWAIT); /* from its first call on it stands by */
            if (write(ready[1], "x", 1) != 1 || recv(fd, &byte, 1, 0) != 1)
                _exit(1);
            udp_send_text(fd, "heard", &plain);
            _exit(0);
        }
        if (read(ready[0], &byte, 1) != 1)
            _exit(1);
        udp_send_text(fd, "held", &plain);
        udp_send_text(fd, "too", &plain);
        (void)raise(SIGKILL);
    }
    ck_assert_int_eq(waitpid(owner, &status, 0), owner);
    ck_assert(WIFSIGNALED(status));
    struct udp_address seen;

    raw_expect_from(plain_fd, "held", &seen);
    raw_expect(plain_fd, "too");
    raw_send(plain_fd, "x", &seen);
    raw_expect(plain_fd, "heard");
}
END_TEST

/* A new socket of a forked child asks by itself. */
START_TEST(socket_of_a_child)
{
    struct udp_address plain;
    struct udp_address other;
    struct udp_address own;
    int status;
    int parents_fd = raw_bound(SILENT_HOST, &plain);
    int childs_fd = raw_bound(SILENT_HOST, &other);

    be_silent();
    int fd = udp_bound(AF_INET, &own);

    udp_send_text(fd, "parent", &plain); /* a question is open when the child is made */
    pid_t child = fork();

    ck_assert_int_ge(child, 0);
    if (child == 0) {
        UDP_ASSERT_OK(close(fd));
        fd = socket(AF_INET, SOCK_DGRAM, 0);
        exit(sendto(fd, "child", 5, 0, (struct sockaddr *)&other.addr, other.bytes) != 5);
    }
    ck_assert_int_eq(waitpid(child, &status, 0), child);
    ck_assert_int_eq(status, 0);
    raw_expect(childs_fd, "child");
    raw_expect(parents_fd, "parent");
}
END_TEST

/* A hello is an answer: what was held goes by that session, before anything else. */
START_TEST(hello_while_held)
{
    struct udp_address a;
    struct udp_address b;

    be_silent();
    int a_fd = udp_bound(AF_INET, &a);
    int b_fd = bound_at(SILENT_HOST, &b);

    udp_send_text(a_fd, "held", &b);
    udp_send_text(b_fd, "hello", &a);
    udp_expect_text(a_fd, "hello", NULL);
    udp_send_text(a_fd, "later", &b);
    udp_expect_text(b_fd, "held", NULL);
    udp_expect_text(b_fd, "later", NULL);
}
END_TEST

/* Only so many can be asked at once. */
START_TEST(too_many_questions)
{
    struct sockaddr_in to = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(SILENT_HOST)};
    struct udp_address own;

    be_silent();
    int fd = udp_bound(AF_INET, &own);

    for (uint32_t index = 0; index < ASKED_COUNT_MAX; index++) {
        to.sin_port = htons((uint16_t)(1000 + index));
        ck_assert_int_eq(sendto(fd, "x", 1, 0, (struct sockaddr *)&to, sizeof to), 1);
    }
    to.sin_port = htons(2000);
    UDP_ASSERT_ERROR((int)sendto(fd, "x", 1, 0, (struct sockaddr *)&to, sizeof to), ENOBUFS);
}
END_TEST

/* A plain peer that is not there refuses as on plain UDP. */
START_TEST(plain_refusal)
{
    struct udp_address plain;
    struct udp_address own;
    char byte;
    int plain_fd = raw_bound(INADDR_LOOPBACK, &plain);
    int fd = udp_bound(AF_INET, &own);

    UDP_ASSERT_OK(connect(fd, (struct sockaddr *)&plain.addr, plain.bytes));
    ck_assert_int_eq(send(fd, "there", 5, 0), 5);
    raw_expect(plain_fd, "there");
    ck_assert_int_eq(RAW_CALL(SYS_close, plain_fd), 0);
    ck_assert_int_eq(send(fd, "gone", 4, 0), 4);
    UDP_ASSERT_ERROR(recv(fd, &byte, 1, 0), ECONNREFUSED);
}
END_TEST

int main(void)
{
    return SUITE_RUN("fallback", plain_peer, speaking_peer, closest_socket_decides, silent_host,
                     several_sockets, back_pressure, closed_while_held, exit_while_held,
                     child_of_the_owner, owner_is_killed, socket_of_a_child, hello_while_held,
                     too_many_questions, plain_refusal);
}
