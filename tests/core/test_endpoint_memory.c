/* A whole conversation of two endpoints, in which allocations fail: one after the other, and many
 * in a row. */
#include "core/endpoint.h"
#include "tests/core/suite.h"
#include "tests/vectors/capped_host.h"

#include <string.h>

#define LATENCY_US 10000u
#define LIMIT_US                                                                                   \
    (UINT64_C(120) * RUDP_US_PER_S) /* of virtual time; a run takes about one second               \
                                     */
#define PACKET_BYTES 1500u
#define WIRE_COUNT   2048u
#define LOSS_EVERY   6u /* a packet of so many is lost */

static const size_t message_sizes[] = {0, 1, 100, 1199, 1200, 1201, 5000, 20000, 3, 65000, 0, 7};

#define MESSAGE_COUNT (sizeof message_sizes / sizeof message_sizes[0])

struct node {
    struct rudp_endpoint *endpoint;
    struct rudp_session *session;
    struct rudp_address address;
    uint32_t sent_count;
    uint32_t received_count;
    bool received[MESSAGE_COUNT];
    uint32_t opened_count;
    bool closed;
    bool closing;
    uint64_t undelivered_bytes;
};

struct wire_packet {
    uint64_t at_us;
    struct node *to;
    struct rudp_path path;
    size_t bytes;
    uint8_t data[PACKET_BYTES];
};

struct fixture {
    struct capped_host memory;
    struct rudp_host host;
    uint64_t allocation_count;
    uint64_t fail_from;  /* the first allocation refused, */
    uint64_t fail_count; /* and how many in a row */
    uint64_t failed_count;
    struct rudp_config config;
    struct node nodes[2];                /* opener, acceptor */
    struct wire_packet wire[WIRE_COUNT]; /* a queue: the latency is constant */
    uint32_t wire_first;
    uint32_t wire_end;
    uint64_t posted_count;
    uint64_t now_us;
};

static struct fixture f; /* one test a process, and large */

/* --- Memory that fails on demand -------------------------------------------------------------- */

static void *allocate(void *context, size_t bytes)
{
    (void)context;
    uint64_t number = f.allocation_count++;

    if (number >= f.fail_from && number - f.fail_from < f.fail_count) {
        f.failed_count++;
        return NULL;
    }
    return rudp_allocate(&f.memory.host, bytes);
}

static void release(void *context, void *memory, size_t bytes)
{
    (void)context;
    rudp_release(&f.memory.host, memory, bytes);
}

/* --- The program at each end: sends all messages, checks what comes ----------------------------
 */

static void fill_message(uint8_t *out, uint32_t number)
{
    for (size_t i = 0; i < message_sizes[number]; i++)
        out[i] = (uint8_t)(number * 31 + i * 7 + i / 256);
}

static void send_messages(struct node *node)
{
    static uint8_t data[RUDP_MESSAGE_BYTES_MAX];

    while (node->session != NULL && !node->closed && node->sent_count < MESSAGE_COUNT) {
        struct rudp_slice slice = {data, message_sizes[node->sent_count]};

        fill_message(data, node->sent_count);
        enum rudp_status status =
            rudp_session_send(node->endpoint, node->session, &slice, 1, f.now_us);

        if (status != RUDP_OK) {
            ck_assert_uint_eq(status, RUDP_E_MEMORY);
            return;
        }
        node->sent_count++;
    }
}

/* Which of the messages not received yet this is; MESSAGE_COUNT: none of them. */
static uint32_t recognise(const struct node *node, const uint8_t *data, size_t bytes)
{
    static uint8_t expected[RUDP_MESSAGE_BYTES_MAX];

    for (uint32_t number = 0; number < MESSAGE_COUNT; number++) {
        if (node->received[number] || message_sizes[number] != bytes)
            continue;
        fill_message(expected, number);
        if (memcmp(data, expected, bytes) == 0)
            return number;
    }
    return MESSAGE_COUNT;
}

/* Every message that comes out is one that was sent, unaltered and for the first time; the next one
 * when delivery is ordered. */
static void read_messages(struct node *node)
{
    static uint8_t data[RUDP_MESSAGE_BYTES_MAX];
    size_t bytes;

    while (rudp_session_peek(node->endpoint, node->session, data, sizeof data, &bytes) == RUDP_OK) {
        uint32_t number = recognise(node, data, bytes);

        ck_assert_uint_lt(number, MESSAGE_COUNT);
        if (f.config.order == RUDP_ORDERED)
            ck_assert_uint_eq(number, node->received_count);
        node->received[number] = true;
        node->received_count++;
        rudp_session_consume(node->endpoint, node->session, f.now_us);
    }
}

static void on_event(struct node *node, const struct rudp_event *event)
{
    switch (event->type) {
    case RUDP_EVENT_OPENED:
        node->opened_count++;
        node->session = event->session;
        send_messages(node);
        break;
    case RUDP_EVENT_READABLE:
        read_messages(node);
        break;
    case RUDP_EVENT_WRITABLE:
        send_messages(node);
        break;
    case RUDP_EVENT_CLOSED:
        read_messages(node);
        node->closed = true;
        node->undelivered_bytes = event->undelivered_bytes;
        rudp_session_release(node->endpoint, event->session);
        node->session = NULL;
        break;
    default:
        break;
    }
    struct node *opener = &f.nodes[0];

    if (node == opener && !node->closing && node->session != NULL &&
        node->sent_count == MESSAGE_COUNT && node->received_count == MESSAGE_COUNT) {
        node->closing = true;
        rudp_session_close(node->endpoint, node->session, f.now_us);
    }
}

/* --- The wire --------------------------------------------------------------------------------- */

static void post_packets(struct node *node)
{
    struct wire_packet *packet = &f.wire[f.wire_end % WIRE_COUNT];

    while ((packet->bytes = rudp_endpoint_next_packet(node->endpoint, &packet->path, packet->data,
                                                      sizeof packet->data, f.now_us)) > 0) {
        f.posted_count++;
        if (f.posted_count % LOSS_EVERY == 0)
            continue;
        ck_assert_uint_lt(f.wire_end - f.wire_first, WIRE_COUNT - 1);
        packet->at_us = f.now_us + LATENCY_US;
        packet->to = node == &f.nodes[0] ? &f.nodes[1] : &f.nodes[0];
        packet->path.remote = node->address;
        f.wire_end++;
        packet = &f.wire[f.wire_end % WIRE_COUNT];
    }
}

static void settle(struct node *node)
{
    struct rudp_event event;

    while (rudp_endpoint_next_event(node->endpoint, &event))
        on_event(node, &event);
    post_packets(node);
}

static void receive_packet(void)
{
    const struct wire_packet *packet = &f.wire[f.wire_first++ % WIRE_COUNT];

    (void)rudp_endpoint_receive(packet->to->endpoint, &packet->path, packet->data, packet->bytes,
                                f.now_us);
    settle(packet->to);
}

/* Moves time to what comes next. False when nothing comes. */
static bool step(void)
{
    uint64_t next_us = min_u64(rudp_endpoint_deadline_us(f.nodes[0].endpoint),
                               rudp_endpoint_deadline_us(f.nodes[1].endpoint));

    if (f.wire_first != f.wire_end)
        next_us = min_u64(next_us, f.wire[f.wire_first % WIRE_COUNT].at_us);
    if (next_us == RUDP_NEVER)
        return false;
    f.now_us = max_u64(f.now_us, next_us);
    while (f.wire_first != f.wire_end && f.wire[f.wire_first % WIRE_COUNT].at_us <= f.now_us)
        receive_packet();
    for (uint32_t i = 0; i < 2; i++) {
        rudp_endpoint_advance(f.nodes[i].endpoint, f.now_us);
        settle(&f.nodes[i]);
    }
    return true;
}

/* --- A run ------------------------------------------------------------------------------------ */

static void setup(enum rudp_order order, uint64_t fail_from, uint64_t fail_count)
{
    memset(&f, 0, sizeof f);
    capped_host_init(&f.memory, SIZE_MAX, 1);
    f.host =
        (struct rudp_host){.allocator = {NULL, allocate, release}, .random = f.memory.host.random};
    f.fail_from = fail_from;
    f.fail_count = fail_count;
    f.now_us = RUDP_US_PER_S;
    rudp_config_init(&f.config);
    f.config.keepalive_us = 0;
    f.config.order = order;
    for (uint32_t i = 0; i < 2; i++) {
        struct node *node = &f.nodes[i];

        node->address = (struct rudp_address){.ip = {10, 0, 0, (uint8_t)i}, .port = 1};
        enum rudp_status status;

        while ((status = rudp_endpoint_create(&node->endpoint, &f.config, &f.host, f.now_us)) !=
               RUDP_OK)
            ck_assert_uint_eq(status, RUDP_E_MEMORY);
    }
}

static void open_session(void)
{
    struct node *opener = &f.nodes[0];
    struct rudp_path path = {.remote = f.nodes[1].address};
    enum rudp_status status;

    while ((status = rudp_endpoint_open(opener->endpoint, &path, &opener->session, f.now_us)) !=
           RUDP_OK)
        ck_assert_uint_eq(status, RUDP_E_MEMORY);
    send_messages(opener);
    settle(opener);
}

static void teardown(void)
{
    rudp_endpoint_destroy(f.nodes[0].endpoint);
    rudp_endpoint_destroy(f.nodes[1].endpoint);
    ck_assert_uint_eq(f.memory.used_bytes, 0);
}

/* What node sent is with its peer, or node was told that some of it is not. */
static void check_nothing_silently_lost(const struct node *node, const struct node *peer)
{
    if (peer->received_count < node->sent_count)
        ck_assert(node->closed && node->undelivered_bytes > 0);
}

static bool is_complete(const struct node *node)
{
    return node->closed && node->sent_count == MESSAGE_COUNT &&
           node->received_count == MESSAGE_COUNT && node->undelivered_bytes == 0;
}

/* A conversation with failing memory. Returns whether both ends got everything. */
static bool run(enum rudp_order order, uint64_t fail_from, uint64_t fail_count)
{
    struct node *opener = &f.nodes[0];
    struct node *acceptor = &f.nodes[1];

    setup(order, fail_from, fail_count);
    open_session();
    while (f.now_us < LIMIT_US && !(opener->closed && acceptor->closed) && step())
        continue;
    ck_assert(opener->closed);
    ck_assert_uint_le(acceptor->opened_count, 1);
    check_nothing_silently_lost(opener, acceptor);
    check_nothing_silently_lost(acceptor, opener);
    teardown();
    return is_complete(opener) && is_complete(acceptor);
}

/* Each allocation of a conversation fails once: nothing breaks or leaks, everything arrives. */
START_TEST(each_allocation_may_fail)
{
    uint64_t number = 0;

    do
        ck_assert(run(RUDP_ORDERED, number++, 1));
    while (f.failed_count > 0);
    ck_assert_uint_gt(number, 100);
}
END_TEST

/* The same with messages delivered as they become complete. */
START_TEST(each_allocation_of_unordered_may_fail)
{
    uint64_t number = 0;

    do
        ck_assert(run(RUDP_UNORDERED, number++, 1));
    while (f.failed_count > 0);
    ck_assert_uint_gt(number, 100);
}
END_TEST

/* From each allocation on the next ones fail, as when a limit is reached for a while. A handshake
 * may take too long then; whatever did not arrive is reported. */
START_TEST(allocations_may_fail_in_a_row)
{
    static const uint64_t row_counts[] = {2, 9, 40};

    for (size_t i = 0; i < sizeof row_counts / sizeof row_counts[0]; i++) {
        uint64_t number = 0;
        uint64_t complete_count = 0;

        do
            complete_count += run(RUDP_ORDERED, number++, row_counts[i]);
        while (f.failed_count > 0);
        ck_assert_uint_gt(number, 100);
        ck_assert_uint_gt(complete_count, number / 2);
    }
}
END_TEST

int main(void)
{
    return SUITE_RUN("endpoint_memory", each_allocation_may_fail,
                     each_allocation_of_unordered_may_fail, allocations_may_fail_in_a_row);
}
