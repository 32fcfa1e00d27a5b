#define _GNU_SOURCE
#include "shim/log.h"

#include "engine/raw.h"
#include "shim/fd_table.h"

#include <fcntl.h>
#include <stdarg.h>
#include <string.h>
#include <unistd.h>

#define LINE_BYTES_MAX 512u
#define DIGITS_MAX     20u

struct line {
    char text[LINE_BYTES_MAX];
    size_t bytes;
};

static struct {
    enum shim_log_level level;
    const char *program;
    const char *file_path;
} sink = {.level = SHIM_LOG_OFF, .program = "", .file_path = ""};

void shim_log_set(enum shim_log_level level, const char *program, const char *file_path)
{
    sink.level = level;
    sink.program = program;
    sink.file_path = file_path;
}

/* One byte stays free for the end of the line. */
static void add_text(struct line *line, const char *text)
{
    while (*text != '\0' && line->bytes < LINE_BYTES_MAX - 1)
        line->text[line->bytes++] = *text++;
}

static void add_number(struct line *line, int64_t number)
{
    char digits[DIGITS_MAX + 1] = {0};
    size_t at = DIGITS_MAX;
    uint64_t left = number < 0 ? -(uint64_t)number : (uint64_t)number;

    if (number < 0)
        add_text(line, "-");
    do {
        digits[--at] = (char)('0' + left % 10);
        left /= 10;
    } while (left > 0);
    add_text(line, digits + at);
}

static void add_formatted(struct line *line, const char *format, va_list arguments)
{
    for (; *format != '\0'; format++) {
        char one[2] = {*format, '\0'};

        if (*format != '%') {
            add_text(line, one);
            continue;
        }
        format++;
        if (*format == 's')
            add_text(line, va_arg(arguments, const char *));
        else
            add_number(line, va_arg(arguments, int64_t));
    }
}

static void write_line(struct line *line)
{
    long fd = STDERR_FILENO;

    line->text[line->bytes++] = '\n';
    if (sink.file_path[0] != '\0')
        fd = RAW_CALL(SYS_openat, AT_FDCWD, raw_pointer(sink.file_path),
                      O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC | O_NOCTTY, 0644);
    else if (fd_table_has_socket(STDERR_FILENO))
        return; /* a service of inetd: its peers are not to read this */
    if (fd < 0)
        return; /* the path was writable at start: nothing better is left to do */
    (void)RAW_CALL(SYS_write, fd, raw_pointer(line->text), (long)line->bytes);
    if (fd != STDERR_FILENO)
        (void)RAW_CALL(SYS_close, fd);
}

void shim_log(enum shim_log_level level, const char *format, ...)
{
    static const char *const names[] = {"", "error", "warn", "info", "debug"};
    struct line line = {.bytes = 0};
    va_list arguments;

    if (level > sink.level)
        return;
    add_text(&line, "librudp_shim[");
    add_text(&line, sink.program);
    add_text(&line, ":");
    add_number(&line, RAW_CALL(SYS_getpid));
    add_text(&line, "] ");
    add_text(&line, names[level]);
    add_text(&line, ": ");
    va_start(arguments, format);
    add_formatted(&line, format, arguments);
    va_end(arguments);
    write_line(&line);
}

void shim_log_fatal(const char *text)
{
    (void)RAW_CALL(SYS_write, STDERR_FILENO, raw_pointer(text), (long)strlen(text));
}
