/* suite.h - runs the tests of one file: what every main of tests/core would repeat. */
#ifndef RUDP_TESTS_CORE_SUITE_H
#define RUDP_TESTS_CORE_SUITE_H

#include <check.h>
#include <stddef.h>

/* Runs each test in a process of its own. Returns what main returns. */
int suite_run(const char *name, const TTest *const *tests, size_t count);

#define SUITE_RUN(name, ...)                                                                       \
    suite_run(name, (const TTest *const[]){__VA_ARGS__},                                           \
              sizeof((const TTest *const[]){__VA_ARGS__}) / sizeof(const TTest *))

#endif
