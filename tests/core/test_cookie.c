#include "core/cookie.h"
#include "tests/core/suite.h"

#define NOW_US    (UINT64_C(1000) * RUDP_COOKIE_EPOCH_US)
#define SOURCE_ID UINT64_C(0x1122334455667788)

static const struct rudp_siphash_key key = {1, 2};
static const struct rudp_address remote = {.ip = {10, 0, 0, 1}, .port = 4000};

struct token {
    uint8_t bytes[RUDP_COOKIE_BYTES];
};

static struct token make_token(uint64_t now_us)
{
    struct token token;

    rudp_cookie_make(&key, &remote, SOURCE_ID, now_us, token.bytes);
    return token;
}

static bool is_valid(const struct token *token, uint64_t now_us)
{
    return rudp_cookie_is_valid(&key, &remote, SOURCE_ID, now_us, token->bytes,
                                sizeof token->bytes);
}

/* The holder's token is good at once and to the end of the following epoch. */
START_TEST(token_is_valid_in_its_epoch_and_the_next)
{
    struct token token = make_token(NOW_US);

    ck_assert(is_valid(&token, NOW_US));
    ck_assert(is_valid(&token, NOW_US + 2 * RUDP_COOKIE_EPOCH_US - 1));
}
END_TEST

/* An old token is no proof. */
START_TEST(token_expires_after_the_following_epoch)
{
    struct token token = make_token(NOW_US);

    ck_assert(!is_valid(&token, NOW_US + 2 * RUDP_COOKIE_EPOCH_US));
}
END_TEST

/* A token from the future is forged. */
START_TEST(token_of_a_later_epoch_is_refused)
{
    struct token token = make_token(NOW_US + RUDP_COOKIE_EPOCH_US);

    ck_assert(!is_valid(&token, NOW_US));
}
END_TEST

/* Every byte counts. */
START_TEST(token_with_a_changed_byte_is_refused)
{
    for (size_t i = 0; i < RUDP_COOKIE_BYTES; i++) {
        struct token token = make_token(NOW_US);

        token.bytes[i] ^= 1;
        ck_assert(!is_valid(&token, NOW_US));
    }
}
END_TEST

/* A token is for one address, port included. */
START_TEST(token_of_another_address_is_refused)
{
    struct token token = make_token(NOW_US);
    struct rudp_address other = remote;

    other.port++;
    ck_assert(
        !rudp_cookie_is_valid(&key, &other, SOURCE_ID, NOW_US, token.bytes, sizeof token.bytes));
}
END_TEST

/* A token is for one hello's id. */
START_TEST(token_of_another_id_is_refused)
{
    struct token token = make_token(NOW_US);

    ck_assert(!rudp_cookie_is_valid(&key, &remote, SOURCE_ID + 1, NOW_US, token.bytes,
                                    sizeof token.bytes));
}
END_TEST

/* Without the key there is no token. */
START_TEST(token_of_another_key_is_refused)
{
    struct token token = make_token(NOW_US);
    struct rudp_siphash_key other = {1, 3};

    ck_assert(
        !rudp_cookie_is_valid(&other, &remote, SOURCE_ID, NOW_US, token.bytes, sizeof token.bytes));
}
END_TEST

/* A token of another length is refused, whatever its bytes: 0 bytes is "none". */
START_TEST(token_of_another_length_is_refused)
{
    struct token token = make_token(NOW_US);

    ck_assert(!rudp_cookie_is_valid(&key, &remote, SOURCE_ID, NOW_US, token.bytes,
                                    sizeof token.bytes - 1));
    ck_assert(!rudp_cookie_is_valid(&key, &remote, SOURCE_ID, NOW_US, NULL, 0));
}
END_TEST

int main(void)
{
    return SUITE_RUN("cookie", token_is_valid_in_its_epoch_and_the_next,
                     token_expires_after_the_following_epoch, token_of_a_later_epoch_is_refused,
                     token_with_a_changed_byte_is_refused, token_of_another_address_is_refused,
                     token_of_another_id_is_refused, token_of_another_key_is_refused,
                     token_of_another_length_is_refused);
}
