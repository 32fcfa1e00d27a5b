#include "core/wheel.h"

/* The wheel keeps time in ticks, read as a number of six-bit digits. An entry is filed by the
 * highest digit in which its tick differs from now: that digit's position is the level, its value
 * the slot. So every slot lies ahead of now, all of level 0 comes before all of level 1, and when
 * now reaches the start of a slot its entries agree with now in one digit more and move down.
 *
 * Ticks that differ from now above the top level go to slot 0 of the top level, which no other
 * entry can be in (a digit ahead of now's is at least 1). It starts with the next turn of the
 * whole wheel. */
#define SLOT_BITS    6u
#define TOP_LEVEL    (RUDP_WHEEL_LEVELS - 1)
#define PARKING_SLOT 0u
#define REACH_TICKS  (UINT64_C(1) << SLOT_BITS * RUDP_WHEEL_LEVELS)

_Static_assert(RUDP_WHEEL_SLOT_COUNT == 1u << SLOT_BITS, "a slot is a digit");

struct place {
    unsigned level;
    unsigned slot;
    uint64_t start_tick; /* when now reaches it, the slot is due */
};

/* Rounded up: an entry must not fire early. */
static uint64_t tick_above(uint64_t deadline_us)
{
    return deadline_us / RUDP_WHEEL_TICK_US + (deadline_us % RUDP_WHEEL_TICK_US != 0);
}

static uint64_t next_turn_tick(const struct rudp_wheel *wheel)
{
    return (wheel->now_tick | (REACH_TICKS - 1)) + 1;
}

/* Where an entry due at tick, not before now, belongs. Also finds where it is, given the start of
 * its slot: the digits down to its level are the same. */
static struct place place_of(const struct rudp_wheel *wheel, uint64_t tick)
{
    RUDP_ASSERT(tick >= wheel->now_tick);
    uint64_t difference = tick ^ wheel->now_tick;

    if (difference >= REACH_TICKS)
        return (struct place){TOP_LEVEL, PARKING_SLOT, next_turn_tick(wheel)};
    unsigned top_bit = 63u - (unsigned)__builtin_clzll(difference | 1);
    unsigned level = top_bit / SLOT_BITS;
    unsigned shift = level * SLOT_BITS;

    return (struct place){level, (tick >> shift) % RUDP_WHEEL_SLOT_COUNT, tick >> shift << shift};
}

/* Finds the slot that is due first. False when the wheel is empty. */
static bool find_first(const struct rudp_wheel *wheel, struct place *first)
{
    for (unsigned level = 0; level < RUDP_WHEEL_LEVELS; level++) {
        uint64_t occupied = wheel->occupied[level];
        unsigned shift = level * SLOT_BITS;

        if (level == TOP_LEVEL)
            occupied &= ~(UINT64_C(1) << PARKING_SLOT);
        if (occupied == 0)
            continue;
        unsigned slot = (unsigned)__builtin_ctzll(occupied);
        uint64_t turn_tick = wheel->now_tick >> (shift + SLOT_BITS) << (shift + SLOT_BITS);

        *first = (struct place){level, slot, turn_tick | (uint64_t)slot << shift};
        return true;
    }
    *first = (struct place){TOP_LEVEL, PARKING_SLOT, next_turn_tick(wheel)};
    return wheel->occupied[TOP_LEVEL] != 0;
}

static void insert(struct rudp_wheel *wheel, struct rudp_wheel_entry *entry)
{
    uint64_t tick = max_u64(tick_above(entry->deadline_us), wheel->now_tick);
    struct place place = place_of(wheel, tick);
    struct rudp_wheel_entry **head = &wheel->slots[place.level][place.slot];

    entry->filed_tick = place.start_tick;
    entry->next = *head;
    entry->link = head;
    if (*head != NULL)
        (*head)->link = &entry->next;
    *head = entry;
    wheel->occupied[place.level] |= UINT64_C(1) << place.slot;
}

/* Files every entry of a slot whose time has come anew, one level or more further down. Those that
 * were called off meanwhile are dropped. */
static void cascade(struct rudp_wheel *wheel, const struct place *place)
{
    struct rudp_wheel_entry *entry = wheel->slots[place->level][place->slot];

    wheel->slots[place->level][place->slot] = NULL;
    wheel->occupied[place->level] &= ~(UINT64_C(1) << place->slot);
    while (entry != NULL) {
        struct rudp_wheel_entry *next = entry->next;

        entry->next = NULL;
        entry->link = NULL;
        if (entry->deadline_us != RUDP_NEVER)
            insert(wheel, entry);
        entry = next;
    }
}

void rudp_wheel_init(struct rudp_wheel *wheel, uint64_t now_us)
{
    RUDP_ASSERT(wheel != NULL);
    *wheel = (struct rudp_wheel){.now_tick = now_us / RUDP_WHEEL_TICK_US};
}

void rudp_wheel_file(struct rudp_wheel *wheel, struct rudp_wheel_entry *entry, uint64_t deadline_us)
{
    RUDP_ASSERT(wheel != NULL);
    RUDP_ASSERT(entry != NULL);
    entry->deadline_us = deadline_us;
    if (deadline_us == RUDP_NEVER)
        return;
    if (entry->link != NULL && entry->filed_tick <= tick_above(deadline_us))
        return;
    rudp_wheel_remove(wheel, entry);
    insert(wheel, entry);
}

void rudp_wheel_remove(struct rudp_wheel *wheel, struct rudp_wheel_entry *entry)
{
    RUDP_ASSERT(wheel != NULL);
    RUDP_ASSERT(entry != NULL);
    if (entry->link == NULL)
        return;
    struct place place = place_of(wheel, entry->filed_tick);

    *entry->link = entry->next;
    if (entry->next != NULL)
        entry->next->link = entry->link;
    entry->next = NULL;
    entry->link = NULL;
    if (wheel->slots[place.level][place.slot] == NULL)
        wheel->occupied[place.level] &= ~(UINT64_C(1) << place.slot);
}

struct rudp_wheel_entry *rudp_wheel_expire(struct rudp_wheel *wheel, uint64_t now_us)
{
    RUDP_ASSERT(wheel != NULL);
    uint64_t now_tick = now_us / RUDP_WHEEL_TICK_US;
    struct place first;

    RUDP_ASSERT(now_tick >= wheel->now_tick);
    while (find_first(wheel, &first) && first.start_tick <= now_tick) {
        wheel->now_tick = first.start_tick;
        if (first.level > 0) {
            cascade(wheel, &first);
            continue;
        }
        struct rudp_wheel_entry *entry = wheel->slots[0][first.slot];

        rudp_wheel_remove(wheel, entry);
        if (entry->deadline_us == RUDP_NEVER)
            continue;
        if (tick_above(entry->deadline_us) <= now_tick)
            return entry;
        insert(wheel, entry);
    }
    wheel->now_tick = now_tick;
    return NULL;
}

uint64_t rudp_wheel_deadline_us(const struct rudp_wheel *wheel)
{
    RUDP_ASSERT(wheel != NULL);
    struct place first;

    return find_first(wheel, &first) ? first.start_tick * RUDP_WHEEL_TICK_US : RUDP_NEVER;
}
