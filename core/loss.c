#include "core/loss.h"

#include <string.h>

#define CAPACITY_MIN          16u
#define PACKET_THRESHOLD      3u  /* RFC 9002 section 6.1.1 */
#define REORDERING_SHIFT_MAX  3u  /* RTT / 8 << 3 is the whole RTT: the bound of RFC 8985 */
#define REORDERING_PERSIST    16u /* RFC 8985 section 6.2 */
#define GRANULARITY_US        1000u
#define LOST_KEPT_PTO_COUNT   3u /* how long a lost packet may turn out spurious */
#define PERSISTENT_PTO_COUNT  3u /* RFC 9002 section 7.6.1 */
#define ACKED_RANGE_COUNT_MAX 1024u

static struct rudp_sent_packet *packet_at(const struct rudp_loss *loss, uint64_t packet_number)
{
    return &loss->packets[packet_number & (loss->capacity - 1)];
}

void rudp_loss_init(struct rudp_loss *loss)
{
    RUDP_ASSERT(loss != NULL);
    *loss = (struct rudp_loss){.largest_acked_pn = RUDP_NEVER, .loss_time_us = RUDP_NEVER};
    rudp_rtt_init(&loss->rtt);
}

static void release_ring(struct rudp_loss *loss, const struct rudp_host *host)
{
    rudp_release(host, loss->packets, loss->capacity * sizeof *loss->packets);
    loss->packets = NULL;
    loss->capacity = 0;
    loss->first_pn = loss->next_pn;
    loss->flight_pn = loss->next_pn;
    rudp_ranges_clear(&loss->acked, host);
}

void rudp_loss_clear(struct rudp_loss *loss, const struct rudp_host *host)
{
    release_ring(loss, host);
}

void rudp_loss_restart(struct rudp_loss *loss, const struct rudp_host *host)
{
    release_ring(loss, host);
    loss->first_pn = 0;
    loss->flight_pn = 0;
    loss->next_pn = 0;
    loss->largest_acked_pn = RUDP_NEVER;
    loss->in_flight_bytes = 0;
    loss->in_flight_count = 0;
    loss->loss_time_us = RUDP_NEVER;
    loss->probe_timeout_count = 0;
    loss->event_sent_us = 0;
    loss->event_us = 0;
    loss->event_lost_count = 0;
    loss->event_spurious_count = 0;
}

static enum rudp_status grow(struct rudp_loss *loss, const struct rudp_host *host)
{
    uint32_t capacity = loss->capacity == 0 ? CAPACITY_MIN : loss->capacity * 2;

    if (capacity > RUDP_LOSS_PACKETS_MAX)
        return RUDP_E_FULL;
    struct rudp_sent_packet *packets = rudp_allocate(host, capacity * sizeof *packets);

    if (packets == NULL)
        return RUDP_E_MEMORY;
    for (uint64_t pn = loss->first_pn; pn < loss->next_pn; pn++)
        packets[pn & (capacity - 1)] = *packet_at(loss, pn);
    rudp_release(host, loss->packets, loss->capacity * sizeof *packets);
    loss->packets = packets;
    loss->capacity = capacity;
    return RUDP_OK;
}

/* The oldest record that only waits to turn out spurious goes when the ledger is at its bound. */
static bool drop_oldest_lost(struct rudp_loss *loss)
{
    if (packet_at(loss, loss->first_pn)->state == RUDP_SENT_IN_FLIGHT)
        return false;
    loss->first_pn++;
    return true;
}

/* Packets at the front that nobody waits for leave the ledger. */
static void trim(struct rudp_loss *loss, uint64_t lost_before_us)
{
    while (loss->first_pn < loss->next_pn) {
        const struct rudp_sent_packet *packet = packet_at(loss, loss->first_pn);

        if (packet->state == RUDP_SENT_IN_FLIGHT ||
            (packet->state == RUDP_SENT_LOST && packet->sent_us >= lost_before_us))
            break;
        loss->first_pn++;
    }
    rudp_ranges_trim_below(&loss->acked, loss->first_pn);
}

/* Moves flight_pn up to the oldest packet in flight. */
static void find_flight(struct rudp_loss *loss)
{
    loss->flight_pn = max_u64(loss->flight_pn, loss->first_pn);
    while (loss->flight_pn < loss->next_pn &&
           packet_at(loss, loss->flight_pn)->state != RUDP_SENT_IN_FLIGHT)
        loss->flight_pn++;
}

enum rudp_status rudp_loss_reserve(struct rudp_loss *loss, const struct rudp_host *host)
{
    if (loss->next_pn - loss->first_pn < loss->capacity)
        return RUDP_OK;
    if (loss->capacity > 0) {
        trim(loss, 0);
        if (loss->next_pn - loss->first_pn < loss->capacity)
            return RUDP_OK;
    }
    enum rudp_status status = grow(loss, host);

    if (status != RUDP_OK && loss->capacity > 0 && drop_oldest_lost(loss))
        return RUDP_OK;
    return status;
}

void rudp_loss_on_sent(struct rudp_loss *loss, const struct rudp_sent_packet *packet,
                       bool eliciting)
{
    if (loss->capacity == 0) {
        RUDP_ASSERT(!eliciting);
        loss->next_pn++;
        loss->first_pn = loss->next_pn;
        return;
    }
    RUDP_ASSERT(loss->next_pn - loss->first_pn < loss->capacity);
    struct rudp_sent_packet *entry = packet_at(loss, loss->next_pn++);

    *entry = *packet;
    entry->state = eliciting ? RUDP_SENT_IN_FLIGHT : RUDP_SENT_UNTRACKED;
    if (!eliciting)
        return;
    loss->in_flight_bytes += packet->packet_bytes;
    loss->in_flight_count++;
    loss->last_sent_us = packet->sent_us;
}

bool rudp_loss_ack_is_valid(const struct rudp_loss *loss, const struct rudp_ack_frame *ack)
{
    return ack->range_count > 0 && ack->ranges[0].largest < loss->next_pn;
}

/* A packet declared lost arrived after all: the path reorders more than was allowed for. */
static void on_spurious(struct rudp_loss *loss, const struct rudp_sent_packet *packet,
                        struct rudp_loss_result *result)
{
    result->spurious_count++;
    if (result->spurious_count == 1) { /* once an acknowledgement, as RFC 8985 once a round trip */
        if (loss->reordering_seen && loss->reordering_shift < REORDERING_SHIFT_MAX)
            loss->reordering_shift++;
        loss->reordering_seen = true;
        loss->reordering_persist = REORDERING_PERSIST;
    }
    if (packet->sent_us < loss->event_sent_us || packet->sent_us > loss->event_us)
        return;
    loss->event_spurious_count++;
    if (loss->event_spurious_count == loss->event_lost_count)
        result->event_undone = true;
}

static void leave_flight(struct rudp_loss *loss, const struct rudp_sent_packet *packet)
{
    RUDP_ASSERT(loss->in_flight_count > 0 && loss->in_flight_bytes >= packet->packet_bytes);
    loss->in_flight_bytes -= packet->packet_bytes;
    loss->in_flight_count--;
}

static void ack_packet(struct rudp_loss *loss, uint64_t packet_number,
                       const struct rudp_loss_handler *handler, struct rudp_loss_result *result)
{
    struct rudp_sent_packet *packet = packet_at(loss, packet_number);
    bool spurious = packet->state == RUDP_SENT_LOST;

    if (packet->state != RUDP_SENT_IN_FLIGHT && !spurious)
        return;
    if (spurious) {
        on_spurious(loss, packet, result);
    } else {
        leave_flight(loss, packet);
        result->acked_bytes += packet->packet_bytes;
    }
    packet->state = RUDP_SENT_ACKED;
    result->largest_acked_sent_us = max_u64(result->largest_acked_sent_us, packet->sent_us);
    handler->on_acked(handler->context, packet, spurious);
}

/* Visits the numbers of [start, end) that no earlier acknowledgement covered. */
static void ack_range(struct rudp_loss *loss, const struct rudp_host *host, uint64_t start,
                      uint64_t end, const struct rudp_loss_handler *handler,
                      struct rudp_loss_result *result)
{
    uint64_t pn = start;

    while (pn < end) {
        uint32_t index = rudp_ranges_index_above(&loss->acked, pn);
        uint64_t stop = end;

        if (index < loss->acked.count) {
            const struct rudp_range *known = &loss->acked.items[index];

            if (known->start <= pn) {
                pn = known->end;
                continue;
            }
            stop = min_u64(end, known->start);
        }
        for (; pn < stop; pn++)
            ack_packet(loss, pn, handler, result);
    }
    /* Only spares visiting them again: forgetting is harmless. */
    (void)rudp_ranges_add(&loss->acked, host, start, end, ACKED_RANGE_COUNT_MAX);
}

static void take_rtt_sample(struct rudp_loss *loss, const struct rudp_ack_frame *ack,
                            uint64_t now_us, struct rudp_loss_result *result)
{
    uint64_t largest = ack->ranges[0].largest;

    if (largest < loss->first_pn ||
        (loss->largest_acked_pn != RUDP_NEVER && largest <= loss->largest_acked_pn))
        return;
    const struct rudp_sent_packet *packet = packet_at(loss, largest);

    if (packet->state != RUDP_SENT_IN_FLIGHT)
        return;
    result->rtt_us = sub_floor_u64(now_us, packet->sent_us);
    rudp_rtt_sample(&loss->rtt, result->rtt_us, ack->delay_us);
}

void rudp_loss_on_ack(struct rudp_loss *loss, const struct rudp_host *host,
                      const struct rudp_ack_frame *ack, uint64_t pto_us, uint64_t now_us,
                      const struct rudp_loss_handler *handler, struct rudp_loss_result *result)
{
    RUDP_ASSERT(rudp_loss_ack_is_valid(loss, ack));
    *result = (struct rudp_loss_result){.rtt_us = RUDP_NEVER};
    take_rtt_sample(loss, ack, now_us, result);
    for (uint32_t i = 0; i < ack->range_count; i++) {
        uint64_t start = max_u64(ack->ranges[i].smallest, loss->first_pn);
        uint64_t end = ack->ranges[i].largest + 1;

        if (start < end)
            ack_range(loss, host, start, end, handler, result);
    }
    if (loss->largest_acked_pn == RUDP_NEVER || ack->ranges[0].largest > loss->largest_acked_pn)
        loss->largest_acked_pn = ack->ranges[0].largest;
    if (result->acked_bytes > 0)
        loss->probe_timeout_count = 0;
    rudp_loss_detect(loss, pto_us, now_us, handler, result);
}

/* Without a sample the probe timeout stands for the round trip, as a guess in RFC 9002 does. */
static uint64_t loss_delay_us(const struct rudp_loss *loss, uint64_t pto_us)
{
    if (loss->rtt.sample_count == 0)
        return pto_us;
    uint64_t rtt_us = max_u64(loss->rtt.smoothed_us, loss->rtt.latest_us);

    return max_u64(rtt_us + (rtt_us >> (3u - loss->reordering_shift)), GRANULARITY_US);
}

static void note_loss_event(struct rudp_loss *loss, const struct rudp_sent_packet *packet,
                            uint64_t now_us)
{
    if (packet->sent_us > loss->event_us || loss->event_lost_count == 0) {
        loss->event_sent_us = packet->sent_us;
        loss->event_us = now_us;
        loss->event_lost_count = 0;
        loss->event_spurious_count = 0;
        if (loss->reordering_persist > 0 && --loss->reordering_persist == 0)
            loss->reordering_shift = 0;
    }
    loss->event_lost_count++;
}

static void lose_packet(struct rudp_loss *loss, struct rudp_sent_packet *packet, uint64_t now_us,
                        const struct rudp_loss_handler *handler, struct rudp_loss_result *result)
{
    leave_flight(loss, packet);
    packet->state = RUDP_SENT_LOST;
    note_loss_event(loss, packet, now_us);
    result->lost_count++;
    result->lost_bytes += packet->packet_bytes;
    result->largest_lost_sent_us = max_u64(result->largest_lost_sent_us, packet->sent_us);
    handler->on_lost(handler->context, packet);
}

static bool is_overdue(const struct rudp_loss *loss, uint64_t packet_number,
                       const struct rudp_sent_packet *packet, uint64_t delay_us, uint64_t now_us)
{
    if (add_ceil_u64(packet->sent_us, delay_us) <= now_us)
        return true;
    return !loss->reordering_seen && loss->largest_acked_pn - packet_number >= PACKET_THRESHOLD;
}

void rudp_loss_detect(struct rudp_loss *loss, uint64_t pto_us, uint64_t now_us,
                      const struct rudp_loss_handler *handler, struct rudp_loss_result *result)
{
    uint64_t run_start_us = RUDP_NEVER; /* of consecutive losses, for persistent congestion */
    uint64_t delay_us = loss_delay_us(loss, pto_us);

    loss->loss_time_us = RUDP_NEVER;
    if (loss->largest_acked_pn == RUDP_NEVER)
        return;
    find_flight(loss);
    for (uint64_t pn = loss->flight_pn; pn < loss->next_pn && pn < loss->largest_acked_pn; pn++) {
        struct rudp_sent_packet *packet = packet_at(loss, pn);

        if (packet->state == RUDP_SENT_ACKED)
            run_start_us = RUDP_NEVER;
        if (packet->state != RUDP_SENT_IN_FLIGHT)
            continue;
        if (!is_overdue(loss, pn, packet, delay_us, now_us)) {
            loss->loss_time_us = add_ceil_u64(packet->sent_us, delay_us);
            break; /* later ones were sent later */
        }
        lose_packet(loss, packet, now_us, handler, result);
        run_start_us = min_u64(run_start_us, packet->sent_us);
        if (packet->sent_us - run_start_us > PERSISTENT_PTO_COUNT * pto_us)
            result->persistent_congestion = loss->rtt.sample_count > 0;
    }
    trim(loss, sub_floor_u64(now_us, LOST_KEPT_PTO_COUNT * pto_us));
}

void rudp_loss_all(struct rudp_loss *loss, const struct rudp_loss_handler *handler)
{
    for (uint64_t pn = loss->first_pn; pn < loss->next_pn; pn++) {
        struct rudp_sent_packet *packet = packet_at(loss, pn);

        if (packet->state != RUDP_SENT_IN_FLIGHT)
            continue;
        leave_flight(loss, packet);
        packet->state = RUDP_SENT_LOST;
        handler->on_lost(handler->context, packet);
    }
    loss->loss_time_us = RUDP_NEVER;
}

bool rudp_loss_give_up_oldest(struct rudp_loss *loss, const struct rudp_loss_handler *handler)
{
    if (loss->capacity == 0)
        return false;
    struct rudp_sent_packet *packet = packet_at(loss, loss->first_pn);

    RUDP_ASSERT(loss->next_pn - loss->first_pn == loss->capacity);
    RUDP_ASSERT(packet->state == RUDP_SENT_IN_FLIGHT);
    leave_flight(loss, packet);
    packet->state = RUDP_SENT_LOST;
    handler->on_lost(handler->context, packet);
    loss->first_pn++;
    return true;
}

const struct rudp_sent_packet *rudp_loss_oldest(const struct rudp_loss *loss)
{
    for (uint64_t pn = max_u64(loss->flight_pn, loss->first_pn); pn < loss->next_pn; pn++) {
        const struct rudp_sent_packet *packet = packet_at(loss, pn);

        if (packet->state == RUDP_SENT_IN_FLIGHT &&
            (packet->range_count > 0 || packet->content != 0))
            return packet;
    }
    return NULL;
}

void rudp_loss_compact(struct rudp_loss *loss, const struct rudp_host *host)
{
    if (loss->in_flight_count == 0)
        release_ring(loss, host);
}
