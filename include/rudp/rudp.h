/* rudp.h - reliable datagrams over UDP as a C library: servers, connections, clients.
 *
 * Every message that rudp_*_send accepts arrives once, in order and unaltered at the peer, with its
 * boundaries kept, or the connection reports an error. A message is 0 to RUDP_MESSAGE_MAX bytes.
 *
 * Errors: RUDP_ERR_NONE is 0; a call that fails returns a negative RUDP_ERR_* code (RUDP_ERROR_MAP,
 * rudp_error_text); errno is not used and not changed.
 * Times: int64 milliseconds; 0 polls once, negative waits without limit.
 * Threads: every function may be called from any thread at any time, several on one object at
 * once, except that nothing may use an object when or after it is freed (rudp_*_close,
 * rudp_server_shutdown). Not from signal handlers. After fork only the parent may go on.
 * Descriptors: rudp_*_fd gives a descriptor for poll, select and epoll, readable (level-triggered)
 * while a call would not wait. Do not read, write or close it. */
#ifndef RUDP_RUDP_H
#define RUDP_RUDP_H

#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>

#ifdef __cplusplus
extern "C" {
#endif

#if defined(RUDP_BUILDING)
#define RUDP_API __attribute__((visibility("default")))
#else
#define RUDP_API
#endif

#define RUDP_MESSAGE_MAX 65507 /* bytes; what a UDP datagram over IPv4 can carry */

/* X(name, value, text) */
#define RUDP_ERROR_MAP(X)                                                                          \
    X(ERR_NONE, 0, "success")                                                                      \
    X(ERR_INVALID, -1, "argument is NULL or out of range")                                         \
    X(ERR_MEMORY, -2, "out of memory, or over the memory limit")                                   \
    X(ERR_SYSTEM, -3, "the system refused a resource")                                             \
    X(ERR_ADDRESS, -4, "host or port cannot be resolved")                                          \
    X(ERR_ADDRESS_IN_USE, -5, "another socket has this address")                                   \
    X(ERR_ACCESS, -6, "not permitted")                                                             \
    X(ERR_AGAIN, -7, "nothing to do now: would wait, or the time is over")                         \
    X(ERR_TOO_LONG, -8, "message is longer than RUDP_MESSAGE_MAX")                                 \
    X(ERR_BUFFER, -9, "buffer is too small, the message stays queued")                             \
    X(ERR_NOT_CONNECTED, -10, "connect was not called or failed")                                  \
    X(ERR_CLOSED, -11, "the connection was closed and everything it held was read")                \
    X(ERR_TIMEOUT, -12, "the peer did not answer in time")                                         \
    X(ERR_RESET, -13, "the peer restarted or gave the connection up")                              \
    X(ERR_UNDELIVERED, -14, "closed before everything that was sent had arrived")                  \
    X(ERR_NOT_LISTENING, -15, "listen was not called, or the server is shut down")

enum rudp_error {
#define X(name, value, text) RUDP_##name = value,
    RUDP_ERROR_MAP(X)
#undef X
};

/* Static text for a code, "unknown error" for a number that is none. */
RUDP_API const char *rudp_error_text(int error);

/* The library's version, "major.minor.patch". */
RUDP_API const char *rudp_version(void);

/* Settings of a server or client. Fill with rudp_settings_init, then change what you want: fields
 * may be added in later versions, and init sets their defaults. Durations in milliseconds. */
struct rudp_settings {
    size_t struct_bytes;           /* set by rudp_settings_init; do not change */
    uint32_t packet_bytes;         /* UDP payload 576..65507; 0: found automatically */
    uint32_t connect_timeout_ms;   /* how long a handshake may take */
    uint32_t rto_initial_ms;       /* retransmission timeout before the first round trip */
    uint32_t rto_min_ms;           /* its floor */
    uint32_t rto_max_ms;           /* its ceiling */
    uint32_t retries;              /* unanswered probes before a peer counts as dead */
    uint32_t keepalive_ms;         /* silence before an idle peer is probed; 0: never */
    uint32_t idle_timeout_ms;      /* silence before an idle connection ends; 0: never */
    uint32_t linger_ms;            /* how long close may wait for acknowledgement */
    uint32_t send_buffer_bytes;    /* per connection; at least 131072 */
    uint32_t receive_buffer_bytes; /* per connection; at least 131072 */
    int unordered;                 /* 1: deliver messages as they arrive, not in order */
};

RUDP_API void rudp_settings_init(struct rudp_settings *settings);

/* What one connection did and how it does. Fill struct_bytes with sizeof before the call. */
struct rudp_stats {
    size_t struct_bytes;
    uint64_t sent_messages;
    uint64_t received_messages;
    uint64_t sent_packets;
    uint64_t sent_bytes; /* UDP payload */
    uint64_t received_packets;
    uint64_t received_bytes;
    uint64_t resent_bytes; /* of messages, sent more than once */
    uint64_t lost_packets; /* declared lost */
    uint64_t restarts;     /* of the peer, survived */
    uint64_t rtt_us;       /* smoothed; 0: not measured yet */
    uint64_t rtt_min_us;
    uint64_t window_bytes;    /* congestion window */
    uint64_t in_flight_bytes; /* sent, not acknowledged */
    uint64_t queued_bytes;    /* accepted, not yet delivered */
    uint64_t unread_bytes;    /* received, not yet taken by receive */
};

typedef struct rudp_server rudp_server;
typedef struct rudp_connection rudp_connection;
typedef struct rudp_client rudp_client;

/* --- Server ----------------------------------------------------------------------------------- */

/* Binds to host (NULL or "": every address, IPv6 and IPv4; else a name or numeric address) and
 * port (0: any free one). settings may be NULL for the defaults and is copied. The caller owns
 * *server and frees it with rudp_server_shutdown. */
RUDP_API int rudp_server_create(rudp_server **server, const char *host, uint16_t port,
                                const struct rudp_settings *settings);

/* Starts to let clients in. backlog (> 0): how many may wait for accept; more are not answered
 * until there is room, and try again by themselves. A client in the middle of its handshake still
 * comes in. May be called again to change backlog. */
RUDP_API int rudp_server_listen(rudp_server *server, int backlog);

/* Waits for the next client. The caller owns *connection and frees it with rudp_connection_close.
 * RUDP_ERR_AGAIN when time is over, RUDP_ERR_NOT_LISTENING also when shut down meanwhile. */
RUDP_API int rudp_server_accept(rudp_server *server, rudp_connection **connection,
                                int64_t timeout_ms);

/* The port bound to. */
RUDP_API uint16_t rudp_server_port(const rudp_server *server);

/* Readable while a client waits for accept. */
RUDP_API int rudp_server_fd(const rudp_server *server);

/* Ends the server and frees it. Accepted connections go on and are closed on their own; clients
 * that wait for accept are refused. Threads waiting in accept return before this does. */
RUDP_API int rudp_server_shutdown(rudp_server *server);

/* --- Connection, as accept returns it --------------------------------------------------------- */

/* Sends one message. Waits while the send buffer is full, up to timeout_ms: RUDP_ERR_AGAIN then,
 * and nothing was sent. */
RUDP_API int rudp_connection_send(rudp_connection *connection, const void *data, size_t bytes,
                                  int64_t timeout_ms);

/* Receives one message: returns its length (0 is a message), or an error. RUDP_ERR_BUFFER leaves
 * it queued. RUDP_ERR_CLOSED once the peer closed and everything was read. */
RUDP_API int64_t rudp_connection_receive(rudp_connection *connection, void *buffer, size_t bytes,
                                         int64_t timeout_ms);

/* Readable while receive would not wait. */
RUDP_API int rudp_connection_fd(rudp_connection *connection);

RUDP_API int rudp_connection_stats(rudp_connection *connection, struct rudp_stats *stats);

/* The peer's address; *addr_bytes is the room on entry, the length on return, as in getpeername. */
RUDP_API int rudp_connection_peer(rudp_connection *connection, struct sockaddr *addr,
                                  socklen_t *addr_bytes);

/* Waits until everything sent is acknowledged, at most the linger time, and frees the connection in
 * any case. RUDP_ERR_UNDELIVERED when something was not. */
RUDP_API int rudp_connection_close(rudp_connection *connection);

/* --- Client ----------------------------------------------------------------------------------- */

/* Remembers the server to talk to; nothing is sent. Freed with rudp_client_close. */
RUDP_API int rudp_client_create(rudp_client **client, const char *host, uint16_t port,
                                const struct rudp_settings *settings);

/* Resolves the name and shakes hands, within the connect timeout: RUDP_ERR_TIMEOUT. May be called
 * again after a failure; harmless once connected. */
RUDP_API int rudp_client_connect(rudp_client *client);

/* As for a connection. RUDP_ERR_NOT_CONNECTED before connect. A server that restarts is connected
 * to again by itself, and what it had not delivered is sent again. */
RUDP_API int rudp_client_send(rudp_client *client, const void *data, size_t bytes,
                              int64_t timeout_ms);
RUDP_API int64_t rudp_client_receive(rudp_client *client, void *buffer, size_t bytes,
                                     int64_t timeout_ms);
RUDP_API int rudp_client_fd(rudp_client *client); /* -1 before connect */
RUDP_API int rudp_client_stats(rudp_client *client, struct rudp_stats *stats);
RUDP_API int rudp_client_close(rudp_client *client); /* as for a connection */

#ifdef __cplusplus
}
#endif

#endif
