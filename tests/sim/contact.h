/* contact.h - what passed between a node and each address: who may be sent how much. */
#ifndef RUDP_TESTS_SIM_CONTACT_H
#define RUDP_TESTS_SIM_CONTACT_H

#include "tests/sim/sim.h"

/* The entry of that address, made when it is new. Valid until the next call. */
struct sim_contact *sim_contact_get(struct sim_node *node, const struct rudp_address *address);
void sim_contacts_clear(struct sim_node *node);

#endif
