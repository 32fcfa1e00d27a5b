/* A receiver on the engine itself, because a program under the shim does not see the counters:
 * writes the messages that come in to standard output, as udp_stream does, and when standard input
 * ends "NAME COUNT" on standard error for each reason for which packets were dropped.
 *
 *     counting_receiver HOST PORT */
#include "engine/engine.h"

#include <arpa/inet.h>
#include <err.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void take_messages(struct engine_socket *sock, struct rudp_session *session)
{
    static uint8_t message[RUDP_MESSAGE_BYTES_MAX];
    struct rudp_endpoint *endpoint = engine_socket_endpoint(sock);
    size_t bytes;

    while (rudp_session_peek(endpoint, session, message, sizeof message, &bytes) == RUDP_OK) {
        uint32_t length = htonl((uint32_t)bytes);

        fwrite(&length, sizeof length, 1, stdout);
        fwrite(message, 1, bytes, stdout);
        rudp_session_consume(endpoint, session, engine_now_us());
    }
    fflush(stdout);
}

static void on_event(void *context, struct engine_socket *sock, const struct rudp_event *event)
{
    (void)context;
    if (event->type == RUDP_EVENT_READABLE)
        take_messages(sock, event->session);
    if (event->type == RUDP_EVENT_CLOSED) {
        take_messages(sock, event->session);
        rudp_session_release(engine_socket_endpoint(sock), event->session);
    }
}

static int open_wire(const char *host, const char *port)
{
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_port = htons((uint16_t)atoi(port))};
    int fd = socket(AF_INET, SOCK_DGRAM, 0);

    if (inet_pton(AF_INET, host, &at.sin_addr) != 1)
        errx(EXIT_FAILURE, "'%s' is not an IPv4 address", host);
    if (fd < 0 || bind(fd, (const struct sockaddr *)&at, sizeof at) != 0)
        err(EXIT_FAILURE, "bind");
    return fd;
}

static void print_counters(struct engine_socket *sock)
{
    struct engine_socket_stats stats;

    engine_socket_stats(sock, &stats);
    for (size_t i = 0; i < RUDP_DROP_COUNT; i++)
        fprintf(stderr, "%s %" PRIu64 "\n", rudp_drop_name((enum rudp_drop)i),
                stats.endpoint.dropped_count[i]);
    fprintf(stderr, "datagrams not of the protocol %" PRIu64 "\n", stats.foreign_count);
}

int main(int argc, char **argv)
{
    static const struct engine_handler handler = {.on_event = on_event};
    struct rudp_config config;
    struct engine_socket *sock;

    if (argc != 3)
        errx(EXIT_FAILURE, "usage: counting_receiver HOST PORT");
    rudp_config_init(&config);
    const struct engine_socket_options options = {.config = &config, .handler = &handler};
    int error = engine_socket_create(&sock, open_wire(argv[1], argv[2]), &options);

    if (error != 0)
        errx(EXIT_FAILURE, "engine: %s", strerror(-error));
    engine_socket_enter(sock);
    engine_socket_wire_changed(sock);
    engine_socket_leave(sock);
    while (getchar() != EOF)
        continue;
    print_counters(sock);
    engine_socket_destroy(sock);
    return EXIT_SUCCESS;
}
