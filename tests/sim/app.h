/* app.h - the programs above the sessions: what they do when the core has news, and on their own.
 */
#ifndef RUDP_TESTS_SIM_APP_H
#define RUDP_TESTS_SIM_APP_H

#include "tests/sim/sim.h"

/* Handles one event of the node's endpoint. */
void sim_app_on_event(struct sim_node *node, const struct rudp_event *event);

/* A session began: files the program's own timers. */
void sim_app_start(struct sim_session *session);

/* Reads what the program wants to read now. */
void sim_app_read(struct sim_session *session);

#endif
