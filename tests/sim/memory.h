/* memory.h - the allocator an endpoint is given: counts, caps, fails on demand, finds leaks. */
#ifndef RUDP_TESTS_SIM_MEMORY_H
#define RUDP_TESTS_SIM_MEMORY_H

#include "core/host.h"
#include "tests/sim/random.h"

struct sim_memory {
    size_t used_bytes;
    size_t peak_bytes;
    size_t limit_bytes;    /* allocations beyond it fail; 0: no limit */
    uint32_t failure_ppm;  /* chance that an allocation fails although there is room */
    uint64_t failed_count; /* allocations refused so far */
    uint64_t wrong_count;  /* releases with another size than was asked for */
    struct sim_random random;
};

/* The allocator that allocates from memory, which must outlive everything allocated. New memory is
 * filled with a pattern: nobody may count on zeroes. */
struct rudp_allocator sim_memory_allocator(struct sim_memory *memory);

#endif
