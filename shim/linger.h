/* linger.h - the end of a socket: who still holds it, what must be delivered first, when its port
 * is free again. */
#ifndef RUDP_SHIM_LINGER_H
#define RUDP_SHIM_LINGER_H

#include "shim/socket.h"

/* The last use in this process is to be given back: gives it, and ends the socket, lets it linger
 * or keeps it for other processes. Not entered. */
void shim_linger_abandon(struct shim_socket *sock);

/* Entered. Nobody holds A any more: closes all sessions, what they accepted is still delivered. */
void shim_linger_begin(struct shim_socket *sock);

/* Entered, in a callback. A lingering socket lost a session. */
void shim_linger_progress(struct shim_socket *sock);

/* Ends sockets whose last holder went in another process. Not entered. */
void shim_linger_sweep(void);

/* Waits for one of this process's lingering sockets on that port to end, at most the linger time.
 * False: there is none, or it did not. Not entered. */
bool shim_linger_wait_for_port(uint16_t port);

/* Delivers what all sockets of this process accepted, for at most the linger time, then says
 * goodbye to all peers. Not entered; once, at exit. */
void shim_linger_flush_all(void);

#endif
