/* clients.h - who talks through the relay: one socket towards the target for each client address of
 * each forward, so that answers find their way back. Bounded, and idle ones go. */
#ifndef IMPAIR_CLIENTS_H
#define IMPAIR_CLIENTS_H

#include "tools/impair/sockets.h"

#include <stdbool.h>
#include <stdint.h>

#define IMPAIR_CLIENT_NONE UINT32_MAX

struct impair_client {
    union impair_address address;
    uint32_t forward;    /* index of the forward it came in by */
    int upstream_fd;     /* connected to the target; -1: slot is free */
    uint32_t held_count; /* datagrams under way; such a client does not expire */
    uint64_t last_us;    /* last datagram either way */
    uint32_t older;      /* neighbours in order of last_us; IMPAIR_CLIENT_NONE: none */
    uint32_t newer;
    uint32_t next_in_bucket; /* also links the free slots */
};

struct impair_clients {
    struct impair_client *slots;
    uint32_t *buckets;
    uint32_t slot_count;
    uint32_t bucket_count; /* a power of two */
    uint32_t free_head;
    uint32_t oldest;
    uint32_t newest;
    uint32_t count;
    uint32_t count_peak;
    uint64_t count_total;    /* ever */
    uint64_t kernel_dropped; /* on sockets of clients that are gone */
};

/* False: no memory. client_count_max > 0. */
bool impair_clients_init(struct impair_clients *clients, uint32_t client_count_max);

/* Closes every socket and frees the table. */
void impair_clients_clear(struct impair_clients *clients);

/* Index of a client, or IMPAIR_CLIENT_NONE. */
uint32_t impair_clients_find(const struct impair_clients *clients, uint32_t forward,
                             const union impair_address *address);

/* Takes upstream_fd over. The client must not be there yet, and the table not full: count tells. */
uint32_t impair_clients_add(struct impair_clients *clients, uint32_t forward,
                            const union impair_address *address, int upstream_fd, uint64_t now_us);
void impair_clients_touch(struct impair_clients *clients, uint32_t client, uint64_t now_us);

/* Forgets one client and closes its socket. */
void impair_clients_remove(struct impair_clients *clients, uint32_t client);

/* Removes the clients that were idle for idle_us. */
void impair_clients_expire(struct impair_clients *clients, uint64_t now_us, uint64_t idle_us);

/* What the kernel dropped on all sockets towards the target so far. */
uint64_t impair_clients_kernel_dropped(const struct impair_clients *clients);

/* last_us of the client that expires first; UINT64_MAX: there is none. */
uint64_t impair_clients_oldest_us(const struct impair_clients *clients);

#endif
