/* Every op of the tape: values against plain formulas, gradients against differences in float64, float32
 * beside float64, threads, and memory. One row of the table is one op in one shape. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "base/philox.h"
#include "tensor/op.h"
#include "tensor/optimiser.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { MOST = 64 };

/* Inputs are leaves x[0], x[1], x[2]; the op's result is summed with fixed weights to one number. */
typedef lk_tensor *(*build_fn)(lk_tape *tape, lk_tensor **x);

static lk_tensor *do_add(lk_tape *t, lk_tensor **x) { return lk_add(t, x[0], x[1]); }
static lk_tensor *do_sub(lk_tape *t, lk_tensor **x) { return lk_sub(t, x[0], x[1]); }
static lk_tensor *do_mul(lk_tape *t, lk_tensor **x) { return lk_mul(t, x[0], x[1]); }
static lk_tensor *do_div(lk_tape *t, lk_tensor **x) {
    return lk_div(t, x[0], lk_affine(t, x[1], 1, 3));
}
static lk_tensor *do_affine(lk_tape *t, lk_tensor **x) { return lk_affine(t, x[0], -1.7, 0.3); }
static lk_tensor *do_clamp(lk_tape *t, lk_tensor **x) { return lk_clamp(t, x[0], -0.55, 0.61); }
static lk_tensor *do_exp(lk_tape *t, lk_tensor **x) { return lk_unary_op(t, LK_EXP, x[0]); }
static lk_tensor *do_log(lk_tape *t, lk_tensor **x) {
    return lk_unary_op(t, LK_LOG, lk_affine(t, x[0], 1, 2));
}
static lk_tensor *do_tanh(lk_tape *t, lk_tensor **x) { return lk_unary_op(t, LK_TANH, x[0]); }
static lk_tensor *do_sigmoid(lk_tape *t, lk_tensor **x) { return lk_unary_op(t, LK_SIGMOID, x[0]); }
static lk_tensor *do_softplus(lk_tape *t, lk_tensor **x) {
    return lk_unary_op(t, LK_SOFTPLUS, x[0]);
}
static lk_tensor *do_erf(lk_tape *t, lk_tensor **x) { return lk_unary_op(t, LK_ERF, x[0]); }
static lk_tensor *do_relu(lk_tape *t, lk_tensor **x) { return lk_unary_op(t, LK_RELU, x[0]); }
static lk_tensor *do_square(lk_tape *t, lk_tensor **x) { return lk_unary_op(t, LK_SQUARE, x[0]); }
static lk_tensor *do_sqrt(lk_tape *t, lk_tensor **x) {
    return lk_unary_op(t, LK_SQRT, lk_affine(t, x[0], 1, 2));
}
static lk_tensor *do_neg(lk_tape *t, lk_tensor **x) { return lk_unary_op(t, LK_NEG, x[0]); }
static lk_tensor *do_reciprocal(lk_tape *t, lk_tensor **x) {
    return lk_unary_op(t, LK_RECIPROCAL, lk_affine(t, x[0], 1, 2));
}
static lk_tensor *do_slice(lk_tape *t, lk_tensor **x) { return lk_slice_cols(t, x[0], 1, 3); }
static lk_tensor *do_concat(lk_tape *t, lk_tensor **x) { return lk_concat_cols(t, 3, x); }
static lk_tensor *do_gather(lk_tape *t, lk_tensor **x) {
    static const size_t index[] = {2, 0, 2, 1, 2};
    return lk_gather_rows(t, x[0], 5, index);
}
static lk_tensor *do_repeat(lk_tape *t, lk_tensor **x) { return lk_repeat_rows(t, x[0], 9); }
static lk_tensor *do_reshape(lk_tape *t, lk_tensor **x) {
    return lk_unary_op(t, LK_EXP, lk_reshape(t, x[0], lk_tensor_cols(x[0]), lk_tensor_rows(x[0])));
}
static lk_tensor *do_sum_cols(lk_tape *t, lk_tensor **x) {
    return lk_unary_op(t, LK_EXP, lk_sum_cols(t, x[0]));
}
static lk_tensor *do_sum_all(lk_tape *t, lk_tensor **x) {
    return lk_unary_op(t, LK_TANH, lk_sum_all(t, x[0]));
}
static lk_tensor *do_mean_all(lk_tape *t, lk_tensor **x) {
    return lk_unary_op(t, LK_EXP, lk_mean_all(t, x[0]));
}
static lk_tensor *do_groups(lk_tape *t, lk_tensor **x) { return lk_log_sum_exp_groups(t, x[0], 3); }
static lk_tensor *do_log_softmax(lk_tape *t, lk_tensor **x) { return lk_log_softmax(t, x[0]); }
static lk_tensor *do_pick(lk_tape *t, lk_tensor **x) {
    static const size_t index[] = {1, 0, 3};
    return lk_log_softmax_pick(t, x[0], index);
}
static lk_tensor *do_dense(lk_tape *t, lk_tensor **x) {
    return lk_dense(t, x[0], x[1], x[2], NULL, LK_LINEAR);
}
static lk_tensor *do_dense_tanh(lk_tape *t, lk_tensor **x) {
    return lk_dense(t, x[0], x[1], x[2], NULL, LK_ACT_TANH);
}
static lk_tensor *do_dense_relu(lk_tape *t, lk_tensor **x) {
    return lk_dense(t, x[0], x[1], x[2], NULL, LK_ACT_RELU);
}
static lk_tensor *do_dense_sigmoid(lk_tape *t, lk_tensor **x) {
    return lk_dense(t, x[0], x[1], x[2], NULL, LK_ACT_SIGMOID);
}
static lk_tensor *do_dense_masked(lk_tape *t, lk_tensor **x) {
    lk_tensor *mask = lk_zeros(t, x[1]->dtype, lk_tensor_rows(x[1]), lk_tensor_cols(x[1]));
    for (size_t i = 0; i < mask->size; i++) {
        if (mask->dtype == LK_F32) ((float *)mask->data)[i] = i % 3 != 0;
        else ((double *)mask->data)[i] = i % 3 != 0;
    }
    return lk_dense(t, x[0], x[1], x[2], mask, LK_ACT_SOFTPLUS);
}
static lk_tensor *do_cast(lk_tape *t, lk_tensor **x) {
    return lk_cast(t, lk_cast(t, x[0], x[0]->dtype), LK_F64);
}

static const struct {
    const char *name;
    build_fn build;
    size_t shape[3][2]; /* rows, columns of the inputs; 0: none */
} ops[] = {
    {"add", do_add, {{4, 3}, {4, 3}}},
    {"add, wrapped rows", do_add, {{6, 3}, {2, 3}}},
    {"add, one row", do_add, {{1, 3}, {5, 3}}},
    {"add, one column", do_add, {{4, 1}, {4, 3}}},
    {"sub, wrapped", do_sub, {{2, 3}, {4, 3}}},
    {"mul, one column wrapped", do_mul, {{4, 3}, {2, 1}}},
    {"mul", do_mul, {{4, 3}, {4, 3}}},
    {"div, wrapped", do_div, {{4, 3}, {2, 3}}},
    {"div, one column", do_div, {{4, 3}, {4, 1}}},
    {"affine", do_affine, {{3, 2}}},
    {"clamp", do_clamp, {{4, 4}}},
    {"exp", do_exp, {{3, 3}}},
    {"log", do_log, {{3, 3}}},
    {"tanh", do_tanh, {{3, 3}}},
    {"sigmoid", do_sigmoid, {{3, 3}}},
    {"softplus", do_softplus, {{3, 3}}},
    {"erf", do_erf, {{3, 3}}},
    {"relu", do_relu, {{3, 3}}},
    {"square", do_square, {{3, 3}}},
    {"sqrt", do_sqrt, {{3, 3}}},
    {"neg", do_neg, {{3, 3}}},
    {"reciprocal", do_reciprocal, {{3, 3}}},
    {"slice", do_slice, {{3, 4}}},
    {"concat, wrapped", do_concat, {{4, 2}, {2, 1}, {1, 3}}},
    {"gather", do_gather, {{3, 2}}},
    {"repeat", do_repeat, {{3, 2}}},
    {"reshape", do_reshape, {{2, 3}}},
    {"sum_cols", do_sum_cols, {{3, 5}}},
    {"sum_all", do_sum_all, {{3, 2}}},
    {"mean_all", do_mean_all, {{3, 2}}},
    {"log_sum_exp_groups", do_groups, {{6, 1}}},
    {"log_softmax", do_log_softmax, {{3, 4}}},
    {"log_softmax_pick", do_pick, {{3, 4}}},
    {"dense", do_dense, {{5, 3}, {3, 4}, {1, 4}}},
    {"dense tanh", do_dense_tanh, {{5, 3}, {3, 4}, {1, 4}}},
    {"dense relu", do_dense_relu, {{5, 3}, {3, 4}, {1, 4}}},
    {"dense sigmoid", do_dense_sigmoid, {{5, 3}, {3, 4}, {1, 4}}},
    {"dense masked softplus", do_dense_masked, {{5, 3}, {3, 4}, {1, 4}}},
    {"cast", do_cast, {{3, 2}}},
};
enum { N_OPS = sizeof ops / sizeof ops[0] };

typedef struct inputs {
    double x[3][MOST], grad[3][MOST];
    float x32[3][MOST], grad32[3][MOST];
    int n;
} inputs;

static void fill(inputs *in, size_t op) {
    memset(in, 0, sizeof *in);
    for (in->n = 0; in->n < 3 && ops[op].shape[in->n][0]; in->n++)
        for (size_t i = 0; i < ops[op].shape[in->n][0] * ops[op].shape[in->n][1]; i++) {
            lk_rng rng = lk_rng_at(op, "ops", (uint64_t)in->n, i, 0);
            in->x32[in->n][i] = (float)(2 * lk_rng_uniform(&rng) - 1);
            in->x[in->n][i] = (double)in->x32[in->n][i];
        }
}

static double run(lk_tape *tape, inputs *in, size_t op, lk_dtype type, bool gradients,
                  double *result, size_t *n) {
    lk_tensor *x[3];
    lk_tape_reset(tape, gradients);
    for (int i = 0; i < in->n; i++)
        x[i] = type == LK_F64
                   ? lk_leaf(tape, LK_F64, 2, ops[op].shape[i], in->x[i], in->grad[i])
                   : lk_leaf(tape, LK_F32, 2, ops[op].shape[i], in->x32[i], in->grad32[i]);
    lk_tensor *y = lk_cast(tape, ops[op].build(tape, x), LK_F64);
    double *weights = lk_arena_alloc(lk_tape_arena(tape), y->size, sizeof *weights);
    if (!weights) return NAN;
    for (size_t i = 0; i < y->size; i++)
        weights[i] = 1 + 0.37 * (double)(i % 7) - 0.11 * (double)(i % 3);
    lk_tensor *w = lk_constant(tape, LK_F64, lk_tensor_rows(y), lk_tensor_cols(y), weights);
    lk_tensor *total = lk_sum_all(tape, lk_mul(tape, y, w));
    if (gradients) lk_tape_backward(tape, total);
    if (lk_tape_status(tape) != LK_OK) return NAN;
    if (result) memcpy(result, y->data, y->size * sizeof *result);
    if (n) *n = y->size;
    return *(double *)total->data;
}

static bool agrees(double analytic, double numeric) {
    return fabs(analytic - numeric) <= 1e-6 * (fabs(numeric) + 0.05);
}

static void test_gradients(void **state) {
    (void)state;
    lk_context *ctx = lk_context_create(NULL);
    lk_tape *tape = lk_tape_create(ctx);
    static inputs in;
    for (size_t op = 0; op < N_OPS; op++) {
        size_t seen = 0;
        fill(&in, op);
        double value = run(tape, &in, op, LK_F64, true, NULL, NULL);
        if (!(value - value == 0)) fail_msg("%s: %s", ops[op].name, lk_context_message(ctx));
        for (int i = 0; i < in.n; i++)
            for (size_t j = 0; j < ops[op].shape[i][0] * ops[op].shape[i][1]; j++) {
                double kept = in.x[i][j], d[2], analytic = in.grad[i][j];
                for (int level = 0; level < 2; level++) {
                    double h = 1e-4 * (level ? 2 : 1);
                    in.x[i][j] = kept + h;
                    double up = run(tape, &in, op, LK_F64, false, NULL, NULL);
                    in.x[i][j] = kept - h;
                    d[level] = (up - run(tape, &in, op, LK_F64, false, NULL, NULL)) / (2 * h);
                    in.x[i][j] = kept;
                }
                double numeric = (4 * d[0] - d[1]) / 3;
                if (!agrees(analytic, numeric))
                    fail_msg("%s: input %d, element %zu: %.12g, differences say %.12g",
                             ops[op].name, i, j, analytic, numeric);
                if (fabs(numeric) < 0.1) continue;
                assert_false(agrees(-analytic, numeric) || agrees(1.01 * analytic, numeric));
                assert_false(agrees(NAN, numeric) || agrees(0, numeric));
                seen++;
            }
        if (!seen) fail_msg("%s: nothing to see", ops[op].name);
    }
    lk_tape_destroy(tape);
    lk_context_destroy(ctx);
}

/* float32 is float64 within its rounding, and the same bits with 1, 2 and 5 threads. */
static void test_types_and_threads(void **state) {
    (void)state;
    lk_context *ctx = lk_context_create(NULL);
    lk_tape *tape = lk_tape_create(ctx);
    static inputs in;
    for (size_t op = 0; op < N_OPS; op++) {
        double wide[MOST], narrow[MOST], again[MOST];
        size_t n;
        fill(&in, op);
        run(tape, &in, op, LK_F64, true, wide, &n);
        run(tape, &in, op, LK_F32, true, narrow, &n);
        for (size_t i = 0; i < n; i++)
            if (!(fabs(wide[i] - narrow[i]) < 3e-6 * (1 + fabs(wide[i]))))
                fail_msg("%s: float32 is far off", ops[op].name);
        for (int i = 0; i < in.n; i++)
            for (size_t j = 0; j < ops[op].shape[i][0] * ops[op].shape[i][1]; j++)
                if (!(fabs(in.grad[i][j] - (double)in.grad32[i][j]) <
                      2e-5 * (1 + fabs(in.grad[i][j]))))
                    fail_msg("%s: a float32 gradient is far off", ops[op].name);
        for (int threads = 1; threads <= 5; threads += 2) {
            lk_context_set_threads(ctx, threads);
            run(tape, &in, op, LK_F32, false, again, &n);
            assert_memory_equal(narrow, again, n * sizeof *again);
        }
    }
    lk_tape_destroy(tape);
    lk_context_destroy(ctx);
}

/* ---- Values of ops that a formula can say in a line --------------------------------------------------- */

static void test_values(void **state) {
    (void)state;
    lk_context *ctx = lk_context_create(NULL);
    lk_tape *tape = lk_tape_create(ctx);
    double a[4] = {1, 2, 3, 4}, b[2] = {10, 20};
    lk_tape_reset(tape, false);
    lk_tensor *x = lk_constant(tape, LK_F64, 4, 1, a), *y = lk_constant(tape, LK_F64, 2, 1, b);
    double *sum = lk_add(tape, x, y)->data; /* rows wrap: 10, 20, 10, 20 */
    assert_true(sum[0] == 11 && sum[1] == 22 && sum[2] == 13 && sum[3] == 24);
    double *lse = lk_log_sum_exp_groups(tape, x, 2)->data; /* {1, 3}, {2, 4} */
    assert_true(
        fabs(lse[0] - log(exp(1) + exp(3))) < 1e-14 && fabs(lse[1] - log(exp(2) + exp(4))) < 1e-14);
    double *repeated = lk_repeat_rows(tape, y, 4)->data;
    assert_true(repeated[2] == 10 && repeated[3] == 20);
    lk_tensor *parts[] = {x, y};
    double *side = lk_concat_cols(tape, 2, parts)->data;
    assert_true(side[4] == 3 && side[5] == 10);
    /* An error sticks, and later ops are harmless. */
    lk_tensor *bad = lk_add(tape, x, lk_constant(tape, LK_F64, 3, 1, a));
    assert_int_equal(lk_tape_status(tape), LK_USAGE);
    assert_int_equal(lk_add(tape, bad, x)->size, 1);
    assert_int_equal(lk_tape_backward(tape, bad), LK_USAGE);
    lk_tape_destroy(tape);
    lk_context_destroy(ctx);
}

static void test_nonfinite_is_named(void **state) {
    (void)state;
    lk_context *ctx = lk_context_create(NULL);
    lk_tape *tape = lk_tape_create(ctx);
    double x[2] = {1, -1}, grad[2] = {0};
    size_t shape[2] = {2, 1};
    lk_tape_reset(tape, true);
    lk_tensor *leaf = lk_leaf(tape, LK_F64, 2, shape, x, grad);
    lk_tensor *y = lk_unary_op(tape, LK_SQUARE, leaf);
    assert_null(lk_tape_first_nonfinite(tape));
    lk_sum_all(tape, lk_unary_op(tape, LK_LOG, lk_sub(tape, leaf, y)));
    assert_string_equal(lk_tape_first_nonfinite(tape), "log");
    lk_tape_destroy(tape);
    lk_context_destroy(ctx);
}

/* ---- Memory ---------------------------------------------------------------------------------------------- */

typedef struct counter {
    size_t calls, fail_at, live;
} counter;
static void *count_allocate(void *user, size_t n) {
    counter *c = user;
    if (++c->calls == c->fail_at) return NULL;
    c->live++;
    return malloc(n);
}
static void *count_resize(void *user, void *block, size_t n) {
    counter *c = user;
    if (++c->calls == c->fail_at) return NULL;
    if (!block) c->live++;
    return realloc(block, n);
}
static void count_release(void *user, void *block) {
    counter *c = user;
    if (block) c->live--;
    free(block);
}

static void test_a_step_allocates_once(void **state) {
    (void)state;
    counter c = {0};
    lk_allocator allocator = {count_allocate, count_resize, count_release, &c};
    lk_context *ctx = lk_context_create(&allocator);
    lk_context_set_threads(ctx, 2);
    lk_tape *tape = lk_tape_create(ctx);
    static inputs in;
    for (size_t op = 0; op < N_OPS; op++) {
        fill(&in, op);
        run(tape, &in, op, LK_F32, true, NULL, NULL);
    }
    size_t before = c.calls;
    for (size_t op = 0; op < N_OPS; op++) {
        fill(&in, op);
        run(tape, &in, op, LK_F32, true, NULL, NULL);
    }
    assert_int_equal(c.calls, before);
    lk_tape_destroy(tape);
    lk_context_destroy(ctx);
    assert_int_equal(c.live, 0);
}

static void test_memory_that_runs_out(void **state) {
    (void)state;
    for (size_t fail_at = 1;; fail_at++) {
        counter c = {.fail_at = fail_at};
        lk_allocator allocator = {count_allocate, count_resize, count_release, &c};
        lk_context *ctx = lk_context_create(&allocator);
        lk_tape *tape = ctx ? lk_tape_create(ctx) : NULL;
        static inputs in;
        bool good = tape != NULL;
        for (size_t op = 0; tape && op < N_OPS; op++) {
            fill(&in, op);
            double y = run(tape, &in, op, LK_F64, true, NULL, NULL);
            if (!(y - y == 0)) {
                assert_int_equal(lk_tape_status(tape), LK_NO_MEMORY);
                good = false;
                break;
            }
        }
        lk_tape_destroy(tape);
        lk_context_destroy(ctx);
        assert_int_equal(c.live, 0);
        if (good) {
            assert_true(c.calls < fail_at);
            break;
        }
    }
}

/* ---- Parameters and optimisers ------------------------------------------------------------------------------ */

static void test_optimisers(void **state) {
    (void)state;
    lk_context *ctx = lk_context_create(NULL);
    static const lk_optimiser_kind kinds[] = {LK_ADAM, LK_ADAMW, LK_SGD};
    for (size_t k = 0; k < 3; k++) {
        lk_params p;
        size_t shape[1] = {3};
        lk_optimiser o;
        lk_params_create(ctx, &p);
        lk_params_add(&p, "w", LK_F64, 1, shape, LK_INIT_CONSTANT, 1, true);
        lk_params_add(&p, "fixed", LK_F64, 1, shape, LK_INIT_CONSTANT, 5, false);
        assert_int_equal(lk_params_add(&p, "w", LK_F64, 1, shape, LK_INIT_ZERO, 0, true), SIZE_MAX);
        lk_clear(ctx);
        assert_int_equal(lk_params_build(&p, 1), LK_OK);
        lk_optimiser_options options = {
            .kind = kinds[k],
            .learning_rate = 0.1,
            .beta1 = 0.9,
            .beta2 = 0.999,
            .epsilon = 1e-8,
            .weight_decay = 0.01,
            .momentum = 0.9,
            .clip_norm = 2,
            .average_decay = 0.5};
        assert_int_equal(lk_optimiser_create(ctx, &o, &p, &options), LK_OK);
        double *w = lk_param_values(&p, 0), *g = lk_param_grads(&p, 0), m[3] = {0}, v[3] = {0},
               mine[3] = {1, 1, 1}, average[3] = {1, 1, 1};
        for (int t = 1; t <= 5; t++) {
            double norm = 0;
            for (int i = 0; i < 3; i++) {
                g[i] = (i + 1) * mine[i] - 0.5 * t;
                norm += g[i] * g[i];
            }
            norm = sqrt(norm);
            double clip = norm > 2 ? 2 / norm : 1;
            for (int i = 0; i < 3; i++) { /* the papers' algorithms, line by line */
                double x = g[i] * clip;
                if (kinds[k] == LK_SGD) {
                    m[i] = 0.9 * m[i] + x;
                    mine[i] -= 0.1 * m[i];
                } else {
                    m[i] = 0.9 * m[i] + 0.1 * x;
                    v[i] = 0.999 * v[i] + 0.001 * x * x;
                    if (kinds[k] == LK_ADAMW) mine[i] -= 0.1 * 0.01 * mine[i];
                    mine[i] -= 0.1 * (m[i] / (1 - pow(0.9, t))) /
                               (sqrt(v[i] / (1 - pow(0.999, t))) + 1e-8);
                }
                average[i] = 0.5 * average[i] + 0.5 * mine[i];
            }
            lk_optimiser_step(&o);
            for (int i = 0; i < 3; i++) {
                assert_true(fabs(w[i] - mine[i]) < 1e-12);
                assert_false(fabs(w[i] * 1.01 - mine[i]) < 1e-12);
            }
        }
        assert_true(((double *)lk_param_values(&p, 1))[2] == 5);
        lk_optimiser_swap_average(&o);
        for (int i = 0; i < 3; i++) assert_true(fabs(w[i] - average[i]) < 1e-12);
        g[0] = NAN; /* not finite: nothing is changed */
        double kept = w[1];
        lk_optimiser_step(&o);
        assert_true(w[1] == kept && isnan(o.last_norm));
        lk_optimiser_destroy(&o);
        lk_params_destroy(&p);
    }
    lk_context_destroy(ctx);
}

static void test_schedules(void **state) {
    (void)state;
    lk_params none = {0};
    lk_optimiser o = {.params = &none, .plateau_scale = 1, .plateau_best = INFINITY};
    o.options = (lk_optimiser_options){
        .learning_rate = 1, .schedule = LK_COSINE, .warmup_steps = 10, .total_steps = 110};
    o.step = 4;
    assert_true(fabs(lk_optimiser_rate(&o) - 0.5) < 1e-15);
    o.step = 60;
    assert_true(fabs(lk_optimiser_rate(&o) - 0.5) < 1e-15);
    o.step = 110;
    assert_true(lk_optimiser_rate(&o) == 0);
    o.options = (lk_optimiser_options){
        .learning_rate = 1, .schedule = LK_PLATEAU, .plateau_factor = 0.5, .plateau_patience = 2};
    static const double losses[] = {3, 2, 2.5, 2.1, 1, 1.5, 1.2};
    static const double rates[] = {1, 1, 1, 0.5, 0.5, 0.5, 0.25};
    for (int i = 0; i < 7; i++) {
        lk_optimiser_validated(&o, losses[i]);
        assert_true(lk_optimiser_rate(&o) == rates[i]);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_gradients),
        cmocka_unit_test(test_types_and_threads),
        cmocka_unit_test(test_values),
        cmocka_unit_test(test_nonfinite_is_named),
        cmocka_unit_test(test_a_step_allocates_once),
        cmocka_unit_test(test_memory_that_runs_out),
        cmocka_unit_test(test_optimisers),
        cmocka_unit_test(test_schedules)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
