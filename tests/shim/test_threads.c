/* test_threads.c - threads and signals on one socket. Nothing here is more than what plain UDP
 * does: run plainly, under the shim, fortified, and linked with it. */
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
#include <sys/epoll.h>
#include <sys/select.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/uio.h>
#include <unistd.h>

#define THREAD_COUNT 4
#define ROUND_COUNT  300
#define JUMP_COUNT   3000
#define STORM_COUNT  3000

static void handle(int signal_number, void (*handler)(int), int flags)
{
    struct sigaction action = {.sa_handler = handler, .sa_flags = flags};

    UDP_ASSERT_OK(sigaction(signal_number, &action, NULL));
}

/* SIGALRM after that many microseconds, and again as often. 0: no more. */
static void alarm_every(suseconds_t period_us)
{
    struct itimerval timer = {.it_value = {.tv_usec = period_us},
                              .it_interval = {.tv_usec = period_us}};

    UDP_ASSERT_OK(setitimer(ITIMER_REAL, &timer, NULL));
}

static void expect_port_is_free(const struct udp_address *address)
{
    int fd = udp_unbound(AF_INET);

    UDP_ASSERT_OK(bind(fd, (const struct sockaddr *)&address->addr, address->bytes));
    ck_assert_int_eq(close(fd), 0);
}

/* --- Threads ------------------------------------------------------------------------------------
 */

struct worker {
    pthread_t thread;
    int fd;
    struct udp_address to;
    _Atomic pid_t tid; /* once it runs */
    ssize_t received_bytes;
    char text[16];
};

static void *answer(void *argument)
{
    struct worker *worker = argument;
    struct udp_address from;
    uint32_t number;

    for (;;) {
        from.bytes = sizeof from.addr;
        ck_assert_int_eq(recvfrom(worker->fd, &number, sizeof number, 0,
                                  (struct sockaddr *)&from.addr, &from.bytes),
                         sizeof number);
        if (number == 0)
            return NULL;
        udp_send_to(worker->fd, &number, sizeof number, &from);
    }
}

static void *ask(void *argument)
{
    struct worker *worker = argument;
    struct udp_address own;
    uint32_t seen;
    int fd = udp_bound(AF_INET, &own);

    for (uint32_t number = 1; number <= ROUND_COUNT; number++) {
        udp_send_to(fd, &number, sizeof number, &worker->to);
        ck_assert(udp_wait(fd, POLLIN, UDP_PATIENCE_MS));
        ck_assert_int_eq(recv(fd, &seen, sizeof seen, 0), sizeof seen);
        ck_assert_uint_eq(seen, number);
    }
    ck_assert_int_eq(close(fd), 0);
    return NULL;
}

/* Several threads receive and send on one socket: each question is answered once, by one of them.
 */
START_TEST(many_threads)
{
    struct worker servers[THREAD_COUNT];
    struct worker clients[THREAD_COUNT];
    struct udp_address address;
    uint32_t end = 0;
    int server_fd = udp_bound(AF_INET, &address);
    int client_fd = udp_unbound(AF_INET);

    for (size_t index = 0; index < THREAD_COUNT; index++) {
        servers[index] = (struct worker){.fd = server_fd};
        clients[index] = (struct worker){.to = address};
        UDP_ASSERT_OK(pthread_create(&servers[index].thread, NULL, answer, &servers[index]));
        UDP_ASSERT_OK(pthread_create(&clients[index].thread, NULL, ask, &clients[index]));
    }
    for (size_t index = 0; index < THREAD_COUNT; index++)
        UDP_ASSERT_OK(pthread_join(clients[index].thread, NULL));
    for (size_t index = 0; index < THREAD_COUNT; index++)
        udp_send_to(client_fd, &end, sizeof end, &address);
    for (size_t index = 0; index < THREAD_COUNT; index++)
        UDP_ASSERT_OK(pthread_join(servers[index].thread, NULL));
}
END_TEST

/* Waits until the thread sleeps in the kernel: it has nowhere to sleep but in its receive. */
static void wait_until_blocked(const struct worker *worker)
{
    char path[64];
    char state = '?';

    for (int waited_ms = 0; state != 'S'; waited_ms++) {
        pid_t tid = atomic_load(&worker->tid);
        FILE *file;

        ck_assert_int_lt(waited_ms, UDP_PATIENCE_MS);
        (void)poll(NULL, 0, 1);
        if (tid == 0)
            continue;
        ck_assert_int_gt(snprintf(path, sizeof path, "/proc/self/task/%d/stat", tid), 0);
        file = fopen(path, "r");
        ck_assert_ptr_nonnull(file);
        ck_assert_int_eq(fscanf(file, "%*d (%*[^)]) %c", &state), 1);
        ck_assert_int_eq(fclose(file), 0);
    }
}

#ifndef SHIM_TEST_WATCHES_DESCRIPTORS

static void *receive_one(void *argument)
{
    struct worker *worker = argument;

    atomic_store(&worker->tid, (pid_t)syscall(SYS_gettid));
    worker->received_bytes = recv(worker->fd, worker->text, sizeof worker->text - 1, 0);
    return NULL;
}

enum {
    TAKEN_BY_CLOSE,
    TAKEN_BY_DUP2,
    TAKEN_WAY_COUNT
};

/* A number that is closed, or made something else, while a thread receives on it: as on Linux the
 * thread sleeps on and takes the next datagram, and with it the port is free. */
START_TEST(taken_away)
{
    struct udp_address address;
    struct worker worker = {.fd = udp_bound(AF_INET, &address)};
    int sender = udp_unbound(AF_INET);

    udp_send_text(sender, "first", &address);
    udp_expect_text(worker.fd, "first", NULL);
    UDP_ASSERT_OK(pthread_create(&worker.thread, NULL, receive_one, &worker));
    wait_until_blocked(&worker);
    if (_i == TAKEN_BY_CLOSE)
        ck_assert_int_eq(close(worker.fd), 0);
    else
        ck_assert_int_eq(dup2(STDIN_FILENO, worker.fd), worker.fd);
    udp_send_text(sender, "later", &address);
    UDP_ASSERT_OK(pthread_join(worker.thread, NULL));
    ck_assert_int_eq(worker.received_bytes, 5);
    ck_assert_str_eq(worker.text, "later");
    expect_port_is_free(&address);
}
END_TEST

#endif

static void *receive_by(void *argument)
{
    struct worker *worker = argument;
    struct iovec part = {worker->text, sizeof worker->text};
    struct msghdr message = {.msg_iov = &part, .msg_iovlen = 1};
    struct mmsghdr messages = {.msg_hdr = message};

    atomic_store(&worker->tid, (pid_t)syscall(SYS_gettid));
    switch (worker->received_bytes) {
    case 0:
        return (void *)recv(worker->fd, worker->text, 1, 0);
    case 1:
        return (void *)recvfrom(worker->fd, worker->text, 1, 0, NULL, NULL);
    case 2:
        return (void *)recvmsg(worker->fd, &message, 0);
    case 3:
        return (void *)(intptr_t)recvmmsg(worker->fd, &messages, 1, 0, NULL);
    case 4:
        return (void *)read(worker->fd, worker->text, 1);
    default:
        return (void *)readv(worker->fd, &part, 1);
    }
}

#define RECEIVE_CALL_COUNT 6

/* A thread cancelled in any call that receives leaves the socket usable, and its port free once
 * closed. */
START_TEST(cancelled)
{
    struct udp_address address;
    struct worker worker = {.fd = udp_bound(AF_INET, &address), .received_bytes = _i};
    int sender = udp_unbound(AF_INET);
    void *result;

    UDP_ASSERT_OK(pthread_create(&worker.thread, NULL, receive_by, &worker));
    wait_until_blocked(&worker);
    UDP_ASSERT_OK(pthread_cancel(worker.thread));
    UDP_ASSERT_OK(pthread_join(worker.thread, &result));
    ck_assert_ptr_eq(result, PTHREAD_CANCELED);
    udp_send_text(sender, "still", &address);
    udp_expect_text(worker.fd, "still", NULL);
    ck_assert_int_eq(close(worker.fd), 0);
    expect_port_is_free(&address);
}
END_TEST

static void *send_for_ever(void *argument)
{
    struct worker *worker = argument;

    for (;;) {
        (void)sendto(worker->fd, "x", 1, 0, (struct sockaddr *)&worker->to.addr, worker->to.bytes);
        atomic_store(&worker->tid, 1); /* sends */
    }
    return NULL;
}

/* Sending is a cancellation point, whether or not it waits. */
START_TEST(cancelled_sender)
{
    struct udp_address own;
    struct worker worker = {.fd = udp_bound(AF_INET, &own)};
    void *result;

    (void)udp_bound(AF_INET, &worker.to);
    UDP_ASSERT_OK(pthread_create(&worker.thread, NULL, send_for_ever, &worker));
    for (int waited_ms = 0; atomic_load(&worker.tid) == 0; waited_ms++) {
        ck_assert_int_lt(waited_ms, UDP_PATIENCE_MS);
        (void)poll(NULL, 0, 1);
    }
    UDP_ASSERT_OK(pthread_cancel(worker.thread));
    UDP_ASSERT_OK(pthread_join(worker.thread, &result));
    ck_assert_ptr_eq(result, PTHREAD_CANCELED);
    udp_send_text(worker.fd, "mine", &own);
    udp_expect_text(worker.fd, "mine", NULL);
}
END_TEST

/* --- Signals ------------------------------------------------------------------------------------
 */

static volatile sig_atomic_t signal_count;

static void count_signal(int signal_number)
{
    (void)signal_number;
    signal_count++;
}

/* A receive ends with EINTR, unless the handler restarts calls; one with a time limit ends always.
 */
START_TEST(interrupted)
{
    struct udp_address address;
    struct timeval limit = {.tv_sec = UDP_PATIENCE_MS / 1000};
    char byte;
    int fd = udp_bound(AF_INET, &address);

    handle(SIGALRM, count_signal, 0);
    alarm_every(20000);
    UDP_ASSERT_ERROR((int)recv(fd, &byte, 1, 0), EINTR);
    handle(SIGALRM, count_signal, SA_RESTART);
    UDP_ASSERT_OK(setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit));
    UDP_ASSERT_ERROR((int)recv(fd, &byte, 1, 0), EINTR);
    alarm_every(0);
    ck_assert_int_ge(signal_count, 2);
}
END_TEST

#ifndef SHIM_TEST_DEFERS_SIGNALS

static int storm_fd;
static struct udp_address storm_to;

static void send_one(int signal_number)
{
    (void)signal_number;
    if (++signal_count == 3)
        (void)sendto(storm_fd, "here", 4, 0, (struct sockaddr *)&storm_to.addr, storm_to.bytes);
}

/* With SA_RESTART a receive goes on after handlers, and ends with what one of them sent. */
START_TEST(restarted)
{
    char text[8] = "";
    int fd = udp_bound(AF_INET, &storm_to);

    storm_fd = udp_unbound(AF_INET);
    handle(SIGALRM, send_one, SA_RESTART);
    alarm_every(10000);
    ck_assert_int_eq(recv(fd, text, sizeof text, 0), 4);
    alarm_every(0);
    ck_assert_int_ge(signal_count, 3);
}
END_TEST

static void use_socket(int signal_number)
{
    char buffer[64];
    int saved_errno = errno;

    (void)signal_number;
    (void)sendto(storm_fd, "storm", 5, MSG_DONTWAIT, (struct sockaddr *)&storm_to.addr,
                 storm_to.bytes);
    (void)recv(storm_fd, buffer, sizeof buffer, MSG_DONTWAIT);
    signal_count++;
    errno = saved_errno;
}

/* A handler sends and receives on the very socket whose call it interrupts, or while memory is
 * allocated or sockets come and go: nothing hangs. */
START_TEST(storm)
{
    struct udp_address other;
    struct udp_address sink;
    char buffer[64];
    int sink_fd = udp_bound(AF_INET, &sink);

    storm_fd = udp_bound(AF_INET, &storm_to);
    handle(SIGALRM, use_socket, SA_RESTART);
    alarm_every(100);
    while (signal_count < STORM_COUNT) {
        int fd = udp_bound(AF_INET, &other);

        (void)sendto(storm_fd, "main", 4, 0, (struct sockaddr *)&sink.addr, sink.bytes);
        (void)recv(storm_fd, buffer, sizeof buffer, MSG_DONTWAIT);
        while (recv(sink_fd, buffer, sizeof buffer, MSG_DONTWAIT) >= 0) {
        }
        free(malloc(1000));
        (void)sendto(fd, "other", 5, 0, (struct sockaddr *)&storm_to.addr, storm_to.bytes);
        ck_assert_int_eq(close(fd), 0);
    }
    alarm_every(0);
    while (recv(storm_fd, buffer, sizeof buffer, MSG_DONTWAIT) >= 0) {
    }
    ck_assert_int_eq(close(storm_fd), 0);
}
END_TEST

static sigjmp_buf jump_target;

static void jump(int signal_number)
{
    (void)signal_number;
    siglongjmp(jump_target, 1);
}

/* Not a word to the test's framework from here on: a jump out of its malloc would keep the lock. */
static void jump_soon(int count)
{
    struct itimerval once = {.it_value = {.tv_usec = 50 + count % 50}};

    (void)setitimer(ITIMER_REAL, &once, NULL);
}

/* A handler that jumps out of a receive, thousands of times: the socket goes on to work, and its
 * port is free once it is closed. Where one round blocks, the other is caught anywhere in the
 * calls. */
START_TEST(jump_out_of_receive)
{
    volatile int count = 0;
    volatile int flags = 0;
    struct udp_address address;
    char buffer[64];
    int fd = udp_bound(AF_INET, &address);
    int sender = udp_unbound(AF_INET);

    handle(SIGALRM, jump, 0);
    if (sigsetjmp(jump_target, 1) != 0) {
        count++;
        flags = MSG_DONTWAIT - flags;
    }
    if (count < JUMP_COUNT) {
        jump_soon(count);
        for (;;)
            (void)recv(fd, buffer, sizeof buffer, flags);
    }
    udp_send_text(sender, "still", &address);
    udp_expect_text(fd, "still", NULL);
    ck_assert_int_eq(close(fd), 0);
    expect_port_is_free(&address);
}
END_TEST

/* The same out of a send. */
START_TEST(jump_out_of_send)
{
    volatile int count = 0;
    struct udp_address address;
    struct udp_address to;
    char buffer[64];
    int fd = udp_bound(AF_INET, &address);
    int receiver = udp_bound(AF_INET, &to);

    handle(SIGALRM, jump, 0);
    if (sigsetjmp(jump_target, 1) != 0)
        count++;
    if (count < JUMP_COUNT) {
        jump_soon(count);
        for (;;) {
            (void)sendto(fd, "jump", 4, MSG_DONTWAIT, (struct sockaddr *)&to.addr, to.bytes);
            (void)recv(receiver, buffer, sizeof buffer, MSG_DONTWAIT);
        }
    }
    while (recv(receiver, buffer, sizeof buffer, MSG_DONTWAIT) >= 0) {
    }
    ck_assert_int_eq(close(fd), 0);
    expect_port_is_free(&address);
}
END_TEST

#endif

static volatile sig_atomic_t io_fd = -1;
static volatile sig_atomic_t io_band;

static void note_io(int signal_number, siginfo_t *info, void *context)
{
    (void)signal_number;
    (void)context;
    io_fd = info->si_fd;
    io_band = (sig_atomic_t)info->si_band;
}

/* O_ASYNC with a signal and an owner of one's choice tells of a datagram, and on which number. */
START_TEST(signal_driven)
{
    struct sigaction action = {.sa_sigaction = note_io, .sa_flags = SA_SIGINFO};
    struct udp_address address;
    sigset_t only;
    sigset_t before;
    int fd = udp_bound(AF_INET, &address);
    int sender = udp_unbound(AF_INET);

    UDP_ASSERT_OK(sigaction(SIGRTMIN, &action, NULL));
    UDP_ASSERT_OK(sigemptyset(&only));
    UDP_ASSERT_OK(sigaddset(&only, SIGRTMIN));
    UDP_ASSERT_OK(pthread_sigmask(SIG_BLOCK, &only, &before));
    UDP_ASSERT_OK(fcntl(fd, F_SETOWN, getpid()));
    UDP_ASSERT_OK(fcntl(fd, F_SETSIG, SIGRTMIN));
    ck_assert_int_eq(fcntl(fd, F_GETOWN), getpid());
    ck_assert_int_eq(fcntl(fd, F_GETSIG), SIGRTMIN);
    UDP_ASSERT_OK(fcntl(fd, F_SETFL, O_ASYNC | O_NONBLOCK));
    udp_send_text(sender, "news", &address);
    for (int waited_ms = 0; (io_band & POLLIN) == 0; waited_ms++) {
        struct timespec moment = {.tv_nsec = 1000000};

        ck_assert_int_lt(waited_ms, UDP_PATIENCE_MS);
        (void)ppoll(NULL, 0, &moment, &before);
    }
    ck_assert_int_eq(io_fd, fd);
    udp_expect_text(fd, "news", NULL);
}
END_TEST

enum {
    WAIT_PPOLL,
    WAIT_PSELECT,
    WAIT_EPOLL_PWAIT,
    WAIT_CALL_COUNT
};

static int wait_with_mask(int call, int fd, const sigset_t *mask)
{
    struct pollfd poll_fd = {.fd = fd, .events = POLLIN};
    struct epoll_event event = {.events = EPOLLIN};
    fd_set set;

    if (call == WAIT_PPOLL)
        return ppoll(&poll_fd, 1, NULL, mask);
    if (call == WAIT_PSELECT) {
        FD_ZERO(&set);
        FD_SET(fd, &set);
        return pselect(fd + 1, &set, NULL, NULL, NULL, mask);
    }
    int epoll = epoll_create1(EPOLL_CLOEXEC);

    UDP_ASSERT_OK(epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &event));
    int result = epoll_pwait(epoll, &event, 1, -1, mask);
    int saved_errno = errno;

    ck_assert_int_eq(close(epoll), 0);
    errno = saved_errno;
    return result;
}

/* A signal that only the wait lets in ends it; one that the wait keeps out does not, and the socket
 * does. */
START_TEST(masks)
{
    struct udp_address address;
    sigset_t blocked;
    sigset_t open;
    int fd = udp_bound(AF_INET, &address);
    int sender = udp_unbound(AF_INET);

    handle(SIGUSR1, count_signal, 0);
    UDP_ASSERT_OK(sigemptyset(&blocked));
    UDP_ASSERT_OK(sigaddset(&blocked, SIGUSR1));
    UDP_ASSERT_OK(pthread_sigmask(SIG_BLOCK, &blocked, &open));
    UDP_ASSERT_OK(raise(SIGUSR1));
    ck_assert_int_eq(signal_count, 0);
    UDP_ASSERT_ERROR(wait_with_mask(_i, fd, &open), EINTR);
    ck_assert_int_eq(signal_count, 1);

    UDP_ASSERT_OK(raise(SIGUSR1));
    udp_send_text(sender, "wake", &address);
    ck_assert_int_eq(wait_with_mask(_i, fd, &blocked), 1);
    ck_assert_int_eq(signal_count, 1);
    udp_expect_text(fd, "wake", NULL);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("threads");
    TCase *tcase = tcase_create("threads");
    SRunner *runner = srunner_create(suite);
    const TTest *const tests[] = {
        many_threads, cancelled_sender,    interrupted,      signal_driven,
#ifndef SHIM_TEST_DEFERS_SIGNALS
        restarted,    jump_out_of_receive, jump_out_of_send, storm,
#endif
    };

    tcase_set_timeout(tcase, UDP_PATIENCE_MS / 1000 * 3);
    for (size_t i = 0; i < sizeof tests / sizeof *tests; i++)
        tcase_add_test(tcase, tests[i]);
#ifndef SHIM_TEST_WATCHES_DESCRIPTORS
    tcase_add_loop_test(tcase, taken_away, 0, TAKEN_WAY_COUNT);
#endif
    tcase_add_loop_test(tcase, cancelled, 0, RECEIVE_CALL_COUNT);
    tcase_add_loop_test(tcase, masks, 0, WAIT_CALL_COUNT);
    suite_add_tcase(suite, tcase);
    srunner_run_all(runner, CK_NORMAL);
    int failed_count = srunner_ntests_failed(runner);

    srunner_free(runner);
    return failed_count == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
