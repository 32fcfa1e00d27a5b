/* forward.h - packets for sessions that another process of the port has.
 *
 * When a SO_REUSEPORT group grows or shrinks, the kernel gives packets of living sessions to other
 * members, which may be other processes. So that a session stays where it is, the ids of a process
 * name it: their 16 highest bits are its slot, and it listens on an abstract unix socket named
 * after the port and the slot. Whoever gets a packet with the id of another slot sends it there;
 * where nobody answers, the session is unknown and is reset. Only processes of the same user are
 * listened to. A forwarded packet is never forwarded again. */
#ifndef RUDP_ENGINE_FORWARD_H
#define RUDP_ENGINE_FORWARD_H

#include "engine/wire_io.h"

/* One more socket of this process on the port, which others may share. Returns its slot, 0: none is
 * to be had. Each join needs a leave. */
uint16_t engine_forward_join(uint16_t port);
void engine_forward_leave(uint16_t port);

/* To the process that has the slot. False: there is none, or it is this one. */
bool engine_forward_send(uint16_t port, uint16_t slot, const struct wire_packet *packet);

/* To any other process on the port. False: there is none. */
bool engine_forward_send_any(uint16_t port, const struct wire_packet *packet);

/* fork, as in engine.h. */
void engine_forward_before_fork(void);
void engine_forward_after_fork_parent(void);
void engine_forward_after_fork_child(void);

#endif
