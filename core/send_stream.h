/* send_stream.h - one direction of a session at its sender: messages in, byte ranges out.
 *
 * The buffer that holds what is to be sent is the retransmission buffer too: a byte is forgotten
 * only when the peer says its application has it. Offsets are this side's own and grow over
 * incarnations; the session subtracts the incarnation's origin when it writes to the wire. */
#ifndef RUDP_CORE_SEND_STREAM_H
#define RUDP_CORE_SEND_STREAM_H

#include "core/buffer.h"
#include "core/endpoint.h"
#include "core/ranges.h"

/* What an opener may send before it knows its peer's credit; every acceptor grants at least this.
 */
#define RUDP_SEND_CREDIT_INITIAL (64u * 1024u)

/* Longest length prefix of a message. */
#define RUDP_STREAM_PREFIX_BYTES_MAX 4u

struct rudp_send_stream {
    struct rudp_buffer buffer;
    struct rudp_ranges acked; /* received by the peer, at or above base_offset */
    struct rudp_ranges lost;  /* to be sent again: below next_offset, no byte of it in acked */
    uint64_t base_offset;     /* delivered to the peer's application below: a message boundary */
    uint64_t next_offset;     /* first byte never sent in this incarnation */
    uint64_t end_offset;      /* accepted from the program below */
    uint64_t limit_offset;    /* the peer's credit: may turn out to be less than was sent */
    uint64_t
        start_cursor; /* a message boundary at or below next_offset: where to look for starts */
    uint64_t resend_cursor; /* the same for what is sent again */
};

/* Makes the range sets able to hold one range, so that forgetting to resend for lack of memory
 * cannot happen. RUDP_E_MEMORY. */
enum rudp_status rudp_send_stream_init(struct rudp_send_stream *stream,
                                       const struct rudp_host *host);
void rudp_send_stream_clear(struct rudp_send_stream *stream, const struct rudp_host *host);

/* Appends one message. RUDP_E_FULL when bytes_max would be passed, RUDP_E_MEMORY, RUDP_E_TOO_LONG:
 * nothing is kept then. */
enum rudp_status rudp_send_stream_push(struct rudp_send_stream *stream,
                                       const struct rudp_host *host,
                                       const struct rudp_slice *slices, size_t slice_count,
                                       size_t bytes_max);

/* Next range to send, at most bytes_max > 0 long and within the credit: what was lost first, then
 * what is new. False when there is none. is_resend says which. Marks nothing. */
bool rudp_send_stream_pick(const struct rudp_send_stream *stream, uint64_t bytes_max,
                           struct rudp_range *range, bool *is_resend);

/* The range was put into a packet. */
void rudp_send_stream_on_sent(struct rudp_send_stream *stream, const struct rudp_range *range,
                              bool is_resend);
void rudp_send_stream_on_acked(struct rudp_send_stream *stream, const struct rudp_host *host,
                               const struct rudp_range *range);

/* Queues what of the range is not acknowledged for sending again. Cannot fail: without memory it
 * queues more than was lost. */
void rudp_send_stream_on_lost(struct rudp_send_stream *stream, const struct rudp_host *host,
                              const struct rudp_range *range);

/* The peer's application has everything below offset, which is at most next_offset. */
void rudp_send_stream_on_delivered(struct rudp_send_stream *stream, const struct rudp_host *host,
                                   uint64_t offset);

/* A new incarnation: nothing above base_offset was sent yet. */
void rudp_send_stream_restart(struct rudp_send_stream *stream);

/* Where the first message that begins in the range begins; range->end when none does. */
uint64_t rudp_send_stream_start(struct rudp_send_stream *stream, const struct rudp_range *range,
                                bool is_resend);

/* Everything accepted was received by the peer. */
bool rudp_send_stream_is_acked(const struct rudp_send_stream *stream);

/* Bytes the peer is not known to have received. */
uint64_t rudp_send_stream_unacked_bytes(const struct rudp_send_stream *stream);

static inline uint64_t rudp_send_stream_queued_bytes(const struct rudp_send_stream *stream)
{
    return stream->end_offset - stream->base_offset;
}

/* There is data to send, for the first time or again, and no credit for it. */
static inline bool rudp_send_stream_is_blocked(const struct rudp_send_stream *stream)
{
    uint64_t offset = stream->lost.count > 0 ? stream->lost.items[0].start : stream->next_offset;

    return offset < stream->end_offset && offset >= stream->limit_offset;
}

#endif
