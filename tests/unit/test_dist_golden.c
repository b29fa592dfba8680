/* Distributions against values to full precision: tests/golden/dist/values.txt, made by
 * tests/oracle/dist_oracle.py, which says what a line is. Every line is held to 1e-12 relative, and
 * quantiles to what the cumulative function says of them. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>

#include <cmocka.h>

#include "dist/dist.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MOST = 128 };

typedef struct line {
    lk_dist_form form;
    double params[MOST], arguments[MOST], value;
    char name[64], function[16];
} line;

static int numbers(char *text, double *out) {
    int n = 0;
    if (!strcmp(text, "-")) return 0;
    for (char *at = strtok(text, ","); at && n < MOST; at = strtok(NULL, ","))
        out[n++] = strtod(at, NULL);
    return n;
}

/* kind[:component][:n] */
static lk_dist_form form_of(const char *name) {
    char part[3][32] = {"", "", ""};
    sscanf(name, "%31[^:]:%31[^:]:%31s", part[0], part[1], part[2]);
    lk_dist_form form = {.kind = lk_dist_kind_named(part[0]), .n = 1};
    if (part[2][0]) form.component = lk_dist_kind_named(part[1]);
    if (part[1][0]) form.n = atoi(part[2][0] ? part[2] : part[1]);
    return form;
}

static bool read_line(FILE *file, line *l) {
    static char text[65536], params[32768], arguments[4096], value[64];
    while (fgets(text, sizeof text, file)) {
        if (text[0] == '#') continue;
        if (sscanf(text, "%63s %32767s %15s %4095s %63s", l->name, params, l->function, arguments,
                   value) != 5)
            fail_msg("a line is not FORM PARAMETERS FUNCTION ARGUMENTS VALUE: %s", text);
        l->form = form_of(l->name);
        assert_non_null(l->form.kind);
        assert_int_equal(numbers(params, l->params), l->form.kind->n_params(&l->form));
        numbers(arguments, l->arguments);
        l->value = strtod(value, NULL);
        return true;
    }
    return false;
}

static double computed(const line *l) {
    const lk_dist_kind *kind = l->form.kind;
    const double *a = l->arguments;
    if (!strcmp(l->function, "log_prob"))
        return kind->log_prob(&l->form, l->params, a[0], NULL, NULL);
    if (!strcmp(l->function, "cdf")) return kind->cdf(&l->form, l->params, a[0]);
    if (!strcmp(l->function, "log_mass"))
        return kind->log_mass(&l->form, l->params, a[0], a[1], NULL);
    if (!strcmp(l->function, "mean")) return kind->mean(&l->form, l->params);
    if (!strcmp(l->function, "entropy")) return kind->entropy(&l->form, l->params, NULL);
    if (!strcmp(l->function, "kl")) return kind->kl(&l->form, l->params, a, NULL, NULL);
    fail_msg("what is %s?", l->function);
    return 0;
}

/* Relative; absolute where the value is a sum of parts of size 1 (logarithms near 0, KL). */
static bool close_to(double got, double want) {
    if (want != want) return got != got;
    if (want - want != 0) return got == want;
    return fabs(got - want) <= 1e-12 * fabs(want) + 1e-14;
}

static FILE *open_values(void) {
    const char *root = getenv("LIKELY_ROOT");
    char path[4096];
    snprintf(path, sizeof path, "%s/tests/golden/dist/values.txt", root ? root : ".");
    FILE *file = fopen(path, "r");
    if (!file) fail_msg("cannot read %s; LIKELY_ROOT is the repository", path);
    return file;
}

static void test_values(void **state) {
    (void)state;
    FILE *file = open_values();
    static line l;
    int n = 0, wrong = 0, most = getenv("LIKELY_VERBOSE") ? 100000 : 20;
    while (read_line(file, &l)) {
        double got = computed(&l);
        n++;
        if (close_to(got, l.value)) continue;
        if (wrong++ < most)
            printf("line %d: %s %s(%.17g, %.17g) is %.17g, not %.17g (off %.2g)\n", n + 1, l.name,
                   l.function, l.arguments[0], l.arguments[1], got, l.value,
                   (got - l.value) / fabs(l.value));
    }
    fclose(file);
    printf("%d values\n", n);
    assert_true(n > 1500);
    assert_int_equal(wrong, 0);
}

/* The quantile of a cdf's value gives it back: for counts the smallest such, for reals as closely as
 * the cumulative function can tell. */
static void test_quantiles(void **state) {
    (void)state;
    FILE *file = open_values();
    static line l;
    int n = 0, wrong = 0;
    while (read_line(file, &l)) {
        const lk_dist_kind *kind = l.form.kind;
        if (strcmp(l.function, "cdf") || !(l.value > 1e-300 && l.value < 1 - 1e-12)) continue;
        bool counts = l.form.component ? l.form.component->support != LK_SUPPORT_REAL
                                       : kind->support != LK_SUPPORT_REAL;
        double value = counts ? l.value - 1e-9 * l.value * (1 - l.value) : l.value;
        double x = kind->quantile(&l.form, l.params, value), u = kind->cdf(&l.form, l.params, x);
        n++;
        double off = fabs(u - l.value) / l.value;
        bool good = counts ? x == l.arguments[0] || off < 1e-12 : off < 1e-12;
        if (good) continue;
        wrong++;
        printf("%s quantile(%.17g) is %.17g, not %.17g (off %.3g)\n", l.name, l.value, x,
               l.arguments[0], off);
    }
    fclose(file);
    assert_true(n > 300);
    assert_int_equal(wrong, 0);
}

static void test_it_rejects(void **state) {
    (void)state;
    assert_true(close_to(-3.5, -3.5));
    assert_true(close_to(INFINITY, INFINITY));
    assert_false(close_to(3.5, -3.5));
    assert_false(close_to(-3.5 * 1.01, -3.5));
    assert_false(close_to((double)NAN, -3.5));
    assert_false(close_to(-3.5, (double)NAN));
    assert_false(close_to(INFINITY, -INFINITY));
    assert_false(close_to(-3.5, -INFINITY));
    assert_false(close_to(-3.5 - 0.9189385332046727, -3.5));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_it_rejects),
        cmocka_unit_test(test_values),
        cmocka_unit_test(test_quantiles),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
