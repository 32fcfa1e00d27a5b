/* wait.h - sleeping until somebody who holds a monitor says that something changed.
 *
 * A condition variable without its mutex: the sleeper has left the monitor, so its signals are as
 * the program set them, and a handler that runs meanwhile may use the same monitor.
 *
 *     enter; while (!condition) { ticket = engine_wait_ticket(w); leave;
 *                                 in_time = engine_wait_sleep(w, ticket, deadline_us); enter; ... }
 *
 * Zero-initialise to use. Needs no cleaning up. */
#ifndef RUDP_ENGINE_WAIT_H
#define RUDP_ENGINE_WAIT_H

#include "core/base.h"

struct engine_wait {
    _Atomic uint32_t generation;
    _Atomic uint32_t sleeper_count; /* tickets drawn and not slept on to the end */
};

/* Inside the monitor, after the condition was seen to be false. Each ticket is slept on once. */
uint32_t engine_wait_ticket(struct engine_wait *wait);

/* Outside the monitor. Returns after a wake since the ticket was drawn, at the deadline
 * (RUDP_NEVER: none), or for no reason. False when the deadline has passed. */
bool engine_wait_sleep(struct engine_wait *wait, uint32_t ticket, uint64_t deadline_us);

/* Inside the monitor. Costs nothing when nobody sleeps. */
void engine_wait_wake(struct engine_wait *wait);

/* Somebody drew a ticket and has not returned from its sleep. Inside the monitor. */
bool engine_wait_has_sleeper(struct engine_wait *wait);

#endif
