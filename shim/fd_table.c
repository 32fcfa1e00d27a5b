#define _GNU_SOURCE
#include "shim/fd_table.h"

#include "engine/raw.h"
#include "shim/socket.h"

#include <limits.h>
#include <stdatomic.h>
#include <sys/mman.h>

/* Two levels cover every number an int can hold. The first is 256 KiB of untouched zero pages in a
 * process without sockets of ours; a second level is mapped when a number in it is first used, and
 * of its 512 KiB only the touched pages exist. */
#define LOW_BITS   16u
#define LOW_COUNT  (1u << LOW_BITS)
#define HIGH_COUNT (1u << (31u - LOW_BITS))

typedef _Atomic(struct shim_socket *) entry;

static _Atomic(entry *) blocks[HIGH_COUNT];

/* One above the highest number that ever had an entry: where scans end. */
static atomic_uint fd_end;

/* Its address is the private mark. */
static struct shim_socket private_mark;

static entry *entry_find(int fd)
{
    if (fd < 0)
        return NULL;
    entry *block =
        atomic_load_explicit(&blocks[(unsigned int)fd >> LOW_BITS], memory_order_acquire);

    return block == NULL ? NULL : &block[(unsigned int)fd & (LOW_COUNT - 1)];
}

static entry *block_map(_Atomic(entry *) *slot)
{
    size_t bytes = LOW_COUNT * sizeof(entry);
    long mapped = RAW_CALL(RAW_SYS_MMAP, 0, (long)bytes, PROT_READ | PROT_WRITE,
                           MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

    if (mapped < 0 && mapped > -4096)
        return NULL;
    entry *block = (entry *)mapped;
    entry *expected = NULL;

    if (atomic_compare_exchange_strong(slot, &expected, block))
        return block;
    (void)RAW_CALL(SYS_munmap, mapped, (long)bytes);
    return expected;
}

static entry *entry_make(int fd)
{
    if (fd < 0)
        return NULL;
    _Atomic(entry *) *slot = &blocks[(unsigned int)fd >> LOW_BITS];
    entry *block = atomic_load(slot);

    if (block == NULL)
        block = block_map(slot);
    if (block == NULL)
        return NULL;

    unsigned int end = atomic_load(&fd_end);
    while (end <= (unsigned int)fd &&
           !atomic_compare_exchange_weak(&fd_end, &end, (unsigned int)fd + 1)) {
    }
    return &block[(unsigned int)fd & (LOW_COUNT - 1)];
}

struct shim_socket *fd_table_acquire(int fd)
{
    entry *place = entry_find(fd);

    if (place == NULL)
        return NULL;
    for (;;) {
        struct shim_socket *sock = atomic_load_explicit(place, memory_order_acquire);

        if (sock == NULL || sock == &private_mark)
            return NULL;
        /* Between the two loads the socket may be closed and its memory, which is only ever reused
         * for sockets, given to another one: the use counts only if the entry still says so. */
        if (!shim_socket_try_use(sock))
            continue;
        if (atomic_load_explicit(place, memory_order_acquire) == sock)
            return sock;
        shim_socket_release(sock);
    }
}

bool fd_table_look(int fd, struct fd_table_seen *seen)
{
    entry *place = entry_find(fd);

    if (place == NULL)
        return false;
    do {
        seen->sock = atomic_load_explicit(place, memory_order_acquire);
        if (seen->sock == NULL || seen->sock == &private_mark)
            return false;
        seen->cookie = atomic_load_explicit(&seen->sock->cookie, memory_order_acquire);
    } while (atomic_load_explicit(place, memory_order_relaxed) != seen->sock);
    seen->fd = fd;
    return true;
}

bool fd_table_is_still(const struct fd_table_seen *seen)
{
    struct fd_table_seen now;

    return fd_table_look(seen->fd, &now) && now.sock == seen->sock && now.cookie == seen->cookie;
}

bool fd_table_acquire_seen(const struct fd_table_seen *seen)
{
    struct shim_socket *sock = fd_table_acquire(seen->fd);

    if (sock == NULL)
        return false;
    if (sock == seen->sock && atomic_load(&sock->cookie) == seen->cookie)
        return true;
    shim_socket_release(sock);
    return false;
}

struct shim_socket *fd_table_set(int fd, struct shim_socket *sock, bool *stored)
{
    entry *place = entry_make(fd);

    *stored = place != NULL;
    if (place == NULL)
        return NULL;
    shim_socket_use(sock);
    struct shim_socket *before = atomic_exchange(place, sock);

    return before == &private_mark ? NULL : before;
}

struct shim_socket *fd_table_clear(int fd)
{
    entry *place = entry_find(fd);

    if (place == NULL)
        return NULL;
    struct shim_socket *sock = atomic_load(place);
    while (sock != NULL && sock != &private_mark &&
           !atomic_compare_exchange_weak(place, &sock, NULL)) {
    }
    return sock == &private_mark ? NULL : sock;
}

bool fd_table_clear_if(int fd, const struct shim_socket *sock)
{
    entry *place = entry_find(fd);

    if (place == NULL)
        return false;
    struct shim_socket *expected = (struct shim_socket *)(uintptr_t)sock;

    return atomic_compare_exchange_strong(place, &expected, NULL);
}

void fd_table_set_private(int fd, bool is_private)
{
    entry *place = is_private ? entry_make(fd) : entry_find(fd);

    if (place != NULL)
        atomic_store(place, is_private ? &private_mark : NULL);
}

bool fd_table_is_private(int fd)
{
    entry *place = entry_find(fd);

    return place != NULL && atomic_load(place) == &private_mark;
}

bool fd_table_has_socket(int fd)
{
    entry *place = entry_find(fd);
    struct shim_socket *sock = place == NULL ? NULL : atomic_load(place);

    return sock != NULL && sock != &private_mark;
}

void fd_table_count_uses(void)
{
    int fd = -1;

    while ((fd = fd_table_next((unsigned int)(fd + 1), INT_MAX)) >= 0) {
        struct shim_socket *sock = atomic_load(entry_find(fd));

        if (sock != &private_mark)
            shim_socket_use(sock);
    }
}

int fd_table_find(const struct shim_socket *sock)
{
    int fd = -1;

    while ((fd = fd_table_next((unsigned int)(fd + 1), INT_MAX)) >= 0)
        if (atomic_load(entry_find(fd)) == sock)
            return fd;
    return -1;
}

int fd_table_next(unsigned int first, unsigned int last)
{
    unsigned int end = atomic_load(&fd_end);

    for (unsigned int fd = first; fd < end && fd <= last; fd++) {
        entry *place = entry_find((int)fd);

        if (place == NULL)
            fd |= LOW_COUNT - 1; /* nothing in this block */
        else if (atomic_load(place) != NULL)
            return (int)fd;
    }
    return -1;
}
