/* adopt.h - UDP sockets that reach the process otherwise than by socket() or fork: open at its
 * start (inetd, socket activation, exec), or passed by another process. A plain one becomes ours
 * under its number, if a rule could tag what it is used for; the A of a socket that other processes
 * under the shim serve becomes one more holder's. */
#ifndef RUDP_SHIM_ADOPT_H
#define RUDP_SHIM_ADOPT_H

#include <sys/socket.h>

/* From the constructor: adopts what the process was started with. Starts no thread. */
void shim_adopt_inherited(void);

/* When constructors are over: starts the engine of adopted sockets to which datagrams may come, so
 * that they are readable when one did. */
void shim_adopt_start(void);

/* fd was just given to the process. errno kept. */
void shim_adopt_received(int fd);

/* recvmsg(2) has filled in message: the same for each descriptor that came with it. */
void shim_adopt_passed(const struct msghdr *message);

/* sendmsg(2) took message: whoever gets sockets of ours with it will have questions, also when they
 * were not used here. */
void shim_adopt_passing(const struct msghdr *message);

#endif
