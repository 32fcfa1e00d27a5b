#include "core/received.h"

/* More gaps than this among the newest numbers and the oldest are given up: half of the window. */
#define RANGE_COUNT_MAX (RUDP_RECEIVED_WINDOW / 2)

bool rudp_received_is_duplicate(const struct rudp_received *received, uint64_t packet_number)
{
    return packet_number < received->floor_pn ||
           rudp_ranges_contains(&received->numbers, packet_number);
}

uint64_t rudp_received_next_pn(const struct rudp_received *received)
{
    if (received->numbers.count == 0)
        return received->floor_pn;
    return received->numbers.items[received->numbers.count - 1].end;
}

static void raise_floor(struct rudp_received *received, uint64_t floor_pn)
{
    if (floor_pn <= received->floor_pn)
        return;
    received->floor_pn = floor_pn;
    rudp_ranges_trim_below(&received->numbers, floor_pn);
}

enum rudp_status rudp_received_reserve(struct rudp_received *received, const struct rudp_host *host)
{
    struct rudp_ranges *numbers = &received->numbers;
    enum rudp_status status = rudp_ranges_reserve(numbers, host, 1);

    if (status == RUDP_OK || numbers->count < 2)
        return status;
    raise_floor(received, numbers->items[0].end);
    return RUDP_OK;
}

/* An acknowledgement is due then, at the latest. */
static void owe(struct rudp_received *received, uint64_t deadline_us)
{
    if (received->ack_deadline_us == 0 || deadline_us < received->ack_deadline_us)
        received->ack_deadline_us = max_u64(deadline_us, 1);
}

void rudp_received_on_dropped(struct rudp_received *received, uint64_t ack_delay_us,
                              uint64_t now_us)
{
    owe(received, now_us + ack_delay_us);
}

enum rudp_status rudp_received_add(struct rudp_received *received, const struct rudp_host *host,
                                   uint64_t packet_number, bool eliciting, uint64_t ack_delay_us,
                                   uint64_t now_us)
{
    uint64_t next_pn = rudp_received_next_pn(received);
    uint32_t range_count = received->numbers.count;

    if (range_count >= RANGE_COUNT_MAX)
        raise_floor(received, received->numbers.items[0].end);
    /* It lay in a gap just given up. Unacknowledged, what it carried comes again: harmless. */
    if (packet_number < received->floor_pn)
        return RUDP_OK;
    enum rudp_status status = rudp_ranges_add(&received->numbers, host, packet_number,
                                              packet_number + 1, RANGE_COUNT_MAX + 1);

    if (status != RUDP_OK)
        return status;
    bool in_order = packet_number == next_pn && received->numbers.count <= max_u64(range_count, 1);

    if (packet_number >= next_pn) {
        received->largest_received_us = now_us;
        raise_floor(received, sub_floor_u64(packet_number, RUDP_RECEIVED_WINDOW));
    }
    if (!eliciting)
        return RUDP_OK;
    received->eliciting_count++;
    bool at_once = received->eliciting_count >= 2 || !in_order;

    owe(received, at_once ? now_us : now_us + ack_delay_us);
    return RUDP_OK;
}

bool rudp_received_fill_ack(const struct rudp_received *received, struct rudp_ack_frame *ack,
                            uint64_t now_us)
{
    const struct rudp_ranges *numbers = &received->numbers;

    if (numbers->count == 0)
        return false;
    ack->delay_us = sub_floor_u64(now_us, received->largest_received_us);
    ack->range_count = (uint32_t)min_u64(numbers->count, RUDP_WIRE_ACK_RANGES_MAX);
    for (uint32_t i = 0; i < ack->range_count; i++) {
        const struct rudp_range *range = &numbers->items[numbers->count - 1 - i];

        ack->ranges[i].smallest = range->start;
        ack->ranges[i].largest = range->end - 1;
    }
    return true;
}

void rudp_received_on_ack_sent(struct rudp_received *received)
{
    received->ack_deadline_us = 0;
    received->eliciting_count = 0;
}

void rudp_received_compact(struct rudp_received *received, const struct rudp_host *host)
{
    uint64_t next_pn = rudp_received_next_pn(received);

    if (received->numbers.count == 0)
        return;
    /* The highest number stays: an acknowledgement needs it. */
    raise_floor(received, next_pn - 1);
    if (received->numbers.capacity > 1) {
        struct rudp_ranges single = {0};

        if (rudp_ranges_add(&single, host, next_pn - 1, next_pn, 1) != RUDP_OK)
            return;
        rudp_ranges_clear(&received->numbers, host);
        received->numbers = single;
    }
}

void rudp_received_clear(struct rudp_received *received, const struct rudp_host *host)
{
    rudp_ranges_clear(&received->numbers, host);
    *received = (struct rudp_received){0};
}
