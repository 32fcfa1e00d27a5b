#include "engine/api.h"

void rudp_settings_init(struct rudp_settings *settings)
{
    struct rudp_config config;

    if (settings == NULL)
        return;
    rudp_config_init(&config);
    *settings = (struct rudp_settings){
        .struct_bytes = sizeof *settings,
        .packet_bytes = config.packet_bytes_fixed ? config.packet_bytes : 0,
        .connect_timeout_ms = (uint32_t)(config.connect_timeout_us / RUDP_US_PER_MS),
        .rto_initial_ms = (uint32_t)(config.rto_initial_us / RUDP_US_PER_MS),
        .rto_min_ms = (uint32_t)(config.rto_min_us / RUDP_US_PER_MS),
        .rto_max_ms = (uint32_t)(config.rto_max_us / RUDP_US_PER_MS),
        .retries = config.retry_count_max,
        .keepalive_ms = (uint32_t)(config.keepalive_us / RUDP_US_PER_MS),
        .idle_timeout_ms = (uint32_t)(config.idle_timeout_us / RUDP_US_PER_MS),
        .linger_ms = (uint32_t)(config.linger_us / RUDP_US_PER_MS),
        .send_buffer_bytes = (uint32_t)config.send_buffer_bytes,
        .receive_buffer_bytes = (uint32_t)config.receive_buffer_bytes,
        .unordered = config.order == RUDP_UNORDERED,
    };
}

static uint64_t us_from_ms(uint32_t ms)
{
    return (uint64_t)ms * RUDP_US_PER_MS;
}

static void fill_config(struct rudp_config *config, const struct rudp_settings *settings)
{
    if (settings->packet_bytes != 0) {
        config->packet_bytes = settings->packet_bytes;
        config->packet_bytes_fixed = true;
    }
    config->connect_timeout_us = us_from_ms(settings->connect_timeout_ms);
    config->rto_initial_us = us_from_ms(settings->rto_initial_ms);
    config->rto_min_us = us_from_ms(settings->rto_min_ms);
    config->rto_max_us = us_from_ms(settings->rto_max_ms);
    config->retry_count_max = settings->retries;
    config->keepalive_us = us_from_ms(settings->keepalive_ms);
    config->idle_timeout_us = us_from_ms(settings->idle_timeout_ms);
    config->linger_us = us_from_ms(settings->linger_ms);
    config->send_buffer_bytes = settings->send_buffer_bytes;
    config->receive_buffer_bytes = settings->receive_buffer_bytes;
    config->order = settings->unordered != 0 ? RUDP_UNORDERED : RUDP_ORDERED;
}

int api_config_from_settings(struct rudp_config *config, const struct rudp_settings *settings)
{
    rudp_config_init(config);
    config->accepts_sessions = false; /* until listen */
    if (settings == NULL)
        return RUDP_ERR_NONE;
    /* Another size is another version of the structure; there is only one so far. */
    if (settings->struct_bytes != sizeof *settings)
        return RUDP_ERR_INVALID;
    if (settings->unordered != 0 && settings->unordered != 1)
        return RUDP_ERR_INVALID;
    fill_config(config, settings);
    return rudp_config_check(config) == RUDP_OK ? RUDP_ERR_NONE : RUDP_ERR_INVALID;
}
