/* receive.h - one datagram to the program. */
#ifndef RUDP_SHIM_RECEIVE_H
#define RUDP_SHIM_RECEIVE_H

#include "shim/fd_table.h"
#include "shim/socket.h"

/* recvmsg(2) on the number that was seen. One native call in the ordinary case: blocking, time
 * limits, signals and cancellation are the kernel's. Nothing is held meanwhile: a handler may jump
 * out, another thread may close the number, which as in the kernel ends the call with the next
 * datagram only. Not entered. -1 with ENOTSOCK: the number is no socket any more. */
ssize_t shim_receive(const struct fd_table_seen *seen, struct msghdr *message, int flags);

/* FIONREAD: bytes of the next datagram, 0 when there is none, or -1 and errno. */
int shim_receive_next_bytes(const struct shim_socket *sock, int fd);

/* An error was taken for a call that turned out to have something else to return: keeps it. */
void shim_receive_keep_error(const struct fd_table_seen *seen, int error);

#endif
