#define _GNU_SOURCE
#include "shim/neighbour.h"

#include "engine/engine.h"
#include "engine/raw.h"
#include "shim/log.h"
#include "shim/real.h"

#include <errno.h>
#include <link.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>
#include <time.h>

/* No address family: whoever gets the call in the end refuses it. */
#define PROBE_DOMAIN 0x7272

enum {
    LIBC,
    CLOCK,
    FIRST, /* that intercepts socket, of all */
    NEXT,  /* after us */
    OBJECT_COUNT
};

/* Where a function is. */
struct object {
    uintptr_t address;
    size_t index; /* in the loader's list, where the program is the first */
    const char *name;
};

static struct object objects[OBJECT_COUNT];
static size_t listed_count;
static atomic_bool is_reached;
static atomic_bool is_replacement_said;

static int match_object(struct dl_phdr_info *info, size_t bytes, void *context)
{
    (void)bytes;
    (void)context;
    for (size_t index = 0; index < info->dlpi_phnum; index++) {
        uintptr_t begin = info->dlpi_addr + info->dlpi_phdr[index].p_vaddr;
        uintptr_t end = begin + info->dlpi_phdr[index].p_memsz;

        if (info->dlpi_phdr[index].p_type != PT_LOAD)
            continue;
        for (struct object *object = objects; object < objects + OBJECT_COUNT; object++)
            if (object->address >= begin && object->address < end) {
                object->index = listed_count;
                object->name = info->dlpi_name;
            }
    }
    listed_count++;
    return 0;
}

void shim_neighbour_begin(void)
{
    objects[LIBC].address = (uintptr_t)__errno_location;
    objects[CLOCK].address = (uintptr_t)clock_gettime;
    objects[FIRST].address = (uintptr_t)hook_socket; /* which may be another one's */
    objects[NEXT].address = (uintptr_t)real.socket;
    (void)dl_iterate_phdr(match_object, NULL);
    if (objects[CLOCK].index != objects[LIBC].index)
        engine_use_kernel_clock();
}

/* A program that has a function of that name has it for itself. */
void shim_neighbour_check(void)
{
    int saved_errno = errno;

    if (objects[FIRST].address == (uintptr_t)shim_own_socket || objects[FIRST].index == 0)
        return;
    (void)hook_socket(PROBE_DOMAIN, SOCK_DGRAM, 0);
    errno = saved_errno;
    if (!atomic_load(&is_reached))
        shim_log(SHIM_LOG_ERROR,
                 "%s keeps calls to itself: nothing is made reliable; in LD_PRELOAD it has to come "
                 "after this library",
                 objects[FIRST].name);
}

void shim_neighbour_note(int domain)
{
    if (domain == PROBE_DOMAIN)
        atomic_store(&is_reached, true);
}

static bool is_of_kernel(int fd, int domain)
{
    int value = AF_UNSPEC;
    socklen_t bytes = sizeof value;

    return RAW_CALL(SYS_getsockopt, fd, SOL_SOCKET, SO_DOMAIN, raw_pointer(&value),
                    raw_pointer(&bytes)) == 0 &&
           value == domain;
}

bool shim_neighbour_takes(int domain, int type, int protocol, int *result)
{
    if (objects[NEXT].index == objects[LIBC].index)
        return false;
    *result = real.socket(domain, type, protocol);
    if (*result < 0)
        return true;
    if (is_of_kernel(*result, domain)) {
        (void)real.close(*result);
        return false;
    }
    if (!atomic_exchange(&is_replacement_said, true))
        shim_log(SHIM_LOG_ERROR, "%s has sockets of its own for UDP: they are not made reliable",
                 objects[NEXT].name);
    return true;
}
