#include "tools/impair/units.h"

#include "tools/impair/link.h"

#include <stddef.h>
#include <string.h>

struct unit {
    const char *suffix;
    uint64_t factor;
};

/* Reads the digits at *text and moves past them. False when there are none or it overflows. */
static bool take_digits(const char **text, uint64_t *value)
{
    const char *at = *text;

    for (*value = 0; *at >= '0' && *at <= '9'; at++) {
        if (__builtin_mul_overflow(*value, 10u, value) ||
            __builtin_add_overflow(*value, (uint64_t)(*at - '0'), value))
            return false;
    }
    bool any = at != *text;

    *text = at;
    return any;
}

static bool parse_with_unit(const char *text, const struct unit *units, size_t unit_count,
                            uint64_t max, uint64_t *value)
{
    uint64_t number;

    if (!take_digits(&text, &number))
        return false;
    for (size_t i = 0; i < unit_count; i++) {
        if (strcmp(text, units[i].suffix) != 0)
            continue;
        if (__builtin_mul_overflow(number, units[i].factor, &number) || number > max)
            return false;
        *value = number;
        return true;
    }
    return false;
}

bool impair_parse_time(const char *text, uint64_t *us)
{
    static const struct unit units[] = {
        {"", 1000}, {"us", 1}, {"ms", 1000}, {"s", 1000000}, {"m", 60000000},
    };

    return parse_with_unit(text, units, sizeof units / sizeof *units, IMPAIR_TIME_MAX, us);
}

bool impair_parse_size(const char *text, uint64_t max, uint64_t *bytes)
{
    static const struct unit units[] = {
        {"", 1},
        {"K", 1u << 10},
        {"M", 1u << 20},
        {"G", 1u << 30},
    };

    return parse_with_unit(text, units, sizeof units / sizeof *units, max, bytes);
}

bool impair_parse_rate(const char *text, uint64_t max, uint64_t *bits_per_s)
{
    static const struct unit units[] = {
        {"", 1},
        {"k", 1000},
        {"M", 1000000},
        {"G", 1000000000},
    };

    return parse_with_unit(text, units, sizeof units / sizeof *units, max, bits_per_s);
}

bool impair_parse_number(const char *text, uint64_t max, uint64_t *value)
{
    static const struct unit units[] = {{"", 1}};

    return parse_with_unit(text, units, 1, max, value);
}

bool impair_parse_percent(const char *text, uint32_t *ppm)
{
    uint64_t percent;
    uint32_t result, weight = IMPAIR_PPM / 100;

    if (!take_digits(&text, &percent) || percent > 100)
        return false;
    result = (uint32_t)percent * weight;
    if (*text == '.') {
        const char *first = ++text;

        for (; *text >= '0' && *text <= '9' && weight > 1; text++) {
            weight /= 10;
            result += weight * (uint32_t)(*text - '0');
        }
        if (text == first)
            return false;
    }
    if (strcmp(text, "") != 0 && strcmp(text, "%") != 0)
        return false;
    if (result > IMPAIR_PPM)
        return false;
    *ppm = result;
    return true;
}
