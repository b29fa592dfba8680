/* Rows of networks over sequences: every instruction set against the scalar reference, bit by bit; a position alone, from
 * what was kept of those before it, against all positions at once. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/philox.h"
#include "base/threads.h"
#include "dist/dist.h"
#include "kernels/isa.h"
#include "tensor/op.h"
#include "tensor/sequence.h"

#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { MOST = 272, NUMBERS = 6 * MOST };

/* Numbers of both types; the first are special if that is asked for. */
typedef union numbers {
    float f32[NUMBERS];
    double f64[NUMBERS];
} numbers;

static void fill(numbers *x, lk_dtype t, const char *what, double scale, bool special) {
    static const double odd[] = {NAN, INFINITY, -INFINITY, 0, -0.0, 1e-42, 1e30, -1e30};
    lk_rng rng = lk_rng_at(3, what, 0, 0, 0);
    for (size_t i = 0; i < NUMBERS; i++) {
        double v = scale * (2 * lk_rng_uniform(&rng) - 1);
        if (special && lk_rng_below(&rng, 20) == 0) v = odd[lk_rng_below(&rng, 8)];
        if (t == LK_F32) x->f32[i] = (float)v;
        else x->f64[i] = v;
    }
}

static double number(const numbers *x, lk_dtype t, size_t i) {
    return t == LK_F32 ? (double)x->f32[i] : x->f64[i];
}

static bool same(const numbers *a, const numbers *b, lk_dtype t) {
    for (size_t i = 0; i < NUMBERS; i++) {
        double x = number(a, t, i), y = number(b, t, i);
        if (memcmp(&x, &y, sizeof x) && !(isnan(x) && isnan(y))) return false;
    }
    return true;
}

static uint64_t mark(uint64_t so_far, const numbers *x, lk_dtype t) {
    for (size_t i = 0; i < NUMBERS; i++) {
        double d = number(x, t, i);
        uint64_t word;
        if (isnan(d)) d = (double)INFINITY, so_far++;
        memcpy(&word, &d, sizeof word);
        so_far = (so_far ^ word) * 0x9e3779b97f4a7c15u;
        so_far ^= so_far >> 29;
    }
    return so_far;
}

/* One function of one variant: a, b and c are read or changed, d and e are written or changed. */
typedef void use_fn(const lk_isa *isa, lk_dtype t, size_t n, numbers *a, numbers *b, numbers *c,
                    numbers *d, numbers *e);

static void *from(numbers *x, lk_dtype t, size_t i) {
    return t == LK_F32 ? (void *)(x->f32 + i) : (void *)(x->f64 + i);
}

static void use_attend(const lk_isa *isa, lk_dtype t, size_t n, numbers *a, numbers *b, numbers *c,
                       numbers *d, numbers *e) {
    size_t keys = 1 + n % LK_KEYS;
    (void)b, (void)c, (void)d;
    isa->attend[t](keys, LK_KEYS, 0.3, true, a, e);
    isa->attend[t](1 + n % 5, 16, 0.3, false, from(a, t, LK_KEYS), e);
}

static void use_attend_back(const lk_isa *isa, lk_dtype t, size_t n, numbers *a, numbers *b,
                            numbers *c, numbers *d, numbers *e) {
    (void)c, (void)d, (void)e;
    isa->attend_back[t](1 + n % LK_KEYS, LK_KEYS, 0.3, 1.25, -0.5, a, b);
}

static void use_norm(const lk_isa *isa, lk_dtype t, size_t n, numbers *a, numbers *b, numbers *c,
                     numbers *d, numbers *e) {
    isa->norm[t](n % 2, n, a, b, n % 3 ? c : NULL, d, e);
}

static void use_norm_back(const lk_isa *isa, lk_dtype t, size_t n, numbers *a, numbers *b,
                          numbers *c, numbers *d, numbers *e) {
    isa->norm_back[t](n % 2, n, a, b, from(c, t, MOST), c, d, e, n % 3 ? from(e, t, MOST) : NULL,
                      from(e, t, 2 * MOST));
}

static void use_maps(const lk_isa *isa, lk_dtype t, size_t n, numbers *a, numbers *b, numbers *c,
                     numbers *d, numbers *e) {
    isa->map_both[t][LK_GELU](n, a, d, e);
    isa->map_both[t][LK_SILU](n, b, c, from(e, t, MOST));
}

static void use_lstm(const lk_isa *isa, lk_dtype t, size_t n, numbers *a, numbers *b, numbers *c,
                     numbers *d, numbers *e) {
    isa->lstm[t](n, a, b, d, e);
    isa->lstm_back[t](n, a, b, d, e, c, from(e, t, MOST));
}

static void use_gru(const lk_isa *isa, lk_dtype t, size_t n, numbers *a, numbers *b, numbers *c,
                    numbers *d, numbers *e) {
    isa->gru[t](n, a, b, c, d);
    isa->gru_back[t](n, a, b, c, d, from(e, t, MOST), e);
}

static void use_gated(const lk_isa *isa, lk_dtype t, size_t n, numbers *a, numbers *b, numbers *c,
                      numbers *d, numbers *e) {
    (void)c, (void)d;
    isa->gated[t](n, a, e);
    isa->gated_back[t](n, a, b, from(e, t, MOST));
}

static void use_categorical(const lk_isa *isa, lk_dtype t, size_t n, numbers *a, numbers *b,
                            numbers *c, numbers *d, numbers *e) {
    double log_p = isa->categorical[t](n, a, n / 2, (double *)c);
    (void)e;
    isa->categorical_back[t](n, a, n / 2, 0.7, (double *)c, d);
    if (t == LK_F32) b->f32[0] = (float)log_p;
    else b->f64[0] = log_p;
    memset(c, 0, sizeof *c);
}

static const struct {
    const char *name;
    use_fn *use;
} uses[] = {{"attend", use_attend},     {"attend_back", use_attend_back},
            {"norm", use_norm},         {"norm_back", use_norm_back},
            {"maps' slopes", use_maps}, {"lstm", use_lstm},
            {"gru", use_gru},           {"categorical", use_categorical},
            {"gated", use_gated}};

/* Marks of what the first so many write. New ones go behind, so that a mark never changes. */
static const struct {
    size_t uses;
    uint64_t mark;
} stored[] = {{8, 0x7152cae9ad1c0eb4u}, {9, 0x5c0364a393e67629u}};

static void variants_have_the_bits_of_the_reference(void **state) {
    static const size_t sizes[] = {1, 2, 3, 7, 15, 16, 17, 31, 63, 64, 65, 127, 200, 255, 256};
    static numbers before[5], expected[5], got[5];
    uint64_t seen = 0;
    (void)state;
    for (size_t u = 0; u < sizeof uses / sizeof *uses; u++) {
        for (size_t i = 0; i < 2 * sizeof sizes / sizeof *sizes; i++)
            for (int type = LK_F32; type <= LK_F64; type++) {
                static const char *const names[] = {"a", "b", "c", "d", "e"};
                const lk_isa *isa;
                lk_dtype t = (lk_dtype)type;
                size_t n = sizes[i / 2];
                for (int q = 0; q < 5; q++) fill(&before[q], t, names[q], 3, i % 2 && q < 2);
                memcpy(expected, before, sizeof before);
                uses[u].use(&lk_isa_scalar, t, n, &expected[0], &expected[1], &expected[2],
                            &expected[3], &expected[4]);
                for (int q = 0; q < 5; q++) seen = mark(seen, &expected[q], t);
                for (size_t v = 1; (isa = lk_isa_at(v)); v++) {
                    if (!lk_isa_runs_here(isa)) continue;
                    memcpy(got, before, sizeof before);
                    uses[u].use(isa, t, n, &got[0], &got[1], &got[2], &got[3], &got[4]);
                    for (int q = 0; q < 5; q++)
                        if (!same(&got[q], &expected[q], t))
                            fail_msg("%s of %zu, type %d, number array %s on %s differs",
                                     uses[u].name, n, type, names[q], isa->name);
                }
            }
        for (size_t k = 0; k < sizeof stored / sizeof *stored; k++)
            if (stored[k].uses == u + 1 && stored[k].mark != seen)
                fail_msg("the first %zu: 0x%016" PRIx64 " is not what is stored", u + 1, seen);
    }
}

/* A cell's log-probability is that of the distribution. */
static void the_categorical_row_is_the_distribution(void **state) {
    static double logits[300], work[300], d[300], grad[300];
    (void)state;
    for (int n = 1; n <= 300; n = n < 5 ? n + 1 : 3 * n / 2) {
        lk_dist_form form = {.kind = &lk_categorical, .n = n};
        lk_rng rng = lk_rng_at(1, "logits", 0, (uint64_t)n, 0);
        for (int i = 0; i < n; i++) logits[i] = 8 * lk_rng_uniform(&rng), grad[i] = 0.25;
        int k = n / 2;
        double log_p = lk_categorical.log_prob(&form, logits, k, d, NULL);
        double row = lk_categorical_row(LK_F64, (size_t)n, logits, (size_t)k, work);
        assert_memory_equal(&log_p, &row, sizeof row);
        lk_categorical_row_back(LK_F64, (size_t)n, logits, (size_t)k, -1.5, work, grad);
        for (int i = 0; i < n; i++) assert_true(grad[i] == 0.25 + -1.5 * d[i]);
    }
}

/* ---- One position at a time ------------------------------------------------------------------------------ */

enum { SEQUENCES = 2, LONG = 150, HEADS = 2, SIZE = 9, WIDE = HEADS * SIZE };

static float *draw(size_t n, const char *what) {
    float *x = malloc(n * sizeof *x);
    lk_rng rng = lk_rng_at(7, what, 0, 0, 0);
    assert_non_null(x);
    for (size_t i = 0; i < n; i++) x[i] = (float)(4 * lk_rng_uniform(&rng) - 2);
    return x;
}

static void one_query_has_the_bits_of_all(void **state) {
    lk_context *ctx = lk_context_create(NULL);
    lk_tape *tape = lk_tape_create(ctx);
    float *x = draw(SEQUENCES * LONG * 3 * WIDE, "queries"), out[WIDE];
    (void)state;
    assert_true(ctx && tape && lk_scratch(ctx));
    lk_tape_reset(tape, false);
    lk_tensor *qkv = lk_constant(tape, LK_F32, SEQUENCES * LONG, 3 * WIDE, x);
    const float *all = lk_attention(tape, qkv, LONG, HEADS)->data;
    size_t room = lk_keys_room(LONG, HEADS, SIZE);
    float *keys = calloc(SEQUENCES * room, sizeof *keys);
    assert_true(keys && room >= LONG * WIDE);
    for (size_t i = 0; i < SEQUENCES * LONG; i++) {
        const float *first = x + i / LONG * LONG * 3 * WIDE, *mine = x + i * 3 * WIDE;
        float *kept = keys + i / LONG * room;
        lk_keys_keep(LK_F32, HEADS, SIZE, i % LONG, mine + WIDE, kept);
        lk_attend_one(ctx, LK_F32, HEADS, SIZE, i % LONG + 1, mine, kept, first + 2 * WIDE,
                      3 * WIDE, out);
        assert_memory_equal(out, all + i * WIDE, sizeof out);
    }
    free(keys);
    free(x);
    lk_tape_destroy(tape);
    lk_context_destroy(ctx);
}

static void one_step_has_the_bits_of_all(void **state) {
    (void)state;
    for (int kind = LK_LSTM; kind <= LK_GRU; kind++) {
        lk_context *ctx = lk_context_create(NULL);
        lk_tape *tape = lk_tape_create(ctx);
        size_t all = lk_cell_gates((lk_cell_kind)kind) * WIDE, rows = SEQUENCES * LONG;
        float *x = draw(rows * all, "gates"), *w = draw(WIDE * all, "weights"),
              *part = draw(WIDE, "part"), *gates = draw(SEQUENCES * all, "room"),
              *work = draw(SEQUENCES * all, "work"), kept[SEQUENCES * 2 * WIDE] = {0};
        assert_true(ctx && tape);
        lk_tape_reset(tape, false);
        const float *h =
            lk_recurrent(tape, (lk_cell_kind)kind, lk_constant(tape, LK_F32, rows, all, x),
                         lk_constant(tape, LK_F32, WIDE, all, w),
                         kind == LK_GRU ? lk_constant(tape, LK_F32, 1, WIDE, part) : NULL, LONG)
                ->data;
        for (size_t i = 0; i < LONG; i++) {
            for (size_t s = 0; s < SEQUENCES; s++)
                memcpy(gates + s * all, x + (s * LONG + i) * all, all * sizeof *gates);
            assert_int_equal(lk_recurrent_step(ctx, (lk_cell_kind)kind, LK_F32, SEQUENCES, WIDE, w,
                                               NULL, part, gates, kept, work),
                             LK_OK);
            for (size_t s = 0; s < SEQUENCES; s++)
                assert_memory_equal(kept + s * 2 * WIDE, h + (s * LONG + i) * WIDE,
                                    WIDE * sizeof *h);
        }
        free(x), free(w), free(part), free(gates), free(work);
        lk_tape_destroy(tape);
        lk_context_destroy(ctx);
    }
}

/* A later position never shows in an earlier one. */
static void attention_looks_back_only(void **state) {
    lk_context *ctx = lk_context_create(NULL);
    lk_tape *tape = lk_tape_create(ctx);
    float *x = draw(LONG * 3 * WIDE, "queries"), kept[100 * WIDE];
    (void)state;
    for (int pass = 0; pass < 2; pass++) {
        lk_tape_reset(tape, false);
        const float *y =
            lk_attention(tape, lk_constant(tape, LK_F32, LONG, 3 * WIDE, x), LONG, HEADS)->data;
        if (pass) assert_memory_equal(kept, y, sizeof kept);
        memcpy(kept, y, sizeof kept);
        for (size_t i = 100 * 3 * WIDE; i < LONG * 3 * WIDE; i++) x[i] = -x[i];
    }
    free(x);
    lk_tape_destroy(tape);
    lk_context_destroy(ctx);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(variants_have_the_bits_of_the_reference),
        cmocka_unit_test(the_categorical_row_is_the_distribution),
        cmocka_unit_test(one_query_has_the_bits_of_all),
        cmocka_unit_test(one_step_has_the_bits_of_all),
        cmocka_unit_test(attention_looks_back_only),
    };
    return cmocka_run_group_tests_name("sequence", tests, NULL, NULL);
}
