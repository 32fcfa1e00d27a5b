#include "core/ranges.h"

#include <string.h>

#define CAPACITY_MIN 4u

enum rudp_status rudp_ranges_reserve(struct rudp_ranges *ranges, const struct rudp_host *host,
                                     uint32_t extra_count)
{
    RUDP_ASSERT(ranges != NULL);
    uint64_t wanted_count = (uint64_t)ranges->count + extra_count;
    uint64_t capacity = max_u64(ranges->capacity, CAPACITY_MIN);

    if (wanted_count <= ranges->capacity)
        return RUDP_OK;
    while (capacity < wanted_count)
        capacity *= 2;
    if (capacity > UINT32_MAX)
        return RUDP_E_MEMORY;
    struct rudp_range *items = rudp_allocate(host, capacity * sizeof *items);

    if (items == NULL)
        return RUDP_E_MEMORY;
    if (ranges->count > 0)
        memcpy(items, ranges->items, ranges->count * sizeof *items);
    rudp_release(host, ranges->items, ranges->capacity * sizeof *items);
    ranges->items = items;
    ranges->capacity = (uint32_t)capacity;
    return RUDP_OK;
}

static enum rudp_status insert(struct rudp_ranges *ranges, const struct rudp_host *host,
                               uint32_t index, struct rudp_range range, uint32_t count_max)
{
    if (ranges->count >= count_max)
        return RUDP_E_MEMORY;
    enum rudp_status status = rudp_ranges_reserve(ranges, host, 1);

    if (status != RUDP_OK)
        return status;
    memmove(&ranges->items[index + 1], &ranges->items[index],
            (ranges->count - index) * sizeof ranges->items[0]);
    ranges->items[index] = range;
    ranges->count++;
    return RUDP_OK;
}

/* Takes out the ranges first..end-1. */
static void erase(struct rudp_ranges *ranges, uint32_t first, uint32_t end)
{
    if (first == end)
        return;
    memmove(&ranges->items[first], &ranges->items[end],
            (ranges->count - end) * sizeof ranges->items[0]);
    ranges->count -= end - first;
}

uint32_t rudp_ranges_index_above(const struct rudp_ranges *ranges, uint64_t number)
{
    RUDP_ASSERT(ranges != NULL);
    uint32_t low = 0;
    uint32_t high = ranges->count;

    /* Most questions are about the newest numbers. */
    if (high == 0 || ranges->items[high - 1].end <= number)
        return high;
    while (low < high) {
        uint32_t middle = low + (high - low) / 2;

        if (ranges->items[middle].end > number)
            high = middle;
        else
            low = middle + 1;
    }
    return low;
}

enum rudp_status rudp_ranges_add(struct rudp_ranges *ranges, const struct rudp_host *host,
                                 uint64_t start, uint64_t end, uint32_t count_max)
{
    RUDP_ASSERT(ranges != NULL);
    RUDP_ASSERT(start <= end);
    if (start == end)
        return RUDP_OK;
    /* The first range that overlaps or touches [start, end) ends at start or above. */
    uint32_t first = start == 0 ? 0 : rudp_ranges_index_above(ranges, start - 1);
    uint32_t behind = first;

    while (behind < ranges->count && ranges->items[behind].start <= end)
        behind++;
    if (first == behind)
        return insert(ranges, host, first, (struct rudp_range){start, end}, count_max);

    struct rudp_range *merged = &ranges->items[first];

    merged->start = min_u64(merged->start, start);
    merged->end = max_u64(ranges->items[behind - 1].end, end);
    erase(ranges, first + 1, behind);
    return RUDP_OK;
}

enum rudp_status rudp_ranges_remove(struct rudp_ranges *ranges, const struct rudp_host *host,
                                    uint64_t start, uint64_t end, uint32_t count_max)
{
    RUDP_ASSERT(ranges != NULL);
    RUDP_ASSERT(start <= end);
    uint32_t first = rudp_ranges_index_above(ranges, start);

    if (start == end || first == ranges->count)
        return RUDP_OK;
    struct rudp_range cut = ranges->items[first];

    if (cut.start < start && cut.end > end) {
        enum rudp_status status =
            insert(ranges, host, first + 1, (struct rudp_range){end, cut.end}, count_max);

        if (status == RUDP_OK)
            ranges->items[first].end = start;
        return status;
    }
    if (cut.start < start)
        ranges->items[first++].end = start;
    uint32_t behind = first;

    while (behind < ranges->count && ranges->items[behind].end <= end)
        behind++;
    if (behind < ranges->count)
        ranges->items[behind].start = max_u64(ranges->items[behind].start, end);
    erase(ranges, first, behind);
    return RUDP_OK;
}

void rudp_ranges_trim_below(struct rudp_ranges *ranges, uint64_t start)
{
    RUDP_ASSERT(ranges != NULL);
    uint32_t first = rudp_ranges_index_above(ranges, start);

    erase(ranges, 0, first);
    if (ranges->count > 0)
        ranges->items[0].start = max_u64(ranges->items[0].start, start);
}

bool rudp_ranges_contains(const struct rudp_ranges *ranges, uint64_t number)
{
    uint32_t index = rudp_ranges_index_above(ranges, number);

    return index < ranges->count && ranges->items[index].start <= number;
}

bool rudp_ranges_covers(const struct rudp_ranges *ranges, uint64_t start, uint64_t end)
{
    RUDP_ASSERT(start <= end);
    if (start == end)
        return true;
    uint32_t index = rudp_ranges_index_above(ranges, start);

    return index < ranges->count && ranges->items[index].start <= start &&
           ranges->items[index].end >= end;
}

uint64_t rudp_ranges_total(const struct rudp_ranges *ranges)
{
    RUDP_ASSERT(ranges != NULL);
    uint64_t total = 0;

    for (uint32_t i = 0; i < ranges->count; i++)
        total += ranges->items[i].end - ranges->items[i].start;
    return total;
}

void rudp_ranges_clear(struct rudp_ranges *ranges, const struct rudp_host *host)
{
    RUDP_ASSERT(ranges != NULL);
    rudp_release(host, ranges->items, ranges->capacity * sizeof ranges->items[0]);
    *ranges = (struct rudp_ranges){0};
}
