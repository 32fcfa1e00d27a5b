#include "engine/pool.h"

#include "core/base.h"

#include <pthread.h>
#include <sys/mman.h>

#define CLASS_SHIFT_MIN 6u  /* 64 bytes */
#define CLASS_COUNT     11u /* up to 64 KiB; larger ones are mapped one by one */
#define SLAB_CLASSES    6u  /* up to 2 KiB: cut from slabs */
#define SLAB_BYTES      (64u * 1024u)
#define KEPT_BYTES_MAX  (4u * 1024u * 1024u) /* of idle blocks of one larger class */

struct idle_block {
    struct idle_block *next;
};

static struct {
    pthread_mutex_t lock;
    struct idle_block *idle[CLASS_COUNT];
    size_t idle_count[CLASS_COUNT];
} pool = {.lock = PTHREAD_MUTEX_INITIALIZER};

/* CLASS_COUNT for what no class holds. */
static unsigned class_of(size_t bytes)
{
    unsigned index = 0;

    while (index < CLASS_COUNT && bytes > (size_t)1 << (CLASS_SHIFT_MIN + index))
        index++;
    return index;
}

static size_t class_bytes(unsigned index)
{
    return (size_t)1 << (CLASS_SHIFT_MIN + index);
}

static void *map(size_t bytes)
{
    void *memory = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

    return memory == MAP_FAILED ? NULL : memory;
}

/* Locked. */
static void push(unsigned index, void *memory)
{
    struct idle_block *block = memory;

    block->next = pool.idle[index];
    pool.idle[index] = block;
    pool.idle_count[index]++;
}

/* Locked. Cuts a new slab into blocks of the class. */
static void add_slab(unsigned index)
{
    unsigned char *slab = map(SLAB_BYTES);

    if (slab == NULL)
        return;
    for (size_t at = 0; at < SLAB_BYTES; at += class_bytes(index))
        push(index, slab + at);
}

void *engine_pool_take(size_t bytes)
{
    unsigned index = class_of(bytes);

    if (index == CLASS_COUNT)
        return map(bytes);
    pthread_mutex_lock(&pool.lock);
    if (pool.idle[index] == NULL && index < SLAB_CLASSES)
        add_slab(index);
    struct idle_block *block = pool.idle[index];

    if (block != NULL) {
        pool.idle[index] = block->next;
        pool.idle_count[index]--;
    }
    pthread_mutex_unlock(&pool.lock);
    return block == NULL && index >= SLAB_CLASSES ? map(class_bytes(index)) : block;
}

void engine_pool_give(void *memory, size_t bytes)
{
    unsigned index = class_of(bytes);

    RUDP_ASSERT(memory != NULL);
    if (index == CLASS_COUNT) {
        (void)munmap(memory, bytes);
        return;
    }
    pthread_mutex_lock(&pool.lock);
    bool is_kept =
        index < SLAB_CLASSES || pool.idle_count[index] < KEPT_BYTES_MAX / class_bytes(index);

    if (is_kept)
        push(index, memory);
    pthread_mutex_unlock(&pool.lock);
    if (!is_kept)
        (void)munmap(memory, class_bytes(index));
}

void engine_pool_before_fork(void)
{
    pthread_mutex_lock(&pool.lock);
}

void engine_pool_after_fork(void)
{
    pthread_mutex_unlock(&pool.lock);
}
