/* tombstone.h - what is left of a closed session: enough to answer late packets with CLOSE
 * (docs/protocol.md section 7). Bounded: the oldest goes when there are too many. */
#ifndef RUDP_CORE_TOMBSTONE_H
#define RUDP_CORE_TOMBSTONE_H

#include "core/address.h"
#include "core/list.h"
#include "core/table.h"
#include "core/wheel.h"
#include "core/wire.h"

#define RUDP_TOMBSTONE_COUNT_MAX 4096u

struct rudp_tombstone {
    struct rudp_table_node by_local_id;
    struct rudp_table_node by_peer_id;
    struct rudp_list_node by_age;
    struct rudp_wheel_entry timer;
    struct rudp_path path;
    uint64_t next_pn;
    enum rudp_close_code close_code;
    bool tells_delivery; /* credit is final */
    struct rudp_credit_frame credit;
    bool resets; /* late packets are answered by RESET, not by CLOSE */
};

struct rudp_tombstones {
    struct rudp_table by_local_id;
    struct rudp_table by_peer_id;
    struct rudp_list_node by_age; /* oldest first */
    struct rudp_wheel wheel;
    uint32_t count;
};

void rudp_tombstones_init(struct rudp_tombstones *tombstones, uint64_t now_us);
void rudp_tombstones_clear(struct rudp_tombstones *tombstones, const struct rudp_host *host);

/* Memory for a tombstone, taken when its session begins: one that is missing at the end would have
 * late packets answered by RESET, and an opener send again what was read already. NULL: none. */
struct rudp_tombstone *rudp_tombstones_reserve(struct rudp_tombstones *tombstones,
                                               const struct rudp_host *host);

/* Makes the tables able to take one that was reserved elsewhere. Once done it cannot fail. */
enum rudp_status rudp_tombstones_make_room(struct rudp_tombstones *tombstones,
                                           const struct rudp_host *host);

/* Enters what rudp_tombstones_reserve returned; all but the first four fields is filled in. */
void rudp_tombstones_add(struct rudp_tombstones *tombstones, const struct rudp_host *host,
                         struct rudp_tombstone *tombstone, uint64_t local_id, uint64_t peer_id,
                         uint64_t until_us);

/* NULL when there is none. */
struct rudp_tombstone *rudp_tombstones_find(struct rudp_tombstones *tombstones, uint64_t local_id);
struct rudp_tombstone *rudp_tombstones_find_peer(struct rudp_tombstones *tombstones,
                                                 uint64_t peer_id,
                                                 const struct rudp_address *remote);

/* Writes the CLOSE that answers a late packet. Returns its size. */
size_t rudp_tombstone_write(struct rudp_tombstone *tombstone, uint8_t *out, size_t out_bytes);

void rudp_tombstones_advance(struct rudp_tombstones *tombstones, const struct rudp_host *host,
                             uint64_t now_us);

#endif
