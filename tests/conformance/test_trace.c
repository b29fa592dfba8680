/* The trace on three toys whose answers are closed forms: a mixture of two normals, a chain of three
 * variables, and a one-dimensional linear "VAE" whose posterior and evidence are normal. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "trace/coding.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* Fails closed: a NaN is not close to anything. */
#define assert_close(a, b, tolerance) \
    do { \
        double a_ = (a), b_ = (b); \
        if (!(fabs(a_ - b_) <= (tolerance))) \
            fail_msg("%s = %.17g, but %s = %.17g", #a, a_, #b, b_); \
    } while (0)

static lk_context *ctx;
static lk_tape *tape;
static uint64_t ids[4096];

static int setup(void **state) {
    (void)state;
    ctx = lk_context_create(NULL);
    tape = lk_tape_create(ctx);
    for (size_t i = 0; i < 4096; i++) ids[i] = i;
    return ctx && tape ? 0 : 1;
}

static int teardown(void **state) {
    (void)state;
    lk_tape_destroy(tape);
    lk_context_destroy(ctx);
    return 0;
}

static double log_normal(double x, double mean, double sd) {
    double e = (x - mean) / sd;
    return -0.5 * e * e - log(sd) - 0.91893853320467274178;
}

static lk_cell_dist cell(const lk_dist_kind *kind, int n) {
    return (lk_cell_dist){
        .form = {kind, NULL, n, 0}, .stride = 1, .scale = 1, .low = -INFINITY, .high = INFINITY};
}

static size_t *index_of(const lk_tensor *z, size_t stride, const lk_tensor *add) {
    size_t n = lk_tensor_rows(z);
    if (add && lk_tensor_rows(add) > n) n = lk_tensor_rows(add);
    size_t *index = lk_arena_alloc(lk_tape_arena(tape), n, sizeof *index);
    for (size_t i = 0; i < n; i++) {
        index[i] = (size_t)((double *)z->data)[i % lk_tensor_rows(z)] * stride;
        if (add) index[i] += (size_t)((double *)add->data)[i % lk_tensor_rows(add)];
    }
    return index;
}

/* ---- The mixture -------------------------------------------------------------------------------------- */

static const double log_weights[2] = {-0.35667494393873245, -1.2039728043259361}; /* 0.7, 0.3 */
static double normals[4] = {-1, -0.5, 2, 0.25}; /* mean, log scale */
static lk_cell_dist z_cell, x_cell;
static lk_dist z_dist, x_dist;

static void mixture(lk_trace *t, lk_tensor *table) {
    z_cell = cell(&lk_categorical, 2);
    x_cell = cell(&lk_normal, 1);
    z_dist = (lk_dist){1, &z_cell, NULL, lk_constant(tape, LK_F64, 1, 2, log_weights), NULL};
    lk_tensor *z = lk_draw(t, "z", &z_dist);
    x_dist = (lk_dist){1, &x_cell, NULL,
                       lk_gather_rows(tape, table, lk_tensor_rows(z), index_of(z, 1, NULL)), NULL};
    lk_draw(t, "x", &x_dist);
}

static double mixture_log_prob(double x) {
    double a = log_weights[0] + log_normal(x, normals[0], exp(normals[1]));
    double b = log_weights[1] + log_normal(x, normals[2], exp(normals[3]));
    double top = a > b ? a : b;
    return top + log(exp(a - top) + exp(b - top));
}

static void test_mixture_enumerates(void **state) {
    (void)state;
    double x[5] = {-3, -1, 0.5, 2, 10};
    lk_trace t;
    lk_tape_reset(tape, false);
    lk_trace_begin(&t, tape, &lk_reading_score, 5, 1, ids, 1, 0, "test");
    lk_trace_observe(&t, "x", lk_constant(tape, LK_F64, 5, 1, x), NULL);
    mixture(&t, lk_constant(tape, LK_F64, 2, 2, normals));
    lk_tensor *log_p = lk_trace_log_marginal(&t);
    assert_int_equal(lk_trace_status(&t), LK_OK);
    assert_int_equal(t.kind, LK_KIND_EXACT);
    for (size_t i = 0; i < 5; i++) {
        assert_close(((double *)log_p->data)[i], mixture_log_prob(x[i]), 1e-12);
        /* Bayes' rule from the same lanes. */
        double first = exp(((double *)t.log_joint->data)[i] - ((double *)log_p->data)[i]);
        double truth = exp(
            log_weights[0] + log_normal(x[i], -1, exp(-0.5)) - mixture_log_prob(x[i]));
        assert_close(first, truth, 1e-12);
    }
}

/* Fisher's identity: the gradient of log p(x) is the posterior expectation of the joint's gradient. */
static void test_fisher_identity(void **state) {
    (void)state;
    double x[3] = {-1.5, 0.7, 2.1}, grad[4] = {0};
    size_t shape[2] = {2, 2};
    lk_trace t;
    lk_tape_reset(tape, true);
    lk_tensor *table = lk_leaf(tape, LK_F64, 2, shape, normals, grad);
    lk_trace_begin(&t, tape, &lk_reading_score, 3, 1, ids, 1, 0, "test");
    lk_trace_observe(&t, "x", lk_constant(tape, LK_F64, 3, 1, x), NULL);
    mixture(&t, table);
    assert_int_equal(lk_tape_backward(tape, lk_sum_all(tape, lk_trace_log_marginal(&t))), LK_OK);
    double expected[4] = {0};
    for (size_t i = 0; i < 3; i++)
        for (size_t k = 0; k < 2; k++) {
            double mean = normals[2 * k], sd = exp(normals[2 * k + 1]), e = (x[i] - mean) / sd;
            double r = exp(log_weights[k] + log_normal(x[i], mean, sd) - mixture_log_prob(x[i]));
            expected[2 * k] += r * e / sd;
            expected[2 * k + 1] += r * (e * e - 1);
        }
    for (size_t j = 0; j < 4; j++) assert_close(grad[j], expected[j], 1e-10);
}

/* ---- The chain of three -------------------------------------------------------------------------------- */

static const double a_logit[1] = {0.4}, b_logits[2][3] = {{0.1, -0.7, 0.5}, {1.0, 0.2, -1.0}};
static const double c_params[6][2] = {{0, 0}, {1, 0.5}, {-2, 0.1}, {3, -0.3}, {0.5, 0.2}, {4, 0.7}};
static lk_cell_dist a_cell, b_cell, c_cell;
static lk_dist a_dist, b_dist, c_dist;

static void three(lk_trace *t) {
    a_cell = cell(&lk_bernoulli, 1);
    b_cell = cell(&lk_categorical, 3);
    c_cell = cell(&lk_normal, 1);
    c_cell.step = 1;
    a_dist = (lk_dist){1, &a_cell, NULL, lk_constant(tape, LK_F64, 1, 1, a_logit), NULL};
    lk_tensor *a = lk_draw(t, "a", &a_dist);
    if (lk_trace_status(t) != LK_OK) return;
    lk_tensor *b_table = lk_constant(tape, LK_F64, 2, 3, b_logits);
    b_dist = (lk_dist){1, &b_cell, NULL,
                       lk_gather_rows(tape, b_table, lk_tensor_rows(a), index_of(a, 1, NULL)),
                       NULL};
    lk_tensor *b = lk_draw(t, "b", &b_dist);
    size_t *index = index_of(a, 3, b),
           n = lk_tensor_rows(a) > lk_tensor_rows(b) ? lk_tensor_rows(a) : lk_tensor_rows(b);
    lk_tensor *c_table = lk_constant(tape, LK_F64, 6, 2, c_params);
    c_dist = (lk_dist){1, &c_cell, NULL, lk_gather_rows(tape, c_table, n, index), NULL};
    lk_draw(t, "c", &c_dist);
}

static double three_log_prob(int a, int b, double c) {
    double p1 = 1 / (1 + exp(-a_logit[0])), total = 0, mean = c_params[3 * a + b][0];
    double sd = exp(c_params[3 * a + b][1]);
    for (int k = 0; k < 3; k++) total += exp(b_logits[a][k]);
    double mass = 0.5 *
                  (erf((c + 0.5 - mean) / sd / sqrt(2)) - erf((c - 0.5 - mean) / sd / sqrt(2)));
    return log(a ? p1 : 1 - p1) + b_logits[a][b] - log(total) + log(mass);
}

/* Any subset of sites observed: what is not is summed out, exactly. */
static void test_subsets_of_sites(void **state) {
    (void)state;
    for (unsigned mask = 0; mask < 8; mask++) {
        double a = 1, b = 2, c = 3, sum = 0;
        if (!(mask & 4)) continue; /* c is a grid without end: observed here, drawn below */
        lk_trace t;
        lk_tape_reset(tape, false);
        lk_trace_begin(&t, tape, &lk_reading_score, 1, 1, ids, 1, 0, "test");
        if (mask & 1) lk_trace_observe(&t, "a", lk_constant(tape, LK_F64, 1, 1, &a), NULL);
        if (mask & 2) lk_trace_observe(&t, "b", lk_constant(tape, LK_F64, 1, 1, &b), NULL);
        lk_trace_observe(&t, "c", lk_constant(tape, LK_F64, 1, 1, &c), NULL);
        three(&t);
        double log_p = ((double *)lk_trace_log_marginal(&t)->data)[0];
        for (int i = 0; i < 2; i++)
            for (int j = 0; j < 3; j++)
                if ((!(mask & 1) || i == 1) && (!(mask & 2) || j == 2))
                    sum += exp(three_log_prob(i, j, c));
        assert_int_equal(lk_trace_status(&t), LK_OK);
        assert_close(log_p, log(sum), 1e-12);
    }
    /* c not observed: drawn, and adds nothing. */
    double a = 0, b = 1;
    lk_trace t;
    lk_tape_reset(tape, false);
    lk_trace_begin(&t, tape, &lk_reading_score, 1, 1, ids, 1, 0, "test");
    lk_trace_observe(&t, "a", lk_constant(tape, LK_F64, 1, 1, &a), NULL);
    lk_trace_observe(&t, "b", lk_constant(tape, LK_F64, 1, 1, &b), NULL);
    three(&t);
    double total = exp(0.1) + exp(-0.7) + exp(0.5);
    assert_close(((double *)lk_trace_log_marginal(&t)->data)[0],
                 log(1 / (1 + exp(0.4))) - 0.7 - log(total), 1e-12);
}

/* Samples: frequencies against the probabilities they are drawn with (chi-square, 5 degrees of
 * freedom: 99.9 % below 20.5). A shifted logit is the planted bug that must be caught. */
static double chi_square_of_samples(double logit_shift) {
    enum { N = 4096 };
    double counts[6] = {0}, chi = 0;
    lk_trace t;
    lk_tape_reset(tape, false);
    lk_trace_begin(&t, tape, &lk_reading_sample, N, 1, ids, 7, 0, "test");
    three(&t);
    const double *a = lk_trace_site(&t, "a")->value->data, *b = lk_trace_site(&t, "b")->value->data;
    for (size_t i = 0; i < N; i++) counts[(size_t)a[i] * 3 + (size_t)b[i]]++;
    for (int i = 0; i < 2; i++) {
        double p1 = 1 / (1 + exp(-a_logit[0] - logit_shift)), total = 0;
        for (int k = 0; k < 3; k++) total += exp(b_logits[i][k]);
        for (int j = 0; j < 3; j++) {
            double e = N * (i ? p1 : 1 - p1) * exp(b_logits[i][j]) / total;
            chi += (counts[3 * i + j] - e) * (counts[3 * i + j] - e) / e;
        }
    }
    return chi;
}

static void test_samples_follow_the_density(void **state) {
    (void)state;
    assert_true(chi_square_of_samples(0) < 20.5);
    assert_false(chi_square_of_samples(0.3) < 20.5);
}

/* ---- The linear VAE ------------------------------------------------------------------------------------- */

static const double slope = 1.5, offset = 0.5, noise = 0.8;
static const double prior_params[2] = {0, 0};
static lk_cell_dist latent_cell;
static lk_dist prior, posterior, likelihood;

static void vae_joint(lk_trace *t) {
    static const double log_noise[1] = {-0.22314355131420976};
    latent_cell = cell(&lk_normal, 1);
    prior = (lk_dist){1, &latent_cell, NULL, lk_constant(tape, LK_F64, 1, 2, prior_params), NULL};
    lk_tensor *z = lk_draw(t, "z", &prior);
    lk_tensor *params[2] = {lk_affine(tape, z, slope, offset),
                            lk_constant(tape, LK_F64, 1, 1, log_noise)};
    likelihood = (lk_dist){1, &latent_cell, NULL, lk_concat_cols(tape, 2, params), NULL};
    lk_draw(t, "x", &likelihood);
}

static double shift_grad; /* of the sum over rows */

static void vae_guide(lk_trace *t, double shift) {
    static double shifts[1];
    size_t one[2] = {1, 1};
    shifts[0] = shift;
    lk_tensor *moved = lk_leaf(tape, LK_F64, 2, one, shifts, &shift_grad);
    lk_tensor *x = lk_trace_observed(t, "x", NULL);
    double precision = 1 + slope * slope / (noise * noise),
           gain = slope / (noise * noise) / precision;
    double *log_sd = lk_arena_alloc(lk_tape_arena(tape), 1, sizeof *log_sd);
    *log_sd = -0.5 * log(precision);
    moved = lk_repeat_rows(tape, moved, lk_tensor_rows(x));
    lk_tensor *params[2] = {lk_add(tape, lk_affine(tape, x, gain, -gain * offset), moved),
                            lk_constant(tape, LK_F64, 1, 1, log_sd)};
    latent_cell = cell(&lk_normal, 1);
    posterior = (lk_dist){1, &latent_cell, NULL, lk_concat_cols(tape, 2, params), NULL};
    lk_draw(t, "z", &posterior);
}

static double less; /* kl_less */

static double vae_bound(const double *x, size_t rows, size_t particles, bool guided, double shift,
                        bool analytic) {
    static lk_trace t, g;
    lk_tape_reset(tape, false);
    lk_tensor *value = lk_constant(tape, LK_F64, rows, 1, x);
    lk_trace_begin(&t, tape, &lk_reading_score, rows, particles, ids, 3, 0, "test");
    lk_trace_observe(&t, "x", value, NULL);
    t.analytic_kl = analytic;
    t.kl_less = less;
    if (guided) {
        lk_trace_begin(&g, tape, &lk_reading_reparameterise, rows, particles, ids, 3, 0, "test");
        lk_trace_observe(&g, "x", value, NULL);
        vae_guide(&g, shift);
        t.guide = &g;
    }
    vae_joint(&t);
    lk_tensor *log_p = lk_trace_log_marginal(&t);
    assert_int_equal(lk_trace_status(&t), LK_OK);
    assert_int_equal(t.kind, LK_KIND_BOUND);
    if (guided) assert_true(analytic == !lk_trace_site(&g, "z")->log_prob); /* not for nothing */
    return ((double *)lk_mean_all(tape, log_p)->data)[0];
}

static void test_linear_vae(void **state) {
    (void)state;
    double x[64], truth = 0, sd = sqrt(slope * slope + noise * noise);
    for (size_t i = 0; i < 64; i++) {
        x[i] = -4 + 0.125 * (double)i;
        truth += log_normal(x[i], offset, sd) / 64;
    }
    /* With the exact posterior as guide every weight is p(x): the bound is tight for any K. */
    assert_close(vae_bound(x, 64, 1, true, 0, false), truth, 1e-10);
    assert_close(vae_bound(x, 64, 7, true, 0, false), truth, 1e-10);
    /* A shifted guide: below the truth by KL(q || p) = shift² precision / 2 on average, less with more
     * particles (Burda et al. 2016, theorem 1). */
    double precision = 1 + slope * slope / (noise * noise), gap = 0.3 * 0.3 * precision / 2;
    double one = vae_bound(x, 64, 1, true, 0.3, false),
           many = vae_bound(x, 64, 100, true, 0.3, false);
    assert_true(one < truth && many > one && many < truth + 0.02);
    assert_close(truth - vae_bound(x, 64, 4000, true, 0.3, false), 0, 0.02);
    /* The closed KL and the sampled one agree on average over rows. */
    assert_close(vae_bound(x, 64, 1, true, 0.3, true), truth - gap, 4 * sqrt(2 * gap / 64));
    /* From the prior alone: an estimate that converges to the same. */
    double near = 0;
    for (size_t i = 24; i < 40; i++) near += log_normal(x[i], offset, sd) / 16;
    assert_close(vae_bound(x + 24, 16, 4000, false, 0, false), near, 0.03);
}

/* What warming up leaves out: with less of log q - log p the bound is nearer to the likelihood alone, in proportion with one
 * particle, in closed form and sampled. */
static void test_less_of_the_divergence(void **state) {
    (void)state;
    double x[64];
    for (size_t i = 0; i < 64; i++) x[i] = -4 + 0.125 * (double)i;
    for (int analytic = 0; analytic < 2; analytic++) {
        double at[3];
        for (int i = 0; i < 3; i++) {
            less = 0.5 * i;
            at[i] = vae_bound(x, 64, 1, true, 0.3, analytic);
        }
        less = 0;
        assert_close(at[1], (at[0] + at[2]) / 2, 1e-12);
        assert_true(at[2] > at[0] + 0.1);
    }
}

/* The gradient of the bound by the guide's shift; `doubly`: with those weights of lanes. */
static double shift_gradient(size_t particles, double shift, double *doubly) {
    enum { N = 16 };
    static lk_trace t, g;
    double x[N];
    for (size_t i = 0; i < N; i++) x[i] = -2 + 0.25 * (double)i;
    lk_tape_reset(tape, true);
    lk_tensor *value = lk_constant(tape, LK_F64, N, 1, x);
    lk_trace_begin(&g, tape, &lk_reading_reparameterise, N, particles, ids, 3, 0, "test");
    lk_trace_observe(&g, "x", value, NULL);
    g.lane_weight = doubly;
    vae_guide(&g, shift);
    lk_trace_begin(&t, tape, &lk_reading_score, N, particles, ids, 3, 0, "test");
    lk_trace_observe(&t, "x", value, NULL);
    t.guide = &g;
    vae_joint(&t);
    shift_grad = 0;
    lk_tensor *y = lk_mean_all(tape, lk_trace_log_marginal(&t));
    assert_int_equal(lk_tape_backward(tape, y), LK_OK);
    return shift_grad;
}

/* Of the exact posterior, whose weights are all alike, a doubly reparameterised gradient has no noise: it is 0 (Roeder,
 * Wu and Duvenaud 2017, section 3), where the total one is not. With one particle and a shift it is exact likewise, for
 * the log-density's slope by z is then a constant: -shift·precision. */
static void test_no_noise_at_the_posterior(void **state) {
    (void)state;
    double precision = 1 + slope * slope / (noise * noise), weight[7 * 16];
    for (size_t particles = 1; particles <= 7; particles += 6) {
        for (size_t i = 0; i < 7 * 16; i++) weight[i] = 1 / (double)particles;
        assert_close(shift_gradient(particles, 0, weight), 0, 1e-10);
        assert_true(fabs(shift_gradient(particles, 0, NULL)) > 1e-3);
    }
    for (size_t i = 0; i < 16; i++) weight[i] = 1;
    assert_close(shift_gradient(1, 0.3, weight), -0.3 * precision, 1e-10);
    for (size_t i = 0; i < 16; i++) weight[i] = 0.5; /* weights count */
    assert_close(shift_gradient(1, 0.3, weight), -0.15 * precision, 1e-10);
}

/* ---- Push and pop ---------------------------------------------------------------------------------------- */

enum { CODED = 64 };

static void read_coded(lk_trace *t, lk_trace *g, lk_coding *c, const double *x, bool push) {
    lk_trace_begin(t, tape, push ? &lk_reading_push : &lk_reading_pop, CODED, 1, ids, 3, 0, "test");
    t->user = c;
    if (!push) {
        vae_joint(t);
        x = lk_trace_site(t, "x")->value->data;
    }
    lk_tensor *value = lk_constant(tape, LK_F64, CODED, 1, x);
    lk_trace_begin(g, tape, &lk_reading_reparameterise, CODED, 1, ids, 3, 0, "test");
    lk_trace_observe(g, "x", value, NULL);
    vae_guide(g, 0);
    if (push) {
        lk_trace_observe(t, "x", value, NULL);
        t->guide = g;
        vae_joint(t);
        lk_coding_push_end(t);
    } else {
        lk_coding_pop_end_bins(t, g);
    }
    assert_int_equal(lk_trace_status(t), LK_OK);
}

/* With the exact posterior as guide, bits back cost what p(x) says and nothing for z, and give all of the
 * initial bits back. */
static void test_push_and_pop(void **state) {
    (void)state;
    static lk_trace t, g;
    double x[CODED], ideal = 0, sd = sqrt(slope * slope + noise * noise);
    lk_code_window none = {0, 0};
    lk_rans stack;
    for (size_t i = 0; i < CODED; i++) {
        x[i] = -4 + 0.125 * (double)i + 0x1p-20;
        float v = (float)x[i];
        x[i] = (double)v;
        double width = 0.5 * ((double)nextafterf(v, INFINITY) - (double)nextafterf(v, -INFINITY));
        ideal -= (log_normal(x[i], offset, sd) + log(width)) / log(2);
    }
    lk_rans_begin(&stack, lk_tape_context(tape), true);
    lk_coding c = {.stack = &stack,
                   .plan = LK_CODE_BINS,
                   .row_site = "x",
                   .window = &none,
                   .latent_bits = 12,
                   .bad_row = SIZE_MAX};
    lk_tape_reset(tape, false);
    read_coded(&t, &g, &c, x, true);
    double bits = 8 * (double)lk_rans_bytes(&stack) - 32 * (double)stack.lent;
    assert_true(stack.lent > 0);
    assert_close(bits, ideal, 0.001 * ideal + 64);
    assert_false(fabs(bits - (ideal - 12 * CODED)) < 0.001 * ideal + 64); /* z is not told twice */
    c.z = NULL;
    stack.lends = false;
    lk_tape_reset(tape, false);
    read_coded(&t, &g, &c, NULL, false);
    assert_memory_equal(lk_trace_site(&t, "x")->value->data, x, sizeof x);
    assert_true(lk_rans_is_empty(&stack));
    assert_int_equal(stack.n, stack.lent);
    lk_rans_free(&stack);
}

/* A joint of two latents is told to be none that can be coded. */
static void test_what_cannot_be_coded(void **state) {
    (void)state;
    static lk_trace t;
    const char *why;
    double x[1] = {0};
    lk_tape_reset(tape, false);
    lk_trace_begin(&t, tape, &lk_reading_score, 1, 1, ids, 3, 0, "test");
    lk_trace_observe(&t, "c", lk_constant(tape, LK_F64, 1, 1, x), NULL);
    three(&t);
    assert_int_equal(lk_code_plan_of(&t, "c", &why), LK_CODE_CANNOT);
    assert_non_null(strstr(why, "more than one latent"));
    assert_int_equal(lk_code_plan_of(&t, "nothing", &why), LK_CODE_CANNOT);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_mixture_enumerates, setup, teardown),
        cmocka_unit_test_setup_teardown(test_fisher_identity, setup, teardown),
        cmocka_unit_test_setup_teardown(test_subsets_of_sites, setup, teardown),
        cmocka_unit_test_setup_teardown(test_samples_follow_the_density, setup, teardown),
        cmocka_unit_test_setup_teardown(test_linear_vae, setup, teardown),
        cmocka_unit_test_setup_teardown(test_less_of_the_divergence, setup, teardown),
        cmocka_unit_test_setup_teardown(test_no_noise_at_the_posterior, setup, teardown),
        cmocka_unit_test_setup_teardown(test_push_and_pop, setup, teardown),
        cmocka_unit_test_setup_teardown(test_what_cannot_be_coded, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
