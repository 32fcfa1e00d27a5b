/* status.h - what a call of the core can answer. One list makes the enum, the names, the texts. */
#ifndef RUDP_CORE_STATUS_H
#define RUDP_CORE_STATUS_H

/* X(name, text). The order is ABI-neutral: only the core and the engine see the values. */
#define RUDP_STATUS_MAP(X)                                                                         \
    X(OK, "success")                                                                               \
    X(E_TRUNCATED, "packet ends inside a field")                                                   \
    X(E_MALFORMED, "field has a value the protocol does not allow")                                \
    X(E_FOREIGN, "not a packet of this protocol")                                                  \
    X(E_CHECK, "integrity check failed")                                                           \
    X(E_MEMORY, "no memory within the limit")                                                      \
    X(E_FULL, "send buffer is full, try again when writable")                                      \
    X(E_EMPTY, "no message is waiting")                                                            \
    X(E_TOO_LONG, "message is longer than a datagram can be")                                      \
    X(E_BUFFER, "buffer is too small for the message, which stays queued")                         \
    X(E_CLOSED, "session is closed or closing")                                                    \
    X(E_LIMIT, "too many sessions")                                                                \
    X(E_INVALID, "argument is out of range")

enum rudp_status {
#define X(name, text) RUDP_##name,
    RUDP_STATUS_MAP(X)
#undef X
};

/* Static strings, "unknown status" for a value not in the list. */
const char *rudp_status_name(enum rudp_status status);
const char *rudp_status_text(enum rudp_status status);

#endif
