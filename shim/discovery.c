#define _GNU_SOURCE
#include "shim/discovery.h"

#include "engine/engine.h"
#include "engine/random.h"
#include "shim/lock.h"
#include "shim/process.h"

static struct {
    pthread_mutex_t lock; /* innermost: nothing is called while it is held but the core */
    struct rudp_discovery table;
} discovery = {.lock = PTHREAD_MUTEX_INITIALIZER};

/* Where every tagged peer has to speak, nothing is looked up and nothing remembered. */
static bool is_needed(void)
{
    return shim_process_settings()->accepts_plain;
}

void shim_discovery_begin(void)
{
    struct rudp_discovery_options options = {
        .rto_initial_us = shim_process_settings()->config.rto_initial_us,
    };

    if (!is_needed())
        return;
    engine_random_fill(NULL, &options.key, sizeof options.key);
    rudp_discovery_init(&discovery.table, &options);
}

enum rudp_peer_kind shim_discovery_consult(const struct rudp_address *peer)
{
    if (!is_needed())
        return RUDP_PEER_UNKNOWN;
    struct engine_signal_mask mask = shim_lock(&discovery.lock);
    enum rudp_peer_kind kind = rudp_discovery_consult(&discovery.table, peer, engine_now_us());

    shim_unlock(&discovery.lock, mask);
    return kind;
}

enum rudp_peer_kind shim_discovery_kind(const struct rudp_address *peer)
{
    if (!is_needed())
        return RUDP_PEER_UNKNOWN;
    struct engine_signal_mask mask = shim_lock(&discovery.lock);
    enum rudp_peer_kind kind = rudp_discovery_kind(&discovery.table, peer, engine_now_us());

    shim_unlock(&discovery.lock, mask);
    return kind;
}

void shim_discovery_heard_protocol(const struct rudp_address *peer)
{
    if (!is_needed())
        return;
    struct engine_signal_mask mask = shim_lock(&discovery.lock);

    rudp_discovery_heard_protocol(&discovery.table, peer);
    shim_unlock(&discovery.lock, mask);
}

void shim_discovery_heard_plain(const struct rudp_address *peer)
{
    if (!is_needed())
        return;
    struct engine_signal_mask mask = shim_lock(&discovery.lock);

    rudp_discovery_heard_plain(&discovery.table, peer, engine_now_us());
    shim_unlock(&discovery.lock, mask);
}

void shim_discovery_before_fork(void)
{
    RUDP_ASSERT(pthread_mutex_lock(&discovery.lock) == 0);
}

void shim_discovery_after_fork(void)
{
    RUDP_ASSERT(pthread_mutex_unlock(&discovery.lock) == 0);
}
