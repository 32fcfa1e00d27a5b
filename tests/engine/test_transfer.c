/* Messages through two engine sockets of one process: every family, contents, order, batching. */
#include "tests/core/suite.h"
#include "tests/engine/node.h"

#define MESSAGE_COUNT 3000u

/* Sends MESSAGE_COUNT messages to an echoing node and checks each that comes back. */
static void echo_between(const char *server_ip, const char *client_ip, const char *target_ip)
{
    static struct node server = {.echoes = true};
    static struct node client;

    node_open(&server, server_ip, NULL);
    node_open(&client, client_ip, NULL);
    struct rudp_session *session = node_connect(&client, target_ip, server.port);

    for (uint64_t number = 0; number < MESSAGE_COUNT; number++)
        node_send(&client, session, number);
    node_wait(&client, node_has_received, MESSAGE_COUNT);
    ck_assert_uint_eq(client.wrong_count, 0);
    ck_assert_uint_eq(client.received_count, MESSAGE_COUNT);
    ck_assert_uint_eq(server.opened_count, 1);
    node_close(&client);
    node_close(&server);
}

/* Thousands of messages of all sizes come back over IPv4 as they were sent. */
START_TEST(echo_v4)
{
    echo_between("127.0.0.1", "127.0.0.1", "127.0.0.1");
}
END_TEST

/* The same over IPv6. */
START_TEST(echo_v6)
{
    echo_between("::1", "::1", "::1");
}
END_TEST

/* A dual-stack socket answers an IPv4 client. */
START_TEST(echo_dual_stack_v4)
{
    echo_between("::", "127.0.0.1", "127.0.0.1");
}
END_TEST

/* A dual-stack socket answers an IPv6 client. */
START_TEST(echo_dual_stack_v6)
{
    echo_between("::", "::1", "::1");
}
END_TEST

/* A dual-stack socket opens a session to an IPv4 server. */
START_TEST(echo_dual_stack_client)
{
    echo_between("127.0.0.1", "::", "127.0.0.1");
}
END_TEST

/* A wildcard socket answers from the address it was spoken to, not the one the route prefers. */
START_TEST(wildcard_answers_from_the_address_spoken_to)
{
    echo_between("0.0.0.0", "127.0.0.1", "127.0.0.77");
}
END_TEST

/* So does a dual-stack one towards IPv4. */
START_TEST(dual_stack_wildcard_answers_from_the_address_spoken_to)
{
    echo_between("::", "127.0.0.1", "127.0.0.77");
}
END_TEST

/* A burst leaves many packets per system call. */
START_TEST(burst_is_sent_in_batches)
{
    static struct node server;
    static struct node client;
    struct engine_socket_stats stats;

    node_open(&server, "127.0.0.1", NULL);
    node_open(&client, "127.0.0.1", NULL);
    struct rudp_session *session = node_connect(&client, "127.0.0.1", server.port);

    for (uint64_t number = 0; number < MESSAGE_COUNT; number++)
        node_send(&client, session, number);
    node_wait(&server, node_has_received, MESSAGE_COUNT);
    ck_assert_uint_eq(server.wrong_count, 0);
    engine_socket_stats(client.sock, &stats);
    ck_assert_uint_gt(stats.sent_packet_count, 2 * stats.send_call_count);
    engine_socket_stats(server.sock, &stats);
    ck_assert_uint_gt(stats.received_packet_count, stats.receive_call_count);
    node_close(&client);
    node_close(&server);
}
END_TEST

/* A message sent where nothing is queued is on the wire before leave returns: the receiver's kernel
 * has the packet although no engine serves it. */
START_TEST(lone_message_leaves_in_the_callers_thread)
{
    static struct node client;
    uint8_t packet[65536];
    int fd = node_socket("127.0.0.1", 0);

    node_open(&client, "127.0.0.1", NULL);
    node_connect(&client, "127.0.0.1", node_socket_port(fd));
    ck_assert_int_gt(recv(fd, packet, sizeof packet, MSG_DONTWAIT), 0);
    node_close(&client);
}
END_TEST

/* Both sides open at once: one session each, messages both ways. */
START_TEST(both_open_at_once)
{
    static struct node left;
    static struct node right;

    node_open(&left, "127.0.0.1", NULL);
    node_open(&right, "127.0.0.1", NULL);
    struct rudp_session *to_right = node_connect(&left, "127.0.0.1", right.port);
    struct rudp_session *to_left;

    engine_socket_enter(right.sock);
    struct rudp_path path = {.remote = node_address("127.0.0.1", left.port)};

    to_left = rudp_endpoint_find(engine_socket_endpoint(right.sock), &path.remote);
    if (to_left == NULL) {
        ck_assert_int_eq(rudp_endpoint_open(engine_socket_endpoint(right.sock), &path, &to_left,
                                            engine_now_us()),
                         RUDP_OK);
    }
    engine_socket_leave(right.sock);
    for (uint64_t number = 0; number < 100; number++) {
        node_send(&left, to_right, number);
        node_send(&right, to_left, number);
    }
    node_wait(&left, node_has_received, 100);
    node_wait(&right, node_has_received, 100);
    ck_assert_uint_eq(left.wrong_count + right.wrong_count, 0);
    node_close(&left);
    node_close(&right);
}
END_TEST

int main(void)
{
    return SUITE_RUN("transfer", echo_v4, echo_v6, echo_dual_stack_v4, echo_dual_stack_v6,
                     echo_dual_stack_client, wildcard_answers_from_the_address_spoken_to,
                     dual_stack_wildcard_answers_from_the_address_spoken_to,
                     burst_is_sent_in_batches, lone_message_leaves_in_the_callers_thread,
                     both_open_at_once);
}
