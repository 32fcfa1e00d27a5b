/* fuzz_environment: whatever RUDP_* variables say, they are accepted with settings in range, or
 * refused with one printable line that names a variable. Each line of the input is one
 * "NAME=value". */
#include "shim/environment.h"

#include <stdlib.h>
#include <string.h>

#define ENTRIES_MAX 64u

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* A copy that ends where the entry ends, so that AddressSanitizer sees a read past it. */
static char *copy_entry(const uint8_t *data, size_t bytes)
{
    char *entry = malloc(bytes + 1);

    RUDP_ASSERT(entry != NULL);
    memcpy(entry, data, bytes);
    entry[bytes] = '\0';
    return entry;
}

/* Returns how many entries there are; the array gets a NULL behind the last. */
static size_t split(const uint8_t *data, size_t size, char *entries[ENTRIES_MAX + 1])
{
    size_t count = 0;
    size_t start = 0;

    for (size_t at = 0; at <= size && count < ENTRIES_MAX; at++) {
        if (at < size && data[at] != '\n' && data[at] != '\0')
            continue;
        entries[count++] = copy_entry(data + start, at - start);
        start = at + 1;
    }
    entries[count] = NULL;
    return count;
}

static void check_error(const char *error)
{
    size_t bytes = strnlen(error, SHIM_ERROR_BYTES_MAX);

    RUDP_ASSERT(bytes > 0);
    RUDP_ASSERT(bytes < SHIM_ERROR_BYTES_MAX);
    RUDP_ASSERT(error[bytes - 1] == '\n');
    for (size_t index = 0; index < bytes - 1; index++) {
        RUDP_ASSERT((unsigned char)error[index] >= ' ');
        RUDP_ASSERT(error[index] != 0x7f);
    }
    RUDP_ASSERT(strstr(error, "RUDP_") != NULL);
}

static void check_settings(const struct shim_settings *settings)
{
    const struct rudp_address any = {.port = 1};

    RUDP_ASSERT(rudp_config_check(&settings->config) == RUDP_OK);
    RUDP_ASSERT(settings->log_level <= SHIM_LOG_DEBUG);
    RUDP_ASSERT(memchr(settings->log_path, '\0', sizeof settings->log_path) != NULL);
    RUDP_ASSERT(settings->log_path[0] == '\0' || settings->log_path[0] == '/');
    RUDP_ASSERT(settings->rules.count <= SHIM_RULE_COUNT_MAX);
    for (uint32_t index = 0; index < settings->rules.count; index++) {
        const struct shim_rule *rule = &settings->rules.rules[index];
        struct rudp_address inside = {.port = rule->port_min};

        RUDP_ASSERT(rule->prefix_bits <= 8 * sizeof rule->ip);
        RUDP_ASSERT(rule->port_min <= rule->port_max);
        memcpy(inside.ip, rule->ip, sizeof inside.ip);
        shim_rules_tag(&settings->rules, &any, &inside);
        shim_rules_tag(&settings->rules, &inside, &any);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct shim_settings settings;
    static char error[SHIM_ERROR_BYTES_MAX];
    char *entries[ENTRIES_MAX + 1];
    size_t count = split(data, size, entries);

    memset(error, 'x', sizeof error);
    enum rudp_status status =
        shim_environment_parse((const char *const *)entries, &settings, error, sizeof error);

    RUDP_ASSERT(status == RUDP_OK || status == RUDP_E_INVALID);
    if (status == RUDP_OK)
        check_settings(&settings);
    else
        check_error(error);
    for (size_t index = 0; index < count; index++)
        free(entries[index]);
    return 0;
}
