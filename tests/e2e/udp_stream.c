/* A plain UDP program that knows nothing of the shim: sends the messages of standard input, or
 * writes those that come in to standard output. Both as a 4-byte big-endian length and the bytes.
 *
 *     udp_stream send HOST PORT [--connect] [--hard-exit]
 *     udp_stream receive HOST PORT [--wait]
 *
 * --connect uses connect and send, else sendto; --hard-exit leaves by _exit right after the last
 * message; --wait begins to receive when standard input ends. */
#include <arpa/inet.h>
#include <err.h>
#include <netdb.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define MESSAGE_BYTES_MAX 65536u

static uint8_t message[MESSAGE_BYTES_MAX];

static struct addrinfo *resolve(const char *host, const char *port)
{
    const struct addrinfo hints = {.ai_socktype = SOCK_DGRAM};
    struct addrinfo *found;
    int error = getaddrinfo(host, port, &hints, &found);

    if (error != 0)
        errx(EXIT_FAILURE, "%s: %s", host, gai_strerror(error));
    return found;
}

static int open_socket(const struct addrinfo *address)
{
    int fd = socket(address->ai_family, SOCK_DGRAM, 0);

    if (fd < 0)
        err(EXIT_FAILURE, "socket");
    return fd;
}

static size_t read_message(void)
{
    uint32_t bytes;

    if (fread(&bytes, sizeof bytes, 1, stdin) != 1)
        return SIZE_MAX;
    bytes = ntohl(bytes);
    if (bytes > sizeof message || fread(message, 1, bytes, stdin) != bytes)
        errx(EXIT_FAILURE, "standard input ends inside a message");
    return bytes;
}

static void send_all(const struct addrinfo *to, bool connected)
{
    int fd = open_socket(to);
    size_t bytes;

    if (connected && connect(fd, to->ai_addr, to->ai_addrlen) != 0)
        err(EXIT_FAILURE, "connect");
    while ((bytes = read_message()) != SIZE_MAX) {
        ssize_t sent = connected ? send(fd, message, bytes, 0)
                                 : sendto(fd, message, bytes, 0, to->ai_addr, to->ai_addrlen);

        if (sent != (ssize_t)bytes)
            err(EXIT_FAILURE, "send of %zu bytes", bytes);
    }
}

static void receive_all(const struct addrinfo *at, bool wait)
{
    int fd = open_socket(at);

    if (bind(fd, at->ai_addr, at->ai_addrlen) != 0)
        err(EXIT_FAILURE, "bind");
    while (wait && getchar() != EOF)
        continue;
    for (;;) {
        ssize_t bytes = recv(fd, message, sizeof message, 0);

        if (bytes < 0)
            err(EXIT_FAILURE, "recv");
        uint32_t length = htonl((uint32_t)bytes);

        if (fwrite(&length, sizeof length, 1, stdout) != 1 ||
            fwrite(message, 1, (size_t)bytes, stdout) != (size_t)bytes || fflush(stdout) != 0)
            err(EXIT_FAILURE, "standard output");
    }
}

static bool has_option(char **argv, const char *option)
{
    while (*argv != NULL && strcmp(*argv, option) != 0)
        argv++;
    return *argv != NULL;
}

int main(int argc, char **argv)
{
    if (argc < 4)
        errx(EXIT_FAILURE, "usage: udp_stream send|receive HOST PORT [OPTION...]");
    struct addrinfo *address = resolve(argv[2], argv[3]);

    if (strcmp(argv[1], "receive") == 0)
        receive_all(address, has_option(argv + 4, "--wait"));
    else
        send_all(address, has_option(argv + 4, "--connect"));
    freeaddrinfo(address);
    if (has_option(argv + 4, "--hard-exit"))
        _exit(EXIT_SUCCESS);
    return EXIT_SUCCESS;
}
