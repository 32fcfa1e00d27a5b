#include "core/hystart.h"

/* RFC 9406 section 4.3. The limit L of growth per acknowledgement is infinite, as the section says
 * for senders that pace. */
#define RTT_THRESHOLD_US_MIN (4u * RUDP_US_PER_MS)
#define RTT_THRESHOLD_US_MAX (16u * RUDP_US_PER_MS)
#define RTT_DIVISOR          8u
#define RTT_SAMPLE_COUNT     8u
#define CSS_GROWTH_DIVISOR   4u
#define CSS_ROUND_COUNT      5u

void rudp_hystart_init(struct rudp_hystart *hystart)
{
    RUDP_ASSERT(hystart != NULL);
    *hystart = (struct rudp_hystart){
        .last_min_rtt_us = RUDP_NEVER,
        .min_rtt_us = RUDP_NEVER,
        .css_baseline_us = RUDP_NEVER,
    };
}

static void start_round(struct rudp_hystart *hystart, uint64_t round_end_pn)
{
    if (hystart->in_css)
        hystart->css_round_count++;
    hystart->done = hystart->css_round_count >= CSS_ROUND_COUNT;
    hystart->round_end_pn = round_end_pn;
    hystart->last_min_rtt_us = hystart->min_rtt_us;
    hystart->min_rtt_us = RUDP_NEVER;
    hystart->sample_count = 0;
}

/* True when the round trip grew since the last round by more than its threshold. */
static bool rtt_has_grown(const struct rudp_hystart *hystart)
{
    if (hystart->last_min_rtt_us == RUDP_NEVER)
        return false;
    uint64_t threshold_us =
        min_u64(max_u64(hystart->last_min_rtt_us / RTT_DIVISOR, RTT_THRESHOLD_US_MIN),
                RTT_THRESHOLD_US_MAX);

    return hystart->min_rtt_us >= hystart->last_min_rtt_us + threshold_us;
}

static void feed_sample(struct rudp_hystart *hystart, uint64_t rtt_us)
{
    hystart->min_rtt_us = min_u64(hystart->min_rtt_us, rtt_us);
    hystart->sample_count++;
    if (hystart->sample_count < RTT_SAMPLE_COUNT)
        return;
    if (!hystart->in_css && rtt_has_grown(hystart)) {
        hystart->in_css = true;
        hystart->css_round_count = 0;
        hystart->css_baseline_us = hystart->min_rtt_us;
    } else if (hystart->in_css && hystart->min_rtt_us < hystart->css_baseline_us) {
        /* The growth was jitter: back to slow start. */
        hystart->in_css = false;
        hystart->css_round_count = 0;
        hystart->css_baseline_us = RUDP_NEVER;
    }
}

uint64_t rudp_hystart_on_ack(struct rudp_hystart *hystart, const struct rudp_cc_ack *ack)
{
    RUDP_ASSERT(hystart != NULL);
    RUDP_ASSERT(ack != NULL);
    /* A packet at or above the end was sent in the new round: its sample counts there. */
    if (ack->largest_acked_pn >= hystart->round_end_pn)
        start_round(hystart, ack->next_pn);
    if (ack->latest_rtt_us > 0)
        feed_sample(hystart, ack->latest_rtt_us);
    return hystart->in_css ? ack->acked_bytes / CSS_GROWTH_DIVISOR : ack->acked_bytes;
}

bool rudp_hystart_is_done(const struct rudp_hystart *hystart)
{
    RUDP_ASSERT(hystart != NULL);
    return hystart->done;
}
