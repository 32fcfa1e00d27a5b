/* Endpoints whose caller was killed: what is torn says so, what is whole can be gone on with. */
#include "tests/core/puppet.h"

#include <setjmp.h>

static struct puppet p; /* one test a process, and large */
static jmp_buf caller;
static bool kills;
static void *(*allocate_really)(void *context, size_t bytes);

static void *allocate_or_die(void *context, size_t bytes)
{
    if (kills)
        longjmp(caller, 1);
    return allocate_really(context, bytes);
}

static void start(void)
{
    puppet_init(&p);
    allocate_really = p.memory.host.allocator.allocate;
    p.memory.host.allocator.allocate = allocate_or_die;
    puppet_start(&p);
}

/* A call that never comes back leaves the endpoint torn; one that does leaves it whole. */
START_TEST(interrupted_call_tears)
{
    start();
    puppet_opened(&p);
    ck_assert_uint_eq(puppet_send(&p, "whole", 5), RUDP_OK);
    ck_assert(!rudp_endpoint_is_torn(p.endpoint));
    kills = true;
    if (setjmp(caller) == 0)
        (void)puppet_send(&p, p.out, sizeof p.out); /* more than one block: memory is asked for */
    ck_assert(rudp_endpoint_is_torn(p.endpoint));
}
END_TEST

/* Looking at an endpoint tears nothing. */
START_TEST(looking_tears_nothing)
{
    struct rudp_endpoint_stats stats;

    start();
    puppet_opened(&p);
    rudp_endpoint_stats(p.endpoint, &stats);
    (void)rudp_endpoint_find(p.endpoint, &p.path.remote);
    (void)rudp_endpoint_deadline_us(p.endpoint);
    ck_assert(!rudp_endpoint_is_torn(p.endpoint));
    puppet_destroy(&p);
}
END_TEST

/* Events that were taken and not acted on come again: of an open session that a message waits. */
START_TEST(readable_comes_again)
{
    start();
    puppet_accepted(&p);
    puppet_begin(&p, RUDP_PACKET_SHORT);
    puppet_add_data(&p, 0, "\x02hi", 3);
    (void)puppet_deliver(&p);
    ck_assert_uint_eq(p.event_counts[RUDP_EVENT_READABLE], 1);
    rudp_endpoint_repeat_events(p.endpoint);
    puppet_take_events(&p);
    ck_assert_uint_eq(p.event_counts[RUDP_EVENT_OPENED], 2);
    ck_assert_uint_eq(p.event_counts[RUDP_EVENT_READABLE], 2);
    ck_assert_uint_eq(p.event_counts[RUDP_EVENT_CLOSED], 0);
    puppet_check_read(&p, "hi");
    rudp_session_set_tag(p.session, 1);
    rudp_endpoint_repeat_events(p.endpoint);
    puppet_take_events(&p);
    ck_assert_uint_eq(p.event_counts[RUDP_EVENT_OPENED], 2);
    puppet_destroy(&p);
}
END_TEST

/* And of one that is over, how it ended, after everything else. */
START_TEST(closed_comes_again)
{
    start();
    puppet_opened(&p);
    ck_assert_uint_eq(puppet_send(&p, "lost", 4), RUDP_OK);
    rudp_session_abort(p.endpoint, p.session, p.now_us);
    puppet_take_events(&p);
    ck_assert_uint_eq(p.event_counts[RUDP_EVENT_CLOSED], 1);
    uint64_t undelivered_bytes = p.closed.undelivered_bytes;

    p.closed.undelivered_bytes = 0;
    rudp_endpoint_repeat_events(p.endpoint);
    puppet_take_events(&p);
    ck_assert_uint_eq(p.event_counts[RUDP_EVENT_CLOSED], 2);
    ck_assert_uint_gt(undelivered_bytes, 0);
    ck_assert_uint_eq(p.closed.undelivered_bytes, undelivered_bytes);
    rudp_session_release(p.endpoint, p.session);
    puppet_destroy(&p);
}
END_TEST

int main(void)
{
    return SUITE_RUN("torn", interrupted_call_tears, looking_tears_nothing, readable_comes_again,
                     closed_comes_again);
}
