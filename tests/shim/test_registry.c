/* test_registry.c - which port is the shim's, by lines of the kernel's tables. */
#include "shim/registry.h"
#include "tests/core/suite.h"

#include <arpa/inet.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#define PORT       7000
#define OTHER_PORT 7001

static struct shim_registry_search search;

static void begin(const char *ip)
{
    char mapped[64] = "::ffff:";

    search = (struct shim_registry_search){.address = {.port = PORT}};
    if (inet_pton(AF_INET6, ip, search.address.ip) != 1)
        ck_assert_int_eq(inet_pton(AF_INET6, strcat(mapped, ip), search.address.ip), 1);
}

/* The address as the kernel prints it: each 32 bits as a number of this machine. */
static void print_ip(char *out, size_t out_bytes, const char *ip)
{
    uint32_t parts[4];
    bool is_v4 = inet_pton(AF_INET, ip, parts) == 1;

    ck_assert(is_v4 || inet_pton(AF_INET6, ip, parts) == 1);
    for (size_t index = 0; index < (is_v4 ? 1u : 4u); index++)
        (void)snprintf(out + 8 * index, out_bytes - 8 * index, "%08" PRIX32, parts[index]);
}

static void take_udp(const char *ip, uint16_t port, uint16_t peer_port, uint64_t inode)
{
    char line[256];
    char local[64];

    print_ip(local, sizeof local, ip);
    int bytes = snprintf(line, sizeof line,
                         "  641: %s:%04X %s:%04X 07 00000000:00000000 00:00000000 00000000     0   "
                         "     0 %" PRIu64 " 2 0000000000000000 0",
                         local, port, local, peer_port, inode);

    shim_registry_take_udp(&search, line, (size_t)bytes);
}

static void take_unix(const char *name)
{
    char line[256];
    int bytes = snprintf(line, sizeof line,
                         "0000000000000000: 00000003 00000000 00000000 0002 03 2506401 %s", name);

    shim_registry_take_unix(&search, line, (size_t)bytes);
}

/* The socket of that port, whose wire is entered. */
START_TEST(entered)
{
    begin("127.0.0.1");
    take_udp("127.0.0.1", OTHER_PORT, 0, 10);
    take_udp("127.0.0.1", PORT, 0, 11);
    take_unix("@rudp.wire.11");
    ck_assert(shim_registry_is_found(&search));
}
END_TEST

/* Nobody has the port; or somebody who is not entered. */
START_TEST(not_entered)
{
    begin("127.0.0.1");
    take_udp("127.0.0.1", OTHER_PORT, 0, 11);
    take_unix("@rudp.wire.11");
    ck_assert(!shim_registry_is_found(&search));
    take_udp("127.0.0.1", PORT, 0, 1);
    take_unix("@rudp.wire.11");
    take_unix("@rudp.wire.");
    take_unix("@rudp.wire.1x");
    take_unix("@rudp.wire.0");
    take_unix("/rudp.wire.1");
    take_unix("@rudp.0123456789abcdef");
    ck_assert(!shim_registry_is_found(&search));
}
END_TEST

/* A datagram may reach any of a group: all must be entered, each for itself. */
START_TEST(groups)
{
    begin("127.0.0.1");
    take_udp("127.0.0.1", PORT, 0, 11);
    take_udp("127.0.0.1", PORT, 0, 12);
    take_unix("@rudp.wire.11");
    take_unix("@rudp.wire.11");
    ck_assert(!shim_registry_is_found(&search));
    take_unix("@rudp.wire.12");
    ck_assert(shim_registry_is_found(&search));
}
END_TEST

/* Of sockets that a datagram could reach, the kernel takes the closest. */
START_TEST(closest)
{
    begin("127.0.0.1");
    take_udp("127.0.0.1", PORT, 0, 11);
    take_udp("0.0.0.0", PORT, 0, 12);
    take_udp("::", PORT, 0, 13);
    take_udp("127.0.0.1", PORT, OTHER_PORT, 14);
    take_unix("@rudp.wire.11");
    ck_assert(shim_registry_is_found(&search));

    begin("127.0.0.2");
    take_udp("127.0.0.1", PORT, 0, 11);
    take_udp("0.0.0.0", PORT, 0, 12);
    take_udp("::", PORT, 0, 13);
    take_unix("@rudp.wire.12");
    ck_assert(shim_registry_is_found(&search));

    begin("::1");
    take_udp("0.0.0.0", PORT, 0, 12);
    take_udp("::", PORT, 0, 13);
    take_unix("@rudp.wire.13");
    ck_assert(shim_registry_is_found(&search));
}
END_TEST

/* IPv4 reaches a wildcard socket of IPv6, and one that is bound to a mapped address. */
START_TEST(dual_stack)
{
    begin("192.0.2.1");
    take_udp("::", PORT, 0, 11);
    take_unix("@rudp.wire.11");
    ck_assert(shim_registry_is_found(&search));
    take_udp("::ffff:192.0.2.1", PORT, 0, 12);
    ck_assert(!shim_registry_is_found(&search));
}
END_TEST

/* A socket connected to a peer counts where there is no other. */
START_TEST(connected)
{
    begin("127.0.0.1");
    take_udp("127.0.0.1", PORT, OTHER_PORT, 11);
    take_unix("@rudp.wire.11");
    ck_assert(shim_registry_is_found(&search));
}
END_TEST

/* More sockets on one port than can be looked at: unknown, so no. */
START_TEST(crowd)
{
    char name[64];

    begin("127.0.0.1");
    for (uint64_t inode = 1; inode <= SHIM_REGISTRY_WIRE_COUNT_MAX + 1; inode++)
        take_udp("127.0.0.1", PORT, 0, inode);
    for (uint64_t inode = 1; inode <= SHIM_REGISTRY_WIRE_COUNT_MAX + 1; inode++) {
        (void)snprintf(name, sizeof name, "@rudp.wire.%" PRIu64, inode);
        take_unix(name);
    }
    ck_assert(!shim_registry_is_found(&search));
}
END_TEST

/* Lines of another form mean nothing. */
START_TEST(other_lines)
{
    static const char *const lines[] = {
        "",
        "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  "
        "timeout "
        "inode ref pointer drops",
        "  641: 0100007F:1B58 00000000:0000 07",
        "  641: 0100007F-1B58 00000000:0000 07 0:0 00:0 0 0 0 11 2 0 0",
        "  641: 0100007F:1B5 00000000:0000 07 0:0 00:0 0 0 0 11 2 0 0",
        "  641: 0100007G:1B58 00000000:0000 07 0:0 00:0 0 0 0 11 2 0 0",
        "  641: 0100007F:1B58 00000000:0000 07 0:0 00:0 0 0 0 99999999999999999999999 2 0 0",
    };

    begin("127.0.0.1");
    for (size_t index = 0; index < sizeof lines / sizeof *lines; index++)
        shim_registry_take_udp(&search, lines[index], strlen(lines[index]));
    ck_assert_uint_eq(search.wire_count, 0);
}
END_TEST

int main(void)
{
    return SUITE_RUN("registry", entered, not_entered, groups, closest, dual_stack, connected,
                     crowd, other_lines);
}
