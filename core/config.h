/* config.h - settings of an endpoint: one value a field, defaults, ranges. */
#ifndef RUDP_CORE_CONFIG_H
#define RUDP_CORE_CONFIG_H

#include "core/base.h"
#include "core/status.h"

#define RUDP_MESSAGE_BYTES_MAX                                                                     \
    65527u /* UDP over IPv6; 65,507 over IPv4 is the engine's to check                             \
            */
#define RUDP_PACKET_BYTES_MIN  576u
#define RUDP_PACKET_BYTES_BASE 1200u /* RFC 8899 BASE_PLPMTU */
#define RUDP_PACKET_BYTES_MAX  65507u
#define RUDP_BUFFER_BYTES_MIN  (128u * 1024u) /* one message of any size, and some */

enum rudp_cc_algorithm {
    RUDP_CC_CUBIC,
};

enum rudp_order {
    RUDP_ORDERED,   /* messages are delivered in the order they were sent */
    RUDP_UNORDERED, /* messages are delivered as they become complete */
};

struct rudp_config {
    uint32_t packet_bytes;        /* UDP payload; RUDP_PACKET_BYTES_MIN..MAX */
    bool packet_bytes_fixed;      /* false: may shrink when the path drops large packets */
    uint64_t connect_timeout_us;  /* > 0: how long a handshake may take */
    uint64_t rto_initial_us;      /* > 0: probe timeout before the first round-trip sample */
    uint64_t rto_min_us;          /* > 0: floor of the probe timeout */
    uint64_t rto_max_us;          /* >= rto_min_us: ceiling of the backed-off probe timeout */
    uint32_t retry_count_max;     /* > 0: probe timeouts in a row before a peer is dead */
    uint64_t keepalive_us;        /* silence before an idle session is probed; 0: never */
    uint64_t idle_timeout_us;     /* silence before an idle session is dropped; 0: never */
    uint64_t linger_us;           /* how long a graceful close may go without progress */
    uint64_t ack_delay_us_max;    /* how long an acknowledgement may wait for company */
    size_t send_buffer_bytes;     /* per session; >= RUDP_BUFFER_BYTES_MIN */
    size_t receive_buffer_bytes;  /* per session; >= RUDP_BUFFER_BYTES_MIN */
    uint32_t session_count_max;   /* > 0: sessions of one endpoint */
    uint32_t half_open_count_max; /* unproven sessions before hellos must carry a cookie */
    bool accepts_sessions;        /* false: hellos of strangers are dropped */
    bool reopens; /* an opener whose peer ends the session before all was delivered opens anew, as
                   * after a restart: somebody else may serve that address now */
    enum rudp_cc_algorithm cc;
    enum rudp_order order;
};

/* Fills in the defaults that docs/environment.md lists. */
void rudp_config_init(struct rudp_config *config);

/* RUDP_E_INVALID when a field is out of the range said above. */
enum rudp_status rudp_config_check(const struct rudp_config *config);

#endif
