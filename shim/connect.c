#define _GNU_SOURCE
#include "shim/connect.h"

#include "engine/raw.h"
#include "shim/deliver.h"
#include "shim/linger.h"
#include "shim/real.h"

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

int shim_bind(struct shim_socket *sock, const struct sockaddr *addr, socklen_t addr_bytes)
{
    int result = bind_wire(sock, addr, addr_bytes);

    if (result < 0 || !shim_socket_is_ours(sock))
        return (int)real_result(result);
    result = shim_socket_start(sock); /* from now on datagrams may come */
    if (result < 0)
        return (int)real_result(result);
    struct engine_socket *engine = shim_socket_engine(sock);

    engine_socket_enter(engine);
    shim_socket_refresh_local(sock);
    engine_socket_wire_changed(engine);
    engine_socket_leave(engine);
    return 0;
}

/* --- Datagrams that wait for the program when its peer changes ---------------------------------
 */

struct queue {
    uint8_t *data; /* per datagram: length u32, bytes */
    size_t room_bytes;
    size_t bytes;
};

/* Takes what waits on A. Readers that are faster take theirs, as they would have before. */
static void take_queue(struct queue *queue, int fd)
{
    uint32_t length;

    while (queue->room_bytes - queue->bytes > sizeof length) {
        uint8_t *place = queue->data + queue->bytes;
        long bytes =
            RAW_CALL(SYS_recvfrom, fd, raw_pointer(place + sizeof length),
                     (long)(queue->room_bytes - queue->bytes - sizeof length), MSG_DONTWAIT, 0, 0);

        if (bytes < 0)
            return;
        length = (uint32_t)bytes;
        memcpy(place, &length, sizeof length);
        queue->bytes += sizeof length + length;
    }
}

static void put_queue(const struct shim_socket *sock, const struct queue *queue)
{
    struct shim_pair_header header;
    uint32_t length;

    for (size_t at = 0; at < queue->bytes; at += sizeof length + length) {
        memcpy(&length, queue->data + at, sizeof length);
        const uint8_t *data = queue->data + at + sizeof length;
        bool is_framed = shim_pair_parse(&header, sock->cookie, data, length);

        if (!is_framed)
            header = (struct shim_pair_header){
                .cookie = sock->cookie,
                .type = SHIM_PAIR_DATAGRAM,
                .payload_bytes = length,
                .peer = sock->shared->peer,
                .local = sock->shared->local,
                .ttl = -1,
                .tos = -1,
            };
        (void)shim_pair_write(sock->pair_fd, is_framed ? NULL : &header, data, length);
    }
}

/* Bare datagrams in the queue come from the old peer: they get headers that say so before it
 * changes. Entered, so nothing is delivered between. */
static void frame_queue(const struct shim_socket *sock, int fd)
{
    long unread_bytes = shim_pair_unread_bytes(sock->pair_fd);

    if (!sock->shared->is_connected || unread_bytes <= 0)
        return;
    /* The kernel counts more than the payload of each datagram: a length always fits beside it. */
    struct queue queue = {.room_bytes = (size_t)unread_bytes};
    long mapped = RAW_CALL(RAW_SYS_MMAP, 0, (long)queue.room_bytes, PROT_READ | PROT_WRITE,
                           MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

    if (mapped < 0 && mapped > -4096)
        return;
    queue.data = (uint8_t *)mapped;
    take_queue(&queue, fd);
    put_queue(sock, &queue);
    (void)RAW_CALL(SYS_munmap, mapped, (long)queue.room_bytes);
}

/* ------------------------------------------------------------------------------------------------
 */

void shim_connect_refresh_peer(struct shim_socket *sock)
{
    struct sockaddr_storage addr;
    socklen_t bytes = sizeof addr;

    sock->shared->is_connected =
        RAW_CALL(SYS_getpeername, sock->wire_fd, raw_pointer(&addr), raw_pointer(&bytes)) == 0 &&
        engine_address_from_sockaddr(&sock->shared->peer, (const struct sockaddr *)&addr, bytes);
    sock->shared->soft_error = 0;
}

static long connect_entered(struct shim_socket *sock, int fd, const struct sockaddr *addr,
                            socklen_t addr_bytes)
{
    long result = RAW_CALL(SYS_connect, sock->wire_fd, raw_pointer(addr), addr_bytes);

    if (result < 0)
        return result;
    frame_queue(sock, fd);
    shim_connect_refresh_peer(sock);
    shim_socket_refresh_local(sock);
    shim_deliver_choose_frame(sock);
    engine_socket_wire_changed(shim_socket_engine(sock));
    return 0;
}

int shim_connect(struct shim_socket *sock, int fd, const struct sockaddr *addr,
                 socklen_t addr_bytes)
{
    if (!shim_socket_is_ours(sock))
        return real.connect(sock->wire_fd, addr, addr_bytes);
    int result = shim_socket_start(sock);

    if (result < 0)
        return (int)real_result(result);
    struct engine_socket *engine = shim_socket_engine(sock);

    engine_socket_enter(engine);
    long connected = connect_entered(sock, fd, addr, addr_bytes);

    engine_socket_leave(engine);
    return (int)real_result(connected);
}
