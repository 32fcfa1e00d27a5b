#include "tests/sim/network.h"

#define FLIPS_MAX 8u

static bool is_lost(struct sim_link *link, uint64_t now_us, size_t bytes)
{
    const struct sim_link_options *o = &link->options;

    if (link->drop_next_count > 0) {
        link->drop_next_count--;
        return true;
    }
    if (o->mtu_bytes > 0 && bytes > o->mtu_bytes)
        return true;
    if (now_us >= o->outage_start_us && now_us < o->outage_end_us)
        return true;
    if (link->in_burst)
        link->in_burst = !sim_random_chance(&link->random, o->burst_leave_ppm);
    else
        link->in_burst = sim_random_chance(&link->random, o->burst_enter_ppm);
    if (link->in_burst && sim_random_chance(&link->random, o->burst_loss_ppm))
        return true;
    return sim_random_chance(&link->random, o->loss_ppm);
}

/* When the last byte leaves the transmitter; RUDP_NEVER when its queue is full. */
static uint64_t departure_us(struct sim_link *link, uint64_t now_us, size_t bytes)
{
    const struct sim_link_options *o = &link->options;

    if (o->rate_bytes_per_s == 0)
        return now_us;
    uint64_t start_us = max_u64(now_us, link->busy_until_us);
    uint64_t waiting_bytes = (start_us - now_us) * o->rate_bytes_per_s / RUDP_US_PER_S;

    if (waiting_bytes + bytes > o->queue_bytes_max)
        return RUDP_NEVER;
    link->busy_until_us = start_us + bytes * RUDP_US_PER_S / o->rate_bytes_per_s;
    return link->busy_until_us;
}

static uint64_t arrival_us(struct sim_link *link, uint64_t departed_us)
{
    const struct sim_link_options *o = &link->options;
    uint64_t at_us = departed_us + o->delay_us;

    if (o->jitter_us > 0)
        at_us += sim_random_between(&link->random, 0, o->jitter_us);
    if (sim_random_chance(&link->random, o->reorder_ppm))
        return at_us + sim_random_between(&link->random, 0, o->reorder_us);
    at_us = max_u64(at_us, link->last_arrival_us);
    link->last_arrival_us = at_us;
    return at_us;
}

static struct sim_arrival mangle(struct sim_link *link, uint64_t at_us, size_t bytes)
{
    const struct sim_link_options *o = &link->options;
    struct sim_arrival arrival = {.at_us = at_us, .bytes = bytes};

    if (sim_random_chance(&link->random, o->truncate_ppm))
        arrival.bytes = sim_random_between(&link->random, 0, bytes - 1);
    if (arrival.bytes > 0 && sim_random_chance(&link->random, o->corrupt_ppm))
        arrival.flip_count = (uint32_t)sim_random_between(&link->random, 1, FLIPS_MAX);
    return arrival;
}

uint32_t sim_link_carry(struct sim_link *link, uint64_t now_us, size_t bytes,
                        struct sim_arrival arrivals[SIM_ARRIVALS_MAX])
{
    uint64_t departed_us = RUDP_NEVER;

    if (!is_lost(link, now_us, bytes))
        departed_us = departure_us(link, now_us, bytes);
    if (departed_us == RUDP_NEVER)
        return 0;
    uint64_t at_us = arrival_us(link, departed_us);

    link->carried_count++;
    arrivals[0] = mangle(link, at_us, bytes);
    if (!sim_random_chance(&link->random, link->options.duplicate_ppm))
        return 1;
    at_us += sim_random_between(&link->random, 0, link->options.reorder_us);
    arrivals[1] = mangle(link, at_us, bytes);
    return 2;
}

void sim_link_damage(struct sim_link *link, uint8_t *packet, const struct sim_arrival *arrival)
{
    for (uint32_t i = 0; i < arrival->flip_count; i++) {
        uint64_t bit = sim_random_between(&link->random, 0, arrival->bytes * 8 - 1);

        packet[bit / 8] ^= (uint8_t)(1u << (bit % 8));
    }
}
