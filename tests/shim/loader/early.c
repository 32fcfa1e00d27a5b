/* early.c - a library that uses sockets and descriptors in its constructor, before the shim's has
 * run, and sends from its destructor, after the program's: to the port in EARLY_PORT. */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define ROUND_COUNT 20

static struct sockaddr_in own = {.sin_family = AF_INET};

static void use_socket(void)
{
    char text[8];
    struct sockaddr_in bound;
    socklen_t bytes = sizeof bound;
    int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    int copy = dup(fd);

    if (bind(fd, (struct sockaddr *)&own, sizeof own) < 0 ||
        getsockname(copy, (struct sockaddr *)&bound, &bytes) < 0 ||
        sendto(fd, "early", 5, 0, (struct sockaddr *)&bound, bytes) != 5 ||
        recv(copy, text, sizeof text, 0) != 5 || close(fd) < 0 || close(copy) < 0)
        abort();
}

__attribute__((constructor)) static void begin(void)
{
    own.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    for (int round = 0; round < ROUND_COUNT; round++) {
        int null = open("/dev/null", O_RDONLY);

        use_socket();
        if (dup2(null, null + 1) != null + 1 || close(null) < 0 || close(null + 1) < 0)
            abort();
    }
    closefrom(STDERR_FILENO + 1);
}

__attribute__((destructor)) static void end(void)
{
    const char *port = getenv("EARLY_PORT");
    struct sockaddr_in to = own;

    if (port == NULL)
        return;
    int fd = socket(AF_INET, SOCK_DGRAM, 0);

    to.sin_port = htons((uint16_t)atoi(port));
    if (sendto(fd, "library", 7, 0, (struct sockaddr *)&to, sizeof to) != 7)
        abort();
}
