/* engine.h - puts the session core on UDP sockets: one background thread per process, wire sockets,
 * batching, timers. What the shim and the library API stand on; knows neither.
 *
 * An engine_socket is one UDP socket (the wire) with one core endpoint. It is a monitor:
 *
 *     engine_socket_enter(sock);
 *     endpoint = engine_socket_endpoint(sock);      any core calls, with engine_now_us()
 *     engine_socket_leave(sock);                    transmits, dispatches events, arms the timer
 *
 * leave transmits what the core has ready in the calling thread, so a message sent where nothing is
 * queued is on the wire before leave returns. Between enter and leave all signals are blocked in
 * the calling thread (a handler that sends, jumps out or is cancelled there would wedge the socket)
 * and errno is preserved. Not recursive. The lock is held for microseconds, never across a blocking
 * call: wire I/O is MSG_DONTWAIT.
 *
 * Callbacks run with the socket entered, on the engine thread or in whichever thread is in
 * leave. They may call the core on that socket; they must not enter any socket, block, or call
 * engine_socket_destroy. */
#ifndef RUDP_ENGINE_ENGINE_H
#define RUDP_ENGINE_ENGINE_H

#include "core/endpoint.h"

#include <sys/epoll.h> /* EPOLLIN and its like, for engine_socket_watch */
#include <sys/socket.h>
#include <time.h>

struct engine_socket;

/* What came with an ordinary datagram that is not of the protocol. */
struct engine_datagram {
    struct rudp_path path;
    const uint8_t *data;
    size_t bytes;
    uint32_t interface_index; /* 0: unknown */
    int ttl;                  /* hop limit; -1: unknown */
    int tos;                  /* traffic class; -1: unknown */
    uint64_t received_ns;     /* CLOCK_REALTIME, by the kernel */
    bool is_to_group;         /* sent to a multicast or broadcast address */
};

/* What came with the last packet of a session. */
struct engine_arrival {
    uint32_t interface_index; /* 0: unknown */
    int ttl;                  /* hop limit; -1: unknown */
    int tos;                  /* traffic class; -1: unknown */
};

struct engine_arrival engine_session_arrival(const struct rudp_session *session);

/* Hop limit and traffic class as one value, for rudp_session_set_send_mark. Out of 1..255 and
 * 0..255: not known, the socket's own then. */
uint32_t engine_mark(int ttl, int tos);

struct engine_handler {
    /* One core event. For RUDP_EVENT_CLOSED the handler calls rudp_session_release when it is done
     * with the session, at once or later. */
    void (*on_event)(void *context, struct engine_socket *sock, const struct rudp_event *event);

    /* A datagram that is not of the protocol. NULL: dropped and counted. */
    void (*on_datagram)(void *context, struct engine_socket *sock,
                        const struct engine_datagram *datagram);

    /* A session may go to another socket of the process on the same port, see
     * engine_socket_rearrange. on_leave says whether it may and forgets it, on_join takes it in,
     * perhaps back where it was. on_leave must not call the core but for the tag and path,
     * on_join may call the core as other callbacks do. NULL: none moves. */
    bool (*on_leave)(void *context, struct engine_socket *sock, struct rudp_session *session);
    void (*on_join)(void *context, struct engine_socket *sock, struct rudp_session *session);

    /* The program talks to the session's peer from another process on the same port now: close the
     * session, once the program has what lies in its queue, or when this is called again and again.
     * NULL: it stays as it is. */
    void (*on_cede)(void *context, struct engine_socket *sock, struct rudp_session *session);

    /* The wire reported an error (errno value), for example ECONNREFUSED after an ICMP message.
     * remote is NULL when unknown. NULL handler: ignored. */
    void (*on_wire_error)(void *context, struct engine_socket *sock,
                          const struct rudp_address *remote, int error);
};

struct engine_socket_options {
    const struct rudp_config *config; /* copied */
    const struct engine_handler *handler;
    void *context;
    struct engine_arena *arena;     /* where its sessions are kept; NULL: the process's own */
    struct rudp_endpoint *endpoint; /* in that arena, to go on with; NULL: a new one */
    bool enters;                    /* returns entered: no callback comes before leave */
};

/* Process-wide bound on buffered bytes of all sockets; 0: no bound. Default 256 MiB. Set it before
 * the first socket. */
void engine_set_memory_max(size_t bytes);
size_t engine_memory_used(void);

/* Sessions are kept in memory that forked children share, so that one of them can go on with them.
 * Before the first socket. */
void engine_share_memory(void);

/* The arena (arena.h) of this process's sockets; made when first asked for. NULL: no memory. */
struct engine_arena;
struct engine_arena *engine_memory_arena(void);

/* Monotonic clock, microseconds. */
uint64_t engine_now_us(void);

/* clock_gettime, which does not fail. */
void engine_read_clock(clockid_t clock, struct timespec *now);

/* From here on clocks are read by system calls, past libc's function: where that is another
 * library's by now, which shows programs another time. Before any thread. */
void engine_use_kernel_clock(void);

/* Begins to serve wire_fd, a UDP socket of any family that may be bound and connected or not, and
 * starts the engine thread if it does not run. 0, or a negative errno; wire_fd is the caller's
 * again then. The socket is entered if the options say so: the caller has to leave it. Sets on the
 * wire what the engine needs: receive packet info, TTL, TOS, timestamps, a larger receive buffer
 * where allowed. */
int engine_socket_create(struct engine_socket **sock, int wire_fd,
                         const struct engine_socket_options *options);

/* Forgets the socket, its sessions and closes the wire, at once: close sessions and wait first.
 * No callback runs once it returned. Not from a callback. */
void engine_socket_destroy(struct engine_socket *sock);

/* Stops serving the socket here: wire and endpoint stay as they are, for another process to go on
 * with. No callback runs once it returned. Not from a callback. */
void engine_socket_detach(struct engine_socket *sock);

/* In a forked child, before it has sockets of its own: engine_socket_detach for all it came with.
 */
void engine_detach_inherited(void);

/* engine_socket_destroy from where that may not be called: while entered, also in a callback.
 * No callback runs from here on; soon the engine thread closes the wire, frees everything and calls
 * on_retired (NULL: nothing) with the socket's context, with nothing entered. The socket must not
 * be used any more once it was left. */
void engine_socket_retire(struct engine_socket *sock, void (*on_retired)(void *context));

/* The engine's own descriptors, besides the wires, for whoever must keep a program from closing
 * them. Returns how many were written: 0 before the first socket. */
size_t engine_descriptors(int *fds, size_t count_max);

/* Is told of descriptors of the engine that come and go later than those. Before the first socket.
 */
void engine_set_descriptor_guard(void (*guard)(int fd, bool is_private));

void engine_socket_enter(struct engine_socket *sock);
void engine_socket_leave(struct engine_socket *sock);

/* Only while entered. */
struct rudp_endpoint *engine_socket_endpoint(struct engine_socket *sock);
int engine_socket_wire_fd(const struct engine_socket *sock);

/* rudp_endpoint_open now, on a port that other processes may share: those that have a session with
 * that peer end it first (engine_handler.on_cede), and the hello waits for that, as long as they
 * say that they do. */
enum rudp_status engine_socket_open_session(struct engine_socket *sock,
                                            const struct rudp_path *path,
                                            struct rudp_session **session);

/* Sends an ordinary datagram on the wire, from path->local if that is given and the wire is not
 * bound to an address. Entered. 0 or a negative errno: -EAGAIN when the wire is full. */
int engine_socket_send_datagram(struct engine_socket *sock, const struct rudp_path *path,
                                const void *data, size_t bytes);

/* Tells the engine that the wire was bound or connected, so that it knows whether packets need a
 * source address (wildcard sockets answer from the address they were spoken to). While entered. */
void engine_socket_wire_changed(struct engine_socket *sock);

/* Whether other processes have sockets on the port. While entered. */
bool engine_socket_has_company(const struct engine_socket *sock);

/* After the wire was bound or connected, not while entered: sessions of this socket and of others
 * of the process on the same port go where the kernel now delivers their packets (a socket
 * connected to the peer before one that is not, one bound to the address before a wildcard one).
 * Packets for a session at another socket than the one they arrive at are handed over anyway. */
void engine_socket_rearrange(struct engine_socket *sock);

/* Blocks until every session is flushed (rudp_session_is_flushed) or timeout_us passed. Not while
 * entered. True when flushed. */
bool engine_socket_flush(struct engine_socket *sock, uint64_t timeout_us);

/* The same until every peer knows what was delivered here (rudp_session_is_told). */
bool engine_socket_await_told(struct engine_socket *sock, uint64_t timeout_us);

/* The same for the end of every session: after rudp_session_close, until the peers know. */
bool engine_socket_await_closed(struct engine_socket *sock, uint64_t timeout_us);

struct engine_socket_stats {
    struct rudp_endpoint_stats endpoint;
    uint64_t received_packet_count;
    uint64_t sent_packet_count;
    uint64_t receive_call_count; /* recvmmsg calls that returned packets: batching shows here */
    uint64_t send_call_count;
    uint64_t foreign_count;   /* datagrams that were not of the protocol */
    uint64_t wire_full_count; /* times the wire's send buffer was full */
    uint64_t wire_error_count;
    uint64_t wake_count;         /* of the engine thread by others, all sockets together */
    uint64_t wake_avoided_count; /* not needed: it was to run in time anyway */
};

void engine_socket_stats(struct engine_socket *sock,
                         struct engine_socket_stats *stats); /* enters */

/* The same while entered, but for the wake counts, which are 0. */
void engine_socket_stats_entered(struct engine_socket *sock, struct engine_socket_stats *stats);

/* Calls visit for every socket whose engine runs in this process, newest first, entered, with the
 * context of its options, until it returns false. visit may only look. Returns whether it went
 * through all. On the engine thread, with nothing entered. */
bool engine_each_socket(bool (*visit)(void *context, struct engine_socket *sock,
                                      void *socket_context),
                        void *context);

/* Lets the engine thread watch another descriptor on behalf of sock: on_ready runs with sock
 * entered when one of events (EPOLLIN, EPOLLOUT; level-triggered) holds. events may be 0 to
 * pause. One watch per engine_socket. engine_socket_destroy ends it; the descriptor stays the
 * caller's. While entered. 0 or a negative errno. */
int engine_socket_watch(struct engine_socket *sock, int fd, uint32_t events,
                        void (*on_ready)(void *context, struct engine_socket *sock,
                                         uint32_t events));

/* Address conversion. An IPv4 address renders as IPv4-mapped when family is AF_INET6. */
bool engine_address_from_sockaddr(struct rudp_address *out, const struct sockaddr *addr,
                                  socklen_t addr_bytes);
socklen_t engine_address_to_sockaddr(const struct rudp_address *address, sa_family_t family,
                                     struct sockaddr_storage *out);
bool engine_address_is_v4(const struct rudp_address *address);

/* fork: the child must call engine_after_fork_child before any other engine call. The engine
 * thread exists in the parent only; in the child every engine_socket is inert (owner false). */
void engine_before_fork(void);
void engine_after_fork_parent(void);
void engine_after_fork_child(void);

/* False in a process that inherited the sockets by fork and does not run their engine, until it
 * makes a socket of its own; engine_socket_is_owned tells for each socket. An inherited socket can
 * be entered, left and destroyed (which closes the child's copy of the wire), and does nothing. */
bool engine_is_owner(void);
bool engine_socket_is_owned(const struct engine_socket *sock);

#endif
