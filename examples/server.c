/* A server that takes one message of each client and answers it.
 *
 *     server [PORT [CLIENTS]]      CLIENTS: how many to serve before it ends; default: no end */
#include <rudp/rudp.h>

#include <stdio.h>
#include <stdlib.h>

#define DEFAULT_PORT 55265
#define BACKLOG      16
#define NO_LIMIT     (-1)

static int fail(const char *what, int error)
{
    fprintf(stderr, "server: %s: %s\n", what, rudp_error_text(error));
    return EXIT_FAILURE;
}

static int serve(rudp_connection *session)
{
    static const char answer[] = "message received";
    char message[1024];
    int64_t bytes = rudp_connection_receive(session, message, sizeof message, NO_LIMIT);

    if (bytes < 0)
        return (int)bytes;
    printf("%.*s\n", (int)bytes, message);
    return rudp_connection_send(session, answer, sizeof answer - 1, NO_LIMIT);
}

int main(int argc, char **argv)
{
    uint16_t port = (uint16_t)(argc > 1 ? strtoul(argv[1], NULL, 10) : DEFAULT_PORT);
    unsigned long client_count = argc > 2 ? strtoul(argv[2], NULL, 10) : 0;
    rudp_server *server;
    int error = rudp_server_create(&server, "", port, NULL);

    if (error < 0)
        return fail("create", error);
    error = rudp_server_listen(server, BACKLOG);
    if (error < 0)
        return fail("listen", error);
    setvbuf(stdout, NULL, _IOLBF, 0);
    printf("listening...\n");

    for (unsigned long served = 0; client_count == 0 || served < client_count; served++) {
        rudp_connection *session;

        error = rudp_server_accept(server, &session, NO_LIMIT);
        if (error < 0)
            return fail("accept", error);
        printf("new session started\n");
        error = serve(session);
        if (error < 0)
            fail("session", error);
        error = rudp_connection_close(session);
        if (error < 0)
            fail("close", error);
    }
    rudp_server_shutdown(server);
    return EXIT_SUCCESS;
}
