#include "engine/api.h"

#include <errno.h>

const char *rudp_error_text(int error)
{
    switch (error) {
#define X(name, value, text)                                                                       \
    case value:                                                                                    \
        return text;
        RUDP_ERROR_MAP(X)
#undef X
    default:
        return "unknown error";
    }
}

const char *rudp_version(void)
{
    return RUDP_VERSION;
}

int api_error_from_errno(int error)
{
    switch (error) {
    case EADDRINUSE:
        return RUDP_ERR_ADDRESS_IN_USE;
    case EADDRNOTAVAIL:
    case EAFNOSUPPORT:
    case ENETUNREACH:
    case EHOSTUNREACH:
    case EINVAL:
        return RUDP_ERR_ADDRESS;
    case EACCES:
    case EPERM:
        return RUDP_ERR_ACCESS;
    case ENOMEM:
    case ENOBUFS:
        return RUDP_ERR_MEMORY;
    default:
        return RUDP_ERR_SYSTEM;
    }
}

/* The map names every reason the core can give, so a new one does not compile until it is here. */
int api_close_error(const struct rudp_connection *connection)
{
    switch (connection->close_reason) {
    case RUDP_CLOSE_REASON_LOCAL:
    case RUDP_CLOSE_REASON_ABORTED:
    case RUDP_CLOSE_REASON_PEER:
        return RUDP_ERR_CLOSED;
    case RUDP_CLOSE_REASON_CONNECT_TIMEOUT:
    case RUDP_CLOSE_REASON_DEAD:
    case RUDP_CLOSE_REASON_IDLE:
        return RUDP_ERR_TIMEOUT;
    case RUDP_CLOSE_REASON_LINGER:
        return RUDP_ERR_UNDELIVERED;
    case RUDP_CLOSE_REASON_PEER_ABORTED:
    case RUDP_CLOSE_REASON_PEER_RESTARTED:
    case RUDP_CLOSE_REASON_VERSION:
    case RUDP_CLOSE_REASON_PROTOCOL:
        return RUDP_ERR_RESET;
    }
    RUDP_ASSERT(false);
    return RUDP_ERR_SYSTEM;
}
