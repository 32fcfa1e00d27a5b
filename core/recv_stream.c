#include "core/recv_stream.h"

#include "core/wire.h"

/* A peer may leave this many gaps; packets that would make more are dropped and come again. */
#define RANGE_COUNT_MAX 4096u

void rudp_recv_stream_init(struct rudp_recv_stream *stream, enum rudp_order order,
                           uint64_t window_bytes)
{
    RUDP_ASSERT(stream != NULL);
    *stream = (struct rudp_recv_stream){
        .limit_offset = window_bytes,
        .final_offset = RUDP_NEVER,
        .peeked_offset = RUDP_NEVER,
        .order = order,
    };
}

void rudp_recv_stream_clear(struct rudp_recv_stream *stream, const struct rudp_host *host)
{
    rudp_buffer_clear(&stream->buffer, host);
    rudp_ranges_clear(&stream->received, host);
    rudp_ranges_clear(&stream->taken, host);
    rudp_ranges_clear(&stream->starts, host);
}

/* Notes a message start. Forgetting one for lack of memory only delays delivery until the gap
 * before it is filled. */
static void note_start(struct rudp_recv_stream *stream, const struct rudp_host *host,
                       uint64_t start)
{
    if (stream->order == RUDP_ORDERED || start == RUDP_NEVER || start <= stream->base_offset ||
        rudp_ranges_contains(&stream->taken, start))
        return;
    (void)rudp_ranges_add(&stream->starts, host, start, start + 1, RANGE_COUNT_MAX);
}

enum rudp_status rudp_recv_stream_write(struct rudp_recv_stream *stream,
                                        const struct rudp_host *host, uint64_t offset,
                                        const uint8_t *data, uint64_t bytes, uint64_t start)
{
    RUDP_ASSERT(bytes > 0);
    uint64_t end = offset + bytes;

    if (end > stream->limit_offset || end > stream->final_offset)
        return RUDP_E_INVALID;
    if (end <= stream->base_offset)
        return RUDP_OK;
    if (offset < stream->base_offset) {
        data += stream->base_offset - offset;
        offset = stream->base_offset;
    }
    if (!rudp_ranges_covers(&stream->received, offset, end)) {
        if (stream->received.count >= RANGE_COUNT_MAX &&
            offset > stream->received.items[stream->received.count - 1].end)
            return RUDP_E_LIMIT;
        enum rudp_status status =
            rudp_buffer_write(&stream->buffer, host, offset, data, (size_t)(end - offset));

        if (status == RUDP_OK)
            status = rudp_ranges_add(&stream->received, host, offset, end, RANGE_COUNT_MAX + 1);
        if (status != RUDP_OK)
            return status;
    }
    note_start(stream, host, start);
    return RUDP_OK;
}

enum rudp_status rudp_recv_stream_finish(struct rudp_recv_stream *stream, uint64_t offset)
{
    uint64_t received_end = stream->base_offset;

    if (stream->received.count > 0)
        received_end = stream->received.items[stream->received.count - 1].end;
    if (offset < received_end ||
        (stream->final_offset != RUDP_NEVER && stream->final_offset != offset))
        return RUDP_E_INVALID;
    stream->final_offset = offset;
    return RUDP_OK;
}

/* The message at offset, if all of it is here: RUDP_OK and its payload's place. */
static enum rudp_status find_message(const struct rudp_recv_stream *stream, uint64_t offset,
                                     uint64_t *payload_offset, uint64_t *end)
{
    uint32_t index = rudp_ranges_index_above(&stream->received, offset);

    if (index == stream->received.count || stream->received.items[index].start > offset)
        return RUDP_E_EMPTY;
    uint64_t available_bytes = stream->received.items[index].end - offset;
    uint8_t head[4];
    uint64_t message_bytes;
    struct rudp_reader reader = {.data = head,
                                 .left_bytes = (size_t)min_u64(sizeof head, available_bytes)};
    size_t head_bytes = reader.left_bytes;

    rudp_buffer_read(&stream->buffer, offset, head, head_bytes);
    if ((head[0] & 0xc0) == 0xc0)
        return RUDP_E_MALFORMED; /* an 8-byte length: longer than any message */
    if (rudp_wire_read_varint(&reader, &message_bytes) != RUDP_OK)
        return RUDP_E_EMPTY;
    if (message_bytes > RUDP_MESSAGE_BYTES_MAX)
        return RUDP_E_MALFORMED;
    size_t prefix_bytes = head_bytes - reader.left_bytes;

    if (available_bytes < prefix_bytes + message_bytes)
        return RUDP_E_EMPTY;
    *payload_offset = offset + prefix_bytes;
    *end = *payload_offset + message_bytes;
    return RUDP_OK;
}

/* Looks for a complete message behind a gap. */
static enum rudp_status find_out_of_turn(struct rudp_recv_stream *stream,
                                         const struct rudp_host *host, uint64_t *payload_offset,
                                         uint64_t *end)
{
    for (uint32_t i = 0; i < stream->starts.count; i++) {
        const struct rudp_range *range = &stream->starts.items[i];

        for (uint64_t start = range->start; start < range->end; start++) {
            enum rudp_status status = find_message(stream, start, payload_offset, end);

            if (status == RUDP_E_EMPTY)
                continue;
            /* Taking it must not fail later: room for it and for the start behind it. */
            if (status == RUDP_OK && (rudp_ranges_reserve(&stream->taken, host, 1) != RUDP_OK ||
                                      rudp_ranges_reserve(&stream->starts, host, 2) != RUDP_OK))
                return RUDP_E_EMPTY;
            stream->peeked_offset = start;
            return status;
        }
    }
    return RUDP_E_EMPTY;
}

enum rudp_status rudp_recv_stream_next(struct rudp_recv_stream *stream,
                                       const struct rudp_host *host, size_t *message_bytes)
{
    uint64_t payload_offset = 0;
    uint64_t end = 0;

    stream->peeked_offset = stream->base_offset;
    enum rudp_status status = find_message(stream, stream->base_offset, &payload_offset, &end);

    if (status == RUDP_E_EMPTY && stream->order == RUDP_UNORDERED)
        status = find_out_of_turn(stream, host, &payload_offset, &end);
    if (status != RUDP_OK) {
        stream->peeked_offset = RUDP_NEVER;
        return status;
    }
    stream->peeked_end = end;
    *message_bytes = (size_t)(end - payload_offset);
    return RUDP_OK;
}

void rudp_recv_stream_copy(const struct rudp_recv_stream *stream, void *out)
{
    RUDP_ASSERT(stream->peeked_offset != RUDP_NEVER);
    uint64_t payload_offset;
    uint64_t end;
    enum rudp_status status = find_message(stream, stream->peeked_offset, &payload_offset, &end);

    RUDP_ASSERT(status == RUDP_OK);
    rudp_buffer_read(&stream->buffer, payload_offset, out, (size_t)(end - payload_offset));
}

/* The first offset at or above offset that was not taken out of turn. */
static uint64_t skip_taken(const struct rudp_recv_stream *stream, uint64_t offset)
{
    uint32_t index = rudp_ranges_index_above(&stream->taken, offset);

    if (index < stream->taken.count && stream->taken.items[index].start <= offset)
        return stream->taken.items[index].end;
    return offset;
}

static void take_in_turn(struct rudp_recv_stream *stream, const struct rudp_host *host)
{
    stream->base_offset = skip_taken(stream, stream->peeked_end);
    rudp_buffer_release_below(&stream->buffer, host, stream->base_offset);
    rudp_ranges_trim_below(&stream->received, stream->base_offset);
    rudp_ranges_trim_below(&stream->taken, stream->base_offset);
    rudp_ranges_trim_below(&stream->starts, stream->base_offset + 1);
}

static void take_out_of_turn(struct rudp_recv_stream *stream, const struct rudp_host *host)
{
    uint64_t start = stream->peeked_offset;
    enum rudp_status status =
        rudp_ranges_add(&stream->taken, host, start, stream->peeked_end, UINT32_MAX);

    RUDP_ASSERT(status == RUDP_OK); /* reserved when it was found */
    status = rudp_ranges_remove(&stream->starts, host, start, start + 1, UINT32_MAX);
    RUDP_ASSERT(status == RUDP_OK);
    note_start(stream, host, skip_taken(stream, stream->peeked_end));
}

void rudp_recv_stream_take(struct rudp_recv_stream *stream, const struct rudp_host *host)
{
    RUDP_ASSERT(stream->peeked_offset != RUDP_NEVER);
    if (stream->peeked_offset == stream->base_offset)
        take_in_turn(stream, host);
    else
        take_out_of_turn(stream, host);
    stream->peeked_offset = RUDP_NEVER;
}

bool rudp_recv_stream_is_complete(const struct rudp_recv_stream *stream)
{
    return stream->final_offset != RUDP_NEVER &&
           rudp_ranges_covers(&stream->received, stream->base_offset, stream->final_offset);
}

uint64_t rudp_recv_stream_unread_bytes(const struct rudp_recv_stream *stream)
{
    return rudp_ranges_total(&stream->received) - rudp_ranges_total(&stream->taken);
}

uint64_t rudp_recv_stream_restart(struct rudp_recv_stream *stream, const struct rudp_host *host,
                                  uint64_t window_bytes)
{
    uint64_t payload_offset;
    uint64_t end = stream->base_offset;

    for (uint64_t at = end; find_message(stream, at, &payload_offset, &end) == RUDP_OK;)
        at = skip_taken(stream, end);
    uint64_t origin = skip_taken(stream, end);

    rudp_buffer_release_from(&stream->buffer, host, origin);
    /* Cutting off the top never splits a range, so it needs no memory. */
    enum rudp_status status =
        rudp_ranges_remove(&stream->received, host, origin, RUDP_NEVER, UINT32_MAX);
    RUDP_ASSERT(status == RUDP_OK);
    status = rudp_ranges_remove(&stream->taken, host, origin, RUDP_NEVER, UINT32_MAX);
    RUDP_ASSERT(status == RUDP_OK);
    status = rudp_ranges_remove(&stream->starts, host, origin, RUDP_NEVER, UINT32_MAX);
    RUDP_ASSERT(status == RUDP_OK);
    /* What is unread still takes room: else each incarnation would add a window to it. */
    stream->limit_offset = max_u64(origin, stream->base_offset + window_bytes);
    stream->final_offset = RUDP_NEVER;
    stream->peeked_offset = RUDP_NEVER;
    return origin;
}
