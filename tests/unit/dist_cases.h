/* Cases that every distribution is put through, and what the tests of distributions share. What is in
 * lk_dist_kinds and not here fails test_dist. */
#ifndef LK_TESTS_DIST_CASES_H
#define LK_TESTS_DIST_CASES_H

#include "dist/dist.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

enum { MOST_PARAMS = 40 };

typedef struct dist_case {
    lk_dist_form form;
    double params[MOST_PARAMS];
} dist_case;

#define ONE(k) \
    { .kind = &(k), .n = 1 }
#define MANY(k, m) \
    { .kind = &(k), .n = m }
#define MIX(c, m) \
    { .kind = &lk_mixture, .component = &(c), .n = m }

static const dist_case dist_cases[] = {
    {ONE(lk_bernoulli), {0.3}},
    {ONE(lk_bernoulli), {-4}},
    {ONE(lk_bernoulli), {6}},
    {MANY(lk_categorical, 2), {0.5, -0.5}},
    {MANY(lk_categorical, 7), {0, 1, -2, 0.5, 3, -1, 2}},
    {MANY(lk_categorical, 3), {40, 41, 38}},
    {ONE(lk_normal), {0, 0}},
    {ONE(lk_normal), {-3.5, 2}},
    {ONE(lk_normal), {1, -5}},
    {ONE(lk_logistic), {0, 0}},
    {ONE(lk_logistic), {-3.5, 2}},
    {ONE(lk_logistic), {1, -5}},
    {ONE(lk_laplace), {0, 0}},
    {ONE(lk_laplace), {-3.5, 2}},
    {ONE(lk_laplace), {1, -5}},
    {ONE(lk_student_t), {0, 0, 1.5}},
    {ONE(lk_student_t), {-3.5, 2, 0.2}},
    {ONE(lk_student_t), {1, -5, 4}},
    {ONE(lk_student_t), {0, 0, -1}},
    {ONE(lk_student_t), {2, 1, 8}},
    {ONE(lk_uniform), {0, 0}},
    {ONE(lk_uniform), {-3.5, 2}},
    {ONE(lk_uniform), {1, -5}},
    {ONE(lk_poisson), {0.5}},
    {ONE(lk_poisson), {-3}},
    {ONE(lk_poisson), {4}},
    {ONE(lk_poisson), {11}},
    {ONE(lk_negative_binomial), {1, 0}},
    {ONE(lk_negative_binomial), {3, -2}},
    {ONE(lk_negative_binomial), {2, 2.5}},
    {ONE(lk_negative_binomial), {6, -10}},
    {MIX(lk_logistic, 3), {0.5, -1, 1, 0, 0, 3, -1.5, -4, 0.7}},
    {MIX(lk_logistic, 1), {0.7, 2, 0.5}},
    {MIX(lk_normal, 2), {0, 1.5, -1, 0.2, 2, -1}},
    {MIX(lk_laplace, 2), {0, 1.5, -1.01, 0.2, 2.02, -1}},
    {MIX(lk_student_t, 2), {0, -0.5, -1, 0.2, 1.8, 2, -1, 2.5}},
    {MIX(lk_poisson, 3), {0, 1, -0.5, 0, 2, 4}},
    {MIX(lk_negative_binomial, 2), {0.2, 0.8, 0, 0.5, 3, -1}},
    {MIX(lk_bernoulli, 2), {0.2, 0.8, 0.7, -2}},
};

enum { N_DIST_CASES = (int)(sizeof dist_cases / sizeof *dist_cases) };

static const double levels[] = {1e-12, 1e-4, 0.06, 0.37, 0.46, 0.81, 0.98, 1 - 1e-6};
enum { N_LEVELS = (int)(sizeof levels / sizeof *levels) };

static inline lk_support support_of(const dist_case *c) {
    return (c->form.component ? c->form.component : c->form.kind)->support;
}

static inline int n_params_of(const dist_case *c) { return c->form.kind->n_params(&c->form); }

static inline double cdf_of(const dist_case *c, double x) {
    return c->form.kind->cdf(&c->form, c->params, x);
}

static inline double quantile_of(const dist_case *c, double u) {
    return c->form.kind->quantile(&c->form, c->params, u);
}

static inline double log_prob_of(const dist_case *c, double x) {
    return c->form.kind->log_prob(&c->form, c->params, x, NULL, NULL);
}

/* Between the quartiles, or 1. */
static inline double spread_of(const dist_case *c) {
    double width = quantile_of(c, 0.75) - quantile_of(c, 0.25);
    return width > 0 ? width : 1;
}

/* Locations move by the spread; all other parameters are logarithms and logits. */
static inline bool is_location(const dist_case *c, int j) {
    if (support_of(c) != LK_SUPPORT_REAL) return false;
    int first = c->form.component ? c->form.n : 0, each = (n_params_of(c) - first) / c->form.n;
    return j >= first && (j - first) % each == 0;
}

/* Where differences mean nothing: by the peak of a laplace, by the ends of a uniform. */
static inline bool near_kink(const dist_case *c, double x) {
    const lk_dist_kind *kind = c->form.component ? c->form.component : c->form.kind;
    int first = c->form.component ? c->form.n : 0;
    for (int k = 0; k < c->form.n; k++) {
        const double *p = c->params + first + 2 * k;
        double room = 0.03 * exp(p[1]);
        if (!strcmp(kind->name, "laplace") && fabs(x - p[0]) < room) return true;
        if (!strcmp(kind->name, "uniform") &&
            (fabs(x - p[0]) < room || fabs(x - p[0] - exp(p[1])) < room))
            return true;
    }
    return false;
}

/* ---- Checks count what is wrong, and print the first of it ------------------------------------------ */

static int lines_left = 30;

static inline int wrong(const dist_case *c, const char *what, double at, double got, double want) {
    if (lines_left-- > 0)
        printf("%s%s%s(%g, %g, ...): %s at %.17g is %.17g, not %.17g\n", c->form.kind->name,
               c->form.component ? " of " : "", c->form.component ? c->form.component->name : "",
               c->params[0], c->params[1], what, at, got, want);
    return 1;
}

/* Signed, and false for NaN. */
static inline bool agrees(double got, double want, double relative, double absolute) {
    return fabs(got - want) <= relative * fabs(want) + absolute;
}

typedef double (*function)(const void *user, double t);

/* The central difference of order 8. */
static inline double slope(function f, const void *user, double t, double h) {
    static const double c[] = {4.0 / 5, -1.0 / 5, 4.0 / 105, -1.0 / 280};
    double sum = 0;
    for (int k = 1; k <= 4; k++) sum += c[k - 1] * (f(user, t + k * h) - f(user, t - k * h));
    return sum / h;
}

/* ---- Planted bugs: a kind like another, but for one function ---------------------------------------- */

typedef enum bug { NO_BUG, SIGN, ONE_PERCENT, NOT_A_NUMBER, MISSING_TERM, N_BUGS } bug;

static const lk_dist_kind *victim; /* whose function is spoilt */
static bug planted;

static inline double spoilt(double x) {
    return planted == SIGN           ? -x
           : planted == ONE_PERCENT  ? 1.01 * x
           : planted == NOT_A_NUMBER ? (double)NAN
                                     : x - 0.1; /* a term that was forgotten */
}

/* MISSING_TERM forgets what depends on the last parameter. */
static inline void spoil(const lk_dist_form *form, double *d) {
    int n = victim->n_params(form);
    for (int j = 0; d && j < n; j++)
        d[j] = planted == MISSING_TERM ? (j == n - 1 ? 0 : d[j]) : spoilt(d[j]);
}

typedef int (*check)(const dist_case *c);

/* Runs the check over the cases of the kind, with `with` in the kind's stead, until it finds fault. */
static inline int check_kind(check f, const lk_dist_kind *kind, const lk_dist_kind *with) {
    int n = 0;
    for (int i = 0; i < N_DIST_CASES && !n; i++) {
        dist_case c = dist_cases[i];
        if (c.form.kind != kind) continue;
        c.form.kind = with;
        n += f(&c);
    }
    return n;
}

#endif
