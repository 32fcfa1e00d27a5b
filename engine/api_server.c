#include "engine/api.h"

#include "engine/system.h"

#include <errno.h>
#include <stdlib.h>

/* Lets clients in while there is room in the queue. Those in the middle of their handshake come in
 * all the same: counting them would let forged hellos fill the queue. */
static void update_accepting(struct rudp_server *server)
{
    rudp_endpoint_set_accepting(engine_socket_endpoint(server->hub->sock),
                                server->waiting_count < server->backlog);
}

void api_server_offer(struct api_hub *hub, struct rudp_session *session)
{
    struct rudp_server *server = hub->server;
    struct rudp_connection *connection =
        server == NULL ? NULL : api_connection_create(hub, session);

    if (connection == NULL) {
        rudp_session_abort(engine_socket_endpoint(hub->sock), session, engine_now_us());
        return;
    }
    connection->is_established = true;
    *server->waiting_end = connection;
    server->waiting_end = &connection->next;
    server->waiting_count++;
    update_accepting(server);
    api_signal_set(&server->acceptable, true);
    engine_wait_wake(&server->accept_wait);
}

static struct rudp_connection *take_waiting(struct rudp_server *server)
{
    struct rudp_connection *connection = server->waiting_first;

    if (connection == NULL)
        return NULL;
    server->waiting_first = connection->next;
    if (server->waiting_first == NULL)
        server->waiting_end = &server->waiting_first;
    connection->next = NULL;
    server->waiting_count--;
    return connection;
}

static uint16_t bound_port(int fd)
{
    struct sockaddr_storage storage = {.ss_family = AF_UNSPEC};
    struct rudp_address local = {.port = 0};

    engine_sys_getsockname(fd, &storage);
    engine_address_from_sockaddr(&local, (const struct sockaddr *)&storage, sizeof storage);
    return local.port;
}

static int create_on(struct rudp_server *server, int fd, const struct rudp_config *config)
{
    server->port = bound_port(fd);
    server->waiting_end = &server->waiting_first;
    server->acceptable.fd = -1;
    if (api_signal_fd(&server->acceptable) < 0) {
        engine_sys_close(fd);
        return RUDP_ERR_SYSTEM;
    }
    int result = api_hub_create(&server->hub, fd, config);

    if (result < 0) {
        api_signal_close(&server->acceptable);
        return result;
    }
    engine_socket_enter(server->hub->sock);
    server->hub->server = server;
    engine_socket_leave(server->hub->sock);
    return RUDP_ERR_NONE;
}

static int create(struct rudp_server **out, const char *host, uint16_t port,
                  const struct rudp_config *config)
{
    int fd = api_socket_bound(host, port);

    if (fd < 0)
        return fd;
    struct rudp_server *server = calloc(1, sizeof *server);

    if (server == NULL) {
        engine_sys_close(fd);
        return RUDP_ERR_MEMORY;
    }
    int result = create_on(server, fd, config);

    if (result < 0)
        free(server);
    else
        *out = server;
    return result;
}

int rudp_server_create(rudp_server **server, const char *host, uint16_t port,
                       const struct rudp_settings *settings)
{
    struct rudp_config config;

    if (server == NULL)
        return RUDP_ERR_INVALID;
    *server = NULL;
    int result = api_config_from_settings(&config, settings);

    if (result < 0)
        return result;
    int saved_errno = errno;

    result = create(server, host, port, &config);
    errno = saved_errno;
    return result;
}

int rudp_server_listen(rudp_server *server, int backlog)
{
    if (server == NULL || backlog <= 0)
        return RUDP_ERR_INVALID;
    engine_socket_enter(server->hub->sock);
    server->backlog = (uint32_t)backlog;
    update_accepting(server);
    engine_socket_leave(server->hub->sock);
    return RUDP_ERR_NONE;
}

struct accept_request {
    struct rudp_server *server;
    struct rudp_connection *connection;
};

static int64_t try_accept(void *context)
{
    struct accept_request *request = context;
    struct rudp_server *server = request->server;

    if (server->is_shut_down || server->backlog == 0)
        return RUDP_ERR_NOT_LISTENING;
    request->connection = take_waiting(server);
    if (request->connection == NULL)
        return RUDP_ERR_AGAIN;
    api_signal_set(&server->acceptable, server->waiting_first != NULL);
    update_accepting(server);
    return RUDP_ERR_NONE;
}

/* Counts the thread in and out, so that shutdown knows when the last one is gone. */
static void count_accepting(struct rudp_server *server, bool is_entering)
{
    engine_socket_enter(server->hub->sock);
    if (is_entering)
        server->accept_count++;
    else if (--server->accept_count == 0)
        engine_wait_wake(&server->idle_wait);
    engine_socket_leave(server->hub->sock);
}

int rudp_server_accept(rudp_server *server, rudp_connection **connection, int64_t timeout_ms)
{
    struct accept_request request = {.server = server};

    if (connection != NULL)
        *connection = NULL;
    if (server == NULL || connection == NULL)
        return RUDP_ERR_INVALID;
    count_accepting(server, true);
    int64_t result =
        api_attempt(server->hub->sock, &server->accept_wait, timeout_ms, try_accept, &request);

    count_accepting(server, false);
    *connection = request.connection;
    return (int)result;
}

uint16_t rudp_server_port(const rudp_server *server)
{
    return server == NULL ? 0 : server->port;
}

int rudp_server_fd(const rudp_server *server)
{
    return server == NULL ? RUDP_ERR_INVALID : server->acceptable.fd;
}

static void refuse_waiting(struct rudp_server *server)
{
    struct rudp_connection *connection;

    while ((connection = take_waiting(server)) != NULL)
        api_connection_discard(connection);
}

static int64_t try_shut_down(void *context)
{
    struct rudp_server *server = context;

    if (!server->is_shut_down) {
        server->is_shut_down = true;
        server->hub->server = NULL;
        rudp_endpoint_set_accepting(engine_socket_endpoint(server->hub->sock), false);
        refuse_waiting(server);
        engine_wait_wake(&server->accept_wait);
    }
    return server->accept_count == 0 ? RUDP_ERR_NONE : RUDP_ERR_AGAIN;
}

int rudp_server_shutdown(rudp_server *server)
{
    if (server == NULL)
        return RUDP_ERR_INVALID;
    api_attempt(server->hub->sock, &server->idle_wait, -1, try_shut_down, server);
    api_signal_close(&server->acceptable);
    api_hub_release(server->hub);
    free(server);
    return RUDP_ERR_NONE;
}
