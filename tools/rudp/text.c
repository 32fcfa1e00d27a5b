#define _GNU_SOURCE
#include "engine/engine.h"
#include "tools/rudp/command.h"

#include <arpa/inet.h>
#include <err.h>
#include <errno.h>
#include <netdb.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

char *command_format(const char *format, ...)
{
    char *text;
    va_list arguments;

    va_start(arguments, format);
    int bytes = vasprintf(&text, format, arguments);
    va_end(arguments);
    if (bytes < 0)
        err(COMMAND_RUN_FAILED, "no memory");
    return text;
}

void *command_allocate(void *memory, size_t bytes)
{
    memory = realloc(memory, bytes);
    if (memory == NULL && bytes > 0)
        err(COMMAND_RUN_FAILED, "no memory");
    return memory;
}

void command_address_print(const struct rudp_address *address, char *text, size_t text_bytes)
{
    bool is_v4 = engine_address_is_v4(address);
    struct sockaddr_storage name;
    socklen_t bytes = engine_address_to_sockaddr(address, is_v4 ? AF_INET : AF_INET6, &name);
    char host[NI_MAXHOST];

    if (getnameinfo((const struct sockaddr *)&name, bytes, host, sizeof host, NULL, 0,
                    NI_NUMERICHOST) != 0)
        snprintf(host, sizeof host, "?");
    snprintf(text, text_bytes, is_v4 ? "%s:%u" : "[%s]:%u", host, address->port);
}

bool command_address_read(const char *text, struct rudp_address *address)
{
    const struct addrinfo hints = {.ai_socktype = SOCK_DGRAM,
                                   .ai_flags = AI_NUMERICHOST | AI_NUMERICSERV};
    struct addrinfo *found;
    char host[NI_MAXHOST];
    char port[8];
    char rest;

    if (sscanf(text, "[%1000[^]]]:%5[0-9]%c", host, port, &rest) != 2 &&
        sscanf(text, "%1000[0-9.]:%5[0-9]%c", host, port, &rest) != 2)
        return false;
    if (strtoul(port, NULL, 10) > UINT16_MAX || getaddrinfo(host, port, &hints, &found) != 0)
        return false;
    bool is_read = engine_address_from_sockaddr(address, found->ai_addr, found->ai_addrlen);

    freeaddrinfo(found);
    return is_read;
}
