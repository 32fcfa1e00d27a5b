/* cases_descriptor.c - descriptors, processes, and calls that do not look like a socket's. */
#include "cases.h"

#include <errno.h>
#include <fcntl.h>
#include <net/if.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

static void receive_on(const struct variant *variant, const struct ends *ends, int fd)
{
    say(variant, ends, "to any copy");
    AWAIT_INPUT(fd);
    step_recv(fd, 20, 0);
}

/* The numbers are those a program would have got. */
static void numbers(const struct variant *variant)
{
    int fds[5];

    for (int index = 0; index < 5; index++) {
        fds[index] = socket(variant->family, SOCK_DGRAM, 0);
        trace_line("socket %d", fds[index]);
    }
    close(fds[1]);
    close(fds[3]);
    trace_line("socket %d", socket(variant->family, SOCK_DGRAM, 0));
    trace_line("open %d", open("/dev/null", O_RDONLY));
    trace_line("dup %d", dup(fds[0]));
    trace_line("from 100: %d", fcntl(fds[0], F_DUPFD, 100));
    trace_line("pipe %d", pipe(fds));
    trace_line("ends %d %d", fds[0], fds[1]);
}

static void socket_arguments(const struct variant *variant)
{
    static const int types[] = {SOCK_DGRAM,
                                SOCK_DGRAM | SOCK_CLOEXEC,
                                SOCK_DGRAM | SOCK_NONBLOCK,
                                SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK,
                                SOCK_DGRAM | 0x1000,
                                99};
    static const int protocols[] = {0, IPPROTO_UDP, IPPROTO_TCP, 999, -1};

    for (size_t type = 0; type < sizeof types / sizeof *types; type++) {
        for (size_t index = 0; index < sizeof protocols / sizeof *protocols; index++) {
            trace("socket(%#x, %d)", (unsigned int)types[type], protocols[index]);
            int fd = (int)trace_result(socket(variant->family, types[type], protocols[index]));

            if (fd >= 0)
                trace_more("%#x %d", fcntl(fd, F_GETFL), fcntl(fd, F_GETFD));
            trace_end();
            close(fd);
        }
    }
}

static void copies(const struct variant *variant)
{
    struct ends ends;

    open_ends(variant, &ends);
    int copy = dup(ends.b);
    int other = fcntl(ends.b, F_DUPFD_CLOEXEC, 50);
    int third = dup2(ends.b, 60);
    int fourth = dup3(ends.b, 61, O_CLOEXEC);

    trace_line("numbers %d %d %d %d, flags %d %d %d %d", copy, other, third, fourth,
               fcntl(copy, F_GETFD), fcntl(other, F_GETFD), fcntl(third, F_GETFD),
               fcntl(fourth, F_GETFD));
    receive_on(variant, &ends, copy);
    step_getsockname(copy);
    step_close(ends.b);
    receive_on(variant, &ends, other);
    step_recv(ends.b, 10, MSG_DONTWAIT);
    step_close(copy);
    step_close(other);
    receive_on(variant, &ends, third);
    trace("dup2 onto itself");
    trace_result(dup2(third, third));
    trace_end();
    trace("dup3 onto itself");
    trace_result(dup3(third, third, 0));
    trace_end();
    receive_on(variant, &ends, third);
    int null = open("/dev/null", O_RDWR);

    trace("dup2 over");
    trace_result(dup2(null, third));
    trace_end();
    trace("read");
    trace_result(read(third, &(char){0}, 1));
    trace_end();
    receive_on(variant, &ends, fourth);
    trace("fcntl of a bad number");
    trace_result(fcntl(fourth, F_DUPFD, -1));
    trace_end();
    trace("close range");
    trace_result(close_range(50, 70, 0));
    trace_end();
    step_recv(fourth, 10, MSG_DONTWAIT);
}

static void close_on_exec(const struct variant *variant)
{
    int fd = socket(variant->family, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    int open_fd = socket(variant->family, SOCK_DGRAM, 0);
    char text[64];

    trace_line("flags %d %d", fcntl(fd, F_GETFD), fcntl(open_fd, F_GETFD));
    MUST(fcntl(open_fd, F_SETFD, FD_CLOEXEC) == 0);
    MUST(fcntl(fd, F_SETFD, 0) == 0);
    trace_line("flags %d %d", fcntl(fd, F_GETFD), fcntl(open_fd, F_GETFD));
    snprintf(text, sizeof text, "test -e /proc/self/fd/%d; echo $?", fd);
    FILE *shell = popen(text, "r");

    MUST(shell != NULL && fgets(text, sizeof text, shell) != NULL);
    trace("kept open: %.1s", text);
    pclose(shell);
    snprintf(text, sizeof text, "test -e /proc/self/fd/%d; echo $?", open_fd);
    shell = popen(text, "r");
    MUST(shell != NULL && fgets(text, sizeof text, shell) != NULL);
    trace(", closed: %.1s", text);
    pclose(shell);
    trace_end();
}

/* A child receives and answers on the inherited socket, the parent goes on with it after. */
static void forked(const struct variant *variant)
{
    struct ends ends;
    int status;

    open_ends(variant, &ends);
    say(variant, &ends, "request");
    pid_t child = fork();

    MUST(child >= 0);
    if (child == 0) {
        AWAIT_INPUT(ends.b);
        step_recvfrom(ends.b, 20, 0, SIZE_MAX);
        step_sendto(ends.b, "answer", 6, 0, variant->is_connected ? NULL : &ends.at_a);
        step_getsockname(ends.b);
        exit(0);
    }
    MUST(waitpid(child, &status, 0) == child);
    trace_line("status %d", status);
    AWAIT_INPUT(ends.a);
    step_recvfrom(ends.a, 20, 0, SIZE_MAX);
    receive_on(variant, &ends, ends.b);
}

/* libc's own reads and writes go past every hook. */
static void stream_io(const struct variant *variant)
{
    struct variant connected = *variant;
    struct ends ends;
    char line[32] = "";

    connected.is_connected = true;
    open_ends(&connected, &ends);
    FILE *out = fdopen(ends.a, "w");
    FILE *in = fdopen(ends.b, "r");

    MUST(out != NULL && in != NULL);
    trace_line("printed %d", fprintf(out, "a line of text\n"));
    trace_line("flushed %d", fflush(out));
    AWAIT_INPUT(ends.b);
    MUST(fgets(line, sizeof line, in) != NULL);
    trace("read");
    trace_bytes(line, strlen(line));
    trace_end();
    trace_line("closed %d", fclose(out));
    trace_line("closed %d", fclose(in));
    step_recv(ends.b, 10, MSG_DONTWAIT);
}

static void file_status(const struct variant *variant)
{
    struct ends ends;
    struct stat status;
    char path[64];
    char link[64] = "";

    open_ends(variant, &ends);
    MUST(fstat(ends.a, &status) == 0);
    trace_line("socket %d mode %o size %ld", S_ISSOCK(status.st_mode), status.st_mode,
               (long)status.st_size);
    snprintf(path, sizeof path, "/proc/self/fd/%d", ends.a);
    MUST(readlink(path, link, sizeof link - 1) > 0);
    trace_line("link %.8s", link);
    trace("open through /proc");
    trace_result(open(path, O_RDWR));
    trace_end();
    trace("isatty");
    trace_result(isatty(ends.a));
    trace_end();
    trace("fsync");
    trace_result(fsync(ends.a));
    trace_end();
}

/* The port is in the kernel's table, where monitoring looks for it. */
static void listed(const struct variant *variant)
{
    struct ends ends;
    char line[256];
    char wanted[16];
    int count = 0;

    open_ends(variant, &ends);
    snprintf(wanted, sizeof wanted, ":%04X ", place_port(&ends.at_a));
    FILE *table =
        fopen(variant->family == AF_INET ? "/proc/self/net/udp" : "/proc/self/net/udp6", "r");

    MUST(table != NULL);
    while (fgets(line, sizeof line, table) != NULL)
        if (strstr(line, wanted) != NULL && strstr(line, wanted) - line < 45)
            count++;
    fclose(table);
    trace_line("lines of a's port: %d", count);
}

/* Sockets that are none of our business. */
static void other_sockets(const struct variant *variant)
{
    struct sockaddr_un name = {.sun_family = AF_UNIX};
    socklen_t bytes = sizeof name;
    int pair[2];

    (void)variant;
    int tcp = socket(AF_INET, SOCK_STREAM, 0);
    int local = socket(AF_UNIX, SOCK_DGRAM, 0);
    int lite = socket(AF_INET, SOCK_DGRAM, IPPROTO_UDPLITE);

    trace_line("numbers %d %d %d", tcp, local, lite);
    step_get(tcp, OPTION(SOL_SOCKET, SO_TYPE));
    step_get(local, OPTION(SOL_SOCKET, SO_DOMAIN));
    trace("listen");
    trace_result(listen(tcp, 1));
    trace_end();
    trace("syslog");
    strcpy(name.sun_path, "/nonexistent/log");
    trace_result(sendto(local, "x", 1, 0, (struct sockaddr *)&name, bytes));
    trace_end();
    MUST(socketpair(AF_UNIX, SOCK_DGRAM, 0, pair) == 0);
    step_send(pair[0], "local", 5, 0);
    step_recv(pair[1], 10, 0);
}

/* A service that stays plain by default: a datagram is a datagram. */
static void plain_service(const struct variant *variant)
{
    struct place at_a;
    struct place at_b = loopback(variant, 5353);
    int a = open_bound(variant, "a", &at_a);
    int b = open_unbound(variant, "b");
    int is_on = 1;
    char request[20];

    MUST(setsockopt(b, SOL_SOCKET, SO_REUSEADDR, &is_on, sizeof is_on) == 0);
    step_bind(b, &at_b);
    trace_name_port(5353, "b");
    step_sendto(a, "who is", 6, 0, &at_b);
    AWAIT_INPUT(b);
    step_recvfrom(b, sizeof request, 0, SIZE_MAX);
    step_sendto(b, "I am", 4, 0, &at_a);
    AWAIT_INPUT(a);
    step_recvfrom(a, 20, 0, SIZE_MAX);
}

static const struct conformance_case cases[] = {
    {"numbers", "47", BY_FAMILY, numbers},
    {"socket_arguments", "48", BY_FAMILY, socket_arguments},
    {"copies", "47 54", BY_FAMILY | BY_CONNECTION, copies},
    {"close_on_exec", "48", BY_FAMILY, close_on_exec},
    {"forked", "51", BY_FAMILY | BY_CONNECTION, forked},
    {"stream_io", "54", BY_FAMILY, stream_io},
    {"file_status", "56", BY_FAMILY, file_status},
    {"listed", "56", BY_FAMILY, listed},
    {"other_sockets", "58", 0, other_sockets},
    {"plain_service", "58", BY_FAMILY, plain_service},
};

DEFINE_GROUP(descriptor);
