/* test_share.c - one socket that several processes hold: what becomes of its messages when one of
 * them lets go. Run under the shim and linked with it. */
#include "tests/core/suite.h"
#include "tests/shim/udp.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#define MESSAGE_COUNT 3000

static void tell(int fd)
{
    ck_assert_int_eq(write(fd, "x", 1), 1);
}

static void await(int fd)
{
    char byte;

    ck_assert_int_eq(read(fd, &byte, 1), 1);
}

static void send_numbers(int fd, int first, int end, const struct udp_address *to)
{
    for (int number = first; number < end; number++)
        udp_send_to(fd, &number, sizeof number, to);
}

static void expect_numbers(int fd, int first, int end)
{
    int number = -1;

    for (int expected = first; expected < end; expected++) {
        ck_assert_msg(udp_wait(fd, POLLIN, UDP_PATIENCE_MS), "%d never comes", expected);
        ck_assert_int_eq(recv(fd, &number, sizeof number, 0), sizeof number);
        ck_assert_int_eq(number, expected);
    }
}

/* A first call makes a process one that would go on with the socket. */
static void look_at(int fd)
{
    (void)udp_local(fd);
}

static void expect_end(pid_t pid)
{
    int status;

    ck_assert_int_eq(waitpid(pid, &status, 0), pid);
    ck_assert(WIFEXITED(status) && WEXITSTATUS(status) == 0);
}

/* What the processes of a test tell each other. */
struct talk {
    int sent[2];  /* to the owner: all messages were sent */
    int begin[2]; /* to the reader */
    int ready[2]; /* from both: they hold the socket, and in the end all was as it should be */
    struct udp_address *address; /* shared */
};

static struct talk talk_begin(void)
{
    struct talk talk;

    UDP_ASSERT_OK(pipe(talk.sent));
    UDP_ASSERT_OK(pipe(talk.begin));
    UDP_ASSERT_OK(pipe(talk.ready));
    talk.address =
        mmap(NULL, sizeof *talk.address, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    ck_assert_ptr_ne(talk.address, MAP_FAILED);
    return talk;
}

static void talk_end(const struct talk *talk)
{
    UDP_ASSERT_OK(close(talk->sent[0]));
    UDP_ASSERT_OK(close(talk->sent[1]));
    UDP_ASSERT_OK(close(talk->begin[0]));
    UDP_ASSERT_OK(close(talk->begin[1]));
    UDP_ASSERT_OK(close(talk->ready[0]));
    UDP_ASSERT_OK(munmap(talk->address, sizeof *talk->address));
}

/* --- While another one reads --------------------------------------------------------------------
 */

static void read_all(const struct talk *talk, int fd, bool stands_by)
{
    if (stands_by)
        look_at(fd);
    tell(talk->ready[1]);
    await(talk->begin[0]);
    expect_numbers(fd, 0, MESSAGE_COUNT);
    tell(talk->ready[1]);
    _exit(0);
}

static void own_and_leave(const struct talk *talk, bool ends, bool has_heir)
{
    int fd = udp_bound(AF_INET, talk->address);
    pid_t reader = fork();

    if (reader == 0)
        read_all(talk, fd, has_heir);
    await(talk->sent[0]);
    tell(talk->begin[1]);
    if (!ends)
        ck_assert_int_eq(close(fd), 0);
    if (!ends)
        expect_end(reader);
    _exit(0);
}

/* The owner of a full socket closes it, or ends, while another process reads, which stands by, or
 * calls nothing on the socket before: that one gets all that there is, in order. */
START_TEST(left_while_read)
{
    struct udp_address own;
    int fd = udp_bound(AF_INET, &own);

    for (int round = 0; round < 5; round++) {
        struct talk talk = talk_begin();
        pid_t owner = fork();

        if (owner == 0)
            own_and_leave(&talk, _i % 2 == 1, _i / 2 == 1);
        UDP_ASSERT_OK(close(talk.ready[1])); /* read from, it ends when they do */
        await(talk.ready[0]);
        send_numbers(fd, 0, MESSAGE_COUNT, talk.address);
        tell(talk.sent[1]);
        await(talk.ready[0]);
        expect_end(owner);
        talk_end(&talk);
    }
}
END_TEST

/* --- When the last reader has gone --------------------------------------------------------------
 */

#define BATCH_COUNT 200
#define READ_COUNT  50

static void read_some(const struct talk *talk, int fd, int count)
{
    look_at(fd);
    tell(talk->ready[1]);
    await(talk->begin[0]);
    expect_numbers(fd, 0, count);
    if (count == BATCH_COUNT)
        _exit(0);
    tell(talk->ready[1]);
    for (;;)
        pause();
}

static int bind_again(const struct udp_address *address)
{
    int fd = udp_unbound(AF_INET);

    UDP_ASSERT_OK(bind(fd, (const struct sockaddr *)&address->addr, address->bytes));
    return fd;
}

/* Numbers from a first one, at most limit, on. */
static void expect_rest(int fd, int limit, int end)
{
    int first = -1;

    ck_assert_msg(udp_wait(fd, POLLIN, UDP_PATIENCE_MS), "nothing comes again");
    ck_assert_int_eq(recv(fd, &first, sizeof first, 0), sizeof first);
    ck_assert_int_le(first, limit);
    expect_numbers(fd, first + 1, end);
}

/* As a program that got the socket, the pipes and the count over exec. */
static void exec_reader(const struct talk *talk, int fd, int count)
{
    char numbers[4][16];
    const int values[] = {fd, talk->ready[1], talk->begin[0], count};

    for (int index = 0; index < 4; index++)
        (void)snprintf(numbers[index], sizeof numbers[index], "%d", values[index]);
    execl("/proc/self/exe", "reader", numbers[0], numbers[1], numbers[2], numbers[3], (char *)NULL);
    _exit(1);
}

/* No test runs in that program: what goes wrong shows by its end. */
static int run_reader(char **arguments)
{
    int fd = atoi(arguments[1]);
    int ready = atoi(arguments[2]);
    int count = atoi(arguments[4]);
    struct sockaddr_storage own;
    socklen_t bytes = sizeof own;
    int number = 0;
    char byte;

    if (getsockname(fd, (struct sockaddr *)&own, &bytes) != 0 || write(ready, "x", 1) != 1 ||
        read(atoi(arguments[3]), &byte, 1) != 1)
        return 1;
    for (int expected = 0; expected < count; expected++)
        if (recv(fd, &number, sizeof number, 0) != sizeof number || number != expected)
            return 2;
    if (count == BATCH_COUNT)
        return 0;
    if (write(ready, "x", 1) != 1)
        return 3;
    for (;;)
        pause();
}

/* Only the reader holds the socket, its owner serves it on for that one. */
static pid_t serve_reader(const struct talk *talk, int count, bool is_client)
{
    int fd = udp_bound(AF_INET, talk->address);
    pid_t reader = fork();

    if (reader == 0 && is_client)
        exec_reader(talk, fd, count);
    if (reader == 0)
        read_some(talk, fd, count);
    ck_assert_int_eq(close(fd), 0);
    await(talk->sent[0]);
    tell(talk->begin[1]);
    return reader;
}

static void own_for_the_killed(const struct talk *talk, bool is_client)
{
    pid_t reader = serve_reader(talk, READ_COUNT, is_client);

    await(talk->sent[0]);
    UDP_ASSERT_OK(kill(reader, SIGKILL));
    ck_assert_int_eq(waitpid(reader, NULL, 0), reader);
    expect_rest(bind_again(talk->address), READ_COUNT, BATCH_COUNT);
    tell(talk->ready[1]);
    _exit(0);
}

/* What a reader that was killed had not read comes to whoever has the port next. The reader was
 * forked, or got the socket over exec. */
START_TEST(reader_is_killed)
{
    struct talk talk = talk_begin();
    struct udp_address own;
    int fd = udp_bound(AF_INET, &own);
    pid_t owner = fork();

    if (owner == 0)
        own_for_the_killed(&talk, _i == 1);
    UDP_ASSERT_OK(close(talk.ready[1]));
    await(talk.ready[0]);
    send_numbers(fd, 0, BATCH_COUNT, talk.address);
    tell(talk.sent[1]);
    await(talk.ready[0]); /* some were read */
    tell(talk.sent[1]);
    await(talk.ready[0]);
    expect_end(owner);
}
END_TEST

static void own_for_the_leaving(const struct talk *talk, bool is_client)
{
    pid_t reader = serve_reader(talk, BATCH_COUNT, is_client);

    expect_end(reader);
    int fd = bind_again(talk->address);

    tell(talk->ready[1]);
    expect_numbers(fd, BATCH_COUNT, BATCH_COUNT + 1);
    _exit(0);
}

/* A reader that has read all and ends at once leaves nothing in doubt. */
START_TEST(reader_ends)
{
    struct udp_address own;
    int fd = udp_bound(AF_INET, &own);

    for (int round = 0; round < 5; round++) {
        struct talk talk = talk_begin();
        pid_t owner = fork();

        if (owner == 0)
            own_for_the_leaving(&talk, _i == 1);
        UDP_ASSERT_OK(close(talk.ready[1]));
        await(talk.ready[0]);
        send_numbers(fd, 0, BATCH_COUNT, talk.address);
        tell(talk.sent[1]);
        await(talk.ready[0]); /* the port is another socket's */
        send_numbers(fd, BATCH_COUNT, BATCH_COUNT + 1, talk.address);
        expect_end(owner);
        talk_end(&talk);
    }
}
END_TEST

int main(int argument_count, char **arguments)
{
    if (argument_count > 1)
        return run_reader(arguments);
    Suite *suite = suite_create("share");
    TCase *tcase = tcase_create("share");
    SRunner *runner = srunner_create(suite);

    tcase_set_timeout(tcase, UDP_PATIENCE_MS / 1000 * 3);
    tcase_add_loop_test(tcase, left_while_read, 0, 4);
    tcase_add_loop_test(tcase, reader_is_killed, 0, 2);
    tcase_add_loop_test(tcase, reader_ends, 0, 2);
    suite_add_tcase(suite, tcase);
    srunner_run_all(runner, CK_NORMAL);
    int failed_count = srunner_ntests_failed(runner);

    srunner_free(runner);
    return failed_count == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
