/* Peers that are not there, die, start again, or stop reading: an error or a delivery, never a
 * hang. */
#include "tests/core/suite.h"
#include "tests/engine/node.h"
#include "tests/engine/pair.h"
#include "tests/engine/process.h"

#include <pthread.h>
#include <sched.h>
#include <unistd.h>

static struct rudp_settings quick_settings(void)
{
    struct rudp_settings settings;

    rudp_settings_init(&settings);
    settings.rto_initial_ms = 50;
    settings.rto_max_ms = 100;
    settings.retries = 4;
    settings.linger_ms = 300;
    return settings;
}

static rudp_client *client_of(uint16_t port, const struct rudp_settings *settings)
{
    rudp_client *client;

    ck_assert_int_eq(rudp_client_create(&client, "127.0.0.1", port, settings), RUDP_ERR_NONE);
    return client;
}

/* Connecting to a peer that never answers ends with RUDP_ERR_TIMEOUT, and may be tried again. */
START_TEST(connect_to_a_mute_peer_times_out)
{
    struct rudp_settings settings = quick_settings();
    int fd = node_socket("127.0.0.1", 0);

    settings.connect_timeout_ms = 300;
    rudp_client *client = client_of(node_socket_port(fd), &settings);

    ck_assert_int_eq(rudp_client_connect(client), RUDP_ERR_TIMEOUT);
    ck_assert_int_eq(rudp_client_connect(client), RUDP_ERR_TIMEOUT);
    ck_assert_int_eq(rudp_client_close(client), RUDP_ERR_NONE);
}
END_TEST

static void *connect_client(void *client)
{
    ck_assert_int_eq(rudp_client_connect(client), RUDP_ERR_NONE);
    return NULL;
}

/* A server that starts while the client connects is reached: a refusal at first is not the end. */
START_TEST(connect_waits_for_a_server_to_start)
{
    int fd = node_socket("127.0.0.1", 0);
    uint16_t port = node_socket_port(fd);
    rudp_client *client = client_of(port, NULL);
    rudp_server *server;
    pthread_t thread;

    close(fd);
    pthread_create(&thread, NULL, connect_client, client);
    /* Refused by now, most likely; the test holds either way. */
    sched_yield();
    ck_assert_int_eq(rudp_server_create(&server, "127.0.0.1", port, NULL), RUDP_ERR_NONE);
    ck_assert_int_eq(rudp_server_listen(server, 1), RUDP_ERR_NONE);
    pthread_join(thread, NULL);
    rudp_client_close(client);
    rudp_server_shutdown(server);
}
END_TEST

/* Thousands of messages go to another process, which checks each. */
START_TEST(messages_to_another_process)
{
    struct process peer = process_start(PEER_PATH, "count", 0);
    rudp_client *client = client_of(peer.port, NULL);

    ck_assert_int_eq(rudp_client_connect(client), RUDP_ERR_NONE);
    for (uint64_t number = 0; number < 3000; number++)
        pair_client_send(client, number);
    ck_assert_int_eq(rudp_client_close(client), RUDP_ERR_NONE);
    ck_assert_uint_eq(process_finish(&peer), 3000);
}
END_TEST

/* Thousands of messages come back from another process. */
START_TEST(echo_through_another_process)
{
    struct process peer = process_start(PEER_PATH, "echo", 0);
    rudp_client *client = client_of(peer.port, NULL);

    ck_assert_int_eq(rudp_client_connect(client), RUDP_ERR_NONE);
    for (uint64_t number = 0; number < 2000; number++) {
        pair_client_send(client, number);
        if (number >= 100)
            pair_client_receive(client, number - 100);
    }
    for (uint64_t number = 1900; number < 2000; number++)
        pair_client_receive(client, number);
    ck_assert_int_eq(rudp_client_close(client), RUDP_ERR_NONE);
    process_kill(&peer);
}
END_TEST

/* A peer that is killed ends the connection with an error: the receiver does not wait for ever. */
START_TEST(killed_peer_is_an_error)
{
    struct process peer = process_start(PEER_PATH, "mute", 0);
    struct rudp_settings settings = quick_settings();
    uint8_t byte = 0;
    rudp_client *client = client_of(peer.port, &settings);

    ck_assert_int_eq(rudp_client_connect(client), RUDP_ERR_NONE);
    process_kill(&peer);
    ck_assert_int_eq(rudp_client_send(client, &byte, 1, PATIENCE_MS), RUDP_ERR_NONE);
    ck_assert_int_eq(rudp_client_receive(client, &byte, 1, PATIENCE_MS), RUDP_ERR_TIMEOUT);
    ck_assert_int_eq(rudp_client_send(client, &byte, 1, 0), RUDP_ERR_TIMEOUT);
    ck_assert_int_eq(rudp_client_close(client), RUDP_ERR_UNDELIVERED);
}
END_TEST

/* An idle connection notices by its keepalive that the peer is gone. */
START_TEST(keepalive_notices_a_killed_peer)
{
    struct process peer = process_start(PEER_PATH, "mute", 0);
    struct rudp_settings settings = quick_settings();
    uint8_t byte;

    settings.keepalive_ms = 100;
    rudp_client *client = client_of(peer.port, &settings);

    ck_assert_int_eq(rudp_client_connect(client), RUDP_ERR_NONE);
    process_kill(&peer);
    ck_assert_int_eq(rudp_client_receive(client, &byte, 1, PATIENCE_MS), RUDP_ERR_TIMEOUT);
    ck_assert_int_eq(rudp_client_close(client), RUDP_ERR_NONE);
}
END_TEST

/* A server that is killed and started again on its port gets every message that the first one had
 * not delivered; the client only notices in its statistics. */
START_TEST(client_survives_a_server_restart)
{
    struct process first = process_start(PEER_PATH, "mute", 0);
    struct rudp_stats stats = {.struct_bytes = sizeof stats};
    rudp_client *client = client_of(first.port, NULL);

    ck_assert_int_eq(rudp_client_connect(client), RUDP_ERR_NONE);
    for (uint64_t number = 0; number < 200; number++)
        pair_client_send(client, number);
    process_kill(&first); /* it has read nothing */
    struct process second = process_start(PEER_PATH, "count", first.port);

    for (uint64_t number = 200; number < 1000; number++)
        pair_client_send(client, number);
    ck_assert_int_eq(rudp_client_stats(client, &stats), RUDP_ERR_NONE);
    ck_assert_int_eq(rudp_client_close(client), RUDP_ERR_NONE);
    ck_assert_uint_eq(process_finish(&second), 1000);
}
END_TEST

/* Closing with data that nobody acknowledges ends after the linger time and says so. */
START_TEST(close_reports_what_was_not_delivered)
{
    struct process peer = process_start(PEER_PATH, "mute", 0);
    struct rudp_settings settings = quick_settings();

    settings.retries = 1000; /* the linger time must end it, not a dead peer */
    rudp_client *client = client_of(peer.port, &settings);

    ck_assert_int_eq(rudp_client_connect(client), RUDP_ERR_NONE);
    process_kill(&peer);
    pair_client_send(client, 3);
    ck_assert_int_eq(rudp_client_close(client), RUDP_ERR_UNDELIVERED);
}
END_TEST

/* The bound on the process's memory is back-pressure too: sends wait, nothing is lost. */
START_TEST(memory_bound_loses_nothing)
{
    struct process peer = process_start(PEER_PATH, "count", 0);

    engine_set_memory_max(512 * 1024);
    rudp_client *client = client_of(peer.port, NULL);

    ck_assert_int_eq(rudp_client_connect(client), RUDP_ERR_NONE);
    for (uint64_t number = 0; number < 1000; number++) {
        pair_client_send(client, number);
        ck_assert_uint_le(engine_memory_used(), 512 * 1024);
    }
    ck_assert_int_eq(rudp_client_close(client), RUDP_ERR_NONE);
    ck_assert_uint_eq(process_finish(&peer), 1000);
}
END_TEST

int main(void)
{
    return SUITE_RUN("failure", connect_to_a_mute_peer_times_out,
                     connect_waits_for_a_server_to_start, messages_to_another_process,
                     echo_through_another_process, killed_peer_is_an_error,
                     keepalive_notices_a_killed_peer, client_survives_a_server_restart,
                     close_reports_what_was_not_delivered, memory_bound_loses_nothing);
}
