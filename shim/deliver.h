/* deliver.h - from the engine to the program: sessions' messages, plain datagrams and errors go
 * into the pair. Everything here is entered (socket.h). */
#ifndef RUDP_SHIM_DELIVER_H
#define RUDP_SHIM_DELIVER_H

#include "shim/socket.h"

extern const struct engine_handler shim_deliver_handler;
const struct rudp_config *shim_deliver_config(void);

/* Moves messages into the pair as long as it takes them. */
void shim_deliver(struct shim_socket *sock);

/* This process begins to run the engine: nothing of the pair is known. */
void shim_deliver_begin(struct shim_socket *sock);

/* Has the engine watch B for what the socket's state asks for. */
void shim_deliver_watch(struct shim_socket *sock);

/* Decides anew whether readers should expect bare datagrams. After connect, or when the program
 * asked for other control messages. In any process; entered where the engine runs. */
void shim_deliver_choose_frame(struct shim_socket *sock);

/* The process ends: from now on nothing is delivered, because nobody will read it. What is not
 * delivered stays with its sender, who sends it to the next program on the port or hears of it. */
void shim_deliver_stop(void);

/* In a process that was forked since then. */
void shim_deliver_go_on(void);

/* The wire of a connected socket had an error: its session lives with it, or, when no rule tags
 * the peer, the program is told. */
void shim_deliver_wire_error(struct shim_socket *sock, int error);

#endif
