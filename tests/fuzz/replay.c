/* Runs a fuzz target over files, without a fuzzer: seeds and inputs that once failed are tests with
 * every compiler. Each argument is a directory of them. */
#include <dirent.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#define INPUT_BYTES_MAX 65536u

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void fail(const char *what, const char *path)
{
    fprintf(stderr, "%s: %s\n", path, what);
    exit(EXIT_FAILURE);
}

static void run_file(const char *path)
{
    static uint8_t input[INPUT_BYTES_MAX];
    FILE *file = fopen(path, "rb");

    if (file == NULL)
        fail("cannot be opened", path);
    size_t bytes = fread(input, 1, sizeof input, file);

    if (ferror(file) || bytes == sizeof input)
        fail("cannot be read, or is too long", path);
    fclose(file);
    /* Flushed before the run: a trap must not hide which input it was. */
    printf("%s\n", path);
    fflush(stdout);
    LLVMFuzzerTestOneInput(input, bytes);
}

static size_t run_directory(const char *path)
{
    DIR *directory = opendir(path);
    size_t count = 0;

    if (directory == NULL)
        fail("is not a directory", path);
    for (struct dirent *entry; (entry = readdir(directory)) != NULL;) {
        char file[4096];

        if (entry->d_name[0] == '.')
            continue;
        if ((size_t)snprintf(file, sizeof file, "%s/%s", path, entry->d_name) >= sizeof file)
            fail("path is too long", entry->d_name);
        run_file(file);
        count++;
    }
    closedir(directory);
    return count;
}

int main(int argument_count, char **arguments)
{
    size_t count = 0;

    for (int index = 1; index < argument_count; index++)
        count += run_directory(arguments[index]);
    if (count == 0)
        fail("no input", arguments[0]);
    printf("%zu inputs\n", count);
    return EXIT_SUCCESS;
}
