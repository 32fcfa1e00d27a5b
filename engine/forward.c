#include "engine/forward.h"

#include "core/list.h"
#include "engine/descriptor.h"
#include "engine/engine.h"
#include "engine/random.h"
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
#define SLOT_COUNT        64u
#define RECEIVE_COUNT_MAX 32u /* packets a turn */
#define PACKET_BYTES_MAX  65536u
#define MAGIC             UINT64_C(0x7275647066776431)

/* What comes before the packet. */
struct prefix {
    uint64_t magic;
    struct rudp_address remote;
    struct rudp_address source;
    struct rudp_address destination;
};

struct listener {
    struct engine_source source;
    uint16_t port; /* 0: free */
    uint16_t slot;
    uint32_t use_count;
    int fd;
};

static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER; /* behind a socket's lock */
static struct listener listeners[PORT_COUNT_MAX];
static uint8_t buffer[PACKET_BYTES_MAX]; /* the engine thread's */

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

/* False: nothing waits. */
static bool receive_one(int fd, uint16_t port)
{
    struct prefix prefix;
    _Alignas(struct cmsghdr) uint8_t control[CMSG_SPACE(sizeof(struct ucred))];
    struct iovec parts[] = {{&prefix, sizeof prefix}, {buffer, sizeof buffer}};
    struct mmsghdr message = {
        .msg_hdr = {.msg_iov = parts,
                    .msg_iovlen = 2,
                    .msg_control = control,
                    .msg_controllen = sizeof control},
    };

    if (engine_sys_recvmmsg(fd, &message, 1) != 1)
        return false;
    if (message.msg_len <= sizeof prefix || (message.msg_hdr.msg_flags & MSG_TRUNC) != 0 ||
        prefix.magic != MAGIC || !is_trusted(&message.msg_hdr))
        return true;
    const struct wire_packet packet = {
        .data = buffer,
        .bytes = message.msg_len - sizeof prefix,
        .remote = prefix.remote,
        .source = prefix.source,
        .destination = prefix.destination,
        .ttl = -1,
        .tos = -1,
    };

    engine_share_receive(port, &packet);
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

/* Locked. */
static bool send_to_slot(const struct listener *listener, uint16_t slot,
                         const struct wire_packet *packet)
{
    struct prefix prefix = {
        .magic = MAGIC,
        .remote = packet->remote,
        .source = packet->source,
        .destination = packet->destination,
    };
    struct iovec parts[] = {{&prefix, sizeof prefix},
                            {(void *)(uintptr_t)packet->data, packet->bytes}};
    struct sockaddr_un name;
    struct mmsghdr message = {
        .msg_hdr = {.msg_name = &name,
                    .msg_namelen = make_name(&name, listener->port, slot),
                    .msg_iov = parts,
                    .msg_iovlen = 2},
    };
    long result = engine_sys_sendmmsg(listener->fd, &message, 1);

    return result == 1 || result == -EAGAIN; /* a full queue loses it, as a network would */
}

bool engine_forward_send(uint16_t port, uint16_t slot, const struct wire_packet *packet)
{
    if (slot == 0 || slot > SLOT_COUNT)
        return false;
    pthread_mutex_lock(&mutex);
    struct listener *listener = find_listener(port);
    bool is_sent =
        listener != NULL && listener->slot != slot && send_to_slot(listener, slot, packet);

    pthread_mutex_unlock(&mutex);
    return is_sent;
}

bool engine_forward_send_any(uint16_t port, const struct wire_packet *packet)
{
    uint32_t start;
    bool is_sent = false;

    engine_random_fill(NULL, &start, sizeof start);
    pthread_mutex_lock(&mutex);
    struct listener *listener = find_listener(port);

    for (uint32_t i = 0; listener != NULL && !is_sent && i < SLOT_COUNT; i++) {
        uint16_t slot = (uint16_t)((start + i) % SLOT_COUNT + 1);

        is_sent = slot != listener->slot && send_to_slot(listener, slot, packet);
    }
    pthread_mutex_unlock(&mutex);
    return is_sent;
}

/* --- Coming and going ------------------------------------------------------------------------- */

static long bind_slot(int fd, uint16_t port, uint16_t *slot)
{
    long result = -EADDRINUSE;

    for (*slot = 1; *slot <= SLOT_COUNT && result == -EADDRINUSE; (*slot)++) {
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
    pthread_mutex_unlock(&mutex);
}
