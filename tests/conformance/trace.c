#include "trace.h"

#include <arpa/inet.h>
#include <errno.h>
#include <net/if.h>
#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#define NAME_COUNT_MAX   16
#define SHOWN_BYTES_MAX  64
#define NUMBER_TEXTS_MAX 4

static struct {
    struct {
        uint16_t port;
        const char *name;
    } ports[NAME_COUNT_MAX];
    struct {
        int fd;
        const char *name;
    } fds[NAME_COUNT_MAX];
    size_t port_count;
    size_t fd_count;
} names;

struct flag {
    unsigned int bit;
    const char *name;
};

static const struct flag message_flags[] = {
    {MSG_OOB, "OOB"},           {MSG_PEEK, "PEEK"},         {MSG_DONTROUTE, "DONTROUTE"},
    {MSG_CTRUNC, "CTRUNC"},     {MSG_TRUNC, "TRUNC"},       {MSG_DONTWAIT, "DONTWAIT"},
    {MSG_EOR, "EOR"},           {MSG_WAITALL, "WAITALL"},   {MSG_CONFIRM, "CONFIRM"},
    {MSG_ERRQUEUE, "ERRQUEUE"}, {MSG_NOSIGNAL, "NOSIGNAL"}, {MSG_MORE, "MORE"},
    {MSG_PROXY, "PROBE"},       {MSG_WAITFORONE, "ONE"},    {MSG_CMSG_CLOEXEC, "CLOEXEC"},
};

static const struct flag poll_flags[] = {
    {POLLIN, "IN"},         {POLLPRI, "PRI"},       {POLLOUT, "OUT"},       {POLLERR, "ERR"},
    {POLLHUP, "HUP"},       {POLLNVAL, "NVAL"},     {POLLRDNORM, "RDNORM"}, {POLLRDBAND, "RDBAND"},
    {POLLWRNORM, "WRNORM"}, {POLLWRBAND, "WRBAND"}, {POLLMSG, "MSG"},       {POLLRDHUP, "RDHUP"},
};

static void add(const char *format, va_list arguments)
{
    int saved_errno = errno;

    vprintf(format, arguments);
    errno = saved_errno;
}

void trace(const char *format, ...)
{
    va_list arguments;

    va_start(arguments, format);
    add(format, arguments);
    va_end(arguments);
}

void trace_more(const char *format, ...)
{
    va_list arguments;

    va_start(arguments, format);
    putchar(' ');
    add(format, arguments);
    va_end(arguments);
}

void trace_line(const char *format, ...)
{
    va_list arguments;

    va_start(arguments, format);
    add(format, arguments);
    va_end(arguments);
    trace_end();
}

long trace_result(long result)
{
    if (result < 0)
        trace(" = %ld %s", result, strerrorname_np(errno));
    else
        trace(" = %ld", result);
    return result;
}

void trace_end(void)
{
    int saved_errno = errno;

    putchar('\n');
    fflush(stdout); /* what a crash leaves shows how far it came */
    errno = saved_errno;
}

void trace_differs(const char *id, const char *expected)
{
    trace_line("~%s %s", id, expected);
}

static uint32_t checksum(const uint8_t *data, size_t bytes)
{
    uint32_t hash = 2166136261u; /* FNV-1a */

    for (size_t index = 0; index < bytes; index++)
        hash = (hash ^ data[index]) * 16777619u;
    return hash;
}

void trace_bytes(const void *data, size_t bytes)
{
    const uint8_t *at = data;

    if (bytes > SHOWN_BYTES_MAX) {
        trace_more("%zu bytes %08x", bytes, checksum(at, bytes));
        return;
    }
    trace_more("\"");
    for (size_t index = 0; index < bytes; index++)
        trace(at[index] >= ' ' && at[index] <= '~' ? "%c" : "\\x%02x", at[index]);
    trace("\"");
}

static const char *port_name(uint16_t port)
{
    for (size_t index = 0; index < names.port_count; index++)
        if (names.ports[index].port == port)
            return names.ports[index].name;
    return port == 0 ? "0" : "some";
}

static void trace_raw_address(const struct sockaddr_storage *addr, size_t bytes)
{
    const uint8_t *at = (const uint8_t *)addr;

    trace_more("cut:");
    for (size_t index = 0; index < bytes; index++)
        trace(index == 2 || index == 3 ? "pp" : "%02x", at[index]); /* the port */
}

void trace_address(const struct sockaddr_storage *addr, socklen_t bytes)
{
    const struct sockaddr_in *v4 = (const struct sockaddr_in *)addr;
    const struct sockaddr_in6 *v6 = (const struct sockaddr_in6 *)addr;
    char text[INET6_ADDRSTRLEN];
    char device[IF_NAMESIZE];
    int saved_errno = errno;

    if (bytes >= sizeof *v4 && addr->ss_family == AF_INET) {
        trace_more("%s:%s", inet_ntop(AF_INET, &v4->sin_addr, text, sizeof text),
                   port_name(ntohs(v4->sin_port)));
    } else if (bytes >= sizeof *v6 && addr->ss_family == AF_INET6) {
        trace_more("[%s]:%s", inet_ntop(AF_INET6, &v6->sin6_addr, text, sizeof text),
                   port_name(ntohs(v6->sin6_port)));
        if (v6->sin6_flowinfo != 0)
            trace_more("flow %x", ntohl(v6->sin6_flowinfo));
        if (v6->sin6_scope_id != 0)
            trace_more("scope %s", if_indextoname(v6->sin6_scope_id, device));
    } else {
        trace_raw_address(addr, bytes);
    }
    errno = saved_errno;
}

static void trace_flags(const struct flag *flags, size_t count, unsigned int set)
{
    const char *separator = "";

    trace_more("{");
    for (size_t index = 0; index < count; index++) {
        if ((set & flags[index].bit) == 0)
            continue;
        trace("%s%s", separator, flags[index].name);
        separator = "|";
        set &= ~flags[index].bit;
    }
    if (set != 0)
        trace("%s%#x", separator, set);
    trace("}");
}

void trace_message_flags(int flags)
{
    trace_flags(message_flags, sizeof message_flags / sizeof *message_flags, (unsigned int)flags);
}

void trace_poll_events(short events)
{
    trace_flags(poll_flags, sizeof poll_flags / sizeof *poll_flags, (unsigned short)events);
}

void trace_name_port(uint16_t port, const char *name)
{
    if (names.port_count == NAME_COUNT_MAX)
        return;
    names.ports[names.port_count].port = port;
    names.ports[names.port_count++].name = name;
}

void trace_name_fd(int fd, const char *name)
{
    for (size_t index = 0; index < names.fd_count; index++)
        if (names.fds[index].fd == fd) {
            names.fds[index].name = name;
            return;
        }
    if (names.fd_count == NAME_COUNT_MAX)
        return;
    names.fds[names.fd_count].fd = fd;
    names.fds[names.fd_count++].name = name;
}

const char *trace_fd(int fd)
{
    static _Thread_local char texts[NUMBER_TEXTS_MAX][12];
    static _Thread_local unsigned int next;

    for (size_t index = 0; index < names.fd_count; index++)
        if (names.fds[index].fd == fd)
            return names.fds[index].name;
    char *text = texts[next++ % NUMBER_TEXTS_MAX];

    snprintf(text, sizeof texts[0], "%d", fd);
    return text;
}
