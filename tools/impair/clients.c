#include "tools/impair/clients.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

bool impair_clients_init(struct impair_clients *clients, uint32_t client_count_max)
{
    assert(clients != NULL && client_count_max > 0 && client_count_max < IMPAIR_CLIENT_NONE / 2);
    *clients = (struct impair_clients){.slot_count = client_count_max, .bucket_count = 1};
    while (clients->bucket_count < client_count_max)
        clients->bucket_count *= 2;
    clients->slots = calloc(client_count_max, sizeof *clients->slots);
    clients->buckets = calloc(clients->bucket_count, sizeof *clients->buckets);
    if (clients->slots == NULL || clients->buckets == NULL) {
        free(clients->slots);
        free(clients->buckets);
        return false;
    }
    for (uint32_t i = 0; i < client_count_max; i++) {
        clients->slots[i].upstream_fd = -1;
        clients->slots[i].next_in_bucket = i + 1 < client_count_max ? i + 1 : IMPAIR_CLIENT_NONE;
    }
    memset(clients->buckets, 0xff, clients->bucket_count * sizeof *clients->buckets);
    clients->oldest = clients->newest = IMPAIR_CLIENT_NONE;
    return true;
}

void impair_clients_clear(struct impair_clients *clients)
{
    for (uint32_t i = 0; i < clients->slot_count; i++) {
        if (clients->slots[i].upstream_fd >= 0)
            close(clients->slots[i].upstream_fd);
    }
    free(clients->slots);
    free(clients->buckets);
}

/* FNV-1a over all of the union, which impair_address_set clears first. Clients of a test tool do
 * not attack its hash table. */
static uint32_t *bucket_of(const struct impair_clients *clients, uint32_t forward,
                           const union impair_address *address)
{
    const uint8_t *bytes = (const uint8_t *)address;
    uint32_t hash = 2166136261u ^ forward;

    for (size_t i = 0; i < sizeof *address; i++)
        hash = (hash ^ bytes[i]) * 16777619u;
    return &clients->buckets[hash & (clients->bucket_count - 1)];
}

uint32_t impair_clients_find(const struct impair_clients *clients, uint32_t forward,
                             const union impair_address *address)
{
    uint32_t at = *bucket_of(clients, forward, address);

    while (at != IMPAIR_CLIENT_NONE) {
        const struct impair_client *client = &clients->slots[at];

        if (client->forward == forward && impair_address_equal(&client->address, address))
            break;
        at = client->next_in_bucket;
    }
    return at;
}

static void link_newest(struct impair_clients *clients, uint32_t at)
{
    struct impair_client *client = &clients->slots[at];

    client->newer = IMPAIR_CLIENT_NONE;
    client->older = clients->newest;
    if (clients->newest != IMPAIR_CLIENT_NONE)
        clients->slots[clients->newest].newer = at;
    else
        clients->oldest = at;
    clients->newest = at;
}

static void unlink_client(struct impair_clients *clients, uint32_t at)
{
    const struct impair_client *client = &clients->slots[at];

    if (client->older != IMPAIR_CLIENT_NONE)
        clients->slots[client->older].newer = client->newer;
    else
        clients->oldest = client->newer;
    if (client->newer != IMPAIR_CLIENT_NONE)
        clients->slots[client->newer].older = client->older;
    else
        clients->newest = client->older;
}

uint32_t impair_clients_add(struct impair_clients *clients, uint32_t forward,
                            const union impair_address *address, int upstream_fd, uint64_t now_us)
{
    assert(clients->count < clients->slot_count);
    uint32_t at = clients->free_head;
    struct impair_client *client = &clients->slots[at];
    uint32_t *bucket = bucket_of(clients, forward, address);

    clients->free_head = client->next_in_bucket;
    *client = (struct impair_client){
        .address = *address,
        .forward = forward,
        .upstream_fd = upstream_fd,
        .last_us = now_us,
        .next_in_bucket = *bucket,
    };
    *bucket = at;
    link_newest(clients, at);
    clients->count++;
    clients->count_total++;
    if (clients->count > clients->count_peak)
        clients->count_peak = clients->count;
    return at;
}

void impair_clients_touch(struct impair_clients *clients, uint32_t client, uint64_t now_us)
{
    assert(client < clients->slot_count);
    clients->slots[client].last_us = now_us;
    if (clients->newest == client)
        return;
    unlink_client(clients, client);
    link_newest(clients, client);
}

void impair_clients_remove(struct impair_clients *clients, uint32_t at)
{
    struct impair_client *client = &clients->slots[at];
    uint32_t *from = bucket_of(clients, client->forward, &client->address);

    while (*from != at)
        from = &clients->slots[*from].next_in_bucket;
    *from = client->next_in_bucket;
    unlink_client(clients, at);
    clients->kernel_dropped += impair_socket_dropped(client->upstream_fd);
    close(client->upstream_fd);
    client->upstream_fd = -1;
    client->next_in_bucket = clients->free_head;
    clients->free_head = at;
    clients->count--;
}

void impair_clients_expire(struct impair_clients *clients, uint64_t now_us, uint64_t idle_us)
{
    uint32_t at = clients->oldest;

    while (at != IMPAIR_CLIENT_NONE && now_us - clients->slots[at].last_us >= idle_us) {
        uint32_t newer = clients->slots[at].newer;

        if (clients->slots[at].held_count == 0)
            impair_clients_remove(clients, at);
        else
            impair_clients_touch(clients, at, now_us);
        at = newer;
    }
}

uint64_t impair_clients_kernel_dropped(const struct impair_clients *clients)
{
    uint64_t dropped = clients->kernel_dropped;

    for (uint32_t i = 0; i < clients->slot_count; i++) {
        if (clients->slots[i].upstream_fd >= 0)
            dropped += impair_socket_dropped(clients->slots[i].upstream_fd);
    }
    return dropped;
}

uint64_t impair_clients_oldest_us(const struct impair_clients *clients)
{
    return clients->oldest == IMPAIR_CLIENT_NONE ? UINT64_MAX
                                                 : clients->slots[clients->oldest].last_us;
}
