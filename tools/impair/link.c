#include "tools/impair/link.h"

#include <assert.h>

#define NS_PER_US 1000u
#define NS_PER_S  1000000000u

void impair_link_init(struct impair_link *link, const struct impair_settings *settings,
                      uint64_t seed, uint64_t direction)
{
    assert(link != NULL && settings != NULL);
    assert(settings->rate_bits_per_s <= IMPAIR_RATE_MAX);
    assert(settings->queue_bytes <= IMPAIR_QUEUE_MAX);
    *link = (struct impair_link){.settings = *settings};
    for (uint64_t i = 0; i < IMPAIR_STREAM_COUNT; i++)
        impair_prng_init(&link->streams[i], seed, direction * IMPAIR_STREAM_COUNT + i);
}

static bool draw(struct impair_link *link, enum impair_stream stream, uint32_t ppm)
{
    return impair_prng_chance(&link->streams[stream], ppm);
}

/* Two numbers each for truncation and corruption, used or not: later datagrams must not
 * depend on the lengths of earlier ones. */
static void decide_damage(struct impair_link *link, size_t bytes, struct impair_verdict *verdict)
{
    bool truncate = draw(link, IMPAIR_STREAM_TRUNCATE, link->settings.truncate_ppm);
    uint64_t cut = impair_prng_u64(&link->streams[IMPAIR_STREAM_TRUNCATE]);
    bool corrupt = draw(link, IMPAIR_STREAM_CORRUPT, link->settings.corrupt_ppm);
    uint64_t flip = impair_prng_u64(&link->streams[IMPAIR_STREAM_CORRUPT]);

    verdict->bytes = bytes;
    verdict->flip_bit = IMPAIR_NO_FLIP;
    if (truncate && bytes > 0) {
        verdict->bytes = cut % bytes;
        link->counters.truncated++;
    }
    if (corrupt && verdict->bytes > 0) {
        verdict->flip_bit = flip % (8 * verdict->bytes);
        link->counters.corrupted++;
    }
}

/* Which counter the loss goes to, or NULL when the datagram gets through. */
static uint64_t *decide_loss(struct impair_link *link)
{
    const struct impair_settings *settings = &link->settings;
    uint32_t turn_ppm = link->in_burst ? settings->burst_leave_ppm : settings->burst_enter_ppm;

    if (draw(link, IMPAIR_STREAM_BURST, turn_ppm))
        link->in_burst = !link->in_burst;
    bool lost_in_burst = draw(link, IMPAIR_STREAM_BURST, settings->burst_loss_ppm);
    bool lost = draw(link, IMPAIR_STREAM_LOSS, settings->loss_ppm);

    if (link->in_burst)
        return lost_in_burst ? &link->counters.lost_in_burst : NULL;
    return lost ? &link->counters.lost : NULL;
}

/* Takes the datagram onto the line: false when the queue before it is full, else when it has been
 * sent. One that finds the line free always passes, even when it is longer than the queue. */
static bool pass_line(struct impair_link *link, size_t bytes, uint64_t now_us, uint64_t *sent_us)
{
    const struct impair_settings *settings = &link->settings;

    *sent_us = now_us;
    if (settings->rate_bits_per_s == 0)
        return true;
    uint64_t now_ns = now_us * NS_PER_US;
    uint64_t sending_ns = bytes * 8 * NS_PER_S / settings->rate_bits_per_s;
    uint64_t queue_ns = settings->queue_bytes * 8 * NS_PER_S / settings->rate_bits_per_s;
    uint64_t waiting_ns = link->line_free_ns > now_ns ? link->line_free_ns - now_ns : 0;

    if (waiting_ns > 0 && waiting_ns + sending_ns > queue_ns)
        return false;
    link->line_free_ns = now_ns + waiting_ns + sending_ns;
    *sent_us = link->line_free_ns / NS_PER_US;
    return true;
}

struct flight { /* how long one copy is under way */
    uint64_t delay_us;
    bool held_back;
};

static struct flight decide_flight(struct impair_link *link)
{
    struct impair_prng *jitter = &link->streams[IMPAIR_STREAM_JITTER];

    return (struct flight){
        .delay_us =
            link->settings.delay_us + impair_prng_below(jitter, link->settings.jitter_us + 1),
        .held_back = draw(link, IMPAIR_STREAM_REORDER, link->settings.reorder_ppm),
    };
}

static uint64_t land_us(struct impair_link *link, const struct flight *flight, uint64_t sent_us)
{
    uint64_t due_us = sent_us + flight->delay_us;

    if (due_us < link->last_due_us)
        due_us = link->last_due_us;
    if (flight->held_back) {
        link->counters.reordered++;
        return due_us + link->settings.reorder_by_us;
    }
    link->last_due_us = due_us;
    return due_us;
}

void impair_link_pass(struct impair_link *link, size_t bytes, uint64_t now_us,
                      struct impair_verdict *verdict)
{
    assert(link != NULL && verdict != NULL);
    link->counters.received++;
    link->counters.received_bytes += bytes;

    decide_damage(link, bytes, verdict);
    uint64_t *loss = decide_loss(link);
    bool duplicate = draw(link, IMPAIR_STREAM_DUPLICATE, link->settings.duplicate_ppm);
    struct flight flights[IMPAIR_COPIES_MAX] = {decide_flight(link), decide_flight(link)};
    uint64_t sent_us;

    verdict->copy_count = 0;
    if (!pass_line(link, verdict->bytes, now_us, &sent_us)) {
        link->counters.queue_full++;
        return;
    }
    if (loss != NULL) {
        (*loss)++;
        return;
    }
    link->counters.duplicated += duplicate;
    verdict->copy_count = duplicate ? 2 : 1;
    for (size_t i = 0; i < verdict->copy_count; i++)
        verdict->due_us[i] = land_us(link, &flights[i], sent_us);
}
