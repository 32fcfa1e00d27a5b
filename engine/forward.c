#include "engine/forward.h"

#include "core/list.h"
#include "engine/cede.h"
#include "engine/consult.h"
#include "engine/descriptor.h"
#include "engine/engine.h"
#include "engine/raw.h"
#include "engine/share.h"
#include "engine/system.h"
#include "engine/thread.h"

#include <errno.h>
#include <pthread.h>
#include <stddef.h>
#include <sys/un.h>
#include <unistd.h>

#define PORT_COUNT_MAX    16u /* of a process; sockets on others are reset where they are shared */
#define RECEIVE_COUNT_MAX 32u /* packets a turn */
#define MAGIC             UINT64_C(0x7275647066776432)

/* A unix socket queues few datagrams (net.unix.max_dgram_qlen, 10 by default), but these may be
 * long: what has to wait goes in one, as long as a socket's default send buffer takes it. */
#define BACKLOG_BYTES    ((size_t)128 * 1024)
#define BACKLOG_COUNT    8u
#define BACKLOG_RETRY_US RUDP_US_PER_MS
#define BACKLOG_US_MAX   (250u * RUDP_US_PER_MS) /* a process may be stopped */

_Static_assert(FORWARD_SLOT_COUNT == 64, "a bit for each slot");

/* What comes before a packet, if there is one. A datagram is any number of these. */
struct prefix {
    uint64_t magic;
    uint32_t packet_bytes;
    uint32_t number;
    uint16_t kind; /* enum forward_kind */
    uint16_t slot; /* the sender's */
    struct rudp_address remote;
    struct rudp_address source;
    struct rudp_address destination;
    uint32_t interface_index;
    int16_t ttl;
    int16_t tos;
};

struct listener {
    struct engine_source source;
    uint16_t port; /* 0: free */
    uint16_t slot;
    uint32_t use_count;
    int fd;
    uint64_t others;   /* processes heard of, by slot */
    uint64_t doubtful; /* of these: they did not answer lately */
};

/* What is to be said to a process whose queue is full. */
struct backlog {
    uint16_t port;
    uint16_t slot;
    size_t used_bytes; /* 0: free entry */
    uint8_t *data;     /* mapped */
    uint64_t until_us; /* then it is lost */
};

static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER; /* behind a socket's lock */
static struct listener listeners[PORT_COUNT_MAX];
static struct backlog backlogs[BACKLOG_COUNT];
static uint8_t buffer[BACKLOG_BYTES]; /* the engine thread's */

static void on_backlog_due(struct engine_timer *timer);

static struct engine_timer backlog_timer = {.on_due = on_backlog_due};

static uint64_t bit_of(uint16_t slot)
{
    return UINT64_C(1) << (slot - 1);
}

static socklen_t make_name(struct sockaddr_un *name, uint16_t port, uint16_t slot)
{
    static const char prefix[] = "rudp.port.";
    static const char digits[] = "0123456789abcdef";
    char *out = name->sun_path;

    *name = (struct sockaddr_un){.sun_family = AF_UNIX};
    *out++ = '\0'; /* abstract */
    memcpy(out, prefix, sizeof prefix - 1);
    out += sizeof prefix - 1;
    for (uint32_t value = (uint32_t)port << 16 | slot, i = 0; i < 8; i++, value <<= 4)
        *out++ = digits[value >> 28];
    return (socklen_t)(offsetof(struct sockaddr_un, sun_path) + (size_t)(out - name->sun_path));
}

/* Locked. */
static struct listener *find_listener(uint16_t port)
{
    for (size_t i = 0; i < PORT_COUNT_MAX; i++)
        if (listeners[i].port == port)
            return &listeners[i];
    return NULL;
}

/* --- Receiving -------------------------------------------------------------------------------- */

/* Another user could say anything. */
static bool is_trusted(struct msghdr *message)
{
    struct ucred sender = {.uid = (uid_t)-1};

    for (struct cmsghdr *control = CMSG_FIRSTHDR(message); control != NULL;
         control = CMSG_NXTHDR(message, control))
        if (control->cmsg_level == SOL_SOCKET && control->cmsg_type == SCM_CREDENTIALS)
            memcpy(&sender, CMSG_DATA(control), sizeof sender);
    return sender.uid == 0 || sender.uid == (uid_t)RAW_CALL(SYS_geteuid);
}

/* Locked. */
static void note_alive(uint16_t port, uint16_t slot)
{
    struct listener *listener = find_listener(port);

    if (listener == NULL || slot == listener->slot)
        return;
    listener->others |= bit_of(slot);
    listener->doubtful &= ~bit_of(slot);
}

static void heed(uint16_t port, const struct prefix *prefix, const uint8_t *data)
{
    const struct wire_packet packet = {
        .data = data,
        .bytes = prefix->packet_bytes,
        .remote = prefix->remote,
        .source = prefix->source,
        .destination = prefix->destination,
        .interface_index = prefix->interface_index,
        .ttl = prefix->ttl,
        .tos = prefix->tos,
    };

    pthread_mutex_lock(&mutex);
    note_alive(port, prefix->slot);
    pthread_mutex_unlock(&mutex);
    switch (prefix->kind) {
    case FORWARD_PACKET:
        engine_share_receive(port, &packet);
        break;
    case FORWARD_QUESTION:
        engine_consult_answer(port, prefix->slot, prefix->number, &packet);
        break;
    case FORWARD_TAKEN:
    case FORWARD_UNKNOWN:
    case FORWARD_UNWANTED:
        engine_consult_on_answer(prefix->slot, prefix->number, (enum forward_kind)prefix->kind);
        break;
    case FORWARD_CEDE:
        engine_cede_answer(port, prefix->slot, prefix->number, &prefix->remote);
        break;
    case FORWARD_CEDING:
    case FORWARD_CEDED:
        engine_cede_on_answer(prefix->slot, prefix->number, (enum forward_kind)prefix->kind);
        break;
    default:
        break;
    }
}

static void heed_all(uint16_t port, size_t bytes)
{
    struct prefix prefix;

    for (size_t at = 0; bytes - at >= sizeof prefix;) {
        memcpy(&prefix, buffer + at, sizeof prefix);
        at += sizeof prefix;
        if (prefix.magic != MAGIC || prefix.slot < 1 || prefix.slot > FORWARD_SLOT_COUNT ||
            prefix.packet_bytes > bytes - at)
            return;
        heed(port, &prefix, buffer + at);
        at += prefix.packet_bytes;
    }
}

/* False: nothing waits. */
static bool receive_one(int fd, uint16_t port)
{
    _Alignas(struct cmsghdr) uint8_t control[CMSG_SPACE(sizeof(struct ucred))];
    struct iovec part = {buffer, sizeof buffer};
    struct mmsghdr message = {
        .msg_hdr = {.msg_iov = &part,
                    .msg_iovlen = 1,
                    .msg_control = control,
                    .msg_controllen = sizeof control},
    };

    if (engine_sys_recvmmsg(fd, &message, 1) != 1)
        return false;
    if ((message.msg_hdr.msg_flags & MSG_TRUNC) == 0 && is_trusted(&message.msg_hdr))
        heed_all(port, message.msg_len);
    return true;
}

static void on_ready(struct engine_source *source, uint32_t events)
{
    struct listener *listener = RUDP_CONTAINER(source, struct listener, source);

    (void)events;
    pthread_mutex_lock(&mutex);
    int fd = listener->port == 0 ? -1 : listener->fd;
    uint16_t port = listener->port;

    pthread_mutex_unlock(&mutex);
    for (uint32_t i = 0; fd >= 0 && i < RECEIVE_COUNT_MAX; i++)
        if (!receive_one(fd, port))
            return;
}

/* --- Sending ---------------------------------------------------------------------------------- */

/* Locked. 1, or a negative errno: -EAGAIN when the queue is full. */
static long send_parts(struct listener *listener, uint16_t slot, struct iovec *parts,
                       size_t part_count)
{
    struct sockaddr_un name;
    struct mmsghdr message = {
        .msg_hdr = {.msg_name = &name,
                    .msg_namelen = make_name(&name, listener->port, slot),
                    .msg_iov = parts,
                    .msg_iovlen = part_count},
    };
    long result = engine_sys_sendmmsg(listener->fd, &message, 1);

    if (result == 1 || result == -EAGAIN)
        listener->others |= bit_of(slot);
    else
        listener->others &= ~bit_of(slot);
    return result;
}

static struct backlog *find_backlog(uint16_t port, uint16_t slot)
{
    for (size_t i = 0; i < BACKLOG_COUNT; i++)
        if (backlogs[i].used_bytes > 0 && backlogs[i].port == port && backlogs[i].slot == slot)
            return &backlogs[i];
    return NULL;
}

static void end_backlog(struct backlog *backlog)
{
    engine_sys_unmap(backlog->data, BACKLOG_BYTES);
    *backlog = (struct backlog){.used_bytes = 0};
}

/* Locked. What finds no room is lost, as in a network. */
static void append(struct backlog *backlog, const struct iovec *parts)
{
    if (BACKLOG_BYTES - backlog->used_bytes < parts[0].iov_len + parts[1].iov_len)
        return;
    for (size_t i = 0; i < 2; i++) {
        if (parts[i].iov_len > 0)
            memcpy(backlog->data + backlog->used_bytes, parts[i].iov_base, parts[i].iov_len);
        backlog->used_bytes += parts[i].iov_len;
    }
}

static void begin_backlog(uint16_t port, uint16_t slot, const struct iovec *parts)
{
    struct backlog *backlog = &backlogs[0];

    while (backlog < &backlogs[BACKLOG_COUNT] && backlog->used_bytes > 0)
        backlog++;
    if (backlog == &backlogs[BACKLOG_COUNT])
        return;
    uint8_t *data = engine_sys_map(BACKLOG_BYTES);

    if (data == NULL)
        return;
    *backlog = (struct backlog){
        .port = port,
        .slot = slot,
        .data = data,
        .until_us = engine_now_us() + BACKLOG_US_MAX,
    };
    append(backlog, parts);
    engine_thread_arm(&backlog_timer, engine_now_us() + BACKLOG_RETRY_US);
}

static void on_backlog_due(struct engine_timer *timer)
{
    bool any_left = false;

    pthread_mutex_lock(&mutex);
    for (size_t i = 0; i < BACKLOG_COUNT; i++) {
        struct backlog *backlog = &backlogs[i];
        struct iovec part = {backlog->data, backlog->used_bytes};

        if (backlog->used_bytes == 0)
            continue;
        struct listener *listener = find_listener(backlog->port);

        if (listener != NULL && engine_now_us() < backlog->until_us &&
            send_parts(listener, backlog->slot, &part, 1) == -EAGAIN)
            any_left = true;
        else
            end_backlog(backlog);
    }
    if (any_left)
        engine_thread_arm(timer, engine_now_us() + BACKLOG_RETRY_US);
    pthread_mutex_unlock(&mutex);
}

/* Locked. */
static bool say(struct listener *listener, uint16_t slot, enum forward_kind kind, uint32_t number,
                const struct wire_packet *packet)
{
    struct prefix prefix = {
        .magic = MAGIC,
        .number = number,
        .kind = (uint16_t)kind,
        .slot = listener->slot,
    };
    struct iovec parts[] = {{&prefix, sizeof prefix}, {NULL, 0}};

    if (packet != NULL) {
        prefix.packet_bytes = (uint32_t)packet->bytes;
        prefix.remote = packet->remote;
        prefix.source = packet->source;
        prefix.destination = packet->destination;
        prefix.interface_index = packet->interface_index;
        prefix.ttl = (int16_t)packet->ttl;
        prefix.tos = (int16_t)packet->tos;
        parts[1] = (struct iovec){(void *)(uintptr_t)packet->data, packet->bytes};
    }
    struct backlog *backlog = find_backlog(listener->port, slot);

    if (backlog != NULL) {
        append(backlog, parts);
        return true;
    }
    long result = send_parts(listener, slot, parts, 2);

    if (result == -EAGAIN)
        begin_backlog(listener->port, slot, parts);
    return result == 1 || result == -EAGAIN;
}

bool engine_forward_say(uint16_t port, uint16_t slot, enum forward_kind kind, uint32_t number,
                        const struct wire_packet *packet)
{
    bool is_said = false;

    if (slot == 0 || slot > FORWARD_SLOT_COUNT)
        return false;
    pthread_mutex_lock(&mutex);
    struct listener *listener = find_listener(port);

    if (listener != NULL && listener->slot != slot)
        is_said = say(listener, slot, kind, number, packet);
    pthread_mutex_unlock(&mutex);
    return is_said;
}

uint64_t engine_forward_others(uint16_t port)
{
    pthread_mutex_lock(&mutex);
    const struct listener *listener = find_listener(port);
    uint64_t others = listener == NULL ? 0 : listener->others & ~listener->doubtful;

    pthread_mutex_unlock(&mutex);
    return others;
}

void engine_forward_doubt(uint16_t port, uint64_t slots)
{
    pthread_mutex_lock(&mutex);
    struct listener *listener = find_listener(port);

    if (listener != NULL)
        listener->doubtful |= slots;
    pthread_mutex_unlock(&mutex);
}

uint16_t engine_forward_slot(uint16_t port)
{
    pthread_mutex_lock(&mutex);
    const struct listener *listener = find_listener(port);
    uint16_t slot = listener == NULL ? 0 : listener->slot;

    pthread_mutex_unlock(&mutex);
    return slot;
}

/* Locked. Tells everybody on the port of this process. */
static void greet(struct listener *listener)
{
    for (uint16_t slot = 1; slot <= FORWARD_SLOT_COUNT; slot++)
        if (slot != listener->slot)
            (void)say(listener, slot, FORWARD_HERE, 0, NULL);
}

/* --- Coming and going ------------------------------------------------------------------------- */

static long bind_slot(int fd, uint16_t port, uint16_t *slot)
{
    long result = -EADDRINUSE;

    for (*slot = 1; *slot <= FORWARD_SLOT_COUNT && result == -EADDRINUSE; (*slot)++) {
        struct sockaddr_un name;
        socklen_t bytes = make_name(&name, port, *slot);

        result = engine_sys_bind(fd, (const struct sockaddr *)&name, bytes);
    }
    (*slot)--;
    return result;
}

/* Locked. */
static void open_listener(struct listener *listener, uint16_t port)
{
    long fd = RAW_CALL(SYS_socket, AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

    if (fd < 0)
        return;
    listener->fd = engine_descriptor_move_high((int)fd);
    listener->source.on_ready = on_ready;
    if (engine_sys_setsockopt_int(listener->fd, SOL_SOCKET, SO_PASSCRED, 1) < 0 ||
        bind_slot(listener->fd, port, &listener->slot) < 0 ||
        engine_thread_add(&listener->source, listener->fd, EPOLLIN) < 0) {
        engine_sys_close(listener->fd);
        return;
    }
    engine_guard_descriptor(listener->fd, true);
    listener->port = port;
    listener->use_count = 0;
    listener->others = 0;
    listener->doubtful = 0;
    greet(listener);
}

/* Locked. */
static void close_listener(struct listener *listener)
{
    listener->port = 0;
    engine_guard_descriptor(listener->fd, false);
    engine_sys_close(listener->fd);
}

uint16_t engine_forward_join(uint16_t port)
{
    pthread_mutex_lock(&mutex);
    struct listener *listener = find_listener(port);

    if (listener == NULL) {
        listener = find_listener(0);
        if (listener != NULL)
            open_listener(listener, port);
    }
    bool is_open = listener != NULL && listener->port == port;

    if (is_open)
        listener->use_count++;
    uint16_t slot = is_open ? listener->slot : 0;

    pthread_mutex_unlock(&mutex);
    return slot;
}

void engine_forward_leave(uint16_t port)
{
    pthread_mutex_lock(&mutex);
    struct listener *listener = find_listener(port);

    if (listener != NULL && --listener->use_count == 0) {
        engine_thread_remove(listener->fd);
        close_listener(listener);
    }
    pthread_mutex_unlock(&mutex);
}

void engine_forward_before_fork(void)
{
    pthread_mutex_lock(&mutex);
}

void engine_forward_after_fork_parent(void)
{
    pthread_mutex_unlock(&mutex);
}

/* A copy of the socket would keep the slot's name alive with nobody to read from it. */
void engine_forward_after_fork_child(void)
{
    for (size_t i = 0; i < PORT_COUNT_MAX; i++)
        if (listeners[i].port != 0)
            close_listener(&listeners[i]);
    for (size_t i = 0; i < BACKLOG_COUNT; i++)
        if (backlogs[i].used_bytes > 0)
            end_backlog(&backlogs[i]);
    backlog_timer.entry = (struct rudp_wheel_entry){.next = NULL};
    pthread_mutex_unlock(&mutex);
    engine_consult_after_fork_child();
}
