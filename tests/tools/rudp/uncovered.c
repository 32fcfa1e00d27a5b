/* A program that uses calls which the shim does not intercept. */
#define _GNU_SOURCE
#include <fcntl.h>
#include <sys/sendfile.h>
#include <unistd.h>

int main(int argument_count, char **arguments)
{
    (void)arguments;
    if (argument_count < 2)
        return 0;
    return sendfile(STDOUT_FILENO, STDIN_FILENO, NULL, 1) < 0 ||
           splice(STDIN_FILENO, NULL, STDOUT_FILENO, NULL, 1, 0) < 0;
}
