/* sockets.h - addresses and the UDP sockets of the relay. Errors as a negative errno. */
#ifndef IMPAIR_SOCKETS_H
#define IMPAIR_SOCKETS_H

#include <netinet/in.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Any UDP address, small. */
union impair_address {
    struct sockaddr sa;
    struct sockaddr_in in;
    struct sockaddr_in6 in6;
};

/* Keeps family, address, port and zone only. False when it is neither IPv4 nor IPv6. */
bool impair_address_set(union impair_address *address, const struct sockaddr *from);
socklen_t impair_address_bytes(const union impair_address *address);

bool impair_address_equal(const union impair_address *a, const union impair_address *b);
uint16_t impair_address_port(const union impair_address *address);
bool impair_address_is_wildcard(const union impair_address *address);

/* A non-blocking socket bound to *address, which gets the port filled in that was chosen for port
 * 0. */
int impair_socket_listen(union impair_address *address);

/* A non-blocking socket connected to the target. */
int impair_socket_connect(const union impair_address *target);

/* Datagrams that the kernel dropped on this socket because nobody read them in time. */
uint64_t impair_socket_dropped(int fd);

#endif
