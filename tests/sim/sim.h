/* sim.h - the deterministic simulator: endpoints of the session core on a seeded network, in
 * virtual time, with a model of the programs above them. After every step the invariants of check.h
 * hold, or the run stops with sim->failure saying which one broke. The same seed and options replay
 * the same run, bit for bit.
 *
 * A run is a queue of actions plus each endpoint's deadline; sim_step does whatever comes next. */
#ifndef RUDP_TESTS_SIM_SIM_H
#define RUDP_TESTS_SIM_SIM_H

#include "core/endpoint.h"
#include "tests/sim/flow.h"
#include "tests/sim/log.h"
#include "tests/sim/memory.h"
#include "tests/sim/network.h"
#include "tests/sim/queue.h"
#include "tests/sim/random.h"

/* The two nodes of a run that has only two. */
#define SIM_CLIENT 0u
#define SIM_SERVER 1u

#define SIM_FAILURE_BYTES_MAX 256u
#define SIM_BASES_MAX         512u /* a peer is called for CONNECT_US of scenario.c, once a second */
#define SIM_RECORDED_COUNT    32u

/* When the program ends its session. */
enum sim_end {
    SIM_END_NEVER,
    SIM_END_WHEN_SENT, /* right after its last message was accepted */
    SIM_END_WHEN_DONE, /* all sent, and expected_count messages read */
    SIM_END_AT,        /* at end_us, whatever the state */
};

/* What the program above one session does. All zero: sends nothing, reads at once, never ends. */
struct sim_app {
    uint32_t message_count; /* to send */
    size_t bytes_min;       /* of a message */
    size_t bytes_max;
    size_t first_bytes_min; /* of the first message, where that is more */
    bool edge_sizes;        /* some messages have one of the sizes where something changes */
    uint32_t batch_count;   /* messages in a row; 0: all of them */
    uint64_t batch_gap_us;  /* between batches */
    uint64_t start_us;      /* virtual time of the first send */
    uint64_t read_gap_us;   /* one message each time; 0: all as soon as they arrive */
    uint64_t read_from_us;  /* virtual time before which nothing is read */
    bool short_buffers;     /* offers a buffer that is too small first, now and then */
    enum sim_end end;
    bool aborts; /* ends by abort, not by close */
    uint64_t end_us;
    uint32_t expected_count;
    uint64_t release_after_us; /* how long a closed session is kept */
};

struct sim;
struct sim_node;

/* A program's view of one session. */
struct sim_session {
    struct sim *sim;
    struct sim_node *node;
    struct sim_node *peer;     /* NULL: from an address where no node is */
    struct rudp_session *core; /* NULL once released or gone */
    uint32_t id;               /* the core's tag */
    uint32_t peer_incarnation; /* of the peer's endpoint when this session began */
    bool opener;
    bool gone; /* its endpoint was destroyed under it */
    bool established;
    bool ended;  /* the program called close or abort */
    bool closed; /* CLOSED came */
    bool moved;  /* MOVED came */
    bool reading_paused;
    bool read_filed;
    bool waits_writable;
    enum rudp_close_reason reason;
    uint64_t undelivered_bytes;
    uint64_t opened_us;
    uint64_t established_us;
    struct sim_app app;
    struct sim_random random;
    size_t next_bytes; /* of the message to send next, once drawn */
    bool next_drawn;
    uint32_t full_count; /* sends refused for want of room */
    uint32_t read_count;
    uint64_t last_read_us;

    /* What it sends. An incarnation of the peer gets the messages from bases[i] on. */
    struct sim_flow flow;
    uint32_t bases[SIM_BASES_MAX];
    uint64_t base_us[SIM_BASES_MAX]; /* when each began */
    uint32_t
        bound_incarnations[SIM_BASES_MAX]; /* endpoint that reads it, counted from 1; 0: none */
    uint32_t base_count;

    /* What it reads: the flow it was found to be, see check.h. */
    struct sim_session *source;
    uint64_t binding;
    uint32_t binding_count;
    uint32_t source_base;
    uint32_t next_index; /* lowest index that this binding has not delivered */
};

/* Bytes between a node and one address, to check what is sent before the address is proven. */
struct sim_contact {
    struct rudp_address address;
    uint64_t received_bytes;
    uint64_t sent_bytes;
    bool called; /* this node opened a session to it */
    bool hello_received;
    bool proven;
};

/* One program's UDP socket. */
struct sim_node {
    struct sim *sim;
    uint32_t index;
    uint32_t incarnation; /* endpoints created so far */
    struct rudp_config config;
    struct rudp_endpoint *endpoint;
    struct sim_memory memory;
    struct sim_random random;    /* what the core gets; the network does not disturb it */
    struct rudp_address address; /* as others see it: a NAT may change it */
    struct rudp_address local;
    uint32_t address_count;    /* addresses had so far */
    struct sim_app accept_app; /* of sessions that others open */
    uint32_t leave_count_max;  /* so many of them are ended, then one is kept; 0: no such bound */
    uint32_t enter_depth;
    uint64_t wake_us;          /* when advance is called next */
    uint64_t wake_slack_us;    /* timers fire up to this late */
    uint32_t packet_bytes_max; /* what its packets may measure */
    struct sim_contact *contacts;
    size_t contact_count;
    size_t contact_capacity;
    uint64_t sent_packet_count;
    uint64_t received_packet_count;
};

enum sim_fate {
    SIM_PASS, /* on to the network */
    SIM_DROP,
    SIM_HOLD, /* arrives after sim->hold_us, past the network */
};

/* Sees every packet that leaves a node, and decides. */
typedef enum sim_fate (*sim_tap)(void *context, struct sim *sim, const struct sim_node *from,
                                 const uint8_t *packet, size_t bytes);

struct sim_recorded {
    struct rudp_path path; /* remote: the sender, local: the node it went to */
    uint64_t at_us;
    uint8_t *packet;
    size_t bytes;
};

struct sim {
    uint64_t seed;
    uint64_t now_us;
    struct sim_random random;
    struct sim_node *nodes;
    uint32_t node_count;
    struct sim_link *links; /* [from * node_count + to] */
    struct sim_session **sessions;
    uint32_t session_count;
    uint32_t session_capacity;
    struct sim_queue queue;
    struct sim_log log;
    uint64_t binding_count;
    uint64_t step_count;
    uint32_t reasons_allowed; /* bit (1 << reason): a session may end so */
    sim_tap tap;
    void *tap_context;
    uint64_t hold_us;
    struct sim_recorded recorded[SIM_RECORDED_COUNT]; /* the latest packets, for replays */
    uint64_t recorded_count;
    bool failed;
    char failure[SIM_FAILURE_BYTES_MAX];
};

struct sim_options {
    uint64_t seed;
    uint32_t node_count;                     /* 0: two */
    uint64_t latency_us;                     /* one way, on every link */
    const struct rudp_config *config;        /* of every node; NULL: the defaults */
    const struct rudp_config *server_config; /* of SIM_SERVER, where it differs; NULL: the same */
    FILE *log_file;                          /* NULL: no text */
};

/* Nodes accept sessions; the clock starts at a second. */
struct sim *sim_create(const struct sim_options *options);

/* Destroys the endpoints, then checks that they gave all memory back. Returns false when an
 * invariant broke in this or in the run; failure then says which. */
bool sim_destroy(struct sim *sim, char failure[SIM_FAILURE_BYTES_MAX]);

struct sim_link *sim_link(struct sim *sim, uint32_t from, uint32_t to);
void sim_fail(struct sim *sim, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* Opens a session whose program is app (NULL: all zero) and whose peer is at node to. NULL when the
 * core refuses. */
struct sim_session *sim_open(struct sim *sim, uint32_t from, uint32_t to,
                             const struct sim_app *app);

/* The newest session of node, NULL when there is none. */
struct sim_session *sim_latest(struct sim *sim, uint32_t node);

/* The program sends its next message, of that many bytes, now. */
enum rudp_status sim_send(struct sim_session *session, size_t bytes);
void sim_close(struct sim_session *session);
void sim_abort(struct sim_session *session);

/* The program stops and starts to read. */
void sim_pause_reading(struct sim_session *session);
void sim_resume_reading(struct sim_session *session);

struct rudp_session_stats sim_stats(const struct sim_session *session);
struct rudp_endpoint_stats sim_endpoint_stats(const struct sim_node *node);

/* Does what comes next. False when nothing is left to do or an invariant broke. */
bool sim_step(struct sim *sim);
void sim_run_until_us(struct sim *sim, uint64_t until_us);
void sim_run_for_us(struct sim *sim, uint64_t duration_us);

/* Runs until met(sim) or limit_us of virtual time passed, which is the result false. */
bool sim_run_until(struct sim *sim, bool (*met)(const struct sim *sim), uint64_t limit_us);

/* Every session is closed, or everything it accepted was delivered: sim_run_until's usual goal. */
bool sim_is_settled(const struct sim *sim);

/* The next count packets in that direction are lost. */
void sim_drop_next(struct sim *sim, uint32_t from, uint32_t to, uint64_t count);

/* A NAT in front of the node gives it another address. */
void sim_rebind(struct sim *sim, uint32_t node);

/* The node's program dies without a word and starts again at the same address. */
void sim_restart(struct sim *sim, uint32_t node);

/* A packet from a source of the attacker's choosing arrives at the node now. */
void sim_inject(struct sim *sim, uint32_t to, const struct rudp_address *source,
                const uint8_t *packet, size_t bytes);

/* A packet that a node once sent arrives again, perhaps from elsewhere. */
void sim_replay(struct sim *sim, uint32_t to, const struct rudp_address *source,
                const uint8_t *packet, size_t bytes);

/* An address where no node is. */
struct rudp_address sim_stranger(uint32_t number);

/* Files an action at at_us. */
void sim_at(struct sim *sim, uint64_t at_us, void (*run)(void *context, void *owned), void *context,
            void *owned);

/* Around calls of the core: the outermost leave runs the two loops of endpoint.h. Nest freely. */
void sim_node_enter(struct sim_node *node);
void sim_node_leave(struct sim_node *node);
struct sim_node *sim_node_at(struct sim *sim, const struct rudp_address *address);
struct sim_session *sim_session_add(struct sim_node *node, struct rudp_session *core,
                                    struct sim_node *peer, bool opener, const struct sim_app *app);

#endif
