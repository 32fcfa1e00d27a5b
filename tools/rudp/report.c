#include "tools/rudp/report.h"

#include "tools/rudp/command.h"

#include <err.h>
#include <inttypes.h>
#include <jansson.h>
#include <stdio.h>
#include <string.h>

#define REPORT_VERSION 1

/* X(field, name): counters of a session that have a rate, and its name. */
#define RATE_MAP(X)                                                                                \
    X(sent_message_count, sent_messages_per_s)                                                     \
    X(received_message_count, received_messages_per_s)                                             \
    X(sent_bytes, sent_bytes_per_s)                                                                \
    X(received_bytes, received_bytes_per_s)                                                        \
    X(resent_bytes, resent_bytes_per_s)                                                            \
    X(lost_packet_count, lost_packets_per_s)

struct rates {
#define X(field, name) uint64_t name;
    RATE_MAP(X)
#undef X
};

/* --- What is known of a session ----------------------------------------------------------------
 */

static const struct command_process *find_process(const struct command_processes *list, pid_t pid)
{
    for (size_t index = 0; list != NULL && index < list->count; index++)
        if (list->processes[index].pid == pid)
            return &list->processes[index];
    return NULL;
}

static int compare_places(const struct shim_stat_record *a, const struct shim_stat_record *b)
{
    if (a->socket_number != b->socket_number)
        return a->socket_number > b->socket_number ? -1 : 1;
    if (a->kind != b->kind) /* a socket comes before its sessions */
        return a->kind == SHIM_STAT_SOCKET ? -1 : 1;
    if (a->session_number != b->session_number)
        return a->session_number > b->session_number ? -1 : 1;
    return 0;
}

/* The record of the same session in an older list, NULL: it is new. Records are ordered. */
static const struct shim_stat_record *find_record(const struct command_process *process,
                                                  const struct shim_stat_record *wanted)
{
    size_t first = 0;
    size_t end = process == NULL ? 0 : process->record_count;

    while (first < end) {
        size_t middle = first + (end - first) / 2;
        int order = compare_places(&process->records[middle], wanted);

        if (order == 0)
            return &process->records[middle];
        if (order < 0)
            first = middle + 1;
        else
            end = middle;
    }
    return NULL;
}

static uint64_t per_second(uint64_t now, uint64_t before, uint64_t us)
{
    return us == 0 ? 0
                   : (uint64_t)((__extension__(unsigned __int128) sub_floor_u64(now, before)) *
                                RUDP_US_PER_S / us);
}

/* False: the session was not there before. */
static bool compute_rates(const struct command_process *now, const struct command_process *before,
                          const struct shim_stat_record *record, struct rates *rates)
{
    const struct shim_stat_record *old = find_record(before, record);

    if (old == NULL)
        return false;
    uint64_t us = sub_floor_u64(now->head.clock_us, before->head.clock_us);

#define X(field, name) rates->name = per_second(record->session.field, old->session.field, us);
    RATE_MAP(X)
#undef X
    return true;
}

static const char *state_name(uint64_t state)
{
    static const char *const names[] = {
        [SHIM_STAT_CONNECTING] = "connecting",   [SHIM_STAT_ACCEPTED] = "accepted",
        [SHIM_STAT_ESTABLISHED] = "established", [SHIM_STAT_CLOSING] = "closing",
        [SHIM_STAT_CLOSED] = "closed",
    };

    return state < sizeof names / sizeof *names ? names[state] : "unknown";
}

static bool is_unspecified(const struct rudp_address *address)
{
    static const struct rudp_address unspecified;

    return rudp_address_equal(address, &unspecified);
}

/* Sums over the sockets of a process. */
static struct shim_stat_socket sum_sockets(const struct command_process *process, size_t *count)
{
    struct shim_stat_socket sum = {.session_count = 0};

    *count = 0;
    for (size_t index = 0; index < process->record_count; index++) {
        const struct shim_stat_socket *one = &process->records[index].socket;

        if (process->records[index].kind != SHIM_STAT_SOCKET)
            continue;
        (*count)++;
        sum.session_count += one->session_count;
        sum.undelivered_bytes += one->undelivered_bytes;
#define X(field) sum.field += one->field;
        SHIM_STAT_WIRE_MAP(X)
        SHIM_STAT_PROGRAM_MAP(X)
#undef X
        for (size_t drop = 0; drop < SHIM_STAT_DROP_COUNT; drop++)
            sum.dropped_count[drop] += one->dropped_count[drop];
    }
    return sum;
}

/* --- Text --------------------------------------------------------------------------------------
 */

/* "1.5K": at most five characters and the unit. */
static const char *short_bytes(uint64_t bytes, char text[16])
{
    static const char units[] = " KMGTPE";
    uint64_t tenths = bytes;
    size_t unit = 0;

    if (bytes < 1024) {
        snprintf(text, 16, "%" PRIu64, bytes);
        return text;
    }
    while (bytes >= 1024) {
        tenths = (bytes % 1024) * 10 / 1024;
        bytes /= 1024;
        unit++;
    }
    snprintf(text, 16, "%" PRIu64 ".%" PRIu64 "%c", bytes, tenths, units[unit]);
    return text;
}

static void print_rates(const struct rates *rates)
{
    char sent[16];
    char received[16];

    printf("    per second: sent %" PRIu64 " messages %s bytes, received %" PRIu64
           " messages %s bytes, lost %" PRIu64 " packets\n",
           rates->sent_messages_per_s, short_bytes(rates->sent_bytes_per_s, sent),
           rates->received_messages_per_s, short_bytes(rates->received_bytes_per_s, received),
           rates->lost_packets_per_s);
}

static void print_session(const struct shim_stat_record *record)
{
    const struct shim_stat_session *s = &record->session;
    char local[COMMAND_ADDRESS_BYTES_MAX];
    char remote[COMMAND_ADDRESS_BYTES_MAX];
    char a[16];
    char b[16];
    char c[16];
    char d[16];

    command_address_print(&record->local, local, sizeof local);
    command_address_print(&record->remote, remote, sizeof remote);
    printf("  %s %s %s %s\n", state_name(s->state), local, s->is_opener != 0 ? "->" : "<-", remote);
    printf("    rtt %" PRIu64 ".%03" PRIu64 "ms min %" PRIu64 ".%03" PRIu64
           "ms, cwnd %s, in flight %s, queued %s, unread %s, packet %" PRIu64 "\n",
           s->rtt_us / 1000, s->rtt_us % 1000, s->rtt_min_us / 1000, s->rtt_min_us % 1000,
           short_bytes(s->window_bytes, a), short_bytes(s->in_flight_bytes, b),
           short_bytes(s->queued_bytes, c), short_bytes(s->unread_bytes, d), s->packet_bytes);
    printf("    sent %" PRIu64 " messages %" PRIu64 " packets %s, received %" PRIu64
           " messages %" PRIu64 " packets %s\n",
           s->sent_message_count, s->sent_packet_count, short_bytes(s->sent_bytes, a),
           s->received_message_count, s->received_packet_count, short_bytes(s->received_bytes, b));
    printf("    resent %s, lost %" PRIu64 " spurious %" PRIu64 " packets, probes %" PRIu64
           ", restarts %" PRIu64 "\n",
           short_bytes(s->resent_bytes, c), s->lost_packet_count, s->spurious_packet_count,
           s->probe_count, s->restart_count);
}

/* Only what is not 0: reasons are many and seldom. */
static void print_drops(const struct shim_stat_socket *sum)
{
    const struct {
        const char *name;
        uint64_t count;
    } program[] = {
        {"UNADDRESSED", sum->unaddressed_count},
        {"REFUSED_PLAIN", sum->refused_plain_count},
        {"OVERFLOW", sum->overflow_count},
        {"STRANGE", sum->strange_count},
    };
    const char *separator = "  dropped:";

    for (size_t drop = 0; drop < SHIM_STAT_DROP_COUNT; drop++) {
        if (sum->dropped_count[drop] == 0)
            continue;
        printf("%s %s %" PRIu64, separator, rudp_drop_name((enum rudp_drop)drop),
               sum->dropped_count[drop]);
        separator = ",";
    }
    for (size_t index = 0; index < sizeof program / sizeof *program; index++) {
        if (program[index].count == 0)
            continue;
        printf("%s %s %" PRIu64, separator, program[index].name, program[index].count);
        separator = ",";
    }
    if (separator[0] == ',')
        putchar('\n');
}

static void print_process(const struct command_process *process,
                          const struct command_process *before)
{
    size_t socket_count;
    struct shim_stat_socket sum = sum_sockets(process, &socket_count);
    char used[16];
    char max[16];

    printf("%d %s: sockets %zu, sessions %" PRIu64 ", memory %s of %s\n", (int)process->pid,
           process->name, socket_count, sum.session_count,
           short_bytes(process->head.memory_used_bytes, used),
           process->head.memory_max_bytes == 0 ? "any"
                                               : short_bytes(process->head.memory_max_bytes, max));
    for (size_t index = 0; index < process->record_count; index++) {
        const struct shim_stat_record *record = &process->records[index];
        struct rates rates;

        if (record->kind != SHIM_STAT_SESSION)
            continue;
        print_session(record);
        if (compute_rates(process, before, record, &rates))
            print_rates(&rates);
    }
    print_drops(&sum);
}

void command_report_text(const struct command_processes *now,
                         const struct command_processes *before)
{
    for (size_t index = 0; index < now->count; index++)
        print_process(&now->processes[index], find_process(before, now->processes[index].pid));
}

/* --- JSON --------------------------------------------------------------------------------------
 */

static void set_number(json_t *object, const char *name, uint64_t number)
{
    json_object_set_new(object, name, json_integer((json_int_t)min_u64(number, INT64_MAX)));
}

static void set_address(json_t *object, const char *name, const struct rudp_address *address)
{
    char text[COMMAND_ADDRESS_BYTES_MAX];

    command_address_print(address, text, sizeof text);
    json_object_set_new(object, name, is_unspecified(address) ? json_null() : json_string(text));
}

static json_t *session_json(const struct shim_stat_record *record, const struct rates *rates)
{
    const struct shim_stat_session *session = &record->session;
    json_t *object = json_object();

    set_number(object, "number", record->session_number);
    json_object_set_new(object, "state", json_string(state_name(session->state)));
    json_object_set_new(object, "opener", json_boolean(session->is_opener != 0));
    set_address(object, "local", &record->local);
    set_address(object, "remote", &record->remote);
#define X(field) set_number(object, #field, session->field);
    SHIM_STAT_SESSION_MAP(X)
#undef X
    if (rates == NULL)
        return object;
    json_t *list = json_object();

#define X(field, name) set_number(list, #name, rates->name);
    RATE_MAP(X)
#undef X
    json_object_set_new(object, "rates", list);
    return object;
}

static json_t *socket_json(const struct shim_stat_record *record)
{
    const struct shim_stat_socket *sock = &record->socket;
    json_t *object = json_object();
    json_t *drops = json_object();

    set_number(object, "number", record->socket_number);
    set_address(object, "local", &record->local);
    set_address(object, "remote", &record->remote);
    set_number(object, "undelivered_bytes", sock->undelivered_bytes);
#define X(field) set_number(object, #field, sock->field);
    SHIM_STAT_WIRE_MAP(X)
    SHIM_STAT_PROGRAM_MAP(X)
#undef X
    for (size_t drop = 0; drop < SHIM_STAT_DROP_COUNT; drop++)
        set_number(drops, rudp_drop_name((enum rudp_drop)drop), sock->dropped_count[drop]);
    json_object_set_new(object, "dropped", drops);
    json_object_set_new(object, "sessions", json_array());
    return object;
}

static json_t *process_json(const struct command_process *process,
                            const struct command_process *before)
{
    json_t *object = json_object();
    json_t *sockets = json_array();
    json_t *sock = NULL;

    set_number(object, "pid", (uint64_t)process->pid);
    json_object_set_new(object, "name", json_string(process->name));
    set_number(object, "clock_us", process->head.clock_us);
    set_number(object, "memory_used_bytes", process->head.memory_used_bytes);
    set_number(object, "memory_max_bytes", process->head.memory_max_bytes);
    set_number(object, "answered_count", process->head.answered_count);
    set_number(object, "refused_count", process->head.refused_count);
    for (size_t index = 0; index < process->record_count; index++) {
        const struct shim_stat_record *record = &process->records[index];
        struct rates rates;

        if (record->kind == SHIM_STAT_SOCKET) {
            sock = socket_json(record);
            json_array_append_new(sockets, sock);
        } else if (sock != NULL) {
            bool has_rates = compute_rates(process, before, record, &rates);

            json_array_append_new(json_object_get(sock, "sessions"),
                                  session_json(record, has_rates ? &rates : NULL));
        }
    }
    json_object_set_new(object, "sockets", sockets);
    return object;
}

void command_report_json(const struct command_processes *now,
                         const struct command_processes *before)
{
    json_t *list = json_array();

    for (size_t index = 0; index < now->count; index++)
        json_array_append_new(list, process_json(&now->processes[index],
                                                 find_process(before, now->processes[index].pid)));
    json_t *report = json_pack("{s:i, s:o}", "version", REPORT_VERSION, "processes", list);

    if (report == NULL)
        errx(COMMAND_NO, "no memory");
    json_dumpf(report, stdout, JSON_COMPACT);
    putchar('\n');
    json_decref(report);
}
