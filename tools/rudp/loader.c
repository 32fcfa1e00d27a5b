#define _GNU_SOURCE
#include "tools/rudp/loader.h"

#include "tools/rudp/command.h"

#include <err.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#define SEPARATORS ": " /* of LD_PRELOAD */

/* In the child. glibc's loader, asked by a variable, is started as the kernel will start it, so it
 * meets the same security checks; musl's would run the program, and has an option instead. */
static void become_loader(const char *binary, const struct command_elf *elf, int output, int errors)
{
    int null = open("/dev/null", O_RDONLY);

    if (dup2(null, STDIN_FILENO) < 0 || dup2(output, STDOUT_FILENO) < 0 ||
        dup2(errors, STDERR_FILENO) < 0)
        _exit(COMMAND_RUN_FAILED);
    if (strcmp(command_elf_libc(elf), "musl") == 0)
        execl(elf->interpreter, elf->interpreter, "--list", binary, (char *)NULL);
    else if (setenv("LD_TRACE_LOADED_OBJECTS", "1", 1) == 0 && unsetenv("LD_VERBOSE") == 0)
        execl(binary, binary, (char *)NULL);
    dprintf(STDERR_FILENO, "%s\n", strerror(errno));
    _exit(COMMAND_RUN_FAILED);
}

/* One line of the list: "<tab>NAME => PATH (ADDRESS)", "<tab>PATH (ADDRESS)" or "<tab>NAME => not
 * found". The kernel's own object has no path. */
static void take_line(struct command_load *load, char *line)
{
    char *arrow = strstr(line, " => ");
    const char *path = arrow == NULL ? line : arrow + sizeof " => " - 1;

    if (arrow != NULL && strncmp(path, "not found", sizeof "not found" - 1) == 0) {
        *arrow = '\0';
        command_names_add(&load->missing, line);
        return;
    }
    char *address = strstr(path, " (0x");

    if (address == NULL || path[0] != '/')
        return;
    *address = '\0';
    command_names_add(&load->loaded, path);
}

static void read_output(struct command_load *load, int output, int errors)
{
    char *line = NULL;
    size_t line_bytes = 0;
    FILE *list = fdopen(output, "r");
    FILE *complaints = fdopen(errors, "r");

    if (list == NULL || complaints == NULL)
        err(COMMAND_RUN_FAILED, "the loader's answer");
    rewind(list);
    rewind(complaints);
    while (getline(&line, &line_bytes, list) > 0) {
        line[strcspn(line, "\n")] = '\0';
        if (line[0] == '\t')
            take_line(load, line + 1);
    }
    if (getline(&line, &line_bytes, complaints) > 0) {
        line[strcspn(line, "\n")] = '\0';
        load->complaint = command_format("%s", line);
    }
    free(line);
    (void)fclose(list);
    (void)fclose(complaints);
}

/* Above the standard numbers, which the caller may have left closed. */
static int open_memory(const char *name)
{
    int fd = memfd_create(name, MFD_CLOEXEC);
    int high = fd < 0 ? fd : fcntl(fd, F_DUPFD_CLOEXEC, STDERR_FILENO + 1);

    if (fd >= 0)
        (void)close(fd);
    return high;
}

bool command_load_try(const char *binary, const struct command_elf *elf, struct command_load *load)
{
    int output = open_memory("output");
    int errors = open_memory("errors");

    *load = (struct command_load){.complaint = NULL};
    if (output < 0 || errors < 0)
        return false;
    pid_t child = fork();

    if (child < 0)
        return false;
    if (child == 0)
        become_loader(binary, elf, output, errors);
    /* Where SIGCHLD is ignored this waits for the end as well, and says ECHILD then. */
    while (waitpid(child, NULL, 0) < 0 && errno == EINTR) {
    }
    read_output(load, output, errors);
    return true;
}

void command_load_free(struct command_load *load)
{
    command_names_free(&load->loaded);
    command_names_free(&load->missing);
    free(load->complaint);
}

static const char *file_name(const char *path, size_t bytes)
{
    const char *slash = memrchr(path, '/', bytes);

    return slash == NULL ? path : slash + 1;
}

bool command_load_add(const char *library, const char **other)
{
    const char *before = getenv("LD_PRELOAD");
    const char *name = file_name(library, strlen(library));

    for (const char *at = before; at != NULL && *at != '\0';) {
        size_t bytes = strcspn(at, SEPARATORS);
        const char *its_name = file_name(at, bytes);

        if (bytes == strlen(library) && memcmp(at, library, bytes) == 0)
            return true;
        *other = at;
        if ((size_t)(at + bytes - its_name) == strlen(name) &&
            memcmp(its_name, name, strlen(name)) == 0)
            return false;
        at += bytes + (at[bytes] != '\0');
    }
    char *all = before == NULL || *before == '\0' ? command_format("%s", library)
                                                  : command_format("%s:%s", before, library);

    if (setenv("LD_PRELOAD", all, 1) != 0)
        err(COMMAND_RUN_FAILED, "LD_PRELOAD");
    free(all);
    return true;
}
