/* fuzz_endpoint: two endpoints, a virtual clock and a network whose every step the input decides:
 * send, read, deliver, drop, duplicate, reorder, damage, forge, let time pass, move, close,
 * restart.
 *
 * Always: no crash, no allocation over the cap, all memory given back. As long as nothing was
 * forged (damage is only what CRC32C is certain to find): every message arrives unaltered, at most
 * once, and in order where that was asked for. When memory suffices, too, and no session ended: all
 * of them arrive once the network works again. */
#include "core/crc32c.h"
#include "core/endpoint.h"
#include "core/wire.h"
#include "tests/vectors/capped_host.h"

#include <stdlib.h>
#include <string.h>

#define PACKET_BYTES_MAX RUDP_PACKET_BYTES_BASE
#define FLIGHTS_MAX      128u
#define MESSAGES_MAX     512u
#define SESSIONS_MAX     8u                  /* of one endpoint */
#define HEADER_BYTES     4u                  /* of a message of this test: its serial number */
#define CAP_BYTES_AMPLE  (16u * 1024 * 1024) /* twice what 8 sessions and their buffers need */
#define CAP_BYTES_STEP   8192u
#define DAMAGE_BYTES     2u /* CRC32C finds every burst of at most 32 bits */
#define FIRST_BYTE_HELLO 0xc0u
#define TIME_SHIFT_MAX   27u /* one step passes at most 2^27 us */
/* Older packets are gone: tombstones answer for at least as long. */
#define FLIGHT_US_MAX      RUDP_US_PER_S
#define SETTLE_US          (300 * (uint64_t)RUDP_US_PER_S)
#define ROUNDS_AT_ONCE_MAX 10000u /* more without time passing is a livelock */

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum side_index {
    A,
    B,
    SIDE_COUNT
};

struct script {
    const uint8_t *data;
    size_t left_bytes;
};

struct message {
    uint32_t bytes;
    enum side_index from;
    bool received; /* by the other side since its endpoint's start */
};

struct conversation {
    struct rudp_session *session;
    uint32_t next_serial;        /* ordered: the lowest serial that may still arrive */
    bool received[MESSAGES_MAX]; /* by this session */
    bool restarted;        /* it goes on with a peer that sends again what was not delivered */
    uint64_t unread_bytes; /* passed on, not confirmed */
    uint64_t newest_bytes; /* of these, of the message passed on last */
};

struct side {
    struct capped_host host;
    struct rudp_config config;
    struct rudp_endpoint *endpoint;
    bool passes_on; /* messages lie in a queue before they are read */
    struct rudp_address address;
    struct conversation conversations[SESSIONS_MAX];
    uint32_t conversation_count;
    uint64_t known_id;             /* that the last packet to this side carried as destination */
    uint32_t known_number;         /* and its packet number */
    uint32_t empty_sent_count;     /* messages of 0 bytes have no serial */
    uint32_t empty_received_count; /* since its endpoint's start */
};

struct flight {
    enum side_index to;
    uint64_t sent_us;
    struct rudp_path path; /* as the receiver will see it */
    size_t bytes;
    uint8_t data[PACKET_BYTES_MAX];
};

struct world {
    struct script script;
    uint64_t now_us;
    struct side sides[SIDE_COUNT];
    struct flight flights[FLIGHTS_MAX];
    uint32_t flight_count;
    struct message messages[MESSAGES_MAX];
    uint32_t message_count;
    bool ample;   /* the cap is above what the settings can need */
    bool forged;  /* a packet with a good check was made by somebody else */
    bool damaged; /* a packet was altered on the way and cannot pass */
    bool broken;  /* a session ended otherwise than by a graceful close, or an endpoint restarted */
    bool closed;  /* a session was closed: what the peer still had to send may be gone */
};

/* --- Script
 * --------------------------------------------------------------------------------------- */

static uint32_t next_u8(struct world *world)
{
    struct script *script = &world->script;

    if (script->left_bytes == 0)
        return 0;
    script->left_bytes--;
    return *script->data++;
}

static uint32_t next_u16(struct world *world)
{
    uint32_t high = next_u8(world);

    return high << 8 | next_u8(world);
}

static struct side *next_side(struct world *world)
{
    return &world->sides[next_u8(world) % SIDE_COUNT];
}

static struct side *other_side(struct world *world, const struct side *side)
{
    return &world->sides[side == &world->sides[A] ? B : A];
}

static enum side_index index_of(const struct world *world, const struct side *side)
{
    return side == &world->sides[A] ? A : B;
}

/* NULL when the side has none. */
static struct conversation *next_conversation(struct world *world, struct side *side)
{
    uint32_t choice = next_u8(world);

    if (side->conversation_count == 0)
        return NULL;
    return &side->conversations[choice % side->conversation_count];
}

static struct flight *next_flight(struct world *world)
{
    uint32_t choice = next_u8(world);

    if (world->flight_count == 0)
        return NULL;
    return &world->flights[choice % world->flight_count];
}

/* --- Messages
 * ------------------------------------------------------------------------------------- */

static uint8_t message_byte(uint32_t serial, size_t index)
{
    return (uint8_t)(serial * 31 + index * 7 + (index >> 8));
}

static void fill_message(uint8_t *out, uint32_t serial, size_t bytes)
{
    for (size_t index = HEADER_BYTES; index < bytes; index++)
        out[index] = message_byte(serial, index);
    memcpy(out, &serial, HEADER_BYTES);
}

/* How long messages are: mostly short, some of many packets, some of every extreme. */
static size_t next_message_bytes(struct world *world)
{
    uint32_t value = next_u16(world);

    if (value == 0)
        return 0;
    if (value >= UINT16_MAX - HEADER_BYTES)
        return RUDP_MESSAGE_BYTES_MAX;
    return HEADER_BYTES + (value & 0x8000u ? value & 0x7fffu : value & 0x1ffu);
}

static void do_send(struct world *world)
{
    static uint8_t data[RUDP_MESSAGE_BYTES_MAX];
    struct side *side = next_side(world);
    struct conversation *conversation = next_conversation(world, side);
    size_t bytes = next_message_bytes(world);

    if (conversation == NULL || world->message_count == MESSAGES_MAX)
        return;
    uint32_t serial = world->message_count;
    struct rudp_slice slices[2] = {{data, bytes / 2}, {data + bytes / 2, bytes - bytes / 2}};

    if (bytes > 0)
        fill_message(data, serial, bytes);
    if (rudp_session_send(side->endpoint, conversation->session, slices, 2, world->now_us) !=
        RUDP_OK)
        return;
    if (bytes == 0) {
        side->empty_sent_count++;
        return;
    }
    world->messages[world->message_count++] = (struct message){
        .bytes = (uint32_t)bytes,
        .from = index_of(world, side),
    };
}

static void check_message(struct world *world, struct side *side, struct conversation *conversation,
                          const uint8_t *data, size_t bytes)
{
    struct side *from = other_side(world, side);
    uint32_t serial;

    if (bytes == 0) {
        side->empty_received_count++;
        RUDP_ASSERT(world->broken || side->empty_received_count <= from->empty_sent_count);
        return;
    }
    RUDP_ASSERT(bytes >= HEADER_BYTES);
    memcpy(&serial, data, HEADER_BYTES);
    RUDP_ASSERT(serial < world->message_count);
    struct message *message = &world->messages[serial];

    RUDP_ASSERT(message->from == index_of(world, from));
    RUDP_ASSERT(message->bytes == bytes);
    for (size_t index = HEADER_BYTES; index < bytes; index++)
        RUDP_ASSERT(data[index] == message_byte(serial, index));
    RUDP_ASSERT(!conversation->received[serial] || conversation->restarted);
    RUDP_ASSERT(!message->received || world->broken);
    if (side->config.order == RUDP_ORDERED && !conversation->restarted)
        RUDP_ASSERT(serial >= conversation->next_serial);
    conversation->next_serial = serial + 1;
    conversation->received[serial] = true;
    message->received = true;
}

static void take_message(struct world *world, struct side *side, struct conversation *conversation,
                         size_t bytes)
{
    if (!side->passes_on) {
        rudp_session_consume(side->endpoint, conversation->session, world->now_us);
        return;
    }
    rudp_session_pass_on(side->endpoint, conversation->session, world->now_us);
    conversation->newest_bytes = rudp_message_stream_bytes(bytes);
    conversation->unread_bytes += conversation->newest_bytes;
}

/* Takes up to count messages. */
static void read_messages(struct world *world, struct side *side, struct conversation *conversation,
                          uint32_t count)
{
    static uint8_t data[RUDP_MESSAGE_BYTES_MAX];
    size_t bytes;

    for (; count > 0; count--) {
        enum rudp_status status =
            rudp_session_peek(side->endpoint, conversation->session, data, sizeof data, &bytes);

        if (status != RUDP_OK)
            return;
        RUDP_ASSERT(bytes <= sizeof data);
        if (!world->forged)
            check_message(world, side, conversation, data, bytes);
        take_message(world, side, conversation, bytes);
    }
}

/* The program reads of what was passed on all but the newest unread_bytes. */
static void confirm(struct world *world, struct side *side, struct conversation *conversation,
                    uint64_t unread_bytes)
{
    conversation->unread_bytes = unread_bytes;
    rudp_session_confirm(side->endpoint, conversation->session, unread_bytes, world->now_us);
}

static void do_read(struct world *world)
{
    struct side *side = next_side(world);
    struct conversation *conversation = next_conversation(world, side);
    uint32_t count = next_u8(world);

    if (conversation == NULL)
        return;
    if (conversation->unread_bytes > 0)
        confirm(world, side, conversation, conversation->newest_bytes);
    read_messages(world, side, conversation, count);
}

/* --- Sessions
 * ------------------------------------------------------------------------------------- */

static struct conversation *find_conversation(struct side *side, const struct rudp_session *session)
{
    for (uint32_t index = 0; index < side->conversation_count; index++) {
        if (side->conversations[index].session == session)
            return &side->conversations[index];
    }
    return NULL;
}

static void add_conversation(struct side *side, struct rudp_session *session)
{
    RUDP_ASSERT(session != NULL);
    RUDP_ASSERT(side->conversation_count < SESSIONS_MAX);
    RUDP_ASSERT(find_conversation(side, session) == NULL);
    struct conversation *conversation = &side->conversations[side->conversation_count++];

    memset(conversation, 0, sizeof *conversation);
    conversation->session = session;
}

static void end_conversation(struct world *world, struct side *side, const struct rudp_event *event)
{
    struct conversation *conversation = find_conversation(side, event->session);

    RUDP_ASSERT(conversation != NULL);
    read_messages(world, side, conversation, UINT32_MAX);
    world->closed = true;
    if (event->reason != RUDP_CLOSE_REASON_LOCAL && event->reason != RUDP_CLOSE_REASON_PEER)
        world->broken = true;
    rudp_session_release(side->endpoint, event->session);
    *conversation = side->conversations[--side->conversation_count];
}

static void handle_events(struct world *world, struct side *side)
{
    struct rudp_event event;

    while (rudp_endpoint_next_event(side->endpoint, &event)) {
        if (event.type == RUDP_EVENT_OPENED)
            add_conversation(side, event.session);
        struct conversation *conversation = find_conversation(side, event.session);

        RUDP_ASSERT(conversation != NULL);
        if (event.type == RUDP_EVENT_PEER_RESTARTED) {
            conversation->restarted = true;
            world->broken = true;
        }
        if (event.type == RUDP_EVENT_UNCONFIRMED)
            confirm(world, side, conversation, 0);
        if (event.type == RUDP_EVENT_CLOSED)
            end_conversation(world, side, &event);
    }
}

/* One session with the peer at a time: while an older one still closes, the peer may take the new
 * hello for a restart and send again what the older one has delivered. */
static void do_open(struct world *world)
{
    struct side *side = next_side(world);
    const struct rudp_path path = {.remote = other_side(world, side)->address,
                                   .local = side->address};
    struct rudp_session *session;

    if (side->conversation_count > 0)
        return;
    if (rudp_endpoint_open(side->endpoint, &path, &session, world->now_us) == RUDP_OK)
        add_conversation(side, session);
}

static void do_close(struct world *world)
{
    struct side *side = next_side(world);
    struct conversation *conversation = next_conversation(world, side);

    if (conversation == NULL)
        return;
    world->closed = true;
    rudp_session_close(side->endpoint, conversation->session, world->now_us);
}

static void do_abort(struct world *world)
{
    struct side *side = next_side(world);
    struct conversation *conversation = next_conversation(world, side);

    if (conversation == NULL)
        return;
    world->broken = true;
    rudp_session_abort(side->endpoint, conversation->session, world->now_us);
}

/* False when the cap is too small for an endpoint; there is none then. */
static bool start_endpoint(struct world *world, struct side *side)
{
    side->conversation_count = 0;
    side->empty_received_count = 0;
    side->endpoint = NULL;
    if (rudp_endpoint_create(&side->endpoint, &side->config, &side->host.host, world->now_us) ==
        RUDP_OK)
        return true;
    RUDP_ASSERT(side->host.refused);
    side->endpoint = NULL;
    return false;
}

static void do_restart(struct world *world)
{
    struct side *side = next_side(world);
    enum side_index from = index_of(world, other_side(world, side));

    world->broken = true;
    rudp_endpoint_destroy(side->endpoint);
    RUDP_ASSERT(side->host.used_bytes == 0);
    for (uint32_t index = 0; index < world->message_count; index++) {
        if (world->messages[index].from == from)
            world->messages[index].received = false;
    }
    start_endpoint(world, side);
}

static bool is_shaking_hands(const struct world *world, const struct side *side)
{
    for (uint32_t index = 0; index < side->conversation_count; index++) {
        struct rudp_session_stats stats;

        rudp_session_stats(side->conversations[index].session, &stats);
        if (!stats.established)
            return true;
    }
    for (uint32_t index = 0; index < world->flight_count; index++) {
        if (world->flights[index].data[0] == FIRST_BYTE_HELLO)
            return true;
    }
    return false;
}

/* A hello is known by its address and id (docs/protocol.md section 4): from two addresses it is two
 * sessions, and the messages on it may arrive twice. */
static void do_move(struct world *world)
{
    struct side *side = next_side(world);

    if (is_shaking_hands(world, side))
        world->broken = true;
    side->address.port++;
}

static void do_packet_size(struct world *world)
{
    struct side *side = next_side(world);
    struct conversation *conversation = next_conversation(world, side);
    uint32_t bytes = next_u16(world);

    if (conversation != NULL)
        rudp_session_set_packet_bytes(conversation->session,
                                      bytes < PACKET_BYTES_MAX ? bytes : PACKET_BYTES_MAX);
}

/* --- Network
 * -------------------------------------------------------------------------------------- */

/* What tells a forger how to address the side: ids and numbers from the packets it gets. */
static void learn_id(struct side *to, const struct flight *flight)
{
    struct rudp_header header;
    struct rudp_reader frames;
    struct rudp_frame frame;

    RUDP_ASSERT(rudp_wire_read_packet(flight->data, flight->bytes, &header, &frames) == RUDP_OK);
    while (frames.left_bytes > 0)
        RUDP_ASSERT(rudp_wire_read_frame(&frames, &frame) == RUDP_OK);
    if (header.destination_id == 0)
        return;
    to->known_id = header.destination_id;
    to->known_number = header.packet_number;
}

/* Takes what a side has to say while the network has room; the rest stays where it is. */
static void collect(struct world *world, struct side *side)
{
    while (world->flight_count < FLIGHTS_MAX) {
        struct flight *flight = &world->flights[world->flight_count];
        struct side *to = other_side(world, side);
        struct rudp_path path;

        flight->bytes = rudp_endpoint_next_packet(side->endpoint, &path, flight->data,
                                                  sizeof flight->data, world->now_us);
        if (flight->bytes == 0)
            return;
        RUDP_ASSERT(flight->bytes <= sizeof flight->data);
        if (!rudp_address_equal(&path.remote, &to->address))
            continue; /* nobody is there */
        flight->to = index_of(world, to);
        flight->sent_us = world->now_us;
        flight->path = (struct rudp_path){.remote = side->address, .local = to->address};
        learn_id(to, flight);
        world->flight_count++;
    }
}

static void remove_flight(struct world *world, struct flight *flight)
{
    *flight = world->flights[--world->flight_count];
}

static void deliver(struct world *world, const struct flight *flight)
{
    struct side *to = &world->sides[flight->to];

    if (world->now_us - flight->sent_us <= FLIGHT_US_MAX &&
        rudp_address_equal(&flight->path.local, &to->address))
        rudp_endpoint_receive(to->endpoint, &flight->path, flight->data, flight->bytes,
                              world->now_us);
}

static void do_deliver(struct world *world)
{
    struct flight *flight = next_flight(world);

    if (flight == NULL)
        return;
    deliver(world, flight);
    remove_flight(world, flight);
}

static void do_deliver_all(struct world *world)
{
    for (uint32_t index = 0; index < world->flight_count; index++)
        deliver(world, &world->flights[index]);
    world->flight_count = 0;
}

static void do_drop(struct world *world)
{
    struct flight *flight = next_flight(world);

    if (flight != NULL)
        remove_flight(world, flight);
}

static void do_duplicate(struct world *world)
{
    struct flight *flight = next_flight(world);

    if (flight != NULL)
        deliver(world, flight);
}

static void do_damage(struct world *world)
{
    struct flight *flight = next_flight(world);
    size_t at = next_u16(world);
    uint32_t mask = next_u16(world) | 1;

    if (flight == NULL)
        return;
    at %= flight->bytes;
    for (size_t index = 0; index < DAMAGE_BYTES && at + index < flight->bytes; index++)
        flight->data[at + index] ^= (uint8_t)(mask >> 8 * index);
    world->damaged = true;
}

static void do_truncate(struct world *world)
{
    struct flight *flight = next_flight(world);
    size_t bytes = next_u16(world);

    if (flight == NULL)
        return;
    flight->bytes = bytes % flight->bytes;
    world->damaged = true;
    if (flight->bytes == 0)
        remove_flight(world, flight);
}

static void fix_check(struct flight *flight)
{
    if (flight->bytes < RUDP_WIRE_CHECK_BYTES)
        return;
    struct rudp_writer writer = {flight->data, flight->bytes - RUDP_WIRE_CHECK_BYTES,
                                 flight->bytes};

    rudp_wire_write_check(&writer);
}

/* Alters a packet on the way, with a good check. */
static void do_forge(struct world *world)
{
    struct flight *flight = next_flight(world);
    size_t at = next_u16(world);
    uint8_t value = (uint8_t)next_u8(world);

    if (flight == NULL)
        return;
    flight->data[at % flight->bytes] = value;
    fix_check(flight);
    world->forged = true;
}

static void put_be(uint8_t *out, size_t bytes, uint64_t value)
{
    for (size_t index = 0; index < bytes; index++)
        out[index] = (uint8_t)(value >> 8 * (bytes - 1 - index));
}

/* Gives a packet from the script the ids and the number that would make the receiver listen. */
static void address_flight(const struct world *world, struct flight *flight, uint32_t how)
{
    const struct side *to = &world->sides[flight->to];
    const struct side *from = &world->sides[flight->to == A ? B : A];
    bool is_short = flight->data[0] < 0x80;

    if (flight->bytes < RUDP_WIRE_LONG_BYTES)
        return;
    if (how & 1)
        put_be(flight->data + (is_short ? 1 : 9), 8, to->known_id);
    if (how & 2 && is_short)
        put_be(flight->data + 9, 4, to->known_number + 1);
    if (how & 2 && !is_short)
        put_be(flight->data + 17, 8, from->known_id);
    if (how & 4)
        flight->path.remote.ip[0] ^= 1;
}

/* A packet from the script: how, length, bytes. */
static void do_inject(struct world *world)
{
    struct script *script = &world->script;
    uint32_t how = next_u8(world);
    size_t bytes = next_u16(world) % (PACKET_BYTES_MAX + 1);
    struct flight *flight = &world->flights[world->flight_count];

    if (world->flight_count == FLIGHTS_MAX || bytes == 0 || script->left_bytes == 0)
        return;
    world->forged = true;
    world->flight_count++;
    flight->to = how & 8 ? A : B;
    flight->path.remote = world->sides[flight->to == A ? B : A].address;
    flight->path.local = world->sides[flight->to].address;
    flight->sent_us = world->now_us;
    flight->bytes = min_u64(bytes, script->left_bytes);
    memcpy(flight->data, script->data, flight->bytes);
    script->data += flight->bytes;
    script->left_bytes -= flight->bytes;
    address_flight(world, flight, how);
    if ((how & 16) == 0)
        fix_check(flight);
}

/* --- Time
 * ----------------------------------------------------------------------------------------- */

static uint64_t deadline_us(const struct world *world)
{
    return min_u64(rudp_endpoint_deadline_us(world->sides[A].endpoint),
                   rudp_endpoint_deadline_us(world->sides[B].endpoint));
}

static void do_wait(struct world *world)
{
    world->now_us += UINT64_C(1) << next_u8(world) % (TIME_SHIFT_MAX + 1);
}

static void do_wait_deadline(struct world *world)
{
    uint64_t next_us = deadline_us(world);

    if (next_us != RUDP_NEVER)
        world->now_us = max_u64(world->now_us, next_us);
}

/* --- World
 * ---------------------------------------------------------------------------------------- */

/* More than once in the list: more often chosen. */
static void (*const steps[])(struct world *world) = {
    do_send,     do_send,      do_read,        do_deliver,       do_deliver_all,   do_deliver_all,
    do_drop,     do_duplicate, do_wait,        do_wait_deadline, do_wait_deadline, do_damage,
    do_truncate, do_forge,     do_inject,      do_open,          do_close,         do_abort,
    do_restart,  do_move,      do_packet_size,
};

static void setup_side(struct world *world, enum side_index index, uint32_t choice)
{
    struct side *side = &world->sides[index];
    struct rudp_config *config = &side->config;

    side->address = (struct rudp_address){.port = (uint16_t)(index + 1)};
    side->address.ip[15] = (uint8_t)(index + 1);
    rudp_config_init(config);
    config->send_buffer_bytes = RUDP_BUFFER_BYTES_MIN;
    config->receive_buffer_bytes = RUDP_BUFFER_BYTES_MIN;
    config->session_count_max = SESSIONS_MAX;
    config->order = choice & 1 ? RUDP_UNORDERED : RUDP_ORDERED;
    config->half_open_count_max = choice & 2 ? 0 : 4;
    config->packet_bytes = choice & 4 ? RUDP_PACKET_BYTES_MIN : PACKET_BYTES_MAX;
    config->idle_timeout_us = choice & 8 ? 60 * RUDP_US_PER_S : 0;
    config->reopens = choice & 16;
    side->passes_on = choice & 32;
}

/* False when the cap is too small for an endpoint. */
static bool setup(struct world *world)
{
    uint32_t cap_choice = next_u8(world);

    world->now_us = RUDP_US_PER_S;
    world->ample = cap_choice == 0;
    for (enum side_index index = A; index < SIDE_COUNT; index++) {
        struct side *side = &world->sides[index];

        setup_side(world, index, next_u8(world));
        capped_host_init(&side->host, world->ample ? CAP_BYTES_AMPLE : cap_choice * CAP_BYTES_STEP,
                         index + 1u);
        if (!start_endpoint(world, side))
            return false;
    }
    return true;
}

static void settle_step(struct world *world)
{
    for (enum side_index index = A; index < SIDE_COUNT; index++) {
        struct side *side = &world->sides[index];

        rudp_endpoint_advance(side->endpoint, world->now_us);
        handle_events(world, side);
        collect(world, side);
        RUDP_ASSERT(!world->ample || !side->host.refused);
    }
}

static void read_everything(struct world *world)
{
    for (enum side_index index = A; index < SIDE_COUNT; index++) {
        struct side *side = &world->sides[index];

        for (uint32_t at = 0; at < side->conversation_count; at++)
            read_messages(world, side, &side->conversations[at], UINT32_MAX);
    }
}

/* Lets a network without faults finish what was begun. */
static void settle(struct world *world)
{
    uint64_t end_us = world->now_us + SETTLE_US;
    uint32_t rounds_at_once = 0;

    while (world->now_us < end_us) {
        settle_step(world);
        read_everything(world);
        if (world->flight_count > 0) {
            do_deliver_all(world);
            RUDP_ASSERT(++rounds_at_once < ROUNDS_AT_ONCE_MAX);
            continue;
        }
        uint64_t next_us = deadline_us(world);

        rounds_at_once = next_us > world->now_us ? 0 : rounds_at_once + 1;
        RUDP_ASSERT(rounds_at_once < ROUNDS_AT_ONCE_MAX);
        world->now_us = max_u64(world->now_us, min_u64(next_us, end_us));
    }
}

/* An honest peer never looks like one that breaks the protocol. */
static void check_drops(const struct world *world)
{
    static const enum rudp_drop faults[] = {RUDP_DROP_FOREIGN, RUDP_DROP_TRUNCATED,
                                            RUDP_DROP_MALFORMED, RUDP_DROP_CHECK, RUDP_DROP_CREDIT};

    for (enum side_index index = A; index < SIDE_COUNT; index++) {
        struct rudp_endpoint_stats stats;

        rudp_endpoint_stats(world->sides[index].endpoint, &stats);
        for (size_t at = 0; at < sizeof faults / sizeof *faults; at++)
            RUDP_ASSERT(stats.dropped_count[faults[at]] == 0);
    }
}

/* And the sender knows. */
static void check_delivered(const struct world *world)
{
    for (uint32_t index = 0; index < world->message_count; index++)
        RUDP_ASSERT(world->messages[index].received);
    for (enum side_index index = A; index < SIDE_COUNT; index++) {
        const struct side *side = &world->sides[index];

        for (uint32_t at = 0; at < side->conversation_count; at++)
            RUDP_ASSERT(rudp_session_queued_bytes(side->conversations[at].session) == 0);
    }
}

static void run(struct world *world)
{
    while (world->script.left_bytes > 0) {
        steps[next_u8(world) % (sizeof steps / sizeof *steps)](world);
        if (world->sides[A].endpoint == NULL || world->sides[B].endpoint == NULL)
            return;
        settle_step(world);
    }
    settle(world);
    if (!world->forged && !world->damaged)
        check_drops(world);
    if (!world->forged && world->ample && !world->broken && !world->closed)
        check_delivered(world);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct world world;

    memset(&world, 0, sizeof world);
    world.script = (struct script){data, size};
    if (setup(&world))
        run(&world);
    for (enum side_index index = A; index < SIDE_COUNT; index++) {
        struct side *side = &world.sides[index];

        if (side->endpoint != NULL)
            rudp_endpoint_destroy(side->endpoint);
        RUDP_ASSERT(side->host.used_bytes == 0);
    }
    return 0;
}
