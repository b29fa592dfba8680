/* Samples of every distribution against its cumulative function, their derivatives against those of
 * quantiles, and closed entropies and divergences against integrals over the quantile function. Seeds
 * are fixed, so that what passes passes always. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>

#include <cmocka.h>

#include "unit/dist_cases.h"

#include <stdlib.h>

/* ---- Samples ------------------------------------------------------------------------------------------ */

#define PI 3.14159265358979323846

enum { N_SAMPLES = 100000, MOST_BINS = 40 };

static int by_size(const void *a, const void *b) {
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static double *draw(const dist_case *c) {
    double *x = malloc(N_SAMPLES * sizeof *x);
    assert_non_null(x);
    for (int i = 0; i < N_SAMPLES; i++) {
        lk_rng rng = lk_rng_at(7, "samples", 0, (uint64_t)i, 0);
        x[i] = c->form.kind->sample(&c->form, c->params, &rng);
    }
    qsort(x, N_SAMPLES, sizeof *x, by_size);
    return x;
}

/* Kolmogorov and Smirnov: sqrt(n)·D is above 1.95 once in 1,000 times. Every 8th of the sorted samples is
 * looked at, which can only make D smaller, by 8/n. */
static int check_real_samples(const dist_case *c, const double *x) {
    double most = 0;
    for (int i = 0; i < N_SAMPLES; i += 8) {
        if (x[i] != x[i]) return wrong(c, "sample", i, x[i], 0);
        double off = fabs(cdf_of(c, x[i]) - (i + 0.5) / N_SAMPLES);
        most = off > most ? off : most;
    }
    return most * sqrt(N_SAMPLES) < 1.95
               ? 0
               : wrong(c, "Kolmogorov's statistic", 0, most * sqrt(N_SAMPLES), 1.95);
}

/* Chi-square over bins of about equal probability, as a normal by Wilson and Hilferty (1931): above 3.1 once
 * in 1,000 times. */
static int check_counts(const dist_case *c, const double *x) {
    int bins = 0, at = 0;
    double chi = 0, last = -1, below = 0;
    for (int i = 0; i < N_SAMPLES; i++)
        if (!(c->form.kind->log_prob(&c->form, c->params, x[i], NULL, NULL) > -INFINITY))
            return wrong(c, "sample outside the support", i, x[i], 0);
    for (int i = 1; i <= MOST_BINS; i++) {
        double edge = i == MOST_BINS ? INFINITY : quantile_of(c, (double)i / MOST_BINS);
        double expected = (cdf_of(c, edge) - below) * N_SAMPLES;
        if (!(edge > last) || (expected < 5 && i < MOST_BINS)) continue;
        int from = at;
        while (at < N_SAMPLES && x[at] <= edge) at++;
        if (expected > 0) chi += (at - from - expected) * (at - from - expected) / expected;
        else if (at > from) return wrong(c, "samples where none may be", edge, at - from, 0);
        bins += expected > 0;
        last = edge;
        below = cdf_of(c, edge);
    }
    double k = bins - 1, z = k > 0 ? (cbrt(chi / k) - (1 - 2 / (9 * k))) / sqrt(2 / (9 * k)) : 0;
    return z < 3.1 ? 0 : wrong(c, "chi-square, as a normal", bins, z, 3.1);
}

/* The sample mean within 5 standard errors, where there is a variance. */
static int check_moments(const dist_case *c, const double *x) {
    const lk_dist_kind *kind = c->form.component ? c->form.component : c->form.kind;
    double mean = c->form.kind->mean(&c->form, c->params), sum = 0, square = 0;
    if (!strcmp(kind->name, "student_t")) return 0;
    for (int i = 0; i < N_SAMPLES; i++) sum += x[i] - mean;
    for (int i = 0; i < N_SAMPLES; i++) square += (x[i] - mean) * (x[i] - mean);
    double off = sum / N_SAMPLES, error = sqrt(square) / N_SAMPLES;
    return agrees(mean + off, mean, 0, 5 * error)
               ? 0
               : wrong(c, "mean of samples", 0, mean + off, mean);
}

static int check_samples(const dist_case *c) {
    double *x = draw(c);
    int n = support_of(c) == LK_SUPPORT_REAL ? check_real_samples(c, x) : check_counts(c, x);
    if (!n) n = check_moments(c, x);
    free(x);
    return n;
}

/* The mean of a t is the middle of its quantiles, where it has one. */
static void test_mean_of_t(void **state) {
    (void)state;
    lk_dist_form form = {.kind = &lk_student_t, .n = 1};
    assert_true(lk_student_t.mean(&form, (double[]){2.5, 0, 0.01}) == 2.5);
    double none = lk_student_t.mean(&form, (double[]){2.5, 0, 0});
    assert_true(none != none);
}

/* ---- Reparameterisation ------------------------------------------------------------------------------- */

typedef struct level {
    const dist_case *c;
    double u;
    int j;
} level;

static double moved_quantile(const void *user, double t) {
    const level *l = user;
    dist_case c = *l->c;
    c.params[l->j] = t;
    return quantile_of(&c, l->u);
}

static int check_reparameterise(const dist_case *c) {
    double d[MOST_PARAMS], scale = spread_of(c);
    int n = 0;
    for (int i = 0; i < N_LEVELS; i++) {
        double x = quantile_of(c, levels[i]);
        c->form.kind->reparameterise(&c->form, c->params, x, d);
        for (int j = 0; j < n_params_of(c); j++) {
            level l = {c, levels[i], j};
            double h = 0.004 * (is_location(c, j) ? scale : 1),
                   want = slope(moved_quantile, &l, c->params[j], h);
            double noise = 1e-8 * scale + 1e-14 * fabs(x) / h;
            if (!agrees(d[j], want, 1e-6, noise))
                n += wrong(c, "derivative of a sample", x, d[j], want);
        }
    }
    return n;
}

/* ---- Entropy and divergence --------------------------------------------------------------------------- */

/* Of p at its u-quantile: -log p, or log p - log q. */
static double information(const dist_case *p, const dist_case *q, double u) {
    double x = quantile_of(p, u), l = log_prob_of(p, x);
    return q ? l - log_prob_of(q, x) : -l;
}

/* From 0 to 1 in u, in pieces between kinks, each by Takahasi and Mori's double exponential rule (1974),
 * which minds no singular ends. */
static double integral(const dist_case *p, const dist_case *q) {
    double cuts[4] = {0, cdf_of(p, p->params[0]), q ? cdf_of(p, q->params[0]) : 1, 1}, sum = 0;
    if (cuts[1] > cuts[2]) {
        double t = cuts[1];
        cuts[1] = cuts[2];
        cuts[2] = t;
    }
    for (int i = 0; i < 3; i++) {
        double a = cuts[i], width = cuts[i + 1] - a, h = 1.0 / 16;
        for (int k = -56; k <= 56 && width > 0; k++) {
            double t = k * h, s = 0.5 * PI * sinh(t), e = exp(-2 * fabs(s)), part = e / (1 + e);
            double u = s < 0 ? a + width * part : a + width - width * part;
            double weight = width * h * PI * cosh(t) * part / (1 + e);
            if (u > 0 && u < 1 && weight > 0) sum += weight * information(p, q, u);
        }
    }
    return sum;
}

static double sum_over_counts(const dist_case *p, const dist_case *q) {
    double most = quantile_of(p, 1 - 1e-16), sum = 0;
    for (double k = 0; k <= most + 50; k++) {
        double l = log_prob_of(p, k);
        if (l > -INFINITY) sum += exp(l) * (q ? l - log_prob_of(q, k) : -l);
    }
    return sum;
}

static double numeric(const dist_case *p, const dist_case *q) {
    return support_of(p) == LK_SUPPORT_REAL ? integral(p, q) : sum_over_counts(p, q);
}

/* entropy(p) (q NULL) or kl(p, q), as a function of parameter j of p, or of q (j >= 100). */
typedef struct pair {
    const dist_case *p, *q;
    int j;
} pair;

static double closed(const dist_case *p, const dist_case *q, double *d_p, double *d_q) {
    const lk_dist_kind *kind = p->form.kind;
    return q ? kind->kl(&p->form, p->params, q->params, d_p, d_q)
             : kind->entropy(&p->form, p->params, d_p);
}

static double moved(const void *user, double t) {
    const pair *r = user;
    dist_case p = *r->p, q = r->q ? *r->q : p;
    if (r->j < 100) p.params[r->j] = t;
    else q.params[r->j - 100] = t;
    return closed(&p, r->q ? &q : NULL, NULL, NULL);
}

static int check_closed(const dist_case *p, const dist_case *q) {
    double d[2][MOST_PARAMS], value = closed(p, q, d[0], d[1]), want = numeric(p, q);
    int n = 0;
    if (!agrees(value, want, 1e-8, 1e-9))
        n += wrong(p, q ? "divergence" : "entropy", 0, value, want);
    for (int of = 0; of < (q ? 2 : 1); of++)
        for (int j = 0; j < n_params_of(p); j++) {
            const dist_case *c = of ? q : p;
            pair r = {p, q, j + 100 * of};
            double h = 0.004 * (is_location(c, j) ? spread_of(c) : 1);
            double slow = slope(moved, &r, c->params[j], h);
            if (!agrees(d[of][j], slow, 1e-6, 4e-15 * (1 + fabs(value)) / h))
                n += wrong(p, q ? "derivative of the divergence" : "derivative of the entropy", j,
                           d[of][j], slow);
        }
    return n;
}

static int check_entropy(const dist_case *c) { return check_closed(c, NULL); }

/* Against itself, which is 0, and against one that is wider, so that a uniform's covers. */
static int check_kl(const dist_case *p) {
    dist_case q = *p;
    double itself = closed(p, p, NULL, NULL);
    int n = agrees(itself, 0, 0, 1e-14) ? 0 : wrong(p, "divergence from itself", 0, itself, 0);
    for (int j = 0; j < n_params_of(p); j++)
        q.params[j] += is_location(p, j) ? -0.3 * spread_of(p) : j % 2 ? 0.5 : -0.25;
    return n + check_closed(p, &q);
}

/* ---- Planted bugs ------------------------------------------------------------------------------------- */

/* 1 % of a sample shows in no test of 100,000; 5 % do. */
static double spoilt_sample(const lk_dist_form *form, const double *params, lk_rng *rng) {
    double x = victim->sample(form, params, rng);
    if (victim->support == LK_SUPPORT_REAL)
        return planted == ONE_PERCENT ? 1.05 * x : planted == MISSING_TERM ? 0 : spoilt(x);
    double u = lk_rng_uniform(rng);
    return planted == SIGN           ? -x
           : planted == ONE_PERCENT  ? (u < 0.02 ? 0 : x)
           : planted == NOT_A_NUMBER ? (double)NAN
                                     : (u < 0.03 ? x + 1 : x);
}

static double spoilt_entropy(const lk_dist_form *form, const double *params, double *d) {
    return spoilt(victim->entropy(form, params, d));
}

static double spoilt_entropy_gradient(const lk_dist_form *form, const double *params, double *d) {
    double h = victim->entropy(form, params, d);
    spoil(form, d);
    return h;
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

static void spoilt_reparameterise(const lk_dist_form *form, const double *params, double x,
                                  double *d) {
    victim->reparameterise(form, params, x, d);
    spoil(form, d);
}

static void must_catch(check f, const lk_dist_kind *kind, const lk_dist_kind *buggy,
                       const char *what) {
    if (!check_kind(f, kind, buggy))
        fail_msg("%s: bug %d planted in %s is not caught", what, (int)planted, kind->name);
}

static void test_checks_reject(void **state) {
    (void)state;
    lines_left = 0;
    for (const lk_dist_kind *const *at = lk_dist_kinds; *at; at++)
        for (planted = SIGN; planted < N_BUGS; planted++) {
            const lk_dist_kind *kind = victim = *at;
            lk_dist_kind buggy = *kind;
            buggy.sample = spoilt_sample;
            must_catch(check_samples, kind, &buggy, "samples");
            buggy = *kind;
            buggy.entropy = spoilt_entropy;
            if (kind->entropy) must_catch(check_entropy, kind, &buggy, "entropy");
            buggy.entropy = spoilt_entropy_gradient;
            if (kind->entropy) must_catch(check_entropy, kind, &buggy, "entropy's derivatives");
            buggy.kl = spoilt_kl;
            if (kind->kl) must_catch(check_kl, kind, &buggy, "divergence");
            buggy.kl = spoilt_kl_gradient;
            if (kind->kl) must_catch(check_kl, kind, &buggy, "divergence's derivatives");
            buggy.reparameterise = spoilt_reparameterise;
            if (kind->reparameterise)
                must_catch(check_reparameterise, kind, &buggy, "reparameterise");
        }
    planted = NO_BUG;
}

static void run(check f, size_t slot) {
    int n = 0, ran = 0;
    for (int i = 0; i < N_DIST_CASES; i++) {
        void (*has)(void) = NULL;
        memcpy(&has, (const char *)dist_cases[i].form.kind + slot, sizeof has);
        if (!has) continue;
        lines_left = 4;
        n += f(&dist_cases[i]);
        ran++;
    }
    assert_true(ran > 0);
    assert_int_equal(n, 0);
}

static void test_samples(void **state) {
    (void)state;
    run(check_samples, offsetof(lk_dist_kind, sample));
}

static void test_reparameterise(void **state) {
    (void)state;
    run(check_reparameterise, offsetof(lk_dist_kind, reparameterise));
}

static void test_entropy(void **state) {
    (void)state;
    run(check_entropy, offsetof(lk_dist_kind, entropy));
}

static void test_kl(void **state) {
    (void)state;
    run(check_kl, offsetof(lk_dist_kind, kl));
}

/* KL of a uniform that is not covered. */
static void test_uncovered(void **state) {
    (void)state;
    lk_dist_form form = {.kind = &lk_uniform, .n = 1};
    double d_p[2], d_q[2], p[] = {0, 0}, q[] = {0.5, 0};
    assert_true(lk_uniform.kl(&form, p, q, d_p, d_q) == INFINITY);
    assert_true(d_p[0] == 0 && d_p[1] == 0 && d_q[0] == 0 && d_q[1] == 0);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_checks_reject), cmocka_unit_test(test_samples),
        cmocka_unit_test(test_mean_of_t),     cmocka_unit_test(test_reparameterise),
        cmocka_unit_test(test_entropy),       cmocka_unit_test(test_kl),
        cmocka_unit_test(test_uncovered),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
