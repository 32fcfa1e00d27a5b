/* held.h - datagrams under way: kept until they are due, given back earliest first, and in the
 * order they were put in among equals. Bounded in bytes. */
#ifndef IMPAIR_HELD_H
#define IMPAIR_HELD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define IMPAIR_NEVER UINT64_MAX

struct impair_datagram {
    uint64_t due_us;
    uint64_t order;  /* set by impair_held_push */
    uint32_t client; /* index of the client it came from or goes to */
    bool upwards;    /* from the client to the target */
    size_t bytes;
    uint8_t data[];
};

/* A binary heap. Zero-initialise with bytes_max set. */
struct impair_held {
    struct impair_datagram **items;
    size_t count;
    size_t capacity;
    size_t bytes; /* of the datagrams and what is kept about them */
    size_t bytes_max;
    uint64_t next_order;
};

/* Room for a datagram of that many bytes, or NULL: over the limit, or no memory. The caller fills
 * it in and hands it to impair_held_push. */
struct impair_datagram *impair_held_allocate(struct impair_held *held, size_t bytes);
void impair_held_push(struct impair_held *held, struct impair_datagram *datagram);

/* When the earliest is due; IMPAIR_NEVER when none is held. */
uint64_t impair_held_due_us(const struct impair_held *held);

/* The earliest datagram if it is due by now_us, else NULL. Given back with impair_held_release. */
struct impair_datagram *impair_held_pop(struct impair_held *held, uint64_t now_us);
void impair_held_release(struct impair_held *held, struct impair_datagram *datagram);

/* Frees everything. */
void impair_held_clear(struct impair_held *held);

#endif
