/* hystart.h - HyStart++ (RFC 9406): the constants of its section 4.3. */
#ifndef RUDP_CORE_HYSTART_H
#define RUDP_CORE_HYSTART_H

#include "core/cc.h"

void rudp_hystart_init(struct rudp_hystart *hystart);

/* Feeds one acknowledgement received in slow start. Returns by how many bytes the window may grow
 * for it (all of acked_bytes in slow start, a quarter in Conservative Slow Start). */
uint64_t rudp_hystart_on_ack(struct rudp_hystart *hystart, const struct rudp_cc_ack *ack);

/* True when slow start must end: CSS lasted its five rounds. */
bool rudp_hystart_is_done(const struct rudp_hystart *hystart);

#endif
