/* hooks_exec.c - another program in this process: its sockets' engine ends with this one. */
#define _GNU_SOURCE
#include "shim/caretaker.h"
#include "shim/hook.h"

#include <stdarg.h>
#include <unistd.h>

/* call is evaluated between; it returns only when it failed. */
#define EXEC(call)                                                                                 \
    do {                                                                                           \
        pid_t caretaker = shim_caretaker_before_exec();                                            \
        int result = (call);                                                                       \
                                                                                                   \
        shim_caretaker_exec_failed(caretaker);                                                     \
        return result;                                                                             \
    } while (0)

int hook_execve(const char *path, char *const arguments[], char *const environment[])
{
    EXEC(real.execve(path, arguments, environment));
}

int hook_execv(const char *path, char *const arguments[])
{
    EXEC(real.execve(path, arguments, environ));
}

int hook_execvp(const char *file, char *const arguments[])
{
    EXEC(real.execvpe(file, arguments, environ));
}

int hook_execvpe(const char *file, char *const arguments[], char *const environment[])
{
    EXEC(real.execvpe(file, arguments, environment));
}

int hook_execveat(int directory_fd, const char *path, char *const arguments[],
                  char *const environment[], int flags)
{
    EXEC(real.execveat(directory_fd, path, arguments, environment, flags));
}

int hook_fexecve(int fd, char *const arguments[], char *const environment[])
{
    EXEC(real.fexecve(fd, arguments, environment));
}

/* How many arguments follow the first, the ending NULL included. */
static size_t count_rest(va_list list)
{
    size_t count = 1;

    while (va_arg(list, char *) != NULL)
        count++;
    return count;
}

/* Declares arguments: those of a call like execl, as an array. */
#define COLLECT(arguments, first, list)                                                            \
    va_list counted;                                                                               \
    va_start(list, first);                                                                         \
    va_copy(counted, list);                                                                        \
    size_t rest_count = (first) == NULL ? 0 : count_rest(counted);                                 \
    va_end(counted);                                                                               \
    char **arguments = __builtin_alloca((rest_count + 1) * sizeof *arguments);                     \
    arguments[0] = (char *)(uintptr_t)(first);                                                     \
    for (size_t index = 1; index <= rest_count; index++)                                           \
    arguments[index] = va_arg(list, char *)

int hook_execl(const char *path, const char *first, ...)
{
    va_list list;

    COLLECT(arguments, first, list);
    va_end(list);
    return hook_execve(path, arguments, environ);
}

int hook_execlp(const char *file, const char *first, ...)
{
    va_list list;

    COLLECT(arguments, first, list);
    va_end(list);
    return hook_execvpe(file, arguments, environ);
}

int hook_execle(const char *path, const char *first, ...)
{
    va_list list;

    COLLECT(arguments, first, list);
    char *const *environment = va_arg(list, char *const *);
    va_end(list);
    return hook_execve(path, arguments, environment);
}
