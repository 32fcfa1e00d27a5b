/* test_fork.c - forks of a program that has a thread of ours without knowing it. Run under the shim
 * and linked with it; the executable's pthread_create comes before libc's. */
#include "tests/core/suite.h"
#include "tests/shim/udp.h"

#include <dlfcn.h>
#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <semaphore.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#define START_MS 300

/* A runtime that does work of its own at the beginning of each thread, under a lock: allocators
 * with a cache for each thread and sanitizers are of that kind. */
static struct {
    pthread_mutex_t lock;
    sem_t is_locked;
    atomic_bool is_slow;
} runtime = {.lock = PTHREAD_MUTEX_INITIALIZER};

struct beginning {
    void *(*run)(void *argument);
    void *argument;
};

static void *begin_thread(void *argument)
{
    struct beginning *beginning = argument;
    struct beginning own = *beginning;

    free(beginning);
    if (atomic_load(&runtime.is_slow)) {
        pthread_mutex_lock(&runtime.lock);
        sem_post(&runtime.is_locked);
        (void)poll(NULL, 0, START_MS);
        pthread_mutex_unlock(&runtime.lock);
    }
    return own.run(own.argument);
}

__attribute__((visibility("default"))) int pthread_create(pthread_t *id,
                                                          const pthread_attr_t *attributes,
                                                          void *(*run)(void *), void *argument)
{
    static int (*real)(pthread_t *, const pthread_attr_t *, void *(*)(void *), void *);
    struct beginning *beginning = malloc(sizeof *beginning);

    if (beginning == NULL)
        return ENOMEM;
    if (real == NULL)
        *(void **)&real = dlsym(RTLD_NEXT, "pthread_create");
    *beginning = (struct beginning){run, argument};
    return real(id, attributes, begin_thread, beginning);
}

/* A child can use what the runtime has a lock for, although a thread was just beginning when it was
 * made: a program without threads may rely on that. */
START_TEST(thread_has_begun)
{
    struct udp_address own;
    int status;

    UDP_ASSERT_OK(sem_init(&runtime.is_locked, 0, 0));
    atomic_store(&runtime.is_slow, true);
    int fd = udp_bound(AF_INET, &own);

    UDP_ASSERT_OK(sem_wait(&runtime.is_locked)); /* there is a thread, and it has the lock */
    pid_t child = fork();

    ck_assert_int_ge(child, 0);
    if (child == 0)
        _exit(pthread_mutex_trylock(&runtime.lock));
    ck_assert_int_eq(waitpid(child, &status, 0), child);
    ck_assert_int_eq(status, 0);
    UDP_ASSERT_OK(close(fd));
}
END_TEST

int main(void)
{
    const TTest *const tests[] = {thread_has_begun};

    return suite_run("fork", tests, sizeof tests / sizeof *tests);
}
