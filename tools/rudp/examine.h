/* examine.h - whether a program can be made reliable by preloading, and if not why. */
#ifndef RUDP_TOOLS_EXAMINE_H
#define RUDP_TOOLS_EXAMINE_H

#include "tools/rudp/program.h"

#include <stddef.h>

/* X(name, code): the codes are part of doctor's JSON. */
#define COMMAND_FINDING_MAP(X)                                                                     \
    X(NOT_FOUND, "not-found")                                                                      \
    X(NOT_EXECUTABLE, "not-executable")                                                            \
    X(UNREADABLE, "unreadable")                                                                    \
    X(FORMAT, "format")                                                                            \
    X(STATIC, "static")                                                                            \
    X(STATIC_PIE, "static-pie")                                                                    \
    X(GO, "go")                                                                                    \
    X(ARCHITECTURE, "architecture")                                                                \
    X(LIBC, "libc")                                                                                \
    X(NO_LIBC, "no-libc")                                                                          \
    X(SET_USER_ID, "set-user-id")                                                                  \
    X(SET_GROUP_ID, "set-group-id")                                                                \
    X(CAPABILITIES, "capabilities")                                                                \
    X(SANITIZER, "sanitizer")                                                                      \
    X(LIBRARY, "library")                                                                          \
    X(MISSING_LIBRARY, "missing-library")                                                          \
    X(NOT_LOADED, "not-loaded")                                                                    \
    X(SETTINGS, "settings")                                                                        \
    X(SYMBOL, "symbol")                                                                            \
    X(IO_URING, "io-uring")

enum command_finding_code {
#define X(name, code) COMMAND_FINDING_##name,
    COMMAND_FINDING_MAP(X)
#undef X
};

struct command_finding {
    enum command_finding_code code;
    bool is_problem; /* the program cannot be made reliable; else something to know */
    char *text;
};

struct command_examination {
    struct command_program program;
    char *library; /* NULL: none found */
    struct command_finding *findings;
    size_t finding_count;
    size_t problem_count;
};

/* Puts the library into LD_PRELOAD of this process, and asks the program's loader with that.
 * wants_notes: looks at imported symbols, too. asked_for: the library, or NULL. */
void command_examine(const char *name, const char *asked_for, bool wants_notes,
                     struct command_examination *result);
void command_examination_free(struct command_examination *result);

const char *command_finding_code(enum command_finding_code code);

#endif
