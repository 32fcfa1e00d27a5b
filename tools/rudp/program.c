#define _GNU_SOURCE
#include "tools/rudp/program.h"

#include "tools/rudp/command.h"

#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define SEARCH_PATH_DEFAULT "/bin:/usr/bin" /* of execvp */

/* Both of the kernel (fs/binfmt_script.c, fs/exec.c). */
#define SCRIPT_LINE_BYTES_MAX 256u
#define SCRIPT_DEPTH_MAX      5u

#define LIBRARY_NAME "librudp_shim.so"

/* --- Finding -----------------------------------------------------------------------------------
 */

static bool is_file(const char *path)
{
    struct stat status;

    return stat(path, &status) == 0 && S_ISREG(status.st_mode);
}

static bool is_program(const char *path)
{
    return is_file(path) && access(path, X_OK) == 0;
}

/* The caller frees it; NULL: not in the search path. */
static char *search(const char *name)
{
    const char *from = getenv("PATH");

    if (strchr(name, '/') != NULL)
        return access(name, F_OK) == 0 ? command_format("%s", name) : NULL;
    if (from == NULL)
        from = SEARCH_PATH_DEFAULT;
    for (;;) {
        size_t bytes = strcspn(from, ":");
        char *path = bytes == 0 ? command_format("./%s", name)
                                : command_format("%.*s/%s", (int)bytes, from, name);

        if (name[0] != '\0' && is_program(path))
            return path;
        free(path);
        if (from[bytes] == '\0')
            return NULL;
        from += bytes + 1;
    }
}

/* --- Scripts -----------------------------------------------------------------------------------
 */

/* The text after "#!" of the first line; false: no script. */
static bool read_script_line(const char *path, char line[SCRIPT_LINE_BYTES_MAX])
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);

    if (fd < 0)
        return false;
    ssize_t bytes = read(fd, line, SCRIPT_LINE_BYTES_MAX - 1);

    (void)close(fd);
    if (bytes < 2 || memcmp(line, "#!", 2) != 0)
        return false;
    line[bytes] = '\0';
    line[strcspn(line, "\n")] = '\0';
    memmove(line, line + 2, strlen(line + 2) + 1);
    return true;
}

/* The program that env would start; NULL: none in that line. Modifies line. */
static const char *program_of_env(char *line)
{
    char *rest;

    for (char *word = strtok_r(line, " \t", &rest); word != NULL;
         word = strtok_r(NULL, " \t", &rest))
        if (word[0] != '-' && strchr(word, '=') == NULL)
            return word;
    return NULL;
}

/* The interpreter of a script, to be freed; NULL: its line names none that exists. */
static char *interpreter_of(char *line)
{
    char *rest = NULL;
    const char *word = strtok_r(line, " \t", &rest);
    const char *slash = word == NULL ? NULL : strrchr(word, '/');
    const char *by_env = NULL;

    if (word == NULL)
        return NULL;
    if (slash != NULL && strcmp(slash, "/env") == 0 && rest != NULL)
        by_env = program_of_env(rest);
    return search(by_env == NULL ? word : by_env);
}

static enum command_program_status fail(struct command_program *program,
                                        enum command_program_status status, char *problem)
{
    program->problem = problem;
    return status;
}

/* Replaces binary by the interpreter until it is no script. */
static enum command_program_status follow_scripts(struct command_program *program)
{
    char line[SCRIPT_LINE_BYTES_MAX];

    for (unsigned depth = 0; read_script_line(program->binary, line); depth++) {
        char shown[SCRIPT_LINE_BYTES_MAX];

        memcpy(shown, line, sizeof shown);
        if (depth == SCRIPT_DEPTH_MAX)
            return fail(program, COMMAND_PROGRAM_NOT_EXECUTABLE,
                        command_format("a script whose interpreters are scripts, too many deep"));
        char *interpreter = interpreter_of(line);

        if (interpreter == NULL || !is_program(interpreter)) {
            free(interpreter);
            return fail(program, COMMAND_PROGRAM_NOT_EXECUTABLE,
                        command_format("a script whose interpreter is not there: \"#!%s\"", shown));
        }
        free(program->binary);
        program->binary = interpreter;
    }
    return COMMAND_PROGRAM_OK;
}

enum command_program_status command_program_find(const char *name, struct command_program *program)
{
    *program = (struct command_program){.path = search(name)};
    if (program->path == NULL)
        return fail(program, COMMAND_PROGRAM_NOT_FOUND,
                    command_format(strchr(name, '/') == NULL ? "not in the search path"
                                                             : "there is no such file"));
    if (!is_file(program->path))
        return fail(program, COMMAND_PROGRAM_NOT_EXECUTABLE, command_format("not a file"));
    if (!is_program(program->path))
        return fail(program, COMMAND_PROGRAM_NOT_EXECUTABLE,
                    command_format("not executable for this user"));
    program->binary = command_format("%s", program->path);
    return follow_scripts(program);
}

void command_program_free(struct command_program *program)
{
    free(program->path);
    free(program->binary);
    free(program->problem);
}

/* --- The library -------------------------------------------------------------------------------
 */

/* Relative to the directory of this command: in the build tree, and as installed. */
static const char *const library_places[] = {"../shim", RUDP_LIBRARY_FROM_COMMAND};

static char *find_beside_command(void)
{
    char self[PATH_MAX];
    ssize_t bytes = readlink("/proc/self/exe", self, sizeof self - 1);

    if (bytes < 0)
        return NULL;
    self[bytes] = '\0';
    const char *directory = dirname(self);

    for (size_t index = 0; index < sizeof library_places / sizeof *library_places; index++) {
        char *path = command_format("%s/%s/" LIBRARY_NAME, directory, library_places[index]);
        char *found = is_file(path) ? realpath(path, NULL) : NULL;

        free(path);
        if (found != NULL)
            return found;
    }
    return NULL;
}

char *command_library_find(const char *asked_for, char **problem)
{
    char *found = NULL;

    *problem = NULL;
    if (asked_for == NULL)
        found = find_beside_command();
    else if (is_file(asked_for))
        found = realpath(asked_for, NULL);
    if (found == NULL) {
        *problem = asked_for == NULL
                       ? command_format(LIBRARY_NAME " is not beside this command; name it with "
                                                     "--library")
                       : command_format("%s: there is no such file", asked_for);
        return NULL;
    }
    if (strpbrk(found, ": ") != NULL) { /* which separate libraries in LD_PRELOAD */
        *problem = command_format("%s: a path with a colon or a space cannot be preloaded", found);
        free(found);
        return NULL;
    }
    return found;
}
