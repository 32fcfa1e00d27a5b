/* siphash.h - SipHash-2-4 (Aumasson, Bernstein 2012): a keyed 64-bit hash. Cookies, hash tables. */
#ifndef RUDP_CORE_SIPHASH_H
#define RUDP_CORE_SIPHASH_H

#include "core/base.h"

struct rudp_siphash_key {
    uint64_t k0;
    uint64_t k1;
};

uint64_t rudp_siphash(const struct rudp_siphash_key *key, const void *data, size_t bytes);

#endif
