/* CUBIC as it was before the controllers' interface was widened: a long random sequence of events
 * gives the same windows and rates, to the bit. The expected values were made by this program with
 * the interface of commit 624684f. */
#include "core/cc.h"
#include "tests/core/suite.h"

#define EVENT_COUNT   200000u
#define PACKET        1200u
#define EXPECTED_LOSS UINT64_C(10564667253286041184)
#define EXPECTED_NONE UINT64_C(18413234761759877170)

static uint64_t next_random(uint64_t *state)
{
    *state = *state * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
    return *state >> 33;
}

static uint64_t mix(uint64_t hash, uint64_t value)
{
    return (hash ^ value) * UINT64_C(0x9e3779b97f4a7c15) ^ hash >> 29;
}

struct driver {
    struct rudp_cc cc;
    uint64_t random;
    uint64_t now_us;
    uint64_t next_pn;
    uint64_t rtt_us;
    uint32_t loss_per_mille;
};

static void acknowledge(struct driver *driver)
{
    uint64_t window_bytes = rudp_cc_window_bytes(&driver->cc);
    uint64_t packet_count = 1 + next_random(&driver->random) % 4;
    struct rudp_cc_ack ack = {
        .now_us = driver->now_us,
        .acked_bytes = packet_count * PACKET,
        .largest_acked_pn = driver->next_pn,
        .largest_acked_sent_us = driver->now_us - driver->rtt_us,
        .next_pn = driver->next_pn + window_bytes / PACKET,
        .latest_rtt_us = driver->rtt_us,
        .smoothed_rtt_us = driver->rtt_us,
        .in_flight_bytes = window_bytes / 2,
        .app_limited = next_random(&driver->random) % 16 == 0,
    };

    driver->next_pn += packet_count;
    rudp_cc_on_ack(&driver->cc, &ack);
}

static void lose(struct driver *driver)
{
    struct rudp_cc_loss loss = {
        .now_us = driver->now_us,
        .lost_bytes = PACKET,
        .largest_lost_sent_us = driver->now_us - driver->rtt_us,
        .in_flight_bytes = rudp_cc_window_bytes(&driver->cc) / 2,
    };

    rudp_cc_on_loss(&driver->cc, &loss);
    if (next_random(&driver->random) % 8 == 0)
        rudp_cc_on_spurious_loss(&driver->cc);
    if (next_random(&driver->random) % 64 == 0)
        rudp_cc_on_persistent_congestion(&driver->cc);
}

/* The hash of window and rate after each event. */
static uint64_t trace(uint32_t loss_per_mille)
{
    struct driver driver = {
        .random = 42, .now_us = 1000000, .rtt_us = 40000, .loss_per_mille = loss_per_mille};
    uint64_t hash = 0;

    rudp_cc_init(&driver.cc, RUDP_CC_CUBIC, PACKET);
    for (uint32_t i = 0; i < EVENT_COUNT; i++) {
        driver.now_us += next_random(&driver.random) % 2000;
        driver.rtt_us = 40000 + next_random(&driver.random) % 8000;
        if (next_random(&driver.random) % 1000 < driver.loss_per_mille)
            lose(&driver);
        else
            acknowledge(&driver);
        if (next_random(&driver.random) % 50000 == 0)
            rudp_cc_set_packet_bytes(&driver.cc, PACKET);
        hash = mix(hash, rudp_cc_window_bytes(&driver.cc));
        hash = mix(hash, rudp_cc_pacing_bytes_per_s(&driver.cc, driver.rtt_us));
    }
    return hash;
}

START_TEST(windows_are_what_they_were)
{
    ck_assert_uint_eq(trace(2), EXPECTED_LOSS);
}
END_TEST

START_TEST(windows_without_loss_are_what_they_were)
{
    ck_assert_uint_eq(trace(0), EXPECTED_NONE);
}
END_TEST

int main(void)
{
    return SUITE_RUN("cc_trace", windows_are_what_they_were,
                     windows_without_loss_are_what_they_were);
}
