/* log.h - what happened in a run, in order: always as a hash, to compare runs; as text on demand.
 */
#ifndef RUDP_TESTS_SIM_LOG_H
#define RUDP_TESTS_SIM_LOG_H

#include "core/base.h"

#include <stdio.h>

struct sim_log {
    uint64_t hash;
    FILE *file; /* NULL: no text; not owned */
};

/* One fact about one node: what is a static string, a and b are numbers that belong to it. */
void sim_log_note(struct sim_log *log, uint64_t now_us, uint32_t node, const char *what, uint64_t a,
                  uint64_t b);

/* A packet leaves, arrives or is lost. The text shows the header and the frames. */
void sim_log_packet(struct sim_log *log, uint64_t now_us, uint32_t node, const char *what,
                    const uint8_t *packet, size_t bytes);

#endif
