/* cases_error.c - errors of the network, of the peer, and of the caller. */
#include "cases.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

/* A peer that is not there: the error comes once, to whoever asks first. */
static void nobody_there(const struct variant *variant)
{
    struct place nobody = dead_end(variant);
    int a = open_unbound(variant, "a");

    connect_to(a, &nobody);
    step_send(a, "x", 1, 0);
    await(a, POLLIN);
    trace_differs("pollerr", "1 {IN|OUT|RDNORM|WRNORM|WRBAND}");
    step_poll(a);
    step_recv(a, 10, MSG_DONTWAIT);
    step_recv(a, 10, MSG_DONTWAIT);
    step_get(a, OPTION(SOL_SOCKET, SO_ERROR));
    step_poll(a);
}

static void nobody_there_option(const struct variant *variant)
{
    struct place nobody = dead_end(variant);
    int a = open_unbound(variant, "a");

    connect_to(a, &nobody);
    step_send(a, "x", 1, 0);
    await(a, POLLIN);
    step_get(a, OPTION(SOL_SOCKET, SO_ERROR));
    step_get(a, OPTION(SOL_SOCKET, SO_ERROR));
    step_recv(a, 10, MSG_DONTWAIT);
}

static void nobody_there_send(const struct variant *variant)
{
    struct place nobody = dead_end(variant);
    int a = open_unbound(variant, "a");

    connect_to(a, &nobody);
    step_send(a, "x", 1, 0);
    await(a, POLLIN);
    step_send(a, "x", 1, 0);
    step_recv(a, 10, MSG_DONTWAIT);
}

#define NEWS_MS 3000 /* longer than conformance.py lets the shim look for a peer */

/* An unconnected socket does not hear of it: but a reliable one must not lose in silence. */
static void nobody_there_unconnected(const struct variant *variant)
{
    struct place nobody = dead_end(variant);
    struct place at_b;
    int a = open_unbound(variant, "a");
    int b = open_bound(variant, "b", &at_b);

    step_sendto(a, "x", 1, 0, &nobody);
    step_recv(a, 10, MSG_DONTWAIT);
    step_get(a, OPTION(SOL_SOCKET, SO_ERROR));
    struct pollfd entry = {.fd = a, .events = POLLIN};

    trace_differs("lost-peer", "1");
    trace("poll");
    trace_result(poll(&entry, 1, NEWS_MS));
    trace_end();
    trace_differs("lost-peer", "-1 ETIMEDOUT \"..........\"");
    step_recv(a, 10, MSG_DONTWAIT);
    step_sendto(a, "to another", 10, 0, &at_b);
    AWAIT_INPUT(b);
    step_recv(b, 20, 0);
}

static void unreachable(const struct variant *variant)
{
    struct place at = loopback(variant, 9);
    struct sockaddr_in6 *v6 = (struct sockaddr_in6 *)&at.addr;
    struct sockaddr_in *v4 = (struct sockaddr_in *)&at.addr;
    int a = open_unbound(variant, "a");

    if (variant->family == AF_INET)
        v4->sin_addr.s_addr = htonl(0xf0000001); /* 240.0.0.1 */
    else
        v6->sin6_addr.s6_addr[0] = 1; /* no route goes there */
    step_sendto(a, "x", 1, MSG_DONTWAIT, &at);
    step_connect(a, &at);
    step_get(a, OPTION(SOL_SOCKET, SO_ERROR));
}

/* The error queue: empty, it never blocks. */
static void error_queue(const struct variant *variant)
{
    struct ends ends;

    open_ends(variant, &ends);
    step_recvmsg(ends.a, 10, CONTROL_BYTES, MSG_ERRQUEUE);
    step_set(ends.a, OPTION(IPPROTO_IP, IP_RECVERR), 1);
    step_get(ends.a, OPTION(IPPROTO_IP, IP_RECVERR));
    if (variant->family == AF_INET6) {
        step_set(ends.a, OPTION(IPPROTO_IPV6, IPV6_RECVERR), 1);
        step_get(ends.a, OPTION(IPPROTO_IPV6, IPV6_RECVERR));
    }
    step_recvmsg(ends.a, 10, CONTROL_BYTES, MSG_ERRQUEUE);
    step_recv(ends.a, 10, MSG_ERRQUEUE);
    step_recvfrom(ends.a, 10, MSG_ERRQUEUE, SIZE_MAX);
    say(variant, &ends, "works");
    AWAIT_INPUT(ends.b);
    step_recv(ends.b, 10, 0);
    step_recvmsg(ends.a, 10, CONTROL_BYTES, MSG_ERRQUEUE);
}

static void queued_error(const struct variant *variant)
{
    struct place nobody = dead_end(variant);
    int a = open_unbound(variant, "a");

    connect_to(a, &nobody);
    step_set(a, OPTION(IPPROTO_IP, IP_RECVERR), 1);
    if (variant->family == AF_INET6)
        step_set(a, OPTION(IPPROTO_IPV6, IPV6_RECVERR), 1);
    step_send(a, "lost", 4, 0);
    await(a, POLLIN);
    trace_differs("error-queue", "-1 EAGAIN");
    step_recvmsg(a, 10, CONTROL_BYTES, MSG_ERRQUEUE);
    step_recvmsg(a, 10, CONTROL_BYTES, MSG_ERRQUEUE);
    trace_differs("error-queue", "-1 ECONNREFUSED \"..........\"");
    step_recv(a, 10, MSG_DONTWAIT);
    step_recv(a, 10, MSG_DONTWAIT);
}

#define FULL_MS 1000 /* who has found no room by then has a peer that does not read */

static bool finds_room(int fd)
{
    struct pollfd entry = {.fd = fd, .events = POLLOUT};

    return poll(&entry, 1, FULL_MS) == 1;
}

/* A receiver that does not read: plain UDP drops, here the sender is told to wait. */
static void back_pressure(const struct variant *variant)
{
    static char data[60000];
    struct variant nonblocking = *variant;
    struct ends ends;
    ssize_t result = 0;

    nonblocking.is_nonblocking = true;
    open_ends(&nonblocking, &ends);
    for (int count = 0; count < 2000 && (result >= 0 || finds_room(ends.a)); count++)
        result = variant->is_connected ? send(ends.a, data, sizeof data, 0)
                                       : sendto(ends.a, data, sizeof data, 0, PLACE(&ends.at_b));
    trace_differs("back-pressure", "-1 EAGAIN");
    trace("the last of many sends");
    trace_result(result);
    trace_end();
    trace_differs("back-pressure", "0 {}");
    step_poll(ends.a);
    struct pollfd entries[] = {{.fd = ends.a, .events = POLLOUT}, {.fd = ends.b, .events = POLLIN}};

    do { /* reading makes room */
        MUST(poll(entries, 2, PATIENCE_MS) > 0);
        if (entries[1].revents != 0)
            MUST(recv(ends.b, data, sizeof data, 0) == sizeof data);
    } while (entries[0].revents == 0);
    step_sendto(ends.a, data, 1, 0, variant->is_connected ? NULL : &ends.at_b);
}

/* --- The caller ---------------------------------------------------------------------------------
 */

/* Volatile, so that the compiler does not see what is wrong with them. */
static void *volatile bad_pointer = (void *)8;
static volatile int bad_count = -1;
#define BAD bad_pointer

static void step_plain_result(const char *name, long result)
{
    trace("%s", name);
    trace_result(result);
    trace_end();
}

/* Memory that cannot be written. What is lost with the error and what stays is shown after. */
static void unwritable(const struct variant *variant)
{
    struct ends ends;
    char data[10] = "";
    struct sockaddr_storage addr;
    socklen_t bytes = sizeof addr;
    struct iovec part = {data, sizeof data};
    struct iovec bad_part = {BAD, 10};
    struct iovec half_bad[2] = {{data, 2}, {BAD, 10}};
    char control[256];
    int is_on = 1;
    struct msghdr good = {.msg_iov = &part, .msg_iovlen = 1};
    struct msghdr bad[] = {
        {.msg_iov = &bad_part, .msg_iovlen = 1},
        {.msg_iov = half_bad, .msg_iovlen = 2},
        {.msg_iov = BAD, .msg_iovlen = 1},
        {.msg_iov = &part, .msg_iovlen = 1, .msg_name = BAD, .msg_namelen = 28},
        {.msg_iov = &part, .msg_iovlen = 1, .msg_control = BAD, .msg_controllen = 256},
        {.msg_iov = &part, .msg_iovlen = 2000},
        {.msg_iov = &part, .msg_iovlen = 1, .msg_name = &addr, .msg_namelen = (socklen_t)-1},
        {.msg_iov = &part, .msg_iovlen = 1, .msg_control = control, .msg_controllen = 256},
    };

    open_ends(variant, &ends);
    MUST(setsockopt(ends.b, IPPROTO_IP, IP_PKTINFO, &is_on, sizeof is_on) == 0);
    for (int step = 0; step < 14; step++) {
        say(variant, &ends, "datagram");
        AWAIT_INPUT(ends.b);
        if (step == 0)
            step_plain_result("recv(bad)", recv(ends.b, BAD, 10, 0));
        else if (step == 1)
            step_plain_result("recv(NULL)", recv(ends.b, NULL, 10, 0));
        else if (step == 2)
            step_plain_result("recvfrom(bad address)", recvfrom(ends.b, data, 10, 0, BAD, &bytes));
        else if (step == 3)
            step_plain_result("recvfrom(bad length)",
                              recvfrom(ends.b, data, 10, 0, (struct sockaddr *)&addr, BAD));
        else if (step == 4)
            step_plain_result("recvfrom(no length)",
                              recvfrom(ends.b, data, 10, 0, (struct sockaddr *)&addr, NULL));
        else if (step == 5)
            step_plain_result("recvmsg(bad)", recvmsg(ends.b, BAD, 0));
        else
            step_plain_result("recvmsg", recvmsg(ends.b, &bad[step - 6], 0));
        step_plain_result("and then", recvmsg(ends.b, &good, MSG_DONTWAIT));
    }
    say(variant, &ends, "peeked at");
    AWAIT_INPUT(ends.b);
    step_plain_result("recv(bad)", recv(ends.b, BAD, 10, MSG_PEEK));
    step_plain_result("recv(bad)", recv(ends.b, BAD, 0, MSG_PEEK));
    step_plain_result("read(bad)", read(ends.b, BAD, 10));
    step_plain_result("recv", recv(ends.b, data, 10, MSG_DONTWAIT));
    step_plain_result("recv(bad) of nothing", recv(ends.b, BAD, 10, MSG_DONTWAIT));
}

/* Read-only memory is as bad as none. */
static void read_only(const struct variant *variant)
{
    struct ends ends;
    char data[10];
    char *page = mmap(NULL, 4096, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    socklen_t bytes = 100;

    MUST(page != MAP_FAILED);
    open_ends(variant, &ends);
    say(variant, &ends, "one");
    AWAIT_INPUT(ends.b);
    step_plain_result("recv", recv(ends.b, page, 10, 0));
    step_plain_result("and then", recv(ends.b, data, 10, MSG_DONTWAIT));
    say(variant, &ends, "two");
    AWAIT_INPUT(ends.b);
    step_plain_result("recvfrom", recvfrom(ends.b, data, 10, 0, (struct sockaddr *)page, &bytes));
    step_plain_result("and then", recv(ends.b, data, 10, MSG_DONTWAIT));
}

static void unreadable(const struct variant *variant)
{
    struct ends ends;
    struct place to;
    struct iovec part = {(char[]){"data"}, 4};
    struct iovec half_bad[2] = {{(char[]){"data"}, 4}, {BAD, 4}};
    struct msghdr bad[] = {
        {.msg_iov = half_bad, .msg_iovlen = 2},
        {.msg_iov = BAD, .msg_iovlen = 1},
        {.msg_iov = &part, .msg_iovlen = 1, .msg_name = BAD, .msg_namelen = 28},
        {.msg_iov = &part, .msg_iovlen = 1, .msg_control = BAD, .msg_controllen = 100},
        {.msg_iov = &part, .msg_iovlen = 2000},
    };

    open_ends(variant, &ends);
    to = ends.at_b;
    step_plain_result("send(bad)", sendto(ends.a, BAD, 10, 0, PLACE(&to)));
    step_plain_result("sendto(bad address)", sendto(ends.a, "x", 1, 0, BAD, to.bytes));
    step_plain_result("sendto(long address)",
                      sendto(ends.a, "x", 1, 0, (struct sockaddr *)&to.addr, 1000));
    step_plain_result("sendmsg(bad)", sendmsg(ends.a, BAD, 0));
    for (size_t index = 0; index < sizeof bad / sizeof *bad; index++) {
        if (bad[index].msg_name == NULL) {
            bad[index].msg_name = &to.addr;
            bad[index].msg_namelen = to.bytes;
        }
        step_plain_result("sendmsg", sendmsg(ends.a, &bad[index], 0));
    }
    step_recv(ends.b, 10, MSG_DONTWAIT);
}

/* Which of several errors is reported. */
static void error_order(const struct variant *variant)
{
    static const char *const what[] = {"closed", "no socket", "write only pipe", "fine"};
    struct place at = loopback(variant, 9);
    struct mmsghdr none = {.msg_len = 0};
    int pipes[2];

    MUST(pipe(pipes) == 0);
    int a = open_unbound(variant, "a");
    int fds[] = {777, 0, pipes[1], a};

    for (size_t index = 0; index < sizeof fds / sizeof *fds; index++) {
        int fd = fds[index];

        trace_line("%s", what[index]);
        step_plain_result("bind(bad)", bind(fd, BAD, 1));
        step_plain_result("bind(negative)", bind(fd, (struct sockaddr *)&at.addr, (socklen_t)-1));
        step_plain_result("connect(bad)", connect(fd, BAD, 16));
        step_plain_result("getsockname(bad)", getsockname(fd, BAD, BAD));
        step_plain_result("getpeername(bad)", getpeername(fd, BAD, BAD));
        step_plain_result("setsockopt(bad)", setsockopt(fd, SOL_SOCKET, SO_RCVBUF, BAD, 4));
        step_plain_result("setsockopt(negative)",
                          setsockopt(fd, SOL_SOCKET, SO_RCVBUF, BAD, (socklen_t)-1));
        step_plain_result("getsockopt(bad)", getsockopt(fd, SOL_SOCKET, SO_RCVBUF, BAD, BAD));
        step_plain_result("shutdown(bad)", shutdown(fd, 9));
        step_plain_result("send(bad)", send(fd, BAD, 4, MSG_DONTWAIT));
        step_plain_result("sendto(bad)", sendto(fd, BAD, 4, MSG_DONTWAIT, BAD, 16));
        step_plain_result("sendto(oob)", sendto(fd, "x", 1, MSG_OOB, BAD, 16));
        step_plain_result("sendmsg(bad)", sendmsg(fd, BAD, MSG_DONTWAIT));
        step_plain_result("sendmmsg(bad)", sendmmsg(fd, BAD, 1, MSG_DONTWAIT));
        step_plain_result("recv(bad)", recv(fd, BAD, 4, MSG_DONTWAIT));
        step_plain_result("recvfrom(bad)", recvfrom(fd, BAD, 4, MSG_DONTWAIT, BAD, BAD));
        step_plain_result("recvmsg(bad)", recvmsg(fd, BAD, MSG_DONTWAIT));
        step_plain_result("recvmmsg(bad)", recvmmsg(fd, BAD, 1, MSG_DONTWAIT, NULL));
        step_plain_result("recvmmsg(bad time)", recvmmsg(fd, &none, 1, MSG_DONTWAIT, BAD));
        if (fd == pipes[1])
            continue;
        step_plain_result("write(bad)", write(fd, BAD, 4));
        step_plain_result("writev(bad)", writev(fd, BAD, 1));
        step_plain_result("writev(negative)", writev(fd, BAD, bad_count));
        step_plain_result("listen", listen(fd, 1));
    }
}

static const struct conformance_case cases[] = {
    {"nobody_there", "13", BY_FAMILY | BY_BLOCKING, nobody_there},
    {"nobody_there_option", "13", BY_FAMILY, nobody_there_option},
    {"nobody_there_send", "13", BY_FAMILY, nobody_there_send},
    {"nobody_there_unconnected", "14", BY_FAMILY, nobody_there_unconnected},
    {"unreachable", "13 14", BY_FAMILY, unreachable},
    {"error_queue", "15", BY_FAMILY | BY_CONNECTION | BY_BLOCKING, error_queue},
    {"queued_error", "15", BY_FAMILY, queued_error},
    {"back_pressure", "22", BY_CONNECTION, back_pressure},
    {"unwritable", "59", BY_FAMILY | BY_CONNECTION, unwritable},
    {"read_only", "59", BY_FAMILY | BY_CONNECTION, read_only},
    {"unreadable", "59", BY_FAMILY | BY_CONNECTION, unreadable},
    {"error_order", "59", BY_FAMILY, error_order},
};

DEFINE_GROUP(error);
