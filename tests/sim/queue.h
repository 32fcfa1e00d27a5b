/* queue.h - what happens when: a binary heap of actions, ordered by time, then by when they were
 * filed, so that a run is the same every time. */
#ifndef RUDP_TESTS_SIM_QUEUE_H
#define RUDP_TESTS_SIM_QUEUE_H

#include "core/base.h"

struct sim_action {
    uint64_t at_us;
    uint64_t order; /* set by the queue */
    void (*run)(void *context, void *owned);
    void *context;
    void *owned; /* freed once run returned, or with the queue; may be NULL */
};

struct sim_queue {
    struct sim_action *items;
    size_t count;
    size_t capacity;
    uint64_t filed_count;
};

void sim_queue_file(struct sim_queue *queue, struct sim_action action);

/* When the next action is due; RUDP_NEVER when there is none. */
uint64_t sim_queue_next_us(const struct sim_queue *queue);

/* Takes the next action out and runs it. */
void sim_queue_run_next(struct sim_queue *queue);
void sim_queue_clear(struct sim_queue *queue);

#endif
