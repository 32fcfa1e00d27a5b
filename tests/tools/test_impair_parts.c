/* The small parts of udp-impair: numbers of the command line, the heap of datagrams under way, the
 * table of clients. */
#include "tools/impair/clients.h"
#include "tools/impair/held.h"
#include "tools/impair/prng.h"
#include "tools/impair/units.h"

#include <arpa/inet.h>
#include <check.h>
#include <stdlib.h>

START_TEST(percent_takes_four_decimals)
{
    uint32_t ppm;

    ck_assert(impair_parse_percent("20", &ppm) && ppm == 200000);
    ck_assert(impair_parse_percent("0.5%", &ppm) && ppm == 5000);
    ck_assert(impair_parse_percent("12.3456", &ppm) && ppm == 123456);
    ck_assert(impair_parse_percent("100", &ppm) && ppm == IMPAIR_PPM);
}
END_TEST

START_TEST(percent_refuses_the_rest)
{
    static const char *const bad[] = {"", "-1", "101", "100.1", "1.", ".5", "1.23456", "x", "5 "};
    uint32_t ppm = 77;

    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        ck_assert_msg(!impair_parse_percent(bad[i], &ppm), "%s", bad[i]);
    ck_assert_uint_eq(ppm, 77);
}
END_TEST

START_TEST(units_scale)
{
    uint64_t value;

    ck_assert(impair_parse_time("250us", &value) && value == 250);
    ck_assert(impair_parse_time("30", &value) && value == 30000);
    ck_assert(impair_parse_time("2s", &value) && value == 2000000);
    ck_assert(impair_parse_size("4M", 1u << 30, &value) && value == 4u << 20);
    ck_assert(impair_parse_rate("10M", 1u << 30, &value) && value == 10000000);
    ck_assert(impair_parse_number("18446744073709551615", UINT64_MAX, &value));
}
END_TEST

START_TEST(units_refuse_what_does_not_fit)
{
    uint64_t value = 77;

    ck_assert(!impair_parse_time("61m", &value));
    ck_assert(!impair_parse_time("1h", &value));
    ck_assert(!impair_parse_size("2G", 1u << 30, &value));
    ck_assert(!impair_parse_number("18446744073709551616", UINT64_MAX, &value));
    ck_assert(!impair_parse_number("1K", UINT64_MAX, &value));
    ck_assert_uint_eq(value, 77);
}
END_TEST

static void push(struct impair_held *held, uint64_t due_us)
{
    struct impair_datagram *datagram = impair_held_allocate(held, 10);

    ck_assert_ptr_nonnull(datagram);
    datagram->due_us = due_us;
    impair_held_push(held, datagram);
}

/* Earliest first, first in first out among equals, whatever the order of arrival. */
START_TEST(held_datagrams_leave_in_order)
{
    struct impair_held held = {.bytes_max = 1u << 20};
    struct impair_prng prng;
    uint64_t due_us = 0, order = 0;

    impair_prng_init(&prng, 1, 0);
    for (size_t i = 0; i < 1000; i++)
        push(&held, impair_prng_below(&prng, 100));
    for (size_t i = 0; i < 1000; i++) {
        struct impair_datagram *datagram = impair_held_pop(&held, 100);

        ck_assert_ptr_nonnull(datagram);
        ck_assert(datagram->due_us > due_us || (i == 0 || datagram->order > order));
        ck_assert_uint_ge(datagram->due_us, due_us);
        due_us = datagram->due_us;
        order = datagram->order;
        impair_held_release(&held, datagram);
    }
    ck_assert_uint_eq(held.bytes, 0);
    impair_held_clear(&held);
}
END_TEST

START_TEST(held_datagrams_wait_until_due)
{
    struct impair_held held = {.bytes_max = 1u << 20};

    ck_assert_uint_eq(impair_held_due_us(&held), IMPAIR_NEVER);
    push(&held, 50);
    ck_assert_uint_eq(impair_held_due_us(&held), 50);
    ck_assert_ptr_null(impair_held_pop(&held, 49));
    struct impair_datagram *datagram = impair_held_pop(&held, 50);

    ck_assert_ptr_nonnull(datagram);
    impair_held_release(&held, datagram);
    impair_held_clear(&held);
}
END_TEST

START_TEST(held_bytes_are_bounded)
{
    struct impair_held held = {.bytes_max = 4000};

    while (held.bytes + 10 + sizeof(struct impair_datagram) <= held.bytes_max)
        push(&held, 1);
    ck_assert_ptr_null(impair_held_allocate(&held, 10));
    impair_held_clear(&held);
    ck_assert_uint_eq(held.bytes, 0);
}
END_TEST

static union impair_address address_of(uint16_t port)
{
    union impair_address address;
    struct sockaddr_in in = {.sin_family = AF_INET, .sin_port = htons(port)};

    ck_assert(impair_address_set(&address, (const struct sockaddr *)&in));
    return address;
}

static uint32_t add_client(struct impair_clients *clients, uint32_t forward, uint16_t port,
                           uint64_t now_us)
{
    union impair_address address = address_of(port);
    int fd = impair_socket_connect(
        &(union impair_address){.in = {.sin_family = AF_INET,
                                       .sin_port = htons(9),
                                       .sin_addr.s_addr = htonl(INADDR_LOOPBACK)}});

    ck_assert_int_ge(fd, 0);
    return impair_clients_add(clients, forward, &address, fd, now_us);
}

START_TEST(clients_are_told_apart_by_address_and_forward)
{
    struct impair_clients clients;
    union impair_address first = address_of(1000), second = address_of(1001);

    ck_assert(impair_clients_init(&clients, 4));
    uint32_t a = add_client(&clients, 0, 1000, 1), b = add_client(&clients, 1, 1000, 1);

    ck_assert_uint_ne(a, b);
    ck_assert_uint_eq(impair_clients_find(&clients, 0, &first), a);
    ck_assert_uint_eq(impair_clients_find(&clients, 1, &first), b);
    ck_assert_uint_eq(impair_clients_find(&clients, 0, &second), IMPAIR_CLIENT_NONE);
    impair_clients_clear(&clients);
}
END_TEST

/* The idle ones go, the one that was heard of and the one with datagrams under way stay. */
START_TEST(idle_clients_expire)
{
    struct impair_clients clients;
    union impair_address idle = address_of(1), busy = address_of(2), holding = address_of(3);

    ck_assert(impair_clients_init(&clients, 4));
    add_client(&clients, 0, 1, 100);
    impair_clients_touch(&clients, add_client(&clients, 0, 2, 100), 150);
    clients.slots[add_client(&clients, 0, 3, 100)].held_count = 1;
    impair_clients_expire(&clients, 200, 100);

    ck_assert_uint_eq(impair_clients_find(&clients, 0, &idle), IMPAIR_CLIENT_NONE);
    ck_assert_uint_ne(impair_clients_find(&clients, 0, &busy), IMPAIR_CLIENT_NONE);
    ck_assert_uint_ne(impair_clients_find(&clients, 0, &holding), IMPAIR_CLIENT_NONE);
    ck_assert_uint_eq(impair_clients_oldest_us(&clients), 150);
    impair_clients_clear(&clients);
}
END_TEST

/* A thousand come and go through a table of eight: every slot is used again, every chain intact. */
START_TEST(slots_are_used_again)
{
    struct impair_clients clients;

    ck_assert(impair_clients_init(&clients, 8));
    for (uint16_t port = 1; port <= 1000; port++) {
        union impair_address address = address_of(port);

        impair_clients_expire(&clients, port, 8);
        uint32_t client = add_client(&clients, 0, port, port);

        ck_assert_uint_eq(impair_clients_find(&clients, 0, &address), client);
    }
    ck_assert_uint_eq(clients.count, 8);
    ck_assert_uint_eq(clients.count_total, 1000);
    impair_clients_clear(&clients);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("impair_parts");
    TCase *tests = tcase_create("parts");

    tcase_add_test(tests, percent_takes_four_decimals);
    tcase_add_test(tests, percent_refuses_the_rest);
    tcase_add_test(tests, units_scale);
    tcase_add_test(tests, units_refuse_what_does_not_fit);
    tcase_add_test(tests, held_datagrams_leave_in_order);
    tcase_add_test(tests, held_datagrams_wait_until_due);
    tcase_add_test(tests, held_bytes_are_bounded);
    tcase_add_test(tests, clients_are_told_apart_by_address_and_forward);
    tcase_add_test(tests, idle_clients_expire);
    tcase_add_test(tests, slots_are_used_again);
    suite_add_tcase(suite, tests);
    SRunner *runner = srunner_create(suite);

    srunner_run_all(runner, CK_NORMAL);
    int failed_count = srunner_ntests_failed(runner);

    srunner_free(runner);
    return failed_count == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
