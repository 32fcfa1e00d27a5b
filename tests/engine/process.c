#include "tests/engine/process.h"

#include <check.h>
#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#define LINE_BYTES 64

extern char **environ;

/* One number on a line of its own. */
static uint64_t read_number(int fd)
{
    char line[LINE_BYTES] = "";

    for (size_t used = 0; used < sizeof line - 1; used++) {
        ck_assert_int_eq(read(fd, line + used, 1), 1);
        if (line[used] == '\n')
            return strtoull(line, NULL, 10);
    }
    ck_abort_msg("the peer printed no number: %s", line);
    return 0;
}

struct process process_start(const char *peer_path, const char *mode, uint16_t port)
{
    struct process process;
    posix_spawn_file_actions_t actions;
    char port_text[LINE_BYTES];
    char *path = strdup(peer_path);
    char *mode_text = strdup(mode);
    char *arguments[] = {path, mode_text, port_text, NULL};
    int ends[2];

    snprintf(port_text, sizeof port_text, "%u", (unsigned)port);
    ck_assert_int_eq(pipe2(ends, O_CLOEXEC), 0);
    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_adddup2(&actions, ends[1], STDOUT_FILENO);
    ck_assert_int_eq(posix_spawn(&process.pid, peer_path, &actions, NULL, arguments, environ), 0);
    posix_spawn_file_actions_destroy(&actions);
    close(ends[1]);
    free(path);
    free(mode_text);
    process.output = ends[0];
    process.port = (uint16_t)read_number(process.output);
    return process;
}

static int reap(struct process *process)
{
    int status;

    close(process->output);
    ck_assert_int_eq(waitpid(process->pid, &status, 0), process->pid);
    return status;
}

void process_kill(struct process *process)
{
    ck_assert_int_eq(kill(process->pid, SIGKILL), 0);
    reap(process);
}

uint64_t process_finish(struct process *process)
{
    uint64_t number = read_number(process->output);

    ck_assert_int_eq(reap(process), 0);
    return number;
}
