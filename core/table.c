#include "core/table.h"

#include <string.h>

#define CAPACITY_MIN 8u

static struct rudp_table_node **bucket_of(const struct rudp_table *table, uint64_t key)
{
    return &table->buckets[key & (table->capacity - 1)];
}

static void link_node(struct rudp_table *table, struct rudp_table_node *node)
{
    struct rudp_table_node **bucket = bucket_of(table, node->key);

    node->next = *bucket;
    *bucket = node;
}

static enum rudp_status grow(struct rudp_table *table, const struct rudp_host *host)
{
    uint32_t capacity = table->capacity == 0 ? CAPACITY_MIN : table->capacity * 2;
    struct rudp_table_node **buckets = rudp_allocate(host, capacity * sizeof *buckets);

    if (buckets == NULL)
        return RUDP_E_MEMORY;
    memset(buckets, 0, capacity * sizeof *buckets);
    struct rudp_table old = *table;

    table->buckets = buckets;
    table->capacity = capacity;
    for (uint32_t i = 0; i < old.capacity; i++) {
        struct rudp_table_node *node = old.buckets[i];

        while (node != NULL) {
            struct rudp_table_node *next = node->next;

            link_node(table, node);
            node = next;
        }
    }
    rudp_release(host, old.buckets, old.capacity * sizeof *buckets);
    return RUDP_OK;
}

enum rudp_status rudp_table_reserve(struct rudp_table *table, const struct rudp_host *host)
{
    return table->capacity == 0 ? grow(table, host) : RUDP_OK;
}

enum rudp_status rudp_table_insert(struct rudp_table *table, const struct rudp_host *host,
                                   struct rudp_table_node *node, uint64_t key)
{
    if (table->count >= table->capacity && grow(table, host) != RUDP_OK && table->capacity == 0)
        return RUDP_E_MEMORY;
    node->key = key;
    link_node(table, node);
    table->count++;
    return RUDP_OK;
}

void rudp_table_remove(struct rudp_table *table, struct rudp_table_node *node)
{
    RUDP_ASSERT(table->count > 0);
    struct rudp_table_node **link = bucket_of(table, node->key);

    while (*link != node) {
        RUDP_ASSERT(*link != NULL);
        link = &(*link)->next;
    }
    *link = node->next;
    node->next = NULL;
    table->count--;
}

static struct rudp_table_node *first_with_key(struct rudp_table_node *node, uint64_t key)
{
    while (node != NULL && node->key != key)
        node = node->next;
    return node;
}

struct rudp_table_node *rudp_table_find(const struct rudp_table *table, uint64_t key)
{
    if (table->capacity == 0)
        return NULL;
    return first_with_key(*bucket_of(table, key), key);
}

struct rudp_table_node *rudp_table_find_next(const struct rudp_table_node *node)
{
    return first_with_key(node->next, node->key);
}

void rudp_table_clear(struct rudp_table *table, const struct rudp_host *host)
{
    rudp_release(host, table->buckets, table->capacity * sizeof *table->buckets);
    *table = (struct rudp_table){0};
}
