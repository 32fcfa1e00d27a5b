/* cc.h - congestion control behind one interface: what was sent, acknowledged and lost goes in, a
 * window and a pacing rate come out. Arithmetic on integers only. A session keeps the state inline
 * and names the algorithm by an enum, so it holds no function pointer.
 *
 * All sizes are UDP payload bytes of ack-eliciting packets ("in flight" as in RFC 9002 B.2). */
#ifndef RUDP_CORE_CC_H
#define RUDP_CORE_CC_H

#include "core/base.h"
#include "core/config.h"

/* HyStart++ (RFC 9406): leaves slow start when the round trip grows, before packets are lost. */
struct rudp_hystart {
    uint64_t round_end_pn;    /* the round ends when a packet numbered this or above is acked */
    uint64_t last_min_rtt_us; /* lowest RTT of the previous round; RUDP_NEVER: no sample */
    uint64_t min_rtt_us;      /* lowest RTT of this round; RUDP_NEVER: no sample */
    uint64_t css_baseline_us; /* the RTT that Conservative Slow Start was entered with */
    uint32_t sample_count;    /* RTT samples in this round */
    uint32_t css_round_count; /* rounds spent in CSS */
    bool in_css;
    bool done;
};

/* CUBIC (RFC 9438). Windows in bytes. */
struct rudp_cubic {
    uint64_t window_bytes;
    uint64_t ssthresh_bytes; /* RUDP_NEVER until the first reduction */
    uint64_t w_max_bytes;
    uint64_t w_est_bytes; /* the Reno-friendly window of section 4.3 */
    uint64_t k_us;        /* time to grow back to w_max_bytes */
    uint64_t epoch_us;    /* start of the congestion avoidance epoch; 0: none yet */
    uint64_t ack_credit_bytes;
    uint64_t recovery_us;    /* losses of packets sent at or before this belong to the last event */
    uint64_t app_limited_us; /* last time the window was not in use, to stop growth */
    struct rudp_hystart hystart;
    struct { /* to undo a reduction that turns out spurious */
        uint64_t window_bytes;
        uint64_t ssthresh_bytes;
        uint64_t w_max_bytes;
        uint64_t k_us;
        uint64_t epoch_us;
        bool valid;
    } prior;
};

struct rudp_cc {
    enum rudp_cc_algorithm algorithm;
    uint32_t packet_bytes; /* the session's packet size: unit of growth */
    union {
        struct rudp_cubic cubic;
    } state;
};

/* What one acknowledgement told. */
struct rudp_cc_ack {
    uint64_t now_us;
    uint64_t acked_bytes; /* newly acknowledged, > 0 */
    uint64_t largest_acked_pn;
    uint64_t largest_acked_sent_us; /* when that packet was sent */
    uint64_t next_pn;               /* number the next packet will have: ends a round */
    uint64_t latest_rtt_us;         /* of this acknowledgement; 0: it gave no sample */
    uint64_t smoothed_rtt_us;
    uint64_t in_flight_bytes; /* after this acknowledgement */
    bool app_limited;         /* the window was not full when it arrived: do not grow */
};

struct rudp_cc_loss {
    uint64_t now_us;
    uint64_t lost_bytes;
    uint64_t largest_lost_sent_us; /* when the latest of the lost packets was sent */
    uint64_t in_flight_bytes;      /* after removing the lost ones */
};

/* Initial window: 10 packets, limited as RFC 9002 section 7.2 says but never below the minimum.
 * Minimum window: 4 packets, as BBR has it: with the 2 of RFC 9002 half of all flights die whole at
 * 40 % loss each way. */
void rudp_cc_init(struct rudp_cc *cc, enum rudp_cc_algorithm algorithm, uint32_t packet_bytes);
void rudp_cc_on_ack(struct rudp_cc *cc, const struct rudp_cc_ack *ack);
void rudp_cc_on_loss(struct rudp_cc *cc, const struct rudp_cc_loss *loss);

/* All packets of the last loss event were acknowledged after all: take the reduction back. */
void rudp_cc_on_spurious_loss(struct rudp_cc *cc);

/* RFC 9002 section 7.6: start again from the minimum window. */
void rudp_cc_on_persistent_congestion(struct rudp_cc *cc);

/* The path's packet size changed; the window keeps its bytes, but not below the minimum. */
void rudp_cc_set_packet_bytes(struct rudp_cc *cc, uint32_t packet_bytes);

uint64_t rudp_cc_window_bytes(const struct rudp_cc *cc);
bool rudp_cc_in_slow_start(const struct rudp_cc *cc);

/* Bytes per second to pace at: window / smoothed RTT times 2 in slow start, times 1.25 after it.
 * RUDP_NEVER when smoothed_rtt_us is 0: do not pace. */
uint64_t rudp_cc_pacing_bytes_per_s(const struct rudp_cc *cc, uint64_t smoothed_rtt_us);

#endif
