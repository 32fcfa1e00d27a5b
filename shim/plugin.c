#define _GNU_SOURCE
#include "shim/plugin.h"

#include "engine/raw.h"
#include "shim/log.h"
#include "shim/real.h"

#include <dlfcn.h>
#include <gnu/lib-names.h>
#include <link.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/mman.h>

#if __ELF_NATIVE_CLASS == 64
#define RELOCATION_SYMBOL ELF64_R_SYM
#define RELOCATION_TYPE   ELF64_R_TYPE
#else
#define RELOCATION_SYMBOL ELF32_R_SYM
#define RELOCATION_TYPE   ELF32_R_TYPE
#endif

/* A call through the table of procedures, one through that of addresses, a pointer in data. */
#if defined(__x86_64__)
#define TYPE_PROCEDURE R_X86_64_JUMP_SLOT
#define TYPE_ADDRESS   R_X86_64_GLOB_DAT
#define TYPE_POINTER   R_X86_64_64
#elif defined(__i386__)
#define TYPE_PROCEDURE R_386_JMP_SLOT
#define TYPE_ADDRESS   R_386_GLOB_DAT
#define TYPE_POINTER   R_386_32
#elif defined(__aarch64__)
#define TYPE_PROCEDURE R_AARCH64_JUMP_SLOT
#define TYPE_ADDRESS   R_AARCH64_GLOB_DAT
#define TYPE_POINTER   R_AARCH64_ABS64
#endif

typedef _Atomic(void *) slot;

/* Lies in this library. */
static const char own;

/* Whose references are led, and from where to where. In glibc a handle is a link map. */
struct plugin {
    void *library;
    void *libc;
    void *shim;
    size_t page_bytes;
};

/* An object in memory, as dl_iterate_phdr shows it. */
struct image {
    uintptr_t base;
    const ElfW(Phdr) * segments;
    size_t segment_count;
    const ElfW(Dyn) * entries;
    const ElfW(Sym) * symbols;
    const char *names;
};

/* --- Objects ------------------------------------------------------------------------------------
 */

/* The object that an address lies in, or NULL. */
static struct link_map *find_owner(const void *address)
{
    Dl_info info;
    void *map = NULL;

    return dladdr1(address, &info, &map, RTLD_DL_LINKMAP) == 0 ? NULL : map;
}

static bool is_within(const struct image *image, uintptr_t address, ElfW(Word) type,
                      ElfW(Word) flags)
{
    for (size_t index = 0; index < image->segment_count; index++) {
        const ElfW(Phdr) *segment = &image->segments[index];
        uintptr_t begin = image->base + segment->p_vaddr;

        if (segment->p_type == type && (segment->p_flags & flags) == flags && address >= begin &&
            address < begin + segment->p_memsz)
            return true;
    }
    return false;
}

/* 0: there is none. */
static uintptr_t find_entry(const ElfW(Dyn) * entries, ElfW(Sxword) tag)
{
    for (const ElfW(Dyn) *entry = entries; entry->d_tag != DT_NULL; entry++)
        if (entry->d_tag == tag)
            return entry->d_un.d_ptr;
    return 0;
}

static int count_object(struct dl_phdr_info *info, size_t bytes, void *count)
{
    (void)info;
    (void)bytes;
    ++*(size_t *)count;
    return 0;
}

struct place {
    size_t to_skip_count;
    struct image image;
};

/* The loader's lock is held in here: nothing may be asked of it. */
static int find_object(struct dl_phdr_info *info, size_t bytes, void *context)
{
    struct place *place = context;
    struct image *image = &place->image;

    (void)bytes;
    if (place->to_skip_count-- > 0)
        return 0;
    *image = (struct image){info->dlpi_addr, info->dlpi_phdr, info->dlpi_phnum, NULL, NULL, NULL};
    for (size_t index = 0; index < image->segment_count; index++)
        if (image->segments[index].p_type == PT_DYNAMIC)
            image->entries = (const ElfW(Dyn) *)(image->base + image->segments[index].p_vaddr);
    return 1;
}

/* ------------------------------------------------------------------------------------------------
 */

/* What the loader made read-only once it was bound is so again afterwards. */
static void store(const struct plugin *plugin, const struct image *image, slot *reference,
                  void *hook)
{
    uintptr_t page = (uintptr_t)reference & ~(uintptr_t)(plugin->page_bytes - 1);
    bool is_sealed = is_within(image, page + plugin->page_bytes - 1, PT_GNU_RELRO, 0);

    if (is_sealed &&
        RAW_CALL(SYS_mprotect, (long)page, (long)plugin->page_bytes, PROT_READ | PROT_WRITE) < 0) {
        shim_log(SHIM_LOG_ERROR, "a library loaded with RTLD_DEEPBIND is sealed and stays plain");
        return;
    }
    atomic_store(reference, hook);
    if (is_sealed)
        (void)RAW_CALL(SYS_mprotect, (long)page, (long)plugin->page_bytes, PROT_READ);
}

static void lead(const struct plugin *plugin, const struct image *image, slot *reference,
                 const char *name, bool is_procedure)
{
    void *bound = atomic_load(reference);

    if (is_procedure && is_within(image, (uintptr_t)bound, PT_LOAD, PF_X)) /* not called yet */
        bound = dlsym(plugin->library, name);
    if (bound == NULL || find_owner(bound) != plugin->libc)
        return;
    void *hook = dlsym(plugin->shim, name); /* or a call that the shim uses itself */

    if (hook != NULL && find_owner(hook) == plugin->shim)
        store(plugin, image, reference, hook);
}

/* All kinds of entries begin with the same two words. */
static void lead_table(const struct plugin *plugin, const struct image *image, uintptr_t table,
                       size_t table_bytes, size_t entry_bytes)
{
    for (size_t at = 0; at + entry_bytes <= table_bytes; at += entry_bytes) {
        const ElfW(Rel) *entry = (const ElfW(Rel) *)(table + at);
        const ElfW(Sym) *symbol = &image->symbols[RELOCATION_SYMBOL(entry->r_info)];
        uintptr_t reference = image->base + entry->r_offset;
        size_t type = RELOCATION_TYPE(entry->r_info);

        if ((type == TYPE_PROCEDURE || type == TYPE_ADDRESS || type == TYPE_POINTER) &&
            symbol->st_shndx == SHN_UNDEF && is_within(image, reference, PT_LOAD, PF_W))
            lead(plugin, image, (slot *)reference, image->names + symbol->st_name,
                 type == TYPE_PROCEDURE);
    }
}

static void lead_object(const struct plugin *plugin, struct image *image)
{
    const ElfW(Dyn) *entries = image->entries;

    if (entries == NULL)
        return;
    bool is_rela = find_entry(entries, DT_PLTREL) == DT_RELA;

    image->symbols = (const ElfW(Sym) *)find_entry(entries, DT_SYMTAB);
    image->names = (const char *)find_entry(entries, DT_STRTAB);
    if (image->symbols == NULL || image->names == NULL)
        return;
    lead_table(plugin, image, find_entry(entries, DT_REL), find_entry(entries, DT_RELSZ),
               sizeof(ElfW(Rel)));
    lead_table(plugin, image, find_entry(entries, DT_RELA), find_entry(entries, DT_RELASZ),
               sizeof(ElfW(Rela)));
    lead_table(plugin, image, find_entry(entries, DT_JMPREL), find_entry(entries, DT_PLTRELSZ),
               is_rela ? sizeof(ElfW(Rela)) : sizeof(ElfW(Rel)));
}

/* A handle, or NULL. What was there from the start is no handle until it is opened as well. */
static void *find_loaded(const char *name)
{
    return real.dlopen(name, RTLD_LAZY | RTLD_NOLOAD);
}

static void lead_all(void *library, size_t known_count)
{
    struct plugin plugin = {
        .library = library,
        .libc = find_loaded(LIBC_SO),
        .shim = find_loaded(find_owner(&own)->l_name),
        .page_bytes = (size_t)sysconf(_SC_PAGESIZE),
    };

    if (plugin.libc == NULL || plugin.shim == NULL)
        return;
    for (struct place place;; known_count++) {
        place.to_skip_count = known_count;
        if (dl_iterate_phdr(find_object, &place) == 0)
            break;
        lead_object(&plugin, &place.image);
    }
    (void)dlclose(plugin.libc);
    (void)dlclose(plugin.shim);
    (void)dlerror(); /* nobody has a name that was asked for */
}

bool shim_plugin_is_found_alike(const char *file, const void *caller)
{
    if (strchr(file, '$') != NULL) /* $ORIGIN and its like */
        return false;
    if (strchr(file, '/') != NULL)
        return true;
    const struct link_map *map = find_owner(caller);

    return map != NULL && find_entry(map->l_ld, DT_RUNPATH) == 0 &&
           find_entry(map->l_ld, DT_RPATH) == 0;
}

void *shim_plugin_open(const char *file, int mode)
{
    size_t known_count = 0;
    void *known = find_loaded(file);
    bool is_known = known != NULL && dlclose(known) == 0; /* it stays bound as it is */

    (void)dl_iterate_phdr(count_object, &known_count);
    void *library = real.dlopen(file, mode);

    if (library != NULL && !is_known)
        lead_all(library, known_count);
    return library;
}
