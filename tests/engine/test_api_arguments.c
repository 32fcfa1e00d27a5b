/* Wrong arguments of the library API are refused with RUDP_ERR_INVALID, not followed. */
#include "tests/core/suite.h"
#include "tests/engine/pair.h"

#include <string.h>

/* NULL objects and NULL results. */
START_TEST(null_is_refused)
{
    rudp_server *server = pair_server(NULL);
    rudp_client *client;
    rudp_connection *connection;
    uint8_t byte = 0;

    ck_assert_int_eq(rudp_server_create(NULL, "", 0, NULL), RUDP_ERR_INVALID);
    ck_assert_int_eq(rudp_server_listen(NULL, 1), RUDP_ERR_INVALID);
    ck_assert_int_eq(rudp_server_accept(NULL, &connection, 0), RUDP_ERR_INVALID);
    ck_assert_int_eq(rudp_server_accept(server, NULL, 0), RUDP_ERR_INVALID);
    ck_assert_uint_eq(rudp_server_port(NULL), 0);
    ck_assert_int_eq(rudp_server_fd(NULL), RUDP_ERR_INVALID);
    ck_assert_int_eq(rudp_server_shutdown(NULL), RUDP_ERR_INVALID);
    ck_assert_int_eq(rudp_connection_send(NULL, &byte, 1, 0), RUDP_ERR_INVALID);
    ck_assert_int_eq(rudp_connection_receive(NULL, &byte, 1, 0), RUDP_ERR_INVALID);
    ck_assert_int_eq(rudp_connection_fd(NULL), RUDP_ERR_INVALID);
    ck_assert_int_eq(rudp_connection_stats(NULL, NULL), RUDP_ERR_INVALID);
    ck_assert_int_eq(rudp_connection_peer(NULL, NULL, NULL), RUDP_ERR_INVALID);
    ck_assert_int_eq(rudp_connection_close(NULL), RUDP_ERR_INVALID);
    ck_assert_int_eq(rudp_client_create(NULL, "localhost", 9, NULL), RUDP_ERR_INVALID);
    ck_assert_int_eq(rudp_client_create(&client, NULL, 9, NULL), RUDP_ERR_INVALID);
    ck_assert_ptr_null(client);
    ck_assert_int_eq(rudp_client_create(&client, "", 9, NULL), RUDP_ERR_INVALID);
    ck_assert_int_eq(rudp_client_create(&client, "localhost", 0, NULL), RUDP_ERR_INVALID);
    ck_assert_int_eq(rudp_client_connect(NULL), RUDP_ERR_INVALID);
    ck_assert_int_eq(rudp_client_send(NULL, &byte, 1, 0), RUDP_ERR_INVALID);
    ck_assert_int_eq(rudp_client_receive(NULL, &byte, 1, 0), RUDP_ERR_INVALID);
    ck_assert_int_eq(rudp_client_fd(NULL), -1);
    ck_assert_int_eq(rudp_client_stats(NULL, NULL), RUDP_ERR_INVALID);
    ck_assert_int_eq(rudp_client_close(NULL), RUDP_ERR_INVALID);
    rudp_settings_init(NULL);
    rudp_server_shutdown(server);
}
END_TEST

/* A buffer may be NULL only where there are no bytes. */
START_TEST(null_data_needs_zero_bytes)
{
    struct pair pair;

    pair_open(&pair, NULL);
    ck_assert_int_eq(rudp_client_send(pair.client, NULL, 1, 0), RUDP_ERR_INVALID);
    ck_assert_int_eq(rudp_connection_receive(pair.connection, NULL, 1, 0), RUDP_ERR_INVALID);
    pair_close(&pair);
}
END_TEST

/* Before connect a client's calls say that there is no connection. */
START_TEST(unconnected_client_says_so)
{
    rudp_server *server = pair_server(NULL);
    rudp_client *client = pair_client(server, NULL);
    struct rudp_stats stats = {.struct_bytes = sizeof stats};
    uint8_t byte = 0;

    ck_assert_int_eq(rudp_client_send(client, &byte, 1, 0), RUDP_ERR_NOT_CONNECTED);
    ck_assert_int_eq(rudp_client_receive(client, &byte, 1, 0), RUDP_ERR_NOT_CONNECTED);
    ck_assert_int_eq(rudp_client_stats(client, &stats), RUDP_ERR_NOT_CONNECTED);
    ck_assert_int_eq(rudp_client_close(client), RUDP_ERR_NONE);
    rudp_server_shutdown(server);
}
END_TEST

START_TEST(backlog_must_be_positive)
{
    rudp_server *server = pair_server(NULL);

    ck_assert_int_eq(rudp_server_listen(server, 0), RUDP_ERR_INVALID);
    ck_assert_int_eq(rudp_server_listen(server, -1), RUDP_ERR_INVALID);
    rudp_server_shutdown(server);
}
END_TEST

/* Statistics of another version of the structure are refused. */
START_TEST(stats_need_their_size)
{
    struct pair pair;
    struct rudp_stats stats = {.struct_bytes = 3};

    pair_open(&pair, NULL);
    ck_assert_int_eq(rudp_client_stats(pair.client, &stats), RUDP_ERR_INVALID);
    ck_assert_int_eq(rudp_client_stats(pair.client, NULL), RUDP_ERR_INVALID);
    pair_close(&pair);
}
END_TEST

/* The defaults are accepted; packet size 0 means automatic. */
START_TEST(default_settings_are_valid)
{
    struct rudp_settings settings;
    rudp_server *server;

    rudp_settings_init(&settings);
    ck_assert_uint_eq(settings.packet_bytes, 0);
    ck_assert_int_eq(rudp_server_create(&server, "127.0.0.1", 0, &settings), RUDP_ERR_NONE);
    rudp_server_shutdown(server);
}
END_TEST

/* The byte offset of one field, and a value it must not have. */
static const struct {
    size_t offset;
    uint32_t value;
} out_of_range[] = {
    {offsetof(struct rudp_settings, packet_bytes), 575},
    {offsetof(struct rudp_settings, packet_bytes), 65508},
    {offsetof(struct rudp_settings, connect_timeout_ms), 0},
    {offsetof(struct rudp_settings, rto_initial_ms), 0},
    {offsetof(struct rudp_settings, rto_min_ms), 0},
    {offsetof(struct rudp_settings, rto_max_ms), 0},
    {offsetof(struct rudp_settings, retries), 0},
    {offsetof(struct rudp_settings, send_buffer_bytes), 131071},
    {offsetof(struct rudp_settings, receive_buffer_bytes), 131071},
    {offsetof(struct rudp_settings, unordered), 2},
    {offsetof(struct rudp_settings, struct_bytes), 1},
};

/* Each setting out of its range is refused, on server and client. */
START_TEST(settings_out_of_range_are_refused)
{
    for (size_t i = 0; i < sizeof out_of_range / sizeof *out_of_range; i++) {
        struct rudp_settings settings;
        rudp_server *server;
        rudp_client *client;

        rudp_settings_init(&settings);
        memcpy((uint8_t *)&settings + out_of_range[i].offset, &out_of_range[i].value,
               sizeof out_of_range[i].value);
        ck_assert_msg(rudp_server_create(&server, "127.0.0.1", 0, &settings) == RUDP_ERR_INVALID,
                      "entry %zu", i);
        ck_assert_ptr_null(server);
        ck_assert_int_eq(rudp_client_create(&client, "127.0.0.1", 9, &settings), RUDP_ERR_INVALID);
    }
}
END_TEST

/* A fixed packet size is used as it is. */
START_TEST(packet_size_is_used)
{
    struct rudp_settings settings;
    struct rudp_stats stats = {.struct_bytes = sizeof stats};
    struct pair pair;

    rudp_settings_init(&settings);
    settings.packet_bytes = 9000;
    pair_open(&pair, &settings);
    for (uint64_t number = 0; number < 60; number++) {
        pair_client_send(pair.client, 5);
        pair_connection_receive(pair.connection, 5);
    }
    ck_assert_int_eq(rudp_client_stats(pair.client, &stats), RUDP_ERR_NONE);
    ck_assert_uint_lt(stats.sent_packets, 60 * 3); /* 9,000 bytes would be 8 packets of 1,200 */
    pair_close(&pair);
}
END_TEST

/* Each code has its text; a number that is none has one too. */
START_TEST(errors_have_texts)
{
    ck_assert_str_eq(rudp_error_text(RUDP_ERR_NONE), "success");
    ck_assert_str_eq(rudp_error_text(RUDP_ERR_TIMEOUT), "the peer did not answer in time");
    ck_assert_str_eq(rudp_error_text(1), "unknown error");
    ck_assert_str_eq(rudp_error_text(-1000), "unknown error");
}
END_TEST

/* The version is the one the library was built as. */
START_TEST(version_is_the_projects)
{
    ck_assert_str_eq(rudp_version(), PROJECT_VERSION);
}
END_TEST

int main(void)
{
    return SUITE_RUN("arguments", null_is_refused, null_data_needs_zero_bytes,
                     unconnected_client_says_so, backlog_must_be_positive, stats_need_their_size,
                     default_settings_are_valid, settings_out_of_range_are_refused,
                     packet_size_is_used, errors_have_texts, version_is_the_projects);
}
