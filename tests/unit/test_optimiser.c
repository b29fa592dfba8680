/* Optimisers against transcripts of an independent implementation (to the bit, but where a cosine is
 * in them) and against closed forms; schedules; what must not change. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "tensor/optimiser.h"
#include "unit/counted_memory.h"
#include "unit/transcripts.h"

#include <math.h>

static lk_context *ctx;

static int begin(void **state) {
    (void)state;
    ctx = lk_context_create(NULL);
    return ctx ? 0 : -1;
}

static int end(void **state) {
    (void)state;
    lk_context_destroy(ctx);
    return 0;
}

#define ADAM_DEFAULTS .learning_rate = 0.1, .beta1 = 0.9, .beta2 = 0.999, .epsilon = 1e-8

static const lk_optimiser_options adam = {.kind = LK_ADAM, ADAM_DEFAULTS};

/* Parameters "a", "frozen" and "b" of n numbers each. */
static void make(lk_params *p, lk_optimiser *o, const lk_optimiser_options *options, lk_dtype t,
                 size_t n) {
    size_t shape[1] = {n};
    lk_params_create(ctx, p);
    assert_int_equal(lk_params_add(p, "a", t, 1, shape, LK_INIT_NORMAL, 1, true), 0);
    assert_int_equal(lk_params_add(p, "frozen", t, 1, shape, LK_INIT_CONSTANT, 5, false), 1);
    assert_int_equal(lk_params_add(p, "b", t, 1, shape, LK_INIT_NORMAL, 1, true), 2);
    assert_int_equal(lk_params_build(p, 3), LK_OK);
    assert_int_equal(lk_optimiser_create(ctx, o, p, options), LK_OK);
}

static void destroy(lk_params *p, lk_optimiser *o) {
    lk_optimiser_destroy(o);
    lk_params_destroy(p);
}

static double get(const void *x, lk_dtype t, size_t i) {
    return t == LK_F32 ? (double)((const float *)x)[i] : ((const double *)x)[i];
}

static void put(void *x, lk_dtype t, size_t i, double value) {
    if (t == LK_F32) ((float *)x)[i] = (float)value;
    else ((double *)x)[i] = value;
}

/* ---- Transcripts ----------------------------------------------------------------------------------------- */

static const struct {
    const char *name;
    bool cosine;
    lk_optimiser_options options;
} runs[] = {
    {"adam", false, {.kind = LK_ADAM, ADAM_DEFAULTS}},
    {"adam clipped and averaged",
     false,
     {.kind = LK_ADAM, ADAM_DEFAULTS, .clip_norm = 1.5, .average_decay = 0.75}},
    {"adam cosine",
     true,
     {.kind = LK_ADAM, ADAM_DEFAULTS, .schedule = LK_COSINE, .warmup_steps = 3, .total_steps = 10}},
    {"adamw",
     false,
     {.kind = LK_ADAMW,
      .learning_rate = 0.1,
      .beta1 = 0.8,
      .beta2 = 0.95,
      .epsilon = 1e-6,
      .weight_decay = 0.05}},
    {"adamw cosine",
     true,
     {.kind = LK_ADAMW,
      ADAM_DEFAULTS,
      .weight_decay = 0.05,
      .schedule = LK_COSINE,
      .warmup_steps = 2,
      .total_steps = 20,
      .average_decay = 0.5}},
    {"sgd", false, {.kind = LK_SGD, .learning_rate = 0.01}},
    {"sgd momentum",
     false,
     {.kind = LK_SGD,
      .learning_rate = 0.01,
      .momentum = 0.9,
      .clip_norm = 2,
      .warmup_steps = 4,
      .average_decay = 0.9}},
};

static const double curvature[] = {1, 3, 0.5, 10}, pull[] = {0.5, -1, 2, 0.125},
                    first_weights[] = {1, -0.5, 2, 0.25};

/* curvature·w - pull·t, each operation in the weights' type. */
static double toy_gradient(lk_dtype t, double w, size_t i, int step) {
    if (t == LK_F64) return curvature[i] * w - pull[i] * (double)step;
    float bent = (float)curvature[i] * (float)w, pulled = (float)pull[i] * (float)step;
    return (double)(bent - pulled);
}

/* Where the toy's weight i stands in a slab. */
static void *part(const lk_params *p, unsigned char *slab, size_t i) {
    return slab + p->info[i < 2 ? 0 : 2].offset + i % 2 * lk_dtype_size(p->info[0].dtype);
}

static void follow(size_t run, lk_dtype t) {
    lk_params p;
    lk_optimiser o;
    double tolerance = runs[run].cosine ? t == LK_F32 ? 1e-6 : 1e-14 : 0;
    make(&p, &o, &runs[run].options, t, 2);
    for (size_t i = 0; i < 4; i++) {
        put(part(&p, p.values, i), t, 0, first_weights[i]);
        if (o.average) put(part(&p, o.average, i), t, 0, first_weights[i]);
    }
    for (int step = 1; step <= 12; step++) {
        char name[64];
        double expected[9], found[9];
        snprintf(name, sizeof name, "%s, %s, %d", runs[run].name,
                 t == LK_F32 ? "float32" : "float64", step);
        assert_int_equal(transcript_find(name, 9, expected), 9);
        for (size_t i = 0; i < 4; i++)
            put(part(&p, p.grads, i), t, 0,
                toy_gradient(t, get(part(&p, p.values, i), t, 0), i, step));
        lk_optimiser_step(&o);
        found[0] = o.last_norm;
        for (size_t i = 0; i < 4; i++) {
            found[1 + i] = get(part(&p, p.values, i), t, 0);
            found[5 + i] = o.average ? get(part(&p, o.average, i), t, 0) : first_weights[i];
        }
        if (!transcript_close(9, found, expected, tolerance))
            fail_msg("%s: %.17g %.17g %.17g %.17g are not the transcript's", name, found[1],
                     found[2], found[3], found[4]);
        /* A difference would be seen: */
        found[4] += tolerance > 0 ? 5 * tolerance * (1 + fabs(found[4])) : found[4] * 0x1p-45;
        assert_false(transcript_close(9, found, expected, tolerance));
    }
    assert_int_equal(o.step, 12);
    destroy(&p, &o);
}

static void steps_are_the_transcripts(void **state) {
    (void)state;
    for (size_t run = 0; run < sizeof runs / sizeof *runs; run++) {
        follow(run, LK_F32);
        follow(run, LK_F64);
    }
}

/* ---- Closed forms ------------------------------------------------------------------------------------------ */

static void set_all(const lk_params *p, unsigned char *slab, double value) {
    for (size_t q = 0; q < p->n; q++)
        for (size_t i = 0; i < p->info[q].size; i++)
            put(slab + p->info[q].offset, p->info[q].dtype, i, value);
}

static void closed_forms_hold(void **state) {
    (void)state;
    lk_params p;
    lk_optimiser o;
    /* Adam's steps with a constant gradient are ±rate, whatever its size. */
    make(&p, &o, &adam, LK_F64, 3);
    double *w = lk_param_values(&p, 0), *g = lk_param_grads(&p, 0), first[3];
    memcpy(first, w, sizeof first);
    for (int t = 1; t <= 20; t++) {
        g[0] = 1e-3;
        g[1] = -40;
        g[2] = 0;
        lk_optimiser_step(&o);
        /* but for ε, which is 10⁻⁵ of the first gradient and 2.5·10⁻¹⁰ of the second */
        assert_true(fabs(w[0] - (first[0] - 0.1 * t)) < 2e-6 * t);
        assert_true(fabs(w[1] - (first[1] + 0.1 * t)) < 1e-10 * t);
        assert_true(w[2] == first[2]);
    }
    destroy(&p, &o);

    /* AdamW without a gradient only decays. */
    lk_optimiser_options options = adam;
    options.kind = LK_ADAMW;
    options.weight_decay = 0.2;
    make(&p, &o, &options, LK_F64, 1);
    w = lk_param_values(&p, 0);
    first[0] = w[0];
    for (int t = 0; t < 10; t++) lk_optimiser_step(&o);
    assert_true(fabs(w[0] - first[0] * pow(1 - 0.1 * 0.2, 10)) < 1e-15);
    destroy(&p, &o);

    /* Momentum with a constant gradient: w₀ - rate·g·Σ (1 - μᵏ)/(1 - μ), k = 1 … t. */
    options = (lk_optimiser_options){
        .kind = LK_SGD, .learning_rate = 0.01, .momentum = 0.9, .average_decay = 0.5};
    make(&p, &o, &options, LK_F64, 1);
    w = lk_param_values(&p, 0);
    double sum = 0, average = w[0];
    first[0] = w[0];
    for (int t = 1; t <= 30; t++) {
        set_all(&p, p.grads, 3);
        lk_optimiser_step(&o);
        sum += (1 - pow(0.9, t)) / (1 - 0.9);
        assert_true(fabs(w[0] - (first[0] - 0.01 * 3 * sum)) < 1e-13);
        average = 0.5 * average + 0.5 * w[0];
        assert_true(fabs(*(double *)(void *)o.average - average) < 1e-15);
    }
    destroy(&p, &o);
}

static void every_optimiser_finds_a_minimum(void **state) {
    (void)state;
    for (int kind = LK_ADAM; kind <= LK_SGD; kind++) {
        lk_params p;
        lk_optimiser o;
        lk_optimiser_options options = adam;
        options.kind = (lk_optimiser_kind)kind;
        options.momentum = 0.5;
        options.schedule = LK_COSINE;
        options.total_steps = 600;
        make(&p, &o, &options, LK_F64, 5);
        double *w = lk_param_values(&p, 0), *g = lk_param_grads(&p, 0);
        for (int t = 0; t < 600; t++) {
            for (int i = 0; i < 5; i++) g[i] = (1 + i) * (w[i] - i);
            lk_optimiser_step(&o);
        }
        for (int i = 0; i < 5; i++) assert_true(fabs(w[i] - i) < 1e-6);
        destroy(&p, &o);
    }
}

static void clipping_scales_the_whole_gradient(void **state) {
    (void)state;
    lk_params p[2];
    lk_optimiser o[2];
    lk_optimiser_options options = {.kind = LK_SGD, .learning_rate = 1, .clip_norm = 2};
    make(&p[0], &o[0], &options, LK_F64, 2);
    set_all(&p[0], p[0].grads,
            3); /* four trainable numbers: the norm is 6; the frozen one's is not in it */
    double *w = lk_param_values(&p[0], 0), before = w[0];
    lk_optimiser_step(&o[0]);
    assert_true(o[0].last_norm == 6);
    assert_true(fabs(before - w[0] - 1) < 1e-15);
    set_all(&p[0], p[0].grads, 0.5); /* norm 1: not touched */
    before = w[0];
    lk_optimiser_step(&o[0]);
    assert_true(o[0].last_norm == 1 && before - w[0] == 0.5);
    destroy(&p[0], &o[0]);

    for (int i = 0; i < 2; i++) { /* squares of float32 gradients do not overflow */
        options.clip_norm = i ? 1 : 0;
        make(&p[i], &o[i], &options, LK_F32, 1);
        set_all(&p[i], p[i].grads, 3e38);
        lk_optimiser_step(&o[i]);
        assert_true(o[i].last_norm > 4e38 && o[i].step == 1);
        destroy(&p[i], &o[i]);
    }
}

/* ---- What must not change ---------------------------------------------------------------------------------- */

static void gradients_that_are_not_finite_change_nothing(void **state) {
    (void)state;
    static const double bad[] = {NAN, INFINITY, -INFINITY};
    for (int kind = LK_ADAM; kind <= LK_SGD; kind++)
        for (int i = 0; i < 3; i++) {
            lk_params p;
            lk_optimiser o;
            lk_optimiser_options options = adam;
            unsigned char values[192], first[192], average[192];
            options.kind = (lk_optimiser_kind)kind;
            options.average_decay = 0.5;
            make(&p, &o, &options, LK_F64, 3);
            assert_int_equal(p.bytes, sizeof values);
            set_all(&p, p.grads, 1);
            lk_optimiser_step(&o);
            memcpy(values, p.values, p.bytes);
            memcpy(first, o.first, p.bytes);
            memcpy(average, o.average, p.bytes);
            ((double *)lk_param_grads(&p, 2))[1] = bad[i];
            lk_optimiser_step(&o);
            assert_true(!(o.last_norm - o.last_norm == 0));
            assert_int_equal(o.step, 1);
            assert_memory_equal(values, p.values, p.bytes);
            assert_memory_equal(first, o.first, p.bytes);
            assert_memory_equal(average, o.average, p.bytes);
            destroy(&p, &o);
        }
}

static void frozen_parameters_stay(void **state) {
    (void)state;
    lk_params p;
    lk_optimiser o;
    lk_optimiser_options options = adam;
    options.kind = LK_ADAMW;
    options.weight_decay = 0.5;
    options.average_decay = 0.5;
    make(&p, &o, &options, LK_F32, 3);
    for (int t = 0; t < 5; t++) {
        set_all(&p, p.grads, 1);
        lk_optimiser_step(&o);
    }
    ((float *)lk_param_values(&p, 1))[2] = 7; /* set by others, as EM does */
    lk_optimiser_swap_average(&o);
    const float *frozen = lk_param_values(&p, 1);
    assert_true(frozen[0] == 5 && frozen[1] == 5 && frozen[2] == 7);
    destroy(&p, &o);
}

static void swapping_twice_is_nothing(void **state) {
    (void)state;
    lk_params p;
    lk_optimiser o;
    lk_optimiser_options options = adam;
    float last[2], average[2];
    options.average_decay = 0.5;
    make(&p, &o, &options, LK_F32, 2);
    set_all(&p, p.grads, 1);
    lk_optimiser_step(&o);
    memcpy(last, lk_param_values(&p, 0), sizeof last);
    memcpy(average, o.average, sizeof average);
    assert_memory_not_equal(last, average, sizeof last);
    lk_optimiser_swap_average(&o);
    assert_memory_equal(lk_param_values(&p, 0), average, sizeof average);
    assert_memory_equal(o.average, last, sizeof last);
    lk_optimiser_swap_average(&o);
    assert_memory_equal(lk_param_values(&p, 0), last, sizeof last);
    destroy(&p, &o);
    make(&p, &o, &adam, LK_F32, 2); /* without an average, nothing */
    lk_optimiser_swap_average(&o);
    assert_null(o.average);
    destroy(&p, &o);
}

/* Steps on many numbers, from `from` on; a checkpoint is the slabs and the counter. */
static void walk(lk_params *p, lk_optimiser *o, int from, int to) {
    for (int t = from; t < to; t++) {
        for (size_t q = 0; q < p->n; q += 2)
            for (size_t i = 0; i < p->info[q].size; i++) {
                double w = get(lk_param_values(p, q), p->info[q].dtype, i);
                put(lk_param_grads(p, q), p->info[q].dtype, i, w * (double)(i % 7) - (double)t);
            }
        lk_optimiser_step(o);
    }
}

static void threads_and_resuming_change_no_bit(void **state) {
    (void)state;
    enum { N = 100000 };
    lk_optimiser_options options = {
        .kind = LK_ADAMW,
        ADAM_DEFAULTS,
        .weight_decay = 0.01,
        .clip_norm = 100,
        .schedule = LK_COSINE,
        .warmup_steps = 2,
        .total_steps = 9,
        .average_decay = 0.9};
    for (int kind = LK_ADAM; kind <= LK_SGD; kind++)
        for (int t = LK_F32; t <= LK_F64; t++) {
            lk_params whole, p;
            lk_optimiser o_whole, o;
            options.kind = (lk_optimiser_kind)kind;
            options.forget = false;
            lk_context_set_threads(ctx, 1);
            make(&whole, &o_whole, &options, (lk_dtype)t, N);
            walk(&whole, &o_whole, 0, 6);
            for (int threads = 2; threads <= 5; threads += 3) {
                lk_params half;
                lk_optimiser o_half;
                lk_context_set_threads(ctx, threads);
                options.forget = threads == 5; /* zeros that are not written are zeros */
                make(&half, &o_half, &options, (lk_dtype)t, N);
                walk(&half, &o_half, 0, 3);
                make(&p, &o, &options, (lk_dtype)t, N);
                memcpy(p.values, half.values, p.bytes);
                memcpy(o.first, o_half.first, p.bytes);
                memcpy(o.second, o_half.second, p.bytes);
                memcpy(o.average, o_half.average, p.bytes);
                o.step = o_half.step;
                walk(&p, &o, 3, 6);
                assert_memory_equal(p.values, whole.values, p.bytes);
                assert_memory_equal(o.average, o_whole.average, p.bytes);
                assert_memory_not_equal(p.values, half.values, p.bytes);
                destroy(&half, &o_half);
                destroy(&p, &o);
            }
            destroy(&whole, &o_whole);
        }
    lk_context_set_threads(ctx, 1);
}

/* ---- Schedules ------------------------------------------------------------------------------------------- */

static void rates_follow_their_schedules(void **state) {
    (void)state;
    lk_params none = {0};
    lk_optimiser o = {.params = &none, .plateau_scale = 1, .plateau_best = INFINITY};
    static const struct {
        lk_schedule_kind schedule;
        uint64_t warmup, total, step;
        double rate;
    } at[] = {
        {LK_CONSTANT, 0, 0, 0, 2},    {LK_CONSTANT, 0, 0, 1000, 2}, {LK_CONSTANT, 4, 0, 0, 0.5},
        {LK_CONSTANT, 4, 0, 3, 2},    {LK_CONSTANT, 4, 0, 4, 2},    {LK_COSINE, 10, 110, 4, 1},
        {LK_COSINE, 10, 110, 9, 2},   {LK_COSINE, 10, 110, 10, 2},  {LK_COSINE, 10, 110, 60, 1},
        {LK_COSINE, 10, 110, 110, 0}, {LK_COSINE, 10, 110, 500, 0}, {LK_COSINE, 0, 4, 0, 2},
        {LK_COSINE, 0, 3, 1, 1.5},    {LK_COSINE, 0, 3, 2, 0.5},    {LK_COSINE, 5, 5, 5, 2},
        {LK_COSINE, 5, 5, 6, 0},      {LK_PLATEAU, 0, 0, 9, 2},     {LK_PLATEAU, 2, 0, 0, 1},
    };
    for (size_t i = 0; i < sizeof at / sizeof *at; i++) {
        o.step = at[i].step;
        o.options = (lk_optimiser_options){
            .learning_rate = 2,
            .schedule = at[i].schedule,
            .warmup_steps = at[i].warmup,
            .total_steps = at[i].total};
        double rate = lk_optimiser_rate(&o);
        if (!(fabs(rate - at[i].rate) < 1e-15)) fail_msg("row %zu: %.17g", i, rate);
    }
    o.options = (lk_optimiser_options){
        .learning_rate = 1, .schedule = LK_PLATEAU, .plateau_factor = 0.5, .plateau_patience = 2};
    static const double losses[] = {3, 2, 2.5, 2.1, 1, 1.5, NAN, 0.5, 0.5, 0.5, 0.25};
    static const double rates[] = {1, 1, 1, 0.5, 0.5, 0.5, 0.25, 0.25, 0.25, 0.125, 0.125};
    for (size_t i = 0; i < sizeof rates / sizeof *rates; i++) {
        lk_optimiser_validated(&o, losses[i]);
        assert_true(lk_optimiser_rate(&o) == rates[i]);
    }
    o.options.schedule = LK_CONSTANT;
    lk_optimiser_validated(&o, 9);
    lk_optimiser_validated(&o, 9);
    assert_true(o.plateau_scale == 0.125 && lk_optimiser_rate(&o) == 1);
}

static void any_allocation_may_fail(void **state) {
    (void)state;
    size_t n = 1;
    for (bool good = false; !good; n++) {
        counted c = {.fails_at = n};
        lk_context *mine = counted_context(&c);
        if (mine) {
            lk_params p;
            lk_optimiser o;
            lk_optimiser_options options = adam;
            size_t shape[1] = {3};
            options.average_decay = 0.5;
            lk_params_create(mine, &p);
            good = lk_params_add(&p, "w", LK_F32, 1, shape, LK_INIT_ZERO, 0, true) == 0 &&
                   lk_params_build(&p, 1) == LK_OK;
            if (good && !(good = lk_optimiser_create(mine, &o, &p, &options) == LK_OK))
                assert_null(o.params); /* nothing to destroy, and destroying it is fine */
            else if (good) lk_optimiser_step(&o);
            if (p.values) lk_optimiser_destroy(&o);
            if (!good) assert_int_equal(mine->status, LK_NO_MEMORY);
            lk_params_destroy(&p);
            lk_context_destroy(mine);
        }
        assert_int_equal(c.live, 0);
    }
    assert_true(n > 6);
    lk_params none;
    lk_optimiser o;
    lk_params_create(ctx, &none);
    assert_int_equal(lk_optimiser_create(ctx, &o, &none, &adam), LK_USAGE);
    lk_clear(ctx);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(steps_are_the_transcripts),
        cmocka_unit_test(closed_forms_hold),
        cmocka_unit_test(every_optimiser_finds_a_minimum),
        cmocka_unit_test(clipping_scales_the_whole_gradient),
        cmocka_unit_test(gradients_that_are_not_finite_change_nothing),
        cmocka_unit_test(frozen_parameters_stay),
        cmocka_unit_test(swapping_twice_is_nothing),
        cmocka_unit_test(threads_and_resuming_change_no_bit),
        cmocka_unit_test(rates_follow_their_schedules),
        cmocka_unit_test(any_allocation_may_fail),
    };
    return cmocka_run_group_tests_name("optimiser", tests, begin, end);
}
