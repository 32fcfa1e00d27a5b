/* symbols.h - functions of libc that reach a UDP socket past the shim. */
#ifndef RUDP_TOOLS_SYMBOLS_H
#define RUDP_TOOLS_SYMBOLS_H

#include <stddef.h>

/* The next of them, in order, that the shim of this build does not intercept; NULL: no more.
 * *index, 0 at first, counts through. */
const char *command_symbol_next(size_t *index);

#endif
