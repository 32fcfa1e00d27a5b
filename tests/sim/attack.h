/* attack.h - somebody who wants to do harm: garbage, packets forged in every form, replays of what
 * was overheard. It cannot guess ids, which are 64 random bits, nor hold a hello back for longer
 * than a tombstone lives: those are the protocol's limits, not its claims. */
#ifndef RUDP_TESTS_SIM_ATTACK_H
#define RUDP_TESTS_SIM_ATTACK_H

#include "tests/sim/sim.h"

/* From now until until_us, one packet about every gap_us, to a node of its choice. */
void sim_attack(struct sim *sim, uint64_t gap_us, uint64_t until_us);

/* Writes a well-formed HELLO of that version from the id given, of bytes in all, and its check. */
size_t sim_forge_hello(uint8_t *out, size_t bytes, uint32_t version, uint64_t source_id);

/* A well-formed short packet with one frame, or a RESET, for an id that may or may not exist. */
size_t sim_forge_close(uint8_t *out, size_t room_bytes, uint64_t destination_id, uint32_t number);
size_t sim_forge_reset(uint8_t *out, size_t room_bytes, uint64_t unknown_id);

#endif
