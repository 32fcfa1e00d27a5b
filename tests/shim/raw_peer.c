#include "tests/shim/raw_peer.h"

#include "engine/raw.h"

#include <poll.h>
#include <string.h>

int raw_bound(uint32_t ip, struct udp_address *address)
{
    struct sockaddr_in own = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(ip)};
    int fd = (int)RAW_CALL(SYS_socket, AF_INET, SOCK_DGRAM, 0);

    ck_assert_int_ge(fd, 0);
    ck_assert_int_eq(RAW_CALL(SYS_bind, fd, raw_pointer(&own), sizeof own), 0);
    address->bytes = sizeof address->addr;
    ck_assert_int_eq(
        RAW_CALL(SYS_getsockname, fd, raw_pointer(&address->addr), raw_pointer(&address->bytes)),
        0);
    return fd;
}

void raw_send(int fd, const char *text, const struct udp_address *to)
{
    ck_assert_int_eq(RAW_CALL(SYS_sendto, fd, raw_pointer(text), (long)strlen(text), 0,
                              raw_pointer(&to->addr), to->bytes),
                     (long)strlen(text));
}

void raw_expect_from(int fd, const char *text, struct udp_address *from)
{
    char buffer[64] = "";
    struct pollfd entry = {.fd = fd, .events = POLLIN};

    ck_assert_int_eq(poll(&entry, 1, UDP_PATIENCE_MS), 1);
    from->bytes = sizeof from->addr;
    ck_assert_int_eq(RAW_CALL(SYS_recvfrom, fd, raw_pointer(buffer), sizeof buffer - 1, 0,
                              raw_pointer(&from->addr), raw_pointer(&from->bytes)),
                     (long)strlen(text));
    ck_assert_str_eq(buffer, text);
}

void raw_expect(int fd, const char *text)
{
    struct udp_address from;

    raw_expect_from(fd, text, &from);
}
