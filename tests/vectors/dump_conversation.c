/* Prints every packet of some conversations between two real endpoints, for a decoder that does not
 * know the core. One line each: "message SCENE SIDE HEX" for what a side sends, "packet SCENE SIDE
 * HEX" for what its endpoint made of it, "forged SCENE SIDE HEX" for a packet altered on the way.
 *
 * A round of the network: both sides say what they have to say, then all of it arrives at once. */
#include "core/crc32c.h"
#include "core/endpoint.h"
#include "core/wire.h"
#include "tests/vectors/capped_host.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define ROUND_US           (5 * RUDP_US_PER_MS)
#define QUIET_US           (10 * RUDP_US_PER_S) /* longer than any retransmission takes */
#define HOST_BYTES_MAX     (64u * 1024 * 1024)
#define PACKETS_MAX        4096u
#define VERSION_INDEX      5u /* of a long packet's version field */
#define FORGED_VERSION     2u
#define LONG_MESSAGE_BYTES 5000u

enum side_index {
    CLIENT,
    SERVER,
    SIDE_COUNT
};

struct side {
    const char *name;
    struct capped_host host;
    struct rudp_config config;
    struct rudp_endpoint *endpoint;
    struct rudp_session *session; /* the last that was opened here or by the peer */
    struct rudp_address address;
    bool reads; /* takes what arrives after every round */
};

struct packet {
    enum side_index from;
    size_t bytes;
    uint8_t data[RUDP_PACKET_BYTES_BASE];
};

struct talk {
    const char *scene;
    struct side sides[SIDE_COUNT];
    uint64_t now_us;
    bool loses; /* one packet of four */
    uint32_t sent_count;
    bool forges_version; /* the next long packet gets another version */
    struct packet packets[PACKETS_MAX];
    uint32_t packet_count;
};

static void print_line(const char *what, const struct talk *talk, enum side_index side,
                       const uint8_t *data, size_t bytes)
{
    printf("%s %s %s ", what, talk->scene, talk->sides[side].name);
    for (size_t index = 0; index < bytes; index++)
        printf("%02x", data[index]);
    putchar('\n');
}

static void start_endpoint(struct talk *talk, enum side_index index)
{
    struct side *side = &talk->sides[index];
    enum rudp_status status =
        rudp_endpoint_create(&side->endpoint, &side->config, &side->host.host, talk->now_us);

    RUDP_ASSERT(status == RUDP_OK);
    side->session = NULL;
}

/* The scene may change the configurations before it starts the endpoints. */
static struct talk *talk_create(const char *scene)
{
    struct talk *talk = calloc(1, sizeof *talk);

    RUDP_ASSERT(talk != NULL);
    talk->scene = scene;
    talk->now_us = RUDP_US_PER_S;
    for (enum side_index index = CLIENT; index < SIDE_COUNT; index++) {
        struct side *side = &talk->sides[index];

        side->name = index == CLIENT ? "client" : "server";
        side->reads = true;
        side->address = (struct rudp_address){.port = (uint16_t)(1000 + index)};
        side->address.ip[15] = (uint8_t)(1 + index);
        capped_host_init(&side->host, HOST_BYTES_MAX, index + 1u);
        rudp_config_init(&side->config);
    }
    return talk;
}

static void talk_start(struct talk *talk)
{
    struct side *client = &talk->sides[CLIENT];
    struct rudp_path path = {.remote = talk->sides[SERVER].address, .local = client->address};

    start_endpoint(talk, CLIENT);
    start_endpoint(talk, SERVER);
    enum rudp_status status =
        rudp_endpoint_open(client->endpoint, &path, &client->session, talk->now_us);

    RUDP_ASSERT(status == RUDP_OK);
}

static void talk_destroy(struct talk *talk)
{
    for (enum side_index index = CLIENT; index < SIDE_COUNT; index++) {
        rudp_endpoint_destroy(talk->sides[index].endpoint);
        RUDP_ASSERT(talk->sides[index].host.used_bytes == 0);
    }
    free(talk);
}

static bool talk_send(struct talk *talk, enum side_index index, size_t bytes)
{
    static uint8_t message[RUDP_MESSAGE_BYTES_MAX];
    static uint8_t serial;
    struct side *side = &talk->sides[index];
    struct rudp_slice slice = {message, bytes};

    memset(message, ++serial, bytes);
    if (rudp_session_send(side->endpoint, side->session, &slice, 1, talk->now_us) != RUDP_OK)
        return false;
    print_line("message", talk, index, message, bytes);
    return true;
}

static void send_some(struct talk *talk, enum side_index index)
{
    static const size_t sizes[] = {0, 1, 100, RUDP_PACKET_BYTES_BASE, LONG_MESSAGE_BYTES};

    for (size_t at = 0; at < sizeof sizes / sizeof *sizes; at++)
        RUDP_ASSERT(talk_send(talk, index, sizes[at]));
}

static void handle_events(struct side *side)
{
    struct rudp_event event;

    while (rudp_endpoint_next_event(side->endpoint, &event)) {
        if (event.type == RUDP_EVENT_OPENED)
            side->session = event.session;
        if (event.type != RUDP_EVENT_CLOSED)
            continue;
        rudp_session_release(side->endpoint, event.session);
        if (side->session == event.session)
            side->session = NULL;
    }
}

static void read_messages(struct talk *talk, struct side *side)
{
    static uint8_t message[RUDP_MESSAGE_BYTES_MAX];
    size_t bytes;

    while (side->reads && side->session != NULL &&
           rudp_session_peek(side->endpoint, side->session, message, sizeof message, &bytes) ==
               RUDP_OK)
        rudp_session_consume(side->endpoint, side->session, talk->now_us);
}

/* Spread by a multiplicative hash: a fixed period could hit the same packet of every exchange. */
static bool is_lost(const struct talk *talk)
{
    return talk->loses && talk->sent_count * UINT32_C(0x9e3779b1) >> 30 == 0;
}

static void collect(struct talk *talk, enum side_index index)
{
    struct side *side = &talk->sides[index];

    while (talk->packet_count < PACKETS_MAX) {
        struct packet *packet = &talk->packets[talk->packet_count];
        struct rudp_path path;

        packet->bytes = rudp_endpoint_next_packet(side->endpoint, &path, packet->data,
                                                  sizeof packet->data, talk->now_us);
        if (packet->bytes == 0)
            return;
        packet->from = index;
        print_line("packet", talk, index, packet->data, packet->bytes);
        talk->sent_count++;
        if (!is_lost(talk))
            talk->packet_count++;
    }
}

static void put_u32(uint8_t *out, uint32_t value)
{
    for (size_t index = 0; index < sizeof value; index++)
        out[index] = (uint8_t)(value >> 8 * (sizeof value - 1 - index));
}

static void forge_version(struct talk *talk, struct packet *packet)
{
    size_t covered_bytes = packet->bytes - RUDP_WIRE_CHECK_BYTES;

    put_u32(packet->data + VERSION_INDEX, FORGED_VERSION);
    put_u32(packet->data + covered_bytes, rudp_crc32c(0, packet->data, covered_bytes));
    print_line("forged", talk, packet->from, packet->data, packet->bytes);
    talk->forges_version = false;
}

static void deliver(struct talk *talk, struct packet *packet)
{
    struct side *from = &talk->sides[packet->from];
    struct side *to = &talk->sides[packet->from == CLIENT ? SERVER : CLIENT];
    struct rudp_path path = {.remote = from->address, .local = to->address};

    if (talk->forges_version)
        forge_version(talk, packet);
    rudp_endpoint_receive(to->endpoint, &path, packet->data, packet->bytes, talk->now_us);
}

static uint64_t deadline_us(const struct talk *talk)
{
    return min_u64(rudp_endpoint_deadline_us(talk->sides[CLIENT].endpoint),
                   rudp_endpoint_deadline_us(talk->sides[SERVER].endpoint));
}

/* One round, or the next deadline but at most limit_us. True when something arrived. */
static bool talk_round(struct talk *talk, uint64_t limit_us)
{
    talk->packet_count = 0;
    collect(talk, CLIENT);
    collect(talk, SERVER);
    if (talk->packet_count > 0)
        talk->now_us += ROUND_US;
    else
        talk->now_us = min_u64(max_u64(deadline_us(talk), talk->now_us + 1), limit_us);
    for (uint32_t index = 0; index < talk->packet_count; index++)
        deliver(talk, &talk->packets[index]);
    for (enum side_index index = CLIENT; index < SIDE_COUNT; index++) {
        struct side *side = &talk->sides[index];

        rudp_endpoint_advance(side->endpoint, talk->now_us);
        handle_events(side);
        read_messages(talk, side);
    }
    return talk->packet_count > 0;
}

/* Runs until both sides have had nothing to say for QUIET_US. */
static void talk_run(struct talk *talk)
{
    uint64_t heard_us = talk->now_us;

    while (talk->now_us < heard_us + QUIET_US) {
        if (talk_round(talk, heard_us + QUIET_US))
            heard_us = talk->now_us;
    }
}

static void talk_run_for(struct talk *talk, uint64_t duration_us)
{
    uint64_t end_us = talk->now_us + duration_us;

    while (talk->now_us < end_us)
        talk_round(talk, end_us);
}

static void say_and_close(struct talk *talk)
{
    send_some(talk, CLIENT);
    talk_run(talk);
    RUDP_ASSERT(talk->sides[SERVER].session != NULL);
    send_some(talk, SERVER);
    send_some(talk, CLIENT);
    talk_run(talk);
    rudp_session_close(talk->sides[CLIENT].endpoint, talk->sides[CLIENT].session, talk->now_us);
    talk_run(talk);
    RUDP_ASSERT(talk->sides[SERVER].session == NULL);
    talk_destroy(talk);
}

static void scene_lossy(void)
{
    struct talk *talk = talk_create("lossy");

    talk->loses = true;
    talk_start(talk);
    say_and_close(talk);
}

static void scene_unordered(void)
{
    struct talk *talk = talk_create("unordered");

    talk->loses = true;
    talk->sides[CLIENT].config.order = RUDP_UNORDERED;
    talk->sides[SERVER].config.order = RUDP_UNORDERED;
    talk_start(talk);
    say_and_close(talk);
}

static void scene_cookie(void)
{
    struct talk *talk = talk_create("cookie");

    talk->sides[SERVER].config.half_open_count_max = 0;
    talk_start(talk);
    say_and_close(talk);
}

static void scene_version(void)
{
    struct talk *talk = talk_create("version");

    talk->forges_version = true;
    talk_start(talk);
    say_and_close(talk);
}

/* The server forgets everything: its resets make the client open again. */
static void scene_reset(void)
{
    struct talk *talk = talk_create("reset");

    talk_start(talk);
    send_some(talk, CLIENT);
    talk_run(talk);
    rudp_endpoint_destroy(talk->sides[SERVER].endpoint);
    start_endpoint(talk, SERVER);
    say_and_close(talk);
}

/* The server does not read until the client has filled its credit. */
static void scene_blocked(void)
{
    struct talk *talk = talk_create("blocked");

    talk->sides[SERVER].config.receive_buffer_bytes = RUDP_BUFFER_BYTES_MIN;
    talk->sides[SERVER].reads = false;
    talk_start(talk);
    for (size_t sent_bytes = 0; sent_bytes < 2 * RUDP_BUFFER_BYTES_MIN;
         sent_bytes += LONG_MESSAGE_BYTES)
        RUDP_ASSERT(talk_send(talk, CLIENT, LONG_MESSAGE_BYTES));
    talk_run_for(talk, RUDP_US_PER_S); /* it asks for credit again and again: never quiet */
    talk->sides[SERVER].reads = true;
    read_messages(talk, &talk->sides[SERVER]);
    say_and_close(talk);
}

static void scene_moved(void)
{
    struct talk *talk = talk_create("moved");

    talk_start(talk);
    send_some(talk, CLIENT);
    talk_run(talk);
    talk->sides[CLIENT].address.port++;
    say_and_close(talk);
}

static void scene_aborted(void)
{
    struct talk *talk = talk_create("aborted");

    talk_start(talk);
    send_some(talk, CLIENT);
    talk_run(talk);
    rudp_session_abort(talk->sides[CLIENT].endpoint, talk->sides[CLIENT].session, talk->now_us);
    talk_run(talk);
    RUDP_ASSERT(talk->sides[SERVER].session == NULL);
    talk_destroy(talk);
}

int main(void)
{
    scene_lossy();
    scene_unordered();
    scene_cookie();
    scene_version();
    scene_reset();
    scene_blocked();
    scene_moved();
    scene_aborted();
    return fflush(stdout) == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
