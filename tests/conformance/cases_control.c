/* cases_control.c - control messages, received and sent. */
#include "cases.h"

#include <arpa/inet.h>
#include <errno.h>
#include <linux/net_tstamp.h>
#include <linux/sockios.h>
#include <net/if.h>
#include <netinet/udp.h>
#include <string.h>
#include <sys/ioctl.h>
#include <time.h>

static bool is_v6(const struct variant *variant)
{
    return variant->family == AF_INET6;
}

static void enable(const struct variant *variant, int fd, int v4_option, int v6_option)
{
    int is_on = 1;

    MUST(setsockopt(fd, IPPROTO_IP, v4_option, &is_on, sizeof is_on) == 0);
    if (is_v6(variant))
        MUST(setsockopt(fd, IPPROTO_IPV6, v6_option, &is_on, sizeof is_on) == 0);
}

static void destination_address(const struct variant *variant)
{
    struct ends ends;

    open_ends(variant, &ends);
    enable(variant, ends.b, IP_PKTINFO, IPV6_RECVPKTINFO);
    say(variant, &ends, "where to");
    AWAIT_INPUT(ends.b);
    step_recvmsg(ends.b, 20, CONTROL_BYTES, MSG_PEEK);
    step_recvmsg(ends.b, 20, CONTROL_BYTES, 0);
}

/* A socket bound to any address learns to which a message came, and chooses from which to send. */
static void source_choice(const struct variant *variant)
{
    static const struct variant v4 = {.family = AF_INET};
    struct place any = anywhere(&v4);
    struct place at_a;
    int a = open_bound(&v4, "a", &at_a);
    int b = open_unbound(&v4, "b");
    struct place to = loopback(&v4, 0);
    struct in_pktinfo info = {.ipi_spec_dst.s_addr = htonl(0x7f000003)}; /* 127.0.0.3 */
    _Alignas(struct cmsghdr) char control[CMSG_SPACE(sizeof info)] = {0};
    struct iovec part = {(char[]){"chosen"}, 6};
    struct msghdr message = {.msg_name = &at_a.addr,
                             .msg_namelen = at_a.bytes,
                             .msg_iov = &part,
                             .msg_iovlen = 1,
                             .msg_control = control,
                             .msg_controllen = sizeof control};

    (void)variant;
    MUST(bind(b, PLACE(&any)) == 0);
    enable(&v4, b, IP_PKTINFO, 0);
    struct place at_b = place_of(b);

    trace_name_port(place_port(&at_b), "b");
    to = loopback(&v4, place_port(&at_b));
    ((struct sockaddr_in *)&to.addr)->sin_addr.s_addr = htonl(0x7f000002); /* 127.0.0.2 */
    step_sendto(a, "to .2", 5, 0, &to);
    AWAIT_INPUT(b);
    step_recvmsg(b, 20, CONTROL_BYTES, 0);
    CMSG_FIRSTHDR(&message)->cmsg_level = IPPROTO_IP;
    CMSG_FIRSTHDR(&message)->cmsg_type = IP_PKTINFO;
    CMSG_FIRSTHDR(&message)->cmsg_len = CMSG_LEN(sizeof info);
    memcpy(CMSG_DATA(CMSG_FIRSTHDR(&message)), &info, sizeof info);
    int c = open_unbound(&v4, "c");

    MUST(bind(c, PLACE(&any)) == 0);
    at_b = place_of(c);
    trace_name_port(place_port(&at_b), "c");
    step_sendmsg(c, &message, 0);
    AWAIT_INPUT(a);
    step_recvfrom(a, 20, 0, SIZE_MAX);
}

static void hops_and_class(const struct variant *variant)
{
    struct ends ends;

    open_ends(variant, &ends);
    enable(variant, ends.b, IP_RECVTTL, IPV6_RECVHOPLIMIT);
    enable(variant, ends.b, IP_RECVTOS, IPV6_RECVTCLASS);
    say(variant, &ends, "as they come");
    AWAIT_INPUT(ends.b);
    step_recvmsg(ends.b, 20, CONTROL_BYTES, 0);
    step_set(ends.a, OPTION(IPPROTO_IP, IP_TTL), 33);
    step_set(ends.a, OPTION(IPPROTO_IP, IP_TOS), 0x10);
    if (is_v6(variant)) {
        step_set(ends.a, OPTION(IPPROTO_IPV6, IPV6_UNICAST_HOPS), 34);
        step_set(ends.a, OPTION(IPPROTO_IPV6, IPV6_TCLASS), 0x20);
    }
    say(variant, &ends, "as they are set");
    AWAIT_INPUT(ends.b);
    step_recvmsg(ends.b, 20, CONTROL_BYTES, 0);
}

static void original_destination(const struct variant *variant)
{
    struct ends ends;

    open_ends(variant, &ends);
    enable(variant, ends.b, IP_RECVORIGDSTADDR, IPV6_RECVORIGDSTADDR);
    say(variant, &ends, "to you");
    AWAIT_INPUT(ends.b);
    step_recvmsg(ends.b, 20, CONTROL_BYTES, 0);
}

static void old_ipv6_options(const struct variant *variant)
{
    static const struct variant v6 = {.family = AF_INET6};
    struct ends ends;

    (void)variant;
    open_ends(&v6, &ends);
    step_set(ends.b, OPTION(IPPROTO_IPV6, IPV6_2292PKTINFO), 1);
    step_set(ends.b, OPTION(IPPROTO_IPV6, IPV6_2292HOPLIMIT), 1);
    say(&v6, &ends, "as of old");
    AWAIT_INPUT(ends.b);
    step_recvmsg(ends.b, 20, CONTROL_BYTES, 0);
}

static void ip_options(const struct variant *variant)
{
    struct ends ends;
    int is_on = 1;

    open_ends(variant, &ends);
    MUST(setsockopt(ends.b, IPPROTO_IP, IP_RECVOPTS, &is_on, sizeof is_on) == 0);
    say(variant, &ends, "no options");
    AWAIT_INPUT(ends.b);
    step_recvmsg(ends.b, 20, CONTROL_BYTES, 0);
}

static void time_stamps(const struct variant *variant)
{
    struct ends ends;
    struct timeval stamp;

    open_ends(variant, &ends);
    step_set(ends.b, OPTION(SOL_SOCKET, SO_TIMESTAMP), 1);
    say(variant, &ends, "microseconds");
    AWAIT_INPUT(ends.b);
    step_recvmsg(ends.b, 20, CONTROL_BYTES, 0);
    step_set(ends.b, OPTION(SOL_SOCKET, SO_TIMESTAMPNS), 1);
    say(variant, &ends, "nanoseconds");
    AWAIT_INPUT(ends.b);
    step_recvmsg(ends.b, 20, CONTROL_BYTES, 0);
    step_set(ends.b, OPTION(SOL_SOCKET, SO_TIMESTAMPNS), 0);
    say(variant, &ends, "no time");
    AWAIT_INPUT(ends.b);
    step_recvmsg(ends.b, 20, CONTROL_BYTES, 0);
    trace_differs("last-packet", "-1 ENOENT");
    trace("SIOCGSTAMP");
    trace_result(ioctl(ends.b, SIOCGSTAMP, &stamp));
    trace_end();
    say(variant, &ends, "asked after");
    AWAIT_INPUT(ends.b);
    step_recv(ends.b, 20, 0);
    trace_differs("last-packet", "-1 ENOENT");
    trace("SIOCGSTAMP");
    trace_result(ioctl(ends.b, SIOCGSTAMP, &stamp));
    trace_end();
}

static void time_stamping(const struct variant *variant)
{
    struct ends ends;

    open_ends(variant, &ends);
    step_set(ends.b, OPTION(SOL_SOCKET, SO_TIMESTAMPING),
             SOF_TIMESTAMPING_RX_SOFTWARE | SOF_TIMESTAMPING_SOFTWARE);
    step_get(ends.b, OPTION(SOL_SOCKET, SO_TIMESTAMPING));
    say(variant, &ends, "software");
    AWAIT_INPUT(ends.b);
    step_recvmsg(ends.b, 20, CONTROL_BYTES, 0);
    step_set(ends.b, OPTION(SOL_SOCKET, SO_TIMESTAMPING), SOF_TIMESTAMPING_SOFTWARE);
    step_set(ends.b, OPTION(SOL_SOCKET, SO_TIMESTAMPING), 1 << 30);
}

/* Everything at once into any room. */
static void control_room(const struct variant *variant)
{
    struct ends ends;
    int is_on = 1;

    open_ends(variant, &ends);
    MUST(setsockopt(ends.b, SOL_SOCKET, SO_TIMESTAMPNS, &is_on, sizeof is_on) == 0);
    enable(variant, ends.b, IP_PKTINFO, IPV6_RECVPKTINFO);
    enable(variant, ends.b, IP_RECVTTL, IPV6_RECVHOPLIMIT);
    enable(variant, ends.b, IP_RECVTOS, IPV6_RECVTCLASS);
    for (size_t room = 0; room <= 200; room += 4) {
        say(variant, &ends, "crowded");
        AWAIT_INPUT(ends.b);
        step_recvmsg(ends.b, 20, room, 0);
    }
}

/* --- Sent ---------------------------------------------------------------------------------------
 */

static void step_sent_control(const struct variant *variant, const struct ends *ends, int level,
                              int type, size_t bytes, size_t claimed_bytes)
{
    _Alignas(struct cmsghdr) char control[128] = {0};
    struct iovec part = {(char[]){"with control"}, 12};
    struct place to = ends->at_b;
    struct msghdr message = {
        .msg_name = variant->is_connected ? NULL : &to.addr,
        .msg_namelen = variant->is_connected ? 0 : to.bytes,
        .msg_iov = &part,
        .msg_iovlen = 1,
        .msg_control = control,
        .msg_controllen = CMSG_SPACE(bytes),
    };
    struct cmsghdr *first = CMSG_FIRSTHDR(&message);

    first->cmsg_level = level;
    first->cmsg_type = type;
    first->cmsg_len = claimed_bytes;
    trace("<%d/%d %zu %zu> ", level, type, bytes, claimed_bytes);
    if (step_sendmsg(ends->a, &message, 0) < 0)
        return;
    AWAIT_INPUT(ends->b);
    step_recvmsg(ends->b, 20, CONTROL_BYTES, 0);
}

static void sent_control(const struct variant *variant)
{
    static const struct {
        int level;
        int type;
    } kinds[] = {
        {IPPROTO_IP, IP_PKTINFO},
        {IPPROTO_IP, IP_TTL},
        {IPPROTO_IP, IP_TOS},
        {IPPROTO_IP, IP_RETOPTS},
        {IPPROTO_IP, 99},
        {IPPROTO_IPV6, IPV6_PKTINFO},
        {IPPROTO_IPV6, IPV6_HOPLIMIT},
        {IPPROTO_IPV6, IPV6_TCLASS},
        {IPPROTO_IPV6, IPV6_DONTFRAG},
        {IPPROTO_IPV6, 199},
        {SOL_SOCKET, SCM_RIGHTS},
        {SOL_SOCKET, SCM_CREDENTIALS},
        {SOL_SOCKET, SO_MARK},
        {SOL_SOCKET, SO_TIMESTAMPING},
        {SOL_SOCKET, 99},
        {IPPROTO_UDP, 99},
        {12345, 1},
    };
    static const size_t sizes[] = {0, 1, 2, 3, 4, 8, 12, 16, 20};
    struct ends ends;

    open_ends(variant, &ends);
    for (size_t kind = 0; kind < sizeof kinds / sizeof *kinds; kind++)
        for (size_t index = 0; index < sizeof sizes / sizeof *sizes; index++)
            step_sent_control(variant, &ends, kinds[kind].level, kinds[kind].type, sizes[index],
                              CMSG_LEN(sizes[index]));
    step_sent_control(variant, &ends, IPPROTO_IP, IP_TTL, 4, 0);
    step_sent_control(variant, &ends, IPPROTO_IP, IP_TTL, 4, CMSG_LEN(0) - 1);
    step_sent_control(variant, &ends, IPPROTO_IP, IP_TTL, 4, CMSG_LEN(100));
}

static const struct conformance_case cases[] = {
    {"destination_address", "3 36", BY_FAMILY | BY_CONNECTION, destination_address},
    {"source_choice", "36", 0, source_choice},
    {"hops_and_class", "37", BY_FAMILY | BY_CONNECTION, hops_and_class},
    {"original_destination", "37", BY_FAMILY | BY_CONNECTION, original_destination},
    {"old_ipv6_options", "37", 0, old_ipv6_options},
    {"ip_options", "37", BY_FAMILY, ip_options},
    {"time_stamps", "38", BY_FAMILY | BY_CONNECTION, time_stamps},
    {"time_stamping", "38", BY_FAMILY | BY_CONNECTION, time_stamping},
    {"control_room", "39", BY_FAMILY | BY_CONNECTION, control_room},
    {"sent_control", "36 37 59", BY_FAMILY | BY_CONNECTION, sent_control},
};

DEFINE_GROUP(control);
