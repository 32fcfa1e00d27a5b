#include "core/pacer.h"

#define BURST_PACKETS 10u
#define BURST_US      (2u * RUDP_US_PER_MS)

/* Above any real rate, and small enough that a bucket's worth of it times US_PER_S fits. */
#define RATE_MAX (UINT64_C(1) << 50)

/* Puts in what the time since the last call has earned. Bytes are whole: the time that a fraction
 * of one was earned in stays on the account, or slow rates polled often would earn nothing. */
static void refill(struct rudp_pacer *pacer, uint64_t bytes_per_s, uint64_t bucket_bytes,
                   uint64_t now_us)
{
    uint64_t elapsed_us = sub_floor_u64(now_us, pacer->updated_us);
    uint64_t missing_bytes = sub_floor_u64(bucket_bytes, pacer->budget_bytes);
    uint64_t full_after_us = missing_bytes * RUDP_US_PER_S / bytes_per_s + 1;

    if (pacer->updated_us == 0 || elapsed_us >= full_after_us) {
        pacer->budget_bytes = bucket_bytes;
        pacer->updated_us = max_u64(now_us, 1); /* 0 says never */
        return;
    }
    uint64_t earned_bytes = bytes_per_s * elapsed_us / RUDP_US_PER_S;

    pacer->budget_bytes = min_u64(pacer->budget_bytes + earned_bytes, bucket_bytes);
    pacer->updated_us += (earned_bytes * RUDP_US_PER_S + bytes_per_s - 1) / bytes_per_s;
}

uint64_t rudp_pacer_next_us(struct rudp_pacer *pacer, uint64_t bytes_per_s, uint32_t packet_bytes,
                            uint64_t now_us)
{
    RUDP_ASSERT(pacer != NULL);
    RUDP_ASSERT(bytes_per_s > 0);
    if (bytes_per_s == RUDP_NEVER)
        return now_us;
    bytes_per_s = min_u64(bytes_per_s, RATE_MAX);
    uint64_t bucket_bytes =
        max_u64((uint64_t)BURST_PACKETS * packet_bytes, bytes_per_s * BURST_US / RUDP_US_PER_S);

    refill(pacer, bytes_per_s, bucket_bytes, now_us);
    if (pacer->budget_bytes >= packet_bytes)
        return now_us;
    uint64_t missing_bytes = packet_bytes - pacer->budget_bytes;

    return pacer->updated_us + (missing_bytes * RUDP_US_PER_S + bytes_per_s - 1) / bytes_per_s;
}

void rudp_pacer_on_sent(struct rudp_pacer *pacer, uint32_t packet_bytes)
{
    RUDP_ASSERT(pacer != NULL);
    pacer->budget_bytes = sub_floor_u64(pacer->budget_bytes, packet_bytes);
}
