/* regression_seeds.h - every seed that ever failed, and what was wrong. All are run again with
 * every test run; a new one goes to the end of the list. */
#ifndef RUDP_TESTS_SIM_REGRESSION_SEEDS_H
#define RUDP_TESTS_SIM_REGRESSION_SEEDS_H

/* X(name, seed) */
#define REGRESSION_SEED_MAP(X)                                                                     \
    X(keepalive_due_forever, 1)            /* advance filed a due keepalive in the past, no end */ \
    X(close_beyond_budget, 10)             /* CLOSE to an unproven address beyond three times */   \
    X(both_close_unreported, 18)           /* acknowledged, but unread at a peer that closed */    \
    X(acked_by_another_incarnation, 54)    /* two ids of one peer shared packet numbers */         \
    X(memory_wait_in_the_past, 87)         /* a PING without memory left its deadline due */       \
    X(probe_too_short_for_reset, 286)      /* a restarted peer could not answer a PING */          \
    X(hello_after_abort, 289)              /* opened a second session, messages came twice */      \
    X(two_incarnations_in_one_stream, 293) /* HELLO_ACK under another id than the HELLO */         \
    X(tombstone_gone_while_calling, 475)   /* the opener called longer than the tombstone lived */ \
    X(close_from_old_address, 573)         /* tombstone did not answer a peer that had moved */    \
    X(probes_of_a_restarted_peer, 638)     /* as 286, the opener died of its retries */            \
    X(tombstone_gone_while_backed_off, 1928) /* a finished close was reported as a restart */      \
    X(challenge_answered_by_close, 11466)    /* challenge and CLOSE in turns, without end */       \
    X(forged_hello_silences_opener, 20204)   /* no more hellos, no RETRY followed */               \
    X(challenge_and_compact, 35858)          /* compacting was due again at once */                \
    X(both_wait_for_credit, 91599)        /* two closing sides waited for each other's reader */   \
    X(replaced_by_a_late_hello, 102285)   /* the live incarnation was told that it is over */      \
    X(reopened_without_tombstone, 101970) /* RESET answered the last words of a leaving peer */    \
    X(token_of_a_fourth_retry, 9094)      /* ignored: a peer that had restarted was not reached */ \
    X(black_hole_behind_a_burst, 223566) /* one burst's success hid the loss of its last packet */ \
    X(three_closes_beyond_budget, 48411) /* to an unproven address; counted as one */              \
    X(empty_first_answer, 351074)        /* no bug: nothing told which incarnation's it was */     \
    X(credit_below_what_was_sent, 623634) /* the rest was dropped for ever by a closing side */

/* X(name, seed, feature): those of rudp-sim --scenario. */
#define FORCED_REGRESSION_SEED_MAP(X)                                                              \
    X(forged_delivery_in_a_hello, 2149690, SCENARIO_MTU)   /* of 5 bytes that a HELLO told */      \
    X(late_hello_joins_a_call, 2331511, SCENARIO_BOTH)     /* past the tombstone of its session */ \
    X(two_that_close_call_on, 2324387, SCENARIO_BOTH)      /* no bug: until the connect timeout */ \
    X(challenge_late_for_memory, 5369047, SCENARIO_MEMORY) /* compacting was overdue by it */      \
    X(challenge_late_for_memory_too, 5617162, SCENARIO_OUTAGE)

#endif
