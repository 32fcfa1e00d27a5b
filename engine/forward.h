/* forward.h - what the processes that share a port say to each other.
 *
 * When a SO_REUSEPORT group grows or shrinks, the kernel gives packets of living sessions to other
 * members, which may be other processes. So that a session stays where it is, the ids of a process
 * name it: their 16 highest bits are its slot, and it listens on an abstract unix socket named
 * after the port and the slot. Whoever gets a packet with the id of another slot sends it there; of
 * what names no slot that answers the others are asked (consult.h). Only processes of the same user
 * are listened to. A forwarded packet is never forwarded again. */
#ifndef RUDP_ENGINE_FORWARD_H
#define RUDP_ENGINE_FORWARD_H

#include "engine/wire_io.h"

#define FORWARD_SLOT_COUNT 64u /* slots are 1 to this */

enum forward_kind {
    FORWARD_HERE,     /* I have this slot from now on */
    FORWARD_PACKET,   /* for a session of yours, or for any that you would accept */
    FORWARD_QUESTION, /* whose packet is this? If it is yours, take it */
    FORWARD_TAKEN,    /* it is mine */
    FORWARD_UNKNOWN,  /* it is not; as a stranger's I would accept it */
    FORWARD_UNWANTED, /* it is not, and I accept none */
    FORWARD_CEDE,     /* end your session with the packet's sender (cede.h); there is no packet */
    FORWARD_CEDING,   /* it takes a while */
    FORWARD_CEDED,    /* I have none */
};

/* One more socket of this process on the port, which others may share. Returns its slot, 0: none is
 * to be had. Each join needs a leave. */
uint16_t engine_forward_join(uint16_t port);
void engine_forward_leave(uint16_t port);

/* number: of the question that is asked or answered; packet: NULL where the kind needs none. False:
 * nobody has the slot, or this process has it. In order; what a process does not come to read is
 * lost, as in a network. */
bool engine_forward_say(uint16_t port, uint16_t slot, enum forward_kind kind, uint32_t number,
                        const struct wire_packet *packet);

/* The other processes on the port: bit slot - 1 of each, but for those that did not answer lately.
 */
uint64_t engine_forward_others(uint16_t port);

/* These did not answer: they are left out until they are heard of again. */
void engine_forward_doubt(uint16_t port, uint64_t slots);

/* This process's own slot on the port; 0: none. */
uint16_t engine_forward_slot(uint16_t port);

/* fork, as in engine.h. */
void engine_forward_before_fork(void);
void engine_forward_after_fork_parent(void);
void engine_forward_after_fork_child(void);

#endif
