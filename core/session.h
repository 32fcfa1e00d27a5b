/* session.h - one session's protocol state and what drives it; internal to the core.
 *
 * A session knows packets, time and its peer, not the endpoint that holds it. Every function takes
 * the context (settings, memory, now) as an argument: nothing in a session points at what is
 * private to a process, and links is the endpoint's. The public calls on sessions are in
 * endpoint.h. */
#ifndef RUDP_CORE_SESSION_H
#define RUDP_CORE_SESSION_H

#include "core/cc.h"
#include "core/endpoint.h"
#include "core/list.h"
#include "core/loss.h"
#include "core/pacer.h"
#include "core/received.h"
#include "core/recv_stream.h"
#include "core/send_stream.h"
#include "core/table.h"
#include "core/tombstone.h"
#include "core/wheel.h"
#include "core/wire.h"

/* How long to wait before trying again what lacked memory. */
#define RUDP_MEMORY_WAIT_US (10u * RUDP_US_PER_MS)

struct rudp_context {
    const struct rudp_config *config;
    const struct rudp_host *host;
    uint64_t now_us;
    uint64_t mark; /* rudp_endpoint_set_mark */
};

enum rudp_session_state {
    RUDP_SESSION_HELLO_SENT,  /* opener: not answered yet */
    RUDP_SESSION_ACCEPTED,    /* acceptor: the peer's address is not proven yet */
    RUDP_SESSION_ESTABLISHED, /* both ids known, address proven */
    RUDP_SESSION_CLOSED,      /* over; what was received can still be read */
};

/* The longest packet of rudp_session_write_close. */
#define RUDP_CLOSE_PACKET_BYTES_MAX 96u

/* The last word goes out so often: the process may end before its tombstone can repeat it, and a
 * peer that misses it waits for its linger time. */
#define RUDP_CLOSE_COPY_COUNT 3u

/* Nothing to tell the peer when the session ends. */
#define RUDP_CLOSE_SILENT RUDP_CLOSE_CODE_COUNT

/* The endpoint's bookkeeping, see endpoint.c. */
struct rudp_session_links {
    struct rudp_table_node by_id;
    struct rudp_table_node by_address;
    struct rudp_wheel_entry timer;
    struct rudp_list_node all;
    struct rudp_list_node to_send;    /* linked while it may have something to send */
    struct rudp_list_node to_event;   /* linked while events wait to be taken */
    struct rudp_tombstone *tombstone; /* reserved for its end; NULL once used */
    bool half_open;                   /* counted as such */
    bool retired;                     /* out of the tables, its tombstone made */
};

struct rudp_session {
    struct rudp_session_links links;

    enum rudp_session_state state;
    bool opener;
    uint64_t local_id; /* packets to this session carry it */
    uint64_t peer_id;  /* 0: not known yet */
    uint32_t version;
    struct rudp_path path;
    uint64_t tag;

    struct rudp_loss loss;
    struct rudp_cc cc;
    struct rudp_pacer pacer;
    struct rudp_received received;
    struct rudp_send_stream send;
    struct rudp_recv_stream recv;
    uint64_t send_origin; /* offset of this incarnation's first stream byte, */
    uint64_t recv_origin; /* and of the peer's */
    uint32_t packet_bytes;
    uint32_t large_lost_count; /* packets above the minimum size lost, sent after the newest one */
    uint64_t large_acked_sent_us; /* of these that was acknowledged, which was sent at this time */
    struct rudp_params peer;      /* what the peer told of itself */
    bool credit_known;            /* it did: the credit is no guess any more */

    bool reopen_due;        /* the peer ended this incarnation, the next one has not begun yet */
    uint8_t reopen_code;    /* what the peer is told then */
    uint64_t hello_us;      /* when a held-back hello may leave; RUDP_NEVER */
    uint64_t stalled_us;    /* the first restart with nothing delivered since; RUDP_NEVER */
    uint32_t stalled_count; /* restarts since */

    bool answered;             /* was established in this incarnation */
    uint64_t opened_us;        /* when this incarnation's handshake began */
    uint64_t last_received_us; /* a valid packet from the peer, */
    uint64_t mark;             /* and what the caller noted of it */
    uint32_t send_mark;        /* rudp_session_set_send_mark */
    uint64_t last_active_us;   /* anything but keepalives was sent or received */
    uint32_t unanswered_count; /* probe timeouts since the last valid packet */
    uint64_t pacing_us;        /* when the next data packet may leave; 0: not held */
    uint64_t blocked_us;       /* when to tell the peer that credit is wanted; RUDP_NEVER */
    uint32_t blocked_count;
    uint64_t credit_us; /* when an unconfirmed delivery is told again; RUDP_NEVER */
    uint64_t memory_us; /* when to try again what lacked memory; RUDP_NEVER */

    uint64_t unproven_received_bytes; /* ACCEPTED: three times this may be sent */
    uint64_t unproven_sent_bytes;

    uint8_t token[RUDP_WIRE_TOKEN_BYTES_MAX]; /* from a RETRY, for the next hello */
    uint8_t token_bytes;
    uint8_t retry_count;

    uint8_t probe_count; /* probes to send now, whatever the window says */
    bool hello_due;
    bool ping_due;
    uint8_t
        undelivered_ask_shift; /* times the peer was asked while it delivered nothing, bounded */
    bool blocked_due;
    bool credit_due;     /* tell the credit now, in a packet that is acknowledged */
    uint64_t compact_us; /* memory in use is kept until then, at least; RUDP_NEVER: none is */
    bool path_response_due;
    uint64_t path_response;

    uint64_t credit_told_limit; /* newest limit sent */
    uint64_t discarded_offset;  /* what came from here on was thrown away; RUDP_NEVER: nothing */
    uint64_t held_offset;       /* passed on from here, but not read yet; RUDP_NEVER: nothing */
    uint64_t confirm_us;        /* when to ask whether it was; RUDP_NEVER */
    uint32_t confirm_count;     /* times that was asked in vain */
    uint64_t credit_confirmed;  /* delivered offset the peer is known to know */
    bool credit_in_flight;      /* in a packet that will be acknowledged or lost */

    struct rudp_path candidate; /* a new address being validated; meaningful while challenge != 0 */
    uint64_t challenge;
    uint64_t
        challenge_us; /* no further challenge before: two ends that both moved would not stop */
    bool challenge_due;
    uint64_t candidate_response; /* the answer to a challenge that came from the candidate */
    bool candidate_response_due;

    bool closing;      /* rudp_session_close was called */
    uint64_t close_us; /* of its call or of the last stream bytes acknowledged: linger starts */
    bool fin_due;
    bool fin_sent;
    bool fin_acked;

    bool readable_armed;
    uint64_t wanted_bytes; /* a refused message waits for this much room; 0: none */

    uint32_t events; /* bits: 1 << enum rudp_event_type */
    enum rudp_close_reason close_reason;
    uint8_t close_code; /* what to tell the peer at the end; RUDP_CLOSE_SILENT */
    uint64_t undelivered_bytes;

    struct rudp_session_stats stats;
};

/* session.c: life */
enum rudp_status rudp_session_init(struct rudp_session *session, const struct rudp_context *context,
                                   const struct rudp_path *path, bool opener, uint64_t local_id);
void rudp_session_clear(struct rudp_session *session, const struct rudp_context *context);

/* Ends the session: CLOSED event, memory for sending given back. Harmless when it is over. */
void rudp_session_finish(struct rudp_session *session, const struct rudp_context *context,
                         enum rudp_close_reason reason, uint8_t close_code);

/* The peer ended the session and is told close_code. True: it goes on in a new incarnation, which
 * the endpoint begins (reopen_due); else it is to be finished. is_exact: how far the peer delivered
 * is known for good. */
bool rudp_session_reopen(struct rudp_session *session, const struct rudp_context *context,
                         uint8_t close_code, bool is_exact);

/* Opener only. False: incarnations end without anything delivered for the connect timeout. */
bool rudp_session_may_restart(const struct rudp_session *session,
                              const struct rudp_context *context);

/* Opener only: begins a new incarnation under a new id and sends again what was not delivered. */
void rudp_session_restart(struct rudp_session *session, const struct rudp_context *context,
                          uint64_t local_id);

/* Forgets what was received of this incarnation's peer; what is complete can still be read. */
void rudp_session_restart_receiving(struct rudp_session *session,
                                    const struct rudp_context *context);

/* The proof came: an opener was answered, an acceptor's peer showed the id it was sent. */
void rudp_session_establish(struct rudp_session *session, const struct rudp_context *context);

/* Sets the packet size of the path within what configuration and peer allow. */
void rudp_session_limit_packet_bytes(struct rudp_session *session, uint32_t packet_bytes);

void rudp_session_raise(struct rudp_session *session, enum rudp_event_type type);

/* Takes the message that was peeked: gives credit for it. */
void rudp_session_take(struct rudp_session *session, const struct rudp_context *context);

/* Throws away what a closing session's program will not read, so that a peer that waits for credit
 * comes to its end. What was thrown away is never told as delivered. */
void rudp_session_discard(struct rudp_session *session, const struct rudp_context *context);

/* The application has everything below, of all incarnations. */
static inline uint64_t rudp_session_delivered_offset(const struct rudp_session *session)
{
    return min_u64(session->recv.base_offset,
                   min_u64(session->discarded_offset, session->held_offset));
}

/* The peer is known to know that. */
static inline bool rudp_session_delivery_is_confirmed(const struct rudp_session *session)
{
    uint64_t delivered_offset = rudp_session_delivered_offset(session);

    return delivered_offset <= session->recv_origin ||
           session->credit_confirmed >= delivered_offset;
}

/* Makes sure that the peer learns of the newest delivery even when nothing else is sent. */
void rudp_session_watch_delivery(struct rudp_session *session, const struct rudp_context *context);

/* Gives the next message's readiness to the caller as an event, once. */
void rudp_session_check_readable(struct rudp_session *session, const struct rudp_context *context);

/* Wakes a sender that was refused, when there is room again. */
void rudp_session_check_writable(struct rudp_session *session, const struct rudp_context *context);

/* session_receive.c: one packet that belongs to the session, header read. RUDP_DROP_COUNT when it
 * took effect, else why it was dropped. */
enum rudp_drop rudp_session_receive(struct rudp_session *session,
                                    const struct rudp_context *context,
                                    const struct rudp_header *header,
                                    const struct rudp_reader *frames, size_t packet_bytes);

/* A packet with the session's id from another address: may begin or complete a move (section 8). */
enum rudp_drop
rudp_session_receive_elsewhere(struct rudp_session *session, const struct rudp_context *context,
                               const struct rudp_path *path, const struct rudp_header *header,
                               const struct rudp_reader *frames, size_t packet_bytes);

/* A RETRY for this opener: the hello goes out again with the token. */
enum rudp_drop rudp_session_receive_retry(struct rudp_session *session,
                                          const struct rudp_context *context,
                                          const struct rudp_header *header);

/* session_send.c: the next packet and where it goes, 0 when there is none now. */
size_t rudp_session_write(struct rudp_session *session, const struct rudp_context *context,
                          struct rudp_path *path, uint8_t *out, size_t out_bytes);

/* How much may still be sent before the peer's address is proven; RUDP_NEVER once it is. */
uint64_t rudp_session_budget_bytes(const struct rudp_session *session);

/* The last packet of a session that is over: acknowledgement and CLOSE. 0 when it ends silently. */
size_t rudp_session_write_close(const struct rudp_session *session,
                                const struct rudp_context *context, uint8_t *out, size_t out_bytes);

/* How far a session that its program ended delivered, for its last word. False: no program said
 * that it reads no further, or messages may have been taken out of turn. */
bool rudp_session_final_credit(const struct rudp_session *session,
                               const struct rudp_context *context,
                               struct rudp_credit_frame *credit);

/* session_timer.c: when something is due, and doing it. */
uint64_t rudp_session_deadline_us(const struct rudp_session *session,
                                  const struct rudp_context *context);
void rudp_session_advance(struct rudp_session *session, const struct rudp_context *context);

/* Something took memory that an idle session can give back. */
void rudp_session_note_use(struct rudp_session *session, const struct rudp_context *context);

/* Probe timeout now, without and with back-off. */
uint64_t rudp_session_pto_base_us(const struct rudp_session *session,
                                  const struct rudp_context *context);
uint64_t rudp_session_pto_us(const struct rudp_session *session,
                             const struct rudp_context *context);

/* session_ack.c: what acknowledgements and losses mean for streams and congestion control. */
void rudp_session_on_ack(struct rudp_session *session, const struct rudp_context *context,
                         const struct rudp_ack_frame *ack);
void rudp_session_on_loss_timer(struct rudp_session *session, const struct rudp_context *context);
void rudp_session_lose_all(struct rudp_session *session, const struct rudp_context *context);

/* Makes room in a full ledger that cannot grow. False: it has no memory at all. */
bool rudp_session_give_up_oldest(struct rudp_session *session, const struct rudp_context *context);

/* Queues the content of the oldest packets in flight again, for count probes. */
void rudp_session_requeue_oldest(struct rudp_session *session, const struct rudp_context *context);

#endif
