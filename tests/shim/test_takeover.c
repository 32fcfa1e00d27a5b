/* test_takeover.c - what becomes of a socket when the process that runs it ends and another one
 * holds it. Run under the shim and linked with it. */
#include "tests/core/suite.h"
#include "tests/shim/udp.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/select.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#define MESSAGE_COUNT 6000
#define OUTSTANDING   300
#define HOLDER_COUNT  4

/* Processes that hold one socket, none of them a child of the test: its owner at first, holders
 * that only look at it, and a reader that sends back what it receives. */
struct family {
    struct udp_address address;
    pid_t owner;
    pid_t reader;
    pid_t holders[HOLDER_COUNT];
};

static void write_all(int fd, const void *data, size_t bytes)
{
    ck_assert_int_eq(write(fd, data, bytes), (ssize_t)bytes);
}

static void read_all(int fd, void *data, size_t bytes)
{
    for (size_t done = 0; done < bytes;) {
        ssize_t step = read(fd, (char *)data + done, bytes - done);

        ck_assert_int_gt(step, 0);
        done += (size_t)step;
    }
}

static void echo_forever(int fd)
{
    static char buffer[65536];

    for (;;) {
        struct udp_address from = {.bytes = sizeof from.addr};
        ssize_t bytes =
            recvfrom(fd, buffer, sizeof buffer, 0, (struct sockaddr *)&from.addr, &from.bytes);

        if (bytes >= 0)
            udp_send_to(fd, buffer, (size_t)bytes, &from);
        else
            ck_assert_int_ne(errno, EBADF);
    }
}

static void sleep_forever(void)
{
    for (;;)
        pause();
}

/* The call makes a process one that waits for the owner's end. */
static void look_at(int fd)
{
    (void)udp_local(fd);
}

static pid_t fork_holder(int fd, int ready, bool reads)
{
    pid_t pid = fork();

    if (pid != 0)
        return pid;
    look_at(fd);
    write_all(ready, "x", 1);
    if (reads)
        echo_forever(fd);
    sleep_forever();
    return 0;
}

static void run_owner(int out)
{
    struct family family = {.owner = getpid()};
    int fd = udp_bound(AF_INET, &family.address);
    int ready[2];
    char byte;

    UDP_ASSERT_OK(pipe(ready));
    family.reader = fork_holder(fd, ready[1], true);
    for (int index = 0; index < HOLDER_COUNT; index++)
        family.holders[index] = fork_holder(fd, ready[1], false);
    for (int index = 0; index <= HOLDER_COUNT; index++)
        read_all(ready[0], &byte, 1);
    write_all(out, &family, sizeof family);
    sleep_forever();
}

static struct family family_start(void)
{
    struct family family;
    int ends[2];

    UDP_ASSERT_OK(pipe(ends));
    if (fork() == 0)
        run_owner(ends[1]);
    read_all(ends[0], &family, sizeof family);
    return family;
}

static void family_end(const struct family *family)
{
    (void)kill(family->owner, SIGKILL);
    (void)kill(family->reader, SIGKILL);
    for (int index = 0; index < HOLDER_COUNT; index++)
        if (family->holders[index] != 0)
            (void)kill(family->holders[index], SIGKILL);
}

/* kind: READ or WRITE. */
static bool has_lock(pid_t pid, const char *kind)
{
    FILE *locks = fopen("/proc/locks", "r");
    char line[256];
    bool found = false;

    ck_assert(locks != NULL);
    while (!found && fgets(line, sizeof line, locks) != NULL) {
        char seen[8];
        int holder = 0;

        found = sscanf(line, "%*d: POSIX ADVISORY %7s %d", seen, &holder) == 2 && holder == pid &&
                strcmp(seen, kind) == 0;
    }
    ck_assert_int_eq(fclose(locks), 0);
    return found;
}

static bool has_lease(pid_t pid)
{
    return has_lock(pid, "WRITE");
}

static bool stands_by(pid_t pid)
{
    return has_lock(pid, "READ");
}

/* The holder that has become the owner. */
static pid_t *await_heir(struct family *family)
{
    for (;;)
        for (int index = 0; index < HOLDER_COUNT; index++)
            if (family->holders[index] != 0 && has_lease(family->holders[index]))
                return &family->holders[index];
}

/* Kills the owner; a holder that is not the reader goes on. */
static void replace_owner(struct family *family)
{
    UDP_ASSERT_OK(kill(family->reader, SIGSTOP));
    UDP_ASSERT_OK(kill(family->owner, SIGKILL));
    pid_t *heir = await_heir(family);

    family->owner = *heir;
    *heir = 0;
    UDP_ASSERT_OK(kill(family->reader, SIGCONT));
}

/* --- Conversations ------------------------------------------------------------------------------
 */

static int log_fd = -1;

/* From here on the log of all processes can be looked through. */
static void log_begin(void)
{
    log_fd = memfd_create("log", MFD_CLOEXEC);
    ck_assert_int_ge(log_fd, 0);
    ck_assert_int_eq(dup2(log_fd, STDERR_FILENO), STDERR_FILENO);
}

/* Whether an owner was killed in the middle of a change since the last question: its sessions are
 * lost then, and say so. What else is claimed here does not hold. */
static bool was_torn(void)
{
    char text[4096];
    ssize_t bytes = pread(log_fd, text, sizeof text - 1, 0);

    ck_assert_int_ge(bytes, 0);
    text[bytes] = '\0';
    UDP_ASSERT_OK(ftruncate(log_fd, 0));
    return strstr(text, "killed in the middle of a change") != NULL;
}

/* Numbers that come back, some of them always on their way. */
struct exchange {
    int fd;
    struct udp_address to;
    int total_count;
    int sent_count;
    int received_count;
};

static struct exchange exchange_begin(const struct family *family, int total_count)
{
    struct udp_address own;

    return (struct exchange){
        .fd = udp_bound(AF_INET, &own),
        .to = family->address,
        .total_count = total_count,
    };
}

static void send_some(struct exchange *exchange)
{
    int limit = exchange->received_count + OUTSTANDING;

    if (limit > exchange->total_count)
        limit = exchange->total_count;
    for (; exchange->sent_count < limit; exchange->sent_count++)
        if (sendto(exchange->fd, &exchange->sent_count, sizeof exchange->sent_count, 0,
                   (struct sockaddr *)&exchange->to.addr, exchange->to.bytes) < 0)
            return;
}

/* False: an owner's sessions were torn. */
static bool exchange_until(struct exchange *exchange, int count)
{
    while (exchange->received_count < count) {
        int number = -1;

        send_some(exchange);
        bool is_ready = udp_wait(exchange->fd, POLLIN, UDP_PATIENCE_MS);
        bool is_next = is_ready && recv(exchange->fd, &number, sizeof number, 0) == sizeof number &&
                       number == exchange->received_count;

        if (!is_next && was_torn())
            return false;
        ck_assert_msg(is_ready, "number %d never comes", exchange->received_count);
        ck_assert_int_eq(number, exchange->received_count);
        exchange->received_count++;
    }
    return true;
}

static void check_new_peer(const struct udp_address *to)
{
    struct udp_address own;
    int fd = udp_bound(AF_INET, &own);

    udp_send_text(fd, "new", to);
    udp_expect_text(fd, "new", NULL);
    UDP_ASSERT_OK(close(fd));
}

/* --- Kills --------------------------------------------------------------------------------------
 */

static bool kill_owners(struct family *family, struct exchange *exchange)
{
    for (int round = 1; round <= 3; round++) {
        if (!exchange_until(exchange, MESSAGE_COUNT * round / 5))
            return false;
        replace_owner(family);
        check_new_peer(&family->address);
    }
    if (!exchange_until(exchange, MESSAGE_COUNT * 4 / 5))
        return false;
    UDP_ASSERT_OK(kill(family->owner, SIGKILL));
    for (int index = 0; index < HOLDER_COUNT; index++)
        if (family->holders[index] != 0)
            UDP_ASSERT_OK(kill(family->holders[index], SIGKILL));
    if (!exchange_until(exchange, MESSAGE_COUNT))
        return false;
    check_new_peer(&family->address);
    return true;
}

/* Three owners one after the other are killed under load, and at last all but the reader: nothing
 * is lost, nothing comes twice, the order is kept, for messages both ways. */
START_TEST(owners_are_killed)
{
    bool is_whole = false;

    log_begin();
    for (int attempt = 0; attempt < 5 && !is_whole; attempt++) {
        struct family family = family_start();
        struct exchange exchange = exchange_begin(&family, MESSAGE_COUNT);

        is_whole = kill_owners(&family, &exchange);
        family_end(&family);
        UDP_ASSERT_OK(close(exchange.fd));
    }
    ck_assert(is_whole);
}
END_TEST

/* An owner is killed at any moment of its work: of delivering, or of taking in. */
START_TEST(killed_at_any_moment)
{
    int torn_count = 0;

    log_begin();
    for (int round = 0; round < 20; round++) {
        struct family family = family_start();
        struct exchange exchange = exchange_begin(&family, 1500);

        ck_assert(exchange_until(&exchange, 200 + 37 * round));
        UDP_ASSERT_OK(kill(family.owner, SIGKILL));
        torn_count += !exchange_until(&exchange, exchange.total_count);
        family_end(&family);
        UDP_ASSERT_OK(close(exchange.fd));
    }
    ck_assert_int_le(torn_count, 5);
}
END_TEST

/* --- Other ends ---------------------------------------------------------------------------------
 */

static void greet(int fd, const struct udp_address *to, const char *text)
{
    udp_send_text(fd, text, to);
    udp_expect_text(fd, text, NULL);
}

static void await_end(pid_t pid)
{
    int status;

    ck_assert_int_eq(waitpid(pid, &status, 0), pid);
    ck_assert(WIFEXITED(status) && WEXITSTATUS(status) == 0);
}

static void write_last(int out, const void *data, size_t bytes)
{
    write_all(out, data, bytes);
    UDP_ASSERT_OK(close(out));
}

static void run_daemon(int out)
{
    struct udp_address address;
    struct udp_address peer;
    int fd = udp_bound(AF_INET, &address);

    write_all(out, &address, sizeof address);
    udp_expect_text(fd, "before", &peer);
    udp_send_text(fd, "before", &peer);
    UDP_ASSERT_OK(daemon(1, 1));
    pid_t own = getpid();

    write_last(out, &own, sizeof own);
    (void)udp_wait(fd, POLLIN, -1); /* as an event loop does: nothing but poll is called */
    echo_forever(fd);
}

/* A server that becomes a daemon after it has bound goes on with the peers it has, and with new
 * ones. */
START_TEST(becomes_a_daemon)
{
    struct udp_address address;
    struct udp_address own;
    int ends[2];
    pid_t server;

    UDP_ASSERT_OK(pipe(ends));
    pid_t starter = fork();

    if (starter == 0)
        run_daemon(ends[1]);
    read_all(ends[0], &address, sizeof address);
    int fd = udp_bound(AF_INET, &own);

    greet(fd, &address, "before");
    read_all(ends[0], &server, sizeof server);
    await_end(starter);
    greet(fd, &address, "after");
    check_new_peer(&address);
    UDP_ASSERT_OK(kill(server, SIGKILL));
}
END_TEST

/* go: closed when it is to end. */
static void run_leaver(int out, int go)
{
    struct udp_address address;
    int fd = udp_bound(AF_INET, &address);
    int ready[2];
    char byte;

    UDP_ASSERT_OK(pipe(ready));
    pid_t reader = fork_holder(fd, ready[1], true);

    read_all(ready[0], &byte, 1);
    write_all(out, &address, sizeof address);
    write_last(out, &reader, sizeof reader);
    ck_assert_int_eq(read(go, &byte, 1), 0);
    exit(0);
}

/* An owner that ends in order leaves its sessions to a child as well: no peer sees an end. */
START_TEST(owner_exits)
{
    struct family family = {.owner = 0};
    int ends[2];
    int go[2];

    log_begin();
    UDP_ASSERT_OK(pipe(ends));
    UDP_ASSERT_OK(pipe(go));
    family.owner = fork();
    if (family.owner == 0) {
        UDP_ASSERT_OK(close(go[1]));
        run_leaver(ends[1], go[0]);
    }
    read_all(ends[0], &family.address, sizeof family.address);
    read_all(ends[0], &family.reader, sizeof family.reader);
    struct exchange exchange = exchange_begin(&family, 2000);

    ck_assert(exchange_until(&exchange, 500));
    UDP_ASSERT_OK(close(go[1]));
    ck_assert(exchange_until(&exchange, 1000));
    await_end(family.owner);
    ck_assert(exchange_until(&exchange, 2000));
    check_new_peer(&family.address);
    UDP_ASSERT_OK(kill(family.reader, SIGKILL));
}
END_TEST

/* Both sides of a fork use a socket that was made before it, and for the first time after it. */
static void run_twins(int out)
{
    struct udp_address any = udp_loopback(AF_INET, 0);
    struct udp_address address;
    int fd = udp_unbound(AF_INET);
    int ends[2];
    char byte;

    UDP_ASSERT_OK(pipe(ends));
    pid_t child = fork();

    if (child == 0) {
        UDP_ASSERT_OK(bind(fd, (struct sockaddr *)&any.addr, any.bytes));
        write_all(ends[1], "x", 1);
        echo_forever(fd);
    }
    read_all(ends[0], &byte, 1);
    address = udp_local(fd);
    struct udp_address peer;
    int peer_fd = udp_bound(AF_INET, &peer);

    udp_send_text(fd, "from the twin", &peer);
    udp_expect_text(peer_fd, "from the twin", NULL);
    write_all(out, &address, sizeof address);
    write_last(out, &child, sizeof child);
    sleep_forever();
}

START_TEST(first_used_by_both)
{
    struct udp_address address;
    struct udp_address own;
    int ends[2];
    pid_t child;

    UDP_ASSERT_OK(pipe(ends));
    pid_t parent = fork();

    if (parent == 0)
        run_twins(ends[1]);
    read_all(ends[0], &address, sizeof address);
    read_all(ends[0], &child, sizeof child);
    int fd = udp_bound(AF_INET, &own);

    greet(fd, &address, "while both live");
    UDP_ASSERT_OK(kill(parent, SIGKILL));
    greet(fd, &address, "while one does");
    UDP_ASSERT_OK(kill(child, SIGKILL));
}
END_TEST

/* --- When nobody stands by ----------------------------------------------------------------------
 */

/* A child that does nothing with the socket but wait for it to be readable. */
static void poll_and_echo(int fd)
{
    (void)udp_wait(fd, POLLIN, -1);
    echo_forever(fd);
}

static void leave_socket(int out, int way)
{
    struct udp_address address;
    struct udp_address peer;
    int fd = udp_bound(AF_INET, &address);

    write_all(out, &address, sizeof address);
    udp_expect_text(fd, "before", &peer);
    udp_send_text(fd, "before", &peer);
    pid_t child = fork();

    if (child == 0) {
        child = fork(); /* twice, and a session of its own: as daemons are made by hand */
        if (child == 0) {
            ck_assert_int_gt(setsid(), 0);
            poll_and_echo(fd);
        }
        write_last(out, &child, sizeof child);
    }
    if (way == 0)
        exit(0);
    _exit(0);
}

/* An owner ends in order while a process holds its socket that only polls: it is served on, and by
 * that process itself once it has used the socket. */
START_TEST(left_to_a_poller)
{
    struct udp_address address;
    struct udp_address own;
    int ends[2];
    pid_t heir;

    UDP_ASSERT_OK(pipe(ends));
    pid_t owner = fork();

    if (owner == 0)
        leave_socket(ends[1], _i);
    read_all(ends[0], &address, sizeof address);
    int fd = udp_bound(AF_INET, &own);

    greet(fd, &address, "before");
    read_all(ends[0], &heir, sizeof heir);
    await_end(owner);
    greet(fd, &address, "after");
    greet(fd, &address, "again");
    check_new_peer(&address);
    while (!has_lease(heir))
        greet(fd, &address, "until it is its own");
    greet(fd, &address, "then");
    UDP_ASSERT_OK(kill(heir, SIGKILL));
}
END_TEST

static void wait_by_select(int fd)
{
    fd_set reads;

    FD_ZERO(&reads);
    FD_SET(fd, &reads);
    ck_assert_int_eq(select(fd + 1, &reads, NULL, NULL, NULL), 1);
}

static void wait_by_epoll(int fd)
{
    struct epoll_event event = {.events = EPOLLIN};
    int epoll_fd = epoll_create1(0);

    UDP_ASSERT_OK(epoll_ctl(epoll_fd, EPOLL_CTL_ADD, fd, &event));
    ck_assert_int_eq(epoll_wait(epoll_fd, &event, 1, -1), 1);
}

static void wait_by_poll(int fd)
{
    struct pollfd one = {.fd = fd, .events = POLLIN};

    ck_assert_int_eq(poll(&one, 1, -1), 1);
}

/* An owner whose child waits for its socket in the given way, and calls nothing else on it. */
static void run_waited_for(int out, int way)
{
    static void (*const waits[])(int fd) = {wait_by_poll, wait_by_select, wait_by_epoll};
    struct udp_address address;
    int fd = udp_bound(AF_INET, &address);
    pid_t child = fork();

    if (child == 0) {
        waits[way](fd);
        echo_forever(fd);
    }
    write_all(out, &address, sizeof address);
    write_all(out, &child, sizeof child);
    sleep_forever();
}

/* The owner is killed while another process waits for the socket and has called nothing on it: it
 * goes on with it. */
START_TEST(killed_beside_a_waiter)
{
    struct udp_address address;
    struct udp_address own;
    pid_t child;
    int ends[2];

    UDP_ASSERT_OK(pipe(ends));
    pid_t owner = fork();

    if (owner == 0)
        run_waited_for(ends[1], _i);
    read_all(ends[0], &address, sizeof address);
    read_all(ends[0], &child, sizeof child);
    while (!stands_by(child))
        (void)poll(NULL, 0, 1);
    UDP_ASSERT_OK(kill(owner, SIGKILL));
    ck_assert_int_eq(waitpid(owner, NULL, 0), owner);
    int fd = udp_bound(AF_INET, &own);

    greet(fd, &address, "after");
    greet(fd, &address, "again");
    UDP_ASSERT_OK(kill(child, SIGKILL));
}
END_TEST

static void run_cat(int out, const struct udp_address *peer, int results)
{
    struct udp_address address;
    int fd = udp_bound(AF_INET, &address);

    UDP_ASSERT_OK(connect(fd, (const struct sockaddr *)&peer->addr, peer->bytes));
    write_all(out, &address, sizeof address);
    udp_expect_text(fd, "before", NULL);
    ck_assert_int_eq(dup2(fd, STDIN_FILENO), STDIN_FILENO);
    ck_assert_int_eq(dup2(results, STDOUT_FILENO), STDOUT_FILENO);
    execl("/bin/cat", "cat", (char *)NULL);
    _exit(1);
}

/* A socket that was open over an exec keeps its sessions: the program that came reads on. */
START_TEST(kept_over_exec)
{
    struct udp_address own;
    struct udp_address address;
    char text[16] = "";
    int ends[2];
    int results[2];
    int fd = udp_bound(AF_INET, &own);

    UDP_ASSERT_OK(pipe(ends));
    UDP_ASSERT_OK(pipe(results));
    pid_t cat = fork();

    if (cat == 0) {
        UDP_ASSERT_OK(close(fd));
        run_cat(ends[1], &own, results[1]);
    }
    read_all(ends[0], &address, sizeof address);
    udp_send_text(fd, "before", &address);
    udp_send_text(fd, "first", &address);
    udp_send_text(fd, "second", &address);
    read_all(results[0], text, 11);
    ck_assert_str_eq(text, "firstsecond");
    UDP_ASSERT_OK(kill(cat, SIGKILL));
}
END_TEST

enum {
    EXEC_L,
    EXEC_LP,
    EXEC_LE,
    EXEC_V,
    EXEC_VE,
    EXEC_VP,
    EXEC_VPE,
    EXEC_VEAT,
    EXEC_VEAT_EMPTY_PATH,
    EXEC_FEXECVE,
    EXEC_VE_BY_NUMBER,
    EXEC_VEAT_BY_NUMBER,
    EXEC_WAY_COUNT
};

/* Returns -1, when it returns. */
static int exec_by(int way, const char *path)
{
    char name[] = "true";
    char *const arguments[] = {name, NULL};
    int fd = open(path, O_PATH | O_CLOEXEC);

    switch (way) {
    case EXEC_L:
        return execl(path, "true", (char *)NULL);
    case EXEC_LP:
        return execlp(path, "true", (char *)NULL);
    case EXEC_LE:
        return execle(path, "true", (char *)NULL, environ);
    case EXEC_V:
        return execv(path, arguments);
    case EXEC_VE:
        return execve(path, arguments, environ);
    case EXEC_VP:
        return execvp(path, arguments);
    case EXEC_VPE:
        return execvpe(path, arguments, environ);
    case EXEC_VEAT:
        return execveat(AT_FDCWD, path, arguments, environ, 0);
    case EXEC_VEAT_EMPTY_PATH:
        return execveat(fd, fd < 0 ? path : "", arguments, environ, AT_EMPTY_PATH);
    case EXEC_FEXECVE:
        return fd < 0 ? execv(path, arguments) : fexecve(fd, arguments, environ);
    case EXEC_VE_BY_NUMBER:
        return (int)syscall(SYS_execve, path, arguments, environ);
    default:
        return (int)syscall(SYS_execveat, AT_FDCWD, path, arguments, environ, 0L);
    }
}

/* Receives once it is told to go on: until then nothing that is sent to it is acknowledged. */
static void run_late_receiver(int out)
{
    struct udp_address address;
    int fd = udp_bound(AF_INET, &address);

    write_last(out, &address, sizeof address);
    UDP_ASSERT_OK(raise(SIGSTOP));
    for (int number = 0; number < 300; number++) {
        int seen = -1;

        ck_assert(udp_wait(fd, POLLIN, UDP_PATIENCE_MS));
        ck_assert_int_eq(recv(fd, &seen, sizeof seen, 0), sizeof seen);
        ck_assert_int_eq(seen, number);
    }
    exit(0);
}

/* What was sent before an exec that closes the socket arrives, whatever call makes it. */
START_TEST(sent_before_exec)
{
    struct udp_address to;
    struct udp_address own;
    int ends[2];
    int status;

    UDP_ASSERT_OK(pipe(ends));
    pid_t receiver = fork();

    if (receiver == 0)
        run_late_receiver(ends[1]);
    read_all(ends[0], &to, sizeof to);
    ck_assert_int_eq(waitpid(receiver, &status, WUNTRACED), receiver);
    ck_assert(WIFSTOPPED(status));
    pid_t sender = fork();

    if (sender == 0) {
        int fd = udp_bound(AF_INET, &own);

        UDP_ASSERT_OK(fcntl(fd, F_SETFD, FD_CLOEXEC));
        for (int number = 0; number < 300; number++)
            udp_send_to(fd, &number, sizeof number, &to);
        (void)exec_by(_i, "/bin/true");
        _exit(1);
    }
    await_end(sender);
    UDP_ASSERT_OK(kill(receiver, SIGCONT));
    await_end(receiver);
}
END_TEST

/* After an exec that failed everything is as before, and no process is left behind. */
START_TEST(failed_exec)
{
    struct udp_address own;
    struct udp_address other;
    int status;
    int fd = udp_bound(AF_INET, &own);
    int other_fd = udp_bound(AF_INET, &other);

    udp_send_text(fd, "before", &other);
    udp_expect_text(other_fd, "before", NULL);
    for (int attempt = 0; attempt < 3; attempt++) {
        UDP_ASSERT_ERROR(exec_by(_i, "/nonexistent/program"), ENOENT);
        udp_send_text(fd, "after", &other);
        udp_expect_text(other_fd, "after", NULL);
    }
    ck_assert(has_lease(getpid()));
    UDP_ASSERT_ERROR(waitpid(-1, &status, 0), ECHILD);
}
END_TEST

/* --- Traces -------------------------------------------------------------------------------------
 */

static int next_number(void)
{
    int number = dup(STDIN_FILENO);

    ck_assert_int_ge(number, 0);
    UDP_ASSERT_OK(close(number));
    return number;
}

static long status_kib(const char *name)
{
    FILE *file = fopen("/proc/self/status", "r");
    char line[256];
    long kib = -1;

    ck_assert(file != NULL);
    while (kib < 0 && fgets(line, sizeof line, file) != NULL)
        if (strncmp(line, name, strlen(name)) == 0)
            kib = strtol(line + strlen(name) + 1, NULL, 10);
    ck_assert_int_eq(fclose(file), 0);
    ck_assert_int_ge(kib, 0);
    return kib;
}

static void answer_once(int fd, const struct udp_address *to)
{
    struct udp_address own;
    struct udp_address peer;

    udp_expect_text(fd, "request", &peer);
    int answer_fd = udp_bound(AF_INET, &own);

    udp_send_text(answer_fd, "answer", to);
    ck_assert_int_eq(close(answer_fd), 0);
    _exit(0);
}

#define ROUND_COUNT 20

/* Requests, and a child for each. */
static void answer_round(int fd, const struct udp_address *address, int client,
                         const struct udp_address *to)
{
    pid_t children[ROUND_COUNT];

    for (int index = 0; index < ROUND_COUNT; index++)
        udp_send_text(client, "request", address);
    for (int index = 0; index < ROUND_COUNT; index++) {
        children[index] = fork();
        if (children[index] == 0)
            answer_once(fd, to);
    }
    for (int index = 0; index < ROUND_COUNT; index++)
        udp_expect_text(client, "answer", NULL);
    for (int index = 0; index < ROUND_COUNT; index++)
        await_end(children[index]);
}

/* A server that forks for each request, whose children open sockets of their own, stays as it is
 * after a thousand of them. */
START_TEST(children_leave_nothing)
{
    struct udp_address address;
    struct udp_address own;
    long pages_kib = 0;
    long map_kib = 0;
    int number = 0;
    int fd = udp_bound(AF_INET, &address);
    int client = udp_bound(AF_INET, &own);

    for (int round = 0; round < 50; round++) {
        answer_round(fd, &address, client, &own);
        if (round == 10) {
            pages_kib = status_kib("RssShmem:");
            map_kib = status_kib("VmSize:");
            number = next_number();
        }
    }
    ck_assert_int_eq(next_number(), number);
    ck_assert_int_le(status_kib("VmSize:"), map_kib + 1024);
    ck_assert_int_le(status_kib("RssShmem:"), pages_kib + 4096);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("takeover");
    TCase *tcase = tcase_create("takeover");
    SRunner *runner = srunner_create(suite);
    const TTest *const tests[] = {
        owners_are_killed,  killed_at_any_moment, becomes_a_daemon,
        first_used_by_both, kept_over_exec,       children_leave_nothing,
    };

    tcase_set_timeout(tcase, UDP_PATIENCE_MS / 1000 * 3);
    for (size_t i = 0; i < sizeof tests / sizeof *tests; i++)
        tcase_add_test(tcase, tests[i]);
    tcase_add_loop_test(tcase, owner_exits, 0, 4);
    tcase_add_loop_test(tcase, left_to_a_poller, 0, 2);
    tcase_add_loop_test(tcase, killed_beside_a_waiter, 0, 3);
    tcase_add_loop_test(tcase, sent_before_exec, 0, EXEC_WAY_COUNT);
    tcase_add_loop_test(tcase, failed_exec, 0, EXEC_WAY_COUNT);
    suite_add_tcase(suite, tcase);
    srunner_run_all(runner, CK_NORMAL);
    int failed_count = srunner_ntests_failed(runner);

    srunner_free(runner);
    return failed_count == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
