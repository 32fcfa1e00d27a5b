#include "core/cc.h"
#include "core/cubic.h"

/* RFC 9002 section 7.7: a little faster than the window, or a window may never be used up. */
#define PACING_SLOW_START_TIMES_4 8u
#define PACING_TIMES_4            5u

#define WINDOW_PACKETS_MIN 4u

/* One algorithm so far. Another one turns this into a switch in each function below. */
static struct rudp_cubic *cubic_of(struct rudp_cc *cc)
{
    RUDP_ASSERT(cc != NULL);
    RUDP_ASSERT(cc->algorithm == RUDP_CC_CUBIC);
    return &cc->state.cubic;
}

static const struct rudp_cubic *cubic_of_const(const struct rudp_cc *cc)
{
    RUDP_ASSERT(cc != NULL);
    RUDP_ASSERT(cc->algorithm == RUDP_CC_CUBIC);
    return &cc->state.cubic;
}

void rudp_cc_init(struct rudp_cc *cc, enum rudp_cc_algorithm algorithm, uint32_t packet_bytes)
{
    RUDP_ASSERT(cc != NULL);
    *cc = (struct rudp_cc){.algorithm = algorithm, .packet_bytes = packet_bytes};
    rudp_cubic_init(cubic_of(cc), packet_bytes);
}

void rudp_cc_on_ack(struct rudp_cc *cc, const struct rudp_cc_ack *ack)
{
    rudp_cubic_on_ack(cubic_of(cc), cc->packet_bytes, ack);
}

void rudp_cc_on_loss(struct rudp_cc *cc, const struct rudp_cc_loss *loss)
{
    rudp_cubic_on_loss(cubic_of(cc), cc->packet_bytes, loss);
}

void rudp_cc_on_spurious_loss(struct rudp_cc *cc)
{
    rudp_cubic_on_spurious_loss(cubic_of(cc));
}

void rudp_cc_on_persistent_congestion(struct rudp_cc *cc)
{
    rudp_cubic_on_persistent_congestion(cubic_of(cc), cc->packet_bytes);
}

void rudp_cc_set_packet_bytes(struct rudp_cc *cc, uint32_t packet_bytes)
{
    struct rudp_cubic *cubic = cubic_of(cc);

    RUDP_ASSERT(packet_bytes > 0);
    cc->packet_bytes = packet_bytes;
    cubic->window_bytes = max_u64(cubic->window_bytes, (uint64_t)WINDOW_PACKETS_MIN * packet_bytes);
}

uint64_t rudp_cc_window_bytes(const struct rudp_cc *cc)
{
    return cubic_of_const(cc)->window_bytes;
}

bool rudp_cc_in_slow_start(const struct rudp_cc *cc)
{
    return rudp_cubic_in_slow_start(cubic_of_const(cc));
}

uint64_t rudp_cc_pacing_bytes_per_s(const struct rudp_cc *cc, uint64_t smoothed_rtt_us)
{
    uint64_t times_4 = rudp_cc_in_slow_start(cc) ? PACING_SLOW_START_TIMES_4 : PACING_TIMES_4;

    if (smoothed_rtt_us == 0)
        return RUDP_NEVER;
    uint64_t bytes_per_s =
        rudp_cc_window_bytes(cc) * times_4 * RUDP_US_PER_S / (4 * smoothed_rtt_us);

    return max_u64(bytes_per_s, 1);
}
