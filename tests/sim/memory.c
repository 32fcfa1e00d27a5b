#include "tests/sim/memory.h"

#include <stdlib.h>
#include <string.h>

#define PATTERN 0xa5

/* In front of every allocation; keeps the alignment malloc gives. */
union head {
    size_t bytes;
    max_align_t alignment;
};

static bool refuses(struct sim_memory *memory, size_t bytes)
{
    if (memory->limit_bytes > 0 && memory->used_bytes + bytes > memory->limit_bytes)
        return true;
    return sim_random_chance(&memory->random, memory->failure_ppm);
}

static void *allocate(void *context, size_t bytes)
{
    struct sim_memory *memory = context;

    if (refuses(memory, bytes)) {
        memory->failed_count++;
        return NULL;
    }
    union head *head = malloc(sizeof *head + bytes);

    RUDP_ASSERT(head != NULL);
    head->bytes = bytes;
    memory->used_bytes += bytes;
    if (memory->used_bytes > memory->peak_bytes)
        memory->peak_bytes = memory->used_bytes;
    memset(head + 1, PATTERN, bytes);
    return head + 1;
}

static void release(void *context, void *pointer, size_t bytes)
{
    struct sim_memory *memory = context;
    union head *head = (union head *)pointer - 1;

    if (head->bytes != bytes)
        memory->wrong_count++;
    memory->used_bytes -= head->bytes;
    memset(pointer, PATTERN, head->bytes);
    free(head);
}

struct rudp_allocator sim_memory_allocator(struct sim_memory *memory)
{
    return (struct rudp_allocator){.context = memory, .allocate = allocate, .release = release};
}
