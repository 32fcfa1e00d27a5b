#include "core/crc32c.h"

#include <string.h>

#if defined(__x86_64__)
#include <cpuid.h>
#include <nmmintrin.h>
#include <wmmintrin.h>
#elif defined(__aarch64__) && defined(__ARM_FEATURE_CRC32)
#include <arm_acle.h>
#endif

/* Slicing by 8: TABLES[k][b] is the remainder of byte b followed by k zero bytes. A remainder is
 * linear in the bits of b, so eight constants a table, one a bit, make all its entries. */
#define E(b, c0, c1, c2, c3, c4, c5, c6, c7)                                                       \
    ((((b)&1) ? (c0) : 0) ^ (((b)&2) ? (c1) : 0) ^ (((b)&4) ? (c2) : 0) ^ (((b)&8) ? (c3) : 0) ^   \
     (((b)&16) ? (c4) : 0) ^ (((b)&32) ? (c5) : 0) ^ (((b)&64) ? (c6) : 0) ^                       \
     (((b)&128) ? (c7) : 0))
#define E4(b, ...)                                                                                 \
    E(b, __VA_ARGS__), E((b) + 1, __VA_ARGS__), E((b) + 2, __VA_ARGS__), E((b) + 3, __VA_ARGS__)
#define E16(b, ...)                                                                                \
    E4(b, __VA_ARGS__), E4((b) + 4, __VA_ARGS__), E4((b) + 8, __VA_ARGS__),                        \
        E4((b) + 12, __VA_ARGS__)
#define E64(b, ...)                                                                                \
    E16(b, __VA_ARGS__), E16((b) + 16, __VA_ARGS__), E16((b) + 32, __VA_ARGS__),                   \
        E16((b) + 48, __VA_ARGS__)
#define TABLE(...)                                                                                 \
    {                                                                                              \
        E64(0, __VA_ARGS__), E64(64, __VA_ARGS__), E64(128, __VA_ARGS__), E64(192, __VA_ARGS__)    \
    }

static const uint32_t TABLES[8][256] = {
    TABLE(0xf26b8303u, 0xe13b70f7u, 0xc79a971fu, 0x8ad958cfu, 0x105ec76fu, 0x20bd8edeu, 0x417b1dbcu,
          0x82f63b78u),
    TABLE(0x13a29877u, 0x274530eeu, 0x4e8a61dcu, 0x9d14c3b8u, 0x3fc5f181u, 0x7f8be302u, 0xff17c604u,
          0xfbc3faf9u),
    TABLE(0xa541927eu, 0x4f6f520du, 0x9edea41au, 0x38513ec5u, 0x70a27d8au, 0xe144fb14u, 0xc76580d9u,
          0x8b277743u),
    TABLE(0xdd45aab8u, 0xbf672381u, 0x7b2231f3u, 0xf64463e6u, 0xe964b13du, 0xd725148bu, 0xaba65fe7u,
          0x52a0c93fu),
    TABLE(0x38116facu, 0x7022df58u, 0xe045beb0u, 0xc5670b91u, 0x8f2261d3u, 0x1ba8b557u, 0x37516aaeu,
          0x6ea2d55cu),
    TABLE(0xef306b19u, 0xdb8ca0c3u, 0xb2f53777u, 0x6006181fu, 0xc00c303eu, 0x85f4168du, 0x0e045bebu,
          0x1c08b7d6u),
    TABLE(0x68032cc8u, 0xd0065990u, 0xa5e0c5d1u, 0x4e2dfd53u, 0x9c5bfaa6u, 0x3d5b83bdu, 0x7ab7077au,
          0xf56e0ef4u),
    TABLE(0x493c7d27u, 0x9278fa4eu, 0x211d826du, 0x423b04dau, 0x847609b4u, 0x0d006599u, 0x1a00cb32u,
          0x34019664u),
};

static uint64_t load_le(const uint8_t *in)
{
    uint64_t value;

    memcpy(&value, in, sizeof value);
#if __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__
    value = __builtin_bswap64(value);
#endif
    return value;
}

uint32_t rudp_crc32c_portable(uint32_t crc, const void *data, size_t bytes)
{
    RUDP_ASSERT(data != NULL || bytes == 0);
    const uint8_t *in = data;

    crc = ~crc;
    for (; bytes >= 8; bytes -= 8, in += 8) {
        uint64_t word = load_le(in) ^ crc;

        crc = TABLES[7][word & 0xff] ^ TABLES[6][word >> 8 & 0xff] ^ TABLES[5][word >> 16 & 0xff] ^
              TABLES[4][word >> 24 & 0xff] ^ TABLES[3][word >> 32 & 0xff] ^
              TABLES[2][word >> 40 & 0xff] ^ TABLES[1][word >> 48 & 0xff] ^ TABLES[0][word >> 56];
    }
    for (; bytes > 0; bytes--)
        crc = crc >> 8 ^ TABLES[0][(crc ^ *in++) & 0xff];
    return ~crc;
}

#if defined(__x86_64__)

/* The instruction takes a word a cycle but answers after three: three lanes side by side keep it
 * busy. A lane is as long as makes one round of the common 1,200-byte packet. */
#define LANE_BYTES 336u

/* x^(8 * bytes - 33) modulo the polynomial, bits reversed: what the remainder of a lane is
 * multiplied with to stand that many bytes further ahead. The 33 are 32 bits that the final
 * reduction adds and one that the product of reversed operands is off by. */
#define AHEAD_TWO_LANES 0xcec3662e
#define AHEAD_ONE_LANE  0xa60ce07b

/* Moves crc ahead of as many bytes as the factor stands for. */
__attribute__((target("sse4.2,pclmul"))) static inline uint32_t ahead(uint64_t crc, uint32_t factor)
{
    __m128i product = _mm_clmulepi64_si128(_mm_cvtsi64_si128((long long)crc),
                                           _mm_cvtsi64_si128((long long)factor), 0);

    return (uint32_t)_mm_crc32_u64(0, (uint64_t)_mm_cvtsi128_si64(product));
}

__attribute__((target("sse4.2,pclmul"))) static uint32_t
crc32c_hardware(uint32_t start, const uint8_t *in, size_t bytes)
{
    uint64_t crc = ~start;

    for (; bytes >= 3 * LANE_BYTES; bytes -= 3 * LANE_BYTES, in += 3 * LANE_BYTES) {
        uint64_t middle = 0;
        uint64_t last = 0;

        for (size_t i = 0; i < LANE_BYTES; i += 8) {
            crc = _mm_crc32_u64(crc, load_le(in + i));
            middle = _mm_crc32_u64(middle, load_le(in + LANE_BYTES + i));
            last = _mm_crc32_u64(last, load_le(in + 2 * LANE_BYTES + i));
        }
        crc = ahead(crc, AHEAD_TWO_LANES) ^ ahead(middle, AHEAD_ONE_LANE) ^ last;
    }
    for (; bytes >= 8; bytes -= 8, in += 8)
        crc = _mm_crc32_u64(crc, load_le(in));
    for (; bytes > 0; bytes--)
        crc = _mm_crc32_u8((uint32_t)crc, *in++);
    return ~(uint32_t)crc;
}

/* The only variable of the core that outlives a call: what the processor can do does not change,
 * and CPUID is too slow to ask for every packet where a hypervisor answers it. */
static bool hardware_exists(void)
{
    enum {
        UNKNOWN,
        PRESENT,
        ABSENT
    };
    static uint8_t cached = UNKNOWN;
    uint8_t answer = __atomic_load_n(&cached, __ATOMIC_RELAXED);

    if (answer == UNKNOWN) {
        unsigned eax, ebx, ecx, edx;
        bool present = __get_cpuid(1, &eax, &ebx, &ecx, &edx) != 0 && (ecx & bit_SSE4_2) != 0 &&
                       (ecx & bit_PCLMUL) != 0;

        answer = present ? PRESENT : ABSENT;
        __atomic_store_n(&cached, answer, __ATOMIC_RELAXED);
    }
    return answer == PRESENT;
}

#elif defined(__aarch64__) && defined(__ARM_FEATURE_CRC32)

static uint32_t crc32c_hardware(uint32_t start, const uint8_t *in, size_t bytes)
{
    uint32_t crc = ~start;

    for (; bytes >= 8; bytes -= 8, in += 8)
        crc = __crc32cd(crc, load_le(in));
    for (; bytes > 0; bytes--)
        crc = __crc32cb(crc, *in++);
    return ~crc;
}

static bool hardware_exists(void)
{
    return true;
}

#else

static uint32_t crc32c_hardware(uint32_t start, const uint8_t *in, size_t bytes)
{
    return rudp_crc32c_portable(start, in, bytes);
}

static bool hardware_exists(void)
{
    return false;
}

#endif

uint32_t rudp_crc32c(uint32_t crc, const void *data, size_t bytes)
{
    RUDP_ASSERT(data != NULL || bytes == 0);
    return hardware_exists() ? crc32c_hardware(crc, data, bytes)
                             : rudp_crc32c_portable(crc, data, bytes);
}
