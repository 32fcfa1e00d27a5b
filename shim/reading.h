/* reading.h - which of the messages in the pair the program has read: these are delivered, and the
 * sessions say so to their peers. Everything here is entered (socket.h).
 *
 * Whoever reads A, in whatever process and by whatever call, tells nobody. But the pair is one
 * queue, so what is unread is the newest part of it, and the kernel says how many bytes that takes.
 * It counts more than the payload of a datagram: what the newest ones must take at least bounds how
 * many of them can be unread.
 *
 * When nobody holds A any more the kernel drops what is unread, which looks like reading from here.
 * So it counts only what was seen while A was held: who lets go of it waits until that was done. */
#ifndef RUDP_SHIM_READING_H
#define RUDP_SHIM_READING_H

#include "shim/peers.h"

/* A message of peer was put into the pair. */
void shim_reading_note(struct shim_socket *sock, struct shim_peer *peer, size_t message_bytes);

/* Tells the sessions what the program must have read by now. */
void shim_reading_confirm(struct shim_socket *sock);

#endif
