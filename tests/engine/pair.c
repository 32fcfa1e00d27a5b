#include "tests/engine/pair.h"

#include <poll.h>

#define BACKLOG 1000

static _Thread_local uint8_t buffer[MESSAGE_BYTES_MAX];

rudp_server *pair_server(const struct rudp_settings *settings)
{
    rudp_server *server;

    ck_assert_int_eq(rudp_server_create(&server, "127.0.0.1", 0, settings), RUDP_ERR_NONE);
    ck_assert_int_eq(rudp_server_listen(server, BACKLOG), RUDP_ERR_NONE);
    return server;
}

rudp_client *pair_client(const rudp_server *server, const struct rudp_settings *settings)
{
    rudp_client *client;

    ck_assert_int_eq(rudp_client_create(&client, "127.0.0.1", rudp_server_port(server), settings),
                     RUDP_ERR_NONE);
    return client;
}

void pair_open(struct pair *pair, const struct rudp_settings *settings)
{
    pair->server = pair_server(settings);
    pair->client = pair_client(pair->server, settings);
    ck_assert_int_eq(rudp_client_connect(pair->client), RUDP_ERR_NONE);
    ck_assert_int_eq(rudp_server_accept(pair->server, &pair->connection, PATIENCE_MS),
                     RUDP_ERR_NONE);
}

void pair_close(struct pair *pair)
{
    ck_assert_int_eq(rudp_client_close(pair->client), RUDP_ERR_NONE);
    ck_assert_int_eq(rudp_connection_close(pair->connection), RUDP_ERR_NONE);
    ck_assert_int_eq(rudp_server_shutdown(pair->server), RUDP_ERR_NONE);
}

void pair_client_send(rudp_client *client, uint64_t number)
{
    size_t bytes = message_fill(buffer, number);

    ck_assert_int_eq(rudp_client_send(client, buffer, bytes, PATIENCE_MS), RUDP_ERR_NONE);
}

void pair_client_receive(rudp_client *client, uint64_t number)
{
    int64_t bytes = rudp_client_receive(client, buffer, sizeof buffer, PATIENCE_MS);

    ck_assert_int_ge(bytes, 0);
    ck_assert(message_is(buffer, (size_t)bytes, number));
}

void pair_connection_send(rudp_connection *connection, uint64_t number)
{
    size_t bytes = message_fill(buffer, number);

    ck_assert_int_eq(rudp_connection_send(connection, buffer, bytes, PATIENCE_MS), RUDP_ERR_NONE);
}

void pair_connection_receive(rudp_connection *connection, uint64_t number)
{
    int64_t bytes = rudp_connection_receive(connection, buffer, sizeof buffer, PATIENCE_MS);

    ck_assert_int_ge(bytes, 0);
    ck_assert(message_is(buffer, (size_t)bytes, number));
}

static bool is_readable_within(int fd, int timeout_ms)
{
    struct pollfd poll_fd = {.fd = fd, .events = POLLIN};

    return poll(&poll_fd, 1, timeout_ms) == 1 && (poll_fd.revents & POLLIN) != 0;
}

bool pair_is_readable(int fd)
{
    return is_readable_within(fd, 0);
}

bool pair_becomes_readable(int fd)
{
    return is_readable_within(fd, PATIENCE_MS);
}
