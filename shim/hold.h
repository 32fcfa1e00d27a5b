/* hold.h - a use of a socket that a signal handler cannot jump out of with a longjmp: all signals
 * are blocked while it is held. Calls that block hold nothing. errno kept. */
#ifndef RUDP_SHIM_HOLD_H
#define RUDP_SHIM_HOLD_H

#include "engine/system.h"
#include "shim/fd_table.h"
#include "shim/heir.h"
#include "shim/socket.h"

/* False: the number is no longer that socket's, nothing is held. */
static inline bool shim_hold(const struct fd_table_seen *seen, struct engine_signal_mask *before)
{
    *before = engine_sys_block_signals();
    if (fd_table_acquire_seen(seen))
        return true;
    engine_sys_restore_signals(*before);
    return false;
}

static inline void shim_unhold(const struct fd_table_seen *seen, struct engine_signal_mask before)
{
    shim_socket_release(seen->sock);
    engine_sys_restore_signals(before);
}

/* Before a call on a socket that came by fork: stands by for its owner (heir.h). */
static inline void shim_hold_heir(const struct fd_table_seen *seen)
{
    struct engine_signal_mask mask;

    if (!atomic_load_explicit(&seen->sock->is_unwatched, memory_order_relaxed) ||
        !shim_hold(seen, &mask))
        return;
    shim_heir_arm(seen->sock);
    shim_unhold(seen, mask);
}

#endif
