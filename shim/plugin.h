/* plugin.h - libraries that a program loads with RTLD_DEEPBIND: they look for calls in libc before
 * they look in any preloaded library, so they would go past the hooks. */
#ifndef RUDP_SHIM_PLUGIN_H
#define RUDP_SHIM_PLUGIN_H

#include <stdbool.h>

/* Whether dlopen finds the same file when it is called from here as when it is called from the
 * caller's code: it also looks along a path of the object that calls it. */
bool shim_plugin_is_found_alike(const char *file, const void *caller);

/* dlopen; then what the library, and what came with it, has bound or would bind to libc's calls is
 * led to the hooks. Whatever else it binds to stays. Not before its constructors have run. */
void *shim_plugin_open(const char *file, int mode);

#endif
