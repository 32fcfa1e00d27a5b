/* other_calls.c - calls on descriptors that are none of the shim's, timed: one line for each, its
 * name and the nanoseconds of a call. With an argument a UDP socket is open and in use meanwhile.
 */
#include <netinet/in.h>
#include <poll.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define CALL_COUNT 300000u

static int zero_fd;
static int pair[2];

static void check(int result)
{
    if (result >= 0)
        return;
    perror("other_calls");
    exit(EXIT_FAILURE);
}

static void call_read(void)
{
    char byte;

    check((int)read(zero_fd, &byte, 1));
}

static void call_send_and_recv(void)
{
    char byte = 'x';

    check((int)send(pair[0], &byte, 1, 0));
    check((int)recv(pair[1], &byte, 1, 0));
}

static void call_poll(void)
{
    struct pollfd one = {.fd = pair[0], .events = POLLOUT};

    check(poll(&one, 1, 0));
}

static void call_dup_and_close(void)
{
    int fd = dup(zero_fd);

    check(fd);
    check(close(fd));
}

static double time_of(void (*call)(void))
{
    struct timespec begin;
    struct timespec end;

    clock_gettime(CLOCK_MONOTONIC, &begin);
    for (uint32_t i = 0; i < CALL_COUNT; i++)
        call();
    clock_gettime(CLOCK_MONOTONIC, &end);
    return ((double)(end.tv_sec - begin.tv_sec) * 1e9 + (double)(end.tv_nsec - begin.tv_nsec)) /
           CALL_COUNT;
}

static void use_udp(void)
{
    struct sockaddr_in self = {.sin_family = AF_INET, .sin_addr = {htonl(INADDR_LOOPBACK)}};
    int fd = socket(AF_INET, SOCK_DGRAM, 0);

    check(fd);
    check(bind(fd, (struct sockaddr *)&self, sizeof self));
}

int main(int argc, char **argv)
{
    (void)argv;
    if (argc > 1)
        use_udp();
    FILE *zero = fopen("/dev/zero", "r");

    if (zero == NULL)
        return EXIT_FAILURE;
    zero_fd = fileno(zero);
    check(socketpair(AF_UNIX, SOCK_STREAM, 0, pair));
    printf("read %f\n", time_of(call_read));
    printf("send+recv %f\n", time_of(call_send_and_recv));
    printf("poll %f\n", time_of(call_poll));
    printf("dup+close %f\n", time_of(call_dup_and_close));
    return EXIT_SUCCESS;
}
