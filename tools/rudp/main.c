#define _GNU_SOURCE
#include "tools/rudp/command.h"

#include <argp.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

const char *argp_program_version = "rudp " RUDP_VERSION;

static const struct {
    const char *name;
    const char *shown; /* in messages */
    int (*main)(int argument_count, char **arguments);
    const char *meaning;
} verbs[] = {
    {"run", "rudp run", command_run, "start a program, reliably"},
    {"doctor", "rudp doctor", command_doctor, "whether a program can be made reliable, and why"},
    {"stat", "rudp stat", command_stat, "the live sessions of running programs"},
};

#define VERB_COUNT (sizeof verbs / sizeof *verbs)

static void usage(FILE *to)
{
    fputs("Usage: rudp VERB [OPTION...]\n\n", to);
    for (size_t index = 0; index < VERB_COUNT; index++)
        fprintf(to, "  %-8s %s\n", verbs[index].name, verbs[index].meaning);
    fputs("\n  rudp VERB --help says more; rudp --version\n", to);
}

int main(int argument_count, char **arguments)
{
    const char *verb = argument_count > 1 ? arguments[1] : "";
    static char shown[64];

    for (size_t index = 0; index < VERB_COUNT; index++) {
        if (strcmp(verb, verbs[index].name) != 0)
            continue;
        snprintf(shown, sizeof shown, "%s", verbs[index].shown);
        program_invocation_name = shown;
        program_invocation_short_name = shown;
        arguments[1] = shown;
        return verbs[index].main(argument_count - 1, arguments + 1);
    }
    if (strcmp(verb, "--version") == 0) {
        puts(argp_program_version);
        return COMMAND_OK;
    }
    if (strcmp(verb, "--help") == 0 || strcmp(verb, "help") == 0) {
        usage(stdout);
        return COMMAND_OK;
    }
    usage(stderr);
    return COMMAND_USAGE;
}
