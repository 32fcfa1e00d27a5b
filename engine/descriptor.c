#include "engine/descriptor.h"

#include "engine/system.h"

#include <sys/resource.h>

/* Below 1,024 for programs that still put every descriptor into an fd_set; and a descriptor table
 * grows with its highest number, which makes fork slower. */
#define HIGH_FD_END   1024u
#define HIGH_FD_COUNT 64u

static int high_base(void)
{
    struct rlimit limit;

    if (getrlimit(RLIMIT_NOFILE, &limit) != 0)
        return HIGH_FD_END - HIGH_FD_COUNT;
    return (int)sub_floor_u64(min_u64(limit.rlim_cur, HIGH_FD_END), HIGH_FD_COUNT);
}

int engine_descriptor_move_high(int fd)
{
    int base = high_base();

    if (fd < 0 || fd >= base)
        return fd;
    long moved = engine_sys_duplicate_from(fd, base);

    if (moved < 0)
        return fd;
    engine_sys_close(fd);
    return (int)moved;
}

int engine_descriptor_copy_high(int fd)
{
    long copy = engine_sys_duplicate_from(fd, high_base());

    return (int)(copy < 0 ? engine_sys_duplicate_from(fd, 0) : copy);
}
