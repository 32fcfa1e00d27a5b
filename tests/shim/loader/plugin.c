/* plugin.c - ending.c as a library that a program loads while it runs: its handler and its
 * destructor run when it is unloaded. */
#define main plugin_main
int plugin_main(int argument_count, char **arguments);

#include "tests/shim/loader/ending.c"
