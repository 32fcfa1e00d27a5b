/* The engine's life in somebody else's process: thread, descriptors, signals, errno, fork, ends. */
#include "tests/core/suite.h"
#include "tests/engine/node.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
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
#if !defined(__SANITIZE_THREAD__)
START_TEST (thread_starts_with_the_first_socket) {
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
#endif

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
START_TEST (private_descriptors_are_high_and_close_on_exec) {
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
START_TEST (sockets_leave_nothing_behind) {
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

/* Destroying frees the port at once. */
START_TEST (destroy_frees_the_port) {
    static struct node node;

    node_open(&node, "127.0.0.1", NULL);
    node_close(&node);
    close(node_socket("127.0.0.1", node.port));
}
END_TEST

/* A socket destroyed in the middle of traffic ends without a callback afterwards. */
START_TEST (destroy_under_traffic) {
    static struct node server = {.echoes = true};
    static struct node client;

    node_open(&server, "127.0.0.1", NULL);
    for (uint32_t round = 0; round < 50; round++) {
        memset(&client, 0, sizeof client);
        node_open(&client, "127.0.0.1", NULL);
        struct rudp_session *session = node_connect(&client, "127.0.0.1", server.port);

        for (uint64_t number = 0; number < 20; number++)
            node_send(&client, session, number);
        node_close(&client);
        uint64_t received_count = client.received_count;

        sched_yield();
        ck_assert_uint_eq(client.received_count, received_count);
    }
    node_close(&server);
}
END_TEST

static void note_retired(void *context)
{
    struct node *node = context;

    /* The node's own monitor is gone: the wait is woken as if from inside. */
    __atomic_store_n(&node->ready_count, 1, __ATOMIC_RELEASE);
    engine_wait_wake(&node->changed);
}

static void retire_when_closed(void *context, struct engine_socket *sock,
                               const struct rudp_event *event)
{
    if (event->type != RUDP_EVENT_CLOSED)
        return;
    rudp_session_release(engine_socket_endpoint(sock), event->session);
    engine_socket_retire(sock, note_retired);
    (void)context;
}

static void wait_retired(struct node *node)
{
    while (__atomic_load_n(&node->ready_count, __ATOMIC_ACQUIRE) == 0) {
        uint32_t ticket = engine_wait_ticket(&node->changed);

        if (__atomic_load_n(&node->ready_count, __ATOMIC_ACQUIRE) == 0)
            engine_wait_sleep(&node->changed, ticket, engine_now_us() + RUDP_US_PER_MS);
    }
}

/* A socket may end itself in a callback; the port is free when on_retired runs. */
START_TEST (retire_in_a_callback) {
    static struct node node;
    struct engine_handler handler = {.on_event = retire_when_closed};
    struct rudp_config config;
    int fd = node_socket("127.0.0.1", 0);
    uint16_t port = node_socket_port(fd);

    rudp_config_init(&config);
    ck_assert_int_eq(engine_socket_create(&node.sock, fd,
                                          &(struct engine_socket_options){
                                              .config = &config,
                                              .handler = &handler,
                                              .context = &node,
                                          }),
                     0);
    struct rudp_session *session = node_connect(&node, "127.0.0.1", 9);

    engine_socket_enter(node.sock);
    rudp_session_abort(engine_socket_endpoint(node.sock), session, engine_now_us());
    engine_socket_leave(node.sock);
    wait_retired(&node);
    close(node_socket("127.0.0.1", port));
}
END_TEST

/* flush returns true once all that was sent is acknowledged. */
START_TEST (flush_waits_for_acknowledgement) {
    static struct node server;
    static struct node client;

    node_open(&server, "127.0.0.1", NULL);
    node_open(&client, "127.0.0.1", NULL);
    struct rudp_session *session = node_connect(&client, "127.0.0.1", server.port);

    for (uint64_t number = 0; number < 200; number++)
        node_send(&client, session, number);
    ck_assert(engine_socket_flush(client.sock, 20 * RUDP_US_PER_S));
    engine_socket_enter(client.sock);
    ck_assert(rudp_session_is_flushed(session));
    engine_socket_leave(client.sock);
    node_close(&client);
    node_close(&server);
}
END_TEST

/* flush gives up when its time is over and nobody acknowledges. */
START_TEST (flush_gives_up_in_time) {
    static struct node client;
    int mute_fd = node_socket("127.0.0.1", 0);
    uint64_t started_us = engine_now_us();

    node_open(&client, "127.0.0.1", NULL);
    node_send(&client, node_connect(&client, "127.0.0.1", node_socket_port(mute_fd)), 1);
    ck_assert(!engine_socket_flush(client.sock, 50 * RUDP_US_PER_MS));
    ck_assert_uint_ge(engine_now_us() - started_us, 50 * RUDP_US_PER_MS);
    node_close(&client);
}
END_TEST

/* A deadline of the core fires although nothing arrives: connecting to a mute peer ends after the
 * connect timeout, not before it. */
START_TEST (timer_fires_without_traffic) {
    static struct node client;
    int mute_fd = node_socket("127.0.0.1", 0);
    struct rudp_config config;
    uint64_t started_us = engine_now_us();

    rudp_config_init(&config);
    config.connect_timeout_us = 300 * RUDP_US_PER_MS;
    config.rto_initial_us = 50 * RUDP_US_PER_MS;
    node_open(&client, "127.0.0.1", &config);
    node_send(&client, node_connect(&client, "127.0.0.1", node_socket_port(mute_fd)), 1);
    node_wait(&client, node_has_closed, 1);
    ck_assert_uint_ge(engine_now_us() - started_us, config.connect_timeout_us);
    ck_assert_int_eq(client.close_reason, RUDP_CLOSE_REASON_CONNECT_TIMEOUT);
    ck_assert_uint_gt(client.undelivered_bytes, 0);
    node_close(&client);
}
END_TEST

/* errno is the program's: an enter and leave between do not change it. */
START_TEST (errno_is_kept) {
    static struct node node;

    node_open(&node, "127.0.0.1", NULL);
    errno = ELOOP;
    node_connect(&node, "255.255.255.255", 9); /* the kernel refuses its packet */
    ck_assert_int_eq(errno, ELOOP);
    node_close(&node);
}
END_TEST

static volatile sig_atomic_t signal_count;

static void count_signal(int number)
{
    (void)number;
    signal_count++;
}

/* A signal that comes while the socket is entered runs its handler after leave. */
START_TEST (signals_wait_until_leave) {
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

/* A watched descriptor calls back when ready, and not while paused. */
START_TEST (watch_calls_back) {
    static struct node node;
    int fd = eventfd(1, EFD_NONBLOCK | EFD_CLOEXEC);

    node_open(&node, "127.0.0.1", NULL);
    for (uint32_t round = 1; round <= 3; round++) { /* the callback pauses the watch each time */
        engine_socket_enter(node.sock);
        ck_assert_uint_eq(node.ready_count, round - 1);
        ck_assert_int_eq(engine_socket_watch(node.sock, fd, EPOLLIN, node_on_ready), 0);
        engine_socket_leave(node.sock);
        node_wait(&node, node_has_ready, round);
    }
    node_close(&node);
    ck_assert_int_eq(fcntl(fd, F_GETFD), FD_CLOEXEC); /* still the caller's */
}
END_TEST

static int create_on(int fd, const struct rudp_config *config)
{
    static const struct engine_handler handler = {.on_event = retire_when_closed};
    struct engine_socket *sock;

    return engine_socket_create(
        &sock, fd, &(struct engine_socket_options){.config = config, .handler = &handler});
}

/* What is not a UDP socket, or a bad configuration, is refused, and the descriptor stays open. */
START_TEST (create_refuses_what_it_cannot_use) {
    struct rudp_config config;
    int tcp_fd = socket(AF_INET, SOCK_STREAM, 0);
    int unix_fd = socket(AF_UNIX, SOCK_DGRAM, 0);
    int udp_fd = node_socket("127.0.0.1", 0);

    rudp_config_init(&config);
    ck_assert_int_eq(create_on(tcp_fd, &config), -EPROTOTYPE);
    ck_assert_int_eq(create_on(unix_fd, &config), -EAFNOSUPPORT);
    ck_assert_int_eq(create_on(-1, &config), -EBADF);
    ck_assert_int_eq(create_on(0x7ffffff, &config), -EBADF);
    config.rto_min_us = 0;
    ck_assert_int_eq(create_on(udp_fd, &config), -EINVAL);
    ck_assert_int_ge(fcntl(tcp_fd, F_GETFD), 0);
    ck_assert_int_ge(fcntl(udp_fd, F_GETFD), 0);
}
END_TEST

/* Wake-ups of the thread are the exception: ten thousand messages need far fewer. */
START_TEST (wakes_are_avoided) {
    static struct node server = {.echoes = true};
    static struct node client;
    struct engine_socket_stats stats;

    node_open(&server, "127.0.0.1", NULL);
    node_open(&client, "127.0.0.1", NULL);
    struct rudp_session *session = node_connect(&client, "127.0.0.1", server.port);

    for (uint64_t number = 0; number < 10000; number++)
        node_send(&client, session, number % 60 == 1 ? 1 : 0);
    engine_socket_flush(client.sock, 20 * RUDP_US_PER_S);
    engine_socket_stats(client.sock, &stats);
    ck_assert_uint_lt(stats.wake_count, 2000);
    ck_assert_uint_gt(stats.wake_avoided_count, 0);
    node_close(&client);
    node_close(&server);
}
END_TEST

/* In a forked child the inherited socket does nothing, a new one works, and the parent goes on. */
#if !defined(__SANITIZE_THREAD__) /* which ends a child that makes threads after such a fork */
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

START_TEST (fork_leaves_the_parent_its_sockets) {
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
#endif

/* The bound on memory is back-pressure: a send is refused, not lost, and goes on below the bound.
 */
START_TEST (memory_bound_is_back_pressure) {
    static struct node client;
    static uint8_t message[60000];
    struct rudp_slice slice = {.data = message, .bytes = sizeof message};
    int mute_fd = node_socket("127.0.0.1", 0);
    enum rudp_status status = RUDP_OK;

    engine_set_memory_max(512 * 1024);
    node_open(&client, "127.0.0.1", NULL);
    struct rudp_session *session = node_connect(&client, "127.0.0.1", node_socket_port(mute_fd));
    uint32_t sent_count = 0;

    engine_socket_enter(client.sock);
    while (status == RUDP_OK) {
        status = rudp_session_send(engine_socket_endpoint(client.sock), session, &slice, 1,
                                   engine_now_us());
        sent_count++;
    }
    engine_socket_leave(client.sock);
    ck_assert_int_eq(status, RUDP_E_MEMORY);
    ck_assert_uint_gt(sent_count, 2);
    ck_assert_uint_le(engine_memory_used(), 512 * 1024);
    node_close(&client);
}
END_TEST

int main(void)
{
    return SUITE_RUN("life",
#if !defined(__SANITIZE_THREAD__)
                     thread_starts_with_the_first_socket, fork_leaves_the_parent_its_sockets,
#endif
                     private_descriptors_are_high_and_close_on_exec, sockets_leave_nothing_behind,
                     destroy_frees_the_port, destroy_under_traffic, retire_in_a_callback,
                     flush_waits_for_acknowledgement, flush_gives_up_in_time,
                     timer_fires_without_traffic, errno_is_kept, signals_wait_until_leave,
                     watch_calls_back, create_refuses_what_it_cannot_use, wakes_are_avoided,
                     memory_bound_is_back_pressure);
}
