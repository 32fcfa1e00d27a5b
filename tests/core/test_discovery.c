#include "core/discovery.h"

#include "tests/core/suite.h"

#define DISCOVERY_PORT 26750
#define RTO_US         (500u * RUDP_US_PER_MS)
#define SILENCE_US_MAX (2100u * RUDP_US_PER_MS)

static struct rudp_discovery discovery;

static void begin_with_port(uint16_t port)
{
    rudp_discovery_init(&discovery, &(struct rudp_discovery_options){
                                        .key = {3, 4},
                                        .rto_initial_us = RTO_US,
                                        .port = port,
                                    });
}

static void begin(void)
{
    begin_with_port(DISCOVERY_PORT);
}

/* The host-th host's port. */
static struct rudp_address peer_at(uint32_t host, uint16_t port)
{
    struct rudp_address address = {.ip = {[10] = 0xff, [11] = 0xff, [12] = 10}, .port = port};

    for (size_t index = 0; index < 3; index++)
        address.ip[15 - index] = (uint8_t)(host >> 8 * index);
    return address;
}

/* One query is due; who is asked goes to *to. */
static struct rudp_query take_query(struct rudp_address *to, uint64_t now_us)
{
    uint8_t out[RUDP_QUERY_BYTES];
    struct rudp_query query;

    ck_assert(rudp_discovery_next_query(&discovery, to, out, now_us));
    ck_assert_int_eq(rudp_query_read(out, sizeof out, &query), RUDP_OK);
    ck_assert_int_eq(query.type, RUDP_QUERY_ASK);
    return query;
}

static bool answer_from(const struct rudp_address *from, struct rudp_query query,
                        enum rudp_query_type type, uint64_t now_us)
{
    uint8_t out[RUDP_QUERY_BYTES];

    query.type = type;
    rudp_query_write(&query, out);
    return rudp_discovery_receive(&discovery, from, out, sizeof out, now_us);
}

/* Asks about the peer and answers. */
static void settle(const struct rudp_address *peer, enum rudp_query_type type, uint64_t now_us)
{
    struct rudp_address to;

    (void)rudp_discovery_consult(&discovery, peer, now_us);
    struct rudp_query query = take_query(&to, now_us);

    ck_assert(answer_from(&to, query, type, now_us));
}

/* Runs all queries into the void. Returns when the question was given up. */
static uint64_t wait_in_vain(uint64_t now_us)
{
    uint8_t out[RUDP_QUERY_BYTES];
    struct rudp_address to;

    for (;;) {
        while (rudp_discovery_next_query(&discovery, &to, out, now_us)) {
        }
        if (rudp_discovery_advance(&discovery, now_us))
            return now_us;
        now_us = rudp_discovery_deadline_us(&discovery);
        ck_assert_uint_ne(now_us, RUDP_NEVER);
    }
}

/* The host is asked at the discovery port, about the peer's port. */
START_TEST(query_names_the_port)
{
    struct rudp_address peer = peer_at(1, 5000);
    struct rudp_address to;

    begin();
    ck_assert_int_eq(rudp_discovery_consult(&discovery, &peer, 7), RUDP_PEER_ASKED);
    ck_assert_int_eq(rudp_discovery_kind(&discovery, &peer, 7), RUDP_PEER_ASKED);
    ck_assert_uint_eq(rudp_discovery_deadline_us(&discovery), 7);
    ck_assert_uint_eq(take_query(&to, 7).port, 5000);
    ck_assert_uint_eq(to.port, DISCOVERY_PORT);
    ck_assert_mem_eq(to.ip, peer.ip, sizeof to.ip);
}
END_TEST

/* An answer is believed and remembered. */
START_TEST(answers)
{
    struct rudp_address speaker = peer_at(1, 5000);
    struct rudp_address plain = peer_at(1, 5001);

    begin();
    settle(&speaker, RUDP_QUERY_YES, 0);
    settle(&plain, RUDP_QUERY_NO, 0);
    ck_assert_int_eq(rudp_discovery_consult(&discovery, &speaker, 1), RUDP_PEER_SPEAKS);
    ck_assert_int_eq(rudp_discovery_consult(&discovery, &plain, 1), RUDP_PEER_PLAIN);
    ck_assert_uint_eq(rudp_discovery_deadline_us(&discovery), RUDP_NEVER);
}
END_TEST

/* Only the asked host's own answer, with the nonce of the query, counts. */
START_TEST(forged_answers)
{
    struct rudp_address peer = peer_at(1, 5000);
    struct rudp_address to;

    begin();
    (void)rudp_discovery_consult(&discovery, &peer, 0);
    struct rudp_query query = take_query(&to, 0);
    struct rudp_query guess = query;
    struct rudp_address elsewhere = peer_at(2, DISCOVERY_PORT);

    guess.nonce ^= 1;
    ck_assert(!answer_from(&to, guess, RUDP_QUERY_YES, 0));
    ck_assert(!answer_from(&peer, query, RUDP_QUERY_YES, 0));
    ck_assert(!answer_from(&elsewhere, query, RUDP_QUERY_YES, 0));
    ck_assert(!answer_from(&to, query, RUDP_QUERY_ASK, 0));
    guess = query;
    guess.port = 5001;
    ck_assert(!answer_from(&to, guess, RUDP_QUERY_YES, 0));
    ck_assert_int_eq(rudp_discovery_kind(&discovery, &peer, 0), RUDP_PEER_ASKED);
    ck_assert(answer_from(&to, query, RUDP_QUERY_YES, 0));
    ck_assert(!answer_from(&to, query, RUDP_QUERY_NO, 0));
    ck_assert_int_eq(rudp_discovery_kind(&discovery, &peer, 0), RUDP_PEER_SPEAKS);
}
END_TEST

/* Silence is an answer after about two seconds. */
START_TEST(silence_is_plain)
{
    struct rudp_address peer = peer_at(1, 5000);

    begin();
    (void)rudp_discovery_consult(&discovery, &peer, 0);
    uint64_t end_us = wait_in_vain(0);

    ck_assert_uint_gt(end_us, 4 * RTO_US * 9 / 10);
    ck_assert_uint_lt(end_us, SILENCE_US_MAX);
    ck_assert_int_eq(rudp_discovery_kind(&discovery, &peer, end_us), RUDP_PEER_PLAIN);
}
END_TEST

/* A late answer to the first query is as good as one to the last. */
START_TEST(late_answer)
{
    struct rudp_address peer = peer_at(1, 5000);
    struct rudp_address to;

    begin();
    (void)rudp_discovery_consult(&discovery, &peer, 0);
    struct rudp_query first = take_query(&to, 0);

    (void)take_query(&to, rudp_discovery_deadline_us(&discovery));
    ck_assert(answer_from(&to, first, RUDP_QUERY_YES, RTO_US));
}
END_TEST

/* The network's word that nobody is at the discovery port settles it at once: for the query that it
 * quotes, or for the host when it quotes too little. */
START_TEST(refusal_is_plain)
{
    struct rudp_address peers[] = {peer_at(1, 5000), peer_at(1, 5001), peer_at(2, 5000)};
    uint8_t out[RUDP_QUERY_BYTES];
    struct rudp_address to;

    begin();
    for (size_t index = 0; index < 3; index++)
        (void)rudp_discovery_consult(&discovery, &peers[index], 0);
    ck_assert(!rudp_discovery_refused(&discovery, &(struct rudp_address){.port = DISCOVERY_PORT},
                                      NULL, 0, 0));
    ck_assert(rudp_discovery_next_query(&discovery, &to, out, 0));
    ck_assert(!rudp_discovery_refused(&discovery, &peers[0], out, sizeof out, 0));
    ck_assert(rudp_discovery_refused(&discovery, &to, out, sizeof out, 0));
    ck_assert_int_eq(rudp_discovery_kind(&discovery, &peers[0], 0), RUDP_PEER_PLAIN);
    ck_assert_int_eq(rudp_discovery_kind(&discovery, &peers[1], 0), RUDP_PEER_ASKED);
    (void)take_query(&to, 0);
    (void)take_query(&to, 0);
    to = peers[1];
    to.port = DISCOVERY_PORT;
    ck_assert(rudp_discovery_refused(&discovery, &to, out, 8, 0));
    ck_assert_int_eq(rudp_discovery_kind(&discovery, &peers[1], 0), RUDP_PEER_PLAIN);
    ck_assert_int_eq(rudp_discovery_kind(&discovery, &peers[2], 0), RUDP_PEER_ASKED);
}
END_TEST

/* An old "no" stands while it is asked again, and each further one holds twice as long. */
START_TEST(no_is_asked_again)
{
    struct rudp_address peer = peer_at(1, 5000);
    uint64_t now_us = 0;

    begin();
    settle(&peer, RUDP_QUERY_NO, now_us);
    for (uint64_t no_us = RUDP_DISCOVERY_NO_US; no_us < RUDP_DISCOVERY_YES_US; no_us *= 2) {
        now_us += no_us - 1;
        ck_assert_int_eq(rudp_discovery_consult(&discovery, &peer, now_us), RUDP_PEER_PLAIN);
        ck_assert_uint_eq(rudp_discovery_deadline_us(&discovery), RUDP_NEVER);
        now_us += 1;
        settle(&peer, RUDP_QUERY_NO, now_us);
        ck_assert_int_eq(rudp_discovery_kind(&discovery, &peer, now_us), RUDP_PEER_PLAIN);
    }
    now_us += RUDP_DISCOVERY_YES_US;
    settle(&peer, RUDP_QUERY_YES, now_us);
    ck_assert_int_eq(rudp_discovery_kind(&discovery, &peer, now_us), RUDP_PEER_SPEAKS);
}
END_TEST

/* An old "yes" is a question again, unless the peer itself was heard. */
START_TEST(yes_expires)
{
    struct rudp_address told = peer_at(1, 5000);
    struct rudp_address heard = peer_at(1, 5001);

    begin();
    settle(&told, RUDP_QUERY_YES, 0);
    settle(&heard, RUDP_QUERY_YES, 0);
    rudp_discovery_heard_protocol(&discovery, &heard);
    ck_assert_int_eq(rudp_discovery_consult(&discovery, &told, RUDP_DISCOVERY_YES_US),
                     RUDP_PEER_ASKED);
    ck_assert_int_eq(rudp_discovery_consult(&discovery, &heard, RUDP_DISCOVERY_YES_US),
                     RUDP_PEER_SPEAKS);
}
END_TEST

/* Who was heard speaking is never taken for plain by silence. */
START_TEST(no_downgrade)
{
    struct rudp_address peer = peer_at(1, 5000);
    struct rudp_address to;

    begin();
    (void)rudp_discovery_consult(&discovery, &peer, 0);
    struct rudp_query query = take_query(&to, 0);

    rudp_discovery_heard_protocol(&discovery, &peer);
    ck_assert_int_eq(rudp_discovery_kind(&discovery, &peer, 0), RUDP_PEER_SPEAKS);
    ck_assert(!answer_from(&to, query, RUDP_QUERY_NO, 0));
    rudp_discovery_doubt(&discovery, &peer);
    ck_assert_int_eq(rudp_discovery_kind(&discovery, &peer, 0), RUDP_PEER_SPEAKS);
}
END_TEST

/* A "yes" that nobody kept is no answer any more. */
START_TEST(doubt)
{
    struct rudp_address peer = peer_at(1, 5000);

    begin();
    settle(&peer, RUDP_QUERY_YES, 0);
    rudp_discovery_doubt(&discovery, &peer);
    ck_assert_int_eq(rudp_discovery_consult(&discovery, &peer, 1), RUDP_PEER_ASKED);
}
END_TEST

/* Where nobody is asked, a peer is what it was last heard to speak. */
START_TEST(without_questions)
{
    struct rudp_address peer = peer_at(1, 5000);

    begin_with_port(0);
    ck_assert_int_eq(rudp_discovery_consult(&discovery, &peer, 0), RUDP_PEER_UNKNOWN);
    rudp_discovery_heard_plain(&discovery, &peer, 0);
    ck_assert_int_eq(rudp_discovery_consult(&discovery, &peer, RUDP_DISCOVERY_YES_US),
                     RUDP_PEER_PLAIN);
    rudp_discovery_heard_protocol(&discovery, &peer);
    ck_assert_int_eq(rudp_discovery_consult(&discovery, &peer, 0), RUDP_PEER_UNKNOWN);
    ck_assert_uint_eq(rudp_discovery_deadline_us(&discovery), RUDP_NEVER);
}
END_TEST

/* A plain datagram does not end a question: the answer knows better. */
START_TEST(plain_while_asked)
{
    struct rudp_address peer = peer_at(1, 5000);

    begin();
    (void)rudp_discovery_consult(&discovery, &peer, 0);
    rudp_discovery_heard_plain(&discovery, &peer, 0);
    ck_assert_int_eq(rudp_discovery_kind(&discovery, &peer, 0), RUDP_PEER_ASKED);
}
END_TEST

/* The table is bounded: who is used stays, who is not goes first. */
START_TEST(oldest_is_forgotten)
{
    struct rudp_address used = peer_at(0, 5000);
    uint32_t room = RUDP_DISCOVERY_SET_COUNT * RUDP_DISCOVERY_WAY_COUNT;
    uint32_t known_count = 0;

    begin_with_port(0);
    rudp_discovery_heard_plain(&discovery, &used, 0);
    for (uint32_t host = 1; host <= 3 * room; host++) {
        struct rudp_address peer = peer_at(host, 5000);

        rudp_discovery_heard_plain(&discovery, &peer, 0);
        ck_assert_int_eq(rudp_discovery_kind(&discovery, &peer, 0), RUDP_PEER_PLAIN);
        ck_assert_int_eq(rudp_discovery_kind(&discovery, &used, 0), RUDP_PEER_PLAIN);
    }
    for (uint32_t host = 1; host <= room; host++) {
        struct rudp_address peer = peer_at(host, 5000);

        known_count += rudp_discovery_kind(&discovery, &peer, 0) == RUDP_PEER_PLAIN;
    }
    ck_assert_uint_lt(known_count, room / 10);
}
END_TEST

/* With as many questions open as there may be, one more peer stays unknown until one is settled. */
START_TEST(questions_are_bounded)
{
    struct rudp_address last = peer_at(RUDP_DISCOVERY_QUESTION_COUNT, 5000);

    begin();
    for (uint32_t host = 0; host < RUDP_DISCOVERY_QUESTION_COUNT; host++) {
        struct rudp_address peer = peer_at(host, 5000);

        ck_assert_int_eq(rudp_discovery_consult(&discovery, &peer, 0), RUDP_PEER_ASKED);
    }
    ck_assert_int_eq(rudp_discovery_consult(&discovery, &last, 0), RUDP_PEER_UNKNOWN);
    uint64_t end_us = wait_in_vain(0);

    ck_assert_int_eq(rudp_discovery_consult(&discovery, &last, end_us), RUDP_PEER_ASKED);
}
END_TEST

/* Who asked before a fork, asks again: a new query goes out. */
START_TEST(questions_are_dropped)
{
    struct rudp_address known = peer_at(1, 5000);
    struct rudp_address peer = peer_at(2, 5000);
    struct rudp_address to;

    begin();
    settle(&known, RUDP_QUERY_YES, 0);
    (void)rudp_discovery_consult(&discovery, &peer, 0);
    struct rudp_query before = take_query(&to, 0);

    rudp_discovery_drop_questions(&discovery);
    ck_assert_uint_eq(rudp_discovery_deadline_us(&discovery), RUDP_NEVER);
    ck_assert(!answer_from(&to, before, RUDP_QUERY_YES, 0));
    ck_assert_int_eq(rudp_discovery_consult(&discovery, &peer, 0), RUDP_PEER_ASKED);
    ck_assert_uint_ne(take_query(&to, 0).nonce, before.nonce);
    ck_assert_int_eq(rudp_discovery_kind(&discovery, &known, 0), RUDP_PEER_SPEAKS);
}
END_TEST

/* A number from 0 to 99, the next of a fixed sequence. */
static uint32_t next_percent(uint64_t *state)
{
    *state = *state * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
    return (uint32_t)(*state >> 33) % 100;
}

/* True when a speaking peer is found although each way loses that many percent. */
static bool is_found(const struct rudp_address *peer, uint32_t loss_percent, uint64_t *state)
{
    uint64_t now_us = 0;

    (void)rudp_discovery_consult(&discovery, peer, now_us);
    for (;;) {
        struct rudp_address to;
        uint8_t out[RUDP_QUERY_BYTES];
        struct rudp_query query;

        if (rudp_discovery_advance(&discovery, now_us))
            return false;
        while (rudp_discovery_next_query(&discovery, &to, out, now_us)) {
            bool is_lost = next_percent(state) < loss_percent || next_percent(state) < loss_percent;

            ck_assert_int_eq(rudp_query_read(out, sizeof out, &query), RUDP_OK);
            if (!is_lost && answer_from(&to, query, RUDP_QUERY_YES, now_us))
                return true;
        }
        now_us = rudp_discovery_deadline_us(&discovery);
    }
}

/* With a fifth lost each way all but one peer in a thousand is found (0.36 ^ 7 = 0.0008). */
START_TEST(loss)
{
    uint32_t missed_count = 0;
    uint64_t state = 11;

    begin();
    for (uint32_t host = 0; host < 100000; host++) {
        struct rudp_address peer = peer_at(host, 5000);

        missed_count += !is_found(&peer, 20, &state);
    }
    ck_assert_uint_lt(missed_count, 100);
    ck_assert_uint_gt(missed_count, 50);
}
END_TEST

int main(void)
{
    return SUITE_RUN("discovery", query_names_the_port, answers, forged_answers, silence_is_plain,
                     late_answer, refusal_is_plain, no_is_asked_again, yes_expires, no_downgrade,
                     doubt, without_questions, plain_while_asked, oldest_is_forgotten,
                     questions_are_bounded, questions_are_dropped, loss);
}
