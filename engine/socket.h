/* socket.h - inside of an engine_socket (engine.h): its monitor and what the monitor guards. */
#ifndef RUDP_ENGINE_SOCKET_H
#define RUDP_ENGINE_SOCKET_H

#include "engine/arena.h"
#include "engine/engine.h"
#include "engine/system.h"
#include "engine/thread.h"
#include "engine/wait.h"
#include "engine/wire_io.h"

#include <pthread.h>
#include <stdatomic.h>

/* Lock order: the list of sockets, a socket's lock, the thread's lock or the pool's. A thread holds
 * one socket's lock at a time, but for fork, which takes all in list order. */
struct engine_socket {
    pthread_mutex_t lock;           /* guards all below, but for next and link */
    struct engine_signal_mask mask; /* of the thread that entered */
    int saved_errno;                /* of the thread that entered */
    struct wire wire;
    struct engine_arena *arena;
    struct rudp_endpoint *endpoint;
    struct engine_handler handler;
    void *context;
    struct wire_batch *unsent; /* kept while the wire is full; NULL: it is not */
    struct engine_timer timer;
    uint64_t armed_us; /* the timer is due by then; RUDP_NEVER: not armed */
    struct engine_source wire_source;
    struct engine_source watch_source;
    int watch_fd; /* -1: not registered */
    uint32_t watch_events;
    void (*on_watch)(void *context, struct engine_socket *sock, uint32_t events);
    struct engine_wait session_wait;
    struct engine_socket_stats stats;
    uint16_t forward_port;        /* joined in forward.h; 0: none */
    _Atomic uint16_t shared_port; /* share.c's; 0: none. Read without the lock. */
    bool is_owned;                /* this process runs its engine */
    bool is_retired;              /* no callback runs any more */
    void (*on_retired)(void *context);
    struct engine_job job;      /* frees or destroys, between rounds of events */
    struct engine_socket *next; /* all sockets of the process; guarded by the list's lock */
    struct engine_socket **link;
};

/* All sockets of the process, the first one; NULL: none. Nothing else may be locked yet. */
struct engine_socket *engine_socket_list_lock(void);
void engine_socket_list_unlock(void);

/* Enter and leave without what only program threads need: signals and errno. */
void engine_socket_lock(struct engine_socket *sock);
void engine_socket_unlock(struct engine_socket *sock);

/* For rudp_endpoint_set_mark, what engine_session_arrival says. */
uint64_t engine_packet_mark(const struct wire_packet *packet);

/* Transmits, dispatches events and arms the timer. Locked. */
void engine_socket_settle(struct engine_socket *sock);

/* What the engine thread calls. */
void engine_socket_on_wire(struct engine_source *source, uint32_t events);
void engine_socket_on_watch(struct engine_source *source, uint32_t events);
void engine_socket_on_due(struct engine_timer *timer);

/* One arena serves all sockets: only the engine thread receives. */
void engine_socket_set_arena(struct wire_arena *arena);

#endif
