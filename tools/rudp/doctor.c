#define _GNU_SOURCE
#include "tools/rudp/command.h"
#include "tools/rudp/examine.h"
#include "tools/rudp/settings.h"

#include <argp.h>
#include <err.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    KEY_LIBRARY = 0x1000,
    KEY_BIND,
    KEY_JSON,
};

struct doctor {
    const char *library;
    bool is_json;
    bool has_local;
    struct rudp_address local; /* unspecified unless --bind */
    const char *program;
    struct rudp_address *peers;
    size_t peer_count;
};

/* A conversation and what the rules say about it. */
struct verdict {
    char local[COMMAND_ADDRESS_BYTES_MAX];
    char remote[COMMAND_ADDRESS_BYTES_MAX];
    struct shim_rules_answer answer;
    char *why;
};

static const struct argp_option option_table[] = {
    {"library", KEY_LIBRARY, "FILE", 0, "Ask about FILE instead of the library beside this command",
     1},
    {"bind", KEY_BIND, "ADDRESS:PORT", 0,
     "The program's own address in the conversations asked about; default any", 1},
    {"json", KEY_JSON, NULL, 0, "Answer in JSON", 1},
    {NULL, 0, NULL, 0, "Settings, each a variable of the environment: accepted (default)", 2},
    {NULL, 0, NULL, 0, NULL, 0},
};

static void take_peer(struct doctor *doctor, const char *text, struct argp_state *state)
{
    doctor->peers =
        command_allocate(doctor->peers, (doctor->peer_count + 1) * sizeof *doctor->peers);
    if (!command_address_read(text, &doctor->peers[doctor->peer_count++]))
        argp_error(state, "'%s' is not ADDRESS:PORT, numeric, IPv6 in brackets", text);
}

static error_t take_option(int key, char *text, struct argp_state *state)
{
    struct doctor *doctor = state->input;

    switch (key) {
    case KEY_LIBRARY:
        doctor->library = text;
        return 0;
    case KEY_BIND:
        doctor->has_local = true;
        if (!command_address_read(text, &doctor->local))
            argp_error(state, "--bind: '%s' is not ADDRESS:PORT, numeric, IPv6 in brackets", text);
        return 0;
    case KEY_JSON:
        doctor->is_json = true;
        return 0;
    case ARGP_KEY_ARG:
        if (doctor->program == NULL)
            doctor->program = text;
        else
            take_peer(doctor, text, state);
        return 0;
    case ARGP_KEY_NO_ARGS:
        argp_error(state, "which program?");
        return 0;
    default:
        return ARGP_ERR_UNKNOWN;
    }
}

/* --- Addresses ---------------------------------------------------------------------------------
 */

/* The text of one rule of RUDP_TAG. */
static char *rule_text(uint32_t index)
{
    const char *at = getenv("RUDP_TAG");

    RUDP_ASSERT(at != NULL); /* or there would be no rules */
    for (; index > 0; index--)
        at += strcspn(at, ",") + 1;
    return command_format("%.*s", (int)strcspn(at, ","), at);
}

static char *reason_text(struct shim_rules_answer answer)
{
    switch (answer.reason) {
    case SHIM_RULE_GROUP:
        return command_format("broadcast and multicast are never made reliable");
    case SHIM_RULE_SERVICE:
        return command_format("DNS, DHCP and NTP stay plain unless a rule names the port");
    case SHIM_RULE_DEFAULT:
        return command_format("RUDP_TAG is not set: every unicast peer");
    case SHIM_RULE_NONE:
        return command_format("no rule of RUDP_TAG matches");
    case SHIM_RULE_MATCHED:
    case SHIM_RULE_DEPENDS:
        break;
    }
    char *rule = rule_text(answer.index);
    char *text =
        command_format(answer.reason == SHIM_RULE_MATCHED ? "rule %u of RUDP_TAG: %s"
                                                          : "depends on the peer by rule %u: %s",
                       answer.index + 1, rule);

    free(rule);
    return text;
}

static struct verdict judge(const struct shim_rules *rules, const struct doctor *doctor,
                            const struct rudp_address *remote)
{
    struct verdict verdict = {.local = "any", .remote = "any"};

    if (doctor->has_local)
        command_address_print(&doctor->local, verdict.local, sizeof verdict.local);
    if (remote != NULL)
        command_address_print(remote, verdict.remote, sizeof verdict.remote);
    verdict.answer = shim_rules_explain(rules, &doctor->local, remote);
    verdict.why = reason_text(verdict.answer);
    return verdict;
}

/* Returns how many conversations were asked about; none when the settings are not accepted. */
static size_t judge_all(const struct doctor *doctor, struct verdict **verdicts)
{
    static struct shim_settings settings;
    static char error[SHIM_ERROR_BYTES_MAX];
    size_t count = doctor->peer_count;

    *verdicts = NULL;
    if (!command_settings_read(&settings, error) || (count == 0 && !doctor->has_local))
        return 0;
    *verdicts = command_allocate(NULL, (count + 1) * sizeof **verdicts);
    if (count == 0)
        (*verdicts)[count++] = judge(&settings.rules, doctor, NULL);
    for (size_t index = 0; index < doctor->peer_count; index++)
        (*verdicts)[index] = judge(&settings.rules, doctor, &doctor->peers[index]);
    return count;
}

static const char *verdict_word(struct shim_rules_answer answer)
{
    if (answer.reason == SHIM_RULE_DEPENDS)
        return "depends";
    return answer.is_tagged ? "reliable" : "plain";
}

/* --- Answers -----------------------------------------------------------------------------------
 */

static void print_text(const struct command_examination *examination,
                       const struct verdict *verdicts, size_t verdict_count)
{
    const struct command_program *program = &examination->program;

    if (program->path != NULL)
        printf("program  %s\n", program->path);
    if (program->path != NULL && program->binary != NULL &&
        strcmp(program->path, program->binary) != 0)
        printf("binary   %s\n", program->binary);
    if (examination->library != NULL)
        printf("library  %s\n", examination->library);
    for (size_t index = 0; index < examination->finding_count; index++) {
        const struct command_finding *finding = &examination->findings[index];

        printf("%s  %s\n", finding->is_problem ? "problem" : "note   ", finding->text);
    }
    for (size_t index = 0; index < verdict_count; index++)
        printf("address  %s to %s: %s (%s)\n", verdicts[index].local, verdicts[index].remote,
               verdict_word(verdicts[index].answer), verdicts[index].why);
    printf("answer   %s\n",
           examination->problem_count == 0 ? "can be made reliable" : "cannot be made reliable");
}

static json_t *findings_json(const struct command_examination *examination)
{
    json_t *list = json_array();

    for (size_t index = 0; index < examination->finding_count; index++) {
        const struct command_finding *finding = &examination->findings[index];

        json_array_append_new(list, json_pack("{s:s, s:s, s:s}", "code",
                                              command_finding_code(finding->code), "severity",
                                              finding->is_problem ? "problem" : "note", "text",
                                              finding->text));
    }
    return list;
}

static json_t *verdicts_json(const struct verdict *verdicts, size_t count)
{
    json_t *list = json_array();

    for (size_t index = 0; index < count; index++)
        json_array_append_new(
            list, json_pack("{s:s, s:s, s:s, s:s}", "local", verdicts[index].local, "remote",
                            verdicts[index].remote, "verdict", verdict_word(verdicts[index].answer),
                            "reason", verdicts[index].why));
    return list;
}

static void print_json(const struct command_examination *examination,
                       const struct verdict *verdicts, size_t verdict_count)
{
    json_t *answer =
        json_pack("{s:b, s:s?, s:s?, s:s?, s:o, s:o}", "can", examination->problem_count == 0,
                  "program", examination->program.path, "binary", examination->program.binary,
                  "library", examination->library, "findings", findings_json(examination),
                  "addresses", verdicts_json(verdicts, verdict_count));

    if (answer == NULL) /* a path that is not UTF-8 */
        errx(COMMAND_NO, "the answer cannot be written as JSON");
    json_dumpf(answer, stdout, JSON_INDENT(2));
    putchar('\n');
    json_decref(answer);
}

int command_doctor(int argument_count, char **arguments)
{
    struct argp_child children[] = {{command_settings_options(), 0, NULL, 0}, {NULL, 0, NULL, 0}};
    const struct argp argp = {
        .options = option_table,
        .parser = take_option,
        .args_doc = "PROGRAM [ADDRESS:PORT...]",
        .doc = "Says whether PROGRAM can be made reliable and if not why, and which conversations "
               "with the given peers would be. Asks the program's own loader, as ldd(1) does.",
        .children = children,
    };
    struct doctor doctor = {.library = NULL};
    struct command_examination examination;
    struct verdict *verdicts;

    argp_err_exit_status = COMMAND_USAGE;
    argp_parse(&argp, argument_count, arguments, 0, NULL, &doctor);
    command_examine(doctor.program, doctor.library, true, &examination);
    size_t verdict_count = judge_all(&doctor, &verdicts);

    if (doctor.is_json)
        print_json(&examination, verdicts, verdict_count);
    else
        print_text(&examination, verdicts, verdict_count);
    int status = examination.problem_count == 0 ? COMMAND_OK : COMMAND_NO;

    for (size_t index = 0; index < verdict_count; index++)
        free(verdicts[index].why);
    free(verdicts);
    free(doctor.peers);
    command_examination_free(&examination);
    return status;
}
