/* random.h - the simulator's only source of chance: xoshiro256** (Blackman, Vigna 2018), seeded by
 * splitmix64. Same seed, same sequence, on every machine. */
#ifndef RUDP_TESTS_SIM_RANDOM_H
#define RUDP_TESTS_SIM_RANDOM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define SIM_PPM 1000000u /* chances are parts per million */

struct sim_random {
    uint64_t state[4];
};

void sim_random_init(struct sim_random *random, uint64_t seed);
uint64_t sim_random_u64(struct sim_random *random);

/* Uniform in [low, high]. */
uint64_t sim_random_between(struct sim_random *random, uint64_t low, uint64_t high);

/* Spread over magnitudes: small values as likely as large ones. low > 0. */
uint64_t sim_random_magnitude(struct sim_random *random, uint64_t low, uint64_t high);

/* True with the chance given. A chance of 0 draws nothing: an impairment that is off does not
 * disturb the sequence. */
bool sim_random_chance(struct sim_random *random, uint32_t chance_ppm);

void sim_random_fill(struct sim_random *random, void *out, size_t bytes);

/* One step of splitmix64: a good hash of a 64-bit value. */
uint64_t sim_mix_u64(uint64_t value);

#endif
