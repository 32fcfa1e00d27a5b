/* node.h - one engine_socket with a handler that records, echoes and can be waited for.
 *
 * Fields are guarded by the socket's monitor; tests read them inside node_wait's conditions, or
 * between engine_socket_enter and leave. Everything that fails is a failed check. */
#ifndef RUDP_TESTS_ENGINE_NODE_H
#define RUDP_TESTS_ENGINE_NODE_H

#include "engine/engine.h"
#include "engine/wait.h"
#include "tests/engine/message.h"

#include <check.h>

struct node {
    struct engine_socket *sock;
    uint16_t port;
    bool echoes;        /* sends every message back */
    bool keeps_foreign; /* has an on_datagram handler */
    struct engine_wait changed;

    uint32_t opened_count;
    uint32_t established_count;
    uint32_t closed_count;
    enum rudp_close_reason close_reason; /* of the last */
    uint64_t undelivered_bytes;          /* of the last */
    uint64_t received_count;             /* messages; the n-th must be message n of its sender */
    uint64_t wrong_count;                /* messages that were not */
    uint32_t writable_count;
    uint32_t wire_error_count;
    int wire_error; /* the last */
    struct rudp_address wire_error_remote;
    uint32_t foreign_count;
    struct engine_datagram foreign; /* the last; data points to foreign_data */
    uint8_t foreign_data[65536];
    uint32_t ready_count; /* of a watched descriptor */
};

/* Opens a socket bound to ip (numeric) and puts the engine on it. config NULL: defaults. Set echoes
 * and keeps_foreign before. */
void node_open(struct node *node, const char *ip, const struct rudp_config *config);
void node_close(struct node *node);

/* A UDP socket bound to ip and port (0: any). */
int node_socket(const char *ip, uint16_t port);
uint16_t node_socket_port(int fd);

struct rudp_address node_address(const char *ip, uint16_t port);

/* Opens a session from node to ip and port. */
struct rudp_session *node_connect(struct node *node, const char *ip, uint16_t port);

/* Sends message number; waits for room. */
void node_send(struct node *node, struct rudp_session *session, uint64_t number);

/* Waits until the condition holds, a failed check after half a minute. */
void node_wait(struct node *node, bool (*condition)(const struct node *node, uint64_t value),
               uint64_t value);

/* Conditions for node_wait. */
bool node_has_received(const struct node *node, uint64_t count);
bool node_has_established(const struct node *node, uint64_t count);
bool node_has_closed(const struct node *node, uint64_t count);
bool node_has_foreign(const struct node *node, uint64_t count);
bool node_has_wire_error(const struct node *node, uint64_t count);
bool node_has_ready(const struct node *node, uint64_t count);

/* An on_ready for engine_socket_watch: counts, and pauses the watch. */
void node_on_ready(void *context, struct engine_socket *sock, uint32_t events);

#endif
