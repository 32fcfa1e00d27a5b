/* cases_address.c - bind, connect, names, IPv4 beside IPv6, groups. */
#include "cases.h"

#include <arpa/inet.h>
#include <errno.h>
#include <net/if.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

/* Only b's messages reach a socket connected to b; what had arrived before stays. */
static void connect_filters(const struct variant *variant)
{
    struct ends ends;
    struct place at_c;

    open_ends(variant, &ends);
    int c = open_bound(variant, "c", &at_c);

    step_sendto(c, "before", 6, 0, &ends.at_b);
    AWAIT_INPUT(ends.b);
    step_connect(ends.b, &ends.at_a);
    step_recvfrom(ends.b, 10, 0, SIZE_MAX);
    step_getsockname(ends.b);
    step_getpeername(ends.b);
    say(variant, &ends, "of a");
    AWAIT_INPUT(ends.b);
    step_recvfrom(ends.b, 10, 0, SIZE_MAX);
    step_connect(ends.b, &at_c);
    step_getpeername(ends.b);
    step_sendto(c, "after", 5, 0, &ends.at_b);
    AWAIT_INPUT(ends.b);
    step_recvfrom(ends.b, 10, 0, SIZE_MAX);
    step_send(ends.b, "answer", 6, 0);
    AWAIT_INPUT(c);
    step_recvfrom(c, 10, 0, SIZE_MAX);
}

/* The same, with the other's datagram sent while the socket is connected: it never arrives. */
static void connect_keeps_out(const struct variant *variant)
{
    struct ends ends;
    struct place at_c;

    open_ends(variant, &ends);
    int c = open_bound(variant, "c", &at_c);

    step_connect(ends.b, &ends.at_a);
    step_sendto(c, "kept out", 8, 0, &ends.at_b);
    say(variant, &ends, "let in");
    AWAIT_INPUT(ends.b);
    step_recvfrom(ends.b, 10, 0, SIZE_MAX);
    step_recv(ends.b, 10, MSG_DONTWAIT);
}

static void automatic_bind(const struct variant *variant)
{
    struct place at_b;
    int b = open_bound(variant, "b", &at_b);
    int a = open_unbound(variant, "a");

    step_getsockname(a);
    step_getpeername(a);
    step_connect(a, &at_b);
    struct place at_a = place_of(a);

    trace_name_port(place_port(&at_a), "a");
    step_getsockname(a);
    step_getpeername(a);
    step_send(a, "hello", 5, 0);
    AWAIT_INPUT(b);
    step_recvfrom(b, 10, 0, SIZE_MAX);
    int c = open_unbound(variant, "c");

    step_sendto(c, "hello", 5, 0, &at_b);
    at_a = place_of(c);
    trace_name_port(place_port(&at_a), "c");
    step_getsockname(c);
    AWAIT_INPUT(b);
    step_recvfrom(b, 10, 0, SIZE_MAX);
    step_sendto(b, "answer", 6, 0, &(struct place){at_a.addr, at_a.bytes});
}

static void disconnect(const struct variant *variant)
{
    struct ends ends;
    struct place at_c;
    struct place unconnected;
    struct place chosen = dead_end(variant);

    open_ends(variant, &ends);
    int c = open_bound(variant, "c", &at_c);
    int d = open_unbound(variant, "d");

    step_connect(ends.b, &ends.at_a);
    step_disconnect(ends.b);
    step_getpeername(ends.b);
    step_getsockname(ends.b); /* the program chose the address, not the port */
    step_send(ends.b, "x", 1, 0);
    int e = open_unbound(variant, "e");

    step_bind(e, &chosen);
    step_connect(e, &ends.at_a);
    step_disconnect(e);
    step_getsockname(e); /* it chose both: they stay */
    step_sendto(c, "of c", 4, 0, &chosen);
    AWAIT_INPUT(e);
    step_recvfrom(e, 10, 0, SIZE_MAX);
    step_connect(d, &at_c);
    step_disconnect(d);
    step_getsockname(d); /* bound by connect: gone */
    step_disconnect(d);
    step_sendto(d, "again", 5, 0, &at_c);
    AWAIT_INPUT(c);
    step_recv(c, 10, 0);
    unconnected = loopback(variant, 0);
    unconnected.addr.ss_family = AF_UNSPEC;
    step_connect(d, &unconnected);
    unconnected.bytes = 1;
    step_connect(d, &unconnected);
}

static void connect_errors(const struct variant *variant)
{
    struct place at_a;
    int a = open_bound(variant, "a", &at_a);
    struct place bad = at_a;

    bad.bytes = 8;
    step_connect(a, &bad);
    bad = at_a;
    bad.addr.ss_family = AF_UNIX;
    step_connect(a, &bad);
    bad = loopback(variant, 0);
    step_connect(a, &bad); /* to port 0 */
    step_getpeername(a);
    bad = anywhere(variant);
    step_connect(a, &bad);
    trace("connect(NULL)");
    trace_result(connect(a, NULL, sizeof at_a.addr));
    trace_end();
    if (variant->family == AF_INET) {
        struct sockaddr_in *v4 = (struct sockaddr_in *)&bad.addr;

        bad = loopback(variant, 9);
        v4->sin_addr.s_addr = htonl(INADDR_BROADCAST);
        step_connect(a, &bad);
    }
    step_connect(a, &at_a); /* to itself */
    step_send(a, "to me", 5, 0);
    AWAIT_INPUT(a);
    step_recvfrom(a, 10, 0, SIZE_MAX);
}

static void bind_rules(const struct variant *variant)
{
    struct place at_a;
    int a = open_bound(variant, "a", &at_a);
    int b = open_unbound(variant, "b");
    struct place at = loopback(variant, 0);
    struct place bad = at;

    step_bind(a, &at);
    step_bind(b, &at_a);
    bad.bytes = 8;
    step_bind(b, &bad);
    bad = at;
    bad.addr.ss_family = AF_UNIX;
    step_bind(b, &bad);
    bad = loopback(&(struct variant){.family = AF_INET}, 0);
    ((struct sockaddr_in *)&bad.addr)->sin_addr.s_addr = htonl(0xc6336401); /* TEST-NET-2 */
    step_bind(b, &bad);
    trace("bind(NULL)");
    trace_result(bind(b, NULL, at.bytes));
    trace_end();
    step_bind(b, &at);
    step_bind(b, &at);
    step_close(a);
    a = open_unbound(variant, "a");
    step_bind(a, &at_a); /* close has freed the port */
    int c = open_unbound(variant, "c");

    step_connect(c, &at_a);
    step_bind(c, &at);
    trace("listen");
    trace_result(listen(a, 1));
    trace_end();
    trace("accept");
    trace_result(accept(a, NULL, NULL));
    trace_end();
    trace("accept4");
    trace_result(accept4(a, NULL, NULL, SOCK_CLOEXEC));
    trace_end();
}

/* After a conversation close still frees the port at once. */
static void bind_again(const struct variant *variant)
{
    struct ends ends;

    open_ends(variant, &ends);
    say(variant, &ends, "hello");
    AWAIT_INPUT(ends.b);
    step_recv(ends.b, 10, 0);
    step_close(ends.b);
    ends.b = open_unbound(variant, "b");
    step_bind(ends.b, &ends.at_b);
    step_close(ends.a);
    ends.a = open_unbound(variant, "a");
    step_bind(ends.a, &ends.at_a);
}

static void privileged_port(const struct variant *variant)
{
    struct place at = loopback(variant, 7);
    int a = open_unbound(variant, "a");

    if (geteuid() == 0)
        MUST(seteuid(65534) == 0);
    step_bind(a, &at);
    step_set(a, OPTION(SOL_SOCKET, SO_RCVBUFFORCE), 100000);
    step_set(a, OPTION(SOL_SOCKET, SO_SNDBUFFORCE), 100000);
    step_set(a, OPTION(SOL_SOCKET, SO_MARK), 7);
    step_set(a, OPTION(SOL_SOCKET, SO_PRIORITY), 7);
    step_set(a, OPTION(SOL_SOCKET, SO_DEBUG), 1);
    step_set(a, OPTION(IPPROTO_IP, IP_TRANSPARENT), 1);
}

static void name_lengths(const struct variant *variant)
{
    static const int lengths[] = {0, 1, 2, 8, 16, 28, 100, -1};
    struct ends ends;
    struct sockaddr_storage addr;

    open_ends(variant, &ends);
    for (size_t index = 0; index < sizeof lengths / sizeof *lengths; index++) {
        socklen_t bytes = (socklen_t)lengths[index];

        memset(&addr, '.', sizeof addr);
        trace("getsockname, %d", lengths[index]);
        trace_result(getsockname(ends.a, (struct sockaddr *)&addr, &bytes));
        trace_more("length %d", (int)bytes);
        trace_address(&addr, lengths[index] < 0 ? 0 : (socklen_t)lengths[index]);
        trace_end();
        bytes = (socklen_t)lengths[index];
        memset(&addr, '.', sizeof addr);
        trace("getpeername, %d", lengths[index]);
        trace_result(getpeername(ends.a, (struct sockaddr *)&addr, &bytes));
        trace_more("length %d", (int)bytes);
        trace_address(&addr, lengths[index] < 0 ? 0 : (socklen_t)lengths[index]);
        trace_end();
    }
    trace("getsockname(NULL)");
    trace_result(getsockname(ends.a, NULL, NULL));
    trace_end();
    trace("getpeername(NULL)");
    trace_result(getpeername(ends.a, NULL, NULL));
    trace_end();
}

/* --- IPv4 beside IPv6 ---------------------------------------------------------------------------
 */

/* One IPv6 socket bound to any address serves an IPv4 and an IPv6 client. */
static void dual_stack(const struct variant *variant)
{
    static const struct variant v4 = {.family = AF_INET};
    static const struct variant v6 = {.family = AF_INET6};
    static const struct variant both = {.family = AF_INET6, .is_mapped = true};
    struct place at_b;
    struct place at_a4;
    struct place at_a6;
    int b = open_bound(&both, "b", &at_b);
    int a4 = open_bound(&v4, "a4", &at_a4);
    int a6 = open_bound(&v6, "a6", &at_a6);
    struct place to = loopback(&v4, place_port(&at_b));
    struct sockaddr_storage from = {.ss_family = 0};
    socklen_t bytes = sizeof from;

    (void)variant;
    step_get(b, OPTION(IPPROTO_IPV6, IPV6_V6ONLY));
    step_set(b, OPTION(IPPROTO_IPV6, IPV6_V6ONLY), 1); /* too late */
    step_sendto(a4, "from four", 9, 0, &to);
    AWAIT_INPUT(b);
    MUST(recvfrom(b, &(char){0}, 1, MSG_PEEK, (struct sockaddr *)&from, &bytes) >= 0);
    step_recvfrom(b, 20, 0, SIZE_MAX);
    step_sendto(b, "to four", 7, 0, &(struct place){from, bytes});
    AWAIT_INPUT(a4);
    step_recvfrom(a4, 20, 0, SIZE_MAX);
    to = loopback(&v6, place_port(&at_b));
    step_sendto(a6, "from six", 8, 0, &to);
    AWAIT_INPUT(b);
    step_recvfrom(b, 20, 0, SIZE_MAX);
    step_sendto(b, "to six", 6, 0, &at_a6);
    AWAIT_INPUT(a6);
    step_recvfrom(a6, 20, 0, SIZE_MAX);
    to = loopback(&v4, place_port(&at_a4)); /* an IPv4 address on an IPv6 socket */
    step_sendto(b, "to four", 7, 0, &to);
    AWAIT_INPUT(a4);
    step_recvfrom(a4, 20, 0, SIZE_MAX);
    int c = open_unbound(&both, "c");
    struct place mapped = loopback(&both, place_port(&at_a4));

    step_connect(c, &at_a6);
    step_getpeername(c);
    step_connect(c, &mapped);
    step_getpeername(c);
}

static void v6_only(const struct variant *variant)
{
    static const struct variant v4 = {.family = AF_INET};
    static const struct variant v6 = {.family = AF_INET6};
    static const struct variant mapped = {.family = AF_INET6, .is_mapped = true};
    struct place at_c;
    struct place any = anywhere(&v6);
    int b = open_unbound(&v6, "b");
    int c = open_bound(&v4, "c", &at_c);
    struct place to = loopback(&mapped, place_port(&at_c));

    (void)variant;
    step_set(b, OPTION(IPPROTO_IPV6, IPV6_V6ONLY), 1);
    step_get(b, OPTION(IPPROTO_IPV6, IPV6_V6ONLY));
    step_sendto(b, "x", 1, 0, &to);
    step_connect(b, &to);
    step_bind(b, &any);
    struct place at_b = place_of(b);

    trace_name_port(place_port(&at_b), "b");
    step_getsockname(b);
    int d = open_unbound(&v4, "d");
    struct place same = loopback(&v4, place_port(&at_b));

    step_bind(d, &same); /* free for IPv4 */
    step_close(c);
}

static void flow_and_scope(const struct variant *variant)
{
    static const struct variant v6 = {.family = AF_INET6};
    struct ends ends;

    (void)variant;
    open_ends(&v6, &ends);
    struct place to = ends.at_b;
    struct sockaddr_in6 *v6_addr = (struct sockaddr_in6 *)&to.addr;

    v6_addr->sin6_flowinfo = htonl(5);
    step_sendto(ends.a, "flow", 4, 0, &to);
    AWAIT_INPUT(ends.b);
    step_recvfrom(ends.b, 10, 0, SIZE_MAX);
    to = ends.at_b;
    v6_addr->sin6_scope_id = if_nametoindex("lo");
    step_sendto(ends.a, "scope", 5, 0, &to);
    AWAIT_INPUT(ends.b);
    step_recvfrom(ends.b, 10, 0, SIZE_MAX);
    step_connect(ends.a, &to);
    step_getpeername(ends.a);
    to = loopback(&v6, 9);
    MUST(inet_pton(AF_INET6, "fe80::1", &v6_addr->sin6_addr) == 1);
    step_sendto(ends.b, "x", 1, 0, &to); /* link-local without a scope */
    step_connect(ends.b, &to);
}

/* --- Groups and broadcast: never touched --------------------------------------------------------
 */

static void multicast_v4(const struct variant *variant)
{
    struct ip_mreqn join = {.imr_multiaddr.s_addr = htonl(0xefff0001), /* 239.255.0.1 */
                            .imr_address.s_addr = htonl(INADDR_LOOPBACK)};
    struct place any = anywhere(variant);
    struct place group = loopback(variant, 0);
    struct sockaddr_in *group_v4 = (struct sockaddr_in *)&group.addr;
    int b = open_unbound(variant, "b");
    struct place at_a;
    int a = open_bound(variant, "a", &at_a);

    MUST(bind(b, PLACE(&any)) == 0);
    struct place at_b = place_of(b);

    trace_name_port(place_port(&at_b), "b");
    group_v4->sin_addr = join.imr_multiaddr;
    group_v4->sin_port = htons(place_port(&at_b));
    step_setsockopt(b, OPTION(IPPROTO_IP, IP_ADD_MEMBERSHIP), &join, sizeof join);
    step_setsockopt(b, OPTION(IPPROTO_IP, IP_ADD_MEMBERSHIP), &join, sizeof join);
    step_setsockopt(a, OPTION(IPPROTO_IP, IP_MULTICAST_IF), &join, sizeof join);
    step_get(a, OPTION(IPPROTO_IP, IP_MULTICAST_TTL));
    step_get(a, OPTION(IPPROTO_IP, IP_MULTICAST_LOOP));
    step_get(b, OPTION(IPPROTO_IP, IP_MULTICAST_ALL));
    step_sendto(a, "to all", 6, 0, &group);
    AWAIT_INPUT(b);
    step_recvfrom(b, 10, 0, SIZE_MAX);
    step_connect(a, &group);
    step_send(a, "again", 5, 0);
    AWAIT_INPUT(b);
    step_recvfrom(b, 10, 0, SIZE_MAX);
    step_setsockopt(b, OPTION(IPPROTO_IP, IP_DROP_MEMBERSHIP), &join, sizeof join);
    step_setsockopt(b, OPTION(IPPROTO_IP, IP_DROP_MEMBERSHIP), &join, sizeof join);
    step_set(a, OPTION(IPPROTO_IP, IP_MULTICAST_LOOP), 0);
    step_get(a, OPTION(IPPROTO_IP, IP_MULTICAST_LOOP));
}

static void broadcast(const struct variant *variant)
{
    struct place to = loopback(variant, 9);
    int a = open_unbound(variant, "a");

    ((struct sockaddr_in *)&to.addr)->sin_addr.s_addr = htonl(0x7fffffff); /* of 127/8 */
    step_get(a, OPTION(SOL_SOCKET, SO_BROADCAST));
    step_sendto(a, "x", 1, 0, &to);
    step_connect(a, &to);
    step_set(a, OPTION(SOL_SOCKET, SO_BROADCAST), 1);
    step_get(a, OPTION(SOL_SOCKET, SO_BROADCAST));
    step_sendto(a, "x", 1, 0, &to);
    step_connect(a, &to);
    step_send(a, "x", 1, 0);
}

static const struct conformance_case cases[] = {
    {"connect_filters", "9", BY_FAMILY, connect_filters},
    {"connect_keeps_out", "9", BY_FAMILY, connect_keeps_out},
    {"automatic_bind", "9 11 43", BY_FAMILY | BY_BLOCKING, automatic_bind},
    {"disconnect", "10", BY_FAMILY, disconnect},
    {"connect_errors", "9 59", BY_FAMILY, connect_errors},
    {"bind_rules", "11 12", BY_FAMILY, bind_rules},
    {"bind_again", "11", BY_FAMILY | BY_CONNECTION, bind_again},
    {"privileged_port", "11 21 40", BY_FAMILY, privileged_port},
    {"name_lengths", "43", BY_FAMILY | BY_CONNECTION, name_lengths},
    {"dual_stack", "42", 0, dual_stack},
    {"v6_only", "42", 0, v6_only},
    {"flow_and_scope", "42", 0, flow_and_scope},
    {"multicast_v4", "41", 0, multicast_v4},
    {"broadcast", "41", 0, broadcast},
};

DEFINE_GROUP(address);
