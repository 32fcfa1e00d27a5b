#include "engine/api.h"

static uint64_t deadline_from_ms(int64_t timeout_ms)
{
    if (timeout_ms < 0 || (uint64_t)timeout_ms > RUDP_NEVER / RUDP_US_PER_MS)
        return RUDP_NEVER;
    return add_ceil_u64(engine_now_us(), (uint64_t)timeout_ms * RUDP_US_PER_MS);
}

int64_t api_attempt(struct engine_socket *sock, struct engine_wait *wait, int64_t timeout_ms,
                    int64_t (*attempt)(void *request), void *request)
{
    uint64_t deadline_us = deadline_from_ms(timeout_ms);
    bool in_time = timeout_ms != 0;

    for (;;) {
        uint32_t ticket = 0;

        engine_socket_enter(sock);
        int64_t result = attempt(request);
        bool may_wait = result == RUDP_ERR_AGAIN && in_time;

        if (may_wait)
            ticket = engine_wait_ticket(wait);
        engine_socket_leave(sock);
        if (!may_wait)
            return result;
        in_time = engine_wait_sleep(wait, ticket, deadline_us);
    }
}
