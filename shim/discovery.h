/* discovery.h - what this process knows of peers that may not speak the protocol
 * (core/discovery.h), one table for all its sockets. Callable while a socket is entered. */
#ifndef RUDP_SHIM_DISCOVERY_H
#define RUDP_SHIM_DISCOVERY_H

#include "core/discovery.h"

/* Before any other call, once the settings are read. */
void shim_discovery_begin(void);

/* What is known of a peer that something is to be sent to and that has no session. */
enum rudp_peer_kind shim_discovery_consult(const struct rudp_address *peer);

/* What is known without asking. */
enum rudp_peer_kind shim_discovery_kind(const struct rudp_address *peer);

/* It said hello, or acknowledged something. */
void shim_discovery_heard_protocol(const struct rudp_address *peer);

/* It sent a plain datagram, has no session, and the program takes those. */
void shim_discovery_heard_plain(const struct rudp_address *peer);

/* Around fork, all signals blocked: the child's copy of the table is its own. */
void shim_discovery_before_fork(void);
void shim_discovery_after_fork(void);

#endif
