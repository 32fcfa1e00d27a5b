/* memory.h - whether the program's memory can be read or written. Where a hook touches it by itself
 * a bad pointer must be EFAULT, as it is where the kernel does. No side effect, errno kept; the
 * answer is asked of the kernel, a page at a time. */
#ifndef RUDP_SHIM_MEMORY_H
#define RUDP_SHIM_MEMORY_H

#include <stdbool.h>
#include <stddef.h>

bool shim_memory_is_readable(const void *data, size_t bytes);
bool shim_memory_is_writable(void *data, size_t bytes);

#endif
