/* rtt.h - round-trip estimator (RFC 9002 section 5): samples in, smoothed RTT and probe timeout
 * out. Pure arithmetic: no clock, no allocation, no failure. rudp_rtt_init before use. */
#ifndef RUDP_CORE_RTT_H
#define RUDP_CORE_RTT_H

#include "core/base.h"

#define RUDP_RTT_US_MAX (60u * RUDP_US_PER_S)

struct rudp_rtt {
    uint64_t latest_us;    /* 0 until the first sample */
    uint64_t min_us;       /* RUDP_NEVER until the first sample; includes the peer's delay */
    uint64_t smoothed_us;  /* meaningful once sample_count > 0 */
    uint64_t deviation_us; /* mean deviation, not statistical variance */
    uint32_t sample_count; /* saturates at UINT32_MAX */
};

void rudp_rtt_init(struct rudp_rtt *rtt);

/* Feeds one round trip. ack_delay_us is what the peer says it waited before acknowledging.
 * It is subtracted only as long as the result stays at or
 * above min_us (RFC 9002 section 5.3). sample_us == 0 is legal. */
void rudp_rtt_sample(struct rudp_rtt *rtt, uint64_t sample_us, uint64_t ack_delay_us);

/* smoothed + max(4 * deviation, 1 ms): RFC 9002 section 6.2.1 without the peer's ack delay.
 * Must not be called before the first sample. */
uint64_t rudp_rtt_probe_timeout_us(const struct rudp_rtt *rtt);

#endif
