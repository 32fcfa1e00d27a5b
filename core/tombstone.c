#include "core/tombstone.h"

void rudp_tombstones_init(struct rudp_tombstones *tombstones, uint64_t now_us)
{
    *tombstones = (struct rudp_tombstones){0};
    rudp_list_init(&tombstones->by_age);
    rudp_wheel_init(&tombstones->wheel, now_us);
}

static void remove_one(struct rudp_tombstones *tombstones, const struct rudp_host *host,
                       struct rudp_tombstone *tombstone)
{
    rudp_table_remove(&tombstones->by_local_id, &tombstone->by_local_id);
    rudp_table_remove(&tombstones->by_peer_id, &tombstone->by_peer_id);
    rudp_list_remove(&tombstone->by_age);
    rudp_wheel_remove(&tombstones->wheel, &tombstone->timer);
    tombstones->count--;
    rudp_release(host, tombstone, sizeof *tombstone);
}

static struct rudp_tombstone *oldest(struct rudp_tombstones *tombstones)
{
    return RUDP_CONTAINER(tombstones->by_age.next, struct rudp_tombstone, by_age);
}

void rudp_tombstones_clear(struct rudp_tombstones *tombstones, const struct rudp_host *host)
{
    while (!rudp_list_is_empty(&tombstones->by_age))
        remove_one(tombstones, host, oldest(tombstones));
    rudp_table_clear(&tombstones->by_local_id, host);
    rudp_table_clear(&tombstones->by_peer_id, host);
}

enum rudp_status rudp_tombstones_make_room(struct rudp_tombstones *tombstones,
                                           const struct rudp_host *host)
{
    enum rudp_status status = rudp_table_reserve(&tombstones->by_local_id, host);

    return status == RUDP_OK ? rudp_table_reserve(&tombstones->by_peer_id, host) : status;
}

struct rudp_tombstone *rudp_tombstones_reserve(struct rudp_tombstones *tombstones,
                                               const struct rudp_host *host)
{
    if (rudp_tombstones_make_room(tombstones, host) != RUDP_OK)
        return NULL;
    struct rudp_tombstone *tombstone = rudp_allocate(host, sizeof *tombstone);

    if (tombstone != NULL)
        *tombstone = (struct rudp_tombstone){0};
    return tombstone;
}

void rudp_tombstones_add(struct rudp_tombstones *tombstones, const struct rudp_host *host,
                         struct rudp_tombstone *tombstone, uint64_t local_id, uint64_t peer_id,
                         uint64_t until_us)
{
    if (tombstones->count == RUDP_TOMBSTONE_COUNT_MAX)
        remove_one(tombstones, host, oldest(tombstones));
    enum rudp_status status =
        rudp_table_insert(&tombstones->by_local_id, host, &tombstone->by_local_id, local_id);

    RUDP_ASSERT(status == RUDP_OK); /* reserved */
    status = rudp_table_insert(&tombstones->by_peer_id, host, &tombstone->by_peer_id, peer_id);
    RUDP_ASSERT(status == RUDP_OK);
    rudp_list_append(&tombstones->by_age, &tombstone->by_age);
    rudp_wheel_file(&tombstones->wheel, &tombstone->timer, until_us);
    tombstones->count++;
}

struct rudp_tombstone *rudp_tombstones_find(struct rudp_tombstones *tombstones, uint64_t local_id)
{
    struct rudp_table_node *node = rudp_table_find(&tombstones->by_local_id, local_id);

    return node == NULL ? NULL : RUDP_CONTAINER(node, struct rudp_tombstone, by_local_id);
}

struct rudp_tombstone *rudp_tombstones_find_peer(struct rudp_tombstones *tombstones,
                                                 uint64_t peer_id,
                                                 const struct rudp_address *remote)
{
    struct rudp_table_node *node = rudp_table_find(&tombstones->by_peer_id, peer_id);

    for (; node != NULL; node = rudp_table_find_next(node)) {
        struct rudp_tombstone *tombstone = RUDP_CONTAINER(node, struct rudp_tombstone, by_peer_id);

        if (rudp_address_equal(&tombstone->path.remote, remote))
            return tombstone;
    }
    return NULL;
}

size_t rudp_tombstone_write(struct rudp_tombstone *tombstone, uint8_t *out, size_t out_bytes)
{
    struct rudp_writer writer = {out, 0, out_bytes - RUDP_WIRE_CHECK_BYTES};
    struct rudp_header header = {
        .type = RUDP_PACKET_SHORT,
        .destination_id = tombstone->by_peer_id.key,
        .packet_number = (uint32_t)tombstone->next_pn,
    };

    rudp_wire_write_header(&writer, &header);
    bool fits = !tombstone->tells_delivery || rudp_wire_write_credit(&writer, &tombstone->credit);

    RUDP_ASSERT(fits);
    fits = rudp_wire_write_close(&writer, tombstone->close_code);
    RUDP_ASSERT(fits);
    writer.capacity_bytes = out_bytes;
    rudp_wire_write_check(&writer);
    tombstone->next_pn++;
    return writer.used_bytes;
}

void rudp_tombstones_advance(struct rudp_tombstones *tombstones, const struct rudp_host *host,
                             uint64_t now_us)
{
    struct rudp_wheel_entry *timer;

    while ((timer = rudp_wheel_expire(&tombstones->wheel, now_us)) != NULL)
        remove_one(tombstones, host, RUDP_CONTAINER(timer, struct rudp_tombstone, timer));
}
