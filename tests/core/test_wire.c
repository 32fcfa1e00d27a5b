#include "core/wire.h"
#include "core/crc32c.h"
#include "tests/core/suite.h"
#include "tests/vectors/capped_host.h"

#include <string.h>

#define OUR_ID  UINT64_C(0x0123456789abcdef)
#define PEER_ID UINT64_C(0xfedcba9876543210)

static void check_status(enum rudp_status status, enum rudp_status expected)
{
    ck_assert_str_eq(rudp_status_name(status), rudp_status_name(expected));
}

static struct rudp_reader reader_of(const uint8_t *data, size_t bytes)
{
    return (struct rudp_reader){.data = data, .left_bytes = bytes};
}

/* --- Integers --------------------------------------------------------------------------------- */

static uint64_t varint_of(const uint8_t *data, size_t bytes)
{
    struct rudp_reader reader = reader_of(data, bytes);
    uint64_t value;

    check_status(rudp_wire_read_varint(&reader, &value), RUDP_OK);
    ck_assert_uint_eq(reader.left_bytes, 0);
    return value;
}

#define VARINT(...)                                                                                \
    varint_of((const uint8_t[]){__VA_ARGS__}, sizeof((const uint8_t[]){__VA_ARGS__}))

/* RFC 9000 appendix A.1; the last example is 37 in two bytes, which is as good. */
START_TEST(varint_reads_rfc_examples)
{
    ck_assert_uint_eq(VARINT(0xc2, 0x19, 0x7c, 0x5e, 0xff, 0x14, 0xe8, 0x8c),
                      UINT64_C(151288809941952652));
    ck_assert_uint_eq(VARINT(0x9d, 0x7f, 0x3e, 0x7d), 494878333);
    ck_assert_uint_eq(VARINT(0x7b, 0xbd), 15293);
    ck_assert_uint_eq(VARINT(0x25), 37);
    ck_assert_uint_eq(VARINT(0x40, 0x25), 37);
}
END_TEST

static void check_written_varint(uint64_t value, const uint8_t *expected, size_t bytes)
{
    uint8_t out[8];

    ck_assert_uint_eq(rudp_wire_varint_bytes(value), bytes);
    ck_assert_uint_eq(rudp_wire_put_varint(out, value), bytes);
    ck_assert_mem_eq(out, expected, bytes);
}

/* The same examples written. */
START_TEST(varint_writes_rfc_examples)
{
    check_written_varint(UINT64_C(151288809941952652),
                         (uint8_t[]){0xc2, 0x19, 0x7c, 0x5e, 0xff, 0x14, 0xe8, 0x8c}, 8);
    check_written_varint(494878333, (uint8_t[]){0x9d, 0x7f, 0x3e, 0x7d}, 4);
    check_written_varint(15293, (uint8_t[]){0x7b, 0xbd}, 2);
    check_written_varint(37, (uint8_t[]){0x25}, 1);
}
END_TEST

/* Each length is used up to its end and reads back. */
START_TEST(varint_takes_the_shortest_form)
{
    static const struct {
        uint64_t value;
        size_t bytes;
    } cases[] = {{0, 1},        {63, 1},
                 {64, 2},       {16383, 2},
                 {16384, 4},    {(UINT64_C(1) << 30) - 1, 4},
                 {1u << 30, 8}, {RUDP_WIRE_VARINT_MAX, 8}};

    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        uint8_t out[8];

        ck_assert_uint_eq(rudp_wire_put_varint(out, cases[i].value), cases[i].bytes);
        ck_assert_uint_eq(varint_of(out, cases[i].bytes), cases[i].value);
    }
}
END_TEST

/* A varint that ends early is truncated, whatever its length. */
START_TEST(varint_cut_short_is_truncated)
{
    for (unsigned code = 0; code < 4; code++) {
        uint8_t data[8] = {(uint8_t)(code << 6)};
        size_t bytes = (size_t)1 << code;

        for (size_t left = 0; left < bytes; left++) {
            struct rudp_reader reader = reader_of(data, left);
            uint64_t value;

            check_status(rudp_wire_read_varint(&reader, &value), RUDP_E_TRUNCATED);
        }
    }
}
END_TEST

/* RFC 9000 appendix A.3, in 32 bits: the number nearest to the expected one. */
START_TEST(packet_number_is_the_nearest)
{
    uint64_t turn = UINT64_C(1) << 32;

    ck_assert_uint_eq(rudp_wire_expand_packet_number(0, 0), 0);
    ck_assert_uint_eq(rudp_wire_expand_packet_number(0x9b329b32, 0xa82f30ea + 1), 0x9b329b32);
    ck_assert_uint_eq(rudp_wire_expand_packet_number(5, turn - 5), turn + 5);
    ck_assert_uint_eq(rudp_wire_expand_packet_number(0xfffffff0, 7 * turn + 3), 7 * turn - 16);
    ck_assert_uint_eq(rudp_wire_expand_packet_number(0xfffffff0, 3), 0xfffffff0);
    ck_assert_uint_eq(rudp_wire_expand_packet_number(0, RUDP_WIRE_VARINT_MAX),
                      RUDP_WIRE_VARINT_MAX + 1 - turn);
}
END_TEST

/* Any number within half a turn of the expected one comes back from its low 32 bits. */
START_TEST(packet_number_survives_truncation)
{
    struct capped_host random;
    uint32_t wrong_count = 0;

    capped_host_init(&random, 0, 1);
    for (uint32_t i = 0; i < 10000; i++) {
        uint64_t full = rudp_random_u64(&random.host) >> (2 + i % 40);
        uint64_t distance = rudp_random_u64(&random.host) % (UINT64_C(1) << 31);
        uint64_t expected = i % 2 == 0 ? sub_floor_u64(full, distance)
                                       : min_u64(full + distance, RUDP_WIRE_VARINT_MAX);

        wrong_count += rudp_wire_expand_packet_number((uint32_t)full, expected) != full;
    }
    ck_assert_uint_eq(wrong_count, 0);
}
END_TEST

struct packet {
    uint8_t bytes[1500];
    struct rudp_writer writer;
};

static void packet_init(struct packet *packet, size_t capacity_bytes)
{
    memset(packet->bytes, 0xee, sizeof packet->bytes);
    packet->writer = (struct rudp_writer){.data = packet->bytes, .capacity_bytes = capacity_bytes};
}

/* --- Packets ---------------------------------------------------------------------------------- */

static void write_packet(struct packet *packet, const struct rudp_header *header)
{
    packet_init(packet, sizeof packet->bytes);
    rudp_wire_write_header(&packet->writer, header);
    if (header->type <= RUDP_PACKET_HELLO_ACK)
        ck_assert(rudp_wire_write_ping(&packet->writer));
    rudp_wire_write_check(&packet->writer);
}

/* Gives a packet that was changed a good check again. */
static void reseal(struct packet *packet, size_t bytes)
{
    packet->writer.used_bytes = bytes - RUDP_WIRE_CHECK_BYTES;
    rudp_wire_write_check(&packet->writer);
}

static enum rudp_status read_packet(const struct packet *packet, struct rudp_header *header,
                                    struct rudp_reader *frames)
{
    return rudp_wire_read_packet(packet->bytes, packet->writer.used_bytes, header, frames);
}

static const uint8_t token_64[RUDP_WIRE_TOKEN_BYTES_MAX] = {1, 2, 3};

static const struct rudp_header headers[] = {
    {.type = RUDP_PACKET_SHORT, .destination_id = OUR_ID, .packet_number = 0xfffffffe},
    {.type = RUDP_PACKET_HELLO, .version = RUDP_WIRE_VERSION, .source_id = PEER_ID},
    {.type = RUDP_PACKET_HELLO,
     .version = RUDP_WIRE_VERSION,
     .source_id = PEER_ID,
     .packet_number = 7,
     .token = token_64,
     .token_bytes = sizeof token_64},
    {.type = RUDP_PACKET_HELLO_ACK,
     .version = RUDP_WIRE_VERSION,
     .destination_id = OUR_ID,
     .source_id = PEER_ID,
     .packet_number = 9},
    {.type = RUDP_PACKET_RETRY,
     .version = RUDP_WIRE_VERSION,
     .destination_id = OUR_ID,
     .token = token_64,
     .token_bytes = 1},
    {.type = RUDP_PACKET_VERSION,
     .destination_id = OUR_ID,
     .version_count = 2,
     .versions = {1, 0xabcdef01}},
    {.type = RUDP_PACKET_RESET, .version = RUDP_WIRE_VERSION, .source_id = PEER_ID},
};
#define HEADER_COUNT (sizeof headers / sizeof headers[0])

/* Every kind of packet reads back as it was written. */
START_TEST(packets_read_back)
{
    for (size_t i = 0; i < HEADER_COUNT; i++) {
        const struct rudp_header *wrote = &headers[i];
        struct packet packet;
        struct rudp_header read;
        struct rudp_reader frames;

        write_packet(&packet, wrote);
        check_status(read_packet(&packet, &read, &frames), RUDP_OK);
        ck_assert_uint_eq(read.type, wrote->type);
        ck_assert_uint_eq(read.version, wrote->version);
        ck_assert_uint_eq(read.destination_id, wrote->destination_id);
        ck_assert_uint_eq(read.source_id, wrote->source_id);
        ck_assert_uint_eq(read.packet_number, wrote->packet_number);
        ck_assert_uint_eq(read.token_bytes, wrote->token_bytes);
        if (wrote->token_bytes > 0)
            ck_assert_mem_eq(read.token, wrote->token, wrote->token_bytes);
        ck_assert_uint_eq(read.version_count, wrote->version_count);
        ck_assert_mem_eq(read.versions, wrote->versions, sizeof read.versions);
        ck_assert_uint_eq(frames.left_bytes, wrote->type <= RUDP_PACKET_HELLO_ACK ? 1 : 0);
    }
}
END_TEST

/* No packet reads as good with its end cut off. */
START_TEST(cut_packets_are_refused)
{
    for (size_t i = 0; i < HEADER_COUNT; i++) {
        struct packet packet;
        struct rudp_header header;
        struct rudp_reader frames;

        write_packet(&packet, &headers[i]);
        for (size_t bytes = 0; bytes < packet.writer.used_bytes; bytes++)
            ck_assert_uint_ne(rudp_wire_read_packet(packet.bytes, bytes, &header, &frames),
                              RUDP_OK);
    }
}
END_TEST

/* No packet reads as good with a bit turned over. A version is not covered: it may not be ours. */
START_TEST(damaged_packets_are_refused)
{
    for (size_t i = 0; i < HEADER_COUNT; i++) {
        struct packet packet;
        struct rudp_header header;
        struct rudp_reader frames;

        write_packet(&packet, &headers[i]);
        for (size_t bit = 0; bit < 8 * packet.writer.used_bytes; bit++) {
            packet.bytes[bit / 8] ^= (uint8_t)(1 << bit % 8);
            enum rudp_status status = read_packet(&packet, &header, &frames);

            ck_assert(status != RUDP_OK || header.version != headers[i].version);
            packet.bytes[bit / 8] ^= (uint8_t)(1 << bit % 8);
        }
    }
}
END_TEST

/* A damaged packet still says whose it was. */
START_TEST(failed_check_leaves_the_header)
{
    struct packet packet;
    struct rudp_header header;
    struct rudp_reader frames;

    write_packet(&packet, &headers[0]);
    packet.bytes[packet.writer.used_bytes - 1] ^= 1;
    check_status(read_packet(&packet, &header, &frames), RUDP_E_CHECK);
    ck_assert_uint_eq(header.destination_id, OUR_ID);
}
END_TEST

static void check_datagram(const char *data, size_t bytes, enum rudp_status expected)
{
    struct rudp_header header;
    struct rudp_reader frames;

    check_status(rudp_wire_read_packet((const uint8_t *)data, bytes, &header, &frames), expected);
}

/* Ordinary datagrams are foreign: empty, text, another protocol's magic. */
START_TEST(ordinary_datagrams_are_foreign)
{
    check_datagram("", 0, RUDP_E_FOREIGN);
    check_datagram("2 letters and digits", 20, RUDP_E_FOREIGN);
    check_datagram("\x80\xe0 an RTP packet, say", 22, RUDP_E_FOREIGN);
    check_datagram("\xc0\xa7\xd3\x5b\x1f", 5, RUDP_E_FOREIGN);
    check_datagram("\xc0\xa7\xd4", 3, RUDP_E_FOREIGN);
    check_datagram("\xf6", 1, RUDP_E_FOREIGN);
    check_datagram("\xc0\xa7\xd3\x5b", 4, RUDP_E_FOREIGN);
}
END_TEST

/* A text that starts like a short packet fails its check, and is not taken for malformed. */
START_TEST(text_like_a_short_packet_fails_the_check)
{
    check_datagram("Hello, how are you today?", 25, RUDP_E_CHECK);
    check_datagram("@ reply to nobody at all", 24, RUDP_E_CHECK);
}
END_TEST

/* Too short for what the first bytes announce; a letter announces a short packet. */
START_TEST(short_datagrams_are_truncated)
{
    check_datagram("hello", 5, RUDP_E_TRUNCATED);
    check_datagram("\x40\x01", 2, RUDP_E_TRUNCATED);
    check_datagram("\xc0\xa7\xd3\x5b\x1e\0\0\0\1", 9, RUDP_E_TRUNCATED);
    check_datagram("\xc4\xa7\xd3\x5b\x1e\0\0\0\1\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\1", 25,
                   RUDP_E_TRUNCATED);
}
END_TEST

/* Writes headers[index], overwrites one byte, makes the check good and reads. */
static enum rudp_status read_with_byte(size_t index, size_t at, uint8_t value)
{
    struct packet packet;
    struct rudp_header header;
    struct rudp_reader frames;

    write_packet(&packet, &headers[index]);
    packet.bytes[at] = value;
    reseal(&packet, packet.writer.used_bytes);
    return read_packet(&packet, &header, &frames);
}

/* Fixed bits, classes and types that nobody defined are malformed. */
START_TEST(unknown_first_bytes_are_malformed)
{
    check_status(read_with_byte(0, 0, 0x41), RUDP_E_MALFORMED);
    check_status(read_with_byte(0, 0, 0x50), RUDP_E_MALFORMED);
    check_status(read_with_byte(1, 0, 0xd0), RUDP_E_MALFORMED);
    check_status(read_with_byte(1, 0, 0xc5), RUDP_E_MALFORMED);
    check_status(read_with_byte(1, 0, 0xcf), RUDP_E_MALFORMED);
}
END_TEST

/* The version goes with the type: 0 with VERSION and with nothing else. */
START_TEST(version_must_fit_the_type)
{
    check_status(read_with_byte(1, 8, 0), RUDP_E_MALFORMED);
    check_status(read_with_byte(5, 8, 1), RUDP_E_MALFORMED);
}
END_TEST

/* A packet of another version is read up to its ids, even when the rest is not there. */
START_TEST(other_version_gives_the_ids)
{
    struct packet packet;
    struct rudp_header header;
    struct rudp_reader frames;

    write_packet(&packet, &headers[2]);
    packet.bytes[8] = 2;
    check_status(rudp_wire_read_packet(packet.bytes, RUDP_WIRE_LONG_BYTES, &header, &frames),
                 RUDP_OK);
    ck_assert_uint_eq(header.type, RUDP_PACKET_HELLO);
    ck_assert_uint_eq(header.version, 2);
    ck_assert_uint_eq(header.source_id, PEER_ID);
    ck_assert_uint_eq(header.token_bytes, 0);
    ck_assert_uint_eq(frames.left_bytes, 0);
}
END_TEST

/* An id of 0 is none: nobody could be answered, whatever the version. */
START_TEST(other_version_without_id_is_malformed)
{
    struct packet packet;
    struct rudp_header header;
    struct rudp_reader frames;

    write_packet(&packet, &headers[1]);
    packet.bytes[8] = 2;
    memset(packet.bytes + 17, 0, 8);
    check_status(read_packet(&packet, &header, &frames), RUDP_E_MALFORMED);
}
END_TEST

/* Each type has the ids that its line of the table has, and no others. */
START_TEST(ids_must_fit_the_type)
{
    static const size_t id_at[] = {9, 17};

    for (size_t i = 1; i < HEADER_COUNT; i++) {
        for (size_t id = 0; id < 2; id++) {
            struct packet packet;
            struct rudp_header header;
            struct rudp_reader frames;
            uint64_t value = id == 0 ? headers[i].destination_id : headers[i].source_id;

            write_packet(&packet, &headers[i]);
            memset(packet.bytes + id_at[id], value == 0 ? 1 : 0, 8);
            reseal(&packet, packet.writer.used_bytes);
            check_status(read_packet(&packet, &header, &frames), RUDP_E_MALFORMED);
        }
    }
}
END_TEST

/* A short packet without an id is malformed. */
START_TEST(short_packet_needs_an_id)
{
    struct packet packet;
    struct rudp_header header = {.type = RUDP_PACKET_SHORT};
    struct rudp_reader frames;

    write_packet(&packet, &header);
    check_status(read_packet(&packet, &header, &frames), RUDP_E_MALFORMED);
}
END_TEST

/* Lengths of tokens and lists keep to their bounds and to the packet. */
START_TEST(bodies_are_bounded)
{
    check_status(read_with_byte(2, 29, 65), RUDP_E_MALFORMED); /* token of 65 */
    check_status(read_with_byte(1, 29, 2), RUDP_E_TRUNCATED);  /* longer than the packet */
    check_status(read_with_byte(4, 25, 0), RUDP_E_MALFORMED);  /* RETRY without a token */
    check_status(read_with_byte(5, 25, 0), RUDP_E_MALFORMED);  /* no versions */
    check_status(read_with_byte(5, 25, 17), RUDP_E_MALFORMED); /* too many */
    check_status(read_with_byte(5, 25, 3), RUDP_E_TRUNCATED);  /* more than there are */
    check_status(read_with_byte(5, 25, 1), RUDP_E_MALFORMED);  /* bytes left over */
}
END_TEST

/* Bodies that are not there at all are truncated. */
START_TEST(missing_bodies_are_truncated)
{
    for (size_t i = 1; i < HEADER_COUNT - 1; i++) {
        struct packet packet;
        struct rudp_header header;
        struct rudp_reader frames;

        write_packet(&packet, &headers[i]);
        reseal(&packet, RUDP_WIRE_LONG_BYTES + RUDP_WIRE_CHECK_BYTES);
        check_status(read_packet(&packet, &header, &frames), RUDP_E_TRUNCATED);
    }
}
END_TEST

/* A HELLO that ends behind its number has no token length. */
START_TEST(hello_without_token_length_is_truncated)
{
    struct packet packet;
    struct rudp_header header;
    struct rudp_reader frames;

    write_packet(&packet, &headers[1]);
    reseal(&packet, RUDP_WIRE_LONG_BYTES + 4 + RUDP_WIRE_CHECK_BYTES);
    check_status(read_packet(&packet, &header, &frames), RUDP_E_TRUNCATED);
}
END_TEST

/* The check is CRC32C over everything before it. */
START_TEST(check_covers_the_packet)
{
    struct packet packet;

    write_packet(&packet, &headers[0]);
    size_t covered_bytes = packet.writer.used_bytes - 4;
    uint32_t crc = rudp_crc32c(0, packet.bytes, covered_bytes);
    uint8_t expected[4] = {crc >> 24, crc >> 16 & 0xff, crc >> 8 & 0xff, crc & 0xff};

    ck_assert_mem_eq(packet.bytes + covered_bytes, expected, 4);
}
END_TEST

int main(void)
{
    return SUITE_RUN(
        "wire", varint_reads_rfc_examples, varint_writes_rfc_examples,
        varint_takes_the_shortest_form, varint_cut_short_is_truncated, packet_number_is_the_nearest,
        packet_number_survives_truncation, packets_read_back, cut_packets_are_refused,
        damaged_packets_are_refused, failed_check_leaves_the_header, ordinary_datagrams_are_foreign,
        text_like_a_short_packet_fails_the_check, short_datagrams_are_truncated,
        unknown_first_bytes_are_malformed, version_must_fit_the_type, other_version_gives_the_ids,
        other_version_without_id_is_malformed, ids_must_fit_the_type, short_packet_needs_an_id,
        bodies_are_bounded, missing_bodies_are_truncated, hello_without_token_length_is_truncated,
        check_covers_the_packet);
}
