#include "engine/descriptor.h"

#include "engine/engine.h"
#include "engine/system.h"

#include <pthread.h>
#include <stdatomic.h>

/* Where the soft limit cannot be stepped over. Below 1,024 because a descriptor table grows with
 * its highest number, which makes fork slower. */
#define HIGH_FD_END   1024u
#define HIGH_FD_COUNT 64u

/* Above soft limits up to this one: a table that reaches there is 64 KiB. */
#define STEPPED_LIMIT_MAX 8192u

static pthread_mutex_t limit_mutex = PTHREAD_MUTEX_INITIALIZER;
static struct engine_signal_mask fork_mask;

/* The raised room, for the thread that has the mutex. */
static const struct engine_descriptor_room *raised_room;
static _Atomic(pthread_t) raiser;

static int low_base(uint64_t soft)
{
    return (int)sub_floor_u64(min_u64(soft, HIGH_FD_END), HIGH_FD_COUNT);
}

void engine_descriptor_raise(struct engine_descriptor_room *room)
{
    struct engine_file_limit raised;

    room->mask = engine_sys_block_signals();
    pthread_mutex_lock(&limit_mutex);
    if (engine_sys_get_file_limit(&room->limit) < 0)
        room->limit = (struct engine_file_limit){HIGH_FD_END, HIGH_FD_END};
    raised = (struct engine_file_limit){room->limit.hard, room->limit.hard};
    room->is_raised = room->limit.soft < room->limit.hard &&
                      room->limit.soft <= STEPPED_LIMIT_MAX &&
                      engine_sys_set_file_limit(&raised) == 0;
    raised_room = room;
    atomic_store(&raiser, pthread_self());
}

void engine_descriptor_lower(struct engine_descriptor_room *room)
{
    if (room->is_raised)
        (void)engine_sys_set_file_limit(&room->limit);
    atomic_store(&raiser, 0);
    pthread_mutex_unlock(&limit_mutex);
    engine_sys_restore_signals(room->mask);
}

bool engine_descriptor_exceeds(const struct engine_descriptor_room *room, int fd)
{
    return fd >= 0 && (uint64_t)fd >= room->limit.soft;
}

static long duplicate_in(const struct engine_descriptor_room *room, int fd)
{
    return engine_sys_duplicate_from(fd, room->is_raised ? (int)room->limit.soft
                                                         : low_base(room->limit.soft));
}

static long duplicate_high(int fd)
{
    struct engine_descriptor_room room;

    if (atomic_load(&raiser) == pthread_self())
        return duplicate_in(raised_room, fd);
    engine_descriptor_raise(&room);
    long copy = duplicate_in(&room, fd);

    engine_descriptor_lower(&room);
    return copy;
}

int engine_descriptor_move_high(int fd)
{
    if (fd < 0)
        return fd;
    long moved = duplicate_high(fd);

    if (moved < 0)
        return fd;
    engine_sys_close(fd);
    return (int)moved;
}

int engine_descriptor_copy_high(int fd)
{
    long copy = duplicate_high(fd);

    return (int)(copy < 0 ? engine_sys_duplicate_from(fd, 0) : copy);
}

/* A child must not inherit a raised limit, nor the lock. */
void engine_descriptor_before_fork(void)
{
    struct engine_signal_mask mask = engine_sys_block_signals();

    pthread_mutex_lock(&limit_mutex);
    fork_mask = mask;
}

void engine_descriptor_after_fork(void)
{
    struct engine_signal_mask mask = fork_mask;

    pthread_mutex_unlock(&limit_mutex);
    engine_sys_restore_signals(mask);
}

static void (*descriptor_guard)(int fd, bool is_private);

void engine_set_descriptor_guard(void (*guard)(int fd, bool is_private))
{
    descriptor_guard = guard;
}

void engine_guard_descriptor(int fd, bool is_private)
{
    if (descriptor_guard != NULL)
        descriptor_guard(fd, is_private);
}
