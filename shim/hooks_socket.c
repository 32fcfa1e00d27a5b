/* hooks_socket.c - sockets: making them, their addresses, their options. */
#define _GNU_SOURCE
#include "shim/connect.h"
#include "shim/hook.h"
#include "shim/linger.h"
#include "shim/neighbour.h"
#include "shim/options.h"

#include <errno.h>
#include <netinet/in.h>
#include <stdarg.h>

static bool is_udp(int domain, int type, int protocol)
{
    return (domain == AF_INET || domain == AF_INET6) &&
           (type & ~(SOCK_NONBLOCK | SOCK_CLOEXEC)) == SOCK_DGRAM &&
           (protocol == 0 || protocol == IPPROTO_UDP);
}

int hook_socket(int domain, int type, int protocol)
{
    int fd;

    shim_neighbour_note(domain);
    if (!is_udp(domain, type, protocol) || !shim_process_is_ready() || shim_process_is_guest()) {
        fd = real.socket(domain, type, protocol);
    } else if (!shim_neighbour_takes(domain, type, protocol, &fd)) {
        shim_linger_sweep();
        return shim_socket_open(domain, type, protocol);
    }
    if (fd >= 0)
        shim_hook_renew(fd, NULL);
    return fd;
}
extern __typeof__(hook_socket) shim_own_socket
    __attribute__((alias(SHIM_SYMBOL_TEXT(socket)), visibility("hidden")));

int hook_bind(int fd, const struct sockaddr *addr, socklen_t addr_bytes)
{
    SHIM_HOOK_USE(sock, fd);

    return sock == NULL ? real.bind(fd, addr, addr_bytes) : shim_bind(sock, fd, addr, addr_bytes);
}

int hook_connect(int fd, const struct sockaddr *addr, socklen_t addr_bytes)
{
    SHIM_HOOK_USE(sock, fd);

    return sock == NULL ? real.connect(fd, addr, addr_bytes)
                        : shim_connect(sock, fd, addr, addr_bytes);
}
SHIM_DEFINE_ALIAS(__connect, connect);

/* Only the pair is shut: the wire still has to carry acknowledgements. */
int hook_shutdown(int fd, int how)
{
    SHIM_HOOK_USE(sock, fd);
    struct sockaddr_storage peer;
    socklen_t bytes = sizeof peer;

    if (sock == NULL)
        return real.shutdown(fd, how);
    if (real.shutdown(fd, how) < 0)
        return -1;
    if (how != SHUT_RD)
        atomic_store(&sock->shared->write_shut, true);
    /* An unconnected socket is shut as well, and says that it was not connected: as in the kernel.
     */
    return real.getpeername(sock->wire_fd, (struct sockaddr *)&peer, &bytes);
}

int hook_getsockname(int fd, struct sockaddr *addr, socklen_t *addr_bytes)
{
    SHIM_HOOK_USE(sock, fd);

    return real.getsockname(sock == NULL ? fd : sock->wire_fd, addr, addr_bytes);
}

int hook_getpeername(int fd, struct sockaddr *addr, socklen_t *addr_bytes)
{
    SHIM_HOOK_USE(sock, fd);

    return real.getpeername(sock == NULL ? fd : sock->wire_fd, addr, addr_bytes);
}

int hook_getsockopt(int fd, int level, int option, void *value, socklen_t *value_bytes)
{
    SHIM_HOOK_USE(sock, fd);

    return sock == NULL ? real.getsockopt(fd, level, option, value, value_bytes)
                        : shim_getsockopt(sock, level, option, value, value_bytes);
}

int hook_setsockopt(int fd, int level, int option, const void *value, socklen_t value_bytes)
{
    SHIM_HOOK_USE(sock, fd);

    return sock == NULL ? real.setsockopt(fd, level, option, value, value_bytes)
                        : shim_setsockopt(sock, fd, level, option, value, value_bytes);
}

int hook_ioctl(int fd, unsigned long request, ...)
{
    SHIM_HOOK_USE(sock, fd);
    va_list arguments;

    va_start(arguments, request);
    void *argument = va_arg(arguments, void *);
    va_end(arguments);
    return sock == NULL ? real.ioctl(fd, request, argument)
                        : shim_ioctl(sock, fd, request, argument);
}
