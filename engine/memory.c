#include "engine/memory.h"

#include "engine/engine.h"
#include "engine/pool.h"

#include <stdatomic.h>

#define MEMORY_BYTES_MAX_DEFAULT ((size_t)256 * 1024 * 1024)

static _Atomic size_t used_bytes;
static _Atomic size_t used_bytes_max = MEMORY_BYTES_MAX_DEFAULT;

void engine_set_memory_max(size_t bytes)
{
    atomic_store_explicit(&used_bytes_max, bytes == 0 ? SIZE_MAX : bytes, memory_order_relaxed);
}

size_t engine_memory_used(void)
{
    return atomic_load_explicit(&used_bytes, memory_order_relaxed);
}

/* Books bytes unless that passes the bound. A failed booking never shows in the count, or one
 * thread's large request would refuse another's small one. */
static bool book(size_t bytes)
{
    size_t max_bytes = atomic_load_explicit(&used_bytes_max, memory_order_relaxed);
    size_t before_bytes = atomic_load_explicit(&used_bytes, memory_order_relaxed);

    do {
        if (before_bytes > max_bytes || bytes > max_bytes - before_bytes)
            return false;
    } while (!atomic_compare_exchange_weak_explicit(&used_bytes, &before_bytes,
                                                    before_bytes + bytes, memory_order_relaxed,
                                                    memory_order_relaxed));
    return true;
}

void *engine_memory_allocate(void *context, size_t bytes)
{
    (void)context;
    if (!book(bytes))
        return NULL;
    void *memory = engine_pool_take(bytes);

    if (memory == NULL)
        atomic_fetch_sub_explicit(&used_bytes, bytes, memory_order_relaxed);
    return memory;
}

void engine_memory_release(void *context, void *memory, size_t bytes)
{
    (void)context;
    RUDP_ASSERT(memory != NULL);
    engine_pool_give(memory, bytes);
    atomic_fetch_sub_explicit(&used_bytes, bytes, memory_order_relaxed);
}
