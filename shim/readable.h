/* readable.h - whether memory that a program names is there. */
#ifndef RUDP_SHIM_READABLE_H
#define RUDP_SHIM_READABLE_H

#include "engine/raw.h"

#include <stdbool.h>
#include <stddef.h>

/* Whether the kernel can read the bytes; where it cannot, a native call answers EFAULT instead of
 * our copying ending the program. Asked of the kernel, a page at a time: rt_sigprocmask reads the
 * set it is given before it refuses the impossible way of using it. */
static inline bool shim_is_readable(const void *data, size_t bytes)
{
    enum {
        IMPOSSIBLE = -1,
        SET_BYTES = 8,
        PAGE_BYTES = 4096
    };
    uintptr_t at = (uintptr_t)data & ~(uintptr_t)(SET_BYTES - 1);
    uintptr_t end = (uintptr_t)data + bytes;

    for (; at < end; at = (at | (PAGE_BYTES - 1)) + 1)
        if (RAW_CALL(SYS_rt_sigprocmask, IMPOSSIBLE, (long)at, 0, SET_BYTES) == -EFAULT)
            return false;
    return true;
}

#endif
