#define _GNU_SOURCE
#include "tools/rudp/elf.h"

#include "tools/rudp/command.h"

#include <errno.h>
#include <fcntl.h>
#include <gelf.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

void command_names_add(struct command_names *names, const char *name)
{
    names->names = command_allocate(names->names, (names->count + 1) * sizeof *names->names);
    names->names[names->count++] = command_format("%s", name);
}

bool command_names_have(const struct command_names *names, const char *name)
{
    for (size_t index = 0; index < names->count; index++)
        if (strcmp(names->names[index], name) == 0)
            return true;
    return false;
}

void command_names_free(struct command_names *names)
{
    for (size_t index = 0; index < names->count; index++)
        free(names->names[index]);
    free(names->names);
    *names = (struct command_names){.count = 0};
}

/* --- Segments: what the kernel and the loader go by --------------------------------------------
 */

static void read_interpreter(Elf *file, const GElf_Phdr *segment, struct command_elf *elf)
{
    const Elf_Data *data =
        elf_getdata_rawchunk(file, (int64_t)segment->p_offset, segment->p_filesz, ELF_T_BYTE);

    if (data != NULL && data->d_size > 0 && elf->interpreter == NULL)
        elf->interpreter = command_format("%.*s", (int)data->d_size, (const char *)data->d_buf);
}

/* The notes of Go's own linker; gccgo's programs go through libc and have none. */
static bool has_go_note(Elf *file, const GElf_Phdr *segment)
{
    Elf_Data *data = elf_getdata_rawchunk(file, (int64_t)segment->p_offset, segment->p_filesz,
                                          segment->p_align == 8 ? ELF_T_NHDR8 : ELF_T_NHDR);
    size_t offset = 0;
    size_t name_at;
    size_t text_at;
    GElf_Nhdr note;

    while (data != NULL && (offset = gelf_getnote(data, offset, &note, &name_at, &text_at)) > 0)
        if (note.n_namesz == sizeof "Go" &&
            memcmp((const char *)data->d_buf + name_at, "Go", sizeof "Go") == 0)
            return true;
    return false;
}

static void read_segments(Elf *file, struct command_elf *elf)
{
    size_t count;

    if (elf_getphdrnum(file, &count) != 0)
        return;
    for (size_t index = 0; index < count; index++) {
        GElf_Phdr segment;

        if (gelf_getphdr(file, (int)index, &segment) == NULL)
            return;
        if (segment.p_type == PT_INTERP)
            read_interpreter(file, &segment, elf);
        if (segment.p_type == PT_DYNAMIC)
            elf->is_dynamic = true;
        if (segment.p_type == PT_NOTE && has_go_note(file, &segment))
            elf->is_go = true;
    }
}

/* --- Sections ----------------------------------------------------------------------------------
 */

static void read_needed(Elf *file, Elf_Data *data, const GElf_Shdr *section,
                        struct command_elf *elf)
{
    GElf_Dyn entry;

    for (int index = 0; gelf_getdyn(data, index, &entry) != NULL && entry.d_tag != DT_NULL;
         index++) {
        const char *name =
            entry.d_tag == DT_NEEDED ? elf_strptr(file, section->sh_link, entry.d_un.d_val) : NULL;

        if (name != NULL)
            command_names_add(&elf->needed, name);
    }
}

static void read_imports(Elf *file, Elf_Data *data, const GElf_Shdr *section,
                         struct command_elf *elf)
{
    GElf_Sym symbol;

    for (int index = 1; gelf_getsym(data, index, &symbol) != NULL; index++) {
        const char *name = symbol.st_shndx == SHN_UNDEF
                               ? elf_strptr(file, section->sh_link, symbol.st_name)
                               : NULL;

        if (name != NULL && name[0] != '\0')
            command_names_add(&elf->imports, name);
    }
}

static void read_sections(Elf *file, struct command_elf *elf)
{
    Elf_Scn *at = NULL;
    size_t names;

    if (elf_getshdrstrndx(file, &names) != 0)
        return;
    while ((at = elf_nextscn(file, at)) != NULL) {
        GElf_Shdr section;
        Elf_Data *data = elf_getdata(at, NULL);

        if (gelf_getshdr(at, &section) == NULL)
            continue;
        const char *name = elf_strptr(file, names, section.sh_name);

        if (name != NULL && strcmp(name, ".gopclntab") == 0)
            elf->is_go = true;
        if (data != NULL && section.sh_type == SHT_DYNAMIC)
            read_needed(file, data, &section, elf);
        if (data != NULL && section.sh_type == SHT_DYNSYM)
            read_imports(file, data, &section, elf);
    }
}

static enum command_elf_status read_file(int fd, struct command_elf *elf)
{
    GElf_Ehdr header;

    elf_version(EV_CURRENT);
    Elf *file = elf_begin(fd, ELF_C_READ, NULL);

    if (file == NULL || elf_kind(file) != ELF_K_ELF || gelf_getehdr(file, &header) == NULL) {
        elf_end(file);
        return COMMAND_ELF_NONE;
    }
    elf->is_64 = header.e_ident[EI_CLASS] == ELFCLASS64;
    elf->is_big_endian = header.e_ident[EI_DATA] == ELFDATA2MSB;
    elf->machine = header.e_machine;
    read_segments(file, elf);
    read_sections(file, elf);
    elf_end(file);
    return COMMAND_ELF_OK;
}

enum command_elf_status command_elf_read(const char *path, struct command_elf *elf)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);

    *elf = (struct command_elf){.interpreter = NULL};
    if (fd < 0)
        return COMMAND_ELF_UNREADABLE;
    enum command_elf_status status = read_file(fd, elf);

    (void)close(fd);
    return status;
}

void command_elf_free(struct command_elf *elf)
{
    free(elf->interpreter);
    command_names_free(&elf->needed);
    command_names_free(&elf->imports);
}

/* --- Words -------------------------------------------------------------------------------------
 */

const char *command_elf_architecture(const struct command_elf *elf)
{
    static const struct {
        uint16_t machine;
        const char *name;
    } names[] = {
        {EM_X86_64, "x86-64"}, {EM_386, "x86"},      {EM_AARCH64, "ARM"},
        {EM_ARM, "ARM"},       {EM_RISCV, "RISC-V"}, {EM_PPC64, "Power"},
        {EM_PPC, "Power"},     {EM_S390, "s390"},    {EM_MIPS, "MIPS"},
    };
    static char text[64];
    const char *end = elf->is_big_endian ? ", big-endian" : "";

    for (size_t index = 0; index < sizeof names / sizeof *names; index++) {
        if (names[index].machine != elf->machine)
            continue;
        snprintf(text, sizeof text, "%s-bit %s%s", elf->is_64 ? "64" : "32", names[index].name,
                 end);
        return text;
    }
    snprintf(text, sizeof text, "%s-bit, ELF machine %u%s", elf->is_64 ? "64" : "32", elf->machine,
             end);
    return text;
}

const char *command_elf_libc(const struct command_elf *elf)
{
    if (elf->interpreter != NULL && strstr(elf->interpreter, "/ld-musl") != NULL)
        return "musl";
    for (size_t index = 0; index < elf->needed.count; index++) {
        const char *name = elf->needed.names[index];

        if (strncmp(name, "libc.so.6", sizeof "libc.so.6" - 1) == 0)
            return "glibc";
        if (strcmp(name, "libc.so") == 0 || strncmp(name, "libc.musl", sizeof "libc.musl" - 1) == 0)
            return "musl";
    }
    return elf->interpreter == NULL ? "no libc" : "glibc";
}
