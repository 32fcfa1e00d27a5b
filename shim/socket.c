#define _GNU_SOURCE
#include "shim/socket.h"

#include "engine/descriptor.h"
#include "engine/memory.h"
#include "engine/random.h"
#include "engine/raw.h"
#include "shim/deliver.h"
#include "shim/asker.h"
#include "shim/discovery.h"
#include "shim/drain.h"
#include "shim/fd_table.h"
#include "shim/heir.h"
#include "shim/lease.h"
#include "shim/pending.h"
#include "shim/linger.h"
#include "shim/lock.h"
#include "shim/log.h"
#include "shim/peers.h"
#include "shim/port.h"
#include "shim/process.h"
#include "shim/real.h"
#include "shim/responder.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <unistd.h>

#define SLAB_COUNT   64u
#define FRESH_OFFSET offsetof(struct shim_socket, phase)
#define FRESH_END    offsetof(struct shim_socket, copy)

struct arena_count {
    const struct engine_arena *arena;
    size_t user_count;
};

/* Slabs are never unmapped. */
struct slab {
    struct slab *next;
    struct shim_socket sockets[SLAB_COUNT];
};

static pthread_mutex_t pool_mutex = PTHREAD_MUTEX_INITIALIZER;
static pthread_mutex_t start_mutex = PTHREAD_MUTEX_INITIALIZER;
static struct slab *slabs;
static struct shim_socket *free_first;
static struct engine_signal_mask fork_mask;
static uint64_t start_count; /* of sockets; under the start mutex */

static void *map_pages(size_t bytes)
{
    long mapped = RAW_CALL(RAW_SYS_MMAP, 0, (long)bytes, PROT_READ | PROT_WRITE,
                           MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

    return mapped < 0 && mapped > -4096 ? NULL : (void *)mapped;
}

static void slab_add(void)
{
    struct slab *slab = (struct slab *)map_pages(sizeof *slab);

    if (slab == NULL)
        return;
    slab->next = slabs;
    slabs = slab;
    for (size_t index = 0; index < SLAB_COUNT; index++) {
        slab->sockets[index].next_free = free_first;
        free_first = &slab->sockets[index];
    }
}

/* One use, phase open, everything else zero. NULL: no memory. */
static struct shim_socket *pool_take(void)
{
    struct engine_signal_mask mask = shim_lock(&pool_mutex);

    if (free_first == NULL)
        slab_add();
    struct shim_socket *sock = free_first;
    if (sock != NULL) {
        free_first = sock->next_free;
        /* Everything but the use count and the cookie, which a reader of a stale entry may be
         * trying. */
        memset((uint8_t *)sock + FRESH_OFFSET, 0, FRESH_END - FRESH_OFFSET);
        sock->wire_fd = -1;
        sock->pair_fd = -1;
        atomic_store(&sock->phase, SHIM_OPEN);
        atomic_store(&sock->users, 1);
    }
    shim_unlock(&pool_mutex, mask);
    return sock;
}

static void pool_give(struct shim_socket *sock)
{
    struct engine_signal_mask mask = shim_lock(&pool_mutex);

    atomic_store(&sock->phase, SHIM_FREE);
    sock->next_free = free_first;
    free_first = sock;
    shim_unlock(&pool_mutex, mask);
}

void shim_socket_each(void (*visit)(void *context, struct shim_socket *sock), void *context)
{
    struct engine_signal_mask mask = shim_lock(&pool_mutex);

    for (struct slab *slab = slabs; slab != NULL; slab = slab->next)
        for (size_t index = 0; index < SLAB_COUNT; index++)
            if (atomic_load(&slab->sockets[index].phase) != SHIM_FREE)
                visit(context, &slab->sockets[index]);
    shim_unlock(&pool_mutex, mask);
}

static void mark_spread(void *context, struct shim_socket *sock)
{
    (void)context;
    if (sock->shared != NULL)
        atomic_store(&sock->shared->is_spread, true);
}

void shim_socket_before_fork(void)
{
    shim_socket_each(mark_spread, NULL);
    shim_heir_before_fork();
    fork_mask = shim_lock(&start_mutex);
    shim_responder_before_fork();
    engine_before_fork();
    shim_discovery_before_fork();
    (void)shim_lock(&pool_mutex);
}

void shim_socket_after_fork_parent(void)
{
    RUDP_ASSERT(pthread_mutex_unlock(&pool_mutex) == 0);
    shim_discovery_after_fork_parent();
    engine_after_fork_parent();
    shim_responder_after_fork_parent();
    shim_unlock(&start_mutex, fork_mask);
    shim_heir_after_fork_parent();
}

static void forget_users(void *context, struct shim_socket *sock)
{
    (void)context;
    atomic_store(&sock->users, 0);
    atomic_store(&sock->settles, false); /* the job was the parent's */
}

static void free_unused(void *context, struct shim_socket *sock)
{
    struct shim_socket **unused = context;

    if (atomic_load(&sock->users) > 0 || sock->is_entrusted)
        return;
    sock->next_free = *unused;
    *unused = sock;
}

/* The engines run in the parent: here they are copies that nobody uses. */
static void drop_engine(void *context, struct shim_socket *sock)
{
    (void)context;
    atomic_store(&sock->engine, NULL);
}

static void recount_uses(void)
{
    struct shim_socket *unused = NULL;

    shim_socket_each(forget_users, NULL);
    fd_table_count_uses();
    shim_socket_each(free_unused, &unused);
    while (unused != NULL) {
        struct shim_socket *sock = unused;

        unused = sock->next_free;
        shim_socket_free(sock);
    }
}

void shim_socket_after_fork_child(void)
{
    RUDP_ASSERT(pthread_mutex_unlock(&pool_mutex) == 0);
    shim_discovery_after_fork_child();
    engine_after_fork_child();
    shim_responder_after_fork_child();
    shim_asker_after_fork_child();
    shim_socket_each(drop_engine, NULL);
    engine_detach_inherited();
    shim_unlock(&start_mutex, fork_mask);
    shim_heir_after_fork_child();
    recount_uses();
}

void shim_socket_use(struct shim_socket *sock)
{
    atomic_fetch_add_explicit(&sock->users, 1, memory_order_relaxed);
}

bool shim_socket_try_use(struct shim_socket *sock)
{
    uint32_t users = atomic_load_explicit(&sock->users, memory_order_relaxed);

    while (users > 0)
        if (atomic_compare_exchange_weak_explicit(&sock->users, &users, users + 1,
                                                  memory_order_acquire, memory_order_relaxed))
            return true;
    return false;
}

void shim_socket_release(struct shim_socket *sock)
{
    uint32_t users = atomic_load_explicit(&sock->users, memory_order_relaxed);

    while (users > 1)
        if (atomic_compare_exchange_weak_explicit(&sock->users, &users, users - 1,
                                                  memory_order_release, memory_order_relaxed))
            return;
    int saved_errno = errno;

    shim_linger_abandon(sock);
    errno = saved_errno;
}

bool shim_socket_drop_last_use(struct shim_socket *sock)
{
    return atomic_fetch_sub_explicit(&sock->users, 1, memory_order_acq_rel) == 1;
}

static struct shim_socket *pin(bool (*is_wanted)(const struct shim_socket *sock, uint32_t phase),
                               uint32_t phase, uint32_t *place)
{
    struct engine_signal_mask mask = shim_lock(&pool_mutex);
    struct shim_socket *found = NULL;
    uint32_t at = 0;

    for (struct slab *slab = slabs; slab != NULL && found == NULL; slab = slab->next) {
        for (size_t index = 0; index < SLAB_COUNT && found == NULL; index++) {
            struct shim_socket *sock = &slab->sockets[index];

            if (at++ >= *place && is_wanted(sock, phase))
                found = sock;
        }
    }
    *place = at;
    if (found != NULL)
        shim_socket_use(found);
    shim_unlock(&pool_mutex, mask);
    return found;
}

static bool is_in_phase(const struct shim_socket *sock, uint32_t phase)
{
    return atomic_load(&sock->phase) == phase;
}

/* With messages waiting it cannot be claimed, so it is not being taken apart. The engine is looked
 * at first: a socket that is just being made has none, and nothing else that may be read. */
static bool is_pending(const struct shim_socket *sock, uint32_t phase_before)
{
    uint32_t phase = atomic_load(&sock->phase);

    return phase != SHIM_FREE && phase < phase_before && shim_socket_engine(sock) != NULL &&
           atomic_load(&sock->shared->pending_count) > 0;
}

struct shim_socket *shim_socket_pin(enum shim_phase phase, uint32_t *place)
{
    return pin(is_in_phase, phase, place);
}

struct shim_socket *shim_socket_pin_pending(uint32_t *place)
{
    return pin(is_pending, SHIM_FINISHED, place);
}

bool shim_socket_claim(struct shim_socket *sock)
{
    if (atomic_load(&sock->phase) != SHIM_LINGER || atomic_load(&sock->shared->peer_count) > 0 ||
        atomic_load(&sock->shared->pending_count) > 0)
        return false;
    struct engine_signal_mask mask = shim_lock(&pool_mutex);
    bool is_unused = atomic_load(&sock->users) == 0; /* pins are taken under this lock */

    if (is_unused)
        atomic_store(&sock->phase, SHIM_FINISHED);
    shim_unlock(&pool_mutex, mask);
    return is_unused;
}

/* Unmarked first: once closed, the number may be somebody else's. */
static void close_private(int fd)
{
    if (fd < 0)
        return;
    fd_table_set_private(fd, false);
    (void)RAW_CALL(SYS_close, fd);
}

static bool open_shared(struct shim_socket *sock)
{
    sock->arena = engine_memory_arena();
    if (sock->arena == NULL) {
        shim_log(SHIM_LOG_ERROR,
                 "no UDP socket: the system refuses shared memory (memfd_create) or "
                 "an eventfd");
        return false;
    }
    fd_table_set_private(engine_arena_fd(sock->arena), true);
    fd_table_set_private(engine_arena_bell(sock->arena), true);
    struct shim_shared *shared =
        (struct shim_shared *)engine_arena_take(sock->arena, sizeof *shared);

    if (shared == NULL)
        return false;
    memset(shared, 0, sizeof *shared);
    uint64_t cookie;

    engine_random_fill(NULL, &cookie, sizeof cookie);
    atomic_store(&sock->cookie, cookie);
    atomic_store(&shared->cookie, cookie);
    sock->shared = shared;
    return true;
}

/* Whether no other process has to do with the socket any more. Its own A is closed. With the answer
 * true the lease is taken. */
static bool is_last_holder(const struct shim_socket *sock)
{
    if (sock->shared == NULL || sock->is_client)
        return false;
    if (sock->pair_fd < 0) /* it was being made; a forked child's parent is making it still */
        return engine_memory_is_own(sock->arena);
    return !shim_pair_is_held(sock->cookie, sock->pair_fd) && shim_lease_take(sock) &&
           atomic_load(&sock->shared->cookie) == sock->cookie;
}

/* Another process that closed its A at the same time finds the cookie gone. */
static void free_shared(struct shim_socket *sock)
{
    struct rudp_endpoint *endpoint = atomic_load(&sock->shared->endpoint);

    if (endpoint != NULL && !rudp_endpoint_is_torn(endpoint))
        rudp_endpoint_destroy(endpoint);
    shim_peer_forget_all(sock);
    shim_pending_forget_all(sock);
    atomic_store(&sock->shared->cookie, 0);
    shim_lease_drop(sock);
    engine_arena_give(sock->arena, sock->shared, sizeof *sock->shared);
}

static void count_user(void *context, struct shim_socket *sock)
{
    struct arena_count *count = context;

    count->user_count += sock->arena == count->arena;
}

/* An arena that came by fork is kept for as long as there are sockets of it. */
static void close_arena(struct engine_arena *arena)
{
    struct arena_count count = {.arena = arena};

    if (arena == NULL || engine_memory_is_own(arena))
        return;
    shim_socket_each(count_user, &count);
    if (count.user_count > 0)
        return;
    fd_table_set_private(engine_arena_fd(arena), false);
    fd_table_set_private(engine_arena_bell(arena), false);
    engine_arena_destroy(arena);
}

void shim_socket_free(struct shim_socket *sock)
{
    struct engine_socket *engine = atomic_load(&sock->engine);
    struct engine_arena *arena = sock->arena;
    bool is_last = is_last_holder(sock);

    if (engine != NULL) {
        fd_table_set_private(sock->wire_fd, false);
        atomic_store(&sock->shared->endpoint, NULL);
        engine_socket_destroy(engine); /* closes the wire */
    } else {
        close_private(sock->wire_fd);
    }
    close_private(sock->pair_fd);
    if (atomic_load(&sock->stands_by))
        shim_lease_stand_by(sock, false);
    if (is_last)
        free_shared(sock);
    if (sock->scratch != NULL)
        (void)RAW_CALL(SYS_munmap, raw_pointer(sock->scratch), SHIM_PAIR_BYTES_MAX);
    shim_port_forget(&sock->aside);
    pool_give(sock);
    close_arena(arena);
}

long shim_socket_probe(const struct shim_socket *sock, const struct msghdr *message)
{
    struct msghdr nothing = *message;

    if (sock->wire_fd < 0) /* a client whose owner does not answer: the send says so */
        return 0;
    nothing.msg_iov = NULL;
    nothing.msg_iovlen = 0;
    /* The way to confirm a neighbour: everything is looked at, and a datagram of no length is not
     * sent. */
    return RAW_CALL(SYS_sendmsg, sock->wire_fd, raw_pointer(&nothing),
                    MSG_CONFIRM | MSG_PROXY | MSG_DONTWAIT | MSG_NOSIGNAL);
}

void shim_socket_forget(struct shim_socket *sock, int fd)
{
    if (fd_table_clear_if(fd, sock))
        shim_socket_release(sock);
}

bool shim_socket_is_ours(const struct shim_socket *sock)
{
    pid_t owner = atomic_load_explicit(&sock->owner_pid, memory_order_acquire);

    if (sock->is_client)
        return false;
    return owner == 0 || owner == shim_process_pid();
}

struct engine_socket *shim_socket_engine(const struct shim_socket *sock)
{
    struct engine_socket *engine = atomic_load_explicit(&sock->engine, memory_order_acquire);

    return engine != NULL && shim_socket_is_ours(sock) ? engine : NULL;
}

struct rudp_endpoint *shim_socket_endpoint(const struct shim_socket *sock)
{
    return engine_socket_endpoint(atomic_load_explicit(&sock->engine, memory_order_acquire));
}

bool shim_socket_is_itself(const struct shim_socket *sock, const struct rudp_address *address)
{
    static const struct rudp_address any;
    static const struct rudp_address any_v4 = {.ip = {[10] = 0xff, [11] = 0xff}};
    static const struct rudp_address loopback = {.ip = {[15] = 1}};
    const uint8_t *own = sock->shared->local.ip;
    bool is_loopback = engine_address_is_v4(address)
                           ? address->ip[12] == IN_LOOPBACKNET
                           : memcmp(address->ip, loopback.ip, sizeof loopback.ip) == 0;
    bool is_wildcard =
        memcmp(own, any.ip, sizeof any.ip) == 0 || memcmp(own, any_v4.ip, sizeof any_v4.ip) == 0;

    return address->port == sock->shared->local.port &&
           (memcmp(own, address->ip, sizeof address->ip) == 0 || (is_wildcard && is_loopback));
}

void shim_socket_refresh_local(struct shim_socket *sock)
{
    struct sockaddr_storage addr;
    socklen_t bytes = sizeof addr;

    if (RAW_CALL(SYS_getsockname, sock->wire_fd, raw_pointer(&addr), raw_pointer(&bytes)) < 0 ||
        !engine_address_from_sockaddr(&sock->shared->local, (const struct sockaddr *)&addr, bytes))
        sock->shared->local = (struct rudp_address){.port = 0};
}

/* The pair first: A then has the number that socket() would have returned. */
static int open_descriptors(struct shim_socket *sock, int domain, int type, int protocol)
{
    int flags = type & (SOCK_NONBLOCK | SOCK_CLOEXEC);
    int program_fd;

    int result = shim_pair_create(sock->cookie, flags, &program_fd, &sock->pair_fd);

    if (result < 0)
        return result;
    long wire_fd = RAW_CALL(SYS_socket, domain, type | SOCK_CLOEXEC, protocol);

    if (wire_fd < 0) {
        (void)RAW_CALL(SYS_close, program_fd);
        return (int)wire_fd;
    }
    sock->family = (sa_family_t)domain;
    sock->wire_fd = engine_descriptor_move_high((int)wire_fd);
    fd_table_set_private(sock->pair_fd, true);
    fd_table_set_private(sock->wire_fd, true);
    return program_fd;
}

/* Our descriptors exist for a moment where the program's are: that must not cost it its last one.
 */
static int open_in_room(struct shim_socket *sock, int domain, int type, int protocol)
{
    struct engine_descriptor_room room;

    engine_descriptor_raise(&room);
    int fd = open_shared(sock) ? open_descriptors(sock, domain, type, protocol) : -ENOMEM;

    engine_descriptor_lower(&room);
    if (!engine_descriptor_exceeds(&room, fd))
        return fd;
    (void)RAW_CALL(SYS_close, fd);
    return -EMFILE;
}

int shim_socket_open(int domain, int type, int protocol)
{
    struct shim_socket *sock = pool_take();

    if (sock == NULL) {
        errno = ENOMEM;
        return -1;
    }
    shim_process_use();
    int fd = open_in_room(sock, domain, type, protocol);

    if (fd >= 0) {
        bool stored;
        struct shim_socket *stale = fd_table_set(fd, sock, &stored);

        if (stale != NULL)
            shim_socket_release(stale);
        if (!stored) {
            (void)RAW_CALL(SYS_close, fd);
            fd = -ENOMEM;
        }
    }
    shim_socket_release(sock);
    return (int)real_result(fd);
}

/* The plain descriptor's copy becomes the wire, and A takes its number, in one step. */
static int convert_descriptors(struct shim_socket *sock, int fd, sa_family_t family)
{
    long status = RAW_CALL(SYS_fcntl, fd, F_GETFL);
    long flags = RAW_CALL(SYS_fcntl, fd, F_GETFD);
    int program_fd;

    if (status < 0 || flags < 0)
        return -EBADF;
    int result = shim_pair_create(sock->cookie,
                                  SOCK_CLOEXEC | ((status & O_NONBLOCK) != 0 ? SOCK_NONBLOCK : 0),
                                  &program_fd, &sock->pair_fd);

    if (result < 0)
        return result;
    sock->family = family;
    sock->wire_fd = engine_descriptor_copy_high(fd);
    result = sock->wire_fd < 0 ? sock->wire_fd
                               : (int)RAW_CALL(SYS_dup3, program_fd, fd,
                                               (flags & FD_CLOEXEC) != 0 ? O_CLOEXEC : 0);
    (void)RAW_CALL(SYS_close, program_fd);
    if (result < 0)
        return result;
    fd_table_set_private(sock->pair_fd, true);
    fd_table_set_private(sock->wire_fd, true);
    return 0;
}

int shim_socket_convert(int fd, sa_family_t family)
{
    struct shim_socket *sock = pool_take();
    bool stored = false;

    if (sock == NULL)
        return -ENOMEM;
    shim_process_use();
    struct shim_socket *stale = fd_table_set(fd, sock, &stored);

    if (stale != NULL)
        shim_socket_release(stale);
    int result = stored && open_shared(sock) ? convert_descriptors(sock, fd, family) : -ENOMEM;

    if (result < 0)
        shim_socket_forget(sock, fd);
    shim_socket_release(sock);
    return result;
}

int shim_socket_join(int fd, uint64_t cookie)
{
    struct shim_socket *sock = pool_take();
    bool stored;

    if (sock == NULL)
        return -ENOMEM;
    shim_process_use();
    sock->is_client = true;
    atomic_store(&sock->cookie, cookie);
    memset(&sock->copy, 0, sizeof sock->copy);
    sock->shared = &sock->copy;
    struct shim_socket *stale = fd_table_set(fd, sock, &stored);

    if (stale != NULL)
        shim_socket_release(stale);
    shim_socket_release(sock);
    return stored ? 0 : -ENOMEM;
}

static int show_receive_buffer(struct shim_socket *sock)
{
    int value = 0;
    socklen_t bytes = sizeof value;
    long result = RAW_CALL(SYS_getsockopt, sock->wire_fd, SOL_SOCKET, SO_RCVBUF,
                           raw_pointer(&value), raw_pointer(&bytes));

    return result < 0 ? 0 : value;
}

/* The lease is this process's. */
static int begin_serving(struct shim_socket *sock)
{
    struct rudp_endpoint *endpoint = shim_heir_find_endpoint(sock);
    const struct engine_socket_options options = {
        .config = shim_deliver_config(),
        .handler = &shim_deliver_handler,
        .context = sock,
        .arena = sock->arena,
        .endpoint = endpoint,
        .enters = true,
    };
    struct engine_socket *engine;
    int result = engine_socket_create(&engine, sock->wire_fd, &options);

    if (result < 0)
        return result;
    shim_process_protect_engine();
    atomic_store(&sock->shared->endpoint, engine_socket_endpoint(engine));
    atomic_store_explicit(&sock->owner_pid, shim_process_pid(), memory_order_release);
    atomic_store_explicit(&sock->engine, engine, memory_order_release);
    shim_deliver_begin(sock);
    if (endpoint != NULL)
        shim_heir_restore(sock);
    shim_drain(sock);
    engine_socket_leave(engine);
    if (shim_process_settings()->falls_back)
        shim_asker_sweep(); /* the responder may have to try again; a holder before this one ended
                             */
    return 0;
}

static int serve_locked(struct shim_socket *sock)
{
    if (!shim_lease_take(sock)) {
        atomic_store(&sock->owner_pid, -1);
        return 1;
    }
    if (sock->scratch == NULL)
        sock->scratch = (uint8_t *)map_pages(SHIM_PAIR_BYTES_MAX);
    int shown = 0;
    int result = sock->scratch == NULL ? -ENOMEM : 0;

    if (atomic_compare_exchange_strong(&sock->shared->receive_buffer_shown, &shown,
                                       show_receive_buffer(sock))) { /* before it is enlarged */
        shim_socket_refresh_local(sock);
    }
    sock->number = ++start_count;
    shim_responder_announce(sock, &sock->shared->local);
    if (result == 0)
        result = begin_serving(sock);
    if (result < 0) {
        shim_lease_drop(sock);
        return result;
    }
    atomic_store(&sock->is_unwatched, false);
    atomic_store(&sock->watched_pid, 0);
    if (atomic_exchange(&sock->stands_by, false))
        shim_lease_stand_by(sock, false);
    return 0;
}

int shim_socket_serve(struct shim_socket *sock)
{
    if (sock->is_client || shim_process_is_guest())
        return 1;
    if (atomic_load_explicit(&sock->engine, memory_order_acquire) != NULL)
        return 0;
    struct engine_signal_mask mask = shim_lock(&start_mutex);
    int result = 0;

    if (atomic_load(&sock->engine) == NULL)
        result = serve_locked(sock);
    shim_unlock(&start_mutex, mask);
    if (result < 0)
        shim_log(SHIM_LOG_ERROR, "the engine does not start: error %d", (int64_t)-result);
    return result;
}

int shim_socket_start(struct shim_socket *sock)
{
    int result = shim_socket_serve(sock);

    if (result > 0 && !sock->is_client && !shim_process_is_guest()) {
        atomic_store(&sock->is_unwatched, true);
        shim_heir_arm(sock);
    }
    return result > 0 && shim_socket_engine(sock) != NULL ? 0 : result;
}
