#include "core/cookie.h"

static void put_epoch(uint8_t *token, uint32_t epoch)
{
    for (int i = 0; i < 4; i++)
        token[i] = (uint8_t)(epoch >> (24 - 8 * i));
}

static void make(const struct rudp_siphash_key *key, const struct rudp_address *remote,
                 uint64_t source_id, uint32_t epoch, uint8_t token[RUDP_COOKIE_BYTES])
{
    struct {
        struct rudp_address remote;
        uint64_t source_id;
        uint64_t epoch;
    } input = {*remote, source_id, epoch};
    uint64_t hash = rudp_siphash(key, &input, sizeof input);

    put_epoch(token, epoch);
    memcpy(token + 4, &hash, sizeof hash);
}

void rudp_cookie_make(const struct rudp_siphash_key *key, const struct rudp_address *remote,
                      uint64_t source_id, uint64_t now_us, uint8_t token[RUDP_COOKIE_BYTES])
{
    make(key, remote, source_id, (uint32_t)(now_us / RUDP_COOKIE_EPOCH_US), token);
}

bool rudp_cookie_is_valid(const struct rudp_siphash_key *key, const struct rudp_address *remote,
                          uint64_t source_id, uint64_t now_us, const uint8_t *token,
                          size_t token_bytes)
{
    uint32_t now_epoch = (uint32_t)(now_us / RUDP_COOKIE_EPOCH_US);
    uint32_t epoch = 0;
    uint8_t expected[RUDP_COOKIE_BYTES];
    uint8_t difference = 0;

    if (token_bytes != RUDP_COOKIE_BYTES)
        return false;
    for (int i = 0; i < 4; i++)
        epoch = epoch << 8 | token[i];
    if (now_epoch - epoch > 1)
        return false;
    make(key, remote, source_id, epoch, expected);
    for (size_t i = 0; i < RUDP_COOKIE_BYTES; i++) /* no early exit: time must not tell where */
        difference |= (uint8_t)(expected[i] ^ token[i]);
    return difference == 0;
}
