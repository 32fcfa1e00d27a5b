/* One server process that echoes, many clients in threads that check what comes back.
 *
 *     multi_client [CLIENTS [MESSAGES]]
 *
 * The server is one thread that polls: the descriptors of rudp.h go into poll like any other. */
#include <rudp/rudp.h>

#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#define DEFAULT_CLIENTS  20
#define DEFAULT_MESSAGES 100
#define MESSAGE_BYTES    64
#define NO_LIMIT         (-1)

struct client {
    pthread_t thread;
    unsigned number;
    unsigned message_count;
    uint16_t port;
    unsigned echoed_count; /* what came back as it was sent */
    int error;             /* RUDP_ERR_* that ended it early */
};

static void stop(const char *what, int error)
{
    fprintf(stderr, "multi_client: %s: %s\n", what, rudp_error_text(error));
    exit(EXIT_FAILURE);
}

/* --- Server ----------------------------------------------------------------------------------- */

/* Echoes what is there. 0 when more may come, else the error that ended the connection. */
static int echo(rudp_connection *connection)
{
    char message[MESSAGE_BYTES];

    for (;;) {
        int64_t bytes = rudp_connection_receive(connection, message, sizeof message, 0);

        if (bytes == RUDP_ERR_AGAIN)
            return 0;
        if (bytes < 0)
            return (int)bytes;
        int error = rudp_connection_send(connection, message, (size_t)bytes, NO_LIMIT);

        if (error < 0)
            return error;
    }
}

static void serve(rudp_server *server, unsigned client_count)
{
    struct pollfd *polls = calloc(client_count + 1, sizeof *polls);
    rudp_connection **connections = calloc(client_count + 1, sizeof(rudp_connection *));
    unsigned count = 1; /* entry 0 is the server */

    if (polls == NULL || connections == NULL)
        stop("server", RUDP_ERR_MEMORY);
    polls[0] = (struct pollfd){.fd = rudp_server_fd(server), .events = POLLIN};
    for (unsigned ended = 0; ended < client_count;) {
        if (poll(polls, count, -1) < 0)
            stop("poll", RUDP_ERR_SYSTEM);
        for (unsigned i = count - 1; i > 0; i--) {
            if (polls[i].revents == 0 || echo(connections[i]) == 0)
                continue;
            rudp_connection_close(connections[i]);
            ended++;
            count--;
            polls[i] = polls[count];
            connections[i] = connections[count];
        }
        while (count <= client_count && rudp_server_accept(server, &connections[count], 0) == 0) {
            polls[count] = (struct pollfd){
                .fd = rudp_connection_fd(connections[count]),
                .events = POLLIN,
            };
            count++;
        }
    }
    free(polls);
    free(connections);
}

static void run_server(int port_pipe, unsigned client_count)
{
    rudp_server *server;
    int error = rudp_server_create(&server, "127.0.0.1", 0, NULL);

    if (error < 0)
        stop("create", error);
    error = rudp_server_listen(server, (int)client_count);
    if (error < 0)
        stop("listen", error);
    uint16_t port = rudp_server_port(server);

    if (write(port_pipe, &port, sizeof port) != sizeof port)
        stop("pipe", RUDP_ERR_SYSTEM);
    serve(server, client_count);
    rudp_server_shutdown(server);
    exit(EXIT_SUCCESS);
}

/* --- Clients ---------------------------------------------------------------------------------- */

static int exchange(rudp_client *connection, struct client *client)
{
    char message[MESSAGE_BYTES];
    char response[MESSAGE_BYTES];

    for (unsigned i = 0; i < client->message_count; i++) {
        int bytes = snprintf(message, sizeof message, "message %u of client %u", i, client->number);
        int error = rudp_client_send(connection, message, (size_t)bytes, NO_LIMIT);

        if (error < 0)
            return error;
        int64_t back = rudp_client_receive(connection, response, sizeof response, NO_LIMIT);

        if (back < 0)
            return (int)back;
        if (back == bytes && memcmp(message, response, (size_t)bytes) == 0)
            client->echoed_count++;
    }
    return 0;
}

static void *run_client(void *argument)
{
    struct client *client = argument;
    rudp_client *connection;

    client->error = rudp_client_create(&connection, "127.0.0.1", client->port, NULL);
    if (client->error < 0)
        return NULL;
    client->error = rudp_client_connect(connection);
    if (client->error == 0)
        client->error = exchange(connection, client);
    int error = rudp_client_close(connection);

    if (client->error == 0)
        client->error = error;
    return NULL;
}

static unsigned run_clients(struct client *clients, unsigned client_count)
{
    unsigned echoed_count = 0;

    for (unsigned i = 0; i < client_count; i++) {
        if (pthread_create(&clients[i].thread, NULL, run_client, &clients[i]) != 0)
            stop("thread", RUDP_ERR_SYSTEM);
    }
    for (unsigned i = 0; i < client_count; i++) {
        pthread_join(clients[i].thread, NULL);
        echoed_count += clients[i].echoed_count;
        if (clients[i].error < 0)
            fprintf(stderr, "client %u: %s\n", i, rudp_error_text(clients[i].error));
    }
    return echoed_count;
}

int main(int argc, char **argv)
{
    unsigned client_count =
        argc > 1 ? (unsigned)strtoul(argv[1], NULL, 10) : (unsigned)DEFAULT_CLIENTS;
    unsigned message_count =
        argc > 2 ? (unsigned)strtoul(argv[2], NULL, 10) : (unsigned)DEFAULT_MESSAGES;
    int port_pipe[2];
    uint16_t port;

    if (pipe(port_pipe) != 0)
        stop("pipe", RUDP_ERR_SYSTEM);
    pid_t server = fork(); /* before this process uses the library: it may then go on in both */

    if (server == 0)
        run_server(port_pipe[1], client_count);
    close(port_pipe[1]);
    if (server < 0 || read(port_pipe[0], &port, sizeof port) != sizeof port)
        stop("server", RUDP_ERR_SYSTEM);
    struct client *clients = calloc(client_count + 1, sizeof *clients);

    if (clients == NULL)
        stop("clients", RUDP_ERR_MEMORY);
    for (unsigned i = 0; i < client_count; i++)
        clients[i] = (struct client){.number = i, .message_count = message_count, .port = port};
    unsigned echoed_count = run_clients(clients, client_count);
    int status = 0;

    waitpid(server, &status, 0);
    printf("%u clients, %u messages each: %u of %u echoed unaltered\n", client_count, message_count,
           echoed_count, client_count * message_count);
    free(clients);
    return echoed_count == client_count * message_count && status == 0 ? EXIT_SUCCESS
                                                                       : EXIT_FAILURE;
}
