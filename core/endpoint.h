/* endpoint.h - the session core as its users see it: all sessions of one local UDP socket.
 *
 * Sans-I/O: packets and time go in, packets, events and the next deadline come out.
 *
 *     rudp_endpoint_receive(endpoint, &path, packet, packet_bytes, now_us);     bytes in
 *     rudp_endpoint_advance(endpoint, now_us);                                  timers that are due
 *     while ((bytes = rudp_endpoint_next_packet(endpoint, &path, out, sizeof out, now_us)) > 0)
 *         send(&path, out, bytes);                                              bytes out
 *     while (rudp_endpoint_next_event(endpoint, &event))
 *         handle(&event);                                                       news
 *     sleep_until(rudp_endpoint_deadline_us(endpoint));                         or RUDP_NEVER
 *
 * After any call that changes something, run the two loops again. now_us is a clock of the caller's
 * that never goes back; its zero is arbitrary. Not thread-safe: one call at a time per endpoint.
 *
 * A session pointer is valid from rudp_endpoint_open or RUDP_EVENT_OPENED until
 * rudp_session_release. The protocol is docs/protocol.md. */
#ifndef RUDP_CORE_ENDPOINT_H
#define RUDP_CORE_ENDPOINT_H

#include "core/address.h"
#include "core/base.h"
#include "core/config.h"
#include "core/host.h"
#include "core/status.h"

struct rudp_endpoint;
struct rudp_session;

/* X(name, text): why a packet was dropped. One counter each. */
#define RUDP_DROP_MAP(X)                                                                           \
    X(FOREIGN, "not a packet of this protocol")                                                    \
    X(TRUNCATED, "ends inside a field")                                                            \
    X(MALFORMED, "a field has an impossible value")                                                \
    X(CHECK, "damaged on the way")                                                                 \
    X(UNKNOWN_ID, "no session has this connection id")                                             \
    X(WRONG_ADDRESS, "known id, but not from the session's address")                               \
    X(DUPLICATE, "packet number received before")                                                  \
    X(UNEXPECTED, "type does not fit the session's state")                                         \
    X(VERSION, "version is not spoken here")                                                       \
    X(TOKEN, "hello without a needed or valid token, answered with one")                           \
    X(REFUSED, "hello to an endpoint that accepts no sessions")                                    \
    X(SESSION_LIMIT, "too many sessions")                                                          \
    X(MEMORY, "no memory to keep it")                                                              \
    X(CREDIT, "bytes beyond the credit given")                                                     \
    X(RANGES, "too many gaps to keep track of")                                                    \
    X(REPLY_LIMIT, "an answer was not sent: too many were waiting")

enum rudp_drop {
#define X(name, text) RUDP_DROP_##name,
    RUDP_DROP_MAP(X)
#undef X
    RUDP_DROP_COUNT,
};

const char *rudp_drop_name(enum rudp_drop drop);

/* Whose packet it was. */
enum rudp_verdict {
    RUDP_VERDICT_OURS,    /* of this protocol: used, answered or dropped and counted */
    RUDP_VERDICT_FOREIGN, /* not of this protocol: an ordinary datagram; not counted as a drop */
};

enum rudp_event_type {
    RUDP_EVENT_OPENED,      /* a peer opened this session; first event of such a session */
    RUDP_EVENT_ESTABLISHED, /* the peer answered (opener) or its address is proven (acceptor) */
    RUDP_EVENT_READABLE,    /* a message waits; raised again after rudp_session_peek said EMPTY */
    RUDP_EVENT_WRITABLE,    /* there is room again after rudp_session_send said FULL */
    RUDP_EVENT_PEER_RESTARTED, /* opener only: unsent and undelivered messages are sent again, and
                                * the peer may send again what this session has read */
    RUDP_EVENT_MOVED,          /* the peer has a new address: rudp_session_path */
    RUDP_EVENT_UNCONFIRMED,    /* messages were passed on a while ago: rudp_session_confirm */
    RUDP_EVENT_CLOSED,         /* last event: reason and undelivered say how it ended */
};

/* X(name, text): why a session ended. */
#define RUDP_CLOSE_REASON_MAP(X)                                                                   \
    X(LOCAL, "closed by this side")                                                                \
    X(PEER, "closed by the peer")                                                                  \
    X(ABORTED, "given up by this side")                                                            \
    X(PEER_ABORTED, "given up by the peer")                                                        \
    X(CONNECT_TIMEOUT, "the peer did not answer within the connect timeout")                       \
    X(DEAD, "the peer stopped answering")                                                          \
    X(IDLE, "nothing was heard for the idle timeout")                                              \
    X(LINGER, "the linger time passed without progress before everything was acknowledged")        \
    X(PEER_RESTARTED, "the peer restarted and this side had accepted the session")                 \
    X(VERSION, "the peer speaks no common version")                                                \
    X(PROTOCOL, "the peer broke the protocol")

enum rudp_close_reason {
#define X(name, text) RUDP_CLOSE_REASON_##name,
    RUDP_CLOSE_REASON_MAP(X)
#undef X
};

const char *rudp_close_reason_text(enum rudp_close_reason reason);

struct rudp_event {
    enum rudp_event_type type;
    struct rudp_session *session;
    enum rudp_close_reason reason; /* CLOSED */
    uint64_t undelivered_bytes;    /* CLOSED: accepted from this side and not known to have arrived;
                                    * > 0 must be reported to the program */
};

struct rudp_slice {
    const void *data;
    size_t bytes;
};

struct rudp_session_stats {
    uint64_t sent_message_count;
    uint64_t received_message_count; /* handed to the caller */
    uint64_t sent_packet_count;
    uint64_t sent_bytes; /* UDP payload */
    uint64_t received_packet_count;
    uint64_t received_bytes;
    uint64_t resent_bytes;          /* stream bytes sent more than once */
    uint64_t lost_packet_count;     /* declared lost */
    uint64_t spurious_packet_count; /* of these, acknowledged after all */
    uint64_t probe_count;           /* probe timeouts */
    uint64_t restart_count;         /* incarnations after the first */
    uint64_t rtt_us;                /* smoothed; 0: no sample yet */
    uint64_t rtt_min_us;
    uint64_t window_bytes; /* congestion window */
    uint64_t in_flight_bytes;
    uint64_t queued_bytes; /* accepted from the program, not known to be delivered */
    uint64_t unread_bytes; /* received, not yet handed to the caller */
    uint32_t packet_bytes;
    bool established;
    bool opener;
    bool closing; /* rudp_session_close was called */
};

struct rudp_endpoint_stats {
    uint64_t dropped_count[RUDP_DROP_COUNT];
    uint64_t undelivered_bytes; /* sum over closed sessions */
    uint32_t session_count;
    uint32_t half_open_count;
    uint32_t tombstone_count;
};

/* config is copied and must pass rudp_config_check. host's contexts must outlive the endpoint. */
enum rudp_status rudp_endpoint_create(struct rudp_endpoint **endpoint,
                                      const struct rudp_config *config,
                                      const struct rudp_host *host, uint64_t now_us);

/* Whether a call that changes the endpoint never returned: the process that made it was killed in
 * the middle. Nothing else may be asked of it then. For endpoints in memory that outlives its
 * process. */
bool rudp_endpoint_is_torn(const struct rudp_endpoint *endpoint);

/* Makes a torn endpoint whole again, without the one session that was being changed (*lost; NULL:
 * none was): neither that session nor its memory can be used any more. Packets for sessions that
 * had ended are answered by RESET. RUDP_E_INVALID, RUDP_E_MEMORY: it stays torn, and nothing can be
 * saved. */
enum rudp_status rudp_endpoint_mend(struct rudp_endpoint *endpoint, struct rudp_session **lost,
                                    uint64_t now_us);

/* Raises again what a caller that is no more may have taken without acting on it: OPENED of
 * sessions without a tag that the peer opened, READABLE, WRITABLE, CLOSED. */
void rudp_endpoint_repeat_events(struct rudp_endpoint *endpoint);

/* Frees everything, sessions included, without a word to the peers. */
void rudp_endpoint_destroy(struct rudp_endpoint *endpoint);

/* A value of the caller's that the sessions which take the packets given from here on remember: of
 * what came with a packet but is not in it. 0 at first. */
void rudp_endpoint_set_mark(struct rudp_endpoint *endpoint, uint64_t mark);

enum rudp_verdict rudp_endpoint_receive(struct rudp_endpoint *endpoint,
                                        const struct rudp_path *path, const uint8_t *packet,
                                        size_t packet_bytes, uint64_t now_us);
void rudp_endpoint_advance(struct rudp_endpoint *endpoint, uint64_t now_us);

/* Whether hellos of strangers are let in; starts as the config says. */
void rudp_endpoint_set_accepting(struct rudp_endpoint *endpoint, bool accepting);
bool rudp_endpoint_is_accepting(const struct rudp_endpoint *endpoint);

/* Writes the next packet to send into out, which holds at least the largest packet size in use
 * (RUDP_PACKET_BYTES_MAX always suffices), and its path. Returns its size, 0 when there is none
 * now. The packet counts as sent: if the socket refuses it, keep it or let recovery replace it. */
size_t rudp_endpoint_next_packet(struct rudp_endpoint *endpoint, struct rudp_path *path,
                                 uint8_t *out, size_t out_bytes, uint64_t now_us);
bool rudp_endpoint_next_event(struct rudp_endpoint *endpoint, struct rudp_event *event);

/* When rudp_endpoint_advance must be called next if nothing else happens. */
uint64_t rudp_endpoint_deadline_us(const struct rudp_endpoint *endpoint);

void rudp_endpoint_stats(const struct rudp_endpoint *endpoint, struct rudp_endpoint_stats *stats);

/* The open or opening session with that remote address, or NULL. Sessions that are closing, or
 * whose peer has closed, are not found. */
struct rudp_session *rudp_endpoint_find(struct rudp_endpoint *endpoint,
                                        const struct rudp_address *remote);

/* Whether any session with that remote address is not over. */
bool rudp_endpoint_knows(const struct rudp_endpoint *endpoint, const struct rudp_address *remote);

/* Calls visit for every session not yet released, in no particular order. visit must not open,
 * close or release sessions. */
void rudp_endpoint_each(struct rudp_endpoint *endpoint,
                        void (*visit)(void *context, struct rudp_session *session), void *context);

/* Whose a packet is, where several endpoints share a port. */
enum rudp_claim {
    RUDP_CLAIM_OWN,   /* a session's of this endpoint, or of one that ended */
    RUDP_CLAIM_STRAY, /* no session here knows it: another endpoint's may; a stranger's hello too */
    RUDP_CLAIM_NONE,  /* not a whole packet of this protocol: nothing to ask other endpoints for */
};

/* What the packet names. */
struct rudp_claim_ids {
    uint64_t session_id; /* of this side; 0: none */
    uint64_t caller_id;  /* of the peer that says hello; 0: it is no hello */
};

/* Changes nothing; rudp_endpoint_receive answers a stray as this endpoint sees fit. */
enum rudp_claim rudp_endpoint_claim(struct rudp_endpoint *endpoint,
                                    const struct rudp_address *remote, const uint8_t *packet,
                                    size_t packet_bytes, struct rudp_claim_ids *ids);

/* Moves a session that is not over to another endpoint with the same allocator: its messages,
 * timers and events with it. Between the two calls it is nobody's and its packets are strays; tag
 * and path are kept. Refused with RUDP_E_MEMORY, or RUDP_E_INVALID when that endpoint knows the id:
 * then attach it where it was, which succeeds. Not bound by session_count_max. */
void rudp_endpoint_detach(struct rudp_endpoint *endpoint, struct rudp_session *session);
enum rudp_status rudp_endpoint_attach(struct rudp_endpoint *endpoint, struct rudp_session *session,
                                      uint64_t now_us);

/* Makes sure that attaching one session does not fail for want of memory. RUDP_E_MEMORY. */
enum rudp_status rudp_endpoint_make_room(struct rudp_endpoint *endpoint);

/* Ids chosen from now on carry the tag (> 0) in their 16 highest bits, so that somebody else who
 * gets a packet with one knows where it belongs. */
void rudp_endpoint_set_id_tag(struct rudp_endpoint *endpoint, uint16_t tag);

/* Endpoints with one key accept each other's tokens. */
void rudp_endpoint_set_token_key(struct rudp_endpoint *endpoint, uint64_t k0, uint64_t k1);

/* Opens a session. Messages may be sent at once; the hello leaves with the next packets, with the
 * first messages on it. RUDP_E_LIMIT, RUDP_E_MEMORY; RUDP_E_CLOSED while a session that this side
 * closes with that address is not over: wait for its CLOSED event. */
enum rudp_status rudp_endpoint_open(struct rudp_endpoint *endpoint, const struct rudp_path *path,
                                    struct rudp_session **session, uint64_t now_us);

/* The hello of a session with that address that was just opened leaves at that time, not before,
 * unless the peer calls meanwhile: both at once is one session. Without effect once a hello has
 * left or come. The connect timeout counts from open on. */
void rudp_endpoint_hold_hello(struct rudp_endpoint *endpoint, const struct rudp_address *remote,
                              uint64_t until_us, uint64_t now_us);

/* A value of the caller's, kept with the session; 0 at first. */
void rudp_session_set_tag(struct rudp_session *session, uint64_t tag);
uint64_t rudp_session_tag(const struct rudp_session *session);

/* What the caller noted of the last packet that the session took (rudp_endpoint_set_mark). */
uint64_t rudp_session_mark(const struct rudp_session *session);

/* A value of the caller's that goes with the path of the session's packets from now on. 0 at first.
 */
void rudp_session_set_send_mark(struct rudp_session *session, uint32_t mark);

/* The session's current path. Valid until the next call on the endpoint. */
const struct rudp_path *rudp_session_path(const struct rudp_session *session);

/* Queues one message made of the slices, 0..RUDP_MESSAGE_BYTES_MAX bytes in all. All of it or none:
 * RUDP_E_FULL (over the session's bound: wait for WRITABLE), RUDP_E_MEMORY (over the allocator's:
 * WRITABLE follows too), RUDP_E_TOO_LONG, RUDP_E_CLOSED. */
enum rudp_status rudp_session_send(struct rudp_endpoint *endpoint, struct rudp_session *session,
                                   const struct rudp_slice *slices, size_t slice_count,
                                   uint64_t now_us);

/* Copies the next message to buffer without taking it. RUDP_E_EMPTY; RUDP_E_BUFFER when it is
 * longer than buffer_bytes (message_bytes then says how long, nothing is copied). Works after
 * CLOSED too, until the session is released, unless this side closed it. */
enum rudp_status rudp_session_peek(struct rudp_endpoint *endpoint, struct rudp_session *session,
                                   void *buffer, size_t buffer_bytes, size_t *message_bytes);

/* Takes the message that the last rudp_session_peek of this session returned: it is delivered. */
void rudp_session_consume(struct rudp_endpoint *endpoint, struct rudp_session *session,
                          uint64_t now_us);

/* The same for a message that lies in a queue of the caller's until the program reads it: it counts
 * as delivered when rudp_session_confirm says so. When messages are delivered unordered it does at
 * once. */
void rudp_session_pass_on(struct rudp_endpoint *endpoint, struct rudp_session *session,
                          uint64_t now_us);

/* The program has all that was passed on but the newest unread_bytes, rudp_message_stream_bytes of
 * each message together. Without effect once the session closes: what is not delivered then goes
 * back to the peer. */
void rudp_session_confirm(struct rudp_endpoint *endpoint, struct rudp_session *session,
                          uint64_t unread_bytes, uint64_t now_us);
uint64_t rudp_message_stream_bytes(size_t message_bytes);

/* Whether all that was passed on is confirmed. */
bool rudp_session_is_confirmed(const struct rudp_session *session);

/* Ends the session gracefully: what was accepted is still delivered, as long as acknowledgements of
 * it come within the linger time;
 * what arrives from now on is not. CLOSED follows. Harmless when closing already. */
void rudp_session_close(struct rudp_endpoint *endpoint, struct rudp_session *session,
                        uint64_t now_us);

/* Ends the session now, telling the peer once. CLOSED follows. */
void rudp_session_abort(struct rudp_endpoint *endpoint, struct rudp_session *session,
                        uint64_t now_us);

/* True when nothing that was accepted is unacknowledged: the process may exit. */
bool rudp_session_is_flushed(const struct rudp_session *session);

/* True when the peer is known to know what of its messages was delivered here, so that it sends
 * none of them again, whoever it finds in this process's place. Also when the session is over, or
 * the peer has not been heard for so many probes that waiting for it is vain. */
bool rudp_session_is_told(const struct rudp_session *session);

/* How many messages the session has accepted, and has handed to the caller. */
uint64_t rudp_session_sent_count(const struct rudp_session *session);
uint64_t rudp_session_received_count(const struct rudp_session *session);

/* Bytes accepted that are not known to be delivered. Of a torn endpoint's session too: a guess. */
uint64_t rudp_session_queued_bytes(const struct rudp_session *session);

/* True when the session is over: its CLOSED event was raised. */
bool rudp_session_is_closed(const struct rudp_session *session);

/* The largest packet the path is known to carry: for path MTU discovery by the caller. Clamped to
 * RUDP_PACKET_BYTES_MIN..MAX and to what the peer accepts; used from the next packet on. */
void rudp_session_set_packet_bytes(struct rudp_session *session, uint32_t packet_bytes);

void rudp_session_stats(const struct rudp_session *session, struct rudp_session_stats *stats);

/* Gives the session back. Only after its CLOSED event: RUDP_ASSERT. Unread messages are gone. */
void rudp_session_release(struct rudp_endpoint *endpoint, struct rudp_session *session);

#endif
