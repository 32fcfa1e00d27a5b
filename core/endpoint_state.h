/* endpoint_state.h - an endpoint from inside; for the endpoint_*.c files only.
 *
 * The endpoint owns its sessions: tables find them by their id and their peer's address, a wheel
 * holds their deadlines, lists say who may have something to send or to tell. After anything
 * happened to a session, endpoint_update puts it where it now belongs. */
#ifndef RUDP_CORE_ENDPOINT_STATE_H
#define RUDP_CORE_ENDPOINT_STATE_H

#include "core/cookie.h"
#include "core/endpoint.h"
#include "core/replies.h"
#include "core/session.h"
#include "core/siphash.h"
#include "core/tombstone.h"

/* What a call that is under way, or never came back, may leave half done. */
enum endpoint_tear {
    ENDPOINT_WHOLE,
    ENDPOINT_TORN_IN_ONE, /* the session in change, and what is made anew from the others */
    ENDPOINT_TORN,        /* anything */
};

struct rudp_endpoint {
    enum endpoint_tear tear;
    struct rudp_session *in_change; /* of ENDPOINT_TORN_IN_ONE; NULL: none yet */
    struct rudp_config config;
    struct rudp_host host;
    uint64_t mark;
    bool accepting;
    uint16_t id_tag; /* 0: none */
    struct rudp_siphash_key table_key;
    struct rudp_siphash_key cookie_key;
    struct rudp_table by_id;      /* sessions that are not over, by local id */
    struct rudp_table by_address; /* the same, by hash of the peer's address */
    struct rudp_list_node all;    /* every session not yet released */
    struct rudp_list_node to_send;
    struct rudp_list_node to_event;
    struct rudp_wheel wheel;
    struct rudp_tombstones tombstones;
    struct rudp_replies replies;
    uint32_t session_count;
    uint32_t half_open_count;
    uint64_t dropped_count[RUDP_DROP_COUNT];
    uint64_t undelivered_bytes;
};

static inline struct rudp_context endpoint_context(const struct rudp_endpoint *endpoint,
                                                   uint64_t now_us)
{
    return (struct rudp_context){&endpoint->config, &endpoint->host, now_us, endpoint->mark};
}

/* The endpoint of a call that changes something, from here to the end of the scope: whoever finds
 * the endpoint after its process was killed can tell whether it is whole. The fences keep the
 * compiler from moving the work out from between. */
static inline struct rudp_endpoint *endpoint_begin(struct rudp_endpoint *endpoint,
                                                   enum endpoint_tear tear)
{
    RUDP_ASSERT(endpoint->tear == ENDPOINT_WHOLE);
    endpoint->in_change = NULL;
    __atomic_signal_fence(__ATOMIC_SEQ_CST);
    endpoint->tear = tear;
    __atomic_signal_fence(__ATOMIC_SEQ_CST);
    return endpoint;
}

static inline void endpoint_end(struct rudp_endpoint **endpoint)
{
    __atomic_signal_fence(__ATOMIC_SEQ_CST);
    (*endpoint)->tear = ENDPOINT_WHOLE;
}

#define ENDPOINT_CALL_AS(endpoint, tear)                                                           \
    __attribute__((cleanup(endpoint_end), unused)) struct rudp_endpoint *call =                    \
        endpoint_begin(endpoint, tear)
#define ENDPOINT_CALL(endpoint) ENDPOINT_CALL_AS(endpoint, ENDPOINT_TORN)

/* A call that changes one session at a time, each after endpoint_touch: killed in there it leaves
 * all others whole, and rudp_endpoint_mend can go on with them. */
#define ENDPOINT_CALL_ON_ONE(endpoint) ENDPOINT_CALL_AS(endpoint, ENDPOINT_TORN_IN_ONE)

static inline void endpoint_touch(struct rudp_endpoint *endpoint, struct rudp_session *session)
{
    __atomic_signal_fence(__ATOMIC_SEQ_CST);
    endpoint->in_change = session;
    __atomic_signal_fence(__ATOMIC_SEQ_CST);
}

/* A session's place after something happened to it: timer, lists, tables, tombstone. */
void endpoint_update(struct rudp_endpoint *endpoint, struct rudp_session *session,
                     const struct rudp_context *context);

/* Makes a session and enters it everywhere. RUDP_E_LIMIT, RUDP_E_MEMORY. */
enum rudp_status endpoint_add(struct rudp_endpoint *endpoint, const struct rudp_context *context,
                              const struct rudp_path *path, bool opener,
                              struct rudp_session **session);

/* Enters a session that has a tombstone everywhere. RUDP_E_MEMORY, but not where it was before. */
enum rudp_status endpoint_link(struct rudp_endpoint *endpoint, struct rudp_session *session);

/* Enters a session whose links are clear into the tables. RUDP_E_MEMORY, but not where it was
 * before. */
enum rudp_status endpoint_enter_tables(struct rudp_endpoint *endpoint,
                                       struct rudp_session *session);
void endpoint_unlink(struct rudp_endpoint *endpoint, struct rudp_session *session);

/* Takes a session out everywhere and frees it. */
void endpoint_remove(struct rudp_endpoint *endpoint, struct rudp_session *session,
                     const struct rudp_context *context);

/* Begins a new incarnation of an opener under a new id. */
void endpoint_restart(struct rudp_endpoint *endpoint, struct rudp_session *session,
                      const struct rudp_context *context);

/* Moves a session whose path changed to its new place in the address table. */
void endpoint_rehash(struct rudp_endpoint *endpoint, struct rudp_session *session);

struct rudp_session *endpoint_find_id(const struct rudp_endpoint *endpoint, uint64_t id);

/* First session that is not over with that peer, and the next one behind it; NULL. */
struct rudp_session *endpoint_find_address(const struct rudp_endpoint *endpoint,
                                           const struct rudp_address *remote);
struct rudp_session *endpoint_find_next(const struct rudp_session *session);

#endif
