/* udp-impair - relays UDP datagrams over a link that is as bad as you say. */
#include "tools/impair/options.h"
#include "tools/impair/relay.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static int fail(const char *what, int error)
{
    fprintf(stderr, "udp-impair: %s: %s\n", what, strerror(-error));
    return EXIT_FAILURE;
}

int main(int argc, char **argv)
{
    static struct impair_options options;
    struct impair_relay *relay;
    struct impair_report report;
    const char *failed;

    impair_options_parse(&options, argc, argv);
    int error = impair_relay_create(&relay, &options, &failed);

    if (error != 0)
        return fail(failed, error);
    printf("ready");
    for (uint32_t i = 0; i < options.forward_count; i++)
        printf(" %u", (unsigned)impair_relay_port(relay, i));
    printf("\n");
    fflush(stdout);

    error = impair_relay_run(relay);
    impair_relay_report(relay, &report);
    impair_relay_destroy(relay);
    if (error != 0)
        return fail("event loop", error);
    if (options.json)
        impair_report_json(&report, stdout);
    else
        impair_report_text(&report, stdout);
    return fflush(stdout) == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
