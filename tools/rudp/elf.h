/* elf.h - what an ELF file says of itself, as far as preloading a library depends on it. */
#ifndef RUDP_TOOLS_ELF_H
#define RUDP_TOOLS_ELF_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct command_names {
    char **names;
    size_t count;
};

struct command_elf {
    bool is_64;
    bool is_big_endian;
    bool is_dynamic; /* has a dynamic section: without an interpreter it is static-pie */
    bool is_go;
    uint16_t machine;            /* EM_* */
    char *interpreter;           /* NULL: static */
    struct command_names needed; /* libraries */
    struct command_names imports;
};

enum command_elf_status {
    COMMAND_ELF_OK,
    COMMAND_ELF_UNREADABLE, /* errno says why */
    COMMAND_ELF_NONE,       /* another format */
};

enum command_elf_status command_elf_read(const char *path, struct command_elf *elf);
void command_elf_free(struct command_elf *elf);

void command_names_add(struct command_names *names, const char *name);
bool command_names_have(const struct command_names *names, const char *name);
void command_names_free(struct command_names *names);

/* "64-bit x86-64"; static text of the last call. */
const char *command_elf_architecture(const struct command_elf *elf);

/* "glibc", "musl" or "no libc", by its interpreter and the libraries it needs. */
const char *command_elf_libc(const struct command_elf *elf);

#endif
