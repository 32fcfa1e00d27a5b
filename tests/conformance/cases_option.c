/* cases_option.c - socket options and ioctls. */
#include "cases.h"

#include <errno.h>
#include <linux/net_tstamp.h>
#include <linux/sockios.h>
#include <net/if.h>
#include <netinet/udp.h>
#include <stdint.h>
#include <string.h>
#include <sys/ioctl.h>
#include <time.h>
#include <unistd.h>

static void buffer_sizes(const struct variant *variant)
{
    static const int values[] = {0, 1, 2000, 50000, 100001, INT32_MAX / 2, INT32_MAX, -1};
    struct ends ends;
    int fresh = open_unbound(variant, "fresh");

    open_ends(variant, &ends);
    int fds[] = {fresh, ends.a};

    for (size_t at = 0; at < 2; at++) {
        step_get(fds[at], OPTION(SOL_SOCKET, SO_RCVBUF));
        step_get(fds[at], OPTION(SOL_SOCKET, SO_SNDBUF));
        for (size_t index = 0; index < sizeof values / sizeof *values; index++) {
            step_set(fds[at], OPTION(SOL_SOCKET, SO_RCVBUF), values[index]);
            step_get(fds[at], OPTION(SOL_SOCKET, SO_RCVBUF));
            step_set(fds[at], OPTION(SOL_SOCKET, SO_SNDBUF), values[index]);
            step_get(fds[at], OPTION(SOL_SOCKET, SO_SNDBUF));
            step_set(fds[at], OPTION(SOL_SOCKET, SO_RCVBUFFORCE), values[index]);
            step_get(fds[at], OPTION(SOL_SOCKET, SO_RCVBUF));
            step_set(fds[at], OPTION(SOL_SOCKET, SO_SNDBUFFORCE), values[index]);
            step_get(fds[at], OPTION(SOL_SOCKET, SO_SNDBUF));
        }
        step_set(fds[at], OPTION(SOL_SOCKET, SO_RCVLOWAT), 7);
        step_get(fds[at], OPTION(SOL_SOCKET, SO_RCVLOWAT));
        step_get(fds[at], OPTION(SOL_SOCKET, SO_SNDLOWAT));
    }
}

/* Options without effect on what a program receives: they must read back as the kernel's. */
static void socket_level(const struct variant *variant)
{
    static const struct {
        int option;
        const char *name;
        int value;
    } options[] = {
        {SO_REUSEADDR, "SO_REUSEADDR", 1},
        {SO_REUSEPORT, "SO_REUSEPORT", 1},
        {SO_DONTROUTE, "SO_DONTROUTE", 1},
        {SO_KEEPALIVE, "SO_KEEPALIVE", 1},
        {SO_OOBINLINE, "SO_OOBINLINE", 1},
        {SO_PRIORITY, "SO_PRIORITY", 3},
        {SO_MARK, "SO_MARK", 9},
        {SO_NO_CHECK, "SO_NO_CHECK", 1},
        {SO_PASSCRED, "SO_PASSCRED", 1},
        {SO_BUSY_POLL, "SO_BUSY_POLL", 0},
        {SO_RXQ_OVFL, "SO_RXQ_OVFL", 1},
        {SO_WIFI_STATUS, "SO_WIFI_STATUS", 0},
        {SO_NOFCS, "SO_NOFCS", 0},
        {SO_ZEROCOPY, "SO_ZEROCOPY", 1},
        {SO_INCOMING_CPU, "SO_INCOMING_CPU", 0},
        {SO_SELECT_ERR_QUEUE, "SO_SELECT_ERR_QUEUE", 1},
        {SO_TIMESTAMP, "SO_TIMESTAMP", 1},
        {SO_TIMESTAMPNS, "SO_TIMESTAMPNS", 1},
        {SO_TIMESTAMPING, "SO_TIMESTAMPING",
         SOF_TIMESTAMPING_RX_SOFTWARE | SOF_TIMESTAMPING_SOFTWARE},
        {SO_PEEK_OFF, "SO_PEEK_OFF", 0},
        {SO_LOCK_FILTER, "SO_LOCK_FILTER", 0},
        {SO_TXREHASH, "SO_TXREHASH", 1},
        {SO_RESERVE_MEM, "SO_RESERVE_MEM", 0},
        {SO_TYPE, "SO_TYPE", 1},
        {SO_ERROR, "SO_ERROR", 1},
    };
    struct ends ends;

    open_ends(variant, &ends);
    for (size_t index = 0; index < sizeof options / sizeof *options; index++) {
        step_get(ends.a, SOL_SOCKET, options[index].option, options[index].name);
        step_set(ends.a, SOL_SOCKET, options[index].option, options[index].name,
                 options[index].value);
        step_get(ends.a, SOL_SOCKET, options[index].option, options[index].name);
    }
    step_set(ends.a, SOL_SOCKET, SO_TIMESTAMPING, "SO_TIMESTAMPING", 0);
    step_get(ends.a, OPTION(SOL_SOCKET, SO_TIMESTAMP));
    step_set(ends.a, OPTION(SOL_SOCKET, 9999), 1);
    step_get(ends.a, OPTION(SOL_SOCKET, 9999));
    step_get(ends.a, OPTION(IPPROTO_TCP, 1));
    step_set(ends.a, OPTION(12345, 1), 1);
}

static void introspection(const struct variant *variant)
{
    struct ends ends;
    uint64_t cookie = 0;
    uint64_t again = 0;
    uint32_t memory[16];
    socklen_t bytes = sizeof cookie;

    open_ends(variant, &ends);
    step_get(ends.a, OPTION(SOL_SOCKET, SO_TYPE));
    step_get(ends.a, OPTION(SOL_SOCKET, SO_DOMAIN));
    step_get(ends.a, OPTION(SOL_SOCKET, SO_PROTOCOL));
    step_get(ends.a, OPTION(SOL_SOCKET, SO_ACCEPTCONN));
    step_getsockopt(ends.a, OPTION(SOL_SOCKET, SO_COOKIE), &cookie, &bytes);
    step_getsockopt(ends.a, OPTION(SOL_SOCKET, SO_COOKIE), &again, &bytes);
    trace_line("cookie: %s, %s", cookie != 0 ? "set" : "zero",
               cookie == again ? "stays" : "changes");
    bytes = sizeof memory;
    step_getsockopt(ends.a, OPTION(SOL_SOCKET, SO_MEMINFO), memory, &bytes);
    step_get(ends.a, OPTION(SOL_SOCKET, SO_PEERCRED));
    step_get(ends.a, OPTION(SOL_SOCKET, SO_INCOMING_NAPI_ID));
}

static void ip_level(const struct variant *variant)
{
    static const struct {
        int option;
        const char *name;
        int value;
    } options[] = {
        {IP_TTL, "IP_TTL", 33},
        {IP_TTL, "IP_TTL", 300},
        {IP_TOS, "IP_TOS", 0x10},
        {IP_RECVTTL, "IP_RECVTTL", 1},
        {IP_RECVTOS, "IP_RECVTOS", 5},
        {IP_PKTINFO, "IP_PKTINFO", 1},
        {IP_RECVERR, "IP_RECVERR", 1},
        {IP_RECVOPTS, "IP_RECVOPTS", 1},
        {IP_RETOPTS, "IP_RETOPTS", 1},
        {IP_RECVORIGDSTADDR, "IP_RECVORIGDSTADDR", 1},
        {IP_FREEBIND, "IP_FREEBIND", 1},
        {IP_TRANSPARENT, "IP_TRANSPARENT", 1},
        {IP_MINTTL, "IP_MINTTL", 1},
        {IP_NODEFRAG, "IP_NODEFRAG", 1},
        {IP_CHECKSUM, "IP_CHECKSUM", 1},
        {IP_BIND_ADDRESS_NO_PORT, "IP_BIND_ADDRESS_NO_PORT", 1},
        {IP_RECVFRAGSIZE, "IP_RECVFRAGSIZE", 1},
        {IP_PASSSEC, "IP_PASSSEC", 1},
        {IP_UNICAST_IF, "IP_UNICAST_IF", 0},
        {IP_HDRINCL, "IP_HDRINCL", 1},
        {200, "200", 1},
    };
    struct ends ends;

    open_ends(variant, &ends);
    for (size_t index = 0; index < sizeof options / sizeof *options; index++) {
        step_get(ends.a, IPPROTO_IP, options[index].option, options[index].name);
        step_set(ends.a, IPPROTO_IP, options[index].option, options[index].name,
                 options[index].value);
        step_get(ends.a, IPPROTO_IP, options[index].option, options[index].name);
    }
    step_set(ends.a, OPTION(IPPROTO_IP, IP_RECVTTL), 0);
    step_get(ends.a, OPTION(IPPROTO_IP, IP_RECVTTL));
}

static void ipv6_level(const struct variant *variant)
{
    static const struct {
        int option;
        const char *name;
        int value;
    } options[] = {
        {IPV6_UNICAST_HOPS, "IPV6_UNICAST_HOPS", 33},
        {IPV6_TCLASS, "IPV6_TCLASS", 0x20},
        {IPV6_RECVPKTINFO, "IPV6_RECVPKTINFO", 1},
        {IPV6_RECVHOPLIMIT, "IPV6_RECVHOPLIMIT", 1},
        {IPV6_RECVTCLASS, "IPV6_RECVTCLASS", 1},
        {IPV6_RECVERR, "IPV6_RECVERR", 1},
        {IPV6_RECVORIGDSTADDR, "IPV6_RECVORIGDSTADDR", 1},
        {IPV6_2292PKTINFO, "IPV6_2292PKTINFO", 1},
        {IPV6_2292HOPLIMIT, "IPV6_2292HOPLIMIT", 1},
        {IPV6_RECVRTHDR, "IPV6_RECVRTHDR", 1},
        {IPV6_RECVHOPOPTS, "IPV6_RECVHOPOPTS", 1},
        {IPV6_RECVDSTOPTS, "IPV6_RECVDSTOPTS", 1},
        {IPV6_RECVPATHMTU, "IPV6_RECVPATHMTU", 1},
        {IPV6_DONTFRAG, "IPV6_DONTFRAG", 1},
        {IPV6_FREEBIND, "IPV6_FREEBIND", 1},
        {IPV6_TRANSPARENT, "IPV6_TRANSPARENT", 1},
        {IPV6_AUTOFLOWLABEL, "IPV6_AUTOFLOWLABEL", 1},
        {IPV6_ADDR_PREFERENCES, "IPV6_ADDR_PREFERENCES", 2},
        {200, "200", 1},
    };
    struct ends ends;

    open_ends(variant, &ends);
    for (size_t index = 0; index < sizeof options / sizeof *options; index++) {
        step_get(ends.a, IPPROTO_IPV6, options[index].option, options[index].name);
        step_set(ends.a, IPPROTO_IPV6, options[index].option, options[index].name,
                 options[index].value);
        step_get(ends.a, IPPROTO_IPV6, options[index].option, options[index].name);
    }
}

static void udp_level(const struct variant *variant)
{
    struct ends ends;

    open_ends(variant, &ends);
    step_get(ends.a, OPTION(IPPROTO_UDP, UDP_NO_CHECK6_TX));
    step_set(ends.a, OPTION(IPPROTO_UDP, UDP_NO_CHECK6_TX), 1);
    step_get(ends.a, OPTION(IPPROTO_UDP, UDP_NO_CHECK6_TX));
    step_get(ends.a, OPTION(IPPROTO_UDP, UDP_ENCAP));
    step_set(ends.a, OPTION(IPPROTO_UDP, UDP_ENCAP), 77);
    step_get(ends.a, OPTION(IPPROTO_UDP, 99));
    step_set(ends.a, OPTION(IPPROTO_UDP, 99), 1);
    trace_differs("segments", "-1 ENOPROTOOPT");
    step_set(ends.a, OPTION(IPPROTO_UDP, UDP_SEGMENT), 1200);
    trace_differs("segments", "-1 ENOPROTOOPT");
    step_set(ends.a, OPTION(IPPROTO_UDP, UDP_GRO), 1);
}

/* Values and lengths that are not as they should be. */
static void option_arguments(const struct variant *variant)
{
    static const struct {
        int level;
        int option;
        const char *name;
    } options[] = {
        {SOL_SOCKET, SO_RCVBUF, "SO_RCVBUF"},
        {SOL_SOCKET, SO_TIMESTAMP, "SO_TIMESTAMP"},
        {SOL_SOCKET, SO_ERROR, "SO_ERROR"},
        {SOL_SOCKET, SO_RCVTIMEO, "SO_RCVTIMEO"},
        {IPPROTO_IP, IP_PKTINFO, "IP_PKTINFO"},
        {IPPROTO_IP, IP_RECVTOS, "IP_RECVTOS"},
        {IPPROTO_IP, IP_RECVERR, "IP_RECVERR"},
        {IPPROTO_IP, IP_TTL, "IP_TTL"},
        {IPPROTO_IPV6, IPV6_RECVPKTINFO, "IPV6_RECVPKTINFO"},
        {IPPROTO_IPV6, IPV6_RECVERR, "IPV6_RECVERR"},
        {IPPROTO_UDP, UDP_CORK, "UDP_CORK"},
    };
    static const int lengths[] = {0, 1, 2, 3, 4, 5, 16, 64, -1};
    struct ends ends;
    int value[32];

    open_ends(variant, &ends);
    for (size_t index = 0; index < sizeof options / sizeof *options; index++) {
        for (size_t at = 0; at < sizeof lengths / sizeof *lengths; at++) {
            socklen_t bytes = (socklen_t)lengths[at];

            memset(value, 0, sizeof value);
            step_setsockopt(ends.a, options[index].level, options[index].option,
                            options[index].name, value, bytes);
            memset(value, '.', sizeof value);
            step_getsockopt(ends.a, options[index].level, options[index].option,
                            options[index].name, value, &bytes);
            trace_bytes(value, 8);
            trace_end();
        }
        step_setsockopt(ends.a, options[index].level, options[index].option, options[index].name,
                        NULL, sizeof *value);
        step_setsockopt(ends.a, options[index].level, options[index].option, options[index].name,
                        (void *)8, sizeof *value);
        socklen_t room = sizeof *value;

        step_getsockopt(ends.a, options[index].level, options[index].option, options[index].name,
                        (void *)8, &room);
        step_getsockopt(ends.a, options[index].level, options[index].option, options[index].name,
                        value, NULL);
    }
}

static void time_limits(const struct variant *variant)
{
    struct ends ends;
    struct timeval limit = {.tv_usec = 50000};
    struct timeval bad = {.tv_usec = 2000000};
    struct timeval read_back = {.tv_sec = 0};
    socklen_t bytes = sizeof read_back;
    struct timespec before;
    struct timespec after;

    open_ends(variant, &ends);
    step_setsockopt(ends.b, OPTION(SOL_SOCKET, SO_RCVTIMEO), &limit, sizeof limit);
    step_setsockopt(ends.b, OPTION(SOL_SOCKET, SO_SNDTIMEO), &limit, sizeof limit);
    step_setsockopt(ends.b, OPTION(SOL_SOCKET, SO_RCVTIMEO), &bad, sizeof bad);
    step_setsockopt(ends.b, OPTION(SOL_SOCKET, SO_RCVTIMEO), &limit, 4);
    step_getsockopt(ends.b, OPTION(SOL_SOCKET, SO_RCVTIMEO), &read_back, &bytes);
    trace_line("limit: %ld.%06ld", (long)read_back.tv_sec, (long)read_back.tv_usec);
    step_getsockopt(ends.b, OPTION(SOL_SOCKET, SO_SNDTIMEO), &read_back, &bytes);
    trace_line("limit: %ld.%06ld", (long)read_back.tv_sec, (long)read_back.tv_usec);
    clock_gettime(CLOCK_MONOTONIC, &before);
    step_recv(ends.b, 10, 0);
    clock_gettime(CLOCK_MONOTONIC, &after);
    long waited_ms =
        (after.tv_sec - before.tv_sec) * 1000 + (after.tv_nsec - before.tv_nsec) / 1000000;

    trace_line("waited: %s", variant->is_nonblocking ? "not" : waited_ms >= 45 ? "yes" : "no");
    say(variant, &ends, "in time");
    AWAIT_INPUT(ends.b);
    step_recv(ends.b, 10, 0);
    step_sendto(ends.b, "x", 1, 0, variant->is_connected ? NULL : &ends.at_a);
}

static void reuse(const struct variant *variant)
{
    struct place at_a;
    struct place at = loopback(variant, 0);
    int a = open_unbound(variant, "a");
    int b = open_unbound(variant, "b");
    int c = open_unbound(variant, "c");

    step_set(a, OPTION(SOL_SOCKET, SO_REUSEPORT), 1);
    step_set(b, OPTION(SOL_SOCKET, SO_REUSEPORT), 1);
    step_bind(a, &at);
    at_a = place_of(a);
    trace_name_port(place_port(&at_a), "a");
    step_bind(c, &at_a);
    step_bind(b, &at_a);
    step_getsockname(b);
    step_close(a);
    step_close(b);
    a = open_unbound(variant, "a");
    b = open_unbound(variant, "b");
    step_set(a, OPTION(SOL_SOCKET, SO_REUSEADDR), 1);
    step_set(b, OPTION(SOL_SOCKET, SO_REUSEADDR), 1);
    step_bind(a, &at_a);
    step_bind(b, &at_a);
    step_bind(c, &at_a);
}

static void bound_device(const struct variant *variant)
{
    struct ends ends;
    char name[IFNAMSIZ] = "";
    socklen_t bytes = sizeof name;

    open_ends(variant, &ends);
    step_setsockopt(ends.a, OPTION(SOL_SOCKET, SO_BINDTODEVICE), "lo", 3);
    step_getsockopt(ends.a, OPTION(SOL_SOCKET, SO_BINDTODEVICE), name, &bytes);
    trace_line("device \"%s\"", name);
    step_get(ends.a, OPTION(SOL_SOCKET, SO_BINDTOIFINDEX));
    say(variant, &ends, "by device");
    AWAIT_INPUT(ends.b);
    step_recv(ends.b, 10, 0);
    step_setsockopt(ends.a, OPTION(SOL_SOCKET, SO_BINDTODEVICE), "nosuchdevice", 13);
    step_set(ends.a, OPTION(SOL_SOCKET, SO_BINDTOIFINDEX), 0);
}

/* A UDP socket as the handle for questions about network devices. */
static void device_requests(const struct variant *variant)
{
    struct ifreq request;
    struct ifreq all[64];
    struct ifconf list = {.ifc_len = sizeof all, .ifc_req = all};
    int a = open_unbound(variant, "a");

    memset(&request, 0, sizeof request);
    strcpy(request.ifr_name, "lo");
    trace("SIOCGIFINDEX");
    trace_result(ioctl(a, SIOCGIFINDEX, &request));
    trace_more("%s", request.ifr_ifindex == (int)if_nametoindex("lo") ? "right" : "wrong");
    trace_end();
    trace("SIOCGIFMTU");
    trace_result(ioctl(a, SIOCGIFMTU, &request));
    trace_more("%d", request.ifr_mtu);
    trace_end();
    trace("SIOCGIFFLAGS");
    trace_result(ioctl(a, SIOCGIFFLAGS, &request));
    trace_more("%#x", (unsigned int)request.ifr_flags);
    trace_end();
    trace("SIOCGIFCONF");
    trace_result(ioctl(a, SIOCGIFCONF, &list));
    trace_more("%d bytes", list.ifc_len);
    trace_end();
    strcpy(request.ifr_name, "nosuchdevice");
    trace("SIOCGIFADDR");
    trace_result(ioctl(a, SIOCGIFADDR, &request));
    trace_end();
    trace("SIOCGIFADDR(bad pointer)");
    trace_result(ioctl(a, SIOCGIFADDR, (void *)8));
    trace_end();
    step_ioctl(a, REQUEST(SIOCATMARK));
    step_ioctl(a, REQUEST(0x1234));
    trace("FIONREAD(NULL)");
    trace_result(ioctl(a, FIONREAD, NULL));
    trace_end();
    trace("FIONBIO(NULL)");
    trace_result(ioctl(a, FIONBIO, NULL));
    trace_end();
}

static void peek_offset(const struct variant *variant)
{
    struct ends ends;

    open_ends(variant, &ends);
    step_set(ends.b, OPTION(SOL_SOCKET, SO_PEEK_OFF), 2);
    step_get(ends.b, OPTION(SOL_SOCKET, SO_PEEK_OFF));
    say(variant, &ends, "abcdefgh");
    say(variant, &ends, "ijkl");
    AWAIT_INPUT(ends.b);
    trace_differs("peek-offset", "3 \"abc\"");
    step_recv(ends.b, 3, MSG_PEEK);
    step_recv(ends.b, 10, 0);
    AWAIT_INPUT(ends.b);
    step_recv(ends.b, 10, MSG_PEEK);
    step_set(ends.b, OPTION(SOL_SOCKET, SO_PEEK_OFF), -1);
    step_recv(ends.b, 10, MSG_PEEK);
    step_recv(ends.b, 10, 0);
}

static const struct conformance_case cases[] = {
    {"buffer_sizes", "21", BY_FAMILY, buffer_sizes},
    {"socket_level", "40 44 45", BY_FAMILY | BY_CONNECTION, socket_level},
    {"introspection", "44", BY_FAMILY | BY_CONNECTION, introspection},
    {"ip_level", "17 36 37 44", BY_FAMILY, ip_level},
    {"ipv6_level", "17 36 37 44", BY_FAMILY, ipv6_level},
    {"udp_level", "44 45", BY_FAMILY, udp_level},
    {"option_arguments", "44 59", BY_FAMILY, option_arguments},
    {"time_limits", "20", BY_FAMILY | BY_CONNECTION | BY_BLOCKING, time_limits},
    {"reuse", "40", BY_FAMILY, reuse},
    {"bound_device", "40", BY_FAMILY, bound_device},
    {"device_requests", "57", BY_FAMILY, device_requests},
    {"peek_offset", "3 44", BY_FAMILY | BY_CONNECTION, peek_offset},
};

DEFINE_GROUP(option);
