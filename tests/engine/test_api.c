/* The library API between two ends in one process: what each call promises in rudp.h. */
#include "tests/core/suite.h"
#include "tests/engine/pair.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/epoll.h>
#include <time.h>
#include <unistd.h>

static uint64_t now_ms(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

/* Messages of all sizes arrive in both directions as they were sent, in order. */
START_TEST(messages_both_ways)
{
    struct pair pair;

    pair_open(&pair, NULL);
    for (uint64_t number = 0; number < 500; number++) {
        pair_client_send(pair.client, number);
        pair_connection_send(pair.connection, number);
    }
    for (uint64_t number = 0; number < 500; number++) {
        pair_connection_receive(pair.connection, number);
        pair_client_receive(pair.client, number);
    }
    pair_close(&pair);
}
END_TEST

static void echo_once(const char *server_host, const char *client_host)
{
    rudp_server *server;
    rudp_client *client;
    rudp_connection *connection;

    ck_assert_int_eq(rudp_server_create(&server, server_host, 0, NULL), RUDP_ERR_NONE);
    ck_assert_int_eq(rudp_server_listen(server, 1), RUDP_ERR_NONE);
    ck_assert_int_eq(rudp_client_create(&client, client_host, rudp_server_port(server), NULL),
                     RUDP_ERR_NONE);
    ck_assert_int_eq(rudp_client_connect(client), RUDP_ERR_NONE);
    ck_assert_int_eq(rudp_server_accept(server, &connection, PATIENCE_MS), RUDP_ERR_NONE);
    pair_client_send(client, 3);
    pair_connection_receive(connection, 3);
    pair_connection_send(connection, 4);
    pair_client_receive(client, 4);
    ck_assert_int_eq(rudp_client_close(client), RUDP_ERR_NONE);
    ck_assert_int_eq(rudp_connection_close(connection), RUDP_ERR_NONE);
    ck_assert_int_eq(rudp_server_shutdown(server), RUDP_ERR_NONE);
}

/* A server without a host takes IPv4 and IPv6 clients. */
START_TEST(server_on_every_address)
{
    echo_once("", "127.0.0.1");
    echo_once(NULL, "::1");
}
END_TEST

/* Names are resolved, and a host's next address is tried when nobody listens at the first. */
START_TEST(names_are_resolved)
{
    echo_once("127.0.0.1", "localhost");
    echo_once("::1", "::1");
}
END_TEST

/* accept waits as long as it was told, and says RUDP_ERR_AGAIN then. */
START_TEST(accept_times_out)
{
    rudp_server *server = pair_server(NULL);
    rudp_connection *connection;
    uint64_t started_ms = now_ms();

    ck_assert_int_eq(rudp_server_accept(server, &connection, 0), RUDP_ERR_AGAIN);
    ck_assert_int_eq(rudp_server_accept(server, &connection, 50), RUDP_ERR_AGAIN);
    ck_assert_uint_ge(now_ms() - started_ms, 50);
    ck_assert_ptr_null(connection);
    rudp_server_shutdown(server);
}
END_TEST

/* Before listen nobody is let in and accept says so. */
START_TEST(accept_needs_listen)
{
    rudp_server *server;
    rudp_connection *connection;

    ck_assert_int_eq(rudp_server_create(&server, "127.0.0.1", 0, NULL), RUDP_ERR_NONE);
    ck_assert_int_eq(rudp_server_accept(server, &connection, 0), RUDP_ERR_NOT_LISTENING);
    rudp_server_shutdown(server);
}
END_TEST

/* A full queue lets nobody in; accepting one makes room, and the client that was refused comes in
 * by trying again. */
START_TEST(backlog_is_a_bound)
{
    struct rudp_settings impatient;
    rudp_server *server = pair_server(NULL);
    rudp_client *first = pair_client(server, NULL);
    rudp_connection *connection;

    rudp_settings_init(&impatient);
    impatient.connect_timeout_ms = 300;
    rudp_client *second = pair_client(server, &impatient);

    ck_assert_int_eq(rudp_server_listen(server, 1), RUDP_ERR_NONE);
    ck_assert_int_eq(rudp_client_connect(first), RUDP_ERR_NONE);
    /* The client knows first; the server's own news of it is what counts against the backlog. */
    ck_assert(pair_becomes_readable(rudp_server_fd(server)));
    ck_assert_int_eq(rudp_client_connect(second), RUDP_ERR_TIMEOUT);
    ck_assert_int_eq(rudp_server_accept(server, &connection, 0), RUDP_ERR_NONE);
    ck_assert_int_eq(rudp_client_connect(second), RUDP_ERR_NONE);
    ck_assert_int_eq(rudp_connection_close(connection), RUDP_ERR_NONE);
    rudp_client_close(first);
    rudp_client_close(second);
    rudp_server_shutdown(server);
}
END_TEST

/* A call with timeout 0 never waits. */
START_TEST(polling_receive_does_not_wait)
{
    struct pair pair;
    uint8_t byte;

    pair_open(&pair, NULL);
    ck_assert_int_eq(rudp_client_receive(pair.client, &byte, 1, 0), RUDP_ERR_AGAIN);
    ck_assert_int_eq(rudp_connection_receive(pair.connection, &byte, 1, 0), RUDP_ERR_AGAIN);
    pair_close(&pair);
}
END_TEST

/* An empty message is a message. */
START_TEST(empty_message_arrives)
{
    struct pair pair;

    pair_open(&pair, NULL);
    ck_assert_int_eq(rudp_client_send(pair.client, NULL, 0, PATIENCE_MS), RUDP_ERR_NONE);
    ck_assert_int_eq(rudp_connection_receive(pair.connection, NULL, 0, PATIENCE_MS), 0);
    pair_close(&pair);
}
END_TEST

/* A buffer that is too small leaves the message where it is. */
START_TEST(small_buffer_keeps_the_message)
{
    struct pair pair;
    uint8_t byte;

    pair_open(&pair, NULL);
    pair_client_send(pair.client, 5);
    ck_assert_int_eq(rudp_connection_receive(pair.connection, &byte, 1, PATIENCE_MS),
                     RUDP_ERR_BUFFER);
    pair_connection_receive(pair.connection, 5);
    pair_close(&pair);
}
END_TEST

/* A message one byte longer than a datagram can be is refused. */
START_TEST(too_long_is_refused)
{
    static uint8_t message[RUDP_MESSAGE_MAX + 1];
    struct pair pair;

    pair_open(&pair, NULL);
    ck_assert_int_eq(rudp_client_send(pair.client, message, sizeof message, 0), RUDP_ERR_TOO_LONG);
    ck_assert_int_eq(rudp_client_send(pair.client, message, RUDP_MESSAGE_MAX, 0), RUDP_ERR_NONE);
    pair_close(&pair);
}
END_TEST

/* The descriptors are readable exactly while a call would not wait. */
START_TEST(descriptors_follow_readiness)
{
    rudp_server *server = pair_server(NULL);
    rudp_client *client = pair_client(server, NULL);
    rudp_connection *connection;

    ck_assert_int_eq(rudp_client_fd(client), -1);
    ck_assert(!pair_is_readable(rudp_server_fd(server)));
    ck_assert_int_eq(rudp_client_connect(client), RUDP_ERR_NONE);
    ck_assert(pair_becomes_readable(rudp_server_fd(server)));
    ck_assert_int_eq(rudp_server_accept(server, &connection, 0), RUDP_ERR_NONE);
    ck_assert(!pair_is_readable(rudp_server_fd(server)));

    int fd = rudp_connection_fd(connection);

    ck_assert(!pair_is_readable(fd));
    pair_client_send(client, 1);
    pair_client_send(client, 2);
    ck_assert(pair_becomes_readable(fd));
    pair_connection_receive(connection, 1);
    pair_connection_receive(connection, 2);
    ck_assert(!pair_is_readable(fd));
    pair_connection_send(connection, 3);
    ck_assert(pair_becomes_readable(rudp_client_fd(client)));
    pair_client_receive(client, 3);
    ck_assert(!pair_is_readable(rudp_client_fd(client)));
    ck_assert_int_eq(rudp_client_close(client), RUDP_ERR_NONE);
    ck_assert(pair_becomes_readable(fd)); /* receive says RUDP_ERR_CLOSED without waiting */
    rudp_connection_close(connection);
    rudp_server_shutdown(server);
}
END_TEST

/* Level-triggered in epoll: reported again as long as a message waits. */
START_TEST(epoll_reports_the_level)
{
    struct pair pair;
    struct epoll_event event = {.events = EPOLLIN};
    int epoll_fd = epoll_create1(EPOLL_CLOEXEC);

    pair_open(&pair, NULL);
    ck_assert_int_eq(
        epoll_ctl(epoll_fd, EPOLL_CTL_ADD, rudp_connection_fd(pair.connection), &event), 0);
    pair_client_send(pair.client, 1);
    ck_assert_int_eq(epoll_wait(epoll_fd, &event, 1, PATIENCE_MS), 1);
    ck_assert_int_eq(epoll_wait(epoll_fd, &event, 1, PATIENCE_MS), 1);
    pair_connection_receive(pair.connection, 1);
    ck_assert_int_eq(epoll_wait(epoll_fd, &event, 1, 0), 0);
    close(epoll_fd);
    pair_close(&pair);
}
END_TEST

/* A receiver that reads nothing stops the sender, without loss; reading lets it go on. */
START_TEST(slow_receiver_stops_the_sender)
{
    static uint8_t message[MESSAGE_BYTES_MAX];
    struct rudp_settings settings;
    struct pair pair;
    uint64_t sent_count = 0;
    uint64_t received_count = 0;

    rudp_settings_init(&settings);
    settings.send_buffer_bytes = 131072;
    settings.receive_buffer_bytes = 131072;
    pair_open(&pair, &settings);
    /* It waits 100 ms in vain only when both buffers are full: nothing moves any more. */
    while (rudp_client_send(pair.client, message, message_fill(message, sent_count), 100) ==
           RUDP_ERR_NONE)
        sent_count++;
    ck_assert_uint_gt(sent_count, 0);
    ck_assert_int_eq(rudp_client_send(pair.client, message, message_fill(message, sent_count), 0),
                     RUDP_ERR_AGAIN);
    while (received_count < sent_count)
        pair_connection_receive(pair.connection, received_count++);
    for (uint64_t number = 0; number < 100; number++) {
        pair_client_send(pair.client, number);
        pair_connection_receive(pair.connection, number);
    }
    pair_close(&pair);
}
END_TEST

/* What the peer sent before it closed is still read, then comes RUDP_ERR_CLOSED. */
START_TEST(close_delivers_what_was_sent)
{
    struct pair pair;
    uint8_t byte;

    pair_open(&pair, NULL);
    for (uint64_t number = 0; number < 200; number++)
        pair_client_send(pair.client, number);
    ck_assert_int_eq(rudp_client_close(pair.client), RUDP_ERR_NONE);
    for (uint64_t number = 0; number < 200; number++)
        pair_connection_receive(pair.connection, number);
    ck_assert_int_eq(rudp_connection_receive(pair.connection, &byte, 1, PATIENCE_MS),
                     RUDP_ERR_CLOSED);
    ck_assert_int_eq(rudp_connection_send(pair.connection, &byte, 1, 0), RUDP_ERR_CLOSED);
    ck_assert_int_eq(rudp_connection_close(pair.connection), RUDP_ERR_NONE);
    rudp_server_shutdown(pair.server);
}
END_TEST

/* A client that connects, sends and closes at once is accepted and read. */
START_TEST(closed_client_is_still_accepted)
{
    rudp_server *server = pair_server(NULL);
    rudp_client *client = pair_client(server, NULL);
    rudp_connection *connection;

    ck_assert_int_eq(rudp_client_connect(client), RUDP_ERR_NONE);
    pair_client_send(client, 5);
    ck_assert_int_eq(rudp_client_close(client), RUDP_ERR_NONE);
    ck_assert_int_eq(rudp_server_accept(server, &connection, PATIENCE_MS), RUDP_ERR_NONE);
    pair_connection_receive(connection, 5);
    ck_assert_int_eq(rudp_connection_close(connection), RUDP_ERR_NONE);
    rudp_server_shutdown(server);
}
END_TEST

/* A connection outlives its server, which another may replace once the connection is gone. */
START_TEST(connection_survives_shutdown)
{
    struct pair pair;
    rudp_server *other;

    pair_open(&pair, NULL);
    uint16_t port = rudp_server_port(pair.server);

    ck_assert_int_eq(rudp_server_shutdown(pair.server), RUDP_ERR_NONE);
    pair_client_send(pair.client, 5);
    pair_connection_receive(pair.connection, 5);
    ck_assert_int_eq(rudp_server_create(&other, "127.0.0.1", port, NULL), RUDP_ERR_ADDRESS_IN_USE);
    ck_assert_int_eq(rudp_client_close(pair.client), RUDP_ERR_NONE);
    ck_assert_int_eq(rudp_connection_close(pair.connection), RUDP_ERR_NONE);
    ck_assert_int_eq(rudp_server_create(&other, "127.0.0.1", port, NULL), RUDP_ERR_NONE);
    rudp_server_shutdown(other);
}
END_TEST

/* A client that waits for accept when the server ends is refused, not left waiting. */
START_TEST(shutdown_refuses_who_waits)
{
    rudp_server *server = pair_server(NULL);
    rudp_client *client = pair_client(server, NULL);
    uint8_t byte;

    ck_assert_int_eq(rudp_client_connect(client), RUDP_ERR_NONE);
    ck_assert(pair_becomes_readable(rudp_server_fd(server)));
    rudp_server_shutdown(server);
    ck_assert_int_eq(rudp_client_receive(client, &byte, 1, PATIENCE_MS), RUDP_ERR_RESET);
    rudp_client_close(client);
}
END_TEST

/* The peer's address is the client's, and a short buffer cuts it as getpeername would. */
START_TEST(peer_is_the_client)
{
    struct pair pair;
    struct sockaddr_in v4;
    socklen_t bytes = sizeof v4;

    pair_open(&pair, NULL);
    ck_assert_int_eq(rudp_connection_peer(pair.connection, (struct sockaddr *)&v4, &bytes),
                     RUDP_ERR_NONE);
    ck_assert_uint_eq(bytes, sizeof v4);
    ck_assert_int_eq(v4.sin_family, AF_INET);
    ck_assert_uint_eq(v4.sin_addr.s_addr, htonl(INADDR_LOOPBACK));
    ck_assert_uint_ne(v4.sin_port, 0);
    bytes = 2;
    memset(&v4, 0, sizeof v4);
    ck_assert_int_eq(rudp_connection_peer(pair.connection, (struct sockaddr *)&v4, &bytes),
                     RUDP_ERR_NONE);
    ck_assert_uint_eq(bytes, sizeof v4);
    ck_assert_uint_eq(v4.sin_port, 0);
    pair_close(&pair);
}
END_TEST

/* Statistics count what was done. */
START_TEST(statistics_count)
{
    struct pair pair;
    struct rudp_stats stats = {.struct_bytes = sizeof stats};

    pair_open(&pair, NULL);
    for (uint64_t number = 0; number < 10; number++) {
        pair_client_send(pair.client, number);
        pair_connection_receive(pair.connection, number);
    }
    ck_assert_int_eq(rudp_client_stats(pair.client, &stats), RUDP_ERR_NONE);
    ck_assert_uint_eq(stats.sent_messages, 10);
    ck_assert_uint_eq(stats.received_messages, 0);
    ck_assert_uint_gt(stats.sent_packets, 0);
    ck_assert_uint_gt(stats.sent_bytes, 9000);
    ck_assert_uint_gt(stats.rtt_us, 0);
    ck_assert_uint_gt(stats.window_bytes, 0);
    ck_assert_int_eq(rudp_connection_stats(pair.connection, &stats), RUDP_ERR_NONE);
    ck_assert_uint_eq(stats.received_messages, 10);
    ck_assert_uint_eq(stats.unread_bytes, 0);
    pair_close(&pair);
}
END_TEST

/* Unordered delivery: every message arrives once, whatever the order. */
START_TEST(unordered_delivers_all)
{
    static uint8_t buffer[MESSAGE_BYTES_MAX];
    static bool seen[300];
    struct rudp_settings settings;
    struct pair pair;

    rudp_settings_init(&settings);
    settings.unordered = 1;
    pair_open(&pair, &settings);
    for (uint32_t number = 0; number < 300; number++)
        ck_assert_int_eq(rudp_client_send(pair.client, &number, sizeof number, PATIENCE_MS),
                         RUDP_ERR_NONE);
    for (uint32_t i = 0; i < 300; i++) {
        uint32_t number;

        ck_assert_int_eq(
            rudp_connection_receive(pair.connection, buffer, sizeof buffer, PATIENCE_MS),
            sizeof number);
        memcpy(&number, buffer, sizeof number);
        ck_assert_uint_lt(number, 300);
        ck_assert(!seen[number]);
        seen[number] = true;
    }
    pair_close(&pair);
}
END_TEST

/* errno is not touched, not even by calls that fail. */
START_TEST(errno_is_not_used)
{
    rudp_server *server;
    rudp_server *same_port;
    rudp_client *client;

    errno = ELOOP;
    ck_assert_int_eq(rudp_server_create(&server, "127.0.0.1", 0, NULL), RUDP_ERR_NONE);
    ck_assert_int_eq(rudp_server_create(&same_port, "127.0.0.1", rudp_server_port(server), NULL),
                     RUDP_ERR_ADDRESS_IN_USE);
    ck_assert_int_eq(rudp_client_create(&client, "fe80::1%no-such-zone", 9, NULL), RUDP_ERR_NONE);
    ck_assert_int_eq(rudp_client_connect(client), RUDP_ERR_ADDRESS);
    rudp_client_close(client);
    rudp_server_shutdown(server);
    ck_assert_int_eq(errno, ELOOP);
}
END_TEST

int main(void)
{
    return SUITE_RUN(
        "api", messages_both_ways, server_on_every_address, names_are_resolved, accept_times_out,
        accept_needs_listen, backlog_is_a_bound, polling_receive_does_not_wait,
        empty_message_arrives, small_buffer_keeps_the_message, too_long_is_refused,
        descriptors_follow_readiness, epoll_reports_the_level, slow_receiver_stops_the_sender,
        close_delivers_what_was_sent, closed_client_is_still_accepted, connection_survives_shutdown,
        shutdown_refuses_who_waits, peer_is_the_client, statistics_count, unordered_delivers_all,
        errno_is_not_used);
}
