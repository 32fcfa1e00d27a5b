#include "engine/api.h"

#include "engine/system.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>

static struct rudp_connection *connection_of(struct rudp_session *session)
{
    return (struct rudp_connection *)(uintptr_t)rudp_session_tag(session);
}

struct rudp_connection *api_connection_create(struct api_hub *hub, struct rudp_session *session)
{
    struct rudp_connection *connection = calloc(1, sizeof *connection);

    if (connection == NULL)
        return NULL;
    connection->hub = hub;
    connection->session = session;
    connection->readable.fd = -1;
    rudp_session_set_tag(session, (uint64_t)(uintptr_t)connection);
    hub->user_count++;
    return connection;
}

void api_connection_free(struct rudp_connection *connection)
{
    RUDP_ASSERT(connection->is_closed);
    rudp_session_release(engine_socket_endpoint(connection->hub->sock), connection->session);
    api_signal_close(&connection->readable);
    free(connection);
}

void api_connection_discard(struct rudp_connection *connection)
{
    struct api_hub *hub = connection->hub;

    hub->user_count--;
    RUDP_ASSERT(hub->user_count > 0);
    if (connection->is_closed) {
        api_connection_free(connection);
        return;
    }
    /* Without its object the session is released when its CLOSED comes. */
    rudp_session_set_tag(connection->session, 0);
    rudp_session_abort(engine_socket_endpoint(hub->sock), connection->session, engine_now_us());
    api_signal_close(&connection->readable);
    free(connection);
}

static void on_closed(struct rudp_connection *connection, const struct rudp_event *event)
{
    connection->is_closed = true;
    connection->close_reason = event->reason;
    connection->undelivered_bytes = event->undelivered_bytes;
    api_signal_set(&connection->readable, true); /* receive answers at once from now on */
    engine_wait_wake(&connection->read_wait);
    engine_wait_wake(&connection->write_wait);
}

/* A session without an object is half-open, or was refused: nobody will read it. */
static void on_unowned_event(struct api_hub *hub, const struct rudp_event *event)
{
    if (event->type == RUDP_EVENT_ESTABLISHED)
        api_server_offer(hub, event->session);
    else if (event->type == RUDP_EVENT_CLOSED)
        rudp_session_release(engine_socket_endpoint(hub->sock), event->session);
}

static void on_event(void *context, struct engine_socket *sock, const struct rudp_event *event)
{
    struct rudp_connection *connection = connection_of(event->session);

    (void)sock;
    if (connection == NULL) {
        on_unowned_event(context, event);
        return;
    }
    switch (event->type) {
    case RUDP_EVENT_ESTABLISHED:
        connection->is_established = true;
        engine_wait_wake(&connection->write_wait);
        return;
    case RUDP_EVENT_READABLE:
        api_signal_set(&connection->readable, true);
        engine_wait_wake(&connection->read_wait);
        return;
    case RUDP_EVENT_WRITABLE:
        engine_wait_wake(&connection->write_wait);
        return;
    case RUDP_EVENT_CLOSED:
        on_closed(connection, event);
        return;
    case RUDP_EVENT_OPENED:
    case RUDP_EVENT_PEER_RESTARTED:
    case RUDP_EVENT_MOVED:
    case RUDP_EVENT_UNCONFIRMED: /* what is read here is consumed at once */
        return;
    }
}

static void note_refused(void *context, struct rudp_session *session)
{
    const struct rudp_address *remote = context;
    struct rudp_connection *connection = connection_of(session);

    if (connection == NULL || connection->is_established ||
        !rudp_address_equal(&rudp_session_path(session)->remote, remote))
        return;
    connection->is_refused = true;
    engine_wait_wake(&connection->write_wait);
}

/* Only a handshake cares: connect then tries the host's next address. */
static void on_wire_error(void *context, struct engine_socket *sock,
                          const struct rudp_address *remote, int error)
{
    struct rudp_address copy;

    (void)context;
    if (error != ECONNREFUSED || remote == NULL)
        return;
    copy = *remote;
    rudp_endpoint_each(engine_socket_endpoint(sock), note_refused, &copy);
}

/* A forked child cannot go on with its parent's objects, but may make its own. */
static void register_fork_hooks(void)
{
    pthread_atfork(engine_before_fork, engine_after_fork_parent, engine_after_fork_child);
}

int api_hub_create(struct api_hub **out, int fd, const struct rudp_config *config)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    static const struct engine_handler handler = {
        .on_event = on_event,
        .on_wire_error = on_wire_error,
    };
    struct api_hub *hub = calloc(1, sizeof *hub);
    int result = -ENOMEM;

    pthread_once(&once, register_fork_hooks);
    if (hub != NULL) {
        hub->user_count = 1;
        result = engine_socket_create(&hub->sock, fd,
                                      &(struct engine_socket_options){
                                          .config = config,
                                          .handler = &handler,
                                          .context = hub,
                                      });
    }
    if (result < 0) {
        engine_sys_close(fd);
        free(hub);
        return api_error_from_errno(-result);
    }
    *out = hub;
    return RUDP_ERR_NONE;
}

void api_hub_release(struct api_hub *hub)
{
    engine_socket_enter(hub->sock);
    bool is_last = --hub->user_count == 0;

    engine_socket_leave(hub->sock);
    if (!is_last)
        return;
    engine_socket_destroy(hub->sock);
    free(hub);
}
