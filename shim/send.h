/* send.h - one datagram from the program. */
#ifndef RUDP_SHIM_SEND_H
#define RUDP_SHIM_SEND_H

#include "shim/socket.h"

/* sendmsg(2) on fd, which stands for sock. Not entered. */
ssize_t shim_send(struct shim_socket *sock, int fd, const struct msghdr *message, int flags);

#endif
