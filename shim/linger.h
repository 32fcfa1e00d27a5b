/* linger.h - the end of a socket: who still holds it, what must be delivered first, when its port
 * is free again. */
#ifndef RUDP_SHIM_LINGER_H
#define RUDP_SHIM_LINGER_H

#include "shim/socket.h"

/* The program may let go of fd: what it has read is told to the sessions, whoever runs them. Not
 * entered. */
void shim_linger_tell_read(struct shim_socket *sock, int fd);

/* The program closes fd, or ends, and this may be the last it has of sock: what is unread is not
 * delivered, the peers send it to whoever comes next. Not entered. */
void shim_linger_count_unread(struct shim_socket *sock, int fd);

/* The last use in this process is to be given back: gives it, and ends the socket, lets it linger
 * or keeps it for other processes. Not entered. */
void shim_linger_abandon(struct shim_socket *sock);

/* A came back to this process from the one that held it last. With a use. Not entered. */
void shim_linger_revive(struct shim_socket *sock);

/* Entered. Nobody holds A any more: closes all sessions, what they accepted is still delivered. */
void shim_linger_begin(struct shim_socket *sock);

/* Entered, in a callback. A lingering socket lost a session. */
void shim_linger_progress(struct shim_socket *sock);

/* Leaves an orphan, of which the caller has the only use, to a process that stands by. */
void shim_linger_hand_over(struct shim_socket *sock);

/* Ends sockets whose last holder went in another process. Not entered. */
void shim_linger_sweep(void);

/* How many sockets have ended so far. */
uint32_t shim_linger_end_count(void);

/* The port was in use, some time after seen_end_count was read. Waits for a lingering socket of
 * this process to end, at most the linger time. True: try again. False: nobody here is on that port
 * and nobody left it since, or the time is over. Not entered. */
bool shim_linger_wait_for_port(uint16_t port, uint32_t seen_end_count);

/* Delivers what all sockets of this process accepted, for at most the linger time, then says
 * goodbye to all peers; but for sockets that another process will go on with. Not entered; once, at
 * exit. */
void shim_linger_flush_all(void);

#endif
