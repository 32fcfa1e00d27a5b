/* address.h - a peer's address as the core sees it: bytes to compare and to hash, no sockets. */
#ifndef RUDP_CORE_ADDRESS_H
#define RUDP_CORE_ADDRESS_H

#include "core/base.h"

#include <string.h>

/* One UDP address. IPv4 is kept as an IPv4-mapped IPv6 address, so a dual-stack socket and an
 * IPv4 socket agree on who a peer is. No padding: equality is memcmp. All zero: "unspecified". */
struct rudp_address {
    uint8_t ip[16];
    uint32_t scope; /* IPv6 zone index of link-local addresses, else 0 */
    uint16_t port;  /* host byte order */
    uint16_t reserved;
};

/* Where a packet came from and where it was sent to. local may be unspecified when the wire
 * socket is bound to one address; on a wildcard socket it says from where to answer. */
struct rudp_path {
    struct rudp_address remote;
    struct rudp_address local;
    uint32_t send_mark; /* of packets to send: rudp_session_set_send_mark; else 0 */
};

static inline bool rudp_address_equal(const struct rudp_address *a, const struct rudp_address *b)
{
    return memcmp(a, b, sizeof *a) == 0;
}

#endif
