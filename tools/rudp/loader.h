/* loader.h - asks a program's own loader what it would load, without starting the program. */
#ifndef RUDP_TOOLS_LOADER_H
#define RUDP_TOOLS_LOADER_H

#include "tools/rudp/elf.h"

struct command_load {
    struct command_names loaded;  /* paths, the preloaded ones as LD_PRELOAD names them */
    struct command_names missing; /* names of libraries that were not found */
    char *complaint;              /* the first line that the loader wrote about it, or NULL */
};

/* With this process's environment, LD_PRELOAD included. elf is what binary says of itself: it is
 * dynamically linked. False: no loader could be asked; errno says why. */
bool command_load_try(const char *binary, const struct command_elf *elf, struct command_load *load);
void command_load_free(struct command_load *load);

/* Appends the library to what LD_PRELOAD names already, once. False: it names another file of the
 * same name, which *other then points at until LD_PRELOAD changes. */
bool command_load_add(const char *library, const char **other);

#endif
