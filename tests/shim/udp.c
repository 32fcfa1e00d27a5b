#include "tests/shim/udp.h"

#include <errno.h>
#include <poll.h>
#include <string.h>

#define DATAGRAM_BYTES_MAX 65536

struct udp_address udp_loopback(int family, uint16_t port)
{
    struct udp_address address = {.bytes = 0};

    if (family == AF_INET) {
        struct sockaddr_in v4 = {.sin_family = AF_INET, .sin_port = htons(port)};
        v4.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
        memcpy(&address.addr, &v4, sizeof v4);
        address.bytes = sizeof v4;
    } else {
        struct sockaddr_in6 v6 = {.sin6_family = AF_INET6, .sin6_port = htons(port)};
        v6.sin6_addr = in6addr_loopback;
        memcpy(&address.addr, &v6, sizeof v6);
        address.bytes = sizeof v6;
    }
    return address;
}

uint16_t udp_port(const struct udp_address *address)
{
    struct sockaddr_in v4; /* the port lies at the same place in both */

    memcpy(&v4, &address->addr, sizeof v4);
    return ntohs(v4.sin_port);
}

struct udp_address udp_local(int fd)
{
    struct udp_address address = {.bytes = sizeof address.addr};

    UDP_ASSERT_OK(getsockname(fd, (struct sockaddr *)&address.addr, &address.bytes));
    return address;
}

int udp_unbound(int family)
{
    int fd = socket(family, SOCK_DGRAM, 0);

    ck_assert_msg(fd >= 0, "socket: %s", strerror(errno));
    return fd;
}

int udp_bound(int family, struct udp_address *address)
{
    struct udp_address any_port = udp_loopback(family, 0);
    int fd = udp_unbound(family);

    UDP_ASSERT_OK(bind(fd, (struct sockaddr *)&any_port.addr, any_port.bytes));
    *address = udp_local(fd);
    return fd;
}

int udp_connected(const struct udp_address *to)
{
    struct udp_address own;
    int fd = udp_bound(to->addr.ss_family, &own);

    UDP_ASSERT_OK(connect(fd, (const struct sockaddr *)&to->addr, to->bytes));
    return fd;
}

void udp_pair(int family, int fds[2])
{
    struct udp_address first;

    fds[0] = udp_bound(family, &first);
    fds[1] = udp_connected(&first);
    struct udp_address second = udp_local(fds[1]);

    UDP_ASSERT_OK(connect(fds[0], (struct sockaddr *)&second.addr, second.bytes));
}

void udp_send_to(int fd, const void *data, size_t bytes, const struct udp_address *to)
{
    ssize_t sent = sendto(fd, data, bytes, 0, (const struct sockaddr *)&to->addr, to->bytes);

    ck_assert_msg(sent == (ssize_t)bytes, "sendto: %zd, %s", sent, strerror(errno));
}

void udp_send_text(int fd, const char *text, const struct udp_address *to)
{
    udp_send_to(fd, text, strlen(text), to);
}

void udp_expect_text(int fd, const char *text, struct udp_address *from)
{
    static char buffer[DATAGRAM_BYTES_MAX];
    struct udp_address source = {.bytes = sizeof source.addr};

    ck_assert_msg(udp_wait(fd, POLLIN, UDP_PATIENCE_MS), "nothing arrives, wanted: %s", text);
    ssize_t bytes =
        recvfrom(fd, buffer, sizeof buffer - 1, 0, (struct sockaddr *)&source.addr, &source.bytes);

    ck_assert_msg(bytes >= 0, "recvfrom: %s", strerror(errno));
    buffer[bytes] = '\0';
    ck_assert_str_eq(buffer, text);
    if (from != NULL)
        *from = source;
}

bool udp_wait(int fd, short events, int timeout_ms)
{
    struct pollfd entry = {.fd = fd, .events = events};
    int count = poll(&entry, 1, timeout_ms);

    ck_assert_msg(count >= 0, "poll: %s", strerror(errno));
    return (entry.revents & events) != 0;
}
