#include "core/tombstone.h"
#include "tests/core/suite.h"
#include "tests/vectors/capped_host.h"

#define LOCAL_ID UINT64_C(0x1111)
#define PEER_ID  UINT64_C(0x2222)
#define LIFE_US  (5 * RUDP_WHEEL_TICK_US)

struct fixture {
    struct capped_host memory;
    struct rudp_tombstones tombstones;
};

static const struct rudp_address peer_address = {.ip = {10, 0, 0, 1}, .port = 4000};

static void setup(struct fixture *f)
{
    capped_host_init(&f->memory, SIZE_MAX, 0);
    rudp_tombstones_init(&f->tombstones, 0);
}

static void teardown(struct fixture *f)
{
    rudp_tombstones_clear(&f->tombstones, &f->memory.host);
    ck_assert_uint_eq(f->memory.used_bytes, 0);
}

static void add(struct fixture *f, uint64_t local_id, uint64_t peer_id)
{
    struct rudp_tombstone *tombstone = rudp_tombstones_reserve(&f->tombstones, &f->memory.host);

    ck_assert_ptr_nonnull(tombstone);
    tombstone->path.remote = peer_address;
    tombstone->next_pn = 7;
    tombstone->close_code = RUDP_CLOSE_FINISHED;
    rudp_tombstones_add(&f->tombstones, &f->memory.host, tombstone, local_id, peer_id, LIFE_US);
}

/* A closed session's id is found, another is not. */
START_TEST(find_knows_its_ids_only)
{
    struct fixture f;

    setup(&f);
    add(&f, LOCAL_ID, PEER_ID);
    ck_assert_ptr_nonnull(rudp_tombstones_find(&f.tombstones, LOCAL_ID));
    ck_assert_ptr_null(rudp_tombstones_find(&f.tombstones, PEER_ID));
    teardown(&f);
}
END_TEST

/* A peer is known by id and address together. */
START_TEST(find_peer_checks_the_address)
{
    struct fixture f;
    struct rudp_address other = peer_address;

    setup(&f);
    add(&f, LOCAL_ID, PEER_ID);
    other.port++;
    ck_assert(rudp_tombstones_find_peer(&f.tombstones, PEER_ID, &peer_address) != NULL);
    ck_assert(rudp_tombstones_find_peer(&f.tombstones, PEER_ID, &other) == NULL);
    ck_assert(rudp_tombstones_find_peer(&f.tombstones, LOCAL_ID, &peer_address) == NULL);
    teardown(&f);
}
END_TEST

/* The answer is a short packet to the peer with a new number each time and the code. */
START_TEST(write_answers_with_close)
{
    struct fixture f;
    uint8_t packet[64];
    struct rudp_header header;
    struct rudp_reader frames;
    struct rudp_frame frame;

    setup(&f);
    add(&f, LOCAL_ID, PEER_ID);
    struct rudp_tombstone *tombstone = rudp_tombstones_find(&f.tombstones, LOCAL_ID);

    (void)rudp_tombstone_write(tombstone, packet, sizeof packet);
    size_t bytes = rudp_tombstone_write(tombstone, packet, sizeof packet);

    ck_assert_uint_eq(rudp_wire_read_packet(packet, bytes, &header, &frames), RUDP_OK);
    ck_assert_uint_eq(header.destination_id, PEER_ID);
    ck_assert_uint_eq(header.packet_number, 8);
    ck_assert_uint_eq(rudp_wire_read_frame(&frames, &frame), RUDP_OK);
    ck_assert_uint_eq(frame.type, RUDP_FRAME_CLOSE);
    ck_assert_uint_eq(frame.close_code, RUDP_CLOSE_FINISHED);
    teardown(&f);
}
END_TEST

/* It stays for its time, and not longer. */
START_TEST(advance_removes_what_is_over)
{
    struct fixture f;

    setup(&f);
    add(&f, LOCAL_ID, PEER_ID);
    rudp_tombstones_advance(&f.tombstones, &f.memory.host, LIFE_US - 1);
    ck_assert_ptr_nonnull(rudp_tombstones_find(&f.tombstones, LOCAL_ID));
    rudp_tombstones_advance(&f.tombstones, &f.memory.host, LIFE_US);
    ck_assert_ptr_null(rudp_tombstones_find(&f.tombstones, LOCAL_ID));
    ck_assert_uint_eq(f.tombstones.count, 0);
    teardown(&f);
}
END_TEST

/* When there are too many, the oldest goes. */
START_TEST(bound_pushes_the_oldest_out)
{
    struct fixture f;

    setup(&f);
    for (uint64_t i = 1; i <= RUDP_TOMBSTONE_COUNT_MAX + 1; i++)
        add(&f, i, PEER_ID);
    ck_assert_uint_eq(f.tombstones.count, RUDP_TOMBSTONE_COUNT_MAX);
    ck_assert_ptr_null(rudp_tombstones_find(&f.tombstones, 1));
    ck_assert_ptr_nonnull(rudp_tombstones_find(&f.tombstones, 2));
    teardown(&f);
}
END_TEST

/* What was reserved is all that the end of a session needs, also of the first one. */
START_TEST(reserved_tombstone_needs_no_memory)
{
    struct fixture f;

    setup(&f);
    struct rudp_tombstone *tombstone = rudp_tombstones_reserve(&f.tombstones, &f.memory.host);

    f.memory.cap_bytes = f.memory.used_bytes;
    rudp_tombstones_add(&f.tombstones, &f.memory.host, tombstone, LOCAL_ID, PEER_ID, LIFE_US);
    ck_assert_ptr_eq(rudp_tombstones_find(&f.tombstones, LOCAL_ID), tombstone);
    teardown(&f);
}
END_TEST

/* Wherever memory ends, reserving says so. */
START_TEST(reserve_without_memory_is_refused)
{
    struct rudp_tombstone *tombstone = NULL;
    uint32_t refused_count = 0;

    for (size_t cap_bytes = 0; tombstone == NULL; cap_bytes += 32) {
        struct fixture f;

        setup(&f);
        f.memory.cap_bytes = cap_bytes;
        tombstone = rudp_tombstones_reserve(&f.tombstones, &f.memory.host);
        ck_assert_int_eq(tombstone == NULL, f.memory.refused);
        refused_count += f.memory.refused;
        rudp_release(&f.memory.host, tombstone, sizeof *tombstone);
        teardown(&f);
    }
    ck_assert_uint_gt(refused_count, 3);
}
END_TEST

int main(void)
{
    return SUITE_RUN("tombstone", find_knows_its_ids_only, find_peer_checks_the_address,
                     write_answers_with_close, advance_removes_what_is_over,
                     bound_pushes_the_oldest_out, reserved_tombstone_needs_no_memory,
                     reserve_without_memory_is_refused);
}
