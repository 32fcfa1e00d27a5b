#include "core/query.h"

#include "core/crc32c.h"
#include "tests/core/suite.h"

#include <string.h>

static const struct rudp_query sample = {
    .type = RUDP_QUERY_ASK,
    .port = 0x1234,
    .nonce = UINT64_C(0x0102030405060708),
};

/* As docs/protocol.md section 9 has it, the check left to be filled in. */
static const uint8_t sample_bytes[RUDP_QUERY_BYTES] = {
    0x2d, 0x5c, 0x91, 0xe7, 1, 1, 0x12, 0x34, 1, 2, 3, 4, 5, 6, 7, 8,
    0,    0,    0,    0,    0, 0, 0,    0,    0, 0, 0, 0, 0, 0, 0, 0,
};

struct bytes {
    uint8_t at[RUDP_QUERY_BYTES];
};

static struct bytes write_sample(void)
{
    struct bytes out;

    rudp_query_write(&sample, out.at);
    return out;
}

static void seal(struct bytes *out)
{
    uint32_t check = rudp_crc32c(0, out->at, RUDP_QUERY_BYTES - 4);

    for (size_t index = 0; index < 4; index++)
        out->at[RUDP_QUERY_BYTES - 1 - index] = (uint8_t)(check >> 8 * index);
}

static enum rudp_status status_with(size_t at, uint8_t value)
{
    struct bytes out = write_sample();
    struct rudp_query query;

    out.at[at] = value;
    seal(&out);
    return rudp_query_read(out.at, sizeof out.at, &query);
}

/* Every byte is where the specification has it. */
START_TEST(layout)
{
    struct bytes expected;
    struct bytes out = write_sample();

    memcpy(expected.at, sample_bytes, sizeof expected.at);
    seal(&expected);
    ck_assert_mem_eq(out.at, expected.at, sizeof out.at);
}
END_TEST

/* What was written is read again. */
START_TEST(round_trip)
{
    struct rudp_query query;
    struct bytes out = write_sample();

    ck_assert_int_eq(rudp_query_read(out.at, sizeof out.at, &query), RUDP_OK);
    ck_assert_int_eq(query.type, sample.type);
    ck_assert_uint_eq(query.port, sample.port);
    ck_assert_uint_eq(query.nonce, sample.nonce);
}
END_TEST

/* One that is cut short anywhere is refused. */
START_TEST(truncated)
{
    struct bytes out = write_sample();
    struct rudp_query query;

    for (size_t bytes = 0; bytes < sizeof out.at; bytes++)
        ck_assert_int_ne(rudp_query_read(out.at, bytes, &query), RUDP_OK);
}
END_TEST

/* No bit can change unseen. */
START_TEST(damaged)
{
    for (size_t bit = 0; bit < 8 * (size_t)RUDP_QUERY_BYTES; bit++) {
        struct bytes out = write_sample();
        struct rudp_query query;

        out.at[bit / 8] ^= (uint8_t)(1u << bit % 8);
        ck_assert_int_ne(rudp_query_read(out.at, sizeof out.at, &query), RUDP_OK);
    }
}
END_TEST

/* Values that nobody sends, with a good check. */
START_TEST(impossible_values)
{
    ck_assert_int_eq(status_with(0, 0xc0), RUDP_E_FOREIGN);
    ck_assert_int_eq(status_with(4, 0), RUDP_E_MALFORMED);
    ck_assert_int_eq(status_with(4, RUDP_QUERY_NO + 1), RUDP_E_MALFORMED);
    ck_assert_int_eq(status_with(5, 0), RUDP_E_MALFORMED);

    struct bytes out = write_sample();
    struct rudp_query query;

    memset(out.at + 6, 0, 2);
    seal(&out);
    ck_assert_int_eq(rudp_query_read(out.at, sizeof out.at, &query), RUDP_E_MALFORMED);
}
END_TEST

/* A later version keeps the fields of this one and may add: it is read as far as it is known. */
START_TEST(later_version)
{
    struct bytes out = write_sample();
    uint8_t longer[RUDP_QUERY_BYTES + 9];
    struct rudp_query query;

    out.at[5] = 2;
    out.at[20] = 0xff;
    seal(&out);
    memset(longer, 0xee, sizeof longer);
    memcpy(longer, out.at, sizeof out.at);
    ck_assert_int_eq(rudp_query_read(longer, sizeof longer, &query), RUDP_OK);
    ck_assert_uint_eq(query.nonce, sample.nonce);
}
END_TEST

int main(void)
{
    return SUITE_RUN("query", layout, round_trip, truncated, damaged, impossible_values,
                     later_version);
}
