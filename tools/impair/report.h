/* report.h - what the relay did, as text or JSON. */
#ifndef IMPAIR_REPORT_H
#define IMPAIR_REPORT_H

#include "tools/impair/link.h"
#include "tools/impair/options.h"

#include <stdio.h>

struct impair_report {
    uint64_t seed;
    uint64_t client_count; /* client addresses ever served */
    uint64_t client_count_peak;
    uint64_t under_way; /* datagrams held when the relay ended */
    struct impair_counters links[IMPAIR_DIRECTION_COUNT];
};

void impair_report_text(const struct impair_report *report, FILE *out);

/* One line: {"seed":…,"clients":…,"up":{…},"down":{…}} with the names of IMPAIR_COUNTER_MAP. */
void impair_report_json(const struct impair_report *report, FILE *out);

#endif
