#define _GNU_SOURCE
#include "tools/rudp/counters.h"

#include "engine/engine.h"
#include "tools/rudp/command.h"

#include <dirent.h>
#include <err.h>
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>
#include <unistd.h>

#define ANSWER_MS 1000 /* one try; an engine thread answers within milliseconds, if it runs */
#define TRY_COUNT 5

/* Of one process: a list of the greatest length takes seconds. */
#define READ_US_MAX (60u * (uint64_t)RUDP_US_PER_S)

#define NAME_BYTES_MAX sizeof((struct sockaddr_un *)NULL)->sun_path

struct answer {
    struct shim_stat_head head;
    struct shim_stat_record records[SHIM_STAT_RECORDS_MAX];
};

/* --- Asking one name ---------------------------------------------------------------------------
 */

/* A socket with an address to answer to, connected to the abstract name. */
static int open_reader(const char *name)
{
    static const struct timeval patience = {.tv_sec = ANSWER_MS / 1000,
                                            .tv_usec = ANSWER_MS % 1000 * RUDP_US_PER_MS};
    const struct sockaddr_un any = {.sun_family = AF_UNIX};
    struct sockaddr_un to = {.sun_family = AF_UNIX};
    size_t bytes = strlen(name);
    const int on = 1;
    int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);

    if (fd < 0)
        err(COMMAND_NO, "socket");
    memcpy(to.sun_path + 1, name, bytes);
    if (setsockopt(fd, SOL_SOCKET, SO_PASSCRED, &on, sizeof on) == 0 &&
        setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience) == 0 &&
        setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof patience) == 0 &&
        bind(fd, (const struct sockaddr *)&any, sizeof any.sun_family) == 0 &&
        connect(fd, (const struct sockaddr *)&to,
                (socklen_t)(offsetof(struct sockaddr_un, sun_path) + 1 + bytes)) == 0)
        return fd;
    (void)close(fd); /* it has just ended */
    return -1;
}

static bool is_answer(const struct answer *answer, ssize_t bytes, uint64_t echo)
{
    const struct shim_stat_head *head = &answer->head;

    if (bytes < (ssize_t)sizeof *head || head->magic != SHIM_STAT_MAGIC || head->echo != echo)
        return false;
    return head->version != SHIM_STAT_VERSION ||
           (head->record_count <= SHIM_STAT_RECORDS_MAX &&
            (size_t)bytes == sizeof *head + head->record_count * sizeof(struct shim_stat_record));
}

/* Waits for the answer with that echo. False: none came in time. */
static bool receive(int reader, uint64_t echo, struct answer *answer, struct ucred *who)
{
    union {
        struct cmsghdr align;
        char bytes[CMSG_SPACE(sizeof(struct ucred))];
    } control;

    for (int i = 0; i < TRY_COUNT; i++) { /* others may be late answers to earlier tries */
        struct iovec part = {.iov_base = answer, .iov_len = sizeof *answer};
        struct msghdr message = {.msg_iov = &part,
                                 .msg_iovlen = 1,
                                 .msg_control = &control,
                                 .msg_controllen = sizeof control};
        ssize_t bytes = recvmsg(reader, &message, MSG_CMSG_CLOEXEC);
        const struct cmsghdr *header = CMSG_FIRSTHDR(&message);

        if (bytes < 0)
            return false;
        if (!is_answer(answer, bytes, echo) || header == NULL ||
            header->cmsg_type != SCM_CREDENTIALS)
            continue;
        memcpy(who, CMSG_DATA(header), sizeof *who);
        return true;
    }
    return false;
}

static enum command_counters_status ask(int reader, struct shim_stat_cursor cursor,
                                        struct answer *answer, struct ucred *who)
{
    struct shim_stat_request request = {
        .magic = SHIM_STAT_MAGIC, .version = SHIM_STAT_VERSION, .cursor = cursor};

    for (int i = 0; i < TRY_COUNT; i++) {
        if (getrandom(&request.echo, sizeof request.echo, 0) != sizeof request.echo)
            err(COMMAND_NO, "getrandom");
        if (send(reader, &request, sizeof request, 0) < 0) {
            if (errno != EAGAIN)
                return COMMAND_COUNTERS_NONE; /* it has ended */
            continue;
        }
        if (!receive(reader, request.echo, answer, who))
            continue;
        if (answer->head.status == SHIM_STAT_REFUSED)
            return COMMAND_COUNTERS_REFUSED;
        if (answer->head.version != SHIM_STAT_VERSION)
            return COMMAND_COUNTERS_VERSION;
        return COMMAND_COUNTERS_OK;
    }
    return COMMAND_COUNTERS_SILENT;
}

static void read_name(struct command_process *process)
{
    char *path = command_format("/proc/%d/comm", (int)process->pid);
    FILE *file = fopen(path, "re");

    free(path);
    if (file == NULL || fgets(process->name, sizeof process->name, file) == NULL)
        snprintf(process->name, sizeof process->name, "?");
    process->name[strcspn(process->name, "\n")] = '\0';
    for (char *at = process->name; *at != '\0'; at++)
        if (*at < ' ' || *at > '~') /* no escape sequences from other users, and valid JSON */
            *at = '?';
    if (file != NULL)
        (void)fclose(file);
}

static void add_records(struct command_process *process, const struct answer *answer)
{
    size_t count = answer->head.record_count;

    process->head = answer->head;
    process->records = command_allocate(process->records,
                                        (process->record_count + count) * sizeof *process->records);
    memcpy(process->records + process->record_count, answer->records,
           count * sizeof *answer->records);
    process->record_count += count;
}

/* Cursors only go down: one that does not would never come to an end. */
static bool is_below(struct shim_stat_cursor next, struct shim_stat_cursor cursor)
{
    return next.socket_number < cursor.socket_number ||
           (next.socket_number == cursor.socket_number &&
            next.session_number < cursor.session_number);
}

static enum command_counters_status read_all(int reader, struct command_process *process)
{
    static struct answer answer;
    struct shim_stat_cursor cursor = SHIM_STAT_CURSOR_BEGIN;
    uint64_t end_us = engine_now_us() + READ_US_MAX;
    bool is_over = false;
    struct ucred who;

    while (!is_over) {
        enum command_counters_status status = ask(reader, cursor, &answer, &who);

        if (status != COMMAND_COUNTERS_OK)
            return status;
        if (process->pid != 0 && process->pid != who.pid)
            return COMMAND_COUNTERS_NONE;
        process->pid = who.pid;
        add_records(process, &answer);
        is_over = answer.head.is_last != 0 || !is_below(answer.head.next, cursor) ||
                  process->record_count >= COMMAND_RECORDS_MAX || engine_now_us() > end_us;
        cursor = answer.head.next;
    }
    read_name(process);
    return COMMAND_COUNTERS_OK;
}

static int compare_pids(const void *a, const void *b)
{
    pid_t left = ((const struct command_process *)a)->pid;
    pid_t right = ((const struct command_process *)b)->pid;

    return (left > right) - (left < right);
}

/* Adds who answers to the name; pid 0: whoever it is. */
static enum command_counters_status add_process(int reader, pid_t pid,
                                                struct command_processes *list)
{
    struct command_process process = {.pid = pid};
    enum command_counters_status status = read_all(reader, &process);

    if (status != COMMAND_COUNTERS_OK) {
        free(process.records);
        return status;
    }
    list->processes =
        command_allocate(list->processes, (list->count + 1) * sizeof *list->processes);
    list->processes[list->count++] = process;
    qsort(list->processes, list->count, sizeof *list->processes, compare_pids);
    return COMMAND_COUNTERS_OK;
}

/* --- Names of a network namespace --------------------------------------------------------------
 */

struct names {
    char (*names)[NAME_BYTES_MAX];
    size_t count;
};

/* number: only names of that pid, as the process itself sees it; 0: all. */
static bool is_wanted(const char *name, pid_t number)
{
    static const char prefix[] = SHIM_STAT_NAME_PREFIX;
    char *end; /* of what is understood */

    if (strncmp(name, prefix, sizeof prefix - 1) != 0)
        return false;
    long found = strtol(name + sizeof prefix - 1, &end, 10);

    if (*end == '.')
        end += 1 + strspn(end + 1, "0123456789abcdef");
    return *end == '\0' && (number == 0 || number == found);
}

/* Of this process's namespace. */
static struct names list_names(pid_t number)
{
    struct names names = {.count = 0};
    char *line = NULL;
    size_t line_bytes = 0;
    FILE *table = fopen("/proc/self/net/unix", "re");

    if (table == NULL)
        err(COMMAND_NO, "/proc/self/net/unix");
    while (getline(&line, &line_bytes, table) > 0) {
        const char *at = strrchr(line, '@');

        line[strcspn(line, "\n")] = '\0';
        size_t bytes = at == NULL ? 0 : strlen(at); /* of the name and its end */

        if (at == NULL || bytes > NAME_BYTES_MAX || !is_wanted(at + 1, number))
            continue;
        names.names = command_allocate(names.names, (names.count + 1) * sizeof *names.names);
        memcpy(names.names[names.count++], at + 1, bytes);
    }
    free(line);
    (void)fclose(table);
    return names;
}

/* --- Namespaces --------------------------------------------------------------------------------
 */

static bool read_space(const char *pid, char *space, size_t space_bytes)
{
    char *path = command_format("/proc/%s/ns/net", pid);
    ssize_t bytes = readlink(path, space, space_bytes - 1);

    free(path);
    space[bytes < 0 ? 0 : bytes] = '\0';
    return bytes > 0;
}

static bool enter_space(const char *pid)
{
    char *path = command_format("/proc/%s/ns/net", pid);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    bool is_entered = fd >= 0 && setns(fd, CLONE_NEWNET) == 0;
    int error = errno;

    free(path);
    if (fd >= 0)
        (void)close(fd);
    errno = error;
    return is_entered;
}

static void return_from_space(int home)
{
    if (setns(home, CLONE_NEWNET) != 0)
        err(COMMAND_NO, "cannot return to the own network namespace");
}

static int open_home(void)
{
    int home = open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC);

    if (home < 0)
        err(COMMAND_NO, "/proc/self/ns/net");
    return home;
}

/* --- All of it ---------------------------------------------------------------------------------
 */

/* The number that a process has in its own pid namespace. */
static pid_t own_number(pid_t pid)
{
    char *path = command_format("/proc/%d/status", (int)pid);
    FILE *file = fopen(path, "re");
    char line[256];
    pid_t number = pid;

    free(path);
    while (file != NULL && fgets(line, sizeof line, file) != NULL) {
        const char *last = strrchr(line, '\t');

        if (strncmp(line, "NSpid:", sizeof "NSpid:" - 1) == 0 && last != NULL)
            number = (pid_t)strtol(last + 1, NULL, 10);
    }
    if (file != NULL)
        (void)fclose(file);
    return number;
}

/* In the process's namespace. */
static enum command_counters_status find_and_ask(pid_t pid, struct command_processes *list)
{
    struct names names = list_names(own_number(pid));
    enum command_counters_status status = COMMAND_COUNTERS_NONE;

    for (size_t index = 0; index < names.count && status == COMMAND_COUNTERS_NONE; index++) {
        int reader = open_reader(names.names[index]);

        if (reader < 0)
            continue;
        status = add_process(reader, pid, list);
        (void)close(reader);
    }
    free(names.names);
    return status;
}

enum command_counters_status command_counters_of(pid_t pid, struct command_processes *list)
{
    char own[64];
    char its[64];
    char *text = command_format("%d", (int)pid);
    bool is_elsewhere = read_space("self", own, sizeof own) && read_space(text, its, sizeof its) &&
                        strcmp(own, its) != 0;
    int home = open_home();
    enum command_counters_status status = COMMAND_COUNTERS_SPACE;

    if (!is_elsewhere || enter_space(text))
        status = find_and_ask(pid, list);
    int error = errno;

    if (is_elsewhere && status != COMMAND_COUNTERS_SPACE)
        return_from_space(home);
    (void)close(home);
    free(text);
    errno = error;
    return status;
}

/* Everybody in this process's namespace. */
static void ask_everybody(struct command_processes *list)
{
    struct names names = list_names(0);

    for (size_t index = 0; index < names.count; index++) {
        int reader = open_reader(names.names[index]);

        if (reader < 0)
            continue;
        enum command_counters_status status = add_process(reader, 0, list);

        if (status == COMMAND_COUNTERS_SILENT)
            warnx("%s does not answer", names.names[index]);
        if (status == COMMAND_COUNTERS_VERSION)
            warnx("%s speaks another version of the counters", names.names[index]);
        (void)close(reader);
    }
    free(names.names);
}

/* Whether the namespace of the process was not seen before; remembers it. */
static bool is_new_space(const char *pid, char (**spaces)[64], size_t *count)
{
    char space[64];

    if (!read_space(pid, space, sizeof space))
        return false;
    for (size_t index = 0; index < *count; index++)
        if (strcmp((*spaces)[index], space) == 0)
            return false;
    *spaces = command_allocate(*spaces, (*count + 1) * sizeof **spaces);
    memcpy((*spaces)[(*count)++], space, sizeof space);
    return true;
}

static void ask_other_spaces(struct command_processes *list)
{
    char(*spaces)[64] = NULL;
    size_t count = 0;
    int home = open_home();
    DIR *directory = opendir("/proc");
    const struct dirent *entry;

    if (directory == NULL)
        err(COMMAND_NO, "/proc");
    (void)is_new_space("self", &spaces, &count);
    while ((entry = readdir(directory)) != NULL) {
        if (entry->d_name[0] < '0' || entry->d_name[0] > '9' ||
            !is_new_space(entry->d_name, &spaces, &count) || !enter_space(entry->d_name))
            continue;
        ask_everybody(list);
        return_from_space(home);
    }
    (void)closedir(directory);
    (void)close(home);
    free(spaces);
}

void command_counters_of_all(struct command_processes *list)
{
    ask_everybody(list);
    if (geteuid() == 0)
        ask_other_spaces(list);
}

void command_processes_free(struct command_processes *list)
{
    for (size_t index = 0; index < list->count; index++)
        free(list->processes[index].records);
    free(list->processes);
    *list = (struct command_processes){.count = 0};
}
