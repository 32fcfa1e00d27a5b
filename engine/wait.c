#include "engine/wait.h"

#include "engine/engine.h"
#include "engine/system.h"

#include <stdatomic.h>

uint32_t engine_wait_ticket(struct engine_wait *wait)
{
    atomic_fetch_add(&wait->sleeper_count, 1);
    return atomic_load(&wait->generation);
}

bool engine_wait_sleep(struct engine_wait *wait, uint32_t ticket, uint64_t deadline_us)
{
    uint64_t now_us = deadline_us == RUDP_NEVER ? 0 : engine_now_us();

    if (now_us < deadline_us && atomic_load(&wait->generation) == ticket)
        engine_sys_futex_wait(&wait->generation, ticket,
                              deadline_us == RUDP_NEVER ? RUDP_NEVER : deadline_us - now_us);
    atomic_fetch_sub(&wait->sleeper_count, 1);
    return deadline_us == RUDP_NEVER || engine_now_us() < deadline_us;
}

void engine_wait_wake(struct engine_wait *wait)
{
    if (!engine_wait_has_sleeper(wait))
        return;
    atomic_fetch_add(&wait->generation, 1);
    engine_sys_futex_wake_all(&wait->generation);
}

bool engine_wait_has_sleeper(struct engine_wait *wait)
{
    return atomic_load(&wait->sleeper_count) > 0;
}
