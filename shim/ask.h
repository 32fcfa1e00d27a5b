/* ask.h - what a process that does not run a socket's engine asks of the one that does: the rest of
 * a socket of which it was handed A only, connecting it, and taking from its queue what could not
 * be put back elsewhere.
 *
 * A question is a framed message written into A that carries one end of a fresh pair. The owner
 * answers there, with W and what the program set on the socket. Holding A is the only credential:
 * who does can already send and receive, so nothing is given away. Nobody has to answer: a socket
 * without an answer has no wire, its datagrams pass through A, and what only the wire knows is
 * refused.
 *
 * To connect, the question also carries A and the address. The owner can hold deliveries while the
 * peer changes, and set aside what waits in the queue for other sockets on the port (port.h). */
#ifndef RUDP_SHIM_ASK_H
#define RUDP_SHIM_ASK_H

#include "shim/fd_table.h"
#include "shim/socket.h"

/* Fills in a client. Waits a bounded time; what had no answer is asked again by a later call, not
 * by each. Not entered. Async-signal-safe, errno kept. */
void shim_ask(const struct fd_table_seen *seen);

static inline void shim_ask_if_due(const struct fd_table_seen *seen)
{
    if (seen->sock->is_client && atomic_load(&seen->sock->wire_fd) < 0)
        shim_ask(seen);
}

/* This process may have read from fd, and is about to let go of it: has the owner look what is
 * read, and waits for that, a bounded time. Not entered. errno kept. */
void shim_ask_to_look(struct shim_socket *sock, int fd);

/* This process has reported the error of that peer: has the owner take the token for it from the
 * head of A (peers.h), and waits for that, a bounded time. False: it did not answer. Not entered.
 * errno kept. */
bool shim_ask_to_drop_token(const struct fd_table_seen *seen, const struct rudp_address *peer);

/* connect(2) by the owner. False: it did not answer, and nothing is known. Else *result is 0 or a
 * negative errno. Not entered. errno kept. */
bool shim_ask_connect(const struct fd_table_seen *seen, const struct sockaddr *addr,
                      socklen_t addr_bytes, int *result);

/* Entered. The head of B is a question of that type: takes it and answers. Never blocks; what is no
 * question is counted. */
bool shim_ask_is_question(uint16_t type);
void shim_ask_answer(struct shim_socket *sock, uint16_t type);

#endif
