/* hook.h - what all hooks share. */
#ifndef RUDP_SHIM_HOOK_H
#define RUDP_SHIM_HOOK_H

#include "shim/ask.h"
#include "shim/fd_table.h"
#include "shim/heir.h"
#include "shim/process.h"
#include "shim/real.h"
#include "shim/socket.h"

static inline void shim_hook_release(struct shim_socket **sock)
{
    if (*sock != NULL)
        shim_socket_release(*sock);
}

static inline struct shim_socket *shim_hook_use(int fd)
{
    struct shim_socket *sock = fd_table_acquire(fd);

    if (sock != NULL)
        shim_ask_if_due(&(struct fd_table_seen){sock, atomic_load(&sock->cookie), fd});
    if (sock != NULL && atomic_load_explicit(&sock->is_unwatched, memory_order_relaxed))
        shim_heir_arm(sock);
    return sock;
}

/* Declares sock: the socket behind fd, used until the scope ends, also by cancellation; NULL: not
 * ours. The shim is compiled with -fexceptions for that. */
#define SHIM_HOOK_USE(sock, fd)                                                                    \
    __attribute__((cleanup(shim_hook_release))) struct shim_socket *sock = shim_hook_use(fd)

/* The kernel said that fd is no socket, or not open: it was closed and given out again where no
 * hook saw it. Forgets the entry; true: the call is to be made as if there had been none. */
bool shim_hook_is_stale(const struct fd_table_seen *seen, ssize_t result);

/* fd was just given out by the kernel: what stood for that number is gone. sock: what stands for it
 * now, or NULL. */
void shim_hook_renew(int fd, struct shim_socket *sock);

#endif
