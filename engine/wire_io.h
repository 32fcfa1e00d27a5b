/* wire_io.h - packets to and from one UDP socket, many per system call.
 *
 * Receiving fills an arena that one thread owns. Sending fills a batch, whose packets lie one
 * behind the other in memory: what segmentation offload needs, behind the same calls. */
#ifndef RUDP_ENGINE_WIRE_IO_H
#define RUDP_ENGINE_WIRE_IO_H

#include "core/address.h"
#include "core/base.h"

#include <sys/socket.h>

#define WIRE_RECEIVE_COUNT 32u /* packets of one receive call */

struct wire {
    int fd;
    sa_family_t family; /* AF_INET or AF_INET6 */
    bool is_wildcard;   /* bound to no address: answers must name theirs */
    bool is_connected;
    bool reuses;               /* the program lets other sockets have its port */
    struct rudp_address local; /* port 0: not bound yet */
    struct rudp_address peer;  /* while connected */
};

/* One received packet. data points into the arena until the next wire_receive. */
struct wire_packet {
    const uint8_t *data;
    size_t bytes;
    struct rudp_address remote;
    struct rudp_address source;      /* local address to answer from; unspecified: unknown */
    struct rudp_address destination; /* address it was sent to, also broadcast, multicast */
    uint32_t interface_index;        /* 0: unknown */
    int ttl;                         /* -1: unknown */
    int tos;                         /* -1: unknown */
    uint64_t received_ns;            /* CLOCK_REALTIME, by the kernel; 0: unknown */
};

/* Checks that fd is a UDP socket and sets the options the engine needs; with metadata also TTL,
 * TOS and timestamps. 0 or a negative errno. fd stays the caller's. */
int wire_init(struct wire *wire, int fd, bool wants_metadata);

/* Looks again at how the socket is bound and connected. */
void wire_refresh(struct wire *wire);

/* Receive buffers: address space for WIRE_RECEIVE_COUNT datagrams of any size, memory only for
 * what arrived. NULL when there is none. Never freed. */
struct wire_arena *wire_arena_create(void);

/* How many packets arrived, 0 when none waits, or a negative errno: a pending error of the socket,
 * which is cleared by that, so call again. */
long wire_receive(const struct wire *wire, struct wire_arena *arena);
void wire_arena_packet(const struct wire_arena *arena, size_t index, struct wire_packet *packet);

/* Batches come from a pool of the process. NULL when there is no memory. */
struct wire_batch *wire_batch_acquire(void);
void wire_batch_release(struct wire_batch *batch);

/* Room for one packet of any size, or NULL when the batch is full. */
uint8_t *wire_batch_room(struct wire_batch *batch, size_t *bytes);

/* Takes the packet that was written into the room. */
void wire_batch_add(struct wire_batch *batch, const struct wire *wire, const struct rudp_path *path,
                    size_t bytes);
bool wire_batch_is_empty(const struct wire_batch *batch);

enum wire_result {
    WIRE_SENT,  /* the batch is empty */
    WIRE_FULL,  /* the socket's buffer is full: wait for EPOLLOUT, the rest is kept */
    WIRE_ERROR, /* one packet was refused and dropped from the batch: call again */
};

struct wire_send_report {
    size_t sent_count;
    size_t call_count;
    int error;                  /* errno value; without WIRE_ERROR the socket had it pending */
    struct rudp_address remote; /* WIRE_ERROR: where the refused packet was to go */
};

enum wire_result wire_batch_send(struct wire_batch *batch, const struct wire *wire,
                                 struct wire_send_report *report);

/* fork, as in engine.h. */
void wire_before_fork(void);
void wire_after_fork(void);

/* The parts of an engine_mark; -1: not known. */
int wire_mark_ttl(uint32_t mark);
int wire_mark_tos(uint32_t mark);

#endif
