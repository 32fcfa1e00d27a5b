#define _GNU_SOURCE
#include "shim/caretaker.h"

#include "core/list.h"
#include "engine/raw.h"
#include "engine/system.h"
#include "engine/thread.h"
#include "shim/deliver.h"
#include "shim/fd_table.h"
#include "shim/heir.h"
#include "shim/lease.h"
#include "shim/linger.h"
#include "shim/log.h"
#include "shim/process.h"
#include "shim/socket.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/prctl.h>
#include <signal.h>
#include <sys/wait.h>

/* How often the caretaker looks whether its sockets are held: nothing wakes it for that. */
#define SWEEP_US (100u * RUDP_US_PER_MS)

#define SIGNAL_COUNT 64

/* How many numbers in a row are closed one by one, before Linux 5.9. */
#define FD_COUNT_MAX 65536u

/* --- The caretaker's own process ----------------------------------------------------------------
 */

static void end_process(void)
{
    for (;;)
        (void)RAW_CALL(SYS_exit_group, 0);
}

/* What the kernel reads of an action without handler, flags and mask: zeros, SIG_DFL. */
static void reset_signals(void)
{
    static const uint64_t default_action[8];

    for (int number = 1; number <= SIGNAL_COUNT; number++)
        (void)RAW_CALL(SYS_rt_sigaction, number, raw_pointer(default_action), 0, sizeof(uint64_t));
}

static void close_range_of(unsigned int first, unsigned int last)
{
    if (first > last || RAW_CALL(SYS_close_range, first, last, 0) == 0)
        return;
    for (unsigned int fd = first; fd <= last && fd < first + FD_COUNT_MAX; fd++)
        (void)RAW_CALL(SYS_close, fd);
}

/* The program's descriptors, also A: who reads the other end of a pipe must see it closed. */
static void close_foreign(void)
{
    unsigned int first = 0;

    for (int fd = fd_table_next(0, INT_MAX); fd >= 0;
         fd = fd_table_next((unsigned int)fd + 1, INT_MAX)) {
        if (!fd_table_is_private(fd))
            continue;
        if (fd > 0)
            close_range_of(first, (unsigned int)fd - 1);
        first = (unsigned int)fd + 1;
    }
    close_range_of(first, UINT_MAX);
    for (int fd = 0; fd <= 2; fd++) /* what is written there must not reach a socket */
        (void)RAW_CALL(SYS_openat, AT_FDCWD, raw_pointer("/dev/null"), O_RDWR, 0);
}

struct search {
    struct shim_socket *found;
};

static void find_entrusted(void *context, struct shim_socket *sock)
{
    struct search *search = context;

    if (search->found == NULL && sock->is_entrusted)
        search->found = sock;
}

/* Waits for the end of the last owner, then goes on in its place, if nobody else does. */
static void take(struct shim_socket *sock)
{
    shim_lease_await_end(sock);
    if (atomic_load(&sock->shared->cookie) != sock->cookie)
        return;
    if (!shim_lease_has_heir(sock))
        (void)shim_socket_serve(sock);
    shim_lease_ring(sock);
}

static void take_all(void)
{
    for (;;) {
        struct search search = {.found = NULL};

        shim_socket_each(find_entrusted, &search);
        if (search.found == NULL)
            return;
        search.found->is_entrusted = false;
        take(search.found);
        if (atomic_load(&search.found->users) == 0 && shim_socket_engine(search.found) == NULL)
            shim_socket_free(search.found); /* no number stands for it, which would be released */
    }
}

/* No number stands for a socket any more: from here on they are held by others, or linger. */
static void release_numbers(void)
{
    for (int fd = fd_table_next(0, INT_MAX); fd >= 0;
         fd = fd_table_next((unsigned int)fd + 1, INT_MAX)) {
        struct shim_socket *sock = fd_table_clear(fd);

        if (sock != NULL)
            shim_socket_release(sock);
    }
}

static void look_again(enum shim_phase phase)
{
    uint32_t skip_count = 0;
    struct shim_socket *sock;

    while ((sock = shim_socket_pin(phase, &skip_count)) != NULL)
        shim_socket_release(sock);
}

static void count_socket(void *context, struct shim_socket *sock)
{
    (void)sock;
    ++*(size_t *)context;
}

static void end_if_idle(void)
{
    size_t count = 0;

    shim_socket_each(count_socket, &count);
    if (count == 0)
        end_process();
}

static void on_sweep(struct engine_timer *timer)
{
    look_again(SHIM_ORPHAN);
    look_again(SHIM_LINGER);
    end_if_idle();
    engine_thread_arm(timer, engine_now_us() + SWEEP_US);
}

/* A holder stands by now: it can do without a process of ours. */
static void on_bell(struct engine_source *source, uint32_t events)
{
    uint32_t skip_count = 0;
    struct shim_socket *sock;

    (void)source;
    (void)events;
    while ((sock = shim_socket_pin(SHIM_ORPHAN, &skip_count)) != NULL) {
        if (shim_lease_has_heir(sock)) {
            shim_linger_hand_over(sock);
            skip_count--; /* it is no orphan any more */
        } else {
            shim_socket_release(sock);
        }
    }
    end_if_idle();
}

static void watch_bell(void *context, struct shim_socket *sock)
{
    static struct engine_source source = {.on_ready = on_bell};

    (void)context;
    /* Once for all sockets of one arena: the second time it is known already. */
    (void)engine_thread_add(&source, engine_arena_bell(sock->arena), EPOLLIN | EPOLLET);
}

static void run(void)
{
    static struct engine_timer sweep = {.on_due = on_sweep};

    reset_signals();
    (void)RAW_CALL(SYS_setsid);
    (void)RAW_CALL(SYS_prctl, PR_SET_NAME, raw_pointer("rudp"), 0, 0, 0);
    (void)RAW_CALL(SYS_chdir, raw_pointer("/"));
    shim_process_after_fork_child();
    shim_deliver_go_on();
    close_foreign();
    if (engine_thread_become() < 0)
        end_process();
    shim_socket_each(watch_bell, NULL);
    take_all();
    release_numbers();
    engine_thread_arm(&sweep, engine_now_us());
    engine_thread_run();
}

/* --- In the process that goes -------------------------------------------------------------------
 */

/* Where the caretaker's parent, who ends, leaves its pid: in the arena. */
struct pid_place {
    _Atomic pid_t pid;
};

/* The caretaker is the child of a child that ends at once, neither of them signals its end: the
 * program's wait finds neither. Without fork's handlers: the program's must not run here. */
static pid_t start(struct pid_place *place)
{
    shim_socket_before_fork();
    long child = RAW_CALL(SYS_clone, 0, 0, 0, 0, 0);

    if (child == 0) {
        long grandchild = RAW_CALL(SYS_clone, 0, 0, 0, 0, 0);

        if (grandchild == 0)
            run();
        atomic_store(&place->pid, grandchild > 0 ? (pid_t)grandchild : 0);
        end_process();
    }
    if (child > 0)
        (void)RAW_CALL(SYS_wait4, child, 0, __WCLONE, 0);
    shim_socket_after_fork_parent();
    return child > 0 ? atomic_load(&place->pid) : 0;
}

struct selection {
    struct engine_arena *arena; /* of one of the sockets */
    bool (*is_wanted)(const struct shim_socket *sock);
};

static void entrust(void *context, struct shim_socket *sock)
{
    struct selection *selection = context;

    if (shim_socket_engine(sock) == NULL || atomic_load(&sock->phase) == SHIM_FINISHED ||
        !selection->is_wanted(sock))
        return;
    sock->is_entrusted = true;
    shim_lease_announce_end(sock);
    selection->arena = sock->arena;
}

static void forget_trust(void *context, struct shim_socket *sock)
{
    (void)context;
    sock->is_entrusted = false;
}

static pid_t start_for(bool (*is_wanted)(const struct shim_socket *sock))
{
    struct selection selection = {.is_wanted = is_wanted};

    shim_socket_each(entrust, &selection);
    if (selection.arena == NULL)
        return 0;
    struct pid_place *place = engine_arena_take(selection.arena, sizeof *place);

    if (place == NULL)
        return 0;
    atomic_store(&place->pid, 0);
    pid_t pid = start(place);

    shim_socket_each(forget_trust, NULL);
    engine_arena_give(selection.arena, place, sizeof *place);
    if (pid == 0)
        shim_log(SHIM_LOG_ERROR, "no process for sockets that others hold: they are dead now");
    return pid;
}

static bool is_any(const struct shim_socket *sock)
{
    (void)sock;
    return true;
}

/* Some of its numbers may be closed by the exec. */
static void tell_read(void)
{
    for (int fd = fd_table_next(0, INT_MAX); fd >= 0;
         fd = fd_table_next((unsigned int)fd + 1, INT_MAX)) {
        struct shim_socket *sock = fd_table_acquire(fd);

        if (sock == NULL)
            continue;
        shim_linger_tell_read(sock, fd);
        shim_socket_release(sock);
    }
}

pid_t shim_caretaker_before_exec(void)
{
    int saved_errno = errno;
    pid_t caretaker = 0;

    if (!shim_process_is_guest()) {
        tell_read();
        caretaker = start_for(is_any);
    }
    if (caretaker != 0)
        engine_thread_park(); /* exec ends it at any point */
    errno = saved_errno;
    return caretaker;
}

void shim_caretaker_exec_failed(pid_t caretaker)
{
    int saved_errno = errno;

    if (caretaker == 0)
        return;
    engine_thread_unpark();
    (void)RAW_CALL(SYS_kill, caretaker, SIGKILL);
    errno = saved_errno;
}

static bool may_be_held(struct shim_socket *sock)
{
    return shim_socket_engine(sock) != NULL && atomic_load(&sock->shared->is_spread);
}

/* So that only other processes' copies count. The entries stay: who still calls gets EBADF. */
static void close_own_copies(void)
{
    for (int fd = fd_table_next(0, INT_MAX); fd >= 0;
         fd = fd_table_next((unsigned int)fd + 1, INT_MAX)) {
        struct shim_socket *sock = fd_table_acquire(fd);

        if (sock == NULL)
            continue;
        if (may_be_held(sock)) {
            shim_linger_count_unread(sock, fd);
            (void)RAW_CALL(SYS_close, fd);
        } else if (shim_socket_engine(sock) == NULL) {
            shim_linger_tell_read(sock, fd);
        }
        shim_socket_release(sock);
    }
}

static bool is_left_alone(const struct shim_socket *sock)
{
    return atomic_load(&sock->phase) < SHIM_LINGER && atomic_load(&sock->shared->is_spread) &&
           !shim_lease_has_heir(sock) && shim_pair_is_held(sock->cookie, sock->pair_fd);
}

void shim_caretaker_at_exit(void)
{
    int saved_errno = errno;

    close_own_copies();
    shim_linger_flush_all(); /* those that nobody holds, it turns out */
    (void)start_for(is_left_alone);
    engine_thread_park(); /* the end would come at any point of its work */
    errno = saved_errno;
}
