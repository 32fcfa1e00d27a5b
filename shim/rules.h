/* rules.h - which conversations are made reliable. Pure: no allocation, no libc but mem*. */
#ifndef RUDP_SHIM_RULES_H
#define RUDP_SHIM_RULES_H

#include "core/address.h"

#define SHIM_RULE_COUNT_MAX 64u

enum shim_rule_side {
    SHIM_RULE_EITHER, /* matches when the local or the remote end does */
    SHIM_RULE_LOCAL,  /* bind: */
    SHIM_RULE_REMOTE, /* peer: */
};

struct shim_rule {
    enum shim_rule_side side;
    bool is_plain; /* ! */
    uint8_t ip[16];
    uint8_t prefix_bits; /* of ip, IPv4 as IPv4-mapped; 0: any address */
    uint16_t port_min;
    uint16_t port_max;
};

/* All zero: the default, which tags every peer but those on the well-known plain services. */
struct shim_rules {
    uint32_t count;
    struct shim_rule rules[SHIM_RULE_COUNT_MAX];
};

/* Reads "[!][bind:|peer:]ADDR[/PREFIX][:PORT[-PORT]]", comma separated; ADDR is an IPv4 address, an
 * IPv6 address in brackets, or * for any. False: not that; rules are unspecified then. */
bool shim_rules_parse(struct shim_rules *rules, const char *text, size_t bytes);

enum shim_rule_reason {
    SHIM_RULE_GROUP,   /* broadcast and multicast: nobody could acknowledge for a group */
    SHIM_RULE_SERVICE, /* a plain service, and no rule names its port */
    SHIM_RULE_DEFAULT, /* there are no rules */
    SHIM_RULE_MATCHED, /* rules[index] is the first that matches */
    SHIM_RULE_NONE,    /* none matches */
    SHIM_RULE_DEPENDS, /* rules[index] looks at the remote end, which is not known */
};

struct shim_rules_answer {
    bool is_tagged;
    enum shim_rule_reason reason;
    uint32_t index;
};

/* Whether a conversation between these ends is made reliable, and why. remote may be NULL: not
 * known yet. */
struct shim_rules_answer shim_rules_explain(const struct shim_rules *rules,
                                            const struct rudp_address *local,
                                            const struct rudp_address *remote);

/* Whether a conversation between these ends is made reliable; the first rule that matches decides.
 */
bool shim_rules_tag(const struct shim_rules *rules, const struct rudp_address *local,
                    const struct rudp_address *remote);

/* Whether there can be a peer with which a socket bound to local has a reliable conversation. */
bool shim_rules_may_tag(const struct shim_rules *rules, const struct rudp_address *local);

/* False for multicast addresses and 255.255.255.255. */
bool shim_rules_is_unicast(const struct rudp_address *address);

#endif
