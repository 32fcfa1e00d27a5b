#define _GNU_SOURCE
#include "shim/options.h"

#include "engine/raw.h"
#include "shim/control.h"
#include "shim/deliver.h"
#include "shim/memory.h"
#include "shim/peers.h"
#include "shim/real.h"
#include "shim/receive.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/net_tstamp.h>
#include <linux/sockios.h>
#include <netinet/in.h>
#include <netinet/udp.h>
#include <sys/ioctl.h>

#ifndef SO_RCVTIMEO_NEW /* with 64-bit seconds on every machine; not all libc headers name them */
#define SO_RCVTIMEO_NEW 66
#define SO_SNDTIMEO_NEW 67
#endif

/* Options whose state is kept here, as bits of wanted_controls. */
struct shadow {
    int level;
    int option;
    uint32_t bit;
    uint32_t excludes; /* setting it clears these */
};

static const struct shadow shadows[] = {
    {SOL_SOCKET, SO_TIMESTAMP, SHIM_CONTROL_TIMESTAMP, SHIM_CONTROL_TIMES},
    {SOL_SOCKET, SO_TIMESTAMPNS, SHIM_CONTROL_TIMESTAMPNS, SHIM_CONTROL_TIMES},
    {SOL_SOCKET, SO_TIMESTAMP_NEW, SHIM_CONTROL_TIMESTAMP_NEW, SHIM_CONTROL_TIMES},
    {SOL_SOCKET, SO_TIMESTAMPNS_NEW, SHIM_CONTROL_TIMESTAMPNS_NEW, SHIM_CONTROL_TIMES},
    {IPPROTO_IP, IP_PKTINFO, SHIM_CONTROL_PKTINFO, 0},
    {IPPROTO_IP, IP_RECVTTL, SHIM_CONTROL_TTL, 0},
    {IPPROTO_IP, IP_RECVTOS, SHIM_CONTROL_TOS, 0},
    {IPPROTO_IP, IP_RECVORIGDSTADDR, SHIM_CONTROL_DESTINATION, 0},
    {IPPROTO_IPV6, IPV6_RECVPKTINFO, SHIM_CONTROL_PKTINFO6, 0},
    {IPPROTO_IPV6, IPV6_RECVHOPLIMIT, SHIM_CONTROL_HOPLIMIT, 0},
    {IPPROTO_IPV6, IPV6_RECVTCLASS, SHIM_CONTROL_TCLASS, 0},
    {IPPROTO_IPV6, IPV6_2292PKTINFO, SHIM_CONTROL_OLD_PKTINFO6, 0},
    {IPPROTO_IPV6, IPV6_2292HOPLIMIT, SHIM_CONTROL_OLD_HOPLIMIT, 0},
    {IPPROTO_IPV6, IPV6_RECVORIGDSTADDR, SHIM_CONTROL_DESTINATION6, 0},
};

static const struct shadow *find_shadow(const struct shim_socket *sock, int level, int option)
{
    if (level == IPPROTO_IPV6 && sock->family != AF_INET6)
        return NULL;
    for (size_t index = 0; index < sizeof shadows / sizeof *shadows; index++)
        if (shadows[index].level == level && shadows[index].option == option)
            return &shadows[index];
    return NULL;
}

static int fail(int error)
{
    errno = error;
    return -1;
}

/* As the kernel does on that level: IPPROTO_IP has one byte for whom that is enough. */
static int give_int(int level, int result, void *value, socklen_t *value_bytes)
{
    if (!shim_memory_is_writable(value_bytes, sizeof *value_bytes))
        return fail(EFAULT);
    if (*value_bytes > INT32_MAX && level != IPPROTO_IPV6)
        return fail(EINVAL);
    bool is_byte = level == IPPROTO_IP && *value_bytes > 0 && *value_bytes < sizeof result &&
                   result >= 0 && result <= UINT8_MAX;
    uint8_t byte = (uint8_t)result;

    *value_bytes = (socklen_t)min_u64(*value_bytes, is_byte ? sizeof byte : sizeof result);
    if (!shim_memory_is_writable(value, *value_bytes))
        return fail(EFAULT);
    memcpy(value, is_byte ? (const void *)&byte : &result, *value_bytes);
    return 0;
}

/* --- getsockopt ---------------------------------------------------------------------------------
 */

/* The wire's own errors are for the process that runs its engine. */
static int take_wire_error(struct shim_socket *sock)
{
    int error = 0;
    socklen_t bytes = sizeof error;
    struct engine_socket *engine = shim_socket_engine(sock);

    if (!shim_socket_is_ours(sock) || RAW_CALL(SYS_getsockopt, sock->wire_fd, SOL_SOCKET, SO_ERROR,
                                               raw_pointer(&error), raw_pointer(&bytes)) < 0)
        return 0;
    if (error == 0 || engine == NULL || !sock->shared->is_connected)
        return error;
    engine_socket_enter(engine);
    shim_deliver_wire_error(sock, error);
    engine_socket_leave(engine);
    return 0;
}

static int take_error(struct shim_socket *sock)
{
    int error = take_wire_error(sock);
    bool token_sent;

    return error != 0 ? error : shim_failure_take(sock, NULL, &token_sent);
}

int shim_getsockopt(struct shim_socket *sock, int level, int option, void *value,
                    socklen_t *value_bytes)
{
    const struct shadow *shadow = find_shadow(sock, level, option);
    int shown = atomic_load(&sock->shared->receive_buffer_shown);

    if (shadow != NULL)
        return give_int(level, (atomic_load(&sock->shared->wanted_controls) & shadow->bit) != 0,
                        value, value_bytes);
    if (level == IPPROTO_IP && option == IP_RECVERR)
        return give_int(level, atomic_load(&sock->shared->wants_errors), value, value_bytes);
    if (level == IPPROTO_IPV6 && option == IPV6_RECVERR && sock->family == AF_INET6)
        return give_int(level, atomic_load(&sock->shared->wants_errors6), value, value_bytes);
    if (level == SOL_SOCKET && option == SO_TIMESTAMPING)
        return give_int(level, atomic_load(&sock->shared->time_stamping), value, value_bytes);
    if (level == SOL_SOCKET && option == SO_RCVBUF && shown != 0)
        return give_int(level, shown, value, value_bytes);
    if (level == SOL_SOCKET && option == SO_ERROR)
        return give_int(level, take_error(sock), value, value_bytes);
    return real.getsockopt(sock->wire_fd, level, option, value, value_bytes);
}

/* --- setsockopt ---------------------------------------------------------------------------------
 */

/* Tries an option that is kept here on another socket, whose answer the program gets: 0 or a
 * negative errno. *shown is what it reads back as. */
static int try_option(const struct shim_socket *sock, int level, int option, const void *value,
                      socklen_t value_bytes, int *shown)
{
    socklen_t bytes = sizeof *shown;
    int read_option = option == SO_RCVBUFFORCE && level == SOL_SOCKET ? SO_RCVBUF : option;
    long fd = RAW_CALL(SYS_socket, sock->family, SOCK_DGRAM | SOCK_CLOEXEC, 0);

    if (fd < 0)
        return (int)fd;
    long result = RAW_CALL(SYS_setsockopt, fd, level, option, raw_pointer(value), value_bytes);

    if (result == 0)
        result = RAW_CALL(SYS_getsockopt, fd, level, read_option, raw_pointer(shown),
                          raw_pointer(&bytes));
    (void)RAW_CALL(SYS_close, fd);
    return (int)result;
}

/* The owner puts into its messages what was asked for. A client's state is a copy. */
static void tell_owner(const struct shim_socket *sock, int fd, uint32_t wanted)
{
    struct shim_pair_header news = {
        .cookie = sock->cookie,
        .type = SHIM_PAIR_WANT,
        .interface_index = wanted,
    };

    if (sock->is_client)
        (void)shim_pair_write(fd, &news, NULL, 0);
}

static void want_controls(struct shim_socket *sock, int fd, uint32_t cleared, uint32_t set)
{
    uint32_t before = atomic_load(&sock->shared->wanted_controls);

    while (!atomic_compare_exchange_weak(&sock->shared->wanted_controls, &before,
                                         (before & ~cleared) | set)) {
    }
    tell_owner(sock, fd, (before & ~cleared) | set);

    struct engine_socket *engine = shim_socket_engine(sock);

    if (engine != NULL)
        engine_socket_enter(engine);
    shim_deliver_choose_frame(sock);
    if (engine != NULL)
        engine_socket_leave(engine);
}

static int set_shadow(struct shim_socket *sock, int fd, const struct shadow *shadow,
                      const void *value, socklen_t value_bytes)
{
    int shown = 0;
    int result = try_option(sock, shadow->level, shadow->option, value, value_bytes, &shown);

    if (result < 0)
        return fail(-result);
    want_controls(sock, fd, shadow->excludes | shadow->bit, shown != 0 ? shadow->bit : 0);
    return 0;
}

static int set_time_stamping(struct shim_socket *sock, int fd, const void *value,
                             socklen_t value_bytes)
{
    int shown = 0;
    int result = try_option(sock, SOL_SOCKET, SO_TIMESTAMPING, value, value_bytes, &shown);

    if (result < 0)
        return fail(-result);
    atomic_store(&sock->shared->time_stamping, shown);
    want_controls(sock, fd, SHIM_CONTROL_STAMPING,
                  (shown & SOF_TIMESTAMPING_SOFTWARE) != 0 ? SHIM_CONTROL_STAMPING : 0);
    return 0;
}

static int set_wants_errors(struct shim_socket *sock, int level, int option, const void *value,
                            socklen_t value_bytes)
{
    int shown = 0;
    int result = try_option(sock, level, option, value, value_bytes, &shown);

    if (result < 0)
        return fail(-result);
    atomic_store(level == IPPROTO_IP ? &sock->shared->wants_errors : &sock->shared->wants_errors6,
                 shown != 0);
    return 0;
}

/* The wire keeps the engine's larger buffer. */
static int set_receive_buffer(struct shim_socket *sock, int option, const void *value,
                              socklen_t value_bytes)
{
    int shown = 0;
    int result = try_option(sock, SOL_SOCKET, option, value, value_bytes, &shown);

    if (result < 0)
        return fail(-result);
    atomic_store(&sock->shared->receive_buffer_shown, shown);
    return 0;
}

static int set_socket_level(struct shim_socket *sock, int fd, int option, const void *value,
                            socklen_t value_bytes)
{
    bool is_started = atomic_load(&sock->shared->endpoint) != NULL;

    switch (option) {
    case SO_RCVTIMEO: /* the waiting is done on the pair; the wire remembers for getsockopt */
    case SO_SNDTIMEO:
    case SO_RCVTIMEO_NEW:
    case SO_SNDTIMEO_NEW:
        if (real.setsockopt(fd, SOL_SOCKET, option, value, value_bytes) < 0)
            return -1;
        break;
    case SO_RCVBUF:
    case SO_RCVBUFFORCE:
        if (is_started)
            return set_receive_buffer(sock, option, value, value_bytes);
        break;
    case SO_TIMESTAMPING: /* the wire would stamp, and queue, the protocol's packets */
        return set_time_stamping(sock, fd, value, value_bytes);
    case SO_BINDTODEVICE:
    case SO_BINDTOIFINDEX:
    case SO_MARK:
        atomic_store(&sock->shared->steers_routes, true);
        break;
    }
    return real.setsockopt(sock->wire_fd, SOL_SOCKET, option, value, value_bytes);
}

int shim_setsockopt(struct shim_socket *sock, int fd, int level, int option, const void *value,
                    socklen_t value_bytes)
{
    const struct shadow *shadow = find_shadow(sock, level, option);

    if (shadow != NULL)
        return set_shadow(sock, fd, shadow, value, value_bytes);
    if (level == SOL_SOCKET)
        return set_socket_level(sock, fd, option, value, value_bytes);
    if ((level == IPPROTO_IP && option == IP_RECVERR) ||
        (level == IPPROTO_IPV6 && option == IPV6_RECVERR && sock->family == AF_INET6))
        return set_wants_errors(sock, level, option, value, value_bytes);
    if (level == IPPROTO_UDP && (option == UDP_SEGMENT || option == UDP_GRO))
        return fail(ENOPROTOOPT); /* programs that ask for offload can do without */
    if ((level == IPPROTO_IP && option == IP_UNICAST_IF) ||
        (level == IPPROTO_IPV6 && option == IPV6_UNICAST_IF))
        atomic_store(&sock->shared->steers_routes, true);
    return real.setsockopt(sock->wire_fd, level, option, value, value_bytes);
}

/* --- A wire that was somebody else's ------------------------------------------------------------
 */

static bool wire_has(const struct shim_socket *sock, int level, int option)
{
    int value = 0;
    socklen_t bytes = sizeof value;

    return RAW_CALL(SYS_getsockopt, sock->wire_fd, level, option, raw_pointer(&value),
                    raw_pointer(&bytes)) == 0 &&
           value != 0;
}

/* What a plain program set, it wants to receive. All of what an engine asks for was set by one: the
 * service that inetd started before this one has left it. */
static uint32_t import_controls(const struct shim_socket *sock)
{
    const uint32_t of_engine =
        SHIM_CONTROL_TTL | SHIM_CONTROL_TOS | SHIM_CONTROL_TIMESTAMPNS |
        (sock->family == AF_INET
             ? SHIM_CONTROL_PKTINFO
             : SHIM_CONTROL_PKTINFO6 | SHIM_CONTROL_HOPLIMIT | SHIM_CONTROL_TCLASS);
    uint32_t wanted = 0;

    for (size_t index = 0; index < sizeof shadows / sizeof *shadows; index++) {
        const struct shadow *shadow = &shadows[index];

        if (find_shadow(sock, shadow->level, shadow->option) != NULL &&
            wire_has(sock, shadow->level, shadow->option))
            wanted |= shadow->bit;
    }
    return (wanted & of_engine) == of_engine ? wanted & ~of_engine : wanted;
}

static bool import_wants_errors(const struct shim_socket *sock, int level, int option)
{
    const int off = 0;

    if (!wire_has(sock, level, option))
        return false;
    (void)RAW_CALL(SYS_setsockopt, sock->wire_fd, level, option, raw_pointer(&off), sizeof off);
    return true;
}

static void import_timeout(const struct shim_socket *sock, int fd, int option)
{
    struct timeval time;
    socklen_t bytes = sizeof time;

    if (RAW_CALL(SYS_getsockopt, sock->wire_fd, SOL_SOCKET, option, raw_pointer(&time),
                 raw_pointer(&bytes)) == 0)
        (void)RAW_CALL(SYS_setsockopt, fd, SOL_SOCKET, option, raw_pointer(&time), bytes);
}

void shim_options_import(struct shim_socket *sock, int fd)
{
    atomic_store(&sock->shared->wanted_controls, import_controls(sock));
    atomic_store(&sock->shared->wants_errors, import_wants_errors(sock, IPPROTO_IP, IP_RECVERR));
    if (sock->family == AF_INET6)
        atomic_store(&sock->shared->wants_errors6,
                     import_wants_errors(sock, IPPROTO_IPV6, IPV6_RECVERR));
    atomic_store(&sock->shared->steers_routes, wire_has(sock, SOL_SOCKET, SO_MARK) ||
                                                   wire_has(sock, SOL_SOCKET, SO_BINDTOIFINDEX));
    import_timeout(sock, fd, SO_RCVTIMEO);
    import_timeout(sock, fd, SO_SNDTIMEO);
}

/* --- ioctl --------------------------------------------------------------------------------------
 */

static int give_next_bytes(struct shim_socket *sock, int fd, void *argument)
{
    int bytes = shim_receive_next_bytes(sock, fd);

    if (bytes < 0)
        return -1;
    if (!shim_memory_is_writable(argument, sizeof bytes))
        return fail(EFAULT);
    memcpy(argument, &bytes, sizeof bytes);
    return 0;
}

int shim_ioctl(struct shim_socket *sock, int fd, unsigned long request, void *argument)
{
    switch (request) {
    case FIONREAD:
        return give_next_bytes(sock, fd, argument);
    case FIONBIO: /* the wire follows, for plain sends */
        if (real.ioctl(fd, request, argument) < 0)
            return -1;
        return real.ioctl(sock->wire_fd, request, argument);
    case FIOCLEX:
    case FIONCLEX:
    case FIOASYNC:
    case FIOSETOWN:
    case FIOGETOWN:
    case SIOCSPGRP:
    case SIOCGPGRP:
        return real.ioctl(fd, request, argument);
    default:
        return real.ioctl(sock->wire_fd, request, argument);
    }
}
