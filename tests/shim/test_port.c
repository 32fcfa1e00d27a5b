/* test_port.c - sockets of several processes on one port, as servers have that serve each client in
 * a process with a socket connected to it. True of every UDP socket. */
#include "tests/core/suite.h"
#include "tests/shim/udp.h"

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

/* A socket on the loopback port, which others may share; 0: any port. */
static int shared_socket(uint16_t port)
{
    const struct udp_address address = udp_loopback(AF_INET, port);
    int fd = udp_unbound(AF_INET);
    int yes = 1;

    UDP_ASSERT_OK(setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof yes));
    UDP_ASSERT_OK(setsockopt(fd, SOL_SOCKET, SO_REUSEPORT, &yes, sizeof yes));
    UDP_ASSERT_OK(bind(fd, (const struct sockaddr *)&address.addr, address.bytes));
    return fd;
}

static int connected_socket(uint16_t port, const struct udp_address *peer)
{
    int fd = shared_socket(port);

    UDP_ASSERT_OK(connect(fd, (const struct sockaddr *)&peer->addr, peer->bytes));
    return fd;
}

static void expect_end(pid_t pid)
{
    int status;

    ck_assert_int_eq(waitpid(pid, &status, 0), pid);
    ck_assert(WIFEXITED(status) && WEXITSTATUS(status) == 0);
}

/* A client, and a listener that has read its first message. */
struct call {
    int listener;
    uint16_t port;
    struct udp_address server;
    int client;
    struct udp_address client_address;
};

static struct call start_call(void)
{
    struct call call = {.listener = shared_socket(0)};

    call.server = udp_local(call.listener);
    call.port = udp_port(&call.server);
    call.client = udp_bound(AF_INET, &call.client_address);
    udp_send_text(call.client, "one", &call.server);
    udp_expect_text(call.listener, "one", NULL);
    return call;
}

/* In a child: the client's own socket. */
static int take_over(const struct call *call)
{
    UDP_ASSERT_OK(close(call->listener));
    return connected_socket(call->port, &call->client_address);
}

static void send_answer(int fd)
{
    ck_assert_int_eq(send(fd, "answer", 6, 0), 6);
}

/* The client hears the child's answer, and goes on. */
static void answered_sends(const struct call *call)
{
    udp_expect_text(call->client, "answer", NULL);
    udp_send_text(call->client, "two", &call->server);
}

/* The child answers, and gets what the client sends from then on. */
START_TEST(child_answers_from_a_new_socket)
{
    struct call call = start_call();
    pid_t child = fork();

    if (child == 0) {
        int fd = take_over(&call);

        send_answer(fd);
        udp_expect_text(fd, "two", NULL);
        ck_assert_int_eq(send(fd, "end", 3, 0), 3);
        exit(0);
    }
    answered_sends(&call);
    udp_expect_text(call.client, "end", NULL);
    expect_end(child);
    ck_assert(!udp_wait(call.listener, POLLIN, 0));
}
END_TEST

/* The child only listens. */
START_TEST(child_listens_on_a_new_socket)
{
    struct call call = start_call();
    int connected[2];
    char byte;

    UDP_ASSERT_OK(pipe(connected));
    pid_t child = fork();

    if (child == 0) {
        int fd = take_over(&call);

        ck_assert_int_eq(write(connected[1], "x", 1), 1);
        udp_expect_text(fd, "two", NULL);
        exit(0);
    }
    ck_assert_int_eq(read(connected[0], &byte, 1), 1);
    udp_send_text(call.client, "two", &call.server);
    expect_end(child);
    ck_assert(!udp_wait(call.listener, POLLIN, 0));
}
END_TEST

/* What the listener has not read yet stays in its queue, and does not keep the child from its
 * client, though the parent waits for it. */
START_TEST(parent_reads_the_rest_later)
{
    struct call call = start_call();

    udp_send_text(call.client, "rest", &call.server);
    ck_assert(udp_wait(call.listener, POLLIN, UDP_PATIENCE_MS));
    pid_t child = fork();

    if (child == 0) {
        int fd = take_over(&call);

        send_answer(fd);
        udp_expect_text(fd, "two", NULL);
        exit(0);
    }
    answered_sends(&call);
    expect_end(child);
    udp_expect_text(call.listener, "rest", NULL);
    ck_assert(!udp_wait(call.listener, POLLIN, 0));
}
END_TEST

/* The parent, too, may speak to a client that it has left to a child. */
START_TEST(parent_answers_after_the_child)
{
    struct call call = start_call();
    pid_t child = fork();

    if (child == 0) {
        int fd = take_over(&call);

        send_answer(fd);
        exit(0);
    }
    udp_expect_text(call.client, "answer", NULL);
    udp_send_text(call.listener, "more", &call.client_address);
    udp_expect_text(call.client, "more", NULL);
    expect_end(child);
    udp_send_text(call.client, "two", &call.server);
    udp_expect_text(call.listener, "two", NULL);
}
END_TEST

int main(void)
{
    return SUITE_RUN("port", child_answers_from_a_new_socket, child_listens_on_a_new_socket,
                     parent_reads_the_rest_later, parent_answers_after_the_child);
}
