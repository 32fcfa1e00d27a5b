/* pending.h - messages to peers of whom it is being asked whether they speak the protocol: kept in
 * order, as much as a session may keep, until that is known. They belong to the socket, in the
 * memory its processes share. Everything here is entered (socket.h), but for shim_pending_await. */
#ifndef RUDP_SHIM_PENDING_H
#define RUDP_SHIM_PENDING_H

#include "shim/drain.h"

/* Whether messages to that peer are held: the next one has to be, too. */
bool shim_pending_has(const struct shim_socket *sock, const struct rudp_address *remote);

/* Keeps one more. SHIM_SENT, SHIM_FULL, or SHIM_FAILED and *error. */
enum shim_verdict shim_pending_add(struct shim_socket *sock, const struct shim_datagram *datagram,
                                   int *error);

/* Sends those whose peers are known by now, by session or plainly. False: the wire is full, some
 * had to stay for that. */
bool shim_pending_sweep(struct shim_socket *sock);

/* Waits until nothing is held any more; what still is when the deadline passes goes plainly. Not
 * entered. */
void shim_pending_await(struct shim_socket *sock, uint64_t deadline_us);

/* For a new owner: the last one may have been killed in the middle of a change. */
void shim_pending_restore(struct shim_socket *sock);

/* Frees what is held, unsent. */
void shim_pending_forget_all(struct shim_socket *sock);

#endif
