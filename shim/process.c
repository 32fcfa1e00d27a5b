#define _GNU_SOURCE
#include "shim/process.h"

#include "engine/engine.h"
#include "engine/raw.h"
#include "shim/adopt.h"
#include "shim/discovery.h"
#include "shim/caretaker.h"
#include "shim/fd_table.h"
#include "shim/linger.h"
#include "shim/neighbour.h"
#include "shim/real.h"
#include "shim/socket.h"
#include "shim/stat.h"

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sysexits.h>
#include <unistd.h>

#define ENGINE_FD_COUNT_MAX 8u

static struct shim_settings settings;
static atomic_bool is_ready;
static _Atomic pid_t table_pid; /* whose memory this is; 0: no socket was made yet */
static atomic_bool has_left;
static int engine_fds[ENGINE_FD_COUNT_MAX];
static size_t engine_fd_count;
static atomic_bool is_engine_marked;

bool shim_process_is_ready(void)
{
    return atomic_load_explicit(&is_ready, memory_order_acquire);
}

const struct shim_settings *shim_process_settings(void)
{
    return &settings;
}

pid_t shim_process_pid(void)
{
    return (pid_t)RAW_CALL(SYS_getpid);
}

bool shim_process_is_guest(void)
{
    pid_t owner = atomic_load(&table_pid);

    return owner != 0 && owner != shim_process_pid();
}

static void unmark_engine(void)
{
    for (size_t index = 0; index < engine_fd_count; index++)
        fd_table_set_private(engine_fds[index], false);
    engine_fd_count = 0;
    atomic_store(&is_engine_marked, false);
}

void shim_process_after_fork_child(void)
{
    atomic_store(&table_pid, shim_process_pid());
    shim_stat_after_fork_child();
    unmark_engine(); /* the child's engine, if it gets one, has others */
    shim_socket_after_fork_child();
}

void shim_process_use(void)
{
    pid_t expected = 0;

    if (atomic_compare_exchange_strong(&table_pid, &expected, shim_process_pid()))
        (void)pthread_atfork(shim_socket_before_fork, shim_socket_after_fork_parent,
                             shim_process_after_fork_child);
}

void shim_process_protect_engine(void)
{
    if (atomic_exchange(&is_engine_marked, true)) /* by another thread, under another lock */
        return;
    engine_fd_count = engine_descriptors(engine_fds, ENGINE_FD_COUNT_MAX);
    for (size_t index = 0; index < engine_fd_count; index++)
        fd_table_set_private(engine_fds[index], true);
    shim_stat_start();
}

void shim_process_leave(void)
{
    if (atomic_load(&table_pid) != 0 && !shim_process_is_guest() &&
        !atomic_exchange(&has_left, true))
        shim_caretaker_at_exit();
}

#if defined(__GLIBC__)

extern int __cxa_atexit(void (*handler)(void *), void *argument, void *library);

static void leave_last(void *unused)
{
    (void)unused;
    shim_process_leave();
}

/* exit runs its handlers in reverse, and those of constructors even after all destructors. Bound to
 * no library, ours waits for those that come after us. What a FILE still holds is written later. */
static void await_exit(void)
{
    if (__cxa_atexit(leave_last, NULL, NULL) != 0 || at_quick_exit(shim_process_leave) != 0)
        shim_log(SHIM_LOG_ERROR, "no memory for an exit handler: exit does not wait");
}

#else

static void await_exit(void)
{
    (void)at_quick_exit(shim_process_leave);
}

/* musl runs destructors after the handlers. */
__attribute__((destructor)) static void end(void)
{
    shim_process_leave();
}

#endif

/* Without parameters: glibc passes main's to constructors, musl none. */
__attribute__((constructor)) static void begin(void)
{
    static char error[SHIM_ERROR_BYTES_MAX];

    real_resolve();
    if (shim_environment_parse((const char *const *)environ, &settings, error, sizeof error) !=
        RUDP_OK) {
        shim_log_fatal(error);
        for (;;) /* before main, and before anything that exit would have to clean up */
            (void)RAW_CALL(SYS_exit_group, EX_CONFIG);
    }
    shim_log_set(settings.log_level, program_invocation_short_name, settings.log_path);
    shim_neighbour_begin();
    engine_set_memory_max(settings.memory_bytes_max);
    engine_set_descriptor_guard(fd_table_set_private);
    engine_share_memory();
    shim_discovery_begin();
    await_exit();
    atomic_store_explicit(&is_ready, true, memory_order_release);
    shim_adopt_inherited();
}
