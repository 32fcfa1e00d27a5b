/* thread.h - the background thread: waits on descriptors and deadlines, runs what is due.
 *
 * One per process, started by the first user and never stopped. It knows sources (descriptors),
 * timers and jobs, not sockets. All callbacks run on it, one at a time, with nothing locked.
 *
 * Memory of sources and timers: an event may already be fetched when its source is removed, so the
 * owner frees it in a job, which runs when no fetched event is left. */
#ifndef RUDP_ENGINE_THREAD_H
#define RUDP_ENGINE_THREAD_H

#include "core/wheel.h"

#include <sys/epoll.h>

struct engine_source {
    void (*on_ready)(struct engine_source *source, uint32_t events);
};

struct engine_timer {
    struct rudp_wheel_entry entry;
    void (*on_due)(struct engine_timer *timer);
};

struct engine_job {
    struct engine_job *next;
    void (*run)(struct engine_job *job);
};

/* Starts the thread if it does not run. 0 or a negative errno. Thread-safe. */
int engine_thread_start(void);

/* Instead of starting one: the calling thread is the background thread, of a process that has no
 * other. run never returns. */
int engine_thread_become(void);
void engine_thread_run(void);

/* Stops the thread between two rounds, so that the process may end without cutting its work; and
 * lets it go on. Waits a second at most. Not on the thread itself. */
void engine_thread_park(void);
void engine_thread_unpark(void);

/* Registers, changes, unregisters fd with the thread's epoll. 0 or a negative errno. */
int engine_thread_add(struct engine_source *source, int fd, uint32_t events);
int engine_thread_modify(struct engine_source *source, int fd, uint32_t events);
void engine_thread_remove(int fd);

/* Makes the timer due at deadline_us at the latest (RUDP_NEVER: leaves it as it is). Wakes the
 * thread only when it sleeps past the deadline. Thread-safe. */
void engine_thread_arm(struct engine_timer *timer, uint64_t deadline_us);
void engine_thread_disarm(struct engine_timer *timer);

/* Runs the job between two rounds of events. urgent: now; else whenever the thread runs next. */
void engine_thread_post(struct engine_job *job, bool urgent);

struct engine_thread_stats {
    uint64_t wake_count;         /* wake-ups written */
    uint64_t wake_avoided_count; /* armed, but the thread was to run in time anyway */
};

void engine_thread_stats(struct engine_thread_stats *stats);

/* fork, as in engine.h. In the child no thread runs, no timer is filed and no descriptor watched.
 */
void engine_thread_before_fork(void);
void engine_thread_after_fork_parent(void);
void engine_thread_after_fork_child(void);

#endif
