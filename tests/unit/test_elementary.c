/* Elementary functions against mpmath (tests/oracle/elementary_oracle.py), special values, and float32
 * against float64. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "kernels/kernels.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Largest error allowed, in units of 2^-53 relative. Where a zero of the function is near (lgamma at 1
 * and 2, digamma at 1.46), the absolute error decides. */
static const struct {
    const char *name;
    double (*f)(double);
    double allowed, absolute;
} one[] = {
    {"exp", lk_exp, 3, 0},
    {"expm1", lk_expm1, 5, 0},
    {"log", lk_log, 3, 0},
    {"log1p", lk_log1p, 3, 0},
    {"tanh", lk_tanh, 4, 0},
    {"sigmoid", lk_sigmoid, 4, 0},
    {"softplus", lk_softplus, 4, 0},
    {"erf", lk_erf, 4, 0},
    {"erfc", lk_erfc, 8, 0},
    {"log_erfc", lk_log_erfc, 8, 0},
    {"sin", lk_sin, 4, 1e-16},
    {"cos", lk_cos, 4, 1e-16},
    {"lgamma", lk_lgamma, 8, 4e-15},
    {"digamma", lk_digamma, 8, 4e-15},
    {"normal_cdf", lk_normal_cdf, 16, 0},
    {"log_normal_cdf", lk_log_normal_cdf, 16, 0},
    {"normal_quantile", lk_normal_quantile, 16, 0},
};

static bool close(double y, double truth, double allowed, double absolute) {
    double far = fabs(y - truth);
    return far <= allowed * 0x1p-53 * fabs(truth) + absolute + 0x1p-1073;
}

static void test_golden(void **state) {
    (void)state;
    char path[4096], name[32];
    const char *root = getenv("LIKELY_ROOT");
    snprintf(path, sizeof path, "%s/tests/golden/numerics/elementary.txt", root ? root : ".");
    FILE *f = fopen(path, "r");
    assert_non_null(f);
    size_t lines = 0;
    while (fscanf(f, "%31s", name) == 1) {
        double a, b, c, truth, y = NAN, allowed = 0, absolute = 0;
        size_t i = 0, n = sizeof one / sizeof one[0];
        while (i < n && strcmp(one[i].name, name)) i++;
        if (i < n) {
            assert_int_equal(fscanf(f, "%lf %lf", &a, &truth), 2);
            y = one[i].f(a);
            allowed = one[i].allowed;
            absolute = one[i].absolute;
        } else if (!strcmp(name, "log_normal_mass")) {
            assert_int_equal(fscanf(f, "%lf %lf %lf", &a, &b, &truth), 3);
            y = lk_log_normal_mass(a, b);
            allowed = 40;
        } else if (!strcmp(name, "beta_regularised")) {
            assert_int_equal(fscanf(f, "%lf %lf %lf %lf", &a, &b, &c, &truth), 4);
            y = lk_beta_regularised(a, b, c);
            allowed = 1e4;
            absolute = 1e-15;
        } else {
            assert_string_equal(name, "gamma_regularised");
            assert_int_equal(fscanf(f, "%lf %lf %lf", &a, &b, &truth), 3);
            y = lk_gamma_regularised(a, b);
            allowed = 2e4;
            absolute = 1e-15;
        }
        if (!close(y, truth, allowed, absolute))
            fail_msg("%s(%.17g …) = %.17g, but it is %.17g", name, a, y, truth);
        assert_false(close(y * 1.01 + 1e-9, truth, allowed, absolute)); /* a planted 1 % */
        lines++;
    }
    assert_true(lines == 17 * 60 + 480 + 120);
    fclose(f);
}

static void test_special_values(void **state) {
    (void)state;
    for (size_t i = 0; i < sizeof one / sizeof one[0]; i++) assert_true(isnan(one[i].f(NAN)));
    assert_true(lk_exp(INFINITY) == INFINITY && lk_exp(-INFINITY) == 0 && lk_exp(0.0) == 1 &&
                lk_exp(710) == INFINITY);
    assert_true(lk_exp(-745) == 0x1p-1074 && lk_exp(-746) == 0);
    assert_true(lk_log(0.0) == -INFINITY && lk_log(-0.0) == -INFINITY && isnan(lk_log(-1)) &&
                lk_log(1) == 0);
    assert_true(
        lk_log(INFINITY) == INFINITY && lk_log(0x1p-1074) < -744.4 && lk_log(0x1p-1074) > -744.5);
    assert_true(lk_log1p(-1) == -INFINITY && isnan(lk_log1p(-2)) && lk_log1p(INFINITY) == INFINITY);
    assert_true(lk_expm1(-INFINITY) == -1 && lk_expm1(INFINITY) == INFINITY);
    assert_true(lk_tanh(INFINITY) == 1 && lk_tanh(-INFINITY) == -1 && signbit(lk_tanh(-0.0)));
    assert_true(
        lk_sigmoid(INFINITY) == 1 && lk_sigmoid(-INFINITY) == 0 && lk_softplus(-INFINITY) == 0);
    assert_true(
        lk_softplus(INFINITY) == INFINITY && lk_erf(INFINITY) == 1 && lk_erf(-INFINITY) == -1);
    assert_true(
        lk_erfc(INFINITY) == 0 && lk_erfc(-INFINITY) == 2 && lk_log_erfc(INFINITY) == -INFINITY);
    assert_true(
        lk_normal_cdf(-INFINITY) == 0 && lk_normal_cdf(INFINITY) == 1 && lk_normal_cdf(0) == 0.5);
    assert_true(lk_normal_quantile(0) == -INFINITY && lk_normal_quantile(1) == INFINITY &&
                lk_normal_quantile(0.5) == 0);
    assert_true(isnan(lk_normal_quantile(-0.1)) && isnan(lk_sin(INFINITY)) && isnan(lk_lgamma(-1)));
    assert_true(
        lk_log_normal_mass(1, 1) == -INFINITY && lk_log_normal_mass(-INFINITY, INFINITY) == 0);
    assert_true(lk_log_normal_mass(-1.7e308, -1.6e308) == -INFINITY);
    assert_true(
        lk_log_normal_mass(-INFINITY, -1e200) == -INFINITY && lk_log_normal_cdf(-1e200) < -1e300);
    assert_true(
        lk_normal_cdf(-40) == 0 && lk_normal_cdf(40) == 1 && lk_log_normal_cdf(INFINITY) == 0);
    assert_true(lk_pow_int(2, 10) == 1024 && lk_pow_int(2, -2) == 0.25 && lk_pow_int(0.5, 0) == 1);
}

/* float32 against float64, in units in the last place of float32. */
static void test_float32(void **state) {
    (void)state;
    static const struct {
        float (*f)(float);
        double (*truth)(double);
        float low, high;
        double ulps;
    } cases[] = {
        {lk_exp_f32, lk_exp, -87, 88, 1.1},           {lk_log_f32, lk_log, 1e-30f, 1e30f, 1.1},
        {lk_tanh_f32, lk_tanh, -9, 9, 2.1},           {lk_sigmoid_f32, lk_sigmoid, -80, 80, 2.6},
        {lk_softplus_f32, lk_softplus, -80, 80, 2.7}, {lk_erf_f32, lk_erf, -4.5, 4.5, 1.1}};
    for (size_t c = 0; c < sizeof cases / sizeof cases[0]; c++) {
        double worst = 0;
        for (int i = 0; i <= 2000000; i++) {
            float x = cases[c].low + (cases[c].high - cases[c].low) * ((float)i / 2000000);
            double truth = cases[c].truth((double)x), y = (double)cases[c].f(x);
            float a = fabsf((float)truth);
            double ulp = (double)(nextafterf(a, INFINITY) - a), e = fabs(y - truth) / ulp;
            if (!(e <= worst)) worst = e;
        }
        if (!(worst <= cases[c].ulps)) fail_msg("case %zu: %.3f units in the last place", c, worst);
    }
    assert_true(
        lk_exp_f32(INFINITY) == INFINITY && lk_exp_f32(-INFINITY) == 0 && isnan(lk_exp_f32(NAN)));
    assert_true(
        lk_log_f32(0) == -INFINITY && isnan(lk_log_f32(-1)) && lk_log_f32(INFINITY) == INFINITY);
    assert_true(
        lk_tanh_f32(INFINITY) == 1 && lk_tanh_f32(-INFINITY) == -1 && isnan(lk_tanh_f32(NAN)));
    assert_true(lk_softplus_f32(200) == 200 && lk_softplus_f32(-200) == 0 &&
                lk_sigmoid_f32(-INFINITY) == 0);
    assert_true(
        isnan(lk_sigmoid_f32(NAN)) && isnan(lk_softplus_f32(NAN)) && isnan(lk_log_f32(NAN)));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_golden), cmocka_unit_test(test_special_values),
        cmocka_unit_test(test_float32)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
