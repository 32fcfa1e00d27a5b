/* fd_table.h - which descriptor numbers are ours: a sparse table of any size, read without a lock.
 *
 * An entry is a shim socket (the program's descriptor, one of several when it was dup'ed) or the
 * mark "private" (a number of our own that the program must not close). All zero is a valid empty
 * table. Each socket entry holds one use of its socket (socket.h). */
#ifndef RUDP_SHIM_FD_TABLE_H
#define RUDP_SHIM_FD_TABLE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct shim_socket;

/* What stood for a number when somebody looked. Holds nothing, so a handler may jump out of the
 * call that looked. The memory behind sock stays readable, but may have become another socket's:
 * fd_table_acquire_seen tells. */
struct fd_table_seen {
    struct shim_socket *sock;
    uint64_t cookie; /* of sock at that time */
    int fd;
};

/* False: not ours. Async-signal-safe; any number, also a negative one. */
bool fd_table_look(int fd, struct fd_table_seen *seen);

/* Whether the number still stands for the socket that was seen. True: it did all the time. */
bool fd_table_is_still(const struct fd_table_seen *seen);

/* Takes one use of the socket that was seen. False: its number is no longer that socket's. */
bool fd_table_acquire_seen(const struct fd_table_seen *seen);

/* The socket behind fd with one use taken, or NULL: not ours. Give it back with
 * shim_socket_release. Async-signal-safe; any number, also a negative one. */
struct shim_socket *fd_table_acquire(int fd);

/* Makes fd stand for sock and takes a use for the entry. Returns what stood there before: its use
 * is the caller's to release. False in *stored when there is no memory for the table. */
struct shim_socket *fd_table_set(int fd, struct shim_socket *sock, bool *stored);

/* Empties the entry. Returns what stood there, its use is the caller's; NULL for a private mark,
 * which stays. */
struct shim_socket *fd_table_clear(int fd);

/* Empties the entry if it stands for sock. True when it did: its use is the caller's. */
bool fd_table_clear_if(int fd, const struct shim_socket *sock);

/* Whether the entry stands for a socket. */
bool fd_table_has_socket(int fd);

/* No memory for the table: the number goes unprotected. */
void fd_table_set_private(int fd, bool is_private);
bool fd_table_is_private(int fd);

/* Adds one use to each socket for each entry. Only when nothing else runs: in a forked child. */
void fd_table_count_uses(void);

/* A number that stands for sock, or -1. */
int fd_table_find(const struct shim_socket *sock);

/* The lowest number from first to last (inclusive) that has an entry, or -1. */
int fd_table_next(unsigned int first, unsigned int last);

#endif
