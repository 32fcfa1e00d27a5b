#include "core/rtt.h"

#define GRANULARITY_US RUDP_US_PER_MS /* RFC 9002 section 6.1.2 */

void rudp_rtt_init(struct rudp_rtt *rtt)
{
    RUDP_ASSERT(rtt != NULL);
    *rtt = (struct rudp_rtt){.min_us = RUDP_NEVER};
}

void rudp_rtt_sample(struct rudp_rtt *rtt, uint64_t sample_us, uint64_t ack_delay_us)
{
    RUDP_ASSERT(rtt != NULL);
    sample_us =
        min_u64(sample_us, RUDP_RTT_US_MAX); /* a peer may sit on an ack: clamp, not assert */
    rtt->latest_us = sample_us;
    rtt->min_us = min_u64(rtt->min_us, sample_us);

    if (rtt->sample_count == 0) {
        rtt->smoothed_us = sample_us;
        rtt->deviation_us = sample_us / 2;
        rtt->sample_count = 1;
        return;
    }
    if (sample_us - rtt->min_us >= ack_delay_us)
        sample_us -= ack_delay_us;
    uint64_t error_us = absdiff_u64(rtt->smoothed_us, sample_us);

    /* Deviation before mean: with the new mean it would understate a step change. */
    rtt->deviation_us = (3 * rtt->deviation_us + error_us) / 4;
    rtt->smoothed_us = (7 * rtt->smoothed_us + sample_us) / 8;
    if (rtt->sample_count < UINT32_MAX)
        rtt->sample_count++;
}

uint64_t rudp_rtt_probe_timeout_us(const struct rudp_rtt *rtt)
{
    RUDP_ASSERT(rtt != NULL);
    RUDP_ASSERT(rtt->sample_count > 0);
    return rtt->smoothed_us + max_u64(4 * rtt->deviation_us, GRANULARITY_US);
}
