#define _GNU_SOURCE
#include "shim/asker.h"

#include "engine/descriptor.h"
#include "engine/raw.h"
#include "engine/system.h"
#include "engine/thread.h"
#include "shim/deliver.h"
#include "shim/discovery.h"
#include "shim/fd_table.h"
#include "shim/pending.h"
#include "shim/log.h"
#include "shim/process.h"
#include "shim/responder.h"

#include <errno.h>
#include <linux/errqueue.h>
#include <netinet/in.h>
#include <stdatomic.h>

/* While a wire takes no more of what was held. */
#define BLOCKED_RETRY_US (5 * (uint64_t)RUDP_US_PER_MS)

static void on_due(struct engine_timer *timer);

static struct {
    struct engine_timer timer;
    struct engine_socket *socket; /* of the engine thread; NULL: not needed yet, or not to be had */
    atomic_bool wants_sweep;
} asker = {.timer = {.on_due = on_due}};

void shim_asker_wake(void)
{
    engine_thread_arm(&asker.timer, engine_now_us());
}

void shim_asker_sweep(void)
{
    atomic_store(&asker.wants_sweep, true);
    shim_asker_wake();
}

/* --- The socket ------------------------------------------------------------------------------- */

static bool is_refusal(struct msghdr *message)
{
    for (struct cmsghdr *control = CMSG_FIRSTHDR(message); control != NULL;
         control = CMSG_NXTHDR(message, control)) {
        bool is_error = (control->cmsg_level == IPPROTO_IP && control->cmsg_type == IP_RECVERR) ||
                        (control->cmsg_level == IPPROTO_IPV6 && control->cmsg_type == IPV6_RECVERR);
        struct sock_extended_err error;

        if (!is_error || control->cmsg_len < CMSG_LEN(sizeof error))
            continue;
        memcpy(&error, CMSG_DATA(control), sizeof error);
        if (error.ee_errno == ECONNREFUSED && error.ee_origin != SO_EE_ORIGIN_LOCAL)
            return true;
    }
    return false;
}

/* The kernel keeps, for each error, where the query went that caused it and what came back of it.
 */
static void read_refusals(int fd)
{
    for (;;) {
        struct sockaddr_storage addr;
        uint8_t data[RUDP_QUERY_BYTES];
        _Alignas(struct cmsghdr) uint8_t controls[256];
        struct iovec part = {.iov_base = data, .iov_len = sizeof data};
        struct msghdr message = {
            .msg_name = &addr,
            .msg_namelen = sizeof addr,
            .msg_iov = &part,
            .msg_iovlen = 1,
            .msg_control = controls,
            .msg_controllen = sizeof controls,
        };
        struct rudp_address to;
        long bytes = RAW_CALL(SYS_recvmsg, fd, raw_pointer(&message), MSG_ERRQUEUE | MSG_DONTWAIT);

        if (bytes < 0)
            return;
        if (is_refusal(&message) &&
            engine_address_from_sockaddr(&to, (const struct sockaddr *)&addr, message.msg_namelen))
            shim_discovery_refused(&to, data, (size_t)bytes);
    }
}

static void on_wire_error(void *context, struct engine_socket *socket,
                          const struct rudp_address *remote, int error)
{
    (void)context;
    (void)remote;
    (void)error;
    read_refusals(engine_socket_wire_fd(socket));
}

static void on_datagram(void *context, struct engine_socket *socket,
                        const struct engine_datagram *datagram)
{
    (void)context;
    (void)socket;
    shim_discovery_receive(&datagram->path.remote, datagram->data, datagram->bytes);
}

/* There are no sessions: hellos are refused. */
static void on_event(void *context, struct engine_socket *socket, const struct rudp_event *event)
{
    (void)context;
    (void)socket;
    (void)event;
}

static int open_socket(void)
{
    static const struct engine_handler handler = {
        .on_event = on_event,
        .on_datagram = on_datagram,
        .on_wire_error = on_wire_error,
    };
    const struct engine_socket_options options = {
        .config = shim_deliver_config(),
        .handler = &handler,
    };
    long fd = engine_sys_udp_socket(AF_INET6);

    if (fd == -EAFNOSUPPORT)
        fd = engine_sys_udp_socket(AF_INET);
    if (fd < 0)
        return (int)fd;
    int wire_fd = engine_descriptor_move_high((int)fd);

    (void)engine_sys_setsockopt_int(wire_fd, IPPROTO_IPV6, IPV6_V6ONLY, 0);
    (void)engine_sys_setsockopt_int(wire_fd, IPPROTO_IPV6, IPV6_RECVERR, 1);
    (void)engine_sys_setsockopt_int(wire_fd, IPPROTO_IP, IP_RECVERR, 1);
    int result = engine_socket_create(&asker.socket, wire_fd, &options);

    if (result < 0) {
        (void)engine_sys_close(wire_fd);
        return result;
    }
    fd_table_set_private(wire_fd, true);
    engine_socket_enter(asker.socket);
    rudp_endpoint_set_accepting(engine_socket_endpoint(asker.socket), false);
    engine_socket_leave(asker.socket);
    return 0;
}

/* --- On the engine thread --------------------------------------------------------------------- */

/* Without a socket, or a route, silence is the answer. */
static void send_query(const struct rudp_address *to, const uint8_t query[RUDP_QUERY_BYTES])
{
    const struct rudp_path path = {.remote = *to};

    if (asker.socket == NULL) {
        int result = open_socket();

        if (result < 0) {
            shim_log(SHIM_LOG_ERROR, "nobody can be asked who speaks the protocol: error %d",
                     (int64_t)-result);
            return;
        }
    }
    engine_socket_enter(asker.socket);
    (void)engine_socket_send_datagram(asker.socket, &path, query, RUDP_QUERY_BYTES);
    read_refusals(engine_socket_wire_fd(asker.socket));
    engine_socket_leave(asker.socket);
}

/* False: a wire is full, some had to stay. */
static bool sweep_all(void)
{
    uint32_t place = 0;
    bool is_done = true;
    struct shim_socket *sock;

    while ((sock = shim_socket_pin_pending(&place)) != NULL) {
        struct engine_socket *engine = shim_socket_engine(sock);

        engine_socket_enter(engine);
        is_done = shim_pending_sweep(sock) && is_done;
        engine_socket_leave(engine);
        shim_socket_release(sock);
    }
    return is_done;
}

static void on_due(struct engine_timer *timer)
{
    struct rudp_address to;
    uint8_t query[RUDP_QUERY_BYTES];
    uint64_t now_us = engine_now_us();
    uint64_t retry_us = shim_responder_retry(now_us);
    uint64_t deadline_us;

    shim_discovery_advance();
    while (shim_discovery_next_query(&to, query))
        send_query(&to, query);
    if (atomic_exchange(&asker.wants_sweep, false) && !sweep_all()) {
        retry_us = min_u64(retry_us, now_us + BLOCKED_RETRY_US);
        atomic_store(&asker.wants_sweep, true);
        engine_thread_arm(timer, retry_us);
        return;
    }
    do { /* a later deadline takes the place of an earlier one that another thread just set */
        deadline_us = min_u64(retry_us, shim_discovery_deadline_us());
        engine_thread_arm(timer, deadline_us);
    } while (shim_discovery_deadline_us() < deadline_us);
    if (atomic_load(&asker.wants_sweep))
        shim_asker_wake();
}

void shim_asker_after_fork_child(void)
{
    struct engine_socket *socket = asker.socket;

    asker.timer = (struct engine_timer){.on_due = on_due};
    asker.socket = NULL;
    if (socket == NULL)
        return;
    int fd = engine_socket_wire_fd(socket);

    engine_socket_detach(socket); /* its endpoint is the parent's */
    fd_table_set_private(fd, false);
    (void)RAW_CALL(SYS_close, fd);
}
