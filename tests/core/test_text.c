#include "core/endpoint.h"
#include "tests/core/suite.h"

/* Every reason to drop a packet has a name. */
START_TEST(every_drop_has_a_name)
{
#define X(name, text) ck_assert_str_eq(rudp_drop_name(RUDP_DROP_##name), #name);
    RUDP_DROP_MAP(X)
#undef X
}
END_TEST

/* Every reason to end a session has a text. */
START_TEST(every_close_reason_has_a_text)
{
#define X(name, text) ck_assert_str_eq(rudp_close_reason_text(RUDP_CLOSE_REASON_##name), text);
    RUDP_CLOSE_REASON_MAP(X)
#undef X
}
END_TEST

/* Values that are none are answered, too. */
START_TEST(unknown_values_are_said_to_be_unknown)
{
    ck_assert_str_eq(rudp_drop_name(RUDP_DROP_COUNT), "unknown drop");
    ck_assert_str_eq(rudp_close_reason_text((enum rudp_close_reason)99), "unknown reason");
}
END_TEST

int main(void)
{
    return SUITE_RUN("text", every_drop_has_a_name, every_close_reason_has_a_text,
                     unknown_values_are_said_to_be_unknown);
}
