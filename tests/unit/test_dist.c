/* The battery that every distribution passes, over the cases of dist_cases.h: derivatives against
 * differences of order 8, masses against cumulative functions, quantiles against both, and all of it at
 * the ends of the numbers. Every check is first shown bugs: a sign, 1 %, NaN, a missing term. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>

#include <cmocka.h>

#include "unit/dist_cases.h"

/* ---- Derivatives -------------------------------------------------------------------------------------- */

/* log_prob at a (b is NaN), or log_mass of (a, b], as a function of parameter j, or of a (j < 0). */
typedef struct probe {
    const dist_case *c;
    double a, b;
    int j;
} probe;

static double value_of(const dist_case *c, const double *params, double a, double b, double *d,
                       double *d_x) {
    return b != b ? c->form.kind->log_prob(&c->form, params, a, d, d_x)
                  : c->form.kind->log_mass(&c->form, params, a, b, d);
}

static double probe_value(const void *user, double t) {
    const probe *p = user;
    double params[MOST_PARAMS];
    memcpy(params, p->c->params, sizeof params);
    if (p->j >= 0) params[p->j] = t;
    return value_of(p->c, params, p->j < 0 ? t : p->a, p->b, NULL, NULL);
}

static int check_probe(const dist_case *c, double a, double b) {
    double d[MOST_PARAMS],
        d_x = 0, scale = spread_of(c), value = value_of(c, c->params, a, b, d, &d_x);
    double without = value_of(c, c->params, a, b, NULL, NULL);
    int n = 0;
    if (near_kink(c, a) || near_kink(c, b) || a >= b) return 0;
    if (!(value == without))
        n += wrong(c, "value when derivatives are asked for", a, value, without);
    for (int j = b != b && support_of(c) == LK_SUPPORT_REAL ? -1 : 0; j < n_params_of(c); j++) {
        probe p = {c, a, b, j};
        double h = 0.004 * (j < 0 || is_location(c, j) ? scale : 1);
        double want = slope(probe_value, &p, j < 0 ? a : c->params[j], h), got = j < 0 ? d_x : d[j];
        double noise = 4e-15 * (1 + fabs(value)) / h;
        char what[80];
        snprintf(what, sizeof what, "derivative %d of log p of (a, a + %g]", j, b - a);
        if (!agrees(got, want, 1e-6, noise)) n += wrong(c, what, a, got, want);
    }
    return n;
}

static int check_gradients(const dist_case *c) {
    int n = 0;
    for (int i = 0; i < N_LEVELS; i++) n += check_probe(c, quantile_of(c, levels[i]), NAN);
    return n;
}

static int check_mass_gradients(const dist_case *c) {
    static const double widths[] = {1e-5, 0.02, 0.3, 1.1, 7, INFINITY};
    int n = 0;
    double scale = spread_of(c);
    if (support_of(c) != LK_SUPPORT_REAL) return 0;
    for (int i = 0; i < N_LEVELS; i++) {
        double a = quantile_of(c, levels[i]);
        n += check_probe(c, -INFINITY, a);
        for (int k = 0; k < 6; k++) n += check_probe(c, a, a + widths[k] * scale);
    }
    return n;
}

/* ---- Masses, cumulative functions, quantiles ---------------------------------------------------------- */

static double cdf_value(const void *user, double x) { return cdf_of(user, x); }

static int check_masses(const dist_case *c) {
    static const double widths[] = {0.01, 0.4, 3};
    int n = 0;
    double scale = spread_of(c);
    for (int i = 0; i < N_LEVELS; i++) {
        double x = quantile_of(c, levels[i]), p = exp(log_prob_of(c, x));
        if (support_of(c) != LK_SUPPORT_REAL) {
            double step = cdf_of(c, x) - cdf_of(c, x - 1);
            if (!agrees(p, step, 1e-9, 1e-14)) n += wrong(c, "probability", x, p, step);
            if (log_prob_of(c, x + 0.5) != -INFINITY || log_prob_of(c, -1) != -INFINITY)
                n += wrong(c, "log-probability beside the support", x, 0, -INFINITY);
            continue;
        }
        double steepness = slope(cdf_value, c, x, 0.002 * scale);
        if (!near_kink(c, x) && !agrees(p, steepness, 1e-7, 1e-11 / scale))
            n += wrong(c, "density", x, p, steepness);
        for (int k = 0; k < 3; k++) {
            double b = x + widths[k] * scale, gap = cdf_of(c, b) - cdf_of(c, x);
            double m = exp(c->form.kind->log_mass(&c->form, c->params, x, b, NULL));
            double rounded = 1e-14 + 4e-16 * (1 + fabs(x)) * p;
            if (!agrees(m, gap, 1e-10, rounded)) n += wrong(c, "mass", x, m, gap);
        }
    }
    return n;
}

static int check_quantiles(const dist_case *c) {
    int n = 0;
    bool real = support_of(c) == LK_SUPPORT_REAL;
    for (int i = 0; i < N_LEVELS; i++) {
        double u = levels[i], x = quantile_of(c, u), back = cdf_of(c, x);
        if (real) {
            double room = 1e-15 + 4e-16 * fabs(x) * exp(log_prob_of(c, x)); /* that x is rounded */
            if (!agrees(back, u, 1e-13, room)) n += wrong(c, "cdf of the quantile", u, back, u);
            double again = quantile_of(c, back);
            if (!agrees(again, x, 1e-12, room / exp(log_prob_of(c, x))))
                n += wrong(c, "quantile of the cdf", x, again, x);
        } else {
            double below = cdf_of(c, x - 1);
            if (!(back >= u && below < u))
                n += wrong(c, "smallest count that reaches", u, x, below);
        }
    }
    if (cdf_of(c, -INFINITY) != 0 || cdf_of(c, INFINITY) != 1)
        n += wrong(c, "cdf at the ends", 0, cdf_of(c, -INFINITY), cdf_of(c, INFINITY));
    return n;
}

/* ---- The ends of the numbers -------------------------------------------------------------------------- */

static bool finite(const double *d, int n) {
    for (int i = 0; i < n; i++)
        if (!(d[i] - d[i] == 0)) return false;
    return true;
}

static int check_total_at(const dist_case *c, double x) {
    const lk_dist_kind *kind = c->form.kind;
    double d[MOST_PARAMS], d_x = 0;
    int n = 0, k = n_params_of(c);
    double l = kind->log_prob(&c->form, c->params, x, d, &d_x), p = cdf_of(c, x);
    if (!(l < INFINITY) || !finite(d, k) || !finite(&d_x, 1))
        n += wrong(c, "log_prob or its derivatives", x, l, d_x);
    if (!(p >= 0 && p <= 1)) n += wrong(c, "cdf", x, p, 0);
    if (support_of(c) != LK_SUPPORT_REAL) return n;
    const double ends[][2] = {{x, x + 1},      {x, x * (1 + 1e-9) + 1e-9},
                              {-INFINITY, x},  {x, INFINITY},
                              {-x - 2, x + 1}, {-INFINITY, INFINITY}};
    for (int i = 0; i < 6; i++) {
        if (!(ends[i][0] < ends[i][1])) continue;
        double m = kind->log_mass(&c->form, c->params, ends[i][0], ends[i][1], d);
        if (!(m <= 1e-12) || !finite(d, k))
            n += wrong(c, "log_mass or its derivatives", ends[i][0], m, ends[i][1]);
    }
    return n;
}

static int check_total(const dist_case *original) {
    static const double values[] = {0, 50, -50, 1e4, -1e4, 3e5, -1e300, 1e300};
    static const double xs[] = {0, 1, 0.5, -2, 30, 1000, -1e6, 1e9, 1e15, -1e300, 1e300};
    int n = 0, k = n_params_of(original);
    lk_rng rng = lk_rng_at(1, "extremes", 0, 0, 0);
    for (int i = 0; i < 8 * k * 8; i++) {
        dist_case c = *original;
        int j = i / 8 % k;
        c.params[j] = values[i % 8];
        c.params[(j + 1) % k] = values[i / (8 * k)];
        for (int q = 0; q < 11; q++) n += check_total_at(&c, xs[q]);
        double x = c.form.kind->sample(&c.form, c.params, &rng),
               m = c.form.kind->mean(&c.form, c.params);
        if (!(x - x == 0)) n += wrong(&c, "sample", 0, x, 0);
        else n += check_total_at(&c, x);
        if (c.form.kind != &lk_student_t && c.form.component != &lk_student_t && !(m - m == 0))
            n += wrong(&c, "mean", 0, m, 0);
        x = quantile_of(&c, 1e-3);
        if (!(x - x == 0)) n += wrong(&c, "quantile", 1e-3, x, 0);
    }
    return n;
}

/* Not a number in: every function returns, and what it tells of a NaN parameter is no number either. */
static int check_nan(const dist_case *original) {
    const lk_dist_kind *kind = original->form.kind;
    dist_case c = *original;
    double d[MOST_PARAMS], d_x, nan = (double)NAN;
    int n = 0;
    lk_rng rng = lk_rng_at(1, "nan", 0, 0, 0);
    for (int j = -1; j < n_params_of(&c); j++) {
        if (j >= 0) c.params[j] = nan;
        double x = j < 0 ? nan : quantile_of(original, 0.3);
        double l = kind->log_prob(&c.form, c.params, x, d, &d_x);
        if (l - l == 0) n += wrong(&c, "log_prob of NaN", x, l, nan);
        if (kind->log_mass && support_of(&c) == LK_SUPPORT_REAL)
            kind->log_mass(&c.form, c.params, x, x + 1, d);
        cdf_of(&c, x);
        quantile_of(&c, j < 0 ? nan : 0.3);
        kind->sample(&c.form, c.params, &rng);
        kind->mean(&c.form, c.params);
        if (j >= 0) c.params[j] = original->params[j];
    }
    return n;
}

/* ---- Planted bugs ------------------------------------------------------------------------------------- */

static double spoilt_gradient(const lk_dist_form *form, const double *params, double x, double *d,
                              double *d_x) {
    double value = victim->log_prob(form, params, x, d, d_x);
    spoil(form, d);
    return value;
}

static double spoilt_mass_gradient(const lk_dist_form *form, const double *params, double a,
                                   double b, double *d) {
    double value = victim->log_mass(form, params, a, b, d);
    spoil(form, d);
    return value;
}

static double spoilt_log_prob(const lk_dist_form *form, const double *params, double x, double *d,
                              double *d_x) {
    return spoilt(victim->log_prob(form, params, x, d, d_x));
}

static double spoilt_quantile(const lk_dist_form *form, const double *params, double u) {
    double x = victim->quantile(form, params, u);
    return x == 0 ? 1.5 : spoilt(x);
}

typedef struct row {
    const char *name;
    check check;
    bool real_only;
    /* what is spoilt */
    double (*log_prob)(const lk_dist_form *, const double *, double, double *, double *);
    double (*log_mass)(const lk_dist_form *, const double *, double, double, double *);
    double (*quantile)(const lk_dist_form *, const double *, double);
} row;

static const row rows[] = {
    {"gradients", check_gradients, false, spoilt_gradient, NULL, NULL},
    {"gradients of masses", check_mass_gradients, true, NULL, spoilt_mass_gradient, NULL},
    {"masses", check_masses, false, spoilt_log_prob, NULL, NULL},
    {"quantiles", check_quantiles, false, NULL, NULL, spoilt_quantile},
};

static void test_checks_reject(void **state) {
    (void)state;
    int left = lines_left;
    lines_left = 0;
    for (size_t r = 0; r < sizeof rows / sizeof *rows; r++)
        for (const lk_dist_kind *const *kind = lk_dist_kinds; *kind; kind++)
            for (planted = SIGN; planted < N_BUGS; planted++) {
                if (rows[r].real_only && !(*kind)->log_mass) continue;
                victim = *kind;
                lk_dist_kind buggy = **kind;
                if (rows[r].log_prob) buggy.log_prob = rows[r].log_prob;
                if (rows[r].log_mass) buggy.log_mass = rows[r].log_mass;
                if (rows[r].quantile) buggy.quantile = rows[r].quantile;
                if (!check_kind(rows[r].check, *kind, &buggy))
                    fail_msg("%s: bug %d planted in %s is not caught", rows[r].name, (int)planted,
                             (*kind)->name);
            }
    planted = NO_BUG;
    lines_left = left;
}

static void run(check f) {
    int n = 0;
    for (int i = 0; i < N_DIST_CASES; i++) {
        lines_left = 4;
        n += f(&dist_cases[i]);
    }
    assert_int_equal(n, 0);
}

static void test_gradients(void **state) {
    (void)state;
    run(check_gradients);
}

static void test_mass_gradients(void **state) {
    (void)state;
    run(check_mass_gradients);
}

static void test_masses(void **state) {
    (void)state;
    run(check_masses);
}

static void test_quantiles(void **state) {
    (void)state;
    run(check_quantiles);
}

static void test_total(void **state) {
    (void)state;
    run(check_total);
}

static void test_nan(void **state) {
    (void)state;
    run(check_nan);
}

/* ---- Many cells side by side have the bits of one at a time -------------------------------------------- */

enum { SIDES = 2 * LK_DIST_SIDE };

static int differs(const dist_case *c, const char *what, size_t n, const double *got,
                   const double *want) {
    if (!memcmp(got, want, n * sizeof *got)) return 0;
    return wrong(c, what, (double)n, got[0], want[0]);
}

/* Parameters about the case's, also of scales beyond the clamps; values also infinite and far out. */
static int check_sides(const dist_case *c) {
    static const size_t counts[] = {1, 3, 7, 16, LK_DIST_SIDE};
    const lk_dist_kind *kind = c->form.kind;
    double p[SIDES], q[SIDES], x[LK_DIST_SIDE], got[LK_DIST_SIDE], want[LK_DIST_SIDE];
    double d[2][SIDES], of_one[2][2], expected[2][SIDES];
    lk_rng rng = lk_rng_at(1, "sides", 0, 0, 0);
    int wrongs = 0;
    for (size_t r = 0; r < sizeof counts / sizeof *counts; r++) {
        size_t n = counts[r];
        for (size_t i = 0; i < 2 * n; i++) {
            p[i] = c->params[i / n] + (i % 5 ? 2 : 80) * (lk_rng_uniform(&rng) - 0.5);
            q[i] = i % 7 ? p[i] + lk_rng_uniform(&rng) : i % 2 ? 0 : -40;
        }
        for (size_t i = 0; i < n; i++)
            x[i] = i % 11 == 3 ? (i % 2 ? INFINITY : -INFINITY)
                               : (i % 3 ? 3 : 1e200) * (p[i] - q[i]);
        if (kind->log_prob_side) {
            kind->log_prob_side(&c->form, n, p, x, got, d[0], d[1]);
            for (size_t i = 0; i < n; i++) {
                want[i] = kind->log_prob(&c->form, (double[]){p[i], p[n + i]}, x[i], of_one[0],
                                         &expected[1][i]);
                expected[0][i] = of_one[0][0];
                expected[0][n + i] = of_one[0][1];
            }
            wrongs += differs(c, "log_prob_side", n, got, want) +
                      differs(c, "log_prob_side's derivatives", 2 * n, d[0], expected[0]) +
                      differs(c, "log_prob_side's derivative of x", n, d[1], expected[1]);
        }
        if (kind->sample_side) {
            lk_rng ours = lk_rng_at(2, "sides", r, 0, 0), theirs = ours;
            kind->sample_side(&c->form, n, p, &ours, got, d[0]);
            for (size_t i = 0; i < n; i++) {
                double one[] = {p[i], p[n + i]};
                want[i] = kind->sample(&c->form, one, &theirs);
                kind->reparameterise(&c->form, one, want[i], of_one[0]);
                expected[0][i] = of_one[0][0];
                expected[0][n + i] = of_one[0][1];
            }
            wrongs += differs(c, "sample_side", n, got, want) +
                      differs(c, "sample_side's derivatives", 2 * n, d[0], expected[0]);
        }
        for (int wish = 0; kind->kl_side && wish < 4; wish++) { /* which derivatives */
            memset(d, 0, sizeof d);
            memset(expected, 0, sizeof expected);
            kind->kl_side(&c->form, n, p, q, got, wish & 1 ? d[0] : NULL, wish & 2 ? d[1] : NULL);
            for (size_t i = 0; i < n; i++) {
                want[i] = kind->kl(&c->form, (double[]){p[i], p[n + i]}, (double[]){q[i], q[n + i]},
                                   of_one[0], of_one[1]);
                for (int of = 0; of < 2; of++)
                    if (wish & 1 << of) {
                        expected[of][i] = of_one[of][0];
                        expected[of][n + i] = of_one[of][1];
                    }
            }
            wrongs += differs(c, "kl_side", n, got, want) +
                      differs(c, "kl_side's derivatives by p", 2 * n, d[0], expected[0]) +
                      differs(c, "kl_side's derivatives by q", 2 * n, d[1], expected[1]);
        }
    }
    return wrongs;
}

static double spoilt_kl(const lk_dist_form *form, const double *p, const double *q, double *d_p,
                        double *d_q) {
    return spoilt(victim->kl(form, p, q, d_p, d_q));
}

static double spoilt_kl_gradient(const lk_dist_form *form, const double *p, const double *q,
                                 double *d_p, double *d_q) {
    double d = victim->kl(form, p, q, d_p, d_q);
    spoil(form, d_q);
    return d;
}

static double spoilt_sample(const lk_dist_form *form, const double *params, lk_rng *rng) {
    return spoilt(victim->sample(form, params, rng));
}

static void test_sides(void **state) {
    (void)state;
    run(check_sides);
    int left = lines_left;
    lines_left = 0;
    for (const lk_dist_kind *const *kind = lk_dist_kinds; *kind; kind++)
        for (planted = SIGN; planted < N_BUGS; planted++) {
            victim = *kind;
            for (int which = 0; which < 5; which++) {
                lk_dist_kind buggy = **kind;
                if (which < 2 && !buggy.log_prob_side) continue;
                if (which == 2 && !buggy.sample_side) continue;
                if (which > 2 && !buggy.kl_side) continue;
                if (which == 0) buggy.log_prob = spoilt_log_prob;
                if (which == 1) buggy.log_prob = spoilt_gradient;
                if (which == 2) buggy.sample = spoilt_sample;
                if (which == 3) buggy.kl = spoilt_kl;
                if (which == 4) buggy.kl = spoilt_kl_gradient;
                if (!check_kind(check_sides, *kind, &buggy))
                    fail_msg("%s: bug %d planted in %d is not caught", (*kind)->name, (int)planted,
                             which);
            }
        }
    planted = NO_BUG;
    lines_left = left;
}

/* ---- The list ----------------------------------------------------------------------------------------- */

static void test_every_kind_has_cases(void **state) {
    (void)state;
    for (const lk_dist_kind *const *kind = lk_dist_kinds; *kind; kind++) {
        int n = 0;
        for (int i = 0; i < N_DIST_CASES; i++) n += dist_cases[i].form.kind == *kind;
        if (!n) fail_msg("no case of %s in dist_cases.h", (*kind)->name);
        assert_ptr_equal(lk_dist_kind_named((*kind)->name), *kind);
        assert_true((*kind)->support != LK_SUPPORT_REAL || (*kind)->log_mass);
    }
    assert_null(lk_dist_kind_named("gaussian"));
}

/* Clamped: as at the clamp, and no derivative. */
static void test_clamps(void **state) {
    (void)state;
    const lk_dist_kind *kinds[] = {&lk_normal, &lk_logistic, &lk_laplace, &lk_student_t,
                                   &lk_uniform};
    for (int i = 0; i < 5; i++)
        for (int low = 0; low < 2; low++) {
            lk_dist_form form = {.kind = kinds[i], .n = 1},
                         floored = {.kind = kinds[i], .n = 1, .least_log_scale = -7};
            double beyond[] = {0, low ? -31 : 31, 0}, at[] = {0, low ? -30 : 30, 0}, d[3],
                   x = low ? 0.5e-14 : 0.5;
            assert_true(kinds[i]->log_prob(&form, beyond, x, d, NULL) ==
                        kinds[i]->log_prob(&form, at, x, NULL, NULL));
            assert_true(d[1] == 0);
            kinds[i]->log_prob(&form, at, x, d, NULL);
            assert_true(d[1] != 0);
            beyond[1] = -8;
            at[1] = -7;
            x = 1e-4;
            assert_true(kinds[i]->log_prob(&floored, beyond, x, d, NULL) ==
                        kinds[i]->log_prob(&form, at, x, NULL, NULL));
            assert_true(d[1] == 0);
            assert_true(kinds[i]->log_mass(&floored, beyond, 0, x, d) ==
                        kinds[i]->log_mass(&form, at, 0, x, NULL));
            assert_true(d[1] == 0);
        }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_kind_has_cases),
        cmocka_unit_test(test_checks_reject),
        cmocka_unit_test(test_gradients),
        cmocka_unit_test(test_mass_gradients),
        cmocka_unit_test(test_masses),
        cmocka_unit_test(test_quantiles),
        cmocka_unit_test(test_clamps),
        cmocka_unit_test(test_sides),
        cmocka_unit_test(test_total),
        cmocka_unit_test(test_nan),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
