/* flow.h - the messages one session's program sent. The bytes of message i are a function of the
 * flow's seed, i and its length, so nothing is kept but lengths, and every receiver can be
 * checked. */
#ifndef RUDP_TESTS_SIM_FLOW_H
#define RUDP_TESTS_SIM_FLOW_H

#include "core/base.h"

struct sim_sent {
    uint64_t end_offset;   /* where it ends in the stream, its length prefix included */
    uint64_t delivered_by; /* the binding (see check.h) that delivered it last; 0: none */
    uint32_t bytes;
};

struct sim_flow {
    uint64_t seed;
    struct sim_sent *sent; /* accepted by rudp_session_send, in order */
    uint32_t count;
    uint32_t capacity;
    uint32_t prefix_count; /* all below were delivered */
};

#define SIM_FLOW_NONE UINT32_MAX

/* The bytes of message index, were it that long. */
void sim_flow_fill(const struct sim_flow *flow, uint32_t index, uint8_t *out, size_t bytes);

/* The core accepted message flow->count. */
void sim_flow_push(struct sim_flow *flow, size_t bytes);

bool sim_flow_is_message(const struct sim_flow *flow, uint32_t index, const uint8_t *data,
                         size_t bytes);
void sim_flow_deliver(struct sim_flow *flow, uint32_t index, uint64_t binding);

/* Stream bytes of the first message_count messages. */
uint64_t sim_flow_offset(const struct sim_flow *flow, uint32_t message_count);

/* How many messages end at or below offset when offset is a boundary, else SIM_FLOW_NONE. */
uint32_t sim_flow_count_at(const struct sim_flow *flow, uint64_t offset);

void sim_flow_clear(struct sim_flow *flow);

#endif
