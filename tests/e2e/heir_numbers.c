/* Prints the descriptor numbers that a program sees while the process that bound its socket ends
 * and a child goes on with it. Knows nothing of the shim: started plainly and under it, it must
 * print the same.
 *
 *     heir_numbers ENDING CLOSING
 *
 * ENDING: how the process ends that bound the socket, exit or kill. CLOSING: how the child then
 * closes all but its first three numbers: loop (up to its hard limit), range or closefrom. */
#include <arpa/inet.h>
#include <err.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#define OPENED_COUNT 8

/* The processes: main starts an owner, which binds and forks the heir. */
struct plan {
    const char *ending;
    const char *closing;
    int go[2];   /* closed by main when the owner is to exit */
    int tell[2]; /* to main: the address, the heir's one byte when it stands by */
};

static int checked(int result, const char *what)
{
    if (result < 0)
        err(EXIT_FAILURE, "%s", what);
    return result;
}

static struct sockaddr_in loopback(void)
{
    return (struct sockaddr_in){
        .sin_family = AF_INET,
        .sin_addr.s_addr = htonl(INADDR_LOOPBACK),
    };
}

/* What a program may open, in turn. The numbers stay open. */
static void open_all(const char *when, int fd, int opened[OPENED_COUNT])
{
    opened[0] = open("/dev/null", O_RDONLY);
    opened[1] = dup(fd);
    opened[2] = socket(AF_INET, SOCK_DGRAM, 0);
    opened[3] = socket(AF_INET6, SOCK_STREAM, 0);
    checked(pipe(&opened[4]), "pipe");
    opened[6] = fcntl(fd, F_DUPFD, 0);
    opened[7] = epoll_create1(0);
    printf("%s:", when);
    for (int index = 0; index < OPENED_COUNT; index++)
        printf(" %d", checked(opened[index], "open"));
    printf("\n");
}

static void close_some(const int opened[OPENED_COUNT], int first, int step)
{
    for (int index = first; index < OPENED_COUNT; index += step)
        checked(close(opened[index]), "close");
}

static void answer(int fd)
{
    struct sockaddr_in from;
    socklen_t bytes = sizeof from;
    char byte;

    checked((int)recvfrom(fd, &byte, 1, 0, (struct sockaddr *)&from, &bytes), "recvfrom");
    checked((int)sendto(fd, &byte, 1, 0, (struct sockaddr *)&from, bytes), "sendto");
}

/* Opens and closes until the owner has ended and a datagram has come. Each number is printed once.
 */
static void open_until_ready(int fd)
{
    int number = -1;
    char byte;

    printf("during:");
    do {
        int opened = checked(dup(STDIN_FILENO), "dup");

        if (opened != number)
            printf(" %d", opened);
        number = opened;
        checked(close(opened), "close");
    } while (recv(fd, &byte, 1, MSG_PEEK | MSG_DONTWAIT) < 0 && errno == EAGAIN);
    printf("\n");
}

/* Each number that closes is printed. */
static void close_by_loop(void)
{
    struct rlimit limit;

    checked(getrlimit(RLIMIT_NOFILE, &limit), "getrlimit");
    for (int fd = 3; fd < (int)limit.rlim_max; fd++) {
        if (close(fd) == 0)
            printf(" %d", fd);
        else if (errno != EBADF)
            printf(" %d: %s", fd, strerror(errno));
    }
}

/* The numbers that are open to whoever asks by closing them. */
static void close_all(const char *closing)
{
    printf("closed:");
    if (strcmp(closing, "range") == 0)
        checked(close_range(3, ~0u, 0), "close_range");
    else if (strcmp(closing, "closefrom") == 0)
        closefrom(3);
    close_by_loop();
    printf("\n");
}

static void run_heir(const struct plan *plan, int fd)
{
    struct sockaddr_in address;
    socklen_t bytes = sizeof address;
    int before[OPENED_COUNT];
    int after[OPENED_COUNT];

    checked(getsockname(fd, (struct sockaddr *)&address, &bytes), "getsockname");
    open_all("before", fd, before);
    close_some(before, 0, 2);
    checked((int)write(plan->tell[1], "x", 1), "write");
    open_until_ready(fd);
    open_all("after", fd, after);
    answer(after[1]);
    close_some(after, 1, 3);
    open_all("then", fd, after);
    checked(dup2(fd, STDIN_FILENO), "dup2");
    close_all(plan->closing);
    open_all("anew", STDIN_FILENO, after);
    answer(STDIN_FILENO);
    printf("end\n");
}

static void run_owner(const struct plan *plan)
{
    struct sockaddr_in address = loopback();
    socklen_t bytes = sizeof address;
    char byte;
    int fd = checked(socket(AF_INET, SOCK_DGRAM, 0), "socket");

    checked(close(plan->go[1]), "close");
    checked(bind(fd, (struct sockaddr *)&address, sizeof address), "bind");
    checked(getsockname(fd, (struct sockaddr *)&address, &bytes), "getsockname");
    checked((int)write(plan->tell[1], &address, sizeof address), "write");
    answer(fd);
    pid_t heir = checked(fork(), "fork");

    if (heir == 0) {
        run_heir(plan, fd);
        exit(EXIT_SUCCESS);
    }
    checked((int)read(plan->go[0], &byte, 1), "read");
    exit(EXIT_SUCCESS);
}

static void ask(int fd)
{
    char byte = 'x';

    checked((int)send(fd, &byte, 1, 0), "send");
    if (recv(fd, &byte, 1, 0) != 1)
        err(EXIT_FAILURE, "recv");
}

static void end_owner(const struct plan *plan, pid_t owner)
{
    if (strcmp(plan->ending, "kill") == 0)
        checked(kill(owner, SIGKILL), "kill");
    checked(close(plan->go[1]), "close");
    checked(waitpid(owner, NULL, 0), "waitpid");
}

int main(int argc, char **argv)
{
    struct plan plan;
    struct sockaddr_in address;
    char byte;

    if (argc != 3)
        errx(EXIT_FAILURE, "usage: heir_numbers ENDING CLOSING");
    plan = (struct plan){.ending = argv[1], .closing = argv[2]};
    setvbuf(stdout, NULL, _IOLBF, BUFSIZ);
    checked(pipe(plan.go), "pipe");
    checked(pipe(plan.tell), "pipe");
    pid_t owner = checked(fork(), "fork");

    if (owner == 0)
        run_owner(&plan);
    checked(close(plan.tell[1]), "close");
    checked((int)read(plan.tell[0], &address, sizeof address), "read");
    int fd = checked(socket(AF_INET, SOCK_DGRAM, 0), "socket");

    checked(connect(fd, (struct sockaddr *)&address, sizeof address), "connect");
    ask(fd);
    if (read(plan.tell[0], &byte, 1) != 1)
        errx(EXIT_FAILURE, "no heir");
    end_owner(&plan, owner);
    ask(fd);
    ask(fd);
    return EXIT_SUCCESS;
}
