#include "shim/peers.h"

#include "engine/arena.h"
#include "shim/log.h"

#include <errno.h>

struct shim_peer *shim_peer_add(struct shim_socket *sock, struct rudp_session *session,
                                bool is_opener)
{
    struct shim_peer *peer = engine_arena_take(engine_memory_arena(), sizeof *peer);

    if (peer == NULL)
        return NULL;
    *peer = (struct shim_peer){
        .session = session,
        .next = sock->peers,
        .number = ++sock->session_number,
        .is_opener = is_opener,
    };
    if (sock->peers != NULL)
        sock->peers->previous = peer;
    sock->peers = peer;
    atomic_fetch_add(&sock->peer_count, 1);
    rudp_session_set_tag(session, (uint64_t)(uintptr_t)peer);
    return peer;
}

struct shim_peer *shim_peer_of(const struct rudp_session *session)
{
    return (struct shim_peer *)(uintptr_t)rudp_session_tag(session);
}

static void unlink_ready(struct shim_socket *sock, struct shim_peer *peer)
{
    struct shim_peer *before = NULL;
    struct shim_peer *at = sock->ready_first;

    while (at != peer) {
        RUDP_ASSERT(at != NULL);
        before = at;
        at = at->ready_next;
    }
    if (before == NULL)
        sock->ready_first = peer->ready_next;
    else
        before->ready_next = peer->ready_next;
    if (sock->ready_last == peer)
        sock->ready_last = before;
}

void shim_peer_remove(struct shim_socket *sock, struct rudp_endpoint *endpoint,
                      struct shim_peer *peer)
{
    RUDP_ASSERT(peer->is_closed);
    if (peer->is_ready)
        unlink_ready(sock, peer);
    if (peer->previous != NULL)
        peer->previous->next = peer->next;
    else
        sock->peers = peer->next;
    if (peer->next != NULL)
        peer->next->previous = peer->previous;
    rudp_session_release(endpoint, peer->session);
    engine_arena_give(engine_memory_arena(), peer, sizeof *peer);
    atomic_fetch_sub(&sock->peer_count, 1);
}

void shim_peer_forget_all(struct shim_socket *sock)
{
    while (sock->peers != NULL) {
        struct shim_peer *peer = sock->peers;

        sock->peers = peer->next;
        engine_arena_give(engine_memory_arena(), peer, sizeof *peer);
    }
}

void shim_peer_push_ready(struct shim_socket *sock, struct shim_peer *peer)
{
    if (peer->is_ready)
        return;
    peer->is_ready = true;
    peer->ready_next = NULL;
    if (sock->ready_last != NULL)
        sock->ready_last->ready_next = peer;
    else
        sock->ready_first = peer;
    sock->ready_last = peer;
}

struct shim_peer *shim_peer_pop_ready(struct shim_socket *sock)
{
    struct shim_peer *peer = sock->ready_first;

    if (peer == NULL)
        return NULL;
    sock->ready_first = peer->ready_next;
    if (sock->ready_first == NULL)
        sock->ready_last = NULL;
    peer->is_ready = false;
    return peer;
}

/* The entry of peer, else a free one, else the one that waits longest. Entries are in the order of
 * their age. */
static struct shim_failure *failure_room(struct shim_socket *sock, const struct rudp_address *peer)
{
    struct shim_failure *failures = sock->failures;

    for (uint32_t index = 0; index < sock->failure_count; index++)
        if (rudp_address_equal(&failures[index].peer, peer))
            return &failures[index];
    if (sock->failure_count == SHIM_FAILURE_COUNT_MAX) {
        shim_log(SHIM_LOG_WARN, "an error nobody asked for is forgotten: %d",
                 (int64_t)failures[0].error);
        memmove(failures, failures + 1, (SHIM_FAILURE_COUNT_MAX - 1) * sizeof *failures);
        sock->failure_count--;
    }
    return &failures[sock->failure_count++];
}

void shim_failure_add(struct shim_socket *sock, const struct rudp_address *peer, int error,
                      bool wants_token)
{
    struct shim_failure *failure = failure_room(sock, peer);

    *failure = (struct shim_failure){.peer = *peer, .error = error, .token_owed = wants_token};
    shim_failure_send_tokens(sock);
}

int shim_failure_take(struct shim_socket *sock, const struct rudp_address *peer, bool *token_sent)
{
    *token_sent = false;
    for (uint32_t index = 0; index < sock->failure_count; index++) {
        struct shim_failure *failure = &sock->failures[index];
        bool has_token = failure->token_owed || failure->token_sent;

        if (peer == NULL ? !has_token : !rudp_address_equal(&failure->peer, peer))
            continue;
        int error = failure->error;

        *token_sent = failure->token_sent;
        sock->failure_count--;
        memmove(failure, failure + 1, (sock->failure_count - index) * sizeof *failure);
        return error;
    }
    return 0;
}

void shim_failure_send_tokens(struct shim_socket *sock)
{
    for (uint32_t index = 0; index < sock->failure_count; index++) {
        struct shim_failure *failure = &sock->failures[index];

        if (!failure->token_owed)
            continue;
        struct shim_pair_header header = {
            .cookie = sock->cookie,
            .type = SHIM_PAIR_ERROR,
            .error = (uint16_t)failure->error,
            .peer = failure->peer,
        };
        int result = shim_pair_write(sock->pair_fd, &header, NULL, 0);

        sock->pair_full = result == -EAGAIN;
        if (sock->pair_full)
            return;
        failure->token_owed = false;
        failure->token_sent = true;
    }
}
