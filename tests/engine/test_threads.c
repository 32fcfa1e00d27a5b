/* Many threads on one object, many connections on one server. */
#include "engine/api.h"
#include "tests/core/suite.h"
#include "tests/engine/pair.h"

#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <string.h>

#define THREAD_COUNT     4u
#define MESSAGE_COUNT    500u /* of each thread */
#define CONNECTION_COUNT 500u
#define VISIT_COUNT      50u /* of each thread */

/* --- One connection, many threads ------------------------------------------------------------- */

static struct pair shared;
static _Atomic uint32_t seen_count[THREAD_COUNT][MESSAGE_COUNT];

struct note {
    uint32_t thread;
    uint32_t number;
};

static void *send_notes(void *argument)
{
    uint32_t thread = (uint32_t)(uintptr_t)argument;

    for (uint32_t number = 0; number < MESSAGE_COUNT; number++) {
        struct note note = {.thread = thread, .number = number};

        ck_assert_int_eq(rudp_client_send(shared.client, &note, sizeof note, PATIENCE_MS),
                         RUDP_ERR_NONE);
    }
    return NULL;
}

/* Ends with the connection: the sum over all threads is what counts. */
static void *receive_notes(void *argument)
{
    struct note note;
    int64_t bytes;

    while ((bytes = rudp_connection_receive(shared.connection, &note, sizeof note, PATIENCE_MS)) ==
           sizeof note)
        atomic_fetch_add(&seen_count[note.thread][note.number], 1);
    ck_assert_int_eq(bytes, RUDP_ERR_CLOSED);
    return argument;
}

/* Four threads send and four receive on one connection: each message arrives once. */
START_TEST(threads_share_a_connection)
{
    pthread_t senders[THREAD_COUNT];
    pthread_t receivers[THREAD_COUNT];

    pair_open(&shared, NULL);
    for (uint32_t i = 0; i < THREAD_COUNT; i++) {
        pthread_create(&receivers[i], NULL, receive_notes, NULL);
        pthread_create(&senders[i], NULL, send_notes, (void *)(uintptr_t)i);
    }
    for (uint32_t i = 0; i < THREAD_COUNT; i++)
        pthread_join(senders[i], NULL);
    ck_assert_int_eq(rudp_client_close(shared.client), RUDP_ERR_NONE);
    for (uint32_t i = 0; i < THREAD_COUNT; i++)
        pthread_join(receivers[i], NULL);
    for (uint32_t i = 0; i < THREAD_COUNT; i++) {
        for (uint32_t number = 0; number < MESSAGE_COUNT; number++)
            ck_assert_uint_eq(seen_count[i][number], 1);
    }
    ck_assert_int_eq(rudp_connection_close(shared.connection), RUDP_ERR_NONE);
    rudp_server_shutdown(shared.server);
}
END_TEST

/* --- Threads in accept ------------------------------------------------------------------------ */

static void *wait_in_accept(void *argument)
{
    rudp_connection *connection;

    ck_assert_int_eq(rudp_server_accept(argument, &connection, -1), RUDP_ERR_NOT_LISTENING);
    ck_assert_ptr_null(connection);
    return NULL;
}

/* No call tells who waits in accept, and a thread that comes later would come to a freed server. */
static void wait_for_acceptors(rudp_server *server, uint32_t count)
{
    uint32_t accept_count = 0;

    while (accept_count < count) {
        engine_socket_enter(server->hub->sock);
        accept_count = server->accept_count;
        engine_socket_leave(server->hub->sock);
        sched_yield();
    }
}

/* Shutting down makes the threads that wait in accept return, and waits for them. */
START_TEST(shutdown_ends_accept)
{
    pthread_t threads[THREAD_COUNT];
    rudp_server *server = pair_server(NULL);

    for (uint32_t i = 0; i < THREAD_COUNT; i++)
        pthread_create(&threads[i], NULL, wait_in_accept, server);
    wait_for_acceptors(server, THREAD_COUNT);
    ck_assert_int_eq(rudp_server_shutdown(server), RUDP_ERR_NONE);
    for (uint32_t i = 0; i < THREAD_COUNT; i++)
        pthread_join(threads[i], NULL);
}
END_TEST

/* --- Many connections ------------------------------------------------------------------------- */

static void *echo_all(void *argument)
{
    static rudp_connection *connections[CONNECTION_COUNT];
    rudp_server *server = argument;
    uint8_t message[64];

    for (uint32_t i = 0; i < CONNECTION_COUNT; i++)
        ck_assert_int_eq(rudp_server_accept(server, &connections[i], PATIENCE_MS), RUDP_ERR_NONE);
    for (uint32_t i = 0; i < CONNECTION_COUNT; i++) {
        int64_t bytes =
            rudp_connection_receive(connections[i], message, sizeof message, PATIENCE_MS);

        ck_assert_int_ge(bytes, 0);
        ck_assert_int_eq(rudp_connection_send(connections[i], message, (size_t)bytes, PATIENCE_MS),
                         RUDP_ERR_NONE);
    }
    for (uint32_t i = 0; i < CONNECTION_COUNT; i++)
        ck_assert_int_eq(rudp_connection_close(connections[i]), RUDP_ERR_NONE);
    return NULL;
}

/* Five hundred clients of one server each get their own message back. */
START_TEST(five_hundred_connections)
{
    static rudp_client *clients[CONNECTION_COUNT];
    pthread_t thread;
    rudp_server *server = pair_server(NULL);

    pthread_create(&thread, NULL, echo_all, server);
    for (uint32_t i = 0; i < CONNECTION_COUNT; i++) {
        clients[i] = pair_client(server, NULL);
        ck_assert_int_eq(rudp_client_connect(clients[i]), RUDP_ERR_NONE);
        ck_assert_int_eq(rudp_client_send(clients[i], &i, sizeof i, PATIENCE_MS), RUDP_ERR_NONE);
    }
    for (uint32_t i = 0; i < CONNECTION_COUNT; i++) {
        uint32_t back = CONNECTION_COUNT;

        ck_assert_int_eq(rudp_client_receive(clients[i], &back, sizeof back, PATIENCE_MS),
                         sizeof back);
        ck_assert_uint_eq(back, i);
    }
    for (uint32_t i = 0; i < CONNECTION_COUNT; i++)
        ck_assert_int_eq(rudp_client_close(clients[i]), RUDP_ERR_NONE);
    pthread_join(thread, NULL);
    rudp_server_shutdown(server);
}
END_TEST

static void *accept_and_close(void *argument)
{
    for (uint32_t i = 0; i < THREAD_COUNT * VISIT_COUNT; i++) {
        rudp_connection *connection;

        ck_assert_int_eq(rudp_server_accept(argument, &connection, PATIENCE_MS), RUDP_ERR_NONE);
        ck_assert_int_eq(rudp_connection_close(connection), RUDP_ERR_NONE);
    }
    return NULL;
}

static void *come_and_go(void *argument)
{
    for (uint32_t i = 0; i < VISIT_COUNT; i++) {
        rudp_client *client = pair_client(argument, NULL);
        uint8_t byte;

        ck_assert_int_eq(rudp_client_connect(client), RUDP_ERR_NONE);
        ck_assert_int_eq(rudp_client_receive(client, &byte, 1, PATIENCE_MS), RUDP_ERR_CLOSED);
        ck_assert_int_eq(rudp_client_close(client), RUDP_ERR_NONE);
    }
    return NULL;
}

START_TEST(threads_come_and_go)
{
    pthread_t acceptor;
    pthread_t threads[THREAD_COUNT];
    rudp_server *server = pair_server(NULL);

    pthread_create(&acceptor, NULL, accept_and_close, server);
    for (uint32_t i = 0; i < THREAD_COUNT; i++)
        pthread_create(&threads[i], NULL, come_and_go, server);
    for (uint32_t i = 0; i < THREAD_COUNT; i++)
        pthread_join(threads[i], NULL);
    pthread_join(acceptor, NULL);
    rudp_server_shutdown(server);
}
END_TEST

int main(void)
{
    return SUITE_RUN("threads", threads_share_a_connection, shutdown_ends_accept,
                     five_hundred_connections, threads_come_and_go);
}
