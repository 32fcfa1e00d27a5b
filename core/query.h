/* query.h - the question whether a port of a host speaks the protocol, and its answer, as bytes
 * (docs/protocol.md section 9). Both have one length: an answer never amplifies. */
#ifndef RUDP_CORE_QUERY_H
#define RUDP_CORE_QUERY_H

#include "core/base.h"
#include "core/status.h"

#define RUDP_QUERY_BYTES 32u

enum rudp_query_type {
    RUDP_QUERY_ASK = 1,
    RUDP_QUERY_YES = 2, /* the port speaks the protocol */
    RUDP_QUERY_NO = 3,
};

struct rudp_query {
    enum rudp_query_type type;
    uint16_t port;  /* the application's, about which is asked */
    uint64_t nonce; /* of the asker; the answer repeats it */
};

void rudp_query_write(const struct rudp_query *query, uint8_t out[RUDP_QUERY_BYTES]);

/* RUDP_E_FOREIGN, RUDP_E_TRUNCATED, RUDP_E_CHECK, RUDP_E_MALFORMED. Longer than RUDP_QUERY_BYTES is
 * fine: what follows belongs to a later version. */
enum rudp_status rudp_query_read(const void *data, size_t bytes, struct rudp_query *query);

#endif
