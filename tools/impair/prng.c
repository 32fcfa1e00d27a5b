#include "tools/impair/prng.h"

#include <assert.h>
#include <stddef.h>

static uint64_t splitmix64(uint64_t *state)
{
    uint64_t z = (*state += 0x9e3779b97f4a7c15u);

    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return z ^ (z >> 31);
}

static uint64_t rotate_left(uint64_t value, unsigned bits)
{
    return (value << bits) | (value >> (64 - bits));
}

void impair_prng_init(struct impair_prng *prng, uint64_t seed, uint64_t stream)
{
    assert(prng != NULL);
    uint64_t mix = stream;

    mix = splitmix64(&mix) ^ seed; /* so that (1, 0) and (0, 1) share nothing */
    for (size_t i = 0; i < 4; i++)
        prng->state[i] = splitmix64(&mix);
}

uint64_t impair_prng_u64(struct impair_prng *prng)
{
    uint64_t *s = prng->state;
    uint64_t result = rotate_left(s[1] * 5, 7) * 9;
    uint64_t shifted = s[1] << 17;

    s[2] ^= s[0];
    s[3] ^= s[1];
    s[1] ^= s[2];
    s[0] ^= s[3];
    s[2] ^= shifted;
    s[3] = rotate_left(s[3], 45);
    return result;
}

uint64_t impair_prng_below(struct impair_prng *prng, uint64_t count)
{
    assert(count > 0);
    return impair_prng_u64(prng) % count;
}

bool impair_prng_chance(struct impair_prng *prng, uint32_t ppm)
{
    assert(ppm <= IMPAIR_PPM);
    return impair_prng_below(prng, IMPAIR_PPM) < ppm;
}
