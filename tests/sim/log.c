#include "tests/sim/log.h"

#include "core/crc32c.h"
#include "core/wire.h"
#include "tests/sim/random.h"

#include <inttypes.h>

static void mix(struct sim_log *log, uint64_t value)
{
    log->hash = sim_mix_u64(log->hash ^ value);
}

static void mix_text(struct sim_log *log, const char *text)
{
    for (; *text != '\0'; text++)
        mix(log, (unsigned char)*text);
}

void sim_log_note(struct sim_log *log, uint64_t now_us, uint32_t node, const char *what, uint64_t a,
                  uint64_t b)
{
    mix(log, now_us);
    mix(log, node);
    mix_text(log, what);
    mix(log, a);
    mix(log, b);
    if (log->file != NULL)
        fprintf(log->file, "%10" PRIu64 " node %" PRIu32 " %s %" PRIu64 " %" PRIu64 "\n", now_us,
                node, what, a, b);
}

static const char *const packet_names[] = {"SHORT", "HELLO",   "HELLO_ACK",
                                           "RETRY", "VERSION", "RESET"};

static void print_frame(FILE *file, const struct rudp_frame *frame)
{
    switch (frame->type) {
    case RUDP_FRAME_PADDING:
        fputs(" pad", file);
        break;
    case RUDP_FRAME_PING:
        fputs(" ping", file);
        break;
    case RUDP_FRAME_ACK:
        fputs(" ack", file);
        for (uint32_t i = 0; i < frame->ack.range_count; i++)
            fprintf(file, "%s%" PRIu64 "-%" PRIu64, i == 0 ? " " : ",",
                    frame->ack.ranges[i].smallest, frame->ack.ranges[i].largest);
        break;
    case RUDP_FRAME_CREDIT:
        fprintf(file, " credit %" PRIu64 "..%" PRIu64, frame->credit.delivered_offset,
                frame->credit.limit_offset);
        break;
    case RUDP_FRAME_DATA:
    case RUDP_FRAME_DATA_START:
        fprintf(file, " data %" PRIu64 "+%" PRIu64, frame->data.offset, frame->data.bytes);
        break;
    case RUDP_FRAME_BLOCKED:
        fprintf(file, " blocked %" PRIu64, frame->limit_offset);
        break;
    case RUDP_FRAME_FIN:
        fprintf(file, " fin %" PRIu64, frame->final_offset);
        break;
    case RUDP_FRAME_CLOSE:
        fprintf(file, " close %u", (unsigned)frame->close_code);
        break;
    case RUDP_FRAME_PATH_CHALLENGE:
        fputs(" challenge", file);
        break;
    case RUDP_FRAME_PATH_RESPONSE:
        fputs(" response", file);
        break;
    case RUDP_FRAME_PARAMS:
        fprintf(file, " params credit %" PRIu64, frame->params.credit_bytes);
        break;
    }
}

static void print_packet(FILE *file, const uint8_t *packet, size_t bytes)
{
    struct rudp_header header;
    struct rudp_reader frames;
    struct rudp_frame frame;
    enum rudp_status status = rudp_wire_read_packet(packet, bytes, &header, &frames);

    if (status != RUDP_OK) {
        fprintf(file, " %s", rudp_status_name(status));
        return;
    }
    fprintf(file, " %s", packet_names[header.type]);
    if (header.destination_id != 0)
        fprintf(file, " to %04" PRIx64, header.destination_id & 0xffff);
    if (header.source_id != 0)
        fprintf(file, " from %04" PRIx64, header.source_id & 0xffff);
    fprintf(file, " #%" PRIu32, header.packet_number);
    if (header.type > RUDP_PACKET_HELLO_ACK || (header.version > RUDP_WIRE_VERSION))
        return;
    while (frames.left_bytes > 0 && rudp_wire_read_frame(&frames, &frame) == RUDP_OK)
        print_frame(file, &frame);
}

void sim_log_packet(struct sim_log *log, uint64_t now_us, uint32_t node, const char *what,
                    const uint8_t *packet, size_t bytes)
{
    mix(log, now_us);
    mix(log, node);
    mix_text(log, what);
    mix(log, bytes);
    mix(log, rudp_crc32c(0, packet, bytes));
    if (log->file == NULL)
        return;
    fprintf(log->file, "%10" PRIu64 " node %" PRIu32 " %s %zu:", now_us, node, what, bytes);
    print_packet(log->file, packet, bytes);
    fputc('\n', log->file);
}
