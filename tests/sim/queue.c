#include "tests/sim/queue.h"

#include <stdlib.h>

#define CAPACITY_MIN 64u

static bool is_before(const struct sim_action *a, const struct sim_action *b)
{
    if (a->at_us != b->at_us)
        return a->at_us < b->at_us;
    return a->order < b->order;
}

void sim_queue_file(struct sim_queue *queue, struct sim_action action)
{
    if (queue->count == queue->capacity) {
        queue->capacity = queue->capacity == 0 ? CAPACITY_MIN : queue->capacity * 2;
        queue->items = realloc(queue->items, queue->capacity * sizeof *queue->items);
        RUDP_ASSERT(queue->items != NULL);
    }
    size_t at = queue->count++;

    action.order = queue->filed_count++;
    while (at > 0 && is_before(&action, &queue->items[(at - 1) / 2])) {
        queue->items[at] = queue->items[(at - 1) / 2];
        at = (at - 1) / 2;
    }
    queue->items[at] = action;
}

uint64_t sim_queue_next_us(const struct sim_queue *queue)
{
    return queue->count > 0 ? queue->items[0].at_us : RUDP_NEVER;
}

static struct sim_action take_first(struct sim_queue *queue)
{
    struct sim_action first = queue->items[0];
    struct sim_action last = queue->items[--queue->count];
    size_t at = 0;

    for (size_t child = 1; child < queue->count; child = 2 * at + 1) {
        if (child + 1 < queue->count && is_before(&queue->items[child + 1], &queue->items[child]))
            child++;
        if (!is_before(&queue->items[child], &last))
            break;
        queue->items[at] = queue->items[child];
        at = child;
    }
    queue->items[at] = last;
    return first;
}

void sim_queue_run_next(struct sim_queue *queue)
{
    RUDP_ASSERT(queue->count > 0);
    struct sim_action action = take_first(queue);

    action.run(action.context, action.owned);
    free(action.owned);
}

void sim_queue_clear(struct sim_queue *queue)
{
    for (size_t i = 0; i < queue->count; i++)
        free(queue->items[i].owned);
    free(queue->items);
    *queue = (struct sim_queue){0};
}
