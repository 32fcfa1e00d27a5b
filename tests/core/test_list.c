#include "core/list.h"
#include "tests/core/suite.h"

struct item {
    uint32_t number;
    struct rudp_list_node node;
};

/* Items come out in the order they were appended. */
START_TEST(append_keeps_order)
{
    struct rudp_list_node head;
    struct item items[3] = {{.number = 0}, {.number = 1}, {.number = 2}};
    uint32_t expected = 0;

    rudp_list_init(&head);
    for (uint32_t i = 0; i < 3; i++)
        rudp_list_append(&head, &items[i].node);
    for (struct rudp_list_node *node = head.next; node != &head; node = node->next)
        ck_assert_uint_eq(RUDP_CONTAINER(node, struct item, node)->number, expected++);
    ck_assert_uint_eq(expected, 3);
}
END_TEST

/* Removing from the middle joins the neighbours, and the node is free for another list. */
START_TEST(remove_joins_neighbours)
{
    struct rudp_list_node head;
    struct rudp_list_node nodes[3] = {0};

    rudp_list_init(&head);
    for (uint32_t i = 0; i < 3; i++)
        rudp_list_append(&head, &nodes[i]);
    rudp_list_remove(&nodes[1]);
    ck_assert_ptr_eq(nodes[0].next, &nodes[2]);
    ck_assert_ptr_eq(nodes[2].previous, &nodes[0]);
    ck_assert(!rudp_list_is_linked(&nodes[1]));
}
END_TEST

/* Removing what is in no list is harmless. */
START_TEST(remove_of_unlinked_is_no_change)
{
    struct rudp_list_node head;
    struct rudp_list_node node = {0};

    rudp_list_init(&head);
    rudp_list_append(&head, &node);
    rudp_list_remove(&node);
    rudp_list_remove(&node);
    ck_assert(rudp_list_is_empty(&head));
}
END_TEST

int main(void)
{
    return SUITE_RUN("list", append_keeps_order, remove_joins_neighbours,
                     remove_of_unlinked_is_no_change);
}
