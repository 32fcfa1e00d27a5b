/* pacer.h - a token bucket that spreads a window over its round trip (RFC 9002 section 7.7).
 * Zero-initialise to use. */
#ifndef RUDP_CORE_PACER_H
#define RUDP_CORE_PACER_H

#include "core/base.h"

struct rudp_pacer {
    uint64_t budget_bytes;
    uint64_t updated_us; /* 0: never, the bucket starts full */
};

/* When the next packet of packet_bytes may leave: now_us when it may at once. bytes_per_s of
 * RUDP_NEVER means no pacing. The bucket holds the larger of 10 packets and 2 ms at the rate. */
uint64_t rudp_pacer_next_us(struct rudp_pacer *pacer, uint64_t bytes_per_s, uint32_t packet_bytes,
                            uint64_t now_us);

/* A packet left. May leave the bucket empty, never negative. */
void rudp_pacer_on_sent(struct rudp_pacer *pacer, uint32_t packet_bytes);

#endif
