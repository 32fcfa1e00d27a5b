/* drain.h - from the program to the engine: messages into sessions, plain datagrams onto the wire,
 * and what was written into the pair by those who cannot do that themselves (libc's own calls,
 * forked children). Everything here is entered (socket.h). */
#ifndef RUDP_SHIM_DRAIN_H
#define RUDP_SHIM_DRAIN_H

#include "shim/socket.h"

/* One datagram to be sent. slices point to the program's memory. */
struct shim_datagram {
    struct rudp_address remote;
    struct rudp_address local; /* unspecified: as the wire is bound */
    uint32_t send_mark;        /* engine_mark; 0: hop limit and traffic class are the socket's */
    const struct rudp_slice *slices;
    size_t slice_count;
    bool is_passage; /* read from B, and still its head: an intake passage is to begin */
};

enum shim_verdict {
    SHIM_SENT,   /* accepted: it will arrive, or the program is told */
    SHIM_PLAIN,  /* to be sent as it is, on the wire: no rule tags the peer */
    SHIM_FULL,   /* the peer must catch up first; is_full of its shim_peer is set */
    SHIM_FAILED, /* *error says why */
};

/* Sends to a session, which is opened if the rules tag the peer and there is none. */
enum shim_verdict shim_drain_send(struct shim_socket *sock, const struct shim_datagram *datagram,
                                  int *error);

/* The same where it is known that the peer speaks the protocol, or that it does not. SHIM_SENT,
 * SHIM_FULL, or SHIM_FAILED. */
enum shim_verdict shim_drain_reliably(struct shim_socket *sock,
                                      const struct shim_datagram *datagram, int *error);
enum shim_verdict shim_drain_plainly(struct shim_socket *sock, const struct shim_datagram *datagram,
                                     int *error);

/* Reads B empty, unless it is full of plugs or its head has to wait for room. */
void shim_drain(struct shim_socket *sock);

/* A session has room again: A becomes writable, B is read again. */
void shim_drain_resume(struct shim_socket *sock);

/* Makes A unwritable until shim_drain_resume. */
void shim_drain_plug(struct shim_socket *sock, int program_fd);

#endif
