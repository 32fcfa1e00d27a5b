/* counters.h - the live counters of other processes: finding those that publish them, and asking.
 * The protocol is shim/stat_format.h. */
#ifndef RUDP_TOOLS_COUNTERS_H
#define RUDP_TOOLS_COUNTERS_H

#include "shim/stat_format.h"

#include <stddef.h>
#include <sys/types.h>

struct command_process {
    pid_t pid; /* as this process sees it; the kernel says who answered */
    char name[17];
    struct shim_stat_head head;
    struct shim_stat_record *records; /* sockets, each before its sessions */
    size_t record_count;
};

enum command_counters_status {
    COMMAND_COUNTERS_OK,
    COMMAND_COUNTERS_NONE,    /* the process publishes none */
    COMMAND_COUNTERS_REFUSED, /* it is another user's */
    COMMAND_COUNTERS_VERSION, /* it speaks another version */
    COMMAND_COUNTERS_SILENT,  /* no answer in time: it is stopped, or very busy */
    COMMAND_COUNTERS_SPACE,   /* its network namespace may not be entered; errno says why */
};

struct command_processes {
    struct command_process *processes; /* by ascending pid */
    size_t count;
};

/* Of one process; the rest of a longer list is left out. What answers may be another user's program
 * that only claims to be ours. */
#define COMMAND_RECORDS_MAX ((size_t)256 * 1024)

/* The counters of one process, added to list. */
enum command_counters_status command_counters_of(pid_t pid, struct command_processes *list);

/* Those of every process of this user, and as root of every user, also in other network namespaces.
 * Processes that do not answer are named on standard error. */
void command_counters_of_all(struct command_processes *list);

void command_processes_free(struct command_processes *list);

#endif
