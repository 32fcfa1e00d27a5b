/* Sends over a loopback interface that a queue discipline makes slow (narrow.sh), so that the
 * wire's send buffer fills: every message must arrive, and the buffer must have been full. */
#include "tests/core/suite.h"
#include "tests/engine/node.h"

#define MESSAGE_COUNT 600u

START_TEST(full_wire_goes_on_when_there_is_room)
{
    static struct node server;
    static struct node client;
    struct engine_socket_stats stats;
    int bytes = 1; /* the kernel makes it its minimum: a few packets */

    node_open(&server, "127.0.0.1", NULL);
    node_open(&client, "127.0.0.1", NULL);
    ck_assert_int_eq(
        setsockopt(engine_socket_wire_fd(client.sock), SOL_SOCKET, SO_SNDBUF, &bytes, sizeof bytes),
        0);
    struct rudp_session *session = node_connect(&client, "127.0.0.1", server.port);

    for (uint64_t number = 0; number < MESSAGE_COUNT; number++)
        node_send(&client, session, number);
    node_wait(&server, node_has_received, MESSAGE_COUNT);
    ck_assert_uint_eq(server.wrong_count, 0);
    engine_socket_stats(client.sock, &stats);
    ck_assert_uint_gt(stats.wire_full_count, 0);
    node_close(&client);
    node_close(&server);
}
END_TEST

int main(void)
{
    return SUITE_RUN("narrow", full_wire_goes_on_when_there_is_room);
}
