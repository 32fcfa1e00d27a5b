#include "core/send_stream.h"

#include "core/wire.h"

/* More gaps than this are not kept apart: the sets grow coarser instead, which resends too much. */
#define RANGE_COUNT_MAX 8192u

enum rudp_status rudp_send_stream_init(struct rudp_send_stream *stream,
                                       const struct rudp_host *host)
{
    RUDP_ASSERT(stream != NULL);
    *stream = (struct rudp_send_stream){.limit_offset = RUDP_SEND_CREDIT_INITIAL};
    if (rudp_ranges_reserve(&stream->acked, host, 1) != RUDP_OK)
        return RUDP_E_MEMORY;
    if (rudp_ranges_reserve(&stream->lost, host, 1) != RUDP_OK) {
        rudp_ranges_clear(&stream->acked, host);
        return RUDP_E_MEMORY;
    }
    return RUDP_OK;
}

void rudp_send_stream_clear(struct rudp_send_stream *stream, const struct rudp_host *host)
{
    rudp_buffer_clear(&stream->buffer, host);
    rudp_ranges_clear(&stream->acked, host);
    rudp_ranges_clear(&stream->lost, host);
}

static enum rudp_status write_slices(struct rudp_send_stream *stream, const struct rudp_host *host,
                                     uint64_t offset, const struct rudp_slice *slices,
                                     size_t slice_count)
{
    for (size_t i = 0; i < slice_count; i++) {
        if (slices[i].bytes == 0)
            continue;
        if (rudp_buffer_write(&stream->buffer, host, offset, slices[i].data, slices[i].bytes) !=
            RUDP_OK)
            return RUDP_E_MEMORY;
        offset += slices[i].bytes;
    }
    return RUDP_OK;
}

enum rudp_status rudp_send_stream_push(struct rudp_send_stream *stream,
                                       const struct rudp_host *host,
                                       const struct rudp_slice *slices, size_t slice_count,
                                       size_t bytes_max)
{
    uint64_t message_bytes = 0;
    uint8_t prefix[8];

    for (size_t i = 0; i < slice_count; i++) {
        if (slices[i].bytes > RUDP_MESSAGE_BYTES_MAX - message_bytes)
            return RUDP_E_TOO_LONG;
        message_bytes += slices[i].bytes;
    }
    size_t prefix_bytes = rudp_wire_put_varint(prefix, message_bytes);
    uint64_t queued_bytes = rudp_send_stream_queued_bytes(stream);

    if (queued_bytes + prefix_bytes + message_bytes > bytes_max)
        return RUDP_E_FULL;

    uint64_t offset = stream->end_offset;
    enum rudp_status status =
        rudp_buffer_write(&stream->buffer, host, offset, prefix, prefix_bytes);

    if (status == RUDP_OK)
        status = write_slices(stream, host, offset + prefix_bytes, slices, slice_count);
    if (status != RUDP_OK) {
        rudp_buffer_release_from(&stream->buffer, host, offset);
        return status;
    }
    stream->end_offset = offset + prefix_bytes + message_bytes;
    return RUDP_OK;
}

bool rudp_send_stream_pick(const struct rudp_send_stream *stream, uint64_t bytes_max,
                           struct rudp_range *range, bool *is_resend)
{
    RUDP_ASSERT(bytes_max > 0);
    if (stream->lost.count > 0) {
        *range = stream->lost.items[0];
        *is_resend = true;
    } else {
        *range = (struct rudp_range){stream->next_offset, stream->end_offset};
        *is_resend = false;
    }
    range->end = min_u64(range->end, stream->limit_offset);
    if (range->start >= range->end)
        return false;
    range->end = min_u64(range->end, range->start + bytes_max);
    return true;
}

void rudp_send_stream_on_sent(struct rudp_send_stream *stream, const struct rudp_range *range,
                              bool is_resend)
{
    RUDP_ASSERT(range->start < range->end);
    if (is_resend) {
        RUDP_ASSERT(stream->lost.count > 0 && stream->lost.items[0].start == range->start);
        rudp_ranges_trim_below(&stream->lost, range->end);
        return;
    }
    RUDP_ASSERT(range->start == stream->next_offset && range->end <= stream->end_offset);
    stream->next_offset = range->end;
}

void rudp_send_stream_on_acked(struct rudp_send_stream *stream, const struct rudp_host *host,
                               const struct rudp_range *range)
{
    uint64_t start = max_u64(range->start, stream->base_offset);

    if (start >= range->end)
        return;
    if (rudp_ranges_add(&stream->acked, host, start, range->end, RANGE_COUNT_MAX) != RUDP_OK) {
        rudp_send_stream_on_lost(stream, host, range); /* not remembered: as good as lost */
        return;
    }
    /* Without memory to split the lost set it stays too large, which only sends bytes again. */
    (void)rudp_ranges_remove(&stream->lost, host, start, range->end, RANGE_COUNT_MAX);
}

/* Adds to the lost set; without memory for one more range, widens a neighbour to reach it. */
static void lost_add(struct rudp_send_stream *stream, const struct rudp_host *host, uint64_t start,
                     uint64_t end)
{
    struct rudp_ranges *lost = &stream->lost;

    if (rudp_ranges_add(lost, host, start, end, RANGE_COUNT_MAX) == RUDP_OK)
        return;
    RUDP_ASSERT(lost->count > 0);
    uint32_t above = rudp_ranges_index_above(lost, start);

    if (above < lost->count)
        end = lost->items[above].start;
    else
        start = lost->items[lost->count - 1].end;
    enum rudp_status status = rudp_ranges_add(lost, host, start, end, RANGE_COUNT_MAX);
    RUDP_ASSERT(status == RUDP_OK); /* it only extends */
}

void rudp_send_stream_on_lost(struct rudp_send_stream *stream, const struct rudp_host *host,
                              const struct rudp_range *range)
{
    uint64_t at = max_u64(range->start, stream->base_offset);

    while (at < range->end) {
        uint32_t index = rudp_ranges_index_above(&stream->acked, at);
        uint64_t gap_end = range->end;

        if (index < stream->acked.count) {
            if (stream->acked.items[index].start <= at) {
                at = stream->acked.items[index].end;
                continue;
            }
            gap_end = min_u64(gap_end, stream->acked.items[index].start);
        }
        lost_add(stream, host, at, gap_end);
        at = gap_end;
    }
}

void rudp_send_stream_on_delivered(struct rudp_send_stream *stream, const struct rudp_host *host,
                                   uint64_t offset)
{
    RUDP_ASSERT(offset <= stream->next_offset);
    if (offset <= stream->base_offset)
        return;
    stream->base_offset = offset;
    rudp_buffer_release_below(&stream->buffer, host, offset);
    rudp_ranges_trim_below(&stream->acked, offset);
    rudp_ranges_trim_below(&stream->lost, offset);
    stream->start_cursor = max_u64(stream->start_cursor, offset);
    stream->resend_cursor = max_u64(stream->resend_cursor, offset);
}

void rudp_send_stream_restart(struct rudp_send_stream *stream)
{
    rudp_ranges_trim_below(&stream->acked, RUDP_NEVER);
    rudp_ranges_trim_below(&stream->lost, RUDP_NEVER);
    stream->next_offset = stream->base_offset;
    stream->limit_offset = stream->base_offset + RUDP_SEND_CREDIT_INITIAL;
    stream->start_cursor = stream->base_offset;
    stream->resend_cursor = stream->base_offset;
}

/* The boundary behind the message that begins at offset. RUDP_NEVER when none begins there: the
 * peer may claim a delivery that ends inside a message, and then every boundary is lost. */
static uint64_t message_end(const struct rudp_send_stream *stream, uint64_t offset)
{
    uint8_t head[4];
    uint64_t message_bytes;
    size_t head_bytes = (size_t)min_u64(sizeof head, stream->end_offset - offset);

    rudp_buffer_read(&stream->buffer, offset, head, head_bytes);
    struct rudp_reader reader = {.data = head, .left_bytes = head_bytes};

    if (rudp_wire_read_varint(&reader, &message_bytes) != RUDP_OK)
        return RUDP_NEVER;
    offset += head_bytes - reader.left_bytes;
    return message_bytes <= stream->end_offset - offset ? offset + message_bytes : RUDP_NEVER;
}

uint64_t rudp_send_stream_start(struct rudp_send_stream *stream, const struct rudp_range *range,
                                bool is_resend)
{
    uint64_t *cursor = is_resend ? &stream->resend_cursor : &stream->start_cursor;

    if (*cursor > range->start)
        *cursor = stream->base_offset;
    while (*cursor < range->start)
        *cursor = message_end(stream, *cursor);
    return min_u64(*cursor, range->end);
}

bool rudp_send_stream_is_acked(const struct rudp_send_stream *stream)
{
    return rudp_ranges_covers(&stream->acked, stream->base_offset, stream->end_offset);
}

uint64_t rudp_send_stream_unacked_bytes(const struct rudp_send_stream *stream)
{
    return stream->end_offset - stream->base_offset - rudp_ranges_total(&stream->acked);
}
