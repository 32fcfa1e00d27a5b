/* lease.h - who runs a socket's engine, and who would go on with it, of all processes that hold it.
 *
 * Both are locks on bytes of the arena's file, at the place of the socket's shared state: the
 * kernel gives them to one process, fork does not hand them on, and they end with the process. */
#ifndef RUDP_SHIM_LEASE_H
#define RUDP_SHIM_LEASE_H

#include "shim/socket.h"

/* True: this process may run the engine. False: another one does. */
bool shim_lease_take(const struct shim_socket *sock);
void shim_lease_drop(const struct shim_socket *sock);

/* The holder is about to end or to exec: others can wait for that, whoever has the lease then. */
void shim_lease_announce_end(const struct shim_socket *sock);
void shim_lease_await_end(const struct shim_socket *sock);

/* The other process that has it: its pid, -1 when it has no number here; 0: none. */
pid_t shim_lease_holder(const struct shim_socket *sock);

/* This process watches the holder and will try to take the lease when it ends. */
void shim_lease_stand_by(const struct shim_socket *sock, bool does);

/* Whether another process stands by. */
bool shim_lease_has_heir(const struct shim_socket *sock);

/* Wakes all that have to do with the sockets of the arena: something has changed. */
void shim_lease_ring(const struct shim_socket *sock);

#endif
