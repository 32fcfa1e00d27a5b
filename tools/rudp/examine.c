#define _GNU_SOURCE
#include "tools/rudp/examine.h"

#include "tools/rudp/command.h"
#include "tools/rudp/loader.h"
#include "tools/rudp/settings.h"
#include "tools/rudp/symbols.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/xattr.h>
#include <unistd.h>

const char *command_finding_code(enum command_finding_code code)
{
    static const char *const codes[] = {
#define X(name, code) code,
        COMMAND_FINDING_MAP(X)
#undef X
    };

    return codes[code];
}

/* Takes the text. */
static void add(struct command_examination *result, enum command_finding_code code, bool is_problem,
                char *text)
{
    result->findings =
        command_allocate(result->findings, (result->finding_count + 1) * sizeof *result->findings);
    result->findings[result->finding_count++] =
        (struct command_finding){.code = code, .is_problem = is_problem, .text = text};
    result->problem_count += is_problem;
}

#define PROBLEM(result, code, ...)                                                                 \
    add(result, COMMAND_FINDING_##code, true, command_format(__VA_ARGS__))
#define NOTE(result, code, ...)                                                                    \
    add(result, COMMAND_FINDING_##code, false, command_format(__VA_ARGS__))

/* --- Privileges --------------------------------------------------------------------------------
 */

/* Where the file system or this process forbids it, nothing is gained by exec. */
static bool gains_nothing(const char *path)
{
    struct statvfs system;

    return prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0) == 1 ||
           (statvfs(path, &system) == 0 && (system.f_flag & ST_NOSUID) != 0);
}

/* A program that gains privileges by exec gets no LD_PRELOAD from its caller: the loader drops it.
 * One that root starts, or the owner, gains none. */
static void examine_privileges(const char *path, struct command_examination *result)
{
    static const char dropped[] = "its loader ignores LD_PRELOAD";
    struct stat status;

    if (stat(path, &status) != 0 || gains_nothing(path))
        return;
    if ((status.st_mode & S_ISUID) != 0 && status.st_uid != getuid())
        PROBLEM(result, SET_USER_ID, "%s is set-user-ID: %s", path, dropped);
    if ((status.st_mode & S_ISGID) != 0 && (status.st_mode & S_IXGRP) != 0 &&
        status.st_gid != getgid())
        PROBLEM(result, SET_GROUP_ID, "%s is set-group-ID: %s", path, dropped);
    if (getuid() != 0 && getxattr(path, "security.capability", NULL, 0) > 0)
        PROBLEM(result, CAPABILITIES, "%s has file capabilities: %s", path, dropped);
}

/* --- The file ----------------------------------------------------------------------------------
 */

static void examine_kind(const char *binary, const struct command_elf *elf,
                         struct command_examination *result)
{
    if (elf->is_go)
        PROBLEM(result, GO, "%s is a Go program: it makes system calls itself, not through libc",
                binary);
    else if (elf->interpreter == NULL && elf->is_dynamic)
        PROBLEM(result, STATIC_PIE,
                "%s is statically linked (static-pie): nothing can be preloaded", binary);
    else if (elf->interpreter == NULL)
        PROBLEM(result, STATIC, "%s is statically linked: nothing can be preloaded", binary);
}

static void examine_match(const char *binary, const struct command_elf *elf, const char *library,
                          struct command_examination *result)
{
    struct command_elf other;

    if (command_elf_read(library, &other) != COMMAND_ELF_OK) {
        PROBLEM(result, LIBRARY, "%s is no ELF file that can be read", library);
        return;
    }
    if (elf->is_64 != other.is_64 || elf->machine != other.machine ||
        elf->is_big_endian != other.is_big_endian) {
        char *needed = command_format("%s", command_elf_architecture(elf));

        PROBLEM(result, ARCHITECTURE, "%s is %s, %s is %s: name another with --library", binary,
                needed, library, command_elf_architecture(&other));
        free(needed);
    } else if (elf->interpreter != NULL && !elf->is_go &&
               strcmp(command_elf_libc(elf), command_elf_libc(&other)) != 0) {
        PROBLEM(result, LIBC, "%s uses %s, %s is for %s: name another with --library", binary,
                command_elf_libc(elf), library, command_elf_libc(&other));
    }
    command_elf_free(&other);
}

/* --- What it loads -----------------------------------------------------------------------------
 */

static bool is_libc(const char *name)
{
    return strncmp(name, "libc.so", sizeof "libc.so" - 1) == 0 ||
           strncmp(name, "libc.musl", sizeof "libc.musl" - 1) == 0;
}

static bool needs_libc(const struct command_elf *elf)
{
    for (size_t index = 0; index < elf->needed.count; index++)
        if (is_libc(elf->needed.names[index]))
            return true;
    return false;
}

/* Whose imports are not the program's: libc's own parts, and ours. */
static bool is_system(const char *path, const char *library)
{
    const char *slash = strrchr(path, '/');
    const char *name = slash == NULL ? path : slash + 1;

    return strcmp(path, library) == 0 || is_libc(name) || strncmp(name, "ld-", 3) == 0;
}

static void note_symbols(const char *path, const struct command_elf *elf,
                         struct command_examination *result)
{
    char *names = command_format("%s", "");
    const char *name;
    size_t at = 0;

    while ((name = command_symbol_next(&at)) != NULL) {
        if (!command_names_have(&elf->imports, name))
            continue;
        char *longer = command_format("%s%s%s", names, names[0] == '\0' ? "" : ", ", name);

        free(names);
        names = longer;
    }
    if (names[0] != '\0')
        NOTE(result, SYMBOL,
             "%s uses what passes the shim by, and works on connected UDP sockets only: %s", path,
             names);
    free(names);
    if (strstr(path, "/liburing") != NULL)
        NOTE(result, IO_URING,
             "%s: UDP by io_uring passes the shim by, and works on connected sockets only", path);
    if (strstr(path, "/libuv.so") != NULL)
        NOTE(result, IO_URING, "%s: may use io_uring, but not for UDP", path);
}

/* Notes on the program and its libraries; whether one of them is linked with libc. */
static bool examine_objects(const char *binary, const struct command_elf *elf,
                            const struct command_load *load, bool wants_notes,
                            struct command_examination *result)
{
    /* A file whose sections were taken off names nothing, and yet its loader found libraries. */
    bool has_libc = needs_libc(elf) || elf->needed.count == 0;

    if (wants_notes)
        note_symbols(binary, elf, result);
    for (size_t index = 0; index < load->loaded.count; index++) {
        const char *path = load->loaded.names[index];
        struct command_elf object;

        if (is_system(path, result->library) || (has_libc && !wants_notes) ||
            command_elf_read(path, &object) != COMMAND_ELF_OK)
            continue;
        has_libc = has_libc || needs_libc(&object);
        if (wants_notes)
            note_symbols(path, &object, result);
        command_elf_free(&object);
    }
    return has_libc;
}

/* AddressSanitizer ends programs that load anything before its runtime. */
static void examine_sanitizer(const char *binary, const struct command_elf *elf,
                              struct command_examination *result)
{
    const char *preload = getenv("LD_PRELOAD");
    const char *first_end = preload == NULL ? NULL : strpbrk(preload, ": ");

    for (size_t index = 0; index < elf->needed.count; index++) {
        const char *name = elf->needed.names[index];

        if (strstr(name, "asan") == NULL) /* libasan.so.8, libclang_rt.asan-x86_64.so */
            continue;
        if (first_end == NULL ||
            memmem(preload, (size_t)(first_end - preload), "asan", sizeof "asan" - 1) == NULL)
            PROBLEM(result, SANITIZER,
                    "%s needs AddressSanitizer's runtime to come first: start with LD_PRELOAD=%s",
                    binary, name);
    }
}

static void examine_loading(const char *binary, const struct command_elf *elf, bool wants_notes,
                            struct command_examination *result)
{
    struct command_load load;

    if (!command_load_try(binary, elf, &load)) {
        PROBLEM(result, NOT_LOADED, "%s: its loader cannot be asked: %s", binary, strerror(errno));
        return;
    }
    for (size_t index = 0; index < load.missing.count; index++)
        PROBLEM(result, MISSING_LIBRARY, "%s needs %s, which is not there", binary,
                load.missing.names[index]);
    bool is_alone = elf->needed.count == 0 && load.loaded.count == 0 && load.complaint == NULL;
    bool is_loaded = command_names_have(&load.loaded, result->library);

    if (!is_loaded && !is_alone)
        PROBLEM(result, NOT_LOADED, "%s does not load %s%s%s", binary, result->library,
                load.complaint == NULL ? "" : ": ", load.complaint == NULL ? "" : load.complaint);
    else if (is_alone || !examine_objects(binary, elf, &load, wants_notes, result))
        PROBLEM(result, NO_LIBC, "%s is linked without libc: it makes system calls itself", binary);
    command_load_free(&load);
}

/* --- All of it ---------------------------------------------------------------------------------
 */

static void examine_binary(const char *binary, bool wants_notes, struct command_examination *result)
{
    struct command_elf elf;

    switch (command_elf_read(binary, &elf)) {
    case COMMAND_ELF_UNREADABLE:
        PROBLEM(result, UNREADABLE, "%s: %s: nothing can be said about it", binary,
                strerror(errno));
        return;
    case COMMAND_ELF_NONE:
        PROBLEM(result, FORMAT, "%s is neither an ELF program nor a script that begins with #!",
                binary);
        return;
    case COMMAND_ELF_OK:
        break;
    }
    examine_kind(binary, &elf, result);
    examine_privileges(binary, result);
    if (result->library != NULL) {
        examine_match(binary, &elf, result->library, result);
        examine_sanitizer(binary, &elf, result);
        if (result->problem_count == 0)
            examine_loading(binary, &elf, wants_notes, result);
    }
    command_elf_free(&elf);
}

static void examine_environment(const char *asked_for, struct command_examination *result)
{
    static char error[SHIM_ERROR_BYTES_MAX];
    static struct shim_settings settings;
    const char *other = NULL;
    char *problem;

    if (!command_settings_read(&settings, error))
        PROBLEM(result, SETTINGS, "%s", error);
    result->library = command_library_find(asked_for, &problem);
    if (result->library == NULL) {
        PROBLEM(result, LIBRARY, "%s", problem);
        free(problem);
    } else if (!command_load_add(result->library, &other)) {
        PROBLEM(result, LIBRARY, "LD_PRELOAD names another one already: %.*s",
                (int)strcspn(other, ": "), other);
    }
}

void command_examine(const char *name, const char *asked_for, bool wants_notes,
                     struct command_examination *result)
{
    *result = (struct command_examination){.library = NULL};
    switch (command_program_find(name, &result->program)) {
    case COMMAND_PROGRAM_NOT_FOUND:
        PROBLEM(result, NOT_FOUND, "%s: %s", name, result->program.problem);
        break;
    case COMMAND_PROGRAM_NOT_EXECUTABLE:
        PROBLEM(result, NOT_EXECUTABLE, "%s: %s", name, result->program.problem);
        break;
    case COMMAND_PROGRAM_OK:
        break;
    }
    examine_environment(asked_for, result);
    if (result->program.problem == NULL)
        examine_binary(result->program.binary, wants_notes, result);
}

void command_examination_free(struct command_examination *result)
{
    for (size_t index = 0; index < result->finding_count; index++)
        free(result->findings[index].text);
    free(result->findings);
    free(result->library);
    command_program_free(&result->program);
}
