#include "tests/engine/node.h"

#include <arpa/inet.h>
#include <string.h>
#include <unistd.h>

#define PATIENCE_US (30u * RUDP_US_PER_S)

/* --- Handler ---------------------------------------------------------------------------------- */

/* Takes what is there; an echo that finds no room stays queued until WRITABLE. */
static void take_messages(struct node *node, struct engine_socket *sock,
                          struct rudp_session *session)
{
    static _Thread_local uint8_t buffer[MESSAGE_BYTES_MAX];
    struct rudp_endpoint *endpoint = engine_socket_endpoint(sock);
    size_t bytes;

    while (rudp_session_peek(endpoint, session, buffer, sizeof buffer, &bytes) == RUDP_OK) {
        struct rudp_slice slice = {.data = buffer, .bytes = bytes};

        if (node->echoes &&
            rudp_session_send(endpoint, session, &slice, 1, engine_now_us()) == RUDP_E_FULL)
            return;
        rudp_session_consume(endpoint, session, engine_now_us());
        if (!node->echoes && !message_is(buffer, bytes, node->received_count))
            node->wrong_count++;
        node->received_count++;
    }
}

static void on_event(void *context, struct engine_socket *sock, const struct rudp_event *event)
{
    struct node *node = context;

    switch (event->type) {
    case RUDP_EVENT_OPENED:
        node->opened_count++;
        break;
    case RUDP_EVENT_ESTABLISHED:
        node->established_count++;
        break;
    case RUDP_EVENT_WRITABLE:
        node->writable_count++;
        take_messages(node, sock, event->session);
        break;
    case RUDP_EVENT_READABLE:
        take_messages(node, sock, event->session);
        break;
    case RUDP_EVENT_CLOSED:
        node->closed_count++;
        node->close_reason = event->reason;
        node->undelivered_bytes = event->undelivered_bytes;
        rudp_session_release(engine_socket_endpoint(sock), event->session);
        break;
    case RUDP_EVENT_PEER_RESTARTED:
    case RUDP_EVENT_MOVED:
    case RUDP_EVENT_UNCONFIRMED:
        break;
    }
    engine_wait_wake(&node->changed);
}

static void on_datagram(void *context, struct engine_socket *sock,
                        const struct engine_datagram *datagram)
{
    struct node *node = context;

    (void)sock;
    memcpy(node->foreign_data, datagram->data, datagram->bytes);
    node->foreign = *datagram;
    node->foreign.data = node->foreign_data;
    node->foreign_count++;
    engine_wait_wake(&node->changed);
}

static void on_wire_error(void *context, struct engine_socket *sock,
                          const struct rudp_address *remote, int error)
{
    struct node *node = context;

    (void)sock;
    node->wire_error = error;
    node->wire_error_remote = remote == NULL ? (struct rudp_address){.port = 0} : *remote;
    node->wire_error_count++;
    engine_wait_wake(&node->changed);
}

void node_on_ready(void *context, struct engine_socket *sock, uint32_t events)
{
    struct node *node = context;

    (void)events;
    node->ready_count++;
    engine_socket_watch(sock, -1, 0, node_on_ready);
    engine_wait_wake(&node->changed);
}

/* --- Sockets ---------------------------------------------------------------------------------- */

static socklen_t parse(const char *ip, uint16_t port, struct sockaddr_storage *out)
{
    struct sockaddr_in v4 = {.sin_family = AF_INET, .sin_port = htons(port)};
    struct sockaddr_in6 v6 = {.sin6_family = AF_INET6, .sin6_port = htons(port)};

    if (inet_pton(AF_INET, ip, &v4.sin_addr) == 1) {
        memcpy(out, &v4, sizeof v4);
        return sizeof v4;
    }
    ck_assert_int_eq(inet_pton(AF_INET6, ip, &v6.sin6_addr), 1);
    memcpy(out, &v6, sizeof v6);
    return sizeof v6;
}

struct rudp_address node_address(const char *ip, uint16_t port)
{
    struct sockaddr_storage storage;
    socklen_t bytes = parse(ip, port, &storage);
    struct rudp_address address;

    ck_assert(engine_address_from_sockaddr(&address, (struct sockaddr *)&storage, bytes));
    return address;
}

int node_socket(const char *ip, uint16_t port)
{
    struct sockaddr_storage storage;
    socklen_t bytes = parse(ip, port, &storage);
    int fd = socket(storage.ss_family, SOCK_DGRAM | SOCK_CLOEXEC, 0);

    ck_assert_int_ge(fd, 0);
    ck_assert_int_eq(bind(fd, (struct sockaddr *)&storage, bytes), 0);
    return fd;
}

uint16_t node_socket_port(int fd)
{
    struct sockaddr_storage storage;
    socklen_t bytes = sizeof storage;
    struct rudp_address address;

    ck_assert_int_eq(getsockname(fd, (struct sockaddr *)&storage, &bytes), 0);
    ck_assert(engine_address_from_sockaddr(&address, (struct sockaddr *)&storage, bytes));
    return address.port;
}

void node_open(struct node *node, const char *ip, const struct rudp_config *config)
{
    struct rudp_config defaults;
    struct engine_handler handler = {
        .on_event = on_event,
        .on_datagram = node->keeps_foreign ? on_datagram : NULL,
        .on_wire_error = on_wire_error,
    };
    int fd = node_socket(ip, 0);

    rudp_config_init(&defaults);
    node->port = node_socket_port(fd);
    ck_assert_int_eq(engine_socket_create(&node->sock, fd,
                                          &(struct engine_socket_options){
                                              .config = config == NULL ? &defaults : config,
                                              .handler = &handler,
                                              .context = node,
                                          }),
                     0);
}

void node_close(struct node *node)
{
    engine_socket_destroy(node->sock);
}

/* --- Sessions --------------------------------------------------------------------------------- */

struct rudp_session *node_connect(struct node *node, const char *ip, uint16_t port)
{
    struct rudp_path path = {.remote = node_address(ip, port)};
    struct rudp_session *session;

    engine_socket_enter(node->sock);
    ck_assert_int_eq(
        rudp_endpoint_open(engine_socket_endpoint(node->sock), &path, &session, engine_now_us()),
        RUDP_OK);
    engine_socket_leave(node->sock);
    return session;
}

static bool has_room(const struct node *node, uint64_t writable_count)
{
    return node->writable_count > writable_count;
}

void node_send(struct node *node, struct rudp_session *session, uint64_t number)
{
    static _Thread_local uint8_t buffer[MESSAGE_BYTES_MAX];
    struct rudp_slice slice = {.data = buffer, .bytes = message_fill(buffer, number)};

    for (;;) {
        engine_socket_enter(node->sock);
        uint32_t writable_count = node->writable_count;
        enum rudp_status status = rudp_session_send(engine_socket_endpoint(node->sock), session,
                                                    &slice, 1, engine_now_us());

        engine_socket_leave(node->sock);
        if (status == RUDP_OK)
            return;
        ck_assert_int_eq(status, RUDP_E_FULL);
        node_wait(node, has_room, writable_count);
    }
}

void node_wait(struct node *node, bool (*condition)(const struct node *node, uint64_t value),
               uint64_t value)
{
    uint64_t deadline_us = engine_now_us() + PATIENCE_US;
    bool in_time = true;

    for (;;) {
        uint32_t ticket = 0;

        engine_socket_enter(node->sock);
        bool holds = condition(node, value);

        if (!holds)
            ticket = engine_wait_ticket(&node->changed);
        engine_socket_leave(node->sock);
        if (holds)
            return;
        ck_assert_msg(in_time, "waited in vain");
        in_time = engine_wait_sleep(&node->changed, ticket, deadline_us);
    }
}

bool node_has_received(const struct node *node, uint64_t count)
{
    return node->received_count >= count;
}

bool node_has_established(const struct node *node, uint64_t count)
{
    return node->established_count >= count;
}

bool node_has_closed(const struct node *node, uint64_t count)
{
    return node->closed_count >= count;
}

bool node_has_foreign(const struct node *node, uint64_t count)
{
    return node->foreign_count >= count;
}

bool node_has_wire_error(const struct node *node, uint64_t count)
{
    return node->wire_error_count >= count;
}

bool node_has_ready(const struct node *node, uint64_t count)
{
    return node->ready_count >= count;
}
