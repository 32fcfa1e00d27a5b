/* test_limits.c - programs that may open as many descriptors as containers allow: 2^30 and more.
 * The shim is linked in, and told limits that the system would not set. */
#include "engine/system.h"
#include "tests/core/suite.h"
#include "tests/shim/udp.h"

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#define HUGE         (1u << 30)
#define UNALIGNED    (HUGE - 8) /* systemd's "infinity" where fs.nr_open was raised */
#define SOCKET_COUNT 20
#define NUMBER_MAX   2048
#define GROWTH_KIB   4096

static struct engine_file_limit told;
static long set_result;
static int told_count;

long __wrap_engine_sys_get_file_limit(struct engine_file_limit *limit);
long __wrap_engine_sys_set_file_limit(const struct engine_file_limit *limit);

long __wrap_engine_sys_get_file_limit(struct engine_file_limit *limit)
{
    *limit = told;
    told_count++;
    return 0;
}

/* The kernel refuses what is above fs.nr_open, also when it is not raised. */
long __wrap_engine_sys_set_file_limit(const struct engine_file_limit *limit)
{
    if (set_result == 0)
        told = *limit;
    return set_result;
}

static long status_value(const char *name)
{
    FILE *file = fopen("/proc/self/status", "r");
    char line[256];
    long value = -1;

    ck_assert_ptr_nonnull(file);
    while (value < 0 && fgets(line, sizeof line, file) != NULL)
        if (strncmp(line, name, strlen(name)) == 0)
            value = strtol(line + strlen(name), NULL, 10);
    ck_assert_int_eq(fclose(file), 0);
    ck_assert_int_ge(value, 0);
    return value;
}

static int highest_number(void)
{
    DIR *directory = opendir("/proc/self/fd");
    const struct dirent *entry;
    int highest = -1;

    ck_assert_ptr_nonnull(directory);
    while ((entry = readdir(directory)) != NULL)
        highest = atoi(entry->d_name) > highest ? atoi(entry->d_name) : highest;
    ck_assert_int_eq(closedir(directory), 0);
    return highest;
}

static int lowest_free_number(void)
{
    int fd = dup(STDIN_FILENO);

    ck_assert_int_ge(fd, 0);
    ck_assert_int_eq(close(fd), 0);
    return fd;
}

static const struct {
    struct engine_file_limit limit;
    long set_result;
} cases[] = {
    {{1024, HUGE}, 0},
    {{1024, HUGE}, -EPERM},
    {{HUGE, HUGE}, 0},
    {{UNALIGNED, UNALIGNED}, 0},
    {{1024, RLIM64_INFINITY}, 0},
    {{RLIM64_INFINITY, RLIM64_INFINITY}, -EPERM},
};

/* Neither memory nor the kernel's table of descriptors grows with the limit, sockets work, and have
 * the numbers they would have. */
START_TEST(no_limit)
{
    struct udp_address address;
    int fds[SOCKET_COUNT];
    long before_kib = status_value("VmRSS:");

    told = cases[_i].limit;
    set_result = cases[_i].set_result;
    for (int index = 0; index < SOCKET_COUNT; index++) {
        int expected = lowest_free_number();

        fds[index] = udp_bound(AF_INET, &address);
        ck_assert_int_eq(fds[index], expected);
        udp_send_text(fds[0], "hello", &address);
        udp_expect_text(fds[index], "hello", NULL);
    }
    ck_assert_int_gt(told_count, 0);
    ck_assert_mem_eq(&told, &cases[_i].limit, sizeof told); /* raised for moments only */
    ck_assert_int_lt(highest_number(), NUMBER_MAX);
    ck_assert_int_le(status_value("FDSize:"), NUMBER_MAX);
    ck_assert_int_le(status_value("VmRSS:"), before_kib + GROWTH_KIB);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("limits");
    TCase *tcase = tcase_create("limits");
    SRunner *runner = srunner_create(suite);

    tcase_set_timeout(tcase, UDP_PATIENCE_MS / 1000 * 3);
    tcase_add_loop_test(tcase, no_limit, 0, sizeof cases / sizeof *cases);
    suite_add_tcase(suite, tcase);
    srunner_run_all(runner, CK_NORMAL);
    int failed_count = srunner_ntests_failed(runner);

    srunner_free(runner);
    return failed_count == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
