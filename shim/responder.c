#define _GNU_SOURCE
#include "shim/responder.h"

#include "core/query.h"
#include "engine/descriptor.h"
#include "engine/raw.h"
#include "engine/system.h"
#include "shim/deliver.h"
#include "shim/fd_table.h"
#include "shim/lock.h"
#include "shim/log.h"
#include "shim/process.h"
#include "shim/registry.h"

#include <errno.h>
#include <netinet/in.h>

#define RETRY_US         (5 * (uint64_t)RUDP_US_PER_S)
#define ANSWER_COUNT     64u
#define ANSWER_US        (250 * (uint64_t)RUDP_US_PER_MS) /* how long an answer is not looked up anew */
#define LOOKUP_COUNT_MAX 100u /* in a second: each reads the kernel's tables */

struct answer {
    struct rudp_address address;
    bool speaks;
    uint64_t until_us; /* 0: free */
};

static struct {
    pthread_mutex_t lock; /* guards what is above the line */
    struct engine_socket *socket;
    bool is_wanted;
    bool is_reported;
    uint64_t retry_us; /* not before */
    /* Entered. */
    struct answer answers[ANSWER_COUNT];
    uint64_t second_us; /* when the current second of lookups began */
    uint32_t lookup_count;
} responder = {.lock = PTHREAD_MUTEX_INITIALIZER};

/* --- Answering -------------------------------------------------------------------------------- */

static struct answer *answer_room(const struct rudp_address *address)
{
    uint32_t sum = address->port;

    for (size_t index = 0; index < sizeof address->ip; index++)
        sum = sum * 31 + address->ip[index];
    return &responder.answers[sum % ANSWER_COUNT];
}

static bool may_look_up(uint64_t now_us)
{
    if (now_us - responder.second_us >= RUDP_US_PER_S) {
        responder.second_us = now_us;
        responder.lookup_count = 0;
    }
    return responder.lookup_count++ < LOOKUP_COUNT_MAX;
}

/* False: not now, the asker repeats itself. */
static bool look_up(const struct rudp_address *address, bool *speaks)
{
    uint64_t now_us = engine_now_us();
    struct answer *answer = answer_room(address);

    if (now_us >= answer->until_us || !rudp_address_equal(&answer->address, address)) {
        if (!may_look_up(now_us))
            return false;
        *answer = (struct answer){
            .address = *address,
            .speaks = shim_registry_has(address),
            .until_us = now_us + ANSWER_US,
        };
    }
    *speaks = answer->speaks;
    return true;
}

static void on_datagram(void *context, struct engine_socket *socket,
                        const struct engine_datagram *datagram)
{
    struct rudp_address asked = datagram->path.local;
    uint8_t out[RUDP_QUERY_BYTES];
    struct rudp_query query;
    bool speaks;

    (void)context;
    if (rudp_query_read(datagram->data, datagram->bytes, &query) != RUDP_OK ||
        query.type != RUDP_QUERY_ASK || !shim_rules_is_unicast(&asked))
        return;
    asked.port = query.port;
    if (!look_up(&asked, &speaks))
        return;
    query.type = speaks ? RUDP_QUERY_YES : RUDP_QUERY_NO;
    rudp_query_write(&query, out);
    (void)engine_socket_send_datagram(socket, &datagram->path, out, sizeof out);
}

/* There are no sessions: hellos are refused. */
static void on_event(void *context, struct engine_socket *socket, const struct rudp_event *event)
{
    (void)context;
    (void)socket;
    (void)event;
}

/* --- The port --------------------------------------------------------------------------------- */

static int bind_port(sa_family_t family, uint16_t port)
{
    struct sockaddr_storage addr;
    const struct rudp_address any = {
        .ip = {[10] = family == AF_INET ? 0xff : 0, [11] = family == AF_INET ? 0xff : 0},
        .port = port,
    };
    socklen_t addr_bytes = engine_address_to_sockaddr(&any, family, &addr);
    long fd = engine_sys_udp_socket(family);

    if (fd < 0)
        return (int)fd;
    (void)engine_sys_setsockopt_int((int)fd, SOL_SOCKET, SO_REUSEPORT, 1);
    if (family == AF_INET6)
        (void)engine_sys_setsockopt_int((int)fd, IPPROTO_IPV6, IPV6_V6ONLY, 0);
    long result = engine_sys_bind((int)fd, (const struct sockaddr *)&addr, addr_bytes);

    if (result < 0) {
        (void)engine_sys_close((int)fd);
        return (int)result;
    }
    return engine_descriptor_move_high((int)fd);
}

static int open_port(void)
{
    static const struct engine_handler handler = {.on_event = on_event, .on_datagram = on_datagram};
    const struct engine_socket_options options = {
        .config = shim_deliver_config(),
        .handler = &handler,
    };
    uint16_t port = shim_process_settings()->discovery_port;
    int fd = bind_port(AF_INET6, port);

    if (fd == -EAFNOSUPPORT)
        fd = bind_port(AF_INET, port);
    if (fd < 0)
        return fd;
    int result = engine_socket_create(&responder.socket, fd, &options);

    if (result < 0) {
        (void)engine_sys_close(fd);
        return result;
    }
    fd_table_set_private(fd, true);
    shim_process_protect_engine();
    engine_socket_enter(responder.socket);
    rudp_endpoint_set_accepting(engine_socket_endpoint(responder.socket), false);
    engine_socket_leave(responder.socket);
    return 0;
}

/* Locked. Returns when to try again; RUDP_NEVER: not at all. */
static uint64_t try_open(uint64_t now_us)
{
    if (!responder.is_wanted || responder.socket != NULL)
        return RUDP_NEVER;
    if (now_us < responder.retry_us)
        return responder.retry_us;
    int result = open_port();

    if (result == 0)
        return RUDP_NEVER;
    if (!responder.is_reported)
        shim_log(result == -EADDRINUSE ? SHIM_LOG_INFO : SHIM_LOG_ERROR,
                 "the discovery port cannot be opened, whoever has it answers for this host: error "
                 "%d",
                 (int64_t)-result);
    responder.is_reported = true;
    responder.retry_us = now_us + RETRY_US;
    return responder.retry_us;
}

uint64_t shim_responder_retry(uint64_t now_us)
{
    struct engine_signal_mask mask = shim_lock(&responder.lock);
    uint64_t next_us = try_open(now_us);

    shim_unlock(&responder.lock, mask);
    return next_us;
}

void shim_responder_announce(struct shim_socket *sock, const struct rudp_address *local)
{
    const struct shim_settings *settings = shim_process_settings();

    if (!settings->falls_back || !shim_rules_may_tag(&settings->rules, local))
        return;
    (void)shim_registry_enter(sock->pair_fd, sock->wire_fd); /* or it was entered before */
    struct engine_signal_mask mask = shim_lock(&responder.lock);

    responder.is_wanted = true;
    (void)try_open(engine_now_us());
    shim_unlock(&responder.lock, mask);
}

void shim_responder_before_fork(void)
{
    RUDP_ASSERT(pthread_mutex_lock(&responder.lock) == 0);
}

void shim_responder_after_fork_parent(void)
{
    RUDP_ASSERT(pthread_mutex_unlock(&responder.lock) == 0);
}

void shim_responder_after_fork_child(void)
{
    struct engine_socket *socket = responder.socket;

    responder.socket = NULL;
    responder.is_wanted = false;
    RUDP_ASSERT(pthread_mutex_unlock(&responder.lock) == 0);
    if (socket == NULL)
        return;
    int fd = engine_socket_wire_fd(socket);

    engine_socket_detach(socket); /* its endpoint is the parent's */
    fd_table_set_private(fd, false);
    (void)RAW_CALL(SYS_close, fd);
}
