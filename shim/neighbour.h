/* neighbour.h - other libraries that are preloaded and intercept the same calls: those before ours
 * must pass calls on to us, those after it have a say in what sockets there are. */
#ifndef RUDP_SHIM_NEIGHBOUR_H
#define RUDP_SHIM_NEIGHBOUR_H

#include "shim/surface.h"

#include <stdbool.h>

/* The hook itself; its own name leads to whichever library comes first. */
extern __typeof__(hook_socket) shim_own_socket;

/* Once, from the constructor, when the calls are resolved. Where the clock that this library would
 * read is not libc's, it reads the kernel's. */
void shim_neighbour_begin(void);

/* Once, when all constructors have run: says so when a library before ours keeps calls to itself.
 */
void shim_neighbour_check(void);

/* hook_socket was called for a domain: it may be the check that asks. */
void shim_neighbour_note(int domain);

/* Whether a library after ours refuses this UDP socket, or gives another kind of socket in its
 * place. result, and errno, are then what socket() is to return. */
bool shim_neighbour_takes(int domain, int type, int protocol, int *result);

#endif
