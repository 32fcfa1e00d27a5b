/* real.h - the calls behind the hooks: the next definition in the process's search order.
 *
 * Before real_resolve has run (other libraries' constructors come first) every entry is a raw
 * system call, so a hook works at any time. After it, libc's function: a cancellation point, and
 * the way to another preloaded library. */
#ifndef RUDP_SHIM_REAL_H
#define RUDP_SHIM_REAL_H

#include "shim/surface.h"

struct real {
#define X(name, result, parameters) result(*name) parameters;
#define ALIAS(name, target)
    SHIM_SURFACE_MAP(X, ALIAS)
#undef ALIAS
#undef X
};

extern struct real real;

/* Once, from the constructor: it calls dlsym. */
void real_resolve(void);

/* A raw result as libc would return it: -1 and errno when negative. */
long real_result(long raw_result);

#endif
