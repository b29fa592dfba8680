/* Cells of a Gaussian copula: proper, their functions inverse to each other, the marginals themselves when
 * nothing is known; and what is learned from a copula that is known. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "family/copula_cells.h"
#include "infer/evaluate.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* mean, log scale; logits, then (mean, log sd) of three normals, one of them narrow */
static const double number[] = {0.7, -0.9, -1, 0, -0.5, -2, -1.5, 0.3, -0.2, 3, -4};

static bool near(double a, double b, double tolerance) {
    return fabs(a - b) <= tolerance * (fabs(b) > 1 ? fabs(b) : 1);
}

static void test_numbers(void **state) {
    const lk_dist_form form = {&lk_copula_number, &lk_normal, 3, 0},
                       plain = {&lk_mixture, &lk_normal, 3, 0};
    double standard[11], total = 0, mean = 0;
    (void)state;
    memcpy(standard, number, sizeof number);
    standard[0] = standard[1] = 0;
    for (double x = -9; x < 9; x += 0.0005) {
        double p = exp(lk_copula_number.log_prob(&form, number, x, NULL, NULL));
        total += 0.0005 * p;
        mean += 0.0005 * p * x;
    }
    assert_true(near(total, 1, 1e-6));
    assert_true(near(lk_copula_number.mean(&form, number), mean, 0.05));
    for (double x = -6; x < 6; x += 0.37) {
        double a = lk_copula_number.cdf(&form, number, x),
               b = lk_copula_number.cdf(&form, number, x + 0.1);
        if (b - a > 1e-8)
            assert_true(
                near(lk_copula_number.log_mass(&form, number, x, x + 0.1, NULL), log(b - a), 1e-5));
        if (a > 1e-9 && a < 1 - 1e-9)
            assert_true(near(lk_copula_number.quantile(&form, number, a), x, 1e-5));
        assert_true(near(lk_copula_number.log_prob(&form, standard, x, NULL, NULL),
                         lk_mixture.log_prob(&plain, standard + 2, x, NULL, NULL), 1e-9));
        assert_true(near(lk_copula_number.log_mass(&form, standard, x, x + 1e-5, NULL),
                         lk_mixture.log_mass(&plain, standard + 2, x, x + 1e-5, NULL), 1e-6));
        assert_false(near(lk_copula_number.log_prob(&form, number, x, NULL, NULL),
                          lk_mixture.log_prob(&plain, number + 2, x, NULL, NULL), 1e-9));
    }
    for (double x = 1; x < 1e12; x *= 10)
        for (int sign = -1; sign < 2; sign += 2) {
            assert_true(isfinite(lk_copula_number.log_prob(&form, number, sign * x, NULL, NULL)));
            assert_true(
                isfinite(lk_copula_number.log_mass(&form, number, sign * x, sign * x + 1, NULL)));
        }
}

static void test_levels(void **state) {
    const lk_dist_form form = {&lk_copula_levels, NULL, 3, 0};
    const double params[] = {0.4, -0.3, 0.2, INFINITY, -INFINITY, -1, -1, 0.2}; /* 1, 2, 0 */
    const lk_cell_dist cell = {.form = form, .stride = 1, .scale = 1};
    double total = 0, score = 0;
    (void)state;
    for (int k = 0; k < 3; k++)
        total += exp(lk_copula_levels.log_prob(&form, params, k, NULL, NULL));
    assert_true(near(total, 1, 1e-12));
    double scale = exp(-0.3);
    assert_true(
        near(lk_copula_levels.log_prob(&form, params, 1, NULL, NULL),
             log((1 - 0x1p-10) * lk_normal_cdf((-1 - 0.4) / scale) + 0x1p-10 * lk_normal_cdf(-1)),
             1e-12));
    assert_true(lk_copula_levels.log_prob(&form, params, 3, NULL, NULL) == -INFINITY);
    assert_true(lk_copula_levels.quantile(&form, params, 0.999) == 2);
    /* scores: means of the standard normal between the ends, so that they are 0 on average */
    const double p[] = {lk_normal_cdf(-0.2), lk_normal_cdf(-1),
                        lk_normal_cdf(0.2) - lk_normal_cdf(-1)};
    for (int k = 0; k < 3; k++) score += p[k] * lk_copula_score(&cell, params, k);
    assert_true(near(score, 0, 1e-12));
    assert_true(lk_copula_score(&cell, params, 1) < -1 && lk_copula_score(&cell, params, 0) > 0.2);
}

/* x = exp(Z), y = Z'^3, c = [Z'' > 0]: Z with known correlations. */
enum { N = 6000 };
static const double rho = 0.8;

static void row_of(size_t i, double z[3]) {
    lk_rng rng = lk_rng_at(5, "known", 0, i, 0);
    double e[3];
    for (int k = 0; k < 3; k++) e[k] = lk_normal_quantile(lk_rng_uniform(&rng));
    z[0] = e[0];
    z[1] = rho * e[0] + sqrt(1 - rho * rho) * e[1];
    z[2] = 0.6 * e[0] + 0.8 * e[2];
}

static void test_learned(void **state) {
    char path[] = "/tmp/likely-copula-XXXXXX";
    FILE *f = fdopen(mkstemp(path), "w");
    lk_context *ctx = lk_context_create(NULL);
    lk_data *data;
    lk_model *joined, *apart;
    lk_score_summary with, without;
    (void)state;
    assert_true(f && ctx);
    fputs("x,y,c\n", f);
    for (size_t i = 0; i < N; i++) {
        double z[3];
        row_of(i, z);
        fprintf(f, "%.9g,%.9g,%s\n", (double)(float)exp(z[0]), (double)(float)(z[1] * z[1] * z[1]),
                z[2] > 0 ? "high" : "low");
    }
    assert_int_equal(fclose(f), 0);
    assert_int_equal(lk_data_open(ctx, path, NULL, &data), LK_OK);
    if (lk_fit(ctx, "copula", data, NULL, &joined) != LK_OK)
        fail_msg("%s", lk_context_message(ctx));
    assert_int_equal(lk_fit(ctx, "independent", data, NULL, &apart), LK_OK);
    const double *s =
        lk_param_values(&joined->params, lk_params_find(&joined->params, "covariance"));
    size_t n = joined->schema->n_cells;
    if (!(fabs(s[1] - rho) < 0.03)) fail_msg("correlation %g, the truth %g", s[1], rho);
    assert_true(fabs(s[0] - 1) < 0.03 && s[2 * n + 2] < 0.8); /* two levels leave much of Z open */
    assert_int_equal(lk_score(joined, data, NULL, NULL, NULL, &with), LK_OK);
    assert_int_equal(lk_score(apart, data, NULL, NULL, NULL, &without), LK_OK);
    /* x and y alone share -log(1 - rho²)/2 nats, which the marginals do not see; c adds to that */
    double gain = with.mean_log_prob - without.mean_log_prob, least = -0.5 * log(1 - rho * rho);
    if (!(gain > least + 0.05 && gain < least + 0.35))
        fail_msg("%g nats gained, of %g", gain, least);
    assert_string_equal(with.kind, "exact");
    lk_model_destroy(joined);
    lk_model_destroy(apart);
    lk_data_close(data);
    lk_context_destroy(ctx);
    remove(path);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_numbers),
        cmocka_unit_test(test_levels),
        cmocka_unit_test(test_learned),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
