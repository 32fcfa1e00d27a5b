#include "core/status.h"
#include "tests/core/suite.h"

/* Every status has a name and a text of its own entry. */
START_TEST(every_status_has_name_and_text)
{
#define X(name, text)                                                                              \
    ck_assert_str_eq(rudp_status_name(RUDP_##name), #name);                                        \
    ck_assert_str_eq(rudp_status_text(RUDP_##name), text);
    RUDP_STATUS_MAP(X)
#undef X
}
END_TEST

/* A value that is none is answered, too. */
START_TEST(unknown_status_is_said_to_be_unknown)
{
    ck_assert_str_eq(rudp_status_name((enum rudp_status)99), "unknown status");
    ck_assert_str_eq(rudp_status_text((enum rudp_status)99), "unknown status");
}
END_TEST

int main(void)
{
    return SUITE_RUN("status", every_status_has_name_and_text,
                     unknown_status_is_said_to_be_unknown);
}
