/* pool.h - memory straight from the kernel, for code that a signal handler may have interrupted.
 *
 * sendto is async-signal-safe and so may run in a handler that interrupted malloc; what the hooks
 * allocate therefore must not come from malloc. Blocks are rounded up to a power of two. Small ones
 * are cut from slabs and reused, never returned to the kernel; of larger ones a bounded number is
 * kept. Thread-safe; call with signals blocked, as between engine_socket_enter and leave. */
#ifndef RUDP_ENGINE_POOL_H
#define RUDP_ENGINE_POOL_H

#include <stddef.h>

/* Aligned for any type, not cleared; NULL when the kernel refuses. bytes > 0. */
void *engine_pool_take(size_t bytes);

/* bytes as they were asked for. */
void engine_pool_give(void *memory, size_t bytes);

/* Keeps the pool whole across fork, in both processes. */
void engine_pool_before_fork(void);
void engine_pool_after_fork(void);

#endif
