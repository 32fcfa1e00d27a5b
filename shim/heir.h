/* heir.h - going on with a socket whose owner has ended: waiting for that, and putting together
 * what the owner left.
 *
 * A process that inherited a socket stands by from its first hooked call on it, or when it first
 * waits for descriptors: before, a forked child that is about to run another program would pay for
 * a thread it never needs. */
#ifndef RUDP_SHIM_HEIR_H
#define RUDP_SHIM_HEIR_H

#include "shim/socket.h"

/* Goes on with the socket if its owner has ended, else waits for that end on the engine thread.
 * Clears is_unwatched, unless waiting is not possible: then each call tries again, and the engine
 * thread looks from time to time. Opens a descriptor: only in a call of the program that is yet to
 * open its own. errno kept. */
void shim_heir_arm(struct shim_socket *sock);

/* All sockets of this process: for a child that will not return to the program's own calls soon. */
void shim_heir_arm_all(void);

/* A forked child has not waited for descriptors yet, or does not wait for the ends of all owners:
 * because it could not, or because they have changed since. */
extern atomic_bool shim_heir_is_due;

/* Before a call that waits and names no socket. Async-signal-safe, errno kept. */
static inline void shim_heir_before_wait(void)
{
    if (atomic_load_explicit(&shim_heir_is_due, memory_order_relaxed))
        shim_heir_arm_all();
}

/* Entered, for the new owner of an endpoint that is whole: sessions and messages on their way are
 * as the last owner left them. */
void shim_heir_restore(struct shim_socket *sock);

/* The endpoint that the last owner has left, whole; NULL: none. If that one was killed in the
 * middle of a change, the session in change is not part of it; where none could be saved it is
 * forgotten. Each peer of those that was owed something leaves an error. */
struct rudp_endpoint *shim_heir_find_endpoint(struct shim_socket *sock);

/* Around fork. */
void shim_heir_before_fork(void);
void shim_heir_after_fork_parent(void);
void shim_heir_after_fork_child(void);

#endif
