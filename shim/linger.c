#define _GNU_SOURCE
#include "shim/linger.h"

#include "engine/system.h"
#include "shim/ask.h"
#include "shim/connect.h"
#include "shim/deliver.h"
#include "shim/drain.h"
#include "shim/fd_table.h"
#include "shim/lease.h"
#include "shim/pending.h"
#include "shim/log.h"
#include "shim/peers.h"
#include "shim/process.h"
#include "shim/reading.h"

#include <limits.h>

/* Sockets flushed side by side at exit; more go in turns. */
#define EXIT_BATCH_COUNT 256u

/* How long an exit waits, when all it sent has arrived and its peers know what was read, for them
 * to learn that it is over. Who is not told goes on asking. */
#define GOODBYE_US_MAX (500u * RUDP_US_PER_MS)

/* Sockets in SHIM_ORPHAN: without any, a sweep costs one load. */
static _Atomic uint32_t orphan_count;

/* Counts sockets that ended; those who wait for a port sleep on it. */
static _Atomic uint32_t end_count;

static void finish(void *context)
{
    shim_socket_free(context);
    atomic_fetch_add(&end_count, 1);
    engine_sys_futex_wake_all(&end_count);
}

static void set_phase(struct shim_socket *sock, enum shim_phase phase)
{
    uint32_t before = atomic_exchange(&sock->phase, phase);

    atomic_fetch_add(&orphan_count, (phase == SHIM_ORPHAN) - (uint32_t)(before == SHIM_ORPHAN));
}

/* Somebody else reads on. */
static void recount(struct shim_socket *sock)
{
    if (!sock->is_counted)
        return;
    sock->is_counted = false;
    for (struct shim_peer *peer = sock->shared->peers; peer != NULL; peer = peer->next)
        shim_peer_push_unconfirmed(sock, peer);
}

void shim_linger_begin(struct shim_socket *sock)
{
    struct rudp_endpoint *endpoint = shim_socket_endpoint(sock);

    if (atomic_load(&sock->phase) >= SHIM_LINGER)
        return;
    set_phase(sock, SHIM_LINGER);
    shim_reading_confirm(sock); /* of a number that was closed where no hook saw it */
    shim_drain_resume(sock);    /* what was written to A before it was closed */
    shim_deliver_watch(sock);
    rudp_endpoint_set_accepting(endpoint, false);
    for (struct shim_peer *peer = sock->shared->peers; peer != NULL; peer = peer->next)
        if (!peer->is_closed)
            rudp_session_close(endpoint, peer->session, engine_now_us());
    for (struct shim_peer *peer = sock->shared->peers, *next; peer != NULL; peer = next) {
        next = peer->next;
        if (peer->is_closed)
            shim_peer_remove(sock, endpoint, peer);
    }
}

void shim_linger_progress(struct shim_socket *sock)
{
    if (!shim_socket_claim(sock))
        return;
    struct engine_socket *engine = atomic_exchange(&sock->engine, NULL);

    fd_table_set_private(sock->wire_fd, false);
    sock->wire_fd = -1;
    atomic_store(&sock->shared->endpoint, NULL);
    engine_socket_retire(engine, finish);
}

static void count_unread(void *context, const struct shim_pair_header *header, size_t bytes)
{
    struct shim_socket *sock = context;

    for (struct shim_peer *peer = sock->shared->unconfirmed_first; peer != NULL;
         peer = peer->unconfirmed_next)
        if (rudp_address_equal(&rudp_session_path(peer->session)->remote, &header->peer))
            peer->unread_bytes += rudp_message_stream_bytes(bytes);
}

/* In a process that does not run the socket: whether it may have read from it. */
static bool is_reader(const struct shim_socket *sock)
{
    return sock->is_client ? atomic_load(&sock->wire_fd) >= 0 : atomic_load(&sock->stands_by);
}

void shim_linger_tell_read(struct shim_socket *sock, int fd)
{
    struct engine_socket *engine = shim_socket_engine(sock);

    if (engine == NULL) {
        if (is_reader(sock))
            shim_ask_to_look(sock, fd);
        return;
    }
    engine_socket_enter(engine);
    shim_reading_confirm(sock);
    engine_socket_leave(engine);
}

/* Entered. */
static void confirm_counted(struct shim_socket *sock, int fd)
{
    struct shim_peer *peer;

    for (peer = sock->shared->unconfirmed_first; peer != NULL; peer = peer->unconfirmed_next)
        peer->unread_bytes = 0;
    if (sock->shared->unconfirmed_first != NULL &&
        !shim_connect_each_unread(sock, fd, count_unread, sock))
        return;
    while ((peer = shim_peer_pop_unconfirmed(sock)) != NULL)
        rudp_session_confirm(shim_socket_endpoint(sock), peer->session, peer->unread_bytes,
                             engine_now_us());
    sock->is_counted = true; /* until it turns out that somebody else holds A */
}

void shim_linger_count_unread(struct shim_socket *sock, int fd)
{
    struct engine_socket *engine = shim_socket_engine(sock);

    shim_linger_tell_read(sock, fd);
    if (engine == NULL)
        return;
    engine_socket_enter(engine);
    confirm_counted(sock, fd);
    engine_socket_leave(engine);
}

static void abandon_started(struct shim_socket *sock, struct engine_socket *engine)
{
    engine_socket_enter(engine);
    bool is_unused = shim_socket_drop_last_use(sock);

    if (is_unused && atomic_load(&sock->phase) <= SHIM_ORPHAN) {
        if (shim_pair_is_held(sock->cookie, sock->pair_fd)) {
            set_phase(sock, SHIM_ORPHAN);
            recount(sock);
        } else {
            shim_linger_begin(sock);
        }
    }
    bool is_over = is_unused && shim_socket_claim(sock);

    engine_socket_leave(engine); /* sessions that end in here take the socket apart */
    if (is_over)
        finish(sock);
}

/* Whether the last owner has ended, so that it is for this process to deliver what was accepted. */
static bool is_heir(struct shim_socket *sock)
{
    return sock->shared != NULL && atomic_load(&sock->shared->endpoint) != NULL &&
           !shim_process_is_guest() && atomic_load(&sock->shared->cookie) == sock->cookie &&
           !shim_lease_has_heir(sock) && shim_socket_serve(sock) == 0;
}

void shim_linger_abandon(struct shim_socket *sock)
{
    struct engine_socket *engine = shim_socket_engine(sock);

    if (engine == NULL && is_heir(sock))
        engine = shim_socket_engine(sock);

    if (engine != NULL)
        abandon_started(sock, engine);
    else if (shim_socket_drop_last_use(sock))
        finish(sock);
}

void shim_linger_revive(struct shim_socket *sock)
{
    struct engine_socket *engine = shim_socket_engine(sock);

    if (engine == NULL)
        return;
    engine_socket_enter(engine);
    if (atomic_load(&sock->phase) == SHIM_ORPHAN)
        set_phase(sock, SHIM_OPEN);
    engine_socket_leave(engine);
}

void shim_linger_hand_over(struct shim_socket *sock)
{
    struct engine_socket *engine = atomic_exchange(&sock->engine, NULL);

    set_phase(sock, SHIM_FINISHED);
    engine_socket_detach(engine);
    shim_lease_drop(sock);
    shim_lease_ring(sock);
    (void)shim_socket_drop_last_use(sock);
    shim_socket_free(sock);
}

void shim_linger_sweep(void)
{
    uint32_t place = 0;
    struct shim_socket *sock;

    if (atomic_load(&orphan_count) == 0)
        return;
    while ((sock = shim_socket_pin(SHIM_ORPHAN, &place)) != NULL)
        shim_socket_release(sock); /* looks anew whether somebody holds it */
}

/* Numbers that were closed where no hook saw it (by fclose, by io_uring) still stand for their
 * sockets. */
static void forget_lost_numbers(void)
{
    struct fd_table_seen seen;
    uint64_t cookie;
    int fd = -1;

    if (shim_process_is_guest())
        return;
    while ((fd = fd_table_next((unsigned int)(fd + 1), INT_MAX)) >= 0)
        if (fd_table_look(fd, &seen) &&
            !(shim_pair_recognise(fd, &cookie) && cookie == seen.cookie) &&
            fd_table_is_still(&seen))
            shim_socket_forget(seen.sock, fd);
}

/* The sessions hold nothing that must arrive: no need to wait for the peers' goodbye. */
static void hurry(struct shim_socket *sock, struct engine_socket *engine)
{
    engine_socket_enter(engine);
    for (struct shim_peer *peer = sock->shared->peers; peer != NULL; peer = peer->next)
        if (!peer->is_closed && rudp_session_is_flushed(peer->session))
            rudp_session_abort(engine_socket_endpoint(engine), peer->session, engine_now_us());
    engine_socket_leave(engine);
}

struct port_search {
    uint16_t port;
    bool is_ending; /* a socket on that port is on its way out */
};

static void search_port(void *context, struct shim_socket *sock)
{
    struct port_search *search = context;

    if (atomic_load(&sock->phase) >= SHIM_LINGER && sock->shared->local.port == search->port)
        search->is_ending = true;
}

static void hurry_port(uint16_t port)
{
    uint32_t place = 0;
    struct shim_socket *sock;

    while ((sock = shim_socket_pin(SHIM_LINGER, &place)) != NULL) {
        struct engine_socket *engine = shim_socket_engine(sock);

        if (engine != NULL && sock->shared->local.port == port)
            hurry(sock, engine);
        shim_socket_release(sock);
    }
}

uint32_t shim_linger_end_count(void)
{
    return atomic_load(&end_count);
}

bool shim_linger_wait_for_port(uint16_t port, uint32_t seen_end_count)
{
    uint64_t deadline_us = engine_now_us() + shim_process_settings()->config.linger_us;
    struct port_search search = {.port = port};

    forget_lost_numbers();
    shim_linger_sweep();
    shim_socket_each(search_port, &search);
    if (!search.is_ending)
        return atomic_load(&end_count) != seen_end_count;
    hurry_port(port);
    while (atomic_load(&end_count) == seen_end_count) {
        uint64_t now_us = engine_now_us();

        if (now_us >= deadline_us)
            return false;
        engine_sys_futex_wait(&end_count, seen_end_count, deadline_us - now_us);
    }
    return true;
}

struct exit_list {
    struct shim_socket *sockets[EXIT_BATCH_COUNT];
    size_t count;
    size_t skip_count;
    size_t seen_count;
};

static void collect(void *context, struct shim_socket *sock)
{
    struct exit_list *list = context;

    if (shim_socket_engine(sock) == NULL || atomic_load(&sock->phase) == SHIM_FINISHED)
        return;
    if (shim_lease_has_heir(sock))
        return; /* which goes on: nothing ends here */
    if (atomic_load(&sock->shared->is_spread) && atomic_load(&sock->phase) < SHIM_LINGER &&
        shim_pair_is_held(sock->cookie, sock->pair_fd))
        return; /* by other processes, or by this one still (caretaker.h) */
    if (list->seen_count++ < list->skip_count || list->count == EXIT_BATCH_COUNT)
        return;
    shim_socket_use(sock); /* for good: the process ends */
    list->sockets[list->count++] = sock;
}

static uint64_t count_queued(struct shim_socket *sock, struct engine_socket *engine)
{
    uint64_t queued_bytes = 0;

    engine_socket_enter(engine);
    for (struct shim_peer *peer = sock->shared->peers; peer != NULL; peer = peer->next) {
        struct rudp_session_stats stats;

        rudp_session_stats(peer->session, &stats);
        queued_bytes += stats.queued_bytes;
    }
    engine_socket_leave(engine);
    return queued_bytes;
}

/* Waits until all the socket sent has arrived, for as long as there is progress: *deadline_us,
 * which all sockets of an exit share, moves on with it. */
static void flush_one(struct shim_socket *sock, uint64_t *deadline_us)
{
    struct engine_socket *engine = shim_socket_engine(sock);
    uint64_t linger_us = shim_process_settings()->config.linger_us;

    engine_socket_enter(engine);
    shim_drain(sock);
    engine_socket_leave(engine);
    shim_pending_await(sock, *deadline_us);
    uint64_t before_bytes = count_queued(sock, engine);

    while (!engine_socket_flush(engine, sub_floor_u64(*deadline_us, engine_now_us()))) {
        uint64_t queued_bytes = count_queued(sock, engine);

        if (queued_bytes >= before_bytes) {
            shim_log(SHIM_LOG_ERROR,
                     "the program ends before all it sent has arrived: no progress for "
                     "RUDP_LINGER, %d ms",
                     (int64_t)(linger_us / RUDP_US_PER_MS));
            return;
        }
        before_bytes = queued_bytes;
        *deadline_us = engine_now_us() + linger_us;
    }
}

static void say_goodbye(struct shim_socket *sock)
{
    struct engine_socket *engine = shim_socket_engine(sock);
    bool is_closed = atomic_load(&sock->shared->is_spread); /* caretaker.h */
    int fd = is_closed ? -1 : fd_table_find(sock);

    if (fd >= 0)
        shim_linger_count_unread(sock, fd);
    engine_socket_enter(engine);
    rudp_endpoint_set_accepting(engine_socket_endpoint(engine), false);
    for (struct shim_peer *peer = sock->shared->peers; peer != NULL; peer = peer->next)
        if (!peer->is_closed)
            rudp_session_close(engine_socket_endpoint(engine), peer->session, engine_now_us());
    engine_socket_leave(engine);
}

/* A peer that is not told what was read sends it again to whoever comes next. */
static void say_goodbyes(const struct exit_list *list, uint64_t deadline_us)
{
    for (size_t index = 0; index < list->count; index++)
        say_goodbye(list->sockets[index]);
    for (size_t index = 0; index < list->count; index++)
        (void)engine_socket_await_told(shim_socket_engine(list->sockets[index]),
                                       sub_floor_u64(deadline_us, engine_now_us()));
    deadline_us = min_u64(deadline_us, engine_now_us() + GOODBYE_US_MAX);
    for (size_t index = 0; index < list->count; index++)
        (void)engine_socket_await_closed(shim_socket_engine(list->sockets[index]),
                                         sub_floor_u64(deadline_us, engine_now_us()));
}

void shim_linger_flush_all(void)
{
    uint64_t deadline_us = engine_now_us() + shim_process_settings()->config.linger_us;
    struct exit_list list = {.skip_count = 0};

    shim_deliver_stop();
    do {
        list.skip_count += list.count;
        list.count = 0;
        list.seen_count = 0;
        shim_socket_each(collect, &list);
        for (size_t index = 0; index < list.count; index++)
            flush_one(list.sockets[index], &deadline_us);
        say_goodbyes(&list, deadline_us);
    } while (list.count == EXIT_BATCH_COUNT);
}
