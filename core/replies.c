#include "core/replies.h"

#include <string.h>

struct rudp_reply *rudp_replies_reserve(struct rudp_replies *replies, const struct rudp_host *host)
{
    if (replies->items == NULL) {
        replies->items = rudp_allocate(host, RUDP_REPLY_COUNT_MAX * sizeof *replies->items);
        if (replies->items == NULL)
            return NULL;
    }
    if (replies->count == RUDP_REPLY_COUNT_MAX)
        return NULL;
    struct rudp_reply *reply =
        &replies->items[(replies->first + replies->count) % RUDP_REPLY_COUNT_MAX];

    reply->copy_count = 1;
    return reply;
}

void rudp_replies_commit(struct rudp_replies *replies)
{
    RUDP_ASSERT(replies->items != NULL && replies->count < RUDP_REPLY_COUNT_MAX);
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
    replies->first = (replies->first + 1) % RUDP_REPLY_COUNT_MAX;
    replies->count--;
    if (replies->count == 0)
        rudp_replies_clear(replies, host);
    return packet_bytes;
}

void rudp_replies_clear(struct rudp_replies *replies, const struct rudp_host *host)
{
    rudp_release(host, replies->items, RUDP_REPLY_COUNT_MAX * sizeof *replies->items);
    *replies = (struct rudp_replies){0};
}
