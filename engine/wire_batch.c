#include "engine/wire_io.h"

#include "core/config.h"
#include "engine/engine.h"
#include "engine/system.h"

#include <errno.h>
#include <netinet/in.h>
#include <pthread.h>

#define BATCH_COUNT_MAX 64u
#define BATCH_BYTES     ((size_t)2 * 64 * 1024) /* the batch is full when less than half is left */
#define POOL_COUNT_MAX  4u                      /* idle batches kept; threads rarely send at once */

#define CONTROL_BYTES (CMSG_SPACE(sizeof(struct in6_pktinfo)) + 2 * CMSG_SPACE(sizeof(int)))

/* A mark: a byte each, with a bit that says whether it is known. */
#define MARK_TTL_KNOWN (1u << 16)
#define MARK_TOS_KNOWN (1u << 17)

struct wire_batch {
    struct wire_batch *next; /* in the pool */
    size_t count;
    size_t sent_count;
    size_t used_bytes;
    bool is_refused; /* the first unsent packet was refused once */
    struct mmsghdr messages[BATCH_COUNT_MAX];
    struct iovec slices[BATCH_COUNT_MAX];
    struct sockaddr_storage addresses[BATCH_COUNT_MAX];
    struct rudp_address remotes[BATCH_COUNT_MAX];
    _Alignas(struct cmsghdr) uint8_t controls[BATCH_COUNT_MAX][CONTROL_BYTES];
    uint8_t data[BATCH_BYTES];
};

static struct {
    pthread_mutex_t lock; /* innermost */
    struct wire_batch *idle;
    uint32_t idle_count;
} pool = {.lock = PTHREAD_MUTEX_INITIALIZER};

static void reset(struct wire_batch *batch)
{
    batch->count = 0;
    batch->sent_count = 0;
    batch->used_bytes = 0;
    batch->is_refused = false;
}

struct wire_batch *wire_batch_acquire(void)
{
    pthread_mutex_lock(&pool.lock);
    struct wire_batch *batch = pool.idle;

    if (batch != NULL) {
        pool.idle = batch->next;
        pool.idle_count--;
    }
    pthread_mutex_unlock(&pool.lock);
    if (batch == NULL)
        batch = engine_sys_map(sizeof *batch);
    if (batch != NULL)
        reset(batch);
    return batch;
}

void wire_batch_release(struct wire_batch *batch)
{
    pthread_mutex_lock(&pool.lock);
    bool is_kept = pool.idle_count < POOL_COUNT_MAX;

    if (is_kept) {
        batch->next = pool.idle;
        pool.idle = batch;
        pool.idle_count++;
    }
    pthread_mutex_unlock(&pool.lock);
    if (!is_kept)
        engine_sys_unmap(batch, sizeof *batch);
}

uint8_t *wire_batch_room(struct wire_batch *batch, size_t *bytes)
{
    *bytes = BATCH_BYTES - batch->used_bytes;
    if (batch->count == BATCH_COUNT_MAX || *bytes < RUDP_PACKET_BYTES_MAX)
        return NULL;
    return batch->data + batch->used_bytes;
}

uint32_t engine_mark(int ttl, int tos)
{
    uint32_t mark = 0;

    if (ttl > 0 && ttl <= UINT8_MAX)
        mark |= MARK_TTL_KNOWN | (uint32_t)ttl;
    if (tos >= 0 && tos <= UINT8_MAX)
        mark |= MARK_TOS_KNOWN | (uint32_t)tos << 8;
    return mark;
}

int wire_mark_ttl(uint32_t mark)
{
    return (mark & MARK_TTL_KNOWN) != 0 ? (int)(mark & 0xff) : -1;
}

int wire_mark_tos(uint32_t mark)
{
    return (mark & MARK_TOS_KNOWN) != 0 ? (int)(mark >> 8 & 0xff) : -1;
}

/* Behind what was added before. */
static void add_control(struct msghdr *message, uint8_t *buffer, int level, int type,
                        const void *data, size_t bytes)
{
    struct cmsghdr *control = (struct cmsghdr *)(void *)(buffer + message->msg_controllen);

    message->msg_control = buffer;
    message->msg_controllen += CMSG_SPACE(bytes);

    control->cmsg_level = level;
    control->cmsg_type = type;
    control->cmsg_len = CMSG_LEN(bytes);
    memcpy(CMSG_DATA(control), data, bytes);
}

/* A wildcard socket would answer from whatever address the route prefers; the peer, and every
 * firewall between, expects the one it spoke to. */
static void add_source(struct msghdr *message, uint8_t *buffer, const struct wire *wire,
                       const struct rudp_path *path)
{
    struct sockaddr_storage storage;

    if (engine_address_is_v4(&path->local) != engine_address_is_v4(&path->remote) ||
        engine_address_to_sockaddr(&path->local, wire->family, &storage) == 0)
        return;
    if (wire->family == AF_INET) {
        const struct sockaddr_in *v4 = (const struct sockaddr_in *)&storage;
        struct in_pktinfo info = {.ipi_spec_dst = v4->sin_addr};

        add_control(message, buffer, IPPROTO_IP, IP_PKTINFO, &info, sizeof info);
        return;
    }
    const struct sockaddr_in6 *v6 = (const struct sockaddr_in6 *)&storage;
    struct in6_pktinfo info = {.ipi6_addr = v6->sin6_addr, .ipi6_ifindex = v6->sin6_scope_id};

    add_control(message, buffer, IPPROTO_IPV6, IPV6_PKTINFO, &info, sizeof info);
}

static void add_mark(struct msghdr *message, uint8_t *buffer, const struct rudp_path *path)
{
    bool is_v4 = engine_address_is_v4(&path->remote);
    int ttl = wire_mark_ttl(path->send_mark);
    int tos = wire_mark_tos(path->send_mark);

    if (ttl >= 0)
        add_control(message, buffer, is_v4 ? IPPROTO_IP : IPPROTO_IPV6,
                    is_v4 ? IP_TTL : IPV6_HOPLIMIT, &ttl, sizeof ttl);
    if (tos >= 0)
        add_control(message, buffer, is_v4 ? IPPROTO_IP : IPPROTO_IPV6,
                    is_v4 ? IP_TOS : IPV6_TCLASS, &tos, sizeof tos);
}

void wire_batch_add(struct wire_batch *batch, const struct wire *wire, const struct rudp_path *path,
                    size_t bytes)
{
    static const struct rudp_address unspecified;
    size_t index = batch->count;

    RUDP_ASSERT(index < BATCH_COUNT_MAX);
    RUDP_ASSERT(bytes <= BATCH_BYTES - batch->used_bytes);
    batch->slices[index] = (struct iovec){
        .iov_base = batch->data + batch->used_bytes,
        .iov_len = bytes,
    };
    batch->messages[index] = (struct mmsghdr){
        .msg_hdr = {.msg_iov = &batch->slices[index], .msg_iovlen = 1},
    };
    struct msghdr *message = &batch->messages[index].msg_hdr;

    if (!wire->is_connected || !rudp_address_equal(&path->remote, &wire->peer)) {
        message->msg_name = &batch->addresses[index];
        message->msg_namelen =
            engine_address_to_sockaddr(&path->remote, wire->family, &batch->addresses[index]);
    }
    if (wire->is_wildcard && memcmp(path->local.ip, unspecified.ip, sizeof unspecified.ip) != 0)
        add_source(message, batch->controls[index], wire, path);
    if (path->send_mark != 0)
        add_mark(message, batch->controls[index], path);
    batch->remotes[index] = path->remote;
    batch->used_bytes += bytes;
    batch->count++;
}

bool wire_batch_is_empty(const struct wire_batch *batch)
{
    return batch->sent_count == batch->count;
}

enum wire_result wire_batch_send(struct wire_batch *batch, const struct wire *wire,
                                 struct wire_send_report *report)
{
    *report = (struct wire_send_report){.error = 0};
    while (!wire_batch_is_empty(batch)) {
        long result = engine_sys_sendmmsg(wire->fd, batch->messages + batch->sent_count,
                                          batch->count - batch->sent_count);

        if (result == -EAGAIN)
            return WIRE_FULL;
        report->call_count++;
        if (result > 0) {
            batch->sent_count += (size_t)result;
            report->sent_count += (size_t)result;
            batch->is_refused = false;
            continue;
        }
        if (!batch->is_refused) { /* may be the error of an earlier packet, which ICMP brought */
            batch->is_refused = true;
            report->error = (int)-result;
            continue;
        }
        report->error = (int)-result;
        report->remote = batch->remotes[batch->sent_count];
        batch->sent_count++;
        batch->is_refused = false;
        return WIRE_ERROR;
    }
    reset(batch);
    return WIRE_SENT;
}

void wire_before_fork(void)
{
    pthread_mutex_lock(&pool.lock);
}

void wire_after_fork(void)
{
    pthread_mutex_unlock(&pool.lock);
}
