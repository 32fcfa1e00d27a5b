/* test_reliable.c - what the shim adds to UDP: back-pressure, errors, plain peers. Run under the
 * shim and linked with it, with small buffers and short times in the environment: RUDP_SNDBUF=128K
 * RUDP_RCVBUF=128K RUDP_CONNECT_TIMEOUT=400ms RUDP_TAG=!127.0.0.9,* */
#include "engine/raw.h"
#include "tests/core/suite.h"
#include "tests/shim/raw_peer.h"
#include "tests/shim/udp.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define MESSAGE_BYTES      1000
#define CONNECT_TIMEOUT_MS 400 /* as in the environment */

static void set_nonblocking(int fd)
{
    UDP_ASSERT_OK(fcntl(fd, F_SETFL, O_NONBLOCK));
}

static void number_message(char *message, int number)
{
    memset(message, 'm', MESSAGE_BYTES);
    memcpy(message, &number, sizeof number);
}

static ssize_t send_number(int fd, int number, const struct udp_address *to)
{
    char message[MESSAGE_BYTES];

    number_message(message, number);
    return sendto(fd, message, sizeof message, 0, (const struct sockaddr *)&to->addr, to->bytes);
}

static int receive_number(int fd)
{
    char message[MESSAGE_BYTES + 1];
    int number;

    ck_assert(udp_wait(fd, POLLIN, UDP_PATIENCE_MS));
    ck_assert_int_eq(recv(fd, message, sizeof message, 0), MESSAGE_BYTES);
    memcpy(&number, message, sizeof number);
    return number;
}

/* Sends to a peer that does not read until nothing more is taken. Returns how many were. */
static int fill(int fd, const struct udp_address *to)
{
    int count = 0;

    for (;;) {
        while (send_number(fd, count, to) == MESSAGE_BYTES)
            count++;
        ck_assert_int_eq(errno, EAGAIN);
        /* What is on its way still finds room at the other end: full is when it stays full. */
        if (!udp_wait(fd, POLLOUT, 100))
            return count;
    }
}

/* A peer that does not read stops the sender: EAGAIN, no POLLOUT. When it reads, POLLOUT comes
 * back, and all that was accepted arrives once and in order. */
START_TEST(back_pressure)
{
    struct udp_address to;
    struct udp_address own;
    int receiver = udp_bound(AF_INET, &to);
    int sender = udp_bound(AF_INET, &own);

    set_nonblocking(sender);
    int count = fill(sender, &to);

    ck_assert_int_gt(count, 100);
    for (int number = 0; number < count; number++)
        ck_assert_int_eq(receive_number(receiver), number);
    ck_assert(udp_wait(sender, POLLOUT, UDP_PATIENCE_MS));
    ck_assert_int_eq(send_number(sender, count, &to), MESSAGE_BYTES);
    ck_assert_int_eq(receive_number(receiver), count);
}
END_TEST

/* What a program has read makes room, also when it never reads its queue empty. */
START_TEST(backlog)
{
    enum {
        UNREAD_COUNT = 4,
        ROUND_COUNT = 20
    };
    struct udp_address to;
    struct udp_address own;
    int receiver = udp_bound(AF_INET, &to);
    int sender = udp_bound(AF_INET, &own);
    int read_count = 0;
    int sent_count;

    set_nonblocking(sender);
    sent_count = fill(sender, &to);
    for (int round = 0; round < ROUND_COUNT; round++) {
        for (; read_count < sent_count - UNREAD_COUNT; read_count++)
            ck_assert_int_eq(receive_number(receiver), read_count);
        ck_assert(udp_wait(sender, POLLOUT, UDP_PATIENCE_MS));
        while (send_number(sender, sent_count, &to) == MESSAGE_BYTES)
            sent_count++;
    }
    for (; read_count < sent_count; read_count++)
        ck_assert_int_eq(receive_number(receiver), read_count);
}
END_TEST

/* A full peer delays nobody who sends to another. */
START_TEST(others_go_on)
{
    struct udp_address full;
    struct udp_address other;
    struct udp_address own;
    int full_fd = udp_bound(AF_INET, &full);
    int other_fd = udp_bound(AF_INET, &other);
    int sender = udp_bound(AF_INET, &own);

    set_nonblocking(sender);
    (void)fill(sender, &full);
    for (int number = 0; number < 50; number++) {
        ck_assert_int_eq(send_number(sender, number, &other), MESSAGE_BYTES);
        ck_assert_int_eq(receive_number(other_fd), number);
    }
    ck_assert_int_eq(receive_number(full_fd), 0);
}
END_TEST

struct stream {
    int fd;
    int count;
    struct udp_address to;
};

static void *send_stream(void *argument)
{
    const struct stream *stream = argument;

    for (int number = 0; number < stream->count; number++)
        if (send_number(stream->fd, number, &stream->to) != MESSAGE_BYTES)
            return (void *)(intptr_t)errno;
    return NULL;
}

/* A blocking sender waits for its peer and goes on by itself. */
START_TEST(blocking_sender)
{
    struct udp_address own;
    struct stream stream = {.count = 20000};
    pthread_t thread;
    void *result;
    int receiver = udp_bound(AF_INET, &stream.to);

    stream.fd = udp_bound(AF_INET, &own);
    UDP_ASSERT_OK(pthread_create(&thread, NULL, send_stream, &stream));
    for (int number = 0; number < stream.count; number++)
        ck_assert_int_eq(receive_number(receiver), number);
    UDP_ASSERT_OK(pthread_join(thread, &result));
    ck_assert_ptr_null(result);
}
END_TEST

/* SO_SNDTIMEO bounds the wait of a blocking sender. */
START_TEST(send_timeout)
{
    struct timeval timeout = {.tv_usec = 100000};
    struct udp_address to;
    struct udp_address own;
    int count = 0;
    int receiver = udp_bound(AF_INET, &to);
    int sender = udp_bound(AF_INET, &own);

    UDP_ASSERT_OK(setsockopt(sender, SOL_SOCKET, SO_SNDTIMEO, &timeout, sizeof timeout));
    while (send_number(sender, count, &to) == MESSAGE_BYTES)
        count++;
    ck_assert_int_eq(errno, EAGAIN);
    for (int number = 0; number < count; number++)
        ck_assert_int_eq(receive_number(receiver), number);
}
END_TEST

/* --- Errors -------------------------------------------------------------------------------------
 */

/* An address nobody is bound to. */
static struct udp_address deserted(void)
{
    struct udp_address address;
    int fd = udp_bound(AF_INET, &address);

    ck_assert_int_eq(close(fd), 0);
    return address;
}

static int64_t now_ms(void)
{
    struct timespec now;

    UDP_ASSERT_OK(clock_gettime(CLOCK_MONOTONIC, &now));
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

/* A connected socket whose peer is not there: readable after the connect timeout, refused once. */
START_TEST(refused_once)
{
    struct udp_address nobody = deserted();
    int fd = udp_connected(&nobody);
    int64_t begin_ms = now_ms();
    char byte;

    ck_assert_int_eq(send(fd, "x", 1, 0), 1);
    ck_assert(udp_wait(fd, POLLIN, UDP_PATIENCE_MS));
    ck_assert_int_ge(now_ms() - begin_ms, CONNECT_TIMEOUT_MS - 1);
    UDP_ASSERT_ERROR(recv(fd, &byte, 1, 0), ECONNREFUSED);
    UDP_ASSERT_ERROR(recv(fd, &byte, 1, MSG_DONTWAIT), EAGAIN);
    ck_assert(!udp_wait(fd, POLLIN, 0));
}
END_TEST

/* A receive that waits is woken by the error. */
START_TEST(error_wakes)
{
    struct udp_address nobody = deserted();
    int fd = udp_connected(&nobody);
    char byte;

    ck_assert_int_eq(send(fd, "x", 1, 0), 1);
    UDP_ASSERT_ERROR(recv(fd, &byte, 1, 0), ECONNREFUSED);
}
END_TEST

/* The next send reports it as well, and then not the next receive. */
START_TEST(refused_by_send)
{
    struct udp_address nobody = deserted();
    int fd = udp_connected(&nobody);
    char byte;

    ck_assert_int_eq(send(fd, "x", 1, 0), 1);
    ck_assert(udp_wait(fd, POLLIN, UDP_PATIENCE_MS));
    UDP_ASSERT_ERROR(send(fd, "y", 1, 0), ECONNREFUSED);
    ck_assert(!udp_wait(fd, POLLIN, 0));
    UDP_ASSERT_ERROR(recv(fd, &byte, 1, MSG_DONTWAIT), EAGAIN);
}
END_TEST

/* SO_ERROR reports it, once. */
START_TEST(refused_by_option)
{
    struct udp_address nobody = deserted();
    int fd = udp_connected(&nobody);
    int error = 0;
    socklen_t bytes = sizeof error;

    ck_assert_int_eq(send(fd, "x", 1, 0), 1);
    ck_assert(udp_wait(fd, POLLIN, UDP_PATIENCE_MS));
    UDP_ASSERT_OK(getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &bytes));
    ck_assert_int_eq(error, ECONNREFUSED);
    UDP_ASSERT_OK(getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &bytes));
    ck_assert_int_eq(error, 0);
}
END_TEST

/* A look with MSG_PEEK takes the error too, and what comes after it is not lost. */
START_TEST(error_by_peek)
{
    struct udp_address nobody = deserted();
    struct udp_address own;
    struct udp_address other;
    int fd = udp_bound(AF_INET, &own);
    int other_fd = udp_bound(AF_INET, &other);
    char byte;

    udp_send_text(fd, "x", &nobody);
    ck_assert(udp_wait(fd, POLLIN, UDP_PATIENCE_MS));
    UDP_ASSERT_ERROR(recv(fd, &byte, 1, MSG_PEEK), ETIMEDOUT);
    udp_send_text(other_fd, "after", &own);
    udp_expect_text(fd, "after", NULL);
}
END_TEST

static void expect_child(pid_t pid)
{
    int status;

    ck_assert_int_eq(waitpid(pid, &status, 0), pid);
    ck_assert(WIFEXITED(status) && WEXITSTATUS(status) == 0);
}

/* A child reports it: it is reported for all. */
static void check_error_in_child(bool peeks)
{
    struct udp_address nobody = deserted();
    int fd = udp_connected(&nobody);
    char byte;

    ck_assert_int_eq(send(fd, "x", 1, 0), 1);
    ck_assert(udp_wait(fd, POLLIN, UDP_PATIENCE_MS));
    pid_t pid = fork();

    if (pid == 0) {
        if (peeks)
            UDP_ASSERT_ERROR(recv(fd, &byte, 1, MSG_PEEK), ECONNREFUSED);
        else
            UDP_ASSERT_ERROR(send(fd, "y", 1, 0), ECONNREFUSED);
        ck_assert(!udp_wait(fd, POLLIN, 0));
        UDP_ASSERT_ERROR(recv(fd, &byte, 1, MSG_PEEK | MSG_DONTWAIT), EAGAIN);
        _exit(0);
    }
    expect_child(pid);
    ck_assert(!udp_wait(fd, POLLIN, 0));
    UDP_ASSERT_ERROR(recv(fd, &byte, 1, MSG_DONTWAIT), EAGAIN);
}

START_TEST(error_by_peek_in_child)
{
    check_error_in_child(true);
}
END_TEST

START_TEST(refused_by_send_in_child)
{
    check_error_in_child(false);
}
END_TEST

/* An unconnected socket that lost something to one peer still talks to others. */
START_TEST(others_without_error)
{
    struct udp_address nobody = deserted();
    struct udp_address own;
    struct udp_address other;
    int fd = udp_bound(AF_INET, &own);
    int other_fd = udp_bound(AF_INET, &other);

    udp_send_text(fd, "lost", &nobody);
    ck_assert(udp_wait(fd, POLLIN, UDP_PATIENCE_MS));
    udp_send_text(fd, "found", &other);
    udp_expect_text(other_fd, "found", NULL);
    UDP_ASSERT_ERROR((int)send_number(fd, 0, &nobody), ETIMEDOUT);
}
END_TEST

/* --- Plain peers --------------------------------------------------------------------------------
 */

/* A peer that no rule tags gets and sends plain datagrams, connected or not. */
START_TEST(untagged_peer)
{
    struct sockaddr_in any = {.sin_family = AF_INET};
    struct udp_address peer;
    struct udp_address seen;
    int peer_fd = raw_bound(0x7f000009, &peer);
    int fd = udp_unbound(AF_INET);

    UDP_ASSERT_OK(bind(fd, (struct sockaddr *)&any, sizeof any));
    struct udp_address local = udp_local(fd);
    struct udp_address own = udp_loopback(AF_INET, udp_port(&local));

    udp_send_text(fd, "plain", &peer);
    raw_expect(peer_fd, "plain");
    raw_send(peer_fd, "answer", &own);
    udp_expect_text(fd, "answer", &seen);
    ck_assert_mem_eq(&seen.addr, &peer.addr, peer.bytes);
    UDP_ASSERT_OK(connect(fd, (struct sockaddr *)&peer.addr, peer.bytes));
    ck_assert_int_eq(write(fd, "connected", 9), 9);
    raw_expect(peer_fd, "connected");
    raw_send(peer_fd, "bare", &own);
    udp_expect_text(fd, "bare", &seen);
    ck_assert_mem_eq(&seen.addr, &peer.addr, peer.bytes);
}
END_TEST

/* An untagged peer that is not there refuses at once, as on plain UDP. */
START_TEST(untagged_refusal)
{
    struct udp_address peer;
    int peer_fd = raw_bound(0x7f000009, &peer);
    int fd = udp_unbound(AF_INET);
    char byte;

    ck_assert_int_eq(RAW_CALL(SYS_close, peer_fd), 0);
    UDP_ASSERT_OK(connect(fd, (struct sockaddr *)&peer.addr, peer.bytes));
    int64_t begin_ms = now_ms();

    ck_assert_int_eq(send(fd, "x", 1, 0), 1);
    UDP_ASSERT_ERROR(recv(fd, &byte, 1, 0), ECONNREFUSED);
    ck_assert_int_lt(now_ms() - begin_ms, CONNECT_TIMEOUT_MS);
}
END_TEST

/* A plain datagram from a tagged peer reaches the program only if the setting says so. */
START_TEST(plain_from_tagged)
{
    struct udp_address stranger;
    struct udp_address untagged;
    struct udp_address own;
    int stranger_fd = raw_bound(INADDR_LOOPBACK, &stranger);
    int fd = udp_unbound(AF_INET);
    struct sockaddr_in any = {.sin_family = AF_INET};

    UDP_ASSERT_OK(bind(fd, (struct sockaddr *)&any, sizeof any));
    struct udp_address local = udp_local(fd);

    own = udp_loopback(AF_INET, udp_port(&local));
    raw_send(stranger_fd, "stranger", &own);
    raw_send(raw_bound(0x7f000009, &untagged), "behind it", &own);
    if (getenv("RUDP_ACCEPT_PLAIN") != NULL)
        udp_expect_text(fd, "stranger", NULL);
    udp_expect_text(fd, "behind it", NULL);
}
END_TEST

/* --- Past the hooks -----------------------------------------------------------------------------
 */

/* stdio on a connected socket: libc's own calls, which no preloaded library sees. */
START_TEST(stdio)
{
    char line[32];
    int fds[2];

    udp_pair(AF_INET, fds);
    FILE *writer = fdopen(fds[0], "w");
    FILE *reader = fdopen(fds[1], "r");

    ck_assert(writer != NULL && reader != NULL);
    ck_assert_int_ge(fputs("a line\n", writer), 0);
    ck_assert_int_eq(fflush(writer), 0);
    ck_assert_int_eq(send(fds[0], "another\n", 8, 0), 8); /* after what is still in the pair */
    ck_assert_ptr_eq(fgets(line, sizeof line, reader), line);
    ck_assert_str_eq(line, "a line\n");
    ck_assert_ptr_eq(fgets(line, sizeof line, reader), line);
    ck_assert_str_eq(line, "another\n");
}
END_TEST

/* --- Threads ------------------------------------------------------------------------------------
 */

enum {
    SENDER_COUNT = 4,
    RECEIVER_COUNT = 2,
    EACH_COUNT = 500
};

struct crowd {
    int sender;
    int receiver;
    struct udp_address to;
    atomic_int next;
    atomic_int seen[SENDER_COUNT * EACH_COUNT];
};

static void *send_share(void *argument)
{
    struct crowd *crowd = argument;

    for (int i = 0; i < EACH_COUNT; i++)
        ck_assert_int_eq(send_number(crowd->sender, atomic_fetch_add(&crowd->next, 1), &crowd->to),
                         MESSAGE_BYTES);
    return NULL;
}

static void *receive_share(void *argument)
{
    struct crowd *crowd = argument;
    char message[MESSAGE_BYTES];
    int number;

    for (int i = 0; i < SENDER_COUNT * EACH_COUNT / RECEIVER_COUNT; i++) {
        ck_assert_int_eq(recv(crowd->receiver, message, sizeof message, 0), MESSAGE_BYTES);
        memcpy(&number, message, sizeof number);
        atomic_fetch_add(&crowd->seen[number], 1);
    }
    return NULL;
}

/* Threads that send and receive on the same sockets lose nothing and double nothing. */
START_TEST(threads)
{
    static struct crowd crowd;
    struct udp_address own;
    pthread_t ids[SENDER_COUNT + RECEIVER_COUNT];

    crowd.receiver = udp_bound(AF_INET, &crowd.to);
    crowd.sender = udp_bound(AF_INET, &own);
    for (int i = 0; i < SENDER_COUNT + RECEIVER_COUNT; i++)
        UDP_ASSERT_OK(
            pthread_create(&ids[i], NULL, i < SENDER_COUNT ? send_share : receive_share, &crowd));
    for (int i = 0; i < SENDER_COUNT + RECEIVER_COUNT; i++)
        UDP_ASSERT_OK(pthread_join(ids[i], NULL));
    for (int i = 0; i < SENDER_COUNT * EACH_COUNT; i++)
        ck_assert_int_eq(atomic_load(&crowd.seen[i]), 1);
}
END_TEST

/* Whether the process's first thread sleeps. */
static bool is_asleep(pid_t pid)
{
    char path[64];
    char text[512];

    (void)snprintf(path, sizeof path, "/proc/%d/stat", (int)pid);
    FILE *file = fopen(path, "r");
    ck_assert(file != NULL);
    size_t bytes = fread(text, 1, sizeof text - 1, file);

    (void)fclose(file);
    text[bytes] = '\0';
    ck_assert_msg(strstr(text, ") Z ") == NULL, "%s", text);
    return strstr(text, ") S ") != NULL;
}

/* What comes when a program is already ending, and is waiting for others of its sends to arrive, is
 * not said to have been delivered. */
START_TEST(sent_to_the_ending)
{
    struct udp_address nobody = deserted();
    struct udp_address ending;
    struct udp_address own;
    int ready[2];
    char byte;
    int fd = udp_bound(AF_INET, &ending);

    UDP_ASSERT_OK(pipe(ready));
    pid_t child = fork();

    if (child == 0) {
        int child_fd = udp_bound(AF_INET, &own);

        ck_assert_int_eq(write(ready[1], &own, sizeof own), sizeof own);
        udp_expect_text(child_fd, "first", NULL);
        udp_send_text(child_fd, "x", &nobody);
        ck_assert_int_eq(write(ready[1], "x", 1), 1);
        exit(0);
    }
    ck_assert_int_eq(read(ready[0], &ending, sizeof ending), sizeof ending);
    udp_send_text(fd, "first", &ending);
    ck_assert_int_eq(read(ready[0], &byte, 1), 1);
    while (!is_asleep(child))
        (void)sched_yield();
    udp_send_text(fd, "last", &ending);
    ck_assert(udp_wait(fd, POLLIN, UDP_PATIENCE_MS));
    UDP_ASSERT_ERROR(recv(fd, &byte, 1, 0), ETIMEDOUT);
    ck_assert_int_eq(waitpid(child, NULL, 0), child);
}
END_TEST

int main(void)
{
    return SUITE_RUN("reliable", back_pressure, backlog, others_go_on, blocking_sender,
                     send_timeout, refused_once, error_wakes, refused_by_send, refused_by_option,
                     error_by_peek, error_by_peek_in_child, refused_by_send_in_child,
                     others_without_error, untagged_peer, untagged_refusal, plain_from_tagged,
                     stdio, threads, sent_to_the_ending);
}
