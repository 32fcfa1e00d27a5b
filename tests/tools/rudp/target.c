/* A program that says what it finds itself in: arguments, descriptors, environment, signals; then
 * does what its first argument says:
 *
 *     target [show | exit STATUS | kill SIGNAL | copy]
 *
 * Also built statically, static-pie, with a note of Go's linker, and with AddressSanitizer. */
#include <dirent.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#ifdef WITH_GO_NOTE
__asm__(".pushsection .note.go.buildid, \"a\", @note\n"
        ".balign 4\n"
        ".long 3, 4, 4\n"
        ".asciz \"Go\"\n"
        ".balign 4\n"
        ".ascii \"none\"\n"
        ".popsection\n");
#endif

extern char **environ;

static void show_descriptors(void)
{
    DIR *directory = opendir("/proc/self/fd");
    const struct dirent *entry;

    if (directory == NULL)
        exit(EXIT_FAILURE);
    while ((entry = readdir(directory)) != NULL)
        if (entry->d_name[0] != '.' && atoi(entry->d_name) != dirfd(directory))
            printf("fd %s\n", entry->d_name);
    closedir(directory);
}

static void show(int argument_count, char **arguments)
{
    sigset_t blocked;

    printf("pid %d\n", (int)getpid());
    for (int index = 0; index < argument_count; index++)
        printf("argument %s\n", arguments[index]);
    for (char **entry = environ; *entry != NULL; entry++)
        printf("env %s\n", *entry);
    sigprocmask(SIG_SETMASK, NULL, &blocked);
    for (int number = 1; number < NSIG; number++)
        if (sigismember(&blocked, number) == 1)
            printf("blocked %d\n", number);
    show_descriptors();
}

static int copy(void)
{
    char buffer[4096];
    ssize_t bytes;

    while ((bytes = read(STDIN_FILENO, buffer, sizeof buffer)) > 0)
        if (write(STDOUT_FILENO, buffer, (size_t)bytes) != bytes)
            return EXIT_FAILURE;
    return bytes == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}

int main(int argument_count, char **arguments)
{
    const char *verb = argument_count > 1 ? arguments[1] : "show";

    if (strcmp(verb, "exit") == 0)
        return atoi(arguments[2]);
    if (strcmp(verb, "kill") == 0)
        return raise(atoi(arguments[2]));
    if (strcmp(verb, "copy") == 0)
        return copy();
    show(argument_count, arguments);
    return EXIT_SUCCESS;
}
