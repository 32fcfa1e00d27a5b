/* log.h - one line per event, by write(2): no stdio, no lock, no allocation, errno kept. */
#ifndef RUDP_SHIM_LOG_H
#define RUDP_SHIM_LOG_H

#include <stddef.h>
#include <stdint.h>

enum shim_log_level {
    SHIM_LOG_OFF,
    SHIM_LOG_ERROR,
    SHIM_LOG_WARN,
    SHIM_LOG_INFO,
    SHIM_LOG_DEBUG,
};

/* Lines go to file_path (appended; empty: stderr), prefixed with the program's name and the pid.
 * The strings stay the caller's and must stay. */
void shim_log_set(enum shim_log_level level, const char *program, const char *file_path);

/* format knows %s (const char *) and %d (int64_t). Cut when longer than a line may be. */
void shim_log(enum shim_log_level level, const char *format, ...);

/* Writes to stderr, whatever the level: for reasons why the program does not start. */
void shim_log_fatal(const char *text);

#endif
