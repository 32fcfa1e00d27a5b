/* caretaker.h - a process of the shim's own that goes on with sockets when their owner execs, or
 * ends in order, while others hold them and none of these stands by.
 *
 * It is forked beforehand, waits for the owner to let go of the lease, and ends when nobody holds
 * its sockets any more and what they sent has arrived, or when a holder stands by. It is no child
 * that the program could wait for. */
#ifndef RUDP_SHIM_CARETAKER_H
#define RUDP_SHIM_CARETAKER_H

#include <sys/types.h>

/* The program is about to exec: the caretaker's pid, 0: none is needed. */
pid_t shim_caretaker_before_exec(void);

/* The exec failed: everything is as before. errno kept. */
void shim_caretaker_exec_failed(pid_t caretaker);

/* The process ends now. Closes its own copies of sockets that other processes may hold, once. */
void shim_caretaker_at_exit(void);

#endif
