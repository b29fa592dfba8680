/* As much of cmocka as test_kernels.c uses, for a machine without its library. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "kernels/isa.h"
struct CMUnitTest {
    const char *name;
    void (*run)(void **state);
};
#define cmocka_unit_test(f) \
    { #f, f }
#define fail_msg(...) (printf(__VA_ARGS__), printf("\n"), exit(1))
#define assert_true(x) ((x) ? (void)0 : fail_msg("%s:%d: %s", __FILE__, __LINE__, #x))
#define assert_false(x) assert_true(!(x))
#define assert_int_equal(a, b) assert_true((a) == (b))
#define assert_memory_equal(a, b, n) assert_true(!memcmp(a, b, n))
#define cmocka_run_group_tests(tests, a, b) run_all(tests, sizeof tests / sizeof *tests)
static int run_all(const struct CMUnitTest *tests, size_t n) {
    printf("%zu tests, avx512 %s\n", n, lk_isa_runs_here(&lk_isa_avx512) ? "runs" : "does not run");
    fflush(stdout);
    for (size_t i = 0; i < n; i++) {
        printf("%s\n", tests[i].name);
        fflush(stdout);
        tests[i].run(NULL);
        printf("passed %s\n", tests[i].name);
        fflush(stdout);
    }
    return 0;
}
/* The other variants are compared elsewhere, and left out of the program, which must fit into the machine's ROM. */
const lk_isa lk_isa_avx2 = {.name = "avx2"}, lk_isa_baseline = {.name = "baseline"};
#define lk_isa_runs_here(isa) ((isa) == &lk_isa_avx512 && (lk_isa_runs_here)(isa))
