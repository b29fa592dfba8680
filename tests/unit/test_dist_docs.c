/* docs/distributions.md has the table that the records themselves give. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>

#include <cmocka.h>

#include "dist/dist.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char *const supports[] = {[LK_SUPPORT_FINITE] = "0 ... n-1",
                                       [LK_SUPPORT_COUNT] = "0, 1, 2, ...",
                                       [LK_SUPPORT_REAL] = "the line"};

/* A slot that is filled is a capability. */
static void write_table(char *out, size_t room) {
    size_t at = (size_t)snprintf(
        out, room,
        "| kind | parameters | values | formula | entropy | KL | differentiable samples "
        "| source |\n|---|---|---|---|---|---|---|---|\n");
    for (const lk_dist_kind *const *k = lk_dist_kinds; *k && at < room; k++)
        at += (size_t)snprintf(
            out + at, room - at, "| `%s` | %s | %s | %s | %s | %s | %s | %s |\n", (*k)->name,
            (*k)->params, *k == &lk_bernoulli ? "0, 1" : supports[(*k)->support], (*k)->summary,
            (*k)->entropy ? "closed" : "-", (*k)->kl ? "closed" : "-",
            (*k)->reparameterise ? "yes" : "-", (*k)->source);
    assert_true(at < room);
}

static void test_table(void **state) {
    (void)state;
    static char want[16384], have[65536], path[4096];
    const char *root = getenv("LIKELY_ROOT");
    snprintf(path, sizeof path, "%s/docs/distributions.md", root ? root : ".");
    FILE *file = fopen(path, "r");
    if (!file) fail_msg("cannot read %s; LIKELY_ROOT is the repository", path);
    have[fread(have, 1, sizeof have - 1, file)] = 0;
    fclose(file);
    write_table(want, sizeof want);
    if (!strstr(have, want)) {
        fputs(want, stdout);
        fail_msg("docs/distributions.md does not have the table above");
    }
    char *changed = strstr(want, "log_scale"); /* and a planted change is seen */
    assert_non_null(changed);
    *changed = 'L';
    assert_null(strstr(have, want));
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_table)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
