#include "core/cubic.h"
#include "core/hystart.h"

/* Windows in bytes, times in us; the cubic itself in units of 1/8192 s, whose cubes fit 64 bits as
 * long as a curve is looked at for less than 256 s: by then it has left WINDOW_BYTES_MAX behind. */
#define WINDOW_BYTES_MAX    (UINT64_C(1) << 30)
#define PACKETS_INITIAL     10u
#define PACKETS_MIN         4u
#define BYTES_INITIAL_LIMIT 14720u /* RFC 9002 section 7.2 */
#define UNIT_SHIFT          13u
#define UNITS_MAX           (UINT64_C(1) << 21)

/* RFC 9438: C is 0.4 = 2/5 packets/s^3, beta 0.7; what follows from beta as fractions. */
#define C_NUMERATOR                 2u
#define C_DENOMINATOR               5u
#define BETA_TIMES_10               7u
#define FAST_CONVERGENCE_TIMES_20   17u /* (1 + beta) / 2, section 4.7 */
#define RENO_ALPHA_NUMERATOR        9u  /* 3 * (1 - beta) / (1 + beta), section 4.3 */
#define RENO_ALPHA_DENOMINATOR      17u
#define TARGET_GROWTH_TIMES_2_LIMIT 3u /* section 4.2: half as much again in a round trip */

static uint64_t window_bytes_min(uint32_t packet_bytes)
{
    return (uint64_t)PACKETS_MIN * packet_bytes;
}

/* Rounded down. Binary digits of the root from the top, as on paper. */
static uint64_t cube_root(uint64_t value)
{
    uint64_t root = 0;

    for (unsigned shift = 66; shift > 0;) {
        shift -= 3;
        root *= 2;
        uint64_t step = 3 * root * (root + 1) + 1; /* (root + 1)^3 - root^3 */

        if (value >> shift >= step) {
            value -= step << shift;
            root++;
        }
    }
    return root;
}

/* K of section 4.2: cube root of (missing / C), missing in packets. */
static uint64_t time_to_grow_us(uint64_t missing_bytes, uint32_t packet_bytes)
{
    /* In two steps, since neither all of the shift before nor all after the division would do:
     * the first overflows, the second loses the fraction of a packet. */
    uint64_t missing_shifted = (missing_bytes * C_DENOMINATOR << 20) / (C_NUMERATOR * packet_bytes);
    uint64_t units = cube_root(missing_shifted << (3 * UNIT_SHIFT - 20));

    return units * RUDP_US_PER_S >> UNIT_SHIFT;
}

/* C * time^3 in bytes. */
static uint64_t cubed_bytes(uint64_t time_us, uint32_t packet_bytes)
{
    uint64_t time_capped_us = min_u64(time_us, UNITS_MAX * RUDP_US_PER_S >> UNIT_SHIFT);
    uint64_t units = (time_capped_us << UNIT_SHIFT) / RUDP_US_PER_S;
    uint64_t cube = units * units * units;

    return ((cube >> 19) * C_NUMERATOR * packet_bytes >> (3 * UNIT_SHIFT - 19)) / C_DENOMINATOR;
}

/* W_cubic of section 4.2, time_us after the epoch began. */
static uint64_t curve_bytes(const struct rudp_cubic *cubic, uint32_t packet_bytes, uint64_t time_us)
{
    uint64_t change_bytes = cubed_bytes(absdiff_u64(time_us, cubic->k_us), packet_bytes);

    if (time_us < cubic->k_us)
        return sub_floor_u64(cubic->w_max_bytes, change_bytes);
    return cubic->w_max_bytes + change_bytes;
}

/* True for a packet that left before the last reduction could be felt. */
static bool left_before_reduction(const struct rudp_cubic *cubic, uint64_t sent_us)
{
    return cubic->ssthresh_bytes != RUDP_NEVER && sent_us <= cubic->recovery_us;
}

void rudp_cubic_init(struct rudp_cubic *cubic, uint32_t packet_bytes)
{
    RUDP_ASSERT(cubic != NULL);
    RUDP_ASSERT(packet_bytes > 0);
    uint64_t limit_bytes = max_u64(BYTES_INITIAL_LIMIT, window_bytes_min(packet_bytes));

    *cubic = (struct rudp_cubic){
        .window_bytes = min_u64((uint64_t)PACKETS_INITIAL * packet_bytes, limit_bytes),
        .ssthresh_bytes = RUDP_NEVER,
    };
    rudp_hystart_init(&cubic->hystart);
}

bool rudp_cubic_in_slow_start(const struct rudp_cubic *cubic)
{
    RUDP_ASSERT(cubic != NULL);
    return cubic->window_bytes < cubic->ssthresh_bytes;
}

static void grow_in_slow_start(struct rudp_cubic *cubic, const struct rudp_cc_ack *ack)
{
    /* RFC 9406 section 4.3: only in the first slow start, whose end nobody knows. */
    if (cubic->ssthresh_bytes != RUDP_NEVER) {
        cubic->window_bytes =
            min_u64(cubic->window_bytes + ack->acked_bytes, cubic->ssthresh_bytes);
        return;
    }
    cubic->window_bytes += rudp_hystart_on_ack(&cubic->hystart, ack);
    if (rudp_hystart_is_done(&cubic->hystart)) {
        cubic->ssthresh_bytes = cubic->window_bytes;
        cubic->w_max_bytes = cubic->window_bytes;
    }
}

static void start_epoch(struct rudp_cubic *cubic, uint32_t packet_bytes, uint64_t now_us)
{
    cubic->epoch_us = max_u64(now_us, 1); /* 0 says none */
    cubic->w_max_bytes = max_u64(cubic->w_max_bytes, cubic->window_bytes);
    cubic->k_us = time_to_grow_us(cubic->w_max_bytes - cubic->window_bytes, packet_bytes);
    cubic->w_est_bytes = cubic->window_bytes;
    cubic->ack_credit_bytes = 0;
}

/* Section 4.3: what Reno with the same average window would have. */
static void grow_reno_estimate(struct rudp_cubic *cubic, uint32_t packet_bytes,
                               uint64_t acked_bytes)
{
    /* Slower than Reno makes up for the smaller reduction, until the window is what it was. */
    if (cubic->w_est_bytes < cubic->prior.window_bytes)
        acked_bytes = acked_bytes * RENO_ALPHA_NUMERATOR / RENO_ALPHA_DENOMINATOR;
    cubic->ack_credit_bytes += acked_bytes;
    cubic->w_est_bytes += cubic->ack_credit_bytes / cubic->window_bytes * packet_bytes;
    cubic->ack_credit_bytes %= cubic->window_bytes;
}

static void avoid_congestion(struct rudp_cubic *cubic, uint32_t packet_bytes,
                             const struct rudp_cc_ack *ack)
{
    uint64_t window_bytes = cubic->window_bytes;

    if (cubic->epoch_us == 0)
        start_epoch(cubic, packet_bytes, ack->now_us);
    uint64_t time_us = sub_floor_u64(ack->now_us, cubic->epoch_us);
    uint64_t target_bytes = curve_bytes(cubic, packet_bytes, time_us + ack->smoothed_rtt_us);

    target_bytes = min_u64(target_bytes, window_bytes * TARGET_GROWTH_TIMES_2_LIMIT / 2);
    cubic->window_bytes +=
        sub_floor_u64(target_bytes, window_bytes) * ack->acked_bytes / window_bytes;
    grow_reno_estimate(cubic, packet_bytes, ack->acked_bytes);
    if (curve_bytes(cubic, packet_bytes, time_us) < cubic->w_est_bytes)
        cubic->window_bytes = max_u64(cubic->window_bytes, cubic->w_est_bytes);
}

/* Section 5.8: the curve stands still while the window is not what limits the sender. True when
 * that is so for this acknowledgement. */
static bool pause_if_app_limited(struct rudp_cubic *cubic, const struct rudp_cc_ack *ack)
{
    uint64_t now_us = max_u64(ack->now_us, 1);

    if (cubic->app_limited_us != 0 && cubic->epoch_us != 0)
        cubic->epoch_us += now_us - cubic->app_limited_us;
    cubic->app_limited_us = ack->app_limited ? now_us : 0;
    return ack->app_limited;
}

void rudp_cubic_on_ack(struct rudp_cubic *cubic, uint32_t packet_bytes,
                       const struct rudp_cc_ack *ack)
{
    RUDP_ASSERT(cubic != NULL);
    RUDP_ASSERT(ack != NULL);
    RUDP_ASSERT(ack->acked_bytes > 0);
    if (pause_if_app_limited(cubic, ack))
        return;
    if (left_before_reduction(cubic, ack->largest_acked_sent_us))
        return;
    if (rudp_cubic_in_slow_start(cubic))
        grow_in_slow_start(cubic, ack);
    else
        avoid_congestion(cubic, packet_bytes, ack);
    cubic->window_bytes = min_u64(cubic->window_bytes, WINDOW_BYTES_MAX);
}

void rudp_cubic_on_loss(struct rudp_cubic *cubic, uint32_t packet_bytes,
                        const struct rudp_cc_loss *loss)
{
    RUDP_ASSERT(cubic != NULL);
    RUDP_ASSERT(loss != NULL);
    uint64_t window_bytes = cubic->window_bytes;

    if (left_before_reduction(cubic, loss->largest_lost_sent_us))
        return;
    cubic->prior.window_bytes = window_bytes;
    cubic->prior.ssthresh_bytes = cubic->ssthresh_bytes;
    cubic->prior.w_max_bytes = cubic->w_max_bytes;
    cubic->prior.k_us = cubic->k_us;
    cubic->prior.epoch_us = cubic->epoch_us;
    cubic->prior.valid = true;

    /* Section 4.7: a flow that lost before it was back where it was makes room for another. */
    bool makes_room = window_bytes < cubic->w_max_bytes;

    cubic->w_max_bytes = makes_room ? window_bytes * FAST_CONVERGENCE_TIMES_20 / 20 : window_bytes;
    cubic->ssthresh_bytes =
        max_u64(window_bytes * BETA_TIMES_10 / 10, window_bytes_min(packet_bytes));
    cubic->window_bytes = cubic->ssthresh_bytes;
    cubic->epoch_us = 0;
    cubic->recovery_us = loss->now_us;
}

void rudp_cubic_on_spurious_loss(struct rudp_cubic *cubic)
{
    RUDP_ASSERT(cubic != NULL);
    if (!cubic->prior.valid)
        return;
    cubic->window_bytes = max_u64(cubic->window_bytes, cubic->prior.window_bytes);
    cubic->ssthresh_bytes = cubic->prior.ssthresh_bytes;
    cubic->w_max_bytes = cubic->prior.w_max_bytes;
    cubic->k_us = cubic->prior.k_us;
    cubic->epoch_us = cubic->prior.epoch_us;
    cubic->prior.valid = false;
}

void rudp_cubic_on_persistent_congestion(struct rudp_cubic *cubic, uint32_t packet_bytes)
{
    RUDP_ASSERT(cubic != NULL);
    cubic->window_bytes = window_bytes_min(packet_bytes);
    cubic->epoch_us = 0;
    cubic->recovery_us = 0;
    cubic->prior.valid = false;
}
