#include "core/replies.h"

#include <string.h>

static void make_ring(struct rudp_replies *replies, const struct rudp_host *host)
{
    replies->items = rudp_allocate(host, RUDP_REPLY_COUNT_MAX * sizeof *replies->items);
    replies->capacity = RUDP_REPLY_COUNT_MAX;
    if (replies->items != NULL)
        return;
    replies->items = replies->spare;
    replies->capacity = RUDP_REPLY_SPARE_COUNT;
}

struct rudp_reply *rudp_replies_reserve(struct rudp_replies *replies, const struct rudp_host *host)
{
    if (replies->items == NULL)
        make_ring(replies, host);
    if (replies->count == replies->capacity)
        return NULL;
    struct rudp_reply *reply =
        &replies->items[(replies->first + replies->count) % replies->capacity];

    reply->copy_count = 1;
    return reply;
}

void rudp_replies_commit(struct rudp_replies *replies)
{
    RUDP_ASSERT(replies->items != NULL && replies->count < replies->capacity);
    replies->count++;
}

size_t rudp_replies_take(struct rudp_replies *replies, const struct rudp_host *host,
                         struct rudp_path *path, uint8_t *out, size_t out_bytes)
{
    if (replies->count == 0)
        return 0;
    struct rudp_reply *reply = &replies->items[replies->first];
    size_t packet_bytes = reply->packet_bytes;

    if (packet_bytes > out_bytes)
        return 0;
    *path = reply->path;
    memcpy(out, reply->packet, packet_bytes);
    if (--reply->copy_count > 0)
        return packet_bytes;
    replies->first = (replies->first + 1) % replies->capacity;
    replies->count--;
    if (replies->count == 0)
        rudp_replies_clear(replies, host);
    return packet_bytes;
}

void rudp_replies_clear(struct rudp_replies *replies, const struct rudp_host *host)
{
    if (replies->items != replies->spare)
        rudp_release(host, replies->items, replies->capacity * sizeof *replies->items);
    replies->items = NULL;
    replies->capacity = 0;
    replies->first = 0;
    replies->count = 0;
}
