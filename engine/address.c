#include "engine/engine.h"

#include <netinet/in.h>

#define MAPPED_PREFIX_BYTES 12u

/* sockaddr_in6 without sin6_scope_id, which the kernel accepts too (RFC 2133). */
#define SIN6_BYTES_MIN offsetof(struct sockaddr_in6, sin6_scope_id)

static const uint8_t mapped_prefix[MAPPED_PREFIX_BYTES] = {[10] = 0xff, [11] = 0xff};
static const uint8_t ip_zero[16];

bool engine_address_is_v4(const struct rudp_address *address)
{
    RUDP_ASSERT(address != NULL);
    return memcmp(address->ip, mapped_prefix, sizeof mapped_prefix) == 0;
}

static bool from_v4(struct rudp_address *out, const struct sockaddr *addr, socklen_t addr_bytes)
{
    struct sockaddr_in v4;

    if (addr_bytes < sizeof v4)
        return false;
    memcpy(&v4, addr, sizeof v4);
    *out = (struct rudp_address){.port = ntohs(v4.sin_port)};
    memcpy(out->ip, mapped_prefix, sizeof mapped_prefix);
    memcpy(out->ip + MAPPED_PREFIX_BYTES, &v4.sin_addr, sizeof v4.sin_addr);
    return true;
}

static bool from_v6(struct rudp_address *out, const struct sockaddr *addr, socklen_t addr_bytes)
{
    struct sockaddr_in6 v6 = {.sin6_scope_id = 0};

    if (addr_bytes < SIN6_BYTES_MIN)
        return false;
    memcpy(&v6, addr, addr_bytes < sizeof v6 ? SIN6_BYTES_MIN : sizeof v6);
    *out = (struct rudp_address){.port = ntohs(v6.sin6_port)};
    memcpy(out->ip, &v6.sin6_addr, sizeof out->ip);
    if (IN6_IS_ADDR_LINKLOCAL(&v6.sin6_addr))
        out->scope = v6.sin6_scope_id;
    return true;
}

bool engine_address_from_sockaddr(struct rudp_address *out, const struct sockaddr *addr,
                                  socklen_t addr_bytes)
{
    RUDP_ASSERT(out != NULL);
    sa_family_t family;

    if (addr == NULL || addr_bytes < sizeof family)
        return false;
    memcpy(&family, &addr->sa_family, sizeof family);
    if (family == AF_INET)
        return from_v4(out, addr, addr_bytes);
    if (family == AF_INET6)
        return from_v6(out, addr, addr_bytes);
    return false;
}

static socklen_t to_v4(const struct rudp_address *address, struct sockaddr_storage *out)
{
    struct sockaddr_in v4 = {.sin_family = AF_INET, .sin_port = htons(address->port)};

    if (!engine_address_is_v4(address) && memcmp(address->ip, ip_zero, sizeof ip_zero) != 0)
        return 0;
    memcpy(&v4.sin_addr, address->ip + MAPPED_PREFIX_BYTES, sizeof v4.sin_addr);
    memcpy(out, &v4, sizeof v4);
    return sizeof v4;
}

socklen_t engine_address_to_sockaddr(const struct rudp_address *address, sa_family_t family,
                                     struct sockaddr_storage *out)
{
    RUDP_ASSERT(address != NULL);
    RUDP_ASSERT(out != NULL);
    if (family == AF_INET)
        return to_v4(address, out);

    struct sockaddr_in6 v6 = {
        .sin6_family = AF_INET6,
        .sin6_port = htons(address->port),
        .sin6_scope_id = address->scope,
    };

    memcpy(&v6.sin6_addr, address->ip, sizeof v6.sin6_addr);
    memcpy(out, &v6, sizeof v6);
    return sizeof v6;
}
