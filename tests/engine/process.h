/* process.h - the helper program engine_peer as a child process (see peer.c for what it does). */
#ifndef RUDP_TESTS_ENGINE_PROCESS_H
#define RUDP_TESTS_ENGINE_PROCESS_H

#include <stdint.h>
#include <sys/types.h>

struct process {
    pid_t pid;
    int output;    /* what it prints */
    uint16_t port; /* the first thing it printed */
};

/* Starts peer_path with a mode and a port (0: any) and waits until it printed its port. */
struct process process_start(const char *peer_path, const char *mode, uint16_t port);

/* Kills it with SIGKILL and waits for its end. */
void process_kill(struct process *process);

/* Waits for its end, checks that it succeeded, and returns the number it printed last. */
uint64_t process_finish(struct process *process);

#endif
