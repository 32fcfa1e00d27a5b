#include "engine/engine.h"

#include <time.h>

uint64_t engine_now_us(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * RUDP_US_PER_S + (uint64_t)now.tv_nsec / 1000;
}
