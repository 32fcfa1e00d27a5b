/* recv_stream.h - one direction of a session at its receiver: byte ranges in, messages out.
 *
 * Offsets are this side's own and grow over incarnations of the peer. base_offset is always a
 * message boundary: everything below was taken by the application. Messages behind a gap are found
 * by their known starts and taken out of turn when delivery is unordered. */
#ifndef RUDP_CORE_RECV_STREAM_H
#define RUDP_CORE_RECV_STREAM_H

#include "core/buffer.h"
#include "core/config.h"
#include "core/ranges.h"

struct rudp_recv_stream {
    struct rudp_buffer buffer;
    struct rudp_ranges received; /* at or above base_offset */
    struct rudp_ranges taken;    /* whole messages above base_offset that the application has */
    struct rudp_ranges starts;   /* above base_offset: messages not taken begin at these */
    uint64_t base_offset;
    uint64_t limit_offset;  /* credit given to the peer; never decreases within an incarnation */
    uint64_t final_offset;  /* where the peer's stream ends; RUDP_NEVER until its FIN */
    uint64_t peeked_offset; /* the message the last peek returned; RUDP_NEVER: none */
    uint64_t peeked_end;
    enum rudp_order order;
};

void rudp_recv_stream_init(struct rudp_recv_stream *stream, enum rudp_order order,
                           uint64_t window_bytes);
void rudp_recv_stream_clear(struct rudp_recv_stream *stream, const struct rudp_host *host);

/* Keeps [offset, offset + bytes). start is where the first message that begins in it begins, or
 * RUDP_NEVER when unknown or none. RUDP_E_INVALID: beyond the credit or the final offset;
 * RUDP_E_LIMIT: too many gaps; RUDP_E_MEMORY. On an error the packet must not be acknowledged. */
enum rudp_status rudp_recv_stream_write(struct rudp_recv_stream *stream,
                                        const struct rudp_host *host, uint64_t offset,
                                        const uint8_t *data, uint64_t bytes, uint64_t start);

/* The peer's stream ends at offset. RUDP_E_INVALID when that contradicts what was received. */
enum rudp_status rudp_recv_stream_finish(struct rudp_recv_stream *stream, uint64_t offset);

/* Finds the next complete message: RUDP_OK with its length, RUDP_E_EMPTY, or RUDP_E_MALFORMED when
 * the peer sent a length that no message has. Copies nothing. */
enum rudp_status rudp_recv_stream_next(struct rudp_recv_stream *stream,
                                       const struct rudp_host *host, size_t *message_bytes);

/* Copies the message that rudp_recv_stream_next found. out has room for it. */
void rudp_recv_stream_copy(const struct rudp_recv_stream *stream, void *out);

/* Takes the message that rudp_recv_stream_next found. */
void rudp_recv_stream_take(struct rudp_recv_stream *stream, const struct rudp_host *host);

/* Everything up to the final offset is here. */
bool rudp_recv_stream_is_complete(const struct rudp_recv_stream *stream);

/* Received and not yet taken. */
uint64_t rudp_recv_stream_unread_bytes(const struct rudp_recv_stream *stream);

/* The peer started again: whole messages in order stay readable, the rest is forgotten. Returns the
 * offset at which the new incarnation's stream begins here. */
uint64_t rudp_recv_stream_restart(struct rudp_recv_stream *stream, const struct rudp_host *host,
                                  uint64_t window_bytes);

#endif
