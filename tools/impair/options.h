/* options.h - the command line of udp-impair. */
#ifndef IMPAIR_OPTIONS_H
#define IMPAIR_OPTIONS_H

#include "tools/impair/link.h"
#include "tools/impair/sockets.h"

#define IMPAIR_FORWARDS_MAX 64u
#define IMPAIR_CLIENTS_MAX  65536u

enum impair_direction {
    IMPAIR_UP,   /* from the clients to the target */
    IMPAIR_DOWN, /* back */
    IMPAIR_DIRECTION_COUNT,
};

struct impair_forward_options {
    union impair_address listen;
    union impair_address target;
};

struct impair_options {
    struct impair_forward_options forwards[IMPAIR_FORWARDS_MAX];
    uint32_t forward_count;
    struct impair_settings links[IMPAIR_DIRECTION_COUNT];
    uint64_t seed;
    uint32_t client_count_max;
    uint64_t idle_us;      /* a client silent for this long is forgotten */
    uint64_t memory_bytes; /* of datagrams under way */
    uint64_t duration_us;  /* 0: until a signal */
    bool json;
};

/* Reads the command line. A mistake is one line on stderr, and the process exits with EX_USAGE;
 * --help and --version print and exit too. */
void impair_options_parse(struct impair_options *options, int argc, char **argv);

#endif
