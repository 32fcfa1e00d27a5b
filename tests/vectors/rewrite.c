#include "tests/vectors/rewrite.h"

#include <string.h>

static bool rewrite_data(struct rudp_writer *writer, const struct rudp_data_frame *data)
{
    uint8_t *room;

    if (!rudp_wire_write_data(writer, data, &room))
        return false;
    memcpy(room, data->data, data->bytes);
    return true;
}

bool rewrite_frame(struct rudp_writer *writer, const struct rudp_frame *frame, size_t frame_bytes)
{
    switch (frame->type) {
    case RUDP_FRAME_PADDING:
        return rudp_wire_write_padding(writer, frame_bytes);
    case RUDP_FRAME_PING:
        return rudp_wire_write_ping(writer);
    case RUDP_FRAME_ACK:
        return rudp_wire_write_ack(writer, &frame->ack);
    case RUDP_FRAME_CREDIT:
        return rudp_wire_write_credit(writer, &frame->credit);
    case RUDP_FRAME_DATA:
    case RUDP_FRAME_DATA_START:
        return rewrite_data(writer, &frame->data);
    case RUDP_FRAME_BLOCKED:
        return rudp_wire_write_blocked(writer, frame->limit_offset);
    case RUDP_FRAME_FIN:
        return rudp_wire_write_fin(writer, frame->final_offset);
    case RUDP_FRAME_CLOSE:
        return rudp_wire_write_close(writer, frame->close_code);
    case RUDP_FRAME_PATH_CHALLENGE:
        return rudp_wire_write_path_challenge(writer, frame->path_value);
    case RUDP_FRAME_PATH_RESPONSE:
        return rudp_wire_write_path_response(writer, frame->path_value);
    case RUDP_FRAME_PARAMS:
        return rudp_wire_write_params(writer, &frame->params);
    }
    __builtin_trap();
}

enum rudp_status rewrite_packet(const struct rudp_header *header, struct rudp_reader frames,
                                uint8_t *out, size_t capacity_bytes, size_t *out_bytes)
{
    struct rudp_writer writer = {.data = out, .capacity_bytes = capacity_bytes};

    rudp_wire_write_header(&writer, header);
    while (frames.left_bytes > 0) {
        size_t left_bytes = frames.left_bytes;
        struct rudp_frame frame;
        enum rudp_status status = rudp_wire_read_frame(&frames, &frame);

        if (status != RUDP_OK)
            return status;
        RUDP_ASSERT(frames.left_bytes < left_bytes);
        RUDP_ASSERT(rewrite_frame(&writer, &frame, left_bytes - frames.left_bytes));
    }
    rudp_wire_write_check(&writer);
    *out_bytes = writer.used_bytes;
    return RUDP_OK;
}
