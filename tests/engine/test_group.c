/* test_group.c - members of a SO_REUSEPORT group in two processes: whose is a packet that the
 * kernel gives to the wrong one. The kernel is told which one that is, by a filter on the group. */
#include "core/wire.h"
#include "engine/memory.h"
#include "engine/random.h"
#include "tests/core/suite.h"
#include "tests/engine/node.h"

#include <arpa/inet.h>
#include <linux/filter.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#define HOST           "127.0.0.1"
#define PATIENCE_MS    20000
#define COUNTERS_BYTES 4096u

/* Of the member in the other process, in memory that both see. */
struct counters {
    _Atomic uint32_t opened_count;
    _Atomic uint32_t received_count;
    _Atomic uint32_t restarted_count;
    _Atomic uint32_t closed_count;
};

static struct counters *counters;
static struct engine_socket *here; /* the member in this process */
static pid_t there;                /* the process of the other */
static uint16_t port;
static int client = -1; /* a plain UDP socket, for what a core endpoint has to say */
static struct rudp_endpoint *callers;

/* A member's socket; group_port 0: the first one's. */
static int member_socket(uint16_t group_port)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons(group_port)};
    int fd = socket(AF_INET, SOCK_DGRAM, 0);

    ck_assert_int_eq(inet_pton(AF_INET, HOST, &address.sin_addr), 1);
    ck_assert_int_eq(setsockopt(fd, SOL_SOCKET, SO_REUSEPORT, &(int){1}, sizeof(int)), 0);
    ck_assert_int_eq(bind(fd, (struct sockaddr *)&address, sizeof address), 0);
    return fd;
}

static void on_event(void *context, struct engine_socket *sock, const struct rudp_event *event)
{
    struct counters *of_member = context;
    uint8_t message[64];
    size_t bytes;

    if (event->type == RUDP_EVENT_OPENED)
        of_member->opened_count++;
    if (event->type == RUDP_EVENT_PEER_RESTARTED)
        of_member->restarted_count++;
    if (event->type == RUDP_EVENT_CLOSED) {
        rudp_session_release(engine_socket_endpoint(sock), event->session);
        of_member->closed_count++;
    }
    if (event->type != RUDP_EVENT_READABLE)
        return;
    while (rudp_session_peek(engine_socket_endpoint(sock), event->session, message, sizeof message,
                             &bytes) == RUDP_OK) {
        rudp_session_consume(engine_socket_endpoint(sock), event->session, engine_now_us());
        of_member->received_count++;
    }
}

static void on_cede(void *context, struct engine_socket *sock, struct rudp_session *session)
{
    (void)context;
    rudp_session_close(engine_socket_endpoint(sock), session, engine_now_us());
}

static const struct engine_handler handler = {.on_event = on_event, .on_cede = on_cede};

static struct engine_socket *serve(int fd, struct counters *of_member)
{
    struct rudp_config config;
    struct engine_socket *sock;

    rudp_config_init(&config);
    config.reopens = true;
    const struct engine_socket_options options = {
        .config = &config, .handler = &handler, .context = of_member};

    ck_assert_int_eq(engine_socket_create(&sock, fd, &options), 0);
    return sock;
}

/* id_tag: of its sessions, instead of its own; 0: its own. */
static void run_there(int ready, uint16_t group_port, struct counters *of_member, uint16_t id_tag)
{
    int fd = member_socket(group_port);
    uint16_t own_port = node_socket_port(fd);
    struct engine_socket *sock = serve(fd, of_member);

    if (id_tag != 0) {
        engine_socket_enter(sock);
        rudp_endpoint_set_id_tag(engine_socket_endpoint(sock), id_tag);
        engine_socket_leave(sock);
    }
    ck_assert_int_eq(write(ready, &own_port, sizeof own_port), sizeof own_port);
    for (;;)
        pause();
}

static pid_t start_member(uint16_t group_port, struct counters *of_member, uint16_t id_tag)
{
    int ends[2];

    ck_assert_int_eq(pipe(ends), 0);
    pid_t pid = fork();

    if (pid == 0)
        run_there(ends[1], group_port, of_member, id_tag);
    ck_assert_int_eq(read(ends[0], &port, sizeof port), sizeof port);
    return pid;
}

static void stop_member(pid_t pid)
{
    ck_assert_int_eq(kill(pid, SIGKILL), 0);
    ck_assert_int_eq(waitpid(pid, NULL, 0), pid);
}

/* The member in the other process, and a client. */
static void start_tagged(uint16_t id_tag)
{
    struct rudp_config config;

    counters =
        mmap(NULL, COUNTERS_BYTES, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    ck_assert_ptr_ne(counters, MAP_FAILED);
    there = start_member(0, counters, id_tag);
    client = node_socket(HOST, 0);
    rudp_config_init(&config);
    const struct rudp_host host = {
        .allocator = {engine_memory_arena(), engine_memory_allocate, engine_memory_release},
        .random = {.fill = engine_random_fill},
    };

    ck_assert_int_eq(rudp_endpoint_create(&callers, &config, &host, engine_now_us()), RUDP_OK);
}

static void start(void)
{
    start_tagged(0);
}

static void finish(void)
{
    stop_member(there);
}

/* What the member in this process counts. */
static struct counters own;

/* From now on all packets come to the group's socket of that index. */
static void steer(int fd, uint32_t index)
{
    struct sock_filter always[] = {BPF_STMT(BPF_RET | BPF_K, index)};
    struct sock_fprog program = {1, always};

    ck_assert_int_eq(setsockopt(fd, SOL_SOCKET, SO_ATTACH_REUSEPORT_CBPF, &program, sizeof program),
                     0);
}

/* The member in this process joins, as the one of that index, and gets all packets. */
static int join_as(uint32_t index)
{
    int fd = member_socket(port);

    steer(fd, index);
    here = serve(fd, &own);
    return fd;
}

static int join(void)
{
    return join_as(1);
}

struct call {
    uint8_t hello[RUDP_PACKET_BYTES_MAX];
    size_t bytes;
};

/* The hello of a new caller, with a message. Each calls somebody else, to its endpoint. */
static void make_call(struct call *call)
{
    static uint16_t callee;
    const struct rudp_path path = {.remote = node_address(HOST, ++callee)};
    const struct rudp_slice slice = {.data = "hi", .bytes = 2};
    struct rudp_path to;
    struct rudp_session *session;

    ck_assert_int_eq(rudp_endpoint_open(callers, &path, &session, engine_now_us()), RUDP_OK);
    ck_assert_int_eq(rudp_session_send(callers, session, &slice, 1, engine_now_us()), RUDP_OK);
    call->bytes =
        rudp_endpoint_next_packet(callers, &to, call->hello, sizeof call->hello, engine_now_us());
    ck_assert_uint_gt(call->bytes, 0);
}

static void send_call(const struct call *call)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons(port)};

    ck_assert_int_eq(inet_pton(AF_INET, HOST, &address.sin_addr), 1);
    ck_assert_int_eq(
        sendto(client, call->hello, call->bytes, 0, (struct sockaddr *)&address, sizeof address),
        (ssize_t)call->bytes);
}

static void await(const _Atomic uint32_t *counter, uint32_t count)
{
    for (int left_ms = PATIENCE_MS; *counter < count; left_ms--) {
        ck_assert_int_gt(left_ms, 0);
        (void)poll(NULL, 0, 1);
    }
}

/* A hello that is sent again, and comes to another process than its first copy, opens nothing
 * there: its message is read once. One of a new caller does. */
START_TEST(repeated_hello_stays_where_it_was)
{
    struct call first;
    struct call second;

    start();
    make_call(&first);
    make_call(&second);
    send_call(&first);
    await(&counters->received_count, 1);
    join();
    send_call(&first);
    send_call(&second); /* behind it: when this is answered, so is that */
    await(&own.received_count, 1);
    ck_assert_uint_eq(own.opened_count, 1);
    ck_assert_uint_eq(counters->opened_count, 1);
    finish();
}
END_TEST

/* A process that is stopped does not keep the others from their callers. */
START_TEST(silent_member_is_not_waited_for)
{
    struct call call;

    start();
    join();
    make_call(&call);
    ck_assert_int_eq(kill(there, SIGSTOP), 0);
    send_call(&call);
    await(&own.received_count, 1);
    ck_assert_uint_eq(own.opened_count, 1);
    finish();
}
END_TEST

/* A process whose socket is on its way out passes callers on. */
START_TEST(closing_member_passes_callers_on)
{
    struct call call;

    start();
    make_call(&call);
    join();
    engine_socket_enter(here);
    rudp_endpoint_set_accepting(engine_socket_endpoint(here), false);
    engine_socket_leave(here);
    send_call(&call);
    await(&counters->received_count, 1);
    ck_assert_uint_eq(own.opened_count, 0);
    finish();
}
END_TEST

static struct counters of_caller;
static struct engine_socket *caller;
static uint16_t caller_port;

/* A session of the caller with the port. */
static void caller_sends(void)
{
    const struct rudp_path path = {.remote = node_address(HOST, port)};
    const struct rudp_slice slice = {.data = "hi", .bytes = 2};

    engine_socket_enter(caller);
    struct rudp_endpoint *endpoint = engine_socket_endpoint(caller);
    struct rudp_session *session = rudp_endpoint_find(endpoint, &path.remote);

    if (session == NULL)
        ck_assert_int_eq(engine_socket_open_session(caller, &path, &session), RUDP_OK);
    ck_assert_int_eq(rudp_session_send(endpoint, session, &slice, 1, engine_now_us()), RUDP_OK);
    engine_socket_leave(caller);
}

/* The member in the other process has read a message of the caller's. From here on this process has
 * threads, and forks no more. */
static void start_call(void)
{
    int fd = node_socket(HOST, 0);

    caller_port = node_socket_port(fd);
    caller = serve(fd, &of_caller);
    caller_sends();
    await(&counters->received_count, 1);
}

/* A program answers a caller from another process: nothing comes again, in either direction, and
 * what the caller sends from then on comes there. */
START_TEST(caller_is_ceded_to_who_answers)
{
    struct rudp_session *session;
    const struct rudp_slice slice = {.data = "hi", .bytes = 2};

    start();
    start_call();
    (void)join();
    const struct rudp_path path = {.remote = node_address(HOST, caller_port)};

    engine_socket_enter(here);
    ck_assert_int_eq(engine_socket_open_session(here, &path, &session), RUDP_OK);
    ck_assert_int_eq(
        rudp_session_send(engine_socket_endpoint(here), session, &slice, 1, engine_now_us()),
        RUDP_OK);
    engine_socket_leave(here);
    await(&of_caller.received_count, 1);
    await(&counters->closed_count, 1);
    caller_sends();
    await(&own.received_count, 1);
    ck_assert_uint_eq(counters->received_count, 1);
    ck_assert_uint_eq(of_caller.restarted_count, 0);
    finish();
}
END_TEST

/* A socket that is connected to the caller gets what it sends next. */
START_TEST(caller_is_ceded_to_a_connected_socket)
{
    struct sockaddr_in address = {.sin_family = AF_INET};

    start();
    start_call();
    int fd = join();

    ck_assert_int_eq(inet_pton(AF_INET, HOST, &address.sin_addr), 1);
    address.sin_port = htons(caller_port);
    engine_socket_enter(here);
    ck_assert_int_eq(connect(fd, (struct sockaddr *)&address, sizeof address), 0);
    engine_socket_wire_changed(here);
    engine_socket_leave(here);
    caller_sends();
    await(&own.received_count, 1);
    await(&counters->closed_count, 1);
    ck_assert_uint_eq(counters->received_count, 1);
    ck_assert_uint_eq(own.opened_count, 1);
    finish();
}
END_TEST

/* A connected socket takes no call of another's, though it came to its wire. */
START_TEST(connected_member_passes_others_on)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons(1)};
    struct call call;

    start();
    make_call(&call);
    int fd = join();

    ck_assert_int_eq(inet_pton(AF_INET, HOST, &address.sin_addr), 1);
    engine_socket_enter(here); /* nothing is read meanwhile */
    send_call(&call);
    ck_assert_int_eq(connect(fd, (struct sockaddr *)&address, sizeof address), 0);
    engine_socket_wire_changed(here);
    engine_socket_leave(here);
    await(&counters->received_count, 1);
    ck_assert_uint_eq(own.opened_count, 0);
    finish();
}
END_TEST

/* A session went on in another process than its id names, and that slot is a third one's by now. */
START_TEST(session_is_found_behind_a_slot_of_another)
{
    const uint16_t third_slot = 2;

    start_tagged(third_slot);
    pid_t third = start_member(port, counters, 0);

    start_call();
    (void)join_as(2);
    caller_sends();
    await(&counters->received_count, 2);
    ck_assert_uint_eq(counters->opened_count, 1);
    ck_assert_uint_eq(of_caller.restarted_count, 0);
    stop_member(third);
    finish();
}
END_TEST

int main(void)
{
    return SUITE_RUN("group", repeated_hello_stays_where_it_was, silent_member_is_not_waited_for,
                     closing_member_passes_callers_on, caller_is_ceded_to_who_answers,
                     caller_is_ceded_to_a_connected_socket, connected_member_passes_others_on,
                     session_is_found_behind_a_slot_of_another);
}
