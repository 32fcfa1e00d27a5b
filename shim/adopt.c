#define _GNU_SOURCE
#include "shim/adopt.h"

#include "engine/raw.h"
#include "engine/system.h"
#include "shim/connect.h"
#include "shim/deliver.h"
#include "shim/hook.h"
#include "shim/linger.h"
#include "shim/log.h"
#include "shim/options.h"
#include "shim/process.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <netinet/in.h>
#include <poll.h>

#define LISTING_BYTES 2048u

/* Descriptors are looked at in blocks: the size of a new process's table, and one set of poll. */
#define BLOCK_COUNT 64u

/* A table up to this size is looked at whole; of a larger one the open numbers are listed. */
#define SCANNED_COUNT_MAX 1024u

/* The kernel's struct linux_dirent64. */
struct directory_entry {
    uint64_t inode;
    int64_t offset;
    uint16_t bytes;
    uint8_t type;
    char name[];
};

static bool read_option(int fd, int option, void *value, socklen_t bytes)
{
    return RAW_CALL(SYS_getsockopt, fd, SOL_SOCKET, option, raw_pointer(value),
                    raw_pointer(&bytes)) == 0;
}

static bool is_udp(int fd)
{
    int type = 0;
    int protocol = 0;

    return read_option(fd, SO_TYPE, &type, sizeof type) && type == SOCK_DGRAM &&
           read_option(fd, SO_PROTOCOL, &protocol, sizeof protocol) && protocol == IPPROTO_UDP;
}

/* Whether the kernel's socket behind fd may have reliable conversations. One that is not bound may:
 * what it will be bound to is not known. */
static bool may_be_tagged(int fd)
{
    struct sockaddr_storage addr;
    socklen_t bytes = sizeof addr;
    struct rudp_address local;

    if (RAW_CALL(SYS_getsockname, fd, raw_pointer(&addr), raw_pointer(&bytes)) < 0 ||
        !engine_address_from_sockaddr(&local, (const struct sockaddr *)&addr, bytes))
        return false;
    return local.port == 0 || shim_rules_may_tag(&shim_process_settings()->rules, &local);
}

/* --- One kernel socket under several numbers ----------------------------------------------------
 */

struct search {
    uint64_t identity;         /* SO_COOKIE of the wire */
    struct shim_socket *found; /* with a use */
    bool is_ending;            /* one whose last number is closed still delivers */
    uint16_t port;             /* of that one */
};

static void match_wire(void *context, struct shim_socket *sock)
{
    struct search *search = context;
    uint64_t identity;

    if (search->found != NULL || sock->is_client ||
        !read_option(sock->wire_fd, SO_COOKIE, &identity, sizeof identity) ||
        identity != search->identity)
        return;
    if (atomic_load(&sock->phase) == SHIM_OPEN && shim_socket_try_use(sock)) {
        search->found = sock;
        return;
    }
    search->is_ending = true;
    search->port = sock->shared->local.port;
}

/* A use of the socket on that wire, or NULL when there is none, any more. */
static struct shim_socket *find_known(uint64_t identity)
{
    for (;;) {
        struct search search = {.identity = identity};
        uint32_t end_count = shim_linger_end_count();

        shim_socket_each(match_wire, &search);
        if (search.found != NULL || !search.is_ending ||
            !shim_linger_wait_for_port(search.port, end_count))
            return search.found;
    }
}

/* Another descriptor of a socket that is ours already (inetd gives one under three numbers): two
 * engines on one wire would take each other's packets. 1: fd is a copy of A now. 0: there is none.
 */
static int copy_known(int fd)
{
    long flags = RAW_CALL(SYS_fcntl, fd, F_GETFD);
    uint64_t identity;
    bool stored = false;

    if (flags < 0 || !read_option(fd, SO_COOKIE, &identity, sizeof identity))
        return 0;
    struct shim_socket *known = find_known(identity);
    if (known == NULL)
        return 0;
    int number = fd_table_find(known);
    long result = number < 0
                      ? -EBADF
                      : RAW_CALL(SYS_dup3, number, fd, (flags & FD_CLOEXEC) != 0 ? O_CLOEXEC : 0);

    if (result >= 0)
        (void)fd_table_set(fd, known, &stored);
    shim_socket_release(known);
    if (result < 0)
        return (int)result;
    return stored ? 1 : -ENOMEM;
}

/* ------------------------------------------------------------------------------------------------
 */

static int convert(int fd, sa_family_t family)
{
    int result = copy_known(fd);

    if (result != 0)
        return result;
    result = shim_socket_convert(fd, family);
    if (result < 0)
        return result;
    struct shim_socket *sock = fd_table_acquire(fd);

    if (sock == NULL)
        return -EBADF;
    shim_options_import(sock, fd);
    shim_socket_refresh_local(sock);
    shim_connect_refresh_peer(sock);
    shim_deliver_choose_frame(sock);
    shim_socket_release(sock);
    return 0;
}

/* --- A of a socket made elsewhere ---------------------------------------------------------------
 */

struct cookie_search {
    uint64_t cookie;
    struct shim_socket *found; /* with a use */
};

static void match_cookie(void *context, struct shim_socket *sock)
{
    struct cookie_search *search = context;
    uint32_t phase = atomic_load(&sock->phase);

    if (search->found != NULL || sock->cookie != search->cookie || phase > SHIM_ORPHAN)
        return;
    if (phase == SHIM_ORPHAN)
        shim_socket_use(sock); /* revived: what visits can do that, see shim_socket_pin */
    else if (!shim_socket_try_use(sock))
        return;
    search->found = sock;
}

/* One more number of a socket that this process has, or a socket of other processes. */
static int join(int fd, uint64_t cookie)
{
    struct cookie_search search = {.cookie = cookie};
    bool stored;

    shim_socket_each(match_cookie, &search);
    if (search.found == NULL)
        return shim_socket_join(fd, cookie);
    struct shim_socket *stale = fd_table_set(fd, search.found, &stored);

    if (stale != NULL)
        shim_socket_release(stale);
    shim_linger_revive(search.found);
    shim_socket_release(search.found);
    return stored ? 0 : -ENOMEM;
}

/* ------------------------------------------------------------------------------------------------
 */

static void adopt(int fd)
{
    int domain = AF_UNSPEC;
    int result = 0;
    uint64_t cookie;

    if (fd_table_is_private(fd) || fd_table_has_socket(fd) ||
        !read_option(fd, SO_DOMAIN, &domain, sizeof domain))
        return;
    if (domain == AF_UNIX && shim_pair_recognise(fd, &cookie))
        result = join(fd, cookie);
    else if ((domain == AF_INET || domain == AF_INET6) && is_udp(fd) && may_be_tagged(fd))
        result = convert(fd, (sa_family_t)domain);
    if (result < 0)
        shim_log(SHIM_LOG_ERROR, "a UDP socket from another process is not made reliable: error %d",
                 (int64_t)-result);
}

/* The number a name stands for, or -1. */
static int read_number(const char *name)
{
    int number = 0;

    if (*name == '\0')
        return -1;
    for (; *name >= '0' && *name <= '9'; name++)
        number = 10 * number + (*name - '0');
    return *name == '\0' ? number : -1;
}

static void adopt_listed(const uint8_t *listing, size_t bytes)
{
    const struct directory_entry *entry;

    for (size_t at = 0; at < bytes; at += entry->bytes) {
        entry = (const struct directory_entry *)(const void *)(listing + at);
        adopt(read_number(entry->name));
    }
}

static void adopt_list(long directory_fd)
{
    _Alignas(struct directory_entry) uint8_t listing[LISTING_BYTES];
    long bytes;

    while ((bytes = RAW_CALL(SYS_getdents64, directory_fd, raw_pointer(listing), sizeof listing)) >
           0)
        adopt_listed(listing, (size_t)bytes);
}

/* poll says of 64 numbers at once which are open. */
static void adopt_block(unsigned int first)
{
    struct pollfd numbers[BLOCK_COUNT];

    for (unsigned int index = 0; index < BLOCK_COUNT; index++)
        numbers[index] = (struct pollfd){.fd = (int)(first + index)};
    /* Refused where fewer numbers are allowed: then none is known to be closed. */
    (void)engine_sys_poll(numbers, BLOCK_COUNT, 0);
    for (unsigned int index = 0; index < BLOCK_COUNT; index++)
        if ((numbers[index].revents & POLLNVAL) == 0)
            adopt(numbers[index].fd);
}

/* Whether the process's descriptor table has no more than count entries, so no number above is
 * open. select neither reads nor writes its sets beyond the table. */
static bool is_table_within(unsigned int count)
{
    static const int64_t no_time[2]; /* a timespec of any width */
    const size_t block = count / BLOCK_COUNT;
    uint64_t set[SCANNED_COUNT_MAX / BLOCK_COUNT + 1] = {0};

    set[block] = UINT64_MAX;
    return RAW_CALL(SYS_pselect6, count + BLOCK_COUNT, 0, 0, raw_pointer(set), raw_pointer(no_time),
                    0) == 0 &&
           set[block] == UINT64_MAX;
}

void shim_adopt_inherited(void)
{
    unsigned int count = is_table_within(BLOCK_COUNT) ? BLOCK_COUNT : SCANNED_COUNT_MAX;
    long fd = -1;

    if (!is_table_within(count))
        fd = RAW_CALL(SYS_openat, AT_FDCWD, raw_pointer("/proc/self/fd"),
                      O_RDONLY | O_DIRECTORY | O_CLOEXEC, 0);
    if (fd >= 0) {
        adopt_list(fd);
        (void)RAW_CALL(SYS_close, fd);
        return;
    }
    for (unsigned int first = 0; first < count; first += BLOCK_COUNT)
        adopt_block(first);
}

static void start_if_bound(int fd)
{
    struct shim_socket *sock = fd_table_acquire(fd);

    if (sock == NULL)
        return;
    if (!sock->is_client && sock->shared->local.port != 0)
        (void)shim_socket_start(sock); /* which says so when it cannot */
    shim_socket_release(sock);
}

void shim_adopt_start(void)
{
    for (int fd = fd_table_next(0, INT_MAX); fd >= 0;
         fd = fd_table_next((unsigned int)fd + 1, INT_MAX))
        start_if_bound(fd);
}

void shim_adopt_received(int fd)
{
    if (!shim_process_is_ready() || shim_process_is_guest())
        return;
    int saved_errno = errno;

    shim_hook_renew(fd, NULL);
    adopt(fd);
    start_if_bound(fd);
    errno = saved_errno;
}

/* Calls visit for each descriptor that the message carries. */
static void each_descriptor(const struct msghdr *message, void (*visit)(int fd))
{
    const uint8_t *at = message->msg_control;
    size_t left_bytes = message->msg_controllen;
    struct cmsghdr header;
    int fd;

    while (left_bytes >= sizeof header) {
        memcpy(&header, at, sizeof header);
        if (header.cmsg_len < CMSG_LEN(0) || header.cmsg_len > left_bytes)
            return;
        bool has_rights = header.cmsg_level == SOL_SOCKET && header.cmsg_type == SCM_RIGHTS;

        for (size_t bytes = CMSG_LEN(0); has_rights && bytes + sizeof fd <= header.cmsg_len;
             bytes += sizeof fd) {
            memcpy(&fd, at + bytes, sizeof fd);
            visit(fd);
        }
        size_t step = (size_t)min_u64(CMSG_ALIGN(header.cmsg_len), left_bytes);

        at += step;
        left_bytes -= step;
    }
}

void shim_adopt_passed(const struct msghdr *message)
{
    each_descriptor(message, shim_adopt_received);
}

static void start(int fd)
{
    struct shim_socket *sock = fd_table_acquire(fd);

    if (sock == NULL)
        return;
    if (shim_socket_is_ours(sock))
        (void)shim_socket_start(sock); /* which says so when it cannot */
    shim_socket_release(sock);
}

void shim_adopt_passing(const struct msghdr *message)
{
    int saved_errno = errno;

    if (!shim_process_is_guest())
        each_descriptor(message, start);
    errno = saved_errno;
}
