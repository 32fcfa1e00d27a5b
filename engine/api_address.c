#include "engine/api.h"

#include "engine/system.h"

#include <netdb.h>
#include <netinet/in.h>
#include <stdio.h>

#define PORT_TEXT_BYTES sizeof "65535"

static int resolve(struct addrinfo **addresses, const char *host, uint16_t port, int flags)
{
    struct addrinfo hints = {
        .ai_family = AF_UNSPEC,
        .ai_socktype = SOCK_DGRAM,
        .ai_protocol = IPPROTO_UDP,
        .ai_flags = AI_NUMERICSERV | flags,
    };
    char port_text[PORT_TEXT_BYTES];

    snprintf(port_text, sizeof port_text, "%u", (unsigned)port);
    int error = getaddrinfo(host, port_text, &hints, addresses);

    if (error == EAI_MEMORY)
        return RUDP_ERR_MEMORY;
    return error == 0 ? RUDP_ERR_NONE : RUDP_ERR_ADDRESS;
}

int api_resolve(struct addrinfo **addresses, const char *host, uint16_t port)
{
    return resolve(addresses, host, port, 0);
}

/* Not libc's calls: a library that interposes them would make reliable sockets of these too. */
static int open_socket(int family)
{
    int fd = (int)engine_sys_udp_socket((sa_family_t)family);

    return fd < 0 ? api_error_from_errno(-fd) : fd;
}

static int keep_or_close(int fd, long result)
{
    if (result >= 0)
        return fd;
    engine_sys_close(fd);
    return api_error_from_errno((int)-result);
}

static int bind_or_close(int fd, const struct sockaddr *addr, socklen_t addr_bytes)
{
    return fd < 0 ? fd : keep_or_close(fd, engine_sys_bind(fd, addr, addr_bytes));
}

/* Every address: one dual-stack socket, or IPv4 alone where there is no IPv6. */
static int bind_every_address(uint16_t port)
{
    struct sockaddr_in6 v6 = {.sin6_family = AF_INET6, .sin6_port = htons(port)};
    struct sockaddr_in v4 = {.sin_family = AF_INET, .sin_port = htons(port)};
    int fd = open_socket(AF_INET6);

    if (fd >= 0)
        engine_sys_setsockopt_int(fd, IPPROTO_IPV6, IPV6_V6ONLY, 0);
    fd = bind_or_close(fd, (const struct sockaddr *)&v6, sizeof v6);
    if (fd != RUDP_ERR_ADDRESS)
        return fd;
    return bind_or_close(open_socket(AF_INET), (const struct sockaddr *)&v4, sizeof v4);
}

int api_socket_bound(const char *host, uint16_t port)
{
    struct addrinfo *addresses;

    if (host == NULL || host[0] == '\0')
        return bind_every_address(port);
    int result = resolve(&addresses, host, port, AI_PASSIVE);

    if (result < 0)
        return result;
    for (const struct addrinfo *it = addresses; it != NULL; it = it->ai_next) {
        result = bind_or_close(open_socket(it->ai_family), it->ai_addr, it->ai_addrlen);
        if (result >= 0)
            break;
    }
    freeaddrinfo(addresses);
    return result;
}

int api_socket_connected(const struct addrinfo *address)
{
    int fd = open_socket(address->ai_family);

    if (fd < 0)
        return fd;
    return keep_or_close(fd, engine_sys_connect(fd, address->ai_addr, address->ai_addrlen));
}
