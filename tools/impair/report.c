#include "tools/impair/report.h"

#include <inttypes.h>

void impair_report_text(const struct impair_report *report, FILE *out)
{
    const struct impair_counters *up = &report->links[IMPAIR_UP];
    const struct impair_counters *down = &report->links[IMPAIR_DOWN];

    fprintf(out, "seed %" PRIu64 ", clients %" PRIu64 " (at once %" PRIu64 "), under way %" PRIu64,
            report->seed, report->client_count, report->client_count_peak, report->under_way);
    fprintf(out, "\n%-16s %14s %14s\n", "", "up", "down");
#define X(name, text)                                                                              \
    fprintf(out, "%-16s %14" PRIu64 " %14" PRIu64 "  %s\n", #name, up->name, down->name, text);
    IMPAIR_COUNTER_MAP(X)
#undef X
}

static void print_link(const char *direction, const struct impair_counters *counters, FILE *out)
{
    const char *separator = "";

    fprintf(out, ",\"%s\":{", direction);
#define X(name, text)                                                                              \
    fprintf(out, "%s\"%s\":%" PRIu64, separator, #name, counters->name);                           \
    separator = ",";
    IMPAIR_COUNTER_MAP(X)
#undef X
    fputc('}', out);
}

void impair_report_json(const struct impair_report *report, FILE *out)
{
    fprintf(out,
            "{\"seed\":%" PRIu64 ",\"clients\":%" PRIu64 ",\"clients_peak\":%" PRIu64
            ",\"under_way\":%" PRIu64,
            report->seed, report->client_count, report->client_count_peak, report->under_way);
    print_link("up", &report->links[IMPAIR_UP], out);
    print_link("down", &report->links[IMPAIR_DOWN], out);
    fputs("}\n", out);
}
