#include "engine/wire_io.h"

#include "engine/engine.h"
#include "engine/system.h"

#include <errno.h>
#include <netinet/in.h>
#include <sys/mman.h>
#include <time.h>

#define SLOT_BYTES    ((size_t)64 * 1024) /* any UDP datagram */
#define CONTROL_BYTES 256u /* what we ask for, and what the program may ask for itself */

/* Twice the default credit of a session: the kernel doubles the number for its overhead, but counts
 * about 2,300 bytes for a packet of 1,200. */
#define RECEIVE_BUFFER_BYTES_GOAL (8 * 1024 * 1024)

struct wire_arena {
    struct mmsghdr messages[WIRE_RECEIVE_COUNT];
    struct iovec slices[WIRE_RECEIVE_COUNT];
    struct sockaddr_storage addresses[WIRE_RECEIVE_COUNT];
    _Alignas(struct cmsghdr) uint8_t controls[WIRE_RECEIVE_COUNT][CONTROL_BYTES];
    uint8_t slots[WIRE_RECEIVE_COUNT][SLOT_BYTES];
};

/* A larger buffer holds what arrives while the engine thread waits for a processor. The forced form
 * passes the system's limit and needs a privilege; the plain one is clamped to the limit. */
static void enlarge_receive_buffer(int fd)
{
    int bytes = 0;

    if (engine_sys_getsockopt_int(fd, SOL_SOCKET, SO_RCVBUF, &bytes) == 0 &&
        bytes >= RECEIVE_BUFFER_BYTES_GOAL)
        return;
    if (engine_sys_setsockopt_int(fd, SOL_SOCKET, SO_RCVBUFFORCE, RECEIVE_BUFFER_BYTES_GOAL) < 0)
        engine_sys_setsockopt_int(fd, SOL_SOCKET, SO_RCVBUF, RECEIVE_BUFFER_BYTES_GOAL);
}

/* None of these is essential: where one is refused, its value is reported as unknown. The IPv4
 * options also serve the IPv4 packets of a dual-stack socket. */
static void request_control_messages(const struct wire *wire, bool wants_metadata)
{
    if (wire->family == AF_INET)
        engine_sys_setsockopt_int(wire->fd, IPPROTO_IP, IP_PKTINFO, 1);
    else
        engine_sys_setsockopt_int(wire->fd, IPPROTO_IPV6, IPV6_RECVPKTINFO, 1);
    if (!wants_metadata)
        return;
    engine_sys_setsockopt_int(wire->fd, IPPROTO_IP, IP_RECVTTL, 1);
    engine_sys_setsockopt_int(wire->fd, IPPROTO_IP, IP_RECVTOS, 1);
    engine_sys_setsockopt_int(wire->fd, SOL_SOCKET, SO_TIMESTAMPNS, 1);
    if (wire->family == AF_INET)
        return;
    engine_sys_setsockopt_int(wire->fd, IPPROTO_IPV6, IPV6_RECVHOPLIMIT, 1);
    engine_sys_setsockopt_int(wire->fd, IPPROTO_IPV6, IPV6_RECVTCLASS, 1);
}

int wire_init(struct wire *wire, int fd, bool wants_metadata)
{
    int type = 0;
    int domain = 0;
    int protocol = 0;
    long result = engine_sys_getsockopt_int(fd, SOL_SOCKET, SO_TYPE, &type);

    if (result == 0)
        result = engine_sys_getsockopt_int(fd, SOL_SOCKET, SO_DOMAIN, &domain);
    if (result == 0)
        result = engine_sys_getsockopt_int(fd, SOL_SOCKET, SO_PROTOCOL, &protocol);
    if (result < 0)
        return (int)result;
    if (domain != AF_INET && domain != AF_INET6)
        return -EAFNOSUPPORT;
    if (type != SOCK_DGRAM || protocol != IPPROTO_UDP)
        return -EPROTOTYPE;
    *wire = (struct wire){.fd = fd, .family = (sa_family_t)domain};
    request_control_messages(wire, wants_metadata);
    enlarge_receive_buffer(fd);
    wire_refresh(wire);
    return 0;
}

static bool is_any(const struct rudp_address *address)
{
    static const struct rudp_address any_v6;
    static const uint8_t any_v4[16] = {[10] = 0xff, [11] = 0xff};

    return memcmp(address->ip, any_v6.ip, sizeof any_v6.ip) == 0 ||
           memcmp(address->ip, any_v4, sizeof any_v4) == 0;
}

static bool lets_others_in(int fd)
{
    int value = 0;

    return (engine_sys_getsockopt_int(fd, SOL_SOCKET, SO_REUSEPORT, &value) == 0 && value != 0) ||
           (engine_sys_getsockopt_int(fd, SOL_SOCKET, SO_REUSEADDR, &value) == 0 && value != 0);
}

void wire_refresh(struct wire *wire)
{
    struct sockaddr_storage storage = {.ss_family = AF_UNSPEC};

    engine_sys_getsockname(wire->fd, &storage);
    if (!engine_address_from_sockaddr(&wire->local, (const struct sockaddr *)&storage,
                                      sizeof storage))
        wire->local = (struct rudp_address){.port = 0};
    wire->is_wildcard = is_any(&wire->local);
    wire->reuses = lets_others_in(wire->fd);
    wire->is_connected = engine_sys_getpeername(wire->fd, &storage) == 0 &&
                         engine_address_from_sockaddr(
                             &wire->peer, (const struct sockaddr *)&storage, sizeof storage);
}

/* --- Receiving -------------------------------------------------------------------------------- */

struct wire_arena *wire_arena_create(void)
{
    struct wire_arena *arena = mmap(NULL, sizeof *arena, PROT_READ | PROT_WRITE,
                                    MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

    if (arena == MAP_FAILED)
        return NULL;
    for (size_t i = 0; i < WIRE_RECEIVE_COUNT; i++) {
        arena->slices[i] = (struct iovec){.iov_base = arena->slots[i], .iov_len = SLOT_BYTES};
        arena->messages[i].msg_hdr = (struct msghdr){
            .msg_name = &arena->addresses[i],
            .msg_iov = &arena->slices[i],
            .msg_iovlen = 1,
            .msg_control = arena->controls[i],
        };
    }
    return arena;
}

long wire_receive(const struct wire *wire, struct wire_arena *arena)
{
    for (size_t i = 0; i < WIRE_RECEIVE_COUNT; i++) { /* the kernel wrote the last lengths there */
        arena->messages[i].msg_hdr.msg_namelen = sizeof arena->addresses[i];
        arena->messages[i].msg_hdr.msg_controllen = CONTROL_BYTES;
    }
    long count = engine_sys_recvmmsg(wire->fd, arena->messages, WIRE_RECEIVE_COUNT);

    return count == -EAGAIN ? 0 : count;
}

/* IPv4 addresses of control messages come without a port and are never link-local to us. */
static struct rudp_address address_from_v4(const struct in_addr *ip)
{
    struct sockaddr_in v4 = {.sin_family = AF_INET, .sin_addr = *ip};
    struct rudp_address address = {.port = 0};

    engine_address_from_sockaddr(&address, (const struct sockaddr *)&v4, sizeof v4);
    return address;
}

/* The kernel looks interface and own address up when a packet arrives, if that is wanted by then:
 * of those that waited before, the destination is all that is known. */
static void read_pktinfo_v4(const struct cmsghdr *control, struct wire_packet *packet)
{
    struct in_pktinfo info;

    memcpy(&info, CMSG_DATA(control), sizeof info);
    uint32_t destination = ntohl(info.ipi_addr.s_addr);
    bool is_to_one = !IN_MULTICAST(destination) && destination != INADDR_BROADCAST;

    packet->destination = address_from_v4(&info.ipi_addr);
    packet->source = info.ipi_ifindex == 0 && is_to_one ? packet->destination
                                                        : address_from_v4(&info.ipi_spec_dst);
    packet->interface_index = (uint32_t)info.ipi_ifindex;
}

static void read_pktinfo_v6(const struct cmsghdr *control, struct wire_packet *packet)
{
    struct in6_pktinfo info;

    memcpy(&info, CMSG_DATA(control), sizeof info);
    struct sockaddr_in6 v6 = {
        .sin6_family = AF_INET6,
        .sin6_addr = info.ipi6_addr,
        .sin6_scope_id = info.ipi6_ifindex,
    };

    engine_address_from_sockaddr(&packet->destination, (const struct sockaddr *)&v6, sizeof v6);
    packet->interface_index = info.ipi6_ifindex;
    if (!IN6_IS_ADDR_MULTICAST(&info.ipi6_addr))
        packet->source = packet->destination;
}

static int read_int(const struct cmsghdr *control)
{
    int value = 0;

    /* IP_TOS is one byte, everything else an int. */
    if (control->cmsg_len == CMSG_LEN(1))
        return *CMSG_DATA(control);
    memcpy(&value, CMSG_DATA(control), sizeof value);
    return value;
}

static void read_control(const struct cmsghdr *control, struct wire_packet *packet)
{
    int level = control->cmsg_level;
    int type = control->cmsg_type;

    if (level == IPPROTO_IP && type == IP_PKTINFO)
        read_pktinfo_v4(control, packet);
    else if (level == IPPROTO_IPV6 && type == IPV6_PKTINFO)
        read_pktinfo_v6(control, packet);
    else if ((level == IPPROTO_IP && type == IP_TTL) ||
             (level == IPPROTO_IPV6 && type == IPV6_HOPLIMIT))
        packet->ttl = read_int(control);
    else if ((level == IPPROTO_IP && type == IP_TOS) ||
             (level == IPPROTO_IPV6 && type == IPV6_TCLASS))
        packet->tos = read_int(control);
    else if (level == SOL_SOCKET && type == SCM_TIMESTAMPNS) {
        struct timespec time;

        memcpy(&time, CMSG_DATA(control), sizeof time);
        packet->received_ns = (uint64_t)time.tv_sec * 1000000000u + (uint64_t)time.tv_nsec;
    }
}

void wire_arena_packet(const struct wire_arena *arena, size_t index, struct wire_packet *packet)
{
    RUDP_ASSERT(index < WIRE_RECEIVE_COUNT);
    struct msghdr message = arena->messages[index].msg_hdr;

    *packet = (struct wire_packet){
        .data = arena->slots[index],
        .bytes = arena->messages[index].msg_len,
        .ttl = -1,
        .tos = -1,
    };
    engine_address_from_sockaddr(&packet->remote, message.msg_name, message.msg_namelen);
    for (struct cmsghdr *control = CMSG_FIRSTHDR(&message); control != NULL;
         control = CMSG_NXTHDR(&message, control))
        read_control(control, packet);
}
