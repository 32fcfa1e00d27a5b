/* connect.h - addresses of a socket: binding and connecting its wire, and what follows for the
 * pair. */
#ifndef RUDP_SHIM_CONNECT_H
#define RUDP_SHIM_CONNECT_H

#include "shim/pair.h"
#include "shim/socket.h"

/* bind(2), connect(2) on fd, which stands for sock. Not entered. Where another process runs the
 * engine it is told of the one and asked for the other; an owner that does not answer is told of
 * that, too, but what its queue holds bare of an old peer seems then to come from the new. */
int shim_bind(struct shim_socket *sock, int fd, const struct sockaddr *addr, socklen_t addr_bytes);
int shim_connect(struct shim_socket *sock, int fd, const struct sockaddr *addr,
                 socklen_t addr_bytes);

/* connect(2) for another process, of whose A fd is a copy. Entered. 0 or a negative errno. */
long shim_connect_for_holder(struct shim_socket *sock, int fd, const struct sockaddr *addr,
                             socklen_t addr_bytes);

/* Entered. Calls visit for every datagram that waits in A, of which fd is a copy, in order. False:
 * the kernel does not show them. */
bool shim_connect_each_unread(struct shim_socket *sock, int fd,
                              void (*visit)(void *context, const struct shim_pair_header *header,
                                            size_t bytes),
                              void *context);

/* Entered. A datagram that was read from the head of A, of which fd is a copy, is its head again:
 * framed or bare as it was. Without memory it is the last one. Where others read meanwhile the
 * order may change. */
void shim_connect_put_back(struct shim_socket *sock, int fd, const void *data, size_t bytes);

/* Reads anew to whom the wire is connected. Entered, or before start. */
void shim_connect_refresh_peer(struct shim_socket *sock);

/* Looks again at how the wire is bound and connected. Entered. */
void shim_connect_refresh(struct shim_socket *sock);

#endif
