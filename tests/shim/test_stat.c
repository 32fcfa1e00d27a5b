/* test_stat.c - the live counters, as a reader of any kind may ask for them. Run under the shim and
 * linked with it. */
#include "shim/stat_format.h"
#include "tests/core/suite.h"
#include "tests/shim/udp.h"

#include <dirent.h>
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#define CLIENT_COUNT 100 /* more sessions than one answer holds */
#define RECORDS_MAX  1000u

struct answer {
    struct shim_stat_head head;
    struct shim_stat_record records[SHIM_STAT_RECORDS_MAX];
};

static struct answer answer;
static struct shim_stat_record records[RECORDS_MAX];

static socklen_t name_of(pid_t pid, struct sockaddr_un *name)
{
    *name = (struct sockaddr_un){.sun_family = AF_UNIX};
    int bytes = snprintf(name->sun_path + 1, sizeof name->sun_path - 1, SHIM_STAT_NAME_PREFIX "%d",
                         (int)pid);

    return (socklen_t)(offsetof(struct sockaddr_un, sun_path) + 1 + (size_t)bytes);
}

/* A socket with an address of its own, connected to the engine of the process. */
static int open_reader(pid_t pid)
{
    const struct sockaddr_un any = {.sun_family = AF_UNIX};
    struct sockaddr_un name;
    socklen_t name_bytes = name_of(pid, &name);
    int fd = socket(AF_UNIX, SOCK_DGRAM, 0);

    ck_assert_int_ge(fd, 0);
    UDP_ASSERT_OK(bind(fd, (const struct sockaddr *)&any, sizeof any.sun_family));
    UDP_ASSERT_OK(connect(fd, (const struct sockaddr *)&name, name_bytes));
    return fd;
}

static void receive_answer(int reader)
{
    ck_assert(udp_wait(reader, POLLIN, UDP_PATIENCE_MS));
    ssize_t bytes = recv(reader, &answer, sizeof answer, 0);

    ck_assert_int_ge(bytes, SHIM_STAT_HEAD_BYTES);
    ck_assert_uint_eq(answer.head.magic, SHIM_STAT_MAGIC);
    ck_assert_uint_eq(answer.head.version, SHIM_STAT_VERSION);
    ck_assert_int_eq(
        bytes, (ssize_t)(SHIM_STAT_HEAD_BYTES + answer.head.record_count * SHIM_STAT_RECORD_BYTES));
}

static void ask(int reader, struct shim_stat_cursor cursor, uint32_t version)
{
    const struct shim_stat_request request = {
        .magic = SHIM_STAT_MAGIC, .version = version, .echo = 77, .cursor = cursor};

    ck_assert_int_eq(send(reader, &request, sizeof request, 0), sizeof request);
    receive_answer(reader);
    ck_assert_uint_eq(answer.head.echo, 77);
}

/* Reads everything; returns how many records. */
static size_t read_all(int reader)
{
    struct shim_stat_cursor cursor = SHIM_STAT_CURSOR_BEGIN;
    size_t count = 0;

    do {
        ask(reader, cursor, SHIM_STAT_VERSION);
        ck_assert_uint_eq(answer.head.status, SHIM_STAT_OK);
        ck_assert_uint_le(count + answer.head.record_count, RECORDS_MAX);
        memcpy(records + count, answer.records, answer.head.record_count * sizeof *records);
        count += answer.head.record_count;
        cursor = answer.head.next;
    } while (answer.head.is_last == 0);
    return count;
}

static size_t count_kind(size_t record_count, enum shim_stat_kind kind)
{
    size_t count = 0;

    for (size_t index = 0; index < record_count; index++)
        count += records[index].kind == kind;
    return count;
}

static size_t count_descriptors(void)
{
    DIR *directory = opendir("/proc/self/fd");
    size_t count = 0;

    ck_assert_ptr_nonnull(directory);
    while (readdir(directory) != NULL)
        count++;
    ck_assert_int_eq(closedir(directory), 0);
    return count;
}

/* --- Tests --------------------------------------------------------------------------------------
 */

/* What one socket sent to another is in the records of both. */
START_TEST(counts)
{
    struct udp_address to;
    struct udp_address from;
    int receiver = udp_bound(AF_INET, &to);
    int sender = udp_bound(AF_INET, &from);

    for (int i = 0; i < 3; i++) {
        udp_send_text(sender, "counted", &to);
        udp_expect_text(receiver, "counted", NULL);
    }
    ck_assert_uint_eq(read_all(open_reader(getpid())), 4);
    ck_assert_uint_eq(count_kind(4, SHIM_STAT_SOCKET), 2);
    /* Newest first: the sender, its session, the receiver, its session. */
    ck_assert_uint_eq(records[0].socket_number, records[1].socket_number);
    ck_assert_uint_gt(records[1].socket_number, records[2].socket_number);
    ck_assert_uint_eq(records[1].session.sent_message_count, 3);
    ck_assert_uint_eq(records[1].session.is_opener, 1);
    ck_assert_uint_eq(records[1].local.port, udp_port(&from));
    ck_assert_uint_eq(records[1].remote.port, udp_port(&to));
    ck_assert_uint_eq(records[3].session.received_message_count, 3);
    ck_assert_uint_eq(records[3].session.is_opener, 0);
    ck_assert_uint_eq(records[3].session.state, SHIM_STAT_ESTABLISHED);
    ck_assert_uint_ge(records[0].socket.sent_packet_count, 3);
    ck_assert_uint_gt(answer.head.memory_used_bytes, 0);
    ck_assert_uint_gt(answer.head.memory_max_bytes, answer.head.memory_used_bytes);
}
END_TEST

/* More records than one answer holds come in several, each record once and in order. */
START_TEST(pages)
{
    struct udp_address to;
    int receiver = udp_bound(AF_INET, &to);

    for (int i = 0; i < CLIENT_COUNT; i++) {
        struct udp_address from;

        udp_send_text(udp_bound(AF_INET, &from), "one of many", &to);
        udp_expect_text(receiver, "one of many", NULL);
    }
    int reader = open_reader(getpid());
    size_t count = read_all(reader);

    ck_assert_uint_eq(count_kind(count, SHIM_STAT_SOCKET), CLIENT_COUNT + 1);
    ck_assert_uint_eq(count_kind(count, SHIM_STAT_SESSION), 2 * CLIENT_COUNT);
    ck_assert_uint_ge(answer.head.answered_count, count / SHIM_STAT_RECORDS_MAX);
    for (size_t index = 1; index < count; index++) {
        const struct shim_stat_record *before = &records[index - 1];
        const struct shim_stat_record *record = &records[index];

        if (record->kind == SHIM_STAT_SOCKET)
            ck_assert_uint_gt(before->socket_number, record->socket_number);
        else
            ck_assert_uint_eq(before->socket_number, record->socket_number);
        if (before->kind == SHIM_STAT_SESSION && record->kind == SHIM_STAT_SESSION)
            ck_assert_uint_gt(before->session_number, record->session_number);
    }
}
END_TEST

/* A reader of another version is told so, and gets nothing. */
START_TEST(unknown_version)
{
    struct udp_address own;

    udp_bound(AF_INET, &own);
    ask(open_reader(getpid()), SHIM_STAT_CURSOR_BEGIN, SHIM_STAT_VERSION + 1);
    ck_assert_uint_eq(answer.head.status, SHIM_STAT_VERSION_UNKNOWN);
    ck_assert_uint_eq(answer.head.record_count, 0);
}
END_TEST

/* Requests that are none are not answered and harm nobody. */
START_TEST(malformed)
{
    static const struct shim_stat_request good = {.magic = SHIM_STAT_MAGIC,
                                                  .version = SHIM_STAT_VERSION};
    struct shim_stat_request bad = good;
    struct udp_address own;

    udp_bound(AF_INET, &own);
    int reader = open_reader(getpid());

    bad.magic++;
    for (size_t bytes = 0; bytes < sizeof good; bytes++)
        ck_assert_int_eq(send(reader, &good, bytes, 0), (ssize_t)bytes);
    ck_assert_int_eq(send(reader, &bad, sizeof bad, 0), sizeof bad);
    ck_assert_uint_eq(read_all(reader), 1); /* the first answer is the one to this */
    ck_assert_uint_eq(answer.head.answered_count, 1);
}
END_TEST

/* A descriptor that comes with a request is not installed. */
START_TEST(passed_descriptor)
{
    static struct shim_stat_request request = {.magic = SHIM_STAT_MAGIC,
                                               .version = SHIM_STAT_VERSION};
    union {
        struct cmsghdr header;
        char bytes[CMSG_SPACE(sizeof(int))];
    } control = {.header = {.cmsg_len = CMSG_LEN(sizeof(int)),
                            .cmsg_level = SOL_SOCKET,
                            .cmsg_type = SCM_RIGHTS}};
    struct iovec part = {.iov_base = &request, .iov_len = sizeof request};
    const struct msghdr message = {.msg_iov = &part,
                                   .msg_iovlen = 1,
                                   .msg_control = control.bytes,
                                   .msg_controllen = sizeof control.bytes};
    struct udp_address own;
    int passed = STDERR_FILENO;

    udp_bound(AF_INET, &own);
    int reader = open_reader(getpid());
    size_t before = count_descriptors();

    memcpy(CMSG_DATA(&control.header), &passed, sizeof passed);
    ck_assert_int_eq(sendmsg(reader, &message, 0), sizeof request);
    receive_answer(reader);
    ck_assert_uint_eq(count_descriptors(), before);
}
END_TEST

/* A forked child is asked by its own name, once it has an engine; its parent goes on answering. */
START_TEST(forked_child)
{
    struct udp_address own;
    int status;

    udp_bound(AF_INET, &own);
    int parents = open_reader(getpid());

    ck_assert_uint_eq(read_all(parents), 1);
    pid_t child = fork();

    if (child == 0) {
        udp_bound(AF_INET, &own);
        _exit(read_all(open_reader(getpid())) == 1 && answer.head.answered_count == 1 ? 0 : 1);
    }
    ck_assert_int_eq(waitpid(child, &status, 0), child);
    ck_assert(WIFEXITED(status));
    ck_assert_int_eq(WEXITSTATUS(status), 0);
    ck_assert_uint_eq(read_all(parents), 1);
    ck_assert_uint_eq(answer.head.answered_count, 2);
}
END_TEST

/* Where somebody has the name already, a longer one with the pid in front is found. */
START_TEST(name_taken)
{
    struct sockaddr_un name;
    socklen_t name_bytes = name_of(getpid(), &name);
    struct udp_address own;
    char wanted[sizeof name.sun_path + 2];
    char line[512];
    int count = 0;
    int squatter = socket(AF_UNIX, SOCK_DGRAM, 0);

    UDP_ASSERT_OK(bind(squatter, (const struct sockaddr *)&name, name_bytes));
    udp_bound(AF_INET, &own);
    snprintf(wanted, sizeof wanted, "@%s.", name.sun_path + 1);
    FILE *table = fopen("/proc/net/unix", "r");

    ck_assert_ptr_nonnull(table);
    while (fgets(line, sizeof line, table) != NULL)
        count += strstr(line, wanted) != NULL;
    ck_assert_int_eq(fclose(table), 0);
    ck_assert_int_eq(count, 1);
}
END_TEST

int main(void)
{
    return SUITE_RUN("stat", counts, pages, unknown_version, malformed, passed_descriptor,
                     forked_child, name_taken);
}
