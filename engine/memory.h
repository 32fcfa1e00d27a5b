/* memory.h - the core's allocator (core/host.h): an arena under one bound for the whole process.
 * engine_set_memory_max and engine_memory_used (engine.h) are implemented here. */
#ifndef RUDP_ENGINE_MEMORY_H
#define RUDP_ENGINE_MEMORY_H

#include "core/host.h"
#include "engine/arena.h"

/* For struct rudp_allocator; context is the arena. Thread-safe. */
void *engine_memory_allocate(void *context, size_t bytes);
void engine_memory_release(void *context, void *memory, size_t bytes);

/* Whether it is the arena that engine_memory_arena returns; makes none. */
bool engine_memory_is_own(const struct engine_arena *arena);

/* The child of a fork must not fill what it shares with its parent: its next arena is its own. */
void engine_memory_after_fork_child(void);

#endif
