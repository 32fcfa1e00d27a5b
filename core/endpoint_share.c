/* endpoint_share.c - several endpoints on one port: whose is a packet, and sessions that move. */
#include "core/endpoint_state.h"

static bool knows_id(struct rudp_endpoint *endpoint, uint64_t id)
{
    return endpoint_find_id(endpoint, id) != NULL ||
           rudp_tombstones_find(&endpoint->tombstones, id) != NULL;
}

/* A session that the peer's packet names by the peer's id. */
static bool knows_peer(const struct rudp_endpoint *endpoint, const struct rudp_address *remote,
                       uint64_t peer_id)
{
    const struct rudp_session *session = endpoint_find_address(endpoint, remote);

    while (session != NULL && session->peer_id != peer_id)
        session = endpoint_find_next(session);
    return session != NULL;
}

static bool knows_hello(struct rudp_endpoint *endpoint, const struct rudp_address *remote,
                        uint64_t peer_id)
{
    return knows_peer(endpoint, remote, peer_id) ||
           rudp_tombstones_find_peer(&endpoint->tombstones, peer_id, remote) != NULL ||
           endpoint_find_id(endpoint, peer_id) != NULL;
}

enum rudp_claim rudp_endpoint_claim(struct rudp_endpoint *endpoint,
                                    const struct rudp_address *remote, const uint8_t *packet,
                                    size_t packet_bytes, struct rudp_claim_ids *ids)
{
    struct rudp_header header;
    struct rudp_reader frames;
    bool is_own;

    *ids = (struct rudp_claim_ids){.session_id = 0};
    if (rudp_wire_read_packet(packet, packet_bytes, &header, &frames) != RUDP_OK)
        return RUDP_CLAIM_NONE;
    if (header.type == RUDP_PACKET_HELLO) {
        ids->caller_id = header.source_id;
        is_own = knows_hello(endpoint, remote, header.source_id);
    } else if (header.type == RUDP_PACKET_RESET) {
        is_own = knows_peer(endpoint, remote, header.source_id);
    } else {
        ids->session_id = header.destination_id;
        is_own = knows_id(endpoint, header.destination_id);
    }
    return is_own ? RUDP_CLAIM_OWN : RUDP_CLAIM_STRAY;
}

void rudp_endpoint_set_id_tag(struct rudp_endpoint *endpoint, uint16_t tag)
{
    ENDPOINT_CALL(endpoint);
    endpoint->id_tag = tag;
}

void rudp_endpoint_set_token_key(struct rudp_endpoint *endpoint, uint64_t k0, uint64_t k1)
{
    ENDPOINT_CALL(endpoint);
    endpoint->cookie_key = (struct rudp_siphash_key){.k0 = k0, .k1 = k1};
}

enum rudp_status rudp_endpoint_make_room(struct rudp_endpoint *endpoint)
{
    ENDPOINT_CALL(endpoint);
    enum rudp_status status = rudp_tombstones_make_room(&endpoint->tombstones, &endpoint->host);

    if (status == RUDP_OK)
        status = rudp_table_reserve(&endpoint->by_id, &endpoint->host);
    if (status == RUDP_OK)
        status = rudp_table_reserve(&endpoint->by_address, &endpoint->host);
    return status;
}

void rudp_endpoint_detach(struct rudp_endpoint *endpoint, struct rudp_session *session)
{
    ENDPOINT_CALL(endpoint);
    RUDP_ASSERT(session->state != RUDP_SESSION_CLOSED);
    endpoint_unlink(endpoint, session);
}

enum rudp_status rudp_endpoint_attach(struct rudp_endpoint *endpoint, struct rudp_session *session,
                                      uint64_t now_us)
{
    ENDPOINT_CALL(endpoint);
    struct rudp_context context = endpoint_context(endpoint, now_us);

    if (knows_id(endpoint, session->local_id))
        return RUDP_E_INVALID;
    enum rudp_status status = endpoint_link(endpoint, session);

    if (status == RUDP_OK)
        endpoint_update(endpoint, session, &context);
    return status;
}
