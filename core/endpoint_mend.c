/* endpoint_mend.c - going on with an endpoint whose process was killed in the middle of a call. */
#include "core/endpoint_state.h"

/* Forgets everything but the sessions; the memory of what is forgotten is lost. */
static void clear(struct rudp_endpoint *endpoint, uint64_t now_us)
{
    endpoint->by_id = (struct rudp_table){.count = 0};
    endpoint->by_address = (struct rudp_table){.count = 0};
    endpoint->replies = (struct rudp_replies){.count = 0};
    rudp_list_init(&endpoint->all);
    rudp_list_init(&endpoint->to_send);
    rudp_list_init(&endpoint->to_event);
    rudp_wheel_init(&endpoint->wheel, now_us);
    rudp_tombstones_init(&endpoint->tombstones, now_us);
    endpoint->session_count = 0;
    endpoint->half_open_count = 0;
}

static enum rudp_status take_back(struct rudp_endpoint *endpoint, struct rudp_session *session)
{
    struct rudp_tombstone *tombstone = session->links.tombstone;
    bool is_retired = session->links.retired;

    session->links = (struct rudp_session_links){.tombstone = tombstone, .retired = is_retired};
    rudp_list_append(&endpoint->all, &session->links.all);
    endpoint->session_count++;
    return is_retired ? RUDP_OK : endpoint_enter_tables(endpoint, session);
}

static void update_all(struct rudp_endpoint *endpoint, uint64_t now_us)
{
    ENDPOINT_CALL(endpoint);
    struct rudp_context context = endpoint_context(endpoint, now_us);

    for (struct rudp_list_node *node = endpoint->all.next; node != &endpoint->all;
         node = node->next)
        endpoint_update(endpoint, RUDP_CONTAINER(node, struct rudp_session, links.all), &context);
}

enum rudp_status rudp_endpoint_mend(struct rudp_endpoint *endpoint, struct rudp_session **lost,
                                    uint64_t now_us)
{
    RUDP_ASSERT(endpoint->tear != ENDPOINT_WHOLE);
    *lost = endpoint->in_change;
    if (endpoint->tear != ENDPOINT_TORN_IN_ONE)
        return RUDP_E_INVALID;
    endpoint->tear = ENDPOINT_TORN; /* who is killed in here leaves nothing to go on with */
    __atomic_signal_fence(__ATOMIC_SEQ_CST);
    struct rudp_list_node *node = endpoint->all.next;
    enum rudp_status status = RUDP_OK;

    clear(endpoint, now_us);
    while (node != &endpoint->all && status == RUDP_OK) {
        struct rudp_session *session = RUDP_CONTAINER(node, struct rudp_session, links.all);

        node = node->next;
        if (session != *lost)
            status = take_back(endpoint, session);
    }
    if (status == RUDP_OK)
        status = rudp_tombstones_make_room(&endpoint->tombstones, &endpoint->host);
    if (status != RUDP_OK)
        return status;
    __atomic_signal_fence(__ATOMIC_SEQ_CST);
    endpoint->tear = ENDPOINT_WHOLE;
    update_all(endpoint, now_us);
    return RUDP_OK;
}
