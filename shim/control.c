#define _GNU_SOURCE
#include "shim/control.h"

#include "engine/engine.h"
#include "shim/memory.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/udp.h>

#define NS_PER_US       1000u
#define NS_PER_S        1000000000u
#define MAPPED_V4_BYTES 12u
#define BYTES_MAX       1024u /* more than all control messages together */

struct writer {
    uint8_t *at;
    size_t room_bytes;
    int flags;
};

/* As the kernel's put_cmsg: what does not fit is cut, and said to be. */
static void put(struct writer *writer, int level, int type, const void *data, size_t bytes)
{
    size_t message_bytes = CMSG_LEN(bytes);

    if (writer->room_bytes < CMSG_LEN(0)) {
        writer->flags = MSG_CTRUNC;
        return;
    }
    if (message_bytes > writer->room_bytes) {
        writer->flags = MSG_CTRUNC;
        message_bytes = writer->room_bytes;
    }
    struct cmsghdr header = {.cmsg_len = message_bytes, .cmsg_level = level, .cmsg_type = type};

    memcpy(writer->at, &header, sizeof header);
    memcpy(writer->at + CMSG_LEN(0), data, message_bytes - CMSG_LEN(0));
    size_t step = (size_t)min_u64(CMSG_SPACE(bytes), writer->room_bytes);

    writer->at += step;
    writer->room_bytes -= step;
}

static void put_int(struct writer *writer, int level, int type, int value)
{
    put(writer, level, type, &value, sizeof value);
}

/* The old forms hold a long each, the new ones 64 bits each. */
static void put_pair(struct writer *writer, int option, uint64_t first, uint64_t second)
{
    const int64_t wide[2] = {(int64_t)first, (int64_t)second};
    const long narrow[2] = {(long)first, (long)second};

    if (option == SO_TIMESTAMP_NEW || option == SO_TIMESTAMPNS_NEW)
        put(writer, SOL_SOCKET, option, wide, sizeof wide);
    else
        put(writer, SOL_SOCKET, option, narrow, sizeof narrow);
}

static void put_time(struct writer *writer, uint32_t wanted, uint64_t received_ns)
{
    uint64_t seconds = received_ns / NS_PER_S;
    uint64_t rest_ns = received_ns % NS_PER_S;

    if ((wanted & SHIM_CONTROL_TIMESTAMPNS) != 0)
        put_pair(writer, SO_TIMESTAMPNS, seconds, rest_ns);
    else if ((wanted & SHIM_CONTROL_TIMESTAMPNS_NEW) != 0)
        put_pair(writer, SO_TIMESTAMPNS_NEW, seconds, rest_ns);
    else if ((wanted & SHIM_CONTROL_TIMESTAMP) != 0)
        put_pair(writer, SO_TIMESTAMP, seconds, rest_ns / NS_PER_US);
    else if ((wanted & SHIM_CONTROL_TIMESTAMP_NEW) != 0)
        put_pair(writer, SO_TIMESTAMP_NEW, seconds, rest_ns / NS_PER_US);
}

/* What the software of this machine saw; there are no stamps of hardware. */
static void put_stamping(struct writer *writer, uint32_t wanted, uint64_t received_ns)
{
    struct timespec stamps[3] = {{
        .tv_sec = (time_t)(received_ns / NS_PER_S),
        .tv_nsec = (long)(received_ns % NS_PER_S),
    }};

    if ((wanted & SHIM_CONTROL_STAMPING) != 0)
        put(writer, SOL_SOCKET, SO_TIMESTAMPING, stamps, sizeof stamps);
}

static void put_destination(struct writer *writer, sa_family_t family,
                            const struct shim_pair_header *header)
{
    struct sockaddr_storage addr;
    socklen_t bytes = engine_address_to_sockaddr(&header->local, family, &addr);

    if (family == AF_INET)
        put(writer, IPPROTO_IP, IP_ORIGDSTADDR, &addr, bytes);
    else
        put(writer, IPPROTO_IPV6, IPV6_ORIGDSTADDR, &addr, bytes);
}

static void put_v4(struct writer *writer, uint32_t wanted, const struct shim_pair_header *header)
{
    if ((wanted & SHIM_CONTROL_PKTINFO) != 0) {
        struct in_pktinfo info = {.ipi_ifindex = (int)header->interface_index};
        memcpy(&info.ipi_addr, header->local.ip + MAPPED_V4_BYTES, sizeof info.ipi_addr);
        info.ipi_spec_dst = info.ipi_addr;
        put(writer, IPPROTO_IP, IP_PKTINFO, &info, sizeof info);
    }
    if ((wanted & SHIM_CONTROL_TTL) != 0 && header->ttl >= 0)
        put_int(writer, IPPROTO_IP, IP_TTL, header->ttl);
    if ((wanted & SHIM_CONTROL_TOS) != 0 && header->tos >= 0) {
        uint8_t tos = (uint8_t)header->tos;
        put(writer, IPPROTO_IP, IP_TOS, &tos, sizeof tos);
    }
    if ((wanted & SHIM_CONTROL_DESTINATION) != 0)
        put_destination(writer, AF_INET, header);
}

static void put_v6(struct writer *writer, uint32_t wanted, const struct shim_pair_header *header)
{
    struct in6_pktinfo info = {.ipi6_ifindex = header->interface_index};

    memcpy(&info.ipi6_addr, header->local.ip, sizeof info.ipi6_addr);
    if ((wanted & SHIM_CONTROL_PKTINFO6) != 0)
        put(writer, IPPROTO_IPV6, IPV6_PKTINFO, &info, sizeof info);
    if (engine_address_is_v4(&header->peer)) /* the kernel gives the rest for IPv6 packets only */
        return;
    if ((wanted & SHIM_CONTROL_HOPLIMIT) != 0 && header->ttl >= 0)
        put_int(writer, IPPROTO_IPV6, IPV6_HOPLIMIT, header->ttl);
    if ((wanted & SHIM_CONTROL_TCLASS) != 0 && header->tos >= 0)
        put_int(writer, IPPROTO_IPV6, IPV6_TCLASS, header->tos);
    if ((wanted & SHIM_CONTROL_OLD_PKTINFO6) != 0)
        put(writer, IPPROTO_IPV6, IPV6_2292PKTINFO, &info, sizeof info);
    if ((wanted & SHIM_CONTROL_OLD_HOPLIMIT) != 0 && header->ttl >= 0)
        put_int(writer, IPPROTO_IPV6, IPV6_2292HOPLIMIT, header->ttl);
    if ((wanted & SHIM_CONTROL_DESTINATION6) != 0)
        put_destination(writer, AF_INET6, header);
}

int shim_control_write(struct msghdr *message, uint32_t wanted, sa_family_t family,
                       const struct shim_pair_header *header)
{
    size_t buffer_bytes = message->msg_control == NULL ? 0 : message->msg_controllen;

    /* What cannot be written is left out without a word, as in the kernel. */
    if (wanted != 0 &&
        !shim_memory_is_writable(message->msg_control, (size_t)min_u64(buffer_bytes, BYTES_MAX))) {
        message->msg_controllen = 0;
        return 0;
    }
    struct writer writer = {.at = message->msg_control, .room_bytes = buffer_bytes};

    if (header != NULL && wanted != 0) {
        put_time(&writer, wanted, header->received_ns);
        put_stamping(&writer, wanted, header->received_ns);
        if (family == AF_INET6)
            put_v6(&writer, wanted, header);
        if (engine_address_is_v4(&header->peer))
            put_v4(&writer, wanted, header);
    }
    message->msg_controllen = buffer_bytes - writer.room_bytes;
    return writer.flags;
}

static bool is_control(const struct cmsghdr *header, int level, int type)
{
    return header->cmsg_level == level && header->cmsg_type == type;
}

/* An int, or one byte, as IP_TOS may be. */
static int read_number(const uint8_t *data, size_t bytes)
{
    int number = -1;

    if (bytes == 1)
        return data[0];
    if (bytes == sizeof number)
        memcpy(&number, data, sizeof number);
    return number;
}

/* The kernel has looked at it: what has an odd length here is of the other family than the
 * destination, which makes it without meaning. */
static int read_one(const struct cmsghdr *header, struct shim_control_sent *sent)
{
    const uint8_t *data = CMSG_DATA(header);
    size_t bytes = header->cmsg_len - CMSG_LEN(0);
    struct rudp_address *local = &sent->local;
    struct in_pktinfo info4;
    struct in6_pktinfo info6;

    if (header->cmsg_level == IPPROTO_IP && header->cmsg_type == IP_PKTINFO) {
        if (bytes != sizeof info4)
            return 0;
        memcpy(&info4, data, sizeof info4);
        *local = (struct rudp_address){.ip = {[10] = 0xff, [11] = 0xff}};
        memcpy(local->ip + MAPPED_V4_BYTES, &info4.ipi_spec_dst, sizeof info4.ipi_spec_dst);
        if (info4.ipi_spec_dst.s_addr == htonl(INADDR_ANY))
            *local = (struct rudp_address){.port = 0};
    } else if (header->cmsg_level == IPPROTO_IPV6 && header->cmsg_type == IPV6_PKTINFO) {
        if (bytes < sizeof info6)
            return 0;
        memcpy(&info6, data, sizeof info6);
        *local = (struct rudp_address){.scope = 0};
        memcpy(local->ip, &info6.ipi6_addr, sizeof local->ip);
        if (IN6_IS_ADDR_LINKLOCAL(&info6.ipi6_addr))
            local->scope = info6.ipi6_ifindex;
    } else if (is_control(header, IPPROTO_IP, IP_TTL) ||
               is_control(header, IPPROTO_IPV6, IPV6_HOPLIMIT)) {
        sent->ttl = read_number(data, bytes);
    } else if (is_control(header, IPPROTO_IP, IP_TOS) ||
               is_control(header, IPPROTO_IPV6, IPV6_TCLASS)) {
        sent->tos = read_number(data, bytes);
    } else if (header->cmsg_level == IPPROTO_UDP) {
        return EOPNOTSUPP; /* segmentation offload: the program falls back to single sends */
    }
    return 0;
}

int shim_control_read(const struct msghdr *message, struct shim_control_sent *sent)
{
    const uint8_t *at = message->msg_control;
    size_t left_bytes = at == NULL ? 0 : message->msg_controllen;

    *sent = (struct shim_control_sent){.ttl = -1, .tos = -1};
    if (!shim_memory_is_readable(at, left_bytes))
        return EFAULT;
    while (left_bytes >= sizeof(struct cmsghdr)) {
        const struct cmsghdr *header = (const struct cmsghdr *)(const void *)at;

        if (header->cmsg_len < CMSG_LEN(0) || header->cmsg_len > left_bytes)
            return EINVAL;
        int error = read_one(header, sent);

        if (error != 0)
            return error;
        size_t step = CMSG_ALIGN(header->cmsg_len);

        if (step >= left_bytes)
            return 0;
        at += step;
        left_bytes -= step;
    }
    return 0;
}
