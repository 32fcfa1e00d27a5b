/* pair.h - a server and a client of the library API in one process, connected. */
#ifndef RUDP_TESTS_ENGINE_PAIR_H
#define RUDP_TESTS_ENGINE_PAIR_H

#include "tests/engine/message.h"

#include <check.h>
#include <rudp/rudp.h>

#define PATIENCE_MS 30000 /* of calls that must succeed; a failed check afterwards */

struct pair {
    rudp_server *server;
    rudp_client *client;
    rudp_connection *connection; /* the server's end of the client */
};

/* A listening server on 127.0.0.1. */
rudp_server *pair_server(const struct rudp_settings *settings);

/* A client of that server, not connected. */
rudp_client *pair_client(const rudp_server *server, const struct rudp_settings *settings);

/* Everything connected, with the same settings (NULL: the defaults) on both sides. */
void pair_open(struct pair *pair, const struct rudp_settings *settings);

/* Closes all of it; every call must succeed. */
void pair_close(struct pair *pair);

/* Sends and receives message number; failed checks. */
void pair_client_send(rudp_client *client, uint64_t number);
void pair_client_receive(rudp_client *client, uint64_t number);
void pair_connection_send(rudp_connection *connection, uint64_t number);
void pair_connection_receive(rudp_connection *connection, uint64_t number);

/* Whether a descriptor is readable now, or within PATIENCE_MS. */
bool pair_is_readable(int fd);
bool pair_becomes_readable(int fd);

#endif
