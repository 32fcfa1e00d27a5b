#include "engine/memory.h"

#include "engine/engine.h"

#include <stdatomic.h>

#define MEMORY_BYTES_MAX_DEFAULT ((size_t)256 * 1024 * 1024)

static _Atomic(struct engine_arena *) own_arena;
static _Atomic size_t used_bytes_max = MEMORY_BYTES_MAX_DEFAULT;
static atomic_bool is_shared;

void engine_set_memory_max(size_t bytes)
{
    struct engine_arena *arena = atomic_load(&own_arena);

    atomic_store(&used_bytes_max, bytes);
    if (arena != NULL)
        engine_arena_set_bound(arena, bytes);
}

void engine_share_memory(void)
{
    RUDP_ASSERT(atomic_load(&own_arena) == NULL);
    atomic_store(&is_shared, true);
}

size_t engine_memory_used(void)
{
    struct engine_arena *arena = atomic_load(&own_arena);

    return arena == NULL ? 0 : engine_arena_booked(arena);
}

struct engine_arena *engine_memory_arena(void)
{
    struct engine_arena *arena = atomic_load_explicit(&own_arena, memory_order_acquire);

    if (arena != NULL)
        return arena;
    struct engine_arena *made =
        engine_arena_create(atomic_load(&is_shared) ? ENGINE_ARENA_SHARED : ENGINE_ARENA_PRIVATE,
                            atomic_load(&used_bytes_max));

    if (made == NULL || atomic_compare_exchange_strong(&own_arena, &arena, made))
        return made;
    engine_arena_destroy(made); /* another thread was faster */
    return arena;
}

bool engine_memory_is_own(const struct engine_arena *arena)
{
    return arena == atomic_load(&own_arena);
}

void engine_memory_after_fork_child(void)
{
    if (atomic_load(&is_shared))
        atomic_store(&own_arena, NULL);
}

void *engine_memory_allocate(void *context, size_t bytes)
{
    struct engine_arena *arena = context;

    if (!engine_arena_book(arena, bytes))
        return NULL;
    void *memory = engine_arena_take(arena, bytes);

    if (memory == NULL)
        engine_arena_unbook(arena, bytes);
    return memory;
}

void engine_memory_release(void *context, void *memory, size_t bytes)
{
    struct engine_arena *arena = context;

    RUDP_ASSERT(memory != NULL);
    engine_arena_give(arena, memory, bytes);
    engine_arena_unbook(arena, bytes);
}
