/* cookie.h - the token of a RETRY: proves that a hello's sender receives what is sent to its
 * address, with no state kept (docs/protocol.md section 4). */
#ifndef RUDP_CORE_COOKIE_H
#define RUDP_CORE_COOKIE_H

#include "core/address.h"
#include "core/siphash.h"

#define RUDP_COOKIE_BYTES    12u
#define RUDP_COOKIE_EPOCH_US (8u * RUDP_US_PER_S)

/* Makes the token for the holder of source_id at remote. */
void rudp_cookie_make(const struct rudp_siphash_key *key, const struct rudp_address *remote,
                      uint64_t source_id, uint64_t now_us, uint8_t token[RUDP_COOKIE_BYTES]);

/* True when token was made for this holder in this epoch or the last. */
bool rudp_cookie_is_valid(const struct rudp_siphash_key *key, const struct rudp_address *remote,
                          uint64_t source_id, uint64_t now_us, const uint8_t *token,
                          size_t token_bytes);

#endif
