#include "tests/sim/random.h"

#include "core/base.h"

#include <string.h>

#define GOLDEN_GAMMA UINT64_C(0x9e3779b97f4a7c15)

uint64_t sim_mix_u64(uint64_t value)
{
    value += GOLDEN_GAMMA;
    value = (value ^ (value >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    value = (value ^ (value >> 27)) * UINT64_C(0x94d049bb133111eb);
    return value ^ (value >> 31);
}

void sim_random_init(struct sim_random *random, uint64_t seed)
{
    for (size_t i = 0; i < 4; i++)
        random->state[i] = sim_mix_u64(seed + i * GOLDEN_GAMMA);
}

static uint64_t rotate_left(uint64_t value, unsigned bits)
{
    return (value << bits) | (value >> (64 - bits));
}

uint64_t sim_random_u64(struct sim_random *random)
{
    uint64_t *s = random->state;
    uint64_t result = rotate_left(s[1] * 5, 7) * 9;
    uint64_t t = s[1] << 17;

    s[2] ^= s[0];
    s[3] ^= s[1];
    s[1] ^= s[2];
    s[0] ^= s[3];
    s[2] ^= t;
    s[3] = rotate_left(s[3], 45);
    return result;
}

uint64_t sim_random_between(struct sim_random *random, uint64_t low, uint64_t high)
{
    RUDP_ASSERT(low <= high && high - low < UINT64_MAX);
    return low + sim_random_u64(random) % (high - low + 1);
}

uint64_t sim_random_magnitude(struct sim_random *random, uint64_t low, uint64_t high)
{
    RUDP_ASSERT(low > 0 && low <= high);
    uint64_t doubling_count = 0;

    while (low <= (high >> (doubling_count + 1)))
        doubling_count++;
    /* Chooses a doubling, then a value inside it. */
    uint64_t start = low << sim_random_between(random, 0, doubling_count);

    return sim_random_between(random, start, start > high / 2 ? high : start * 2);
}

bool sim_random_chance(struct sim_random *random, uint32_t chance_ppm)
{
    return chance_ppm > 0 && sim_random_u64(random) % SIM_PPM < chance_ppm;
}

void sim_random_fill(struct sim_random *random, void *out, size_t bytes)
{
    uint8_t *at = out;

    while (bytes > 0) {
        uint64_t value = sim_random_u64(random);
        size_t piece_bytes = bytes < sizeof value ? bytes : sizeof value;

        memcpy(at, &value, piece_bytes);
        at += piece_bytes;
        bytes -= piece_bytes;
    }
}
