/* options.h - getsockopt, setsockopt, ioctl: what the program sees is the wire's, except where the
 * engine has set its own there or where the pair is what the program really waits on. */
#ifndef RUDP_SHIM_OPTIONS_H
#define RUDP_SHIM_OPTIONS_H

#include "shim/socket.h"

int shim_getsockopt(struct shim_socket *sock, int level, int option, void *value,
                    socklen_t *value_bytes);
int shim_setsockopt(struct shim_socket *sock, int fd, int level, int option, const void *value,
                    socklen_t value_bytes);
/* The wire was somebody else's before, who may have set options that are kept here: takes them
 * over. fd is A. Before start. */
void shim_options_import(struct shim_socket *sock, int fd);

int shim_ioctl(struct shim_socket *sock, int fd, unsigned long request, void *argument);

#endif
