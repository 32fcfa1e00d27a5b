/* table.h - an intrusive hash table: 64-bit keys that are already well spread, chains, doubling.
 * Several nodes may have one key. Zero-initialise to use. */
#ifndef RUDP_CORE_TABLE_H
#define RUDP_CORE_TABLE_H

#include "core/host.h"
#include "core/status.h"

struct rudp_table_node {
    struct rudp_table_node *next;
    uint64_t key;
};

struct rudp_table {
    struct rudp_table_node **buckets; /* capacity of them, a power of two; NULL while empty */
    uint32_t capacity;
    uint32_t count;
};

/* Makes the first buckets, so that inserting cannot fail. RUDP_E_MEMORY. */
enum rudp_status rudp_table_reserve(struct rudp_table *table, const struct rudp_host *host);

/* RUDP_E_MEMORY only when the table has no buckets yet; a full one keeps longer chains instead. */
enum rudp_status rudp_table_insert(struct rudp_table *table, const struct rudp_host *host,
                                   struct rudp_table_node *node, uint64_t key);

/* The node must be in the table. */
void rudp_table_remove(struct rudp_table *table, struct rudp_table_node *node);

/* First node with that key, or NULL; and the next one behind node with the same key. */
struct rudp_table_node *rudp_table_find(const struct rudp_table *table, uint64_t key);
struct rudp_table_node *rudp_table_find_next(const struct rudp_table_node *node);

/* Frees the buckets; the nodes are the owner's. */
void rudp_table_clear(struct rudp_table *table, const struct rudp_host *host);

#endif
