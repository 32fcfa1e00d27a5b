#include "core/query.h"

#include "core/crc32c.h"

/* The highest bits are those of no packet, so neither is taken for the other. */
#define MAGIC   0x2d5c91e7u
#define VERSION 1u

#define TYPE_AT     4u
#define VERSION_AT  5u
#define PORT_AT     6u
#define NONCE_AT    8u
#define RESERVED_AT 16u
#define CHECK_AT    28u

static void put(uint8_t *out, uint64_t value, size_t bytes)
{
    for (size_t index = bytes; index > 0; index--, value >>= 8)
        out[index - 1] = (uint8_t)value;
}

static uint64_t get(const uint8_t *in, size_t bytes)
{
    uint64_t value = 0;

    for (size_t index = 0; index < bytes; index++)
        value = value << 8 | in[index];
    return value;
}

void rudp_query_write(const struct rudp_query *query, uint8_t out[RUDP_QUERY_BYTES])
{
    RUDP_ASSERT(query->port != 0);
    put(out, MAGIC, TYPE_AT);
    put(out + TYPE_AT, query->type, VERSION_AT - TYPE_AT);
    put(out + VERSION_AT, VERSION, PORT_AT - VERSION_AT);
    put(out + PORT_AT, query->port, NONCE_AT - PORT_AT);
    put(out + NONCE_AT, query->nonce, RESERVED_AT - NONCE_AT);
    put(out + RESERVED_AT, 0, CHECK_AT - RESERVED_AT);
    put(out + CHECK_AT, rudp_crc32c(0, out, CHECK_AT), RUDP_QUERY_BYTES - CHECK_AT);
}

enum rudp_status rudp_query_read(const void *data, size_t bytes, struct rudp_query *query)
{
    const uint8_t *in = data;

    if (bytes < TYPE_AT || get(in, TYPE_AT) != MAGIC)
        return RUDP_E_FOREIGN;
    if (bytes < RUDP_QUERY_BYTES)
        return RUDP_E_TRUNCATED;
    if (get(in + CHECK_AT, RUDP_QUERY_BYTES - CHECK_AT) != rudp_crc32c(0, in, CHECK_AT))
        return RUDP_E_CHECK;
    *query = (struct rudp_query){
        .type = (enum rudp_query_type)in[TYPE_AT],
        .port = (uint16_t)get(in + PORT_AT, NONCE_AT - PORT_AT),
        .nonce = get(in + NONCE_AT, RESERVED_AT - NONCE_AT),
    };
    if (query->type < RUDP_QUERY_ASK || query->type > RUDP_QUERY_NO || query->port == 0 ||
        in[VERSION_AT] == 0)
        return RUDP_E_MALFORMED;
    return RUDP_OK;
}
