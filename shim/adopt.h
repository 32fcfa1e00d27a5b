/* adopt.h - UDP sockets that reach the process otherwise than by socket() or fork: open at its
 * start (inetd, socket activation, exec). A plain one becomes ours under its number, if a rule
 * could tag what it is used for. */
#ifndef RUDP_SHIM_ADOPT_H
#define RUDP_SHIM_ADOPT_H

/* From the constructor: adopts what the process was started with. Starts no thread. */
void shim_adopt_inherited(void);

/* When constructors are over: starts the engine of adopted sockets to which datagrams may come, so
 * that they are readable when one did. */
void shim_adopt_start(void);

#endif
