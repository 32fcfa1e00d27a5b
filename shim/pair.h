/* pair.h - what travels on the AF_UNIX pair between the program's descriptor A and our end B.
 *
 * A framed datagram is a header and the payload; a bare one is the payload alone. The header begins
 * with a random number that only this socket knows, so either kind is recognised in either
 * direction, whatever the reader expected. */
#ifndef RUDP_SHIM_PAIR_H
#define RUDP_SHIM_PAIR_H

#include "core/address.h"

#include <sys/socket.h>

enum shim_pair_type {
    SHIM_PAIR_DATAGRAM = 1, /* both ways: one datagram from or to peer */
    SHIM_PAIR_ERROR,   /* to the program: an error of peer waits; wakes pollers, has no payload */
    SHIM_PAIR_PLUG,    /* from the hook: fills A, so that it is not writable */
    SHIM_PAIR_KNOCK,   /* from the hook: written when there is room in A again */
    SHIM_PAIR_ASK,     /* from the hook of another process: wants an answer (ask.h) */
    SHIM_PAIR_WIRE,    /* from the hook of another process: it has bound or connected the wire */
    SHIM_PAIR_CONNECT, /* from the hook of another process: wants the wire connected (ask.h) */
    SHIM_PAIR_WANT, /* from the hook of a client: it has changed which control messages it wants */
    SHIM_PAIR_READ, /* from the hook of another process, which lets go: look what is read (ask.h) */
    SHIM_PAIR_TOKEN, /* from the hook of another process: it has reported that error (ask.h) */
};

/* Unused fields are 0; no padding. */
struct shim_pair_header {
    uint64_t cookie;
    uint16_t type;  /* enum shim_pair_type */
    uint16_t error; /* ERROR: errno value */
    uint32_t payload_bytes;
    struct rudp_address peer; /* source, or destination when the program sends */
    struct rudp_address
        local; /* the address it came to, or is to be sent from; may be unspecified */
    uint32_t interface_index; /* 0: unknown; WANT: enum shim_control bits */
    int16_t ttl;              /* -1: unknown */
    int16_t tos;              /* -1: unknown */
    uint64_t received_ns;     /* CLOCK_REALTIME; 0: not asked for */
};

#define SHIM_PAIR_HEADER_BYTES 80u
_Static_assert(sizeof(struct shim_pair_header) == SHIM_PAIR_HEADER_BYTES, "no padding");

/* The largest datagram on the pair, bare or framed. */
#define SHIM_PAIR_BYTES_MAX (SHIM_PAIR_HEADER_BYTES + 65536u)

/* A is bound to a name of this form (abstract, the cookie in hex): while anybody holds A, the name
 * answers. */
#define SHIM_PAIR_NAME_PREFIX "rudp."

/* Makes the pair. *program_fd gets the number that socket() would have returned and flags
 * (SOCK_NONBLOCK, SOCK_CLOEXEC); *engine_fd is non-blocking, close-on-exec and high. 0 or a
 * negative errno. */
int shim_pair_create(uint64_t cookie, int flags, int *program_fd, int *engine_fd);

/* Whether fd is the A of some socket, wherever it was made; then *cookie is that socket's. */
bool shim_pair_recognise(int fd, uint64_t *cookie);

/* Whether any process still holds A. */
bool shim_pair_is_held(uint64_t cookie, int engine_fd);

/* If data begins with a header of this socket: copies it out. Else header stays as it is. */
bool shim_pair_parse(struct shim_pair_header *header, uint64_t cookie, const void *data,
                     size_t bytes);

/* Writes one datagram, header may be NULL (bare). Never blocks, no cancellation point, errno kept.
 * 0 or a negative errno: -EAGAIN when full. */
int shim_pair_write(int fd, const struct shim_pair_header *header, const void *data, size_t bytes);

/* One message for the calls that take many (struct mmsghdr). */
struct shim_pair_note {
    struct msghdr message;
    unsigned int length; /* the kernel writes it */
};

/* The same, and reading the head of what was written to the other end away. Whether it was done the
 * kernel notes in *note, which lies in memory that outlives the process, before the call returns:
 * whoever goes on after a kill can tell. */
int shim_pair_write_noted(int fd, const struct shim_pair_header *header, const void *data,
                          size_t bytes, struct shim_pair_note *note);
void shim_pair_drop_noted(int fd, struct shim_pair_note *note);
void shim_pair_note_begin(struct shim_pair_note *note);
bool shim_pair_note_is_done(const struct shim_pair_note *note);

/* Fills A until it takes no more. Never blocks, errno kept. */
void shim_pair_plug(int program_fd, uint64_t cookie);

/* Bytes written to fd that its other end has not read, 0 when there are none. Negative errno: fd
 * is not a socket. errno kept. */
long shim_pair_unread_bytes(int fd);

#endif
