/* share.h - sockets of the process that share a port: the kernel decides on whose wire a packet
 * arrives, its session may be another's.
 *
 * A packet that the socket it arrived at does not know (a stray) is handed, when the engine thread
 * has left that socket, to the one that does. So each packet is handled once, and no two sockets
 * are ever locked at once. A hello of a stranger is a stray too: only when no socket knows it, it
 * opens a session, and not at a socket that is on its way out. Sockets on the port that are other
 * processes' are asked, too (consult.h). */
#ifndef RUDP_ENGINE_SHARE_H
#define RUDP_ENGINE_SHARE_H

#include "engine/socket.h"

/* Locked. Notes the port that the wire has now; none from forget on. */
void engine_share_update(struct engine_socket *sock);
void engine_share_forget(struct engine_socket *sock);

/* The same for all sockets, in a forked child that has none of its own. */
void engine_share_forget_all(void);

/* Locked. Whether the packet is to be handed over by engine_share_hand_over, with nothing
 * locked, instead of being received here. */
bool engine_share_is_stray(const struct engine_socket *sock, const struct wire_packet *packet);

/* The following are for the engine thread, with nothing locked. */

void engine_share_hand_over(struct engine_socket *sock, const struct wire_packet *packet);

/* A packet that another process forwarded: to the socket on the port that knows it, else to one
 * that accepts. */
void engine_share_receive(uint16_t port, const struct wire_packet *packet);

/* To the socket on the port that knows it. False: none does. */
bool engine_share_receive_known(uint16_t port, const struct wire_packet *packet,
                                struct rudp_claim_ids *ids);

/* Whether a socket on the port would accept it from a stranger. */
bool engine_share_would_accept(uint16_t port, const struct wire_packet *packet);

/* Sockets on the port that have a session with that peer end it (engine_handler.on_cede). False:
 * none has one any more. */
bool engine_share_cede(uint16_t port, const struct rudp_address *remote);

/* rudp_endpoint_hold_hello at that socket, if it is there still. */
void engine_share_hold_hello(const struct engine_socket *sock, uint16_t port,
                             const struct rudp_address *remote, uint64_t until_us);

/* A packet that nobody on the port knows: to sock, to which it came and which may be gone, or to
 * one that accepts in its place, here or in a process that has one of the slots (forward.h). */
void engine_share_accept(const struct engine_socket *sock, uint16_t port,
                         const struct wire_packet *packet, uint64_t slots);

#endif
