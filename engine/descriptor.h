/* descriptor.h - private descriptors, kept out of the way of the program's own numbers. */
#ifndef RUDP_ENGINE_DESCRIPTOR_H
#define RUDP_ENGINE_DESCRIPTOR_H

#include "engine/system.h"

/* RLIMIT_NOFILE bounds the numbers that are given out, not those that exist. Above the program's
 * soft limit our numbers are none that it could get, and take none from it. So while descriptors of
 * ours are made the limit is raised, where the hard limit leaves room; no signal comes meanwhile,
 * other threads' raises wait. */
struct engine_descriptor_room {
    struct engine_file_limit limit; /* the program's */
    bool is_raised;
    struct engine_signal_mask mask;
};

void engine_descriptor_raise(struct engine_descriptor_room *room);
void engine_descriptor_lower(struct engine_descriptor_room *room);

/* Whether fd is none that the program could have got. */
bool engine_descriptor_exceeds(const struct engine_descriptor_room *room, int fd);

/* Moves fd to a high number and makes it close-on-exec, so that the numbers the program gets do not
 * depend on us: above its soft limit where the hard limit leaves room. Returns the new number; fd
 * itself when no high number is free. A negative fd is returned as it is, so a creating call can be
 * wrapped. */
int engine_descriptor_move_high(int fd);

/* Tells who asked to be told (engine_set_descriptor_guard) that fd is ours, or no longer. */
void engine_guard_descriptor(int fd, bool is_private);

/* A close-on-exec copy of fd, high if a high number is free. The copy, or a negative errno. */
int engine_descriptor_copy_high(int fd);

/* fork, in parent and child. */
void engine_descriptor_before_fork(void);
void engine_descriptor_after_fork(void);

#endif
