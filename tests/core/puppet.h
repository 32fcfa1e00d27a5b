/* puppet.h - one endpoint under test, and a peer whose packets are made by hand: for steps that no
 * well-behaved peer takes. A test's process has one. */
#ifndef RUDP_TESTS_CORE_PUPPET_H
#define RUDP_TESTS_CORE_PUPPET_H

#include "core/endpoint.h"
#include "core/wire.h"
#include "tests/core/suite.h"
#include "tests/vectors/capped_host.h"

#include <string.h>

#define PUPPET_PACKET_BYTES 1400u
#define PUPPET_EVENT_COUNT  (RUDP_EVENT_CLOSED + 1)

struct puppet {
    struct capped_host memory;
    struct rudp_config config;
    struct rudp_endpoint *endpoint;
    struct rudp_session *session; /* the newest of the endpoint */
    struct rudp_path path;        /* the puppet's address, as the endpoint sees it */
    uint64_t own_id;              /* the puppet's id, */
    uint64_t session_id;          /* and that of the session, once a packet told it */
    uint32_t next_pn;
    uint64_t now_us;

    struct rudp_writer writer; /* the packet being made */
    uint8_t in[PUPPET_PACKET_BYTES];

    uint8_t out[RUDP_PACKET_BYTES_MAX]; /* the newest packet of the endpoint */
    size_t out_bytes;
    struct rudp_path out_path;
    struct rudp_header header;
    struct rudp_reader frames;

    uint32_t event_counts[PUPPET_EVENT_COUNT];
    struct rudp_event closed;
};

/* Sets the defaults; the caller may change config before puppet_start. */
static inline void puppet_init(struct puppet *p)
{
    memset(p, 0, sizeof *p);
    capped_host_init(&p->memory, SIZE_MAX, 1);
    rudp_config_init(&p->config);
    p->path.remote = (struct rudp_address){.ip = {10, 0, 0, 1}, .port = 4000};
    p->own_id = UINT64_C(0x1111111111111111);
    p->now_us = RUDP_US_PER_S;
}

static inline void puppet_start(struct puppet *p)
{
    ck_assert_uint_eq(rudp_endpoint_create(&p->endpoint, &p->config, &p->memory.host, p->now_us),
                      RUDP_OK);
}

static inline void puppet_destroy(struct puppet *p)
{
    rudp_endpoint_destroy(p->endpoint);
    ck_assert_uint_eq(p->memory.used_bytes, 0);
}

static inline void puppet_take_events(struct puppet *p)
{
    struct rudp_event event;

    while (rudp_endpoint_next_event(p->endpoint, &event)) {
        p->event_counts[event.type]++;
        if (event.type == RUDP_EVENT_OPENED)
            p->session = event.session;
        if (event.type == RUDP_EVENT_CLOSED)
            p->closed = event;
    }
}

/* --- Packets to the endpoint ------------------------------------------------------------------ */

static inline void puppet_begin_header(struct puppet *p, const struct rudp_header *header)
{
    p->writer = (struct rudp_writer){p->in, 0, sizeof p->in - RUDP_WIRE_CHECK_BYTES};
    rudp_wire_write_header(&p->writer, header);
}

/* Begins a HELLO, HELLO_ACK or short packet with the next number; a handshake's has PARAMS. */
static inline void puppet_begin(struct puppet *p, enum rudp_packet_type type)
{
    struct rudp_header header = {
        .type = type,
        .version = type == RUDP_PACKET_SHORT ? 0 : RUDP_WIRE_VERSION,
        .destination_id = type == RUDP_PACKET_HELLO ? 0 : p->session_id,
        .source_id = type == RUDP_PACKET_SHORT ? 0 : p->own_id,
        .packet_number = p->next_pn++,
    };
    struct rudp_params params = {
        .credit_bytes = 100000, .packet_bytes_max = 1200, .ack_delay_us_max = 5000};

    puppet_begin_header(p, &header);
    if (type != RUDP_PACKET_SHORT)
        ck_assert(rudp_wire_write_params(&p->writer, &params));
}

static inline void puppet_add_data(struct puppet *p, uint64_t offset, const void *data,
                                   size_t bytes)
{
    struct rudp_data_frame frame = {.offset = offset, .bytes = bytes};
    uint8_t *room;

    ck_assert(rudp_wire_write_data(&p->writer, &frame, &room));
    memcpy(room, data, bytes);
}

static inline void puppet_add_ack(struct puppet *p, uint64_t smallest, uint64_t largest)
{
    struct rudp_ack_frame ack = {.range_count = 1, .ranges = {{smallest, largest}}};

    ck_assert(rudp_wire_write_ack(&p->writer, &ack));
}

/* Ends the packet and hands it to the endpoint, then takes the events. */
static inline enum rudp_verdict puppet_deliver(struct puppet *p)
{
    p->writer.capacity_bytes = sizeof p->in;
    rudp_wire_write_check(&p->writer);
    enum rudp_verdict verdict =
        rudp_endpoint_receive(p->endpoint, &p->path, p->in, p->writer.used_bytes, p->now_us);

    puppet_take_events(p);
    return verdict;
}

/* A short packet with a PING alone, long enough to be answered. */
static inline void puppet_ping(struct puppet *p)
{
    puppet_begin(p, RUDP_PACKET_SHORT);
    ck_assert(rudp_wire_write_ping(&p->writer));
    ck_assert(rudp_wire_write_padding(&p->writer, RUDP_WIRE_LONG_BYTES));
    (void)puppet_deliver(p);
}

/* A hello, padded as the protocol asks. */
static inline void puppet_hello(struct puppet *p)
{
    puppet_begin(p, RUDP_PACKET_HELLO);
    ck_assert(rudp_wire_write_padding(&p->writer, 1000));
    (void)puppet_deliver(p);
}

/* A hello with the token of the RETRY just received. */
static inline void puppet_hello_with_token(struct puppet *p, const uint8_t *token, size_t bytes)
{
    struct rudp_header header = {
        .type = RUDP_PACKET_HELLO,
        .version = RUDP_WIRE_VERSION,
        .source_id = p->own_id,
        .packet_number = p->next_pn++,
        .token = token,
        .token_bytes = (uint8_t)bytes,
    };
    struct rudp_params params = {.credit_bytes = 100000, .packet_bytes_max = 1200};

    puppet_begin_header(p, &header);
    ck_assert(rudp_wire_write_params(&p->writer, &params));
    (void)puppet_deliver(p);
}

/* --- Packets from the endpoint ---------------------------------------------------------------- */

/* Takes the endpoint's next packet; false when there is none. */
static inline bool puppet_next(struct puppet *p)
{
    p->out_bytes =
        rudp_endpoint_next_packet(p->endpoint, &p->out_path, p->out, sizeof p->out, p->now_us);
    if (p->out_bytes == 0)
        return false;
    ck_assert_uint_eq(rudp_wire_read_packet(p->out, p->out_bytes, &p->header, &p->frames), RUDP_OK);
    if (p->header.type == RUDP_PACKET_HELLO || p->header.type == RUDP_PACKET_HELLO_ACK)
        p->session_id = p->header.source_id;
    return true;
}

/* The next packet, which must be of that type. */
static inline void puppet_expect(struct puppet *p, enum rudp_packet_type type)
{
    ck_assert(puppet_next(p));
    ck_assert_uint_eq(p->header.type, type);
}

/* The first frame of that type in the newest packet. */
static inline bool puppet_find(struct puppet *p, enum rudp_frame_type type,
                               struct rudp_frame *frame)
{
    struct rudp_reader frames = p->frames;

    while (frames.left_bytes > 0) {
        ck_assert_uint_eq(rudp_wire_read_frame(&frames, frame), RUDP_OK);
        if (frame->type == type)
            return true;
    }
    return false;
}

/* Takes packets until one carries such a frame; false when none does. */
static inline bool puppet_await(struct puppet *p, enum rudp_frame_type type,
                                struct rudp_frame *frame)
{
    while (puppet_next(p)) {
        if (puppet_find(p, type, frame))
            return true;
    }
    return false;
}

/* Takes all packets and returns their bytes together. */
static inline size_t puppet_drain(struct puppet *p)
{
    size_t bytes = 0;

    while (puppet_next(p))
        bytes += p->out_bytes;
    return bytes;
}

/* Moves the clock and runs what is due. */
static inline void puppet_wait_us(struct puppet *p, uint64_t duration_us)
{
    p->now_us += duration_us;
    rudp_endpoint_advance(p->endpoint, p->now_us);
    puppet_take_events(p);
}

/* --- The endpoint's side ---------------------------------------------------------------------- */

static inline uint64_t puppet_drops(const struct puppet *p, enum rudp_drop drop)
{
    struct rudp_endpoint_stats stats;

    rudp_endpoint_stats(p->endpoint, &stats);
    return stats.dropped_count[drop];
}

static inline uint32_t puppet_session_count(const struct puppet *p)
{
    struct rudp_endpoint_stats stats;

    rudp_endpoint_stats(p->endpoint, &stats);
    return stats.session_count;
}

static inline void puppet_open(struct puppet *p)
{
    ck_assert_uint_eq(rudp_endpoint_open(p->endpoint, &p->path, &p->session, p->now_us), RUDP_OK);
}

static inline enum rudp_status puppet_send(struct puppet *p, const void *data, size_t bytes)
{
    struct rudp_slice slice = {data, bytes};

    return rudp_session_send(p->endpoint, p->session, &slice, 1, p->now_us);
}

/* Takes the next message, which must be this text. */
static inline void puppet_check_read(struct puppet *p, const char *text)
{
    char out[64];
    size_t bytes;

    ck_assert_uint_eq(rudp_session_peek(p->endpoint, p->session, out, sizeof out, &bytes), RUDP_OK);
    ck_assert_uint_eq(bytes, strlen(text));
    ck_assert_mem_eq(out, text, bytes);
    rudp_session_consume(p->endpoint, p->session, p->now_us);
}

/* The whole handshake with the puppet as the opener. Everything sent so far is acknowledged. */
static inline void puppet_accepted(struct puppet *p)
{
    puppet_hello(p);
    puppet_expect(p, RUDP_PACKET_HELLO_ACK);
    puppet_begin(p, RUDP_PACKET_SHORT);
    puppet_add_ack(p, 0, p->header.packet_number);
    (void)puppet_deliver(p);
    (void)puppet_drain(p);
    ck_assert_uint_eq(p->event_counts[RUDP_EVENT_ESTABLISHED], 1);
}

/* The same with the endpoint as the opener. */
static inline void puppet_opened(struct puppet *p)
{
    puppet_open(p);
    puppet_expect(p, RUDP_PACKET_HELLO);
    puppet_begin(p, RUDP_PACKET_HELLO_ACK);
    puppet_add_ack(p, 0, p->header.packet_number);
    (void)puppet_deliver(p);
    (void)puppet_drain(p);
    ck_assert_uint_eq(p->event_counts[RUDP_EVENT_ESTABLISHED], 1);
}

#endif
