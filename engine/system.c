#include "engine/system.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/futex.h>
#include <netinet/in.h>
#include <signal.h>
#include <sys/eventfd.h>
#include <sys/syscall.h>
#include <unistd.h>

/* What the kernel calls a timespec on every architecture. */
struct kernel_timespec {
    int64_t seconds;
    int64_t nanoseconds;
};

#ifdef SYS_futex_time64 /* 32-bit machines, where SYS_futex takes the narrow timespec */
#define FUTEX_NUMBER SYS_futex_time64
#else
#define FUTEX_NUMBER SYS_futex
#endif

#if defined(__x86_64__)
static long call(long number, long a, long b, long c, long d, long e, long f)
{
    register long r10 __asm__("r10") = d;
    register long r8 __asm__("r8") = e;
    register long r9 __asm__("r9") = f;
    long result;

    __asm__ volatile("syscall"
                     : "=a"(result)
                     : "a"(number), "D"(a), "S"(b), "d"(c), "r"(r10), "r"(r8), "r"(r9)
                     : "rcx", "r11", "memory");
    return result;
}
#elif defined(__aarch64__)
static long call(long number, long a, long b, long c, long d, long e, long f)
{
    register long x8 __asm__("x8") = number;
    register long x0 __asm__("x0") = a;
    register long x1 __asm__("x1") = b;
    register long x2 __asm__("x2") = c;
    register long x3 __asm__("x3") = d;
    register long x4 __asm__("x4") = e;
    register long x5 __asm__("x5") = f;

    __asm__ volatile("svc 0"
                     : "+r"(x0)
                     : "r"(x8), "r"(x1), "r"(x2), "r"(x3), "r"(x4), "r"(x5)
                     : "memory");
    return x0;
}
#else
/* Correct everywhere; only an interposed syscall() could come between. */
static long call(long number, long a, long b, long c, long d, long e, long f)
{
    int saved_errno = errno;
    long result = syscall(number, a, b, c, d, e, f);

    if (result < 0)
        result = -errno;
    errno = saved_errno;
    return result;
}
#endif

static long call_pointer(const volatile void *pointer)
{
    return (long)(uintptr_t)pointer;
}

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

    call(SYS_rt_sigprocmask, SIG_SETMASK, call_pointer(&all), call_pointer(&before),
         sizeof before.bits, 0, 0);
    return before;
}

void engine_sys_restore_signals(struct engine_signal_mask mask)
{
    call(SYS_rt_sigprocmask, SIG_SETMASK, call_pointer(&mask), 0, sizeof mask.bits, 0, 0);
}

long engine_sys_sendmmsg(int fd, struct mmsghdr *messages, size_t count)
{
    return call(SYS_sendmmsg, fd, call_pointer(messages), (long)count, MSG_DONTWAIT | MSG_NOSIGNAL,
                0, 0);
}

long engine_sys_recvmmsg(int fd, struct mmsghdr *messages, size_t count)
{
    return call(SYS_recvmmsg, fd, call_pointer(messages), (long)count, MSG_DONTWAIT, 0, 0);
}

long engine_sys_udp_socket(sa_family_t family)
{
    return call(SYS_socket, family, SOCK_DGRAM | SOCK_CLOEXEC, IPPROTO_UDP, 0, 0, 0);
}

long engine_sys_bind(int fd, const struct sockaddr *addr, socklen_t addr_bytes)
{
    return call(SYS_bind, fd, call_pointer(addr), addr_bytes, 0, 0, 0);
}

long engine_sys_connect(int fd, const struct sockaddr *addr, socklen_t addr_bytes)
{
    return call(SYS_connect, fd, call_pointer(addr), addr_bytes, 0, 0, 0);
}

long engine_sys_getsockname(int fd, struct sockaddr_storage *addr)
{
    socklen_t bytes = sizeof *addr;

    return call(SYS_getsockname, fd, call_pointer(addr), call_pointer(&bytes), 0, 0, 0);
}

long engine_sys_getpeername(int fd, struct sockaddr_storage *addr)
{
    socklen_t bytes = sizeof *addr;

    return call(SYS_getpeername, fd, call_pointer(addr), call_pointer(&bytes), 0, 0, 0);
}

long engine_sys_setsockopt_int(int fd, int level, int option, int value)
{
    return call(SYS_setsockopt, fd, level, option, call_pointer(&value), sizeof value, 0);
}

long engine_sys_getsockopt_int(int fd, int level, int option, int *value)
{
    socklen_t bytes = sizeof *value;

    return call(SYS_getsockopt, fd, level, option, call_pointer(value), call_pointer(&bytes), 0);
}

long engine_sys_close(int fd)
{
    return call(SYS_close, fd, 0, 0, 0, 0, 0);
}

long engine_sys_duplicate_from(int fd, int fd_min)
{
    return call(SYS_fcntl, fd, F_DUPFD_CLOEXEC, fd_min, 0, 0, 0);
}

long engine_sys_eventfd(void)
{
    return call(SYS_eventfd2, 0, EFD_CLOEXEC | EFD_NONBLOCK, 0, 0, 0, 0);
}

void engine_sys_eventfd_set(int fd)
{
    uint64_t one = 1;

    call(SYS_write, fd, call_pointer(&one), sizeof one, 0, 0, 0);
}

void engine_sys_eventfd_clear(int fd)
{
    uint64_t count = 0;

    call(SYS_read, fd, call_pointer(&count), sizeof count, 0, 0, 0);
}

long engine_sys_epoll_create(void)
{
    return call(SYS_epoll_create1, EPOLL_CLOEXEC, 0, 0, 0, 0, 0);
}

long engine_sys_epoll_ctl(int epoll_fd, int operation, int fd, struct epoll_event *event)
{
    return call(SYS_epoll_ctl, epoll_fd, operation, fd, call_pointer(event), 0, 0);
}

static long epoll_wait_ms(int epoll_fd, struct epoll_event *events, size_t count,
                          uint64_t timeout_us)
{
    uint64_t timeout_ms = (timeout_us / RUDP_US_PER_MS) + (timeout_us % RUDP_US_PER_MS != 0);
    long limit_ms = timeout_us == RUDP_NEVER ? -1 : (long)min_u64(timeout_ms, INT32_MAX);

    return call(SYS_epoll_pwait, epoll_fd, call_pointer(events), (long)count, limit_ms, 0,
                sizeof(uint64_t));
}

long engine_sys_epoll_wait(int epoll_fd, struct epoll_event *events, size_t count,
                           uint64_t timeout_us)
{
#ifdef SYS_epoll_pwait2
    struct kernel_timespec timeout = timespec_from_us(timeout_us);
    long result = call(SYS_epoll_pwait2, epoll_fd, call_pointer(events), (long)count,
                       timeout_us == RUDP_NEVER ? 0 : call_pointer(&timeout), 0, sizeof(uint64_t));

    if (result != -ENOSYS)
        return result;
#endif
    return epoll_wait_ms(epoll_fd, events, count, timeout_us);
}

void engine_sys_futex_wait(_Atomic uint32_t *word, uint32_t value, uint64_t timeout_us)
{
    struct kernel_timespec timeout = timespec_from_us(timeout_us);

    call(FUTEX_NUMBER, call_pointer(word), FUTEX_WAIT_PRIVATE, (long)value,
         timeout_us == RUDP_NEVER ? 0 : call_pointer(&timeout), 0, 0);
}

void engine_sys_futex_wake_all(_Atomic uint32_t *word)
{
    call(FUTEX_NUMBER, call_pointer(word), FUTEX_WAKE_PRIVATE, INT32_MAX, 0, 0, 0);
}

long engine_sys_getrandom(void *out, size_t bytes)
{
    return call(SYS_getrandom, call_pointer(out), (long)bytes, 0, 0, 0, 0);
}
