#define _GNU_SOURCE
#include "shim/ask.h"

#include "engine/descriptor.h"
#include "engine/raw.h"
#include "engine/system.h"
#include "shim/hold.h"
#include "shim/process.h"

#include <errno.h>
#include <netinet/in.h>
#include <poll.h>

/* An owner answers at once, or as soon as it gets a processor. */
#define ANSWER_US_MAX (2u * RUDP_US_PER_S)

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

/* A message with room for one descriptor. */
struct parcel {
    struct iovec part;
    _Alignas(struct cmsghdr) uint8_t control[CMSG_SPACE(sizeof(int))];
    struct msghdr message;
};

static void parcel_init(struct parcel *parcel, void *data, size_t bytes)
{
    *parcel = (struct parcel){.part = {data, bytes}};
    parcel->message = (struct msghdr){
        .msg_iov = &parcel->part,
        .msg_iovlen = 1,
        .msg_control = parcel->control,
        .msg_controllen = CMSG_LEN(sizeof(int)), /* not SPACE: its padding is room for another */
    };
}

static void parcel_put(struct parcel *parcel, int fd)
{
    struct cmsghdr header = {
        .cmsg_len = CMSG_LEN(sizeof fd),
        .cmsg_level = SOL_SOCKET,
        .cmsg_type = SCM_RIGHTS,
    };

    memcpy(parcel->control, &header, sizeof header);
    memcpy(parcel->control + CMSG_LEN(0), &fd, sizeof fd);
}

/* The descriptor that came, or -1. */
static int parcel_take(const struct parcel *parcel)
{
    struct cmsghdr header;
    int fd;

    if (parcel->message.msg_controllen < CMSG_LEN(sizeof fd))
        return -1;
    memcpy(&header, parcel->control, sizeof header);
    if (header.cmsg_level != SOL_SOCKET || header.cmsg_type != SCM_RIGHTS ||
        header.cmsg_len < CMSG_LEN(sizeof fd))
        return -1;
    memcpy(&fd, parcel->control + CMSG_LEN(0), sizeof fd);
    return fd;
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

static bool send_question(const struct fd_table_seen *seen, int answer_fd, uint64_t deadline_us)
{
    struct shim_pair_header header = {.cookie = seen->cookie, .type = SHIM_PAIR_ASK};
    struct parcel parcel;
    long result;

    parcel_init(&parcel, &header, sizeof header);
    parcel_put(&parcel, answer_fd);
    do {
        result = RAW_CALL(SYS_sendmsg, seen->fd, raw_pointer(&parcel.message),
                          MSG_DONTWAIT | MSG_NOSIGNAL);
    } while (result == -EAGAIN && wait_for(seen->fd, POLLOUT, deadline_us));
    return result == sizeof header;
}

/* The wire that came with the answer, or -1. */
static int receive_answer(int fd, struct answer *answer, uint64_t deadline_us)
{
    struct parcel parcel;

    if (!wait_for(fd, POLLIN, deadline_us))
        return -1;
    parcel_init(&parcel, answer, sizeof *answer);
    long bytes =
        RAW_CALL(SYS_recvmsg, fd, raw_pointer(&parcel.message), MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
    int wire_fd = bytes < 0 ? -1 : parcel_take(&parcel);

    if (wire_fd < 0 || (bytes == sizeof *answer && has_option(wire_fd, SO_DOMAIN, answer->family) &&
                        (answer->family == AF_INET || answer->family == AF_INET6) &&
                        has_option(wire_fd, SO_PROTOCOL, IPPROTO_UDP)))
        return wire_fd;
    (void)RAW_CALL(SYS_close, wire_fd);
    return -1;
}

static int ask(const struct fd_table_seen *seen, struct answer *answer)
{
    uint64_t deadline_us = engine_now_us() + ANSWER_US_MAX;
    int ends[2];
    int wire_fd = -1;

    if (RAW_CALL(SYS_socketpair, AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, raw_pointer(ends)) < 0)
        return -1;
    bool is_sent = send_question(seen, ends[1], deadline_us);

    (void)RAW_CALL(SYS_close, ends[1]); /* an owner that ends hangs up by that */
    if (is_sent)
        wire_fd = receive_answer(ends[0], answer, deadline_us);
    (void)RAW_CALL(SYS_close, ends[0]);
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
    int wire_fd = ask(seen, &answer);

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

/* --- Answering ----------------------------------------------------------------------------------
 */

static void answer_on(struct shim_socket *sock, int fd)
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
    struct parcel parcel;

    parcel_init(&parcel, &answer, sizeof answer);
    parcel_put(&parcel, sock->wire_fd);
    /* Who does not leave room for it does not get it. */
    (void)RAW_CALL(SYS_sendmsg, fd, raw_pointer(&parcel.message), MSG_DONTWAIT | MSG_NOSIGNAL);
}

void shim_ask_answer(struct shim_socket *sock)
{
    struct shim_pair_header header;
    struct parcel parcel;

    atomic_store(&sock->shared->is_spread, true);
    parcel_init(&parcel, &header, sizeof header);
    long bytes = RAW_CALL(SYS_recvmsg, sock->pair_fd, raw_pointer(&parcel.message),
                          MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
    int fd = bytes < 0 ? -1 : parcel_take(&parcel);

    if (fd >= 0 && has_option(fd, SO_DOMAIN, AF_UNIX) && has_option(fd, SO_TYPE, SOCK_SEQPACKET))
        answer_on(sock, fd);
    else
        sock->shared->strange_count++;
    if (fd >= 0)
        (void)RAW_CALL(SYS_close, fd);
}
