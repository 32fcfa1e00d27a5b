/* prng.h - a seeded generator: the same seed gives the same numbers on every machine.
 * xoshiro256** (Blackman, Vigna 2018), its state filled by splitmix64. Not for secrets. */
#ifndef IMPAIR_PRNG_H
#define IMPAIR_PRNG_H

#include <stdbool.h>
#include <stdint.h>

#define IMPAIR_PPM 1000000u /* a probability of 1, in parts per million */

struct impair_prng {
    uint64_t state[4];
};

/* Every (seed, stream) pair is a sequence of its own. */
void impair_prng_init(struct impair_prng *prng, uint64_t seed, uint64_t stream);

uint64_t impair_prng_u64(struct impair_prng *prng);

/* Uniform in [0, count). count > 0; the bias of at most count / 2^64 does not matter here. */
uint64_t impair_prng_below(struct impair_prng *prng, uint64_t count);

/* True with that probability. Always draws exactly one number. */
bool impair_prng_chance(struct impair_prng *prng, uint32_t ppm);

#endif
