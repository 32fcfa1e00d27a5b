#define _GNU_SOURCE
#include "tools/rudp/symbols.h"

#include "shim/surface.h"

#include <stdbool.h>
#include <string.h>

/* Calls that can meet a UDP socket, as far as they act on more than the descriptor that the kernel
 * knows (poll, epoll, fstat and their like need no hook). */
static const char *const candidates[] = {
    "__connect",    "__recvmmsg64", "__sendmmsg",   "__write",  "aio_read",    "aio_read64",
    "aio_write",    "aio_write64",  "bindresvport", "dprintf",  "fdopen",      "lio_listio",
    "lio_listio64", "preadv2",      "preadv64v2",   "pwritev2", "pwritev64v2", "recvmmsg",
    "sendfile",     "sendfile64",   "sendmmsg",     "splice",   "vdprintf",
};

static const char *const covered[] = {
#define X(symbol, result, parameters) #symbol,
#define ALIAS(symbol, target)         #symbol,
    SHIM_SURFACE_MAP(X, ALIAS)
#undef ALIAS
#undef X
};

static bool is_covered(const char *name)
{
    for (size_t index = 0; index < sizeof covered / sizeof *covered; index++)
        if (strcmp(covered[index], name) == 0)
            return true;
    return false;
}

const char *command_symbol_next(size_t *index)
{
    while (*index < sizeof candidates / sizeof *candidates) {
        const char *name = candidates[(*index)++];

        if (!is_covered(name))
            return name;
    }
    return NULL;
}
