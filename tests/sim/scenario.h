/* scenario.h - a whole run drawn from a seed: network, settings, programs, accidents. */
#ifndef RUDP_TESTS_SIM_SCENARIO_H
#define RUDP_TESTS_SIM_SCENARIO_H

#include "tests/sim/sim.h"

/* X(name, text, percent): what may be part of a run, and how often it is drawn. */
#define SCENARIO_FEATURE_MAP(X)                                                                    \
    X(LOSS, "loss", 60)                                                                            \
    X(BURST, "burst", 15)                                                                          \
    X(REORDER, "reorder", 35)                                                                      \
    X(DUPLICATE, "duplicate", 30)                                                                  \
    X(DAMAGE, "damage", 20)                                                                        \
    X(RATE, "rate", 25)                                                                            \
    X(MTU, "mtu", 8)                                                                               \
    X(REBIND, "rebind", 10)                                                                        \
    X(OUTAGE, "outage", 15)                                                                        \
    X(RESTART, "restart", 12)                                                                      \
    X(ATTACK, "attack", 15)                                                                        \
    X(MEMORY, "memory", 10)                                                                        \
    X(SLOW, "slow", 20)                                                                            \
    X(CLOSE, "close", 50)                                                                          \
    X(CROWD, "crowd", 10)                                                                          \
    X(BOTH, "both", 8)                                                                             \
    X(UNORDERED, "unordered", 25)                                                                  \
    X(IDLE, "idle", 10)

enum scenario_feature {
#define X(name, text, percent) SCENARIO_##name,
    SCENARIO_FEATURE_MAP(X)
#undef X
    SCENARIO_FEATURE_COUNT,
};

/* What such a feature is called, by index; NULL beyond the last. */
const char *scenario_feature_text(uint32_t feature);

#define SCENARIO_ALL  UINT32_MAX /* every feature may be drawn */
#define SCENARIO_NONE 0u

struct scenario_result {
    bool passed;
    uint64_t log_hash;
    uint64_t step_count;
    uint64_t virtual_us;
    uint64_t delivered_count; /* messages */
    uint32_t features;        /* bits (1 << feature) that the run had */
    size_t peak_bytes;        /* most memory that one endpoint held */
    char failure[SIM_FAILURE_BYTES_MAX];
};

/* Runs the scenario of that seed. Features outside allowed are not drawn, those in forced are part
 * of the run. log_file as in sim_options. */
void scenario_run(uint64_t seed, uint32_t allowed, uint32_t forced, FILE *log_file,
                  struct scenario_result *result);

#endif
