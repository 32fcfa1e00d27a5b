/* registry.h - which UDP ports of this host (network namespace) are served by programs under the
 * shim, of any process and user: the kernel's own tables, which everybody may read.
 *
 * An end B of a pair is bound to an abstract name with the inode number of its wire. So whichever
 * address the wire is bound to at the moment, the kernel's tables of UDP and AF_UNIX sockets,
 * together, tell whether it is the shim's; and the entry is gone with the socket. */
#ifndef RUDP_SHIM_REGISTRY_H
#define RUDP_SHIM_REGISTRY_H

#include "core/address.h"

#define SHIM_REGISTRY_NAME_PREFIX "rudp.wire."

/* Enters the wire. engine_fd is B, which stays bound. False: no such name can be made. */
bool shim_registry_enter(int engine_fd, int wire_fd);

/* Whether all sockets that a datagram to that address and port could reach are entered, and there
 * is one. Reads files: takes as long as that does. */
bool shim_registry_has(const struct rudp_address *address);

/* --- The pure part: the tables, line by line ----------------------------------------------------
 */

#define SHIM_REGISTRY_WIRE_COUNT_MAX 256u /* of more sockets on one port nothing is known */

struct shim_registry_search {
    struct rudp_address address;
    uint32_t rank; /* of the best match so far: the kernel prefers a closer one; 0: none */
    uint32_t wire_count;
    uint32_t entered_count;
    uint64_t wires[SHIM_REGISTRY_WIRE_COUNT_MAX]; /* inode numbers; 0: seen among the entries */
};

/* A line of /proc/net/udp, or udp6. Anything else is ignored. */
void shim_registry_take_udp(struct shim_registry_search *search, const char *line, size_t bytes);

/* Then: a line of /proc/net/unix. */
void shim_registry_take_unix(struct shim_registry_search *search, const char *line, size_t bytes);

/* After all lines. */
bool shim_registry_is_found(const struct shim_registry_search *search);

#endif
