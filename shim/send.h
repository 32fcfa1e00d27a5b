/* send.h - one datagram from the program. */
#ifndef RUDP_SHIM_SEND_H
#define RUDP_SHIM_SEND_H

#include "shim/fd_table.h"
#include "shim/socket.h"

/* sendmsg(2) on the number that was seen. Nothing is held while it waits for room: a handler may
 * jump out. Not entered. -1 with ENOTSOCK: the number is no longer that socket's. */
ssize_t shim_send(const struct fd_table_seen *seen, const struct msghdr *message, int flags);

#endif
