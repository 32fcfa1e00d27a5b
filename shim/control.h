/* control.h - control messages (ancillary data): made for the program from a datagram's header,
 * read from what the program sends. The wire's own are the engine's business and never seen. */
#ifndef RUDP_SHIM_CONTROL_H
#define RUDP_SHIM_CONTROL_H

#include "shim/pair.h"

#include <sys/socket.h>

/* The forms with 64-bit seconds on every machine, which not all libc headers name. */
#ifndef SO_TIMESTAMP_NEW
#define SO_TIMESTAMP_NEW   63
#define SO_TIMESTAMPNS_NEW 64
#endif

/* X(name, level, option): what a program can enable on a socket and then expects per datagram. */
#define SHIM_CONTROL_MAP(X)                                                                        \
    X(TIMESTAMP, SOL_SOCKET, SO_TIMESTAMP)                                                         \
    X(TIMESTAMPNS, SOL_SOCKET, SO_TIMESTAMPNS)                                                     \
    X(TIMESTAMP_NEW, SOL_SOCKET, SO_TIMESTAMP_NEW)                                                 \
    X(TIMESTAMPNS_NEW, SOL_SOCKET, SO_TIMESTAMPNS_NEW)                                             \
    X(PKTINFO, IPPROTO_IP, IP_PKTINFO)                                                             \
    X(TTL, IPPROTO_IP, IP_RECVTTL)                                                                 \
    X(TOS, IPPROTO_IP, IP_RECVTOS)                                                                 \
    X(DESTINATION, IPPROTO_IP, IP_RECVORIGDSTADDR)                                                 \
    X(PKTINFO6, IPPROTO_IPV6, IPV6_RECVPKTINFO)                                                    \
    X(HOPLIMIT, IPPROTO_IPV6, IPV6_RECVHOPLIMIT)                                                   \
    X(TCLASS, IPPROTO_IPV6, IPV6_RECVTCLASS)                                                       \
    X(OLD_PKTINFO6, IPPROTO_IPV6, IPV6_2292PKTINFO)                                                \
    X(OLD_HOPLIMIT, IPPROTO_IPV6, IPV6_2292HOPLIMIT)                                               \
    X(DESTINATION6, IPPROTO_IPV6, IPV6_RECVORIGDSTADDR)                                            \
    X(STAMPING, SOL_SOCKET, SO_TIMESTAMPING)

enum shim_control_index {
#define X(name, level, option) SHIM_CONTROL_INDEX_##name,
    SHIM_CONTROL_MAP(X)
#undef X
    SHIM_CONTROL_COUNT,
};

enum shim_control {
#define X(name, level, option) SHIM_CONTROL_##name = 1 << SHIM_CONTROL_INDEX_##name,
    SHIM_CONTROL_MAP(X)
#undef X
    SHIM_CONTROL_TIMES = SHIM_CONTROL_TIMESTAMP | SHIM_CONTROL_TIMESTAMPNS
                         | SHIM_CONTROL_TIMESTAMP_NEW | SHIM_CONTROL_TIMESTAMPNS_NEW,
    SHIM_CONTROL_ALL = (1 << SHIM_CONTROL_COUNT) - 1,
    SHIM_CONTROL_STAMPS = SHIM_CONTROL_TIMES | SHIM_CONTROL_STAMPING,
};

/* Fills message's control buffer with what is wanted for a datagram with that header; NULL: bare,
 * of which nothing is known. Sets msg_controllen; returns MSG_CTRUNC when it did not fit, else 0.
 */
int shim_control_write(struct msghdr *message, uint32_t wanted, sa_family_t family,
                       const struct shim_pair_header *header);

/* What the program asked for with control messages. */
struct shim_control_sent {
    struct rudp_address local; /* source address; unspecified: none was asked for */
    int ttl;                   /* hop limit; -1: the socket's */
    int tos;                   /* traffic class; -1: the socket's */
};

/* Reads control messages that shim_socket_probe accepted. 0 or an errno value. */
int shim_control_read(const struct msghdr *message, struct shim_control_sent *sent);

#endif
