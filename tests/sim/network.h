/* network.h - one direction of a path: what happens to a packet between two nodes. All chance comes
 * from the link's own generator, so one link's traffic does not change another's fate. */
#ifndef RUDP_TESTS_SIM_NETWORK_H
#define RUDP_TESTS_SIM_NETWORK_H

#include "core/base.h"
#include "tests/sim/random.h"

struct sim_link_options {
    uint64_t delay_us;
    uint64_t jitter_us;        /* up to this much more; packets stay in order */
    uint32_t loss_ppm;         /* each packet on its own */
    uint32_t burst_enter_ppm;  /* Gilbert-Elliott: from good to bad, per packet */
    uint32_t burst_leave_ppm;  /* and back */
    uint32_t burst_loss_ppm;   /* loss while bad */
    uint32_t reorder_ppm;      /* packets that others may overtake */
    uint64_t reorder_us;       /* by up to this much */
    uint32_t duplicate_ppm;    /* the copy comes up to reorder_us later */
    uint32_t corrupt_ppm;      /* one to eight bits flip */
    uint32_t truncate_ppm;     /* the end is cut off */
    uint64_t rate_bytes_per_s; /* 0: no limit */
    uint64_t queue_bytes_max;  /* waiting for the rate limit; more is dropped */
    size_t mtu_bytes;          /* larger packets vanish; 0: none do */
    uint64_t outage_start_us;  /* from here */
    uint64_t outage_end_us;    /* to here nothing arrives */
};

struct sim_link {
    struct sim_link_options options;
    struct sim_random random;
    bool in_burst;
    uint64_t busy_until_us;   /* the rate limit's transmitter */
    uint64_t last_arrival_us; /* of the packets that keep their order */
    uint64_t carried_count;
    uint64_t drop_next_count; /* packets to drop, whatever the options say */
};

struct sim_arrival {
    uint64_t at_us;
    size_t bytes;        /* after truncation */
    uint32_t flip_count; /* bits to flip: sim_link_damage */
};

#define SIM_ARRIVALS_MAX 2u

/* Decides what becomes of a packet handed over at now_us. Returns how many copies arrive. */
uint32_t sim_link_carry(struct sim_link *link, uint64_t now_us, size_t bytes,
                        struct sim_arrival arrivals[SIM_ARRIVALS_MAX]);

void sim_link_damage(struct sim_link *link, uint8_t *packet, const struct sim_arrival *arrival);

#endif
