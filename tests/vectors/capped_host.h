/* capped_host.h - memory with a cap that is enforced and accounts that must balance, and random
 * bytes that repeat for a seed: the host of an endpoint under test. */
#ifndef RUDP_TESTS_CAPPED_HOST_H
#define RUDP_TESTS_CAPPED_HOST_H

#include "core/host.h"

struct capped_host {
    struct rudp_host host;
    size_t cap_bytes;
    size_t used_bytes;
    bool refused; /* at least one allocation was over the cap */
    uint64_t random_state;
};

/* host points into itself: it must not move afterwards. An allocation that would pass cap_bytes
 * gets NULL. A release with another size than was asked for is a trap. */
void capped_host_init(struct capped_host *host, size_t cap_bytes, uint64_t seed);

#endif
