/* stat_format.h - how live counters travel from a process to `rudp stat`, which asks.
 *
 * The engine thread answers on a datagram socket with the abstract name "rudp.stat.PID" (or
 * "rudp.stat.PID.XXXXXXXX" when somebody has that). A request names a cursor; the answer is one
 * datagram: a head and the records that follow the cursor, as many as fit, and the cursor to ask
 * for next. So the process keeps nothing about readers, opens no descriptor for them and never
 * waits for one.
 *
 * Records are ordered by descending numbers, which are given in ascending order: what begins or
 * ends between two requests shifts nothing.
 *
 * Byte order is the machine's. Offsets are the same for 32-bit and 64-bit programs. */
#ifndef RUDP_SHIM_STAT_FORMAT_H
#define RUDP_SHIM_STAT_FORMAT_H

#include "core/endpoint.h"

#include <stddef.h>

#define SHIM_STAT_NAME_PREFIX "rudp.stat."
#define SHIM_STAT_MAGIC       0x54415453u /* "STAT" */
#define SHIM_STAT_VERSION     2u          /* raised with any change below */

#define SHIM_STAT_DROP_COUNT    16u
#define SHIM_STAT_RECORDS_MAX   64u /* of one answer */
#define SHIM_STAT_REQUEST_BYTES 32u
#define SHIM_STAT_HEAD_BYTES    88u
#define SHIM_STAT_RECORD_BYTES  320u
#define SHIM_STAT_ANSWER_BYTES_MAX                                                                 \
    (SHIM_STAT_HEAD_BYTES + SHIM_STAT_RECORDS_MAX * SHIM_STAT_RECORD_BYTES)

/* Ask with SHIM_STAT_CURSOR_BEGIN first, then with what the last answer said. */
struct shim_stat_cursor {
    uint64_t socket_number;  /* sockets with a lower number follow in full, */
    uint64_t session_number; /* of this one the sessions with a lower number */
};
#define SHIM_STAT_CURSOR_BEGIN ((struct shim_stat_cursor){UINT64_MAX, 0})

struct shim_stat_request {
    uint32_t magic;
    uint32_t version;
    uint64_t echo; /* comes back in the answer: a late one is not taken for another's */
    struct shim_stat_cursor cursor;
};

enum shim_stat_status {
    SHIM_STAT_OK,
    SHIM_STAT_REFUSED, /* the reader is another user, and not root */
    SHIM_STAT_VERSION_UNKNOWN,
};

struct shim_stat_head {
    uint32_t magic;
    uint32_t version;
    uint32_t status;       /* enum shim_stat_status; unless OK the rest is 0, but for echo */
    uint32_t record_count; /* that follow */
    uint64_t echo;
    struct shim_stat_cursor next;
    uint64_t is_last;
    uint64_t clock_us; /* when the records were made; CLOCK_MONOTONIC */
    uint64_t memory_used_bytes;
    uint64_t memory_max_bytes; /* 0: no bound */
    uint64_t answered_count;   /* requests */
    uint64_t refused_count;
};

enum shim_stat_kind {
    SHIM_STAT_SOCKET,
    SHIM_STAT_SESSION,
};

enum shim_stat_state {
    SHIM_STAT_CONNECTING, /* this side opens it, not answered yet */
    SHIM_STAT_ACCEPTED,   /* the peer opens it, its address is not proven yet */
    SHIM_STAT_ESTABLISHED,
    SHIM_STAT_CLOSING, /* what was accepted is still delivered */
    SHIM_STAT_CLOSED,  /* over; the program has not read everything */
};

/* X(field): counters of a socket. The first group is the engine's, the second the shim's. */
#define SHIM_STAT_WIRE_MAP(X)                                                                      \
    X(received_packet_count)                                                                       \
    X(sent_packet_count)                                                                           \
    X(receive_call_count)                                                                          \
    X(send_call_count)                                                                             \
    X(foreign_count)                                                                               \
    X(wire_full_count)                                                                             \
    X(wire_error_count)
#define SHIM_STAT_PROGRAM_MAP(X)                                                                   \
    X(unaddressed_count)                                                                           \
    X(refused_plain_count)                                                                         \
    X(overflow_count)                                                                              \
    X(strange_count)

/* X(field): counters of a session, of struct rudp_session_stats. */
#define SHIM_STAT_SESSION_MAP(X)                                                                   \
    X(rtt_us)                                                                                      \
    X(rtt_min_us)                                                                                  \
    X(window_bytes)                                                                                \
    X(in_flight_bytes)                                                                             \
    X(queued_bytes)                                                                                \
    X(unread_bytes)                                                                                \
    X(packet_bytes)                                                                                \
    X(sent_message_count)                                                                          \
    X(received_message_count)                                                                      \
    X(sent_packet_count)                                                                           \
    X(received_packet_count)                                                                       \
    X(sent_bytes)                                                                                  \
    X(received_bytes)                                                                              \
    X(resent_bytes)                                                                                \
    X(lost_packet_count)                                                                           \
    X(spurious_packet_count)                                                                       \
    X(probe_count)                                                                                 \
    X(restart_count)

struct shim_stat_socket {
    uint64_t session_count;
    uint64_t undelivered_bytes; /* of sessions that are over */
#define X(field) uint64_t field;
    SHIM_STAT_WIRE_MAP(X)
    SHIM_STAT_PROGRAM_MAP(X)
#undef X
    uint64_t dropped_count[SHIM_STAT_DROP_COUNT]; /* by enum rudp_drop */
};

struct shim_stat_session {
    uint64_t state; /* enum shim_stat_state */
    uint64_t is_opener;
#define X(field) uint64_t field;
    SHIM_STAT_SESSION_MAP(X)
#undef X
};

struct shim_stat_record {
    uint64_t kind;           /* enum shim_stat_kind */
    uint64_t socket_number;  /* a process gives each once, from 1 */
    uint64_t session_number; /* 0 in the record of a socket */
    struct rudp_address local;
    struct rudp_address remote; /* of a socket: the connected peer, or unspecified */
    union {
        struct shim_stat_socket socket;
        struct shim_stat_session session;
        uint8_t bytes[SHIM_STAT_RECORD_BYTES - 72u];
    };
};

_Static_assert(sizeof(struct shim_stat_request) == SHIM_STAT_REQUEST_BYTES, "part of the version");
_Static_assert(sizeof(struct shim_stat_head) == SHIM_STAT_HEAD_BYTES, "part of the version");
_Static_assert(offsetof(struct shim_stat_head, next) == 24, "part of the version");
_Static_assert(offsetof(struct shim_stat_head, clock_us) == 48, "part of the version");
_Static_assert(sizeof(struct shim_stat_record) == SHIM_STAT_RECORD_BYTES, "part of the version");
_Static_assert(offsetof(struct shim_stat_record, local) == 24, "part of the version");
_Static_assert(offsetof(struct shim_stat_record, remote) == 48, "part of the version");
_Static_assert(offsetof(struct shim_stat_record, socket) == 72, "part of the version");
_Static_assert(offsetof(struct shim_stat_socket, dropped_count) == 104, "part of the version");
_Static_assert(sizeof(struct shim_stat_socket) == 232, "part of the version");
_Static_assert(sizeof(struct shim_stat_session) == 160, "part of the version");
_Static_assert(RUDP_DROP_COUNT == SHIM_STAT_DROP_COUNT, "raise the version with the list");

#endif
