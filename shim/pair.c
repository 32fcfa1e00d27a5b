#define _GNU_SOURCE
#include "shim/pair.h"

#include "engine/descriptor.h"
#include "engine/raw.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/sockios.h>
#include <stddef.h>
#include <sys/ioctl.h>
#include <sys/uio.h>
#include <sys/un.h>

/* The kernel doubles these. A: one datagram of the largest size must pass its length check; more
 * room would only make plugging longer. B: its send buffer is the program's receive queue. */
#define PROGRAM_BUFFER_BYTES (int)(SHIM_PAIR_BYTES_MAX)
#define ENGINE_BUFFER_BYTES  (4 * 1024 * 1024)

#define PLUG_PART_BYTES 4096u
#define PLUG_PART_COUNT 8u

static socklen_t name_address(struct sockaddr_un *out, uint64_t cookie)
{
    static const char digits[] = "0123456789abcdef";
    size_t bytes = sizeof SHIM_PAIR_NAME_PREFIX - 1;

    *out = (struct sockaddr_un){.sun_family = AF_UNIX};
    memcpy(out->sun_path + 1, SHIM_PAIR_NAME_PREFIX, bytes);
    bytes++;
    for (int shift = 60; shift >= 0; shift -= 4)
        out->sun_path[bytes++] = digits[(cookie >> shift) & 0xf];
    return (socklen_t)(offsetof(struct sockaddr_un, sun_path) + bytes);
}

static void set_send_buffer(int fd, int bytes)
{
    long result =
        RAW_CALL(SYS_setsockopt, fd, SOL_SOCKET, SO_SNDBUFFORCE, raw_pointer(&bytes), sizeof bytes);

    if (result < 0) /* without privilege: as much as the system allows */
        (void)RAW_CALL(SYS_setsockopt, fd, SOL_SOCKET, SO_SNDBUF, raw_pointer(&bytes),
                       sizeof bytes);
}

static int prepare(uint64_t cookie, int flags, const int fds[2])
{
    struct sockaddr_un name;
    socklen_t name_bytes = name_address(&name, cookie);
    long result = RAW_CALL(SYS_bind, fds[0], raw_pointer(&name), name_bytes);

    if (result == 0 && (flags & SOCK_NONBLOCK) == 0)
        result = RAW_CALL(SYS_fcntl, fds[0], F_SETFL, O_RDWR);
    if (result == 0 && (flags & SOCK_CLOEXEC) == 0)
        result = RAW_CALL(SYS_fcntl, fds[0], F_SETFD, 0);
    set_send_buffer(fds[0], PROGRAM_BUFFER_BYTES);
    set_send_buffer(fds[1], ENGINE_BUFFER_BYTES);
    return (int)result;
}

int shim_pair_create(uint64_t cookie, int flags, int *program_fd, int *engine_fd)
{
    int fds[2];
    long result = RAW_CALL(SYS_socketpair, AF_UNIX, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0,
                           raw_pointer(fds));

    if (result < 0)
        return (int)result;
    result = prepare(cookie, flags, fds);
    if (result < 0) {
        (void)RAW_CALL(SYS_close, fds[0]);
        (void)RAW_CALL(SYS_close, fds[1]);
        return (int)result;
    }
    *program_fd = fds[0];
    *engine_fd = engine_descriptor_move_high(fds[1]);
    return 0;
}

static bool read_digits(const char *text, size_t count, uint64_t *number)
{
    *number = 0;
    for (size_t index = 0; index < count; index++) {
        char c = text[index];
        uint64_t digit = c >= '0' && c <= '9' ? (uint64_t)(c - '0') : (uint64_t)(c - 'a') + 10;

        if (digit > 0xf)
            return false;
        *number = *number << 4 | digit;
    }
    return true;
}

bool shim_pair_recognise(int fd, uint64_t *cookie)
{
    const size_t prefix_bytes = sizeof SHIM_PAIR_NAME_PREFIX - 1;
    struct sockaddr_un name;
    struct sockaddr_un form;
    socklen_t bytes = sizeof name;
    socklen_t form_bytes = name_address(&form, 0);
    int type = 0;
    socklen_t type_bytes = sizeof type;

    return RAW_CALL(SYS_getsockname, fd, raw_pointer(&name), raw_pointer(&bytes)) == 0 &&
           bytes == form_bytes && name.sun_family == AF_UNIX &&
           memcmp(name.sun_path, form.sun_path, 1 + prefix_bytes) == 0 &&
           read_digits(name.sun_path + 1 + prefix_bytes, 16, cookie) &&
           RAW_CALL(SYS_getsockopt, fd, SOL_SOCKET, SO_TYPE, raw_pointer(&type),
                    raw_pointer(&type_bytes)) == 0 &&
           type == SOCK_DGRAM;
}

bool shim_pair_is_held(uint64_t cookie, int engine_fd)
{
    struct sockaddr_un name;
    socklen_t name_bytes = name_address(&name, cookie);

    /* B is connected to A already: connecting it again changes nothing, but asks for the name. */
    return RAW_CALL(SYS_connect, engine_fd, raw_pointer(&name), name_bytes) == 0;
}

bool shim_pair_parse(struct shim_pair_header *header, uint64_t cookie, const void *data,
                     size_t bytes)
{
    _Static_assert(offsetof(struct shim_pair_header, cookie) == 0, "what a header begins with");
    if (bytes < sizeof *header || memcmp(data, &cookie, sizeof cookie) != 0)
        return false;
    memcpy(header, data, sizeof *header);
    return true;
}

static long send_message(int fd, const struct iovec *parts, size_t part_count)
{
    struct msghdr message = {.msg_iov = (struct iovec *)(uintptr_t)parts, .msg_iovlen = part_count};

    return RAW_CALL(SYS_sendmsg, fd, raw_pointer(&message), MSG_DONTWAIT | MSG_NOSIGNAL);
}

static size_t make_parts(struct iovec parts[2], const struct shim_pair_header *header,
                         const void *data, size_t bytes)
{
    size_t part_count = 0;

    if (header != NULL)
        parts[part_count++] = (struct iovec){(void *)(uintptr_t)header, sizeof *header};
    parts[part_count++] = (struct iovec){(void *)(uintptr_t)data, bytes};
    return part_count;
}

int shim_pair_write(int fd, const struct shim_pair_header *header, const void *data, size_t bytes)
{
    struct iovec parts[2];
    long result = send_message(fd, parts, make_parts(parts, header, data, bytes));

    return result < 0 ? (int)result : 0;
}

_Static_assert(sizeof(struct shim_pair_note) == sizeof(struct mmsghdr), "the kernel's layout");

/* The calls for many messages write each one's length before they return. No message is as long. */
#define NOTE_PENDING UINT32_MAX

void shim_pair_note_begin(struct shim_pair_note *note)
{
    *note = (struct shim_pair_note){.length = NOTE_PENDING};
}

bool shim_pair_note_is_done(const struct shim_pair_note *note)
{
    return note->length != NOTE_PENDING;
}

int shim_pair_write_noted(int fd, const struct shim_pair_header *header, const void *data,
                          size_t bytes, struct shim_pair_note *note)
{
    struct iovec parts[2];

    note->message.msg_iov = parts;
    note->message.msg_iovlen = make_parts(parts, header, data, bytes);
    long result = RAW_CALL(SYS_sendmmsg, fd, raw_pointer(note), 1, MSG_DONTWAIT | MSG_NOSIGNAL);

    note->message.msg_iov = NULL;
    return result < 0 ? (int)result : 0;
}

void shim_pair_drop_noted(int fd, struct shim_pair_note *note)
{
    (void)RAW_CALL(SYS_recvmmsg, fd, raw_pointer(note), 1, MSG_DONTWAIT, 0);
}

void shim_pair_plug(int program_fd, uint64_t cookie)
{
    static uint8_t zero[PLUG_PART_BYTES];
    struct shim_pair_header header = {
        .cookie = cookie,
        .type = SHIM_PAIR_PLUG,
        .payload_bytes = PLUG_PART_BYTES * PLUG_PART_COUNT,
    };
    struct iovec parts[1 + PLUG_PART_COUNT] = {{&header, sizeof header}};

    for (size_t index = 1; index <= PLUG_PART_COUNT; index++)
        parts[index] = (struct iovec){zero, sizeof zero};
    while (send_message(program_fd, parts, 1 + PLUG_PART_COUNT) > 0) {
    }
}

long shim_pair_unread_bytes(int fd)
{
    int bytes = 0;
    long result = RAW_CALL(SYS_ioctl, fd, SIOCOUTQ, raw_pointer(&bytes));

    return result < 0 ? result : bytes;
}
