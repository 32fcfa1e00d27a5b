/* process.h - the shim in the life of its process: start, fork, exit. */
#ifndef RUDP_SHIM_PROCESS_H
#define RUDP_SHIM_PROCESS_H

#include "shim/environment.h"

#include <sys/types.h>

/* True once the constructor has run: before, every hook passes through. */
bool shim_process_is_ready(void);

/* Fixed once ready. */
const struct shim_settings *shim_process_settings(void);

/* Asks the kernel: a remembered number would be wrong in a vfork child. */
pid_t shim_process_pid(void);

/* True in a vfork child, which runs on its parent's memory: it must leave the tables alone. */
bool shim_process_is_guest(void);

/* The first socket is being made: from now on fork matters. */
void shim_process_use(void);

/* The engine runs: marks its own descriptors private and lets its counters be read. */
void shim_process_protect_engine(void);

/* The process ends, and nothing of the program runs any more: what was accepted is delivered, what
 * other processes hold is left to them. The first call does it, in the process that made the
 * sockets; every other one returns at once. */
void shim_process_leave(void);

/* In the child of a fork. */
void shim_process_after_fork_child(void);

#endif
