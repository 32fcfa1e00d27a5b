/* cede.h - a peer that goes from one process to another, where several share a port.
 *
 * A program may answer a caller from a new socket on its port in a new process. To the peer a hello
 * from there would mean that the port's program has started again: what it does not know to be
 * delivered it would send again, though the first process has read it. So the others cede the peer
 * first: each closes its session with it in order, which tells the peer exactly what was delivered,
 * and the hello waits for that. The peer's packets, which may come to the new socket already, are
 * passed on meanwhile (share.h).
 *
 * A process that does not answer in time is not waited for. */
#ifndef RUDP_ENGINE_CEDE_H
#define RUDP_ENGINE_CEDE_H

#include "engine/forward.h"
#include "engine/socket.h"

/* Entered. A session with that address was just opened: other processes on the port are asked to
 * end theirs, and its hello waits until they have none. */
void engine_cede_ask(struct engine_socket *sock, const struct rudp_address *remote);

/* The following are for the engine thread, with nothing locked. */

/* The kernel gives this process the peer's packets: whoever has a session with it is to end it. To
 * the process with that slot, or to all if there is none. */
void engine_cede_demand(uint16_t port, uint16_t slot, const struct rudp_address *remote);

/* The process with that slot asks (number 0: and wants no answer). */
void engine_cede_answer(uint16_t port, uint16_t slot, uint32_t number,
                        const struct rudp_address *remote);

/* The process with that slot answers. */
void engine_cede_on_answer(uint16_t slot, uint32_t number, enum forward_kind answer);

/* fork, as in engine.h. */
void engine_cede_before_fork(void);
void engine_cede_after_fork_parent(void);
void engine_cede_after_fork_child(void);

#endif
