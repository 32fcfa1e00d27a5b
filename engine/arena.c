#include "engine/arena.h"

#include "engine/descriptor.h"
#include "engine/system.h"

#include <stdatomic.h>
#include <sys/mman.h>
#include <sys/resource.h>

#define PAGE_BYTES      ((size_t)4096)
#define CLASS_SHIFT_MIN 6u /* 64 bytes */
#define CLASS_COUNT     35u
#define KEPT_BYTES_MAX  (4u * 1024u * 1024u) /* of idle blocks of one class of pages */

#define MAP_BYTES_MIN ((size_t)16 * 1024 * 1024)
#if SIZE_MAX > UINT32_MAX
#define MAP_BYTES_MAX ((size_t)1 << 42)
#define MAP_BYTES_ANY ((size_t)1 << 36) /* where no bound is meant */
#else
#define MAP_BYTES_MAX ((size_t)256 * 1024 * 1024)
#define MAP_BYTES_ANY MAP_BYTES_MAX
#endif

/* Address space per byte of the bound: blocks are rounded up, and idle ones are kept by size. */
#define MAP_SLACK 4u

/* A list's head: the distance of its first block in granules, and a number that every change
 * raises, so that a head that looks the same is the same. */
#define REF_BITS 36u
#define REF_MASK ((UINT64_C(1) << REF_BITS) - 1)

struct engine_arena {
    size_t map_bytes;
    int fd;
    int bell_fd;
    enum engine_arena_kind kind;
    _Atomic size_t booked_bytes;
    _Atomic size_t booked_bytes_max;
    _Atomic size_t fresh_bytes; /* from here on nothing was ever given out */
    _Atomic uint64_t idle[CLASS_COUNT];
    _Atomic uint32_t idle_count[CLASS_COUNT]; /* of page classes; about */
    _Atomic uint64_t links[];                 /* one per page: next idle block behind it */
};

/* --- Making -----------------------------------------------------------------------------------
 */

#if defined(__SANITIZE_THREAD__)
#define MAY_PLACE false
#elif defined(__has_feature)
#if __has_feature(thread_sanitizer)
#define MAY_PLACE false
#endif
#endif
#ifndef MAY_PLACE
#define MAY_PLACE (SIZE_MAX > UINT32_MAX)
#endif

/* Far from where programs, heaps, libraries and stacks are put, so that another program, too, finds
 * the place free and can map the arena there. NULL: anywhere. */
static void *random_place(void)
{
    const uint64_t first = UINT64_C(0x110000000000);
    const uint64_t span = UINT64_C(0x400000000000);
    uint64_t random = 0;

    if (!MAY_PLACE || engine_sys_getrandom(&random, sizeof random) != (long)sizeof random)
        return NULL;
    return (void *)(uintptr_t)((first + random % span) & ~(uint64_t)(PAGE_BYTES - 1));
}

/* Without access at first: a program that locks all its future memory would otherwise get all of it
 * at once. */
static void *reserve(size_t bytes, int flags, int fd)
{
    enum {
        PLACE_COUNT = 4
    };
    void *memory = MAP_FAILED;

    for (int attempt = 0; attempt < PLACE_COUNT && memory == MAP_FAILED; attempt++) {
        void *place = random_place();

        if (place != NULL)
            memory = mmap(place, bytes, PROT_NONE, flags | MAP_FIXED_NOREPLACE, fd, 0);
    }
    if (memory == MAP_FAILED)
        memory = mmap(NULL, bytes, PROT_NONE, flags, fd, 0);
    if (memory == MAP_FAILED)
        return NULL;
    if (mprotect(memory, bytes, PROT_READ | PROT_WRITE) == 0)
        return memory;
    (void)munmap(memory, bytes);
    return NULL;
}

/* A file longer than the process may write would bring a signal: memory without a file does then,
 * which fork shares as well. */
static void *map_shared(size_t bytes, int fd)
{
    struct rlimit limit;
    bool fits = getrlimit(RLIMIT_FSIZE, &limit) == 0 &&
                (limit.rlim_cur == RLIM_INFINITY || limit.rlim_cur >= bytes);

    if (fits && engine_sys_truncate(fd, bytes) == 0)
        return reserve(bytes, MAP_SHARED | MAP_NORESERVE, fd);
    return reserve(bytes, MAP_SHARED | MAP_NORESERVE | MAP_ANONYMOUS, -1);
}

static void *map_any(enum engine_arena_kind kind, size_t bytes, int fd)
{
    return kind == ENGINE_ARENA_SHARED
               ? map_shared(bytes, fd)
               : reserve(bytes, MAP_PRIVATE | MAP_NORESERVE | MAP_ANONYMOUS, -1);
}

static size_t goal_bytes(size_t bytes_max)
{
    if (bytes_max == 0)
        return MAP_BYTES_ANY;
    if (bytes_max > MAP_BYTES_MAX / MAP_SLACK - MAP_BYTES_MIN)
        return MAP_BYTES_MAX;
    return ((bytes_max + MAP_BYTES_MIN) * MAP_SLACK + PAGE_BYTES - 1) & ~(PAGE_BYTES - 1);
}

static struct engine_arena *map_largest(enum engine_arena_kind kind, size_t bytes, int fd)
{
    struct engine_arena *arena = map_any(kind, bytes, fd);

    while (arena == NULL && bytes / 2 >= MAP_BYTES_MIN) {
        bytes = bytes / 2 & ~(PAGE_BYTES - 1);
        arena = map_any(kind, bytes, fd);
    }
    if (arena != NULL)
        arena->map_bytes = bytes;
    return arena;
}

static void close_descriptors(int fd, int bell_fd)
{
    if (fd >= 0)
        engine_sys_close(fd);
    if (bell_fd >= 0)
        engine_sys_close(bell_fd);
}

struct engine_arena *engine_arena_create(enum engine_arena_kind kind, size_t bytes_max)
{
    struct engine_arena *arena = NULL;
    bool is_shared = kind == ENGINE_ARENA_SHARED;
    int fd = is_shared ? engine_descriptor_move_high((int)engine_sys_memfd("rudp")) : -1;
    int bell_fd = is_shared ? engine_descriptor_move_high((int)engine_sys_eventfd()) : -1;

    if (!is_shared || (fd >= 0 && bell_fd >= 0))
        arena = map_largest(kind, goal_bytes(bytes_max), fd);
    if (arena == NULL) {
        close_descriptors(fd, bell_fd);
        return NULL;
    }
    arena->fd = fd;
    arena->bell_fd = bell_fd;
    arena->kind = kind;
    size_t head_bytes = sizeof *arena + arena->map_bytes / PAGE_BYTES * sizeof *arena->links;

    atomic_store(&arena->fresh_bytes, (head_bytes + PAGE_BYTES - 1) & ~(PAGE_BYTES - 1));
    engine_arena_set_bound(arena, bytes_max);
    return arena;
}

void engine_arena_destroy(struct engine_arena *arena)
{
    size_t bytes = arena->map_bytes;

    close_descriptors(arena->fd, arena->bell_fd);
    if (arena->kind == ENGINE_ARENA_PRIVATE ||
        mmap(arena, bytes, PROT_READ, MAP_FIXED | MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1,
             0) == MAP_FAILED)
        (void)munmap(arena, bytes);
}

int engine_arena_bell(const struct engine_arena *arena)
{
    return arena->bell_fd;
}

int engine_arena_fd(const struct engine_arena *arena)
{
    return arena->fd;
}

size_t engine_arena_offset(const struct engine_arena *arena, const void *memory)
{
    return (size_t)((const char *)memory - (const char *)arena);
}

/* --- Blocks -----------------------------------------------------------------------------------
 */

static unsigned class_of(size_t bytes)
{
    size_t rest = (bytes - 1) >> CLASS_SHIFT_MIN;

    return rest == 0 ? 0
                     : (unsigned)(sizeof(unsigned long long) * 8) -
                           (unsigned)__builtin_clzll((unsigned long long)rest);
}

static size_t class_bytes(unsigned index)
{
    return (size_t)1 << (CLASS_SHIFT_MIN + index);
}

static uint64_t ref_of(const struct engine_arena *arena, const void *memory)
{
    return engine_arena_offset(arena, memory) >> CLASS_SHIFT_MIN;
}

static void *memory_of(struct engine_arena *arena, uint64_t ref)
{
    return (char *)arena + ((size_t)ref << CLASS_SHIFT_MIN);
}

/* Where the block behind an idle one is noted: in small ones themselves; beside, for whole pages,
 * which need not have memory while they are idle. */
static _Atomic uint64_t *link_of(struct engine_arena *arena, unsigned index, uint64_t ref)
{
    return class_bytes(index) < PAGE_BYTES ? (_Atomic uint64_t *)memory_of(arena, ref)
                                           : &arena->links[(ref << CLASS_SHIFT_MIN) / PAGE_BYTES];
}

/* Another thread may have taken the block meanwhile and be writing to it: what is read then is not
 * used, because the list's head has changed. */
__attribute__((no_sanitize("thread"), noinline)) static uint64_t
read_link(const _Atomic uint64_t *link)
{
    return *(const volatile uint64_t *)(uintptr_t)link & REF_MASK;
}

/* The chain from first to last, linked, becomes the beginning of the list. */
static void push(struct engine_arena *arena, unsigned index, uint64_t first, uint64_t last)
{
    uint64_t head = atomic_load_explicit(&arena->idle[index], memory_order_relaxed);
    uint64_t next;

    do {
        atomic_store_explicit(link_of(arena, index, last), head & REF_MASK, memory_order_relaxed);
        next = ((head & ~REF_MASK) + REF_MASK + 1) | first;
    } while (!atomic_compare_exchange_weak_explicit(&arena->idle[index], &head, next,
                                                    memory_order_release, memory_order_relaxed));
}

static void *pop(struct engine_arena *arena, unsigned index)
{
    uint64_t head = atomic_load_explicit(&arena->idle[index], memory_order_acquire);
    uint64_t next;

    do {
        if ((head & REF_MASK) == 0)
            return NULL;
        next =
            ((head & ~REF_MASK) + REF_MASK + 1) | read_link(link_of(arena, index, head & REF_MASK));
    } while (!atomic_compare_exchange_weak_explicit(&arena->idle[index], &head, next,
                                                    memory_order_acquire, memory_order_acquire));
    if (class_bytes(index) >= PAGE_BYTES)
        atomic_fetch_sub_explicit(&arena->idle_count[index], 1, memory_order_relaxed);
    return memory_of(arena, head & REF_MASK);
}

static void push_pages(struct engine_arena *arena, unsigned index, void *memory)
{
    uint64_t ref = ref_of(arena, memory);

    atomic_fetch_add_explicit(&arena->idle_count[index], 1, memory_order_relaxed);
    push(arena, index, ref, ref);
}

/* Whole pages that were never used before; NULL: none are left. */
static void *take_fresh(struct engine_arena *arena, size_t bytes)
{
    size_t before = atomic_load_explicit(&arena->fresh_bytes, memory_order_relaxed);

    do {
        if (bytes > arena->map_bytes - before)
            return NULL;
    } while (!atomic_compare_exchange_weak_explicit(&arena->fresh_bytes, &before, before + bytes,
                                                    memory_order_relaxed, memory_order_relaxed));
    return (char *)arena + before;
}

/* The first part of an idle block of a larger class; the rest goes to the classes between. */
static void *take_part(struct engine_arena *arena, unsigned index)
{
    for (unsigned larger = index + 1; larger < CLASS_COUNT; larger++) {
        char *memory = pop(arena, larger);

        if (memory == NULL)
            continue;
        while (larger-- > index)
            push_pages(arena, larger, memory + class_bytes(larger));
        return memory;
    }
    return NULL;
}

static void *take_pages(struct engine_arena *arena, unsigned index)
{
    void *memory = pop(arena, index);

    if (memory == NULL)
        memory = take_fresh(arena, class_bytes(index));
    return memory != NULL ? memory : take_part(arena, index);
}

/* Cuts a page into blocks: the first is the caller's, the others are idle. */
static void *cut_page(struct engine_arena *arena, unsigned index)
{
    char *page = take_pages(arena, class_of(PAGE_BYTES));
    size_t step = class_bytes(index);

    if (page == NULL)
        return NULL;
    for (size_t at = step; at + step < PAGE_BYTES; at += step)
        atomic_store_explicit((_Atomic uint64_t *)(void *)(page + at),
                              ref_of(arena, page + at + step), memory_order_relaxed);
    push(arena, index, ref_of(arena, page + step), ref_of(arena, page + PAGE_BYTES - step));
    return page;
}

void *engine_arena_take(struct engine_arena *arena, size_t bytes)
{
    unsigned index = class_of(bytes);

    RUDP_ASSERT(bytes > 0);
    if (bytes > arena->map_bytes || index >= CLASS_COUNT)
        return NULL;
    if (class_bytes(index) >= PAGE_BYTES)
        return take_pages(arena, index);
    void *memory = pop(arena, index);

    return memory != NULL ? memory : cut_page(arena, index);
}

void engine_arena_give(struct engine_arena *arena, void *memory, size_t bytes)
{
    unsigned index = class_of(bytes);

    RUDP_ASSERT(memory != NULL);
    RUDP_ASSERT(engine_arena_offset(arena, memory) < arena->map_bytes);
    if (class_bytes(index) < PAGE_BYTES) {
        push(arena, index, ref_of(arena, memory), ref_of(arena, memory));
        return;
    }
    size_t kept_count = atomic_load_explicit(&arena->idle_count[index], memory_order_relaxed);

    if (kept_count >= KEPT_BYTES_MAX / class_bytes(index))
        (void)madvise(memory, class_bytes(index),
                      arena->kind == ENGINE_ARENA_SHARED ? MADV_REMOVE : MADV_DONTNEED);
    push_pages(arena, index, memory);
}

/* --- Accounts ---------------------------------------------------------------------------------
 */

bool engine_arena_book(struct engine_arena *arena, size_t bytes)
{
    size_t max = atomic_load_explicit(&arena->booked_bytes_max, memory_order_relaxed);
    size_t before = atomic_load_explicit(&arena->booked_bytes, memory_order_relaxed);

    do {
        if (before > max || bytes > max - before)
            return false;
    } while (!atomic_compare_exchange_weak_explicit(&arena->booked_bytes, &before, before + bytes,
                                                    memory_order_relaxed, memory_order_relaxed));
    return true;
}

void engine_arena_unbook(struct engine_arena *arena, size_t bytes)
{
    atomic_fetch_sub_explicit(&arena->booked_bytes, bytes, memory_order_relaxed);
}

size_t engine_arena_booked(const struct engine_arena *arena)
{
    return atomic_load_explicit(&((struct engine_arena *)(uintptr_t)arena)->booked_bytes,
                                memory_order_relaxed);
}

void engine_arena_set_bound(struct engine_arena *arena, size_t bytes_max)
{
    atomic_store_explicit(&arena->booked_bytes_max, bytes_max == 0 ? SIZE_MAX : bytes_max,
                          memory_order_relaxed);
}
