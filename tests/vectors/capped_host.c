#include "tests/vectors/capped_host.h"

#include <stddef.h>
#include <stdlib.h>
#include <string.h>

union block {
    size_t bytes; /* as asked for */
    max_align_t align;
};

static void *capped_allocate(void *context, size_t bytes)
{
    struct capped_host *host = context;
    union block *block;

    if (bytes > host->cap_bytes - host->used_bytes) {
        host->refused = true;
        return NULL;
    }
    block = malloc(sizeof *block + bytes);
    RUDP_ASSERT(block != NULL);
    block->bytes = bytes;
    host->used_bytes += bytes;
    return block + 1;
}

static void capped_release(void *context, void *memory, size_t bytes)
{
    struct capped_host *host = context;
    union block *block = (union block *)memory - 1;

    RUDP_ASSERT(block->bytes == bytes);
    RUDP_ASSERT(host->used_bytes >= bytes);
    host->used_bytes -= bytes;
    free(block);
}

/* splitmix64 (Steele, Lea, Flood 2014) */
static uint64_t next_random(struct capped_host *host)
{
    uint64_t z = host->random_state += 0x9e3779b97f4a7c15u;

    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
    z = (z ^ z >> 27) * 0x94d049bb133111ebu;
    return z ^ z >> 31;
}

static void fill_random(void *context, void *out, size_t bytes)
{
    uint8_t *to = out;

    while (bytes > 0) {
        uint64_t value = next_random(context);
        size_t piece_bytes = bytes < sizeof value ? bytes : sizeof value;

        memcpy(to, &value, piece_bytes);
        to += piece_bytes;
        bytes -= piece_bytes;
    }
}

void capped_host_init(struct capped_host *host, size_t cap_bytes, uint64_t seed)
{
    *host = (struct capped_host){
        .host = {.allocator = {host, capped_allocate, capped_release},
                 .random = {host, fill_random}},
        .cap_bytes = cap_bytes,
        .random_state = seed,
    };
}
