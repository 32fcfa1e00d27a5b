/* api.h - inside of the library API (include/rudp/rudp.h).
 *
 * A hub is one engine_socket with all objects made on it: a server and the connections it gave
 * out, or the one connection of a client. Its monitor guards every field of theirs that says
 * nothing else. The last object to go destroys the hub. */
#ifndef RUDP_ENGINE_API_H
#define RUDP_ENGINE_API_H

#include "engine/engine.h"
#include "engine/wait.h"
#include "rudp/rudp.h"

/* A descriptor that is readable while a flag holds. */
struct api_signal {
    int fd; /* eventfd; -1: nobody asked for it yet */
    bool is_set;
};

struct api_hub {
    struct engine_socket *sock; /* fixed */
    struct rudp_server *server; /* NULL for a client, and after shutdown */
    uint32_t user_count;        /* objects that live on this hub */
};

struct rudp_connection {
    struct api_hub *hub;           /* fixed */
    struct rudp_session *session;  /* fixed; ours until closed and released */
    struct rudp_connection *next;  /* in the server's queue */
    struct engine_wait read_wait;  /* READABLE, CLOSED */
    struct engine_wait write_wait; /* ESTABLISHED, WRITABLE, CLOSED */
    struct api_signal readable;
    bool is_established;
    bool is_refused; /* the wire said that nobody listens there */
    bool is_closed;
    enum rudp_close_reason close_reason; /* once closed */
    uint64_t undelivered_bytes;          /* once closed */
};

struct rudp_server {
    struct api_hub *hub; /* fixed */
    uint16_t port;       /* fixed */
    struct engine_wait accept_wait;
    struct engine_wait idle_wait; /* accept_count became 0 */
    struct api_signal acceptable;
    struct rudp_connection *waiting_first; /* established, not accepted yet, oldest first */
    struct rudp_connection **waiting_end;  /* where the next is linked */
    uint32_t waiting_count;
    uint32_t backlog;      /* 0: not listening */
    uint32_t accept_count; /* threads in accept */
    bool is_shut_down;
};

/* --- Signals: api_signal.c, inside the monitor ------------------------------------------------ */

/* Makes the descriptor on the first call. A negative errno. */
int api_signal_fd(struct api_signal *signal);
void api_signal_set(struct api_signal *signal, bool is_set);
void api_signal_close(struct api_signal *signal);

/* --- Hub: api_hub.c --------------------------------------------------------------------------- */

/* Puts a hub with one user on fd, which it takes over; on failure fd is closed. A RUDP_ERR_*. */
int api_hub_create(struct api_hub **hub, int fd, const struct rudp_config *config);

/* Drops one user, outside the monitor. Nothing of the hub may be used afterwards. */
void api_hub_release(struct api_hub *hub);

/* Makes the connection object of a session and its user of the hub. Inside. NULL: no memory. */
struct rudp_connection *api_connection_create(struct api_hub *hub, struct rudp_session *session);

/* Gives back object and session of a closed connection. Inside. The user is the caller's to drop.
 */
void api_connection_free(struct rudp_connection *connection);

/* Ends a connection that nobody will use, at once, and drops its user. Inside, with another user on
 * the hub. */
void api_connection_discard(struct rudp_connection *connection);

/* The RUDP_ERR_* for a call on a closed connection. */
int api_close_error(const struct rudp_connection *connection);

/* --- Server: api_server.c, inside ------------------------------------------------------------- */

/* A peer's session is established: it joins the queue, or is refused. */
void api_server_offer(struct api_hub *hub, struct rudp_session *session);

/* --- Waiting: api_wait.c ---------------------------------------------------------------------- */

/* Runs attempt inside the monitor until it returns something else than RUDP_ERR_AGAIN or time is
 * over; sleeps on wait in between. timeout_ms as in rudp.h. Returns what attempt returned last. */
int64_t api_attempt(struct engine_socket *sock, struct engine_wait *wait, int64_t timeout_ms,
                    int64_t (*attempt)(void *request), void *request);

/* --- Settings, addresses, errors: api_settings.c, api_address.c, api_error.c ------------------ */

/* NULL gives the defaults. RUDP_ERR_INVALID when a field is out of range. */
int api_config_from_settings(struct rudp_config *config, const struct rudp_settings *settings);

/* A bound UDP socket. host and port as in rudp_server_create. A RUDP_ERR_* when negative. */
int api_socket_bound(const char *host, uint16_t port);

/* A UDP socket connected to the address. A RUDP_ERR_* when negative. */
struct addrinfo;
int api_socket_connected(const struct addrinfo *address);

/* Addresses of a host to connect to. RUDP_ERR_ADDRESS. Freed with freeaddrinfo. */
int api_resolve(struct addrinfo **addresses, const char *host, uint16_t port);

/* error is a positive errno value. */
int api_error_from_errno(int error);

#endif
