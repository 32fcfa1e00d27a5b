#include "core/cubic.h"
#include "tests/core/suite.h"

#include <math.h>

#define PACKET 1200u
#define MIB    (UINT64_C(1) << 20)
#define C      0.4
#define BETA   0.7

/* --- The model: RFC 9438 in floating point, packets and seconds ------------------------------- */

struct model {
    double window;
    double w_max;
    double w_est;
    double k_s;
    double prior_window;
};

static void model_reduce(struct model *m, double window)
{
    m->prior_window = window;
    m->w_max = window < m->w_max ? window * (1 + BETA) / 2 : window;
    m->window = window * BETA;
    m->w_est = m->window;
    m->k_s = cbrt((m->w_max - m->window) / C);
}

static double model_curve(const struct model *m, double t_s)
{
    return C * pow(t_s - m->k_s, 3) + m->w_max;
}

static void model_ack(struct model *m, double acked, double t_s, double rtt_s)
{
    double target = fmin(model_curve(m, t_s + rtt_s), 1.5 * m->window);
    double alpha = m->w_est < m->prior_window ? 3 * (1 - BETA) / (1 + BETA) : 1;
    double window = m->window;

    if (target > window)
        m->window += (target - window) / window * acked;
    m->w_est += alpha * acked / window;
    if (model_curve(m, t_s) < m->w_est)
        m->window = fmax(m->window, m->w_est);
}

/* --- Driving the real one --------------------------------------------------------------------- */

struct fixture {
    struct rudp_cubic cubic;
    uint32_t packet_bytes;
    uint64_t now_us;
    uint64_t rtt_us;
};

static void setup(struct fixture *f, uint32_t packet_bytes, uint64_t rtt_us)
{
    *f = (struct fixture){.packet_bytes = packet_bytes, .now_us = 1000000, .rtt_us = rtt_us};
    rudp_cubic_init(&f->cubic, packet_bytes);
}

static void ack_sent_at(struct fixture *f, uint64_t acked_bytes, uint64_t sent_us, bool app_limited)
{
    struct rudp_cc_ack ack = {
        .now_us = f->now_us,
        .acked_bytes = acked_bytes,
        .largest_acked_sent_us = sent_us,
        .smoothed_rtt_us = f->rtt_us,
        .app_limited = app_limited,
    };

    rudp_cubic_on_ack(&f->cubic, f->packet_bytes, &ack);
}

/* One round trip later everything in the window is acknowledged at once. */
static void ack_window(struct fixture *f, bool app_limited)
{
    uint64_t sent_us = f->now_us + 1;

    f->now_us += f->rtt_us;
    ack_sent_at(f, f->cubic.window_bytes, sent_us, app_limited);
}

static void lose_sent_at(struct fixture *f, uint64_t sent_us)
{
    struct rudp_cc_loss loss = {
        .now_us = f->now_us,
        .lost_bytes = f->packet_bytes,
        .largest_lost_sent_us = sent_us,
    };

    rudp_cubic_on_loss(&f->cubic, f->packet_bytes, &loss);
}

static void grow_to(struct fixture *f, uint64_t window_bytes)
{
    while (f->cubic.window_bytes < window_bytes) {
        uint64_t missing_bytes = window_bytes - f->cubic.window_bytes;

        f->now_us += f->rtt_us;
        ack_sent_at(f, min_u64(missing_bytes, f->cubic.window_bytes), f->now_us, false);
    }
}

/* Loses once at window_bytes, then follows the curve for rounds of one round trip each, in steps of
 * a few packets, beside the model. Returns the largest relative difference seen. */
static double difference_to_model(struct fixture *f, uint64_t window_bytes, uint32_t round_count)
{
    struct model m = {0};
    double packet = f->packet_bytes;
    double worst = 0;

    grow_to(f, window_bytes);
    model_reduce(&m, (double)window_bytes / packet);
    lose_sent_at(f, f->now_us);
    uint64_t epoch_us = f->now_us + f->rtt_us;

    f->now_us = epoch_us;
    for (uint32_t round = 0; round < round_count; round++) {
        uint64_t window = f->cubic.window_bytes;

        for (uint32_t part = 0; part < 16; part++) {
            uint64_t acked_bytes = max_u64(window / 16, 1);
            double t_s = (double)(f->now_us - epoch_us) / 1e6;

            ack_sent_at(f, acked_bytes, f->now_us, false);
            model_ack(&m, (double)acked_bytes / packet, t_s, (double)f->rtt_us / 1e6);
            f->now_us += f->rtt_us / 16;
            double difference = fabs((double)f->cubic.window_bytes / packet - m.window);

            /* The real one counts Reno's growth in whole packets: one more, one less is the same.
             */
            worst = fmax(worst, fmax(difference - 1.5, 0) / m.window);
        }
    }
    return worst;
}

/* A window of a long fat path follows the cubic curve, through the plateau and beyond. */
START_TEST(follows_model_on_long_fat_path)
{
    struct fixture f;

    setup(&f, PACKET, 100000);
    ck_assert_double_le(difference_to_model(&f, 12 * MIB, 600), 0.002);
}
END_TEST

/* A small window on a short path grows as Reno does. */
START_TEST(follows_model_where_reno_is_faster)
{
    struct fixture f;

    setup(&f, PACKET, 5000);
    ck_assert_double_le(difference_to_model(&f, 60 * PACKET, 400), 0.002);
}
END_TEST

/* Small and huge packets change the scale, not the shape. */
START_TEST(follows_model_at_any_packet_size)
{
    struct fixture f;

    setup(&f, 576, 50000);
    ck_assert_double_le(difference_to_model(&f, 2 * MIB, 300), 0.002);
    setup(&f, 65507, 50000);
    ck_assert_double_le(difference_to_model(&f, 64 * MIB, 300), 0.002);
}
END_TEST

/* Near the largest window nothing overflows, and the window stops there. */
START_TEST(follows_model_up_to_a_gibibyte)
{
    struct fixture f;

    setup(&f, PACKET, 200000);
    ck_assert_double_le(difference_to_model(&f, 700 * MIB, 400), 0.002);
    for (uint32_t round = 0; round < 5000; round++)
        ack_window(&f, false);
    ck_assert_uint_eq(f.cubic.window_bytes, 1024 * MIB);
}
END_TEST

/* Hours into an epoch the window is still a window. */
START_TEST(survives_hours_without_acknowledgement)
{
    struct fixture f;

    setup(&f, 576, 100000);
    grow_to(&f, 512 * MIB);
    lose_sent_at(&f, f.now_us);
    ack_window(&f, false);
    uint64_t before_bytes = f.cubic.window_bytes;

    f.now_us += UINT64_C(50) * 3600 * RUDP_US_PER_S;
    ack_sent_at(&f, 576, f.now_us, false);
    ck_assert_uint_ge(f.cubic.window_bytes, before_bytes);
    ck_assert_uint_le(f.cubic.window_bytes, before_bytes + 576);
}
END_TEST

/* --- Events ----------------------------------------------------------------------------------- */

/* RFC 9002 section 7.2: ten packets, but not more than 14,720 bytes unless that is below the
 * floor. */
START_TEST(initial_window)
{
    struct fixture f;

    setup(&f, 1200, 1);
    ck_assert_uint_eq(f.cubic.window_bytes, 12000);
    setup(&f, 9000, 1);
    ck_assert_uint_eq(f.cubic.window_bytes, 36000);
    setup(&f, 1472, 1);
    ck_assert_uint_eq(f.cubic.window_bytes, 14720);
    setup(&f, 2000, 1);
    ck_assert_uint_eq(f.cubic.window_bytes, 14720);
}
END_TEST

/* In slow start the window grows by what is acknowledged. */
START_TEST(slow_start_doubles)
{
    struct fixture f;

    setup(&f, PACKET, 10000);
    ck_assert(rudp_cubic_in_slow_start(&f.cubic));
    ack_window(&f, false);
    ck_assert_uint_eq(f.cubic.window_bytes, 24000);
}
END_TEST

/* HyStart++ ends slow start at the window reached, without a loss. */
START_TEST(hystart_ends_slow_start)
{
    struct fixture f;
    struct rudp_cc_ack ack = {.acked_bytes = PACKET, .smoothed_rtt_us = 40000};

    setup(&f, PACKET, 40000);
    for (uint32_t round = 0; round < 8; round++) {
        ack.latest_rtt_us = round < 2 ? 40000 : 60000;
        for (uint32_t i = 0; i < 10; i++) {
            ack.now_us = f.now_us += 1000;
            ack.largest_acked_sent_us = ack.now_us;
            ack.next_pn = ack.largest_acked_pn + 10;
            rudp_cubic_on_ack(&f.cubic, PACKET, &ack);
            ack.largest_acked_pn++;
        }
    }
    ck_assert(!rudp_cubic_in_slow_start(&f.cubic));
    ck_assert_uint_ne(f.cubic.ssthresh_bytes, RUDP_NEVER);
}
END_TEST

/* A loss leaves seven tenths of the window. */
START_TEST(loss_reduces_by_beta)
{
    struct fixture f;

    setup(&f, PACKET, 10000);
    grow_to(&f, 100 * PACKET);
    lose_sent_at(&f, f.now_us);
    ck_assert_uint_eq(f.cubic.window_bytes, 70 * PACKET);
    ck_assert(!rudp_cubic_in_slow_start(&f.cubic));
}
END_TEST

/* Packets that left before the reduction and are lost too belong to the same event. */
START_TEST(one_reduction_a_round_trip)
{
    struct fixture f;

    setup(&f, PACKET, 10000);
    grow_to(&f, 100 * PACKET);
    lose_sent_at(&f, f.now_us - 10);
    lose_sent_at(&f, f.now_us);
    ck_assert_uint_eq(f.cubic.window_bytes, 70 * PACKET);
    f.now_us++;
    lose_sent_at(&f, f.now_us);
    ck_assert_uint_eq(f.cubic.window_bytes, 49 * PACKET);
}
END_TEST

/* The first loss counts even when the clock, and the lost packet with it, started at 0. */
START_TEST(loss_at_time_zero_counts)
{
    struct fixture f;

    setup(&f, PACKET, 10000);
    f.now_us = 0;
    lose_sent_at(&f, 0);
    ck_assert_uint_eq(f.cubic.window_bytes, 8400);
}
END_TEST

/* Acknowledgements of packets that left before the reduction grow nothing. */
START_TEST(recovery_does_not_grow)
{
    struct fixture f;

    setup(&f, PACKET, 10000);
    grow_to(&f, 100 * PACKET);
    lose_sent_at(&f, f.now_us);
    uint64_t sent_us = f.now_us;

    f.now_us += 10000;
    ack_sent_at(&f, 50 * PACKET, sent_us, false);
    ck_assert_uint_eq(f.cubic.window_bytes, 70 * PACKET);
}
END_TEST

/* Four packets is the least window. */
START_TEST(window_has_a_floor)
{
    struct fixture f;

    setup(&f, PACKET, 10000);
    for (uint32_t i = 0; i < 50; i++) {
        f.now_us += 10000;
        lose_sent_at(&f, f.now_us);
    }
    ck_assert_uint_eq(f.cubic.window_bytes, 4 * PACKET);
}
END_TEST

/* RFC 9438 section 4.7: a second loss below the old maximum lowers the new one further. */
START_TEST(fast_convergence)
{
    struct fixture f;

    setup(&f, PACKET, 10000);
    grow_to(&f, 100 * PACKET);
    lose_sent_at(&f, f.now_us);
    ck_assert_uint_eq(f.cubic.w_max_bytes, 100 * PACKET);
    f.now_us++;
    lose_sent_at(&f, f.now_us);
    ck_assert_uint_eq(f.cubic.w_max_bytes, 70 * PACKET * 17 / 20);
}
END_TEST

/* A loss that was none gives back the window and the curve. */
START_TEST(spurious_loss_is_undone)
{
    struct fixture f;

    setup(&f, PACKET, 10000);
    grow_to(&f, 100 * PACKET);
    struct rudp_cubic before = f.cubic;

    lose_sent_at(&f, f.now_us);
    rudp_cubic_on_spurious_loss(&f.cubic);
    ck_assert_uint_eq(f.cubic.window_bytes, before.window_bytes);
    ck_assert_uint_eq(f.cubic.ssthresh_bytes, before.ssthresh_bytes);
    ck_assert_uint_eq(f.cubic.w_max_bytes, before.w_max_bytes);
}
END_TEST

/* and only once: what is not the last event stays. */
START_TEST(undo_works_once)
{
    struct fixture f;

    setup(&f, PACKET, 10000);
    grow_to(&f, 100 * PACKET);
    lose_sent_at(&f, f.now_us);
    rudp_cubic_on_spurious_loss(&f.cubic);
    rudp_cubic_on_persistent_congestion(&f.cubic, PACKET);
    rudp_cubic_on_spurious_loss(&f.cubic);
    ck_assert_uint_eq(f.cubic.window_bytes, 4 * PACKET);
}
END_TEST

/* Persistent congestion starts over from the floor, up to the old threshold. */
START_TEST(persistent_congestion_restarts)
{
    struct fixture f;

    setup(&f, PACKET, 10000);
    grow_to(&f, 100 * PACKET);
    lose_sent_at(&f, f.now_us);
    rudp_cubic_on_persistent_congestion(&f.cubic, PACKET);
    ck_assert_uint_eq(f.cubic.window_bytes, 4 * PACKET);
    ck_assert(rudp_cubic_in_slow_start(&f.cubic));
    for (uint32_t i = 0; i < 6; i++)
        ack_window(&f, false);
    ck_assert(!rudp_cubic_in_slow_start(&f.cubic));
    ck_assert_uint_ge(f.cubic.window_bytes, 70 * PACKET);
    ck_assert_uint_lt(f.cubic.window_bytes, 80 * PACKET);
}
END_TEST

/* Below the old threshold the window doubles, and stops exactly there. */
START_TEST(slow_start_ends_at_threshold)
{
    struct fixture f;

    setup(&f, PACKET, 10000);
    grow_to(&f, 10 * PACKET);
    lose_sent_at(&f, f.now_us);
    rudp_cubic_on_persistent_congestion(&f.cubic, PACKET);
    ack_sent_at(&f, PACKET, f.now_us + 1, false);
    ck_assert_uint_eq(f.cubic.window_bytes, 5 * PACKET);
    ack_window(&f, false);
    ck_assert_uint_eq(f.cubic.window_bytes, 7 * PACKET);
}
END_TEST

/* A window that is not used does not grow, in either phase. */
START_TEST(app_limited_does_not_grow)
{
    struct fixture f;

    setup(&f, PACKET, 10000);
    ack_window(&f, true);
    ck_assert_uint_eq(f.cubic.window_bytes, 10 * PACKET);
    lose_sent_at(&f, f.now_us);
    uint64_t window_bytes = f.cubic.window_bytes;

    ack_window(&f, true);
    ck_assert_uint_eq(f.cubic.window_bytes, window_bytes);
}
END_TEST

/* The curve stands still meanwhile: after ten idle seconds it goes on where it was. */
START_TEST(app_limited_time_is_not_counted)
{
    struct fixture busy;
    struct fixture idle;

    setup(&busy, PACKET, 100000);
    grow_to(&busy, 10 * MIB);
    lose_sent_at(&busy, busy.now_us);
    for (uint32_t i = 0; i < 10; i++)
        ack_window(&busy, false);
    idle = busy;
    for (uint32_t i = 0; i < 100; i++)
        ack_window(&idle, true);
    ack_window(&idle, false);
    ack_window(&busy, false);
    ck_assert_uint_le(absdiff_u64(idle.cubic.window_bytes, busy.cubic.window_bytes),
                      busy.cubic.window_bytes / 100);
}
END_TEST

int main(void)
{
    return SUITE_RUN("cubic", follows_model_on_long_fat_path, follows_model_where_reno_is_faster,
                     follows_model_at_any_packet_size, follows_model_up_to_a_gibibyte,
                     survives_hours_without_acknowledgement, initial_window, slow_start_doubles,
                     hystart_ends_slow_start, loss_reduces_by_beta, one_reduction_a_round_trip,
                     loss_at_time_zero_counts, recovery_does_not_grow, window_has_a_floor,
                     fast_convergence, spurious_loss_is_undone, undo_works_once,
                     persistent_congestion_restarts, app_limited_does_not_grow,
                     app_limited_time_is_not_counted, slow_start_ends_at_threshold);
}
