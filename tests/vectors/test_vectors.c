/* Every packet of the vector files through the core's reader and writer. */
#include "core/wire.h"
#include "tests/vectors/rewrite.h"

#include <check.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>

#define PACKET_BYTES_MAX 65536u
#define HEX_BYTES_MAX    (2 * PACKET_BYTES_MAX + 1)

static json_t *accepted; /* vectors with a "packet" */
static json_t *refused;  /* vectors with a reason */

struct packet {
    const char *name;
    uint8_t data[PACKET_BYTES_MAX];
    size_t bytes;
};

static const struct packet *load_packet(const json_t *vector)
{
    static struct packet packet;
    const char *hex = json_string_value(json_object_get(vector, "hex"));

    packet.name = json_string_value(json_object_get(vector, "name"));
    ck_assert_ptr_nonnull(packet.name);
    ck_assert_ptr_nonnull(hex);
    for (packet.bytes = 0; hex[2 * packet.bytes] != '\0'; packet.bytes++) {
        ck_assert_uint_lt(packet.bytes, PACKET_BYTES_MAX);
        ck_assert_int_eq(sscanf(hex + 2 * packet.bytes, "%2hhx", &packet.data[packet.bytes]), 1);
    }
    return &packet;
}

/* --- What the core read, in the words of decode.py -----------------------------------------------
 */

static json_t *json_hex(const uint8_t *data, size_t bytes)
{
    static char hex[HEX_BYTES_MAX];

    ck_assert_uint_le(bytes, PACKET_BYTES_MAX);
    for (size_t index = 0; index < bytes; index++)
        snprintf(hex + 2 * index, 3, "%02x", data[index]);
    hex[2 * bytes] = '\0';
    return json_string(hex);
}

static json_t *json_u64_hex(uint64_t value)
{
    char hex[17];

    snprintf(hex, sizeof hex, "%016llx", (unsigned long long)value);
    return json_string(hex);
}

static json_t *json_ack(const struct rudp_ack_frame *ack)
{
    json_t *ranges = json_array();

    for (uint32_t index = 0; index < ack->range_count; index++)
        json_array_append_new(ranges, json_pack("[I, I]", (json_int_t)ack->ranges[index].smallest,
                                                (json_int_t)ack->ranges[index].largest));
    return json_pack("{s:s, s:I, s:o}", "type", "ACK", "delay_us", (json_int_t)ack->delay_us,
                     "ranges", ranges);
}

static json_t *json_data(const struct rudp_data_frame *data, enum rudp_frame_type type)
{
    json_t *out = json_pack("{s:I, s:o}", "offset", (json_int_t)data->offset, "data",
                            json_hex(data->data, data->bytes));

    ck_assert_int_eq(data->has_start, type == RUDP_FRAME_DATA_START);
    json_object_set_new(out, "type", json_string(data->has_start ? "DATA_START" : "DATA"));
    if (data->has_start)
        json_object_set_new(out, "start_offset", json_integer((json_int_t)data->start_offset));
    return out;
}

static json_t *json_params(const struct rudp_params *params)
{
    return json_pack("{s:s, s:I, s:I, s:I, s:i}", "type", "PARAMS", "credit_bytes",
                     (json_int_t)params->credit_bytes, "packet_bytes_max",
                     (json_int_t)params->packet_bytes_max, "ack_delay_us_max",
                     (json_int_t)params->ack_delay_us_max, "wants_starts", params->wants_starts);
}

static json_t *json_frame(const struct rudp_frame *frame, size_t frame_bytes)
{
    switch (frame->type) {
    case RUDP_FRAME_PADDING:
        return json_pack("{s:s, s:I}", "type", "PADDING", "bytes", (json_int_t)frame_bytes);
    case RUDP_FRAME_PING:
        return json_pack("{s:s}", "type", "PING");
    case RUDP_FRAME_ACK:
        return json_ack(&frame->ack);
    case RUDP_FRAME_CREDIT:
        return json_pack("{s:s, s:I, s:I}", "type", "CREDIT", "delivered_offset",
                         (json_int_t)frame->credit.delivered_offset, "limit_offset",
                         (json_int_t)frame->credit.limit_offset);
    case RUDP_FRAME_DATA:
    case RUDP_FRAME_DATA_START:
        return json_data(&frame->data, frame->type);
    case RUDP_FRAME_BLOCKED:
        return json_pack("{s:s, s:I}", "type", "BLOCKED", "limit_offset",
                         (json_int_t)frame->limit_offset);
    case RUDP_FRAME_FIN:
        return json_pack("{s:s, s:I}", "type", "FIN", "final_offset",
                         (json_int_t)frame->final_offset);
    case RUDP_FRAME_CLOSE:
        return json_pack("{s:s, s:i}", "type", "CLOSE", "code", (int)frame->close_code);
    case RUDP_FRAME_PATH_CHALLENGE:
        return json_pack("{s:s, s:o}", "type", "PATH_CHALLENGE", "value",
                         json_u64_hex(frame->path_value));
    case RUDP_FRAME_PATH_RESPONSE:
        return json_pack("{s:s, s:o}", "type", "PATH_RESPONSE", "value",
                         json_u64_hex(frame->path_value));
    case RUDP_FRAME_PARAMS:
        return json_params(&frame->params);
    }
    ck_abort_msg("the reader made up frame type %d", (int)frame->type);
    return NULL;
}

static json_t *json_frames(struct rudp_reader frames)
{
    json_t *out = json_array();

    while (frames.left_bytes > 0) {
        size_t left_bytes = frames.left_bytes;
        struct rudp_frame frame;

        ck_assert_int_eq(rudp_wire_read_frame(&frames, &frame), RUDP_OK);
        ck_assert_uint_lt(frames.left_bytes, left_bytes);
        json_array_append_new(out, json_frame(&frame, left_bytes - frames.left_bytes));
    }
    return out;
}

/* What behind the ids belongs to the packet's type. */
static void json_set_body(json_t *out, const struct rudp_header *header, struct rudp_reader frames)
{
    enum rudp_packet_type type = header->type;

    if (type == RUDP_PACKET_SHORT || type == RUDP_PACKET_HELLO || type == RUDP_PACKET_HELLO_ACK) {
        json_object_set_new(out, "packet_number", json_integer(header->packet_number));
        json_object_set_new(out, "frames", json_frames(frames));
    } else {
        ck_assert_uint_eq(frames.left_bytes, 0);
    }
    if (type == RUDP_PACKET_HELLO || type == RUDP_PACKET_RETRY)
        json_object_set_new(out, "token", json_hex(header->token, header->token_bytes));
    if (type == RUDP_PACKET_VERSION) {
        json_t *versions = json_array();

        for (uint32_t index = 0; index < header->version_count; index++)
            json_array_append_new(versions, json_integer(header->versions[index]));
        json_object_set_new(out, "versions", versions);
    }
}

static json_t *json_packet(const struct rudp_header *header, struct rudp_reader frames)
{
    static const char *const names[] = {
        [RUDP_PACKET_SHORT] = "SHORT",         [RUDP_PACKET_HELLO] = "HELLO",
        [RUDP_PACKET_HELLO_ACK] = "HELLO_ACK", [RUDP_PACKET_RETRY] = "RETRY",
        [RUDP_PACKET_VERSION] = "VERSION",     [RUDP_PACKET_RESET] = "RESET",
    };
    json_t *out = json_pack("{s:s, s:o}", "type", names[header->type], "destination_id",
                            json_u64_hex(header->destination_id));

    if (header->type != RUDP_PACKET_SHORT) {
        json_object_set_new(out, "version", json_integer(header->version));
        json_object_set_new(out, "source_id", json_u64_hex(header->source_id));
    }
    if (header->version <= RUDP_WIRE_VERSION)
        json_set_body(out, header, frames);
    return out;
}

/* --- Tests
 * ---------------------------------------------------------------------------------------- */

/* The core reads from a packet the fields that the vector says are in it. */
START_TEST(reader_finds_the_fields)
{
    const json_t *vector = json_array_get(accepted, (size_t)_i);
    const json_t *expected = json_object_get(vector, "packet");
    const struct packet *packet = load_packet(vector);
    struct rudp_header header;
    struct rudp_reader frames;
    enum rudp_status status = rudp_wire_read_packet(packet->data, packet->bytes, &header, &frames);

    ck_assert_msg(status == RUDP_OK, "%s: %s", packet->name, rudp_status_text(status));
    json_t *found = json_packet(&header, frames);

    ck_assert_msg(json_equal(expected, found), "%s:\n%s\nread as\n%s", packet->name,
                  json_dumps(expected, JSON_SORT_KEYS), json_dumps(found, JSON_SORT_KEYS));
    json_decref(found);
}
END_TEST

/* The core writes what it read in the same bytes, where there is one way to write it. */
START_TEST(writer_makes_the_same_bytes)
{
    static uint8_t out[PACKET_BYTES_MAX];
    const json_t *vector = json_array_get(accepted, (size_t)_i);
    const struct packet *packet = load_packet(vector);
    struct rudp_header header;
    struct rudp_reader frames;
    size_t out_bytes = 0;

    if (!json_is_true(json_object_get(vector, "canonical")))
        return;
    ck_assert_int_eq(rudp_wire_read_packet(packet->data, packet->bytes, &header, &frames), RUDP_OK);
    ck_assert_int_eq(rewrite_packet(&header, frames, out, sizeof out, &out_bytes), RUDP_OK);
    ck_assert_msg(out_bytes == packet->bytes, "%s: %zu bytes became %zu", packet->name,
                  packet->bytes, out_bytes);
    ck_assert_mem_eq(out, packet->data, out_bytes);
}
END_TEST

static const char *reason_of(enum rudp_status status)
{
    switch (status) {
    case RUDP_E_FOREIGN:
        return "foreign";
    case RUDP_E_TRUNCATED:
        return "truncated";
    case RUDP_E_MALFORMED:
        return "malformed";
    case RUDP_E_CHECK:
        return "check";
    default:
        return rudp_status_name(status);
    }
}

static enum rudp_status read_everything(const uint8_t *data, size_t bytes)
{
    struct rudp_header header;
    struct rudp_reader frames;
    struct rudp_frame frame;
    enum rudp_status status = rudp_wire_read_packet(data, bytes, &header, &frames);

    while (status == RUDP_OK && frames.left_bytes > 0)
        status = rudp_wire_read_frame(&frames, &frame);
    return status;
}

/* The core refuses a packet for the reason that the vector names. The copy on the heap ends where
 * the packet ends, so that the sanitizers see a read past it. */
START_TEST(reader_refuses)
{
    const json_t *vector = json_array_get(refused, (size_t)_i);
    const char *expected = json_string_value(json_object_get(vector, "refused"));
    const struct packet *packet = load_packet(vector);
    uint8_t *data = malloc(packet->bytes);

    ck_assert(data != NULL || packet->bytes == 0);
    if (packet->bytes > 0)
        memcpy(data, packet->data, packet->bytes);
    const char *reason = reason_of(read_everything(data, packet->bytes));

    free(data);
    ck_assert_msg(strcmp(reason, expected) == 0, "%s: is %s, read as %s", packet->name, expected,
                  reason);
}
END_TEST

static void load_file(const char *name)
{
    char path[4096];
    json_error_t error;
    json_t *vectors;
    json_t *vector;
    size_t index;

    snprintf(path, sizeof path, "%s/%s", VECTOR_DIR, name);
    vectors = json_load_file(path, 0, &error);
    if (!json_is_array(vectors) || json_array_size(vectors) == 0) {
        fprintf(stderr, "%s: no vectors: %s\n", path, error.text);
        exit(EXIT_FAILURE);
    }
    json_array_foreach(vectors, index, vector)
        json_array_append(json_object_get(vector, "refused") != NULL ? refused : accepted, vector);
    json_decref(vectors);
}

int main(void)
{
    accepted = json_array();
    refused = json_array();
    load_file("packets_accepted.json");
    load_file("packets_refused.json");
    load_file("frames_accepted.json");
    load_file("frames_refused.json");

    Suite *suite = suite_create("vectors");
    TCase *tcase = tcase_create("wire");
    SRunner *runner = srunner_create(suite);

    tcase_add_loop_test(tcase, reader_finds_the_fields, 0, (int)json_array_size(accepted));
    tcase_add_loop_test(tcase, writer_makes_the_same_bytes, 0, (int)json_array_size(accepted));
    tcase_add_loop_test(tcase, reader_refuses, 0, (int)json_array_size(refused));
    suite_add_tcase(suite, tcase);
    srunner_set_fork_status(runner, CK_NOFORK); /* hundreds of tests, none with state of its own */
    srunner_run_all(runner, CK_ENV);
    int failed_count = srunner_ntests_failed(runner);

    srunner_free(runner);
    json_decref(accepted);
    json_decref(refused);
    return failed_count == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
