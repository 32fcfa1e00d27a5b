/* lock.h - a mutex that a signal handler cannot find taken by its own thread: all signals are
 * blocked while it is held. errno kept. */
#ifndef RUDP_SHIM_LOCK_H
#define RUDP_SHIM_LOCK_H

#include "engine/system.h"

#include <pthread.h>

static inline struct engine_signal_mask shim_lock(pthread_mutex_t *mutex)
{
    struct engine_signal_mask before = engine_sys_block_signals();

    RUDP_ASSERT(pthread_mutex_lock(mutex) == 0);
    return before;
}

static inline void shim_unlock(pthread_mutex_t *mutex, struct engine_signal_mask before)
{
    RUDP_ASSERT(pthread_mutex_unlock(mutex) == 0);
    engine_sys_restore_signals(before);
}

#endif
