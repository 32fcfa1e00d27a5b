/* replies.h - answers that belong to no session (RETRY, VERSION, RESET, CLOSE of a tombstone)
 * waiting to be sent. A bounded queue: when strangers ask faster than answers leave, answers are
 * dropped. Points into itself: it must not move. */
#ifndef RUDP_CORE_REPLIES_H
#define RUDP_CORE_REPLIES_H

#include "core/address.h"
#include "core/host.h"

#define RUDP_REPLY_BYTES_MAX   96u
#define RUDP_REPLY_COUNT_MAX   64u
#define RUDP_REPLY_SPARE_COUNT 16u /* where there is no memory for so many */

struct rudp_reply {
    struct rudp_path path;
    uint8_t copy_count; /* how often it is sent; rudp_replies_reserve says once */
    uint8_t packet_bytes;
    uint8_t packet[RUDP_REPLY_BYTES_MAX];
};

struct rudp_replies {
    struct rudp_reply *items; /* ring: memory of its own, or spare; NULL while none waits */
    uint32_t capacity;
    uint32_t first;
    uint32_t count;
    struct rudp_reply spare[RUDP_REPLY_SPARE_COUNT];
};

/* A slot to write an answer into, or NULL when there is no room. It counts only after
 * rudp_replies_commit. */
struct rudp_reply *rudp_replies_reserve(struct rudp_replies *replies, const struct rudp_host *host);
void rudp_replies_commit(struct rudp_replies *replies);

/* Copies the oldest answer out, and forgets it with its last copy: its size, 0 when none waits or
 * out_bytes is short.
 */
size_t rudp_replies_take(struct rudp_replies *replies, const struct rudp_host *host,
                         struct rudp_path *path, uint8_t *out, size_t out_bytes);
void rudp_replies_clear(struct rudp_replies *replies, const struct rudp_host *host);

#endif
