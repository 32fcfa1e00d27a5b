#include "engine/cede.h"

#include "engine/share.h"

#include <pthread.h>

/* Hellos of more at once do not wait. */
#define ASK_COUNT_MAX 64u

/* How long a process may be silent before it is not waited for: it may be stopped. */
#define ANSWER_US_MAX (250u * RUDP_US_PER_MS)

/* Closing takes a round trip to the peer or more: asked again so often at first, then at half the
 * pace each time. */
#define ASK_AGAIN_US        (2u * RUDP_US_PER_MS)
#define ASK_AGAIN_SHIFT_MAX 4u

struct ask {
    uint32_t number; /* 0: free entry */
    uint16_t port;
    uint32_t round_count;
    uint64_t awaited; /* slots that have a session with the peer, or did not say yet */
    uint64_t again_us;
    uint64_t silent_us; /* with no answer until then they are not waited for */
    const struct engine_socket *caller;
    struct rudp_address remote;
};

static void on_due(struct engine_timer *timer);

static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER; /* behind a socket's lock */
static struct ask asks[ASK_COUNT_MAX];
static uint32_t last_number;
static struct engine_timer due_timer = {.on_due = on_due};

static struct ask *find_number(uint32_t number)
{
    for (size_t i = 0; i < ASK_COUNT_MAX; i++)
        if (asks[i].number == number)
            return &asks[i];
    return NULL;
}

static struct ask *find_peer(uint16_t port, const struct rudp_address *remote)
{
    for (size_t i = 0; i < ASK_COUNT_MAX; i++)
        if (asks[i].number != 0 && asks[i].port == port &&
            rudp_address_equal(&asks[i].remote, remote))
            return &asks[i];
    return NULL;
}

static bool say(uint16_t port, uint16_t slot, enum forward_kind kind, uint32_t number,
                const struct rudp_address *remote)
{
    struct wire_packet packet = {.remote = *remote};

    return engine_forward_say(port, slot, kind, number, &packet);
}

/* Says it to all of the slots; returns those that somebody has. */
static uint64_t say_to_all(uint16_t port, uint64_t slots, uint32_t number,
                           const struct rudp_address *remote)
{
    for (uint16_t slot = 1; slot <= FORWARD_SLOT_COUNT; slot++) {
        uint64_t bit = UINT64_C(1) << (slot - 1);

        if ((slots & bit) != 0 && !say(port, slot, FORWARD_CEDE, number, remote))
            slots &= ~bit;
    }
    return slots;
}

/* Locked. */
static void repeat(struct ask *ask, uint64_t now_us)
{
    ask->awaited = say_to_all(ask->port, ask->awaited, ask->number, &ask->remote);
    ask->again_us = now_us + (ASK_AGAIN_US << min_u64(ask->round_count++, ASK_AGAIN_SHIFT_MAX));
}

/* Locked. */
static void arm_timer(void)
{
    uint64_t next_us = RUDP_NEVER;

    for (size_t i = 0; i < ASK_COUNT_MAX; i++)
        if (asks[i].number != 0)
            next_us = min_u64(next_us, asks[i].again_us);
    engine_thread_arm(&due_timer, next_us);
}

/* Locked. */
static uint32_t next_number(void)
{
    if (++last_number == 0)
        last_number = 1;
    return last_number;
}

void engine_cede_ask(struct engine_socket *sock, const struct rudp_address *remote)
{
    uint16_t port = sock->forward_port;
    uint64_t others = port == 0 ? 0 : engine_forward_others(port);
    uint64_t now_us = engine_now_us();

    if (others == 0)
        return;
    pthread_mutex_lock(&mutex);
    struct ask *ask = find_number(0);

    if (ask != NULL) {
        *ask = (struct ask){
            .number = next_number(),
            .port = port,
            .awaited = others,
            .silent_us = now_us + ANSWER_US_MAX,
            .caller = sock,
            .remote = *remote,
        };
        repeat(ask, now_us);
        if (ask->awaited == 0)
            ask->number = 0;
        else
            rudp_endpoint_hold_hello(sock->endpoint, remote, ask->silent_us, now_us);
        arm_timer();
    }
    pthread_mutex_unlock(&mutex);
}

/* Nothing locked; a copy of the ask. */
static void hold_hello(const struct ask *ask, uint64_t until_us)
{
    engine_share_hold_hello(ask->caller, ask->port, &ask->remote, until_us);
}

/* Locked. Asks the next one of those that are due again, or ends its waiting. False: none is. */
static bool advance_one(struct ask *copy, uint64_t now_us)
{
    for (size_t i = 0; i < ASK_COUNT_MAX; i++) {
        struct ask *ask = &asks[i];

        if (ask->number == 0 || now_us < ask->again_us)
            continue;
        if (now_us < ask->silent_us) {
            repeat(ask, now_us);
        } else {
            engine_forward_doubt(ask->port, ask->awaited);
            ask->awaited = 0;
        }
        if (ask->awaited == 0)
            ask->number = 0;
        *copy = *ask;
        return true;
    }
    arm_timer();
    return false;
}

static void on_due(struct engine_timer *timer)
{
    uint64_t now_us = engine_now_us();
    struct ask copy;
    bool any;

    (void)timer;
    do {
        pthread_mutex_lock(&mutex);
        any = advance_one(&copy, now_us);
        pthread_mutex_unlock(&mutex);
        if (any && copy.awaited == 0)
            hold_hello(&copy, now_us);
    } while (any);
}

void engine_cede_on_answer(uint16_t slot, uint32_t number, enum forward_kind answer)
{
    uint64_t bit = UINT64_C(1) << (slot - 1);
    uint64_t now_us = engine_now_us();

    pthread_mutex_lock(&mutex);
    struct ask *ask = number == 0 ? NULL : find_number(number);

    if (ask == NULL || (ask->awaited & bit) == 0) {
        pthread_mutex_unlock(&mutex);
        return;
    }
    if (answer == FORWARD_CEDING)
        ask->silent_us = now_us + ANSWER_US_MAX;
    else
        ask->awaited &= ~bit;
    if (ask->awaited == 0)
        ask->number = 0;
    struct ask copy = *ask;

    pthread_mutex_unlock(&mutex);
    hold_hello(&copy, copy.awaited == 0 ? now_us : copy.silent_us);
}

void engine_cede_demand(uint16_t port, uint16_t slot, const struct rudp_address *remote)
{
    if (!say(port, slot, FORWARD_CEDE, 0, remote))
        (void)say_to_all(port, engine_forward_others(port), 0, remote);
}

/* Of two processes that ask each other the one with the lower slot goes first. */
void engine_cede_answer(uint16_t port, uint16_t slot, uint32_t number,
                        const struct rudp_address *remote)
{
    enum forward_kind answer = FORWARD_CEDED;

    pthread_mutex_lock(&mutex);
    bool asks_too = find_peer(port, remote) != NULL;

    pthread_mutex_unlock(&mutex);
    if (asks_too ? engine_forward_slot(port) < slot : engine_share_cede(port, remote))
        answer = FORWARD_CEDING;
    if (number != 0)
        (void)say(port, slot, answer, number, remote);
}

void engine_cede_before_fork(void)
{
    pthread_mutex_lock(&mutex);
}

void engine_cede_after_fork_parent(void)
{
    pthread_mutex_unlock(&mutex);
}

/* In the child the sessions are the parent's. */
void engine_cede_after_fork_child(void)
{
    memset(asks, 0, sizeof asks);
    due_timer.entry = (struct rudp_wheel_entry){.next = NULL};
    pthread_mutex_unlock(&mutex);
}
