/* receive.h - one datagram to the program. */
#ifndef RUDP_SHIM_RECEIVE_H
#define RUDP_SHIM_RECEIVE_H

#include "shim/socket.h"

/* recvmsg(2) on fd, which stands for sock. One native call in the ordinary case: blocking, time
 * limits, signals and cancellation are the kernel's. Not entered. -1 with ENOTSOCK: the number is
 * no socket any more. */
ssize_t shim_receive(struct shim_socket *sock, int fd, struct msghdr *message, int flags);

/* FIONREAD: bytes of the next datagram, 0 when there is none, or -1 and errno. */
int shim_receive_next_bytes(const struct shim_socket *sock, int fd);

/* An error was taken for a call that turned out to have something else to return: keeps it. */
void shim_receive_keep_error(struct shim_socket *sock, int error);

#endif
