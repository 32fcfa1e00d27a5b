/* ending.c - a program that sends until its very end, and one that receives what it sent.
 *
 *     ending receive COUNT         prints its port, then one line a datagram
 *     ending send PORT HOW         HOW: return, exit, quick, hard */
#include <arpa/inet.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define PATIENCE_MS 20000

static int sender = -1;

static struct sockaddr_in loopback(uint16_t port)
{
    return (struct sockaddr_in){
        .sin_family = AF_INET,
        .sin_port = htons(port),
        .sin_addr.s_addr = htonl(INADDR_LOOPBACK),
    };
}

static void say(const char *text)
{
    if (sender >= 0 && send(sender, text, strlen(text), 0) < 0)
        perror("send");
}

static void say_handler(void)
{
    say("handler");
}

__attribute__((destructor)) static void say_destructor(void)
{
    say("destructor");
}

static int receive_all(int count)
{
    struct sockaddr_in own = loopback(0);
    socklen_t bytes = sizeof own;
    char text[64];
    int fd = socket(AF_INET, SOCK_DGRAM, 0);

    if (bind(fd, (struct sockaddr *)&own, sizeof own) < 0 ||
        getsockname(fd, (struct sockaddr *)&own, &bytes) < 0)
        return EXIT_FAILURE;
    (void)printf("%d\n", ntohs(own.sin_port));
    (void)fflush(stdout);
    for (int index = 0; index < count; index++) {
        struct pollfd ready = {.fd = fd, .events = POLLIN};

        if (poll(&ready, 1, PATIENCE_MS) != 1)
            return EXIT_FAILURE;
        ssize_t text_bytes = recv(fd, text, sizeof text, 0);

        if (text_bytes < 0)
            return EXIT_FAILURE;
        (void)printf("%.*s\n", (int)text_bytes, text);
    }
    return EXIT_SUCCESS;
}

static int send_all(uint16_t port, const char *how)
{
    struct sockaddr_in to = loopback(port);

    sender = socket(AF_INET, SOCK_DGRAM, 0);
    if (connect(sender, (struct sockaddr *)&to, sizeof to) < 0 || atexit(say_handler) != 0 ||
        at_quick_exit(say_handler) != 0)
        return EXIT_FAILURE;
    say("main");
    if (strcmp(how, "exit") == 0)
        exit(EXIT_SUCCESS);
    if (strcmp(how, "quick") == 0)
        quick_exit(EXIT_SUCCESS);
    if (strcmp(how, "hard") == 0)
        _exit(EXIT_SUCCESS);
    return EXIT_SUCCESS;
}

int main(int argument_count, char **arguments)
{
    if (argument_count == 3 && strcmp(arguments[1], "receive") == 0)
        return receive_all(atoi(arguments[2]));
    if (argument_count == 4 && strcmp(arguments[1], "send") == 0)
        return send_all((uint16_t)atoi(arguments[2]), arguments[3]);
    return EXIT_FAILURE;
}
