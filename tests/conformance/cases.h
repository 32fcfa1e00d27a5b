/* cases.h - the cases of the conformance suite. A case is a program: it makes sockets, calls, and
 * traces what it saw. It holds no expected values: the kernel's run of it is what the shim's run
 * must equal, but for the differences it declares. */
#ifndef RUDP_TESTS_CONFORMANCE_CASES_H
#define RUDP_TESTS_CONFORMANCE_CASES_H

#include "step.h"

enum dimension {
    BY_FAMILY = 1,     /* IPv4, IPv6, IPv4 over IPv6 sockets; else IPv4 only */
    BY_CONNECTION = 2, /* unconnected, connected; else unconnected */
    BY_BLOCKING = 4,   /* blocking, non-blocking; else blocking */
};

struct conformance_case {
    const char *name;
    const char *rows;       /* of docs/conformance.md, separated by spaces */
    unsigned int dimension; /* which variants there are */
    void (*run)(const struct variant *variant);
};

struct conformance_group {
    const struct conformance_case *cases;
    size_t count;
};

#define CASE_GROUPS(X)                                                                             \
    X(receive)                                                                                     \
    X(send)                                                                                        \
    X(address)                                                                                     \
    X(option)                                                                                      \
    X(control)                                                                                     \
    X(readiness)                                                                                   \
    X(error)                                                                                       \
    X(descriptor)

#define X(name) extern const struct conformance_group name##_group;
CASE_GROUPS(X)
#undef X

#define DEFINE_GROUP(name)                                                                         \
    const struct conformance_group name##_group = {cases, sizeof cases / sizeof *cases}

#endif
