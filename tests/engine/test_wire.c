/* What is not of the protocol: foreign datagrams with all that came with them, errors of the wire.
 */
#include "tests/core/suite.h"
#include "tests/engine/node.h"

#include <errno.h>
#include <netinet/in.h>
#include <poll.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define TTL 33
#define TOS 0x48 /* a DSCP without ECN bits, which the kernel would not pass on as they are */

static void set_option(int fd, int level, int option, int value)
{
    ck_assert_int_eq(setsockopt(fd, level, option, &value, sizeof value), 0);
}

static void send_to(int fd, const void *data, size_t bytes, const char *ip, uint16_t port)
{
    struct rudp_address address = node_address(ip, port);
    struct sockaddr_storage storage;
    socklen_t addr_bytes = engine_address_to_sockaddr(
        &address, strchr(ip, ':') == NULL ? AF_INET : AF_INET6, &storage);

    ck_assert_int_eq(sendto(fd, data, bytes, 0, (struct sockaddr *)&storage, addr_bytes),
                     (ssize_t)bytes);
}

static void check_address(const struct rudp_address *is, const char *ip, uint16_t port)
{
    struct rudp_address should_be = node_address(ip, port);

    ck_assert_mem_eq(is->ip, should_be.ip, sizeof is->ip);
    ck_assert_uint_eq(is->port, should_be.port);
}

/* Sends "plain" from a plain socket and checks what the handler is told. */
static void foreign_arrives(const char *node_ip, const char *from_ip, const char *to_ip)
{
    static struct node node = {.keeps_foreign = true};
    int fd = node_socket(from_ip, 0);
    bool is_v4 = strchr(from_ip, ':') == NULL;
    uint64_t before_ns = (uint64_t)time(NULL) * 1000000000u;

    set_option(fd, is_v4 ? IPPROTO_IP : IPPROTO_IPV6, is_v4 ? IP_TTL : IPV6_UNICAST_HOPS, TTL);
    set_option(fd, is_v4 ? IPPROTO_IP : IPPROTO_IPV6, is_v4 ? IP_TOS : IPV6_TCLASS, TOS);
    node_open(&node, node_ip, NULL);
    send_to(fd, "plain", 5, to_ip, node.port);
    node_wait(&node, node_has_foreign, 1);
    ck_assert_uint_eq(node.foreign.bytes, 5);
    ck_assert_mem_eq(node.foreign.data, "plain", 5);
    check_address(&node.foreign.path.remote, from_ip, node_socket_port(fd));
    check_address(&node.foreign.path.local, to_ip, 0);
    ck_assert_uint_gt(node.foreign.interface_index, 0);
    ck_assert_int_eq(node.foreign.ttl, TTL);
    ck_assert_int_eq(node.foreign.tos, TOS);
    ck_assert_uint_ge(node.foreign.received_ns, before_ns);
    node_close(&node);
}

/* A datagram of another protocol reaches the handler with address, interface, TTL, TOS and time. */
START_TEST(foreign_v4)
{
    foreign_arrives("127.0.0.1", "127.0.0.1", "127.0.0.1");
}
END_TEST

START_TEST(foreign_v6)
{
    foreign_arrives("::1", "::1", "::1");
}
END_TEST

/* On a wildcard socket the handler learns to which of its addresses the datagram went. */
START_TEST(foreign_to_wildcard)
{
    foreign_arrives("0.0.0.0", "127.0.0.1", "127.0.0.77");
}
END_TEST

START_TEST(foreign_v4_to_dual_stack)
{
    foreign_arrives("::", "127.0.0.1", "127.0.0.77");
}
END_TEST

START_TEST(foreign_v6_to_dual_stack)
{
    foreign_arrives("::", "::1", "::1");
}
END_TEST

static bool was_to_group;
static _Atomic bool has_come;

static void note_group(void *context, struct engine_socket *sock,
                       const struct engine_datagram *datagram)
{
    (void)context;
    (void)sock;
    was_to_group = datagram->is_to_group;
    check_address(&datagram->path.local, "127.0.0.1", 0);
    has_come = true;
}

static void on_no_event(void *context, struct engine_socket *sock, const struct rudp_event *event)
{
    (void)context;
    (void)sock;
    (void)event;
}

/* A datagram that waited at the socket before it was served was sent to this machine, not to a
 * group. */
START_TEST(foreign_from_before)
{
    const struct engine_handler handler = {.on_event = on_no_event, .on_datagram = note_group};
    struct rudp_config config;
    struct engine_socket *sock;
    int fd = node_socket("0.0.0.0", 0);

    rudp_config_init(&config);
    const struct engine_socket_options options = {.config = &config, .handler = &handler};

    send_to(node_socket("127.0.0.1", 0), "plain", 5, "127.0.0.1", node_socket_port(fd));
    ck_assert_int_eq(engine_socket_create(&sock, fd, &options), 0);
    while (!has_come)
        (void)poll(NULL, 0, 1);
    ck_assert(!was_to_group);
    engine_socket_destroy(sock);
}
END_TEST

/* The largest datagram UDP can carry is not cut. */
START_TEST(foreign_of_full_size)
{
    static struct node node = {.keeps_foreign = true};
    static uint8_t data[65507];
    int fd = node_socket("127.0.0.1", 0);

    for (size_t i = 0; i < sizeof data; i++)
        data[i] = (uint8_t)(i * 7);
    node_open(&node, "127.0.0.1", NULL);
    send_to(fd, data, sizeof data, "127.0.0.1", node.port);
    node_wait(&node, node_has_foreign, 1);
    ck_assert_uint_eq(node.foreign.bytes, sizeof data);
    ck_assert_mem_eq(node.foreign_data, data, sizeof data);
    node_close(&node);
}
END_TEST

static bool has_received_packets(const struct node *node, uint64_t count)
{
    (void)count;
    return node->foreign_count > 0;
}

/* Empty datagrams count as foreign too, and many of them do not stop the socket. */
START_TEST(foreign_flood_is_drained)
{
    static struct node node = {.keeps_foreign = true};
    int fd = node_socket("127.0.0.1", 0);

    node_open(&node, "127.0.0.1", NULL);
    for (uint32_t i = 0; i < 1000; i++)
        send_to(fd, "", 0, "127.0.0.1", node.port);
    node_wait(&node, has_received_packets, 0);
    node_wait(&node, node_has_foreign, 1000);
    ck_assert_uint_eq(node.foreign.bytes, 0);
    node_close(&node);
}
END_TEST

/* Without a handler a foreign datagram is dropped, counted, and a session goes on around it. */
START_TEST(foreign_without_handler_is_counted)
{
    static struct node server;
    static struct node client;
    struct engine_socket_stats stats;
    int fd = node_socket("127.0.0.1", 0);

    node_open(&server, "127.0.0.1", NULL);
    node_open(&client, "127.0.0.1", NULL);
    send_to(fd, "plain", 5, "127.0.0.1", server.port);
    node_send(&client, node_connect(&client, "127.0.0.1", server.port), 0);
    node_wait(&server, node_has_received, 1);
    engine_socket_stats(server.sock, &stats);
    ck_assert_uint_eq(stats.foreign_count, 1);
    node_close(&client);
    node_close(&server);
}
END_TEST

/* A connected wire whose peer's port is closed reports ECONNREFUSED with the peer's address. */
START_TEST(refusal_of_a_connected_wire_is_reported)
{
    static struct node node;
    struct rudp_address peer;
    struct sockaddr_storage storage;
    int closed_fd = node_socket("127.0.0.1", 0);
    uint16_t closed_port = node_socket_port(closed_fd);

    close(closed_fd);
    node_open(&node, "127.0.0.1", NULL);
    peer = node_address("127.0.0.1", closed_port);
    socklen_t bytes = engine_address_to_sockaddr(&peer, AF_INET, &storage);

    engine_socket_enter(node.sock);
    ck_assert_int_eq(connect(engine_socket_wire_fd(node.sock), (struct sockaddr *)&storage, bytes),
                     0);
    engine_socket_wire_changed(node.sock);
    engine_socket_leave(node.sock);
    node_connect(&node, "127.0.0.1", closed_port);
    node_wait(&node, node_has_wire_error, 1);
    ck_assert_int_eq(node.wire_error, ECONNREFUSED);
    node_close(&node);
}
END_TEST

/* A packet that the kernel refuses is reported with its destination; others go on. */
START_TEST(refused_packet_is_reported)
{
    static struct node server;
    static struct node node;

    node_open(&server, "127.0.0.1", NULL);
    node_open(&node, "127.0.0.1", NULL);
    node_connect(&node, "255.255.255.255", 9); /* EACCES: not a broadcast socket */
    node_wait(&node, node_has_wire_error, 1);
    ck_assert_int_eq(node.wire_error, EACCES);
    check_address(&node.wire_error_remote, "255.255.255.255", 9);
    node_send(&node, node_connect(&node, "127.0.0.1", server.port), 0);
    node_wait(&server, node_has_received, 1);
    node_close(&node);
    node_close(&server);
}
END_TEST

/* Addresses survive the way through sockaddr and back; what is none is refused. */
START_TEST(addresses_convert)
{
    static const char *const texts[] = {"127.0.0.1", "0.0.0.0", "::1", "fe80::1", "2001:db8::5"};
    struct sockaddr_storage storage = {.ss_family = AF_UNIX};
    struct rudp_address back;

    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        struct rudp_address address = node_address(texts[i], 4711);
        socklen_t bytes = engine_address_to_sockaddr(&address, AF_INET6, &storage);

        ck_assert_uint_eq(bytes, sizeof(struct sockaddr_in6));
        ck_assert(engine_address_from_sockaddr(&back, (struct sockaddr *)&storage, bytes));
        ck_assert(rudp_address_equal(&address, &back));
        ck_assert(engine_address_is_v4(&address) == (strchr(texts[i], ':') == NULL));
        bytes = engine_address_to_sockaddr(&address, AF_INET, &storage);
        ck_assert_uint_eq(bytes, strchr(texts[i], ':') == NULL ? sizeof(struct sockaddr_in) : 0);
    }
    storage.ss_family = AF_UNIX;
    ck_assert(!engine_address_from_sockaddr(&back, (struct sockaddr *)&storage, sizeof storage));
    storage.ss_family = AF_INET;
    ck_assert(!engine_address_from_sockaddr(&back, (struct sockaddr *)&storage, 8));
    storage.ss_family = AF_INET6;
    ck_assert(!engine_address_from_sockaddr(&back, (struct sockaddr *)&storage, 23));
    ck_assert(!engine_address_from_sockaddr(&back, NULL, 0));
}
END_TEST

/* The zone of a link-local address is part of it; elsewhere it means nothing. */
START_TEST(scope_counts_for_link_local_only)
{
    struct sockaddr_in6 v6 = {.sin6_family = AF_INET6, .sin6_scope_id = 3};
    struct rudp_address address;

    v6.sin6_addr.s6_addr[15] = 1;
    ck_assert(engine_address_from_sockaddr(&address, (struct sockaddr *)&v6, sizeof v6));
    ck_assert_uint_eq(address.scope, 0);
    v6.sin6_addr.s6_addr[0] = 0xfe;
    v6.sin6_addr.s6_addr[1] = 0x80;
    ck_assert(engine_address_from_sockaddr(&address, (struct sockaddr *)&v6, sizeof v6));
    ck_assert_uint_eq(address.scope, 3);
}
END_TEST

int main(void)
{
    return SUITE_RUN("wire", foreign_v4, foreign_v6, foreign_to_wildcard, foreign_v4_to_dual_stack,
                     foreign_v6_to_dual_stack, foreign_from_before, foreign_of_full_size,
                     foreign_flood_is_drained, foreign_without_handler_is_counted,
                     refusal_of_a_connected_wire_is_reported, refused_packet_is_reported,
                     addresses_convert, scope_counts_for_link_local_only);
}
