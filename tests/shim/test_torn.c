/* test_torn.c - a process is killed inside a call of the core, while another one holds its socket.
 * Linked with the shim, whose endpoint is made to kill when it asks for memory. */
#include "core/endpoint_state.h"
#include "engine/memory.h"
#include "shim/fd_table.h"
#include "shim/socket.h"
#include "tests/core/suite.h"
#include "tests/shim/udp.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#define FIRST_COUNT  10 /* numbers sent before the kill */
#define NUMBER_COUNT 20

/* The test's end of the pipes to the processes. */
struct cast {
    struct udp_address address; /* of the socket that is handed on */
    pid_t owner;
    int heir_go;  /* closed: the heir begins to receive */
    int owner_go; /* closed: the owner is to be killed */
    int told;     /* what owner and heir say */
};

static void write_all(int fd, const void *data, size_t bytes)
{
    ck_assert_int_eq(write(fd, data, bytes), (ssize_t)bytes);
}

static void read_all(int fd, void *data, size_t bytes)
{
    ck_assert_int_eq(read(fd, data, bytes), (ssize_t)bytes);
}

static void await_close(int fd)
{
    char byte;

    ck_assert_int_eq(read(fd, &byte, 1), 0);
}

/* What is torn: the session that is changed, or, as by a call that changes several, anything. */
static bool tears_all;

/* The endpoint that kills its process; in the heir, which was forked before, none does. */
static struct rudp_endpoint *killer;

static void *kill_instead(void *context, size_t bytes)
{
    if (killer == NULL)
        return engine_memory_allocate(context, bytes);
    if (tears_all)
        killer->tear = ENDPOINT_TORN;
    (void)kill(getpid(), SIGKILL);
    return NULL; /* does not come to that */
}

static bool is_owed(struct shim_socket *sock, const struct rudp_address *peer)
{
    struct engine_socket *engine = shim_socket_engine(sock);

    engine_socket_enter(engine);
    struct rudp_session *session = rudp_endpoint_find(shim_socket_endpoint(sock), peer);
    bool is_owed = session != NULL && rudp_session_queued_bytes(session) > 0;

    engine_socket_leave(engine);
    return is_owed;
}

/* What was sent to the peer is known to be read. */
static void await_nothing_owed(int fd, const struct udp_address *to)
{
    struct shim_socket *sock = fd_table_acquire(fd);
    struct rudp_address peer;

    ck_assert(engine_address_from_sockaddr(&peer, (const struct sockaddr *)&to->addr, to->bytes));
    while (is_owed(sock, &peer))
        (void)poll(NULL, 0, 1);
    shim_socket_release(sock);
}

/* In the middle of a send. */
static void be_killed_inside(int fd, const struct udp_address *to)
{
    static char message[60000]; /* memory is asked for */
    struct shim_socket *sock = fd_table_acquire(fd);
    struct engine_socket *engine = shim_socket_engine(sock);

    engine_socket_enter(engine);
    killer = shim_socket_endpoint(sock);
    killer->host.allocator.allocate = kill_instead;
    engine_socket_leave(engine);
    udp_send_to(fd, message, sizeof message, to);
}

/* Expects text and sends it back. */
static void answer(int fd, const char *text, struct udp_address *from)
{
    udp_expect_text(fd, text, from);
    udp_send_text(fd, text, from);
}

/* Returns 0: an error waited instead. */
static size_t receive(int fd, void *data, size_t bytes_max, struct udp_address *from)
{
    from->bytes = sizeof from->addr;
    ck_assert(udp_wait(fd, POLLIN, UDP_PATIENCE_MS));
    ssize_t bytes = recvfrom(fd, data, bytes_max, 0, (struct sockaddr *)&from->addr, &from->bytes);

    ck_assert(bytes > 0 || errno == ECONNRESET);
    return bytes > 0 ? (size_t)bytes : 0;
}

/* Each number comes, none before the one below it; some may come twice, as may the words that the
 * last owner has read. Where all is torn, one error says that a peer may have lost something. */
static void receive_numbers(int fd, struct udp_address *from)
{
    int error_count = 0;
    int next = 0;

    while (next < NUMBER_COUNT) {
        char word[16];
        int number;
        size_t bytes = receive(fd, word, sizeof word, from);

        error_count += bytes == 0;
        if (bytes != sizeof number)
            continue;
        memcpy(&number, word, sizeof number);
        ck_assert_int_ge(number, 0);
        ck_assert_int_le(number, next);
        next += number == next;
    }
    ck_assert_int_eq(error_count, tears_all);
}

/* Expects text, perhaps behind what has come before, and sends it back. No error is left. */
static void answer_at_last(int fd, const char *text)
{
    struct udp_address from;
    char word[16] = "";

    do {
        size_t bytes = receive(fd, word, sizeof word - 1, &from);

        ck_assert_uint_gt(bytes, 0);
        word[bytes] = '\0';
    } while (strcmp(word, text) != 0);
    udp_send_text(fd, text, &from);
}

static void expect_no_error(int fd)
{
    int error = -1;
    socklen_t bytes = sizeof error;

    UDP_ASSERT_OK(getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &bytes));
    ck_assert_int_eq(error, 0);
}

static void run_heir(int fd, int told, int go)
{
    struct udp_address peer;

    (void)udp_local(fd); /* from here on it stands by */
    write_all(told, "x", 1);
    await_close(go);
    receive_numbers(fd, &peer);
    udp_send_text(fd, "all", &peer);
    answer_at_last(fd, "again");
    expect_no_error(fd);
    write_all(told, "x", 1);
    for (;;)
        pause();
}

static void run_owner(int told, int go, int heir_go)
{
    struct udp_address address;
    struct udp_address caller;
    struct udp_address creditor;
    int fd = udp_bound(AF_INET, &address);

    write_all(told, &address, sizeof address);
    answer(fd, "caller", &caller);
    answer(fd, "creditor", &creditor);
    if (fork() == 0)
        run_heir(fd, told, heir_go);
    await_close(go);
    await_nothing_owed(fd, &caller);
    udp_send_text(fd, "owed", &creditor);
    be_killed_inside(fd, &caller);
}

static void cast_start(struct cast *cast)
{
    int told[2];
    int owner_go[2];
    int heir_go[2];

    UDP_ASSERT_OK(pipe(told));
    UDP_ASSERT_OK(pipe(owner_go));
    UDP_ASSERT_OK(pipe(heir_go));
    cast->owner = fork();
    if (cast->owner == 0) {
        UDP_ASSERT_OK(close(owner_go[1]));
        UDP_ASSERT_OK(close(heir_go[1]));
        run_owner(told[1], owner_go[0], heir_go[0]);
    }
    cast->told = told[0];
    cast->owner_go = owner_go[1];
    cast->heir_go = heir_go[1];
    read_all(cast->told, &cast->address, sizeof cast->address);
}

/* A peer that stops after its first answer, and is owed something then. */
static void run_creditor(const struct cast *cast)
{
    struct udp_address own;
    int fd;

    UDP_ASSERT_OK(close(cast->owner_go));
    UDP_ASSERT_OK(close(cast->heir_go));
    fd = udp_bound(AF_INET, &own);
    udp_send_text(fd, "creditor", &cast->address);
    udp_expect_text(fd, "creditor", NULL);
    UDP_ASSERT_OK(raise(SIGSTOP));
    udp_send_text(fd, "again", &cast->address);
    udp_expect_text(fd, "owed", NULL); /* it had left already */
    udp_expect_text(fd, "again", NULL);
    _exit(0);
}

static pid_t creditor_start(const struct cast *cast)
{
    int status;
    pid_t creditor = fork();

    if (creditor == 0)
        run_creditor(cast);
    ck_assert_int_eq(waitpid(creditor, &status, WUNTRACED), creditor);
    ck_assert(WIFSTOPPED(status));
    return creditor;
}

static void send_numbers(int fd, int first, int end, const struct udp_address *to)
{
    for (int number = first; number < end; number++)
        udp_send_to(fd, &number, sizeof number, to);
}

static void await_kill(pid_t pid)
{
    int status;

    ck_assert_int_eq(waitpid(pid, &status, 0), pid);
    ck_assert(WIFSIGNALED(status));
    ck_assert_int_eq(WTERMSIG(status), SIGKILL);
}

static int log_begin(void)
{
    int log_fd = memfd_create("log", MFD_CLOEXEC);

    ck_assert_int_ge(log_fd, 0);
    ck_assert_int_eq(dup2(log_fd, STDERR_FILENO), STDERR_FILENO);
    return log_fd;
}

/* The line, and no other. */
static void check_log(int log_fd)
{
    char text[4096];
    ssize_t bytes = pread(log_fd, text, sizeof text - 1, 0);

    ck_assert_int_gt(bytes, 0);
    text[bytes] = '\0';
    const char *expected = tears_all
                               ? "its sessions begin anew, messages to 1 peers may be lost\n"
                               : "the session that it changed begins anew, messages to 0 peers may "
                                 "be lost\n";

    ck_assert_msg(strstr(text, expected) != NULL, "%s", text);
    ck_assert_ptr_eq(strchr(text, '\n'), text + bytes - 1);
}

static void check_kill(void)
{
    struct cast cast;
    struct udp_address own;
    int status;
    char byte;
    int log_fd = log_begin();

    cast_start(&cast);
    int fd = udp_bound(AF_INET, &own);

    udp_send_text(fd, "caller", &cast.address);
    udp_expect_text(fd, "caller", NULL);
    pid_t creditor = creditor_start(&cast);

    read_all(cast.told, &byte, 1);
    send_numbers(fd, 0, FIRST_COUNT, &cast.address);
    UDP_ASSERT_OK(close(cast.owner_go));
    await_kill(cast.owner);
    send_numbers(fd, FIRST_COUNT, NUMBER_COUNT, &cast.address);
    UDP_ASSERT_OK(close(cast.heir_go));
    udp_expect_text(fd, "all", NULL);
    UDP_ASSERT_OK(kill(creditor, SIGCONT));
    ck_assert_int_eq(waitpid(creditor, &status, 0), creditor);
    ck_assert(WIFEXITED(status) && WEXITSTATUS(status) == 0);
    read_all(cast.told, &byte, 1);
    expect_no_error(fd);
    check_log(log_fd);
}

/* Who called the socket calls again, and what was not delivered comes; the other peer's session is
 * whole, and nothing it is owed is lost. */
START_TEST(killed_in_the_change_of_one)
{
    check_kill();
}
END_TEST

/* The heir begins without sessions. Both peers call again; what was owed is reported once. */
START_TEST(killed_in_the_change_of_all)
{
    tears_all = true;
    check_kill();
}
END_TEST

int main(void)
{
    return SUITE_RUN("torn", killed_in_the_change_of_one, killed_in_the_change_of_all);
}
