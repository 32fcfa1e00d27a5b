/* test_blocked.c - threads and signals that meet a send which waits for its peer. Run under the
 * shim and linked with it, with small buffers. */
#include "tests/core/suite.h"
#include "tests/shim/udp.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <unistd.h>

#define MESSAGE_BYTES 4000
#define JUMP_COUNT    200

static char message[MESSAGE_BYTES];

/* A sender, and a peer that does not read. */
struct line {
    int fd;
    int receiver;
    struct udp_address own;
    struct udp_address to;
    _Atomic pid_t tid;
    ssize_t result;
    int error;
};

static ssize_t send_message(struct line *line, int flags)
{
    return sendto(line->fd, message, sizeof message, flags, (struct sockaddr *)&line->to.addr,
                  line->to.bytes);
}

/* Sends until the peer takes no more: not for a moment, but looked at again. */
static void fill(struct line *line)
{
    int refused_count = 0;

    while (refused_count < 50) {
        if (send_message(line, MSG_DONTWAIT) >= 0) {
            refused_count = 0;
            continue;
        }
        ck_assert_int_eq(errno, EAGAIN);
        refused_count++;
        (void)poll(NULL, 0, 2);
    }
}

static void open_line(struct line *line)
{
    *line = (struct line){.tid = 0};
    line->receiver = udp_bound(AF_INET, &line->to);
    line->fd = udp_bound(AF_INET, &line->own);
    fill(line);
}

/* The receiver reads all, the socket works on, and once closed its port is free. */
static void expect_sound(struct line *line)
{
    while (udp_wait(line->receiver, POLLIN, 200))
        ck_assert_int_eq(recv(line->receiver, message, sizeof message, 0), sizeof message);
    udp_send_text(line->fd, "still", &line->to);
    udp_expect_text(line->receiver, "still", NULL);
    ck_assert_int_eq(close(line->fd), 0);
    int fd = udp_unbound(AF_INET);

    UDP_ASSERT_OK(bind(fd, (struct sockaddr *)&line->own.addr, line->own.bytes));
}

static void *send_blocked(void *argument)
{
    struct line *line = argument;

    atomic_store(&line->tid, (pid_t)syscall(SYS_gettid));
    do
        line->result = send_message(line, 0);
    while (line->result >= 0 && line->error == 0);
    line->error = errno;
    return NULL;
}

/* Waits until the thread sleeps in the kernel, look after look. */
static void wait_until_blocked(const struct line *line)
{
    char path[64];
    int asleep_count = 0;

    for (int waited_ms = 0; asleep_count < 20; waited_ms++) {
        char state = '?';

        ck_assert_int_lt(waited_ms, UDP_PATIENCE_MS);
        (void)poll(NULL, 0, 1);
        if (atomic_load(&line->tid) == 0)
            continue;
        ck_assert_int_gt(snprintf(path, sizeof path, "/proc/self/task/%d/stat", line->tid), 0);
        FILE *file = fopen(path, "r");

        ck_assert_ptr_nonnull(file);
        ck_assert_int_eq(fscanf(file, "%*d (%*[^)]) %c", &state), 1);
        ck_assert_int_eq(fclose(file), 0);
        asleep_count = state == 'S' ? asleep_count + 1 : 0;
    }
}

/* A thread cancelled while its send waits holds nothing that others need. */
START_TEST(cancelled)
{
    struct line line;
    pthread_t thread;
    void *result;

    open_line(&line);
    UDP_ASSERT_OK(pthread_create(&thread, NULL, send_blocked, &line));
    wait_until_blocked(&line);
    UDP_ASSERT_OK(pthread_cancel(thread));
    UDP_ASSERT_OK(pthread_join(thread, &result));
    ck_assert_ptr_eq(result, PTHREAD_CANCELED);
    expect_sound(&line);
}
END_TEST

/* A number that is closed while a send waits on it: the send ends when there is room, with an
 * error. */
START_TEST(closed)
{
    struct line line;
    pthread_t thread;

    open_line(&line);
    UDP_ASSERT_OK(pthread_create(&thread, NULL, send_blocked, &line));
    wait_until_blocked(&line);
    ck_assert_int_eq(close(line.fd), 0);
    while (udp_wait(line.receiver, POLLIN, 200))
        ck_assert_int_eq(recv(line.receiver, message, sizeof message, 0), sizeof message);
    UDP_ASSERT_OK(pthread_join(thread, NULL));
    ck_assert_int_eq(line.error, EBADF);
    line.fd = udp_unbound(AF_INET);
    UDP_ASSERT_OK(bind(line.fd, (struct sockaddr *)&line.own.addr, line.own.bytes));
}
END_TEST

#ifndef SHIM_TEST_DEFERS_SIGNALS

static volatile sig_atomic_t signal_count;

static void count_signal(int signal_number)
{
    (void)signal_number;
    signal_count++;
}

static void handle_alarms(void (*handler)(int), suseconds_t period_us)
{
    struct sigaction action = {.sa_handler = handler};
    struct itimerval timer = {.it_value = {.tv_usec = period_us},
                              .it_interval = {.tv_usec = period_us}};

    UDP_ASSERT_OK(sigaction(SIGALRM, &action, NULL));
    (void)setitimer(ITIMER_REAL, &timer, NULL);
}

/* A send that waits ends with EINTR, and with EAGAIN after its time limit. */
START_TEST(interrupted)
{
    struct line line;
    struct timeval limit = {.tv_usec = 50000};

    open_line(&line);
    handle_alarms(count_signal, 20000);
    UDP_ASSERT_ERROR((int)send_message(&line, 0), EINTR);
    handle_alarms(count_signal, 0);
    ck_assert_int_ge(signal_count, 1);
    UDP_ASSERT_OK(setsockopt(line.fd, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof limit));
    UDP_ASSERT_ERROR((int)send_message(&line, 0), EAGAIN);
    expect_sound(&line);
}
END_TEST

static sigjmp_buf jump_target;

static void jump(int signal_number)
{
    (void)signal_number;
    siglongjmp(jump_target, 1);
}

/* A handler jumps out of sends that wait, again and again. */
START_TEST(jumped_out)
{
    static struct line line;
    volatile int count = 0;

    open_line(&line);
    if (sigsetjmp(jump_target, 1) != 0)
        count++;
    else
        handle_alarms(jump, 2000);
    while (count < JUMP_COUNT)
        (void)send_message(&line, 0);
    handle_alarms(count_signal, 0);
    expect_sound(&line);
}
END_TEST

#endif

int main(void)
{
    Suite *suite = suite_create("blocked");
    TCase *tcase = tcase_create("blocked");
    SRunner *runner = srunner_create(suite);
    const TTest *const tests[] = {
        cancelled,
        closed,
#ifndef SHIM_TEST_DEFERS_SIGNALS
        interrupted,
        jumped_out,
#endif
    };

    tcase_set_timeout(tcase, UDP_PATIENCE_MS / 1000 * 3);
    for (size_t i = 0; i < sizeof tests / sizeof *tests; i++)
        tcase_add_test(tcase, tests[i]);
    suite_add_tcase(suite, tcase);
    srunner_run_all(runner, CK_NORMAL);
    int failed_count = srunner_ntests_failed(runner);

    srunner_free(runner);
    return failed_count == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
