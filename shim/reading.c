#include "shim/reading.h"

/* Every kernel accounts more than this for a datagram besides its payload: two structures of its
 * own, and rounding. */
#define DATAGRAM_OVERHEAD_BYTES_MIN 256u

/* Marks of a peer begin this far apart, in bytes of the pair; and sessions are looked through when
 * so much more was read. */
#define STEP_BYTES 16384u

/* The last mark is always the newest message. One is added when the last has moved a step away from
 * the one before; when there is no room, every second one goes and the step is doubled. */
static void add_mark(struct shim_peer *peer, struct shim_mark mark)
{
    uint32_t count = peer->mark_count;

    if (count == 0)
        peer->mark_step_bytes = STEP_BYTES;
    if (count >= 2 && peer->marks[count - 1].pair_bytes - peer->marks[count - 2].pair_bytes <
                          peer->mark_step_bytes) {
        peer->marks[count - 1] = mark;
        return;
    }
    if (count == SHIM_MARK_COUNT_MAX) {
        count /= 2;
        for (uint32_t index = 0; index < count; index++)
            peer->marks[index] = peer->marks[2 * index + 1];
        peer->mark_step_bytes *= 2;
    }
    peer->marks[count] = mark;
    peer->mark_count = count + 1;
}

void shim_reading_note(struct shim_socket *sock, struct shim_peer *peer, size_t message_bytes)
{
    sock->shared->passed_bytes += message_bytes + DATAGRAM_OVERHEAD_BYTES_MIN;
    peer->passed_bytes += rudp_message_stream_bytes(message_bytes);
    add_mark(peer, (struct shim_mark){
                       .pair_bytes = sock->shared->passed_bytes,
                       .stream_bytes = peer->passed_bytes,
                   });
    shim_peer_push_unconfirmed(sock, peer);
}

static void confirm_all(struct shim_socket *sock)
{
    struct shim_peer *peer;

    while ((peer = shim_peer_pop_unconfirmed(sock)) != NULL)
        rudp_session_confirm(shim_socket_endpoint(sock), peer->session, 0, engine_now_us());
}

/* All that was in the pair up to read_bytes is read. What is behind the last mark that this covers
 * waits for the next time. */
static void confirm_peer(struct shim_socket *sock, struct shim_peer *peer, uint64_t read_bytes)
{
    uint32_t count = 0;

    while (count < peer->mark_count && peer->marks[count].pair_bytes <= read_bytes)
        count++;
    if (count == 0)
        return;
    rudp_session_confirm(shim_socket_endpoint(sock), peer->session,
                         peer->passed_bytes - peer->marks[count - 1].stream_bytes, engine_now_us());
    peer->mark_count -= count;
    memmove(peer->marks, peer->marks + count, peer->mark_count * sizeof *peer->marks);
}

static void confirm_up_to(struct shim_socket *sock, uint64_t read_bytes)
{
    if (sub_floor_u64(read_bytes, sock->shared->read_bytes) < STEP_BYTES)
        return;
    sock->shared->read_bytes = read_bytes;
    for (struct shim_peer *peer = sock->shared->unconfirmed_first; peer != NULL;
         peer = peer->unconfirmed_next)
        confirm_peer(sock, peer, read_bytes);
}

void shim_reading_confirm(struct shim_socket *sock)
{
    if (sock->shared->unconfirmed_first == NULL || sock->is_counted)
        return;
    long unread_bytes = shim_pair_unread_bytes(sock->pair_fd);

    if (atomic_load(&sock->shared->is_spread) && !shim_pair_is_held(sock->cookie, sock->pair_fd))
        return; /* dropped, perhaps: after what was counted, so that it is true if A is held now */
    if (unread_bytes == 0)
        confirm_all(sock);
    else if (unread_bytes > 0)
        confirm_up_to(sock, sub_floor_u64(sock->shared->passed_bytes, (uint64_t)unread_bytes));
}
