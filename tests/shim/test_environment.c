/* test_environment.c - RUDP_* variables: what is accepted, what it sets, what is said otherwise. */
#include "shim/environment.h"
#include "tests/core/suite.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static struct shim_settings settings;
static char error[SHIM_ERROR_BYTES_MAX];

static bool accepts(const char *variable)
{
    const char *const environment[] = {"PATH=/bin", variable, NULL};

    return shim_environment_parse(environment, &settings, error, sizeof error) == RUDP_OK;
}

/* Nothing set: the core's defaults. */
START_TEST(defaults)
{
    struct rudp_config config;

    rudp_config_init(&config);
    ck_assert(accepts("HOME=/"));
    ck_assert_uint_eq(settings.config.connect_timeout_us, config.connect_timeout_us);
    ck_assert_uint_eq(settings.config.linger_us, config.linger_us);
    ck_assert_uint_eq(settings.config.retry_count_max, config.retry_count_max);
    ck_assert_uint_eq(settings.memory_bytes_max, 256u << 20);
    ck_assert_uint_eq(settings.rules.count, 0);
    ck_assert(!settings.accepts_plain);
    ck_assert(!settings.falls_back);
    ck_assert_uint_eq(settings.discovery_port, 26750);
    ck_assert(settings.publishes_stats);
    ck_assert_int_eq(settings.log_level, SHIM_LOG_ERROR);
    ck_assert_uint_eq(shim_environment_parse(NULL, &settings, error, sizeof error), RUDP_OK);
}
END_TEST

/* X(assignment, field, value): good values and what they set. */
#define GOOD_MAP(X)                                                                                \
    X("RUDP_TAG=*:5000,!*", rules.count, 2)                                                        \
    X("RUDP_PACKET_SIZE=1400", config.packet_bytes, 1400)                                          \
    X("RUDP_PACKET_SIZE=576", config.packet_bytes_fixed, true)                                     \
    X("RUDP_PACKET_SIZE=auto", config.packet_bytes_fixed, false)                                   \
    X("RUDP_CONNECT_TIMEOUT=250", config.connect_timeout_us, 250000)                               \
    X("RUDP_CONNECT_TIMEOUT=250us", config.connect_timeout_us, 250)                                \
    X("RUDP_RTO_INITIAL=2s", config.rto_initial_us, 2000000)                                       \
    X("RUDP_RTO_MIN=1ms", config.rto_min_us, 1000)                                                 \
    X("RUDP_RTO_MAX=1m", config.rto_max_us, 60000000)                                              \
    X("RUDP_RETRIES=7", config.retry_count_max, 7)                                                 \
    X("RUDP_KEEPALIVE=off", config.keepalive_us, 0)                                                \
    X("RUDP_KEEPALIVE=1h", config.keepalive_us, UINT64_C(3600000000))                              \
    X("RUDP_IDLE_TIMEOUT=5m", config.idle_timeout_us, 300000000)                                   \
    X("RUDP_LINGER=24h", config.linger_us, UINT64_C(86400000000))                                  \
    X("RUDP_LINGER=off", config.linger_us, 0)                                                      \
    X("RUDP_SNDBUF=1M", config.send_buffer_bytes, 1048576)                                         \
    X("RUDP_SNDBUF=131072", config.send_buffer_bytes, 131072)                                      \
    X("RUDP_RCVBUF=128K", config.receive_buffer_bytes, 131072)                                     \
    X("RUDP_MEMORY_MAX=2G", memory_bytes_max, UINT64_C(2147483648))                                \
    X("RUDP_MEMORY_MAX=off", memory_bytes_max, 0)                                                  \
    X("RUDP_CC=cubic", config.cc, RUDP_CC_CUBIC)                                                   \
    X("RUDP_ORDER=unordered", config.order, RUDP_UNORDERED)                                        \
    X("RUDP_ORDER=ordered", config.order, RUDP_ORDERED)                                            \
    X("RUDP_REDUNDANCY=off", rules.count, 0)                                                       \
    X("RUDP_FALLBACK=none", rules.count, 0)                                                        \
    X("RUDP_ACCEPT_PLAIN=yes", accepts_plain, true)                                                \
    X("RUDP_FALLBACK=plain", falls_back, true)                                                     \
    X("RUDP_FALLBACK=none", falls_back, false)                                                     \
    X("RUDP_DISCOVERY_PORT=65535", discovery_port, 65535)                                          \
    X("RUDP_ACCEPT_PLAIN=no", accepts_plain, false)                                                \
    X("RUDP_STATS=off", publishes_stats, false)                                                    \
    X("RUDP_STATS=on", publishes_stats, true)                                                      \
    X("RUDP_LOG=debug", log_level, SHIM_LOG_DEBUG)                                                 \
    X("RUDP_LOG=off", log_level, SHIM_LOG_OFF)

/* Every variable sets its field. */
START_TEST(good_values)
{
#define X(assignment, field, value)                                                                \
    ck_assert_msg(accepts(assignment), "%s", error);                                               \
    ck_assert_msg(settings.field == (value), assignment);
    GOOD_MAP(X)
#undef X
    ck_assert(accepts("RUDP_LOG_FILE=/tmp/x.log"));
    ck_assert_str_eq(settings.log_path, "/tmp/x.log");
}
END_TEST

/* Every variable refuses what it does not accept, and the line names the variable and the value. */
START_TEST(bad_values)
{
    static const char *const bad[] = {
        "RUDP_TAG=",
        "RUDP_TAG=nonsense",
        "RUDP_PACKET_SIZE=575",
        "RUDP_PACKET_SIZE=",
        "RUDP_PACKET_SIZE=65508",
        "RUDP_CONNECT_TIMEOUT=0",
        "RUDP_RTO_INITIAL=1d",
        "RUDP_RTO_MIN=-1",
        "RUDP_RTO_MAX=25h",
        "RUDP_RETRIES=0",
        "RUDP_RETRIES=1001",
        "RUDP_KEEPALIVE=0",
        "RUDP_IDLE_TIMEOUT=x",
        "RUDP_LINGER=1 s",
        "RUDP_SNDBUF=127K",
        "RUDP_RCVBUF=5G",
        "RUDP_MEMORY_MAX=1K",
        "RUDP_CC=bbr",
        "RUDP_ORDER=random",
        "RUDP_REDUNDANCY=auto",
        "RUDP_FALLBACK=maybe",
        "RUDP_DISCOVERY_PORT=0",
        "RUDP_DISCOVERY_PORT=65536",
        "RUDP_ACCEPT_PLAIN=1",
        "RUDP_LOG=loud",
        "RUDP_STATS=yes",
        "RUDP_LOG_FILE=relative",
        "RUDP_LOG_FILE=",
        "RUDP_SNDBUF=99999999999999999999999",
    };

    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        const char *value = strchr(bad[i], '=') + 1;

        ck_assert_msg(!accepts(bad[i]), "accepted: %s", bad[i]);
        ck_assert_msg(strncmp(error, "librudp_shim: ", 14) == 0, "%s", error);
        ck_assert(strncmp(error + 14, bad[i], (size_t)(value - bad[i])) == 0);
        ck_assert(strstr(error, value) != NULL);
        ck_assert(strstr(error, "\": accepted: ") != NULL);
        ck_assert_ptr_eq(strchr(error, '\n'), error + strlen(error) - 1);
    }
}
END_TEST

/* A variable that does not exist is refused with a list of those that do. */
START_TEST(unknown_variable)
{
    ck_assert(!accepts("RUDP_LINGERS=1s"));
    ck_assert(strstr(error, "RUDP_LINGERS=\"1s\"") != NULL);
    ck_assert(strstr(error, "RUDP_LINGER ") != NULL);
    ck_assert(!accepts("RUDP_="));
    ck_assert(accepts("RUDP=1"));
    ck_assert(accepts("rudp_linger=1"));
}
END_TEST

/* The ceiling of the probe timeout cannot be below its floor. */
START_TEST(crossed_bounds)
{
    const char *const environment[] = {"RUDP_RTO_MIN=2s", "RUDP_RTO_MAX=1s", NULL};

    ck_assert_uint_eq(shim_environment_parse(environment, &settings, error, sizeof error),
                      RUDP_E_INVALID);
    ck_assert(strstr(error, "RUDP_RTO_MAX") != NULL);
}
END_TEST

/* What a value contains cannot make the message longer than a line, or more than one. */
START_TEST(hostile_value)
{
    char variable[3 * SHIM_ERROR_BYTES_MAX] = "RUDP_CC=\n\r\x1b[2J";

    memset(variable + strlen(variable), 'x', sizeof variable - strlen(variable) - 1);
    ck_assert(!accepts(variable));
    ck_assert_uint_lt(strlen(error), sizeof error);
    ck_assert_ptr_eq(strchr(error, '\n'), error + strlen(error) - 1);
    ck_assert_ptr_null(strchr(error, '\x1b'));
    ck_assert(strstr(error, "cubic") != NULL);
}
END_TEST

/* docs/environment.md says what the parser does: the very rows, in the same order. */
START_TEST(documentation)
{
#define X(name, reader, field, accepted, standard, meaning)                                        \
    "| `RUDP_" #name "` | " accepted " | " standard " | " meaning " |\n"
    static const char table[] = SHIM_ENVIRONMENT_MAP(X);
#undef X
    static char page[64 * 1024];
    FILE *file = fopen(ENVIRONMENT_PAGE, "r");

    ck_assert_msg(file != NULL, "%s", ENVIRONMENT_PAGE);
    size_t bytes = fread(page, 1, sizeof page - 1, file);

    page[bytes] = '\0';
    ck_assert_int_eq(fclose(file), 0);
    ck_assert_msg(strstr(page, table) != NULL, "%s must contain:\n%s", ENVIRONMENT_PAGE, table);
}
END_TEST

int main(void)
{
    return SUITE_RUN("environment", defaults, good_values, bad_values, unknown_variable,
                     crossed_bounds, hostile_value, documentation);
}
