/* test_confined.c - programs with few rights and little room: dropped privileges, a changed root,
 * system calls that are filtered, small stacks beside large thread-local storage. Nothing here is
 * more than what plain UDP does: run plainly, under the shim, fortified, and linked with it. */
#include "tests/core/suite.h"
#include "tests/shim/udp.h"

#include <errno.h>
#include <grp.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <poll.h>
#include <pthread.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#define NOBODY      65534
#define ROUND_COUNT 200
#define LARGE_BYTES (4u << 20)

/* Every thread carries it, the shim's own too. */
static _Thread_local char large[LARGE_BYTES];

static void expect_talk(int fd, int other)
{
    struct udp_address address = udp_local(fd);
    struct udp_address from;

    large[0]++;
    udp_send_text(other, "question", &address);
    udp_expect_text(fd, "question", &from);
    udp_send_text(fd, "answer", &from);
    udp_expect_text(other, "answer", NULL);
}

static void *wait_for_end(void *argument)
{
    char byte;

    ck_assert_int_eq(read(*(int *)argument, &byte, 1), 0);
    return NULL;
}

/* A daemon binds, then changes its root and gives its rights away, which libc makes every thread
 * do: old conversations go on, new ones and new sockets work. */
START_TEST(dropped)
{
    struct udp_address address;
    pthread_t thread;
    int ends[2];

    if (geteuid() != 0) {
        (void)printf("skipped: only root has rights to drop\n");
        return;
    }
    int fd = udp_bound(AF_INET, &address);
    int client = udp_unbound(AF_INET);

    UDP_ASSERT_OK(pipe(ends));
    UDP_ASSERT_OK(pthread_create(&thread, NULL, wait_for_end, &ends[0]));
    expect_talk(fd, client);
    UDP_ASSERT_OK(chroot("/proc/self/fdinfo"));
    UDP_ASSERT_OK(chdir("/"));
    UDP_ASSERT_OK(setgroups(0, NULL));
    UDP_ASSERT_OK(setresgid(NOBODY, NOBODY, NOBODY));
    UDP_ASSERT_OK(setresuid(NOBODY, NOBODY, NOBODY));
    expect_talk(fd, client);
    expect_talk(fd, udp_unbound(AF_INET));
    expect_talk(udp_bound(AF_INET, &address), udp_unbound(AF_INET));
    ck_assert_int_eq(close(ends[1]), 0);
    UDP_ASSERT_OK(pthread_join(thread, NULL));
}
END_TEST

/* The number is refused from here on. */
static void filter(unsigned number)
{
    struct sock_filter steps[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, number, 0, 1),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | EPERM),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
    };
    struct sock_fprog program = {sizeof steps / sizeof *steps, steps};

    UDP_ASSERT_OK(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0));
    UDP_ASSERT_OK(prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program));
}

static const unsigned refused_numbers[] = {
    SYS_prlimit64,
    SYS_epoll_pwait2,
    SYS_getrandom,
};

/* Calls that a filter may well refuse, because plain UDP needs none of them. */
START_TEST(filtered)
{
    struct udp_address address;

    filter(refused_numbers[_i]);
    int fd = udp_bound(AF_INET, &address);

    expect_talk(fd, udp_unbound(AF_INET));
}
END_TEST

static void *talk(void *argument)
{
    int *fds = argument;

    for (int round = 0; round < ROUND_COUNT; round++)
        expect_talk(fds[0], fds[1]);
    return NULL;
}

/* Threads with as little stack as there can be, besides what is thread-local. */
START_TEST(small_stack)
{
    struct udp_address address;
    pthread_attr_t attributes;
    pthread_t thread;
    int fds[2] = {udp_bound(AF_INET, &address), udp_unbound(AF_INET)};

    UDP_ASSERT_OK(pthread_attr_init(&attributes));
    UDP_ASSERT_OK(pthread_attr_setstacksize(
        &attributes, LARGE_BYTES + 2 * (size_t)sysconf(_SC_THREAD_STACK_MIN)));
    UDP_ASSERT_OK(pthread_create(&thread, &attributes, talk, fds));
    UDP_ASSERT_OK(pthread_join(thread, NULL));
    UDP_ASSERT_OK(pthread_attr_destroy(&attributes));
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("confined");
    TCase *tcase = tcase_create("confined");
    SRunner *runner = srunner_create(suite);

    tcase_set_timeout(tcase, UDP_PATIENCE_MS / 1000 * 3);
    tcase_add_test(tcase, dropped);
    tcase_add_test(tcase, small_stack);
    tcase_add_loop_test(tcase, filtered, 0, sizeof refused_numbers / sizeof *refused_numbers);
    suite_add_tcase(suite, tcase);
    srunner_run_all(runner, CK_NORMAL);
    int failed_count = srunner_ntests_failed(runner);

    srunner_free(runner);
    return failed_count == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
