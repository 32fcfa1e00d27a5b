#include "tests/sim/flow.h"

#include "core/config.h"
#include "core/wire.h"
#include "tests/sim/random.h"

#include <stdlib.h>
#include <string.h>

#define CAPACITY_MIN 16u

static struct sim_random message_random(const struct sim_flow *flow, uint32_t index)
{
    struct sim_random random;

    sim_random_init(&random, sim_mix_u64(flow->seed) + index);
    return random;
}

void sim_flow_fill(const struct sim_flow *flow, uint32_t index, uint8_t *out, size_t bytes)
{
    struct sim_random random = message_random(flow, index);

    sim_random_fill(&random, out, bytes);
}

void sim_flow_push(struct sim_flow *flow, size_t bytes)
{
    if (flow->count == flow->capacity) {
        flow->capacity = flow->capacity == 0 ? CAPACITY_MIN : flow->capacity * 2;
        flow->sent = realloc(flow->sent, flow->capacity * sizeof *flow->sent);
        RUDP_ASSERT(flow->sent != NULL);
    }
    uint64_t start = sim_flow_offset(flow, flow->count);

    flow->sent[flow->count++] = (struct sim_sent){
        .end_offset = start + rudp_wire_varint_bytes(bytes) + bytes,
        .bytes = (uint32_t)bytes,
    };
}

bool sim_flow_is_message(const struct sim_flow *flow, uint32_t index, const uint8_t *data,
                         size_t bytes)
{
    uint8_t expected[RUDP_MESSAGE_BYTES_MAX];

    if (index >= flow->count || flow->sent[index].bytes != bytes)
        return false;
    sim_flow_fill(flow, index, expected, bytes);
    return memcmp(expected, data, bytes) == 0;
}

void sim_flow_deliver(struct sim_flow *flow, uint32_t index, uint64_t binding)
{
    flow->sent[index].delivered_by = binding;
    while (flow->prefix_count < flow->count && flow->sent[flow->prefix_count].delivered_by != 0)
        flow->prefix_count++;
}

uint64_t sim_flow_offset(const struct sim_flow *flow, uint32_t message_count)
{
    return message_count == 0 ? 0 : flow->sent[message_count - 1].end_offset;
}

uint32_t sim_flow_count_at(const struct sim_flow *flow, uint64_t offset)
{
    uint32_t low = 0;
    uint32_t high = flow->count;

    while (low < high) {
        uint32_t middle = low + (high - low) / 2;

        if (sim_flow_offset(flow, middle) < offset)
            low = middle + 1;
        else
            high = middle;
    }
    return sim_flow_offset(flow, low) == offset ? low : SIM_FLOW_NONE;
}

void sim_flow_clear(struct sim_flow *flow)
{
    free(flow->sent);
    *flow = (struct sim_flow){0};
}
