#define _GNU_SOURCE
#include "shim/port.h"

#include "core/list.h"
#include "engine/raw.h"
#include "shim/deliver.h"
#include "shim/lock.h"
#include "shim/log.h"
#include "shim/peers.h"

#include <errno.h>
#include <sys/mman.h>

/* Queues set aside in the process: each is the content of a pair at most. */
#define ASIDE_COUNT_MAX 16u

struct aside {
    struct rudp_address local; /* of the socket they came to; port 0: free */
    uint64_t number;           /* in the order of their age */
    struct shim_queue queue;
};

/* Taken while entered only: fork, which enters all sockets, finds it free. */
static pthread_mutex_t aside_mutex = PTHREAD_MUTEX_INITIALIZER;
static struct aside asides[ASIDE_COUNT_MAX];
static uint64_t aside_number;
static _Atomic uint32_t aside_count;

bool shim_port_is_shared(const struct shim_socket *sock)
{
    static const int options[] = {SO_REUSEPORT, SO_REUSEADDR};

    for (size_t index = 0; index < sizeof options / sizeof *options; index++) {
        int value = 0;
        socklen_t bytes = sizeof value;

        if (RAW_CALL(SYS_getsockopt, sock->wire_fd, SOL_SOCKET, options[index], raw_pointer(&value),
                     raw_pointer(&bytes)) == 0 &&
            value != 0)
            return true;
    }
    return false;
}

void shim_port_forget(struct shim_queue *queue)
{
    if (queue->data != NULL)
        (void)RAW_CALL(SYS_munmap, raw_pointer(queue->data), (long)queue->room_bytes);
    *queue = (struct shim_queue){.data = NULL};
}

void shim_port_set_aside(struct shim_socket *sock, struct shim_queue *queue)
{
    struct engine_signal_mask mask = shim_lock(&aside_mutex);
    struct aside *place = &asides[0];

    for (size_t index = 1; index < ASIDE_COUNT_MAX && place->local.port != 0; index++)
        if (asides[index].local.port == 0 || asides[index].number < place->number)
            place = &asides[index];
    if (place->local.port != 0)
        shim_log(SHIM_LOG_WARN,
                 "messages of others to a socket that was connected are dropped: "
                 "no socket took its port; bytes: %d",
                 (int64_t)place->queue.used_bytes);
    else
        atomic_fetch_add(&aside_count, 1);
    shim_port_forget(&place->queue);
    *place = (struct aside){
        .local = sock->shared->local,
        .number = ++aside_number,
        .queue = *queue,
    };
    shim_unlock(&aside_mutex, mask);
    *queue = (struct shim_queue){.data = NULL};
}

static bool is_to_go(const struct shim_peer *peer, const struct rudp_address *kept)
{
    return !peer->is_opener && !peer->is_closed && !peer->is_ceded &&
           !rudp_address_equal(&rudp_session_path(peer->session)->remote, kept);
}

/* Whose session the datagram at data belongs to, of those that go; NULL: none's. */
static struct shim_peer *find_sender(const struct shim_socket *sock,
                                     const struct rudp_address *kept, const uint8_t *data)
{
    struct shim_pair_header header;
    struct shim_peer *peer = sock->shared->peers;

    memcpy(&header, data, sizeof header);
    while (peer != NULL &&
           !(is_to_go(peer, kept) &&
             rudp_address_equal(&rudp_session_path(peer->session)->remote, &header.peer)))
        peer = peer->next;
    return peer;
}

/* Takes the datagrams of sessions that go out of the queue, and counts them. */
static void count_unread(const struct shim_socket *sock, const struct rudp_address *kept,
                         struct shim_queue *queue)
{
    size_t left_bytes = 0;
    uint32_t length;

    for (size_t at = 0; at < queue->used_bytes; at += sizeof length + length) {
        uint8_t *data = queue->data + at;

        memcpy(&length, data, sizeof length);
        struct shim_peer *peer = find_sender(sock, kept, data + sizeof length);

        if (peer != NULL) {
            peer->unread_bytes +=
                rudp_message_stream_bytes(length - sizeof(struct shim_pair_header));
            continue;
        }
        memmove(queue->data + left_bytes, data, sizeof length + length);
        left_bytes += sizeof length + length;
    }
    queue->used_bytes = left_bytes;
}

void shim_port_give_back(struct shim_socket *sock, const struct rudp_address *kept,
                         struct shim_queue *queue)
{
    struct rudp_endpoint *endpoint = shim_socket_endpoint(sock);
    struct shim_peer *peer;

    for (peer = sock->shared->peers; peer != NULL; peer = peer->next)
        peer->unread_bytes = 0;
    count_unread(sock, kept, queue);
    for (peer = sock->shared->peers; peer != NULL; peer = peer->next) {
        if (!is_to_go(peer, kept))
            continue;
        rudp_session_confirm(endpoint, peer->session, peer->unread_bytes, engine_now_us());
        peer->is_ceded = true;
        rudp_session_close(endpoint, peer->session, engine_now_us());
    }
}

static bool fits(const struct shim_socket *sock, const struct rudp_address *local)
{
    static const uint8_t any[16];
    static const uint8_t any_v4[16] = {[10] = 0xff, [11] = 0xff};
    const uint8_t *own = sock->shared->local.ip;

    return sock->shared->local.port == local->port &&
           (memcmp(own, local->ip, sizeof local->ip) == 0 || memcmp(own, any, sizeof any) == 0 ||
            memcmp(own, any_v4, sizeof any_v4) == 0);
}

/* The oldest queue that is for sock. False: none. */
static bool take_aside(const struct shim_socket *sock, struct shim_queue *queue)
{
    struct engine_signal_mask mask = shim_lock(&aside_mutex);
    struct aside *oldest = NULL;

    for (size_t index = 0; index < ASIDE_COUNT_MAX; index++)
        if (asides[index].local.port != 0 && fits(sock, &asides[index].local) &&
            (oldest == NULL || asides[index].number < oldest->number))
            oldest = &asides[index];
    if (oldest != NULL) {
        *queue = oldest->queue;
        *oldest = (struct aside){.number = 0};
        atomic_fetch_sub(&aside_count, 1);
    }
    shim_unlock(&aside_mutex, mask);
    return oldest != NULL;
}

/* Writes from the queue what the pair takes. False: the rest waits. */
static bool put_queue(struct shim_socket *sock, struct shim_queue *queue)
{
    uint32_t length;

    while (sock->aside_offset < queue->used_bytes) {
        struct shim_pair_header header;
        const uint8_t *data = queue->data + sock->aside_offset;

        memcpy(&length, data, sizeof length);
        data += sizeof length;
        memcpy(&header, data, sizeof header);
        header.cookie = sock->cookie;
        if (shim_pair_write(sock->pair_fd, &header, data + sizeof header, length - sizeof header) ==
            -EAGAIN)
            return false;
        sock->aside_offset += sizeof length + length;
    }
    return true;
}

bool shim_port_deliver(struct shim_socket *sock)
{
    for (;;) {
        if (sock->aside.data == NULL &&
            (atomic_load_explicit(&aside_count, memory_order_relaxed) == 0 ||
             sock->shared->is_connected || !take_aside(sock, &sock->aside)))
            return true;
        if (!put_queue(sock, &sock->aside))
            return false;
        shim_port_forget(&sock->aside);
        sock->aside_offset = 0;
    }
}

/* --- After bind and connect ------------------------------------------------------------------- */

struct heir_search {
    const struct shim_socket *sock;
    struct shim_socket *heir;
};

static void look_for_heir(void *context, struct shim_socket *sock)
{
    struct heir_search *search = context;

    if (search->heir == NULL && sock != search->sock && atomic_load(&sock->phase) == SHIM_OPEN &&
        shim_socket_engine(sock) != NULL && !sock->shared->is_connected &&
        fits(sock, &search->sock->shared->local) && shim_socket_try_use(sock))
        search->heir = sock;
}

/* An unconnected socket on the port, which may be sock itself, gets what was set aside. */
static void pass_on_aside(struct shim_socket *sock)
{
    struct heir_search search = {.sock = sock};

    if (atomic_load(&aside_count) == 0)
        return;
    if (sock->shared->is_connected)
        shim_socket_each(look_for_heir, &search);
    struct shim_socket *heir = sock->shared->is_connected ? search.heir : sock;

    if (heir == NULL)
        return;
    struct engine_socket *engine = shim_socket_engine(heir);

    if (engine != NULL) {
        engine_socket_enter(engine);
        shim_deliver(heir);
        engine_socket_leave(engine);
    }
    if (search.heir != NULL)
        shim_socket_release(search.heir);
}

void shim_port_settle(struct shim_socket *sock)
{
    pass_on_aside(sock); /* older than what the sessions hold */
    engine_socket_rearrange(shim_socket_engine(sock));
}

static void run_settle(struct engine_job *job)
{
    struct shim_socket *sock = RUDP_CONTAINER(job, struct shim_socket, settle_job);

    atomic_store(&sock->settles, false);
    if (shim_socket_engine(sock) != NULL)
        shim_port_settle(sock);
    shim_socket_release(sock);
}

/* An orphan has no use, and nobody takes it apart while it is entered. */
void shim_port_settle_later(struct shim_socket *sock)
{
    if (atomic_load(&sock->phase) > SHIM_ORPHAN || atomic_exchange(&sock->settles, true))
        return;
    shim_socket_use(sock);
    sock->settle_job.run = run_settle;
    engine_thread_post(&sock->settle_job, true);
}
