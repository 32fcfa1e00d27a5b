/* fuzz_query: what the reader of queries accepts is written again to the same first bytes; and no
 * answer or refusal that does not repeat the nonce of the one open question settles it. Every input
 * is read as it is and with a good check. */
#include "core/crc32c.h"
#include "core/discovery.h"

#include <stdlib.h>
#include <string.h>

#define DISCOVERY_PORT 26750
#define CHECK_BYTES    4u
#define MEANING_BYTES  16u /* what is read, magic to nonce */
#define VERSION_AT     5u

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct rudp_discovery discovery;
static const struct rudp_address peer = {.ip = {[15] = 1}, .port = 1};
static uint64_t nonce;

/* Once: the question stays open. */
static void ask(void)
{
    const struct rudp_discovery_options options = {
        .key = {1, 2}, .rto_initial_us = 1, .port = DISCOVERY_PORT};
    uint8_t out[RUDP_QUERY_BYTES];
    struct rudp_address to;
    struct rudp_query query;

    if (nonce != 0)
        return;
    rudp_discovery_init(&discovery, &options);
    RUDP_ASSERT(rudp_discovery_consult(&discovery, &peer, 0) == RUDP_PEER_ASKED);
    RUDP_ASSERT(rudp_discovery_next_query(&discovery, &to, out, 0));
    RUDP_ASSERT(rudp_query_read(out, sizeof out, &query) == RUDP_OK);
    nonce = query.nonce;
}

static void check(const uint8_t *data, size_t size)
{
    struct rudp_address from = peer;
    struct rudp_query query;
    uint8_t again[RUDP_QUERY_BYTES];

    from.port = DISCOVERY_PORT;
    if (rudp_query_read(data, size, &query) != RUDP_OK) {
        RUDP_ASSERT(!rudp_discovery_receive(&discovery, &from, data, size, 0));
        return;
    }
    rudp_query_write(&query, again);
    again[VERSION_AT] = data[VERSION_AT];
    RUDP_ASSERT(memcmp(data, again, MEANING_BYTES) == 0);
    if (query.nonce == nonce)
        return;
    RUDP_ASSERT(!rudp_discovery_receive(&discovery, &from, data, size, 0));
    RUDP_ASSERT(!rudp_discovery_refused(&discovery, &from, data, size, 0));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    ask();
    check(data, size);
    if (size < RUDP_QUERY_BYTES)
        return 0;
    uint8_t *fixed = malloc(size); /* ends where the input ends: AddressSanitizer sees over-reads */

    RUDP_ASSERT(fixed != NULL);
    memcpy(fixed, data, size);
    uint32_t sum = rudp_crc32c(0, fixed, RUDP_QUERY_BYTES - CHECK_BYTES);

    for (size_t index = 0; index < CHECK_BYTES; index++)
        fixed[RUDP_QUERY_BYTES - 1 - index] = (uint8_t)(sum >> 8 * index);
    check(fixed, size);
    free(fixed);
    return 0;
}
