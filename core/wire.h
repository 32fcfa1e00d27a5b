/* wire.h - packets and frames to bytes and back, exactly as docs/protocol.md says.
 *
 * Reading never trusts a length and never allocates; pointers in the results point into the
 * packet. Writing goes into a caller's buffer and says when it does not fit. Stateless. */
#ifndef RUDP_CORE_WIRE_H
#define RUDP_CORE_WIRE_H

#include "core/base.h"
#include "core/status.h"

#define RUDP_WIRE_MAGIC   0xa7d35b1eu
#define RUDP_WIRE_VERSION 1u

#define RUDP_WIRE_CHECK_BYTES      4u
#define RUDP_WIRE_SHORT_BYTES      13u /* header of a short packet */
#define RUDP_WIRE_LONG_BYTES       25u /* common header of a long packet */
#define RUDP_WIRE_RESET_BYTES      (RUDP_WIRE_LONG_BYTES + RUDP_WIRE_CHECK_BYTES)
#define RUDP_WIRE_PACKET_BYTES_MIN (RUDP_WIRE_SHORT_BYTES + RUDP_WIRE_CHECK_BYTES)
#define RUDP_WIRE_TOKEN_BYTES_MAX  64u
#define RUDP_WIRE_VERSIONS_MAX     16u
#define RUDP_WIRE_ACK_RANGES_MAX   64u
#define RUDP_WIRE_VARINT_MAX       ((UINT64_C(1) << 62) - 1)

enum rudp_packet_type {
    RUDP_PACKET_SHORT,
    RUDP_PACKET_HELLO,
    RUDP_PACKET_HELLO_ACK,
    RUDP_PACKET_RETRY,
    RUDP_PACKET_VERSION,
    RUDP_PACKET_RESET,
};

/* A packet's header, read or to be written. Fields that the type does not have are 0. */
struct rudp_header {
    enum rudp_packet_type type;
    uint32_t version;        /* long packets; 0 in VERSION */
    uint64_t destination_id; /* chosen by the receiver of the packet; 0 in HELLO and RESET */
    uint64_t source_id;      /* chosen by the sender of the packet; in RESET the unknown id */
    uint32_t packet_number;  /* SHORT, HELLO, HELLO_ACK: the low 32 bits */
    const uint8_t *token;    /* HELLO, RETRY */
    uint8_t token_bytes;
    uint8_t version_count; /* VERSION */
    uint32_t versions[RUDP_WIRE_VERSIONS_MAX];
};

enum rudp_frame_type {
    RUDP_FRAME_PADDING = 0x00,
    RUDP_FRAME_PING = 0x01,
    RUDP_FRAME_ACK = 0x02,
    RUDP_FRAME_CREDIT = 0x03,
    RUDP_FRAME_DATA = 0x04,
    RUDP_FRAME_DATA_START = 0x05,
    RUDP_FRAME_BLOCKED = 0x06,
    RUDP_FRAME_FIN = 0x07,
    RUDP_FRAME_CLOSE = 0x08,
    RUDP_FRAME_PATH_CHALLENGE = 0x09,
    RUDP_FRAME_PATH_RESPONSE = 0x0a,
    RUDP_FRAME_PARAMS = 0x0b,
};

enum rudp_close_code {
    RUDP_CLOSE_FINISHED = 0, /* both directions are done, nothing was lost */
    RUDP_CLOSE_ABORTED = 1,  /* the program gave the session up */
    RUDP_CLOSE_PROTOCOL = 2, /* the peer broke the protocol */
    RUDP_CLOSE_TIMEOUT = 3,  /* the closer's linger time is over */
    RUDP_CLOSE_CODE_COUNT,
};

struct rudp_ack_range {
    uint64_t smallest;
    uint64_t largest; /* inclusive */
};

struct rudp_ack_frame {
    uint64_t delay_us;
    uint32_t range_count;                                   /* 1..RUDP_WIRE_ACK_RANGES_MAX */
    struct rudp_ack_range ranges[RUDP_WIRE_ACK_RANGES_MAX]; /* newest first, disjoint */
};

struct rudp_credit_frame {
    uint64_t delivered_offset; /* the application has everything below */
    uint64_t limit_offset;     /* the peer may send bytes below this; >= delivered_offset */
};

struct rudp_data_frame {
    uint64_t offset;
    const uint8_t *data;
    uint64_t bytes;        /* > 0 */
    bool has_start;        /* DATA_START */
    uint64_t start_offset; /* where the first message that begins in the range begins */
};

/* What a side tells about itself in its hello or hello-ack. */
struct rudp_params {
    uint64_t credit_bytes;     /* initial limit_offset for the peer's stream */
    uint64_t packet_bytes_max; /* largest packet it accepts */
    uint64_t ack_delay_us_max; /* longest it holds an acknowledgement back */
    bool wants_starts;         /* it delivers unordered: send DATA_START, not DATA */
};

struct rudp_frame {
    enum rudp_frame_type type;
    union {
        struct rudp_ack_frame ack;
        struct rudp_credit_frame credit;
        struct rudp_data_frame data; /* DATA and DATA_START */
        uint64_t limit_offset;       /* BLOCKED */
        uint64_t final_offset;       /* FIN */
        enum rudp_close_code close_code;
        uint64_t path_value; /* PATH_CHALLENGE, PATH_RESPONSE */
        struct rudp_params params;
    };
};

struct rudp_reader {
    const uint8_t *data;
    size_t left_bytes;
};

struct rudp_writer {
    uint8_t *data;
    size_t used_bytes;
    size_t capacity_bytes;
};

/* Reads the header and verifies the check. frames is what lies between header and check (empty
 * for RETRY, VERSION, RESET). RUDP_E_FOREIGN: the first byte or the magic is not ours.
 * RUDP_E_CHECK: the header parsed but the check fails; header is filled in, to tell a damaged
 * packet of a known session from a foreign datagram. Else RUDP_E_TRUNCATED, RUDP_E_MALFORMED.
 * A version other than ours reads as RUDP_OK with only the common long header filled in. */
enum rudp_status rudp_wire_read_packet(const uint8_t *packet, size_t packet_bytes,
                                       struct rudp_header *header, struct rudp_reader *frames);

/* Reads one frame and moves on. Runs of PADDING are one frame. Call while left_bytes > 0. */
enum rudp_status rudp_wire_read_frame(struct rudp_reader *frames, struct rudp_frame *frame);

/* Starts a packet. The writer must have room for header and check: RUDP_ASSERT. */
void rudp_wire_write_header(struct rudp_writer *writer, const struct rudp_header *header);

/* Appends the check over everything written so far. capacity must include its 4 bytes. */
void rudp_wire_write_check(struct rudp_writer *writer);

/* Each returns false, and writes nothing, when the frame does not fit before capacity_bytes.
 * Callers keep room for the check by lowering capacity_bytes while they write frames. */
bool rudp_wire_write_padding(struct rudp_writer *writer, size_t bytes);
bool rudp_wire_write_ping(struct rudp_writer *writer);
bool rudp_wire_write_credit(struct rudp_writer *writer, const struct rudp_credit_frame *credit);
bool rudp_wire_write_blocked(struct rudp_writer *writer, uint64_t limit_offset);
bool rudp_wire_write_fin(struct rudp_writer *writer, uint64_t final_offset);
bool rudp_wire_write_close(struct rudp_writer *writer, enum rudp_close_code code);
bool rudp_wire_write_path_challenge(struct rudp_writer *writer, uint64_t value);
bool rudp_wire_write_path_response(struct rudp_writer *writer, uint64_t value);
bool rudp_wire_write_params(struct rudp_writer *writer, const struct rudp_params *params);

/* Writes as many of the newest ranges as fit; false only when not even one does. */
bool rudp_wire_write_ack(struct rudp_writer *writer, const struct rudp_ack_frame *ack);

/* Writes the frame's head and leaves data->bytes of room behind it, returned through out for the
 * caller to fill; data->data is not read. */
bool rudp_wire_write_data(struct rudp_writer *writer, const struct rudp_data_frame *data,
                          uint8_t **out);

/* Bytes of a data frame's head for a range at offset; bytes and start as in the frame. */
size_t rudp_wire_data_head_bytes(const struct rudp_data_frame *data);

size_t rudp_wire_varint_bytes(uint64_t value);

/* Full packet number from its low 32 bits: the one nearest to expected (RFC 9000 appendix A.3). */
uint64_t rudp_wire_expand_packet_number(uint32_t low_bits, uint64_t expected);

/* Reads and writes the length prefix of a message inside a stream: a varint of 1, 2 or 4 bytes. */
enum rudp_status rudp_wire_read_varint(struct rudp_reader *reader, uint64_t *value);
size_t rudp_wire_put_varint(uint8_t out[8], uint64_t value);

#endif
