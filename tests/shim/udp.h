/* udp.h - what the tests of the shim do with UDP sockets, as any program would. Every call checks
 * its result; times in milliseconds. */
#ifndef RUDP_TESTS_SHIM_UDP_H
#define RUDP_TESTS_SHIM_UDP_H

#include <check.h>
#include <netinet/in.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>

#define UDP_PATIENCE_MS 20000 /* for what must happen */

/* An address of this machine with its length. */
struct udp_address {
    struct sockaddr_storage addr;
    socklen_t bytes;
};

/* A socket bound to a free port of the loopback address of the family. */
int udp_bound(int family, struct udp_address *address);

/* A socket that is not bound. */
int udp_unbound(int family);

/* A bound socket connected to the address. */
int udp_connected(const struct udp_address *to);

/* Two sockets connected to each other. */
void udp_pair(int family, int fds[2]);

/* The loopback address of the family with that port. */
struct udp_address udp_loopback(int family, uint16_t port);
uint16_t udp_port(const struct udp_address *address);
struct udp_address udp_local(int fd);

void udp_send_to(int fd, const void *data, size_t bytes, const struct udp_address *to);
void udp_send_text(int fd, const char *text, const struct udp_address *to);

/* Receives one datagram and compares it. from may be NULL. */
void udp_expect_text(int fd, const char *text, struct udp_address *from);

/* Whether events hold within the time. */
bool udp_wait(int fd, short events, int timeout_ms);

/* The call returned -1 with this errno. */
#define UDP_ASSERT_ERROR(call, expected)                                                           \
    do {                                                                                           \
        errno = 0;                                                                                 \
        ck_assert_int_eq((call), -1);                                                              \
        ck_assert_int_eq(errno, (expected));                                                       \
    } while (0)

#define UDP_ASSERT_OK(call) ck_assert_msg((call) == 0, "%s: %s", #call, strerror(errno))

#endif
