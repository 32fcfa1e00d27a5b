/* port.h - several sockets of the program on one port: what belongs to which.
 *
 * As on plain UDP, a socket that is connected gets its peer's messages and no others, and takes
 * them away from the sockets that are not. Sessions move (engine_socket_rearrange). What already
 * waits in the queue of a socket that is connected afterwards, and comes from others, is set aside
 * for the next socket on the port that is not connected: without that a server that connects its
 * listening socket to the caller and opens a new one would hand one client's messages to the
 * process that serves another. */
#ifndef RUDP_SHIM_PORT_H
#define RUDP_SHIM_PORT_H

#include "shim/socket.h"

/* Entered. Whether the program lets the socket's port be shared. */
bool shim_port_is_shared(const struct shim_socket *sock);

/* Takes over the queue, whose datagrams all have headers, for the next unconnected socket on sock's
 * port. Entered. */
void shim_port_set_aside(struct shim_socket *sock, struct shim_queue *queue);

/* The same where other processes share the port: the sessions that others than kept have opened
 * end, and what is in the queue of them goes back to them, so that they call whoever has the port
 * for them. Leaves in the queue what has no session. Entered. */
void shim_port_give_back(struct shim_socket *sock, const struct rudp_address *kept,
                         struct shim_queue *queue);

/* After bind or connect; not entered. Sessions and what was set aside go where they belong. */
void shim_port_settle(struct shim_socket *sock);

/* The same soon, on the engine thread. Entered. */
void shim_port_settle_later(struct shim_socket *sock);

/* Entered. Moves what was set aside for sock into its pair. False: the pair is full, the rest comes
 * first when it has room. */
bool shim_port_deliver(struct shim_socket *sock);

void shim_port_forget(struct shim_queue *queue);

#endif
