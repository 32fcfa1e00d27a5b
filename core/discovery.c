#include "core/discovery.h"

void rudp_discovery_init(struct rudp_discovery *discovery,
                         const struct rudp_discovery_options *options)
{
    RUDP_ASSERT(discovery->use_count == 0);
    discovery->options = *options;
}

/* --- What is known ---------------------------------------------------------------------------- */

static struct rudp_discovery_peer *set_of(struct rudp_discovery *discovery,
                                          const struct rudp_address *address)
{
    uint64_t hash = rudp_siphash(&discovery->options.key, address, sizeof *address);

    return discovery->peers[hash % RUDP_DISCOVERY_SET_COUNT];
}

static struct rudp_discovery_peer *find(struct rudp_discovery *discovery,
                                        const struct rudp_address *address)
{
    struct rudp_discovery_peer *set = set_of(discovery, address);

    for (size_t index = 0; index < RUDP_DISCOVERY_WAY_COUNT; index++) {
        if (set[index].used_at == 0 || !rudp_address_equal(&set[index].address, address))
            continue;
        set[index].used_at = ++discovery->use_count;
        return &set[index];
    }
    return NULL;
}

static struct rudp_discovery_peer *find_or_add(struct rudp_discovery *discovery,
                                               const struct rudp_address *address)
{
    struct rudp_discovery_peer *peer = find(discovery, address);
    struct rudp_discovery_peer *set = set_of(discovery, address);

    if (peer != NULL)
        return peer;
    peer = &set[0];
    for (size_t index = 1; index < RUDP_DISCOVERY_WAY_COUNT; index++)
        if (set[index].used_at < peer->used_at)
            peer = &set[index];
    *peer = (struct rudp_discovery_peer){
        .address = *address,
        .used_at = ++discovery->use_count,
    };
    return peer;
}

static enum rudp_peer_kind kind_of(const struct rudp_discovery_peer *peer, uint64_t now_us)
{
    if (peer == NULL)
        return RUDP_PEER_UNKNOWN;
    /* A "no" that is too old still stands until the question is answered anew. */
    bool is_stale = peer->kind == RUDP_PEER_SPEAKS && !peer->is_proven && now_us >= peer->until_us;

    return is_stale ? RUDP_PEER_UNKNOWN : peer->kind;
}

/* --- Questions -------------------------------------------------------------------------------- */

static struct rudp_question *find_question(struct rudp_discovery *discovery,
                                           const struct rudp_address *peer)
{
    for (size_t index = 0; discovery->question_count > 0 && index < RUDP_DISCOVERY_QUESTION_COUNT;
         index++)
        if (rudp_address_equal(&discovery->questions[index].peer, peer))
            return &discovery->questions[index];
    return NULL;
}

static uint64_t make_nonce(struct rudp_discovery *discovery)
{
    uint64_t count = ++discovery->nonce_count;

    return rudp_siphash(&discovery->options.key, &count, sizeof count);
}

/* False: too many are open. */
static bool ask(struct rudp_discovery *discovery, const struct rudp_address *peer, uint64_t now_us)
{
    size_t index = 0;

    if (find_question(discovery, peer) != NULL)
        return true;
    if (discovery->question_count == RUDP_DISCOVERY_QUESTION_COUNT)
        return false;
    while (discovery->questions[index].peer.port != 0)
        index++;
    discovery->questions[index] = (struct rudp_question){
        .peer = *peer,
        .nonce = make_nonce(discovery),
        .wait_us = max_u64(1, discovery->options.rto_initial_us / RUDP_DISCOVERY_FIRST_FRACTION),
        .next_us = now_us,
    };
    discovery->question_count++;
    return true;
}

static void close_question(struct rudp_discovery *discovery, struct rudp_question *question)
{
    question->peer.port = 0;
    discovery->question_count--;
}

static void decide(struct rudp_discovery *discovery, struct rudp_question *question, bool speaks,
                   uint64_t now_us)
{
    struct rudp_discovery_peer *peer = find_or_add(discovery, &question->peer);

    close_question(discovery, question);
    if (peer->is_proven)
        return;
    peer->kind = speaks ? RUDP_PEER_SPEAKS : RUDP_PEER_PLAIN;
    if (speaks)
        peer->no_us = 0;
    else if (peer->no_us == 0)
        peer->no_us = RUDP_DISCOVERY_NO_US;
    else
        peer->no_us = min_u64(2 * peer->no_us, RUDP_DISCOVERY_YES_US);
    peer->until_us = add_ceil_u64(now_us, speaks ? RUDP_DISCOVERY_YES_US : peer->no_us);
}

/* ---------------------------------------------------------------------------------------------- */

enum rudp_peer_kind rudp_discovery_kind(struct rudp_discovery *discovery,
                                        const struct rudp_address *peer, uint64_t now_us)
{
    enum rudp_peer_kind kind = kind_of(find(discovery, peer), now_us);

    if (kind == RUDP_PEER_UNKNOWN && find_question(discovery, peer) != NULL)
        return RUDP_PEER_ASKED;
    return kind;
}

enum rudp_peer_kind rudp_discovery_consult(struct rudp_discovery *discovery,
                                           const struct rudp_address *peer, uint64_t now_us)
{
    RUDP_ASSERT(peer->port != 0);
    const struct rudp_discovery_peer *known = find(discovery, peer);
    enum rudp_peer_kind kind = kind_of(known, now_us);

    if (discovery->options.port == 0)
        return kind;
    if (kind == RUDP_PEER_PLAIN && now_us >= known->until_us)
        (void)ask(discovery, peer, now_us);
    if (kind != RUDP_PEER_UNKNOWN)
        return kind;
    return ask(discovery, peer, now_us) ? RUDP_PEER_ASKED : RUDP_PEER_UNKNOWN;
}

void rudp_discovery_heard_protocol(struct rudp_discovery *discovery,
                                   const struct rudp_address *peer)
{
    struct rudp_question *question = find_question(discovery, peer);
    bool asks = discovery->options.port != 0;
    struct rudp_discovery_peer *known = asks ? find_or_add(discovery, peer) : find(discovery, peer);

    if (question != NULL)
        close_question(discovery, question);
    if (known == NULL)
        return;
    known->kind = asks ? RUDP_PEER_SPEAKS : RUDP_PEER_UNKNOWN;
    known->is_proven = asks;
}

void rudp_discovery_heard_plain(struct rudp_discovery *discovery, const struct rudp_address *peer,
                                uint64_t now_us)
{
    if (find_question(discovery, peer) != NULL)
        return;
    struct rudp_discovery_peer *known = find_or_add(discovery, peer);

    if (known->kind == RUDP_PEER_PLAIN)
        return;
    known->kind = RUDP_PEER_PLAIN;
    known->is_proven = false;
    known->no_us = RUDP_DISCOVERY_NO_US;
    known->until_us = add_ceil_u64(now_us, RUDP_DISCOVERY_NO_US);
}

void rudp_discovery_doubt(struct rudp_discovery *discovery, const struct rudp_address *peer)
{
    struct rudp_discovery_peer *known = find(discovery, peer);

    if (known != NULL && known->kind == RUDP_PEER_SPEAKS && !known->is_proven)
        known->kind = RUDP_PEER_UNKNOWN;
}

bool rudp_discovery_next_query(struct rudp_discovery *discovery, struct rudp_address *to,
                               uint8_t out[RUDP_QUERY_BYTES], uint64_t now_us)
{
    for (size_t index = 0; discovery->question_count > 0 && index < RUDP_DISCOVERY_QUESTION_COUNT;
         index++) {
        struct rudp_question *question = &discovery->questions[index];
        const struct rudp_query query = {
            .type = RUDP_QUERY_ASK,
            .port = question->peer.port,
            .nonce = question->nonce,
        };

        if (question->peer.port == 0 || now_us < question->next_us ||
            question->sent_count == RUDP_DISCOVERY_QUERY_COUNT)
            continue;
        if (question->sent_count++ > 0)
            question->wait_us += question->wait_us / 2;
        question->next_us = add_ceil_u64(now_us, question->wait_us);
        *to = question->peer;
        to->port = discovery->options.port;
        rudp_query_write(&query, out);
        return true;
    }
    return false;
}

bool rudp_discovery_advance(struct rudp_discovery *discovery, uint64_t now_us)
{
    bool is_changed = false;

    for (size_t index = 0; discovery->question_count > 0 && index < RUDP_DISCOVERY_QUESTION_COUNT;
         index++) {
        struct rudp_question *question = &discovery->questions[index];

        if (question->peer.port == 0 || now_us < question->next_us ||
            question->sent_count < RUDP_DISCOVERY_QUERY_COUNT)
            continue;
        decide(discovery, question, false, now_us);
        is_changed = true;
    }
    return is_changed;
}

static bool is_same_host(const struct rudp_address *a, const struct rudp_address *b)
{
    return memcmp(a->ip, b->ip, sizeof a->ip) == 0 && a->scope == b->scope;
}

bool rudp_discovery_receive(struct rudp_discovery *discovery, const struct rudp_address *from,
                            const void *data, size_t bytes, uint64_t now_us)
{
    struct rudp_query answer;
    struct rudp_address peer = *from;

    if (rudp_query_read(data, bytes, &answer) != RUDP_OK || answer.type == RUDP_QUERY_ASK ||
        from->port != discovery->options.port)
        return false;
    peer.port = answer.port;
    struct rudp_question *question = find_question(discovery, &peer);

    if (question == NULL || question->nonce != answer.nonce || question->sent_count == 0)
        return false;
    decide(discovery, question, answer.type == RUDP_QUERY_YES, now_us);
    return true;
}

bool rudp_discovery_refused(struct rudp_discovery *discovery, const struct rudp_address *to,
                            const void *data, size_t bytes, uint64_t now_us)
{
    struct rudp_query query;
    bool is_quoted = rudp_query_read(data, bytes, &query) == RUDP_OK;
    bool is_changed = false;

    if (to->port != discovery->options.port)
        return false;
    for (size_t index = 0; discovery->question_count > 0 && index < RUDP_DISCOVERY_QUESTION_COUNT;
         index++) {
        struct rudp_question *question = &discovery->questions[index];

        if (question->peer.port == 0 || question->sent_count == 0 ||
            !is_same_host(&question->peer, to) || (is_quoted && question->nonce != query.nonce))
            continue;
        decide(discovery, question, false, now_us);
        is_changed = true;
    }
    return is_changed;
}

void rudp_discovery_drop_questions(struct rudp_discovery *discovery)
{
    memset(discovery->questions, 0, sizeof discovery->questions);
    discovery->question_count = 0;
}

uint64_t rudp_discovery_deadline_us(const struct rudp_discovery *discovery)
{
    uint64_t deadline_us = RUDP_NEVER;

    for (size_t index = 0; discovery->question_count > 0 && index < RUDP_DISCOVERY_QUESTION_COUNT;
         index++)
        if (discovery->questions[index].peer.port != 0)
            deadline_us = min_u64(deadline_us, discovery->questions[index].next_us);
    return deadline_us;
}
