#include "engine/socket.h"

#include "core/list.h"
#include "engine/cede.h"
#include "engine/descriptor.h"
#include "engine/forward.h"
#include "engine/memory.h"
#include "engine/random.h"
#include "engine/share.h"

#include <errno.h>

/* Sockets come in chunks that are never unmapped: fork copies each page that is written to after
 * it, on both sides, and what is locked across a fork is written to. */
#define CHUNK_COUNT 30u

struct chunk {
    struct engine_socket sockets[CHUNK_COUNT];
};

static struct {
    pthread_mutex_t lock; /* outermost */
    struct engine_socket *first;
    struct engine_socket *idle;
    bool has_arena;
    bool is_inherited; /* a forked child that has not made a socket of its own */
    struct engine_signal_mask fork_mask;
} sockets = {.lock = PTHREAD_MUTEX_INITIALIZER};

struct engine_socket *engine_socket_list_lock(void)
{
    pthread_mutex_lock(&sockets.lock);
    return sockets.first;
}

void engine_socket_list_unlock(void)
{
    pthread_mutex_unlock(&sockets.lock);
}

void engine_socket_lock(struct engine_socket *sock)
{
    pthread_mutex_lock(&sock->lock);
}

void engine_socket_unlock(struct engine_socket *sock)
{
    pthread_mutex_unlock(&sock->lock);
}

void engine_socket_enter(struct engine_socket *sock)
{
    int saved_errno = errno;
    struct engine_signal_mask mask = engine_sys_block_signals();

    engine_socket_lock(sock);
    sock->mask = mask;
    sock->saved_errno = saved_errno;
}

void engine_socket_leave(struct engine_socket *sock)
{
    engine_socket_settle(sock);
    struct engine_signal_mask mask = sock->mask;
    int saved_errno = sock->saved_errno;

    engine_socket_unlock(sock); /* from here on the socket may be gone */
    engine_sys_restore_signals(mask);
    errno = saved_errno;
}

struct rudp_endpoint *engine_socket_endpoint(struct engine_socket *sock)
{
    return sock->endpoint;
}

enum rudp_status engine_socket_open_session(struct engine_socket *sock,
                                            const struct rudp_path *path,
                                            struct rudp_session **session)
{
    enum rudp_status status = rudp_endpoint_open(sock->endpoint, path, session, engine_now_us());

    if (status == RUDP_OK)
        engine_cede_ask(sock, &path->remote);
    return status;
}

int engine_socket_wire_fd(const struct engine_socket *sock)
{
    return sock->wire.fd;
}

void engine_socket_wire_changed(struct engine_socket *sock)
{
    wire_refresh(&sock->wire);
    engine_share_update(sock);
}

bool engine_socket_has_company(const struct engine_socket *sock)
{
    return sock->forward_port != 0 && engine_forward_others(sock->forward_port) != 0;
}

bool engine_socket_is_owned(const struct engine_socket *sock)
{
    return sock->is_owned;
}

/* --- Making ----------------------------------------------------------------------------------- */

static int start_engine(void)
{
    pthread_mutex_lock(&sockets.lock);
    if (!sockets.has_arena) {
        struct wire_arena *arena = wire_arena_create();

        if (arena != NULL)
            engine_socket_set_arena(arena);
        sockets.has_arena = arena != NULL;
    }
    int result = sockets.has_arena ? engine_thread_start() : -ENOMEM;

    if (result == 0)
        sockets.is_inherited = false;
    pthread_mutex_unlock(&sockets.lock);
    return result;
}

/* Under the list's lock. */
static void add_chunk(void)
{
    struct chunk *chunk = engine_sys_map(sizeof *chunk);

    for (size_t index = 0; chunk != NULL && index < CHUNK_COUNT; index++) {
        chunk->sockets[index].next = sockets.idle;
        sockets.idle = &chunk->sockets[index];
    }
}

static struct engine_socket *take_memory(void)
{
    pthread_mutex_lock(&sockets.lock);
    if (sockets.idle == NULL)
        add_chunk();
    struct engine_socket *sock = sockets.idle;

    if (sock != NULL)
        sockets.idle = sock->next;
    pthread_mutex_unlock(&sockets.lock);
    if (sock != NULL)
        memset(sock, 0, sizeof *sock);
    return sock;
}

static void give_memory(struct engine_socket *sock)
{
    pthread_mutex_lock(&sockets.lock);
    sock->next = sockets.idle;
    sockets.idle = sock;
    pthread_mutex_unlock(&sockets.lock);
}

static void list_insert(struct engine_socket *sock)
{
    pthread_mutex_lock(&sockets.lock);
    sock->next = sockets.first;
    sock->link = &sockets.first;
    if (sock->next != NULL)
        sock->next->link = &sock->next;
    sockets.first = sock;
    pthread_mutex_unlock(&sockets.lock);
}

static void list_remove(struct engine_socket *sock)
{
    pthread_mutex_lock(&sockets.lock);
    *sock->link = sock->next;
    if (sock->next != NULL)
        sock->next->link = sock->link;
    pthread_mutex_unlock(&sockets.lock);
}

static int init_socket(struct engine_socket *sock, int wire_fd,
                       const struct engine_socket_options *options)
{
    int result = wire_init(&sock->wire, wire_fd, options->handler->on_datagram != NULL);

    if (result < 0)
        return result;
    if (rudp_config_check(options->config) != RUDP_OK)
        return -EINVAL;
    struct engine_arena *arena = options->arena != NULL ? options->arena : engine_memory_arena();
    struct rudp_host host = {
        .allocator = {arena, engine_memory_allocate, engine_memory_release},
        .random = {.fill = engine_random_fill},
    };

    sock->arena = arena;
    sock->endpoint = options->endpoint;
    if (arena == NULL ||
        (sock->endpoint == NULL &&
         rudp_endpoint_create(&sock->endpoint, options->config, &host, engine_now_us()) != RUDP_OK))
        return -ENOMEM;
    pthread_mutex_init(&sock->lock, NULL);
    sock->handler = *options->handler;
    sock->context = options->context;
    sock->armed_us = RUDP_NEVER;
    sock->watch_fd = -1;
    sock->is_owned = true;
    sock->timer.on_due = engine_socket_on_due;
    sock->wire_source.on_ready = engine_socket_on_wire;
    sock->watch_source.on_ready = engine_socket_on_watch;
    engine_share_update(sock);
    return 0;
}

static void free_socket(struct engine_socket *sock)
{
    engine_share_forget(sock);
    pthread_mutex_destroy(&sock->lock);
    give_memory(sock);
}

static void run_free(struct engine_job *job)
{
    free_socket(RUDP_CONTAINER(job, struct engine_socket, job));
}

static int create(struct engine_socket **out, int wire_fd,
                  const struct engine_socket_options *options)
{
    int result = start_engine();

    if (result < 0)
        return result;
    struct engine_socket *sock = take_memory();

    if (sock == NULL)
        return -ENOMEM;
    result = init_socket(sock, wire_fd, options);
    if (result < 0) {
        give_memory(sock);
        return result;
    }
    list_insert(sock);
    engine_socket_lock(sock); /* packets come from here on */
    result = engine_thread_add(&sock->wire_source, wire_fd, EPOLLIN | EPOLLET);
    if (result == 0) {
        *out = sock;
        return 0;
    }
    engine_socket_unlock(sock);
    list_remove(sock);
    if (options->endpoint == NULL)
        rudp_endpoint_destroy(sock->endpoint);
    free_socket(sock);
    return result;
}

int engine_socket_create(struct engine_socket **out, int wire_fd,
                         const struct engine_socket_options *options)
{
    RUDP_ASSERT(options->handler->on_event != NULL);
    int saved_errno = errno;
    struct engine_signal_mask mask = engine_sys_block_signals();
    int result = create(out, wire_fd, options);

    if (result < 0) {
        engine_sys_restore_signals(mask);
        return result;
    }
    (*out)->mask = mask;
    (*out)->saved_errno = saved_errno;
    if (!options->enters)
        engine_socket_leave(*out);
    return 0;
}

/* --- Ending ----------------------------------------------------------------------------------- */

/* Locked. From here no callback runs. */
static void stop(struct engine_socket *sock)
{
    sock->is_retired = true;
    engine_share_forget(sock);
    if (sock->is_owned) { /* a forked child must not touch the parent's epoll set */
        if (sock->watch_fd >= 0)
            engine_thread_remove(sock->watch_fd);
        engine_thread_remove(sock->wire.fd);
        engine_thread_disarm(&sock->timer);
    }
    if (sock->unsent != NULL)
        wire_batch_release(sock->unsent);
}

/* Locked. The wire is closed at once, so that its port is free. */
static void take_apart(struct engine_socket *sock)
{
    stop(sock);
    engine_sys_close(sock->wire.fd);
    if (sock->is_owned || engine_arena_fd(sock->arena) < 0) /* not what others go on with */
        rudp_endpoint_destroy(sock->endpoint);
}

/* The engine thread may have fetched an event of an owned one. */
static void free_later(struct engine_socket *sock, bool is_owned)
{
    sock->job.run = run_free;
    if (is_owned)
        engine_thread_post(&sock->job, false);
    else
        free_socket(sock);
}

void engine_socket_destroy(struct engine_socket *sock)
{
    struct engine_signal_mask mask = engine_sys_block_signals();

    list_remove(sock);
    engine_socket_lock(sock);
    take_apart(sock);
    bool is_owned = sock->is_owned;

    engine_socket_unlock(sock);
    free_later(sock, is_owned);
    engine_sys_restore_signals(mask);
}

void engine_socket_detach(struct engine_socket *sock)
{
    struct engine_signal_mask mask = engine_sys_block_signals();

    list_remove(sock);
    engine_socket_lock(sock);
    stop(sock);
    bool is_owned = sock->is_owned;

    engine_socket_unlock(sock);
    free_later(sock, is_owned);
    engine_sys_restore_signals(mask);
}

void engine_detach_inherited(void)
{
    pthread_mutex_lock(&sockets.lock);
    while (sockets.first != NULL) {
        struct engine_socket *sock = sockets.first;

        RUDP_ASSERT(!sock->is_owned);
        sockets.first = sock->next;
        if (sock->unsent != NULL)
            wire_batch_release(sock->unsent);
        sock->next = sockets.idle;
        sockets.idle = sock;
    }
    pthread_mutex_unlock(&sockets.lock);
    engine_share_forget_all();
}

static void run_retire(struct engine_job *job)
{
    struct engine_socket *sock = RUDP_CONTAINER(job, struct engine_socket, job);
    void (*on_retired)(void *) = sock->on_retired;
    void *context = sock->context;

    list_remove(sock);
    engine_socket_lock(sock);
    take_apart(sock);
    engine_socket_unlock(sock);
    free_socket(sock);
    if (on_retired != NULL)
        on_retired(context);
}

void engine_socket_retire(struct engine_socket *sock, void (*on_retired)(void *context))
{
    RUDP_ASSERT(!sock->is_retired);
    sock->is_retired = true;
    sock->on_retired = on_retired;
    sock->job.run = run_retire;
    engine_thread_post(&sock->job, true);
}

/* --- Watching --------------------------------------------------------------------------------- */

int engine_socket_watch(struct engine_socket *sock, int fd, uint32_t events,
                        void (*on_ready)(void *context, struct engine_socket *sock,
                                         uint32_t events))
{
    int result = 0;

    if (!sock->is_owned)
        return 0;
    sock->on_watch = on_ready;
    sock->watch_events = events;
    /* Unregistered while paused: epoll reports EPOLLHUP to a registration without events too. */
    if (sock->watch_fd >= 0 && (events == 0 || fd != sock->watch_fd)) {
        engine_thread_remove(sock->watch_fd);
        sock->watch_fd = -1;
    }
    if (events == 0)
        return 0;
    if (sock->watch_fd >= 0)
        result = engine_thread_modify(&sock->watch_source, fd, events);
    else
        result = engine_thread_add(&sock->watch_source, fd, events);
    if (result == 0)
        sock->watch_fd = fd;
    return result;
}

/* --- Statistics, fork ------------------------------------------------------------------------- */

void engine_socket_stats_entered(struct engine_socket *sock, struct engine_socket_stats *stats)
{
    *stats = sock->stats;
    rudp_endpoint_stats(sock->endpoint, &stats->endpoint);
}

void engine_socket_stats(struct engine_socket *sock, struct engine_socket_stats *stats)
{
    struct engine_thread_stats thread_stats;

    engine_socket_enter(sock);
    engine_socket_stats_entered(sock, stats);
    engine_socket_leave(sock);
    engine_thread_stats(&thread_stats);
    stats->wake_count = thread_stats.wake_count;
    stats->wake_avoided_count = thread_stats.wake_avoided_count;
}

bool engine_each_socket(bool (*visit)(void *context, struct engine_socket *sock,
                                      void *socket_context),
                        void *context)
{
    bool goes_on = true;

    pthread_mutex_lock(&sockets.lock);
    for (struct engine_socket *sock = sockets.first; sock != NULL && goes_on; sock = sock->next) {
        engine_socket_lock(sock);
        if (sock->is_owned && !sock->is_retired)
            goes_on = visit(context, sock, sock->context);
        engine_socket_unlock(sock);
    }
    pthread_mutex_unlock(&sockets.lock);
    return goes_on;
}

bool engine_is_owner(void)
{
    pthread_mutex_lock(&sockets.lock);
    bool is_owner = !sockets.is_inherited;

    pthread_mutex_unlock(&sockets.lock);
    return is_owner;
}

/* Everything is locked across the fork, so the child's copy is not in the middle of anything. */
void engine_before_fork(void)
{
    struct engine_signal_mask mask = engine_sys_block_signals();

    pthread_mutex_lock(&sockets.lock);
    sockets.fork_mask = mask;
    for (struct engine_socket *sock = sockets.first; sock != NULL; sock = sock->next)
        engine_socket_lock(sock);
    engine_cede_before_fork();
    engine_forward_before_fork();
    engine_thread_before_fork();
    wire_before_fork();
    engine_descriptor_before_fork();
}

static void unlock_after_fork(void)
{
    for (struct engine_socket *sock = sockets.first; sock != NULL; sock = sock->next)
        engine_socket_unlock(sock);
    struct engine_signal_mask mask = sockets.fork_mask;

    pthread_mutex_unlock(&sockets.lock);
    engine_sys_restore_signals(mask);
}

void engine_after_fork_parent(void)
{
    engine_descriptor_after_fork();
    wire_after_fork();
    engine_thread_after_fork_parent();
    engine_forward_after_fork_parent();
    engine_cede_after_fork_parent();
    unlock_after_fork();
}

void engine_after_fork_child(void)
{
    engine_descriptor_after_fork();
    wire_after_fork();
    engine_forward_after_fork_child();
    engine_cede_after_fork_child();
    engine_memory_after_fork_child();
    engine_thread_after_fork_child();
    for (struct engine_socket *sock = sockets.first; sock != NULL; sock = sock->next) {
        sock->forward_port = 0;
        sock->is_owned = false;
        sock->timer.entry = (struct rudp_wheel_entry){.next = NULL};
    }
    if (sockets.first != NULL)
        sockets.is_inherited = true;
    unlock_after_fork();
}
