/* The tape itself: the order of going back, what accumulates where, failures that stick, numbers that
 * are not finite, memory; and the gradient checker on ops whose backward is wrong on purpose. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/memory.h"
#include "conformance/gradcheck.h"
#include "tensor/op.h"
#include "unit/counted_memory.h"

#include <math.h>
#include <string.h>

typedef struct fixture {
    lk_context *ctx;
    lk_tape *tape;
} fixture;

static int begin(void **state) {
    static fixture f;
    f.ctx = lk_context_create(NULL);
    f.tape = lk_tape_create(f.ctx);
    *state = &f;
    return f.tape ? 0 : -1;
}

static int end(void **state) {
    fixture *f = *state;
    lk_tape_destroy(f->tape);
    lk_context_destroy(f->ctx);
    return 0;
}

static lk_tensor *leaf(lk_tape *tape, size_t rows, size_t cols, double *x, double *grad) {
    size_t shape[2] = {rows, cols};
    return lk_leaf(tape, LK_F64, 2, shape, x, grad);
}

static double number(const lk_tensor *t) { return *(const double *)t->data; }

/* ---- An op that tells when it goes back -------------------------------------------------------------- */

typedef struct spy {
    int name;
    int *log, *n; /* names in the order in which they went back */
} spy;

static void spy_forward(lk_tape *tape, lk_node *node) {
    (void)tape;
    double sum = 0;
    for (int i = 0; i < node->n_in; i++)
        if (node->in[i]) sum += number(node->in[i]);
    *(double *)node->out->data = sum;
}

static void spy_backward(lk_tape *tape, lk_node *node) {
    const spy *s = node->extra;
    (void)tape;
    s->log[(*s->n)++] = s->name;
    for (int i = 0; i < node->n_in; i++)
        if (node->in[i] && node->in[i]->grad)
            *(double *)node->in[i]->grad += *(double *)node->out->grad;
}

static const lk_op spy_op = {"spy", spy_forward, spy_backward, false};

static lk_tensor *watch(lk_tape *tape, int name, int *log, int *n, lk_tensor *a, lk_tensor *b) {
    spy *s = lk_tape_alloc(tape, 1, sizeof *s);
    lk_tensor *in[] = {a, b};
    assert_non_null(s);
    *s = (spy){name, log, n};
    return lk_tape_run(tape, &spy_op, LK_F64, 1, 1, 2, in, s);
}

static void going_back_is_in_reverse_order(void **state) {
    fixture *f = *state;
    double x = 3, grad = 0, y = 4;
    int log[8], n = 0;
    lk_tape_reset(f->tape, true);
    lk_tensor *a = leaf(f->tape, 1, 1, &x, &grad), *b = leaf(f->tape, 1, 1, &y, NULL);
    lk_tensor *first = watch(f->tape, 1, log, &n, a, NULL);
    lk_tensor *second = watch(f->tape, 2, log, &n, first, b);
    lk_tensor *third = watch(f->tape, 3, log, &n, a, first);
    watch(f->tape, 9, log, &n, b, b); /* wants no gradient: not on the tape */
    watch(f->tape, 8, log, &n, watch(f->tape, 7, log, &n, a, first), b); /* nothing asks for it */
    lk_tensor *last = watch(f->tape, 4, log, &n, third, second);
    watch(f->tape, 6, log, &n, last, a);
    assert_true(number(last) == 13);
    assert_int_equal(lk_tape_backward(f->tape, last), LK_OK);
    static const int expected[] = {4, 3, 2, 1};
    assert_int_equal(n, 4);
    assert_memory_equal(log, expected, sizeof expected);
    assert_true(grad == 3); /* through third, and through first twice */
}

static void leaves_accumulate(void **state) {
    fixture *f = *state;
    double x[2] = {3, -2}, grad[2] = {100, 200};
    for (int pass = 1; pass <= 2; pass++) {
        lk_tape_reset(f->tape, true);
        lk_tensor *a = leaf(f->tape, 2, 1, x, grad);
        assert_int_equal(lk_tape_backward(f->tape, lk_sum_all(f->tape, lk_mul(f->tape, a, a))),
                         LK_OK);
        assert_true(grad[0] == 100 + 6 * pass && grad[1] == 200 - 4 * pass);
    }
}

static void no_gradient_where_none_is_wanted(void **state) {
    fixture *f = *state;
    double x[2] = {3, -2}, grad[2] = {0, 0};
    lk_tape_reset(f->tape, false);
    lk_tensor *a = leaf(f->tape, 2, 1, x, grad);
    lk_tensor *y = lk_sum_all(f->tape, lk_mul(f->tape, a, a));
    assert_true(!a->grad && !y->grad && !y->node && number(y) == 13);
    assert_int_equal(lk_tape_backward(f->tape, y), LK_OK);
    assert_true(grad[0] == 0 && grad[1] == 0);

    lk_tape_reset(f->tape, true);
    a = leaf(f->tape, 2, 1, x, grad);
    lk_tensor *still = lk_stop_gradient(f->tape, a);
    assert_null(still->grad);
    y = lk_sum_all(f->tape, lk_mul(f->tape, a, still)); /* x times the constant x */
    assert_int_equal(lk_tape_backward(f->tape, y), LK_OK);
    assert_true(number(y) == 13 && grad[0] == 3 && grad[1] == -2);
}

static void views_share_numbers_and_gradients(void **state) {
    fixture *f = *state;
    double x[6] = {1, 2, 3, 4, 5, 6}, grad[6] = {0};
    size_t shape[3] = {2, 1, 3};
    lk_tape_reset(f->tape, true);
    lk_tensor *a = lk_leaf(f->tape, LK_F64, 3, shape, x, grad);
    assert_int_equal(lk_tensor_rows(a), 2);
    assert_int_equal(lk_tensor_cols(a), 3);
    lk_tensor *view = lk_reshape(f->tape, a, 3, 2);
    assert_true(view->data == x && view->grad == grad && lk_tensor_rows(view) == 3);
    lk_tensor *made = lk_affine(f->tape, a, 2, 0);
    lk_tensor *y =
        lk_sum_all(f->tape, lk_slice_cols(f->tape, lk_reshape(f->tape, made, 1, 6), 4, 5));
    assert_int_equal(lk_tape_backward(f->tape, y), LK_OK);
    for (int i = 0; i < 6; i++) assert_true(grad[i] == (i == 4 ? 2 : 0));
}

/* ---- Failures ------------------------------------------------------------------------------------------ */

static void the_first_failure_stays(void **state) {
    fixture *f = *state;
    double x[6] = {1, 2, 3, 4, 5, 6}, grad[6] = {0};
    char message[256];
    lk_tape_reset(f->tape, true);
    lk_clear(f->ctx);
    lk_tensor *a = leaf(f->tape, 2, 3, x, grad), *b = leaf(f->tape, 3, 2, x, NULL);
    lk_tensor *bad = lk_add(f->tape, a, b);
    assert_int_equal(lk_tape_status(f->tape), LK_USAGE);
    assert_non_null(strstr(lk_context_message(f->ctx), "[2, 3] and [3, 2]"));
    snprintf(message, sizeof message, "%s", lk_context_message(f->ctx));
    /* Whatever follows is harmless, and no news. */
    bad = lk_dense(f->tape, bad, a, b, NULL, LK_ACT_TANH);
    bad = lk_unary_op(f->tape, LK_EXP, lk_cast(f->tape, lk_slice_cols(f->tape, bad, 7, 9), LK_F32));
    assert_true(lk_log_sum_exp_groups(f->tape, lk_stop_gradient(f->tape, bad), 5)->size == 1);
    bad = lk_reshape(f->tape, lk_zeros(f->tape, LK_F64, 3, 3), 9, 1);
    assert_true(bad->size == 1 && bad->rank == 2 && number(bad) == 0);
    lk_tape_fail(f->tape, LK_NO_MEMORY, "later");
    assert_int_equal(lk_tape_backward(f->tape, bad), LK_USAGE);
    assert_string_equal(lk_context_message(f->ctx), message);
    assert_null(lk_tape_alloc(f->tape, 1, 1));
    assert_null(lk_tape_scratch(f->tape, 1, 1));
    for (int i = 0; i < 6; i++) assert_true(grad[i] == 0);
    lk_tape_reset(f->tape, true);
    lk_clear(f->ctx);
    assert_int_equal(lk_tape_status(f->tape), LK_OK);
    assert_true(number(lk_sum_all(f->tape, leaf(f->tape, 2, 3, x, grad))) == 21);
}

static void going_back_starts_from_one_number(void **state) {
    fixture *f = *state;
    double x[2] = {1, 2}, grad[2] = {0};
    lk_tape_reset(f->tape, true);
    lk_clear(f->ctx);
    lk_tensor *y = lk_affine(f->tape, leaf(f->tape, 2, 1, x, grad), 2, 0);
    assert_int_equal(lk_tape_backward(f->tape, y), LK_USAGE);
    assert_true(grad[0] == 0);
    lk_clear(f->ctx);
}

static void sizes_do_not_overflow(void **state) {
    fixture *f = *state;
    lk_tape_reset(f->tape, true);
    lk_clear(f->ctx);
    assert_int_equal(lk_zeros(f->tape, LK_F64, SIZE_MAX / 4, 8)->size, 1);
    assert_int_equal(lk_tape_status(f->tape), LK_NO_MEMORY);
    double x = 1;
    lk_tape_reset(f->tape, true);
    lk_tensor *wide = lk_repeat_rows(f->tape, leaf(f->tape, 1, 1, &x, NULL), SIZE_MAX / 2);
    assert_int_equal(wide->size, 1);
    assert_int_equal(lk_tape_status(f->tape), LK_NO_MEMORY);
    lk_clear(f->ctx);
}

static void what_is_not_finite_is_named(void **state) {
    fixture *f = *state;
    double x[2] = {1, -1}, zero = 0, grad[2] = {0};
    lk_tape_reset(f->tape, true);
    lk_tensor *a = leaf(f->tape, 2, 1, x, grad), *y = lk_unary_op(f->tape, LK_SQUARE, a);
    assert_null(lk_tape_first_nonfinite(f->tape));
    lk_sum_all(f->tape, lk_unary_op(f->tape, LK_LOG, lk_sub(f->tape, a, y)));
    assert_string_equal(lk_tape_first_nonfinite(f->tape), "log");

    lk_tape_reset(f->tape, true); /* √0 is 0; its slope is infinite, and meets the 0 of clamp */
    a = lk_clamp(f->tape, leaf(f->tape, 1, 1, &zero, grad), 0, 1);
    y = lk_sum_all(f->tape, lk_unary_op(f->tape, LK_SQRT, a));
    assert_null(lk_tape_first_nonfinite(f->tape));
    assert_int_equal(lk_tape_backward(f->tape, y), LK_OK);
    assert_string_equal(lk_tape_first_nonfinite(f->tape), "clamp");

    /* The same seen through views, behind and before which memory of gradients has gone round. */
    double many[8] = {0}, slopes[8] = {0};
    lk_tape_reset(f->tape, true);
    a = lk_clamp(f->tape, leaf(f->tape, 8, 1, many, slopes), 0, 1);
    y = lk_unary_op(f->tape, LK_SQRT, lk_reshape(f->tape, lk_reshape(f->tape, a, 2, 4), 4, 2));
    for (int i = 0; i < 4; i++) y = lk_affine(f->tape, lk_reshape(f->tape, y, 8, 1), 1, 0);
    assert_int_equal(lk_tape_backward(f->tape, lk_sum_all(f->tape, y)), LK_OK);
    assert_string_equal(lk_tape_first_nonfinite(f->tape), "clamp");
    assert_string_equal(lk_tape_first_nonfinite(f->tape), "clamp"); /* however often one asks */
}

/* ---- Memory ---------------------------------------------------------------------------------------------- */

/* A step with every kind of memory: values, gradients, extras, scratch that grows, blocks beyond the
 * first. */
static lk_status step(lk_tape *tape, double *x, double *grad, double *result) {
    enum { ROWS = 700, COLS = 60 };
    lk_tape_reset(tape, true);
    lk_tensor *a = leaf(tape, ROWS, COLS, x, grad), *w = leaf(tape, COLS, COLS, x, grad);
    lk_tensor *h = lk_dense(tape, a, w, NULL, NULL, LK_ACT_TANH);
    h = lk_dense(tape, lk_concat_cols(tape, 2, (lk_tensor *[]){h, a}),
                 lk_reshape(tape, leaf(tape, 2 * COLS * COLS, 1, x, grad), 2 * COLS, COLS), NULL,
                 NULL, LK_ACT_SIGMOID);
    lk_tensor *y = lk_log_sum_exp_groups(tape, lk_sum_cols(tape, h), 7);
    lk_tensor *loss = lk_mean_all(tape, y);
    lk_status status = lk_tape_backward(tape, loss);
    if (status == LK_OK) *result = number(loss);
    return status;
}

/* Bytes that a chain of many ops takes from the system; its gradient, exact, is checked. */
static size_t bytes_of_chain(bool gradients) {
    enum { N = 256, DEPTH = 40 };
    lk_context *ctx = lk_context_create(NULL);
    lk_tape *tape = lk_tape_create(ctx);
    double *x = calloc(N * N, sizeof *x), *grad = calloc(N * N, sizeof *grad);
    lk_tape_reset(tape, gradients);
    lk_tensor *y = leaf(tape, N, N, x, gradients ? grad : NULL), *half = NULL;
    for (int i = 0; i < DEPTH; i++) {
        y = lk_affine(tape, i % 3 ? y : lk_reshape(tape, y, N / 2, 2 * N), 2, 1);
        if (i == DEPTH / 2)
            half = y; /* read again at the end: its gradient must outlast the others' */
    }
    if (lk_tensor_rows(y) != lk_tensor_rows(half))
        y = lk_reshape(tape, y, lk_tensor_rows(half), lk_tensor_cols(half));
    lk_tensor *loss = lk_sum_all(tape, lk_add(tape, y, half));
    assert_int_equal(lk_tape_backward(tape, loss), LK_OK);
    for (size_t i = 0; i < N * N && gradients; i++)
        assert_true(grad[i] == 0x1p40 + 0x1p21); /* 2^40 + 2^(20 + 1) */
    size_t bytes = lk_arena_system_bytes(lk_tape_arena(tape));
    free(x);
    free(grad);
    lk_tape_destroy(tape);
    lk_context_destroy(ctx);
    return bytes;
}

/* Of 41 gradients of 512 KiB no more than a few are there at once. */
static void gradients_take_turns(void **state) {
    (void)state;
    size_t values = bytes_of_chain(false), all = bytes_of_chain(true);
    assert_true(values > (size_t)40 << 19);
    assert_true(all < values + ((size_t)8 << 19));
}

/* The sum of a·a has the gradient: sum of row j + sum of column i. Its two products add to one memory, where
 * a meets itself and where it meets a view; integers, so that any order of a sum is exact. */
static void a_tensor_meets_itself(void **state) {
    enum { N = 300 };
    fixture *f = *state;
    double *x = calloc(N * N, sizeof *x), *grad = calloc(N * N, sizeof *grad), rows[N] = {0};
    double cols[N] = {0};
    for (size_t i = 0; i < N * N; i++) {
        x[i] = (double)(i * 7 % 23) - 11;
        rows[i / N] += x[i];
        cols[i % N] += x[i];
    }
    for (int time = 1; time <= 4; time++) {
        lk_tape_reset(f->tape, true);
        lk_tensor *a = leaf(f->tape, N, N, x, grad);
        if (time > 2) a = lk_unary_op(f->tape, LK_NEG, a); /* whose gradient begins as none */
        lk_tensor *b = time % 2 ? a : lk_reshape(f->tape, a, N, N);
        lk_tensor *loss = lk_sum_all(f->tape, lk_dense(f->tape, a, b, NULL, NULL, LK_LINEAR));
        assert_int_equal(lk_tape_backward(f->tape, loss), LK_OK);
        for (size_t i = 0; i < N; i++)
            for (size_t j = 0; j < N; j++)
                assert_true(grad[i * N + j] == time * (rows[j] + cols[i]));
    }
    free(x);
    free(grad);
}

static double *numbers(void) { return calloc(700 * 60, sizeof(double)); }

static void later_steps_take_nothing(void **state) {
    (void)state;
    counted c = {0};
    lk_context *ctx = counted_context(&c);
    lk_tape *tape = lk_tape_create(ctx);
    double *x = numbers(), *grad = numbers(), first, again;
    for (int i = 0; i < 700 * 60; i++) x[i] = (double)(i % 17) / 17 - 0.5;
    assert_int_equal(step(tape, x, grad, &first), LK_OK);
    size_t calls = c.calls, bytes = lk_arena_system_bytes(lk_tape_arena(tape));
    assert_true(calls > 5 && bytes > 1 << 20);
    for (int i = 0; i < 4; i++) assert_int_equal(step(tape, x, grad, &again), LK_OK);
    assert_true(again == first);
    assert_int_equal(c.calls, calls);
    assert_int_equal(lk_arena_system_bytes(lk_tape_arena(tape)), bytes);
    lk_tape_destroy(tape);
    lk_context_destroy(ctx);
    assert_int_equal(c.live, 0);
    free(x);
    free(grad);
}

/* Where threads cannot be had, the caller's own does the work: that is no failure. */
static void any_allocation_may_fail(void **state) {
    (void)state;
    double *x = numbers(), *grad = numbers(), result;
    size_t n = 1, failures = 0;
    for (bool reached = true; reached; n++) {
        counted c = {.fails_at = n};
        lk_context *ctx = counted_context(&c);
        lk_tape *tape = ctx ? lk_tape_create(ctx) : NULL;
        lk_status status = tape ? step(tape, x, grad, &result) : LK_NO_MEMORY;
        reached = c.calls >= n;
        if (status != LK_OK) {
            assert_true(reached);
            assert_int_equal(status, LK_NO_MEMORY);
            failures++;
        }
        if (tape && status != LK_OK) { /* the next step, with memory, is a good one */
            lk_clear(ctx);
            assert_int_equal(step(tape, x, grad, &result), LK_OK);
        }
        lk_tape_destroy(tape);
        if (ctx) lk_context_destroy(ctx);
        assert_int_equal(c.live, 0);
    }
    assert_true(failures > 5);
    free(x);
    free(grad);
}

static void scratch_is_shared_and_grows(void **state) {
    fixture *f = *state;
    lk_tape_reset(f->tape, true);
    char *a = lk_tape_scratch(f->tape, 100, 8);
    assert_ptr_equal(lk_tape_scratch(f->tape, 50, 8), a);
    assert_ptr_equal(lk_tape_scratch(f->tape, 800, 1), a);
    char *b = lk_tape_scratch(f->tape, 101, 8);
    assert_ptr_not_equal(b, a);
    memset(b, 1, 1600); /* twice the first */
    assert_ptr_equal(lk_tape_scratch(f->tape, 200, 8), b);
    assert_int_equal((uintptr_t)b % 64, 0);
}

/* ---- The gradient checker sees wrong ops --------------------------------------------------------------- */

/* y = a³ + a·b, with backward scaled, or without one of its terms. */
typedef struct wrong {
    const char *name;
    double cube, product_a, product_b; /* factors of the three terms; 1, 1, 1 is right */
} wrong;

static void wrong_forward(lk_tape *tape, lk_node *node) {
    const double *a = node->in[0]->data, *b = node->in[1]->data;
    double *y = node->out->data;
    (void)tape;
    for (size_t i = 0; i < node->out->size; i++) y[i] = a[i] * a[i] * a[i] + a[i] * b[i];
}

static void wrong_backward(lk_tape *tape, lk_node *node) {
    const wrong *e = node->extra;
    const double *a = node->in[0]->data, *b = node->in[1]->data, *g = node->out->grad;
    double *d_a = node->in[0]->grad, *d_b = node->in[1]->grad;
    (void)tape;
    for (size_t i = 0; i < node->out->size; i++) {
        d_a[i] += g[i] * (e->cube * 3 * a[i] * a[i] + e->product_a * b[i]);
        d_b[i] += g[i] * e->product_b * a[i];
    }
}

static const lk_op wrong_op = {"wrong", wrong_forward, wrong_backward, false};

typedef struct wrong_run {
    lk_tape *tape;
    wrong *e;
    double a[4], b[4], d_a[4], d_b[4];
} wrong_run;

static double run_wrong(void *user) {
    wrong_run *r = user;
    lk_tape_reset(r->tape, true);
    memset(r->d_a, 0, sizeof r->d_a);
    memset(r->d_b, 0, sizeof r->d_b);
    lk_tensor *in[] = {leaf(r->tape, 2, 2, r->a, r->d_a), leaf(r->tape, 2, 2, r->b, r->d_b)};
    lk_tensor *y = lk_sum_all(r->tape, lk_tape_run(r->tape, &wrong_op, LK_F64, 2, 2, 2, in, r->e));
    lk_tape_backward(r->tape, y);
    return number(y);
}

static bool passes(lk_tape *tape, wrong *e) {
    wrong_run r = {.tape = tape, .e = e, .a = {0.3, -0.8, 1.2, -0.4}, .b = {0.9, 0.5, -0.7, -1.1}};
    double d_a[4], d_b[4];
    run_wrong(&r);
    memcpy(d_a, r.d_a, sizeof d_a);
    memcpy(d_b, r.d_b, sizeof d_b);
    gradcheck check = {.f = run_wrong, .user = &r};
    return gradcheck_add(&check, 4, r.a, d_a) && gradcheck_add(&check, 4, r.b, d_b) &&
           gradcheck_good(&check);
}

static void wrong_gradients_do_not_pass(void **state) {
    fixture *f = *state;
    wrong right = {"right", 1, 1, 1};
    wrong bugs[] = {{"a sign", 1, -1, 1},          {"every sign", -1, -1, -1},
                    {"1 % too large", 1, 1, 1.01}, {"10⁻⁵ too large", 1 + 1e-5, 1, 1},
                    {"a missing term", 1, 0, 1},   {"a missing input", 1, 1, 0},
                    {"nothing", 0, 0, 0},          {"not a number", 1, NAN, 1},
                    {"infinite", 1, 1, INFINITY}};
    assert_true(passes(f->tape, &right));
    for (size_t i = 0; i < sizeof bugs / sizeof *bugs; i++)
        if (passes(f->tape, &bugs[i])) fail_msg("the checker lets \"%s\" pass", bugs[i].name);
}

static double constant(void *user) { return *(double *)user * 0 + 7; }
static double undefined(void *user) { return *(double *)user * NAN; }

static void nothing_to_see_is_not_good(void **state) {
    (void)state;
    double x = 1, zero = 0;
    gradcheck flat = {.f = constant, .user = &x}, nan = {.f = undefined, .user = &x}, none = {0};
    assert_true(gradcheck_add(&flat, 1, &x, &zero));
    assert_false(gradcheck_good(&flat));
    assert_false(gradcheck_add(&nan, 1, &x, &zero));
    assert_false(gradcheck_good(&nan));
    assert_false(gradcheck_good(&none));
    assert_true(x == 1);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(going_back_is_in_reverse_order),
        cmocka_unit_test(leaves_accumulate),
        cmocka_unit_test(no_gradient_where_none_is_wanted),
        cmocka_unit_test(views_share_numbers_and_gradients),
        cmocka_unit_test(the_first_failure_stays),
        cmocka_unit_test(going_back_starts_from_one_number),
        cmocka_unit_test(sizes_do_not_overflow),
        cmocka_unit_test(what_is_not_finite_is_named),
        cmocka_unit_test(a_tensor_meets_itself),
        cmocka_unit_test(gradients_take_turns),
        cmocka_unit_test(later_steps_take_nothing),
        cmocka_unit_test(any_allocation_may_fail),
        cmocka_unit_test(scratch_is_shared_and_grows),
        cmocka_unit_test(wrong_gradients_do_not_pass),
        cmocka_unit_test(nothing_to_see_is_not_good),
    };
    return cmocka_run_group_tests_name("tape", tests, begin, end);
}
