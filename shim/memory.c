#define _GNU_SOURCE
#include "shim/memory.h"

#include "engine/raw.h"

#include <errno.h>
#include <linux/futex.h>
#include <stdint.h>

#define PAGE_BYTES 4096u

/* rt_sigprocmask reads the set it is given before it refuses the impossible way of using it. */
static bool can_read(uintptr_t word)
{
    enum {
        IMPOSSIBLE = -1,
        SET_BYTES = 8
    };

    /* Without a set there is nothing to refuse. */
    return word != 0 &&
           RAW_CALL(SYS_rt_sigprocmask, IMPOSSIBLE, (long)word, 0, SET_BYTES) != -EFAULT;
}

/* A futex operation that adds nothing to a word writes it without changing it. Nobody waits on the
 * futex it is combined with; a waiter on the word itself would at worst wake for nothing. */
static bool can_write(uintptr_t word)
{
    uint32_t nobody = 0;
    const long nothing = FUTEX_OP(FUTEX_OP_ADD, 0, FUTEX_OP_CMP_LT, 0);

    return RAW_CALL(SYS_futex, raw_pointer(&nobody), FUTEX_WAKE_OP | FUTEX_PRIVATE_FLAG, 0, 0,
                    (long)word, nothing) != -EFAULT;
}

static bool is_usable(uintptr_t at, size_t bytes, size_t word_bytes, bool (*can_use)(uintptr_t))
{
    uintptr_t end = at + bytes;

    if (end < at)
        return false;
    /* The page that this very frame lies in is spared the question: most buffers are there. */
    uintptr_t own_page = (uintptr_t)__builtin_frame_address(0) & ~(uintptr_t)(PAGE_BYTES - 1);

    for (at &= ~(uintptr_t)(word_bytes - 1); at < end; at = (at | (PAGE_BYTES - 1)) + 1)
        if ((at & ~(uintptr_t)(PAGE_BYTES - 1)) != own_page && !can_use(at))
            return false;
    return true;
}

bool shim_memory_is_readable(const void *data, size_t bytes)
{
    return is_usable((uintptr_t)data, bytes, sizeof(uint64_t), can_read);
}

bool shim_memory_is_writable(void *data, size_t bytes)
{
    return is_usable((uintptr_t)data, bytes, sizeof(uint32_t), can_write);
}
