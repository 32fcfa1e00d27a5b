/* link.h - one direction of a bad link: what happens to each datagram, decided from a seed.
 *
 * Pure: no socket, no clock, no allocation. Time is an argument in microseconds and never goes
 * back. Every kind of impairment draws from a sequence of its own, the same number of times for
 * each datagram, so the n-th datagram meets the same fate whatever the timing, and changing one
 * setting leaves the decisions of the others alone. Only the rate limit depends on time.
 *
 * The order: damage, then the queue before the line, then loss on the line (a lost datagram used
 * its share of the rate), then duplication, then delay. */
#ifndef IMPAIR_LINK_H
#define IMPAIR_LINK_H

#include "tools/impair/prng.h"

#include <stddef.h>
#include <stdint.h>

#define IMPAIR_RATE_MAX  100000000000u /* bit/s */
#define IMPAIR_QUEUE_MAX 1073741824u   /* bytes; times 8e9 it still fits 64 bits */
#define IMPAIR_TIME_MAX  3600000000u   /* us, for delay, jitter and reorder_by */
#define IMPAIR_NO_FLIP   SIZE_MAX

/* All zero: a perfect link. Probabilities in parts per million, at most IMPAIR_PPM. */
struct impair_settings {
    uint32_t loss_ppm;        /* each datagram on its own */
    uint32_t burst_enter_ppm; /* Gilbert-Elliott: from the good state to the bad one, */
    uint32_t burst_leave_ppm; /* and back, both per datagram */
    uint32_t burst_loss_ppm;  /* loss in the bad state; in the good one loss_ppm holds */
    uint64_t delay_us;        /* of every datagram */
    uint64_t jitter_us;       /* uniform 0..jitter_us on top; does not change the order */
    uint64_t rate_bits_per_s; /* of UDP payload; 0: no limit */
    uint64_t queue_bytes;     /* what may wait for the rate limit */
    uint32_t reorder_ppm;     /* how many are held back, so that later ones overtake them */
    uint64_t reorder_by_us;   /* for how long */
    uint32_t duplicate_ppm;
    uint32_t corrupt_ppm;  /* one bit flipped */
    uint32_t truncate_ppm; /* cut to a uniform shorter length */
};

/* X(name, text): one counter each. */
#define IMPAIR_COUNTER_MAP(X)                                                                      \
    X(received, "datagrams came in")                                                               \
    X(received_bytes, "bytes came in")                                                             \
    X(forwarded, "datagrams went out, copies included")                                            \
    X(forwarded_bytes, "bytes went out")                                                           \
    X(lost, "lost one by one")                                                                     \
    X(lost_in_burst, "lost in bursts")                                                             \
    X(queue_full, "dropped: the queue before the rate limit was full")                             \
    X(duplicated, "sent twice")                                                                    \
    X(reordered, "held back")                                                                      \
    X(corrupted, "had a bit flipped")                                                              \
    X(truncated, "cut short")                                                                      \
    X(memory_full, "dropped: the relay may hold no more")                                          \
    X(clients_full, "dropped: no room for another client")                                         \
    X(kernel_dropped, "dropped by the kernel before the relay read them")                          \
    X(send_failed, "refused by the kernel on the way out")

struct impair_counters {
#define X(name, text) uint64_t name;
    IMPAIR_COUNTER_MAP(X)
#undef X
};

enum impair_stream { /* the sequences of random numbers */
    IMPAIR_STREAM_LOSS,
    IMPAIR_STREAM_BURST,
    IMPAIR_STREAM_JITTER,
    IMPAIR_STREAM_REORDER,
    IMPAIR_STREAM_DUPLICATE,
    IMPAIR_STREAM_CORRUPT,
    IMPAIR_STREAM_TRUNCATE,
    IMPAIR_STREAM_COUNT,
};

struct impair_link {
    struct impair_settings settings;
    struct impair_counters counters; /* those of the relay itself are counted by the relay */
    struct impair_prng streams[IMPAIR_STREAM_COUNT];
    uint64_t line_free_ns; /* when the line has sent what it accepted */
    uint64_t last_due_us;  /* of the datagrams that keep their order */
    bool in_burst;
};

#define IMPAIR_COPIES_MAX 2u

/* What leaves: copy_count copies (0: dropped) of the first `bytes` bytes with one bit flipped. */
struct impair_verdict {
    size_t copy_count;
    size_t bytes;
    size_t flip_bit; /* index from the first byte's lowest bit; IMPAIR_NO_FLIP: none */
    uint64_t due_us[IMPAIR_COPIES_MAX]; /* when each leaves */
};

/* direction keeps the two directions of one relay apart: they share a seed. */
void impair_link_init(struct impair_link *link, const struct impair_settings *settings,
                      uint64_t seed, uint64_t direction);

/* Decides about the next datagram, bytes long. */
void impair_link_pass(struct impair_link *link, size_t bytes, uint64_t now_us,
                      struct impair_verdict *verdict);

#endif
