/* engine_peer - the other process of a test: a server of the library API.
 *
 *     engine_peer echo PORT     sends every message of every client back, until it is killed
 *     engine_peer count PORT    takes one client's messages until it closes; prints their number,
 * or fails when one is not the message it must be engine_peer mute PORT     accepts and reads
 * nothing, until it is killed
 *
 * Prints the port it is bound to once clients may come. */
#include "tests/engine/message.h"

#include <rudp/rudp.h>

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define BACKLOG  1000
#define NO_LIMIT (-1)

static void require(int64_t result, const char *what)
{
    if (result >= 0)
        return;
    fprintf(stderr, "engine_peer: %s: %s\n", what, rudp_error_text((int)result));
    exit(EXIT_FAILURE);
}

static rudp_connection *accept_next(rudp_server *server)
{
    rudp_connection *connection;

    require(rudp_server_accept(server, &connection, NO_LIMIT), "accept");
    return connection;
}

static void *echo_connection(void *argument)
{
    rudp_connection *connection = argument;
    uint8_t *buffer = malloc(MESSAGE_BYTES_MAX);
    int64_t bytes;

    if (buffer == NULL)
        abort();
    while ((bytes = rudp_connection_receive(connection, buffer, MESSAGE_BYTES_MAX, NO_LIMIT)) >= 0)
        rudp_connection_send(connection, buffer, (size_t)bytes, NO_LIMIT);
    free(buffer);
    rudp_connection_close(connection);
    return NULL;
}

static void echo(rudp_server *server)
{
    for (;;) {
        pthread_t thread;

        if (pthread_create(&thread, NULL, echo_connection, accept_next(server)) != 0)
            abort();
        pthread_detach(thread);
    }
}

static void count(rudp_server *server)
{
    static uint8_t buffer[MESSAGE_BYTES_MAX];
    rudp_connection *connection = accept_next(server);
    uint64_t number = 0;
    int64_t bytes;

    while ((bytes = rudp_connection_receive(connection, buffer, sizeof buffer, NO_LIMIT)) >= 0) {
        if (!message_is(buffer, (size_t)bytes, number++)) {
            fprintf(stderr, "engine_peer: message %llu is wrong\n", (unsigned long long)number - 1);
            exit(EXIT_FAILURE);
        }
    }
    if (bytes != RUDP_ERR_CLOSED)
        require(bytes, "receive");
    printf("%llu\n", (unsigned long long)number);
    require(rudp_connection_close(connection), "close");
    rudp_server_shutdown(server);
}

int main(int argc, char **argv)
{
    rudp_server *server;

    if (argc != 3)
        return EXIT_FAILURE;
    require(rudp_server_create(&server, "127.0.0.1", (uint16_t)strtoul(argv[2], NULL, 10), NULL),
            "create");
    require(rudp_server_listen(server, BACKLOG), "listen");
    printf("%u\n", (unsigned)rudp_server_port(server));
    fflush(stdout);
    if (strcmp(argv[1], "echo") == 0)
        echo(server);
    else if (strcmp(argv[1], "count") == 0)
        count(server);
    else if (strcmp(argv[1], "mute") == 0)
        for (;;)
            accept_next(server);
    return EXIT_SUCCESS;
}
