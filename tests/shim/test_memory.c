/* test_memory.c - sockets whose messages take all the memory there is: the bound of the process, or
 * the address space of its arena. Run under the shim and linked with it. */
#include "tests/core/suite.h"
#include "tests/shim/udp.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#define SOCKET_COUNT  300
#define MESSAGE_BYTES 4096
#define ADDRESS_SPACE ((rlim_t)24 * 1024 * 1024) /* for the arena */

/* Sockets of one side, and how far their numbered messages are. */
struct side {
    int fds[SOCKET_COUNT];
    int sent_counts[SOCKET_COUNT];
    int received_counts[SOCKET_COUNT];
    int count;
};

struct message {
    int index; /* of the socket */
    int number;
    bool is_last;
    char rest[MESSAGE_BYTES];
};

static struct side side; /* one a process, and large */

/* The arena is made with the first socket: no larger than what is left of the address space. */
static void make_small_arena(void)
{
    struct rlimit before;
    FILE *file = fopen("/proc/self/statm", "r");
    unsigned long pages = 0;

    ck_assert(file != NULL);
    ck_assert_int_eq(fscanf(file, "%lu", &pages), 1);
    ck_assert_int_eq(fclose(file), 0);
    UDP_ASSERT_OK(getrlimit(RLIMIT_AS, &before));
    struct rlimit small = before;

    small.rlim_cur = (rlim_t)pages * (rlim_t)sysconf(_SC_PAGESIZE) + ADDRESS_SPACE;
    UDP_ASSERT_OK(setrlimit(RLIMIT_AS, &small));
    int fd = udp_unbound(AF_INET);

    UDP_ASSERT_OK(setrlimit(RLIMIT_AS, &before));
    ck_assert_int_eq(close(fd), 0);
}

/* 0 or the errno value. */
static int send_next(int index, const struct udp_address *to, int flags, bool is_last)
{
    const struct message message = {
        .index = index,
        .number = side.sent_counts[index],
        .is_last = is_last,
    };

    if (sendto(side.fds[index], &message, sizeof message, flags, (const struct sockaddr *)&to->addr,
               to->bytes) < 0)
        return errno;
    side.sent_counts[index]++;
    return 0;
}

/* Until it takes no more. */
static void fill(int index, const struct udp_address *to)
{
    int error = 0;

    while (error == 0)
        error = send_next(index, to, MSG_DONTWAIT, false);
    ck_assert_msg(error == EAGAIN || error == ENOBUFS, "%s", strerror(error));
}

/* -1: there is no memory for another one. */
static int open_bound(void)
{
    const struct udp_address any = udp_loopback(AF_INET, 0);
    int fd = socket(AF_INET, SOCK_DGRAM, 0);

    if (fd >= 0 && bind(fd, (const struct sockaddr *)&any.addr, any.bytes) == 0)
        return fd;
    ck_assert_int_eq(errno, ENOMEM);
    if (fd >= 0)
        ck_assert_int_eq(close(fd), 0);
    return -1;
}

/* One socket after the other, until there is no memory for more. */
static void side_fill(const struct udp_address *to)
{
    for (; side.count < SOCKET_COUNT; side.count++) {
        side.fds[side.count] = open_bound();
        if (side.fds[side.count] < 0)
            return;
        fill(side.count, to);
    }
    ck_assert_int_eq(side.sent_counts[SOCKET_COUNT - 1], 0);
}

/* Where there was no memory for a session yet it is asked for again, as any UDP program does. */
static void side_finish(const struct udp_address *to)
{
    for (int index = 0; index < side.count; index++) {
        int error;

        while ((error = send_next(index, to, 0, true)) == ENOBUFS)
            (void)poll(NULL, 0, 1);
        ck_assert_int_eq(error, 0);
    }
}

/* Stops once it is bound; then receives every message of every socket once, in order. */
static void run_receiver(int out, int in)
{
    struct udp_address own;
    struct message message;
    int fd = udp_bound(AF_INET, &own);
    int last_count = 0;
    int count;

    ck_assert_int_eq(write(out, &own, sizeof own), sizeof own);
    UDP_ASSERT_OK(raise(SIGSTOP));
    ck_assert_int_eq(read(in, &count, sizeof count), sizeof count);
    while (last_count < count) {
        ck_assert(udp_wait(fd, POLLIN, UDP_PATIENCE_MS));
        ck_assert_int_eq(recv(fd, &message, sizeof message, 0), sizeof message);
        ck_assert_int_eq(message.number, side.received_counts[message.index]++);
        last_count += message.is_last;
    }
    ck_assert_int_eq(write(out, "x", 1), 1);
    for (;;)
        pause();
}

/* Sockets that fill the memory wait, whether in a call or not; and when their peer reads, all that
 * was accepted arrives, and they send on. */
START_TEST(full_of_what_was_sent)
{
    struct udp_address to;
    int told[2];
    int counts[2];
    int status;
    char byte;

    UDP_ASSERT_OK(pipe(told));
    UDP_ASSERT_OK(pipe(counts));
    pid_t receiver = fork();

    if (receiver == 0)
        run_receiver(told[1], counts[0]);
    ck_assert_int_eq(waitpid(receiver, &status, WUNTRACED), receiver);
    ck_assert(WIFSTOPPED(status));
    ck_assert_int_eq(read(told[0], &to, sizeof to), sizeof to);
    make_small_arena();
    side_fill(&to);
    ck_assert_int_eq(write(counts[1], &side.count, sizeof side.count), sizeof side.count);
    UDP_ASSERT_OK(kill(receiver, SIGCONT));
    side_finish(&to);
    ck_assert_int_eq(close(told[1]), 0);
    ck_assert_int_eq(read(told[0], &byte, 1), 1); /* none: it has failed, and said how */
    UDP_ASSERT_OK(kill(receiver, SIGKILL));
}
END_TEST

int main(void)
{
    return SUITE_RUN("memory", full_of_what_was_sent);
}
