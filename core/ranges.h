/* ranges.h - an ordered set of uint64 numbers kept as disjoint, non-adjacent half-open ranges.
 *
 * Used for packet numbers received, stream bytes received, acknowledged, lost and delivered.
 * Memory is proportional to the ranges held; count_max is the caller's bound on hostile input.
 * Zero-initialise to use; rudp_ranges_clear gives the memory back. Not thread-safe. */
#ifndef RUDP_CORE_RANGES_H
#define RUDP_CORE_RANGES_H

#include "core/base.h"
#include "core/host.h"
#include "core/status.h"

struct rudp_range {
    uint64_t start;
    uint64_t end; /* first number behind the range; > start */
};

struct rudp_ranges {
    struct rudp_range *items; /* ascending; owned; NULL while capacity is 0 */
    uint32_t count;
    uint32_t capacity;
};

/* Makes room for extra_count more ranges, so that as many adds that make a new range cannot fail
 * for memory. RUDP_E_MEMORY: the set is unchanged. */
enum rudp_status rudp_ranges_reserve(struct rudp_ranges *ranges, const struct rudp_host *host,
                                     uint32_t extra_count);

/* Adds [start, end), merging what overlaps or touches. An empty range (start == end) is a no-op.
 * RUDP_E_MEMORY when the allocator refuses or the set would hold more than count_max ranges; the
 * set is then unchanged. Adding what only merges or extends never fails. */
enum rudp_status rudp_ranges_add(struct rudp_ranges *ranges, const struct rudp_host *host,
                                 uint64_t start, uint64_t end, uint32_t count_max);

/* Removes [start, end); may split a range in two. RUDP_E_MEMORY as above: the set is unchanged. */
enum rudp_status rudp_ranges_remove(struct rudp_ranges *ranges, const struct rudp_host *host,
                                    uint64_t start, uint64_t end, uint32_t count_max);

/* Forgets every number below start. Cannot fail, keeps the capacity. */
void rudp_ranges_trim_below(struct rudp_ranges *ranges, uint64_t start);

bool rudp_ranges_contains(const struct rudp_ranges *ranges, uint64_t number);

/* True when every number of [start, end) is in the set; true for an empty range. */
bool rudp_ranges_covers(const struct rudp_ranges *ranges, uint64_t start, uint64_t end);

/* Index of the first range whose end is above number, or count when there is none: the range
 * that holds number, or else the next one up. O(log count). */
uint32_t rudp_ranges_index_above(const struct rudp_ranges *ranges, uint64_t number);

/* Sum of the lengths of all ranges. O(count). */
uint64_t rudp_ranges_total(const struct rudp_ranges *ranges);

void rudp_ranges_clear(struct rudp_ranges *ranges, const struct rudp_host *host);

#endif
