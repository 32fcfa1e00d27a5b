#include "tests/sim/contact.h"

#include <stdlib.h>

#define CAPACITY_MIN 8u

struct sim_contact *sim_contact_get(struct sim_node *node, const struct rudp_address *address)
{
    /* The newest are asked for most. */
    for (size_t i = node->contact_count; i-- > 0;)
        if (rudp_address_equal(&node->contacts[i].address, address))
            return &node->contacts[i];
    if (node->contact_count == node->contact_capacity) {
        node->contact_capacity =
            node->contact_capacity == 0 ? CAPACITY_MIN : node->contact_capacity * 2;
        node->contacts = realloc(node->contacts, node->contact_capacity * sizeof *node->contacts);
        RUDP_ASSERT(node->contacts != NULL);
    }
    struct sim_contact *contact = &node->contacts[node->contact_count++];

    *contact = (struct sim_contact){.address = *address};
    return contact;
}

void sim_contacts_clear(struct sim_node *node)
{
    free(node->contacts);
    node->contacts = NULL;
    node->contact_count = 0;
    node->contact_capacity = 0;
}
