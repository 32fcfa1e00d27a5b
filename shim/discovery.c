#define _GNU_SOURCE
#include "shim/discovery.h"

#include "engine/engine.h"
#include "engine/random.h"
#include "shim/asker.h"
#include "shim/lock.h"
#include "shim/process.h"

static struct {
    pthread_mutex_t lock; /* innermost: nothing is called while it is held but the core */
    struct rudp_discovery table;
} discovery = {.lock = PTHREAD_MUTEX_INITIALIZER};

/* Where every tagged peer has to speak, nothing is looked up and nothing remembered. */
static bool is_needed(void)
{
    const struct shim_settings *settings = shim_process_settings();

    return settings->accepts_plain || settings->falls_back;
}

void shim_discovery_begin(void)
{
    const struct shim_settings *settings = shim_process_settings();
    struct rudp_discovery_options options = {
        .rto_initial_us = settings->config.rto_initial_us,
        .port = settings->falls_back ? settings->discovery_port : 0,
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
    uint32_t question_count = discovery.table.question_count;
    enum rudp_peer_kind kind = rudp_discovery_consult(&discovery.table, peer, engine_now_us());
    bool is_asked = discovery.table.question_count > question_count;

    shim_unlock(&discovery.lock, mask);
    if (is_asked)
        shim_asker_wake();
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
    uint32_t question_count = discovery.table.question_count;

    rudp_discovery_heard_protocol(&discovery.table, peer);
    bool is_settled = discovery.table.question_count < question_count;

    shim_unlock(&discovery.lock, mask);
    if (is_settled)
        shim_asker_sweep();
}

void shim_discovery_heard_plain(const struct rudp_address *peer)
{
    if (!is_needed())
        return;
    struct engine_signal_mask mask = shim_lock(&discovery.lock);

    rudp_discovery_heard_plain(&discovery.table, peer, engine_now_us());
    shim_unlock(&discovery.lock, mask);
}

void shim_discovery_doubt(const struct rudp_address *peer)
{
    if (!is_needed())
        return;
    struct engine_signal_mask mask = shim_lock(&discovery.lock);

    rudp_discovery_doubt(&discovery.table, peer);
    shim_unlock(&discovery.lock, mask);
}

/* ------------------------------------------------------------------------------------------------
 */

bool shim_discovery_next_query(struct rudp_address *to, uint8_t out[RUDP_QUERY_BYTES])
{
    struct engine_signal_mask mask = shim_lock(&discovery.lock);
    bool is_due = rudp_discovery_next_query(&discovery.table, to, out, engine_now_us());

    shim_unlock(&discovery.lock, mask);
    return is_due;
}

static void sweep_if(bool is_changed)
{
    if (is_changed)
        shim_asker_sweep();
}

void shim_discovery_advance(void)
{
    struct engine_signal_mask mask = shim_lock(&discovery.lock);
    bool is_changed = rudp_discovery_advance(&discovery.table, engine_now_us());

    shim_unlock(&discovery.lock, mask);
    sweep_if(is_changed);
}

void shim_discovery_receive(const struct rudp_address *from, const void *data, size_t bytes)
{
    struct engine_signal_mask mask = shim_lock(&discovery.lock);
    bool is_changed = rudp_discovery_receive(&discovery.table, from, data, bytes, engine_now_us());

    shim_unlock(&discovery.lock, mask);
    sweep_if(is_changed);
}

void shim_discovery_refused(const struct rudp_address *to, const void *data, size_t bytes)
{
    struct engine_signal_mask mask = shim_lock(&discovery.lock);
    bool is_changed = rudp_discovery_refused(&discovery.table, to, data, bytes, engine_now_us());

    shim_unlock(&discovery.lock, mask);
    sweep_if(is_changed);
}

uint64_t shim_discovery_deadline_us(void)
{
    struct engine_signal_mask mask = shim_lock(&discovery.lock);
    uint64_t deadline_us = rudp_discovery_deadline_us(&discovery.table);

    shim_unlock(&discovery.lock, mask);
    return deadline_us;
}

void shim_discovery_before_fork(void)
{
    RUDP_ASSERT(pthread_mutex_lock(&discovery.lock) == 0);
}

void shim_discovery_after_fork_parent(void)
{
    RUDP_ASSERT(pthread_mutex_unlock(&discovery.lock) == 0);
}

void shim_discovery_after_fork_child(void)
{
    rudp_discovery_drop_questions(&discovery.table);
    RUDP_ASSERT(pthread_mutex_unlock(&discovery.lock) == 0);
}
