#include "engine/system.h"

#include "engine/raw.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/futex.h>
#include <netinet/in.h>
#include <signal.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

/* What the kernel calls a timespec on every architecture. */
struct kernel_timespec {
    int64_t seconds;
    int64_t nanoseconds;
};

#ifdef SYS_futex_time64 /* 32-bit machines, where SYS_futex takes the narrow timespec */
#define FUTEX_NUMBER SYS_futex_time64
#define PPOLL_NUMBER SYS_ppoll_time64
#define CLOCK_NUMBER SYS_clock_gettime64
#else
#define FUTEX_NUMBER SYS_futex
#define PPOLL_NUMBER SYS_ppoll
#define CLOCK_NUMBER SYS_clock_gettime
#endif

static struct kernel_timespec timespec_from_us(uint64_t us)
{
    return (struct kernel_timespec){
        .seconds = (int64_t)(us / RUDP_US_PER_S),
        .nanoseconds = (int64_t)(us % RUDP_US_PER_S) * 1000,
    };
}

struct engine_signal_mask engine_sys_block_signals(void)
{
    struct engine_signal_mask all = {.bits = UINT64_MAX};
    struct engine_signal_mask before = {.bits = 0};

    raw_call6(SYS_rt_sigprocmask, SIG_SETMASK, raw_pointer(&all), raw_pointer(&before),
              sizeof before.bits, 0, 0);
    return before;
}

void engine_sys_restore_signals(struct engine_signal_mask mask)
{
    raw_call6(SYS_rt_sigprocmask, SIG_SETMASK, raw_pointer(&mask), 0, sizeof mask.bits, 0, 0);
}

long engine_sys_sendmmsg(int fd, struct mmsghdr *messages, size_t count)
{
    return raw_call6(SYS_sendmmsg, fd, raw_pointer(messages), (long)count,
                     MSG_DONTWAIT | MSG_NOSIGNAL, 0, 0);
}

long engine_sys_recvmmsg(int fd, struct mmsghdr *messages, size_t count)
{
    return raw_call6(SYS_recvmmsg, fd, raw_pointer(messages), (long)count, MSG_DONTWAIT, 0, 0);
}

long engine_sys_udp_socket(sa_family_t family)
{
    return raw_call6(SYS_socket, family, SOCK_DGRAM | SOCK_CLOEXEC, IPPROTO_UDP, 0, 0, 0);
}

long engine_sys_bind(int fd, const struct sockaddr *addr, socklen_t addr_bytes)
{
    return raw_call6(SYS_bind, fd, raw_pointer(addr), addr_bytes, 0, 0, 0);
}

long engine_sys_connect(int fd, const struct sockaddr *addr, socklen_t addr_bytes)
{
    return raw_call6(SYS_connect, fd, raw_pointer(addr), addr_bytes, 0, 0, 0);
}

long engine_sys_getsockname(int fd, struct sockaddr_storage *addr)
{
    socklen_t bytes = sizeof *addr;

    return raw_call6(SYS_getsockname, fd, raw_pointer(addr), raw_pointer(&bytes), 0, 0, 0);
}

long engine_sys_getpeername(int fd, struct sockaddr_storage *addr)
{
    socklen_t bytes = sizeof *addr;

    return raw_call6(SYS_getpeername, fd, raw_pointer(addr), raw_pointer(&bytes), 0, 0, 0);
}

long engine_sys_setsockopt_int(int fd, int level, int option, int value)
{
    return raw_call6(SYS_setsockopt, fd, level, option, raw_pointer(&value), sizeof value, 0);
}

long engine_sys_getsockopt_int(int fd, int level, int option, int *value)
{
    socklen_t bytes = sizeof *value;

    return raw_call6(SYS_getsockopt, fd, level, option, raw_pointer(value), raw_pointer(&bytes), 0);
}

long engine_sys_close(int fd)
{
    return raw_call6(SYS_close, fd, 0, 0, 0, 0, 0);
}

long engine_sys_duplicate_from(int fd, int fd_min)
{
    return raw_call6(SYS_fcntl, fd, F_DUPFD_CLOEXEC, fd_min, 0, 0, 0);
}

long engine_sys_eventfd(void)
{
    return raw_call6(SYS_eventfd2, 0, EFD_CLOEXEC | EFD_NONBLOCK, 0, 0, 0, 0);
}

void engine_sys_eventfd_set(int fd)
{
    uint64_t one = 1;

    raw_call6(SYS_write, fd, raw_pointer(&one), sizeof one, 0, 0, 0);
}

void engine_sys_eventfd_clear(int fd)
{
    uint64_t count = 0;

    raw_call6(SYS_read, fd, raw_pointer(&count), sizeof count, 0, 0, 0);
}

long engine_sys_epoll_create(void)
{
    return raw_call6(SYS_epoll_create1, EPOLL_CLOEXEC, 0, 0, 0, 0, 0);
}

long engine_sys_epoll_ctl(int epoll_fd, int operation, int fd, struct epoll_event *event)
{
    return raw_call6(SYS_epoll_ctl, epoll_fd, operation, fd, raw_pointer(event), 0, 0);
}

static long epoll_wait_ms(int epoll_fd, struct epoll_event *events, size_t count,
                          uint64_t timeout_us)
{
    uint64_t timeout_ms = (timeout_us / RUDP_US_PER_MS) + (timeout_us % RUDP_US_PER_MS != 0);
    long limit_ms = timeout_us == RUDP_NEVER ? -1 : (long)min_u64(timeout_ms, INT32_MAX);

    return raw_call6(SYS_epoll_pwait, epoll_fd, raw_pointer(events), (long)count, limit_ms, 0,
                     sizeof(uint64_t));
}

long engine_sys_epoll_wait(int epoll_fd, struct epoll_event *events, size_t count,
                           uint64_t timeout_us)
{
#ifdef SYS_epoll_pwait2
    struct kernel_timespec timeout = timespec_from_us(timeout_us);
    long result =
        raw_call6(SYS_epoll_pwait2, epoll_fd, raw_pointer(events), (long)count,
                  timeout_us == RUDP_NEVER ? 0 : raw_pointer(&timeout), 0, sizeof(uint64_t));

    if (result != -ENOSYS && result != -EPERM) /* the latter: from a filter of the program */
        return result;
#endif
    return epoll_wait_ms(epoll_fd, events, count, timeout_us);
}

long engine_sys_poll(struct pollfd *fds, size_t count, uint64_t timeout_us)
{
    struct kernel_timespec timeout = timespec_from_us(timeout_us);

    return raw_call6(PPOLL_NUMBER, raw_pointer(fds), (long)count,
                     timeout_us == RUDP_NEVER ? 0 : raw_pointer(&timeout), 0, 0, 0);
}

void engine_sys_futex_wait(_Atomic uint32_t *word, uint32_t value, uint64_t timeout_us)
{
    struct kernel_timespec timeout = timespec_from_us(timeout_us);

    raw_call6(FUTEX_NUMBER, raw_pointer(word), FUTEX_WAIT_PRIVATE, (long)value,
              timeout_us == RUDP_NEVER ? 0 : raw_pointer(&timeout), 0, 0);
}

void engine_sys_futex_wake_all(_Atomic uint32_t *word)
{
    raw_call6(FUTEX_NUMBER, raw_pointer(word), FUTEX_WAKE_PRIVATE, INT32_MAX, 0, 0, 0);
}

void engine_sys_read_clock(clockid_t clock, struct timespec *now)
{
    struct kernel_timespec read;

    raw_call6(CLOCK_NUMBER, clock, raw_pointer(&read), 0, 0, 0, 0);
    *now = (struct timespec){.tv_sec = (time_t)read.seconds, .tv_nsec = (long)read.nanoseconds};
}

long engine_sys_getrandom(void *out, size_t bytes)
{
    return raw_call6(SYS_getrandom, raw_pointer(out), (long)bytes, 0, 0, 0, 0);
}

long engine_sys_read_urandom(void *out, size_t bytes)
{
    static const char path[] = "/dev/urandom";
    long fd = raw_call6(SYS_openat, AT_FDCWD, raw_pointer(path), O_RDONLY | O_CLOEXEC, 0, 0, 0);

    if (fd < 0)
        return fd;
    long got_bytes = raw_call6(SYS_read, fd, raw_pointer(out), (long)bytes, 0, 0, 0);

    engine_sys_close((int)fd);
    return got_bytes;
}

long engine_sys_get_file_limit(struct engine_file_limit *limit)
{
    return raw_call6(SYS_prlimit64, 0, RLIMIT_NOFILE, 0, raw_pointer(limit), 0, 0);
}

long engine_sys_set_file_limit(const struct engine_file_limit *limit)
{
    return raw_call6(SYS_prlimit64, 0, RLIMIT_NOFILE, raw_pointer(limit), 0, 0, 0);
}

/* As the kernel has it for 64-bit offsets. */
struct kernel_lock {
    int16_t type;
    int16_t whence;
    int64_t start;
    int64_t bytes;
    int32_t pid;
};

#ifdef SYS_fcntl64 /* 32-bit machines */
#define FCNTL_NUMBER  SYS_fcntl64
#define GETLK_COMMAND 12
#define SETLK_COMMAND 13
#define WAIT_COMMAND  14
#else
#define FCNTL_NUMBER  SYS_fcntl
#define GETLK_COMMAND 5
#define SETLK_COMMAND 6
#define WAIT_COMMAND  7
#endif

static long lock_byte(int fd, int command, uint64_t byte, enum engine_lock lock,
                      struct kernel_lock *request)
{
    *request = (struct kernel_lock){
        .type = (int16_t)lock, .whence = SEEK_SET, .start = (int64_t)byte, .bytes = 1};
    return raw_call6(FCNTL_NUMBER, fd, command, raw_pointer(request), 0, 0, 0);
}

long engine_sys_lock(int fd, uint64_t byte, enum engine_lock lock)
{
    struct kernel_lock request;
    long result = lock_byte(fd, SETLK_COMMAND, byte, lock, &request);

    return result == -EACCES ? -EAGAIN : result;
}

long engine_sys_lock_wait(int fd, uint64_t byte, enum engine_lock lock)
{
    struct kernel_lock request;

    return lock_byte(fd, WAIT_COMMAND, byte, lock, &request);
}

long engine_sys_lock_holder(int fd, uint64_t byte, enum engine_lock lock)
{
    struct kernel_lock request;
    long result = lock_byte(fd, GETLK_COMMAND, byte, lock, &request);

    if (result < 0)
        return result;
    if (request.type == F_UNLCK)
        return 0;
    return request.pid > 0 ? request.pid : -1;
}

long engine_sys_pidfd(long pid)
{
    return raw_call6(SYS_pidfd_open, pid, 0, 0, 0, 0, 0);
}

void *engine_sys_map(size_t bytes)
{
    void *memory = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

    return memory == MAP_FAILED ? NULL : memory;
}

void engine_sys_unmap(void *memory, size_t bytes)
{
    (void)munmap(memory, bytes);
}

long engine_sys_memfd(const char *name)
{
    enum {
        CLOSE_ON_EXEC = 1,
        NOT_EXECUTABLE = 8 /* since Linux 6.3, which warns without it */
    };
    long fd =
        raw_call6(SYS_memfd_create, raw_pointer(name), CLOSE_ON_EXEC | NOT_EXECUTABLE, 0, 0, 0, 0);

    return fd != -EINVAL
               ? fd
               : raw_call6(SYS_memfd_create, raw_pointer(name), CLOSE_ON_EXEC, 0, 0, 0, 0);
}

long engine_sys_truncate(int fd, size_t bytes)
{
    int saved_errno = errno;
    long result = ftruncate(fd, (off_t)bytes) == 0 ? 0 : -errno;

    errno = saved_errno;
    return result;
}
