/* cases_readiness.c - poll, select, epoll, signals, time. */
#include "cases.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/select.h>
#include <sys/time.h>
#include <unistd.h>

static void polling(const struct variant *variant)
{
    struct ends ends;
    int fresh = open_unbound(variant, "fresh");

    step_poll(fresh);
    open_ends(variant, &ends);
    step_poll(ends.b);
    say(variant, &ends, "ready");
    AWAIT_INPUT(ends.b);
    step_poll(ends.b);
    step_poll(ends.a);
    struct pollfd entries[] = {
        {.fd = ends.b, .events = POLLIN, .revents = -1},
        {.fd = -1, .events = POLLIN, .revents = -1},
        {.fd = ends.b, .events = POLLOUT, .revents = -1},
        {.fd = ends.b, .events = 0, .revents = -1},
        {.fd = 999, .events = POLLIN, .revents = -1},
        {.fd = ends.a, .events = POLLIN, .revents = -1},
    };

    trace("poll of many");
    trace_result(poll(entries, sizeof entries / sizeof *entries, 1000));
    for (size_t index = 0; index < sizeof entries / sizeof *entries; index++)
        trace_poll_events(entries[index].revents);
    trace_end();
    step_recv(ends.b, 10, 0);
    step_poll(ends.b);
}

static void selecting(const struct variant *variant)
{
    struct ends ends;
    fd_set in;
    fd_set out;
    fd_set extra;
    struct timeval limit = {.tv_sec = 100};

    open_ends(variant, &ends);
    for (int turn = 0; turn < 2; turn++) {
        FD_ZERO(&in);
        FD_ZERO(&out);
        FD_ZERO(&extra);
        for (int fd = ends.a; fd <= ends.b; fd++) {
            FD_SET(fd, &in);
            FD_SET(fd, &extra);
            if (turn == 0)
                FD_SET(fd, &out);
        }
        if (turn == 1)
            say(variant, &ends, "now");
        trace("select");
        trace_result(select(ends.b + 1, &in, &out, &extra, &limit));
        for (int fd = ends.a; fd <= ends.b; fd++)
            trace_more("%d%d%d", FD_ISSET(fd, &in) != 0, FD_ISSET(fd, &out) != 0,
                       FD_ISSET(fd, &extra) != 0);
        trace_end();
    }
    trace_line("time left: %s", limit.tv_sec < 100 && limit.tv_sec > 80 ? "some" : "odd");
    limit = (struct timeval){.tv_usec = 1000};
    trace("select of nothing");
    trace_result(select(0, NULL, NULL, NULL, &limit));
    trace_more("left %ld %ld", (long)limit.tv_sec, (long)limit.tv_usec);
    trace_end();
    FD_ZERO(&in);
    FD_SET(40, &in);
    trace("select of a closed one");
    trace_result(select(41, &in, NULL, NULL, NULL));
    trace_end();
}

static void step_epoll_wait(int epoll, int timeout_ms)
{
    struct epoll_event events[4];

    trace("epoll_wait");
    long count = trace_result(epoll_wait(epoll, events, 4, timeout_ms));

    for (long index = 0; index < count; index++) {
        trace_more("%s", trace_fd(events[index].data.fd));
        trace_poll_events((short)events[index].events);
    }
    trace_end();
}

static void step_epoll_ctl(int epoll, int operation, int fd, uint32_t events)
{
    struct epoll_event event = {.events = events, .data.fd = fd};

    trace("epoll_ctl(%d, %s, %#x)", operation, trace_fd(fd), events);
    trace_result(epoll_ctl(epoll, operation, fd, operation == EPOLL_CTL_DEL ? NULL : &event));
    trace_end();
}

static void epoll_level(const struct variant *variant)
{
    struct ends ends;
    int epoll = epoll_create1(0);

    open_ends(variant, &ends);
    step_epoll_ctl(epoll, EPOLL_CTL_ADD, ends.b, EPOLLIN | EPOLLRDHUP);
    step_epoll_ctl(epoll, EPOLL_CTL_ADD, ends.b, EPOLLIN);
    step_epoll_wait(epoll, 0);
    say(variant, &ends, "one");
    say(variant, &ends, "two");
    step_epoll_wait(epoll, PATIENCE_MS);
    step_recv(ends.b, 10, 0);
    step_epoll_wait(epoll, PATIENCE_MS);
    step_recv(ends.b, 10, 0);
    step_epoll_wait(epoll, 0);
    step_epoll_ctl(epoll, EPOLL_CTL_MOD, ends.b, EPOLLIN | EPOLLOUT);
    step_epoll_wait(epoll, 0);
    step_epoll_ctl(epoll, EPOLL_CTL_DEL, ends.b, 0);
    step_epoll_ctl(epoll, EPOLL_CTL_DEL, ends.b, 0);
    step_epoll_wait(epoll, 0);
    step_epoll_ctl(epoll, EPOLL_CTL_ADD, ends.b, EPOLLOUT);
    step_close(ends.b); /* leaves the set by itself */
    step_epoll_wait(epoll, 0);
}

static void epoll_edge(const struct variant *variant)
{
    struct ends ends;
    int epoll = epoll_create1(0);

    open_ends(variant, &ends);
    step_epoll_ctl(epoll, EPOLL_CTL_ADD, ends.b, EPOLLIN | EPOLLET);
    say(variant, &ends, "one");
    step_epoll_wait(epoll, PATIENCE_MS);
    step_epoll_wait(epoll, 0);
    say(variant, &ends, "two"); /* a new edge, though the first was not read */
    step_epoll_wait(epoll, PATIENCE_MS);
    step_recv(ends.b, 10, 0);
    step_epoll_wait(epoll, 0);
    step_epoll_ctl(epoll, EPOLL_CTL_MOD, ends.b, EPOLLIN | EPOLLET);
    step_epoll_wait(epoll, 0);
    step_recv(ends.b, 10, 0);
    step_recv(ends.b, 10, MSG_DONTWAIT);
    step_epoll_ctl(epoll, EPOLL_CTL_MOD, ends.b, EPOLLIN | EPOLLET);
    step_epoll_wait(epoll, 0);
}

static void epoll_once(const struct variant *variant)
{
    struct ends ends;
    int epoll = epoll_create1(0);
    int outer = epoll_create1(0);

    open_ends(variant, &ends);
    step_epoll_ctl(epoll, EPOLL_CTL_ADD, ends.b, EPOLLIN | EPOLLONESHOT);
    say(variant, &ends, "one");
    step_epoll_wait(epoll, PATIENCE_MS);
    step_epoll_wait(epoll, 0);
    step_epoll_ctl(epoll, EPOLL_CTL_MOD, ends.b, EPOLLIN | EPOLLONESHOT);
    step_epoll_wait(epoll, 0);
    step_epoll_ctl(epoll, EPOLL_CTL_MOD, ends.b, EPOLLIN);
    trace_name_fd(epoll, "inner");
    step_epoll_ctl(outer, EPOLL_CTL_ADD, epoll, EPOLLIN);
    step_epoll_wait(outer, 0);
    step_recv(ends.b, 10, 0);
    step_epoll_wait(outer, 0);
    step_epoll_ctl(epoll, EPOLL_CTL_DEL, ends.b, 0);
    step_epoll_ctl(epoll, EPOLL_CTL_ADD, ends.b, EPOLLIN | EPOLLEXCLUSIVE);
    say(variant, &ends, "two");
    step_epoll_wait(outer, PATIENCE_MS);
    step_epoll_wait(epoll, PATIENCE_MS);
    step_epoll_ctl(epoll, EPOLL_CTL_MOD, ends.b, EPOLLIN);
}

/* Added while it is not bound: it is the same socket afterwards. */
static void epoll_before_bind(const struct variant *variant)
{
    int epoll = epoll_create1(0);
    int b = open_unbound(variant, "b");
    struct place any = loopback(variant, 0);
    struct ends ends;

    step_epoll_ctl(epoll, EPOLL_CTL_ADD, b, EPOLLIN);
    step_epoll_wait(epoll, 0);
    MUST(bind(b, PLACE(&any)) == 0);
    struct place at = place_of(b);

    open_ends(variant, &ends);
    trace_name_fd(b, "early");
    trace_name_port(place_port(&at), "early");
    step_sendto(ends.a, "found", 5, 0, &at);
    step_epoll_wait(epoll, PATIENCE_MS);
    step_recv(b, 10, 0);
}

/* --- Signals ------------------------------------------------------------------------------------
 */

static volatile sig_atomic_t signal_count;
static struct ends *signal_ends;
static const struct variant *signal_variant;

/* Sends, as a handler may, when it came the third time. */
static void on_alarm(int number)
{
    int saved_errno = errno;

    (void)number;
    if (++signal_count == 3)
        say(signal_variant, signal_ends, "from a handler");
    errno = saved_errno;
}

static void alarms(const struct variant *variant, struct ends *ends, int flags, bool is_on)
{
    struct sigaction action = {.sa_handler = on_alarm, .sa_flags = flags};
    struct itimerval interval = {{.tv_usec = 0}, {.tv_usec = 0}};

    signal_variant = variant;
    signal_ends = ends;
    signal_count = 0;
    MUST(sigaction(SIGALRM, &action, NULL) == 0);
    if (is_on)
        interval = (struct itimerval){{.tv_usec = 30000}, {.tv_usec = 30000}};
    MUST(setitimer(ITIMER_REAL, &interval, NULL) == 0);
}

static void interrupted(const struct variant *variant)
{
    struct ends ends;
    struct timeval limit = {.tv_sec = 20};

    open_ends(variant, &ends);
    alarms(variant, &ends, 0, true);
    step_recv(ends.b, 20, 0);
    step_recvmsg(ends.b, 20, 0, 0);
    struct pollfd entry = {.fd = ends.a, .events = POLLIN};

    alarms(variant, &ends, SA_RESTART, true);
    trace("poll");
    trace_result(poll(&entry, 1, 20000));
    trace_end();
    alarms(variant, &ends, SA_RESTART, true);
    step_recv(ends.b, 20, 0); /* goes on waiting until the handler sends */
    trace_line("signals before: %s", signal_count >= 3 ? "enough" : "too few");
    MUST(setsockopt(ends.b, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit) == 0);
    alarms(variant, &ends, SA_RESTART, true);
    step_recv(ends.b, 20, 0); /* with a time limit nothing is restarted */
    alarms(variant, &ends, SA_RESTART, false);
}

static volatile sig_atomic_t input_signals;
static volatile int input_fd;
static volatile long input_band;

static void on_input(int number, siginfo_t *info, void *context)
{
    (void)number;
    (void)context;
    if ((info->si_band & POLLIN) == 0)
        return;
    input_fd = info->si_fd;
    input_band = info->si_band;
    input_signals++;
}

static void signalled_input(const struct variant *variant)
{
    struct sigaction action = {.sa_sigaction = on_input, .sa_flags = SA_SIGINFO | SA_RESTART};
    struct ends ends;

    open_ends(variant, &ends);
    MUST(sigaction(SIGRTMIN, &action, NULL) == 0);
    trace("F_SETOWN");
    trace_result(fcntl(ends.b, F_SETOWN, getpid()));
    trace_end();
    trace("F_SETSIG");
    trace_result(fcntl(ends.b, F_SETSIG, SIGRTMIN));
    trace_end();
    MUST(fcntl(ends.b, F_SETFL, O_ASYNC | O_NONBLOCK) == 0);
    trace_line("owner %d signal %d flags %#x", fcntl(ends.b, F_GETOWN) == getpid(),
               fcntl(ends.b, F_GETSIG) == SIGRTMIN, fcntl(ends.b, F_GETFL));
    say(variant, &ends, "signal");
    AWAIT_INPUT(ends.b);
    for (int tries = 0; tries < PATIENCE_MS && input_signals == 0; tries++)
        poll(NULL, 0, 1);
    trace_line("fd %s band %#lx", trace_fd(input_fd), input_band);
    step_recv(ends.b, 10, 0);
}

/* --- Several threads ----------------------------------------------------------------------------
 */

struct reader {
    pthread_t thread;
    int fd;
    ssize_t result;
    int error;
    char data[20];
};

static void *read_one(void *context)
{
    struct reader *reader = context;

    memset(reader->data, '.', sizeof reader->data);
    reader->result = recv(reader->fd, reader->data, sizeof reader->data, 0);
    reader->error = errno;
    return NULL;
}

static void start_reader(struct reader *reader, int fd)
{
    *reader = (struct reader){.fd = fd};
    MUST(pthread_create(&reader->thread, NULL, read_one, reader) == 0);
}

/* Until a thread of this process waits in the kernel for a datagram. */
static void await_blocked_reader(void)
{
    char path[64];
    char name[64];

    for (int tries = 0; tries < PATIENCE_MS; tries++) {
        for (int task = getpid(); task < getpid() + 64; task++) {
            snprintf(path, sizeof path, "/proc/self/task/%d/wchan", task);
            int fd = open(path, O_RDONLY);

            if (fd < 0)
                continue;
            ssize_t bytes = read(fd, name, sizeof name - 1);

            close(fd);
            if (bytes <= 0)
                continue;
            name[bytes] = '\0';
            if (strstr(name, "wait_for_more_packets") != NULL)
                return;
        }
        poll(NULL, 0, 1);
    }
    trace_line("no reader waits");
}

static void finish_reader(struct reader *reader, const char *what)
{
    MUST(pthread_join(reader->thread, NULL) == 0);
    errno = reader->error;
    trace("%s", what);
    trace_result(reader->result);
    trace_bytes(reader->data, sizeof reader->data);
    trace_end();
}

/* A blocked receive does not notice that its descriptor is closed, and gets the next datagram. */
static void close_while_blocked(const struct variant *variant)
{
    struct reader reader;
    struct ends ends;

    open_ends(variant, &ends);
    start_reader(&reader, ends.b);
    await_blocked_reader();
    step_close(ends.b);
    say(variant, &ends, "still there");
    finish_reader(&reader, "blocked reader");
}

static void shutdown_while_blocked(const struct variant *variant)
{
    struct reader reader;
    struct ends ends;

    open_ends(variant, &ends);
    start_reader(&reader, ends.b);
    await_blocked_reader();
    step_shutdown(ends.b, SHUT_RD);
    finish_reader(&reader, "blocked reader");
    step_poll(ends.b);
}

static void shutdown_rules(const struct variant *variant)
{
    struct ends ends;

    open_ends(variant, &ends);
    say(variant, &ends, "before");
    AWAIT_INPUT(ends.b);
    step_shutdown(ends.b, 7);
    step_shutdown(ends.b, SHUT_RD);
    step_poll(ends.b);
    step_recv(ends.b, 10, MSG_DONTWAIT);
    step_recv(ends.b, 10, MSG_DONTWAIT);
    step_recv(ends.b, 10, 0);
    step_recvmsg(ends.b, 10, 0, MSG_DONTWAIT);
    step_sendto(ends.b, "still", 5, 0, variant->is_connected ? NULL : &ends.at_a);
    AWAIT_INPUT(ends.a);
    step_recv(ends.a, 10, 0);
    step_shutdown(ends.b, SHUT_RDWR);
    step_poll(ends.b);
    step_sendto(ends.b, "never", 5, 0, variant->is_connected ? NULL : &ends.at_a);
    step_recv(ends.b, 10, MSG_DONTWAIT);
}

static void many_readers(const struct variant *variant)
{
    struct reader readers[4];
    struct ends ends;

    open_ends(variant, &ends);
    for (size_t index = 0; index < 4; index++)
        start_reader(&readers[index], ends.b);
    for (size_t index = 0; index < 4; index++)
        say(variant, &ends, "for one of them");
    for (size_t index = 0; index < 4; index++)
        finish_reader(&readers[index], "a reader");
    step_recv(ends.b, 10, MSG_DONTWAIT);
}

static void cancelled(const struct variant *variant)
{
    struct reader reader;
    struct ends ends;
    void *result;

    open_ends(variant, &ends);
    start_reader(&reader, ends.b);
    await_blocked_reader();
    MUST(pthread_cancel(reader.thread) == 0);
    MUST(pthread_join(reader.thread, &result) == 0);
    trace_line("cancelled: %d", result == PTHREAD_CANCELED);
    say(variant, &ends, "for the next");
    AWAIT_INPUT(ends.b);
    step_recv(ends.b, 20, 0);
}

static const struct conformance_case cases[] = {
    {"polling", "28", BY_FAMILY | BY_CONNECTION | BY_BLOCKING, polling},
    {"selecting", "29", BY_FAMILY | BY_CONNECTION, selecting},
    {"epoll_level", "30", BY_FAMILY | BY_CONNECTION, epoll_level},
    {"epoll_edge", "30", BY_FAMILY | BY_CONNECTION, epoll_edge},
    {"epoll_once", "30", BY_FAMILY | BY_CONNECTION, epoll_once},
    {"epoll_before_bind", "30", BY_FAMILY, epoll_before_bind},
    {"interrupted", "26 52", BY_FAMILY | BY_CONNECTION, interrupted},
    {"signalled_input", "27", BY_FAMILY | BY_CONNECTION, signalled_input},
    {"close_while_blocked", "25", BY_FAMILY | BY_CONNECTION, close_while_blocked},
    {"shutdown_while_blocked", "24", BY_FAMILY | BY_CONNECTION, shutdown_while_blocked},
    {"shutdown_rules", "24", BY_FAMILY | BY_CONNECTION, shutdown_rules},
    {"many_readers", "52", BY_FAMILY | BY_CONNECTION, many_readers},
    {"cancelled", "53", BY_FAMILY | BY_CONNECTION, cancelled},
};

DEFINE_GROUP(readiness);
