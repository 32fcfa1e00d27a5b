/* responder.h - answers other hosts' questions which ports here speak the protocol
 * (docs/protocol.md section 9). With RUDP_FALLBACK=plain each process that has a port listens at
 * the discovery port, processes of one user together; any of them answers for the whole host. */
#ifndef RUDP_SHIM_RESPONDER_H
#define RUDP_SHIM_RESPONDER_H

#include "shim/socket.h"

/* The socket is about to get that local address: enters it into the registry and opens the
 * discovery port. Both come before anybody can see the socket's own port, or a question could come
 * too early. Nothing where the settings do not ask for it. Not entered. */
void shim_responder_announce(struct shim_socket *sock, const struct rudp_address *local);

/* Tries again to open the port where it was somebody else's. On the engine thread, nothing entered.
 * Returns when to try next; RUDP_NEVER. */
uint64_t shim_responder_retry(uint64_t now_us);

/* Around fork, all signals blocked, before all other locks. The child has no responder. */
void shim_responder_before_fork(void);
void shim_responder_after_fork_parent(void);
void shim_responder_after_fork_child(void);

#endif
