#include "shim/environment.h"

#define PREFIX               "RUDP_"
#define PREFIX_BYTES         (sizeof PREFIX - 1)
#define VALUE_BYTES_SHOWN    128u
#define MEMORY_BYTES_DEFAULT (UINT64_C(256) << 20)

/* Above the ports that need a privilege, below those that systems hand out by themselves (32768 and
 * up on Linux, 49152 and up elsewhere), and of no service in /etc/services. */
#define DISCOVERY_PORT_DEFAULT 26750

#define MINUTE_US   (60 * (uint64_t)RUDP_US_PER_S)
#define HOUR_US     (60 * MINUTE_US)
#define TIME_US_MAX (24 * HOUR_US)
#define KIB         UINT64_C(1024)

/* A variable's value. */
struct value {
    const char *text;
    size_t bytes;
};

struct unit {
    const char *name;
    uint64_t factor;
};

static size_t text_bytes(const char *text)
{
    size_t bytes = 0;

    while (text[bytes] != '\0')
        bytes++;
    return bytes;
}

static bool is_word(struct value value, const char *word)
{
    return text_bytes(word) == value.bytes && memcmp(value.text, word, value.bytes) == 0;
}

/* Digits and one of the units, whose first is the one that may be left out. */
static bool read_quantity(struct value value, const struct unit *units, size_t unit_count,
                          uint64_t limit, uint64_t *quantity)
{
    size_t at = 0;
    uint64_t number = 0;

    while (at < value.bytes && value.text[at] >= '0' && value.text[at] <= '9') {
        number = number * 10 + (uint64_t)(value.text[at++] - '0');
        if (number > limit)
            return false;
    }
    if (at == 0)
        return false;
    struct value rest = {value.text + at, value.bytes - at};

    for (size_t index = 0; index < unit_count; index++) {
        if (!is_word(rest, units[index].name) && !(index == 0 && rest.bytes == 0))
            continue;
        if (number > limit / units[index].factor)
            return false;
        *quantity = number * units[index].factor;
        return true;
    }
    return false;
}

static bool read_duration(struct value value, uint64_t *us)
{
    static const struct unit units[] = {
        {"ms", RUDP_US_PER_MS}, {"us", 1}, {"s", RUDP_US_PER_S}, {"m", MINUTE_US}, {"h", HOUR_US},
    };

    return read_quantity(value, units, sizeof units / sizeof *units, TIME_US_MAX, us);
}

static bool read_size(struct value value, uint64_t limit, uint64_t *bytes)
{
    static const struct unit units[] = {
        {"", 1}, {"K", KIB}, {"M", KIB * KIB}, {"G", KIB * KIB * KIB}};

    return read_quantity(value, units, sizeof units / sizeof *units, limit, bytes);
}

/* --- Readers of the map: false when the value is not accepted -----------------------------------
 */

static bool read_rules(struct value value, struct shim_rules *rules)
{
    return shim_rules_parse(rules, value.text, value.bytes);
}

static bool read_packet_size(struct value value, struct rudp_config *config)
{
    uint64_t bytes;

    if (is_word(value, "auto")) {
        config->packet_bytes = RUDP_PACKET_BYTES_BASE;
        config->packet_bytes_fixed = false;
        return true;
    }
    if (!read_size(value, RUDP_PACKET_BYTES_MAX, &bytes) || bytes < RUDP_PACKET_BYTES_MIN)
        return false;
    config->packet_bytes = (uint32_t)bytes;
    config->packet_bytes_fixed = true;
    return true;
}

static bool read_time(struct value value, uint64_t *us)
{
    return read_duration(value, us) && *us > 0;
}

static bool read_time_or_off(struct value value, uint64_t *us)
{
    if (!is_word(value, "off"))
        return read_time(value, us);
    *us = 0;
    return true;
}

static bool read_count(struct value value, uint32_t *count)
{
    static const struct unit one = {"", 1};
    uint64_t number;

    if (!read_quantity(value, &one, 1, 1000, &number) || number == 0)
        return false;
    *count = (uint32_t)number;
    return true;
}

static bool read_buffer(struct value value, size_t *bytes)
{
    uint64_t number;

    if (!read_size(value, 4 * KIB * KIB * KIB, &number) || number < RUDP_BUFFER_BYTES_MIN)
        return false;
    *bytes = (size_t)number;
    return true;
}

static bool read_memory(struct value value, size_t *bytes)
{
    uint64_t number = 0;

    if (!is_word(value, "off") &&
        (!read_size(value, KIB * KIB * KIB * KIB, &number) || number < KIB * KIB))
        return false;
    *bytes = (size_t)number;
    return true;
}

static bool read_cc(struct value value, enum rudp_cc_algorithm *cc)
{
    *cc = RUDP_CC_CUBIC;
    return is_word(value, "cubic");
}

static bool read_order(struct value value, enum rudp_order *order)
{
    *order = is_word(value, "unordered") ? RUDP_UNORDERED : RUDP_ORDERED;
    return is_word(value, "ordered") || is_word(value, "unordered");
}

static bool read_off(struct value value, bool *unused)
{
    *unused = false;
    return is_word(value, "off");
}

static bool read_fallback(struct value value, bool *falls_back)
{
    *falls_back = is_word(value, "plain");
    return *falls_back || is_word(value, "none");
}

static bool read_port(struct value value, uint16_t *port)
{
    static const struct unit one = {"", 1};
    uint64_t number;

    if (!read_quantity(value, &one, 1, UINT16_MAX, &number) || number == 0)
        return false;
    *port = (uint16_t)number;
    return true;
}

static bool read_yes_no(struct value value, bool *is_yes)
{
    *is_yes = is_word(value, "yes");
    return *is_yes || is_word(value, "no");
}

static bool read_on_off(struct value value, bool *is_on)
{
    *is_on = is_word(value, "on");
    return *is_on || is_word(value, "off");
}

static bool read_log_level(struct value value, enum shim_log_level *level)
{
    static const char *const names[] = {"off", "error", "warn", "info", "debug"};

    for (size_t index = 0; index < sizeof names / sizeof *names; index++) {
        if (!is_word(value, names[index]))
            continue;
        *level = (enum shim_log_level)index;
        return true;
    }
    return false;
}

/* Absolute: a program may change its directory. */
static bool read_path(struct value value, char (*path)[SHIM_PATH_BYTES_MAX])
{
    if (value.bytes == 0 || value.bytes >= SHIM_PATH_BYTES_MAX || value.text[0] != '/')
        return false;
    memcpy(*path, value.text, value.bytes);
    (*path)[value.bytes] = '\0';
    return true;
}

/* ------------------------------------------------------------------------------------------------
 */

/* The message under construction; what does not fit is left out, the end of line never. */
struct message {
    char *text;
    size_t bytes;
    size_t bytes_max;
};

static void add(struct message *message, const char *text, size_t bytes)
{
    for (size_t index = 0; index < bytes && message->bytes + 2 < message->bytes_max; index++) {
        char c = text[index];

        if (c < ' ' || c == 0x7f)
            c = '?';
        message->text[message->bytes++] = c;
    }
}

static enum rudp_status complain(struct message *message, const char *name, size_t name_bytes,
                                 struct value value, const char *accepted)
{
    add(message, "librudp_shim: ", sizeof "librudp_shim: " - 1);
    add(message, name, (size_t)min_u64(name_bytes, VALUE_BYTES_SHOWN));
    add(message, "=\"", 2);
    add(message, value.text, (size_t)min_u64(value.bytes, VALUE_BYTES_SHOWN));
    add(message, "\": accepted: ", sizeof "\": accepted: " - 1);
    add(message, accepted, text_bytes(accepted));
    message->text[message->bytes++] = '\n';
    message->text[message->bytes] = '\0';
    return RUDP_E_INVALID;
}

#define X(name, reader, field, accepted, standard, meaning) " " PREFIX #name
static const char known_names[] = "these variables:" SHIM_ENVIRONMENT_MAP(X);
#undef X

static enum rudp_status read_variable(const char *name, size_t name_bytes, struct value value,
                                      struct shim_settings *settings, struct message *message)
{
    struct value key = {name, name_bytes};

#define X(name_, reader, field, accepted, standard, meaning)                                       \
    if (is_word(key, PREFIX #name_))                                                               \
        return reader(value, &settings->field)                                                     \
                   ? RUDP_OK                                                                       \
                   : complain(message, name, name_bytes, value, accepted);
    SHIM_ENVIRONMENT_MAP(X)
#undef X
    return complain(message, name, name_bytes, value, known_names);
}

enum rudp_status shim_environment_parse(const char *const *environ_like,
                                        struct shim_settings *settings, char *error,
                                        size_t error_bytes)
{
    RUDP_ASSERT(settings != NULL);
    RUDP_ASSERT(error != NULL);
    RUDP_ASSERT(error_bytes >= SHIM_ERROR_BYTES_MAX);
    struct message message = {.text = error, .bytes_max = error_bytes};

    *settings = (struct shim_settings){
        .memory_bytes_max = MEMORY_BYTES_DEFAULT,
        .log_level = SHIM_LOG_ERROR,
        .discovery_port = DISCOVERY_PORT_DEFAULT,
        .publishes_stats = true,
    };
    rudp_config_init(&settings->config);
    settings->config.reopens = true; /* as a plain sender would not notice either */
    for (; environ_like != NULL && *environ_like != NULL; environ_like++) {
        const char *entry = *environ_like;
        size_t name_bytes = 0;

        while (entry[name_bytes] != '\0' && entry[name_bytes] != '=')
            name_bytes++;
        if (name_bytes < PREFIX_BYTES || memcmp(entry, PREFIX, PREFIX_BYTES) != 0 ||
            entry[name_bytes] != '=')
            continue;
        const char *text = entry + name_bytes + 1;
        struct value value = {text, text_bytes(text)};

        if (read_variable(entry, name_bytes, value, settings, &message) != RUDP_OK)
            return RUDP_E_INVALID;
    }
    if (settings->config.rto_max_us < settings->config.rto_min_us) {
        static const char name[] = PREFIX "RTO_MAX";
        struct value value = {"smaller than RUDP_RTO_MIN", sizeof "smaller than RUDP_RTO_MIN" - 1};

        return complain(&message, name, sizeof name - 1, value, "RUDP_RTO_MIN..24h");
    }
    RUDP_ASSERT(rudp_config_check(&settings->config) == RUDP_OK);
    return RUDP_OK;
}
