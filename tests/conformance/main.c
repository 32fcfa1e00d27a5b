/* conformance --list              "case variant rows", one a line
 * conformance CASE VARIANT        runs it, its trace goes to standard output */
#include "cases.h"

#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define PATIENCE_S     60
#define NAME_BYTES_MAX 64

static const struct conformance_group *const groups[] = {
#define X(name) &name##_group,
    CASE_GROUPS(X)
#undef X
};

/* The index-th way to run a case that varies in those dimensions. False: there are no more. */
static bool pick_variant(unsigned int dimension, unsigned int index, struct variant *variant,
                         char *name)
{
    static const struct {
        sa_family_t family;
        bool is_mapped;
        const char *name;
    } families[] = {{AF_INET, false, "v4"}, {AF_INET6, false, "v6"}, {AF_INET6, true, "mapped"}};
    unsigned int family_count = (dimension & BY_FAMILY) != 0 ? 3 : 1;
    unsigned int family = index % family_count;

    index /= family_count;
    *variant = (struct variant){
        .family = families[family].family,
        .is_mapped = families[family].is_mapped,
    };
    strcpy(name, families[family].name);
    if ((dimension & BY_CONNECTION) != 0) {
        variant->is_connected = index % 2 == 1;
        strcat(name, variant->is_connected ? "-connected" : "");
        index /= 2;
    }
    if ((dimension & BY_BLOCKING) != 0) {
        variant->is_nonblocking = index % 2 == 1;
        strcat(name, variant->is_nonblocking ? "-nonblocking" : "");
        index /= 2;
    }
    return index == 0;
}

static void list_case(const struct conformance_case *one)
{
    struct variant variant;
    char name[NAME_BYTES_MAX];

    for (unsigned int index = 0; pick_variant(one->dimension, index, &variant, name); index++)
        printf("%s %s %s\n", one->name, name, one->rows);
}

/* False: it has no such variant. */
static bool run_case(const struct conformance_case *one, const char *variant_name)
{
    struct variant variant;
    char name[NAME_BYTES_MAX];

    for (unsigned int index = 0; pick_variant(one->dimension, index, &variant, name); index++) {
        if (strcmp(name, variant_name) != 0)
            continue;
        alarm(PATIENCE_S); /* ends what hangs; cases that use the signal set their own */
        one->run(&variant);
        return true;
    }
    return false;
}

int main(int argument_count, char **arguments)
{
    bool lists = argument_count == 2 && strcmp(arguments[1], "--list") == 0;

    for (size_t index = 0; index < sizeof groups / sizeof *groups; index++) {
        for (size_t at = 0; at < groups[index]->count; at++) {
            const struct conformance_case *one = &groups[index]->cases[at];

            if (lists)
                list_case(one);
            else if (argument_count == 3 && strcmp(arguments[1], one->name) == 0)
                return run_case(one, arguments[2]) ? 0 : 2;
        }
    }
    return lists ? 0 : 2;
}
