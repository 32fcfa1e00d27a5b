/* random.h - unpredictable bytes for the core (core/host.h), from the kernel. */
#ifndef RUDP_ENGINE_RANDOM_H
#define RUDP_ENGINE_RANDOM_H

#include "core/host.h"

/* For struct rudp_random; context is not used. Thread-safe. Ends the process when the kernel
 * refuses: guessable connection ids would be worse. */
void engine_random_fill(void *context, void *out, size_t bytes);

#endif
