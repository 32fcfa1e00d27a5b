/* arena.h - memory for sessions: blocks from one mapping, which several processes may share.
 *
 * A shared arena lies in a file without a name, mapped at an address that fork hands on: what one
 * process keeps in it another can go on with when the first one has ended. No lock: each operation
 * takes effect by one store, so a process killed in the middle of one loses a block at most, and
 * whatever a signal handler interrupted is as it was. Call with signals blocked or not.
 *
 * Blocks are rounded up to a power of two and reused by size. Of idle blocks of a page or more a
 * bounded number keeps its memory; the kernel gets the others' back. */
#ifndef RUDP_ENGINE_ARENA_H
#define RUDP_ENGINE_ARENA_H

#include "core/base.h"

struct engine_arena;

enum engine_arena_kind {
    ENGINE_ARENA_PRIVATE, /* fork copies it */
    ENGINE_ARENA_SHARED,  /* fork shares it */
};

/* Reserves room for about bytes_max in use (0: no bound is meant), less where the process may not
 * reserve so much. NULL: refused. */
struct engine_arena *engine_arena_create(enum engine_arena_kind kind, size_t bytes_max);

/* Lets go of its memory and closes its descriptors in this process. Who still looks at what lay in
 * a shared one finds zeros. */
void engine_arena_destroy(struct engine_arena *arena);

/* A shared arena's file, for locks: high and close-on-exec. Closing any descriptor of it would drop
 * the locks the process has on it. -1: private. */
int engine_arena_fd(const struct engine_arena *arena);

/* A shared arena's eventfd, by which its processes wake each other: written to, never read, watched
 * for edges. -1: private. */
int engine_arena_bell(const struct engine_arena *arena);

/* Aligned for any type, not cleared; NULL when the arena is used up. bytes > 0. */
void *engine_arena_take(struct engine_arena *arena, size_t bytes);

/* bytes as they were asked for. */
void engine_arena_give(struct engine_arena *arena, void *memory, size_t bytes);

/* Distance of memory from the arena's beginning: the same in every process. */
size_t engine_arena_offset(const struct engine_arena *arena, const void *memory);

/* Bytes booked by the users of the arena, under a bound (0: none). A failed booking never shows. */
bool engine_arena_book(struct engine_arena *arena, size_t bytes);
void engine_arena_unbook(struct engine_arena *arena, size_t bytes);
size_t engine_arena_booked(const struct engine_arena *arena);
void engine_arena_set_bound(struct engine_arena *arena, size_t bytes_max);

#endif
