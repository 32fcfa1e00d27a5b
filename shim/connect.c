#define _GNU_SOURCE
#include "shim/connect.h"

#include "engine/raw.h"
#include "shim/ask.h"
#include "shim/deliver.h"
#include "shim/linger.h"
#include "shim/memory.h"
#include "shim/peers.h"
#include "shim/port.h"
#include "shim/real.h"
#include "shim/responder.h"

#include <errno.h>
#include <sys/mman.h>

static int bind_wire(const struct shim_socket *sock, const struct sockaddr *addr,
                     socklen_t addr_bytes)
{
    for (;;) {
        uint32_t end_count = shim_linger_end_count();
        long result = RAW_CALL(SYS_bind, sock->wire_fd, raw_pointer(addr), addr_bytes);
        struct rudp_address wanted;

        if (result != -EADDRINUSE || !engine_address_from_sockaddr(&wanted, addr, addr_bytes))
            return (int)result;
        /* On a plain socket close() frees the port at once. Ours may still be delivering. */
        if (!shim_linger_wait_for_port(wanted.port, end_count))
            return (int)result;
    }
}

/* Tells the process that runs the engine that the wire has changed. */
static void tell_owner(struct shim_socket *sock, int fd)
{
    struct shim_pair_header news = {.cookie = sock->cookie, .type = SHIM_PAIR_WIRE};

    atomic_store(&sock->shared->is_stale, true);
    (void)shim_pair_write(fd, &news, NULL, 0); /* when it is full, the owner looks anyway */
}

int shim_bind(struct shim_socket *sock, int fd, const struct sockaddr *addr, socklen_t addr_bytes)
{
    struct rudp_address wanted;

    if (shim_socket_is_ours(sock) && shim_memory_is_readable(addr, addr_bytes) &&
        engine_address_from_sockaddr(&wanted, addr, addr_bytes))
        shim_responder_announce(sock, &wanted);
    int result = bind_wire(sock, addr, addr_bytes);

    if (result < 0)
        return (int)real_result(result);
    result = shim_socket_is_ours(sock) ? shim_socket_start(sock) : 1;
    if (result < 0) /* from now on datagrams may come */
        return (int)real_result(result);
    if (result > 0) {
        tell_owner(sock, fd);
        return 0;
    }
    struct engine_socket *engine = shim_socket_engine(sock);

    engine_socket_enter(engine);
    shim_socket_refresh_local(sock);
    engine_socket_wire_changed(engine);
    engine_socket_leave(engine);
    shim_port_settle(sock);
    return 0;
}

/* --- Datagrams that wait for the program when its peer changes ---------------------------------
 */

/* Takes what waits on A. Readers that are faster take theirs, as they would have before. */
static void take_queue(struct shim_queue *queue, int fd)
{
    uint32_t length;

    while (queue->room_bytes - queue->used_bytes > sizeof length) {
        uint8_t *place = queue->data + queue->used_bytes;
        long bytes = RAW_CALL(SYS_recvfrom, fd, raw_pointer(place + sizeof length),
                              (long)(queue->room_bytes - queue->used_bytes - sizeof length),
                              MSG_DONTWAIT, 0, 0);

        if (bytes < 0)
            return;
        length = (uint32_t)bytes;
        memcpy(place, &length, sizeof length);
        queue->used_bytes += sizeof length + length;
    }
}

static bool map_queue(struct shim_queue *queue, size_t room_bytes)
{
    long mapped = RAW_CALL(RAW_SYS_MMAP, 0, (long)room_bytes, PROT_READ | PROT_WRITE,
                           MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

    if (mapped < 0 && mapped > -4096)
        return false;
    *queue = (struct shim_queue){.data = (uint8_t *)mapped, .room_bytes = room_bytes};
    return true;
}

static void append(struct shim_queue *queue, const struct shim_pair_header *header,
                   const uint8_t *payload, uint32_t payload_bytes)
{
    uint32_t length = (uint32_t)sizeof *header + payload_bytes;
    uint8_t *place = queue->data + queue->used_bytes;

    RUDP_ASSERT(queue->room_bytes - queue->used_bytes >= sizeof length + length);
    memcpy(place, &length, sizeof length);
    memcpy(place + sizeof length, header, sizeof *header);
    memcpy(place + sizeof length + sizeof *header, payload, payload_bytes);
    queue->used_bytes += sizeof length + length;
}

/* The header that a datagram of the queue has, or should have. Returns the size of its payload,
 * which is its end. */
static size_t read_header(const struct shim_socket *sock, const uint8_t *data, size_t bytes,
                          struct shim_pair_header *header)
{
    if (shim_pair_parse(header, sock->cookie, data, bytes))
        return bytes - sizeof *header;
    *header = (struct shim_pair_header){
        .cookie = sock->cookie,
        .type = SHIM_PAIR_DATAGRAM,
        .payload_bytes = (uint32_t)bytes,
        .peer = sock->shared->peer,
        .local = sock->shared->local,
        .ttl = -1,
        .tos = -1,
    };
    return bytes;
}

/* Puts the datagrams back, each with a header that says from whom it came. Those that are not
 * new_peer's (NULL: all are to come back) go to others. */
static void sort_queue(const struct shim_socket *sock, const struct shim_queue *queue,
                       const struct rudp_address *new_peer, struct shim_queue *others)
{
    struct shim_pair_header header;
    uint32_t bytes;

    for (size_t at = 0; at < queue->used_bytes; at += bytes) {
        memcpy(&bytes, queue->data + at, sizeof bytes);
        at += sizeof bytes;
        size_t payload_bytes = read_header(sock, queue->data + at, bytes, &header);
        const uint8_t *payload = queue->data + at + bytes - payload_bytes;

        if (new_peer != NULL && header.type == SHIM_PAIR_DATAGRAM &&
            !rudp_address_equal(&header.peer, new_peer))
            append(others, &header, payload, (uint32_t)payload_bytes);
        else
            (void)shim_pair_write(sock->pair_fd, &header, payload, payload_bytes);
    }
}

/* Puts the datagrams back as they were. */
static void restore_queue(const struct shim_socket *sock, const struct shim_queue *queue)
{
    uint32_t bytes;

    for (size_t at = 0; at < queue->used_bytes; at += bytes) {
        memcpy(&bytes, queue->data + at, sizeof bytes);
        at += sizeof bytes;
        (void)shim_pair_write(sock->pair_fd, NULL, queue->data + at, bytes);
    }
}

void shim_connect_put_back(struct shim_socket *sock, int fd, const void *data, size_t bytes)
{
    long unread_bytes = shim_pair_unread_bytes(sock->pair_fd);
    struct shim_queue queue = {.data = NULL};

    if (unread_bytes > 0 && map_queue(&queue, (size_t)unread_bytes))
        take_queue(&queue, fd);
    (void)shim_pair_write(sock->pair_fd, NULL, data, bytes);
    restore_queue(sock, &queue);
    shim_port_forget(&queue);
}

/* Taking them and putting them back would change their order for whoever reads meanwhile. */
static bool set_peek_offset(int fd, int offset)
{
    return RAW_CALL(SYS_setsockopt, fd, SOL_SOCKET, SO_PEEK_OFF, raw_pointer(&offset),
                    sizeof offset) == 0;
}

bool shim_connect_each_unread(struct shim_socket *sock, int fd,
                              void (*visit)(void *context, const struct shim_pair_header *header,
                                            size_t bytes),
                              void *context)
{
    struct shim_pair_header header;
    long bytes;

    if (!set_peek_offset(fd, 0))
        return false;
    for (;;) {
        bytes = RAW_CALL(SYS_recvfrom, fd, raw_pointer(sock->scratch), SHIM_PAIR_BYTES_MAX,
                         MSG_PEEK | MSG_DONTWAIT, 0, 0);
        if (bytes < 0)
            break;
        size_t payload_bytes = read_header(sock, sock->scratch, (size_t)bytes, &header);

        if (header.type == SHIM_PAIR_DATAGRAM)
            visit(context, &header, payload_bytes);
    }
    (void)set_peek_offset(fd, -1);
    return true;
}

/* Bare datagrams in the queue come from the old peer: they get headers that say so before it
 * changes. What is for other sockets on the port is moved to others, which is the caller's to
 * forget. Entered, so nothing is delivered between. */
static void change_queue(struct shim_socket *sock, int fd, const struct rudp_address *new_peer,
                         struct shim_queue *others)
{
    long unread_bytes = shim_pair_unread_bytes(sock->pair_fd);
    struct shim_queue queue;

    if ((!sock->shared->is_connected && new_peer == NULL) || unread_bytes <= 0)
        return;
    /* The kernel counts more than the payload of each datagram: a length and a header always fit
     * beside it. */
    if (!map_queue(&queue, (size_t)unread_bytes))
        return;
    if (map_queue(others, (size_t)unread_bytes)) {
        take_queue(&queue, fd);
        sort_queue(sock, &queue, new_peer, others);
    }
    shim_port_forget(&queue);
}

/* ------------------------------------------------------------------------------------------------
 */

static bool read_peer(const struct shim_socket *sock, struct rudp_address *peer)
{
    struct sockaddr_storage addr;
    socklen_t bytes = sizeof addr;

    return RAW_CALL(SYS_getpeername, sock->wire_fd, raw_pointer(&addr), raw_pointer(&bytes)) == 0 &&
           engine_address_from_sockaddr(peer, (const struct sockaddr *)&addr, bytes);
}

void shim_connect_refresh_peer(struct shim_socket *sock)
{
    sock->shared->is_connected = read_peer(sock, &sock->shared->peer);
    sock->shared->soft_error = 0;
}

void shim_connect_refresh(struct shim_socket *sock)
{
    shim_connect_refresh_peer(sock);
    shim_socket_refresh_local(sock);
    sock->shared->port_is_shared = sock->shared->is_connected && shim_port_is_shared(sock);
    shim_deliver_choose_frame(sock);
    engine_socket_wire_changed(shim_socket_engine(sock));
}

/* What another peer's messages waited for may be over. */
static void deliver_held_back(struct shim_socket *sock)
{
    for (struct shim_peer *peer = sock->shared->peers; peer != NULL; peer = peer->next)
        shim_peer_push_ready(sock, peer);
    shim_deliver(sock);
}

static long connect_entered(struct shim_socket *sock, int fd, const struct sockaddr *addr,
                            socklen_t addr_bytes)
{
    long result = RAW_CALL(SYS_connect, sock->wire_fd, raw_pointer(addr), addr_bytes);

    if (result < 0)
        return result;
    struct rudp_address peer;
    struct shim_queue others = {.data = NULL};
    bool is_shared = read_peer(sock, &peer) && shim_port_is_shared(sock);

    shim_socket_refresh_local(sock);
    change_queue(sock, fd, is_shared ? &peer : NULL, &others);
    if (is_shared && engine_socket_has_company(shim_socket_engine(sock)))
        shim_port_give_back(sock, &peer, &others);
    if (others.used_bytes > 0)
        shim_port_set_aside(sock, &others);
    shim_port_forget(&others);
    shim_connect_refresh(sock);
    deliver_held_back(sock);
    return 0;
}

long shim_connect_for_holder(struct shim_socket *sock, int fd, const struct sockaddr *addr,
                             socklen_t addr_bytes)
{
    long result = connect_entered(sock, fd, addr, addr_bytes);

    if (result == 0)
        shim_port_settle_later(sock);
    return result;
}

static int connect_elsewhere(struct shim_socket *sock, int fd, const struct sockaddr *addr,
                             socklen_t addr_bytes)
{
    struct fd_table_seen seen = {sock, atomic_load(&sock->cookie), fd};
    int result;

    if (shim_memory_is_readable(addr, addr_bytes) &&
        shim_ask_connect(&seen, addr, addr_bytes, &result))
        return (int)real_result(result);
    result = real.connect(sock->wire_fd, addr, addr_bytes);

    if (result == 0)
        tell_owner(sock, fd);
    return result;
}

int shim_connect(struct shim_socket *sock, int fd, const struct sockaddr *addr,
                 socklen_t addr_bytes)
{
    int result = shim_socket_is_ours(sock) ? shim_socket_start(sock) : 1;

    if (result < 0)
        return (int)real_result(result);
    if (result > 0)
        return connect_elsewhere(sock, fd, addr, addr_bytes);
    struct engine_socket *engine = shim_socket_engine(sock);

    engine_socket_enter(engine);
    long connected = connect_entered(sock, fd, addr, addr_bytes);

    engine_socket_leave(engine);
    if (connected == 0)
        shim_port_settle(sock);
    return (int)real_result(connected);
}
