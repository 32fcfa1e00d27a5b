#include "engine/random.h"

#include "engine/system.h"

#include <errno.h>

void engine_random_fill(void *context, void *out, size_t bytes)
{
    uint8_t *next = out;

    (void)context;
    while (bytes > 0) {
        long got_bytes = engine_sys_getrandom(next, bytes);

        if (got_bytes == -EINTR)
            continue;
        if (got_bytes < 0) /* no such call, or a filter of the program refuses it */
            got_bytes = engine_sys_read_urandom(next, bytes);
        RUDP_ASSERT(got_bytes > 0);
        next += got_bytes;
        bytes -= (size_t)got_bytes;
    }
}
