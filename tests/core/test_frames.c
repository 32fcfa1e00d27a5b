#include "core/wire.h"
#include "tests/core/suite.h"
#include "tests/vectors/capped_host.h"

#include <string.h>

#define OUR_ID UINT64_C(0x0123456789abcdef)

/* --- Helpers ---------------------------------------------------------------------------------- */

static struct rudp_reader reader_of(const uint8_t *data, size_t bytes)
{
    return (struct rudp_reader){.data = data, .left_bytes = bytes};
}

/* Reads one frame from exactly these bytes; on success all of them must have been used. */
static enum rudp_status read_bytes(const uint8_t *data, size_t bytes, struct rudp_frame *frame)
{
    struct rudp_reader reader = reader_of(data, bytes);
    enum rudp_status status = rudp_wire_read_frame(&reader, frame);

    if (status == RUDP_OK)
        ck_assert_uint_eq(reader.left_bytes, 0);
    return status;
}

#define READ(frame, ...)                                                                           \
    read_bytes((const uint8_t[]){__VA_ARGS__}, sizeof((const uint8_t[]){__VA_ARGS__}), frame)

static void check_status(enum rudp_status status, enum rudp_status expected)
{
    ck_assert_str_eq(rudp_status_name(status), rudp_status_name(expected));
}

struct packet {
    uint8_t bytes[1500];
    struct rudp_writer writer;
};

static void packet_init(struct packet *packet, size_t capacity_bytes)
{
    memset(packet->bytes, 0xee, sizeof packet->bytes);
    packet->writer = (struct rudp_writer){.data = packet->bytes, .capacity_bytes = capacity_bytes};
}

static enum rudp_status read_back(const struct packet *packet, struct rudp_frame *frame)
{
    return read_bytes(packet->bytes, packet->writer.used_bytes, frame);
}

/* --- Frames that carry numbers ---------------------------------------------------------------- */

/* A run of zeroes is one frame and ends where it ends. */
START_TEST(padding_is_one_frame)
{
    static const uint8_t data[] = {0, 0, 0, 1};
    struct rudp_reader reader = reader_of(data, sizeof data);
    struct rudp_frame frame;

    check_status(rudp_wire_read_frame(&reader, &frame), RUDP_OK);
    ck_assert_uint_eq(frame.type, RUDP_FRAME_PADDING);
    check_status(rudp_wire_read_frame(&reader, &frame), RUDP_OK);
    ck_assert_uint_eq(frame.type, RUDP_FRAME_PING);
    ck_assert_uint_eq(reader.left_bytes, 0);
}
END_TEST

/* Every type that is not in the table is malformed. */
START_TEST(unknown_frame_types_are_malformed)
{
    for (unsigned type = RUDP_FRAME_PARAMS + 1; type < 256; type++) {
        struct rudp_frame frame;

        check_status(READ(&frame, (uint8_t)type, 0, 0, 0, 0, 0, 0, 0, 0), RUDP_E_MALFORMED);
    }
}
END_TEST

/* The longer forms of a varint are as good in a frame. */
START_TEST(frames_accept_long_varints)
{
    struct rudp_frame frame;

    check_status(READ(&frame, RUDP_FRAME_FIN, 0x80, 0, 0, 5), RUDP_OK);
    ck_assert_uint_eq(frame.final_offset, 5);
}
END_TEST

/* Frames of one number read back; the numbers may be the largest there are. */
START_TEST(number_frames_read_back)
{
    struct packet packet;
    struct rudp_frame frame;

    packet_init(&packet, 100);
    ck_assert(rudp_wire_write_blocked(&packet.writer, RUDP_WIRE_VARINT_MAX));
    check_status(read_back(&packet, &frame), RUDP_OK);
    ck_assert_uint_eq(frame.type, RUDP_FRAME_BLOCKED);
    ck_assert_uint_eq(frame.limit_offset, RUDP_WIRE_VARINT_MAX);

    packet_init(&packet, 100);
    ck_assert(rudp_wire_write_fin(&packet.writer, 77));
    check_status(read_back(&packet, &frame), RUDP_OK);
    ck_assert_uint_eq(frame.type, RUDP_FRAME_FIN);
    ck_assert_uint_eq(frame.final_offset, 77);
}
END_TEST

/* Path frames read back with all their bits. */
START_TEST(path_frames_read_back)
{
    struct packet packet;
    struct rudp_frame frame;

    packet_init(&packet, 100);
    ck_assert(rudp_wire_write_path_challenge(&packet.writer, UINT64_MAX - 1));
    check_status(read_back(&packet, &frame), RUDP_OK);
    ck_assert_uint_eq(frame.type, RUDP_FRAME_PATH_CHALLENGE);
    ck_assert_uint_eq(frame.path_value, UINT64_MAX - 1);

    packet_init(&packet, 100);
    ck_assert(rudp_wire_write_path_response(&packet.writer, OUR_ID));
    check_status(read_back(&packet, &frame), RUDP_OK);
    ck_assert_uint_eq(frame.type, RUDP_FRAME_PATH_RESPONSE);
    ck_assert_uint_eq(frame.path_value, OUR_ID);
}
END_TEST

/* Every close code reads back, and the first that is none is malformed. */
START_TEST(close_codes_are_checked)
{
    struct rudp_frame frame;

    for (unsigned code = 0; code < RUDP_CLOSE_CODE_COUNT; code++) {
        struct packet packet;

        packet_init(&packet, 100);
        ck_assert(rudp_wire_write_close(&packet.writer, (enum rudp_close_code)code));
        check_status(read_back(&packet, &frame), RUDP_OK);
        ck_assert_uint_eq(frame.close_code, code);
    }
    check_status(READ(&frame, RUDP_FRAME_CLOSE, RUDP_CLOSE_CODE_COUNT), RUDP_E_MALFORMED);
}
END_TEST

/* Credit reads back up to the largest offset. */
START_TEST(credit_reads_back)
{
    struct rudp_credit_frame credit = {1000, RUDP_WIRE_VARINT_MAX};
    struct packet packet;
    struct rudp_frame frame;

    packet_init(&packet, 100);
    ck_assert(rudp_wire_write_credit(&packet.writer, &credit));
    check_status(read_back(&packet, &frame), RUDP_OK);
    ck_assert_uint_eq(frame.credit.delivered_offset, 1000);
    ck_assert_uint_eq(frame.credit.limit_offset, RUDP_WIRE_VARINT_MAX);
}
END_TEST

/* A limit beyond the last offset is malformed. */
START_TEST(credit_beyond_offsets_is_malformed)
{
    struct rudp_frame frame;

    check_status(READ(&frame, RUDP_FRAME_CREDIT, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1),
                 RUDP_E_MALFORMED);
}
END_TEST

/* No frame reads as good with its end cut off. */
START_TEST(cut_frames_are_truncated)
{
    static const struct {
        size_t bytes;
        uint8_t data[20];
    } frames[] = {
        {8, {RUDP_FRAME_ACK, 0x40, 100, 5, 1, 2, 3, 4}},
        {4, {RUDP_FRAME_CREDIT, 1, 0x40, 2}},
        {6, {RUDP_FRAME_DATA, 0x40, 9, 2, 'a', 'b'}},
        {6, {RUDP_FRAME_DATA_START, 9, 1, 2, 'a', 'b'}},
        {3, {RUDP_FRAME_BLOCKED, 0x40, 1}},
        {3, {RUDP_FRAME_FIN, 0x40, 1}},
        {2, {RUDP_FRAME_CLOSE, 1}},
        {9, {RUDP_FRAME_PATH_CHALLENGE, 1, 2, 3, 4, 5, 6, 7, 8}},
        {9, {RUDP_FRAME_PATH_RESPONSE, 1, 2, 3, 4, 5, 6, 7, 8}},
        {9, {RUDP_FRAME_PARAMS, 2, 1, 1, 5, 200, 2, 1, 2}},
    };

    for (size_t i = 0; i < sizeof frames / sizeof frames[0]; i++) {
        struct rudp_frame frame;

        check_status(read_bytes(frames[i].data, frames[i].bytes, &frame), RUDP_OK);
        for (size_t bytes = 1; bytes < frames[i].bytes; bytes++)
            check_status(read_bytes(frames[i].data, bytes, &frame), RUDP_E_TRUNCATED);
    }
}
END_TEST

/* --- Acknowledgements ------------------------------------------------------------------------- */

/* An acknowledgement with as many ranges as there can be reads back. */
START_TEST(ack_reads_back)
{
    struct rudp_ack_frame ack = {.delay_us = 25000, .range_count = RUDP_WIRE_ACK_RANGES_MAX};
    struct packet packet;
    struct rudp_frame frame;

    for (uint32_t i = 0; i < ack.range_count; i++) {
        ack.ranges[i].largest = UINT64_C(1000000) - 1000 * i;
        ack.ranges[i].smallest = ack.ranges[i].largest - 10 * i;
    }
    packet_init(&packet, sizeof packet.bytes);
    ck_assert(rudp_wire_write_ack(&packet.writer, &ack));
    check_status(read_back(&packet, &frame), RUDP_OK);
    ck_assert_uint_eq(frame.ack.delay_us, ack.delay_us);
    ck_assert_uint_eq(frame.ack.range_count, ack.range_count);
    ck_assert_mem_eq(frame.ack.ranges, ack.ranges, sizeof ack.ranges);
}
END_TEST

/* RFC 9000 section 19.3.1: the smallest gap leaves one packet out, and ranges may end at 0. */
START_TEST(ack_ranges_follow_the_rfc)
{
    struct rudp_frame frame;

    check_status(READ(&frame, RUDP_FRAME_ACK, 10, 0, 2, 3, 0, 1, 0, 1), RUDP_OK);
    ck_assert_uint_eq(frame.ack.range_count, 3);
    ck_assert_uint_eq(frame.ack.ranges[0].largest, 10);
    ck_assert_uint_eq(frame.ack.ranges[0].smallest, 7);
    ck_assert_uint_eq(frame.ack.ranges[1].largest, 5);
    ck_assert_uint_eq(frame.ack.ranges[1].smallest, 4);
    ck_assert_uint_eq(frame.ack.ranges[2].largest, 2);
    ck_assert_uint_eq(frame.ack.ranges[2].smallest, 1);
}
END_TEST

/* Ranges that would go below packet 0 are malformed, by one as by many. */
START_TEST(ack_underflow_is_malformed)
{
    struct rudp_frame frame;

    check_status(READ(&frame, RUDP_FRAME_ACK, 5, 0, 0, 6), RUDP_E_MALFORMED);
    check_status(READ(&frame, RUDP_FRAME_ACK, 5, 0, 1, 4, 0, 0), RUDP_E_MALFORMED);
    check_status(READ(&frame, RUDP_FRAME_ACK, 5, 0, 1, 0, 4, 0), RUDP_E_MALFORMED);
    check_status(READ(&frame, RUDP_FRAME_ACK, 5, 0, 1, 0, 3, 1), RUDP_E_MALFORMED);
    check_status(
        READ(&frame, RUDP_FRAME_ACK, 5, 0, 1, 0, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0),
        RUDP_E_MALFORMED);
}
END_TEST

/* More ranges than 64 are malformed, before they are looked at. */
START_TEST(ack_of_65_ranges_is_malformed)
{
    struct rudp_frame frame;

    check_status(READ(&frame, RUDP_FRAME_ACK, 0x7f, 0xff, 0, 64, 0), RUDP_E_MALFORMED);
    check_status(READ(&frame, RUDP_FRAME_ACK, 0x7f, 0xff, 0, 255, 0), RUDP_E_MALFORMED);
}
END_TEST

/* A frame that does not fit whole has the newest ranges, and the best is kept for each size. */
START_TEST(ack_is_cut_to_the_room)
{
    struct rudp_ack_frame ack = {.range_count = 5};
    uint32_t last_count = 0;

    for (uint32_t i = 0; i < ack.range_count; i++)
        ack.ranges[i] = (struct rudp_ack_range){100 - 10 * i, 101 - 10 * i};
    for (size_t room = 0; room <= 14; room++) {
        struct packet packet;
        struct rudp_frame frame;

        packet_init(&packet, room);
        bool written = rudp_wire_write_ack(&packet.writer, &ack);

        ck_assert_int_eq(written, room >= 6); /* type, 2 of largest, delay, count, length */
        if (!written) {
            ck_assert_uint_eq(packet.writer.used_bytes, 0);
            continue;
        }
        check_status(read_back(&packet, &frame), RUDP_OK);
        last_count = frame.ack.range_count;
        ck_assert_uint_eq(last_count, min_u64(1 + (room - 6) / 2, 5));
        ck_assert_mem_eq(frame.ack.ranges, ack.ranges, last_count * sizeof ack.ranges[0]);
    }
    ck_assert_uint_eq(last_count, 5);
}
END_TEST

/* --- Data ------------------------------------------------------------------------------------- */

/* Data reads back without a copy: the frame points into the packet. */
START_TEST(data_reads_back)
{
    struct rudp_data_frame data = {.offset = 70000, .bytes = 5};
    struct packet packet;
    struct rudp_frame frame;
    uint8_t *out;

    packet_init(&packet, 100);
    ck_assert(rudp_wire_write_data(&packet.writer, &data, &out));
    memcpy(out, "bytes", 5);
    ck_assert_uint_eq(packet.writer.used_bytes, rudp_wire_data_head_bytes(&data) + 5);
    check_status(read_back(&packet, &frame), RUDP_OK);
    ck_assert_uint_eq(frame.type, RUDP_FRAME_DATA);
    ck_assert_uint_eq(frame.data.offset, 70000);
    ck_assert_uint_eq(frame.data.bytes, 5);
    ck_assert(!frame.data.has_start);
    ck_assert_ptr_eq(frame.data.data, out);
}
END_TEST

/* With a start the frame says where the first message begins, up to its last byte. */
START_TEST(data_start_reads_back)
{
    struct rudp_data_frame data = {
        .offset = 1000, .bytes = 500, .has_start = true, .start_offset = 1499};
    struct packet packet;
    struct rudp_frame frame;
    uint8_t *out;

    packet_init(&packet, 600);
    ck_assert(rudp_wire_write_data(&packet.writer, &data, &out));
    ck_assert_uint_eq(packet.writer.used_bytes, rudp_wire_data_head_bytes(&data) + 500);
    check_status(read_back(&packet, &frame), RUDP_OK);
    ck_assert_uint_eq(frame.type, RUDP_FRAME_DATA_START);
    ck_assert(frame.data.has_start);
    ck_assert_uint_eq(frame.data.start_offset, 1499);
}
END_TEST

/* Data of nothing, a start behind the data, offsets beyond the last one: malformed. */
START_TEST(impossible_data_is_malformed)
{
    struct rudp_frame frame;

    check_status(READ(&frame, RUDP_FRAME_DATA, 5, 0), RUDP_E_MALFORMED);
    check_status(READ(&frame, RUDP_FRAME_DATA_START, 5, 0, 0), RUDP_E_MALFORMED);
    check_status(READ(&frame, RUDP_FRAME_DATA_START, 5, 2, 2, 'a', 'b'), RUDP_E_MALFORMED);
    check_status(
        READ(&frame, RUDP_FRAME_DATA, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1, 'a'),
        RUDP_E_MALFORMED);
}
END_TEST

/* A length beyond the packet is truncated, however large. */
START_TEST(data_beyond_the_packet_is_truncated)
{
    struct rudp_frame frame;

    check_status(READ(&frame, RUDP_FRAME_DATA, 0, 2, 'a'), RUDP_E_TRUNCATED);
    check_status(
        READ(&frame, RUDP_FRAME_DATA, 0, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 'a'),
        RUDP_E_TRUNCATED);
}
END_TEST

/* --- Parameters ------------------------------------------------------------------------------- */

/* Parameters read back. */
START_TEST(params_read_back)
{
    struct rudp_params params = {4 * 1024 * 1024, 65507, 5000, true};
    struct packet packet;
    struct rudp_frame frame;

    packet_init(&packet, 100);
    ck_assert(rudp_wire_write_params(&packet.writer, &params));
    check_status(read_back(&packet, &frame), RUDP_OK);
    ck_assert_uint_eq(frame.params.credit_bytes, params.credit_bytes);
    ck_assert_uint_eq(frame.params.packet_bytes_max, params.packet_bytes_max);
    ck_assert_uint_eq(frame.params.ack_delay_us_max, params.ack_delay_us_max);
    ck_assert(frame.params.wants_starts);
}
END_TEST

/* What is left out has its default. */
START_TEST(params_have_defaults)
{
    struct rudp_frame frame;

    check_status(READ(&frame, RUDP_FRAME_PARAMS, 0), RUDP_OK);
    ck_assert_uint_eq(frame.params.credit_bytes, 0);
    ck_assert_uint_eq(frame.params.packet_bytes_max, 1200);
    ck_assert_uint_eq(frame.params.ack_delay_us_max, 25000);
    ck_assert(!frame.params.wants_starts);
}
END_TEST

/* Unknown parameters are skipped, whatever is in them. */
START_TEST(unknown_params_are_skipped)
{
    struct rudp_frame frame;

    check_status(
        READ(&frame, RUDP_FRAME_PARAMS, 4, 0, 0, 5, 1, 0xff, 255, 3, 1, 2, 3, 2, 2, 0x45, 0xdc),
        RUDP_OK);
    ck_assert_uint_eq(frame.params.packet_bytes_max, 1500);
}
END_TEST

/* A parameter given twice is malformed, known or not. */
START_TEST(repeated_params_are_malformed)
{
    struct rudp_frame frame;

    check_status(READ(&frame, RUDP_FRAME_PARAMS, 2, 1, 1, 5, 1, 1, 5), RUDP_E_MALFORMED);
    check_status(READ(&frame, RUDP_FRAME_PARAMS, 2, 200, 0, 200, 0), RUDP_E_MALFORMED);
}
END_TEST

/* A value must be a varint that fills its length. */
START_TEST(params_must_fill_their_length)
{
    struct rudp_frame frame;

    check_status(READ(&frame, RUDP_FRAME_PARAMS, 1, 1, 2, 5, 0), RUDP_E_MALFORMED);
    check_status(READ(&frame, RUDP_FRAME_PARAMS, 1, 1, 1, 0x45, 0), RUDP_E_MALFORMED);
    check_status(READ(&frame, RUDP_FRAME_PARAMS, 1, 1, 0), RUDP_E_MALFORMED);
    check_status(READ(&frame, RUDP_FRAME_PARAMS, 1, 3, 2, 0x40, 5), RUDP_OK);
    ck_assert_uint_eq(frame.params.ack_delay_us_max, 5);
}
END_TEST

/* Wanting starts is 0 or 1. */
START_TEST(wants_starts_is_a_flag)
{
    struct rudp_frame frame;

    check_status(READ(&frame, RUDP_FRAME_PARAMS, 1, 4, 1, 2), RUDP_E_MALFORMED);
    check_status(READ(&frame, RUDP_FRAME_PARAMS, 1, 4, 1, 1), RUDP_OK);
    ck_assert(frame.params.wants_starts);
}
END_TEST

/* --- Room ------------------------------------------------------------------------------------- */

static bool write_any(struct rudp_writer *writer, unsigned which)
{
    static const struct rudp_params params = {1, 2, 3, true};
    static const struct rudp_credit_frame credit = {70, 80};
    static const struct rudp_data_frame data = {.offset = 5, .bytes = 10};
    uint8_t *out;

    switch (which) {
    case 0:
        return rudp_wire_write_padding(writer, 3);
    case 1:
        return rudp_wire_write_ping(writer);
    case 2:
        return rudp_wire_write_credit(writer, &credit);
    case 3:
        return rudp_wire_write_blocked(writer, 70);
    case 4:
        return rudp_wire_write_fin(writer, 70);
    case 5:
        return rudp_wire_write_close(writer, RUDP_CLOSE_ABORTED);
    case 6:
        return rudp_wire_write_path_challenge(writer, 1);
    case 7:
        return rudp_wire_write_path_response(writer, 1);
    case 8:
        return rudp_wire_write_params(writer, &params);
    default:
        return rudp_wire_write_data(writer, &data, &out);
    }
}
#define WRITE_ANY_COUNT 10

/* A frame is written when it fits to the byte; else nothing is, and nothing beyond is touched. */
START_TEST(frames_are_written_whole_or_not_at_all)
{
    for (size_t i = 0; i < WRITE_ANY_COUNT; i++) {
        struct packet packet;

        packet_init(&packet, sizeof packet.bytes);
        ck_assert(write_any(&packet.writer, (unsigned)i));
        size_t frame_bytes = packet.writer.used_bytes;

        for (size_t room = 0; room < frame_bytes; room++) {
            packet_init(&packet, room);
            ck_assert(!write_any(&packet.writer, (unsigned)i));
            ck_assert_uint_eq(packet.writer.used_bytes, 0);
        }
        packet_init(&packet, frame_bytes);
        ck_assert(write_any(&packet.writer, (unsigned)i));
        ck_assert_uint_eq(packet.writer.used_bytes, frame_bytes);
        ck_assert_uint_eq(packet.bytes[frame_bytes], 0xee);
    }
}
END_TEST

/* --- Anything --------------------------------------------------------------------------------- */

/* Reads random frames until one is refused; no read may go beyond the bytes that are there. */
START_TEST(random_frames_stay_in_their_bytes)
{
    struct capped_host random;
    uint32_t wrong_count = 0;

    capped_host_init(&random, 0, 5);
    for (uint32_t i = 0; i < 50000; i++) {
        uint8_t data[48];
        size_t bytes = 1 + i % sizeof data;
        struct rudp_reader reader = reader_of(data + sizeof data - bytes, bytes);
        enum rudp_status status = RUDP_OK;

        random.host.random.fill(random.host.random.context, data, sizeof data);
        for (size_t at = 0; at < sizeof data; at += 3)
            data[at] &= 0x0f; /* types that exist, numbers that are small */
        while (status == RUDP_OK && reader.left_bytes > 0) {
            struct rudp_frame frame;
            size_t before_bytes = reader.left_bytes;

            status = rudp_wire_read_frame(&reader, &frame);
            wrong_count += reader.left_bytes >= before_bytes;
            wrong_count += reader.data + reader.left_bytes != data + sizeof data;
        }
    }
    ck_assert_uint_eq(wrong_count, 0);
}
END_TEST

int main(void)
{
    return SUITE_RUN("frames", padding_is_one_frame, unknown_frame_types_are_malformed,
                     frames_accept_long_varints, number_frames_read_back, path_frames_read_back,
                     close_codes_are_checked, credit_reads_back, credit_beyond_offsets_is_malformed,
                     cut_frames_are_truncated, ack_reads_back, ack_ranges_follow_the_rfc,
                     ack_underflow_is_malformed, ack_of_65_ranges_is_malformed,
                     ack_is_cut_to_the_room, data_reads_back, data_start_reads_back,
                     impossible_data_is_malformed, data_beyond_the_packet_is_truncated,
                     params_read_back, params_have_defaults, unknown_params_are_skipped,
                     repeated_params_are_malformed, params_must_fill_their_length,
                     wants_starts_is_a_flag, frames_are_written_whole_or_not_at_all,
                     random_frames_stay_in_their_bytes);
}
