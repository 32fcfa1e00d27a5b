/* host.c - a program without a socket of its own: loads a library, runs its main and unloads it.
 *
 *     host MODE LIBRARY [ARGUMENT...]    MODE: now, lazy, deep or deep-lazy */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const struct {
    const char *name;
    int flags;
} modes[] = {
    {"now", RTLD_NOW | RTLD_LOCAL},
    {"lazy", RTLD_LAZY | RTLD_LOCAL},
    {"deep", RTLD_NOW | RTLD_LOCAL | RTLD_DEEPBIND},
    {"deep-lazy", RTLD_LAZY | RTLD_LOCAL | RTLD_DEEPBIND},
};

static int complain(const char *what)
{
    (void)fprintf(stderr, "host: %s\n", what);
    return EXIT_FAILURE;
}

int main(int argument_count, char **arguments)
{
    int (*plugin_main)(int, char **);
    int flags = 0;

    if (argument_count < 3)
        return complain("MODE LIBRARY [ARGUMENT...]");
    for (size_t index = 0; index < sizeof modes / sizeof *modes; index++)
        if (strcmp(arguments[1], modes[index].name) == 0)
            flags = modes[index].flags;
    void *library = dlopen(arguments[2], flags);

    if (library == NULL)
        return complain(dlerror());
    void *symbol = dlsym(library, "plugin_main");

    if (symbol == NULL)
        return complain(dlerror());
    memcpy(&plugin_main, &symbol, sizeof symbol);
    int status = plugin_main(argument_count - 2, arguments + 2);

    if (dlclose(library) != 0)
        return complain(dlerror());
    return dlopen(arguments[2], RTLD_NOLOAD | RTLD_LAZY) == NULL ? status : complain("it stays");
}
