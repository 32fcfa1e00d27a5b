/* raw.h - a system call without libc between.
 *
 * Used where libc must not be in the way: inside a socket's lock (libc's calls are cancellation
 * points, and may be the shim's own hooks) and before the calls behind the hooks are resolved.
 * Returns a negative errno; errno itself stays as it is. */
#ifndef RUDP_ENGINE_RAW_H
#define RUDP_ENGINE_RAW_H

#include <errno.h>
#include <stdint.h>
#include <sys/syscall.h>
#include <unistd.h>

static inline long raw_call6(long number, long a, long b, long c, long d, long e, long f)
{
#if defined(__x86_64__)
    register long r10 __asm__("r10") = d;
    register long r8 __asm__("r8") = e;
    register long r9 __asm__("r9") = f;
    long result;

    __asm__ volatile("syscall"
                     : "=a"(result)
                     : "a"(number), "D"(a), "S"(b), "d"(c), "r"(r10), "r"(r8), "r"(r9)
                     : "rcx", "r11", "memory");
    return result;
#elif defined(__aarch64__)
    register long x8 __asm__("x8") = number;
    register long x0 __asm__("x0") = a;
    register long x1 __asm__("x1") = b;
    register long x2 __asm__("x2") = c;
    register long x3 __asm__("x3") = d;
    register long x4 __asm__("x4") = e;
    register long x5 __asm__("x5") = f;

    __asm__ volatile("svc 0"
                     : "+r"(x0)
                     : "r"(x8), "r"(x1), "r"(x2), "r"(x3), "r"(x4), "r"(x5)
                     : "memory");
    return x0;
#elif defined(__i386__)
    /* The sixth argument goes into ebp, which may be the frame pointer: it is passed on the stack
     * and ebp is put back. ebx is the PIC register; the compiler saves it. */
    long result;

    __asm__ volatile("pushl %[sixth]\n\t"
                     "pushl %%ebp\n\t"
                     "movl 4(%%esp), %%ebp\n\t"
                     "int $0x80\n\t"
                     "popl %%ebp\n\t"
                     "addl $4, %%esp"
                     : "=a"(result)
                     : "a"(number), "b"(a), "c"(b), "d"(c), "S"(d), "D"(e), [sixth] "g"(f)
                     : "memory", "cc");
    return result;
#else
#error "no system call instruction for this machine; syscall() is one of the shim's hooks"
#endif
}

/* mmap(2) of anonymous memory takes any offset; where both calls exist the older one takes its
 * arguments in memory. */
#ifdef SYS_mmap2
#define RAW_SYS_MMAP SYS_mmap2
#else
#define RAW_SYS_MMAP SYS_mmap
#endif

/* Only the address counts: what it points at may be the call's to fill in. */
#if __has_attribute(access)
#define RAW_UNREAD __attribute__((access(none, 1)))
#else
#define RAW_UNREAD
#endif
RAW_UNREAD static inline long raw_pointer(const volatile void *pointer)
{
    return (long)(uintptr_t)pointer;
}

#define RAW_CALL_PICK(a, b, c, d, e, f, g, chosen, ...) chosen
#define RAW_CALL(...)                                                                              \
    RAW_CALL_PICK(__VA_ARGS__, RAW_CALL_6, RAW_CALL_5, RAW_CALL_4, RAW_CALL_3, RAW_CALL_2,         \
                  RAW_CALL_1, RAW_CALL_0)                                                          \
    (__VA_ARGS__)
#define RAW_CALL_0(n)                raw_call6(n, 0, 0, 0, 0, 0, 0)
#define RAW_CALL_1(n, a)             raw_call6(n, a, 0, 0, 0, 0, 0)
#define RAW_CALL_2(n, a, b)          raw_call6(n, a, b, 0, 0, 0, 0)
#define RAW_CALL_3(n, a, b, c)       raw_call6(n, a, b, c, 0, 0, 0)
#define RAW_CALL_4(n, a, b, c, d)    raw_call6(n, a, b, c, d, 0, 0)
#define RAW_CALL_5(n, a, b, c, d, e) raw_call6(n, a, b, c, d, e, 0)
#define RAW_CALL_6                   raw_call6

#endif
