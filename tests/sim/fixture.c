#include "tests/sim/fixture.h"

#define PATIENCE_US (60 * (uint64_t)RUDP_US_PER_S)

struct rudp_config default_config(void)
{
    struct rudp_config config;

    rudp_config_init(&config);
    return config;
}

struct sim *create_pair(const struct rudp_config *config)
{
    return sim_create(&(struct sim_options){.seed = 7, .latency_us = LATENCY_US, .config = config});
}

struct sim_session *open_pair(struct sim *sim)
{
    struct sim_session *session = sim_open(sim, SIM_CLIENT, SIM_SERVER, NULL);

    ck_assert_ptr_nonnull(session);
    sim_run_for_us(sim, 4 * RTT_US);
    ck_assert_msg(!sim->failed, "%s", sim->failure);
    ck_assert(session->established);
    ck_assert(server_side(sim)->established);
    return session;
}

struct sim_session *server_side(struct sim *sim)
{
    struct sim_session *session = sim_latest(sim, SIM_SERVER);

    ck_assert_ptr_nonnull(session);
    return session;
}

void send_messages(struct sim_session *session, uint32_t count, size_t bytes)
{
    sim_node_enter(session->node);
    for (uint32_t i = 0; i < count; i++)
        ck_assert_int_eq(sim_send(session, bytes), RUDP_OK);
    sim_node_leave(session->node);
}

void run_until_delivered(struct sim *sim)
{
    bool settled = sim_run_until(sim, sim_is_settled, sim->now_us + PATIENCE_US);

    ck_assert_msg(!sim->failed, "%s", sim->failure);
    ck_assert(settled);
}

void finish(struct sim *sim)
{
    char failure[SIM_FAILURE_BYTES_MAX];

    ck_assert_msg(sim_destroy(sim, failure), "%s", failure);
}
