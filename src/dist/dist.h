/* Distributions of one cell.
 *
 * A distribution is a record of plain functions in float64 on scalars: its parameters are `n_params`
 * doubles, its value is a double (a category's index, a count, a grid value's number of steps times
 * the step, or a real). Sites of many cells are vectors of these (dist/cells.h); what is correlated
 * is a chain of them (trace/trace.h). So this file is all that scoring, learning, sampling and
 * coding ever ask of a distribution.
 *
 * Parameters are unconstrained reals, as networks emit them: a scale is exp(log_scale), a
 * probability is sigmoid(logit). Every function is total: any finite parameters give a result that
 * is not NaN for values in the support, and -infinity log-probability outside it. */
#ifndef LK_DIST_DIST_H
#define LK_DIST_DIST_H

#include "base/philox.h"
#include "kernels/kernels.h"

typedef struct lk_dist_kind lk_dist_kind;

/* One cell's distribution, its parameters apart: what an adding of numbers cannot change. */
typedef struct lk_dist_form {
    const lk_dist_kind *kind;
    const lk_dist_kind *component; /* of a mixture; NULL otherwise */
    int n;                         /* categories, or components of a mixture; 1 otherwise */
    double least_log_scale;        /* log scales below this count as this; 0: LK_LEAST_LOG_SCALE */
} lk_dist_form;

/* Log scales, log widths and log rates are clamped to this range inside the records (their derivative
 * is 0 outside), so that every finite parameter gives a finite result. */
#define LK_LEAST_LOG_SCALE (-30.0)
#define LK_MOST_LOG_SCALE 30.0

enum { LK_DIST_SIDE = 64 };

typedef enum lk_support {
    LK_SUPPORT_FINITE, /* 0 … n-1 */
    LK_SUPPORT_COUNT,  /* 0, 1, 2, … */
    LK_SUPPORT_REAL    /* the line; has a cumulative function and so interval masses */
} lk_support;

/* Where a derivative is asked for, d_params has room for all parameters and is *written* (not
 * added to); it may be NULL. */
struct lk_dist_kind {
    const char *name;    /* the field's standard name: "bernoulli", "normal", … */
    const char *summary; /* one line with the formula */
    const char *source;  /* book or paper, with the equation or page */
    lk_support support;
    const char *params; /* "mean, log_scale" */

    /* required */
    int (*n_params)(const lk_dist_form *form);
    double (*log_prob)(const lk_dist_form *form, const double *params, double x, double *d_params,
                       double *d_x); /* d_x may be NULL; 0 for discrete supports */
    double (*sample)(const lk_dist_form *form, const double *params, lk_rng *rng);
    /* P(X <= x), and the smallest x with P(X <= x) >= u, for 0 < u < 1. */
    double (*cdf)(const lk_dist_form *form, const double *params, double x);
    double (*quantile)(const lk_dist_form *form, const double *params, double u);
    double (*mean)(const lk_dist_form *form, const double *params); /* NaN where there is none */

    /* real support only: log P(a < X <= b), a < b, either may be infinite; accurate in the tails */
    double (*log_mass)(const lk_dist_form *form, const double *params, double a, double b,
                       double *d_params);

    /* optional, of kinds with one parameter: n cells side by side, params[i] meeting x[i]: the sum of their log_prob in the
     * order of lk_sum_f64, and grad[i] += g · the derivative of each rounded to t. kept [n] is written for the way
     * back; NULL: there is none. */
    double (*log_prob_run)(lk_dtype t, size_t n, const void *params, const double *x, double *kept);
    void (*log_prob_run_back)(lk_dtype t, size_t n, const void *params, const double *x,
                              const double *kept, double g, void *grad);

    /* optional: n <= LK_DIST_SIDE cells that share a form, side by side: parameter j of cell i is
     * params[j·n + i], and so in d_params, which may be NULL, as d_x may; the numbers of log_prob, sample
     * (in order, from one stream) and reparameterise, many at a time */
    void (*log_prob_side)(const lk_dist_form *form, size_t n, const double *params, const double *x,
                          double *log_p, double *d_params, double *d_x);
    void (*sample_side)(const lk_dist_form *form, size_t n, const double *params, lk_rng *rng,
                        double *x, double *d_params);

    /* optional: NULL means there is no closed form */
    double (*entropy)(const lk_dist_form *form, const double *params, double *d_params);
    /* KL(p || q), both of this kind and form. */
    double (*kl)(const lk_dist_form *form, const double *p, const double *q, double *d_p,
                 double *d_q);
    /* optional: the numbers of kl, of cells side by side as above */
    void (*kl_side)(const lk_dist_form *form, size_t n, const double *p, const double *q,
                    double *out, double *d_p, double *d_q);
    /* Location-scale kinds: x = quantile is differentiable in the parameters. Writes dx/dparams for
     * the sample x. (Kingma and Welling 2014, section 2.4.) */
    void (*reparameterise)(const lk_dist_form *form, const double *params, double x,
                           double *d_params);
};

/* Parameters: */
extern const lk_dist_kind lk_bernoulli;   /* logit */
extern const lk_dist_kind lk_categorical; /* n logits */
extern const lk_dist_kind lk_normal;      /* mean, log_scale */
extern const lk_dist_kind lk_logistic;    /* mean, log_scale */
extern const lk_dist_kind lk_laplace;     /* mean, log_scale */
extern const lk_dist_kind lk_student_t;   /* mean, log_scale, log_dof */
extern const lk_dist_kind lk_uniform;     /* low, log_width: on (low, low + width] */
extern const lk_dist_kind lk_poisson;     /* log_rate */
extern const lk_dist_kind
    lk_negative_binomial;             /* log_mean, log_dispersion: var = m + m²·dispersion */
extern const lk_dist_kind lk_mixture; /* n logits, then per component its params */

/* All of them, NULL at the end: the tests, `likely families` and the docs walk this. */
extern const lk_dist_kind *const lk_dist_kinds[];
const lk_dist_kind *lk_dist_kind_named(const char *name); /* NULL when there is none */

/* The multivariate normal is a chain of normals and lives in dist/gaussian_chain.c. */

/* dist/cells.h puts forms side by side: how a row of network outputs becomes the distributions of a
 * row of cells, with grids, standardisation and bounds. */

#endif
