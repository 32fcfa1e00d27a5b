/* The engine's life: timers, watches, flushing, bounds, ends. */
#include "tests/core/suite.h"
#include "tests/engine/node.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <string.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>

/* Destroying frees the port at once. */
START_TEST(destroy_frees_the_port)
{
    static struct node node;

    node_open(&node, "127.0.0.1", NULL);
    node_close(&node);
    close(node_socket("127.0.0.1", node.port));
}
END_TEST

/* A socket destroyed in the middle of traffic ends without a callback afterwards. */
START_TEST(destroy_under_traffic)
{
    static struct node server = {.echoes = true};
    static struct node client;

    node_open(&server, "127.0.0.1", NULL);
    for (uint32_t round = 0; round < 50; round++) {
        memset(&client, 0, sizeof client);
        node_open(&client, "127.0.0.1", NULL);
        struct rudp_session *session = node_connect(&client, "127.0.0.1", server.port);

        for (uint64_t number = 0; number < 20; number++)
            node_send(&client, session, number);
        node_close(&client);
        uint64_t received_count = client.received_count;

        sched_yield();
        ck_assert_uint_eq(client.received_count, received_count);
    }
    node_close(&server);
}
END_TEST

static void note_retired(void *context)
{
    struct node *node = context;

    /* The node's own monitor is gone: the wait is woken as if from inside. */
    __atomic_store_n(&node->ready_count, 1, __ATOMIC_RELEASE);
    engine_wait_wake(&node->changed);
}

static void retire_when_closed(void *context, struct engine_socket *sock,
                               const struct rudp_event *event)
{
    if (event->type != RUDP_EVENT_CLOSED)
        return;
    rudp_session_release(engine_socket_endpoint(sock), event->session);
    engine_socket_retire(sock, note_retired);
    (void)context;
}

static void wait_retired(struct node *node)
{
    while (__atomic_load_n(&node->ready_count, __ATOMIC_ACQUIRE) == 0) {
        uint32_t ticket = engine_wait_ticket(&node->changed);

        if (__atomic_load_n(&node->ready_count, __ATOMIC_ACQUIRE) == 0)
            engine_wait_sleep(&node->changed, ticket, engine_now_us() + RUDP_US_PER_MS);
    }
}

/* A socket may end itself in a callback; the port is free when on_retired runs. */
START_TEST(retire_in_a_callback)
{
    static struct node node;
    struct engine_handler handler = {.on_event = retire_when_closed};
    struct rudp_config config;
    int fd = node_socket("127.0.0.1", 0);
    uint16_t port = node_socket_port(fd);

    rudp_config_init(&config);
    ck_assert_int_eq(engine_socket_create(&node.sock, fd,
                                          &(struct engine_socket_options){
                                              .config = &config,
                                              .handler = &handler,
                                              .context = &node,
                                          }),
                     0);
    struct rudp_session *session = node_connect(&node, "127.0.0.1", 9);

    engine_socket_enter(node.sock);
    rudp_session_abort(engine_socket_endpoint(node.sock), session, engine_now_us());
    engine_socket_leave(node.sock);
    wait_retired(&node);
    close(node_socket("127.0.0.1", port));
}
END_TEST

/* flush returns true once all that was sent is acknowledged. */
START_TEST(flush_waits_for_acknowledgement)
{
    static struct node server;
    static struct node client;

    node_open(&server, "127.0.0.1", NULL);
    node_open(&client, "127.0.0.1", NULL);
    struct rudp_session *session = node_connect(&client, "127.0.0.1", server.port);

    for (uint64_t number = 0; number < 200; number++)
        node_send(&client, session, number);
    ck_assert(engine_socket_flush(client.sock, 20 * RUDP_US_PER_S));
    engine_socket_enter(client.sock);
    ck_assert(rudp_session_is_flushed(session));
    engine_socket_leave(client.sock);
    node_close(&client);
    node_close(&server);
}
END_TEST

static uint64_t processor_us(void)
{
    struct timespec used;

    ck_assert_int_eq(clock_gettime(CLOCK_THREAD_CPUTIME_ID, &used), 0);
    return (uint64_t)used.tv_sec * RUDP_US_PER_S + (uint64_t)used.tv_nsec / 1000;
}

/* flush gives up when its time is over and nobody acknowledges; it sleeps until then. */
START_TEST(flush_gives_up_in_time)
{
    const uint64_t limit_us = 300 * RUDP_US_PER_MS;
    static struct node client;
    int mute_fd = node_socket("127.0.0.1", 0);
    uint64_t started_us = engine_now_us();

    node_open(&client, "127.0.0.1", NULL);
    node_send(&client, node_connect(&client, "127.0.0.1", node_socket_port(mute_fd)), 1);
    uint64_t used_us = processor_us();

    ck_assert(!engine_socket_flush(client.sock, limit_us));
    ck_assert_uint_ge(engine_now_us() - started_us, limit_us);
    ck_assert_uint_lt(processor_us() - used_us, limit_us / 10);
    node_close(&client);
}
END_TEST

/* A deadline of the core fires although nothing arrives: connecting to a mute peer ends after the
 * connect timeout, not before it. */
START_TEST(timer_fires_without_traffic)
{
    static struct node client;
    int mute_fd = node_socket("127.0.0.1", 0);
    struct rudp_config config;
    uint64_t started_us = engine_now_us();

    rudp_config_init(&config);
    config.connect_timeout_us = 300 * RUDP_US_PER_MS;
    config.rto_initial_us = 50 * RUDP_US_PER_MS;
    node_open(&client, "127.0.0.1", &config);
    node_send(&client, node_connect(&client, "127.0.0.1", node_socket_port(mute_fd)), 1);
    node_wait(&client, node_has_closed, 1);
    ck_assert_uint_ge(engine_now_us() - started_us, config.connect_timeout_us);
    ck_assert_int_eq(client.close_reason, RUDP_CLOSE_REASON_CONNECT_TIMEOUT);
    ck_assert_uint_gt(client.undelivered_bytes, 0);
    node_close(&client);
}
END_TEST

/* errno is the program's: an enter and leave between do not change it. */
START_TEST(errno_is_kept)
{
    static struct node node;

    node_open(&node, "127.0.0.1", NULL);
    errno = ELOOP;
    node_connect(&node, "255.255.255.255", 9); /* the kernel refuses its packet */
    ck_assert_int_eq(errno, ELOOP);
    node_close(&node);
}
END_TEST

/* A watched descriptor calls back when ready, and not while paused. */
START_TEST(watch_calls_back)
{
    static struct node node;
    int fd = eventfd(1, EFD_NONBLOCK | EFD_CLOEXEC);

    node_open(&node, "127.0.0.1", NULL);
    for (uint32_t round = 1; round <= 3; round++) { /* the callback pauses the watch each time */
        engine_socket_enter(node.sock);
        ck_assert_uint_eq(node.ready_count, round - 1);
        ck_assert_int_eq(engine_socket_watch(node.sock, fd, EPOLLIN, node_on_ready), 0);
        engine_socket_leave(node.sock);
        node_wait(&node, node_has_ready, round);
    }
    node_close(&node);
    ck_assert_int_eq(fcntl(fd, F_GETFD), FD_CLOEXEC); /* still the caller's */
}
END_TEST

static int create_on(int fd, const struct rudp_config *config)
{
    static const struct engine_handler handler = {.on_event = retire_when_closed};
    struct engine_socket *sock;

    return engine_socket_create(
        &sock, fd, &(struct engine_socket_options){.config = config, .handler = &handler});
}

/* What is not a UDP socket, or a bad configuration, is refused, and the descriptor stays open. */
START_TEST(create_refuses_what_it_cannot_use)
{
    struct rudp_config config;
    int tcp_fd = socket(AF_INET, SOCK_STREAM, 0);
    int unix_fd = socket(AF_UNIX, SOCK_DGRAM, 0);
    int udp_fd = node_socket("127.0.0.1", 0);

    rudp_config_init(&config);
    ck_assert_int_eq(create_on(tcp_fd, &config), -EPROTOTYPE);
    ck_assert_int_eq(create_on(unix_fd, &config), -EAFNOSUPPORT);
    ck_assert_int_eq(create_on(-1, &config), -EBADF);
    ck_assert_int_eq(create_on(0x7ffffff, &config), -EBADF);
    config.rto_min_us = 0;
    ck_assert_int_eq(create_on(udp_fd, &config), -EINVAL);
    ck_assert_int_ge(fcntl(tcp_fd, F_GETFD), 0);
    ck_assert_int_ge(fcntl(udp_fd, F_GETFD), 0);
}
END_TEST

/* Wake-ups of the thread are the exception: ten thousand messages need far fewer. */
START_TEST(wakes_are_avoided)
{
    static struct node server = {.echoes = true};
    static struct node client;
    struct engine_socket_stats stats;

    node_open(&server, "127.0.0.1", NULL);
    node_open(&client, "127.0.0.1", NULL);
    struct rudp_session *session = node_connect(&client, "127.0.0.1", server.port);

    for (uint64_t number = 0; number < 10000; number++)
        node_send(&client, session, number % 60 == 1 ? 1 : 0);
    engine_socket_flush(client.sock, 20 * RUDP_US_PER_S);
    engine_socket_stats(client.sock, &stats);
    ck_assert_uint_lt(stats.wake_count, 2000);
    ck_assert_uint_gt(stats.wake_avoided_count, 0);
    node_close(&client);
    node_close(&server);
}
END_TEST

/* The bound on memory is back-pressure: a send is refused, not lost, and goes on below the bound.
 */
START_TEST(memory_bound_is_back_pressure)
{
    static struct node client;
    static uint8_t message[60000];
    struct rudp_slice slice = {.data = message, .bytes = sizeof message};
    int mute_fd = node_socket("127.0.0.1", 0);
    enum rudp_status status = RUDP_OK;

    engine_set_memory_max(512 * 1024);
    node_open(&client, "127.0.0.1", NULL);
    struct rudp_session *session = node_connect(&client, "127.0.0.1", node_socket_port(mute_fd));
    uint32_t sent_count = 0;

    engine_socket_enter(client.sock);
    while (status == RUDP_OK) {
        status = rudp_session_send(engine_socket_endpoint(client.sock), session, &slice, 1,
                                   engine_now_us());
        sent_count++;
    }
    engine_socket_leave(client.sock);
    ck_assert_int_eq(status, RUDP_E_MEMORY);
    ck_assert_uint_gt(sent_count, 2);
    ck_assert_uint_le(engine_memory_used(), 512 * 1024);
    node_close(&client);
}
END_TEST

int main(void)
{
    return SUITE_RUN("life", destroy_frees_the_port, destroy_under_traffic, retire_in_a_callback,
                     flush_waits_for_acknowledgement, flush_gives_up_in_time,
                     timer_fires_without_traffic, errno_is_kept, watch_calls_back,
                     create_refuses_what_it_cannot_use, wakes_are_avoided,
                     memory_bound_is_back_pressure);
}
