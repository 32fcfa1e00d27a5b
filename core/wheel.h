/* wheel.h - a hierarchical timer wheel (Varghese, Lauck 1987): O(1) to file, remove and expire.
 *
 * Entries are embedded in what they time, so filing allocates nothing. Deadlines are rounded up to
 * a tick of 256 us: an entry fires at its deadline or up to one tick later, never earlier. A
 * deadline beyond the wheel's reach (about 74 hours) is parked at the far end and filed again when
 * its slot comes round. Deadlines move later without refiling: the owner changes entry->deadline_us
 * itself, and the wheel files the entry anew when its old slot comes round (a lazy deadline).
 * Moving it earlier needs rudp_wheel_file. Not thread-safe. */
#ifndef RUDP_CORE_WHEEL_H
#define RUDP_CORE_WHEEL_H

#include "core/base.h"

#define RUDP_WHEEL_TICK_US    256u
#define RUDP_WHEEL_LEVELS     5u
#define RUDP_WHEEL_SLOT_COUNT 64u

/* Zero-initialise: not filed. Must not move in memory while filed. */
struct rudp_wheel_entry {
    struct rudp_wheel_entry *next;
    struct rudp_wheel_entry **link; /* what points at this entry; NULL: not filed */
    uint64_t deadline_us; /* when it should fire; RUDP_NEVER drops it when its slot comes */
    uint64_t filed_tick;  /* private: tick of the slot it is in */
};

struct rudp_wheel {
    struct rudp_wheel_entry *slots[RUDP_WHEEL_LEVELS][RUDP_WHEEL_SLOT_COUNT];
    uint64_t occupied[RUDP_WHEEL_LEVELS]; /* one bit a slot */
    uint64_t now_tick;
};

void rudp_wheel_init(struct rudp_wheel *wheel, uint64_t now_us);

/* Sets entry->deadline_us. Refiles only when the entry is not filed or would fire too late where
 * it is. RUDP_NEVER leaves a filed entry to be dropped lazily and does not file an unfiled one. */
void rudp_wheel_file(struct rudp_wheel *wheel, struct rudp_wheel_entry *entry,
                     uint64_t deadline_us);

/* Harmless when the entry is not filed. */
void rudp_wheel_remove(struct rudp_wheel *wheel, struct rudp_wheel_entry *entry);

/* Takes out and returns one entry that is due at now_us, or NULL when none is left. Call until
 * NULL: the wheel's clock has then reached now_us. now_us never goes back. */
struct rudp_wheel_entry *rudp_wheel_expire(struct rudp_wheel *wheel, uint64_t now_us);

/* When rudp_wheel_expire should be called next: never later than any deadline rounded up to its
 * tick, possibly earlier (a slot of a higher level, a deadline that moved). RUDP_NEVER when empty.
 */
uint64_t rudp_wheel_deadline_us(const struct rudp_wheel *wheel);

#endif
