#include "core/table.h"
#include "tests/core/suite.h"
#include "tests/vectors/capped_host.h"

#include <string.h>

#define NODE_COUNT 200u
#define KEY_COUNT  50u /* fewer than nodes: several share a key */
#define SEED_COUNT 10u
#define STEP_COUNT 2000u

struct fixture {
    struct capped_host memory;
    struct rudp_table table;
    struct rudp_table_node nodes[NODE_COUNT];
    bool inside[NODE_COUNT];
};

static void setup(struct fixture *f, uint64_t seed)
{
    memset(f, 0, sizeof *f);
    capped_host_init(&f->memory, SIZE_MAX, seed);
}

static void teardown(struct fixture *f)
{
    rudp_table_clear(&f->table, &f->memory.host);
    ck_assert_uint_eq(f->memory.used_bytes, 0);
}

static enum rudp_status insert(struct fixture *f, uint32_t index, uint64_t key)
{
    return rudp_table_insert(&f->table, &f->memory.host, &f->nodes[index], key);
}

static uint32_t found_count(const struct fixture *f, uint64_t key)
{
    uint32_t count = 0;

    for (struct rudp_table_node *node = rudp_table_find(&f->table, key); node != NULL;
         node = rudp_table_find_next(node)) {
        ck_assert_uint_eq(node->key, key);
        ck_assert(f->inside[node - f->nodes]);
        count++;
    }
    return count;
}

static uint32_t model_count(const struct fixture *f, uint64_t key)
{
    uint32_t count = 0;

    for (uint32_t i = 0; i < NODE_COUNT; i++)
        count += f->inside[i] && f->nodes[i].key == key;
    return count;
}

/* Whatever is inserted and removed, each key finds exactly its nodes, memory or not. */
START_TEST(random_changes_equal_model)
{
    for (uint64_t seed = 0; seed < SEED_COUNT; seed++) {
        struct fixture f;

        setup(&f, seed);
        for (uint32_t step = 0; step < STEP_COUNT; step++) {
            uint32_t index = (uint32_t)(rudp_random_u64(&f.memory.host) % NODE_COUNT);
            uint64_t key = rudp_random_u64(&f.memory.host) % KEY_COUNT;

            f.memory.cap_bytes = seed % 2 == 0 || step == 0 ? SIZE_MAX : f.memory.used_bytes;
            if (f.inside[index])
                rudp_table_remove(&f.table, &f.nodes[index]);
            else
                ck_assert_uint_eq(insert(&f, index, key), RUDP_OK);
            f.inside[index] = !f.inside[index];
            ck_assert_uint_eq(found_count(&f, key), model_count(&f, key));
        }
        teardown(&f);
    }
}
END_TEST

/* An empty table finds nothing and holds nothing. */
START_TEST(empty_table_finds_nothing)
{
    struct fixture f;

    setup(&f, 0);
    ck_assert_ptr_null(rudp_table_find(&f.table, 1));
    teardown(&f);
}
END_TEST

/* The first node needs buckets: without memory it is refused. */
START_TEST(first_insert_without_memory_is_refused)
{
    struct fixture f;

    setup(&f, 0);
    f.memory.cap_bytes = 0;
    ck_assert_uint_eq(insert(&f, 0, 1), RUDP_E_MEMORY);
    ck_assert_uint_eq(f.table.count, 0);
    teardown(&f);
}
END_TEST

/* Chains do not grow with the number of nodes: the buckets double. */
START_TEST(buckets_keep_pace_with_nodes)
{
    struct fixture f;

    setup(&f, 0);
    for (uint32_t i = 0; i < NODE_COUNT; i++)
        ck_assert_uint_eq(insert(&f, i, i), RUDP_OK);
    ck_assert_uint_ge(f.table.capacity, NODE_COUNT);
    teardown(&f);
}
END_TEST

int main(void)
{
    return SUITE_RUN("table", random_changes_equal_model, empty_table_finds_nothing,
                     first_insert_without_memory_is_refused, buckets_keep_pace_with_nodes);
}
