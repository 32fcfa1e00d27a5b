/* A plain UDP request and answer program that knows nothing of the shim.
 *
 *     udp_rpc serve HOST PORT             answers every datagram with the same bytes, for ever
 *     udp_rpc call HOST PORT COUNT SEED   sends COUNT requests, each when the one before was
 * answered
 *
 * call exits with 0 when every answer equals its request, with the errno of a failed call else. */
#include <arpa/inet.h>
#include <err.h>
#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#define REQUEST_BYTES_MAX 3000u
#define EXIT_WRONG_ANSWER 255

static struct sockaddr_in address_of(const char *host, const char *port)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons((uint16_t)atoi(port))};

    if (inet_pton(AF_INET, host, &address.sin_addr) != 1)
        errx(EXIT_WRONG_ANSWER, "'%s' is not an IPv4 address", host);
    return address;
}

static int fail(const char *what)
{
    int error = errno;

    warn("%s", what);
    return error;
}

static int serve(const struct sockaddr_in *at)
{
    static uint8_t data[65536];
    int fd = socket(AF_INET, SOCK_DGRAM, 0);

    if (fd < 0 || bind(fd, (const struct sockaddr *)at, sizeof *at) != 0)
        return fail("bind");
    for (;;) {
        struct sockaddr_in from;
        socklen_t from_bytes = sizeof from;
        ssize_t bytes = recvfrom(fd, data, sizeof data, 0, (struct sockaddr *)&from, &from_bytes);

        if (bytes < 0)
            return fail("recvfrom");
        if (sendto(fd, data, (size_t)bytes, 0, (struct sockaddr *)&from, from_bytes) < 0)
            warn("sendto"); /* one client's trouble is not the others' */
    }
}

static size_t make_request(uint8_t *request, uint32_t seed, uint32_t index)
{
    uint32_t state = (seed * 2654435761u) ^ (index * 40503u + 1);
    size_t bytes = state % (REQUEST_BYTES_MAX + 1);

    for (size_t i = 0; i < bytes; i++) {
        state = state * 1664525u + 1013904223u;
        request[i] = (uint8_t)(state >> 24);
    }
    return bytes;
}

static int call(const struct sockaddr_in *to, uint32_t count, uint32_t seed)
{
    uint8_t request[REQUEST_BYTES_MAX], answer[REQUEST_BYTES_MAX + 1];
    int fd = socket(AF_INET, SOCK_DGRAM, 0);

    if (fd < 0 || connect(fd, (const struct sockaddr *)to, sizeof *to) != 0)
        return fail("connect");
    for (uint32_t i = 0; i < count; i++) {
        size_t bytes = make_request(request, seed, i);

        if (send(fd, request, bytes, 0) < 0)
            return fail("send");
        ssize_t answer_bytes = recv(fd, answer, sizeof answer, 0);

        if (answer_bytes < 0)
            return fail("recv");
        if ((size_t)answer_bytes != bytes || memcmp(answer, request, bytes) != 0) {
            warnx("answer %u of %zd bytes differs from the request of %zu", i, answer_bytes, bytes);
            return EXIT_WRONG_ANSWER;
        }
    }
    return EXIT_SUCCESS;
}

int main(int argc, char **argv)
{
    if (argc == 4 && strcmp(argv[1], "serve") == 0) {
        struct sockaddr_in address = address_of(argv[2], argv[3]);

        return serve(&address);
    }
    if (argc == 6 && strcmp(argv[1], "call") == 0) {
        struct sockaddr_in address = address_of(argv[2], argv[3]);

        return call(&address, (uint32_t)atoi(argv[4]), (uint32_t)atoi(argv[5]));
    }
    errx(EXIT_WRONG_ANSWER, "usage: udp_rpc serve HOST PORT | call HOST PORT COUNT SEED");
}
