#include "engine/api.h"

struct send_request {
    struct rudp_connection *connection;
    struct rudp_slice slice;
};

static int64_t try_send(void *context)
{
    struct send_request *request = context;
    struct rudp_connection *connection = request->connection;
    struct rudp_endpoint *endpoint = engine_socket_endpoint(connection->hub->sock);

    if (connection->is_closed)
        return api_close_error(connection);
    switch (rudp_session_send(endpoint, connection->session, &request->slice, 1, engine_now_us())) {
    case RUDP_OK:
        return RUDP_ERR_NONE;
    case RUDP_E_FULL:
    case RUDP_E_MEMORY:
        return RUDP_ERR_AGAIN;
    case RUDP_E_TOO_LONG:
        return RUDP_ERR_TOO_LONG;
    default:
        return RUDP_ERR_CLOSED;
    }
}

int rudp_connection_send(rudp_connection *connection, const void *data, size_t bytes,
                         int64_t timeout_ms)
{
    if (connection == NULL || (data == NULL && bytes > 0))
        return RUDP_ERR_INVALID;
    if (bytes > RUDP_MESSAGE_MAX)
        return RUDP_ERR_TOO_LONG;
    struct send_request request = {
        .connection = connection,
        .slice = {.data = data == NULL ? "" : data, .bytes = bytes},
    };

    return (int)api_attempt(connection->hub->sock, &connection->write_wait, timeout_ms, try_send,
                            &request);
}

struct receive_request {
    struct rudp_connection *connection;
    void *buffer;
    size_t bytes;
};

/* The descriptor must go quiet with the last message, not with the call that finds none: a program
 * that polls and then receives would wait. */
static void update_readable(struct rudp_connection *connection)
{
    struct rudp_endpoint *endpoint = engine_socket_endpoint(connection->hub->sock);
    uint8_t nothing;
    size_t bytes;

    if (connection->is_closed)
        return;
    enum rudp_status status = rudp_session_peek(endpoint, connection->session, &nothing, 0, &bytes);

    api_signal_set(&connection->readable, status != RUDP_E_EMPTY);
}

static int64_t try_receive(void *context)
{
    struct receive_request *request = context;
    struct rudp_connection *connection = request->connection;
    struct rudp_endpoint *endpoint = engine_socket_endpoint(connection->hub->sock);
    size_t bytes;

    switch (
        rudp_session_peek(endpoint, connection->session, request->buffer, request->bytes, &bytes)) {
    case RUDP_OK:
        rudp_session_consume(endpoint, connection->session, engine_now_us());
        if (connection->readable.fd >= 0)
            update_readable(connection);
        return (int64_t)bytes;
    case RUDP_E_BUFFER:
        return RUDP_ERR_BUFFER;
    default:
        if (connection->is_closed)
            return api_close_error(connection);
        api_signal_set(&connection->readable, false);
        return RUDP_ERR_AGAIN;
    }
}

int64_t rudp_connection_receive(rudp_connection *connection, void *buffer, size_t bytes,
                                int64_t timeout_ms)
{
    if (connection == NULL || (buffer == NULL && bytes > 0))
        return RUDP_ERR_INVALID;
    uint8_t nothing; /* NULL is fine for an empty message, but not for the core */
    struct receive_request request = {
        .connection = connection,
        .buffer = buffer == NULL ? &nothing : buffer,
        .bytes = bytes,
    };

    return api_attempt(connection->hub->sock, &connection->read_wait, timeout_ms, try_receive,
                       &request);
}

int rudp_connection_fd(rudp_connection *connection)
{
    if (connection == NULL)
        return RUDP_ERR_INVALID;
    engine_socket_enter(connection->hub->sock);
    update_readable(connection);
    int fd = api_signal_fd(&connection->readable);

    engine_socket_leave(connection->hub->sock);
    return fd < 0 ? RUDP_ERR_SYSTEM : fd;
}

int rudp_connection_stats(rudp_connection *connection, struct rudp_stats *stats)
{
    struct rudp_session_stats from;

    if (connection == NULL || stats == NULL || stats->struct_bytes != sizeof *stats)
        return RUDP_ERR_INVALID;
    engine_socket_enter(connection->hub->sock);
    rudp_session_stats(connection->session, &from);
    engine_socket_leave(connection->hub->sock);
    *stats = (struct rudp_stats){
        .struct_bytes = sizeof *stats,
        .sent_messages = from.sent_message_count,
        .received_messages = from.received_message_count,
        .sent_packets = from.sent_packet_count,
        .sent_bytes = from.sent_bytes,
        .received_packets = from.received_packet_count,
        .received_bytes = from.received_bytes,
        .resent_bytes = from.resent_bytes,
        .lost_packets = from.lost_packet_count,
        .restarts = from.restart_count,
        .rtt_us = from.rtt_us,
        .rtt_min_us = from.rtt_min_us,
        .window_bytes = from.window_bytes,
        .in_flight_bytes = from.in_flight_bytes,
        .queued_bytes = from.queued_bytes,
        .unread_bytes = from.unread_bytes,
    };
    return RUDP_ERR_NONE;
}

int rudp_connection_peer(rudp_connection *connection, struct sockaddr *addr, socklen_t *addr_bytes)
{
    struct sockaddr_storage storage;

    if (connection == NULL || addr == NULL || addr_bytes == NULL)
        return RUDP_ERR_INVALID;
    engine_socket_enter(connection->hub->sock);
    struct rudp_address remote = rudp_session_path(connection->session)->remote;

    engine_socket_leave(connection->hub->sock);
    socklen_t bytes = engine_address_to_sockaddr(
        &remote, engine_address_is_v4(&remote) ? AF_INET : AF_INET6, &storage);

    memcpy(addr, &storage, min_u64(bytes, *addr_bytes));
    *addr_bytes = bytes;
    return RUDP_ERR_NONE;
}

static int64_t try_finish(void *context)
{
    struct rudp_connection *connection = context;

    rudp_session_close(engine_socket_endpoint(connection->hub->sock), connection->session,
                       engine_now_us());
    return connection->is_closed ? RUDP_ERR_NONE : RUDP_ERR_AGAIN;
}

/* The core ends every session that is closed, at the latest after the linger time. */
int rudp_connection_close(rudp_connection *connection)
{
    if (connection == NULL)
        return RUDP_ERR_INVALID;
    struct api_hub *hub = connection->hub;

    api_attempt(hub->sock, &connection->write_wait, -1, try_finish, connection);
    engine_socket_enter(hub->sock);
    int result = connection->undelivered_bytes > 0 ? RUDP_ERR_UNDELIVERED : RUDP_ERR_NONE;

    api_connection_free(connection);
    engine_socket_leave(hub->sock);
    api_hub_release(hub);
    return result;
}
