#include "tools/impair/options.h"

#include "tools/impair/units.h"

#include <argp.h>
#include <arpa/inet.h>
#include <netdb.h>
#include <stdio.h>
#include <string.h>

#define SEED_DEFAULT       1u
#define CLIENTS_DEFAULT    256u
#define IDLE_US_DEFAULT    60000000u
#define MEMORY_DEFAULT     (64u << 20)
#define MEMORY_MAX         (1ull << 34)
#define QUEUE_DEFAULT      (256u << 10)
#define REORDER_US_DEFAULT 20000u

/* X(name, option, value, help): the settings of a link; each option exists three times. */
#define LINK_OPTION_MAP(X)                                                                         \
    X(LOSS, "loss", "PERCENT", "Lose datagrams, each on its own")                                  \
    X(BURST, "burst-loss", "ENTER,LEAVE[,LOSS]",                                                   \
      "Lose in bursts (Gilbert-Elliott): percent per datagram to enter and to leave the bad "      \
      "state, and of loss in it (100)")                                                            \
    X(DELAY, "delay", "TIME", "Delay every datagram")                                              \
    X(JITTER, "jitter", "TIME", "Delay by up to TIME more, uniformly; keeps the order")            \
    X(RATE, "rate", "RATE", "Limit to RATE bit/s of UDP payload (suffixes k, M, G)")               \
    X(QUEUE, "queue", "BYTES", "What may wait for the rate limit (256K); more is dropped")         \
    X(REORDER, "reorder", "PERCENT", "Hold datagrams back, so that later ones overtake them")      \
    X(REORDER_BY, "reorder-by", "TIME", "For how long (20ms)")                                     \
    X(DUPLICATE, "duplicate", "PERCENT", "Send datagrams twice")                                   \
    X(CORRUPT, "corrupt", "PERCENT", "Flip one bit")                                               \
    X(TRUNCATE, "truncate", "PERCENT", "Cut datagrams short")

enum link_option {
#define X(name, option, value, help) LINK_##name,
    LINK_OPTION_MAP(X)
#undef X
};

enum {
    SCOPE_BOTH,
    SCOPE_UP,
    SCOPE_DOWN,
    SCOPE_COUNT
};

#define KEY_LINK_FIRST        0x1000
#define KEY_LINK(name, scope) (KEY_LINK_FIRST + LINK_##name * SCOPE_COUNT + (scope))

enum {
    KEY_FORWARD = 'f',
    KEY_SEED = 's',
    KEY_BIND = 'b',
    KEY_CLIENTS = 0x2000,
    KEY_IDLE,
    KEY_MEMORY,
    KEY_DURATION,
    KEY_JSON,
};

static const struct argp_option option_table[] = {
    {"forward", KEY_FORWARD, "PORT:HOST:PORT", 0,
     "Listen on the first port (0: any free one) and pass datagrams on to HOST:PORT. May be "
     "given many times. An IPv6 HOST goes in brackets",
     1},
    {"bind", KEY_BIND, "ADDRESS", 0, "Numeric address to listen on (127.0.0.1)", 1},
    {"seed", KEY_SEED, "NUMBER", 0, "Same seed, same input: same decisions (1)", 1},
    {"clients", KEY_CLIENTS, "COUNT", 0, "Client addresses served at once (256)", 1},
    {"idle", KEY_IDLE, "TIME", 0, "Forget a client that is silent for this long (60s)", 1},
    {"memory", KEY_MEMORY, "BYTES", 0, "Bound on datagrams under way (64M)", 1},
    {"duration", KEY_DURATION, "TIME", 0, "End by itself; else at SIGINT or SIGTERM", 1},
    {"json", KEY_JSON, NULL, 0, "Print the statistics as one JSON object", 1},
    {NULL, 0, NULL, 0, "Impairments; --up-NAME and --down-NAME set one direction:", 2},
#define X(name, option, value, help)                                                               \
    {option, KEY_LINK(name, SCOPE_BOTH), value, 0, help, 2},                                       \
        {"up-" option, KEY_LINK(name, SCOPE_UP), value, OPTION_HIDDEN, NULL, 2},                   \
        {"down-" option, KEY_LINK(name, SCOPE_DOWN), value, OPTION_HIDDEN, NULL, 2},
    LINK_OPTION_MAP(X)
#undef X
        {NULL, 0, NULL, 0, NULL, 0},
};

struct parse {
    struct impair_options *options;
    const char *forward_texts[IMPAIR_FORWARDS_MAX];
    const char *bind_text;
};

static bool parse_burst(const char *text, struct impair_settings *link)
{
    char parts[3][16] = {"", "", "100"};
    char rest;
    int count = sscanf(text, "%15[^,],%15[^,],%15[^,]%c", parts[0], parts[1], parts[2], &rest);

    return (count == 2 || count == 3) && impair_parse_percent(parts[0], &link->burst_enter_ppm) &&
           impair_parse_percent(parts[1], &link->burst_leave_ppm) &&
           impair_parse_percent(parts[2], &link->burst_loss_ppm);
}

static bool parse_link_option(enum link_option option, const char *text,
                              struct impair_settings *link)
{
    switch (option) {
    case LINK_LOSS:
        return impair_parse_percent(text, &link->loss_ppm);
    case LINK_BURST:
        return parse_burst(text, link);
    case LINK_DELAY:
        return impair_parse_time(text, &link->delay_us);
    case LINK_JITTER:
        return impair_parse_time(text, &link->jitter_us);
    case LINK_RATE:
        return impair_parse_rate(text, IMPAIR_RATE_MAX, &link->rate_bits_per_s);
    case LINK_QUEUE:
        return impair_parse_size(text, IMPAIR_QUEUE_MAX, &link->queue_bytes);
    case LINK_REORDER:
        return impair_parse_percent(text, &link->reorder_ppm);
    case LINK_REORDER_BY:
        return impair_parse_time(text, &link->reorder_by_us);
    case LINK_DUPLICATE:
        return impair_parse_percent(text, &link->duplicate_ppm);
    case LINK_CORRUPT:
        return impair_parse_percent(text, &link->corrupt_ppm);
    case LINK_TRUNCATE:
        return impair_parse_percent(text, &link->truncate_ppm);
    }
    return false;
}

static const char *link_option_name(enum link_option option)
{
    static const char *const names[] = {
#define X(name, option, value, help) option,
        LINK_OPTION_MAP(X)
#undef X
    };

    return names[option];
}

static void take_link_option(int key, const char *text, struct argp_state *state)
{
    struct impair_settings *links = ((struct parse *)state->input)->options->links;
    enum link_option option = (enum link_option)((key - KEY_LINK_FIRST) / SCOPE_COUNT);
    int scope = (key - KEY_LINK_FIRST) % SCOPE_COUNT;
    bool valid = true;

    if (scope != SCOPE_DOWN)
        valid = parse_link_option(option, text, &links[IMPAIR_UP]);
    if (scope != SCOPE_UP)
        valid = valid && parse_link_option(option, text, &links[IMPAIR_DOWN]);
    if (!valid)
        argp_error(state, "--%s: bad value '%s'", link_option_name(option), text);
}

static void take_forward(const char *text, struct argp_state *state)
{
    struct parse *parse = state->input;

    if (parse->options->forward_count == IMPAIR_FORWARDS_MAX)
        argp_error(state, "--forward: at most %u", IMPAIR_FORWARDS_MAX);
    parse->forward_texts[parse->options->forward_count++] = text;
}

static bool parse_bind(const char *text, union impair_address *address)
{
    struct sockaddr_in in = {.sin_family = AF_INET};
    struct sockaddr_in6 in6 = {.sin6_family = AF_INET6};

    if (inet_pton(AF_INET, text, &in.sin_addr) == 1)
        return impair_address_set(address, (const struct sockaddr *)&in);
    if (inet_pton(AF_INET6, text, &in6.sin6_addr) == 1)
        return impair_address_set(address, (const struct sockaddr *)&in6);
    return false;
}

static void resolve(const char *host, const char *port, union impair_address *address,
                    struct argp_state *state)
{
    const struct addrinfo hints = {.ai_socktype = SOCK_DGRAM, .ai_flags = AI_NUMERICSERV};
    struct addrinfo *found;
    int error = getaddrinfo(host, port, &hints, &found);

    if (error != 0) {
        argp_error(state, "--forward: %s port %s: %s", host, port, gai_strerror(error));
        return;
    }
    bool usable = impair_address_set(address, found->ai_addr);

    freeaddrinfo(found);
    if (!usable || impair_address_port(address) == 0)
        argp_error(state, "--forward: cannot send to %s port %s", host, port);
}

static void parse_forward(const char *text, struct impair_forward_options *forward,
                          struct argp_state *state)
{
    char listen_text[8], host[256], port_text[8], rest;
    uint64_t listen_port, port;
    bool split =
        sscanf(text, "%7[0-9]:[%255[^]]]:%7[0-9]%c", listen_text, host, port_text, &rest) == 3 ||
        sscanf(text, "%7[0-9]:%255[^]:[]:%7[0-9]%c", listen_text, host, port_text, &rest) == 3;

    if (!split || !impair_parse_number(listen_text, UINT16_MAX, &listen_port) ||
        !impair_parse_number(port_text, UINT16_MAX, &port)) {
        argp_error(state, "--forward: '%s' is not PORT:HOST:PORT", text);
        return;
    }
    if (forward->listen.sa.sa_family == AF_INET)
        forward->listen.in.sin_port = htons((uint16_t)listen_port);
    else
        forward->listen.in6.sin6_port = htons((uint16_t)listen_port);
    resolve(host, port_text, &forward->target, state);
}

/* The forwards need --bind, which may come after them. */
static void finish(struct argp_state *state)
{
    struct parse *parse = state->input;
    struct impair_options *options = parse->options;
    union impair_address address;

    if (options->forward_count == 0)
        argp_error(state, "nothing to do: give --forward");
    if (!parse_bind(parse->bind_text, &address))
        argp_error(state, "--bind: '%s' is not a numeric address", parse->bind_text);
    if (impair_address_is_wildcard(&address))
        argp_error(state, "--bind: give one address: answers come from it");
    for (uint32_t i = 0; i < options->forward_count; i++) {
        options->forwards[i].listen = address;
        parse_forward(parse->forward_texts[i], &options->forwards[i], state);
    }
}

static error_t take_option(int key, char *text, struct argp_state *state)
{
    struct parse *parse = state->input;
    struct impair_options *options = parse->options;
    uint64_t count;
    bool valid = true;

    if (key >= KEY_LINK_FIRST && key < KEY_CLIENTS) {
        take_link_option(key, text, state);
        return 0;
    }
    switch (key) {
    case KEY_FORWARD:
        take_forward(text, state);
        break;
    case KEY_BIND:
        parse->bind_text = text;
        break;
    case KEY_SEED:
        valid = impair_parse_number(text, UINT64_MAX, &options->seed);
        break;
    case KEY_CLIENTS:
        valid = impair_parse_number(text, IMPAIR_CLIENTS_MAX, &count) && count > 0;
        options->client_count_max = valid ? (uint32_t)count : 0;
        break;
    case KEY_IDLE:
        valid = impair_parse_time(text, &options->idle_us) && options->idle_us > 0;
        break;
    case KEY_MEMORY:
        valid = impair_parse_size(text, MEMORY_MAX, &options->memory_bytes);
        break;
    case KEY_DURATION:
        valid = impair_parse_time(text, &options->duration_us) && options->duration_us > 0;
        break;
    case KEY_JSON:
        options->json = true;
        break;
    case ARGP_KEY_ARG:
        argp_error(state, "'%s' is not an option", text);
        break;
    case ARGP_KEY_END:
        finish(state);
        break;
    default:
        return ARGP_ERR_UNKNOWN;
    }
    if (!valid)
        argp_error(state, "bad value '%s'", text);
    return 0;
}

void impair_options_parse(struct impair_options *options, int argc, char **argv)
{
    static const struct argp argp = {
        .options = option_table,
        .parser = take_option,
        .doc =
            "Relays UDP datagrams over a link that is as bad as you say."
            "\vPERCENT has up to four decimals. TIME takes us, ms, s, m; a bare number is ms. "
            "BYTES takes K, M, G (1024).\n\n"
            "Prints 'ready PORT...' with the ports listened on, in the order of the forwards, and "
            "statistics at the end. Example, 20 % loss each way in front of port 7000:\n\n"
            "  udp-impair --forward 7001:127.0.0.1:7000 --loss 20",
    };
    struct parse parse = {.options = options, .bind_text = "127.0.0.1"};

    *options = (struct impair_options){
        .seed = SEED_DEFAULT,
        .client_count_max = CLIENTS_DEFAULT,
        .idle_us = IDLE_US_DEFAULT,
        .memory_bytes = MEMORY_DEFAULT,
    };
    for (size_t i = 0; i < IMPAIR_DIRECTION_COUNT; i++) {
        options->links[i].queue_bytes = QUEUE_DEFAULT;
        options->links[i].reorder_by_us = REORDER_US_DEFAULT;
    }
    argp_parse(&argp, argc, argv, 0, NULL, &parse);
}
