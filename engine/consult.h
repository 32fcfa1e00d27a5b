/* consult.h - whose packet is it, when no socket of this process knows it and others share the
 * port.
 *
 * A hello that is sent again, because its answer was lost, may come to another member of the group
 * than its first copy: taken for a new one, it would open a second session, and its messages come
 * twice. A packet may name a session that was taken over, or answer one (RESET). So the packet is
 * held while the other processes are asked. Whoever knows it takes it; when all have said that they
 * do not, it is the asker's. Of two that ask about copies of one hello the lower slot gets it.
 *
 * A process that does not answer in time is not waited for, nor asked again until it is heard of.
 * All of this is on the engine thread, with nothing locked. */
#ifndef RUDP_ENGINE_CONSULT_H
#define RUDP_ENGINE_CONSULT_H

#include "engine/forward.h"
#include "engine/socket.h"

/* The packet came to sock, whose port is shared. True: it is held, and engine_share_accept gets it
 * if it is nobody's. False: there is nobody to ask, or no place to hold it. */
bool engine_consult(struct engine_socket *sock, uint16_t port, const struct wire_packet *packet,
                    const struct rudp_claim_ids *ids);

/* The process with that slot asks. */
void engine_consult_answer(uint16_t port, uint16_t slot, uint32_t number,
                           const struct wire_packet *packet);

/* The process with that slot answers. */
void engine_consult_on_answer(uint16_t slot, uint32_t number, enum forward_kind answer);

/* In the child what is held is the parent's. */
void engine_consult_after_fork_child(void);

#endif
