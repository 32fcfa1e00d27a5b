#define _GNU_SOURCE
#include "shim/registry.h"

#include "engine/engine.h"
#include "engine/raw.h"

#include <fcntl.h>
#include <linux/stat.h>
#include <sys/un.h>

#define LINE_BYTES_MAX 512u /* longer ones have no name of ours */
#define READ_BYTES     4096u
#define V4_DIGITS      8u
#define V6_DIGITS      32u

/* Fields of a line of the UDP tables, counted from 0. */
#define FIELD_LOCAL  1u
#define FIELD_REMOTE 2u
#define FIELD_INODE  9u

/* What the kernel prefers among the sockets of a port: udp_sk compute_score, roughly. */
enum rank {
    RANK_NONE,
    RANK_CONNECTED,   /* to one peer each: only if nothing else is there */
    RANK_WILDCARD_V6, /* takes IPv4 too */
    RANK_WILDCARD_V4,
    RANK_SPECIFIC,
};

struct words {
    const char *at;
    const char *end;
};

/* The next word of the line; false: there is none. */
static bool next_word(struct words *words, struct words *word)
{
    while (words->at < words->end && (*words->at == ' ' || *words->at == '\t'))
        words->at++;
    word->at = words->at;
    while (words->at < words->end && *words->at != ' ' && *words->at != '\t')
        words->at++;
    word->end = words->at;
    return word->at < word->end;
}

static bool find_word(const char *line, size_t bytes, size_t index, struct words *word)
{
    struct words words = {line, line + bytes};

    for (size_t at = 0; at <= index; at++)
        if (!next_word(&words, word))
            return false;
    return true;
}

static bool read_number(const char *at, size_t digit_count, uint32_t base, uint64_t *number)
{
    *number = 0;
    for (size_t index = 0; index < digit_count; index++) {
        char c = at[index];
        uint32_t digit = base;

        if (c >= '0' && c <= '9')
            digit = (uint32_t)(c - '0');
        else if (c >= 'A' && c <= 'F')
            digit = (uint32_t)(c - 'A') + 10;
        if (digit >= base || *number > (UINT64_MAX - digit) / base)
            return false;
        *number = *number * base + digit;
    }
    return digit_count > 0;
}

/* "0100007F:1F90": words of the address as this machine has them in memory, printed as numbers. */
static bool read_end(const struct words *word, struct rudp_address *address, bool *is_v4)
{
    size_t bytes = (size_t)(word->end - word->at);
    uint64_t number;

    *is_v4 = bytes == V4_DIGITS + 5;
    if (!*is_v4 && bytes != V6_DIGITS + 5)
        return false;
    size_t digit_count = *is_v4 ? V4_DIGITS : V6_DIGITS;

    *address = (struct rudp_address){.ip = {[10] = *is_v4 ? 0xff : 0, [11] = *is_v4 ? 0xff : 0}};
    for (size_t at = 0; at < digit_count; at += 8) {
        if (!read_number(word->at + at, 8, 16, &number))
            return false;
        uint32_t part = (uint32_t)number;

        memcpy(address->ip + (*is_v4 ? 12 : at / 2), &part, sizeof part);
    }
    if (word->at[digit_count] != ':' || !read_number(word->at + digit_count + 1, 4, 16, &number))
        return false;
    address->port = (uint16_t)number;
    return true;
}

static enum rank rank_of(const struct rudp_address *wanted, const struct rudp_address *local,
                         bool is_v4, bool is_connected)
{
    static const uint8_t any[16];
    static const uint8_t any_v4[16] = {[10] = 0xff, [11] = 0xff};
    bool is_any = memcmp(local->ip, is_v4 ? any_v4 : any, sizeof any) == 0;
    bool reaches = is_any ? !is_v4 || engine_address_is_v4(wanted)
                          : memcmp(local->ip, wanted->ip, sizeof local->ip) == 0;

    if (local->port != wanted->port || !reaches)
        return RANK_NONE;
    if (is_connected)
        return RANK_CONNECTED;
    if (!is_any)
        return RANK_SPECIFIC;
    return is_v4 ? RANK_WILDCARD_V4 : RANK_WILDCARD_V6;
}

void shim_registry_take_udp(struct shim_registry_search *search, const char *line, size_t bytes)
{
    struct words local_word;
    struct words remote_word;
    struct words inode_word;
    struct rudp_address local;
    struct rudp_address remote;
    uint64_t inode;
    bool is_v4;

    if (!find_word(line, bytes, FIELD_LOCAL, &local_word) ||
        !find_word(line, bytes, FIELD_REMOTE, &remote_word) ||
        !find_word(line, bytes, FIELD_INODE, &inode_word) ||
        !read_end(&remote_word, &remote, &is_v4) || !read_end(&local_word, &local, &is_v4) ||
        !read_number(inode_word.at, (size_t)(inode_word.end - inode_word.at), 10, &inode))
        return;
    enum rank rank = rank_of(&search->address, &local, is_v4, remote.port != 0);

    if (rank == RANK_NONE || rank < search->rank)
        return;
    if (rank > search->rank) {
        search->wire_count = 0;
        search->entered_count = 0;
    }
    search->rank = rank;
    if (search->wire_count < SHIM_REGISTRY_WIRE_COUNT_MAX)
        search->wires[search->wire_count] = inode;
    search->wire_count++;
}

void shim_registry_take_unix(struct shim_registry_search *search, const char *line, size_t bytes)
{
    static const char prefix[] = "@" SHIM_REGISTRY_NAME_PREFIX;
    size_t prefix_bytes = sizeof prefix - 1;
    struct words words = {line, line + bytes};
    struct words word;
    uint64_t inode;

    while (next_word(&words, &word)) {
        size_t word_bytes = (size_t)(word.end - word.at);

        if (word_bytes <= prefix_bytes || memcmp(word.at, prefix, prefix_bytes) != 0 ||
            !read_number(word.at + prefix_bytes, word_bytes - prefix_bytes, 10, &inode) ||
            inode == 0)
            continue;
        for (size_t index = 0; index < min_u64(search->wire_count, SHIM_REGISTRY_WIRE_COUNT_MAX);
             index++) {
            if (search->wires[index] != inode)
                continue;
            search->wires[index] = 0;
            search->entered_count++;
        }
    }
}

bool shim_registry_is_found(const struct shim_registry_search *search)
{
    return search->wire_count > 0 && search->entered_count == search->wire_count;
}

/* ------------------------------------------------------------------------------------------------
 */

typedef void take_line(struct shim_registry_search *search, const char *line, size_t bytes);

struct line {
    char text[LINE_BYTES_MAX];
    size_t bytes;
    bool is_too_long;
};

static void take_bytes(struct line *line, const char *data, size_t bytes,
                       struct shim_registry_search *search, take_line *take)
{
    for (size_t index = 0; index < bytes; index++) {
        if (data[index] == '\n') {
            if (!line->is_too_long)
                take(search, line->text, line->bytes);
            line->bytes = 0;
            line->is_too_long = false;
        } else if (line->bytes == LINE_BYTES_MAX) {
            line->is_too_long = true;
        } else {
            line->text[line->bytes++] = data[index];
        }
    }
}

static void read_table(const char *path, struct shim_registry_search *search, take_line *take)
{
    struct line line = {.bytes = 0};
    char data[READ_BYTES];
    long fd = RAW_CALL(SYS_openat, AT_FDCWD, raw_pointer(path), O_RDONLY | O_CLOEXEC);
    long bytes;

    if (fd < 0)
        return;
    while ((bytes = RAW_CALL(SYS_read, fd, raw_pointer(data), sizeof data)) > 0)
        take_bytes(&line, data, (size_t)bytes, search, take);
    (void)RAW_CALL(SYS_close, fd);
}

bool shim_registry_has(const struct rudp_address *address)
{
    struct shim_registry_search search = {.address = *address};

    read_table("/proc/thread-self/net/udp", &search, shim_registry_take_udp);
    read_table("/proc/thread-self/net/udp6", &search, shim_registry_take_udp);
    if (search.wire_count > 0)
        read_table("/proc/thread-self/net/unix", &search, shim_registry_take_unix);
    return shim_registry_is_found(&search);
}

bool shim_registry_enter(int engine_fd, int wire_fd)
{
    struct sockaddr_un name = {.sun_family = AF_UNIX};
    size_t bytes = sizeof SHIM_REGISTRY_NAME_PREFIX - 1;
    struct statx status;
    uint64_t place = 1;

    if (RAW_CALL(SYS_statx, wire_fd, raw_pointer(""), AT_EMPTY_PATH, STATX_INO,
                 raw_pointer(&status)) < 0)
        return false;
    memcpy(name.sun_path + 1, SHIM_REGISTRY_NAME_PREFIX, bytes);
    bytes++;
    while (status.stx_ino / place >= 10)
        place *= 10;
    for (; place > 0; place /= 10)
        name.sun_path[bytes++] = (char)('0' + status.stx_ino / place % 10);
    return RAW_CALL(SYS_bind, engine_fd, raw_pointer(&name),
                    offsetof(struct sockaddr_un, sun_path) + bytes) == 0;
}
