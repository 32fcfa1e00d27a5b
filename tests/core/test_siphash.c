#include "core/siphash.h"
#include "tests/core/suite.h"

/* Key and messages of the reference implementation: bytes counting up from 0. */
static uint64_t hash_of_length(size_t bytes)
{
    struct rudp_siphash_key key = {UINT64_C(0x0706050403020100), UINT64_C(0x0f0e0d0c0b0a0908)};
    uint8_t message[64];

    for (uint8_t i = 0; i < sizeof message; i++)
        message[i] = i;
    return rudp_siphash(&key, message, bytes);
}

/* The example of the paper's appendix A: 15 bytes. */
START_TEST(paper_example)
{
    ck_assert_uint_eq(hash_of_length(15), UINT64_C(0xa129ca6149be45e5));
}
END_TEST

/* Vectors of the reference implementation around each end of a word. */
START_TEST(reference_vectors)
{
    ck_assert_uint_eq(hash_of_length(0), UINT64_C(0x726fdb47dd0e0e31));
    ck_assert_uint_eq(hash_of_length(1), UINT64_C(0x74f839c593dc67fd));
    ck_assert_uint_eq(hash_of_length(7), UINT64_C(0xab0200f58b01d137));
    ck_assert_uint_eq(hash_of_length(8), UINT64_C(0x93f5f5799a932462));
    ck_assert_uint_eq(hash_of_length(9), UINT64_C(0x9e0082df0ba9e4b0));
    ck_assert_uint_eq(hash_of_length(16), UINT64_C(0x3f2acc7f57c29bdb));
    ck_assert_uint_eq(hash_of_length(63), UINT64_C(0x958a324ceb064572));
}
END_TEST

/* Another key gives another hash. */
START_TEST(key_matters)
{
    struct rudp_siphash_key a = {1, 2};
    struct rudp_siphash_key b = {1, 3};

    ck_assert_uint_ne(rudp_siphash(&a, "x", 1), rudp_siphash(&b, "x", 1));
}
END_TEST

int main(void)
{
    return SUITE_RUN("siphash", paper_example, reference_vectors, key_matters);
}
