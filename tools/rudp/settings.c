#define _GNU_SOURCE
#include "tools/rudp/settings.h"

#include "tools/rudp/command.h"

#include <ctype.h>
#include <err.h>
#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

#define KEY_FIRST 0x10000

struct setting {
    const char *variable;
    const char *accepted;
    const char *standard;
    const char *meaning;
};

static const struct setting settings_table[] = {
#define X(name, reader, field, accepted, standard, meaning)                                        \
    {"RUDP_" #name, accepted, standard, meaning},
    SHIM_ENVIRONMENT_MAP(X)
#undef X
};

#define SETTING_COUNT (sizeof settings_table / sizeof *settings_table)

static error_t take_option(int key, char *text, struct argp_state *state)
{
    (void)state;
    if (key < KEY_FIRST || key >= KEY_FIRST + (int)SETTING_COUNT)
        return ARGP_ERR_UNKNOWN;
    if (setenv(settings_table[key - KEY_FIRST].variable, text, 1) != 0)
        err(COMMAND_RUN_FAILED, "%s", settings_table[key - KEY_FIRST].variable);
    return 0;
}

/* RUDP_PACKET_SIZE is --packet-size. */
static char *option_name(const char *variable)
{
    char *name = command_format("%s", variable + strlen("RUDP_"));

    for (char *at = name; *at != '\0'; at++) {
        *at = (char)tolower((unsigned char)*at);
        if (*at == '_')
            *at = '-';
    }
    return name;
}

const struct argp *command_settings_options(void)
{
    static struct argp_option options[SETTING_COUNT + 1];
    static const struct argp argp = {.options = options, .parser = take_option};

    for (size_t index = 0; index < SETTING_COUNT && options[index].name == NULL; index++) {
        const struct setting *setting = &settings_table[index];

        options[index] = (struct argp_option){
            .name = option_name(setting->variable),
            .key = KEY_FIRST + (int)index,
            .arg = "VALUE",
            .doc = command_format("%s: %s (%s)", setting->meaning, setting->accepted,
                                  setting->standard),
            .group = 2,
        };
    }
    return &argp;
}

bool command_settings_read(struct shim_settings *settings, char *error)
{
    static const char prefix[] = "librudp_shim: ";
    enum rudp_status status =
        shim_environment_parse((const char *const *)environ, settings, error, SHIM_ERROR_BYTES_MAX);

    if (status == RUDP_OK)
        return true;
    error[strcspn(error, "\n")] = '\0';
    if (strncmp(error, prefix, sizeof prefix - 1) == 0)
        memmove(error, error + sizeof prefix - 1, strlen(error + sizeof prefix - 1) + 1);
    return false;
}
