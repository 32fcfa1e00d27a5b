/* What the program around the engine sees: threads, descriptors, signals, fork. Not under
 * ThreadSanitizer, which has a thread of its own, runs signal handlers when it sees fit and ends a
 * child that makes threads after a fork. */
#include "tests/core/suite.h"
#include "tests/engine/node.h"

#include <dirent.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#define DESCRIPTOR_COUNT 1024

static size_t entries_of(const char *path)
{
    DIR *directory = opendir(path);
    size_t count = 0;

    ck_assert_ptr_nonnull(directory);
    while (readdir(directory) != NULL)
        count++;
    closedir(directory);
    return count;
}

static size_t thread_count(void)
{
    return entries_of("/proc/self/task") - 2; /* "." and ".." */
}

/* A line of /proc/self/task/ID/status of the thread that is not the main one. */
static void read_status(const char *key, char *value, size_t value_bytes)
{
    DIR *directory = opendir("/proc/self/task");
    const struct dirent *entry;
    char path[300];
    char line[256];

    value[0] = '\0';
    while ((entry = readdir(directory)) != NULL) {
        if (atoi(entry->d_name) == 0 || atoi(entry->d_name) == getpid())
            continue;
        snprintf(path, sizeof path, "/proc/self/task/%s/status", entry->d_name);
        FILE *file = fopen(path, "r");

        ck_assert_ptr_nonnull(file);
        while (fgets(line, sizeof line, file) != NULL) {
            if (strncmp(line, key, strlen(key)) == 0)
                snprintf(value, value_bytes, "%s", line + strlen(key));
        }
        fclose(file);
    }
    closedir(directory);
}

/* No thread and no descriptor before the first socket; then one thread, named, all signals blocked
 * but the two that libc needs. */
START_TEST(thread_starts_with_the_first_socket)
{
    static struct node first;
    static struct node second;
    size_t descriptor_count = entries_of("/proc/self/fd");
    char value[256];

    ck_assert_uint_eq(thread_count(), 1);
    node_open(&first, "127.0.0.1", NULL);
    ck_assert_uint_eq(thread_count(), 2);
    /* Three more: the wire, the thread's epoll and its eventfd. */
    ck_assert_uint_eq(entries_of("/proc/self/fd"), descriptor_count + 3);
    node_open(&second, "127.0.0.1", NULL);
    ck_assert_uint_eq(thread_count(), 2);
    ck_assert_uint_eq(entries_of("/proc/self/fd"), descriptor_count + 4);
    /* A new thread has everything blocked until it runs: let it do something first. */
    node_send(&first, node_connect(&first, "127.0.0.1", second.port), 0);
    node_wait(&second, node_has_received, 1);
    read_status("Name:\t", value, sizeof value);
    ck_assert_str_eq(value, "rudp\n");
    read_status("SigBlk:\t", value, sizeof value);
    ck_assert_str_eq(value, "fffffffe7ffbfeff\n");
    node_close(&first);
    node_close(&second);
}
END_TEST

/* Calls visit for every open descriptor of the process. */
static void each_descriptor(void (*visit)(int fd, bool *known), bool *known)
{
    DIR *directory = opendir("/proc/self/fd");
    const struct dirent *entry;

    ck_assert_ptr_nonnull(directory);
    while ((entry = readdir(directory)) != NULL) {
        int fd = atoi(entry->d_name);

        if (entry->d_name[0] != '.' && fd != dirfd(directory))
            visit(fd, known);
    }
    closedir(directory);
}

static void mark_known(int fd, bool *known)
{
    ck_assert_int_lt(fd, DESCRIPTOR_COUNT);
    known[fd] = true;
}

static void check_private(int fd, bool *known)
{
    ck_assert_int_lt(fd, DESCRIPTOR_COUNT);
    if (known[fd])
        return;
    ck_assert_int_ge(fd, DESCRIPTOR_COUNT - 64);
    ck_assert_int_eq(fcntl(fd, F_GETFD) & FD_CLOEXEC, FD_CLOEXEC);
}

/* The numbers the program gets do not depend on the engine's own descriptors. */
START_TEST(private_descriptors_are_high_and_close_on_exec)
{
    static struct node node;
    static bool known[DESCRIPTOR_COUNT];
    struct rlimit limit = {.rlim_cur = DESCRIPTOR_COUNT, .rlim_max = DESCRIPTOR_COUNT};

    ck_assert_int_eq(setrlimit(RLIMIT_NOFILE, &limit), 0);
    each_descriptor(mark_known, known);
    node_open(&node, "127.0.0.1", NULL);
    known[engine_socket_wire_fd(node.sock)] = true; /* the caller chose it */
    each_descriptor(check_private, known);
    node_close(&node);
}
END_TEST

/* Hundreds of sockets later the process holds the descriptors it held after the first, and the
 * memory of the core is all given back. */
START_TEST(sockets_leave_nothing_behind)
{
    static struct node node;
    static struct node server = {.echoes = true};

    node_open(&node, "127.0.0.1", NULL);
    node_close(&node);
    size_t descriptor_count = entries_of("/proc/self/fd");
    size_t memory_bytes = engine_memory_used();

    ck_assert_uint_eq(memory_bytes, 0);
    for (uint32_t i = 0; i < 300; i++) {
        node_open(&server, "127.0.0.1", NULL);
        node_open(&node, "127.0.0.1", NULL);
        node_send(&node, node_connect(&node, "127.0.0.1", server.port), 2);
        node_close(&node);
        node_close(&server);
    }
    ck_assert_uint_eq(entries_of("/proc/self/fd"), descriptor_count);
    ck_assert_uint_eq(engine_memory_used(), 0);
}
END_TEST

static volatile sig_atomic_t signal_count;

static void count_signal(int number)
{
    (void)number;
    signal_count++;
}

/* A signal that comes while the socket is entered runs its handler after leave. */
START_TEST(signals_wait_until_leave)
{
    static struct node node;

    signal(SIGUSR1, count_signal);
    node_open(&node, "127.0.0.1", NULL);
    engine_socket_enter(node.sock);
    raise(SIGUSR1);
    ck_assert_int_eq(signal_count, 0);
    engine_socket_leave(node.sock);
    ck_assert_int_eq(signal_count, 1);
    node_close(&node);
}
END_TEST

/* In a forked child the inherited socket does nothing, a new one works, and the parent goes on. */
static void child_of_fork(struct node *inherited, uint16_t server_port)
{
    static struct node own;

    engine_after_fork_child();
    if (engine_is_owner() || engine_socket_is_owned(inherited->sock))
        _exit(1);
    engine_socket_enter(inherited->sock);
    engine_socket_leave(inherited->sock);
    engine_socket_destroy(inherited->sock);
    node_open(&own, "127.0.0.1", NULL);
    if (!engine_is_owner() || !engine_socket_is_owned(own.sock))
        _exit(2);
    node_send(&own, node_connect(&own, "127.0.0.1", server_port), 1);
    if (!engine_socket_flush(own.sock, 10 * RUDP_US_PER_S))
        _exit(3);
    _exit(0);
}

START_TEST(fork_leaves_the_parent_its_sockets)
{
    static struct node server = {.echoes = true};
    static struct node client;
    int status;

    node_open(&server, "127.0.0.1", NULL);
    node_open(&client, "127.0.0.1", NULL);
    struct rudp_session *session = node_connect(&client, "127.0.0.1", server.port);

    node_send(&client, session, 0);
    node_wait(&client, node_has_received, 1);
    engine_before_fork();
    pid_t child = fork();

    if (child == 0)
        child_of_fork(&client, server.port);
    engine_after_fork_parent();
    ck_assert_int_gt(child, 0);
    ck_assert_int_eq(waitpid(child, &status, 0), child);
    ck_assert_int_eq(status, 0);
    ck_assert(engine_is_owner());
    for (uint64_t number = 1; number < 100; number++)
        node_send(&client, session, number);
    node_wait(&client, node_has_received, 100);
    ck_assert_uint_eq(client.wrong_count, 0);
    node_close(&client);
    node_close(&server);
}
END_TEST

int main(void)
{
    return SUITE_RUN("host", thread_starts_with_the_first_socket,
                     private_descriptors_are_high_and_close_on_exec, sockets_leave_nothing_behind,
                     signals_wait_until_leave, fork_leaves_the_parent_its_sockets);
}
