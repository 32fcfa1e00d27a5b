/* check.h - the invariants. Each check calls sim_fail with what broke.
 *
 * A reader is not told whose messages it reads: it is found out from their content. The first
 * message of a session binds it to a flow of its peer's node, at the place where an incarnation of
 * that flow begins (the start, or what the core had reported as not delivered when it noticed that
 * its peer had restarted). From there on every message must be the next one (ordered) or one that
 * this binding has not delivered yet (unordered). An incarnation may be read once per endpoint. */
#ifndef RUDP_TESTS_SIM_CHECK_H
#define RUDP_TESTS_SIM_CHECK_H

#include "tests/sim/sim.h"

/* The reader's program got a message. */
void sim_check_message(struct sim_session *reader, const uint8_t *data, size_t bytes);

/* A packet reaches or leaves the node. genuine: a node sent it, not an attacker. */
void sim_check_received(struct sim_node *node, const struct rudp_address *from,
                        const uint8_t *packet, size_t bytes, bool genuine);
void sim_check_sent(struct sim_node *node, const struct rudp_path *path, size_t bytes);

/* The node opened a session to that address. */
void sim_check_called(struct sim_node *node, const struct rudp_address *address);
void sim_check_event(struct sim_session *session, const struct rudp_event *event);

/* After each step: memory, deadline, claims about delivery. advanced: rudp_endpoint_advance was
 * just called. */
void sim_check_step(struct sim_node *node, bool advanced);

/* At the end of a run that settled: what closed sessions reported, and what open ones delivered. */
void sim_check_settled(struct sim *sim);

/* The endpoint was destroyed. */
void sim_check_destroyed(struct sim_node *node);

#endif
