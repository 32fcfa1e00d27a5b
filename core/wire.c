#include "core/wire.h"
#include "core/crc32c.h"

#include <string.h>

/* First byte of a packet: form, protection class, and in long packets the type. */
#define FORM_MASK   0xc0u
#define FORM_SHORT  0x40u
#define FORM_LONG   0xc0u
#define CLASS_MASK  0x30u /* 0: CRC32C, the only one spoken */
#define TYPE_MASK   0x0fu
#define MAGIC_BYTES 4u

#define FRAME_TYPE_BYTES     1u
#define PATH_FRAME_BYTES     9u
#define CLOSE_FRAME_BYTES    2u
#define PARAM_HEAD_BYTES     2u /* id, length */
#define PARAMS_HEAD_BYTES    2u /* frame type, count */
#define PACKET_NUMBER_WINDOW (UINT64_C(1) << 32)

enum param_id {
    PARAM_CREDIT = 1,
    PARAM_PACKET_BYTES_MAX = 2,
    PARAM_ACK_DELAY = 3,
    PARAM_WANTS_STARTS = 4,
};
#define PARAM_COUNT 4u

/* What a peer means that leaves a parameter out. */
#define PARAM_DEFAULT_CREDIT           0u
#define PARAM_DEFAULT_PACKET_BYTES_MAX 1200u
#define PARAM_DEFAULT_ACK_DELAY_US     25000u

/* --- Reading integers ------------------------------------------------------------------------- */

static void skip(struct rudp_reader *reader, size_t bytes)
{
    reader->data += bytes;
    reader->left_bytes -= bytes;
}

static uint64_t load_be(const uint8_t *in, size_t bytes)
{
    uint64_t value = 0;

    for (size_t i = 0; i < bytes; i++)
        value = value << 8 | in[i];
    return value;
}

static bool read_uint(struct rudp_reader *reader, size_t bytes, uint64_t *value)
{
    if (reader->left_bytes < bytes)
        return false;
    *value = load_be(reader->data, bytes);
    skip(reader, bytes);
    return true;
}

static bool read_u8(struct rudp_reader *reader, uint8_t *value)
{
    if (reader->left_bytes < 1)
        return false;
    *value = reader->data[0];
    skip(reader, 1);
    return true;
}

static bool read_u32(struct rudp_reader *reader, uint32_t *value)
{
    uint64_t wide;

    if (!read_uint(reader, 4, &wide))
        return false;
    *value = (uint32_t)wide;
    return true;
}

static bool read_varint(struct rudp_reader *reader, uint64_t *value)
{
    if (reader->left_bytes < 1)
        return false;
    size_t bytes = (size_t)1 << (reader->data[0] >> 6);

    if (!read_uint(reader, bytes, value))
        return false;
    *value &= UINT64_MAX >> (64 - 8 * bytes + 2);
    return true;
}

enum rudp_status rudp_wire_read_varint(struct rudp_reader *reader, uint64_t *value)
{
    RUDP_ASSERT(reader != NULL);
    RUDP_ASSERT(value != NULL);
    return read_varint(reader, value) ? RUDP_OK : RUDP_E_TRUNCATED;
}

/* --- Reading packets -------------------------------------------------------------------------- */

/* An id is never 0, and a type that has only one id leaves the other 0. */
static bool ids_are_valid(const struct rudp_header *header)
{
    bool has_destination = header->type != RUDP_PACKET_HELLO && header->type != RUDP_PACKET_RESET;
    bool has_source = header->type == RUDP_PACKET_HELLO || header->type == RUDP_PACKET_HELLO_ACK ||
                      header->type == RUDP_PACKET_RESET;

    return (header->destination_id != 0) == has_destination &&
           (header->source_id != 0) == has_source;
}

static enum rudp_status read_token(struct rudp_reader *body, struct rudp_header *header)
{
    uint8_t bytes;

    if (!read_u8(body, &bytes))
        return RUDP_E_TRUNCATED;
    if (bytes > RUDP_WIRE_TOKEN_BYTES_MAX)
        return RUDP_E_MALFORMED;
    if (bytes == 0 && header->type == RUDP_PACKET_RETRY)
        return RUDP_E_MALFORMED;
    if (bytes > body->left_bytes)
        return RUDP_E_TRUNCATED;
    header->token = body->data;
    header->token_bytes = bytes;
    skip(body, bytes);
    return RUDP_OK;
}

static enum rudp_status read_versions(struct rudp_reader *body, struct rudp_header *header)
{
    uint8_t count;

    if (!read_u8(body, &count))
        return RUDP_E_TRUNCATED;
    if (count == 0 || count > RUDP_WIRE_VERSIONS_MAX)
        return RUDP_E_MALFORMED;
    header->version_count = count;
    for (uint8_t i = 0; i < count; i++) {
        if (!read_u32(body, &header->versions[i]))
            return RUDP_E_TRUNCATED;
    }
    return RUDP_OK;
}

/* What is between the common long header and the frames. */
static enum rudp_status read_body(struct rudp_reader *body, struct rudp_header *header)
{
    enum rudp_status status = RUDP_OK;

    if (!ids_are_valid(header))
        return RUDP_E_MALFORMED;
    if ((header->type == RUDP_PACKET_VERSION) != (header->version == 0))
        return RUDP_E_MALFORMED;
    if (header->type == RUDP_PACKET_HELLO || header->type == RUDP_PACKET_HELLO_ACK) {
        if (!read_u32(body, &header->packet_number))
            return RUDP_E_TRUNCATED;
        return header->type == RUDP_PACKET_HELLO ? read_token(body, header) : RUDP_OK;
    }
    if (header->type == RUDP_PACKET_RETRY)
        status = read_token(body, header);
    else if (header->type == RUDP_PACKET_VERSION)
        status = read_versions(body, header);
    if (status == RUDP_OK && body->left_bytes > 0)
        status = RUDP_E_MALFORMED;
    return status;
}

/* Takes the check off the end of what is left of the packet. */
static bool take_check(const uint8_t *packet, size_t packet_bytes, struct rudp_reader *rest)
{
    size_t covered_bytes = packet_bytes - RUDP_WIRE_CHECK_BYTES;

    rest->left_bytes -= RUDP_WIRE_CHECK_BYTES;
    return rudp_crc32c(0, packet, covered_bytes) ==
           load_be(packet + covered_bytes, RUDP_WIRE_CHECK_BYTES);
}

static enum rudp_status read_short(const uint8_t *packet, size_t packet_bytes,
                                   struct rudp_header *header, struct rudp_reader *frames)
{
    if (packet_bytes < RUDP_WIRE_PACKET_BYTES_MIN)
        return RUDP_E_TRUNCATED;
    header->type = RUDP_PACKET_SHORT;
    header->destination_id = load_be(packet + 1, 8);
    header->packet_number = (uint32_t)load_be(packet + 9, 4);
    *frames = (struct rudp_reader){packet, packet_bytes};
    skip(frames, RUDP_WIRE_SHORT_BYTES);
    if (!take_check(packet, packet_bytes, frames))
        return RUDP_E_CHECK;
    /* Only now: a good check is all that tells a short packet from any datagram that starts with
     * a letter. */
    if (packet[0] != FORM_SHORT || !ids_are_valid(header))
        return RUDP_E_MALFORMED;
    return RUDP_OK;
}

/* A datagram that ends inside the magic is not ours: nothing tells it from a program's. */
static bool magic_matches(const uint8_t *packet, size_t packet_bytes)
{
    static const uint8_t magic[MAGIC_BYTES] = {RUDP_WIRE_MAGIC >> 24, RUDP_WIRE_MAGIC >> 16 & 0xff,
                                               RUDP_WIRE_MAGIC >> 8 & 0xff, RUDP_WIRE_MAGIC & 0xff};

    return packet_bytes > MAGIC_BYTES && memcmp(packet + 1, magic, MAGIC_BYTES) == 0;
}

static enum rudp_status read_long(const uint8_t *packet, size_t packet_bytes,
                                  struct rudp_header *header, struct rudp_reader *frames)
{
    uint8_t type = packet[0] & TYPE_MASK;

    if (!magic_matches(packet, packet_bytes))
        return RUDP_E_FOREIGN;
    if (packet_bytes < RUDP_WIRE_LONG_BYTES)
        return RUDP_E_TRUNCATED;
    if (type > RUDP_PACKET_RESET - RUDP_PACKET_HELLO)
        return RUDP_E_MALFORMED;
    header->type = (enum rudp_packet_type)(RUDP_PACKET_HELLO + type);
    header->version = (uint32_t)load_be(packet + 5, 4);
    header->destination_id = load_be(packet + 9, 8);
    header->source_id = load_be(packet + 17, 8);
    *frames = (struct rudp_reader){packet, packet_bytes};
    skip(frames, RUDP_WIRE_LONG_BYTES);
    if (header->version != 0 && header->version != RUDP_WIRE_VERSION) {
        /* Another version may protect its packets otherwise, but its ids are where ours are. */
        frames->left_bytes = 0;
        return ids_are_valid(header) ? RUDP_OK : RUDP_E_MALFORMED;
    }
    if (frames->left_bytes < RUDP_WIRE_CHECK_BYTES)
        return RUDP_E_TRUNCATED;
    bool intact = take_check(packet, packet_bytes, frames);
    enum rudp_status status =
        (packet[0] & CLASS_MASK) == 0 ? read_body(frames, header) : RUDP_E_MALFORMED;

    return intact ? status : RUDP_E_CHECK;
}

enum rudp_status rudp_wire_read_packet(const uint8_t *packet, size_t packet_bytes,
                                       struct rudp_header *header, struct rudp_reader *frames)
{
    RUDP_ASSERT(packet != NULL || packet_bytes == 0);
    RUDP_ASSERT(header != NULL);
    RUDP_ASSERT(frames != NULL);
    *header = (struct rudp_header){0};
    *frames = (struct rudp_reader){0};
    if (packet_bytes == 0)
        return RUDP_E_FOREIGN;
    switch (packet[0] & FORM_MASK) {
    case FORM_SHORT:
        return read_short(packet, packet_bytes, header, frames);
    case FORM_LONG:
        return read_long(packet, packet_bytes, header, frames);
    default:
        return RUDP_E_FOREIGN;
    }
}

/* --- Reading frames --------------------------------------------------------------------------- */

/* *sum = a + b, both below 2^62, if that is a number a varint can carry: offsets end there. */
static bool add_offset(uint64_t a, uint64_t b, uint64_t *sum)
{
    *sum = a + b;
    return *sum <= RUDP_WIRE_VARINT_MAX;
}

/* A range of numbers that ends with largest and goes below_count further down. */
static bool set_range(struct rudp_ack_range *range, uint64_t largest, uint64_t below_count)
{
    if (below_count > largest)
        return false;
    range->largest = largest;
    range->smallest = largest - below_count;
    return true;
}

static enum rudp_status read_ack(struct rudp_reader *in, struct rudp_ack_frame *ack)
{
    uint64_t largest;
    uint64_t length;
    uint8_t more_count;

    if (!read_varint(in, &largest) || !read_varint(in, &ack->delay_us) ||
        !read_u8(in, &more_count) || !read_varint(in, &length))
        return RUDP_E_TRUNCATED;
    if (more_count >= RUDP_WIRE_ACK_RANGES_MAX)
        return RUDP_E_MALFORMED;
    if (!set_range(&ack->ranges[0], largest, length))
        return RUDP_E_MALFORMED;
    for (uint8_t i = 1; i <= more_count; i++) {
        uint64_t above = ack->ranges[i - 1].smallest;
        uint64_t gap;

        if (!read_varint(in, &gap) || !read_varint(in, &length))
            return RUDP_E_TRUNCATED;
        /* Two less than the range above even without a gap: RFC 9000 section 19.3.1. */
        if (above < 2 || gap > above - 2)
            return RUDP_E_MALFORMED;
        if (!set_range(&ack->ranges[i], above - gap - 2, length))
            return RUDP_E_MALFORMED;
    }
    ack->range_count = more_count + 1u;
    return RUDP_OK;
}

static enum rudp_status read_credit(struct rudp_reader *in, struct rudp_credit_frame *credit)
{
    uint64_t ahead;

    if (!read_varint(in, &credit->delivered_offset) || !read_varint(in, &ahead))
        return RUDP_E_TRUNCATED;
    if (!add_offset(credit->delivered_offset, ahead, &credit->limit_offset))
        return RUDP_E_MALFORMED;
    return RUDP_OK;
}

static enum rudp_status read_data(struct rudp_reader *in, struct rudp_data_frame *data,
                                  bool has_start)
{
    uint64_t start_distance = 0;
    uint64_t end_offset;

    if (!read_varint(in, &data->offset) || (has_start && !read_varint(in, &start_distance)) ||
        !read_varint(in, &data->bytes))
        return RUDP_E_TRUNCATED;
    if (data->bytes == 0 || start_distance >= data->bytes)
        return RUDP_E_MALFORMED;
    if (!add_offset(data->offset, data->bytes, &end_offset))
        return RUDP_E_MALFORMED;
    if (data->bytes > in->left_bytes)
        return RUDP_E_TRUNCATED;
    data->has_start = has_start;
    data->start_offset = has_start ? data->offset + start_distance : 0;
    data->data = in->data;
    skip(in, (size_t)data->bytes);
    return RUDP_OK;
}

static enum rudp_status read_close(struct rudp_reader *in, enum rudp_close_code *code)
{
    uint8_t value;

    if (!read_u8(in, &value))
        return RUDP_E_TRUNCATED;
    if (value >= RUDP_CLOSE_CODE_COUNT)
        return RUDP_E_MALFORMED;
    *code = (enum rudp_close_code)value;
    return RUDP_OK;
}

/* Value of one known parameter: a varint that fills it exactly. */
static enum rudp_status read_param(struct rudp_reader value_bytes, uint8_t id,
                                   struct rudp_params *params)
{
    uint64_t value;

    if (!read_varint(&value_bytes, &value) || value_bytes.left_bytes > 0)
        return RUDP_E_MALFORMED;
    switch (id) {
    case PARAM_CREDIT:
        params->credit_bytes = value;
        break;
    case PARAM_PACKET_BYTES_MAX:
        params->packet_bytes_max = value;
        break;
    case PARAM_ACK_DELAY:
        params->ack_delay_us_max = value;
        break;
    default: /* PARAM_WANTS_STARTS */
        if (value > 1)
            return RUDP_E_MALFORMED;
        params->wants_starts = value == 1;
    }
    return RUDP_OK;
}

static bool param_is_known(uint8_t id)
{
    return id >= PARAM_CREDIT && id <= PARAM_WANTS_STARTS;
}

static enum rudp_status read_params(struct rudp_reader *in, struct rudp_params *params)
{
    uint64_t seen[4] = {0}; /* one bit an id */
    uint8_t count;

    *params = (struct rudp_params){
        .credit_bytes = PARAM_DEFAULT_CREDIT,
        .packet_bytes_max = PARAM_DEFAULT_PACKET_BYTES_MAX,
        .ack_delay_us_max = PARAM_DEFAULT_ACK_DELAY_US,
    };
    if (!read_u8(in, &count))
        return RUDP_E_TRUNCATED;
    for (; count > 0; count--) {
        uint8_t id;
        uint8_t bytes;

        if (!read_u8(in, &id) || !read_u8(in, &bytes) || bytes > in->left_bytes)
            return RUDP_E_TRUNCATED;
        if ((seen[id / 64] >> id % 64 & 1) != 0)
            return RUDP_E_MALFORMED;
        seen[id / 64] |= UINT64_C(1) << id % 64;
        if (param_is_known(id)) {
            enum rudp_status status = read_param((struct rudp_reader){in->data, bytes}, id, params);

            if (status != RUDP_OK)
                return status;
        }
        skip(in, bytes);
    }
    return RUDP_OK;
}

static enum rudp_status read_padding(struct rudp_reader *in)
{
    while (in->left_bytes > 0 && in->data[0] == RUDP_FRAME_PADDING)
        skip(in, 1);
    return RUDP_OK;
}

enum rudp_status rudp_wire_read_frame(struct rudp_reader *frames, struct rudp_frame *frame)
{
    RUDP_ASSERT(frames != NULL);
    RUDP_ASSERT(frame != NULL);
    RUDP_ASSERT(frames->left_bytes > 0);
    uint8_t type = frames->data[0];

    skip(frames, FRAME_TYPE_BYTES);
    frame->type = (enum rudp_frame_type)type;
    switch (type) {
    case RUDP_FRAME_PADDING:
        return read_padding(frames);
    case RUDP_FRAME_PING:
        return RUDP_OK;
    case RUDP_FRAME_ACK:
        return read_ack(frames, &frame->ack);
    case RUDP_FRAME_CREDIT:
        return read_credit(frames, &frame->credit);
    case RUDP_FRAME_DATA:
        return read_data(frames, &frame->data, false);
    case RUDP_FRAME_DATA_START:
        return read_data(frames, &frame->data, true);
    case RUDP_FRAME_BLOCKED:
        return rudp_wire_read_varint(frames, &frame->limit_offset);
    case RUDP_FRAME_FIN:
        return rudp_wire_read_varint(frames, &frame->final_offset);
    case RUDP_FRAME_CLOSE:
        return read_close(frames, &frame->close_code);
    case RUDP_FRAME_PATH_CHALLENGE:
    case RUDP_FRAME_PATH_RESPONSE:
        return read_uint(frames, 8, &frame->path_value) ? RUDP_OK : RUDP_E_TRUNCATED;
    case RUDP_FRAME_PARAMS:
        return read_params(frames, &frame->params);
    default:
        return RUDP_E_MALFORMED;
    }
}

/* --- Writing integers ------------------------------------------------------------------------- */

static size_t room_bytes(const struct rudp_writer *writer)
{
    RUDP_ASSERT(writer != NULL);
    RUDP_ASSERT(writer->used_bytes <= writer->capacity_bytes);
    return writer->capacity_bytes - writer->used_bytes;
}

/* The put functions trust that the caller made sure of the room. */
static void put_uint(struct rudp_writer *writer, size_t bytes, uint64_t value)
{
    uint8_t *out = writer->data + writer->used_bytes;

    for (size_t i = 0; i < bytes; i++)
        out[i] = (uint8_t)(value >> 8 * (bytes - 1 - i));
    writer->used_bytes += bytes;
}

static void put_bytes(struct rudp_writer *writer, const void *data, size_t bytes)
{
    if (bytes > 0)
        memcpy(writer->data + writer->used_bytes, data, bytes);
    writer->used_bytes += bytes;
}

size_t rudp_wire_varint_bytes(uint64_t value)
{
    RUDP_ASSERT(value <= RUDP_WIRE_VARINT_MAX);
    if (value < UINT64_C(1) << 6)
        return 1;
    if (value < UINT64_C(1) << 14)
        return 2;
    return value < UINT64_C(1) << 30 ? 4 : 8;
}

static void put_varint(struct rudp_writer *writer, uint64_t value)
{
    size_t bytes = rudp_wire_varint_bytes(value);
    uint64_t length_code = (uint64_t)__builtin_ctz((unsigned)bytes); /* 1, 2, 4, 8 as 0 to 3 */

    put_uint(writer, bytes, length_code << (8 * bytes - 2) | value);
}

size_t rudp_wire_put_varint(uint8_t out[8], uint64_t value)
{
    struct rudp_writer writer = {.data = out, .capacity_bytes = 8};

    put_varint(&writer, value);
    return writer.used_bytes;
}

/* --- Writing packets -------------------------------------------------------------------------- */

static void put_versions(struct rudp_writer *writer, const struct rudp_header *header)
{
    RUDP_ASSERT(header->version_count > 0);
    RUDP_ASSERT(header->version_count <= RUDP_WIRE_VERSIONS_MAX);
    put_uint(writer, 1, header->version_count);
    for (uint8_t i = 0; i < header->version_count; i++)
        put_uint(writer, 4, header->versions[i]);
}

static void put_token(struct rudp_writer *writer, const struct rudp_header *header)
{
    RUDP_ASSERT(header->token_bytes <= RUDP_WIRE_TOKEN_BYTES_MAX);
    RUDP_ASSERT(header->token_bytes > 0 || header->type == RUDP_PACKET_HELLO);
    put_uint(writer, 1, header->token_bytes);
    put_bytes(writer, header->token, header->token_bytes);
}

static size_t body_bytes(const struct rudp_header *header)
{
    switch (header->type) {
    case RUDP_PACKET_HELLO:
        return 4 + 1u + header->token_bytes;
    case RUDP_PACKET_HELLO_ACK:
        return 4;
    case RUDP_PACKET_RETRY:
        return 1u + header->token_bytes;
    case RUDP_PACKET_VERSION:
        return 1u + 4u * header->version_count;
    default: /* a RESET has none, a short packet is not asked about */
        return 0;
    }
}

static void put_long_header(struct rudp_writer *writer, const struct rudp_header *header)
{
    RUDP_ASSERT(room_bytes(writer) >=
                RUDP_WIRE_LONG_BYTES + body_bytes(header) + RUDP_WIRE_CHECK_BYTES);
    put_uint(writer, 1, FORM_LONG + (uint64_t)(header->type - RUDP_PACKET_HELLO));
    put_uint(writer, 4, RUDP_WIRE_MAGIC);
    put_uint(writer, 4, header->version);
    put_uint(writer, 8, header->destination_id);
    put_uint(writer, 8, header->source_id);
    if (header->type == RUDP_PACKET_HELLO || header->type == RUDP_PACKET_HELLO_ACK)
        put_uint(writer, 4, header->packet_number);
    if (header->type == RUDP_PACKET_HELLO || header->type == RUDP_PACKET_RETRY)
        put_token(writer, header);
    if (header->type == RUDP_PACKET_VERSION)
        put_versions(writer, header);
}

void rudp_wire_write_header(struct rudp_writer *writer, const struct rudp_header *header)
{
    RUDP_ASSERT(header != NULL);
    RUDP_ASSERT(header->type <= RUDP_PACKET_RESET);
    if (header->type != RUDP_PACKET_SHORT) {
        put_long_header(writer, header);
        return;
    }
    RUDP_ASSERT(room_bytes(writer) >= RUDP_WIRE_PACKET_BYTES_MIN);
    put_uint(writer, 1, FORM_SHORT);
    put_uint(writer, 8, header->destination_id);
    put_uint(writer, 4, header->packet_number);
}

void rudp_wire_write_check(struct rudp_writer *writer)
{
    RUDP_ASSERT(room_bytes(writer) >= RUDP_WIRE_CHECK_BYTES);
    put_uint(writer, RUDP_WIRE_CHECK_BYTES, rudp_crc32c(0, writer->data, writer->used_bytes));
}

/* --- Writing frames --------------------------------------------------------------------------- */

bool rudp_wire_write_padding(struct rudp_writer *writer, size_t bytes)
{
    if (room_bytes(writer) < bytes)
        return false;
    memset(writer->data + writer->used_bytes, RUDP_FRAME_PADDING, bytes);
    writer->used_bytes += bytes;
    return true;
}

bool rudp_wire_write_ping(struct rudp_writer *writer)
{
    if (room_bytes(writer) < FRAME_TYPE_BYTES)
        return false;
    put_uint(writer, FRAME_TYPE_BYTES, RUDP_FRAME_PING);
    return true;
}

bool rudp_wire_write_credit(struct rudp_writer *writer, const struct rudp_credit_frame *credit)
{
    RUDP_ASSERT(credit != NULL);
    RUDP_ASSERT(credit->limit_offset >= credit->delivered_offset);
    uint64_t ahead = credit->limit_offset - credit->delivered_offset;

    if (room_bytes(writer) < FRAME_TYPE_BYTES + rudp_wire_varint_bytes(credit->delivered_offset) +
                                 rudp_wire_varint_bytes(ahead))
        return false;
    put_uint(writer, FRAME_TYPE_BYTES, RUDP_FRAME_CREDIT);
    put_varint(writer, credit->delivered_offset);
    put_varint(writer, ahead);
    return true;
}

/* A frame of one varint. */
static bool write_offset(struct rudp_writer *writer, enum rudp_frame_type type, uint64_t offset)
{
    if (room_bytes(writer) < FRAME_TYPE_BYTES + rudp_wire_varint_bytes(offset))
        return false;
    put_uint(writer, FRAME_TYPE_BYTES, type);
    put_varint(writer, offset);
    return true;
}

bool rudp_wire_write_blocked(struct rudp_writer *writer, uint64_t limit_offset)
{
    return write_offset(writer, RUDP_FRAME_BLOCKED, limit_offset);
}

bool rudp_wire_write_fin(struct rudp_writer *writer, uint64_t final_offset)
{
    return write_offset(writer, RUDP_FRAME_FIN, final_offset);
}

bool rudp_wire_write_close(struct rudp_writer *writer, enum rudp_close_code code)
{
    RUDP_ASSERT(code < RUDP_CLOSE_CODE_COUNT);
    if (room_bytes(writer) < CLOSE_FRAME_BYTES)
        return false;
    put_uint(writer, FRAME_TYPE_BYTES, RUDP_FRAME_CLOSE);
    put_uint(writer, 1, code);
    return true;
}

static bool write_path(struct rudp_writer *writer, enum rudp_frame_type type, uint64_t value)
{
    if (room_bytes(writer) < PATH_FRAME_BYTES)
        return false;
    put_uint(writer, FRAME_TYPE_BYTES, type);
    put_uint(writer, 8, value);
    return true;
}

bool rudp_wire_write_path_challenge(struct rudp_writer *writer, uint64_t value)
{
    return write_path(writer, RUDP_FRAME_PATH_CHALLENGE, value);
}

bool rudp_wire_write_path_response(struct rudp_writer *writer, uint64_t value)
{
    return write_path(writer, RUDP_FRAME_PATH_RESPONSE, value);
}

bool rudp_wire_write_params(struct rudp_writer *writer, const struct rudp_params *params)
{
    RUDP_ASSERT(params != NULL);
    const struct {
        enum param_id id;
        uint64_t value;
    } list[PARAM_COUNT] = {
        {PARAM_CREDIT, params->credit_bytes},
        {PARAM_PACKET_BYTES_MAX, params->packet_bytes_max},
        {PARAM_ACK_DELAY, params->ack_delay_us_max},
        {PARAM_WANTS_STARTS, params->wants_starts},
    };
    size_t bytes = PARAMS_HEAD_BYTES;

    for (size_t i = 0; i < PARAM_COUNT; i++)
        bytes += PARAM_HEAD_BYTES + rudp_wire_varint_bytes(list[i].value);
    if (room_bytes(writer) < bytes)
        return false;
    put_uint(writer, FRAME_TYPE_BYTES, RUDP_FRAME_PARAMS);
    put_uint(writer, 1, PARAM_COUNT);
    for (size_t i = 0; i < PARAM_COUNT; i++) {
        put_uint(writer, 1, list[i].id);
        put_uint(writer, 1, rudp_wire_varint_bytes(list[i].value));
        put_varint(writer, list[i].value);
    }
    return true;
}

/* How many packets lie between a range and the newer one above it, minus one. */
static uint64_t ack_gap(const struct rudp_ack_range *newer, const struct rudp_ack_range *range)
{
    RUDP_ASSERT(newer->smallest >= 2);
    RUDP_ASSERT(range->largest <= newer->smallest - 2);
    return newer->smallest - range->largest - 2;
}

static uint64_t ack_length(const struct rudp_ack_range *range)
{
    RUDP_ASSERT(range->smallest <= range->largest);
    return range->largest - range->smallest;
}

bool rudp_wire_write_ack(struct rudp_writer *writer, const struct rudp_ack_frame *ack)
{
    RUDP_ASSERT(ack != NULL);
    RUDP_ASSERT(ack->range_count > 0);
    RUDP_ASSERT(ack->range_count <= RUDP_WIRE_ACK_RANGES_MAX);
    const struct rudp_ack_range *ranges = ack->ranges;
    size_t bytes = FRAME_TYPE_BYTES + rudp_wire_varint_bytes(ranges[0].largest) +
                   rudp_wire_varint_bytes(ack->delay_us) + 1u +
                   rudp_wire_varint_bytes(ack_length(&ranges[0]));

    if (room_bytes(writer) < bytes)
        return false;
    uint32_t count = 1;

    for (; count < ack->range_count; count++) {
        bytes += rudp_wire_varint_bytes(ack_gap(&ranges[count - 1], &ranges[count])) +
                 rudp_wire_varint_bytes(ack_length(&ranges[count]));
        if (room_bytes(writer) < bytes)
            break;
    }
    put_uint(writer, FRAME_TYPE_BYTES, RUDP_FRAME_ACK);
    put_varint(writer, ranges[0].largest);
    put_varint(writer, ack->delay_us);
    put_uint(writer, 1, count - 1);
    put_varint(writer, ack_length(&ranges[0]));
    for (uint32_t i = 1; i < count; i++) {
        put_varint(writer, ack_gap(&ranges[i - 1], &ranges[i]));
        put_varint(writer, ack_length(&ranges[i]));
    }
    return true;
}

size_t rudp_wire_data_head_bytes(const struct rudp_data_frame *data)
{
    RUDP_ASSERT(data != NULL);
    size_t bytes = FRAME_TYPE_BYTES + rudp_wire_varint_bytes(data->offset) +
                   rudp_wire_varint_bytes(data->bytes);

    if (data->has_start)
        bytes += rudp_wire_varint_bytes(data->start_offset - data->offset);
    return bytes;
}

bool rudp_wire_write_data(struct rudp_writer *writer, const struct rudp_data_frame *data,
                          uint8_t **out)
{
    RUDP_ASSERT(out != NULL);
    RUDP_ASSERT(data->bytes > 0);
    RUDP_ASSERT(!data->has_start || data->start_offset >= data->offset);
    RUDP_ASSERT(!data->has_start || data->start_offset - data->offset < data->bytes);
    size_t head_bytes = rudp_wire_data_head_bytes(data);

    if (room_bytes(writer) < head_bytes || room_bytes(writer) - head_bytes < data->bytes)
        return false;
    put_uint(writer, FRAME_TYPE_BYTES, data->has_start ? RUDP_FRAME_DATA_START : RUDP_FRAME_DATA);
    put_varint(writer, data->offset);
    if (data->has_start)
        put_varint(writer, data->start_offset - data->offset);
    put_varint(writer, data->bytes);
    *out = writer->data + writer->used_bytes;
    writer->used_bytes += (size_t)data->bytes;
    return true;
}

/* --- Packet numbers --------------------------------------------------------------------------- */

uint64_t rudp_wire_expand_packet_number(uint32_t low_bits, uint64_t expected)
{
    RUDP_ASSERT(expected <= RUDP_WIRE_VARINT_MAX);
    uint64_t candidate = (expected & ~(PACKET_NUMBER_WINDOW - 1)) | low_bits;

    if (candidate + PACKET_NUMBER_WINDOW / 2 <= expected &&
        candidate < RUDP_WIRE_VARINT_MAX + 1 - PACKET_NUMBER_WINDOW)
        return candidate + PACKET_NUMBER_WINDOW;
    if (candidate > expected + PACKET_NUMBER_WINDOW / 2 && candidate >= PACKET_NUMBER_WINDOW)
        return candidate - PACKET_NUMBER_WINDOW;
    return candidate;
}
