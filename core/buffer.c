#include "core/buffer.h"

#include <string.h>

/* What the ring must hold: entries outside the written part are NULL; head is the entry of the
 * block that base_offset lies in; no ring at all means no blocks. */
#define RING_CAPACITY_MIN 4u
#define RING_CAPACITY_MAX (UINT32_C(1) << 30)

static uint64_t block_of(uint64_t offset)
{
    return offset / RUDP_BUFFER_BLOCK_BYTES;
}

static uint32_t ring_index(const struct rudp_buffer *buffer, uint64_t distance)
{
    return (uint32_t)(buffer->head + distance) & (buffer->capacity - 1);
}

static uint8_t **entry_of(const struct rudp_buffer *buffer, uint64_t offset)
{
    uint64_t distance = block_of(offset) - block_of(buffer->base_offset);

    RUDP_ASSERT(distance < buffer->capacity);
    return &buffer->blocks[ring_index(buffer, distance)];
}

/* Bytes from offset to the end of its block, but not more than bytes. */
static size_t piece_bytes(uint64_t offset, size_t bytes)
{
    return (size_t)min_u64(RUDP_BUFFER_BLOCK_BYTES - offset % RUDP_BUFFER_BLOCK_BYTES, bytes);
}

/* Makes the ring hold at least count entries from head on. */
static enum rudp_status ring_reserve(struct rudp_buffer *buffer, const struct rudp_host *host,
                                     uint64_t count)
{
    if (count <= buffer->capacity)
        return RUDP_OK;
    if (count > RING_CAPACITY_MAX)
        return RUDP_E_MEMORY;
    uint32_t capacity = buffer->capacity == 0 ? RING_CAPACITY_MIN : buffer->capacity;

    while (capacity < count)
        capacity *= 2;
    uint8_t **blocks = rudp_allocate(host, capacity * sizeof *blocks);

    if (blocks == NULL)
        return RUDP_E_MEMORY;
    memset(blocks, 0, capacity * sizeof *blocks);
    for (uint32_t i = 0; i < buffer->capacity; i++)
        blocks[i] = buffer->blocks[ring_index(buffer, i)];
    rudp_release(host, buffer->blocks, buffer->capacity * sizeof *blocks);
    buffer->blocks = blocks;
    buffer->capacity = capacity;
    buffer->head = 0;
    return RUDP_OK;
}

static void ring_free(struct rudp_buffer *buffer, const struct rudp_host *host)
{
    rudp_release(host, buffer->blocks, buffer->capacity * sizeof *buffer->blocks);
    buffer->blocks = NULL;
    buffer->capacity = 0;
    buffer->head = 0;
}

/* Stops at the first block found, so it is only long when it finds none and the ring goes. */
static void ring_free_if_empty(struct rudp_buffer *buffer, const struct rudp_host *host)
{
    for (uint32_t i = 0; i < buffer->capacity; i++) {
        if (buffer->blocks[ring_index(buffer, i)] != NULL)
            return;
    }
    ring_free(buffer, host);
}

/* Frees the blocks first..end-1, counted from the one that holds base_offset. */
static void free_blocks(struct rudp_buffer *buffer, const struct rudp_host *host, uint64_t first,
                        uint64_t end)
{
    for (uint64_t i = first; i < min_u64(end, buffer->capacity); i++) {
        uint8_t **entry = &buffer->blocks[ring_index(buffer, i)];

        rudp_release(host, *entry, RUDP_BUFFER_BLOCK_BYTES);
        *entry = NULL;
    }
}

enum rudp_status rudp_buffer_write(struct rudp_buffer *buffer, const struct rudp_host *host,
                                   uint64_t offset, const void *data, size_t bytes)
{
    RUDP_ASSERT(buffer != NULL);
    RUDP_ASSERT(offset >= buffer->base_offset);
    RUDP_ASSERT(bytes <= UINT64_MAX - offset);
    if (bytes == 0)
        return RUDP_OK;
    const uint8_t *in = data;
    uint64_t block_count = block_of(offset + bytes - 1) - block_of(buffer->base_offset) + 1;
    enum rudp_status status = ring_reserve(buffer, host, block_count);

    while (status == RUDP_OK && bytes > 0) {
        uint8_t **entry = entry_of(buffer, offset);

        if (*entry == NULL)
            *entry = rudp_allocate(host, RUDP_BUFFER_BLOCK_BYTES);
        if (*entry == NULL) {
            status = RUDP_E_MEMORY;
            break;
        }
        size_t piece = piece_bytes(offset, bytes);

        memcpy(*entry + offset % RUDP_BUFFER_BLOCK_BYTES, in, piece);
        in += piece;
        offset += piece;
        bytes -= piece;
    }
    if (status != RUDP_OK)
        ring_free_if_empty(buffer, host);
    return status;
}

void rudp_buffer_read(const struct rudp_buffer *buffer, uint64_t offset, void *out, size_t bytes)
{
    RUDP_ASSERT(buffer != NULL);
    RUDP_ASSERT(offset >= buffer->base_offset);
    uint8_t *to = out;

    while (bytes > 0) {
        const uint8_t *block = *entry_of(buffer, offset);
        size_t piece = piece_bytes(offset, bytes);

        RUDP_ASSERT(block != NULL);
        memcpy(to, block + offset % RUDP_BUFFER_BLOCK_BYTES, piece);
        to += piece;
        offset += piece;
        bytes -= piece;
    }
}

void rudp_buffer_release_below(struct rudp_buffer *buffer, const struct rudp_host *host,
                               uint64_t offset)
{
    RUDP_ASSERT(buffer != NULL);
    if (offset <= buffer->base_offset)
        return;
    uint64_t gone_count = block_of(offset) - block_of(buffer->base_offset);

    buffer->base_offset = offset;
    if (gone_count == 0 || buffer->capacity == 0)
        return;
    free_blocks(buffer, host, 0, gone_count);
    buffer->head = ring_index(buffer, gone_count);
    ring_free_if_empty(buffer, host);
}

void rudp_buffer_release_from(struct rudp_buffer *buffer, const struct rudp_host *host,
                              uint64_t offset)
{
    RUDP_ASSERT(buffer != NULL);
    RUDP_ASSERT(offset >= buffer->base_offset);
    /* The block that offset lies in stays as long as bytes below offset are kept in it. */
    bool keeps_block = offset > buffer->base_offset && offset % RUDP_BUFFER_BLOCK_BYTES != 0;
    uint64_t first = block_of(offset) - block_of(buffer->base_offset) + (keeps_block ? 1 : 0);

    free_blocks(buffer, host, first, buffer->capacity);
    ring_free_if_empty(buffer, host);
}

void rudp_buffer_clear(struct rudp_buffer *buffer, const struct rudp_host *host)
{
    RUDP_ASSERT(buffer != NULL);
    free_blocks(buffer, host, 0, buffer->capacity);
    ring_free(buffer, host);
}
