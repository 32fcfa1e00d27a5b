#include "core/crc32c.h"
#include "tests/core/suite.h"
#include "tests/vectors/capped_host.h"

#include <stdlib.h>
#include <string.h>

#define POLYNOMIAL 0x82f63b78u /* Castagnoli's, bits reversed */
#define BYTES_MAX  4200u       /* several rounds of the hardware form's three lanes, and a rest */

/* Bit by bit, as the definition has it. */
static uint32_t model(uint32_t crc, const uint8_t *data, size_t bytes)
{
    crc = ~crc;
    for (size_t i = 0; i < bytes; i++) {
        crc ^= data[i];
        for (unsigned bit = 0; bit < 8; bit++)
            crc = crc >> 1 ^ ((crc & 1) != 0 ? POLYNOMIAL : 0);
    }
    return ~crc;
}

static void fill(uint8_t *data, size_t bytes, uint64_t seed)
{
    struct capped_host host;

    capped_host_init(&host, 0, seed);
    host.host.random.fill(host.host.random.context, data, bytes);
}

static void check_both(const uint8_t *data, size_t bytes, uint32_t expected)
{
    ck_assert_uint_eq(rudp_crc32c(0, data, bytes), expected);
    ck_assert_uint_eq(rudp_crc32c_portable(0, data, bytes), expected);
}

/* RFC 3720 B.4: 32 bytes of zeroes. */
START_TEST(rfc_zeroes)
{
    uint8_t data[32] = {0};

    check_both(data, sizeof data, 0x8a9136aa);
}
END_TEST

/* RFC 3720 B.4: 32 bytes of ones. */
START_TEST(rfc_ones)
{
    uint8_t data[32];

    memset(data, 0xff, sizeof data);
    check_both(data, sizeof data, 0x62a8ab43);
}
END_TEST

/* RFC 3720 B.4: 32 bytes counting up. */
START_TEST(rfc_ascending)
{
    uint8_t data[32];

    for (uint8_t i = 0; i < 32; i++)
        data[i] = i;
    check_both(data, sizeof data, 0x46dd794e);
}
END_TEST

/* RFC 3720 B.4: 32 bytes counting down. */
START_TEST(rfc_descending)
{
    uint8_t data[32];

    for (uint8_t i = 0; i < 32; i++)
        data[i] = 31 - i;
    check_both(data, sizeof data, 0x113fdb5c);
}
END_TEST

/* RFC 3720 B.4: an iSCSI SCSI Read (10) command PDU. */
START_TEST(rfc_read_command)
{
    static const uint8_t data[48] = {
        0x01, 0xc0, 0, 0,    0, 0, 0, 0,    0,    0, 0, 0, 0, 0, 0, 0, 0x14, 0, 0, 0, 0, 0, 0x04, 0,
        0,    0,    0, 0x14, 0, 0, 0, 0x18, 0x28, 0, 0, 0, 0, 0, 0, 0, 0x02, 0, 0, 0, 0, 0, 0,    0,
    };

    check_both(data, sizeof data, 0xd9963a56);
}
END_TEST

/* Every length up to several rounds of lanes gives what the definition gives. */
START_TEST(every_length_equals_definition)
{
    uint8_t data[BYTES_MAX];
    uint32_t expected = 0;

    fill(data, sizeof data, 1);
    for (size_t bytes = 0; bytes < sizeof data; bytes++) {
        check_both(data, bytes, expected);
        expected = model(expected, data + bytes, 1);
    }
}
END_TEST

/* Data may start at any address. */
START_TEST(every_alignment_equals_definition)
{
    uint8_t data[BYTES_MAX];

    fill(data, sizeof data, 2);
    for (size_t skip = 0; skip < 16; skip++)
        check_both(data + skip, 1100, model(0, data + skip, 1100));
}
END_TEST

/* A check continued from the check of a first piece is that of the whole. */
START_TEST(pieces_equal_whole)
{
    uint8_t data[BYTES_MAX];

    fill(data, sizeof data, 3);
    uint32_t whole = rudp_crc32c(0, data, sizeof data);

    for (size_t cut = 0; cut <= sizeof data; cut += 7) {
        uint32_t first = rudp_crc32c(0, data, cut);
        uint32_t first_portable = rudp_crc32c_portable(0, data, cut);

        ck_assert_uint_eq(rudp_crc32c(first, data + cut, sizeof data - cut), whole);
        ck_assert_uint_eq(rudp_crc32c_portable(first_portable, data + cut, sizeof data - cut),
                          whole);
    }
}
END_TEST

/* The largest packet, and lanes of ones, which carry into every bit. */
START_TEST(largest_packet_equals_definition)
{
    size_t bytes = 65507;
    uint8_t *data = malloc(bytes);

    ck_assert_ptr_nonnull(data);
    memset(data, 0xff, bytes);
    check_both(data, bytes, model(0, data, bytes));
    free(data);
}
END_TEST

int main(void)
{
    return SUITE_RUN("crc32c", rfc_zeroes, rfc_ones, rfc_ascending, rfc_descending,
                     rfc_read_command, every_length_equals_definition,
                     every_alignment_equals_definition, pieces_equal_whole,
                     largest_packet_equals_definition);
}
