/* raw_peer.h - a plain peer inside a program under the shim: a socket made by system calls, which
 * is not the shim's, whatever the calls of this program are. */
#ifndef RUDP_TESTS_SHIM_RAW_PEER_H
#define RUDP_TESTS_SHIM_RAW_PEER_H

#include "tests/shim/udp.h"

/* Bound to a free port of that IPv4 address (host byte order). */
int raw_bound(uint32_t ip, struct udp_address *address);
void raw_send(int fd, const char *text, const struct udp_address *to);

/* Waits for a datagram, which must be text and nothing else. */
void raw_expect(int fd, const char *text);
void raw_expect_from(int fd, const char *text, struct udp_address *from);

#endif
