#include "shim/lease.h"

#include "engine/system.h"

/* The first byte of the shared state is the lease; the next one is locked, shared, by heirs; the
 * third by an owner that ends. */
static uint64_t lease_byte(const struct shim_socket *sock)
{
    return engine_arena_offset(sock->arena, sock->shared);
}

bool shim_lease_take(const struct shim_socket *sock)
{
    return engine_sys_lock(engine_arena_fd(sock->arena), lease_byte(sock), ENGINE_LOCK_WRITE) == 0;
}

void shim_lease_drop(const struct shim_socket *sock)
{
    (void)engine_sys_lock(engine_arena_fd(sock->arena), lease_byte(sock), ENGINE_LOCK_NONE);
}

void shim_lease_announce_end(const struct shim_socket *sock)
{
    (void)engine_sys_lock(engine_arena_fd(sock->arena), lease_byte(sock) + 2, ENGINE_LOCK_WRITE);
}

void shim_lease_await_end(const struct shim_socket *sock)
{
    (void)engine_sys_lock_wait(engine_arena_fd(sock->arena), lease_byte(sock) + 2,
                               ENGINE_LOCK_READ);
}

pid_t shim_lease_holder(const struct shim_socket *sock)
{
    return (pid_t)engine_sys_lock_holder(engine_arena_fd(sock->arena), lease_byte(sock),
                                         ENGINE_LOCK_WRITE);
}

void shim_lease_stand_by(const struct shim_socket *sock, bool does)
{
    (void)engine_sys_lock(engine_arena_fd(sock->arena), lease_byte(sock) + 1,
                          does ? ENGINE_LOCK_READ : ENGINE_LOCK_NONE);
}

bool shim_lease_has_heir(const struct shim_socket *sock)
{
    return engine_sys_lock_holder(engine_arena_fd(sock->arena), lease_byte(sock) + 1,
                                  ENGINE_LOCK_WRITE) != 0;
}

void shim_lease_ring(const struct shim_socket *sock)
{
    engine_sys_eventfd_set(engine_arena_bell(sock->arena));
}
