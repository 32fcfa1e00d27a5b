/* Two endpoints on one port, and a peer that does not know. */
#include "core/endpoint.h"
#include "tests/core/suite.h"
#include "tests/vectors/capped_host.h"

#include <string.h>

#define STEP_COUNT_MAX 1000u
#define STEP_US        1000u

enum side {
    PEER,
    FIRST, /* the two that share a port */
    SECOND,
    SIDE_COUNT
};

static struct capped_host memory;
static struct rudp_endpoint *endpoints[SIDE_COUNT];
static struct rudp_session *opened[SIDE_COUNT]; /* the newest that a peer opened there */
static uint32_t event_counts[SIDE_COUNT][RUDP_EVENT_CLOSED + 1];
static enum side wire; /* whose socket the port's packets reach */
static struct rudp_session *call;
static uint64_t now_us;

static const struct rudp_path to_peer = {.remote = {.ip = {10, 0, 0, 1}, .port = 4000}};
static const struct rudp_path to_port = {.remote = {.ip = {10, 0, 0, 2}, .port = 5000}};

static void start(void)
{
    struct rudp_config config;

    rudp_config_init(&config);
    config.ack_delay_us_max = 0;
    config.reopens = true;
    capped_host_init(&memory, SIZE_MAX, 1);
    now_us = RUDP_US_PER_S;
    wire = FIRST;
    for (enum side side = PEER; side < SIDE_COUNT; side++)
        ck_assert_int_eq(rudp_endpoint_create(&endpoints[side], &config, &memory.host, now_us),
                         RUDP_OK);
}

static void finish(void)
{
    for (enum side side = PEER; side < SIDE_COUNT; side++)
        rudp_endpoint_destroy(endpoints[side]);
    ck_assert_uint_eq(memory.used_bytes, 0);
}

/* As an engine does: what the endpoint at the wire does not know goes to the other, if it does. */
static void arrive(enum side from, const uint8_t *packet, size_t bytes)
{
    const struct rudp_path *path = from == PEER ? &to_peer : &to_port;
    enum side to = from == PEER ? wire : PEER;
    enum side other = wire == FIRST ? SECOND : FIRST;
    struct rudp_claim_ids ids;

    if (from == PEER &&
        rudp_endpoint_claim(endpoints[to], &path->remote, packet, bytes, &ids) ==
            RUDP_CLAIM_STRAY &&
        rudp_endpoint_claim(endpoints[other], &path->remote, packet, bytes, &ids) == RUDP_CLAIM_OWN)
        to = other;
    (void)rudp_endpoint_receive(endpoints[to], path, packet, bytes, now_us);
}

static bool step(enum side side)
{
    static uint8_t packet[RUDP_PACKET_BYTES_MAX];
    struct rudp_path path;
    struct rudp_event event;
    bool any = false;

    while (rudp_endpoint_next_event(endpoints[side], &event)) {
        event_counts[side][event.type]++;
        if (event.type == RUDP_EVENT_OPENED)
            opened[side] = event.session;
        any = true;
    }
    size_t bytes = rudp_endpoint_next_packet(endpoints[side], &path, packet, sizeof packet, now_us);

    if (bytes > 0)
        arrive(side, packet, bytes);
    return any || bytes > 0;
}

/* Packets and events until there are none, with time passing where nothing else happens. */
static void run(void)
{
    for (uint32_t i = 0; i < STEP_COUNT_MAX; i++) {
        bool any = false;

        for (enum side side = PEER; side < SIDE_COUNT; side++)
            any = step(side) || any;
        if (any)
            continue;
        now_us += STEP_US;
        for (enum side side = PEER; side < SIDE_COUNT; side++)
            rudp_endpoint_advance(endpoints[side], now_us);
    }
}

static void send_text(enum side side, struct rudp_session *session, const char *text)
{
    struct rudp_slice slice = {text, strlen(text)};

    ck_assert_int_eq(rudp_session_send(endpoints[side], session, &slice, 1, now_us), RUDP_OK);
}

static void check_read(enum side side, struct rudp_session *session, const char *text)
{
    char out[64];
    size_t bytes;

    ck_assert_int_eq(rudp_session_peek(endpoints[side], session, out, sizeof out, &bytes), RUDP_OK);
    ck_assert_uint_eq(bytes, strlen(text));
    ck_assert_mem_eq(out, text, bytes);
    rudp_session_consume(endpoints[side], session, now_us);
}

static void open_to_first(void)
{
    ck_assert_int_eq(rudp_endpoint_open(endpoints[PEER], &to_port, &call, now_us), RUDP_OK);
    send_text(PEER, call, "one");
    run();
    ck_assert_ptr_nonnull(opened[FIRST]);
}

static uint32_t session_count(enum side side)
{
    struct rudp_endpoint_stats stats;

    rudp_endpoint_stats(endpoints[side], &stats);
    return stats.session_count;
}

/* What is unread, unsent, on its way in either direction, and the news of it moves along. */
START_TEST(everything_moves_with_a_session)
{
    start();
    open_to_first();
    struct rudp_session *session = opened[FIRST];

    send_text(PEER, call, "two");
    run();
    send_text(FIRST, session, "answer");
    rudp_session_set_tag(session, 77);
    rudp_endpoint_detach(endpoints[FIRST], session);
    ck_assert_uint_eq(session_count(FIRST), 0);
    ck_assert_int_eq(rudp_endpoint_attach(endpoints[SECOND], session, now_us), RUDP_OK);
    wire = SECOND;
    ck_assert_uint_eq(rudp_session_tag(session), 77);
    ck_assert_ptr_eq(rudp_endpoint_find(endpoints[SECOND], &to_peer.remote), session);
    send_text(PEER, call, "three");
    run();
    check_read(SECOND, session, "one");
    check_read(SECOND, session, "two");
    check_read(SECOND, session, "three");
    check_read(PEER, call, "answer");
    rudp_session_close(endpoints[SECOND], session, now_us);
    run();
    ck_assert_uint_eq(event_counts[SECOND][RUDP_EVENT_CLOSED], 1);
    ck_assert_uint_eq(event_counts[PEER][RUDP_EVENT_CLOSED], 1);
    rudp_session_release(endpoints[SECOND], session);
    finish();
}
END_TEST

/* An event that was not taken yet is raised where the session went. */
START_TEST(untaken_events_move)
{
    uint8_t packet[RUDP_PACKET_BYTES_MAX];
    struct rudp_path path;
    size_t bytes;

    start();
    open_to_first();
    check_read(FIRST, opened[FIRST], "one");
    ck_assert_int_eq(
        rudp_session_peek(endpoints[FIRST], opened[FIRST], packet, sizeof packet, &bytes),
        RUDP_E_EMPTY);
    run();
    send_text(PEER, call, "two");
    bytes = rudp_endpoint_next_packet(endpoints[PEER], &path, packet, sizeof packet, now_us);
    arrive(PEER, packet, bytes);
    rudp_endpoint_detach(endpoints[FIRST], opened[FIRST]);
    ck_assert_int_eq(rudp_endpoint_attach(endpoints[SECOND], opened[FIRST], now_us), RUDP_OK);
    run();
    ck_assert_uint_eq(event_counts[SECOND][RUDP_EVENT_READABLE], 1);
    finish();
}
END_TEST

/* Packets that reach the wrong socket find their session: nothing is reset, nothing comes twice. */
START_TEST(strays_are_claimed_by_their_endpoint)
{
    start();
    open_to_first();
    wire = SECOND;
    send_text(PEER, call, "two");
    run();
    check_read(FIRST, opened[FIRST], "one");
    check_read(FIRST, opened[FIRST], "two");
    rudp_session_close(endpoints[PEER], call, now_us);
    run();
    ck_assert_uint_eq(event_counts[FIRST][RUDP_EVENT_CLOSED], 1);
    ck_assert_uint_eq(event_counts[PEER][RUDP_EVENT_PEER_RESTARTED], 0);
    ck_assert_uint_eq(session_count(SECOND), 0);
    rudp_session_release(endpoints[FIRST], opened[FIRST]);
    finish();
}
END_TEST

/* A hello that is repeated at the other socket belongs to the session it opened at the first. */
START_TEST(repeated_hello_is_claimed)
{
    static uint8_t hello[RUDP_PACKET_BYTES_MAX];
    struct rudp_path path;

    start();
    ck_assert_int_eq(rudp_endpoint_open(endpoints[PEER], &to_port, &call, now_us), RUDP_OK);
    send_text(PEER, call, "one");
    size_t bytes = rudp_endpoint_next_packet(endpoints[PEER], &path, hello, sizeof hello, now_us);
    struct rudp_claim_ids ids;

    ck_assert_int_eq(rudp_endpoint_claim(endpoints[FIRST], &to_peer.remote, hello, bytes, &ids),
                     RUDP_CLAIM_STRAY);
    ck_assert_uint_ne(ids.caller_id, 0);
    ck_assert_uint_eq(ids.session_id, 0);
    arrive(PEER, hello, bytes);
    wire = SECOND;
    arrive(PEER, hello, bytes);
    run();
    ck_assert_uint_eq(session_count(FIRST), 1);
    ck_assert_uint_eq(session_count(SECOND), 0);
    finish();
}
END_TEST

/* What is not of the protocol, or damaged, is nobody's. */
START_TEST(foreign_packets_are_not_claimed)
{
    struct rudp_claim_ids ids = {1, 1};

    start();
    ck_assert_int_eq(
        rudp_endpoint_claim(endpoints[FIRST], &to_peer.remote, (const uint8_t *)"hello", 5, &ids),
        RUDP_CLAIM_NONE);
    ck_assert_uint_eq(ids.session_id, 0);
    ck_assert_uint_eq(ids.caller_id, 0);
    finish();
}
END_TEST

/* Without memory at the new place the session goes on at the old one. */
START_TEST(refused_session_goes_back)
{
    start();
    open_to_first();
    size_t used_bytes = memory.used_bytes;

    rudp_endpoint_detach(endpoints[FIRST], opened[FIRST]);
    memory.cap_bytes = used_bytes;
    ck_assert_int_eq(rudp_endpoint_attach(endpoints[SECOND], opened[FIRST], now_us), RUDP_E_MEMORY);
    ck_assert_int_eq(rudp_endpoint_attach(endpoints[FIRST], opened[FIRST], now_us), RUDP_OK);
    memory.cap_bytes = SIZE_MAX;
    send_text(PEER, call, "two");
    run();
    check_read(FIRST, opened[FIRST], "one");
    check_read(FIRST, opened[FIRST], "two");
    finish();
}
END_TEST

/* Endpoints with one key accept each other's tokens: a second RETRY is not needed. */
START_TEST(tokens_are_shared)
{
    struct rudp_config config;

    start();
    rudp_config_init(&config);
    config.half_open_count_max = 0; /* every hello must carry one */
    for (enum side side = FIRST; side < SIDE_COUNT; side++) {
        rudp_endpoint_destroy(endpoints[side]);
        ck_assert_int_eq(rudp_endpoint_create(&endpoints[side], &config, &memory.host, now_us),
                         RUDP_OK);
        rudp_endpoint_set_token_key(endpoints[side], 1, 2);
    }
    ck_assert_int_eq(rudp_endpoint_open(endpoints[PEER], &to_port, &call, now_us), RUDP_OK);
    (void)step(PEER);
    (void)step(FIRST);
    wire = SECOND;
    run();
    struct rudp_endpoint_stats stats;

    rudp_endpoint_stats(endpoints[SECOND], &stats);
    ck_assert_uint_eq(stats.dropped_count[RUDP_DROP_TOKEN], 0);
    ck_assert_uint_eq(stats.session_count, 1);
    finish();
}
END_TEST

static struct rudp_session *open_held(void)
{
    struct rudp_session *session;

    wire = SECOND;
    ck_assert_int_eq(rudp_endpoint_open(endpoints[SECOND], &to_peer, &session, now_us), RUDP_OK);
    rudp_endpoint_hold_hello(endpoints[SECOND], &to_peer.remote, now_us + 60 * RUDP_US_PER_S,
                             now_us);
    send_text(SECOND, session, "answer");
    return session;
}

/* A hello that is held leaves when it is let go; one that has left is not held. */
START_TEST(held_hello_waits)
{
    start();
    struct rudp_session *session = open_held();

    run();
    ck_assert_ptr_null(opened[PEER]);
    rudp_endpoint_hold_hello(endpoints[SECOND], &to_peer.remote, now_us, now_us);
    run();
    ck_assert_ptr_nonnull(opened[PEER]);
    rudp_endpoint_hold_hello(endpoints[SECOND], &to_peer.remote, RUDP_NEVER, now_us);
    send_text(SECOND, session, "more");
    run();
    check_read(PEER, opened[PEER], "answer");
    check_read(PEER, opened[PEER], "more");
    finish();
}
END_TEST

/* The peer's own call ends the wait, and both are one session. */
START_TEST(call_ends_a_hold)
{
    start();
    struct rudp_session *session = open_held();

    ck_assert_int_eq(rudp_endpoint_open(endpoints[PEER], &to_port, &call, now_us), RUDP_OK);
    send_text(PEER, call, "one");
    run();
    check_read(SECOND, session, "one");
    check_read(PEER, call, "answer");
    ck_assert_uint_eq(session_count(PEER), 1);
    ck_assert_uint_eq(session_count(SECOND), 1);
    finish();
}
END_TEST

/* A peer goes to the other endpoint on the port, which opens a session while the first one closes
 * its own: what the first has read does not come again, what it has not comes to the other. */
START_TEST(closed_peer_goes_to_the_one_that_holds)
{
    start();
    open_to_first();
    check_read(FIRST, opened[FIRST], "one");
    struct rudp_session *session = open_held();

    ck_assert(rudp_endpoint_knows(endpoints[FIRST], &to_peer.remote));
    rudp_session_close(endpoints[FIRST], opened[FIRST], now_us);
    send_text(PEER, call, "two");
    run();
    ck_assert(!rudp_endpoint_knows(endpoints[FIRST], &to_peer.remote));
    check_read(SECOND, session, "two");
    check_read(PEER, call, "answer");
    rudp_session_release(endpoints[FIRST], opened[FIRST]);
    finish();
}
END_TEST

/* What was passed on is confirmed when all of it is. */
START_TEST(passed_on_is_confirmed)
{
    char text[8];
    size_t bytes;

    start();
    open_to_first();
    struct rudp_session *session = opened[FIRST];

    ck_assert(rudp_session_is_confirmed(session));
    ck_assert_int_eq(rudp_session_peek(endpoints[FIRST], session, text, sizeof text, &bytes),
                     RUDP_OK);
    rudp_session_pass_on(endpoints[FIRST], session, now_us);
    ck_assert(!rudp_session_is_confirmed(session));
    rudp_session_confirm(endpoints[FIRST], session, rudp_message_stream_bytes(bytes), now_us);
    ck_assert(!rudp_session_is_confirmed(session));
    rudp_session_confirm(endpoints[FIRST], session, 0, now_us);
    ck_assert(rudp_session_is_confirmed(session));
    finish();
}
END_TEST

int main(void)
{
    return SUITE_RUN("endpoint_share", everything_moves_with_a_session, untaken_events_move,
                     strays_are_claimed_by_their_endpoint, repeated_hello_is_claimed,
                     foreign_packets_are_not_claimed, refused_session_goes_back, tokens_are_shared,
                     held_hello_waits, call_ends_a_hold, closed_peer_goes_to_the_one_that_holds,
                     passed_on_is_confirmed);
}
