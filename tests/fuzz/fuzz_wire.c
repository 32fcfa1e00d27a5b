/* fuzz_wire: a packet that the core's reader accepts is written again and read again to the same
 * meaning, and writing that once more gives the same bytes. Every input is read as it is and with a
 * good check, so that mutations get past it. */
#include "core/crc32c.h"
#include "core/wire.h"
#include "tests/vectors/rewrite.h"

#include <stdlib.h>
#include <string.h>

/* A PARAMS frame of 2 bytes is written with all four parameters: 2 + 4 * (2 + 8) bytes. */
#define GROWTH_MAX 21u

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static bool headers_equal(const struct rudp_header *a, const struct rudp_header *b)
{
    return a->type == b->type && a->version == b->version &&
           a->destination_id == b->destination_id && a->source_id == b->source_id &&
           a->packet_number == b->packet_number && a->token_bytes == b->token_bytes &&
           (a->token_bytes == 0 || memcmp(a->token, b->token, a->token_bytes) == 0) &&
           a->version_count == b->version_count &&
           memcmp(a->versions, b->versions, a->version_count * sizeof *a->versions) == 0;
}

static bool acks_equal(const struct rudp_ack_frame *a, const struct rudp_ack_frame *b)
{
    return a->delay_us == b->delay_us && a->range_count == b->range_count &&
           memcmp(a->ranges, b->ranges, a->range_count * sizeof *a->ranges) == 0;
}

static bool data_equal(const struct rudp_data_frame *a, const struct rudp_data_frame *b)
{
    return a->offset == b->offset && a->bytes == b->bytes && a->has_start == b->has_start &&
           a->start_offset == b->start_offset && memcmp(a->data, b->data, a->bytes) == 0;
}

static bool params_equal(const struct rudp_params *a, const struct rudp_params *b)
{
    return a->credit_bytes == b->credit_bytes && a->packet_bytes_max == b->packet_bytes_max &&
           a->ack_delay_us_max == b->ack_delay_us_max && a->wants_starts == b->wants_starts;
}

static bool frames_equal(const struct rudp_frame *a, const struct rudp_frame *b)
{
    if (a->type != b->type)
        return false;
    switch (a->type) {
    case RUDP_FRAME_PADDING:
    case RUDP_FRAME_PING:
        return true;
    case RUDP_FRAME_ACK:
        return acks_equal(&a->ack, &b->ack);
    case RUDP_FRAME_CREDIT:
        return a->credit.delivered_offset == b->credit.delivered_offset &&
               a->credit.limit_offset == b->credit.limit_offset;
    case RUDP_FRAME_DATA:
    case RUDP_FRAME_DATA_START:
        return data_equal(&a->data, &b->data);
    case RUDP_FRAME_BLOCKED:
        return a->limit_offset == b->limit_offset;
    case RUDP_FRAME_FIN:
        return a->final_offset == b->final_offset;
    case RUDP_FRAME_CLOSE:
        return a->close_code == b->close_code;
    case RUDP_FRAME_PATH_CHALLENGE:
    case RUDP_FRAME_PATH_RESPONSE:
        return a->path_value == b->path_value;
    case RUDP_FRAME_PARAMS:
        return params_equal(&a->params, &b->params);
    }
    return false;
}

static void check_same_frames(struct rudp_reader a, struct rudp_reader b)
{
    while (a.left_bytes > 0) {
        struct rudp_frame frame_a;
        struct rudp_frame frame_b;

        RUDP_ASSERT(b.left_bytes > 0);
        RUDP_ASSERT(rudp_wire_read_frame(&a, &frame_a) == RUDP_OK);
        RUDP_ASSERT(rudp_wire_read_frame(&b, &frame_b) == RUDP_OK);
        RUDP_ASSERT(frames_equal(&frame_a, &frame_b));
    }
    RUDP_ASSERT(b.left_bytes == 0);
}

/* header and frames of a packet of size bytes that was accepted so far. */
static void check_rewrite(const struct rudp_header *header, struct rudp_reader frames, size_t size)
{
    size_t capacity_bytes = size * GROWTH_MAX;
    uint8_t *once = malloc(capacity_bytes);
    uint8_t *twice = malloc(capacity_bytes);
    size_t once_bytes;
    size_t twice_bytes;
    struct rudp_header header_again;
    struct rudp_reader frames_again;

    RUDP_ASSERT(once != NULL);
    RUDP_ASSERT(twice != NULL);
    if (rewrite_packet(header, frames, once, capacity_bytes, &once_bytes) == RUDP_OK) {
        RUDP_ASSERT(rudp_wire_read_packet(once, once_bytes, &header_again, &frames_again) ==
                    RUDP_OK);
        RUDP_ASSERT(headers_equal(header, &header_again));
        check_same_frames(frames, frames_again);
        RUDP_ASSERT(rewrite_packet(&header_again, frames_again, twice, capacity_bytes,
                                   &twice_bytes) == RUDP_OK);
        RUDP_ASSERT(once_bytes == twice_bytes);
        RUDP_ASSERT(memcmp(once, twice, once_bytes) == 0);
    }
    free(once);
    free(twice);
}

static void check_packet(const uint8_t *data, size_t size)
{
    struct rudp_header header;
    struct rudp_reader frames;

    if (rudp_wire_read_packet(data, size, &header, &frames) != RUDP_OK)
        return;
    RUDP_ASSERT(frames.left_bytes <= size);
    if (header.version > RUDP_WIRE_VERSION) /* only its ids are known: nothing to write again */
        RUDP_ASSERT(frames.left_bytes == 0);
    else
        check_rewrite(&header, frames, size);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    check_packet(data, size);
    if (size <= RUDP_WIRE_CHECK_BYTES)
        return 0;
    size_t covered_bytes = size - RUDP_WIRE_CHECK_BYTES;
    uint8_t *fixed =
        malloc(size); /* ends where the packet ends: AddressSanitizer sees over-reads */

    RUDP_ASSERT(fixed != NULL);
    memcpy(fixed, data, covered_bytes);
    struct rudp_writer writer = {fixed, covered_bytes, size};

    rudp_wire_write_check(&writer);
    check_packet(fixed, size);
    free(fixed);
    return 0;
}
