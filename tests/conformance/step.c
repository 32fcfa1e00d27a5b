#include "step.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/errqueue.h>
#include <linux/net_tstamp.h>
#include <net/if.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <time.h>
#include <unistd.h>

static uint8_t buffer[STEP_BYTES];

void must(bool condition, const char *text)
{
    if (condition)
        return;
    trace_line("cannot go on: %s: %s", text, strerrorname_np(errno));
    _exit(1);
}

/* --- Places ------------------------------------------------------------------------------------
 */

static struct place v4_place(in_addr_t ip, uint16_t port)
{
    struct place place = {.bytes = sizeof(struct sockaddr_in)};
    struct sockaddr_in *v4 = (struct sockaddr_in *)&place.addr;

    *v4 = (struct sockaddr_in){
        .sin_family = AF_INET, .sin_addr = {htonl(ip)}, .sin_port = htons(port)};
    return place;
}

static struct place v6_place(const char *ip, uint16_t port)
{
    struct place place = {.bytes = sizeof(struct sockaddr_in6)};
    struct sockaddr_in6 *v6 = (struct sockaddr_in6 *)&place.addr;

    *v6 = (struct sockaddr_in6){.sin6_family = AF_INET6, .sin6_port = htons(port)};
    MUST(inet_pton(AF_INET6, ip, &v6->sin6_addr) == 1);
    return place;
}

struct place loopback(const struct variant *variant, uint16_t port)
{
    if (variant->family == AF_INET)
        return v4_place(INADDR_LOOPBACK, port);
    return v6_place(variant->is_mapped ? "::ffff:127.0.0.1" : "::1", port);
}

struct place anywhere(const struct variant *variant)
{
    return variant->family == AF_INET ? v4_place(INADDR_ANY, 0) : v6_place("::", 0);
}

uint16_t place_port(const struct place *place)
{
    return ntohs(((const struct sockaddr_in *)&place->addr)->sin_port); /* the same in both */
}

struct place place_of(int fd)
{
    struct place place = {.bytes = sizeof place.addr};

    MUST(getsockname(fd, (struct sockaddr *)&place.addr, &place.bytes) == 0);
    return place;
}

int open_unbound(const struct variant *variant, const char *name)
{
    int fd = socket(variant->family, SOCK_DGRAM | (variant->is_nonblocking ? SOCK_NONBLOCK : 0), 0);

    MUST(fd >= 0);
    trace_name_fd(fd, name);
    return fd;
}

int open_bound(const struct variant *variant, const char *name, struct place *at)
{
    int fd = open_unbound(variant, name);
    struct place wanted = variant->is_mapped ? anywhere(variant) : loopback(variant, 0);

    MUST(bind(fd, PLACE(&wanted)) == 0);
    *at = place_of(fd);
    *at = loopback(variant, place_port(at));
    trace_name_port(place_port(at), name);
    return fd;
}

void connect_to(int fd, const struct place *to)
{
    MUST(connect(fd, PLACE(to)) == 0);
}

void open_ends(const struct variant *variant, struct ends *ends)
{
    ends->a = open_bound(variant, "a", &ends->at_a);
    ends->b = open_bound(variant, "b", &ends->at_b);
    if (!variant->is_connected)
        return;
    connect_to(ends->a, &ends->at_b);
    connect_to(ends->b, &ends->at_a);
}

struct place dead_end(const struct variant *variant)
{
    struct place at;
    int fd = open_bound(variant, "nobody", &at);

    MUST(close(fd) == 0);
    return at;
}

void say(const struct variant *variant, const struct ends *ends, const char *text)
{
    size_t bytes = strlen(text);
    ssize_t sent_bytes = variant->is_connected
                             ? send(ends->a, text, bytes, 0)
                             : sendto(ends->a, text, bytes, 0, PLACE(&ends->at_b));

    MUST(sent_bytes == (ssize_t)bytes);
}

bool await(int fd, short events)
{
    struct pollfd entry = {.fd = fd, .events = events};
    int count;

    do {
        count = poll(&entry, 1, PATIENCE_MS);
    } while (count < 0 && errno == EINTR);
    if (count == 1)
        return true;
    trace_line("%s: what was awaited did not happen", trace_fd(fd));
    return false;
}

/* --- Sending and receiving ----------------------------------------------------------------------
 */

static void *fresh_buffer(size_t bytes)
{
    MUST(bytes <= sizeof buffer);
    memset(buffer, '.', bytes);
    return buffer;
}

ssize_t step_send(int fd, const void *data, size_t bytes, int flags)
{
    trace("send(%s, %zu", trace_fd(fd), bytes);
    trace_message_flags(flags);
    trace(")");
    ssize_t result = trace_result(send(fd, data, bytes, flags));

    trace_end();
    return result;
}

ssize_t step_sendto(int fd, const void *data, size_t bytes, int flags, const struct place *to)
{
    trace("sendto(%s, %zu", trace_fd(fd), bytes);
    trace_message_flags(flags);
    if (to != NULL)
        trace_address(&to->addr, to->bytes);
    trace(")");
    ssize_t result = to != NULL ? sendto(fd, data, bytes, flags, PLACE(to))
                                : sendto(fd, data, bytes, flags, NULL, 0);

    trace_result(result);
    trace_end();
    return result;
}

ssize_t step_sendmsg(int fd, const struct msghdr *message, int flags)
{
    trace("sendmsg(%s, %zu parts", trace_fd(fd), message->msg_iovlen);
    trace_message_flags(flags);
    if (message->msg_name != NULL)
        trace_address(message->msg_name, message->msg_namelen);
    trace(")");
    ssize_t result = trace_result(sendmsg(fd, message, flags));

    trace_end();
    return result;
}

ssize_t step_recv(int fd, size_t room_bytes, int flags)
{
    void *room = fresh_buffer(room_bytes);

    trace("recv(%s, %zu", trace_fd(fd), room_bytes);
    trace_message_flags(flags);
    trace(")");
    ssize_t result = trace_result(recv(fd, room, room_bytes, flags));

    trace_bytes(room, room_bytes);
    trace_end();
    return result;
}

ssize_t step_recvfrom(int fd, size_t room_bytes, int flags, size_t addr_bytes)
{
    void *room = fresh_buffer(room_bytes);
    struct sockaddr_storage addr;
    bool is_whole = addr_bytes == SIZE_MAX;
    socklen_t bytes = is_whole ? sizeof addr : (socklen_t)addr_bytes;
    socklen_t given_bytes = bytes;

    memset(&addr, '.', sizeof addr);
    trace("recvfrom(%s, %zu", trace_fd(fd), room_bytes);
    trace_message_flags(flags);
    trace(", %u)", bytes);
    ssize_t result =
        trace_result(recvfrom(fd, room, room_bytes, flags, (struct sockaddr *)&addr, &bytes));

    trace_bytes(room, room_bytes);
    trace_more("length %u", bytes);
    if (is_whole && result >= 0)
        trace_address(&addr, bytes);
    else if (given_bytes <= sizeof addr)
        trace_address(&addr, given_bytes);
    trace_end();
    return result;
}

ssize_t step_recvmsg(int fd, size_t room_bytes, size_t control_bytes, int flags)
{
    _Alignas(struct cmsghdr) uint8_t control[CONTROL_BYTES];
    uint8_t *room = fresh_buffer(room_bytes);
    struct sockaddr_storage addr;
    struct iovec parts[2] = {{room, room_bytes / 2},
                             {room + room_bytes / 2, room_bytes - room_bytes / 2}};
    struct msghdr message = {
        .msg_name = &addr,
        .msg_namelen = sizeof addr,
        .msg_iov = parts,
        .msg_iovlen = 2,
        .msg_control = control,
        .msg_controllen = control_bytes,
        .msg_flags = -1, /* must be overwritten */
    };

    MUST(control_bytes <= sizeof control);
    memset(control, 0, sizeof control);
    trace("recvmsg(%s, %zu, control %zu", trace_fd(fd), room_bytes, control_bytes);
    trace_message_flags(flags);
    trace(")");
    ssize_t result = trace_result(recvmsg(fd, &message, flags));

    if (result >= 0) {
        trace_bytes(room, room_bytes);
        trace_address(&addr, message.msg_namelen);
        trace_message_flags(message.msg_flags);
        trace_control(&message);
    }
    trace_end();
    return result;
}

/* --- Control messages ---------------------------------------------------------------------------
 */

static void trace_ip(int family, const void *ip)
{
    char text[INET6_ADDRSTRLEN];

    trace_more("%s", inet_ntop(family, ip, text, sizeof text));
}

static void trace_device(unsigned int index)
{
    char device[IF_NAMESIZE];

    trace_more("device %s", index == 0 ? "none" : if_indextoname(index, device));
}

static void trace_time(const struct timespec *time)
{
    struct timespec now;
    double age_s;

    clock_gettime(CLOCK_REALTIME, &now);
    age_s = (double)(now.tv_sec - time->tv_sec) + (double)(now.tv_nsec - time->tv_nsec) / 1e9;
    trace_more(age_s >= 0 && age_s < 60 ? "recent" : "not recent");
}

static void trace_queued_error(const struct cmsghdr *control)
{
    struct sock_extended_err error;
    struct sockaddr_storage offender = {.ss_family = AF_UNSPEC};
    size_t bytes = control->cmsg_len - CMSG_LEN(sizeof error);

    memcpy(&error, CMSG_DATA(control), sizeof error);
    memcpy(&offender, CMSG_DATA(control) + sizeof error, bytes);
    trace_more("%s origin %d type %d code %d", strerrorname_np((int)error.ee_errno),
               error.ee_origin, error.ee_type, error.ee_code);
    trace_address(&offender, (socklen_t)bytes);
}

static bool trace_known_control(const struct cmsghdr *control)
{
    const void *data = CMSG_DATA(control);
    struct in_pktinfo v4;
    struct in6_pktinfo v6;
    struct sockaddr_storage addr;
    struct timespec times[3];

    if (control->cmsg_level == IPPROTO_IP && control->cmsg_type == IP_PKTINFO) {
        memcpy(&v4, data, sizeof v4);
        trace_device((unsigned int)v4.ipi_ifindex);
        trace_ip(AF_INET, &v4.ipi_spec_dst);
        trace_ip(AF_INET, &v4.ipi_addr);
    } else if (control->cmsg_level == IPPROTO_IPV6 &&
               (control->cmsg_type == IPV6_PKTINFO || control->cmsg_type == IPV6_2292PKTINFO)) {
        memcpy(&v6, data, sizeof v6);
        trace_device(v6.ipi6_ifindex);
        trace_ip(AF_INET6, &v6.ipi6_addr);
    } else if ((control->cmsg_level == IPPROTO_IP && control->cmsg_type == IP_ORIGDSTADDR) ||
               (control->cmsg_level == IPPROTO_IPV6 && control->cmsg_type == IPV6_ORIGDSTADDR)) {
        memcpy(&addr, data, control->cmsg_len - CMSG_LEN(0));
        trace_address(&addr, (socklen_t)(control->cmsg_len - CMSG_LEN(0)));
    } else if ((control->cmsg_level == IPPROTO_IP && control->cmsg_type == IP_RECVERR) ||
               (control->cmsg_level == IPPROTO_IPV6 && control->cmsg_type == IPV6_RECVERR)) {
        trace_queued_error(control);
    } else if (control->cmsg_level == SOL_SOCKET && control->cmsg_type == SO_TIMESTAMPNS) {
        memcpy(times, data, sizeof times[0]);
        trace_time(&times[0]);
    } else if (control->cmsg_level == SOL_SOCKET && control->cmsg_type == SO_TIMESTAMP) {
        struct timeval time;

        memcpy(&time, data, sizeof time);
        times[0] = (struct timespec){.tv_sec = time.tv_sec, .tv_nsec = time.tv_usec * 1000};
        trace_time(&times[0]);
    } else if (control->cmsg_level == SOL_SOCKET && control->cmsg_type == SO_TIMESTAMPING) {
        memcpy(times, data, sizeof times);
        for (size_t index = 0; index < 3; index++)
            times[index].tv_sec == 0 ? trace_more("none") : trace_time(&times[index]);
    } else {
        return false;
    }
    return true;
}

void trace_control(struct msghdr *message)
{
    trace_more("control %zu", message->msg_controllen);
    for (struct cmsghdr *control = CMSG_FIRSTHDR(message); control != NULL;
         control = CMSG_NXTHDR(message, control)) {
        size_t bytes = control->cmsg_len - CMSG_LEN(0);
        bool is_cut =
            CMSG_DATA(control) + bytes > (uint8_t *)message->msg_control + message->msg_controllen;

        trace_more("<%d/%d %zu", control->cmsg_level, control->cmsg_type, control->cmsg_len);
        if (is_cut || (message->msg_flags & MSG_CTRUNC) != 0)
            trace_more("cut");
        else if (!trace_known_control(control))
            trace_bytes(CMSG_DATA(control), bytes);
        trace(">");
    }
}

/* --- Addresses, options, readiness --------------------------------------------------------------
 */

static int step_with_place(const char *name, int (*call)(int, const struct sockaddr *, socklen_t),
                           int fd, const struct place *place)
{
    trace("%s(%s", name, trace_fd(fd));
    trace_address(&place->addr, place->bytes);
    trace(")");
    int result = (int)trace_result(call(fd, PLACE(place)));

    trace_end();
    return result;
}

/* glibc's prototypes take a union there. */
static int call_bind(int fd, const struct sockaddr *addr, socklen_t bytes)
{
    return bind(fd, addr, bytes);
}

static int call_connect(int fd, const struct sockaddr *addr, socklen_t bytes)
{
    return connect(fd, addr, bytes);
}

int step_bind(int fd, const struct place *to)
{
    return step_with_place("bind", call_bind, fd, to);
}

int step_connect(int fd, const struct place *to)
{
    return step_with_place("connect", call_connect, fd, to);
}

int step_disconnect(int fd)
{
    struct sockaddr nobody = {.sa_family = AF_UNSPEC};

    trace("disconnect(%s)", trace_fd(fd));
    int result = (int)trace_result(connect(fd, &nobody, sizeof nobody));

    trace_end();
    return result;
}

int step_getsockname(int fd)
{
    struct place place = {.bytes = sizeof place.addr};

    trace("getsockname(%s)", trace_fd(fd));
    int result = (int)trace_result(getsockname(fd, (struct sockaddr *)&place.addr, &place.bytes));

    if (result == 0)
        trace_address(&place.addr, place.bytes);
    trace_end();
    return result;
}

int step_getpeername(int fd)
{
    struct place place = {.bytes = sizeof place.addr};

    trace("getpeername(%s)", trace_fd(fd));
    int result = (int)trace_result(getpeername(fd, (struct sockaddr *)&place.addr, &place.bytes));

    if (result == 0)
        trace_address(&place.addr, place.bytes);
    trace_end();
    return result;
}

int step_shutdown(int fd, int how)
{
    trace("shutdown(%s, %d)", trace_fd(fd), how);
    int result = (int)trace_result(shutdown(fd, how));

    trace_end();
    return result;
}

int step_close(int fd)
{
    trace("close(%s)", trace_fd(fd));
    int result = (int)trace_result(close(fd));

    trace_end();
    return result;
}

int step_poll(int fd)
{
    const short all = POLLIN | POLLPRI | POLLOUT | POLLRDNORM | POLLRDBAND | POLLWRNORM |
                      POLLWRBAND | POLLMSG | POLLRDHUP;
    struct pollfd entry = {.fd = fd, .events = all, .revents = all};

    trace("poll(%s)", trace_fd(fd));
    int result = (int)trace_result(poll(&entry, 1, 0));

    trace_poll_events(entry.revents);
    trace_end();
    return result;
}

int step_setsockopt(int fd, int level, int option, const char *name, const void *value,
                    socklen_t bytes)
{
    trace("setsockopt(%s, %s, %u)", trace_fd(fd), name, bytes);
    int result = (int)trace_result(setsockopt(fd, level, option, value, bytes));

    trace_end();
    return result;
}

int step_set(int fd, int level, int option, const char *name, int value)
{
    trace("set(%s, %s, %d)", trace_fd(fd), name, value);
    int result = (int)trace_result(setsockopt(fd, level, option, &value, sizeof value));

    trace_end();
    return result;
}

int step_getsockopt(int fd, int level, int option, const char *name, void *value, socklen_t *bytes)
{
    trace("getsockopt(%s, %s, %u)", trace_fd(fd), name, bytes == NULL ? 0 : *bytes);
    int result = (int)trace_result(getsockopt(fd, level, option, value, bytes));

    if (result == 0)
        trace_more("length %u", *bytes);
    trace_end();
    return result;
}

int step_get(int fd, int level, int option, const char *name)
{
    int value = -1;
    socklen_t bytes = sizeof value;

    trace("get(%s, %s)", trace_fd(fd), name);
    int result = (int)trace_result(getsockopt(fd, level, option, &value, &bytes));

    if (result == 0)
        trace_more("%d length %u", value, bytes);
    trace_end();
    return value;
}

int step_ioctl(int fd, unsigned long request, const char *name)
{
    int value = -1;

    trace("ioctl(%s, %s)", trace_fd(fd), name);
    int result = (int)trace_result(ioctl(fd, request, &value));

    if (result >= 0)
        trace_more("%d", value);
    trace_end();
    return value;
}
