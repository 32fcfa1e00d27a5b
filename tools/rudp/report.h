/* report.h - live counters as text and as JSON. */
#ifndef RUDP_TOOLS_REPORT_H
#define RUDP_TOOLS_REPORT_H

#include "tools/rudp/counters.h"

/* before: the same some time ago, for rates; NULL: none yet. */
void command_report_text(const struct command_processes *now,
                         const struct command_processes *before);

/* One object, on one line. */
void command_report_json(const struct command_processes *now,
                         const struct command_processes *before);

#endif
