#define _GNU_SOURCE
#include "shim/stat.h"

#include "engine/descriptor.h"
#include "engine/random.h"
#include "engine/raw.h"
#include "engine/thread.h"
#include "shim/fd_table.h"
#include "shim/log.h"
#include "shim/peers.h"
#include "shim/process.h"
#include "shim/stat_format.h"

#include <sys/un.h>

/* Room for the sender's credentials and for nothing else: descriptors that a sender attaches are
 * dropped by the kernel instead of being installed in the program. */
#define CONTROL_BYTES CMSG_LEN(sizeof(struct ucred))

static void on_request(struct engine_source *source, uint32_t events);

/* Touched by the engine thread alone once started. */
static struct {
    int fd;
    struct engine_source source;
    uint64_t answered_count;
    uint64_t refused_count;
    struct {
        struct shim_stat_head head;
        struct shim_stat_record records[SHIM_STAT_RECORDS_MAX];
    } answer;
} stat = {.fd = -1, .source = {.on_ready = on_request}};

_Static_assert(sizeof stat.answer == SHIM_STAT_ANSWER_BYTES_MAX, "an answer has no holes");

struct request {
    struct shim_stat_request text;
    struct sockaddr_un reader;
    socklen_t reader_bytes;
    struct ucred credentials;
};

/* --- Records ------------------------------------------------------------------------------------
 */

/* Returns the next record's place, NULL when the answer is full. */
static struct shim_stat_record *add_record(enum shim_stat_kind kind, const struct shim_socket *sock,
                                           uint64_t session_number)
{
    struct shim_stat_head *head = &stat.answer.head;

    if (head->record_count == SHIM_STAT_RECORDS_MAX)
        return NULL;
    struct shim_stat_record *record = &stat.answer.records[head->record_count++];

    *record = (struct shim_stat_record){
        .kind = kind,
        .socket_number = sock->number,
        .session_number = session_number,
        .local = sock->shared->local,
    };
    return record;
}

static bool add_socket(struct engine_socket *engine, const struct shim_socket *sock)
{
    struct shim_stat_record *record = add_record(SHIM_STAT_SOCKET, sock, 0);
    struct engine_socket_stats stats;

    if (record == NULL)
        return false;
    engine_socket_stats_entered(engine, &stats);
    if (sock->shared->is_connected)
        record->remote = sock->shared->peer;
    record->socket =
        (struct shim_stat_socket){.session_count = stats.endpoint.session_count,
                                  .undelivered_bytes = stats.endpoint.undelivered_bytes,
#define X(field) .field = stats.field,
                                  SHIM_STAT_WIRE_MAP(X)
#undef X
#define X(field) .field = sock->shared->field,
                                      SHIM_STAT_PROGRAM_MAP(X)
#undef X
        };
    memcpy(record->socket.dropped_count, stats.endpoint.dropped_count,
           sizeof record->socket.dropped_count);
    return true;
}

static enum shim_stat_state state_of(const struct rudp_session *session,
                                     const struct rudp_session_stats *stats)
{
    if (rudp_session_is_closed(session))
        return SHIM_STAT_CLOSED;
    if (stats->closing)
        return SHIM_STAT_CLOSING;
    if (stats->established)
        return SHIM_STAT_ESTABLISHED;
    return stats->opener ? SHIM_STAT_CONNECTING : SHIM_STAT_ACCEPTED;
}

static bool add_session(const struct shim_socket *sock, const struct shim_peer *peer)
{
    struct shim_stat_record *record = add_record(SHIM_STAT_SESSION, sock, peer->number);
    const struct rudp_path *path = rudp_session_path(peer->session);
    static const struct rudp_address unspecified;
    struct rudp_session_stats stats;

    if (record == NULL)
        return false;
    rudp_session_stats(peer->session, &stats);
    record->remote = path->remote;
    if (!rudp_address_equal(&path->local, &unspecified)) { /* a wildcard socket's, per session */
        record->local = path->local;
        record->local.port = sock->shared->local.port;
    }
    record->session = (struct shim_stat_session){.state = state_of(peer->session, &stats),
                                                 .is_opener = stats.opener,
#define X(field) .field = stats.field,
                                                 SHIM_STAT_SESSION_MAP(X)
#undef X
    };
    return true;
}

/* False when the answer is full; the cursor then stands behind the last record that is in it. */
static bool add_all_of(void *context, struct engine_socket *engine, void *socket_context)
{
    const struct shim_socket *sock = socket_context;
    struct shim_stat_cursor *cursor = context;

    if (sock == NULL) /* the shim's own: they have no sessions */
        return true;
    if (sock->number > cursor->socket_number)
        return true;
    if (sock->number < cursor->socket_number) {
        if (!add_socket(engine, sock))
            return false;
        *cursor = (struct shim_stat_cursor){sock->number, UINT64_MAX};
    }
    for (const struct shim_peer *peer = sock->shared->peers; peer != NULL; peer = peer->next) {
        if (peer->number >= cursor->session_number)
            continue;
        if (!add_session(sock, peer))
            return false;
        cursor->session_number = peer->number;
    }
    return true;
}

/* --- Requests -----------------------------------------------------------------------------------
 */

/* False: there is none, or none that can be answered. */
static bool receive(struct request *request)
{
    union {
        struct cmsghdr align;
        uint8_t bytes[CONTROL_BYTES];
    } control;
    struct iovec part = {.iov_base = &request->text, .iov_len = sizeof request->text};
    struct msghdr message = {
        .msg_name = &request->reader,
        .msg_namelen = sizeof request->reader,
        .msg_iov = &part,
        .msg_iovlen = 1,
        .msg_control = control.bytes,
        .msg_controllen = sizeof control.bytes,
    };
    long bytes = RAW_CALL(SYS_recvmsg, stat.fd, raw_pointer(&message), MSG_DONTWAIT);
    const struct cmsghdr *header = CMSG_FIRSTHDR(&message);

    if (bytes != (long)sizeof request->text || header == NULL || header->cmsg_level != SOL_SOCKET ||
        header->cmsg_type != SCM_CREDENTIALS || header->cmsg_len < CONTROL_BYTES)
        return false;
    memcpy(&request->credentials, CMSG_DATA(header), sizeof request->credentials);
    request->reader_bytes = message.msg_namelen;
    return request->text.magic == SHIM_STAT_MAGIC &&
           message.msg_namelen > offsetof(struct sockaddr_un, sun_path);
}

static enum shim_stat_status judge(const struct request *request)
{
    uid_t uid = (uid_t)RAW_CALL(SYS_geteuid); /* it may have changed since the start */

    if (request->credentials.uid != 0 && request->credentials.uid != uid)
        return SHIM_STAT_REFUSED;
    return request->text.version == SHIM_STAT_VERSION ? SHIM_STAT_OK : SHIM_STAT_VERSION_UNKNOWN;
}

static void fill_answer(const struct request *request)
{
    struct shim_stat_head *head = &stat.answer.head;
    struct shim_stat_cursor cursor = request->text.cursor;

    stat.answered_count++;
    head->is_last = engine_each_socket(add_all_of, &cursor);
    head->next = cursor;
    head->clock_us = engine_now_us();
    head->memory_used_bytes = engine_memory_used();
    head->memory_max_bytes = shim_process_settings()->memory_bytes_max;
    head->answered_count = stat.answered_count;
    head->refused_count = stat.refused_count;
}

/* One request a turn, so that wires and timers wait for one answer at most. A reader that takes its
 * answers slowly loses them and asks again. */
static void on_request(struct engine_source *source, uint32_t events)
{
    struct request request;
    struct shim_stat_head *head = &stat.answer.head;

    (void)source;
    (void)events;
    if (!receive(&request))
        return;
    *head = (struct shim_stat_head){
        .magic = SHIM_STAT_MAGIC,
        .version = SHIM_STAT_VERSION,
        .status = judge(&request),
        .echo = request.text.echo,
    };
    if (head->status == SHIM_STAT_OK)
        fill_answer(&request);
    else
        stat.refused_count++;
    (void)RAW_CALL(SYS_sendto, stat.fd, raw_pointer(&stat.answer),
                   (long)(sizeof *head + head->record_count * sizeof *stat.answer.records),
                   MSG_DONTWAIT | MSG_NOSIGNAL, raw_pointer(&request.reader), request.reader_bytes);
}

/* --- Life ---------------------------------------------------------------------------------------
 */

static void append(struct sockaddr_un *name, socklen_t *bytes, uint64_t number, unsigned base)
{
    char digits[20];
    size_t at = sizeof digits;

    do {
        digits[--at] = "0123456789abcdef"[number % base];
        number /= base;
    } while (number > 0);
    memcpy((char *)name + *bytes, digits + at, sizeof digits - at);
    *bytes += (socklen_t)(sizeof digits - at);
}

/* In a shared network namespace, processes of several pid namespaces may have one number. */
static long bind_name(int fd)
{
    struct sockaddr_un name = {.sun_family = AF_UNIX};
    socklen_t bytes = offsetof(struct sockaddr_un, sun_path) + sizeof SHIM_STAT_NAME_PREFIX;
    uint32_t suffix;

    memcpy(name.sun_path + 1, SHIM_STAT_NAME_PREFIX, sizeof SHIM_STAT_NAME_PREFIX - 1);
    append(&name, &bytes, (uint64_t)shim_process_pid(), 10);
    long result = RAW_CALL(SYS_bind, fd, raw_pointer(&name), bytes);

    if (result != -EADDRINUSE)
        return result;
    engine_random_fill(NULL, &suffix, sizeof suffix);
    ((char *)&name)[bytes++] = '.';
    append(&name, &bytes, suffix, 16);
    return RAW_CALL(SYS_bind, fd, raw_pointer(&name), bytes);
}

static long open_named(void)
{
    const int on = 1;
    int fd = engine_descriptor_move_high(
        (int)RAW_CALL(SYS_socket, AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));

    if (fd < 0)
        return fd;
    long result =
        RAW_CALL(SYS_setsockopt, fd, SOL_SOCKET, SO_PASSCRED, raw_pointer(&on), sizeof on);

    if (result == 0)
        result = bind_name(fd);
    if (result == 0)
        return fd;
    (void)RAW_CALL(SYS_close, fd);
    return result;
}

void shim_stat_start(void)
{
    if (!shim_process_settings()->publishes_stats || stat.fd >= 0)
        return;
    long fd = open_named();

    if (fd >= 0) {
        stat.fd = (int)fd; /* before a request can come */
        fd_table_set_private(stat.fd, true);
        long result = engine_thread_add(&stat.source, stat.fd, EPOLLIN);

        if (result == 0)
            return;
        fd_table_set_private(stat.fd, false);
        (void)RAW_CALL(SYS_close, stat.fd);
        stat.fd = -1;
        fd = result;
    }
    shim_log(SHIM_LOG_WARN, "live counters are not published: error %d", (int64_t)-fd);
}

void shim_stat_after_fork_child(void)
{
    if (stat.fd < 0)
        return;
    fd_table_set_private(stat.fd, false);
    (void)RAW_CALL(SYS_close, stat.fd); /* not unregistered: the epoll set is the parent's */
    stat.fd = -1;
    stat.answered_count = 0;
    stat.refused_count = 0;
}
