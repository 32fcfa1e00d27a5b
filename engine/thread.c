#include "engine/thread.h"

#include "core/list.h"
#include "engine/descriptor.h"
#include "engine/engine.h"
#include "engine/system.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>

#define THREAD_STACK_BYTES ((size_t)256 * 1024)
#define THREAD_EVENT_COUNT 64u

static struct {
    pthread_mutex_t lock; /* innermost of all: nothing else is locked while it is held */
    struct rudp_wheel wheel;
    struct engine_job *jobs;
    uint64_t sleep_until_us; /* 0 while awake: it looks at jobs and wheel before it sleeps */
    struct engine_thread_stats stats;
    int epoll_fd;
    int wake_fd;
    bool is_started;
    _Atomic uint32_t is_running; /* runs our code: its start is over */
} thread = {.lock = PTHREAD_MUTEX_INITIALIZER};

static struct engine_timer *timer_of(struct rudp_wheel_entry *entry)
{
    return RUDP_CONTAINER(entry, struct engine_timer, entry);
}

static void run_jobs(void)
{
    pthread_mutex_lock(&thread.lock);
    struct engine_job *job = thread.jobs;

    thread.jobs = NULL;
    pthread_mutex_unlock(&thread.lock);
    while (job != NULL) {
        struct engine_job *next = job->next;

        job->run(job); /* may free it */
        job = next;
    }
}

static void run_timers(void)
{
    uint64_t now_us = engine_now_us();

    for (;;) {
        pthread_mutex_lock(&thread.lock);
        struct rudp_wheel_entry *entry = rudp_wheel_expire(&thread.wheel, now_us);

        pthread_mutex_unlock(&thread.lock);
        if (entry == NULL)
            return;
        timer_of(entry)->on_due(timer_of(entry));
    }
}

/* From here until the events are fetched, whoever brings work must wake the thread. */
static uint64_t fall_asleep(void)
{
    pthread_mutex_lock(&thread.lock);
    uint64_t until_us = rudp_wheel_deadline_us(&thread.wheel);

    if (thread.jobs != NULL)
        until_us = 0;
    thread.sleep_until_us = until_us;
    pthread_mutex_unlock(&thread.lock);
    return until_us;
}

static void wake_up(void)
{
    pthread_mutex_lock(&thread.lock);
    thread.sleep_until_us = 0;
    pthread_mutex_unlock(&thread.lock);
}

void engine_thread_run(void)
{
    struct epoll_event events[THREAD_EVENT_COUNT];

    for (;;) {
        run_jobs();
        run_timers();
        uint64_t until_us = fall_asleep();
        uint64_t timeout_us =
            until_us == RUDP_NEVER ? RUDP_NEVER : sub_floor_u64(until_us, engine_now_us());
        long count = engine_sys_epoll_wait(thread.epoll_fd, events, THREAD_EVENT_COUNT, timeout_us);

        wake_up();
        /* Anything else means that the program closed our descriptors: nothing would be sent or
         * received from here on, and nobody told. */
        RUDP_ASSERT(count >= 0 || count == -EINTR);
        for (long i = 0; i < count; i++) {
            struct engine_source *source = events[i].data.ptr;

            if (source == NULL)
                engine_sys_eventfd_clear(thread.wake_fd);
            else
                source->on_ready(source, events[i].events);
        }
    }
}

static void *thread_main(void *argument)
{
    (void)argument;
    atomic_store(&thread.is_running, true);
    engine_sys_futex_wake_all(&thread.is_running);
    engine_thread_run();
    return NULL;
}

/* Signals are the program's: its handlers must not run here. pthread_sigmask leaves out the two
 * that libc needs in every thread, or setuid() would wait for this one for ever. */
static int start_with_stack(size_t stack_bytes)
{
    pthread_attr_t attributes;
    pthread_t id;
    sigset_t all;
    sigset_t before;

    if (pthread_attr_init(&attributes) != 0)
        return ENOMEM;
    pthread_attr_setdetachstate(&attributes, PTHREAD_CREATE_DETACHED);
    if (stack_bytes != 0)
        pthread_attr_setstacksize(&attributes, stack_bytes);
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    int error = pthread_create(&id, &attributes, thread_main, NULL);

    if (error == 0)
        pthread_setname_np(id, "rudp");
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    pthread_attr_destroy(&attributes);
    return error;
}

static int create_descriptors(void)
{
    int epoll_fd = engine_descriptor_move_high((int)engine_sys_epoll_create());

    if (epoll_fd < 0)
        return epoll_fd;
    int wake_fd = engine_descriptor_move_high((int)engine_sys_eventfd());

    if (wake_fd < 0) {
        engine_sys_close(epoll_fd);
        return wake_fd;
    }
    struct epoll_event event = {.events = EPOLLIN, .data.ptr = NULL};
    long result = engine_sys_epoll_ctl(epoll_fd, EPOLL_CTL_ADD, wake_fd, &event);

    if (result < 0) {
        engine_sys_close(wake_fd);
        engine_sys_close(epoll_fd);
        return (int)result;
    }
    thread.epoll_fd = epoll_fd;
    thread.wake_fd = wake_fd;
    return 0;
}

static int prepare_locked(void)
{
    struct engine_descriptor_room room;

    engine_descriptor_raise(&room);
    int result = create_descriptors();

    engine_descriptor_lower(&room);
    if (result < 0)
        return result;
    rudp_wheel_init(&thread.wheel, engine_now_us());
    thread.sleep_until_us = 0;
    return 0;
}

static int start_locked(void)
{
    int result = prepare_locked();

    if (result < 0)
        return result;
    int error = start_with_stack(THREAD_STACK_BYTES);

    if (error == EINVAL) /* a program with large thread-local storage, which the stack must hold */
        error = start_with_stack(0);
    if (error != 0) {
        engine_sys_close(thread.wake_fd);
        engine_sys_close(thread.epoll_fd);
        return -error;
    }
    thread.is_started = true;
    return 0;
}

int engine_thread_start(void)
{
    int result = 0;

    pthread_mutex_lock(&thread.lock);
    if (!thread.is_started)
        result = start_locked();
    pthread_mutex_unlock(&thread.lock);
    return result;
}

int engine_thread_become(void)
{
    pthread_mutex_lock(&thread.lock);
    RUDP_ASSERT(!thread.is_started);
    int result = prepare_locked();

    thread.is_started = result == 0;
    atomic_store(&thread.is_running, thread.is_started);
    pthread_mutex_unlock(&thread.lock);
    return result;
}

/* --- Standing still -----------------------------------------------------------------------------
 */

enum {
    PARK_NONE,
    PARK_WANTED,
    PARK_DONE,
};

static void run_parked(struct engine_job *job);

static struct {
    struct engine_job job;
    _Atomic uint32_t state;
} parking = {.job = {.run = run_parked}};

static void run_parked(struct engine_job *job)
{
    uint32_t wanted = PARK_WANTED;

    (void)job;
    if (!atomic_compare_exchange_strong(&parking.state, &wanted, PARK_DONE))
        return;
    engine_sys_futex_wake_all(&parking.state);
    while (atomic_load(&parking.state) == PARK_DONE)
        engine_sys_futex_wait(&parking.state, PARK_DONE, RUDP_NEVER);
}

void engine_thread_park(void)
{
    uint64_t deadline_us = engine_now_us() + RUDP_US_PER_S;
    uint32_t none = PARK_NONE;

    pthread_mutex_lock(&thread.lock);
    bool is_started = thread.is_started;

    pthread_mutex_unlock(&thread.lock);
    if (!is_started || !atomic_compare_exchange_strong(&parking.state, &none, PARK_WANTED))
        return;
    engine_thread_post(&parking.job, true);
    while (atomic_load(&parking.state) == PARK_WANTED && engine_now_us() < deadline_us)
        engine_sys_futex_wait(&parking.state, PARK_WANTED, deadline_us - engine_now_us());
}

void engine_thread_unpark(void)
{
    atomic_store(&parking.state, PARK_NONE);
    engine_sys_futex_wake_all(&parking.state);
}

size_t engine_descriptors(int *fds, size_t count_max)
{
    pthread_mutex_lock(&thread.lock);
    size_t count = thread.is_started && count_max >= 2 ? 2 : 0;

    if (count > 0) {
        fds[0] = thread.epoll_fd;
        fds[1] = thread.wake_fd;
    }
    pthread_mutex_unlock(&thread.lock);
    return count;
}

/* Locked, as is the waking up that comes between fetching an event and handling it: what the caller
 * wrote to the source is then visible to the thread by the rules of the language, not only because
 * the kernel happens to order it. */
int engine_thread_add(struct engine_source *source, int fd, uint32_t events)
{
    struct epoll_event event = {.events = events, .data.ptr = source};

    pthread_mutex_lock(&thread.lock);
    int result = (int)engine_sys_epoll_ctl(thread.epoll_fd, EPOLL_CTL_ADD, fd, &event);

    pthread_mutex_unlock(&thread.lock);
    return result;
}

int engine_thread_modify(struct engine_source *source, int fd, uint32_t events)
{
    struct epoll_event event = {.events = events, .data.ptr = source};

    return (int)engine_sys_epoll_ctl(thread.epoll_fd, EPOLL_CTL_MOD, fd, &event);
}

void engine_thread_remove(int fd)
{
    struct epoll_event event = {.events = 0};

    engine_sys_epoll_ctl(thread.epoll_fd, EPOLL_CTL_DEL, fd, &event);
}

/* The new time is noted, so that of many callers only the first writes. */
static void wake_before(uint64_t deadline_us)
{
    if (thread.sleep_until_us <= deadline_us) {
        thread.stats.wake_avoided_count++;
        return;
    }
    thread.sleep_until_us = deadline_us;
    thread.stats.wake_count++;
    engine_sys_eventfd_set(thread.wake_fd);
}

void engine_thread_arm(struct engine_timer *timer, uint64_t deadline_us)
{
    if (deadline_us == RUDP_NEVER)
        return;
    pthread_mutex_lock(&thread.lock);
    rudp_wheel_file(&thread.wheel, &timer->entry, deadline_us);
    wake_before(deadline_us);
    pthread_mutex_unlock(&thread.lock);
}

void engine_thread_disarm(struct engine_timer *timer)
{
    pthread_mutex_lock(&thread.lock);
    rudp_wheel_remove(&thread.wheel, &timer->entry);
    pthread_mutex_unlock(&thread.lock);
}

void engine_thread_post(struct engine_job *job, bool urgent)
{
    pthread_mutex_lock(&thread.lock);
    job->next = thread.jobs;
    thread.jobs = job;
    if (urgent)
        wake_before(0);
    pthread_mutex_unlock(&thread.lock);
}

void engine_thread_stats(struct engine_thread_stats *stats)
{
    pthread_mutex_lock(&thread.lock);
    *stats = thread.stats;
    pthread_mutex_unlock(&thread.lock);
}

/* A thread that starts may be in code that is not ours and hold a lock of it, which the child would
 * find locked for ever: allocators and sanitizers do work of their own at the beginning of a
 * thread. Later it calls nothing but the kernel. */
void engine_thread_before_fork(void)
{
    pthread_mutex_lock(&thread.lock);
    while (thread.is_started && !atomic_load(&thread.is_running))
        engine_sys_futex_wait(&thread.is_running, false, RUDP_NEVER);
}

void engine_thread_after_fork_parent(void)
{
    pthread_mutex_unlock(&thread.lock);
}

void engine_thread_after_fork_child(void)
{
    if (thread.is_started) {
        /* Closing, not unregistering: the epoll set is the parent's. */
        engine_sys_close(thread.wake_fd);
        engine_sys_close(thread.epoll_fd);
    }
    thread.jobs = NULL;
    thread.is_started = false;
    atomic_store(&thread.is_running, false);
    atomic_store(&parking.state, PARK_NONE);
    pthread_mutex_unlock(&thread.lock);
}
