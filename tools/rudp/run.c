#define _GNU_SOURCE
#include "tools/rudp/command.h"
#include "tools/rudp/examine.h"
#include "tools/rudp/settings.h"

#include <argp.h>
#include <err.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum {
    KEY_LIBRARY = 0x1000,
};

struct run {
    const char *library;
    char **program; /* its arguments, NULL-terminated */
};

static const struct argp_option option_table[] = {
    {"library", KEY_LIBRARY, "FILE", 0, "Preload FILE instead of the library beside this command",
     1},
    {NULL, 0, NULL, 0, "Settings, each a variable of the environment: accepted (default)", 2},
    {NULL, 0, NULL, 0, NULL, 0},
};

/* The first word that is no option is the program: what follows is its own. */
static error_t take_option(int key, char *text, struct argp_state *state)
{
    struct run *run = state->input;

    switch (key) {
    case KEY_LIBRARY:
        run->library = text;
        return 0;
    case ARGP_KEY_ARG:
        run->program = &state->argv[state->next - 1];
        state->next = state->argc;
        return 0;
    case ARGP_KEY_NO_ARGS:
        argp_error(state, "which program?");
        return 0;
    default:
        return ARGP_ERR_UNKNOWN;
    }
}

static int refuse(const struct command_examination *examination)
{
    int status = COMMAND_RUN_REFUSED;

    for (size_t index = 0; index < examination->finding_count; index++) {
        const struct command_finding *finding = &examination->findings[index];

        if (!finding->is_problem)
            continue;
        warnx("%s", finding->text);
        if (finding->code == COMMAND_FINDING_NOT_FOUND)
            return COMMAND_RUN_NOT_FOUND;
        if (finding->code == COMMAND_FINDING_SETTINGS || finding->code == COMMAND_FINDING_LIBRARY)
            status = COMMAND_RUN_FAILED;
    }
    return status;
}

int command_run(int argument_count, char **arguments)
{
    struct argp_child children[] = {{command_settings_options(), 0, NULL, 0}, {NULL, 0, NULL, 0}};
    const struct argp argp = {
        .options = option_table,
        .parser = take_option,
        .args_doc = "PROGRAM [ARGUMENT...]",
        .doc = "Starts PROGRAM with librudp_shim.so preloaded, behind whatever LD_PRELOAD names "
               "already, and becomes it. What cannot be made reliable is not started.",
        .children = children,
    };
    struct run run = {.library = NULL};
    struct command_examination examination;

    argp_err_exit_status = COMMAND_RUN_FAILED;
    argp_parse(&argp, argument_count, arguments, ARGP_IN_ORDER, NULL, &run);
    command_examine(run.program[0], run.library, false, &examination);
    if (examination.problem_count == 0) {
        execv(examination.program.path, run.program);
        warn("%s", examination.program.path);
        command_examination_free(&examination);
        return COMMAND_RUN_REFUSED;
    }
    int status = refuse(&examination);

    command_examination_free(&examination);
    return status;
}
