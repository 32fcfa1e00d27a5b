/* loss.h - what was sent and what became of it: the ledger of packets in flight, loss detection by
 * time and by packets (RFC 9002 section 6.1, reordering window of RFC 8985), probe timeouts (RFC
 * 9002 section 6.2), detection of spurious losses. Knows packet numbers and stream ranges, no
 * frames. */
#ifndef RUDP_CORE_LOSS_H
#define RUDP_CORE_LOSS_H

#include "core/ranges.h"
#include "core/rtt.h"
#include "core/wire.h"

#define RUDP_SENT_RANGES_MAX 3u

/* The ledger holds at most this many packets; a sender that reaches it waits. */
#define RUDP_LOSS_PACKETS_MAX 32768u

enum rudp_sent_state {
    RUDP_SENT_UNTRACKED, /* not ack-eliciting: nobody waits for it */
    RUDP_SENT_IN_FLIGHT,
    RUDP_SENT_ACKED,
    RUDP_SENT_LOST, /* kept a while, to notice that it was not lost after all */
};

/* What besides stream bytes a packet carried and its loss must bring back. */
enum rudp_sent_content {
    RUDP_SENT_FIN = 1,
    RUDP_SENT_CREDIT = 2,
};

struct rudp_sent_packet {
    uint64_t sent_us;
    uint64_t credit_offset; /* RUDP_SENT_CREDIT: the delivered offset it told */
    uint32_t packet_bytes;
    uint8_t state;   /* enum rudp_sent_state */
    uint8_t content; /* bits of enum rudp_sent_content */
    uint8_t range_count;
    struct {
        uint64_t offset;
        uint32_t bytes;
    } ranges[RUDP_SENT_RANGES_MAX];
};

struct rudp_loss {
    struct rudp_rtt rtt;
    struct rudp_sent_packet *packets; /* ring, capacity a power of two; packet n at n % capacity */
    uint32_t capacity;
    uint64_t first_pn;         /* lowest packet number in the ring */
    uint64_t flight_pn;        /* no packet below is in flight */
    uint64_t next_pn;          /* number the next packet gets */
    uint64_t largest_acked_pn; /* RUDP_NEVER: none */
    struct rudp_ranges acked;  /* numbers known to be acknowledged, at or above first_pn */
    uint64_t in_flight_bytes;
    uint32_t in_flight_count;
    uint64_t last_sent_us;        /* of an ack-eliciting packet */
    uint64_t loss_time_us;        /* when the next packet will count as lost; RUDP_NEVER */
    uint32_t probe_timeout_count; /* in a row, without an acknowledgement of something new */

    bool reordering_seen;       /* the packet threshold is off */
    uint8_t reordering_shift;   /* reordering window is RTT / 8 << shift, at most RTT */
    uint8_t reordering_persist; /* loss events until the window is back at its start */

    uint64_t event_sent_us;    /* the last loss event is about packets sent from this time on, */
    uint64_t event_us;         /* up to this one */
    uint32_t event_lost_count; /* packets lost in it, */
    uint32_t event_spurious_count; /* and of these, acknowledged after all */
};

/* Told about each packet whose fate is decided. spurious: it had been declared lost before. */
struct rudp_loss_handler {
    void *context;
    void (*on_acked)(void *context, const struct rudp_sent_packet *packet, bool spurious);
    void (*on_lost)(void *context, const struct rudp_sent_packet *packet);
};

/* What one acknowledgement or one detection brought. */
struct rudp_loss_result {
    uint64_t acked_bytes;
    uint64_t largest_acked_sent_us; /* of the highest newly acknowledged packet */
    uint64_t rtt_us;                /* RUDP_NEVER: no sample */
    uint64_t lost_bytes;
    uint64_t largest_lost_sent_us;
    uint32_t lost_count;
    uint32_t spurious_count;
    bool event_undone;          /* all packets of the last loss event arrived after all */
    bool persistent_congestion; /* RFC 9002 section 7.6 */
};

void rudp_loss_init(struct rudp_loss *loss);
void rudp_loss_clear(struct rudp_loss *loss, const struct rudp_host *host);

/* Forgets all packets for a new incarnation; what the path taught (RTT, reordering) stays. */
void rudp_loss_restart(struct rudp_loss *loss, const struct rudp_host *host);

/* Makes room in the ledger for one more packet. Must succeed before one that must be acknowledged
 * is built: RUDP_E_MEMORY, or RUDP_E_FULL when the ledger is at its bound. */
enum rudp_status rudp_loss_reserve(struct rudp_loss *loss, const struct rudp_host *host);

/* Enters the packet with number next_pn. eliciting: it must be acknowledged; one that must not
 * needs no room in a ledger that has none at all. */
void rudp_loss_on_sent(struct rudp_loss *loss, const struct rudp_sent_packet *packet,
                       bool eliciting);

/* True when the frame acknowledges only what was sent. */
bool rudp_loss_ack_is_valid(const struct rudp_loss *loss, const struct rudp_ack_frame *ack);

/* Takes an acknowledgement in, then declares losses. */
void rudp_loss_on_ack(struct rudp_loss *loss, const struct rudp_host *host,
                      const struct rudp_ack_frame *ack, uint64_t pto_us, uint64_t now_us,
                      const struct rudp_loss_handler *handler, struct rudp_loss_result *result);

/* Declares what is overdue lost: when loss_time_us has come. */
void rudp_loss_detect(struct rudp_loss *loss, uint64_t pto_us, uint64_t now_us,
                      const struct rudp_loss_handler *handler, struct rudp_loss_result *result);

/* Declares everything in flight lost, without a loss event: after a RETRY. */
void rudp_loss_all(struct rudp_loss *loss, const struct rudp_loss_handler *handler);

/* Makes room where rudp_loss_reserve could not: forgets the oldest packet, which is in flight, and
 * calls on_lost for it; there is no loss event. False: the ledger has no memory at all. */
bool rudp_loss_give_up_oldest(struct rudp_loss *loss, const struct rudp_loss_handler *handler);

/* The oldest packet in flight with stream bytes or content to resend; NULL when none. */
const struct rudp_sent_packet *rudp_loss_oldest(const struct rudp_loss *loss);

/* Gives back what nothing in flight needs. Keeps numbers. */
void rudp_loss_compact(struct rudp_loss *loss, const struct rudp_host *host);

#endif
