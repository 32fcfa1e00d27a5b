/* test_mend.c - an endpoint whose process is killed anywhere in its work, mended and gone on with:
 * of all sessions but the one in change nothing is lost, and nothing comes twice. */
#include "core/endpoint_state.h"
#include "engine/memory.h"
#include "engine/random.h"
#include "tests/core/suite.h"

#include <check.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#define CALLER_COUNT   6u
#define CALLER_PORT    1000u
#define ROUND_COUNT    60u
#define STEP_US        50u
#define STEP_COUNT_MAX 400000u
#define MORE_COUNT     20u /* messages that must arrive on each side after a kill */
#define BOUND_BYTES    ((size_t)64 << 20)

/* One end of a conversation: numbers go out, numbers come in. */
struct end {
    struct rudp_session *session;
    uint32_t sent_count;
    uint32_t received_count;
};

struct caller {
    struct rudp_endpoint *endpoint;
    struct end own;
    struct end served; /* at the server */
    bool is_lost;      /* its session at the server was in change: numbers may be missing */
};

/* In memory that both processes share. */
struct world {
    struct rudp_host host;
    struct rudp_endpoint *server;
    struct caller callers[CALLER_COUNT];
    uint64_t now_us;
    _Atomic uint32_t step_count;
};

static const struct rudp_path to_server = {.remote = {.ip = {10, 0, 0, 1}, .port = 1}};

static struct rudp_path path_to_caller(uint32_t index)
{
    return (struct rudp_path){
        .remote = {.ip = {10, 0, 0, 2}, .port = (uint16_t)(CALLER_PORT + index)}};
}

static struct caller *caller_of(struct world *world, const struct rudp_session *session)
{
    return &world->callers[rudp_session_path(session)->remote.port - CALLER_PORT];
}

static struct world *create_world(struct engine_arena *arena)
{
    struct world *world = engine_arena_take(arena, sizeof *world);
    struct rudp_config config;

    *world = (struct world){
        .host = {.allocator = {arena, engine_memory_allocate, engine_memory_release},
                 .random = {.fill = engine_random_fill}},
        .now_us = RUDP_US_PER_S,
    };
    rudp_config_init(&config);
    config.reopens = true;
    ck_assert_int_eq(rudp_endpoint_create(&world->server, &config, &world->host, world->now_us),
                     RUDP_OK);
    for (uint32_t i = 0; i < CALLER_COUNT; i++) {
        struct caller *caller = &world->callers[i];

        ck_assert_int_eq(
            rudp_endpoint_create(&caller->endpoint, &config, &world->host, world->now_us), RUDP_OK);
        ck_assert_int_eq(
            rudp_endpoint_open(caller->endpoint, &to_server, &caller->own.session, world->now_us),
            RUDP_OK);
    }
    return world;
}

/* Not ck_assert: that writes to a file that the process which is killed would leave torn, too. */
static void require(bool holds)
{
    if (!holds)
        abort();
}

static void send_number(const struct world *world, struct rudp_endpoint *endpoint, struct end *end)
{
    const struct rudp_slice slice = {.data = &end->sent_count, .bytes = sizeof end->sent_count};

    if (end->session != NULL &&
        rudp_session_send(endpoint, end->session, &slice, 1, world->now_us) == RUDP_OK)
        end->sent_count++;
}

static void read_numbers(const struct world *world, struct rudp_endpoint *endpoint, struct end *end,
                         bool is_lost)
{
    uint32_t number;
    size_t bytes;

    while (end->session != NULL &&
           rudp_session_peek(endpoint, end->session, &number, sizeof number, &bytes) == RUDP_OK) {
        require(bytes == sizeof number);
        require(is_lost || number == end->received_count);
        rudp_session_consume(endpoint, end->session, world->now_us);
        end->received_count++;
    }
}

static void take_server_events(struct world *world)
{
    struct rudp_event event;

    while (rudp_endpoint_next_event(world->server, &event)) {
        struct caller *caller = caller_of(world, event.session);

        if (event.type == RUDP_EVENT_OPENED)
            caller->served.session = event.session;
        if (event.type != RUDP_EVENT_CLOSED)
            continue;
        require(caller->is_lost);
        if (caller->served.session == event.session)
            caller->served.session = NULL;
        rudp_session_release(world->server, event.session);
    }
}

static void take_caller_events(struct caller *caller)
{
    struct rudp_event event;

    while (rudp_endpoint_next_event(caller->endpoint, &event))
        require(event.type != RUDP_EVENT_CLOSED &&
                (caller->is_lost || event.type != RUDP_EVENT_PEER_RESTARTED));
}

static void exchange_packets(struct world *world, uint32_t index)
{
    static uint8_t packet[RUDP_PACKET_BYTES_MAX];
    const struct rudp_path from = path_to_caller(index);
    struct rudp_path path;
    size_t bytes;

    while ((bytes = rudp_endpoint_next_packet(world->callers[index].endpoint, &path, packet,
                                              sizeof packet, world->now_us)) > 0)
        (void)rudp_endpoint_receive(world->server, &from, packet, bytes, world->now_us);
    while ((bytes = rudp_endpoint_next_packet(world->server, &path, packet, sizeof packet,
                                              world->now_us)) > 0)
        (void)rudp_endpoint_receive(world->callers[path.remote.port - CALLER_PORT].endpoint,
                                    &to_server, packet, bytes, world->now_us);
}

static void step(struct world *world)
{
    uint32_t index = world->step_count % CALLER_COUNT;
    struct caller *caller = &world->callers[index];

    send_number(world, caller->endpoint, &caller->own);
    send_number(world, world->server, &caller->served);
    exchange_packets(world, index);
    take_server_events(world);
    take_caller_events(caller);
    read_numbers(world, caller->endpoint, &caller->own, caller->is_lost);
    read_numbers(world, world->server, &caller->served, caller->is_lost);
    world->now_us += STEP_US;
    rudp_endpoint_advance(world->server, world->now_us);
    for (uint32_t i = 0; i < CALLER_COUNT; i++)
        rudp_endpoint_advance(world->callers[i].endpoint, world->now_us);
    world->step_count++;
}

static void run_until_killed(struct world *world)
{
    for (;;)
        step(world);
}

/* Kills whoever works with the world, wherever it is. */
static void run_and_kill(struct world *world, uint32_t step_count)
{
    int status;
    pid_t pid = fork();

    if (pid == 0)
        run_until_killed(world);
    while (world->step_count < step_count)
        sched_yield();
    ck_assert_int_eq(kill(pid, SIGKILL), 0);
    ck_assert_int_eq(waitpid(pid, &status, 0), pid);
    ck_assert(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
}

static bool callers_are_whole(const struct world *world)
{
    for (uint32_t i = 0; i < CALLER_COUNT; i++)
        if (rudp_endpoint_is_torn(world->callers[i].endpoint))
            return false;
    return true;
}

static bool all_have_more(const struct world *world, const struct caller *before)
{
    for (uint32_t i = 0; i < CALLER_COUNT; i++) {
        const struct caller *caller = &world->callers[i];

        if (caller->own.received_count < before[i].own.received_count + MORE_COUNT ||
            caller->served.received_count < before[i].served.received_count + MORE_COUNT)
            return false;
    }
    return true;
}

/* Every conversation goes on; that of the session in change begins anew. */
static void check_mended(struct world *world)
{
    struct caller before[CALLER_COUNT];
    struct rudp_session *lost;

    ck_assert_int_eq(rudp_endpoint_mend(world->server, &lost, world->now_us), RUDP_OK);
    ck_assert(!rudp_endpoint_is_torn(world->server));
    for (uint32_t i = 0; i < CALLER_COUNT; i++) {
        struct caller *caller = &world->callers[i];

        caller->is_lost = lost != NULL && caller->served.session == lost;
        if (caller->is_lost)
            caller->served.session = NULL;
    }
    rudp_endpoint_repeat_events(world->server);
    memcpy(before, world->callers, sizeof before);
    for (uint32_t i = 0; i < STEP_COUNT_MAX && !all_have_more(world, before); i++)
        step(world);
    ck_assert(all_have_more(world, before));
}

START_TEST(all_sessions_but_one_go_on)
{
    uint32_t torn_count = 0;

    for (uint32_t round = 0; round < ROUND_COUNT; round++) {
        struct engine_arena *arena = engine_arena_create(ENGINE_ARENA_SHARED, BOUND_BYTES);
        struct world *world = create_world(arena);

        run_and_kill(world, 1 + round * 17);
        if (rudp_endpoint_is_torn(world->server) && callers_are_whole(world)) {
            check_mended(world);
            torn_count++;
        }
        engine_arena_destroy(arena);
    }
    ck_assert_uint_gt(torn_count, 0);
}
END_TEST

/* What may be half done in more than one session is not mended. */
START_TEST(half_done_endpoint_is_refused)
{
    struct engine_arena *arena = engine_arena_create(ENGINE_ARENA_SHARED, BOUND_BYTES);
    struct world *world = create_world(arena);
    struct rudp_session *lost;

    world->server->tear = ENDPOINT_TORN;
    ck_assert_int_eq(rudp_endpoint_mend(world->server, &lost, world->now_us), RUDP_E_INVALID);
    ck_assert(rudp_endpoint_is_torn(world->server));
}
END_TEST

int main(void)
{
    return SUITE_RUN("mend", all_sessions_but_one_go_on, half_done_endpoint_is_refused);
}
