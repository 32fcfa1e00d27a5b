#include "tests/sim/attack.h"

#include "core/wire.h"

#include <stdlib.h>
#include <string.h>

#define GARBAGE_BYTES_MAX 1500u
#define STRANGER_COUNT    1000u
#define REPLAY_US_MAX     900000u /* a tombstone lives for a second at least */

struct attack {
    struct sim *sim;
    struct sim_random random;
    uint64_t gap_us;
    uint64_t until_us;
};

static struct rudp_writer writer_of(uint8_t *out, size_t bytes)
{
    return (struct rudp_writer){.data = out, .capacity_bytes = bytes - RUDP_WIRE_CHECK_BYTES};
}

static size_t finish(struct rudp_writer *writer)
{
    writer->capacity_bytes += RUDP_WIRE_CHECK_BYTES;
    rudp_wire_write_check(writer);
    return writer->used_bytes;
}

size_t sim_forge_hello(uint8_t *out, size_t bytes, uint32_t version, uint64_t source_id)
{
    struct rudp_header header = {
        .type = RUDP_PACKET_HELLO, .version = version, .source_id = source_id};
    struct rudp_params params = {.credit_bytes = 65536, .packet_bytes_max = 1200};
    struct rudp_writer writer = writer_of(out, bytes);

    rudp_wire_write_header(&writer, &header);
    if (!rudp_wire_write_params(&writer, &params) ||
        !rudp_wire_write_padding(&writer, writer.capacity_bytes - writer.used_bytes))
        abort();
    return finish(&writer);
}

size_t sim_forge_close(uint8_t *out, size_t room_bytes, uint64_t destination_id, uint32_t number)
{
    struct rudp_header header = {
        .type = RUDP_PACKET_SHORT, .destination_id = destination_id, .packet_number = number};
    struct rudp_writer writer = writer_of(out, room_bytes);

    rudp_wire_write_header(&writer, &header);
    if (!rudp_wire_write_close(&writer, RUDP_CLOSE_ABORTED) ||
        !rudp_wire_write_padding(&writer, 32))
        abort();
    return finish(&writer);
}

size_t sim_forge_reset(uint8_t *out, size_t room_bytes, uint64_t unknown_id)
{
    struct rudp_header header = {
        .type = RUDP_PACKET_RESET, .version = RUDP_WIRE_VERSION, .source_id = unknown_id};
    struct rudp_writer writer = writer_of(out, room_bytes);

    rudp_wire_write_header(&writer, &header);
    return finish(&writer);
}

/* A header of any type with ids nobody chose, and random frames behind it. */
static size_t forge_any(struct attack *attack, uint8_t *out)
{
    uint8_t token[RUDP_WIRE_TOKEN_BYTES_MAX];
    enum rudp_packet_type type = (enum rudp_packet_type)sim_random_between(
        &attack->random, RUDP_PACKET_SHORT, RUDP_PACKET_RESET);
    struct rudp_header header = {.type = type};
    struct rudp_writer writer = writer_of(out, GARBAGE_BYTES_MAX);

    sim_random_fill(&attack->random, token, sizeof token);
    if (type != RUDP_PACKET_SHORT)
        header.version = type == RUDP_PACKET_VERSION ? 0 : RUDP_WIRE_VERSION;
    if (type != RUDP_PACKET_HELLO && type != RUDP_PACKET_RESET)
        header.destination_id = sim_random_u64(&attack->random);
    if (type == RUDP_PACKET_HELLO || type == RUDP_PACKET_HELLO_ACK || type == RUDP_PACKET_RESET)
        header.source_id = sim_random_u64(&attack->random);
    if (type == RUDP_PACKET_SHORT || type == RUDP_PACKET_HELLO || type == RUDP_PACKET_HELLO_ACK)
        header.packet_number = (uint32_t)sim_random_u64(&attack->random);
    if (type == RUDP_PACKET_HELLO || type == RUDP_PACKET_RETRY) {
        header.token = token;
        header.token_bytes = (uint8_t)sim_random_between(&attack->random, 1, sizeof token);
    }
    if (type == RUDP_PACKET_VERSION) {
        header.version_count = 1;
        header.versions[0] = (uint32_t)sim_random_u64(&attack->random);
    }
    rudp_wire_write_header(&writer, &header);
    if (header.packet_number != 0) {
        size_t bytes = (size_t)sim_random_between(&attack->random, 0, 64);

        sim_random_fill(&attack->random, out + writer.used_bytes, bytes);
        writer.used_bytes += bytes;
    }
    return finish(&writer);
}

static size_t make_garbage(struct attack *attack, uint8_t *out)
{
    size_t bytes = (size_t)sim_random_between(&attack->random, 0, GARBAGE_BYTES_MAX);

    sim_random_fill(&attack->random, out, bytes);
    if (bytes > 0 && sim_random_chance(&attack->random, SIM_PPM / 2)) /* looks like ours at first */
        out[0] =
            (uint8_t)(sim_random_chance(&attack->random, SIM_PPM / 2) ? 0x40 : 0xc0 | (out[0] & 7));
    return bytes;
}

/* Where the attacker pretends to be. */
static struct rudp_address pick_source(struct attack *attack)
{
    struct sim *sim = attack->sim;

    if (sim_random_chance(&attack->random, SIM_PPM / 2))
        return sim->nodes[sim_random_between(&attack->random, 0, sim->node_count - 1)].address;
    return sim_stranger((uint32_t)sim_random_between(&attack->random, 0, STRANGER_COUNT - 1));
}

static void replay(struct attack *attack)
{
    struct sim *sim = attack->sim;
    const struct sim_recorded *recorded =
        &sim->recorded[sim_random_between(&attack->random, 0, SIM_RECORDED_COUNT - 1)];
    struct sim_node *target = sim_node_at(sim, &recorded->path.local);
    struct rudp_address source = recorded->path.remote;

    if (recorded->packet == NULL || target == NULL || sim->now_us - recorded->at_us > REPLAY_US_MAX)
        return;
    if (sim_random_chance(&attack->random, SIM_PPM / 2))
        source = sim_stranger((uint32_t)sim_random_between(&attack->random, 0, STRANGER_COUNT - 1));
    sim_replay(sim, target->index, &source, recorded->packet, recorded->bytes);
}

static void strike(void *context, void *owned)
{
    struct attack *attack = owned;
    struct sim *sim = attack->sim;
    struct rudp_address source = pick_source(attack);
    uint32_t target = (uint32_t)sim_random_between(&attack->random, 0, sim->node_count - 1);
    uint64_t id = sim_random_u64(&attack->random);
    uint8_t packet[GARBAGE_BYTES_MAX];
    size_t bytes = 0;

    (void)context;
    switch (sim_random_between(&attack->random, 0, 6)) {
    case 0:
        bytes = make_garbage(attack, packet);
        break;
    case 1:
        bytes = forge_any(attack, packet);
        break;
    case 2:
        bytes = sim_forge_hello(packet, 1200, (uint32_t)(id & 3), id);
        break;
    case 3:
        bytes = sim_forge_close(packet, sizeof packet, id, 0);
        break;
    case 4:
        bytes = sim_forge_reset(packet, sizeof packet, id);
        break;
    default:
        replay(attack);
        break;
    }
    if (bytes > 0)
        sim_inject(sim, target, &source, packet, bytes);
    if (sim->now_us >= attack->until_us)
        return;
    struct attack *next = malloc(sizeof *next);

    RUDP_ASSERT(next != NULL);
    *next = *attack;
    sim_at(sim, sim->now_us + sim_random_between(&next->random, 1, 2 * next->gap_us), strike, NULL,
           next);
}

void sim_attack(struct sim *sim, uint64_t gap_us, uint64_t until_us)
{
    struct attack *attack = malloc(sizeof *attack);

    RUDP_ASSERT(attack != NULL);
    *attack = (struct attack){.sim = sim, .gap_us = gap_us, .until_us = until_us};
    sim_random_init(&attack->random, sim_random_u64(&sim->random));
    sim_at(sim, sim->now_us, strike, NULL, attack);
}
