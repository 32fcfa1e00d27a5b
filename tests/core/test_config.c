#include "core/config.h"
#include "tests/core/suite.h"

static struct rudp_config defaults(void)
{
    struct rudp_config config;

    rudp_config_init(&config);
    return config;
}

/* What nobody changed is valid. */
START_TEST(defaults_are_valid)
{
    struct rudp_config config = defaults();

    ck_assert_uint_eq(rudp_config_check(&config), RUDP_OK);
}
END_TEST

/* Sets one field of the defaults and tells what the check says. */
#define CHECKED_WITH(field, value)                                                                 \
    __extension__({                                                                                \
        struct rudp_config config = defaults();                                                    \
        config.field = (value);                                                                    \
        rudp_config_check(&config);                                                                \
    })

/* Each field is refused just outside its range. */
START_TEST(values_out_of_range_are_refused)
{
    ck_assert_uint_eq(CHECKED_WITH(packet_bytes, RUDP_PACKET_BYTES_MIN - 1), RUDP_E_INVALID);
    ck_assert_uint_eq(CHECKED_WITH(packet_bytes, RUDP_PACKET_BYTES_MAX + 1), RUDP_E_INVALID);
    ck_assert_uint_eq(CHECKED_WITH(connect_timeout_us, 0), RUDP_E_INVALID);
    ck_assert_uint_eq(CHECKED_WITH(rto_initial_us, 0), RUDP_E_INVALID);
    ck_assert_uint_eq(CHECKED_WITH(rto_min_us, 0), RUDP_E_INVALID);
    ck_assert_uint_eq(CHECKED_WITH(rto_max_us, defaults().rto_min_us - 1), RUDP_E_INVALID);
    ck_assert_uint_eq(CHECKED_WITH(retry_count_max, 0), RUDP_E_INVALID);
    ck_assert_uint_eq(CHECKED_WITH(send_buffer_bytes, RUDP_BUFFER_BYTES_MIN - 1), RUDP_E_INVALID);
    ck_assert_uint_eq(CHECKED_WITH(receive_buffer_bytes, RUDP_BUFFER_BYTES_MIN - 1),
                      RUDP_E_INVALID);
    ck_assert_uint_eq(CHECKED_WITH(session_count_max, 0), RUDP_E_INVALID);
    ck_assert_uint_eq(CHECKED_WITH(cc, (enum rudp_cc_algorithm)99), RUDP_E_INVALID);
    ck_assert_uint_eq(CHECKED_WITH(order, (enum rudp_order)99), RUDP_E_INVALID);
}
END_TEST

/* and accepted at its ends. */
START_TEST(ends_of_ranges_are_accepted)
{
    ck_assert_uint_eq(CHECKED_WITH(packet_bytes, RUDP_PACKET_BYTES_MIN), RUDP_OK);
    ck_assert_uint_eq(CHECKED_WITH(packet_bytes, RUDP_PACKET_BYTES_MAX), RUDP_OK);
    ck_assert_uint_eq(CHECKED_WITH(rto_max_us, defaults().rto_min_us), RUDP_OK);
    ck_assert_uint_eq(CHECKED_WITH(send_buffer_bytes, RUDP_BUFFER_BYTES_MIN), RUDP_OK);
    ck_assert_uint_eq(CHECKED_WITH(order, RUDP_UNORDERED), RUDP_OK);
    ck_assert_uint_eq(CHECKED_WITH(keepalive_us, 0), RUDP_OK);
    ck_assert_uint_eq(CHECKED_WITH(idle_timeout_us, 0), RUDP_OK);
}
END_TEST

int main(void)
{
    return SUITE_RUN("config", defaults_are_valid, values_out_of_range_are_refused,
                     ends_of_ranges_are_accepted);
}
