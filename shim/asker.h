/* asker.h - asks hosts which of their ports speak the protocol, on the engine thread, with a socket
 * of its own; and when an answer changes what is known, looks at what was held for it (pending.h).
 */
#ifndef RUDP_SHIM_ASKER_H
#define RUDP_SHIM_ASKER_H

#include "shim/socket.h"

/* There may be something to send, or a deadline that is earlier. Callable while entered; the engine
 * runs. */
void shim_asker_wake(void);

/* What is known of a peer changed: messages that are held for it can go. Callable while entered. */
void shim_asker_sweep(void);

/* In a forked child, the parent's engine being gone. */
void shim_asker_after_fork_child(void);

#endif
