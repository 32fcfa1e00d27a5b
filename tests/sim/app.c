#include "tests/sim/app.h"

#include "tests/sim/check.h"

#define EDGE_SIZE_PPM    100000u
#define SHORT_BUFFER_PPM 200000u

static const size_t edge_sizes[] = {0, 1, 100, 1200, 1201, 9000, 65507};

static void on_send_timer(void *context, void *owned);
static void on_read_timer(void *context, void *owned);

static bool is_live(const struct sim_session *session)
{
    return session->core != NULL && !session->ended && !session->closed;
}

static size_t draw_any_bytes(struct sim_session *session)
{
    const struct sim_app *app = &session->app;

    if (app->edge_sizes && sim_random_chance(&session->random, EDGE_SIZE_PPM)) {
        size_t count = sizeof edge_sizes / sizeof edge_sizes[0];
        size_t bytes = edge_sizes[sim_random_between(&session->random, 0, count - 1)];

        if (bytes >= app->bytes_min)
            return bytes;
    }
    return (size_t)sim_random_between(&session->random, app->bytes_min, app->bytes_max);
}

static size_t draw_bytes(struct sim_session *session)
{
    size_t bytes = draw_any_bytes(session);

    if (session->flow.count == 0 && bytes < session->app.first_bytes_min)
        return session->app.first_bytes_min;
    return bytes;
}

static bool is_done(const struct sim_session *session)
{
    return session->flow.count == session->app.message_count &&
           session->read_count >= session->app.expected_count;
}

static void end_if_due(struct sim_session *session)
{
    if (!is_live(session))
        return;
    bool sent = session->flow.count == session->app.message_count;

    if ((session->app.end == SIM_END_WHEN_SENT && sent) ||
        (session->app.end == SIM_END_WHEN_DONE && is_done(session))) {
        if (session->app.aborts)
            sim_abort(session);
        else
            sim_close(session);
    }
}

/* Sends until the batch is out or the core has no room. */
static void send_batch(struct sim_session *session)
{
    const struct sim_app *app = &session->app;
    uint32_t left = app->batch_count > 0 ? app->batch_count : UINT32_MAX;

    while (is_live(session) && session->flow.count < app->message_count && left-- > 0) {
        if (!session->next_drawn) {
            session->next_bytes = draw_bytes(session);
            session->next_drawn = true;
        }
        enum rudp_status status = sim_send(session, session->next_bytes);

        /* Closed means that the peer ended it: CLOSED follows. */
        if (status == RUDP_E_FULL || status == RUDP_E_MEMORY || status == RUDP_E_CLOSED) {
            session->waits_writable = true;
            return;
        }
        if (status != RUDP_OK) {
            sim_fail(session->sim, "session %u: send says %s", session->id,
                     rudp_status_name(status));
            return;
        }
    }
    if (is_live(session) && session->flow.count < app->message_count)
        sim_at(session->sim, session->sim->now_us + app->batch_gap_us, on_send_timer, session,
               NULL);
    end_if_due(session);
}

static void on_send_timer(void *context, void *owned)
{
    struct sim_session *session = context;

    (void)owned;
    if (!is_live(session) || session->waits_writable)
        return;
    sim_node_enter(session->node);
    send_batch(session);
    sim_node_leave(session->node);
}

static void on_end_timer(void *context, void *owned)
{
    struct sim_session *session = context;

    (void)owned;
    if (!is_live(session))
        return;
    if (session->app.aborts)
        sim_abort(session);
    else
        sim_close(session);
}

static void release(void *context, void *owned)
{
    struct sim_session *session = context;

    (void)owned;
    if (session->core == NULL)
        return;
    rudp_session_release(session->node->endpoint, session->core);
    session->core = NULL;
}

/* True when a message was taken. */
static bool read_one(struct sim_session *session)
{
    static uint8_t buffer[RUDP_MESSAGE_BYTES_MAX]; /* content does not outlive the call */
    struct rudp_endpoint *endpoint = session->node->endpoint;
    size_t room = sizeof buffer;
    size_t bytes = 0;

    if (session->app.short_buffers && sim_random_chance(&session->random, SHORT_BUFFER_PPM))
        room = 0;
    enum rudp_status status = rudp_session_peek(endpoint, session->core, buffer, room, &bytes);

    if (status == RUDP_E_BUFFER && bytes > room)
        status = rudp_session_peek(endpoint, session->core, buffer, bytes, &bytes);
    if (status == RUDP_E_EMPTY)
        return false;
    if (status != RUDP_OK) {
        sim_fail(session->sim, "session %u: peek says %s", session->id, rudp_status_name(status));
        return false;
    }
    sim_check_message(session, buffer, bytes);
    session->read_count++;
    session->last_read_us = session->sim->now_us;
    sim_log_note(&session->sim->log, session->sim->now_us, session->node->index, "read",
                 session->id, bytes);
    rudp_session_consume(endpoint, session->core, session->sim->now_us);
    return true;
}

static void file_read(struct sim_session *session, uint64_t at_us)
{
    if (session->read_filed)
        return;
    session->read_filed = true;
    sim_at(session->sim, at_us, on_read_timer, session, NULL);
}

/* What a closed session still held was read: the program gives it back. */
static void finish(struct sim_session *session)
{
    if (session->app.release_after_us == 0)
        release(session, NULL);
    else
        sim_at(session->sim, session->sim->now_us + session->app.release_after_us, release, session,
               NULL);
}

void sim_app_read(struct sim_session *session)
{
    struct sim *sim = session->sim;

    /* A program that ended its session does not read on: that is what ending means. */
    if (session->core == NULL || session->reading_paused || (session->ended && !session->closed))
        return;
    if (sim->now_us < session->app.read_from_us) {
        file_read(session, session->app.read_from_us);
        return;
    }
    if (session->app.read_gap_us > 0 &&
        sim->now_us < session->last_read_us + session->app.read_gap_us) {
        file_read(session, session->last_read_us + session->app.read_gap_us);
        return;
    }
    while (!session->ended && !sim->failed && read_one(session)) {
        end_if_due(session);
        if (session->app.read_gap_us > 0) {
            file_read(session, sim->now_us + session->app.read_gap_us);
            return;
        }
    }
    if (session->closed)
        finish(session);
}

static void on_read_timer(void *context, void *owned)
{
    struct sim_session *session = context;

    (void)owned;
    session->read_filed = false;
    if (session->core == NULL)
        return;
    sim_node_enter(session->node);
    sim_app_read(session);
    sim_node_leave(session->node);
}

void sim_app_start(struct sim_session *session)
{
    struct sim *sim = session->sim;

    bool acts = session->app.message_count > 0 || session->app.end == SIM_END_WHEN_SENT ||
                session->app.end == SIM_END_WHEN_DONE;

    if (acts && sim->now_us < session->app.start_us)
        sim_at(sim, session->app.start_us, on_send_timer, session, NULL);
    else if (acts) /* before the hello leaves: it takes the first messages along */
        send_batch(session);
    if (session->app.end == SIM_END_AT)
        sim_at(sim, max_u64(sim->now_us, session->app.end_us), on_end_timer, session, NULL);
}

/* What the core says was not delivered when it began anew is where the new incarnation begins. */
static void note_restart(struct sim_session *session)
{
    struct rudp_session_stats stats = sim_stats(session);
    uint64_t pushed_bytes = sim_flow_offset(&session->flow, session->flow.count);

    if (stats.queued_bytes > pushed_bytes) {
        sim_fail(session->sim, "session %u: more queued than sent", session->id);
        return;
    }
    uint32_t base = sim_flow_count_at(&session->flow, pushed_bytes - stats.queued_bytes);

    if (base == SIM_FLOW_NONE) {
        sim_fail(session->sim, "session %u: a new incarnation begins inside a message",
                 session->id);
        return;
    }
    if (session->base_count == SIM_BASES_MAX) {
        sim_fail(session->sim, "session %u: began anew too often", session->id);
        return;
    }
    session->base_us[session->base_count] = session->sim->now_us;
    session->bound_incarnations[session->base_count] = 0;
    session->bases[session->base_count++] = base;
}

static struct sim_session *on_opened(struct sim_node *node, struct rudp_session *core)
{
    const struct rudp_path *path = rudp_session_path(core);
    struct sim_app app = node->accept_app;
    uint32_t ended_count = 0;

    for (uint32_t i = 0; i < node->sim->session_count; i++)
        ended_count += node->sim->sessions[i]->node == node && node->sim->sessions[i]->ended;
    if (node->leave_count_max > 0 && ended_count >= node->leave_count_max)
        app.end = SIM_END_NEVER;
    return sim_session_add(node, core, sim_node_at(node->sim, &path->remote), false, &app);
}

static void on_closed(struct sim_session *session, const struct rudp_event *event)
{
    session->closed = true;
    session->reason = event->reason;
    session->undelivered_bytes = event->undelivered_bytes;
    sim_app_read(session);
}

void sim_app_on_event(struct sim_node *node, const struct rudp_event *event)
{
    struct sim *sim = node->sim;
    struct sim_session *session = NULL;

    if (event->type == RUDP_EVENT_OPENED)
        session = on_opened(node, event->session);
    else
        session = sim->sessions[rudp_session_tag(event->session)];
    sim_log_note(&sim->log, sim->now_us, node->index, "event", event->type, session->id);
    sim_check_event(session, event);
    switch (event->type) {
    case RUDP_EVENT_OPENED:
        break;
    case RUDP_EVENT_ESTABLISHED:
        session->established = true;
        session->established_us = sim->now_us;
        break;
    case RUDP_EVENT_READABLE:
        sim_app_read(session);
        break;
    case RUDP_EVENT_WRITABLE:
        session->waits_writable = false;
        send_batch(session);
        break;
    case RUDP_EVENT_PEER_RESTARTED:
        note_restart(session);
        break;
    case RUDP_EVENT_MOVED:
        session->moved = true;
        break;
    case RUDP_EVENT_UNCONFIRMED: /* this program consumes what it reads */
        break;
    case RUDP_EVENT_CLOSED:
        on_closed(session, event);
        break;
    }
}
