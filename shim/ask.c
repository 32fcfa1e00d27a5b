#define _GNU_SOURCE
#include "shim/ask.h"

#include "engine/descriptor.h"
#include "engine/raw.h"
#include "engine/system.h"
#include "shim/connect.h"
#include "shim/hold.h"
#include "shim/peers.h"
#include "shim/process.h"

#include <errno.h>
#include <netinet/in.h>
#include <poll.h>

/* An owner answers at once, or as soon as it gets a processor. */
#define ANSWER_US_MAX (2u * RUDP_US_PER_S)

/* Who lets go does not wait longer: what it read may come again then. */
#define LOOK_US_MAX (500u * RUDP_US_PER_MS)

/* What both sides may be built differently for (32 bits, another C library) has one form: no
 * padding, no pointer. */
struct answer {
    uint32_t wanted_controls;
    int32_t receive_buffer_shown;
    uint16_t family;
    uint8_t wants_errors;
    uint8_t wants_errors6;
    uint8_t write_shut;
    uint8_t is_bare;
    uint8_t unused[2];
};

_Static_assert(sizeof(struct answer) == 16, "no padding");

#define PARCEL_FD_COUNT_MAX 2u

/* A message with room for a number of descriptors. */
struct parcel {
    struct iovec parts[2];
    _Alignas(struct cmsghdr) uint8_t control[CMSG_SPACE(PARCEL_FD_COUNT_MAX * sizeof(int))];
    struct msghdr message;
};

static void parcel_init(struct parcel *parcel, void *data, size_t bytes, size_t fd_count)
{
    *parcel = (struct parcel){.parts = {{data, bytes}}};
    parcel->message = (struct msghdr){
        .msg_iov = parcel->parts,
        .msg_iovlen = 1,
        .msg_control = parcel->control,
        .msg_controllen = CMSG_LEN(fd_count * sizeof(int)), /* not SPACE: its padding is room for
                                                             * another */
    };
}

static void parcel_add(struct parcel *parcel, const void *data, size_t bytes)
{
    parcel->parts[parcel->message.msg_iovlen++] = (struct iovec){(void *)(uintptr_t)data, bytes};
}

static void parcel_put(struct parcel *parcel, const int *fds, size_t fd_count)
{
    struct cmsghdr header = {
        .cmsg_len = CMSG_LEN(fd_count * sizeof *fds),
        .cmsg_level = SOL_SOCKET,
        .cmsg_type = SCM_RIGHTS,
    };

    memcpy(parcel->control, &header, sizeof header);
    memcpy(parcel->control + CMSG_LEN(0), fds, fd_count * sizeof *fds);
}

/* The descriptors that came; how many. */
static size_t parcel_take(const struct parcel *parcel, int fds[PARCEL_FD_COUNT_MAX])
{
    struct cmsghdr header;

    if (parcel->message.msg_controllen < CMSG_LEN(sizeof *fds))
        return 0;
    memcpy(&header, parcel->control, sizeof header);
    if (header.cmsg_level != SOL_SOCKET || header.cmsg_type != SCM_RIGHTS ||
        header.cmsg_len < CMSG_LEN(sizeof *fds))
        return 0;
    size_t fd_count = (header.cmsg_len - CMSG_LEN(0)) / sizeof *fds;

    memcpy(fds, parcel->control + CMSG_LEN(0), fd_count * sizeof *fds);
    return fd_count;
}

static void close_all(const int *fds, size_t fd_count)
{
    for (size_t index = 0; index < fd_count; index++)
        (void)RAW_CALL(SYS_close, fds[index]);
}

static bool has_option(int fd, int option, int expected)
{
    int value = 0;

    return engine_sys_getsockopt_int(fd, SOL_SOCKET, option, &value) == 0 && value == expected;
}

/* --- Asking -------------------------------------------------------------------------------------
 */

static bool wait_for(int fd, short events, uint64_t deadline_us)
{
    struct pollfd one = {.fd = fd, .events = events};
    long result;

    do {
        result = engine_sys_poll(&one, 1, sub_floor_u64(deadline_us, engine_now_us()));
    } while (result == -EINTR);
    return result > 0;
}

/* A question on its way and the place where its answer comes. */
struct question {
    uint16_t type; /* of the pair's header */
    const void *data;
    size_t bytes;
    int fds[PARCEL_FD_COUNT_MAX]; /* the first is where the answer is to be sent */
    size_t fd_count;
    uint64_t patience_us;
    uint64_t deadline_us;
    int answer_fd;
};

static bool send_question(const struct fd_table_seen *seen, const struct question *question)
{
    struct shim_pair_header header = {.cookie = seen->cookie, .type = question->type};
    struct parcel parcel;
    long result;

    header.payload_bytes = (uint32_t)question->bytes;
    parcel_init(&parcel, &header, sizeof header, question->fd_count);
    parcel_add(&parcel, question->data, question->bytes);
    parcel_put(&parcel, question->fds, question->fd_count);
    do {
        result = RAW_CALL(SYS_sendmsg, seen->fd, raw_pointer(&parcel.message),
                          MSG_DONTWAIT | MSG_NOSIGNAL);
    } while (result == -EAGAIN && wait_for(seen->fd, POLLOUT, question->deadline_us));
    return result == (long)(sizeof header + question->bytes);
}

/* False: nobody answers in time. Else answer_fd is readable, and the caller's to close. */
static bool ask(const struct fd_table_seen *seen, struct question *question)
{
    int ends[2] = {-1, -1};

    question->deadline_us = engine_now_us() + question->patience_us;
    if (RAW_CALL(SYS_socketpair, AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, raw_pointer(ends)) < 0)
        return false;
    question->fds[0] = ends[1];
    question->answer_fd = ends[0];
    bool is_sent = send_question(seen, question);

    (void)RAW_CALL(SYS_close, ends[1]); /* an owner that ends hangs up by that */
    if (is_sent && wait_for(ends[0], POLLIN, question->deadline_us))
        return true;
    (void)RAW_CALL(SYS_close, ends[0]);
    return false;
}

/* The wire that came with the answer, or -1. */
static int receive_wire(int fd, struct answer *answer)
{
    struct parcel parcel;
    int fds[PARCEL_FD_COUNT_MAX];

    parcel_init(&parcel, answer, sizeof *answer, 1);
    long bytes =
        RAW_CALL(SYS_recvmsg, fd, raw_pointer(&parcel.message), MSG_DONTWAIT | MSG_CMSG_CLOEXEC);

    if (bytes < 0 || parcel_take(&parcel, fds) != 1)
        return -1;
    int wire_fd = fds[0];

    if (bytes == sizeof *answer && has_option(wire_fd, SO_DOMAIN, answer->family) &&
        (answer->family == AF_INET || answer->family == AF_INET6) &&
        has_option(wire_fd, SO_PROTOCOL, IPPROTO_UDP))
        return wire_fd;
    (void)RAW_CALL(SYS_close, wire_fd);
    return -1;
}

static int ask_for_wire(const struct fd_table_seen *seen, struct answer *answer)
{
    struct question question = {.type = SHIM_PAIR_ASK, .fd_count = 1, .patience_us = ANSWER_US_MAX};

    if (!ask(seen, &question))
        return -1;
    int wire_fd = receive_wire(question.answer_fd, answer);

    (void)RAW_CALL(SYS_close, question.answer_fd);
    return wire_fd;
}

static void fill_in(struct shim_socket *sock, const struct answer *answer, int wire_fd)
{
    struct shim_shared *shared = sock->shared;
    int none = -1;

    sock->family = answer->family;
    atomic_store(&shared->wanted_controls, answer->wanted_controls);
    atomic_store(&shared->receive_buffer_shown, answer->receive_buffer_shown);
    atomic_store(&shared->wants_errors, answer->wants_errors != 0);
    atomic_store(&shared->wants_errors6, answer->wants_errors6 != 0);
    atomic_store(&shared->write_shut, answer->write_shut != 0);
    atomic_store(&shared->is_bare, answer->is_bare != 0);
    wire_fd = engine_descriptor_move_high(wire_fd);
    fd_table_set_private(wire_fd, true);
    if (atomic_compare_exchange_strong(&sock->wire_fd, &none, wire_fd))
        return;
    fd_table_set_private(wire_fd, false); /* another thread's answer came first */
    (void)RAW_CALL(SYS_close, wire_fd);
}

/* All signals blocked: a handler that jumps out would leave descriptors behind. */
static void ask_blocked(const struct fd_table_seen *seen)
{
    struct engine_signal_mask mask;
    struct answer answer;
    int wire_fd = ask_for_wire(seen, &answer);

    if (!shim_hold(seen, &mask)) { /* closed meanwhile */
        if (wire_fd >= 0)
            (void)RAW_CALL(SYS_close, wire_fd);
        return;
    }
    if (wire_fd < 0)
        atomic_store(&seen->sock->ask_again_us, engine_now_us() + ANSWER_US_MAX);
    else
        fill_in(seen->sock, &answer, wire_fd);
    shim_unhold(seen, mask);
}

void shim_ask(const struct fd_table_seen *seen)
{
    /* A vfork child's descriptors are not those of the memory it runs on. */
    if (engine_now_us() < atomic_load(&seen->sock->ask_again_us) || shim_process_is_guest())
        return;
    struct engine_signal_mask mask = engine_sys_block_signals();

    ask_blocked(seen);
    engine_sys_restore_signals(mask);
}

bool shim_ask_connect(const struct fd_table_seen *seen, const struct sockaddr *addr,
                      socklen_t addr_bytes, int *result)
{
    struct question question = {
        .type = SHIM_PAIR_CONNECT,
        .data = addr,
        .bytes = addr_bytes,
        .fds = {-1, seen->fd},
        .fd_count = 2,
        .patience_us = ANSWER_US_MAX,
    };
    int32_t answer = 0;

    if (shim_process_is_guest() || addr_bytes > sizeof(struct sockaddr_storage))
        return false;
    struct engine_signal_mask mask = engine_sys_block_signals();
    bool is_answered = ask(seen, &question);

    if (is_answered) {
        is_answered = RAW_CALL(SYS_recvfrom, question.answer_fd, raw_pointer(&answer),
                               sizeof answer, MSG_DONTWAIT, 0, 0) == sizeof answer;
        (void)RAW_CALL(SYS_close, question.answer_fd);
    }
    engine_sys_restore_signals(mask);
    if (is_answered)
        *result = answer;
    return is_answered;
}

/* It has no answer: when the owner has dealt with it the kernel closes the descriptor that came
 * along.
 */
void shim_ask_to_look(struct shim_socket *sock, int fd)
{
    struct fd_table_seen seen = {sock, atomic_load(&sock->cookie), fd};
    struct question question = {.type = SHIM_PAIR_READ, .fd_count = 1, .patience_us = LOOK_US_MAX};
    struct engine_signal_mask mask = engine_sys_block_signals();

    if (ask(&seen, &question))
        (void)RAW_CALL(SYS_close, question.answer_fd);
    engine_sys_restore_signals(mask);
}

bool shim_ask_to_drop_token(const struct fd_table_seen *seen, const struct rudp_address *peer)
{
    struct question question = {
        .type = SHIM_PAIR_TOKEN,
        .data = peer,
        .bytes = sizeof *peer,
        .fds = {-1, seen->fd},
        .fd_count = 2,
        .patience_us = LOOK_US_MAX,
    };

    if (shim_process_is_guest())
        return false;
    struct engine_signal_mask mask = engine_sys_block_signals();
    bool is_answered = ask(seen, &question);

    if (is_answered)
        (void)RAW_CALL(SYS_close, question.answer_fd);
    engine_sys_restore_signals(mask);
    return is_answered;
}

/* --- Answering ----------------------------------------------------------------------------------
 */

bool shim_ask_is_question(uint16_t type)
{
    return type == SHIM_PAIR_ASK || type == SHIM_PAIR_CONNECT || type == SHIM_PAIR_TOKEN;
}

static void answer_with_wire(struct shim_socket *sock, int fd)
{
    struct shim_shared *shared = sock->shared;
    struct answer answer = {
        .family = sock->family,
        .wanted_controls = atomic_load(&shared->wanted_controls),
        .receive_buffer_shown = atomic_load(&shared->receive_buffer_shown),
        .wants_errors = atomic_load(&shared->wants_errors),
        .wants_errors6 = atomic_load(&shared->wants_errors6),
        .write_shut = atomic_load(&shared->write_shut),
        .is_bare = atomic_load(&shared->is_bare),
    };
    int wire_fd = sock->wire_fd;
    struct parcel parcel;

    parcel_init(&parcel, &answer, sizeof answer, 1);
    parcel_put(&parcel, &wire_fd, 1);
    /* Who does not leave room for it does not get it. */
    (void)RAW_CALL(SYS_sendmsg, fd, raw_pointer(&parcel.message), MSG_DONTWAIT | MSG_NOSIGNAL);
}

static void answer_connected(struct shim_socket *sock, int fd, int program_fd,
                             const struct sockaddr *addr, socklen_t addr_bytes)
{
    int32_t result = (int32_t)shim_connect_for_holder(sock, program_fd, addr, addr_bytes);

    (void)RAW_CALL(SYS_sendto, fd, raw_pointer(&result), sizeof result, MSG_DONTWAIT | MSG_NOSIGNAL,
                   0, 0);
}

static bool is_answer_socket(int fd)
{
    return has_option(fd, SO_DOMAIN, AF_UNIX) && has_option(fd, SO_TYPE, SOCK_SEQPACKET);
}

static bool is_own_pair(const struct shim_socket *sock, int fd)
{
    uint64_t cookie;

    return shim_pair_recognise(fd, &cookie) && cookie == sock->cookie;
}

/* With what the question carries: descriptors, and bytes behind its header. False: it is none. */
static bool answer(struct shim_socket *sock, uint16_t type, const int *fds, size_t fd_count,
                   const void *data, size_t bytes)
{
    bool has_pair = fd_count == 2 && is_own_pair(sock, fds[1]);
    struct rudp_address peer;

    if (fd_count == 0 || !is_answer_socket(fds[0]))
        return false;
    if (type == SHIM_PAIR_ASK && fd_count == 1) {
        answer_with_wire(sock, fds[0]);
        return true;
    }
    if (type == SHIM_PAIR_CONNECT && has_pair) {
        answer_connected(sock, fds[0], fds[1], data, (socklen_t)bytes);
        return true;
    }
    if (type != SHIM_PAIR_TOKEN || !has_pair || bytes != sizeof peer)
        return false;
    memcpy(&peer, data, sizeof peer);
    shim_failure_drop_token(sock, fds[1], &peer);
    return true;
}

void shim_ask_answer(struct shim_socket *sock, uint16_t type)
{
    struct shim_pair_header header;
    struct sockaddr_storage data;
    struct parcel parcel;
    int fds[PARCEL_FD_COUNT_MAX];

    atomic_store(&sock->shared->is_spread, true);
    parcel_init(&parcel, &header, sizeof header, type == SHIM_PAIR_ASK ? 1 : 2);
    parcel_add(&parcel, &data, sizeof data);
    long bytes = RAW_CALL(SYS_recvmsg, sock->pair_fd, raw_pointer(&parcel.message),
                          MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
    size_t fd_count = bytes < (long)sizeof header ? 0 : parcel_take(&parcel, fds);

    if ((parcel.message.msg_flags & MSG_TRUNC) != 0 ||
        !answer(sock, type, fds, fd_count, &data, (size_t)bytes - sizeof header))
        sock->shared->strange_count++;
    close_all(fds, fd_count);
}
