#include "tools/impair/relay.h"

#include "tools/impair/clients.h"
#include "tools/impair/held.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/signalfd.h>
#include <sys/timerfd.h>
#include <time.h>
#include <unistd.h>

#define DATAGRAM_BYTES_MAX 65536u
#define BATCH_COUNT        64u /* datagrams read from one socket before the others get their turn */
#define EVENT_COUNT        64u

/* What an epoll event is about: the kind in the high half, an index in the low one. */
enum watch_kind {
    WATCH_TIMER,
    WATCH_SIGNAL,
    WATCH_LISTENER,
    WATCH_UPSTREAM
};

struct forward {
    union impair_address listen;
    union impair_address target;
    int listen_fd;
};

struct impair_relay {
    uint64_t seed;
    uint64_t idle_us;
    uint64_t duration_us;
    struct forward forwards[IMPAIR_FORWARDS_MAX];
    uint32_t forward_count;
    struct impair_clients clients;
    struct impair_held held;
    struct impair_link links[IMPAIR_DIRECTION_COUNT];
    int epoll_fd;
    int timer_fd;
    int signal_fd;
    uint64_t end_us;
    uint64_t timer_us; /* what the timer is set to */
    bool stopping;
    uint8_t buffer[DATAGRAM_BYTES_MAX];
};

static uint64_t now_us(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000u + (uint64_t)now.tv_nsec / 1000u;
}

static bool watch(struct impair_relay *relay, int fd, enum watch_kind kind, uint32_t index)
{
    struct epoll_event event = {.events = EPOLLIN, .data.u64 = (uint64_t)kind << 32 | index};

    return epoll_ctl(relay->epoll_fd, EPOLL_CTL_ADD, fd, &event) == 0;
}

/* --- One datagram ------------------------------------------------------------------------------
 */

static void transmit(struct impair_relay *relay, uint32_t client_index, bool upwards,
                     const uint8_t *data, size_t bytes)
{
    struct impair_counters *counters = &relay->links[upwards ? IMPAIR_UP : IMPAIR_DOWN].counters;
    const struct impair_client *client = &relay->clients.slots[client_index];
    ssize_t sent;

    if (upwards) {
        sent = send(client->upstream_fd, data, bytes, 0);
        if (sent < 0 && errno == ECONNREFUSED) /* about an earlier one; this one was not sent */
            sent = send(client->upstream_fd, data, bytes, 0);
    } else {
        sent = sendto(relay->forwards[client->forward].listen_fd, data, bytes, 0,
                      &client->address.sa, impair_address_bytes(&client->address));
    }
    if (sent < 0) {
        counters->send_failed++;
        return;
    }
    counters->forwarded++;
    counters->forwarded_bytes += bytes;
}

static void hold(struct impair_relay *relay, uint32_t client, bool upwards, size_t bytes,
                 uint64_t due_us)
{
    struct impair_datagram *datagram = impair_held_allocate(&relay->held, bytes);

    if (datagram == NULL) {
        relay->links[upwards ? IMPAIR_UP : IMPAIR_DOWN].counters.memory_full++;
        return;
    }
    datagram->due_us = due_us;
    datagram->client = client;
    datagram->upwards = upwards;
    memcpy(datagram->data, relay->buffer, bytes);
    relay->clients.slots[client].held_count++;
    impair_held_push(&relay->held, datagram);
}

/* The datagram is in the buffer. */
static void pass(struct impair_relay *relay, uint32_t client, bool upwards, size_t bytes,
                 uint64_t at_us)
{
    struct impair_verdict verdict;

    impair_clients_touch(&relay->clients, client, at_us);
    impair_link_pass(&relay->links[upwards ? IMPAIR_UP : IMPAIR_DOWN], bytes, at_us, &verdict);
    if (verdict.flip_bit != IMPAIR_NO_FLIP)
        relay->buffer[verdict.flip_bit / 8] ^= (uint8_t)(1u << verdict.flip_bit % 8);
    for (size_t i = 0; i < verdict.copy_count; i++) {
        if (verdict.due_us[i] <= at_us)
            transmit(relay, client, upwards, relay->buffer, verdict.bytes);
        else
            hold(relay, client, upwards, verdict.bytes, verdict.due_us[i]);
    }
}

static void release_due(struct impair_relay *relay, uint64_t at_us)
{
    struct impair_datagram *datagram;

    while ((datagram = impair_held_pop(&relay->held, at_us)) != NULL) {
        relay->clients.slots[datagram->client].held_count--;
        transmit(relay, datagram->client, datagram->upwards, datagram->data, datagram->bytes);
        impair_held_release(&relay->held, datagram);
    }
}

/* --- Sockets -----------------------------------------------------------------------------------
 */

static uint32_t admit(struct impair_relay *relay, uint32_t forward,
                      const union impair_address *from, uint64_t at_us)
{
    uint32_t client = impair_clients_find(&relay->clients, forward, from);

    if (client != IMPAIR_CLIENT_NONE)
        return client;
    if (relay->clients.count == relay->clients.slot_count)
        return IMPAIR_CLIENT_NONE;
    int fd = impair_socket_connect(&relay->forwards[forward].target);

    if (fd < 0)
        return IMPAIR_CLIENT_NONE;
    client = impair_clients_add(&relay->clients, forward, from, fd, at_us);
    if (!watch(relay, fd, WATCH_UPSTREAM, client)) {
        impair_clients_remove(&relay->clients, client);
        return IMPAIR_CLIENT_NONE;
    }
    return client;
}

static void read_listener(struct impair_relay *relay, uint32_t forward, uint64_t at_us)
{
    for (size_t i = 0; i < BATCH_COUNT; i++) {
        struct sockaddr_storage from;
        socklen_t from_bytes = sizeof from;
        union impair_address address;
        ssize_t bytes = recvfrom(relay->forwards[forward].listen_fd, relay->buffer,
                                 sizeof relay->buffer, 0, (struct sockaddr *)&from, &from_bytes);

        if (bytes < 0 && errno == EAGAIN)
            return;
        if (bytes < 0 || !impair_address_set(&address, (struct sockaddr *)&from))
            continue;
        uint32_t client = admit(relay, forward, &address, at_us);

        if (client == IMPAIR_CLIENT_NONE)
            relay->links[IMPAIR_UP].counters.clients_full++;
        else
            pass(relay, client, true, (size_t)bytes, at_us);
    }
}

static void read_upstream(struct impair_relay *relay, uint32_t client, uint64_t at_us)
{
    for (size_t i = 0; i < BATCH_COUNT; i++) {
        ssize_t bytes =
            recv(relay->clients.slots[client].upstream_fd, relay->buffer, sizeof relay->buffer, 0);

        if (bytes < 0 && errno == EAGAIN)
            return;
        if (bytes >= 0) /* else an ICMP error: the link knows nothing of those */
            pass(relay, client, false, (size_t)bytes, at_us);
    }
}

/* --- The loop ----------------------------------------------------------------------------------
 */

static uint64_t min_u64(uint64_t a, uint64_t b)
{
    return a < b ? a : b;
}

static void set_timer(struct impair_relay *relay)
{
    uint64_t oldest_us = impair_clients_oldest_us(&relay->clients);
    uint64_t due_us = min_u64(impair_held_due_us(&relay->held), relay->end_us);

    if (oldest_us != UINT64_MAX)
        due_us = min_u64(due_us, oldest_us + relay->idle_us);
    if (due_us == relay->timer_us)
        return;
    relay->timer_us = due_us;
    struct itimerspec when = {0}; /* all zero: off */

    if (due_us != IMPAIR_NEVER) {
        when.it_value.tv_sec = (time_t)(due_us / 1000000u);
        when.it_value.tv_nsec = (long)(due_us % 1000000u * 1000u);
    }
    timerfd_settime(relay->timer_fd, TFD_TIMER_ABSTIME, &when, NULL);
}

static void handle(struct impair_relay *relay, const struct epoll_event *event, uint64_t at_us)
{
    uint32_t index = (uint32_t)event->data.u64;
    uint64_t expirations;

    switch ((enum watch_kind)(event->data.u64 >> 32)) {
    case WATCH_TIMER:
        if (read(relay->timer_fd, &expirations, sizeof expirations) > 0)
            relay->timer_us = IMPAIR_NEVER;
        break;
    case WATCH_SIGNAL:
        relay->stopping = true;
        break;
    case WATCH_LISTENER:
        read_listener(relay, index, at_us);
        break;
    case WATCH_UPSTREAM:
        read_upstream(relay, index, at_us);
        break;
    }
}

int impair_relay_run(struct impair_relay *relay)
{
    struct epoll_event events[EVENT_COUNT];

    relay->end_us = relay->duration_us > 0 ? now_us() + relay->duration_us : IMPAIR_NEVER;
    relay->timer_us = IMPAIR_NEVER;
    while (!relay->stopping) {
        set_timer(relay);
        int count = epoll_wait(relay->epoll_fd, events, EVENT_COUNT, -1);

        if (count < 0 && errno != EINTR)
            return -errno;
        uint64_t at_us = now_us();

        /* Before anything is read: what is due now must not be overtaken by what arrives now. */
        release_due(relay, at_us);
        for (int i = 0; i < count; i++)
            handle(relay, &events[i], at_us);
        /* After the events: they name clients by index. */
        impair_clients_expire(&relay->clients, at_us, relay->idle_us);
        relay->stopping = relay->stopping || at_us >= relay->end_us;
    }
    return 0;
}

/* --- Start and end -----------------------------------------------------------------------------
 */

static bool open_loop(struct impair_relay *relay)
{
    sigset_t signals;

    sigemptyset(&signals);
    sigaddset(&signals, SIGINT);
    sigaddset(&signals, SIGTERM);
    sigprocmask(SIG_BLOCK, &signals, NULL);
    relay->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    relay->timer_fd = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK | TFD_CLOEXEC);
    relay->signal_fd = signalfd(-1, &signals, SFD_NONBLOCK | SFD_CLOEXEC);
    return relay->epoll_fd >= 0 && relay->timer_fd >= 0 && relay->signal_fd >= 0 &&
           watch(relay, relay->timer_fd, WATCH_TIMER, 0) &&
           watch(relay, relay->signal_fd, WATCH_SIGNAL, 0);
}

static int open_listeners(struct impair_relay *relay, const struct impair_options *options)
{
    for (uint32_t i = 0; i < options->forward_count; i++) {
        struct forward *forward = &relay->forwards[i];

        forward->listen = options->forwards[i].listen;
        forward->target = options->forwards[i].target;
        forward->listen_fd = impair_socket_listen(&forward->listen);
        if (forward->listen_fd < 0)
            return forward->listen_fd;
        relay->forward_count++;
        if (!watch(relay, forward->listen_fd, WATCH_LISTENER, i))
            return -errno;
    }
    return 0;
}

int impair_relay_create(struct impair_relay **relay_out, const struct impair_options *options,
                        const char **failed)
{
    struct impair_relay *relay = calloc(1, sizeof *relay);

    *failed = "memory";
    if (relay == NULL)
        return -ENOMEM;
    if (!impair_clients_init(&relay->clients, options->client_count_max)) {
        free(relay);
        return -ENOMEM;
    }
    relay->seed = options->seed;
    relay->idle_us = options->idle_us;
    relay->duration_us = options->duration_us;
    relay->held.bytes_max = options->memory_bytes;
    for (uint64_t i = 0; i < IMPAIR_DIRECTION_COUNT; i++)
        impair_link_init(&relay->links[i], &options->links[i], options->seed, i);

    *failed = "event loop";
    int error = open_loop(relay) ? 0 : -errno;

    if (error == 0) {
        *failed = "cannot listen";
        error = open_listeners(relay, options);
    }
    if (error != 0) {
        impair_relay_destroy(relay);
        return error;
    }
    *relay_out = relay;
    return 0;
}

void impair_relay_destroy(struct impair_relay *relay)
{
    for (uint32_t i = 0; i < relay->forward_count; i++)
        close(relay->forwards[i].listen_fd);
    impair_clients_clear(&relay->clients);
    impair_held_clear(&relay->held);
    if (relay->signal_fd >= 0)
        close(relay->signal_fd);
    if (relay->timer_fd >= 0)
        close(relay->timer_fd);
    if (relay->epoll_fd >= 0)
        close(relay->epoll_fd);
    free(relay);
}

uint16_t impair_relay_port(const struct impair_relay *relay, uint32_t forward)
{
    return impair_address_port(&relay->forwards[forward].listen);
}

void impair_relay_report(const struct impair_relay *relay, struct impair_report *report)
{
    *report = (struct impair_report){
        .seed = relay->seed,
        .client_count = relay->clients.count_total,
        .client_count_peak = relay->clients.count_peak,
        .under_way = relay->held.count,
    };
    for (size_t i = 0; i < IMPAIR_DIRECTION_COUNT; i++)
        report->links[i] = relay->links[i].counters;
    for (uint32_t i = 0; i < relay->forward_count; i++)
        report->links[IMPAIR_UP].kernel_dropped +=
            impair_socket_dropped(relay->forwards[i].listen_fd);
    report->links[IMPAIR_DOWN].kernel_dropped += impair_clients_kernel_dropped(&relay->clients);
}
