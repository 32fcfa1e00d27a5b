/* command.h - the verbs of the rudp command and what they share. */
#ifndef RUDP_TOOLS_COMMAND_H
#define RUDP_TOOLS_COMMAND_H

#include "core/address.h"

enum command_exit {
    COMMAND_OK = 0,
    COMMAND_NO = 1,    /* doctor: cannot; stat: not found or not permitted */
    COMMAND_USAGE = 2, /* but for run */
    /* run, as env(1) and nohup(1): */
    COMMAND_RUN_FAILED = 125,    /* of run itself: usage, settings, no library */
    COMMAND_RUN_REFUSED = 126,   /* the program cannot be made reliable, or not be started */
    COMMAND_RUN_NOT_FOUND = 127, /* no such program */
};

int command_run(int argument_count, char **arguments);
int command_doctor(int argument_count, char **arguments);
int command_stat(int argument_count, char **arguments);

/* Like asprintf; ends the command when there is no memory. The caller frees the text. */
char *command_format(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* Memory of that size or the end of the command. */
void *command_allocate(void *memory, size_t bytes);

/* An address as "192.0.2.1:7000" or "[2001:db8::1]:7000". */
#define COMMAND_ADDRESS_BYTES_MAX 80u
void command_address_print(const struct rudp_address *address, char *text, size_t text_bytes);

/* Reads what command_address_print writes; numeric, port required, 0..65535. */
bool command_address_read(const char *text, struct rudp_address *address);

#endif
