/* endpoint.c - an endpoint's life and bookkeeping; endpoint_receive.c takes packets in. */
#include "core/endpoint_state.h"

#include <string.h>

/* A tombstone's life (docs/protocol.md section 7): a peer that missed the CLOSE asks again at its
 * probe timeouts, which may have backed off to seconds. */
#define TOMBSTONE_US (10u * RUDP_US_PER_S)

_Static_assert(RUDP_REPLY_BYTES_MAX <= RUDP_CLOSE_PACKET_BYTES_MAX,
               "a session that ends counts on its CLOSE not being longer");

static uint64_t address_key(const struct rudp_endpoint *endpoint,
                            const struct rudp_address *address)
{
    return rudp_siphash(&endpoint->table_key, address, sizeof *address);
}

enum rudp_status rudp_endpoint_create(struct rudp_endpoint **out, const struct rudp_config *config,
                                      const struct rudp_host *host, uint64_t now_us)
{
    RUDP_ASSERT(out != NULL && config != NULL && host != NULL);
    if (rudp_config_check(config) != RUDP_OK)
        return RUDP_E_INVALID;
    struct rudp_endpoint *endpoint = rudp_allocate(host, sizeof *endpoint);

    if (endpoint == NULL)
        return RUDP_E_MEMORY;
    memset(endpoint, 0, sizeof *endpoint);
    endpoint->config = *config;
    endpoint->host = *host;
    endpoint->accepting = config->accepts_sessions;
    endpoint->table_key.k0 = rudp_random_u64(host);
    endpoint->table_key.k1 = rudp_random_u64(host);
    endpoint->cookie_key.k0 = rudp_random_u64(host);
    endpoint->cookie_key.k1 = rudp_random_u64(host);
    rudp_list_init(&endpoint->all);
    rudp_list_init(&endpoint->to_send);
    rudp_list_init(&endpoint->to_event);
    rudp_wheel_init(&endpoint->wheel, now_us);
    rudp_tombstones_init(&endpoint->tombstones, now_us);
    *out = endpoint;
    return RUDP_OK;
}

void rudp_endpoint_destroy(struct rudp_endpoint *endpoint)
{
    struct rudp_context context = endpoint_context(endpoint, 0);
    struct rudp_host host = endpoint->host;

    endpoint->tear =
        ENDPOINT_TORN; /* for good: who is killed in here leaves nothing to go on with */

    while (!rudp_list_is_empty(&endpoint->all))
        endpoint_remove(
            endpoint, RUDP_CONTAINER(endpoint->all.next, struct rudp_session, links.all), &context);
    rudp_tombstones_clear(&endpoint->tombstones, &host);
    rudp_replies_clear(&endpoint->replies, &host);
    rudp_table_clear(&endpoint->by_id, &host);
    rudp_table_clear(&endpoint->by_address, &host);
    rudp_release(&host, endpoint, sizeof *endpoint);
}

bool rudp_endpoint_is_torn(const struct rudp_endpoint *endpoint)
{
    return endpoint->tear != ENDPOINT_WHOLE;
}

void rudp_endpoint_set_accepting(struct rudp_endpoint *endpoint, bool accepting)
{
    ENDPOINT_CALL(endpoint);
    endpoint->accepting = accepting;
}

bool rudp_endpoint_is_accepting(const struct rudp_endpoint *endpoint)
{
    return endpoint->accepting;
}

static uint64_t new_id(const struct rudp_endpoint *endpoint)
{
    uint64_t id;

    do {
        id = rudp_random_u64(&endpoint->host);
        if (endpoint->id_tag != 0)
            id = id >> 16 | (uint64_t)endpoint->id_tag << 48;
    } while (id == 0 || endpoint_find_id(endpoint, id) != NULL);
    return id;
}

enum rudp_status endpoint_enter_tables(struct rudp_endpoint *endpoint, struct rudp_session *session)
{
    enum rudp_status status = rudp_table_insert(&endpoint->by_id, &endpoint->host,
                                                &session->links.by_id, session->local_id);

    if (status != RUDP_OK)
        return status;
    status = rudp_table_insert(&endpoint->by_address, &endpoint->host, &session->links.by_address,
                               address_key(endpoint, &session->path.remote));
    if (status != RUDP_OK)
        rudp_table_remove(&endpoint->by_id, &session->links.by_id);
    return status;
}

enum rudp_status endpoint_link(struct rudp_endpoint *endpoint, struct rudp_session *session)
{
    enum rudp_status status = rudp_tombstones_make_room(&endpoint->tombstones, &endpoint->host);

    if (status == RUDP_OK)
        status = endpoint_enter_tables(endpoint, session);
    if (status != RUDP_OK)
        return status;
    session->links.retired = false;
    rudp_list_append(&endpoint->all, &session->links.all);
    endpoint->session_count++;
    return RUDP_OK;
}

enum rudp_status endpoint_add(struct rudp_endpoint *endpoint, const struct rudp_context *context,
                              const struct rudp_path *path, bool opener, struct rudp_session **out)
{
    if (endpoint->session_count >= endpoint->config.session_count_max)
        return RUDP_E_LIMIT;
    struct rudp_session *session = rudp_allocate(&endpoint->host, sizeof *session);

    if (session == NULL)
        return RUDP_E_MEMORY;
    enum rudp_status status = rudp_session_init(session, context, path, opener, new_id(endpoint));

    if (status == RUDP_OK) {
        session->links.tombstone = rudp_tombstones_reserve(&endpoint->tombstones, &endpoint->host);
        status =
            session->links.tombstone == NULL ? RUDP_E_MEMORY : endpoint_link(endpoint, session);
    }
    if (status != RUDP_OK) {
        rudp_session_clear(session, context);
        rudp_release(&endpoint->host, session->links.tombstone, sizeof *session->links.tombstone);
        rudp_release(&endpoint->host, session, sizeof *session);
        return status;
    }
    *out = session;
    return RUDP_OK;
}

static void count_half_open(struct rudp_endpoint *endpoint, struct rudp_session *session)
{
    bool half_open = session->state == RUDP_SESSION_ACCEPTED;

    if (half_open == session->links.half_open)
        return;
    session->links.half_open = half_open;
    if (half_open)
        endpoint->half_open_count++;
    else
        endpoint->half_open_count--;
}

static void leave_tables(struct rudp_endpoint *endpoint, struct rudp_session *session)
{
    if (session->links.retired)
        return;
    session->links.retired = true;
    rudp_table_remove(&endpoint->by_id, &session->links.by_id);
    rudp_table_remove(&endpoint->by_address, &session->links.by_address);
    rudp_wheel_remove(&endpoint->wheel, &session->links.timer);
    rudp_list_remove(&session->links.to_send);
}

void endpoint_unlink(struct rudp_endpoint *endpoint, struct rudp_session *session)
{
    leave_tables(endpoint, session);
    rudp_list_remove(&session->links.to_event);
    rudp_list_remove(&session->links.all);
    if (session->links.half_open)
        endpoint->half_open_count--;
    session->links.half_open = false;
    endpoint->session_count--;
}

void endpoint_remove(struct rudp_endpoint *endpoint, struct rudp_session *session,
                     const struct rudp_context *context)
{
    endpoint_unlink(endpoint, session);
    rudp_session_clear(session, context);
    rudp_release(&endpoint->host, session->links.tombstone, sizeof *session->links.tombstone);
    rudp_release(&endpoint->host, session, sizeof *session);
}

/* The last word to the peer waits among the replies, so that the session may be released at once.
 */
static void send_close(struct rudp_endpoint *endpoint, const struct rudp_session *session,
                       const struct rudp_context *context)
{
    struct rudp_reply *reply = rudp_replies_reserve(&endpoint->replies, &endpoint->host);

    if (reply == NULL) { /* late packets bring the tombstone to say it again */
        endpoint->dropped_count[RUDP_DROP_REPLY_LIMIT]++;
        return;
    }
    size_t packet_bytes =
        rudp_session_write_close(session, context, reply->packet, sizeof reply->packet);

    if (packet_bytes == 0)
        return;
    reply->path = session->path;
    reply->copy_count = RUDP_CLOSE_COPY_COUNT;
    reply->packet_bytes = (uint8_t)packet_bytes;
    rudp_replies_commit(&endpoint->replies);
}

static void bury(struct rudp_endpoint *endpoint, const struct rudp_session *session,
                 const struct rudp_context *context, struct rudp_tombstone *tombstone,
                 uint64_t life_us)
{
    tombstone->path = session->path;
    tombstone->next_pn = session->loss.next_pn + 1; /* the CLOSE before it took one */
    rudp_tombstones_add(&endpoint->tombstones, &endpoint->host, tombstone, session->local_id,
                        session->peer_id, context->now_us + life_us);
}

/* A session that is over leaves the tables; a tombstone answers for it. */
static void retire(struct rudp_endpoint *endpoint, struct rudp_session *session,
                   const struct rudp_context *context)
{
    leave_tables(endpoint, session);
    endpoint->undelivered_bytes += session->undelivered_bytes;
    if (session->close_code != RUDP_CLOSE_SILENT)
        send_close(endpoint, session, context);
    if (session->peer_id != 0) {
        uint64_t life_us = TOMBSTONE_US;

        /* Who was not answered repeats its hello, whose messages may have been read already. */
        if (!session->answered && session->close_reason != RUDP_CLOSE_REASON_CONNECT_TIMEOUT)
            life_us = max_u64(life_us, context->config->connect_timeout_us);
        /* A hello that was delayed, or replayed, may have replaced the peer's newest incarnation,
         * which must learn that it is not known here rather than that it is over. */
        bool replaced = session->close_reason == RUDP_CLOSE_REASON_PEER_RESTARTED;
        bool finished = session->close_code == RUDP_CLOSE_FINISHED ||
                        session->close_reason == RUDP_CLOSE_REASON_PEER ||
                        session->close_reason == RUDP_CLOSE_REASON_LOCAL;
        struct rudp_tombstone *tombstone = session->links.tombstone;

        session->links.tombstone = NULL;
        tombstone->close_code = finished ? RUDP_CLOSE_FINISHED : RUDP_CLOSE_ABORTED;
        tombstone->tells_delivery = rudp_session_final_credit(session, context, &tombstone->credit);
        tombstone->resets = replaced;
        bury(endpoint, session, context, tombstone, life_us);
    }
    rudp_received_clear(&session->received, context->host);
}

/* The peer ended this incarnation: it gets its last word, and the next one begins. Without memory
 * for a tombstone that waits: late packets of a peer that closes must not be answered by RESET. */
static void reopen(struct rudp_endpoint *endpoint, struct rudp_session *session,
                   const struct rudp_context *context)
{
    if (session->peer_id != 0) {
        struct rudp_tombstone *tombstone =
            rudp_tombstones_reserve(&endpoint->tombstones, &endpoint->host);

        if (tombstone == NULL) {
            session->memory_us = context->now_us + RUDP_MEMORY_WAIT_US;
            return;
        }
        session->close_code = session->reopen_code;
        send_close(endpoint, session, context);
        session->close_code = RUDP_CLOSE_SILENT;
        tombstone->close_code = RUDP_CLOSE_FINISHED;
        bury(endpoint, session, context, tombstone, TOMBSTONE_US);
    }
    endpoint_restart(endpoint, session, context);
}

void endpoint_update(struct rudp_endpoint *endpoint, struct rudp_session *session,
                     const struct rudp_context *context)
{
    if (session->reopen_due && session->state != RUDP_SESSION_CLOSED)
        reopen(endpoint, session, context);
    count_half_open(endpoint, session);
    rudp_session_watch_delivery(session, context);
    if (session->events != 0 && !rudp_list_is_linked(&session->links.to_event))
        rudp_list_append(&endpoint->to_event, &session->links.to_event);
    if (session->links.retired)
        return;
    if (session->state == RUDP_SESSION_CLOSED) {
        retire(endpoint, session, context);
        return;
    }
    rudp_wheel_file(&endpoint->wheel, &session->links.timer,
                    rudp_session_deadline_us(session, context));
    if (!rudp_list_is_linked(&session->links.to_send))
        rudp_list_append(&endpoint->to_send, &session->links.to_send);
}

void endpoint_restart(struct rudp_endpoint *endpoint, struct rudp_session *session,
                      const struct rudp_context *context)
{
    rudp_table_remove(&endpoint->by_id, &session->links.by_id);
    rudp_session_restart(session, context, new_id(endpoint));
    enum rudp_status status = rudp_table_insert(&endpoint->by_id, &endpoint->host,
                                                &session->links.by_id, session->local_id);

    RUDP_ASSERT(status == RUDP_OK); /* the table has buckets: it held this session */
}

void endpoint_rehash(struct rudp_endpoint *endpoint, struct rudp_session *session)
{
    rudp_table_remove(&endpoint->by_address, &session->links.by_address);
    enum rudp_status status =
        rudp_table_insert(&endpoint->by_address, &endpoint->host, &session->links.by_address,
                          address_key(endpoint, &session->path.remote));

    RUDP_ASSERT(status == RUDP_OK);
}

struct rudp_session *endpoint_find_id(const struct rudp_endpoint *endpoint, uint64_t id)
{
    struct rudp_table_node *node = rudp_table_find(&endpoint->by_id, id);

    return node == NULL ? NULL : RUDP_CONTAINER(node, struct rudp_session, links.by_id);
}

/* The first in the chain from node on whose address really is remote: keys are only hashes. */
static struct rudp_session *match_address(struct rudp_table_node *node,
                                          const struct rudp_address *remote)
{
    for (; node != NULL; node = rudp_table_find_next(node)) {
        struct rudp_session *session = RUDP_CONTAINER(node, struct rudp_session, links.by_address);

        if (rudp_address_equal(&session->path.remote, remote))
            return session;
    }
    return NULL;
}

struct rudp_session *endpoint_find_address(const struct rudp_endpoint *endpoint,
                                           const struct rudp_address *remote)
{
    return match_address(rudp_table_find(&endpoint->by_address, address_key(endpoint, remote)),
                         remote);
}

struct rudp_session *endpoint_find_next(const struct rudp_session *session)
{
    return match_address(rudp_table_find_next(&session->links.by_address), &session->path.remote);
}

void rudp_endpoint_advance(struct rudp_endpoint *endpoint, uint64_t now_us)
{
    ENDPOINT_CALL_ON_ONE(endpoint);
    struct rudp_context context = endpoint_context(endpoint, now_us);
    struct rudp_wheel_entry *timer;

    rudp_tombstones_advance(&endpoint->tombstones, &endpoint->host, now_us);
    while ((timer = rudp_wheel_expire(&endpoint->wheel, now_us)) != NULL) {
        struct rudp_session *session = RUDP_CONTAINER(timer, struct rudp_session, links.timer);

        endpoint_touch(endpoint, session);
        rudp_session_advance(session, &context);
        endpoint_update(endpoint, session, &context);
    }
}

uint64_t rudp_endpoint_deadline_us(const struct rudp_endpoint *endpoint)
{
    return min_u64(rudp_wheel_deadline_us(&endpoint->wheel),
                   rudp_wheel_deadline_us(&endpoint->tombstones.wheel));
}

size_t rudp_endpoint_next_packet(struct rudp_endpoint *endpoint, struct rudp_path *path,
                                 uint8_t *out, size_t out_bytes, uint64_t now_us)
{
    ENDPOINT_CALL_ON_ONE(endpoint);
    struct rudp_context context = endpoint_context(endpoint, now_us);
    size_t packet_bytes =
        rudp_replies_take(&endpoint->replies, &endpoint->host, path, out, out_bytes);

    while (packet_bytes == 0 && !rudp_list_is_empty(&endpoint->to_send)) {
        struct rudp_session *session =
            RUDP_CONTAINER(endpoint->to_send.next, struct rudp_session, links.to_send);

        endpoint_touch(endpoint, session);
        rudp_list_remove(&session->links.to_send);
        packet_bytes = rudp_session_write(session, &context, path, out, out_bytes);
        if (packet_bytes > 0) { /* behind the others: they take turns */
            endpoint_update(endpoint, session, &context);
        } else {
            rudp_wheel_file(&endpoint->wheel, &session->links.timer,
                            rudp_session_deadline_us(session, &context));
        }
    }
    return packet_bytes;
}

bool rudp_endpoint_next_event(struct rudp_endpoint *endpoint, struct rudp_event *event)
{
    ENDPOINT_CALL_ON_ONE(endpoint);
    if (rudp_list_is_empty(&endpoint->to_event))
        return false;
    struct rudp_session *session =
        RUDP_CONTAINER(endpoint->to_event.next, struct rudp_session, links.to_event);
    enum rudp_event_type type = (enum rudp_event_type)__builtin_ctz(session->events);

    session->events &= session->events - 1;
    if (session->events == 0)
        rudp_list_remove(&session->links.to_event);
    *event = (struct rudp_event){.type = type, .session = session};
    if (type == RUDP_EVENT_CLOSED) {
        event->reason = session->close_reason;
        event->undelivered_bytes = session->undelivered_bytes;
    }
    return true;
}

void rudp_endpoint_repeat_events(struct rudp_endpoint *endpoint)
{
    ENDPOINT_CALL(endpoint);

    for (struct rudp_list_node *node = endpoint->all.next; node != &endpoint->all;
         node = node->next) {
        struct rudp_session *session = RUDP_CONTAINER(node, struct rudp_session, links.all);

        if (session->tag == 0 && !session->opener)
            rudp_session_raise(session, RUDP_EVENT_OPENED);
        rudp_session_raise(session, RUDP_EVENT_READABLE);
        rudp_session_raise(session, RUDP_EVENT_WRITABLE);
        if (session->state == RUDP_SESSION_CLOSED)
            rudp_session_raise(session, RUDP_EVENT_CLOSED);
        if (!rudp_list_is_linked(&session->links.to_event))
            rudp_list_append(&endpoint->to_event, &session->links.to_event);
    }
}

void rudp_endpoint_stats(const struct rudp_endpoint *endpoint, struct rudp_endpoint_stats *stats)
{
    memcpy(stats->dropped_count, endpoint->dropped_count, sizeof stats->dropped_count);
    stats->undelivered_bytes = endpoint->undelivered_bytes;
    stats->session_count = endpoint->session_count;
    stats->half_open_count = endpoint->half_open_count;
    stats->tombstone_count = endpoint->tombstones.count;
}

/* A session that a program can still send on. An opener whose peer is leaving takes what its next
 * incarnation will send: a second session would overtake it. */
static bool is_usable(const struct rudp_endpoint *endpoint, const struct rudp_session *session)
{
    return !session->closing && (session->recv.final_offset == RUDP_NEVER ||
                                 (endpoint->config.reopens && session->opener));
}

struct rudp_session *rudp_endpoint_find(struct rudp_endpoint *endpoint,
                                        const struct rudp_address *remote)
{
    struct rudp_session *session = endpoint_find_address(endpoint, remote);

    while (session != NULL && !is_usable(endpoint, session))
        session = endpoint_find_next(session);
    return session;
}

bool rudp_endpoint_knows(const struct rudp_endpoint *endpoint, const struct rudp_address *remote)
{
    return endpoint_find_address(endpoint, remote) != NULL;
}

void rudp_endpoint_each(struct rudp_endpoint *endpoint,
                        void (*visit)(void *context, struct rudp_session *session), void *context)
{
    for (struct rudp_list_node *node = endpoint->all.next; node != &endpoint->all;
         node = node->next)
        visit(context, RUDP_CONTAINER(node, struct rudp_session, links.all));
}
