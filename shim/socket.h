/* socket.h - one UDP socket of the program: its pair, its wire, its sessions, and who owns what.
 *
 * Descriptors: A is the program's, any number of copies in any number of processes. B (pair_fd) and
 * W (wire_fd, the real UDP socket) are ours; fork copies them. W belongs to the engine once it is
 * started.
 *
 * Owner: the process that runs the engine. Only there may the engine be touched; in every other
 * process (a forked child, a vfork child on its parent's memory) hooks talk through A.
 *
 * Client: a process that A reached over exec or as a passed descriptor, without the memory of the
 * one that made it. It is never the owner.
 *
 * Private and shared: struct shim_socket is a process's own, fork copies it; its numbers are the
 * same in every process. struct shim_shared lies in the arena (engine/arena.h) with the sessions,
 * and all processes that hold the socket see one. It is freed by whoever finds A unheld.
 *
 * Uses: one per entry in the descriptor table, one per call under way. With the last one given back
 * linger.c decides what becomes of the socket. The memory is never unmapped and only reused for
 * sockets, so a stale pointer may be tried (shim_socket_try_use), not trusted. Calls that may block
 * hold no use while they do: a signal handler may never return to them (hold.h).
 *
 * Locks: "entered" fields are touched only between engine_socket_enter and leave (engine callbacks
 * are entered). Atomics may be read by any hook. The rest is fixed before the descriptor is handed
 * out. Lock order: start lock, engine, pool lock. */
#ifndef RUDP_SHIM_SOCKET_H
#define RUDP_SHIM_SOCKET_H

#include "engine/arena.h"
#include "engine/engine.h"
#include "engine/thread.h"
#include "shim/pair.h"

#include <stdatomic.h>
#include <sys/socket.h>
#include <sys/types.h>

#define SHIM_FAILURE_COUNT_MAX 16u

/* Datagrams taken from a pair: per datagram its length (u32) and its bytes. Mapped. */
struct shim_queue {
    uint8_t *data; /* NULL: empty */
    size_t room_bytes;
    size_t used_bytes;
};

enum shim_phase {
    SHIM_FREE,
    SHIM_OPEN,     /* held by descriptors of this process, or made by it */
    SHIM_ORPHAN,   /* closed here, but another process holds A: served until it lets go */
    SHIM_LINGER,   /* nobody holds A: sessions are closing */
    SHIM_FINISHED, /* being taken apart by whoever put it into this phase */
};

/* A session that ended without delivering everything: reported once, by whichever process takes the
 * error. Entered by the owner. */
struct shim_failure {
    struct rudp_address peer;
    uint64_t number;        /* in the order of their age */
    _Atomic int error;      /* 0: free entry */
    atomic_bool token_owed; /* the error token did not fit into the pair yet */
    atomic_bool token_sent; /* a token for it was written to the pair */
};

struct shim_peer;
struct shim_pending;

/* A message on its way between a session and the pair: which must be told for both sides at once
 * whether it has passed. */
struct shim_passage {
    _Atomic(struct rudp_session *) session; /* NULL: none is on its way */
    uint64_t count;                         /* of the session's messages before this one */
    struct shim_pair_note note;             /* the pair's side (pair.h) */
};

/* What belongs to the socket and not to a process. Atomics may be read and written by any holder;
 * the rest is the owner's, entered. */
struct shim_shared {
    _Atomic uint64_t cookie; /* the socket's; another value: this memory is no longer its own */
    _Atomic(struct rudp_endpoint *) endpoint; /* NULL until an owner started */

    _Atomic uint32_t wanted_controls; /* enum shim_control bits the program enabled */
    _Atomic int receive_buffer_shown; /* what SO_RCVBUF reports; 0: ask the wire */
    atomic_bool wants_errors; /* IP_RECVERR, IPV6_RECVERR: remembered. The wire must not queue
                               * errors, a session deals with them. */
    atomic_bool wants_errors6;
    _Atomic int time_stamping; /* SO_TIMESTAMPING */
    atomic_bool write_shut;
    atomic_bool steers_routes; /* an option chooses the device or mark: no route check of ours */
    atomic_bool is_bare;       /* hint for readers: the next datagram is likely bare */

    atomic_bool is_spread; /* another process may hold A: it was forked, or asked for */
    atomic_bool is_stale;  /* another process bound or connected the wire */

    atomic_bool is_connected;
    atomic_bool sends_bare; /* what the peer of a connected socket sends goes bare into the pair */
    bool port_is_shared;    /* if is_connected: what comes from others is for other sockets */
    int soft_error; /* last error of the wire on a connected socket; a handshake may survive it */
    struct rudp_address peer;      /* if is_connected */
    struct rudp_address local;     /* as getsockname says; unspecified until bound */
    struct shim_peer *peers;       /* all sessions */
    struct shim_peer *ready_first; /* sessions with a message for the program, oldest first */
    struct shim_peer *ready_last;
    struct shim_peer *unconfirmed_first; /* sessions with messages in the pair, perhaps unread */
    uint64_t passed_bytes;               /* put into the pair, as reading.c counts */
    uint64_t read_bytes;                 /* of these, told to the sessions as read */
    uint64_t session_number;             /* the last one given */
    _Atomic uint32_t peer_count;         /* of peers; read by linger.c without entering */
    struct shim_pending *pending;        /* messages to peers of whom little is known */
    _Atomic uint32_t pending_count;      /* of peers; read without entering */
    uint64_t failure_number;             /* the last one given */
    struct shim_failure failures[SHIM_FAILURE_COUNT_MAX];
    struct rudp_address broadcast; /* the last destination found to be a broadcast address */
    struct shim_passage delivery;  /* from a session into the pair */
    struct shim_passage intake;    /* from the pair into a session */
    uint64_t unaddressed_count; /* bare datagrams of an unconnected program: nowhere to send them */
    uint64_t refused_plain_count; /* plain datagrams of tagged peers, dropped */
    uint64_t overflow_count;      /* plain datagrams dropped because the pair was full */
    uint64_t strange_count;       /* what holders of A wrote into it that has no meaning, dropped */
};

struct shim_socket {
    _Atomic uint32_t users;
    _Atomic uint64_t cookie;
    _Atomic uint32_t phase; /* enum shim_phase */
    struct shim_socket *next_free;

    sa_family_t family;
    _Atomic int wire_fd; /* of a client: -1 until its owner has answered */
    int pair_fd;         /* of a client: -1 */
    uint64_t number;     /* of the sockets that this process started, from 1 */
    struct engine_arena *arena;
    struct shim_shared *shared;

    _Atomic(struct engine_socket *) engine; /* NULL: does not run here */
    _Atomic pid_t owner_pid;                /* 0 until started */
    bool is_entrusted;                      /* caretaker.h: for the process being forked */
    atomic_bool is_unwatched;               /* heir.h: the owner's end is not waited for yet */
    _Atomic pid_t watched_pid;              /* 0: none */
    atomic_bool stands_by;                  /* has the heir's lock (lease.h) */
    uint8_t *scratch;                       /* entered; SHIM_PAIR_BYTES_MAX, from start on */
    struct engine_job settle_job;           /* port.h */
    atomic_bool settles;                    /* it was posted and has not run */

    bool is_client; /* A was handed to this process: the rest is asked for, and shared is a copy */
    _Atomic uint64_t ask_again_us; /* of a client: not before (ask.h) */

    /* Entered. */
    bool is_plugged;         /* A is full of plugs: B is not read */
    bool drain_blocked;      /* the head of B waits for room in a session: B is not read */
    bool pair_full;          /* B takes no more: deliveries wait for EPOLLOUT */
    struct shim_queue aside; /* what was set aside for this socket, from aside_offset on */
    size_t aside_offset;
    bool is_counted;  /* A is being closed, and what is unread in it was told to the sessions */
    bool is_deserted; /* A's last holder went where no hook saw it: found out by a write to B */
    uint32_t watched; /* events watched on B */

    struct shim_shared copy; /* of a client: what its owner said of the shared state */
};

/* socket(2) for a UDP socket: returns the program's descriptor, or -1 and errno. */
int shim_socket_open(int domain, int type, int protocol);

/* Turns fd, a plain UDP socket of the family, into one of ours under the same number, with its
 * flags: what fd was becomes the wire. 0 or a negative errno, fd is as it was then. */
int shim_socket_convert(int fd, sa_family_t family);

/* fd is the A of a socket that other processes serve: makes it ours, as a client. 0 or a negative
 * errno. */
int shim_socket_join(int fd, uint64_t cookie);

/* One more use, only from somebody who holds one, or through the table. */
void shim_socket_use(struct shim_socket *sock);
bool shim_socket_try_use(struct shim_socket *sock);

/* Gives a use back. errno kept. */
void shim_socket_release(struct shim_socket *sock);

/* Has its engine run here if it runs nowhere: starts it, or goes on where an owner ended. 0: it
 * runs here; 1: in another process; or a negative errno. shim_socket_start then also waits for that
 * process's end. */
int shim_socket_serve(struct shim_socket *sock);
int shim_socket_start(struct shim_socket *sock);

/* Whether this very process runs the socket's engine, or may start it. */
bool shim_socket_is_ours(const struct shim_socket *sock);

/* The running engine, NULL when not started or not ours. */
struct engine_socket *shim_socket_engine(const struct shim_socket *sock);

/* Entered: the endpoint of the running engine. */
struct rudp_endpoint *shim_socket_endpoint(const struct shim_socket *sock);

/* Entered. Whether address is the socket's own: the kernel loops such datagrams back, they need no
 * session and could have none. */
bool shim_socket_is_itself(const struct shim_socket *sock, const struct rudp_address *address);

/* Reads the wire's address anew. Entered, or before start. */
void shim_socket_refresh_local(struct shim_socket *sock);

/* What sendmsg(message) on the wire would say to its destination and control messages, without
 * sending anything: 0 or a negative errno. */
long shim_socket_probe(const struct shim_socket *sock, const struct msghdr *message);

/* The number fd turned out not to be this socket any more (closed where no hook saw it). */
void shim_socket_forget(struct shim_socket *sock, int fd);

/* Destroys its engine if it has one, closes B and W, gives the memory back for reuse. Nobody may
 * use it any more. Not entered, not from a callback. */
void shim_socket_free(struct shim_socket *sock);

/* Calls visit for every socket that is not free, under the pool lock: visit may do little. */
void shim_socket_each(void (*visit)(void *context, struct shim_socket *sock), void *context);

/* A use of the next socket in the given phase (ORPHAN or LINGER: they have none, and are not
 * revived otherwise), or NULL when there are no more. *place, 0 at first, is where to look on: what
 * is done with a socket may take it out of the phase. */
struct shim_socket *shim_socket_pin(enum shim_phase phase, uint32_t *place);

/* The same for sockets served here whose messages wait (pending.h). */
struct shim_socket *shim_socket_pin_pending(uint32_t *place);

/* Takes back the last use, entered (unless not started): false when another one appeared meanwhile.
 * With the answer true nobody but pins can use it. */
bool shim_socket_drop_last_use(struct shim_socket *sock);

/* Entered. Puts a lingering socket without uses and sessions into SHIM_FINISHED: the caller, who
 * alone gets true, takes it apart. */
bool shim_socket_claim(struct shim_socket *sock);

/* Around fork: nothing is in the middle of anything. In the child uses are those of the table alone
 * (threads that were in a call do not exist there), and sockets without any drop their copies. */
void shim_socket_before_fork(void);
void shim_socket_after_fork_parent(void);
void shim_socket_after_fork_child(void);

#endif
