/* hooks_descriptor.c - descriptors: copying and closing them, and keeping our own. */
#define _GNU_SOURCE
#include "shim/adopt.h"
#include "shim/hook.h"
#include "shim/linger.h"
#include "shim/log.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/close_range.h>
#include <stdarg.h>

bool shim_hook_is_stale(const struct fd_table_seen *seen, ssize_t result)
{
    if (result >= 0 || (errno != ENOTSOCK && errno != EBADF))
        return false;
    if (fd_table_is_still(seen))
        shim_socket_forget(seen->sock, seen->fd);
    return true;
}

void shim_hook_renew(int fd, struct shim_socket *sock)
{
    bool stored = true;

    if (shim_process_is_guest())
        return;
    struct shim_socket *before =
        sock == NULL ? fd_table_clear(fd) : fd_table_set(fd, sock, &stored);

    if (before != NULL)
        shim_socket_release(before);
    if (!stored)
        shim_log(SHIM_LOG_ERROR, "no memory to remember a copy of a descriptor");
}

/* As the kernel answers for a number that is not open. */
static int refuse(void)
{
    errno = EBADF;
    return -1;
}

int hook_close(int fd)
{
    if (fd_table_is_private(fd))
        return refuse();
    if (!fd_table_has_socket(fd) || shim_process_is_guest())
        return real.close(fd);
    /* The entry first: once closed, the number may be somebody else's. */
    struct shim_socket *sock = fd_table_clear(fd);

    if (sock != NULL && atomic_load(&sock->users) == 1)
        shim_linger_count_unread(sock, fd);
    int result = real.close(fd);

    if (sock != NULL)
        shim_socket_release(sock);
    shim_linger_sweep();
    return result;
}
SHIM_DEFINE_ALIAS(__close, close);

int hook_close_range(unsigned int first, unsigned int last, int flags)
{
    if ((flags & CLOSE_RANGE_CLOEXEC) != 0 || first > last)
        return real.close_range(first, last, flags);
    int result = 0;

    for (int fd = fd_table_next(first, last); fd >= 0;
         fd = fd_table_next((unsigned int)fd + 1, last)) {
        if (!fd_table_is_private(fd)) {
            (void)hook_close(fd);
            continue;
        }
        if ((unsigned int)fd > first)
            result = real.close_range(first, (unsigned int)fd - 1, flags);
        first = (unsigned int)fd + 1;
    }
    return result == 0 && first <= last ? real.close_range(first, last, flags) : result;
}

void hook_closefrom(int first)
{
    (void)hook_close_range(first < 0 ? 0 : (unsigned int)first, UINT_MAX, 0);
}

int hook_dup(int fd)
{
    SHIM_HOOK_USE(sock, fd);
    int copy = real.dup(fd);

    if (copy >= 0)
        shim_hook_renew(copy, sock);
    return copy;
}

int hook_dup2(int fd, int target)
{
    SHIM_HOOK_USE(sock, fd);

    if (fd_table_is_private(target) || fd_table_is_private(fd))
        return refuse();
    int copy = real.dup2(fd, target);

    if (copy >= 0 && fd != target)
        shim_hook_renew(copy, sock);
    return copy;
}
SHIM_DEFINE_ALIAS(__dup2, dup2);

int hook_dup3(int fd, int target, int flags)
{
    SHIM_HOOK_USE(sock, fd);

    if (fd_table_is_private(target) || fd_table_is_private(fd))
        return refuse();
    int copy = real.dup3(fd, target, flags);

    if (copy >= 0)
        shim_hook_renew(copy, sock);
    return copy;
}

int hook_pidfd_getfd(int pidfd, int target, unsigned int flags)
{
    int fd = real.pidfd_getfd(pidfd, target, flags);

    if (fd >= 0)
        shim_adopt_received(fd);
    return fd;
}

static int control(int (*call)(int, int, ...), int fd, int command, void *argument)
{
    SHIM_HOOK_USE(sock, fd);
    int result = call(fd, command, argument);

    if (result < 0)
        return result;
    if (command == F_DUPFD || command == F_DUPFD_CLOEXEC)
        shim_hook_renew(result, sock);
    /* The wire follows, for plain sends. */
    if (command == F_SETFL && sock != NULL)
        (void)call(sock->wire_fd, command, argument);
    return result;
}

int hook_fcntl(int fd, int command, ...)
{
    va_list arguments;

    va_start(arguments, command);
    void *argument = va_arg(arguments, void *);
    va_end(arguments);
    return control(real.fcntl, fd, command, argument);
}
SHIM_DEFINE_ALIAS(__fcntl, fcntl);

int hook_fcntl64(int fd, int command, ...)
{
    va_list arguments;

    va_start(arguments, command);
    void *argument = va_arg(arguments, void *);
    va_end(arguments);
    return control(real.fcntl64, fd, command, argument);
}
