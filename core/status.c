#include "core/status.h"

const char *rudp_status_name(enum rudp_status status)
{
    switch (status) {
#define X(name, text)                                                                              \
    case RUDP_##name:                                                                              \
        return #name;
        RUDP_STATUS_MAP(X)
#undef X
    }
    return "unknown status";
}

const char *rudp_status_text(enum rudp_status status)
{
    switch (status) {
#define X(name, text)                                                                              \
    case RUDP_##name:                                                                              \
        return text;
        RUDP_STATUS_MAP(X)
#undef X
    }
    return "unknown status";
}
