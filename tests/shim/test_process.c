/* test_process.c - descriptors, signals, forks and exits of a program that uses UDP. Run under the
 * shim and linked with it. */
#include "tests/core/suite.h"
#include "tests/shim/udp.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <unistd.h>

#define MESSAGE_COUNT 500

static void expect_numbers(int fd, int count)
{
    int number = -1;

    for (int expected = 0; expected < count; expected++) {
        ck_assert(udp_wait(fd, POLLIN, UDP_PATIENCE_MS));
        ck_assert_int_eq(recv(fd, &number, sizeof number, 0), sizeof number);
        ck_assert_int_eq(number, expected);
    }
}

static void send_numbers(int fd, int count, const struct udp_address *to)
{
    for (int number = 0; number < count; number++)
        udp_send_to(fd, &number, sizeof number, to);
}

static void expect_child(pid_t pid, int status_wanted)
{
    int status;

    ck_assert_int_eq(waitpid(pid, &status, 0), pid);
    ck_assert(WIFEXITED(status));
    ck_assert_int_eq(WEXITSTATUS(status), status_wanted);
}

static void check_talk(int first, const struct udp_address *first_address, int second)
{
    struct udp_address seen;

    udp_send_text(second, "still", first_address);
    udp_expect_text(first, "still", &seen);
    udp_send_text(first, "here", &seen);
    udp_expect_text(second, "here", NULL);
}

/* --- Descriptors --------------------------------------------------------------------------------
 */

/* A program that closes every number it did not open closes nothing that its sockets need. */
START_TEST(close_loop)
{
    struct udp_address own;
    struct udp_address other;
    struct rlimit limit;
    int fd = udp_bound(AF_INET, &own);
    int other_fd = udp_bound(AF_INET, &other);

    check_talk(fd, &own, other_fd);
    UDP_ASSERT_OK(getrlimit(RLIMIT_NOFILE, &limit));
    for (int number = other_fd + 1; number < (int)limit.rlim_cur; number++)
        (void)close(number); /* what the test runner left open, too */
    check_talk(fd, &own, other_fd);
}
END_TEST

/* The same by close_range and closefrom. */
START_TEST(close_many)
{
    struct udp_address own;
    struct udp_address other;
    int fd = udp_bound(AF_INET, &own);
    int other_fd = udp_bound(AF_INET, &other);
    int extra = udp_bound(AF_INET, &own);

    fd = dup2(fd, extra);
    own = udp_local(fd);
    UDP_ASSERT_OK(close_range((unsigned)fd + 1, ~0u, 0));
    check_talk(fd, &own, other_fd);
    closefrom(fd + 1);
    check_talk(fd, &own, other_fd);
    closefrom(other_fd);
    UDP_ASSERT_ERROR((int)send(other_fd, "x", 1, 0), EBADF);
}
END_TEST

/* Copies over the numbers that the sockets need are refused. */
START_TEST(copy_over_private)
{
    struct udp_address own;
    struct udp_address other;
    struct rlimit limit;
    int refused_count = 0;
    int null = open("/dev/null", O_RDONLY);
    int fd = udp_bound(AF_INET, &own);
    int other_fd = udp_bound(AF_INET, &other);

    check_talk(fd, &own, other_fd);
    UDP_ASSERT_OK(getrlimit(RLIMIT_NOFILE, &limit));
    for (int number = other_fd + 1; number < 1024 || number < (int)limit.rlim_cur + 64; number++)
        refused_count += fcntl(number, F_GETFD) >= 0 && dup2(null, number) < 0 && errno == EBADF;
    ck_assert_int_ge(refused_count, 4); /* two for each socket */
    check_talk(fd, &own, other_fd);
}
END_TEST

/* Opening and closing sockets, used and unused, leaves no descriptor behind. */
START_TEST(no_leak)
{
    struct udp_address own;
    struct udp_address other;
    int fd = udp_bound(AF_INET, &own);
    int highest = fd;

    for (int round = 0; round < 300; round++) {
        int used = udp_bound(AF_INET, &other);

        udp_send_text(used, "x", &own);
        udp_expect_text(fd, "x", NULL);
        ck_assert_int_eq(close(used), 0);
        ck_assert_int_eq(close(udp_unbound(AF_INET6)), 0);
        highest = used > highest ? used : highest;
    }
    ck_assert_int_le(highest, fd + 1);
}
END_TEST

/* --- Signals and cancellation -------------------------------------------------------------------
 */

#ifndef SHIM_TEST_DEFERS_SIGNALS
static int signal_fd;
static struct udp_address signal_to;
static volatile sig_atomic_t signal_count;

static void send_from_handler(int signal_number)
{
    int number = signal_count;

    (void)signal_number;
    if (sendto(signal_fd, &number, sizeof number, 0, (struct sockaddr *)&signal_to.addr,
               signal_to.bytes) == sizeof number)
        signal_count = number + 1;
}

/* A handler that sends on the socket its program is sending on does not hang it. */
START_TEST(send_in_handler)
{
    struct sigaction action = {.sa_handler = send_from_handler, .sa_flags = SA_RESTART};
    struct itimerval often = {.it_value = {.tv_usec = 500}, .it_interval = {.tv_usec = 500}};
    struct itimerval never = {.it_value = {.tv_usec = 0}};
    struct udp_address own;
    struct udp_address other;
    int receiver = udp_bound(AF_INET, &signal_to);
    int other_fd = udp_bound(AF_INET, &other);

    signal_fd = udp_bound(AF_INET, &own);
    UDP_ASSERT_OK(sigaction(SIGALRM, &action, NULL));
    UDP_ASSERT_OK(setitimer(ITIMER_REAL, &often, NULL));
    for (int number = 0; signal_count < 100; number++) {
        udp_send_to(signal_fd, &number, sizeof number, &other);
        int seen = -1;

        while (recv(other_fd, &seen, sizeof seen, 0) < 0)
            ck_assert_int_eq(errno, EINTR);
        ck_assert_int_eq(seen, number);
    }
    UDP_ASSERT_OK(setitimer(ITIMER_REAL, &never, NULL));
    expect_numbers(receiver, signal_count);
}
END_TEST

#endif

static void *receive_forever(void *argument)
{
    char byte;

    (void)recv(*(int *)argument, &byte, 1, 0);
    return NULL;
}

/* A thread cancelled while it receives leaves the socket usable, and its port free once closed. */
START_TEST(cancelled)
{
    struct udp_address own;
    struct udp_address other;
    pthread_t thread;
    void *result;
    int fd = udp_bound(AF_INET, &own);
    int other_fd = udp_bound(AF_INET, &other);

    UDP_ASSERT_OK(pthread_create(&thread, NULL, receive_forever, &fd));
    UDP_ASSERT_OK(pthread_cancel(thread));
    UDP_ASSERT_OK(pthread_join(thread, &result));
    ck_assert_ptr_eq(result, PTHREAD_CANCELED);
    check_talk(fd, &own, other_fd);
    ck_assert_int_eq(close(fd), 0);
    fd = udp_unbound(AF_INET);
    UDP_ASSERT_OK(bind(fd, (struct sockaddr *)&own.addr, own.bytes));
}
END_TEST

/* --- Forks --------------------------------------------------------------------------------------
 */

/* A child sends on its parent's socket, and the parent goes on with it. */
START_TEST(child_sends)
{
    struct udp_address own;
    struct udp_address to;
    int receiver = udp_bound(AF_INET, &to);
    int fd = udp_bound(AF_INET, &own);

    udp_send_text(fd, "parent", &to);
    pid_t child = fork();

    if (child == 0) {
        send_numbers(fd, MESSAGE_COUNT, &to);
        _exit(0);
    }
    udp_expect_text(receiver, "parent", NULL);
    expect_numbers(receiver, MESSAGE_COUNT);
    expect_child(child, 0);
    udp_send_text(fd, "parent again", &to);
    udp_expect_text(receiver, "parent again", NULL);
}
END_TEST

/* A child receives on its parent's socket, with the sources, and answers. */
START_TEST(child_answers)
{
    struct udp_address own;
    struct udp_address to;
    struct udp_address seen;
    int fd = udp_bound(AF_INET, &own);
    int client = udp_bound(AF_INET, &to);
    pid_t child = fork();

    if (child == 0) {
        udp_expect_text(fd, "question", &seen);
        udp_send_text(fd, "answer", &seen);
        _exit(0);
    }
    udp_send_text(client, "question", &own);
    udp_expect_text(client, "answer", NULL);
    expect_child(child, 0);
}
END_TEST

/* A socket that the parent closed works on in its child. */
START_TEST(child_keeps)
{
    struct udp_address own;
    struct udp_address to;
    int ends[2];
    char byte;
    int fd = udp_bound(AF_INET, &own);
    int client = udp_bound(AF_INET, &to);

    UDP_ASSERT_OK(pipe(ends));
    pid_t child = fork();

    if (child == 0) {
        ck_assert_int_eq(read(ends[0], &byte, 1), 1); /* the parent has closed its copy */
        udp_send_text(fd, "from child", &to);
        udp_expect_text(fd, "to child", NULL);
        _exit(0);
    }
    ck_assert_int_eq(close(fd), 0);
    ck_assert_int_eq(write(ends[1], "x", 1), 1);
    udp_expect_text(client, "from child", NULL);
    udp_send_text(client, "to child", &own);
    expect_child(child, 0);
    fd = udp_unbound(AF_INET); /* the last holder is gone: the port is free */
    UDP_ASSERT_OK(bind(fd, (struct sockaddr *)&own.addr, own.bytes));
}
END_TEST

/* A child connects an inherited socket elsewhere: what waits comes from whom it came from. */
START_TEST(child_connects)
{
    struct udp_address own;
    struct udp_address first_address;
    struct udp_address second_address;
    struct udp_address seen;
    int fd = udp_bound(AF_INET, &own);
    int first = udp_bound(AF_INET, &first_address);
    int second = udp_bound(AF_INET, &second_address);

    UDP_ASSERT_OK(connect(fd, (struct sockaddr *)&first_address.addr, first_address.bytes));
    udp_send_text(first, "one", &own);
    udp_send_text(first, "two", &own);
    ck_assert(udp_wait(fd, POLLIN, UDP_PATIENCE_MS));
    pid_t pid = fork();

    if (pid == 0) {
        UDP_ASSERT_OK(connect(fd, (struct sockaddr *)&second_address.addr, second_address.bytes));
        udp_expect_text(fd, "one", &seen);
        ck_assert_int_eq(udp_port(&seen), udp_port(&first_address));
        ck_assert_int_eq(send(fd, "three", 5, 0), 5);
        _exit(0);
    }
    udp_expect_text(second, "three", NULL);
    expect_child(pid, 0);
}
END_TEST

/* A child that outlives the process that served its socket goes on with it. */
START_TEST(serves_on)
{
    struct udp_address to;
    struct udp_address own;
    int gone[2];
    int receiver = udp_bound(AF_INET, &to);

    UDP_ASSERT_OK(pipe(gone));
    pid_t parent = fork();

    if (parent == 0) {
        int fd = udp_bound(AF_INET, &own);
        char byte;

        if (fork() > 0)
            _exit(0);
        ck_assert_int_eq(read(gone[0], &byte, 1), 1);
        udp_send_text(fd, "from the child", &to);
        udp_expect_text(fd, "to the child", &to);
        udp_send_text(fd, "heard", &to);
        _exit(0);
    }
    struct udp_address seen;

    expect_child(parent, 0);
    ck_assert_int_eq(write(gone[1], "x", 1), 1);
    udp_expect_text(receiver, "from the child", &seen);
    udp_send_text(receiver, "to the child", &seen);
    udp_expect_text(receiver, "heard", NULL);
}
END_TEST

/* A child that closes its copy takes nothing from its parent; its own new sockets work. */
START_TEST(child_of_its_own)
{
    struct udp_address own;
    struct udp_address to;
    struct udp_address child_own;
    int fd = udp_bound(AF_INET, &own);
    int client = udp_bound(AF_INET, &to);

    check_talk(fd, &own, client);
    pid_t child = fork();

    if (child == 0) {
        ck_assert_int_eq(close(fd), 0);
        int child_fd = udp_bound(AF_INET, &child_own);

        udp_send_text(child_fd, "new", &own);
        udp_expect_text(child_fd, "welcome", NULL);
        exit(0);
    }
    struct udp_address seen;

    udp_expect_text(fd, "new", &seen);
    udp_send_text(fd, "welcome", &seen);
    expect_child(child, 0);
    check_talk(fd, &own, client);
}
END_TEST

/* system, popen and their like run other programs and change nothing here. */
START_TEST(other_programs)
{
    char line[16] = "";
    struct udp_address own;
    struct udp_address other;
    int fd = udp_bound(AF_INET, &own);
    int other_fd = udp_bound(AF_INET, &other);

    check_talk(fd, &own, other_fd);
    ck_assert_int_eq(system("exit 3"), 3 << 8);
    FILE *pipe_file = popen("echo popen", "r");

    ck_assert(pipe_file != NULL);
    ck_assert_ptr_eq(fgets(line, sizeof line, pipe_file), line);
    ck_assert_str_eq(line, "popen\n");
    ck_assert_int_eq(pclose(pipe_file), 0);
    check_talk(fd, &own, other_fd);
}
END_TEST

/* A vfork child moves and closes descriptors as spawning programs do: the parent's stay. */
START_TEST(vfork_child)
{
    struct udp_address own;
    struct udp_address other;
    int fd = udp_bound(AF_INET, &own);
    int other_fd = udp_bound(AF_INET, &other);

    check_talk(fd, &own, other_fd);
    pid_t child = vfork();

    if (child == 0) {
        (void)dup2(fd, 0);
        (void)close(fd);
        (void)close(other_fd);
        execl("/bin/true", "true", (char *)NULL);
        _exit(127);
    }
    expect_child(child, 0);
    check_talk(fd, &own, other_fd);
}
END_TEST

#ifndef SHIM_TEST_DEFERS_SIGNALS /* ThreadSanitizer bears no thread with more than 64 locks */

static long count_faults(int who)
{
    struct rusage used;

    UDP_ASSERT_OK(getrusage(who, &used));
    return used.ru_minflt;
}

/* Pages that the process and its child had to get in one fork. */
static long fork_once(void)
{
    long before = count_faults(RUSAGE_SELF) + count_faults(RUSAGE_CHILDREN);
    pid_t child = fork();

    if (child == 0)
        _exit(0);
    expect_child(child, 0);
    return count_faults(RUSAGE_SELF) + count_faults(RUSAGE_CHILDREN) - before;
}

/* A fork does not touch a page for each socket. */
START_TEST(fork_with_many_sockets)
{
    struct udp_address own;
    struct udp_address other;
    int fd = udp_bound(AF_INET, &own);

    check_talk(fd, &own, udp_bound(AF_INET, &other));
    (void)fork_once();
    long with_few = fork_once();

    for (int count = 0; count < 200; count++)
        check_talk(fd, &own, udp_bound(AF_INET, &other));
    (void)fork_once();
    ck_assert_int_lt(fork_once(), with_few + 200);
}
END_TEST

#endif

/* --- Exits --------------------------------------------------------------------------------------
 */

static void leave(int way)
{
    if (way == 0)
        exit(0);
    if (way == 1)
        _exit(0);
    if (way == 2)
        _Exit(0);
    quick_exit(0);
}

/* A program that ends right after its last send has sent everything, however it ends. */
START_TEST(sends_before_exit)
{
    struct udp_address to;
    struct udp_address own;
    int receiver = udp_bound(AF_INET, &to);
    pid_t child = fork();

    if (child == 0) {
        int fd = udp_bound(AF_INET, &own);

        send_numbers(fd, MESSAGE_COUNT, &to);
        leave(_i);
    }
    expect_numbers(receiver, MESSAGE_COUNT);
    expect_child(child, 0);
}
END_TEST

/* So has a socket that is closed right after its last send. */
START_TEST(sends_before_close)
{
    struct udp_address to;
    struct udp_address own;
    int receiver = udp_bound(AF_INET, &to);
    int fd = udp_bound(AF_INET, &own);

    send_numbers(fd, MESSAGE_COUNT, &to);
    ck_assert_int_eq(close(fd), 0);
    expect_numbers(receiver, MESSAGE_COUNT);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("process");
    TCase *tcase = tcase_create("process");
    SRunner *runner = srunner_create(suite);
    const TTest *const tests[] = {
        close_loop,        close_many,
        copy_over_private, no_leak,
        cancelled,         child_sends,
        child_answers,     child_keeps,
        child_connects,    child_of_its_own,
        serves_on,         other_programs,
        vfork_child,       sends_before_close,
#ifndef SHIM_TEST_DEFERS_SIGNALS
        send_in_handler,   fork_with_many_sockets,
#endif
    };

    tcase_set_timeout(tcase, UDP_PATIENCE_MS / 1000 * 3);
    for (size_t i = 0; i < sizeof tests / sizeof *tests; i++)
        tcase_add_test(tcase, tests[i]);
    tcase_add_loop_test(tcase, sends_before_exit, 0, 4);
    suite_add_tcase(suite, tcase);
    srunner_run_all(runner, CK_NORMAL);
    int failed_count = srunner_ntests_failed(runner);

    srunner_free(runner);
    return failed_count == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
