/* hooks_loader.c - libraries that a program loads while it runs.
 *
 * dlopen looks along a path of the object whose code it returns to, so the call behind must be the
 * last step: the optimiser makes a jump of it, which CMakeLists.txt asks for in every build. */
#define _GNU_SOURCE
#include "shim/hook.h"
#include "shim/log.h"

#include <dlfcn.h>

#if defined(__GLIBC__)

#include "shim/plugin.h"

static bool is_led(const char *file, int mode, const void *caller)
{
    if ((mode & RTLD_DEEPBIND) == 0 || file == NULL)
        return false;
    if (shim_plugin_is_found_alike(file, caller))
        return true;
    shim_log(SHIM_LOG_WARN, "%s: loaded with RTLD_DEEPBIND along a path: its sockets are plain",
             file);
    return false;
}

void *hook_dlopen(const char *file, int mode)
{
    if (real.dlopen == NULL)
        real_resolve();
    if (is_led(file, mode, __builtin_return_address(0)))
        return shim_plugin_open(file, mode);
    return real.dlopen(file, mode);
}

#else /* every library finds a preloaded one first */

void *hook_dlopen(const char *file, int mode)
{
    if (real.dlopen == NULL)
        real_resolve();
    return real.dlopen(file, mode);
}

#endif
