/* test_rules.c - which conversations the rules of RUDP_TAG select. */
#include "shim/rules.h"
#include "tests/core/suite.h"

#include <arpa/inet.h>
#include <stdlib.h>
#include <string.h>

static struct rudp_address address(const char *ip, uint16_t port)
{
    struct rudp_address result = {.port = port};
    char mapped[64] = "::ffff:";

    if (inet_pton(AF_INET6, ip, result.ip) != 1)
        ck_assert_int_eq(inet_pton(AF_INET6, strcat(mapped, ip), result.ip), 1);
    return result;
}

static bool parses(const char *text)
{
    struct shim_rules rules;

    return shim_rules_parse(&rules, text, strlen(text));
}

/* Local end: port 4000 of 10.0.0.1. */
static bool tags_from(const char *rules_text, uint16_t local_port, const char *ip, uint16_t port)
{
    struct shim_rules rules = {.count = 0};
    struct rudp_address local = address("10.0.0.1", local_port);
    struct rudp_address remote = address(ip, port);

    if (rules_text != NULL)
        ck_assert_msg(shim_rules_parse(&rules, rules_text, strlen(rules_text)), "%s", rules_text);
    return shim_rules_tag(&rules, &local, &remote);
}

static bool tags(const char *rules_text, const char *ip, uint16_t port)
{
    return tags_from(rules_text, 4000, ip, port);
}

/* Without rules every unicast peer is tagged. */
START_TEST(default_tags_unicast)
{
    ck_assert(tags(NULL, "192.0.2.1", 5000));
    ck_assert(tags(NULL, "127.0.0.1", 5000));
    ck_assert(tags(NULL, "2001:db8::1", 5000));
    ck_assert(tags(NULL, "fe80::1", 5000));
}
END_TEST

/* Without rules broadcast, multicast and the plain services are not, at either end. */
START_TEST(default_spares)
{
    static const uint16_t ports[] = {53, 67, 68, 123, 546, 547, 853, 5353};

    ck_assert(!tags(NULL, "255.255.255.255", 5000));
    ck_assert(!tags(NULL, "224.0.0.251", 5000));
    ck_assert(!tags(NULL, "239.255.255.250", 5000));
    ck_assert(!tags(NULL, "ff02::1", 5000));
    for (size_t i = 0; i < sizeof ports / sizeof *ports; i++) {
        ck_assert(!tags(NULL, "192.0.2.1", ports[i]));
        ck_assert(!tags_from(NULL, ports[i], "192.0.2.1", 5000));
    }
}
END_TEST

/* A plain service is tagged by a rule that names its port only. */
START_TEST(services_by_name)
{
    ck_assert(!tags("*", "192.0.2.1", 53));
    ck_assert(!tags("192.0.2.1", "192.0.2.1", 53));
    ck_assert(tags("*:53", "192.0.2.1", 53));
    ck_assert(tags("peer:192.0.2.1:1-100", "192.0.2.1", 53));
}
END_TEST

/* No rule makes a group reliable. */
START_TEST(groups_never)
{
    ck_assert(!tags("*", "224.0.0.251", 5000));
    ck_assert(!tags("*:5000", "255.255.255.255", 5000));
    ck_assert(!parses("224.0.0.0/4"));
    ck_assert(!parses("255.255.255.255"));
    ck_assert(!parses("[ff02::1]"));
    ck_assert(parses("!224.0.0.0/4"));
}
END_TEST

/* With rules, what none matches stays plain. */
START_TEST(unmatched_is_plain)
{
    ck_assert(tags("192.0.2.1", "192.0.2.1", 5000));
    ck_assert(!tags("192.0.2.1", "192.0.2.2", 5000));
}
END_TEST

/* The first rule that matches decides. */
START_TEST(first_match)
{
    ck_assert(!tags("!192.0.2.1,*", "192.0.2.1", 5000));
    ck_assert(tags("!192.0.2.1,*", "192.0.2.2", 5000));
    ck_assert(tags("*,!192.0.2.1", "192.0.2.1", 5000));
}
END_TEST

/* Prefixes select by their leading bits, at any length. */
START_TEST(prefixes)
{
    ck_assert(tags("10.0.0.0/8", "10.255.0.1", 5000));
    ck_assert(!tags("peer:10.0.0.0/8", "11.0.0.1", 5000));
    ck_assert(tags("peer:192.0.2.128/25", "192.0.2.129", 5000));
    ck_assert(!tags("peer:192.0.2.128/25", "192.0.2.127", 5000));
    ck_assert(tags("0.0.0.0/0", "192.0.2.1", 5000));
    ck_assert(!tags("peer:0.0.0.0/0", "2001:db8::1", 5000));
    ck_assert(tags("[2001:db8::]/32", "2001:db8:1::1", 5000));
    ck_assert(!tags("peer:[2001:db8::]/33", "2001:db8:8000::1", 5000));
    ck_assert(tags("[2001:db8::1]", "2001:db8::1", 5000));
}
END_TEST

/* Ports: one, a range, its ends included. */
START_TEST(ports)
{
    ck_assert(tags("peer:*:5000", "192.0.2.1", 5000));
    ck_assert(!tags("peer:*:5000", "192.0.2.1", 5001));
    ck_assert(tags("peer:*:5000-5002", "192.0.2.1", 5002));
    ck_assert(!tags("peer:*:5000-5002", "192.0.2.1", 5003));
}
END_TEST

/* bind: looks at the local end, peer: at the remote one, neither at both. */
START_TEST(sides)
{
    ck_assert(tags_from("bind:*:4000", 4000, "192.0.2.1", 5000));
    ck_assert(!tags_from("bind:*:4000", 5000, "192.0.2.1", 4000));
    ck_assert(tags_from("peer:*:4000", 5000, "192.0.2.1", 4000));
    ck_assert(!tags_from("peer:*:4000", 4000, "192.0.2.1", 5000));
    ck_assert(tags_from("*:4000", 4000, "192.0.2.1", 5000));
    ck_assert(tags_from("*:4000", 5000, "192.0.2.1", 4000));
    ck_assert(tags_from("bind:10.0.0.1", 4000, "192.0.2.1", 5000));
}
END_TEST

/* Addresses of IPv6 in every notation. */
START_TEST(ipv6_notation)
{
    ck_assert(tags("peer:[::1]:7", "::1", 7));
    ck_assert(tags("peer:[2001:db8:0:1:2:3:4:5]", "2001:db8:0:1:2:3:4:5", 7));
    ck_assert(tags("peer:[2001:DB8:0:1::]/64", "2001:db8:0:1:ffff::9", 7));
    ck_assert(tags("peer:[1:2:3:4:5:6:7::]", "1:2:3:4:5:6:7:0", 7));
    ck_assert(tags("peer:[::2:3:4:5:6:7:8]", "0:2:3:4:5:6:7:8", 7));
    ck_assert(!parses("[1:2:3:4:5:6:7:8:9]"));
    ck_assert(!parses("[1:2:3:4:5:6:7]"));
    ck_assert(!parses("[1::2::3]"));
    ck_assert(!parses("[1:2:3:4::5:6:7:8]"));
    ck_assert(!parses("[12345::]"));
    ck_assert(!parses("[::1"));
    ck_assert(!parses("::1"));
}
END_TEST

/* What is not a rule is refused whole. */
START_TEST(malformed)
{
    static const char *const texts[] = {
        "",
        ",",
        "*,",
        "192.0.2",
        "192.0.2.256",
        "192.0.2.1/33",
        "*:0",
        "*:65536",
        "*:5-4",
        "*:5-",
        "*:",
        "example.org",
        "!",
        "bind:",
        "* ",
        " *",
        "192.0.2.1:5x",
        "192.0.2.1/",
        "[::]/129",
        "peer:bind:*",
        "!!*",
        "1.2.3.4.5",
        "99999999999.0.0.1",
    };

    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++)
        ck_assert_msg(!parses(texts[i]), "accepted: \"%s\"", texts[i]);
}
END_TEST

/* As many rules as there is room for, and not one more. */
START_TEST(rule_count)
{
    char text[2 * SHIM_RULE_COUNT_MAX + 2] = "";

    for (size_t i = 0; i < SHIM_RULE_COUNT_MAX; i++)
        strcat(text, i == 0 ? "*" : ",*");
    ck_assert(parses(text));
    ck_assert(!parses(strcat(text, ",*")));
}
END_TEST

static bool may_tag(const char *rules_text, const char *ip, uint16_t port)
{
    struct shim_rules rules = {.count = 0};
    struct rudp_address local = address(ip, port);

    if (rules_text != NULL)
        ck_assert_msg(shim_rules_parse(&rules, rules_text, strlen(rules_text)), "%s", rules_text);
    return shim_rules_may_tag(&rules, &local);
}

/* A bound socket may be tagged when some peer would be, whoever that is. */
START_TEST(may_tag_some_peer)
{
    ck_assert(may_tag(NULL, "0.0.0.0", 5000));
    ck_assert(!may_tag(NULL, "0.0.0.0", 53));
    ck_assert(may_tag("bind:*:53", "0.0.0.0", 53));
    ck_assert(!may_tag("*", "0.0.0.0", 53));
    ck_assert(may_tag("peer:192.0.2.1", "0.0.0.0", 5000));
    ck_assert(may_tag("bind:*:5000", "0.0.0.0", 5000));
    ck_assert(!may_tag("bind:*:5000", "0.0.0.0", 5001));
    ck_assert(!may_tag("!bind:*:5000,*", "0.0.0.0", 5000));
    ck_assert(may_tag("!bind:*:5000,*", "0.0.0.0", 5001));
    ck_assert(may_tag("!peer:*:5000,*", "0.0.0.0", 5000));
    ck_assert(!may_tag("!*,*", "0.0.0.0", 5000));
}
END_TEST

/* Why a conversation is reliable or plain; with an unknown peer, whether that depends on it. */
START_TEST(reasons)
{
    static const struct {
        const char *rules;
        const char *remote; /* NULL: not known */
        enum shim_rule_reason reason;
        bool is_tagged;
        uint32_t index;
    } cases[] = {
        {NULL, "192.0.2.1", SHIM_RULE_DEFAULT, true, 0},
        {NULL, NULL, SHIM_RULE_DEFAULT, true, 0},
        {"*", "224.0.0.1", SHIM_RULE_GROUP, false, 0},
        {"!192.0.2.1,*", "192.0.2.1", SHIM_RULE_MATCHED, false, 0},
        {"!192.0.2.1,*", "192.0.2.2", SHIM_RULE_MATCHED, true, 1},
        {"192.0.2.9", "192.0.2.1", SHIM_RULE_NONE, false, 0},
        {"!bind:192.0.2.9,192.0.2.1", NULL, SHIM_RULE_DEPENDS, false, 1},
        {"!peer:*:9,*", NULL, SHIM_RULE_DEPENDS, false, 0},
        {"bind:*:4000,192.0.2.1", NULL, SHIM_RULE_MATCHED, true, 0},
        {"peer:*", NULL, SHIM_RULE_MATCHED, true, 0},
    };
    struct rudp_address local = address("10.0.0.1", 4000);

    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct shim_rules rules = {.count = 0};
        struct rudp_address remote =
            address(cases[i].remote == NULL ? "::" : cases[i].remote, 5000);

        if (cases[i].rules != NULL)
            ck_assert(shim_rules_parse(&rules, cases[i].rules, strlen(cases[i].rules)));
        struct shim_rules_answer answer =
            shim_rules_explain(&rules, &local, cases[i].remote == NULL ? NULL : &remote);

        ck_assert_msg(answer.reason == cases[i].reason, "case %zu", i);
        ck_assert_msg(answer.is_tagged == cases[i].is_tagged, "case %zu", i);
        ck_assert_msg(answer.index == cases[i].index, "case %zu", i);
    }
    struct shim_rules rules = {.count = 0};
    struct rudp_address resolver = address("192.0.2.1", 53);

    ck_assert_int_eq(shim_rules_explain(&rules, &local, &resolver).reason, SHIM_RULE_SERVICE);
}
END_TEST

int main(void)
{
    return SUITE_RUN("rules", default_tags_unicast, default_spares, services_by_name, groups_never,
                     unmatched_is_plain, first_match, prefixes, ports, sides, ipv6_notation,
                     malformed, rule_count, may_tag_some_peer, reasons);
}
