#include "core/config.h"

void rudp_config_init(struct rudp_config *config)
{
    RUDP_ASSERT(config != NULL);
    *config = (struct rudp_config){
        .packet_bytes = RUDP_PACKET_BYTES_BASE,
        .packet_bytes_fixed = false,
        .connect_timeout_us = 10 * RUDP_US_PER_S,
        .rto_initial_us = 500 * RUDP_US_PER_MS,
        .rto_min_us = 5 * RUDP_US_PER_MS,
        .rto_max_us = 3 * RUDP_US_PER_S,
        .retry_count_max = 20,
        .keepalive_us = 25 * RUDP_US_PER_S,
        .idle_timeout_us = 0,
        .linger_us = 10 * RUDP_US_PER_S,
        .ack_delay_us_max = 2 * RUDP_US_PER_MS,
        .send_buffer_bytes = 4u * 1024 * 1024,
        .receive_buffer_bytes = 4u * 1024 * 1024,
        .session_count_max = 100000,
        .half_open_count_max = 256,
        .accepts_sessions = true,
        .cc = RUDP_CC_CUBIC,
        .order = RUDP_ORDERED,
    };
}

enum rudp_status rudp_config_check(const struct rudp_config *config)
{
    RUDP_ASSERT(config != NULL);
    bool valid = config->packet_bytes >= RUDP_PACKET_BYTES_MIN &&
                 config->packet_bytes <= RUDP_PACKET_BYTES_MAX && config->connect_timeout_us > 0 &&
                 config->rto_initial_us > 0 && config->rto_min_us > 0 &&
                 config->rto_max_us >= config->rto_min_us && config->retry_count_max > 0 &&
                 config->send_buffer_bytes >= RUDP_BUFFER_BYTES_MIN &&
                 config->receive_buffer_bytes >= RUDP_BUFFER_BYTES_MIN &&
                 config->session_count_max > 0 && config->cc == RUDP_CC_CUBIC &&
                 (config->order == RUDP_ORDERED || config->order == RUDP_UNORDERED);

    return valid ? RUDP_OK : RUDP_E_INVALID;
}
