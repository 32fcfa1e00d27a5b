#include "engine/api.h"

#include <errno.h>
#include <netdb.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>

struct rudp_client {
    char *host;
    uint16_t port;
    struct rudp_config config;
    pthread_mutex_t connect_lock;                 /* one connect at a time */
    _Atomic(struct rudp_connection *) connection; /* NULL until connect succeeded */
};

static struct rudp_connection *connection_of(struct rudp_client *client)
{
    return client == NULL ? NULL : atomic_load(&client->connection);
}

static int create(struct rudp_client **out, const char *host, uint16_t port,
                  const struct rudp_config *config)
{
    struct rudp_client *client = calloc(1, sizeof *client);

    if (client == NULL)
        return RUDP_ERR_MEMORY;
    client->host = strdup(host);
    if (client->host == NULL) {
        free(client);
        return RUDP_ERR_MEMORY;
    }
    client->port = port;
    client->config = *config;
    pthread_mutex_init(&client->connect_lock, NULL);
    *out = client;
    return RUDP_ERR_NONE;
}

int rudp_client_create(rudp_client **client, const char *host, uint16_t port,
                       const struct rudp_settings *settings)
{
    struct rudp_config config;

    if (client == NULL)
        return RUDP_ERR_INVALID;
    *client = NULL;
    if (host == NULL || host[0] == '\0' || port == 0)
        return RUDP_ERR_INVALID;
    int result = api_config_from_settings(&config, settings);

    if (result < 0)
        return result;
    int saved_errno = errno;

    result = create(client, host, port, &config);
    errno = saved_errno;
    return result;
}

/* --- Connecting ------------------------------------------------------------------------------- */

struct handshake {
    struct rudp_connection *connection;
    bool has_alternative; /* another address of the host is left to try */
};

static int64_t try_established(void *context)
{
    struct handshake *handshake = context;
    struct rudp_connection *connection = handshake->connection;

    if (connection->is_established)
        return RUDP_ERR_NONE;
    if (connection->is_closed)
        return api_close_error(connection);
    /* Without an alternative the refusal is not final: the server may be about to start. */
    if (connection->is_refused && handshake->has_alternative)
        return RUDP_ERR_RESET;
    return RUDP_ERR_AGAIN;
}

static void give_up(struct rudp_connection *connection)
{
    struct engine_socket *sock = connection->hub->sock;

    engine_socket_enter(sock);
    api_connection_discard(connection);
    engine_socket_leave(sock);
}

static struct rudp_connection *open_connection(struct api_hub *hub, const struct addrinfo *address)
{
    struct rudp_path path = {.remote = {.port = 0}};
    struct rudp_session *session;
    struct rudp_connection *connection = NULL;

    engine_address_from_sockaddr(&path.remote, address->ai_addr, address->ai_addrlen);
    engine_socket_enter(hub->sock);
    struct rudp_endpoint *endpoint = engine_socket_endpoint(hub->sock);

    if (rudp_endpoint_open(endpoint, &path, &session, engine_now_us()) == RUDP_OK) {
        connection = api_connection_create(hub, session);
        if (connection == NULL)
            rudp_session_abort(endpoint, session, engine_now_us());
    }
    engine_socket_leave(hub->sock);
    return connection;
}

static int connect_to(struct rudp_client *client, const struct addrinfo *address,
                      int64_t timeout_ms)
{
    struct api_hub *hub;
    int fd = api_socket_connected(address);

    if (fd < 0)
        return fd;
    int result = api_hub_create(&hub, fd, &client->config);

    if (result < 0)
        return result;
    struct handshake handshake = {
        .connection = open_connection(hub, address),
        .has_alternative = address->ai_next != NULL,
    };

    result = RUDP_ERR_MEMORY;
    if (handshake.connection != NULL) {
        result = (int)api_attempt(hub->sock, &handshake.connection->write_wait, timeout_ms,
                                  try_established, &handshake);
        if (result == RUDP_ERR_AGAIN)
            result = RUDP_ERR_TIMEOUT;
        if (result == RUDP_ERR_NONE)
            atomic_store(&client->connection, handshake.connection);
        else
            give_up(handshake.connection);
    }
    api_hub_release(hub);
    return result;
}

/* Tries the host's addresses one after the other. Each but the last gets an equal share of the time
 * and is left at once when nobody listens there; the last has all that remains. */
static int connect_any(struct rudp_client *client, const struct addrinfo *addresses)
{
    uint64_t deadline_us = add_ceil_u64(engine_now_us(), client->config.connect_timeout_us);
    uint64_t count = 0;
    int result = RUDP_ERR_ADDRESS;

    for (const struct addrinfo *it = addresses; it != NULL; it = it->ai_next)
        count++;
    for (const struct addrinfo *it = addresses; it != NULL; it = it->ai_next, count--) {
        uint64_t left_us = sub_floor_u64(deadline_us, engine_now_us());

        result = connect_to(client, it, (int64_t)(left_us / count / RUDP_US_PER_MS));
        if (result == RUDP_ERR_NONE)
            break;
    }
    return result;
}

static int connect_locked(struct rudp_client *client)
{
    struct rudp_connection *connection = connection_of(client);
    struct addrinfo *addresses;

    if (connection != NULL) {
        struct handshake handshake = {.connection = connection};

        return (int)api_attempt(connection->hub->sock, &connection->write_wait, 0, try_established,
                                &handshake);
    }
    int result = api_resolve(&addresses, client->host, client->port);

    if (result < 0)
        return result;
    result = connect_any(client, addresses);
    freeaddrinfo(addresses);
    return result;
}

int rudp_client_connect(rudp_client *client)
{
    if (client == NULL)
        return RUDP_ERR_INVALID;
    int saved_errno = errno;

    pthread_mutex_lock(&client->connect_lock);
    int result = connect_locked(client);

    pthread_mutex_unlock(&client->connect_lock);
    errno = saved_errno;
    return result;
}

/* --- The connection's calls ------------------------------------------------------------------- */

static int missing_error(struct rudp_client *client)
{
    return client == NULL ? RUDP_ERR_INVALID : RUDP_ERR_NOT_CONNECTED;
}

int rudp_client_send(rudp_client *client, const void *data, size_t bytes, int64_t timeout_ms)
{
    struct rudp_connection *connection = connection_of(client);

    if (connection == NULL)
        return missing_error(client);
    return rudp_connection_send(connection, data, bytes, timeout_ms);
}

int64_t rudp_client_receive(rudp_client *client, void *buffer, size_t bytes, int64_t timeout_ms)
{
    struct rudp_connection *connection = connection_of(client);

    if (connection == NULL)
        return missing_error(client);
    return rudp_connection_receive(connection, buffer, bytes, timeout_ms);
}

int rudp_client_fd(rudp_client *client)
{
    struct rudp_connection *connection = connection_of(client);

    return connection == NULL ? -1 : rudp_connection_fd(connection);
}

int rudp_client_stats(rudp_client *client, struct rudp_stats *stats)
{
    struct rudp_connection *connection = connection_of(client);

    if (connection == NULL)
        return missing_error(client);
    return rudp_connection_stats(connection, stats);
}

int rudp_client_close(rudp_client *client)
{
    if (client == NULL)
        return RUDP_ERR_INVALID;
    struct rudp_connection *connection = connection_of(client);
    int result = connection == NULL ? RUDP_ERR_NONE : rudp_connection_close(connection);

    pthread_mutex_destroy(&client->connect_lock);
    free(client->host);
    free(client);
    return result;
}
