/* program.h - from the name a user types to the file that the kernel loads: search path, scripts,
 * their interpreters. And the library beside this command. */
#ifndef RUDP_TOOLS_PROGRAM_H
#define RUDP_TOOLS_PROGRAM_H

#include <stdbool.h>

enum command_program_status {
    COMMAND_PROGRAM_OK,
    COMMAND_PROGRAM_NOT_FOUND,
    COMMAND_PROGRAM_NOT_EXECUTABLE, /* a directory, no permission, no interpreter */
};

struct command_program {
    char *path;    /* what to execute */
    char *binary;  /* what the kernel loads in the end: path, or the interpreter of a script */
    char *problem; /* unless OK: what was found, in words */
};

/* Searches as execvp does and follows "#!" lines, through env as well. */
enum command_program_status command_program_find(const char *name, struct command_program *program);
void command_program_free(struct command_program *program);

/* The library to preload, which the caller frees: asked_for (NULL: any) if it is a file, else in
 * the build tree or the installation that this command is part of. NULL: *problem says why not,
 * the caller frees it. */
char *command_library_find(const char *asked_for, char **problem);

#endif
