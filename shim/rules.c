#include "shim/rules.h"

#define MAPPED_V4_BYTES 12u
#define MAPPED_V4_BITS  96u
#define V4_BITS         32u
#define V6_BITS         128u

static const uint8_t mapped_prefix[MAPPED_V4_BYTES] = {[10] = 0xff, [11] = 0xff};

/* DNS, DHCP, NTP, mDNS, DNS over TLS/QUIC: servers and resolvers that speak plainly, whose failure
 * would look like a broken network. */
static const uint16_t plain_ports[] = {53, 67, 68, 123, 546, 547, 853, 5353};

/* What is left to read. */
struct text {
    const char *at;
    const char *end;
};

/* --- Reading ------------------------------------------------------------------------------------
 */

static bool skip(struct text *text, const char *word)
{
    size_t bytes = 0;

    while (word[bytes] != '\0')
        bytes++;
    if ((size_t)(text->end - text->at) < bytes || memcmp(text->at, word, bytes) != 0)
        return false;
    text->at += bytes;
    return true;
}

static bool read_number(struct text *text, uint32_t base, uint32_t limit, uint32_t *number)
{
    const char *start = text->at;

    *number = 0;
    for (; text->at < text->end; text->at++) {
        char c = *text->at;
        uint32_t digit = base;

        if (c >= '0' && c <= '9')
            digit = (uint32_t)(c - '0');
        else if (c >= 'a' && c <= 'f')
            digit = (uint32_t)(c - 'a') + 10;
        else if (c >= 'A' && c <= 'F')
            digit = (uint32_t)(c - 'A') + 10;
        if (digit >= base)
            break;
        *number = *number * base + digit;
        if (*number > limit)
            return false;
    }
    return text->at > start;
}

static bool read_v4(struct text *text, uint8_t ip[4])
{
    for (size_t index = 0; index < 4; index++) {
        uint32_t number;

        if (index > 0 && !skip(text, "."))
            return false;
        if (!read_number(text, 10, UINT8_MAX, &number))
            return false;
        ip[index] = (uint8_t)number;
    }
    return true;
}

/* Groups of 16 bits between colons, "::" once for a run of zeros. */
static bool read_v6(struct text *text, uint8_t ip[16])
{
    size_t count = 0;
    size_t gap_at = 8;

    memset(ip, 0, 16);
    if (skip(text, "::"))
        gap_at = 0;
    while (count < 8 && text->at < text->end && *text->at != ']') {
        uint32_t group;

        if (!read_number(text, 16, UINT16_MAX, &group))
            return false;
        ip[2 * count] = (uint8_t)(group >> 8);
        ip[2 * count + 1] = (uint8_t)group;
        count++;
        if (skip(text, "::")) {
            if (gap_at < 8)
                return false;
            gap_at = count;
        } else if (!skip(text, ":")) {
            break;
        }
    }
    if (gap_at == 8)
        return count == 8;
    if (count == 8)
        return false;
    size_t tail = 2 * (count - gap_at);

    memmove(ip + 16 - tail, ip + 2 * gap_at, tail);
    memset(ip + 2 * gap_at, 0, 16 - tail - 2 * gap_at);
    return true;
}

static bool read_address(struct text *text, struct shim_rule *rule)
{
    uint32_t width = V4_BITS;
    uint32_t prefix;

    if (skip(text, "*")) {
        rule->prefix_bits = 0;
        return true;
    }
    if (skip(text, "[")) {
        width = V6_BITS;
        if (!read_v6(text, rule->ip) || !skip(text, "]"))
            return false;
    } else {
        memcpy(rule->ip, mapped_prefix, sizeof mapped_prefix);
        if (!read_v4(text, rule->ip + MAPPED_V4_BYTES))
            return false;
    }
    prefix = width;
    if (skip(text, "/") && !read_number(text, 10, width, &prefix))
        return false;
    rule->prefix_bits = (uint8_t)(prefix + (width == V4_BITS ? MAPPED_V4_BITS : 0));
    return true;
}

static bool read_ports(struct text *text, struct shim_rule *rule)
{
    uint32_t first = 0;
    uint32_t last = UINT16_MAX;

    if (skip(text, ":")) {
        if (!read_number(text, 10, UINT16_MAX, &first) || first == 0)
            return false;
        last = first;
        if (skip(text, "-") && !read_number(text, 10, UINT16_MAX, &last))
            return false;
    }
    rule->port_min = (uint16_t)first;
    rule->port_max = (uint16_t)last;
    return first <= last;
}

static bool read_rule(struct text *text, struct shim_rule *rule)
{
    *rule = (struct shim_rule){.side = SHIM_RULE_EITHER};
    rule->is_plain = skip(text, "!");
    if (skip(text, "bind:"))
        rule->side = SHIM_RULE_LOCAL;
    else if (skip(text, "peer:"))
        rule->side = SHIM_RULE_REMOTE;
    if (!read_address(text, rule) || !read_ports(text, rule))
        return false;
    struct rudp_address address = {.port = 0};

    memcpy(address.ip, rule->ip, sizeof address.ip);
    return rule->is_plain || rule->prefix_bits == 0 || shim_rules_is_unicast(&address);
}

bool shim_rules_parse(struct shim_rules *rules, const char *text, size_t bytes)
{
    struct text rest = {.at = text, .end = text + bytes};

    rules->count = 0;
    do {
        if (rules->count == SHIM_RULE_COUNT_MAX || !read_rule(&rest, &rules->rules[rules->count]))
            return false;
        rules->count++;
    } while (skip(&rest, ","));
    return rest.at == rest.end;
}

/* --- Matching -----------------------------------------------------------------------------------
 */

bool shim_rules_is_unicast(const struct rudp_address *address)
{
    static const uint8_t everyone[4] = {0xff, 0xff, 0xff, 0xff};
    const uint8_t *v4 = address->ip + MAPPED_V4_BYTES;

    if (memcmp(address->ip, mapped_prefix, sizeof mapped_prefix) != 0)
        return address->ip[0] != 0xff;
    return (v4[0] & 0xf0) != 0xe0 && memcmp(v4, everyone, sizeof everyone) != 0;
}

static bool end_matches(const struct shim_rule *rule, const struct rudp_address *end)
{
    size_t whole_bytes = rule->prefix_bits / 8u;
    uint8_t rest_mask = (uint8_t)(0xff00u >> (rule->prefix_bits % 8u));

    if (end->port < rule->port_min || end->port > rule->port_max)
        return false;
    if (memcmp(end->ip, rule->ip, whole_bytes) != 0)
        return false;
    return whole_bytes == sizeof end->ip ||
           ((end->ip[whole_bytes] ^ rule->ip[whole_bytes]) & rest_mask) == 0;
}

static bool is_any(const struct shim_rule *rule)
{
    return rule->prefix_bits == 0 && rule->port_min == 0 && rule->port_max == UINT16_MAX;
}

enum match {
    MATCH_NO,
    MATCH_YES,
    MATCH_UNKNOWN,
};

static enum match match_rule(const struct shim_rule *rule, const struct rudp_address *local,
                             const struct rudp_address *remote)
{
    if (rule->side != SHIM_RULE_REMOTE && end_matches(rule, local))
        return MATCH_YES;
    if (rule->side == SHIM_RULE_LOCAL)
        return MATCH_NO;
    if (remote == NULL)
        return is_any(rule) ? MATCH_YES : MATCH_UNKNOWN;
    return end_matches(rule, remote) ? MATCH_YES : MATCH_NO;
}

/* A rule that names no port does not mean the plain services. */
static bool names_port(const struct shim_rule *rule)
{
    return rule->port_min != 0 || rule->port_max != UINT16_MAX;
}

static bool is_plain_service(const struct rudp_address *end)
{
    for (size_t index = 0; index < sizeof plain_ports / sizeof *plain_ports; index++)
        if (plain_ports[index] == end->port)
            return true;
    return false;
}

static struct shim_rules_answer answer(bool is_tagged, enum shim_rule_reason reason, uint32_t index)
{
    return (struct shim_rules_answer){.is_tagged = is_tagged, .reason = reason, .index = index};
}

struct shim_rules_answer shim_rules_explain(const struct shim_rules *rules,
                                            const struct rudp_address *local,
                                            const struct rudp_address *remote)
{
    bool is_plain = is_plain_service(local) || (remote != NULL && is_plain_service(remote));

    if (remote != NULL && !shim_rules_is_unicast(remote))
        return answer(false, SHIM_RULE_GROUP, 0);
    for (uint32_t index = 0; index < rules->count; index++) {
        const struct shim_rule *rule = &rules->rules[index];
        enum match match = match_rule(rule, local, remote);

        if (match == MATCH_NO || (is_plain && !names_port(rule)))
            continue;
        if (match == MATCH_UNKNOWN)
            return answer(false, SHIM_RULE_DEPENDS, index);
        return answer(!rule->is_plain, SHIM_RULE_MATCHED, index);
    }
    if (is_plain)
        return answer(false, SHIM_RULE_SERVICE, 0);
    return answer(rules->count == 0, rules->count == 0 ? SHIM_RULE_DEFAULT : SHIM_RULE_NONE, 0);
}

bool shim_rules_tag(const struct shim_rules *rules, const struct rudp_address *local,
                    const struct rudp_address *remote)
{
    return shim_rules_explain(rules, local, remote).is_tagged;
}

/* Whether the rule decides for every peer of local. */
static bool rule_decides(const struct shim_rule *rule, const struct rudp_address *local)
{
    bool is_for_all = rule->prefix_bits == 0 && !names_port(rule);

    return is_for_all || (rule->side != SHIM_RULE_REMOTE && end_matches(rule, local));
}

bool shim_rules_may_tag(const struct shim_rules *rules, const struct rudp_address *local)
{
    bool is_plain = is_plain_service(local);

    if (rules->count == 0)
        return !is_plain;
    for (uint32_t index = 0; index < rules->count; index++) {
        const struct shim_rule *rule = &rules->rules[index];

        if (is_plain && !names_port(rule))
            continue;
        if (!rule->is_plain && (rule->side != SHIM_RULE_LOCAL || end_matches(rule, local)))
            return true;
        if (rule->is_plain && rule_decides(rule, local))
            return false;
    }
    return false;
}
