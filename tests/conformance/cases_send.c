/* cases_send.c - where datagrams may go, how large they are, flags, many at once. */
#include "cases.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/sockios.h>
#include <netinet/udp.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/sendfile.h>
#include <unistd.h>

static void destinations(const struct variant *variant)
{
    struct ends ends;
    struct place nowhere = loopback(variant, 0);
    struct place odd = loopback(variant, 9);

    open_ends(variant, &ends);
    int c = open_unbound(variant, "c");

    step_send(c, "x", 1, 0);
    step_sendto(c, "x", 1, 0, NULL);
    step_sendto(c, "x", 1, 0, &nowhere);
    step_getsockname(c);
    odd.bytes = 4;
    step_sendto(c, "x", 1, 0, &odd);
    odd.bytes = 0;
    step_sendto(c, "x", 1, 0, &odd);
    odd = loopback(variant, 9);
    odd.addr.ss_family = AF_UNIX;
    step_sendto(c, "x", 1, 0, &odd);
    odd.addr.ss_family = AF_UNSPEC;
    step_sendto(c, "x", 1, 0, &odd);
    odd = loopback(&(struct variant){.family = AF_INET6}, 9);
    if (variant->family == AF_INET)
        step_sendto(c, "x", 1, 0, &odd);
    step_sendto(c, "hello", 5, 0, &ends.at_b);
    if (!variant->is_connected) {
        AWAIT_INPUT(ends.b);
        step_recv(ends.b, 10, 0);
    }
    step_getpeername(c);
}

/* To any address means to this machine. */
static void to_any(const struct variant *variant)
{
    struct variant wildcard = *variant;
    struct place at;
    int b = open_unbound(variant, "b");
    struct place any = anywhere(variant);

    MUST(bind(b, PLACE(&any)) == 0);
    at = place_of(b);
    trace_name_port(place_port(&at), "b");
    int a = open_unbound(&wildcard, "a");

    step_sendto(a, "to any", 6, 0, &at);
    AWAIT_INPUT(b);
    step_recv(b, 10, 0);
}

/* A socket that is connected may still send elsewhere by name. */
static void elsewhere(const struct variant *variant)
{
    struct variant connected = *variant;
    struct ends ends;
    struct place at_c;

    connected.is_connected = true;
    open_ends(&connected, &ends);
    int c = open_bound(variant, "c", &at_c);

    step_sendto(ends.a, "to c", 4, 0, &at_c);
    AWAIT_INPUT(c);
    step_recvfrom(c, 10, 0, SIZE_MAX);
    step_sendto(ends.a, "to b", 4, 0, &ends.at_b);
    AWAIT_INPUT(ends.b);
    step_recvfrom(ends.b, 10, 0, SIZE_MAX);
}

static void sizes(const struct variant *variant)
{
    static char data[65600];
    static const size_t bytes[] = {1,     1472,  1473,  9000,  65000, 65487,
                                   65507, 65508, 65527, 65528, 65535, 65600};
    const struct place *to;
    struct ends ends;

    for (size_t index = 0; index < sizeof data; index++)
        data[index] = (char)(index * 7);
    open_ends(variant, &ends);
    to = variant->is_connected ? NULL : &ends.at_b;
    for (size_t index = 0; index < sizeof bytes / sizeof *bytes; index++) {
        if (step_sendto(ends.a, data, bytes[index], 0, to) < 0)
            continue;
        AWAIT_INPUT(ends.b);
        step_recv(ends.b, sizeof data, 0);
    }
    step_sendto(ends.a, data, SIZE_MAX / 2, MSG_DONTWAIT, to);
}

static void path_mtu(const struct variant *variant)
{
    static char data[65600];
    bool is_v6 = variant->family == AF_INET6;
    struct ends ends;

    open_ends(variant, &ends);
    if (is_v6) {
        step_get(ends.a, OPTION(IPPROTO_IPV6, IPV6_MTU));
        step_get(ends.a, OPTION(IPPROTO_IPV6, IPV6_MTU_DISCOVER));
    }
    step_get(ends.a, OPTION(IPPROTO_IP, IP_MTU));
    step_get(ends.a, OPTION(IPPROTO_IP, IP_MTU_DISCOVER));
    for (int value = -1; value <= 6; value++) {
        step_set(ends.a, OPTION(IPPROTO_IP, IP_MTU_DISCOVER), value);
        step_get(ends.a, OPTION(IPPROTO_IP, IP_MTU_DISCOVER));
        if (!is_v6)
            continue;
        step_set(ends.a, OPTION(IPPROTO_IPV6, IPV6_MTU_DISCOVER), value);
        step_get(ends.a, OPTION(IPPROTO_IPV6, IPV6_MTU_DISCOVER));
    }
    step_set(ends.a, OPTION(IPPROTO_IP, IP_MTU_DISCOVER), IP_PMTUDISC_DO);
    step_sendto(ends.a, data, 65507, 0, variant->is_connected ? NULL : &ends.at_b);
    AWAIT_INPUT(ends.b);
    step_recv(ends.b, sizeof data, 0);
}

/* SIOCOUTQ counts what has not left; it must come to nothing by itself. */
static void unsent(const struct variant *variant)
{
    struct ends ends;
    int left = -1;

    open_ends(variant, &ends);
    step_ioctl(ends.a, REQUEST(SIOCOUTQ));
    say(variant, &ends, "counted");
    AWAIT_INPUT(ends.b);
    for (int tries = 0; tries < PATIENCE_MS && left != 0; tries++) {
        MUST(ioctl(ends.a, SIOCOUTQ, &left) == 0);
        MUST(poll(NULL, 0, left == 0 ? 0 : 1) == 0);
    }
    trace_line("left: %d", left);
    step_recv(ends.b, 10, 0);
    step_ioctl(ends.b, REQUEST(SIOCOUTQ));
}

static volatile sig_atomic_t pipe_signals;

static void count_pipe_signal(int number)
{
    (void)number;
    pipe_signals++;
}

static void no_sigpipe(const struct variant *variant)
{
    struct ends ends;

    signal(SIGPIPE, count_pipe_signal);
    open_ends(variant, &ends);
    step_shutdown(ends.a, SHUT_WR);
    step_sendto(ends.a, "x", 1, 0, variant->is_connected ? NULL : &ends.at_b);
    step_sendto(ends.a, "x", 1, MSG_NOSIGNAL, variant->is_connected ? NULL : &ends.at_b);
    trace("write");
    trace_result(write(ends.a, "x", 1));
    trace_end();
    step_sendto(ends.b, "x", 1, MSG_NOSIGNAL, variant->is_connected ? NULL : &ends.at_a);
    AWAIT_INPUT(ends.a);
    step_recv(ends.a, 10, 0);
    trace_line("signals %d", (int)pipe_signals);
}

/* Each flag on its own: accepted, refused or without meaning. */
static void flags(const struct variant *variant)
{
    static const int sent[] = {MSG_CONFIRM, MSG_DONTROUTE, MSG_EOR,      MSG_NOSIGNAL,
                               MSG_WAITALL, MSG_TRUNC,     MSG_PEEK,     MSG_RST,
                               MSG_SYN,     MSG_CTRUNC,    0x1000000,    MSG_ERRQUEUE,
                               MSG_FIN,     MSG_BATCH,     MSG_DONTWAIT, MSG_OOB};
    static const int received[] = {MSG_OOB, MSG_CONFIRM,      MSG_EOR,   MSG_DONTROUTE,
                                   MSG_FIN, MSG_CMSG_CLOEXEC, 0x1000000, MSG_NOSIGNAL};
    struct ends ends;

    open_ends(variant, &ends);
    for (size_t index = 0; index < sizeof sent / sizeof *sent; index++) {
        if (step_sendto(ends.a, "flagged", 7, sent[index],
                        variant->is_connected ? NULL : &ends.at_b) < 0)
            continue;
        AWAIT_INPUT(ends.b);
        step_recv(ends.b, 10, 0);
    }
    for (size_t index = 0; index < sizeof received / sizeof *received; index++) {
        say(variant, &ends, "with flags");
        AWAIT_INPUT(ends.b);
        step_recvmsg(ends.b, 20, 0, received[index]);
        while (recv(ends.b, &(char){0}, 1, MSG_DONTWAIT) >= 0)
            trace_line("it was still there");
    }
}

/* --- Many at once -------------------------------------------------------------------------------
 */

#define BATCH 3

static void step_sendmmsg(int fd, struct mmsghdr *messages, unsigned int count, int flags)
{
    trace("sendmmsg(%s, %u", trace_fd(fd), count);
    trace_message_flags(flags);
    trace(")");
    int result = (int)trace_result(sendmmsg(fd, messages, count, flags));

    for (int index = 0; index < result; index++)
        trace_more("%u", messages[index].msg_len);
    trace_end();
}

static void send_many(const struct variant *variant)
{
    struct ends ends;
    struct iovec part = {(char[]){"batch"}, 5};
    struct iovec unreadable = {(void *)8, 5};
    struct mmsghdr messages[BATCH];

    open_ends(variant, &ends);
    for (int bad = -1; bad < BATCH; bad++) { /* which of them cannot be sent; -1: none */
        memset(messages, 0, sizeof messages);
        for (int index = 0; index < BATCH; index++) {
            struct msghdr *header = &messages[index].msg_hdr;

            header->msg_iov = index == bad ? &unreadable : &part;
            header->msg_iovlen = 1;
            if (!variant->is_connected) {
                header->msg_name = &ends.at_b.addr;
                header->msg_namelen = ends.at_b.bytes;
            }
        }
        step_sendmmsg(ends.a, messages, BATCH, 0);
        for (int index = 0; index < (bad < 0 ? BATCH : bad); index++) {
            AWAIT_INPUT(ends.b);
            step_recv(ends.b, 10, 0);
        }
    }
    step_sendmmsg(ends.a, messages, 0, 0);
    step_sendmmsg(ends.a, NULL, 1, 0);
    step_recv(ends.b, 10, MSG_DONTWAIT);
}

/* --- Calls that send without saying so ----------------------------------------------------------
 */

static void send_file(const struct variant *variant)
{
    struct variant connected = *variant;
    struct ends ends;
    static char data[9000];
    int file = memfd_create("file", 0);

    connected.is_connected = true;
    open_ends(&connected, &ends);
    memset(data, 'f', sizeof data);
    MUST(file >= 0 && write(file, data, sizeof data) == (ssize_t)sizeof data);
    MUST(lseek(file, 0, SEEK_SET) == 0);
    trace("sendfile");
    trace_result(sendfile(ends.a, file, NULL, 1000));
    trace_end();
    AWAIT_INPUT(ends.b);
    step_recv(ends.b, 20000, 0);
}

static void splice_out(const struct variant *variant)
{
    struct variant connected = *variant;
    struct ends ends;
    int pipes[2];

    connected.is_connected = true;
    open_ends(&connected, &ends);
    MUST(pipe(pipes) == 0);
    MUST(write(pipes[1], "through a pipe", 14) == 14);
    trace("splice");
    trace_result(splice(pipes[0], NULL, ends.a, NULL, 14, 0));
    trace_end();
    AWAIT_INPUT(ends.b);
    step_recv(ends.b, 100, 0);
}

static void cork(const struct variant *variant)
{
    struct ends ends;
    const struct place *to;

    open_ends(variant, &ends);
    to = variant->is_connected ? NULL : &ends.at_b;
    step_get(ends.a, OPTION(IPPROTO_UDP, UDP_CORK));
    trace_differs("cork", "-1 EOPNOTSUPP");
    step_sendto(ends.a, "one ", 4, MSG_MORE, to);
    trace_differs("cork", "-1 EOPNOTSUPP");
    step_sendto(ends.a, "two ", 4, MSG_MORE, to);
    step_poll(ends.b);
    step_sendto(ends.a, "three", 5, 0, to);
    AWAIT_INPUT(ends.b);
    trace_differs("cork", "5 \"three...............\"");
    step_recv(ends.b, 20, 0);
    step_set(ends.a, OPTION(IPPROTO_UDP, UDP_CORK), 1);
    step_get(ends.a, OPTION(IPPROTO_UDP, UDP_CORK));
    step_sendto(ends.a, "four ", 5, 0, to);
    step_sendto(ends.a, "five", 4, 0, to);
    step_poll(ends.b);
    step_set(ends.a, OPTION(IPPROTO_UDP, UDP_CORK), 0);
    AWAIT_INPUT(ends.b);
    trace_differs("cork", "5 \"four ...............\"");
    step_recv(ends.b, 20, 0);
}

/* More than a datagram can hold is refused, and what was kept is gone. */
static void cork_limit(const struct variant *variant)
{
    static char data[40000];
    struct ends ends;
    const struct place *to;

    open_ends(variant, &ends);
    to = variant->is_connected ? NULL : &ends.at_b;
    trace_differs("cork", "-1 EOPNOTSUPP");
    step_sendto(ends.a, data, sizeof data, MSG_MORE, to);
    trace_differs("cork", "-1 EOPNOTSUPP");
    step_sendto(ends.a, data, sizeof data, MSG_MORE, to);
    step_sendto(ends.a, "end", 3, 0, to);
    AWAIT_INPUT(ends.b);
    trace("recv");
    trace_result(recv(ends.b, data, sizeof data, MSG_TRUNC));
    trace_end();
}

static const struct conformance_case cases[] = {
    {"destinations", "8", BY_FAMILY | BY_CONNECTION, destinations},
    {"to_any", "8", BY_FAMILY, to_any},
    {"elsewhere", "8", BY_FAMILY, elsewhere},
    {"sizes", "16", BY_FAMILY | BY_CONNECTION | BY_BLOCKING, sizes},
    {"path_mtu", "16 17", BY_FAMILY | BY_CONNECTION, path_mtu},
    {"unsent", "19", BY_FAMILY | BY_CONNECTION, unsent},
    {"no_sigpipe", "23", BY_FAMILY | BY_CONNECTION, no_sigpipe},
    {"flags", "46", BY_FAMILY | BY_CONNECTION, flags},
    {"send_many", "32", BY_FAMILY | BY_CONNECTION | BY_BLOCKING, send_many},
    {"send_file", "35", BY_FAMILY, send_file},
    {"splice_out", "35", BY_FAMILY, splice_out},
    {"cork", "45", BY_FAMILY | BY_CONNECTION, cork},
    {"cork_limit", "45", BY_FAMILY | BY_CONNECTION, cork_limit},
};

DEFINE_GROUP(send);
