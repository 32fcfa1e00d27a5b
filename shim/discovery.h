/* discovery.h - what this process knows of peers that may not speak the protocol
 * (core/discovery.h), one table for all its sockets. Callable while a socket is entered, and from
 * any thread. */
#ifndef RUDP_SHIM_DISCOVERY_H
#define RUDP_SHIM_DISCOVERY_H

#include "core/discovery.h"

/* Before any other call, once the settings are read. */
void shim_discovery_begin(void);

/* What is known of a peer that something is to be sent to and that has no session; asks. */
enum rudp_peer_kind shim_discovery_consult(const struct rudp_address *peer);

/* The same without asking. */
enum rudp_peer_kind shim_discovery_kind(const struct rudp_address *peer);

/* It said hello, or acknowledged something. */
void shim_discovery_heard_protocol(const struct rudp_address *peer);

/* It sent a plain datagram, has no session, and the program takes those. */
void shim_discovery_heard_plain(const struct rudp_address *peer);

/* It never answered a hello. */
void shim_discovery_doubt(const struct rudp_address *peer);

/* --- For asker.c: core/discovery.h under the lock -----------------------------------------------
 */

bool shim_discovery_next_query(struct rudp_address *to, uint8_t out[RUDP_QUERY_BYTES]);
void shim_discovery_advance(void);
void shim_discovery_receive(const struct rudp_address *from, const void *data, size_t bytes);
void shim_discovery_refused(const struct rudp_address *to, const void *data, size_t bytes);
uint64_t shim_discovery_deadline_us(void);

/* Around fork, all signals blocked: the child's copy of the table is its own. */
void shim_discovery_before_fork(void);
void shim_discovery_after_fork_parent(void);
void shim_discovery_after_fork_child(void);

#endif
