/* base.h - what every file of the core needs: assertions, time constants, small arithmetic. */
#ifndef RUDP_CORE_BASE_H
#define RUDP_CORE_BASE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* A broken contract of our own code ends the process: going on would lose data silently.
 * A trap, because the core may not call libc. Never on bytes from the network. */
#define RUDP_ASSERT(condition)                                                                     \
    do {                                                                                           \
        if (__builtin_expect(!(condition), 0))                                                     \
            __builtin_trap();                                                                      \
    } while (0)

/* "No deadline": later than every clock value. */
#define RUDP_NEVER UINT64_MAX

#define RUDP_US_PER_MS 1000u
#define RUDP_US_PER_S  1000000u

static inline uint64_t min_u64(uint64_t a, uint64_t b)
{
    return a < b ? a : b;
}

static inline uint64_t max_u64(uint64_t a, uint64_t b)
{
    return a > b ? a : b;
}

static inline uint64_t absdiff_u64(uint64_t a, uint64_t b)
{
    return a > b ? a - b : b - a;
}

/* a - b, but never below 0. */
static inline uint64_t sub_floor_u64(uint64_t a, uint64_t b)
{
    return a > b ? a - b : 0;
}

/* a + b, but never past RUDP_NEVER: a deadline may be "never" plus something. */
static inline uint64_t add_ceil_u64(uint64_t a, uint64_t b)
{
    return a > RUDP_NEVER - b ? RUDP_NEVER : a + b;
}

#endif
