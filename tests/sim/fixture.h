/* fixture.h - what the protocol's tests share: two nodes, a session between them, its end. */
#ifndef RUDP_TESTS_SIM_FIXTURE_H
#define RUDP_TESTS_SIM_FIXTURE_H

#include "tests/core/suite.h"
#include "tests/sim/sim.h"

#define LATENCY_US 10000u /* one way, where a test says nothing else */
#define RTT_US     (2 * LATENCY_US)
#define TICK_US    256u /* timers may fire this late (core/wheel.h) */

struct rudp_config default_config(void);

/* Two nodes with that configuration (NULL: the defaults), LATENCY_US apart. */
struct sim *create_pair(const struct rudp_config *config);

/* A session from client to server, established on both sides, nothing in flight. */
struct sim_session *open_pair(struct sim *sim);

/* The server's side of it. */
struct sim_session *server_side(struct sim *sim);

/* Sends count messages of that many bytes; each must be accepted. */
void send_messages(struct sim_session *session, uint32_t count, size_t bytes);

/* Runs until everything that was sent is delivered; within a minute of virtual time. */
void run_until_delivered(struct sim *sim);

/* Ends the run: fails the test when an invariant broke. */
void finish(struct sim *sim);

#endif
