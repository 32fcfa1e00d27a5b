/* system.h - the kernel without libc between: every system call of the engine on descriptors.
 *
 * Three reasons. The program that carries us may interpose sendmmsg, close or syscall itself, and
 * must not be re-entered from here. The libc wrappers are cancellation points: a thread cancelled
 * inside a monitor would wedge it. And errno belongs to the program: these return a negative errno
 * instead and leave the variable alone. */
#ifndef RUDP_ENGINE_SYSTEM_H
#define RUDP_ENGINE_SYSTEM_H

#include "core/base.h"

#include <fcntl.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <time.h>

struct mmsghdr;
struct pollfd;

/* A signal mask as the kernel sees it, with the two signals that libc hides (32 and 33). */
struct engine_signal_mask {
    uint64_t bits;
};

/* Blocks every signal in the calling thread and returns what was blocked before. */
struct engine_signal_mask engine_sys_block_signals(void);
void engine_sys_restore_signals(struct engine_signal_mask mask);

/* Never blocks, never raises SIGPIPE. Number of messages, or a negative errno. */
long engine_sys_sendmmsg(int fd, struct mmsghdr *messages, size_t count);
long engine_sys_recvmmsg(int fd, struct mmsghdr *messages, size_t count);

long engine_sys_udp_socket(sa_family_t family); /* close-on-exec */
long engine_sys_bind(int fd, const struct sockaddr *addr, socklen_t addr_bytes);
long engine_sys_connect(int fd, const struct sockaddr *addr, socklen_t addr_bytes);
long engine_sys_getsockname(int fd, struct sockaddr_storage *addr);
long engine_sys_getpeername(int fd, struct sockaddr_storage *addr);
long engine_sys_setsockopt_int(int fd, int level, int option, int value);
long engine_sys_getsockopt_int(int fd, int level, int option, int *value);

long engine_sys_close(int fd);
long engine_sys_duplicate_from(int fd, int fd_min); /* close-on-exec */
long engine_sys_eventfd(void);                      /* non-blocking, close-on-exec */
void engine_sys_eventfd_set(int fd);                /* makes it readable */
void engine_sys_eventfd_clear(int fd);

long engine_sys_epoll_create(void);
long engine_sys_epoll_ctl(int epoll_fd, int operation, int fd, struct epoll_event *event);

/* timeout_us may be RUDP_NEVER. Rounded up to milliseconds before Linux 5.11. */
long engine_sys_epoll_wait(int epoll_fd, struct epoll_event *events, size_t count,
                           uint64_t timeout_us);

/* As poll(2), no cancellation point. timeout_us may be RUDP_NEVER. */
long engine_sys_poll(struct pollfd *fds, size_t count, uint64_t timeout_us);

/* Sleeps while *word == value, at most timeout_us (RUDP_NEVER: no limit). May return early. */
void engine_sys_futex_wait(_Atomic uint32_t *word, uint32_t value, uint64_t timeout_us);
void engine_sys_futex_wake_all(_Atomic uint32_t *word);

/* RLIMIT_NOFILE, as the kernel has it on every architecture. */
struct engine_file_limit {
    uint64_t soft;
    uint64_t hard;
};

long engine_sys_get_file_limit(struct engine_file_limit *limit);
long engine_sys_set_file_limit(const struct engine_file_limit *limit);

void engine_sys_read_clock(clockid_t clock, struct timespec *now);

long engine_sys_getrandom(void *out, size_t bytes);
long engine_sys_read_urandom(void *out, size_t bytes);

/* Locks on one byte of a file, which belong to the process: fork does not hand them on, and they go
 * with it, or with any descriptor of the file that it closes. */
enum engine_lock {
    ENGINE_LOCK_READ = F_RDLCK,
    ENGINE_LOCK_WRITE = F_WRLCK,
    ENGINE_LOCK_NONE = F_UNLCK,
};
long engine_sys_lock(int fd, uint64_t byte, enum engine_lock lock); /* never waits: -EAGAIN */
long engine_sys_lock_wait(int fd, uint64_t byte, enum engine_lock lock);

/* The process whose lock is in the way of such a lock: its pid, -1 when it has none here, 0 when
 * there is no such process. Or a negative errno below -1. */
long engine_sys_lock_holder(int fd, uint64_t byte, enum engine_lock lock);

/* Readable when the process is no more. Close-on-exec. */
long engine_sys_pidfd(long pid);

/* Memory of the process alone, cleared, a page or more; NULL: refused. */
void *engine_sys_map(size_t bytes);
void engine_sys_unmap(void *memory, size_t bytes);

long engine_sys_memfd(const char *name); /* close-on-exec */
long engine_sys_truncate(int fd, size_t bytes);

#endif
