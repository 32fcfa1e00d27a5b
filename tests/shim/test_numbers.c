/* test_numbers.c - the numbers of descriptors, and closing all of them. Nothing here is more than
 * what plain UDP does: run plainly, under the shim, fortified, and linked with it. */
#include "tests/core/suite.h"
#include "tests/shim/udp.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#define SOCKET_COUNT 2000
#define ROUND_COUNT  500

static int lowest_free_number(void)
{
    int fd = fcntl(STDIN_FILENO, F_DUPFD, 0);

    ck_assert_int_ge(fd, 0);
    ck_assert_int_eq(close(fd), 0);
    return fd;
}

static void limit_numbers(rlim_t end)
{
    struct rlimit limit;

    UDP_ASSERT_OK(getrlimit(RLIMIT_NOFILE, &limit));
    limit.rlim_cur = end;
    UDP_ASSERT_OK(setrlimit(RLIMIT_NOFILE, &limit));
}

static void expect_talk(int fd, int other)
{
    struct udp_address address = udp_local(fd);

    udp_send_text(other, "still", &address);
    udp_expect_text(fd, "still", NULL);
}

/* Whatever was opened and closed before, in whatever order, the next one gets the lowest number. */
START_TEST(lowest_first)
{
    int fds[16];
    unsigned seed = 7;

    for (size_t index = 0; index < 16; index++)
        fds[index] = -1;
    for (int round = 0; round < ROUND_COUNT; round++) {
        struct udp_address address;
        size_t index = (size_t)rand_r(&seed) % 16;

        if (fds[index] >= 0)
            ck_assert_int_eq(close(fds[index]), 0);
        int expected = lowest_free_number();
        int kind = rand_r(&seed) % 3;

        fds[index] = kind == 0   ? udp_unbound(AF_INET)
                     : kind == 1 ? udp_bound(AF_INET, &address)
                                 : open("/dev/null", O_RDONLY);
        ck_assert_int_eq(fds[index], expected);
    }
}
END_TEST

/* A program whose limit is just what it needs gets all of it for itself, without a gap. */
START_TEST(to_the_limit)
{
    static int fds[SOCKET_COUNT];
    int first = lowest_free_number();
    struct udp_address address;
    int count = 0;

    limit_numbers(SOCKET_COUNT);
    for (int expected = first; expected < SOCKET_COUNT; expected++) {
        if (fcntl(expected, F_GETFD) >= 0)
            continue; /* the framework's, or inherited */
        fds[count] = udp_bound(AF_INET, &address);
        ck_assert_int_eq(fds[count++], expected);
    }
    UDP_ASSERT_ERROR(socket(AF_INET, SOCK_DGRAM, 0), EMFILE);
    UDP_ASSERT_ERROR(open("/dev/null", O_RDONLY), EMFILE);
    for (int index = 1; index < count; index += count / 20)
        expect_talk(fds[index], fds[index - 1]);
    for (int index = 0; index < count; index++)
        ck_assert_int_eq(close(fds[index]), 0);
    ck_assert_int_eq(lowest_free_number(), first);
}
END_TEST

/* Sockets with numbers that no fd_set holds. */
START_TEST(large_numbers)
{
    struct udp_address address;
    struct epoll_event event = {.events = EPOLLIN};
    struct pollfd ready = {.events = POLLIN};
    int fd = udp_bound(AF_INET, &address);
    int sender = udp_unbound(AF_INET);
    int epoll = epoll_create1(0);

    limit_numbers(5000);
    ready.fd = fcntl(fd, F_DUPFD, 4321);
    ck_assert_int_eq(ready.fd, 4321);
    ck_assert_int_eq(close(fd), 0);
    UDP_ASSERT_OK(epoll_ctl(epoll, EPOLL_CTL_ADD, ready.fd, &event));
    udp_send_text(sender, "far", &address);
    ck_assert_int_eq(epoll_wait(epoll, &event, 1, UDP_PATIENCE_MS), 1);
    ck_assert_int_eq(poll(&ready, 1, 0), 1);
    udp_expect_text(ready.fd, "far", NULL);
}
END_TEST

enum {
    CLOSE_BY_LOOP,
    CLOSE_BY_RANGE,
    CLOSE_BY_CLOSEFROM,
    CLOSE_WAY_COUNT
};

static void close_from(int way, int first)
{
    struct rlimit limit;

    if (way == CLOSE_BY_RANGE) {
        UDP_ASSERT_OK(close_range((unsigned)first, ~0u, 0));
        return;
    }
    if (way == CLOSE_BY_CLOSEFROM) {
        closefrom(first);
        return;
    }
    UDP_ASSERT_OK(getrlimit(RLIMIT_NOFILE, &limit));
    for (int fd = first; fd < (int)limit.rlim_cur; fd++)
        (void)close(fd);
}

/* A daemon closes all but its first three numbers, which are its socket, and goes on; sockets made
 * afterwards work as well. The framework's own numbers go, too: it hears of a failure by the
 * status. */
START_TEST(close_all)
{
    struct udp_address address;
    pid_t child = fork();
    int status;

    if (child == 0) {
        int fd = udp_bound(AF_INET, &address);

        for (int number = 0; number < 3; number++)
            (void)dup2(fd, number);
        close_from(_i, 3);
        int sender = socket(AF_INET, SOCK_DGRAM, 0);
        char text[8] = "";

        if (sender != 3 ||
            sendto(sender, "hello", 5, 0, (struct sockaddr *)&address.addr, address.bytes) != 5 ||
            recv(0, text, sizeof text, 0) != 5 || strcmp(text, "hello") != 0)
            _exit(1);
        close_from(_i, 3);
        sender = socket(AF_INET6, SOCK_DGRAM, 0);
        _exit(sender == 3 && send(sender, "x", 1, 0) < 0 && errno == EDESTADDRREQ ? 0 : 2);
    }
    ck_assert_int_eq(waitpid(child, &status, 0), child);
    ck_assert(WIFEXITED(status));
    ck_assert_int_eq(WEXITSTATUS(status), 0);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("numbers");
    TCase *tcase = tcase_create("numbers");
    SRunner *runner = srunner_create(suite);

    tcase_set_timeout(tcase, UDP_PATIENCE_MS / 1000 * 3);
    tcase_add_test(tcase, lowest_first);
    tcase_add_test(tcase, to_the_limit);
    tcase_add_test(tcase, large_numbers);
    tcase_add_loop_test(tcase, close_all, 0, CLOSE_WAY_COUNT);
    suite_add_tcase(suite, tcase);
    srunner_run_all(runner, CK_NORMAL);
    int failed_count = srunner_ntests_failed(runner);

    srunner_free(runner);
    return failed_count == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
