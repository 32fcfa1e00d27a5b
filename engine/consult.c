#include "engine/consult.h"

#include "engine/share.h"

/* More at once are not held: they are taken as if everybody had been asked. */
#define HELD_COUNT_MAX 64u

/* An answer takes microseconds, but a process may wait for a processor; one that is stopped must
 * not keep the others from their callers. A question or its answer is lost when a queue is full. */
#define ANSWER_US_MAX (250u * RUDP_US_PER_MS)
#define ASK_AGAIN_US  (5u * RUDP_US_PER_MS)

struct held {
    uint32_t number; /* of the question; 0: free entry */
    uint16_t port;
    uint64_t awaited;   /* slots that have not answered */
    uint64_t accepting; /* of those that have: they would accept it */
    uint64_t until_us;
    const struct engine_socket *came_to;
    struct rudp_claim_ids ids;
    struct wire_packet packet;
    uint8_t *copy; /* of the packet's data */
};

static void on_due(struct engine_timer *timer);

static struct held held_packets[HELD_COUNT_MAX];
static uint32_t last_number;
static struct engine_timer due_timer = {.on_due = on_due};

static void forget(struct held *held)
{
    engine_sys_unmap(held->copy, held->packet.bytes);
    *held = (struct held){.number = 0};
}

/* A copy of the hello that waits already. NULL: none, or it is no hello. */
static struct held *find_hello(uint16_t port, const struct wire_packet *packet, uint64_t caller_id)
{
    for (size_t i = 0; caller_id != 0 && i < HELD_COUNT_MAX; i++) {
        struct held *held = &held_packets[i];

        if (held->number != 0 && held->port == port && held->ids.caller_id == caller_id &&
            rudp_address_equal(&held->packet.remote, &packet->remote))
            return held;
    }
    return NULL;
}

static struct held *find_number(uint32_t number)
{
    for (size_t i = 0; i < HELD_COUNT_MAX; i++)
        if (held_packets[i].number == number)
            return &held_packets[i];
    return NULL;
}

static struct held *hold(struct engine_socket *sock, uint16_t port,
                         const struct wire_packet *packet, const struct rudp_claim_ids *ids)
{
    struct held *held = find_number(0);
    uint8_t *copy = held == NULL ? NULL : engine_sys_map(packet->bytes);

    if (copy == NULL)
        return NULL;
    memcpy(copy, packet->data, packet->bytes);
    if (++last_number == 0)
        last_number = 1;
    *held = (struct held){
        .number = last_number,
        .port = port,
        .until_us = engine_now_us() + ANSWER_US_MAX,
        .came_to = sock,
        .ids = *ids,
        .packet = *packet,
        .copy = copy,
    };
    held->packet.data = copy;
    return held;
}

/* Also again: what was asked may not have arrived. */
static void ask(struct held *held)
{
    for (uint16_t slot = 1; slot <= FORWARD_SLOT_COUNT; slot++) {
        uint64_t bit = UINT64_C(1) << (slot - 1);

        if ((held->awaited & bit) != 0 &&
            !engine_forward_say(held->port, slot, FORWARD_QUESTION, held->number, &held->packet))
            held->awaited &= ~bit;
    }
    engine_thread_arm(&due_timer, min_u64(held->until_us, engine_now_us() + ASK_AGAIN_US));
}

bool engine_consult(struct engine_socket *sock, uint16_t port, const struct wire_packet *packet,
                    const struct rudp_claim_ids *ids)
{
    uint64_t others = engine_forward_others(port);

    if (others == 0)
        return false;
    if (find_hello(port, packet, ids->caller_id) != NULL)
        return true; /* the first copy stands for both */
    struct held *held = hold(sock, port, packet, ids);

    if (held == NULL)
        return false;
    held->awaited = others;
    ask(held);
    if (held->awaited != 0)
        return true;
    forget(held);
    return false;
}

/* Nobody else has it. */
static void take(struct held *held)
{
    struct held taken = *held;

    *held = (struct held){.number = 0};
    engine_share_accept(taken.came_to, taken.port, &taken.packet, taken.accepting);
    forget(&taken);
}

static void on_due(struct engine_timer *timer)
{
    uint64_t now_us = engine_now_us();

    (void)timer;
    for (size_t i = 0; i < HELD_COUNT_MAX; i++) {
        struct held *held = &held_packets[i];

        if (held->number == 0)
            continue;
        if (now_us >= held->until_us) {
            engine_forward_doubt(held->port, held->awaited);
            held->awaited = 0;
        }
        if (held->awaited != 0)
            ask(held);
        if (held->awaited == 0)
            take(held);
    }
}

void engine_consult_on_answer(uint16_t slot, uint32_t number, enum forward_kind answer)
{
    struct held *held = number == 0 ? NULL : find_number(number);
    uint64_t bit = UINT64_C(1) << (slot - 1);

    if (held == NULL || (held->awaited & bit) == 0)
        return;
    held->awaited &= ~bit;
    if (answer == FORWARD_UNKNOWN)
        held->accepting |= bit;
    if (answer == FORWARD_TAKEN)
        forget(held);
    else if (held->awaited == 0)
        take(held);
}

/* Whether this process gets the hello that the one with that slot asks about, because it holds a
 * copy itself. */
static bool wins(struct held *held, uint16_t slot)
{
    if (held == NULL)
        return false;
    if (engine_forward_slot(held->port) < slot)
        return true;
    forget(held);
    return false;
}

void engine_consult_answer(uint16_t port, uint16_t slot, uint32_t number,
                           const struct wire_packet *packet)
{
    enum forward_kind answer = FORWARD_TAKEN;
    struct rudp_claim_ids ids;

    if (!engine_share_receive_known(port, packet, &ids) &&
        !wins(find_hello(port, packet, ids.caller_id), slot))
        answer = engine_share_would_accept(port, packet) ? FORWARD_UNKNOWN : FORWARD_UNWANTED;
    (void)engine_forward_say(port, slot, answer, number, NULL);
}

void engine_consult_after_fork_child(void)
{
    memset(held_packets, 0, sizeof held_packets);
    due_timer.entry = (struct rudp_wheel_entry){.next = NULL};
}
