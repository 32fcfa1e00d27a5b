#define _GNU_SOURCE
#include "shim/heir.h"

#include "core/list.h"
#include "engine/descriptor.h"
#include "engine/raw.h"
#include "engine/system.h"
#include "engine/thread.h"
#include "shim/connect.h"
#include "shim/fd_table.h"
#include "shim/lease.h"
#include "shim/lock.h"
#include "shim/log.h"
#include "shim/peers.h"
#include "shim/pending.h"
#include "shim/process.h"

#include <errno.h>

#define WATCH_COUNT  32u /* owners that are waited for at once */
#define BELL_COUNT   8u  /* arenas */
#define ATTEMPTS_MAX 64u /* each means that an owner ended while it was looked at */

/* How often an owner is looked at whose end is not waited for. */
#define LOOK_US (100u * RUDP_US_PER_MS)

/* The end of one process. */
struct watch {
    struct engine_source source;
    pid_t pid; /* 0: free entry */
    int fd;
};

/* The bell of one arena. */
struct bell {
    struct engine_source source;
    struct engine_arena *arena; /* NULL: free entry */
};

static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER; /* outside the start lock */
static struct engine_signal_mask fork_mask;
static struct watch watches[WATCH_COUNT];
static struct bell bells[BELL_COUNT];

atomic_bool shim_heir_is_due;

static void arm(struct shim_socket *sock, bool anew);
static void on_look(struct engine_timer *timer);

static struct engine_timer look_timer = {.on_due = on_look};

/* --- Waiting ------------------------------------------------------------------------------------
 */

struct search {
    pid_t pid; /* whose sockets are looked for; 0: of any owner that is no more the owner */
    size_t skip_count;
    struct shim_socket *found;
};

static bool is_wanted(const struct shim_socket *sock, pid_t pid)
{
    pid_t watched = atomic_load(&sock->watched_pid);

    if (watched == 0 || atomic_load(&sock->phase) != SHIM_OPEN)
        return false;
    return pid != 0 ? watched == pid : shim_lease_holder(sock) != watched;
}

static void search_one(void *context, struct shim_socket *sock)
{
    struct search *search = context;

    if (search->found == NULL && is_wanted(sock, search->pid) && shim_socket_try_use(sock))
        search->found = sock;
}

/* On the engine thread. Looks anew at the sockets of an owner that has ended. */
static void rearm(pid_t pid)
{
    for (;;) {
        struct search search = {.pid = pid};

        shim_socket_each(search_one, &search);
        if (search.found == NULL)
            return;
        arm(search.found, true);
        shim_socket_release(search.found);
    }
}

static void forget_watch(struct watch *watch)
{
    fd_table_set_private(watch->fd, false);
    (void)RAW_CALL(SYS_close, watch->fd);
    watch->pid = 0;
}

static void on_owner_end(struct engine_source *source, uint32_t events)
{
    struct watch *watch = RUDP_CONTAINER(source, struct watch, source);
    struct engine_signal_mask mask = shim_lock(&mutex);
    pid_t pid = watch->pid;

    (void)events;
    engine_thread_remove(watch->fd);
    forget_watch(watch);
    shim_unlock(&mutex, mask);
    rearm(pid);
}

static void on_bell(struct engine_source *source, uint32_t events)
{
    (void)source;
    (void)events;
    rearm(0);
}

static void search_looked_at(void *context, struct shim_socket *sock)
{
    bool *is_found = context;

    if (atomic_load(&sock->is_unwatched) && atomic_load(&sock->watched_pid) != 0 &&
        atomic_load(&sock->phase) == SHIM_OPEN)
        *is_found = true;
}

/* For a process whose threads are all asleep, and make no call. */
static void on_look(struct engine_timer *timer)
{
    bool is_found = false;

    rearm(0);
    shim_socket_each(search_looked_at, &is_found);
    if (is_found)
        engine_thread_arm(timer, engine_now_us() + LOOK_US);
}

static struct watch *find_watch(pid_t pid)
{
    for (size_t index = 0; index < WATCH_COUNT; index++)
        if (watches[index].pid == pid)
            return &watches[index];
    return NULL;
}

/* 0 or a negative errno; -ESRCH: it has ended already. */
static int watch_process(pid_t pid)
{
    struct watch *watch = find_watch(pid);

    if (watch != NULL)
        return 0;
    watch = find_watch(0);
    if (pid < 0 || watch == NULL)
        return -EMFILE;
    int fd = engine_descriptor_move_high((int)engine_sys_pidfd(pid));

    if (fd < 0)
        return fd;
    *watch = (struct watch){.source.on_ready = on_owner_end, .pid = pid, .fd = fd};
    fd_table_set_private(fd, true);
    int result = engine_thread_add(&watch->source, fd, EPOLLIN);

    if (result < 0)
        forget_watch(watch);
    return result;
}

static bool watch_bell(struct engine_arena *arena)
{
    struct bell *free_entry = NULL;

    for (size_t index = 0; index < BELL_COUNT; index++) {
        if (bells[index].arena == arena)
            return true;
        if (bells[index].arena == NULL)
            free_entry = &bells[index];
    }
    if (free_entry == NULL)
        return false;
    *free_entry = (struct bell){.source.on_ready = on_bell, .arena = arena};
    if (engine_thread_add(&free_entry->source, engine_arena_bell(arena), EPOLLIN | EPOLLET) == 0)
        return true;
    free_entry->arena = NULL;
    return false;
}

/* Whether this process now waits for the end of the owner, or is the owner. Else the owner is
 * looked at from time to time, unless there is none. may_open: not on the engine thread. A new
 * descriptor takes the lowest free number for a moment, and a call of the program would see that.
 */
static bool stand_by(struct shim_socket *sock, bool may_open)
{
    if (engine_thread_start() < 0)
        return false;
    shim_process_protect_engine();
    for (uint32_t attempt = 0; attempt < ATTEMPTS_MAX; attempt++) {
        int result = shim_socket_serve(sock);

        if (result <= 0)
            return result == 0;
        pid_t pid = shim_lease_holder(sock);

        if (pid == 0)
            continue;
        if (may_open)
            result = watch_process(pid);
        else
            result = find_watch(pid) != NULL ? 0 : -EAGAIN;
        if (result == -ESRCH)
            continue;
        bool is_watched = watch_bell(sock->arena) && result == 0;

        atomic_store(&sock->watched_pid, pid);
        atomic_store(&sock->stands_by, true);
        shim_lease_stand_by(sock, true);
        if (shim_lease_holder(sock) != pid) /* the number may have been another process's already */
            continue;
        shim_lease_ring(sock);
        if (!is_watched)
            engine_thread_arm(&look_timer, engine_now_us() + LOOK_US);
        return is_watched;
    }
    return false;
}

/* anew: on the engine thread, whoever was waited for is no more the owner. What cannot be done
 * there is left to the program's next call. */
static void arm(struct shim_socket *sock, bool anew)
{
    int saved_errno = errno;
    struct engine_signal_mask mask = shim_lock(&mutex);

    if (anew) {
        atomic_store(&sock->watched_pid, 0);
        atomic_store(&sock->is_unwatched, true);
    }
    if (atomic_load(&sock->is_unwatched) && stand_by(sock, !anew))
        atomic_store(&sock->is_unwatched, false);
    else if (anew)
        atomic_store(&shim_heir_is_due, true);
    shim_unlock(&mutex, mask);
    errno = saved_errno;
}

void shim_heir_arm(struct shim_socket *sock)
{
    if (atomic_load(&sock->shared->endpoint) == NULL || shim_process_is_guest())
        return; /* nobody has begun to run it, or this is not the process to go on */
    arm(sock, false);
}

static void search_unwatched(void *context, struct shim_socket *sock)
{
    struct search *search = context;

    if (search->found != NULL || !atomic_load(&sock->is_unwatched))
        return;
    if (search->skip_count > 0)
        search->skip_count--;
    else if (shim_socket_try_use(sock))
        search->found = sock;
}

void shim_heir_arm_all(void)
{
    size_t skip_count = 0;

    if (shim_process_is_guest())
        return;
    atomic_store(&shim_heir_is_due, false);
    for (;;) {
        struct search search = {.skip_count = skip_count};

        shim_socket_each(search_unwatched, &search);
        if (search.found == NULL)
            break;
        shim_heir_arm(search.found);
        skip_count += atomic_load(&search.found->is_unwatched);
        shim_socket_release(search.found);
    }
    if (skip_count > 0)
        atomic_store(&shim_heir_is_due, true);
}

void shim_heir_before_fork(void)
{
    fork_mask = shim_lock(&mutex);
}

void shim_heir_after_fork_parent(void)
{
    shim_unlock(&mutex, fork_mask);
}

static void forget_owner(void *context, struct shim_socket *sock)
{
    (void)context;
    atomic_store(&sock->watched_pid, 0);
    atomic_store(&sock->stands_by, false);
    atomic_store(&sock->is_unwatched, !sock->is_client); /* a client cannot go on */
    if (!sock->is_client)
        atomic_store(&shim_heir_is_due, true);
}

void shim_heir_after_fork_child(void)
{
    for (size_t index = 0; index < WATCH_COUNT; index++)
        if (watches[index].pid != 0)
            forget_watch(&watches[index]);
    for (size_t index = 0; index < BELL_COUNT; index++)
        bells[index].arena = NULL;
    look_timer = (struct engine_timer){.on_due = on_look};
    shim_socket_each(forget_owner, NULL);
    shim_unlock(&mutex, fork_mask);
}

/* --- Going on -----------------------------------------------------------------------------------
 */

/* The pair has the message if the kernel said so, the session has it until it was consumed. */
static void settle_delivery(struct shim_socket *sock, struct rudp_endpoint *endpoint)
{
    struct shim_passage *delivery = &sock->shared->delivery;
    struct rudp_session *session = atomic_load(&delivery->session);

    if (session != NULL && shim_pair_note_is_done(&delivery->note) &&
        rudp_session_received_count(session) == delivery->count)
        rudp_session_pass_on(endpoint, session, engine_now_us());
    shim_passage_end(delivery);
}

/* The session has accepted the message if it counted it; the pair has it until it was read away. */
static void settle_intake(struct shim_socket *sock)
{
    struct shim_passage *intake = &sock->shared->intake;
    struct rudp_session *session = atomic_load(&intake->session);

    if (session != NULL && rudp_session_sent_count(session) != intake->count &&
        !shim_pair_note_is_done(&intake->note))
        shim_pair_drop_noted(sock->pair_fd, &intake->note);
    shim_passage_end(intake);
}

static void restore_peer(void *context, struct rudp_session *session)
{
    struct shim_socket *sock = context;
    struct rudp_session_stats stats;

    rudp_session_stats(session, &stats);
    /* Of the peers' sessions without one OPENED is repeated. */
    if (shim_peer_of(session) != NULL)
        shim_peer_relink(sock, shim_peer_of(session));
    else if (stats.opener)
        (void)shim_peer_add(sock, session, true);
}

void shim_heir_restore(struct shim_socket *sock)
{
    struct rudp_endpoint *endpoint = shim_socket_endpoint(sock);

    shim_peer_unlink_all(sock);
    rudp_endpoint_each(endpoint, restore_peer, sock);
    settle_delivery(sock, endpoint);
    settle_intake(sock);
    shim_pending_restore(sock);
    shim_connect_refresh(sock);
    rudp_endpoint_repeat_events(endpoint);
}

/* What is owed to the peer of a torn session may be lost. Returns how many peers that are. */
static int64_t report_torn(struct shim_socket *sock, const struct shim_peer *peer)
{
    if (rudp_session_queued_bytes(peer->session) == 0 || peer->is_reported)
        return 0;
    shim_failure_add(sock, &peer->remote, ECONNRESET, true);
    return 1;
}

static void end_passage_of(struct shim_passage *passage, const struct rudp_session *session)
{
    if (atomic_load(&passage->session) == session)
        shim_passage_end(passage);
}

/* The lists are made anew from the sessions that are left. */
static int64_t forget_torn(struct shim_socket *sock, const struct rudp_session *session)
{
    struct shim_shared *shared = sock->shared;
    struct shim_peer *peer = shared->peers;

    end_passage_of(&shared->delivery, session);
    end_passage_of(&shared->intake, session);
    while (peer != NULL && peer->session != session)
        peer = peer->next;
    if (peer == NULL)
        return 0;
    int64_t lost_count = report_torn(sock, peer);

    shim_peer_unlink_all(sock);
    engine_arena_give(sock->arena, peer, sizeof *peer);
    return lost_count;
}

/* False: no session is left whole. */
static bool mend(struct shim_socket *sock, struct rudp_endpoint *endpoint)
{
    struct rudp_session *torn;

    if (rudp_endpoint_mend(endpoint, &torn, engine_now_us()) != RUDP_OK)
        return false;
    shim_log(SHIM_LOG_ERROR,
             "the process that served a socket was killed in the middle of a change: the session "
             "that it changed begins anew, messages to %d peers may be lost",
             torn == NULL ? 0 : forget_torn(sock, torn));
    return true;
}

static void give_up(struct shim_socket *sock)
{
    struct shim_shared *shared = sock->shared;
    int64_t lost_count = 0;

    for (const struct shim_peer *peer = shared->peers; peer != NULL; peer = peer->next)
        lost_count += report_torn(sock, peer);
    shim_log(SHIM_LOG_ERROR,
             "the process that served a socket was killed in the middle of a change: its sessions "
             "begin anew, messages to %d peers may be lost",
             lost_count);
    shim_peer_unlink_all(sock);
    shim_passage_end(&shared->delivery);
    shim_passage_end(&shared->intake);
    shim_pending_restore(sock);
    atomic_store(&shared->endpoint, NULL);
}

struct rudp_endpoint *shim_heir_find_endpoint(struct shim_socket *sock)
{
    struct rudp_endpoint *endpoint = atomic_load(&sock->shared->endpoint);

    if (endpoint == NULL || !rudp_endpoint_is_torn(endpoint) || mend(sock, endpoint))
        return endpoint;
    give_up(sock);
    return NULL;
}
