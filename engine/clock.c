#include "engine/engine.h"
#include "engine/system.h"

#include <time.h>

static bool is_kernels;

void engine_use_kernel_clock(void)
{
    is_kernels = true;
}

void engine_read_clock(clockid_t clock, struct timespec *now)
{
    if (is_kernels)
        engine_sys_read_clock(clock, now);
    else
        (void)clock_gettime(clock, now);
}

uint64_t engine_now_us(void)
{
    struct timespec now;

    engine_read_clock(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * RUDP_US_PER_S + (uint64_t)now.tv_nsec / 1000;
}
