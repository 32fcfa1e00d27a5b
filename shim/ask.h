/* ask.h - how a process that was handed A learns the rest of its socket: it asks whoever serves it.
 *
 * A question is a framed message written into A that carries one end of a fresh pair. The owner
 * answers there, with W and what the program set on the socket. Holding A is the only credential:
 * who does can already send and receive, so nothing is given away. Nobody has to answer: a socket
 * without an answer has no wire, its datagrams pass through A, and what only the wire knows is
 * refused. */
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

/* Entered. The head of B is a question: takes it and answers. Never blocks; what is no question is
 * counted. */
void shim_ask_answer(struct shim_socket *sock);

#endif
