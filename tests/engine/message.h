/* message.h - numbered messages whose size and content follow from their number. */
#ifndef RUDP_TESTS_ENGINE_MESSAGE_H
#define RUDP_TESTS_ENGINE_MESSAGE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define MESSAGE_BYTES_MAX 65507u

/* Sizes run through 0, 1, 100, 1,200, 1,201, 9,000 and, once in 64, MESSAGE_BYTES_MAX. */
size_t message_fill(uint8_t *out, uint64_t number);

/* True when data is what message_fill makes of number. */
bool message_is(const uint8_t *data, size_t bytes, uint64_t number);

#endif
