#define _GNU_SOURCE
#include "engine/engine.h"
#include "tools/rudp/command.h"
#include "tools/rudp/counters.h"
#include "tools/rudp/report.h"

#include <argp.h>
#include <err.h>
#include <errno.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define INTERVAL_US_DEFAULT RUDP_US_PER_S
#define INTERVAL_US_MIN     (10u * RUDP_US_PER_MS)
#define INTERVAL_US_MAX     (3600ull * RUDP_US_PER_S)

enum {
    KEY_WATCH = 'w',
    KEY_JSON = 0x1000,
};

struct stat_options {
    uint64_t interval_us; /* 0: once */
    bool is_json;
    pid_t *pids;
    size_t pid_count;
};

static const struct argp_option option_table[] = {
    {"watch", KEY_WATCH, "INTERVAL", OPTION_ARG_OPTIONAL,
     "Again and again, with rates, until SIGINT: 10ms..3600s, a bare number is seconds (1s)", 0},
    {"json", KEY_JSON, NULL, 0, "One JSON object a line", 0},
    {NULL, 0, NULL, 0, NULL, 0},
};

/* 0: not an interval. */
static uint64_t parse_interval(const char *text)
{
    static const struct {
        const char *name;
        uint64_t us;
    } units[] = {{"", RUDP_US_PER_S}, {"s", RUDP_US_PER_S}, {"ms", RUDP_US_PER_MS}};
    char *end;
    unsigned long number = strtoul(text, &end, 10);

    if (text[0] < '0' || text[0] > '9' || number > INTERVAL_US_MAX / RUDP_US_PER_MS)
        return 0;
    for (size_t index = 0; index < sizeof units / sizeof *units; index++) {
        uint64_t us = number * units[index].us;

        if (strcmp(end, units[index].name) == 0)
            return us >= INTERVAL_US_MIN && us <= INTERVAL_US_MAX ? us : 0;
    }
    return 0;
}

static void take_pid(struct stat_options *options, const char *text, struct argp_state *state)
{
    char *end;
    long pid = strtol(text, &end, 10);

    if (text[0] < '1' || text[0] > '9' || *end != '\0' || pid > INT_MAX)
        argp_error(state, "'%s' is no pid", text);
    options->pids =
        command_allocate(options->pids, (options->pid_count + 1) * sizeof *options->pids);
    options->pids[options->pid_count++] = (pid_t)pid;
}

static error_t take_option(int key, char *text, struct argp_state *state)
{
    struct stat_options *options = state->input;

    switch (key) {
    case KEY_WATCH:
        options->interval_us = text == NULL ? INTERVAL_US_DEFAULT : parse_interval(text);
        if (options->interval_us == 0)
            argp_error(state, "--watch: '%s' is not 10ms..3600s", text);
        return 0;
    case KEY_JSON:
        options->is_json = true;
        return 0;
    case ARGP_KEY_ARG:
        take_pid(options, text, state);
        return 0;
    default:
        return ARGP_ERR_UNKNOWN;
    }
}

static const char *status_text(enum command_counters_status status)
{
    switch (status) {
    case COMMAND_COUNTERS_OK:
        return "answered";
    case COMMAND_COUNTERS_NONE:
        return "publishes no counters: it has no UDP socket under the shim, or RUDP_STATS=off";
    case COMMAND_COUNTERS_REFUSED:
        return "belongs to another user";
    case COMMAND_COUNTERS_VERSION:
        return "speaks another version of the counters than this command";
    case COMMAND_COUNTERS_SILENT:
        return "does not answer: stopped, or too busy";
    case COMMAND_COUNTERS_SPACE:
        return "is in a network namespace that cannot be entered";
    }
    return "unknown";
}

/* Returns how many of the pids did not answer. */
static size_t collect(const struct stat_options *options, struct command_processes *list)
{
    size_t failed_count = 0;

    if (options->pid_count == 0)
        command_counters_of_all(list);
    for (size_t index = 0; index < options->pid_count; index++) {
        enum command_counters_status status = command_counters_of(options->pids[index], list);

        if (status == COMMAND_COUNTERS_OK)
            continue;
        warnx("%d %s", (int)options->pids[index], status_text(status));
        failed_count++;
    }
    return failed_count;
}

static void report(const struct stat_options *options, const struct command_processes *now,
                   const struct command_processes *before)
{
    if (options->is_json)
        command_report_json(now, before);
    else
        command_report_text(now, before);
    if (options->interval_us > 0 && !options->is_json)
        putchar('\n');
    if (fflush(stdout) != 0)
        err(COMMAND_NO, "standard output");
}

/* Sleeps until the time has come or a signal in set. True: none came. */
static bool sleep_until(uint64_t deadline_us, const sigset_t *set)
{
    for (;;) {
        uint64_t left_us = sub_floor_u64(deadline_us, engine_now_us());
        const struct timespec left = {.tv_sec = (time_t)(left_us / RUDP_US_PER_S),
                                      .tv_nsec = (long)(left_us % RUDP_US_PER_S) * 1000};

        if (sigtimedwait(set, NULL, &left) >= 0)
            return false;
        if (errno == EAGAIN)
            return true;
    }
}

/* Until a signal, or until none of the pids that were asked for answers. */
static int watch(const struct stat_options *options)
{
    struct command_processes before = {.count = 0};
    uint64_t due_us = engine_now_us();
    int status = COMMAND_OK;
    bool goes_on = true;
    sigset_t ending;

    sigemptyset(&ending);
    sigaddset(&ending, SIGINT);
    sigaddset(&ending, SIGTERM);
    sigprocmask(SIG_BLOCK, &ending, NULL);
    while (goes_on) {
        struct command_processes now = {.count = 0};

        if (collect(options, &now) > 0)
            status = COMMAND_NO;
        report(options, &now, &before);
        command_processes_free(&before);
        before = now;
        due_us = max_u64(due_us + options->interval_us, engine_now_us());
        goes_on = (options->pid_count == 0 || now.count > 0) && sleep_until(due_us, &ending);
    }
    command_processes_free(&before);
    return status;
}

int command_stat(int argument_count, char **arguments)
{
    static const struct argp argp = {
        .options = option_table,
        .parser = take_option,
        .args_doc = "[PID...]",
        .doc = "Shows the live sessions of programs under the shim: of the given processes, or of "
               "all of this user's, or as root of everybody's.",
    };
    struct stat_options options = {.interval_us = 0};
    int status;

    argp_err_exit_status = COMMAND_USAGE;
    argp_parse(&argp, argument_count, arguments, 0, NULL, &options);
    if (options.interval_us > 0) {
        status = watch(&options);
    } else {
        struct command_processes list = {.count = 0};

        status = collect(&options, &list) > 0 ? COMMAND_NO : COMMAND_OK;
        report(&options, &list, NULL);
        command_processes_free(&list);
    }
    free(options.pids);
    return status;
}
