#include "core/siphash.h"

#define COMPRESSION_ROUNDS  2u
#define FINALIZATION_ROUNDS 4u

struct state {
    uint64_t v0;
    uint64_t v1;
    uint64_t v2;
    uint64_t v3;
};

static uint64_t rotate_left(uint64_t value, unsigned bits)
{
    return value << bits | value >> (64 - bits);
}

static void mix(struct state *s, unsigned rounds)
{
    for (unsigned i = 0; i < rounds; i++) {
        s->v0 += s->v1;
        s->v2 += s->v3;
        s->v1 = rotate_left(s->v1, 13) ^ s->v0;
        s->v3 = rotate_left(s->v3, 16) ^ s->v2;
        s->v0 = rotate_left(s->v0, 32);
        s->v2 += s->v1;
        s->v0 += s->v3;
        s->v1 = rotate_left(s->v1, 17) ^ s->v2;
        s->v3 = rotate_left(s->v3, 21) ^ s->v0;
        s->v2 = rotate_left(s->v2, 32);
    }
}

/* Little-endian on every machine, so that a hash is the same everywhere. */
static uint64_t load_le(const uint8_t *in, size_t bytes)
{
    uint64_t value = 0;

    for (size_t i = 0; i < bytes; i++)
        value |= (uint64_t)in[i] << 8 * i;
    return value;
}

static void absorb(struct state *s, uint64_t word)
{
    s->v3 ^= word;
    mix(s, COMPRESSION_ROUNDS);
    s->v0 ^= word;
}

uint64_t rudp_siphash(const struct rudp_siphash_key *key, const void *data, size_t bytes)
{
    RUDP_ASSERT(key != NULL);
    RUDP_ASSERT(data != NULL || bytes == 0);
    const uint8_t *in = data;
    /* The ASCII of "somepseudorandomlygeneratedbytes", as the paper has it. */
    struct state s = {
        .v0 = key->k0 ^ UINT64_C(0x736f6d6570736575),
        .v1 = key->k1 ^ UINT64_C(0x646f72616e646f6d),
        .v2 = key->k0 ^ UINT64_C(0x6c7967656e657261),
        .v3 = key->k1 ^ UINT64_C(0x7465646279746573),
    };
    size_t left_bytes = bytes;

    for (; left_bytes >= 8; left_bytes -= 8, in += 8)
        absorb(&s, load_le(in, 8));
    absorb(&s, load_le(in, left_bytes) | (uint64_t)bytes << 56);
    s.v2 ^= 0xff;
    mix(&s, FINALIZATION_ROUNDS);
    return s.v0 ^ s.v1 ^ s.v2 ^ s.v3;
}
