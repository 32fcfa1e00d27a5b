/* cubic.h - CUBIC (RFC 9438) with HyStart++ (RFC 9406). Called through cc.h only. */
#ifndef RUDP_CORE_CUBIC_H
#define RUDP_CORE_CUBIC_H

#include "core/cc.h"

void rudp_cubic_init(struct rudp_cubic *cubic, uint32_t packet_bytes);
void rudp_cubic_on_ack(struct rudp_cubic *cubic, uint32_t packet_bytes,
                       const struct rudp_cc_ack *ack);
void rudp_cubic_on_loss(struct rudp_cubic *cubic, uint32_t packet_bytes,
                        const struct rudp_cc_loss *loss);
void rudp_cubic_on_spurious_loss(struct rudp_cubic *cubic);
void rudp_cubic_on_persistent_congestion(struct rudp_cubic *cubic, uint32_t packet_bytes);
bool rudp_cubic_in_slow_start(const struct rudp_cubic *cubic);

#endif
