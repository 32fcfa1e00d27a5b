/* units.h - numbers as people write them on a command line. Each returns false, and leaves *value
 * alone, unless the whole text is a number in its range. */
#ifndef IMPAIR_UNITS_H
#define IMPAIR_UNITS_H

#include <stdbool.h>
#include <stdint.h>

/* "20", "0.5", "100%": percent with up to four decimals, in parts per million. */
bool impair_parse_percent(const char *text, uint32_t *ppm);

/* "250us", "30ms", "2s", "1m"; a bare number is ms. At most an hour. */
bool impair_parse_time(const char *text, uint64_t *us);

/* "64K", "4M", "1G" (1024); at most max bytes. */
bool impair_parse_size(const char *text, uint64_t max, uint64_t *bytes);

/* "800k", "10M", "1G" bit/s (1000); at most max. */
bool impair_parse_rate(const char *text, uint64_t max, uint64_t *bits_per_s);

/* Decimal digits only; at most max. */
bool impair_parse_number(const char *text, uint64_t max, uint64_t *value);

#endif
