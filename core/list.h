/* list.h - an intrusive, circular, doubly linked list. A zeroed node is unlinked; a head must be
 * initialised. At every moment of a change the way forward from the head is whole, with or without
 * the node (the fences are for the compiler): a list whose process was killed can be read. */
#ifndef RUDP_CORE_LIST_H
#define RUDP_CORE_LIST_H

#include "core/base.h"

struct rudp_list_node {
    struct rudp_list_node *next;
    struct rudp_list_node *previous;
};

#define RUDP_CONTAINER(pointer, type, member)                                                      \
    ((type *)(void *)((char *)(pointer)-offsetof(type, member)))

static inline void rudp_list_init(struct rudp_list_node *head)
{
    head->next = head;
    head->previous = head;
}

static inline bool rudp_list_is_linked(const struct rudp_list_node *node)
{
    return node->next != NULL;
}

static inline bool rudp_list_is_empty(const struct rudp_list_node *head)
{
    return head->next == head;
}

static inline void rudp_list_append(struct rudp_list_node *head, struct rudp_list_node *node)
{
    RUDP_ASSERT(!rudp_list_is_linked(node));
    node->next = head;
    node->previous = head->previous;
    __atomic_signal_fence(__ATOMIC_RELEASE);
    head->previous->next = node;
    head->previous = node;
}

static inline void rudp_list_remove(struct rudp_list_node *node)
{
    if (!rudp_list_is_linked(node))
        return;
    node->previous->next = node->next;
    node->next->previous = node->previous;
    __atomic_signal_fence(__ATOMIC_RELEASE);
    node->next = NULL;
    node->previous = NULL;
}

#endif
