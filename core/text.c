#include "core/endpoint.h"

const char *rudp_drop_name(enum rudp_drop drop)
{
    switch (drop) {
#define X(name, text)                                                                              \
    case RUDP_DROP_##name:                                                                         \
        return #name;
        RUDP_DROP_MAP(X)
#undef X
    case RUDP_DROP_COUNT:
        break;
    }
    return "unknown drop";
}

const char *rudp_close_reason_text(enum rudp_close_reason reason)
{
    switch (reason) {
#define X(name, text)                                                                              \
    case RUDP_CLOSE_REASON_##name:                                                                 \
        return text;
        RUDP_CLOSE_REASON_MAP(X)
#undef X
    }
    return "unknown reason";
}
