#include "tools/impair/sockets.h"

#include <errno.h>
#include <linux/sock_diag.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

/* The relay is the link under test: what it loses in its own sockets would be blamed on the
 * programs. Room for some sixty of the largest datagrams; the kernel gives what it allows. */
#define SOCKET_BUFFER_BYTES (4 * 1024 * 1024)

bool impair_address_set(union impair_address *address, const struct sockaddr *from)
{
    memset(address, 0, sizeof *address);
    if (from->sa_family == AF_INET) {
        const struct sockaddr_in *in = (const struct sockaddr_in *)(const void *)from;

        address->in.sin_family = AF_INET;
        address->in.sin_addr = in->sin_addr;
        address->in.sin_port = in->sin_port;
        return true;
    }
    if (from->sa_family == AF_INET6) {
        const struct sockaddr_in6 *in6 = (const struct sockaddr_in6 *)(const void *)from;

        address->in6.sin6_family = AF_INET6;
        address->in6.sin6_addr = in6->sin6_addr;
        address->in6.sin6_port = in6->sin6_port;
        address->in6.sin6_scope_id = in6->sin6_scope_id;
        return true;
    }
    return false;
}

socklen_t impair_address_bytes(const union impair_address *address)
{
    return address->sa.sa_family == AF_INET ? sizeof address->in : sizeof address->in6;
}

bool impair_address_equal(const union impair_address *a, const union impair_address *b)
{
    if (a->sa.sa_family != b->sa.sa_family)
        return false;
    if (a->sa.sa_family == AF_INET)
        return a->in.sin_port == b->in.sin_port && a->in.sin_addr.s_addr == b->in.sin_addr.s_addr;
    return a->in6.sin6_port == b->in6.sin6_port && a->in6.sin6_scope_id == b->in6.sin6_scope_id &&
           IN6_ARE_ADDR_EQUAL(&a->in6.sin6_addr, &b->in6.sin6_addr);
}

uint16_t impair_address_port(const union impair_address *address)
{
    return ntohs(address->sa.sa_family == AF_INET ? address->in.sin_port : address->in6.sin6_port);
}

bool impair_address_is_wildcard(const union impair_address *address)
{
    if (address->sa.sa_family == AF_INET)
        return address->in.sin_addr.s_addr == htonl(INADDR_ANY);
    return IN6_IS_ADDR_UNSPECIFIED(&address->in6.sin6_addr);
}

static void enlarge(int fd, int forced_option, int option)
{
    const int bytes = SOCKET_BUFFER_BYTES;

    if (setsockopt(fd, SOL_SOCKET, forced_option, &bytes, sizeof bytes) != 0)
        (void)setsockopt(fd, SOL_SOCKET, option, &bytes, sizeof bytes);
}

static int open_socket(sa_family_t family)
{
    int fd = socket(family, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

    if (fd < 0)
        return -errno;
    enlarge(fd, SO_RCVBUFFORCE, SO_RCVBUF);
    enlarge(fd, SO_SNDBUFFORCE, SO_SNDBUF);
    return fd;
}

static int fail_closing(int fd)
{
    int error = -errno;

    close(fd);
    return error;
}

int impair_socket_listen(union impair_address *address)
{
    int fd = open_socket(address->sa.sa_family);
    socklen_t bytes = sizeof *address;

    if (fd < 0)
        return fd;
    if (bind(fd, &address->sa, impair_address_bytes(address)) != 0 ||
        getsockname(fd, &address->sa, &bytes) != 0)
        return fail_closing(fd);
    return fd;
}

int impair_socket_connect(const union impair_address *target)
{
    int fd = open_socket(target->sa.sa_family);

    if (fd < 0)
        return fd;
    if (connect(fd, &target->sa, impair_address_bytes(target)) != 0)
        return fail_closing(fd);
    return fd;
}

uint64_t impair_socket_dropped(int fd)
{
    uint32_t info[SK_MEMINFO_VARS] = {0};
    socklen_t bytes = sizeof info;

    if (getsockopt(fd, SOL_SOCKET, SO_MEMINFO, info, &bytes) != 0)
        return 0;
    return info[SK_MEMINFO_DROPS];
}
