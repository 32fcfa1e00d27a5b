/* step.h - calls on UDP sockets, each a line of the trace, and the sockets they are made on.
 *
 * Sockets are known by name ("a" and "b" in most cases). Receive buffers are filled with dots
 * before, so a line shows also what a call must not touch. */
#ifndef RUDP_TESTS_CONFORMANCE_STEP_H
#define RUDP_TESTS_CONFORMANCE_STEP_H

#include "trace.h"

#include <poll.h>
#include <sys/uio.h>

#define PATIENCE_MS   10000 /* for what must happen */
#define STEP_BYTES    (128 * 1024)
#define CONTROL_BYTES 512

/* One way to run a case. */
struct variant {
    sa_family_t family;
    bool is_mapped;      /* IPv6 sockets, bound to any address, that speak IPv4 */
    bool is_connected;   /* both ends are connected to each other */
    bool is_nonblocking; /* both ends */
};

struct place {
    struct sockaddr_storage addr;
    socklen_t bytes;
};

struct ends {
    int a;
    int b;
    struct place at_a;
    struct place at_b;
};

/* --- Without a trace: a failure ends the case ---------------------------------------------------
 */

/* A condition that every machine the suite runs on must fulfil. */
#define MUST(condition) must((condition), #condition)
void must(bool condition, const char *text);

/* The loopback address as the variant spells it. */
struct place loopback(const struct variant *variant, uint16_t port);
struct place anywhere(const struct variant *variant);
uint16_t place_port(const struct place *place);
struct place place_of(int fd);
#define PLACE(place) (const struct sockaddr *)&(place)->addr, (place)->bytes

int open_unbound(const struct variant *variant, const char *name);
int open_bound(const struct variant *variant, const char *name, struct place *at);
void open_ends(const struct variant *variant, struct ends *ends);
void connect_to(int fd, const struct place *to);

/* A port of the loopback address where nobody is. */
struct place dead_end(const struct variant *variant);

/* Sends a text from a to b, by name or connected. */
void say(const struct variant *variant, const struct ends *ends, const char *text);

/* Waits until events hold; a line of the trace when they do not. */
bool await(int fd, short events);
#define AWAIT_INPUT(fd) await(fd, POLLIN)

/* --- With a trace -------------------------------------------------------------------------------
 */

ssize_t step_send(int fd, const void *data, size_t bytes, int flags);
ssize_t step_sendto(int fd, const void *data, size_t bytes, int flags, const struct place *to);
ssize_t step_sendmsg(int fd, const struct msghdr *message, int flags);
ssize_t step_recv(int fd, size_t room_bytes, int flags);

/* addr_bytes: room for the address, SIZE_MAX for all that there can be. */
ssize_t step_recvfrom(int fd, size_t room_bytes, int flags, size_t addr_bytes);

/* room for the data, split into two parts, and for control messages, all of which are shown. */
ssize_t step_recvmsg(int fd, size_t room_bytes, size_t control_bytes, int flags);

int step_bind(int fd, const struct place *to);
int step_connect(int fd, const struct place *to);
int step_disconnect(int fd);
int step_getsockname(int fd);
int step_getpeername(int fd);
int step_shutdown(int fd, int how);
int step_close(int fd);

/* All events that poll knows are asked for; timeout 0. */
int step_poll(int fd);

#define OPTION(level, option) level, option, #option
int step_set(int fd, int level, int option, const char *name, int value);
int step_get(int fd, int level, int option, const char *name);

/* The raw forms: any value and length. */
int step_setsockopt(int fd, int level, int option, const char *name, const void *value,
                    socklen_t bytes);
int step_getsockopt(int fd, int level, int option, const char *name, void *value, socklen_t *bytes);

/* FIONREAD, SIOCOUTQ and others that give a number. */
#define REQUEST(request) request, #request
int step_ioctl(int fd, unsigned long request, const char *name);

/* Control messages of a message that was received. */
void trace_control(struct msghdr *message);

#endif
