/* relay.h - the relay itself: sockets, timer and signals in one epoll loop. */
#ifndef IMPAIR_RELAY_H
#define IMPAIR_RELAY_H

#include "tools/impair/options.h"
#include "tools/impair/report.h"

struct impair_relay;

/* Opens everything. Negative errno when the system refuses; *failed then says what. */
int impair_relay_create(struct impair_relay **relay, const struct impair_options *options,
                        const char **failed);
void impair_relay_destroy(struct impair_relay *relay);

/* The port that the forward listens on. */
uint16_t impair_relay_port(const struct impair_relay *relay, uint32_t forward);

/* Relays until SIGINT, SIGTERM or the duration. 0 or a negative errno. */
int impair_relay_run(struct impair_relay *relay);

void impair_relay_report(const struct impair_relay *relay, struct impair_report *report);

#endif
