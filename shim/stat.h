/* stat.h - the counters of this process for `rudp stat`: answered by the engine thread, on a socket
 * of its own (stat_format.h). */
#ifndef RUDP_SHIM_STAT_H
#define RUDP_SHIM_STAT_H

/* The engine runs: begins to answer, unless RUDP_STATS=off or that was done. A process that cannot
 * (no descriptor left) goes on without, and logs it. Signals blocked. */
void shim_stat_start(void);

/* In a forked child: drops the parent's socket. */
void shim_stat_after_fork_child(void);

#endif
