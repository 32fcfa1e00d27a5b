/* A client that sends one message and prints the answer.
 *
 *     client [HOST [PORT]] */
#include <rudp/rudp.h>

#include <stdio.h>
#include <stdlib.h>

#define DEFAULT_HOST "localhost"
#define DEFAULT_PORT 55265
#define NO_LIMIT     (-1)

static int fail(const char *what, int error)
{
    fprintf(stderr, "client: %s: %s\n", what, rudp_error_text(error));
    return EXIT_FAILURE;
}

int main(int argc, char **argv)
{
    static const char message[] = "new message from client";
    const char *host = argc > 1 ? argv[1] : DEFAULT_HOST;
    uint16_t port = (uint16_t)(argc > 2 ? strtoul(argv[2], NULL, 10) : DEFAULT_PORT);
    char response[1024];
    rudp_client *client;
    int error = rudp_client_create(&client, host, port, NULL);

    if (error < 0)
        return fail("create", error);
    error = rudp_client_connect(client);
    if (error < 0)
        return fail("connect", error);
    printf("session started\n");

    error = rudp_client_send(client, message, sizeof message - 1, NO_LIMIT);
    if (error < 0)
        return fail("send", error);
    int64_t bytes = rudp_client_receive(client, response, sizeof response, NO_LIMIT);

    if (bytes < 0)
        return fail("receive", (int)bytes);
    printf("%.*s\n", (int)bytes, response);
    error = rudp_client_close(client);
    return error < 0 ? fail("close", error) : EXIT_SUCCESS;
}
