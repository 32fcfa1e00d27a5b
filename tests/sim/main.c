/* rudp-sim: runs scenarios of the simulator, one seed or millions. */
#include "tests/sim/scenario.h"

#include <argp.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#define JOBS_MAX 256u

struct settings {
    uint64_t first_seed;
    uint64_t end_seed; /* the first one not to run */
    uint32_t job_count;
    uint32_t allowed;
    uint32_t forced;
    const char *scenario;
    bool logs;
};

/* What a worker shares with the parent, which has to know where a worker died. */
struct progress {
    uint64_t seed;
    uint64_t run_count;
    uint64_t failed_count;
    uint64_t step_count;
    uint64_t virtual_us;
    uint64_t delivered_count;
    uint64_t feature_counts[SCENARIO_FEATURE_COUNT];
    size_t peak_bytes;
};

static const struct argp_option options[] = {
    {"seed", 's', "N", 0, "Run this seed only", 0},
    {"seeds", 'r', "FROM-TO", 0, "Run these seeds", 0},
    {"count", 'c', "N", 0, "Run the seeds 1 to N (default 1000)", 0},
    {"jobs", 'j', "N", 0, "Processes to run them in (default 1)", 0},
    {"scenario", 'n', "NAME", 0, "Every run has this feature; 'plain': no run has any", 0},
    {"log", 'l', NULL, 0, "Print what happens, for one seed", 0},
    {0},
};

#define X(name, text, percent) " " text
static const char doc[] =
    "Runs the session core on a simulated network and checks its invariants. "
    "Exit status 1 when one broke.\vFeatures of a run, for --scenario:" SCENARIO_FEATURE_MAP(X) ".";
#undef X

static bool parse_number(const char *text, char **end, uint64_t *value)
{
    *value = strtoull(text, end, 0);
    return *end != text && text[0] != '-';
}

static error_t parse_seeds(const char *text, struct settings *settings)
{
    char *end;

    if (!parse_number(text, &end, &settings->first_seed) || *end != '-' ||
        !parse_number(end + 1, &end, &settings->end_seed) || *end != '\0' ||
        settings->end_seed < settings->first_seed)
        return EINVAL;
    settings->end_seed++;
    return 0;
}

static error_t parse_scenario(const char *name, struct settings *settings)
{
    settings->scenario = name;
    if (strcmp(name, "plain") == 0) {
        settings->allowed = SCENARIO_NONE;
        return 0;
    }
    for (uint32_t i = 0; i < SCENARIO_FEATURE_COUNT; i++) {
        if (strcmp(name, scenario_feature_text(i)) != 0)
            continue;
        settings->forced |= 1u << i;
        return 0;
    }
    return EINVAL;
}

static error_t parse_option(int key, char *argument, struct argp_state *state)
{
    struct settings *settings = state->input;
    char *end;
    uint64_t value = 0;
    error_t error = 0;

    switch (key) {
    case 's':
    case 'c':
    case 'j':
        if (!parse_number(argument, &end, &value) || *end != '\0')
            error = EINVAL;
        if (key == 'j')
            settings->job_count = (uint32_t)value;
        else
            settings->first_seed = key == 's' ? value : 1;
        if (key != 'j')
            settings->end_seed = value + 1;
        break;
    case 'r':
        error = parse_seeds(argument, settings);
        break;
    case 'n':
        error = parse_scenario(argument, settings);
        break;
    case 'l':
        settings->logs = true;
        break;
    default:
        return ARGP_ERR_UNKNOWN;
    }
    if (error != 0 || settings->job_count == 0 || settings->job_count > JOBS_MAX)
        argp_error(state, "bad value '%s'", argument);
    return 0;
}

static void print_failure(const struct settings *settings, uint64_t seed, const char *failure)
{
    printf("seed %" PRIu64 ": %s\n  replay: rudp-sim --seed %" PRIu64 "%s%s --log\n", seed, failure,
           seed, settings->scenario == NULL ? "" : " --scenario ",
           settings->scenario == NULL ? "" : settings->scenario);
    fflush(stdout);
}

static void run_seed(const struct settings *settings, struct progress *progress)
{
    struct scenario_result result;

    scenario_run(progress->seed, settings->allowed, settings->forced,
                 settings->logs ? stdout : NULL, &result);
    progress->run_count++;
    progress->step_count += result.step_count;
    progress->virtual_us += result.virtual_us;
    progress->delivered_count += result.delivered_count;
    for (uint32_t i = 0; i < SCENARIO_FEATURE_COUNT; i++)
        progress->feature_counts[i] += (result.features >> i) & 1;
    if (result.peak_bytes > progress->peak_bytes)
        progress->peak_bytes = result.peak_bytes;
    if (result.passed)
        return;
    progress->failed_count++;
    print_failure(settings, progress->seed, result.failure);
}

static pid_t start_worker(const struct settings *settings, struct progress *progress)
{
    fflush(stdout);
    pid_t pid = fork();

    if (pid != 0)
        return pid;
    for (; progress->seed < settings->end_seed; progress->seed += settings->job_count)
        run_seed(settings, progress);
    fflush(stdout);
    _exit(EXIT_SUCCESS);
}

/* A worker that died is counted as a failure of its seed, and another goes on behind it. */
static void supervise(const struct settings *settings, struct progress *progress, pid_t *pids)
{
    int status;
    pid_t pid;

    while ((pid = wait(&status)) > 0) {
        uint32_t job = 0;

        while (pids[job] != pid)
            job++;
        if (WIFEXITED(status) && WEXITSTATUS(status) == EXIT_SUCCESS)
            continue;
        progress[job].failed_count++;
        progress[job].run_count++;
        print_failure(settings, progress[job].seed,
                      WIFSIGNALED(status) ? strsignal(WTERMSIG(status)) : "the process ended");
        progress[job].seed += settings->job_count;
        pids[job] = start_worker(settings, &progress[job]);
    }
}

static uint64_t print_totals(const struct settings *settings, const struct progress *progress)
{
    struct progress total = {0};

    for (uint32_t job = 0; job < settings->job_count; job++) {
        total.run_count += progress[job].run_count;
        total.failed_count += progress[job].failed_count;
        total.step_count += progress[job].step_count;
        total.virtual_us += progress[job].virtual_us;
        total.delivered_count += progress[job].delivered_count;
        for (uint32_t i = 0; i < SCENARIO_FEATURE_COUNT; i++)
            total.feature_counts[i] += progress[job].feature_counts[i];
        if (progress[job].peak_bytes > total.peak_bytes)
            total.peak_bytes = progress[job].peak_bytes;
    }
    printf("%" PRIu64 " seeds, %" PRIu64 " failed, %" PRIu64 " messages delivered in %" PRIu64
           " s of virtual time and %" PRIu64 " steps, at most %zu bytes in an endpoint\n ",
           total.run_count, total.failed_count, total.delivered_count,
           total.virtual_us / RUDP_US_PER_S, total.step_count, total.peak_bytes);
    for (uint32_t i = 0; i < SCENARIO_FEATURE_COUNT; i++)
        printf(" %s %" PRIu64, scenario_feature_text(i), total.feature_counts[i]);
    printf("\n");
    return total.failed_count;
}

int main(int argc, char **argv)
{
    static const struct argp argp = {.options = options, .parser = parse_option, .doc = doc};
    struct settings settings = {
        .first_seed = 1, .end_seed = 1001, .job_count = 1, .allowed = SCENARIO_ALL};
    pid_t pids[JOBS_MAX];

    argp_parse(&argp, argc, argv, 0, NULL, &settings);
    struct progress *progress = mmap(NULL, JOBS_MAX * sizeof *progress, PROT_READ | PROT_WRITE,
                                     MAP_SHARED | MAP_ANONYMOUS, -1, 0);

    if (progress == MAP_FAILED) {
        perror("rudp-sim: mmap");
        return EXIT_FAILURE;
    }
    for (uint32_t job = 0; job < settings.job_count; job++) {
        progress[job].seed = settings.first_seed + job;
        pids[job] = start_worker(&settings, &progress[job]);
        if (pids[job] < 0) {
            perror("rudp-sim: fork");
            return EXIT_FAILURE;
        }
    }
    supervise(&settings, progress, pids);
    return print_totals(&settings, progress) == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
