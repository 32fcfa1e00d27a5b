/* buffer.h - bytes of a stream addressed by their offset, in blocks made only where bytes are.
 *
 * The send stream keeps in it what is not yet delivered, the receive stream what is not yet
 * complete. Memory is proportional to the bytes written (rounded to blocks) plus one pointer per
 * block between base and the highest offset written: a far offset costs a pointer, not a buffer.
 * Zero-initialise to use. Not thread-safe. */
#ifndef RUDP_CORE_BUFFER_H
#define RUDP_CORE_BUFFER_H

#include "core/base.h"
#include "core/host.h"
#include "core/status.h"

#define RUDP_BUFFER_BLOCK_BYTES 4096u

struct rudp_buffer {
    uint8_t **blocks; /* ring of pointers, capacity a power of two; NULL entries: no bytes */
    uint32_t capacity;
    uint32_t head;        /* ring index of the block that holds base */
    uint64_t base_offset; /* everything below is gone */
};

/* Copies data to [offset, offset + bytes). offset >= base_offset. RUDP_E_MEMORY: nothing is
 * promised about the range, everything outside it is as before. */
enum rudp_status rudp_buffer_write(struct rudp_buffer *buffer, const struct rudp_host *host,
                                   uint64_t offset, const void *data, size_t bytes);

/* Copies [offset, offset + bytes) out. Every byte must have been written and not released. */
void rudp_buffer_read(const struct rudp_buffer *buffer, uint64_t offset, void *out, size_t bytes);

/* Forgets everything below offset and frees the blocks that become unused. When the last block
 * goes, the pointer ring goes too: an empty buffer holds no memory. offset may lie beyond what
 * was written. Offsets below base_offset are a no-op. */
void rudp_buffer_release_below(struct rudp_buffer *buffer, const struct rudp_host *host,
                               uint64_t offset);

/* Forgets everything at or above offset, which is >= base_offset. Frees whole blocks only. */
void rudp_buffer_release_from(struct rudp_buffer *buffer, const struct rudp_host *host,
                              uint64_t offset);

/* Frees everything; base_offset stays. */
void rudp_buffer_clear(struct rudp_buffer *buffer, const struct rudp_host *host);

#endif
