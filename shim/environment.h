/* environment.h - the settings that come from RUDP_* variables. Pure and bounded: no getenv, no
 * stdio, no allocation. docs/environment.md is checked against the map below. */
#ifndef RUDP_SHIM_ENVIRONMENT_H
#define RUDP_SHIM_ENVIRONMENT_H

#include "core/config.h"
#include "core/status.h"
#include "shim/log.h"
#include "shim/rules.h"

#define SHIM_PATH_BYTES_MAX  4096u
#define SHIM_ERROR_BYTES_MAX 1024u

/* X(name, reader, field, accepted, default, meaning) - "reader" is a function of environment.c;
 * names come without the prefix RUDP_. accepted, default and meaning are what docs/environment.md
 * says. */
#define SHIM_ENVIRONMENT_MAP(X)                                                                    \
    X(TAG, read_rules, rules, "rules, comma separated",                                            \
      "every unicast peer but the plain services",                                                 \
      "which conversations are made reliable; the first rule that matches decides")                \
    X(PACKET_SIZE, read_packet_size, config, "auto or 576..65507", "auto",                         \
      "UDP payload bytes of a packet")                                                             \
    X(CONNECT_TIMEOUT, read_time, config.connect_timeout_us, "1us..24h", "10s",                    \
      "how long a handshake may take")                                                             \
    X(RTO_INITIAL, read_time, config.rto_initial_us, "1us..24h", "500ms",                          \
      "probe timeout before the first round trip was measured")                                    \
    X(RTO_MIN, read_time, config.rto_min_us, "1us..24h", "10ms", "floor of the probe timeout")     \
    X(RTO_MAX, read_time, config.rto_max_us, "RUDP_RTO_MIN..24h", "3s",                            \
      "ceiling of the probe timeout")                                                              \
    X(RETRIES, read_count, config.retry_count_max, "1..1000", "15",                                \
      "probe timeouts in a row before a peer counts as dead")                                      \
    X(KEEPALIVE, read_time_or_off, config.keepalive_us, "off or 1us..24h", "25s",                  \
      "silence before an idle session is probed")                                                  \
    X(IDLE_TIMEOUT, read_time_or_off, config.idle_timeout_us, "off or 1us..24h", "off",            \
      "silence before an idle session is dropped")                                                 \
    X(LINGER, read_time_or_off, config.linger_us, "off or 1us..24h", "10s",                        \
      "how long close and exit wait without progress for what was sent")                           \
    X(SNDBUF, read_buffer, config.send_buffer_bytes, "128K..4G", "4M",                             \
      "bytes buffered per peer that are not acknowledged")                                         \
    X(RCVBUF, read_buffer, config.receive_buffer_bytes, "128K..4G", "4M",                          \
      "bytes buffered per peer that the program has not read")                                     \
    X(MEMORY_MAX, read_memory, memory_bytes_max, "off or 1M..1024G", "256M",                       \
      "bytes buffered in the process")                                                             \
    X(CC, read_cc, config.cc, "cubic", "cubic", "congestion control")                              \
    X(ORDER, read_order, config.order, "ordered, unordered", "ordered",                            \
      "whether messages arrive in the order they were sent, or as they come")                      \
    X(REDUNDANCY, read_off, is_unused, "off", "off", "repeating unacknowledged data beforehand")   \
    X(FALLBACK, read_fallback, falls_back, "none, plain", "none",                                  \
      "what happens with a tagged peer that does not speak the protocol: an error, or plain UDP")  \
    X(DISCOVERY_PORT, read_port, discovery_port, "1..65535", "26750",                              \
      "UDP port at which hosts are asked who speaks it, with RUDP_FALLBACK=plain at both ends")    \
    X(ACCEPT_PLAIN, read_yes_no, accepts_plain, "yes, no", "no",                                   \
      "whether plain datagrams from tagged peers reach the program")                               \
    X(LOG, read_log_level, log_level, "off, error, warn, info, debug", "error", "what is logged")  \
    X(LOG_FILE, read_path, log_path, "an absolute path", "standard error", "where it is logged")   \
    X(STATS, read_on_off, publishes_stats, "on, off", "on",                                        \
      "whether rudp stat can read the live counters")

struct shim_settings {
    struct rudp_config config;
    struct shim_rules rules;
    size_t memory_bytes_max; /* 0: no bound */
    bool accepts_plain;
    bool falls_back;
    uint16_t discovery_port;
    bool publishes_stats;
    bool is_unused; /* target of variables that have one value only */
    enum shim_log_level log_level;
    char log_path[SHIM_PATH_BYTES_MAX]; /* empty: standard error */
};

/* Reads all variables whose names begin with RUDP_ from an array like environ ("NAME=value", ended
 * by NULL; NULL is empty). RUDP_E_INVALID: a name is unknown or a value not accepted; error then
 * holds one line that says which, and what would be. error_bytes is at least
 * SHIM_ERROR_BYTES_MAX. */
enum rudp_status shim_environment_parse(const char *const *environ_like,
                                        struct shim_settings *settings, char *error,
                                        size_t error_bytes);

#endif
