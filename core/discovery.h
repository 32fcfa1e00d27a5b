/* discovery.h - which peers speak the protocol: what is known of them, and the questions to those
 * of whom nothing is (docs/protocol.md section 9).
 *
 * Sans-I/O as the rest of the core: answers and time go in, queries and a deadline come out. No
 * allocation, no failure: all of it is one struct of fixed size, and of too many peers the one that
 * was not used for the longest time is forgotten. Not thread-safe. */
#ifndef RUDP_CORE_DISCOVERY_H
#define RUDP_CORE_DISCOVERY_H

#include "core/address.h"
#include "core/query.h"
#include "core/siphash.h"

#define RUDP_DISCOVERY_QUESTION_COUNT 256u /* open at once */
#define RUDP_DISCOVERY_SET_COUNT      512u
#define RUDP_DISCOVERY_WAY_COUNT                                                                   \
    8u /* peers are kept in sets of so many, chosen by a keyed hash                                \
        */

/* A question: the first query, and again after RUDP_RTO_INITIAL / 8, each wait half as long again
 * as the last. With the default of 500 ms silence is an answer after 2.0 s. */
#define RUDP_DISCOVERY_QUERY_COUNT    7u
#define RUDP_DISCOVERY_FIRST_FRACTION 8u

/* How long answers hold. A "no" is asked again in the background, and each further one holds twice
 * as long, up to the time a "yes" does. */
#define RUDP_DISCOVERY_YES_US (3600 * (uint64_t)RUDP_US_PER_S)
#define RUDP_DISCOVERY_NO_US  (60 * (uint64_t)RUDP_US_PER_S)

enum rudp_peer_kind {
    RUDP_PEER_UNKNOWN,
    RUDP_PEER_ASKED,  /* a question is under way */
    RUDP_PEER_SPEAKS, /* it speaks the protocol */
    RUDP_PEER_PLAIN,  /* it does not */
};

struct rudp_discovery_peer {
    struct rudp_address address;
    uint64_t used_at;  /* the table's count of uses then; 0: free */
    uint64_t until_us; /* the answer holds */
    uint64_t no_us;    /* how long the last "no" held */
    enum rudp_peer_kind kind;
    bool is_proven; /* it was heard speaking: no answer and no silence changes that */
};

struct rudp_question {
    struct rudp_address peer; /* port 0: free */
    uint64_t nonce;
    uint64_t wait_us; /* the current wait */
    uint64_t next_us; /* it is over */
    uint32_t sent_count;
};

struct rudp_discovery_options {
    struct rudp_siphash_key key; /* random and secret */
    uint64_t rto_initial_us;
    uint16_t port; /* where hosts are asked; 0: nobody is ever asked */
};

struct rudp_discovery {
    struct rudp_discovery_options options;
    uint64_t use_count;
    uint64_t nonce_count;
    uint32_t question_count;
    struct rudp_question questions[RUDP_DISCOVERY_QUESTION_COUNT];
    struct rudp_discovery_peer peers[RUDP_DISCOVERY_SET_COUNT][RUDP_DISCOVERY_WAY_COUNT];
};

/* discovery is all zero. */
void rudp_discovery_init(struct rudp_discovery *discovery,
                         const struct rudp_discovery_options *options);

/* What is known of a peer that something is to be sent to; asks where that should be found out.
 * ASKED: hold it until rudp_discovery_kind says otherwise. UNKNOWN: nobody is asked, or there are
 * too many questions. */
enum rudp_peer_kind rudp_discovery_consult(struct rudp_discovery *discovery,
                                           const struct rudp_address *peer, uint64_t now_us);

/* The same without asking. */
enum rudp_peer_kind rudp_discovery_kind(struct rudp_discovery *discovery,
                                        const struct rudp_address *peer, uint64_t now_us);

/* The peer said hello or acknowledged something: it speaks. */
void rudp_discovery_heard_protocol(struct rudp_discovery *discovery,
                                   const struct rudp_address *peer);

/* A plain datagram came from a peer with whom there is no session, and the program takes those: the
 * answer goes the same way. Unless it is being asked. */
void rudp_discovery_heard_plain(struct rudp_discovery *discovery, const struct rudp_address *peer,
                                uint64_t now_us);

/* A "yes" turned out wrong: the peer never answered. Harmless otherwise. */
void rudp_discovery_doubt(struct rudp_discovery *discovery, const struct rudp_address *peer);

/* Writes a query that is due. False: none is. */
bool rudp_discovery_next_query(struct rudp_discovery *discovery, struct rudp_address *to,
                               uint8_t out[RUDP_QUERY_BYTES], uint64_t now_us);

/* Takes silence that lasted long enough for an answer. After any call that returns true, look at
 * those that wait: a peer's kind has changed. */
bool rudp_discovery_advance(struct rudp_discovery *discovery, uint64_t now_us);

/* Bytes from the network. Anything that is no answer to a query of ours, from where that went, is
 * dropped. */
bool rudp_discovery_receive(struct rudp_discovery *discovery, const struct rudp_address *from,
                            const void *data, size_t bytes, uint64_t now_us);

/* The network said that nobody is at the port where "to" was asked; data is what it quoted of the
 * query, which may be cut short. */
bool rudp_discovery_refused(struct rudp_discovery *discovery, const struct rudp_address *to,
                            const void *data, size_t bytes, uint64_t now_us);

/* Forgets all questions, but not what is known: those who waited have to ask anew. */
void rudp_discovery_drop_questions(struct rudp_discovery *discovery);

/* When to call rudp_discovery_advance and rudp_discovery_next_query; RUDP_NEVER. */
uint64_t rudp_discovery_deadline_us(const struct rudp_discovery *discovery);

#endif
