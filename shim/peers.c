#include "shim/peers.h"

#include "engine/arena.h"
#include "engine/raw.h"
#include "shim/connect.h"
#include "shim/log.h"

#include <errno.h>

struct shim_peer *shim_peer_add(struct shim_socket *sock, struct rudp_session *session,
                                bool is_opener)
{
    struct shim_peer *peer = engine_arena_take(sock->arena, sizeof *peer);

    if (peer == NULL)
        return NULL;
    *peer = (struct shim_peer){
        .session = session,
        .remote = rudp_session_path(session)->remote,
        .is_opener = is_opener,
    };
    shim_peer_link(sock, peer);
    rudp_session_set_tag(session, (uint64_t)(uintptr_t)peer);
    return peer;
}

void shim_peer_link(struct shim_socket *sock, struct shim_peer *peer)
{
    struct shim_shared *shared = sock->shared;

    peer->number = ++shared->session_number;
    peer->previous = NULL;
    peer->next = shared->peers;
    if (shared->peers != NULL)
        shared->peers->previous = peer;
    shared->peers = peer;
    atomic_fetch_add(&shared->peer_count, 1);
}

void shim_peer_unlink_all(struct shim_socket *sock)
{
    struct shim_shared *shared = sock->shared;

    shared->peers = NULL;
    shared->ready_first = NULL;
    shared->ready_last = NULL;
    shared->unconfirmed_first = NULL;
    atomic_store(&shared->peer_count, 0);
}

void shim_peer_relink(struct shim_socket *sock, struct shim_peer *peer)
{
    peer->is_ready = false;
    peer->is_full = false;
    peer->is_closed = false;
    peer->is_unconfirmed = false;
    peer->mark_count = 0; /* the last message may have been passed and not marked */
    shim_peer_link(sock, peer);
    shim_peer_push_unconfirmed(sock, peer); /* its messages may lie in the pair */
}

struct shim_peer *shim_peer_of(const struct rudp_session *session)
{
    return (struct shim_peer *)(uintptr_t)rudp_session_tag(session);
}

void shim_passage_begin(struct shim_passage *passage, struct rudp_session *session, uint64_t count)
{
    shim_pair_note_begin(&passage->note);
    passage->count = count;
    atomic_store_explicit(&passage->session, session, memory_order_release);
}

void shim_passage_end(struct shim_passage *passage)
{
    atomic_store_explicit(&passage->session, NULL, memory_order_release);
}

static void unlink_ready(struct shim_socket *sock, struct shim_peer *peer)
{
    struct shim_peer *before = NULL;
    struct shim_peer *at = sock->shared->ready_first;

    while (at != peer) {
        RUDP_ASSERT(at != NULL);
        before = at;
        at = at->ready_next;
    }
    if (before == NULL)
        sock->shared->ready_first = peer->ready_next;
    else
        before->ready_next = peer->ready_next;
    if (sock->shared->ready_last == peer)
        sock->shared->ready_last = before;
}

static void unlink_unconfirmed(struct shim_socket *sock, struct shim_peer *peer)
{
    struct shim_peer **link = &sock->shared->unconfirmed_first;

    while (*link != peer) {
        RUDP_ASSERT(*link != NULL);
        link = &(*link)->unconfirmed_next;
    }
    *link = peer->unconfirmed_next;
    peer->is_unconfirmed = false;
    peer->mark_count = 0;
}

void shim_peer_unlink(struct shim_socket *sock, struct shim_peer *peer)
{
    if (peer->is_unconfirmed)
        unlink_unconfirmed(sock, peer);
    if (peer->is_ready)
        unlink_ready(sock, peer);
    peer->is_ready = false;
    if (peer->previous != NULL)
        peer->previous->next = peer->next;
    else
        sock->shared->peers = peer->next;
    if (peer->next != NULL)
        peer->next->previous = peer->previous;
    atomic_fetch_sub(&sock->shared->peer_count, 1);
}

bool shim_peer_await_closed(struct shim_socket *sock, const struct rudp_address *remote)
{
    for (struct shim_peer *peer = sock->shared->peers; peer != NULL; peer = peer->next) {
        if (!peer->is_ceded || peer->is_closed ||
            !rudp_address_equal(&rudp_session_path(peer->session)->remote, remote))
            continue;
        peer->is_full = true;
        return true;
    }
    return false;
}

void shim_peer_remove(struct shim_socket *sock, struct rudp_endpoint *endpoint,
                      struct shim_peer *peer)
{
    RUDP_ASSERT(peer->is_closed);
    shim_peer_unlink(sock, peer);
    rudp_session_release(endpoint, peer->session);
    engine_arena_give(sock->arena, peer, sizeof *peer);
}

void shim_peer_forget_all(struct shim_socket *sock)
{
    while (sock->shared->peers != NULL) {
        struct shim_peer *peer = sock->shared->peers;

        sock->shared->peers = peer->next;
        engine_arena_give(sock->arena, peer, sizeof *peer);
    }
}

void shim_peer_push_unconfirmed(struct shim_socket *sock, struct shim_peer *peer)
{
    if (peer->is_unconfirmed)
        return;
    peer->is_unconfirmed = true;
    peer->unconfirmed_next = sock->shared->unconfirmed_first;
    sock->shared->unconfirmed_first = peer;
}

struct shim_peer *shim_peer_pop_unconfirmed(struct shim_socket *sock)
{
    struct shim_peer *peer = sock->shared->unconfirmed_first;

    if (peer == NULL)
        return NULL;
    sock->shared->unconfirmed_first = peer->unconfirmed_next;
    peer->is_unconfirmed = false;
    peer->mark_count = 0;
    return peer;
}

void shim_peer_push_ready(struct shim_socket *sock, struct shim_peer *peer)
{
    if (peer->is_ready)
        return;
    peer->is_ready = true;
    peer->ready_next = NULL;
    if (sock->shared->ready_last != NULL)
        sock->shared->ready_last->ready_next = peer;
    else
        sock->shared->ready_first = peer;
    sock->shared->ready_last = peer;
}

struct shim_peer *shim_peer_pop_ready(struct shim_socket *sock)
{
    struct shim_peer *peer = sock->shared->ready_first;

    if (peer == NULL)
        return NULL;
    sock->shared->ready_first = peer->ready_next;
    if (sock->shared->ready_first == NULL)
        sock->shared->ready_last = NULL;
    peer->is_ready = false;
    return peer;
}

/* The oldest error of peer (NULL: of any that has a token); NULL when there is none. */
static struct shim_failure *failure_find(struct shim_shared *shared,
                                         const struct rudp_address *peer)
{
    struct shim_failure *oldest = NULL;

    for (uint32_t index = 0; index < SHIM_FAILURE_COUNT_MAX; index++) {
        struct shim_failure *failure = &shared->failures[index];
        bool has_token = atomic_load(&failure->token_owed) || atomic_load(&failure->token_sent);

        if (atomic_load(&failure->error) == 0 ||
            (peer == NULL ? !has_token : !rudp_address_equal(&failure->peer, peer)))
            continue;
        if (oldest == NULL || failure->number < oldest->number)
            oldest = failure;
    }
    return oldest;
}

/* The entry of peer, else a free one, else the one that waits longest. */
static struct shim_failure *failure_room(struct shim_shared *shared,
                                         const struct rudp_address *peer)
{
    struct shim_failure *oldest = failure_find(shared, peer);

    if (oldest != NULL)
        return oldest;
    for (uint32_t index = 0; index < SHIM_FAILURE_COUNT_MAX; index++) {
        struct shim_failure *failure = &shared->failures[index];

        if (atomic_load(&failure->error) == 0)
            return failure;
        if (oldest == NULL || failure->number < oldest->number)
            oldest = failure;
    }
    shim_log(SHIM_LOG_WARN, "an error nobody asked for is forgotten: %d",
             (int64_t)atomic_load(&oldest->error));
    return oldest;
}

void shim_failure_add(struct shim_socket *sock, const struct rudp_address *peer, int error,
                      bool wants_token)
{
    struct shim_failure *failure = failure_room(sock->shared, peer);

    atomic_store(&failure->error, 0); /* nobody takes it while it changes */
    failure->peer = *peer;
    failure->number = ++sock->shared->failure_number;
    atomic_store(&failure->token_owed, wants_token);
    atomic_store(&failure->token_sent, false);
    atomic_store(&failure->error, error);
    shim_failure_send_tokens(sock);
}

int shim_failure_take(struct shim_socket *sock, const struct rudp_address *peer, bool *token_sent)
{
    struct shim_failure *failure;

    *token_sent = false;
    while ((failure = failure_find(sock->shared, peer)) != NULL) {
        bool was_sent = atomic_load(&failure->token_sent);
        int error = atomic_exchange(&failure->error, 0);

        if (error == 0)
            continue; /* another process was faster */
        *token_sent = was_sent;
        return error;
    }
    return 0;
}

void shim_failure_send_tokens(struct shim_socket *sock)
{
    for (uint32_t index = 0; index < SHIM_FAILURE_COUNT_MAX; index++) {
        struct shim_failure *failure = &sock->shared->failures[index];
        int error = atomic_load(&failure->error);

        if (error == 0 || !atomic_load(&failure->token_owed))
            continue;
        struct shim_pair_header header = {
            .cookie = sock->cookie,
            .type = SHIM_PAIR_ERROR,
            .error = (uint16_t)error,
            .peer = failure->peer,
        };
        atomic_store(&sock->shared->is_bare, false);
        int result = shim_pair_write(sock->pair_fd, &header, NULL, 0);

        sock->pair_full = result == -EAGAIN;
        if (sock->pair_full)
            return;
        atomic_store(&failure->token_sent, true);
        atomic_store(&failure->token_owed, false);
    }
}

static bool is_token_of(const struct shim_socket *sock, const struct rudp_address *peer, long bytes)
{
    struct shim_pair_header header;

    return bytes == (long)sizeof header &&
           shim_pair_parse(&header, sock->cookie, sock->scratch, sizeof header) &&
           header.type == SHIM_PAIR_ERROR && rudp_address_equal(&header.peer, peer);
}

/* Between the two calls another reader may be faster: then a message was taken in its place. */
void shim_failure_drop_token(struct shim_socket *sock, int fd, const struct rudp_address *peer)
{
    long bytes = RAW_CALL(SYS_recvfrom, fd, raw_pointer(sock->scratch), SHIM_PAIR_HEADER_BYTES,
                          MSG_PEEK | MSG_DONTWAIT, 0, 0);

    if (!is_token_of(sock, peer, bytes))
        return;
    bytes = RAW_CALL(SYS_recvfrom, fd, raw_pointer(sock->scratch), SHIM_PAIR_BYTES_MAX,
                     MSG_DONTWAIT, 0, 0);
    if (bytes >= 0 && !is_token_of(sock, peer, bytes))
        shim_connect_put_back(sock, fd, sock->scratch, (size_t)bytes);
}
