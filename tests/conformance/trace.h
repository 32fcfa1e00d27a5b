/* trace.h - what a case observed, one line per step: "call = result ERRNO details".
 *
 * Two runs of a case, plain and under the shim, are compared line by line. So a line holds only
 * what must be equal: ports are printed by the role of the socket they belong to, times as whether
 * they are plausible. Every call here keeps errno. */
#ifndef RUDP_TESTS_CONFORMANCE_TRACE_H
#define RUDP_TESTS_CONFORMANCE_TRACE_H

#include <netinet/in.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>

/* Begins a line with what is done. */
void trace(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* Adds " = 5" or " = -1 EAGAIN", and returns the result. */
long trace_result(long result);

/* Adds details. */
void trace_more(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* Adds a buffer: small ones whole, large ones by length and checksum. */
void trace_bytes(const void *data, size_t bytes);

/* Adds an address, ports by name. bytes: how much of it is valid. */
void trace_address(const struct sockaddr_storage *addr, socklen_t bytes);

/* Adds flags by name; what has no name as a number. */
void trace_message_flags(int flags);
void trace_poll_events(short events);

/* Ends the line. */
void trace_end(void);

/* A line of its own. */
void trace_line(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* The next line may and must differ under the shim: docs/differences.md has the line id, and there
 * it ends in " = " and expected. */
void trace_differs(const char *id, const char *expected);

/* From now on the port, in host byte order, and the descriptor are printed by that name. */
void trace_name_port(uint16_t port, const char *name);
void trace_name_fd(int fd, const char *name);

/* The name of a descriptor, its number when it has none. The text stays valid for a few calls. */
const char *trace_fd(int fd);

#endif
