/* received.h - which packet numbers arrived: suppresses duplicates, decides when to acknowledge and
 * what (RFC 9000 section 13.2). Zero-initialise to use. */
#ifndef RUDP_CORE_RECEIVED_H
#define RUDP_CORE_RECEIVED_H

#include "core/ranges.h"
#include "core/wire.h"

/* How many of the newest numbers are told apart; older ones count as received. */
#define RUDP_RECEIVED_WINDOW 16384u

struct rudp_received {
    struct rudp_ranges numbers;   /* at or above floor_pn */
    uint64_t floor_pn;            /* every number below counts as received */
    uint64_t largest_received_us; /* when the highest number arrived */
    uint64_t ack_deadline_us;     /* when an acknowledgement must leave; 0: none is owed */
    uint32_t eliciting_count;     /* ack-eliciting packets since the last acknowledgement */
};

bool rudp_received_is_duplicate(const struct rudp_received *received, uint64_t packet_number);

/* Highest number received plus one; 0 when none was. */
uint64_t rudp_received_next_pn(const struct rudp_received *received);

/* Makes sure that the next rudp_received_add succeeds: before a packet takes effect. Without memory
 * for another gap the oldest one is given up: only a first number can fail. */
enum rudp_status rudp_received_reserve(struct rudp_received *received,
                                       const struct rudp_host *host);

/* Remembers a number that is not a duplicate and decides how soon it is acknowledged: now when it
 * is the second eliciting one, out of order, or fills a gap; else within ack_delay_us.
 * RUDP_E_MEMORY: not remembered; cannot happen after rudp_received_reserve. */
enum rudp_status rudp_received_add(struct rudp_received *received, const struct rudp_host *host,
                                   uint64_t packet_number, bool eliciting, uint64_t ack_delay_us,
                                   uint64_t now_us);

/* A packet could not be kept. The peer hears within ack_delay_us of what was received before. */
void rudp_received_on_dropped(struct rudp_received *received, uint64_t ack_delay_us,
                              uint64_t now_us);

/* Fills in the newest ranges. False when nothing was received yet. */
bool rudp_received_fill_ack(const struct rudp_received *received, struct rudp_ack_frame *ack,
                            uint64_t now_us);

/* An acknowledgement left. */
void rudp_received_on_ack_sent(struct rudp_received *received);

/* Gives the memory back that only tells old gaps apart: all numbers so far count as received. */
void rudp_received_compact(struct rudp_received *received, const struct rudp_host *host);
void rudp_received_clear(struct rudp_received *received, const struct rudp_host *host);

#endif
