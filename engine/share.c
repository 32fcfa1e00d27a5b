#include "engine/share.h"

#include "core/list.h"
#include "engine/cede.h"
#include "engine/consult.h"
#include "engine/forward.h"
#include "engine/random.h"

#include <sys/mman.h>

#define PORT_COUNT       65536u
#define PAGE_BYTES       4096u /* where they are larger, the table is emptied by hand */
#define MOVE_COUNT_BATCH 64u

/* How many sockets of the process have the port. Pages that nobody writes to cost nothing. */
static _Alignas(PAGE_BYTES) _Atomic uint32_t port_counts[PORT_COUNT];

static void leave_forward(struct engine_socket *sock)
{
    if (sock->forward_port != 0)
        engine_forward_leave(sock->forward_port);
    sock->forward_port = 0;
}

static void join_forward(struct engine_socket *sock)
{
    uint16_t port = sock->wire.reuses && sock->is_owned ? sock->wire.local.port : 0;

    if (sock->forward_port == port)
        return;
    leave_forward(sock);
    uint16_t slot = port == 0 ? 0 : engine_forward_join(port);

    if (slot == 0)
        return;
    sock->forward_port = port;
    rudp_endpoint_set_id_tag(sock->endpoint, slot);
}

void engine_share_update(struct engine_socket *sock)
{
    uint16_t port = sock->wire.local.port;
    uint16_t before = atomic_exchange(&sock->shared_port, port);

    if (before != port) {
        atomic_fetch_sub(&port_counts[before], before != 0);
        atomic_fetch_add(&port_counts[port], port != 0);
    }
    join_forward(sock);
}

void engine_share_forget(struct engine_socket *sock)
{
    leave_forward(sock);
    uint16_t before = atomic_exchange(&sock->shared_port, 0);

    atomic_fetch_sub(&port_counts[before], before != 0);
}

/* Its pages are zero again, and none of them is read or copied. */
void engine_share_forget_all(void)
{
    if (madvise(port_counts, sizeof port_counts, MADV_DONTNEED) == 0)
        return;
    for (size_t port = 0; port < PORT_COUNT; port++)
        if (atomic_load(&port_counts[port]) != 0)
            atomic_store(&port_counts[port], 0);
}

static bool has_company(const struct engine_socket *sock)
{
    return atomic_load_explicit(&port_counts[sock->wire.local.port], memory_order_relaxed) > 1;
}

bool engine_share_is_stray(const struct engine_socket *sock, const struct wire_packet *packet)
{
    struct rudp_claim_ids ids;

    return (has_company(sock) || sock->forward_port != 0) &&
           rudp_endpoint_claim(sock->endpoint, &packet->remote, packet->data, packet->bytes,
                               &ids) == RUDP_CLAIM_STRAY;
}

static bool is_on_port(const struct engine_socket *sock, uint16_t port)
{
    return atomic_load_explicit(&sock->shared_port, memory_order_relaxed) == port;
}

/* What a search looks for, and whether a locked socket is it. */
struct search {
    uint16_t port;
    const struct wire_packet *packet;
    bool (*matches)(struct search *search, struct engine_socket *sock);
    struct rudp_claim_ids ids;          /* found on the way by owns_packet */
    const struct engine_socket *wanted; /* of is_wanted */
    const struct rudp_address *remote;  /* of cede */
    bool any_left;                      /* found by cede */
};

/* Locked and to be unlocked by the caller; NULL: none. */
static struct engine_socket *find(struct search *search)
{
    struct engine_socket *sock = engine_socket_list_lock();

    for (; sock != NULL; sock = sock->next) {
        if (!is_on_port(sock, search->port))
            continue;
        engine_socket_lock(sock);
        if (sock->is_owned && !sock->is_retired && search->matches(search, sock))
            break;
        engine_socket_unlock(sock);
    }
    engine_socket_list_unlock();
    return sock;
}

static bool owns_packet(struct search *search, struct engine_socket *sock)
{
    const struct wire_packet *packet = search->packet;

    return rudp_endpoint_claim(sock->endpoint, &packet->remote, packet->data, packet->bytes,
                               &search->ids) == RUDP_CLAIM_OWN;
}

static bool serves_local(const struct engine_socket *sock, const struct rudp_address *local)
{
    return sock->wire.is_wildcard || memcmp(sock->wire.local.ip, local->ip, sizeof local->ip) == 0;
}

/* Would the kernel give this socket the packet if the one it arrived at were gone? */
static bool accepts_packet(struct search *search, struct engine_socket *sock)
{
    const struct wire_packet *packet = search->packet;

    return rudp_endpoint_is_accepting(sock->endpoint) && serves_local(sock, &packet->destination) &&
           (!sock->wire.is_connected || rudp_address_equal(&sock->wire.peer, &packet->remote));
}

static bool is_any_socket(struct search *search, struct engine_socket *sock)
{
    (void)search;
    (void)sock;
    return true;
}

static bool is_wanted(struct search *search, struct engine_socket *sock)
{
    return sock == search->wanted;
}

static void receive_locked(struct engine_socket *sock, const struct wire_packet *packet)
{
    struct rudp_path path = {.remote = packet->remote};

    if (sock->wire.is_wildcard)
        path.local = packet->source;
    rudp_endpoint_set_mark(sock->endpoint, engine_packet_mark(packet));
    (void)rudp_endpoint_receive(sock->endpoint, &path, packet->data, packet->bytes,
                                engine_now_us());
    engine_socket_settle(sock);
    engine_socket_unlock(sock);
}

static void receive_here(struct engine_socket *sock, const struct wire_packet *packet)
{
    engine_socket_lock(sock);
    if (sock->is_retired)
        engine_socket_unlock(sock);
    else
        receive_locked(sock, packet);
}

bool engine_share_receive_known(uint16_t port, const struct wire_packet *packet,
                                struct rudp_claim_ids *ids)
{
    struct search search = {.port = port, .packet = packet, .matches = owns_packet};
    struct engine_socket *target = find(&search);

    *ids = search.ids;
    if (target != NULL)
        receive_locked(target, packet);
    return target != NULL;
}

/* To a socket that would get it if the one it came to were gone. False: none. */
static bool receive_accepting(uint16_t port, const struct wire_packet *packet)
{
    struct search search = {.port = port, .packet = packet, .matches = accepts_packet};
    struct engine_socket *target = find(&search);

    if (target != NULL)
        receive_locked(target, packet);
    return target != NULL;
}

bool engine_share_would_accept(uint16_t port, const struct wire_packet *packet)
{
    struct search search = {.port = port, .packet = packet, .matches = accepts_packet};
    struct engine_socket *target = find(&search);

    if (target != NULL)
        engine_socket_unlock(target);
    return target != NULL;
}

void engine_share_receive(uint16_t port, const struct wire_packet *packet)
{
    struct search search = {.port = port, .packet = packet, .matches = is_any_socket};
    struct rudp_claim_ids ids;

    if (engine_share_receive_known(port, packet, &ids))
        return;
    if (ids.caller_id != 0 && receive_accepting(port, packet))
        return;
    struct engine_socket *target = find(&search);

    if (target == NULL)
        return;
    engine_socket_unlock(target); /* it is freed on this thread only */
    /* The slot may have been another process's before: one of the others may have gone on. */
    if (!engine_consult(target, port, packet, &ids))
        receive_here(target, packet);
}

/* --- Peers that change processes -------------------------------------------------------------- */

/* Every socket is one that does not match: all are looked at. */
static bool cede(struct search *search, struct engine_socket *sock)
{
    struct rudp_session *session = rudp_endpoint_find(sock->endpoint, search->remote);

    if (session != NULL && sock->handler.on_cede != NULL) {
        sock->handler.on_cede(sock->context, sock, session);
        engine_socket_settle(sock);
    }
    if (rudp_endpoint_knows(sock->endpoint, search->remote) && sock->handler.on_cede != NULL)
        search->any_left = true;
    return false;
}

bool engine_share_cede(uint16_t port, const struct rudp_address *remote)
{
    struct search search = {.port = port, .remote = remote, .matches = cede};

    (void)find(&search);
    return search.any_left;
}

void engine_share_hold_hello(const struct engine_socket *sock, uint16_t port,
                             const struct rudp_address *remote, uint64_t until_us)
{
    struct search search = {.port = port, .matches = is_wanted, .wanted = sock};
    struct engine_socket *target = find(&search);

    if (target == NULL)
        return;
    rudp_endpoint_hold_hello(target->endpoint, remote, until_us, engine_now_us());
    engine_socket_settle(target);
    engine_socket_unlock(target);
}

/* --- Strays ----------------------------------------------------------------------------------- */

/* What a stray names, and how the socket is that it came to. */
struct stray {
    struct rudp_claim_ids ids;
    uint16_t port;
    bool is_forwarded; /* other processes may share the port */
    bool is_accepting; /* a call from there */
    bool is_connected;
    bool is_retired;
};

static struct stray survey(struct engine_socket *sock, const struct wire_packet *packet)
{
    struct stray stray = {.port = atomic_load(&sock->shared_port)};

    engine_socket_lock(sock);
    stray.is_retired = sock->is_retired;
    if (!sock->is_retired) {
        (void)rudp_endpoint_claim(sock->endpoint, &packet->remote, packet->data, packet->bytes,
                                  &stray.ids);
        stray.is_forwarded = sock->forward_port != 0;
        stray.is_connected = sock->wire.is_connected;
        stray.is_accepting =
            rudp_endpoint_is_accepting(sock->endpoint) &&
            (!stray.is_connected || rudp_address_equal(&sock->wire.peer, &packet->remote));
    }
    engine_socket_unlock(sock);
    return stray;
}

/* To one of the processes that have these slots. False: none is left. */
static bool send_to_one_of(uint64_t slots, uint16_t port, const struct wire_packet *packet)
{
    uint32_t start;
    bool is_sent = false;

    engine_random_fill(NULL, &start, sizeof start);
    for (uint32_t i = 0; slots != 0 && !is_sent && i < FORWARD_SLOT_COUNT; i++) {
        uint16_t slot = (uint16_t)((start + i) % FORWARD_SLOT_COUNT + 1);

        is_sent = (slots >> (slot - 1) & 1) != 0 &&
                  engine_forward_say(port, slot, FORWARD_PACKET, 0, packet);
    }
    return is_sent;
}

static void accept_at(struct engine_socket *sock, const struct stray *stray,
                      const struct wire_packet *packet, uint64_t slots)
{
    bool stays = stray->is_accepting || stray->is_retired;

    if (!stays && receive_accepting(stray->port, packet))
        return;
    if (!stays && stray->ids.caller_id != 0 && send_to_one_of(slots, stray->port, packet))
        return;
    receive_here(sock, packet);
}

void engine_share_accept(const struct engine_socket *sock, uint16_t port,
                         const struct wire_packet *packet, uint64_t slots)
{
    struct search search = {.port = port, .packet = packet, .matches = is_wanted, .wanted = sock};
    struct engine_socket *target = find(&search);

    if (target == NULL) {
        if (!receive_accepting(port, packet))
            (void)send_to_one_of(slots, port, packet);
        return;
    }
    engine_socket_unlock(target); /* it is freed on this thread only */
    struct stray stray = survey(target, packet);

    accept_at(target, &stray, packet, slots);
}

/* The socket here that knows it, locked, if there is one. */
static struct engine_socket *find_owner(struct engine_socket *sock, const struct stray *stray,
                                        const struct wire_packet *packet)
{
    struct search search = {.port = stray->port, .packet = packet, .matches = owns_packet};
    struct engine_socket *target = stray->is_retired ? NULL : find(&search);

    /* It waited at that socket's wire when that one was connected to another: the session follows
     * its packets now. */
    if (target != NULL && target->wire.is_connected &&
        !rudp_address_equal(&target->wire.peer, &packet->remote)) {
        engine_socket_unlock(target);
        engine_socket_rearrange(sock);
        target = find(&search);
    }
    return target;
}

/* Whether another process has it now, or is asked. Where the program has connected a socket to the
 * peer, that is where it talks to it from now on. */
static bool pass_on(struct engine_socket *sock, const struct stray *stray,
                    const struct wire_packet *packet)
{
    if (!stray->is_forwarded)
        return false;
    uint16_t slot = (uint16_t)(stray->ids.session_id >> 48);

    if (stray->is_connected)
        engine_cede_demand(stray->port, slot, &packet->remote);
    return engine_forward_say(stray->port, slot, FORWARD_PACKET, 0, packet) ||
           engine_consult(sock, stray->port, packet, &stray->ids);
}

void engine_share_hand_over(struct engine_socket *sock, const struct wire_packet *packet)
{
    struct stray stray = survey(sock, packet);
    struct engine_socket *target = find_owner(sock, &stray, packet);

    if (target != NULL)
        receive_locked(target, packet);
    else if (!pass_on(sock, &stray, packet))
        accept_at(sock, &stray, packet, engine_forward_others(stray.port));
}

/* --- Sessions that move ----------------------------------------------------------------------- */

/* How well the kernel finds that a socket fits the packets of a session; 0: not at all. */
static uint32_t kernel_score(const struct wire *wire, const struct rudp_path *path)
{
    static const struct rudp_address unspecified;
    bool names_local = memcmp(path->local.ip, unspecified.ip, sizeof unspecified.ip) != 0;

    if (wire->is_connected && !rudp_address_equal(&wire->peer, &path->remote))
        return 0;
    if (!wire->is_wildcard && names_local &&
        memcmp(wire->local.ip, path->local.ip, sizeof path->local.ip) != 0)
        return 0;
    return 1u + !wire->is_wildcard + 2u * wire->is_connected;
}

struct choice {
    const struct wire *from;
    struct wire to; /* a copy: only one socket is locked at a time */
    struct rudp_session *sessions[MOVE_COUNT_BATCH];
    size_t count;
};

static void choose(void *context, struct rudp_session *session)
{
    struct choice *choice = context;
    struct rudp_path path = *rudp_session_path(session);

    if (!choice->from->is_wildcard)
        path.local = choice->from->local;
    if (choice->count < MOVE_COUNT_BATCH && !rudp_session_is_closed(session) &&
        kernel_score(&choice->to, &path) > kernel_score(choice->from, &path))
        choice->sessions[choice->count++] = session;
}

/* Some of the sessions that belong elsewhere now, detached. */
static void take_out(struct engine_socket *from, struct choice *choice)
{
    choice->from = &from->wire;
    choice->count = 0;
    engine_socket_lock(from);
    if (from->is_owned && !from->is_retired && from->handler.on_leave != NULL)
        rudp_endpoint_each(from->endpoint, choose, choice);
    size_t count = 0;

    for (size_t i = 0; i < choice->count; i++) {
        struct rudp_session *session = choice->sessions[i];

        if (!from->handler.on_leave(from->context, from, session))
            continue;
        rudp_endpoint_detach(from->endpoint, session);
        choice->sessions[count++] = session;
    }
    choice->count = count;
    engine_socket_unlock(from);
}

/* False: it does not go in there. */
static bool put_in(struct engine_socket *to, struct rudp_session *session)
{
    bool is_in = false;

    engine_socket_lock(to);
    if (to->is_owned && !to->is_retired)
        is_in = rudp_endpoint_attach(to->endpoint, session, engine_now_us()) == RUDP_OK;
    if (is_in)
        to->handler.on_join(to->context, to, session);
    engine_socket_unlock(to);
    return is_in;
}

static bool look_at(struct engine_socket *to, struct choice *choice)
{
    engine_socket_lock(to);
    choice->to = to->wire;
    bool is_ready = to->is_owned && !to->is_retired && to->handler.on_join != NULL &&
                    rudp_endpoint_make_room(to->endpoint) == RUDP_OK;

    engine_socket_unlock(to);
    return is_ready;
}

/* Moves what the kernel now gives to the wire of to. The list is locked: no stray of a session that
 * is between two sockets is answered meanwhile. */
static bool move(struct engine_socket *to, struct engine_socket *from)
{
    struct choice choice;
    bool any = false;
    bool is_refused = false;

    if (!look_at(to, &choice))
        return false;
    do {
        take_out(from, &choice);
        for (size_t i = 0; i < choice.count; i++) {
            if (put_in(to, choice.sessions[i])) {
                any = true;
                continue;
            }
            is_refused = true; /* its id exists there: as likely as guessing it */
            bool is_back = put_in(from, choice.sessions[i]);

            RUDP_ASSERT(is_back);
        }
    } while (choice.count == MOVE_COUNT_BATCH && !is_refused);
    return any;
}

/* Sends and tells what came with the sessions. */
static void settle_moved(struct engine_socket *sock)
{
    engine_socket_lock(sock);
    if (!sock->is_retired)
        engine_socket_settle(sock);
    engine_socket_unlock(sock);
}

void engine_socket_rearrange(struct engine_socket *sock)
{
    if (!has_company(sock))
        return;
    struct engine_signal_mask mask = engine_sys_block_signals();
    struct engine_socket *other = engine_socket_list_lock();
    uint16_t port = atomic_load(&sock->shared_port);

    for (; other != NULL; other = other->next) {
        if (other == sock || !is_on_port(other, port) || other->arena != sock->arena)
            continue;
        if (move(sock, other))
            settle_moved(sock);
        if (move(other, sock))
            settle_moved(other);
    }
    engine_socket_list_unlock();
    engine_sys_restore_signals(mask);
}
