#include "tools/impair/held.h"

#include <assert.h>
#include <stdlib.h>

#define CAPACITY_FIRST 64u

static size_t cost_bytes(size_t bytes)
{
    return sizeof(struct impair_datagram) + bytes;
}

/* Makes room in the heap for one more, so that impair_held_push cannot fail. */
static bool reserve(struct impair_held *held)
{
    if (held->count < held->capacity)
        return true;
    size_t capacity = held->capacity == 0 ? CAPACITY_FIRST : 2 * held->capacity;
    struct impair_datagram **items = reallocarray(held->items, capacity, sizeof *items);

    if (items == NULL)
        return false;
    held->items = items;
    held->capacity = capacity;
    return true;
}

struct impair_datagram *impair_held_allocate(struct impair_held *held, size_t bytes)
{
    assert(held != NULL);
    if (held->bytes + cost_bytes(bytes) > held->bytes_max || !reserve(held))
        return NULL;
    struct impair_datagram *datagram = malloc(cost_bytes(bytes));

    if (datagram == NULL)
        return NULL;
    *datagram = (struct impair_datagram){.bytes = bytes};
    held->bytes += cost_bytes(bytes);
    return datagram;
}

static bool is_before(const struct impair_datagram *a, const struct impair_datagram *b)
{
    return a->due_us != b->due_us ? a->due_us < b->due_us : a->order < b->order;
}

void impair_held_push(struct impair_held *held, struct impair_datagram *datagram)
{
    assert(held != NULL && datagram != NULL && held->count < held->capacity);
    size_t at = held->count++;

    datagram->order = held->next_order++;
    while (at > 0 && is_before(datagram, held->items[(at - 1) / 2])) {
        held->items[at] = held->items[(at - 1) / 2];
        at = (at - 1) / 2;
    }
    held->items[at] = datagram;
}

uint64_t impair_held_due_us(const struct impair_held *held)
{
    return held->count > 0 ? held->items[0]->due_us : IMPAIR_NEVER;
}

/* Puts the last item at the top, where one was taken, and lets it sink to its place. */
static void close_gap(struct impair_held *held)
{
    const size_t count = --held->count;
    struct impair_datagram *sinking = held->items[count];
    size_t at = 0;

    while (2 * at + 1 < count) {
        size_t child = 2 * at + 1;

        if (child + 1 < count && is_before(held->items[child + 1], held->items[child]))
            child++;
        if (!is_before(held->items[child], sinking))
            break;
        held->items[at] = held->items[child];
        at = child;
    }
    held->items[at] = sinking;
}

struct impair_datagram *impair_held_pop(struct impair_held *held, uint64_t now_us)
{
    if (impair_held_due_us(held) > now_us || held->count == 0)
        return NULL;
    struct impair_datagram *datagram = held->items[0];

    close_gap(held);
    return datagram;
}

void impair_held_release(struct impair_held *held, struct impair_datagram *datagram)
{
    assert(held != NULL && datagram != NULL);
    held->bytes -= cost_bytes(datagram->bytes);
    free(datagram);
}

void impair_held_clear(struct impair_held *held)
{
    while (held->count > 0)
        impair_held_release(held, held->items[--held->count]);
    free(held->items);
    held->items = NULL;
    held->capacity = 0;
}
