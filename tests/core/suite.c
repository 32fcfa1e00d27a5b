#include "tests/core/suite.h"

#include <stdlib.h>

#define SECONDS_MAX 60 /* for a machine under load and a sanitizer; a test takes milliseconds */

int suite_run(const char *name, const TTest *const *tests, size_t count)
{
    Suite *suite = suite_create(name);
    TCase *tcase = tcase_create(name);
    SRunner *runner = srunner_create(suite);

    tcase_set_timeout(tcase, SECONDS_MAX);
    for (size_t i = 0; i < count; i++)
        tcase_add_test(tcase, tests[i]);
    suite_add_tcase(suite, tcase);
    srunner_run_all(runner, CK_NORMAL);
    size_t failed_count = (size_t)srunner_ntests_failed(runner);

    srunner_free(runner);
    return failed_count == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
