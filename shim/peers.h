/* peers.h - the sessions of one socket as the shim keeps them, and the errors they leave behind.
 * Everything here is entered (socket.h). */
#ifndef RUDP_SHIM_PEERS_H
#define RUDP_SHIM_PEERS_H

#include "shim/socket.h"

#define SHIM_MARK_COUNT_MAX 16u

/* Once so much of all that was ever put into the pair is read (reading.h), the program has so much
 * of the session's stream. */
struct shim_mark {
    uint64_t pair_bytes;
    uint64_t stream_bytes;
};

/* One session, from open or OPENED until it is released. Its session's tag points here. */
struct shim_peer {
    struct rudp_session *session;
    struct shim_peer *next;
    struct shim_peer *previous;
    struct shim_peer *ready_next;
    struct shim_peer *unconfirmed_next;
    uint64_t unread_bytes; /* of the stream, while the queue is counted */
    uint64_t passed_bytes; /* of the stream, put into the pair */
    struct shim_mark
        marks[SHIM_MARK_COUNT_MAX]; /* oldest first; without any all are read at once */
    uint32_t mark_count;
    uint64_t mark_step_bytes; /* how far apart they are in the pair */
    uint64_t number; /* of the sessions of this socket, from 1; the list has the highest first */
    bool is_ready;   /* in the socket's ready list */
    bool is_unconfirmed;        /* in the socket's list of these */
    bool is_full;               /* a send was refused and WRITABLE is awaited */
    bool is_opener;             /* this side opened it */
    bool is_reported;           /* its error was left behind */
    bool is_ceded;              /* another process talks to the peer now: it is being closed */
    uint64_t ceded_us;          /* when that was first asked for; 0: never */
    struct rudp_address remote; /* when it was opened */
    bool is_closed;             /* CLOSED was seen: released when its last message is delivered */
};

/* NULL: no memory. */
struct shim_peer *shim_peer_add(struct shim_socket *sock, struct rudp_session *session,
                                bool is_opener);
struct shim_peer *shim_peer_of(const struct rudp_session *session);

/* For a session that moves between sockets of one arena: out of the lists of one, into those of the
 * other. */
void shim_peer_unlink(struct shim_socket *sock, struct shim_peer *peer);
void shim_peer_link(struct shim_socket *sock, struct shim_peer *peer);

/* Whether a session with that address is being closed here: who sends to it waits for its end. */
bool shim_peer_await_closed(struct shim_socket *sock, const struct rudp_address *remote);

/* Releases the session, which is closed, and frees the peer. */
void shim_peer_remove(struct shim_socket *sock, struct rudp_endpoint *endpoint,
                      struct shim_peer *peer);

/* Forgets the lists, not the peers; and puts one into them again, as if its last owner had never
 * acted on its events. */
void shim_peer_unlink_all(struct shim_socket *sock);
void shim_peer_relink(struct shim_socket *sock, struct shim_peer *peer);

/* A passage (socket.h) begins with session's message number count, and is over. */
void shim_passage_begin(struct shim_passage *passage, struct rudp_session *session, uint64_t count);
void shim_passage_end(struct shim_passage *passage);

/* Frees all peers of a socket whose sessions are gone or never to be used: of one that a forked
 * child inherited. */
void shim_peer_forget_all(struct shim_socket *sock);

/* The list of sessions with messages in the pair. */
void shim_peer_push_unconfirmed(struct shim_socket *sock, struct shim_peer *peer);
struct shim_peer *shim_peer_pop_unconfirmed(struct shim_socket *sock);

/* The list of sessions with messages to deliver, each once, first come first served. */
void shim_peer_push_ready(struct shim_socket *sock, struct shim_peer *peer);
struct shim_peer *shim_peer_pop_ready(struct shim_socket *sock);

/* Remembers that messages to peer were lost. wants_token: readers and pollers shall learn of it
 * too, not only the next send. The oldest of too many is forgotten, with a log line. */
void shim_failure_add(struct shim_socket *sock, const struct rudp_address *peer, int error,
                      bool wants_token);

/* The error of peer (NULL: any that has a token), which is thereby reported, once in all processes;
 * 0: none. *token_sent says whether its token may still be in the pair. Need not be entered. */
int shim_failure_take(struct shim_socket *sock, const struct rudp_address *peer, bool *token_sent);

/* A token whose error was just reported would wake readers for nothing: takes it from the head of
 * A, of which fd is a copy, if it is there. Only the owner can, because it can put back what it
 * should not have taken. */
void shim_failure_drop_token(struct shim_socket *sock, int fd, const struct rudp_address *peer);

/* Writes the tokens that are owed, as far as the pair has room. */
void shim_failure_send_tokens(struct shim_socket *sock);

#endif
