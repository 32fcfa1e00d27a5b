#define _GNU_SOURCE
#include "shim/pending.h"

#include "engine/memory.h"
#include "engine/system.h"
#include "shim/asker.h"
#include "shim/discovery.h"
#include "shim/log.h"
#include "shim/peers.h"
#include "shim/process.h"

#include <errno.h>

struct held {
    struct held *next;
    struct rudp_address local; /* to be sent from; may be unspecified */
    uint32_t send_mark;
    size_t bytes;
    uint8_t data[];
};

struct shim_pending {
    struct shim_pending *next;
    struct rudp_address remote;
    struct held *first;
    struct held *last;
    size_t booked_bytes;
    bool is_full; /* a message was refused: somebody waits for room */
};

/* Counts peers that were settled; an exit sleeps on it. */
static _Atomic uint32_t settled_count;

static struct shim_pending *find(const struct shim_socket *sock, const struct rudp_address *remote)
{
    struct shim_pending *pending = sock->shared->pending;

    while (pending != NULL && !rudp_address_equal(&pending->remote, remote))
        pending = pending->next;
    return pending;
}

bool shim_pending_has(const struct shim_socket *sock, const struct rudp_address *remote)
{
    return find(sock, remote) != NULL;
}

/* --- In --------------------------------------------------------------------------------------- */

static struct shim_pending *make(struct shim_socket *sock, const struct rudp_address *remote)
{
    struct shim_pending *pending = engine_memory_allocate(sock->arena, sizeof *pending);

    if (pending == NULL)
        return NULL;
    *pending = (struct shim_pending){.remote = *remote, .next = sock->shared->pending};
    sock->shared->pending = pending;
    atomic_fetch_add(&sock->shared->pending_count, 1);
    /* The engine thread may have got the answer, and looked for what waits, just before this did.
     */
    if (shim_discovery_kind(remote) != RUDP_PEER_ASKED)
        shim_asker_sweep();
    return pending;
}

static size_t length_of(const struct shim_datagram *datagram)
{
    size_t bytes = 0;

    for (size_t index = 0; index < datagram->slice_count; index++)
        bytes += datagram->slices[index].bytes;
    return bytes;
}

static struct held *copy(struct shim_socket *sock, const struct shim_datagram *datagram,
                         size_t bytes)
{
    struct held *held = engine_memory_allocate(sock->arena, sizeof *held + bytes);
    size_t at = 0;

    if (held == NULL)
        return NULL;
    *held =
        (struct held){.local = datagram->local, .send_mark = datagram->send_mark, .bytes = bytes};
    for (size_t index = 0; index < datagram->slice_count; index++) {
        const struct rudp_slice *slice = &datagram->slices[index];

        if (slice->bytes > 0)
            memcpy(held->data + at, slice->data, slice->bytes);
        at += slice->bytes;
    }
    return held;
}

enum shim_verdict shim_pending_add(struct shim_socket *sock, const struct shim_datagram *datagram,
                                   int *error)
{
    struct shim_pending *pending = find(sock, &datagram->remote);
    size_t bytes = length_of(datagram);
    size_t room_bytes = shim_process_settings()->config.send_buffer_bytes;

    *error = ENOBUFS;
    if (pending == NULL)
        pending = make(sock, &datagram->remote);
    if (pending == NULL)
        return SHIM_FAILED;
    struct held *held = NULL;

    if (pending->booked_bytes + sizeof *held + bytes <= room_bytes)
        held = copy(sock, datagram, bytes);
    if (held == NULL) {
        pending->is_full = true;
        return SHIM_FULL;
    }
    pending->booked_bytes += sizeof *held + bytes;
    if (pending->last == NULL)
        pending->first = held;
    else
        pending->last->next = held;
    pending->last = held;
    return SHIM_SENT;
}

/* --- Out -------------------------------------------------------------------------------------- */

static void drop_first(struct shim_socket *sock, struct shim_pending *pending)
{
    struct held *held = pending->first;

    pending->first = held->next;
    if (pending->first == NULL)
        pending->last = NULL;
    pending->booked_bytes -= sizeof *held + held->bytes;
    engine_memory_release(sock->arena, held, sizeof *held + held->bytes);
}

/* Out of the list already. */
static void destroy(struct shim_socket *sock, struct shim_pending *pending)
{
    while (pending->first != NULL)
        drop_first(sock, pending);
    engine_memory_release(sock->arena, pending, sizeof *pending);
    atomic_fetch_sub(&sock->shared->pending_count, 1);
    atomic_fetch_add(&settled_count, 1);
    engine_sys_futex_wake_all(&settled_count);
}

/* Sends what is held, as far as there is room. */
static enum shim_verdict send_all(struct shim_socket *sock, struct shim_pending *pending,
                                  enum rudp_peer_kind kind)
{
    while (pending->first != NULL) {
        const struct rudp_slice slice = {.data = pending->first->data,
                                         .bytes = pending->first->bytes};
        const struct shim_datagram datagram = {
            .remote = pending->remote,
            .local = pending->first->local,
            .send_mark = pending->first->send_mark,
            .slices = &slice,
            .slice_count = 1,
        };
        int error = 0;
        enum shim_verdict verdict = kind == RUDP_PEER_PLAIN
                                        ? shim_drain_plainly(sock, &datagram, &error)
                                        : shim_drain_reliably(sock, &datagram, &error);

        if (verdict == SHIM_FULL)
            return SHIM_FULL;
        if (verdict == SHIM_FAILED)
            shim_failure_add(sock, &pending->remote, error, true);
        drop_first(sock, pending);
    }
    return SHIM_SENT;
}

/* A socket that nobody holds any more sends what it has and nothing else. */
static void close_if_lingering(struct shim_socket *sock, const struct rudp_address *remote)
{
    struct rudp_endpoint *endpoint = shim_socket_endpoint(sock);
    struct rudp_session *session = rudp_endpoint_find(endpoint, remote);

    if (session != NULL && atomic_load(&sock->phase) >= SHIM_LINGER)
        rudp_session_close(endpoint, session, engine_now_us());
}

bool shim_pending_sweep(struct shim_socket *sock)
{
    struct shim_pending **link = &sock->shared->pending;
    bool has_room = false;
    bool is_done = true;

    while (*link != NULL) {
        struct shim_pending *pending = *link;
        enum rudp_peer_kind kind = shim_discovery_consult(&pending->remote);
        bool is_known = kind == RUDP_PEER_PLAIN || kind == RUDP_PEER_SPEAKS;

        if (!is_known || send_all(sock, pending, kind) == SHIM_FULL) {
            is_done = is_done && kind != RUDP_PEER_PLAIN; /* a session says when it has room */
            link = &pending->next;
            continue;
        }
        *link = pending->next;
        has_room = has_room || pending->is_full;
        close_if_lingering(sock, &pending->remote);
        destroy(sock, pending);
    }
    if (has_room)
        shim_drain_resume(sock);
    return is_done;
}

static void give_up(struct shim_socket *sock)
{
    for (struct shim_pending *pending = sock->shared->pending; pending != NULL;
         pending = pending->next)
        if (shim_discovery_kind(&pending->remote) != RUDP_PEER_SPEAKS)
            (void)send_all(sock, pending, RUDP_PEER_PLAIN);
}

void shim_pending_await(struct shim_socket *sock, uint64_t deadline_us)
{
    struct engine_socket *engine = shim_socket_engine(sock);

    for (;;) {
        uint32_t seen_count = atomic_load(&settled_count);
        uint64_t now_us = engine_now_us();

        if (atomic_load(&sock->shared->pending_count) == 0)
            return;
        if (now_us >= deadline_us)
            break;
        engine_sys_futex_wait(&settled_count, seen_count, deadline_us - now_us);
    }
    shim_log(SHIM_LOG_WARN, "the program ends before it is known whether a peer speaks the "
                            "protocol: what is held for it goes plainly");
    engine_socket_enter(engine);
    give_up(sock);
    engine_socket_leave(engine);
}

void shim_pending_restore(struct shim_socket *sock)
{
    uint32_t count = 0;

    for (struct shim_pending *pending = sock->shared->pending; pending != NULL;
         pending = pending->next) {
        pending->last = NULL;
        pending->booked_bytes = 0;
        for (struct held *held = pending->first; held != NULL; held = held->next) {
            pending->last = held;
            pending->booked_bytes += sizeof *held + held->bytes;
        }
        count++;
    }
    atomic_store(&sock->shared->pending_count, count);
}

void shim_pending_forget_all(struct shim_socket *sock)
{
    while (sock->shared->pending != NULL) {
        struct shim_pending *pending = sock->shared->pending;

        sock->shared->pending = pending->next;
        destroy(sock, pending);
    }
}
