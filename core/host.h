/* host.h - what the core needs from whoever runs it: memory and randomness.
 *
 * The core keeps no pointer to this in a session: every call that needs it gets it as an
 * argument, so a session may live in memory that several processes share. */
#ifndef RUDP_CORE_HOST_H
#define RUDP_CORE_HOST_H

#include "core/base.h"

/* Memory. allocate returns memory aligned for any type, not cleared, or NULL when the caller's
 * limit is reached: the core treats NULL as back-pressure, never as a fault. release gets the
 * size that was asked for, and never NULL. */
struct rudp_allocator {
    void *context;
    void *(*allocate)(void *context, size_t bytes);
    void (*release)(void *context, void *memory, size_t bytes);
};

/* Unpredictable bytes: connection ids and cookies are made of them. Cannot fail. */
struct rudp_random {
    void *context;
    void (*fill)(void *context, void *out, size_t bytes);
};

struct rudp_host {
    struct rudp_allocator allocator;
    struct rudp_random random;
};

static inline void *rudp_allocate(const struct rudp_host *host, size_t bytes)
{
    return host->allocator.allocate(host->allocator.context, bytes);
}

static inline void rudp_release(const struct rudp_host *host, void *memory, size_t bytes)
{
    if (memory != NULL)
        host->allocator.release(host->allocator.context, memory, bytes);
}

static inline uint64_t rudp_random_u64(const struct rudp_host *host)
{
    uint64_t value;

    host->random.fill(host->random.context, &value, sizeof value);
    return value;
}

#endif
