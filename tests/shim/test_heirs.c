/* test_heirs.c - processes that stand by for the owner of a socket: where they open what they wait
 * with. Linked with the shim, whose call for that is counted. */
#include "engine/system.h"
#include "shim/fd_table.h"
#include "shim/socket.h"
#include "tests/core/suite.h"
#include "tests/shim/udp.h"

#include <poll.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <unistd.h>

#define HEIR_COUNT 3

/* What one process opened to wait for the ends of others. */
struct opened {
    _Atomic int by_program;
    _Atomic int by_engine;
};

struct report {
    bool is_owner;
    int by_program;
    int by_engine;
};

struct family {
    pid_t owner;
    pid_t heirs[HEIR_COUNT];
};

static struct opened opened;

long __real_engine_sys_pidfd(long pid);
long __wrap_engine_sys_pidfd(long pid);

long __wrap_engine_sys_pidfd(long pid)
{
    if (gettid() == getpid())
        atomic_fetch_add(&opened.by_program, 1);
    else
        atomic_fetch_add(&opened.by_engine, 1);
    return __real_engine_sys_pidfd(pid);
}

static void write_all(int fd, const void *data, size_t bytes)
{
    ck_assert_int_eq(write(fd, data, bytes), (ssize_t)bytes);
}

static void read_all(int fd, void *data, size_t bytes)
{
    ck_assert_int_eq(read(fd, data, bytes), (ssize_t)bytes);
}

static bool is_owner(int fd)
{
    struct shim_socket *sock = fd_table_acquire(fd);
    bool answer = shim_socket_engine(sock) != NULL;

    shim_socket_release(sock);
    return answer;
}

static int opened_count(void)
{
    return atomic_load(&opened.by_program) + atomic_load(&opened.by_engine);
}

/* Stands by for one owner, then is the next one or stands by for that. */
static void run_heir(int fd, int tell)
{
    (void)udp_local(fd);
    int first_count = opened_count();

    write_all(tell, &first_count, sizeof first_count);
    while (!is_owner(fd) && opened_count() == first_count) {
        (void)poll(NULL, 0, 1);
        (void)udp_local(fd);
    }
    struct report report = {
        .is_owner = is_owner(fd),
        .by_program = atomic_load(&opened.by_program),
        .by_engine = atomic_load(&opened.by_engine),
    };

    write_all(tell, &report, sizeof report);
    for (;;)
        pause();
}

static void run_owner(int tell_family, int tell)
{
    struct family family = {.owner = getpid()};
    struct udp_address address;
    int fd = udp_bound(AF_INET, &address);

    for (int index = 0; index < HEIR_COUNT; index++) {
        family.heirs[index] = fork();
        if (family.heirs[index] == 0)
            run_heir(fd, tell);
    }
    write_all(tell_family, &family, sizeof family);
    for (;;)
        pause();
}

/* Of several heirs one gets the socket. The others wait for its end by descriptors that threads of
 * the program open: calls that run meanwhile would see what the engine thread opens. */
START_TEST(heirs_open_in_calls_of_the_program)
{
    struct family family;
    struct report report;
    int family_ends[2];
    int ends[2];
    int count;
    int owner_count = 0;

    UDP_ASSERT_OK(pipe(family_ends));
    UDP_ASSERT_OK(pipe(ends));
    if (fork() == 0)
        run_owner(family_ends[1], ends[1]);
    read_all(family_ends[0], &family, sizeof family);
    for (int index = 0; index < HEIR_COUNT; index++) {
        read_all(ends[0], &count, sizeof count);
        ck_assert_int_eq(count, 1);
    }
    UDP_ASSERT_OK(kill(family.owner, SIGKILL));
    for (int index = 0; index < HEIR_COUNT; index++) {
        read_all(ends[0], &report, sizeof report);
        owner_count += report.is_owner;
        ck_assert_int_eq(report.by_engine, 0);
        ck_assert_int_eq(report.by_program, report.is_owner ? 1 : 2);
    }
    ck_assert_int_eq(owner_count, 1);
    for (int index = 0; index < HEIR_COUNT; index++)
        UDP_ASSERT_OK(kill(family.heirs[index], SIGKILL));
}
END_TEST

int main(void)
{
    return SUITE_RUN("heirs", heirs_open_in_calls_of_the_program);
}
