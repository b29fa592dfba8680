/* Draws from an altered categorical distribution, against what each alteration is said to do. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "dist/altered.h"

#include <math.h>
#include <string.h>

enum { N = 6, DRAWS = 6000 };
static const double masses[N] = {0.1, 0.4, 0.05, 0.25, 0.05, 0.15};
static const lk_alteration plain = {1, 0, 1, 0, 1};

/* Shares of the outcomes over evenly spaced u, which are the probabilities to 1/DRAWS. */
static void shares(const lk_alteration *a, const uint8_t *recent, double out[N]) {
    memset(out, 0, N * sizeof *out);
    for (size_t i = 0; i < DRAWS; i++) {
        double log_p[N];
        size_t order[N];
        for (size_t k = 0; k < N; k++) log_p[k] = log(masses[k]) + 7; /* any shift */
        out[lk_altered_pick(a, N, log_p, order, recent, ((double)i + 0.5) / DRAWS)] += 1.0 / DRAWS;
    }
}

static bool is_near(const double *a, const double *b) {
    for (size_t k = 0; k < N; k++)
        if (!(fabs(a[k] - b[k]) < 2.5 / DRAWS)) return false;
    return true;
}

static void expect(const lk_alteration *a, const uint8_t *recent, const double weights[N]) {
    double sum = 0, expected[N], got[N];
    for (size_t k = 0; k < N; k++) sum += weights[k];
    for (size_t k = 0; k < N; k++) expected[k] = weights[k] / sum;
    shares(a, recent, got);
    assert_true(is_near(got, expected));
    expected[1] -= 0.01; /* a planted difference is seen */
    assert_false(is_near(got, expected));
}

static void each_does_what_it_says(void **state) {
    (void)state;
    lk_alteration a = plain;
    assert_false(lk_alters(&a));
    expect(&a, NULL, masses);
    a.top_k = 2;
    assert_true(lk_alters(&a));
    expect(&a, NULL, (double[N]){0, 0.4, 0, 0.25, 0, 0});
    a.top_k = 5; /* of the two equals the first */
    expect(&a, NULL, (double[N]){0.1, 0.4, 0.05, 0.25, 0, 0.15});
    a = plain;
    a.top_p = 0.6;
    expect(&a, NULL, (double[N]){0, 0.4, 0, 0.25, 0, 0});
    a.top_p = 0.66;
    expect(&a, NULL, (double[N]){0, 0.4, 0, 0.25, 0, 0.15});
    a = plain;
    a.min_p = 0.26;
    expect(&a, NULL, (double[N]){0, 0.4, 0, 0.25, 0, 0.15});
    a = plain;
    a.temperature = 2;
    double roots[N];
    for (size_t k = 0; k < N; k++) roots[k] = sqrt(masses[k]);
    expect(&a, NULL, roots);
    a.temperature = 0;
    expect(&a, NULL, (double[N]){0, 1, 0, 0, 0, 0});
    a = plain;
    a.repetition = 2;
    expect(&a, (const uint8_t[N]){0, 1, 0, 0, 1, 0},
           (double[N]){0.1, 0.4 * 0.4, 0.05, 0.25, 0.05 * 0.05, 0.15});
    /* One after the other: top-k, of that top-p, of that min-p. */
    a = (lk_alteration){1, 4, 0.85, 0.5, 1};
    expect(&a, NULL, (double[N]){0, 0.4, 0, 0.25, 0, 0});
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(each_does_what_it_says)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
