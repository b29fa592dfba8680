/* Truths that do not depend on our own output: probabilities that must sum to one, a variational optimum
 * that is known in closed form, gradients against differences. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "family/model.h"
#include "infer/evaluate.h"
#include "infer/fit.h"
#include "nn/real.h"
#include "tensor/optimiser.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

static lk_context *ctx;
static lk_tape *tape;
static uint64_t ids[1 << 16];

static int setup(void **state) {
    (void)state;
    ctx = lk_context_create(NULL);
    tape = lk_tape_create(ctx);
    for (size_t i = 0; i < 1 << 16; i++) ids[i] = i;
    return 0;
}

static int teardown(void **state) {
    (void)state;
    lk_tape_destroy(tape);
    lk_context_destroy(ctx);
    return 0;
}

static const lk_option no_learning[] = {{NULL, LK_OPTION_INT, NULL, 0, 0, NULL, NULL}};

/* A model of given fields with its initial (random) parameters, scaled up so that nothing is flat. */
static lk_model *model_of(const lk_family *family, lk_schema *schema, const char *const *settings,
                          double gain) {
    lk_options *options = lk_options_create(ctx);
    lk_model *model;
    assert_int_equal(lk_options_add(options, family->options), LK_OK);
    assert_int_equal(lk_options_add(options, no_learning), LK_OK);
    for (size_t i = 0; settings[i]; i += 2)
        assert_int_equal(lk_options_set(options, settings[i], settings[i + 1]), LK_OK);
    if (lk_model_create(ctx, family, schema, options, 3, &model) != LK_OK)
        fail_msg("%s", lk_context_message(ctx));
    lk_rng rng = lk_rng_at(9, "truth", 0, 0, 0);
    for (size_t p = 0; p < model->params.n; p++) {
        const lk_param_info *info = &model->params.info[p];
        for (size_t i = 0; i < info->size && info->trainable; i++) {
            lk_real *w = (lk_real *)lk_param_values(&model->params, p) + i;
            *w = (lk_real)(gain * (lk_rng_uniform(&rng) - 0.5));
        }
    }
    if (family->loaded) family->loaded(model);
    lk_schema_destroy(schema);
    return model;
}

/* One field a cell: binary ('b'), a category of three ('c', a fourth level unseen), a byte 0…4 ('g'),
 * a real ('r'). */
static lk_schema *schema_of(const char *kinds) {
    lk_schema *schema;
    size_t n = strlen(kinds);
    assert_int_equal(lk_schema_create(ctx, n, &schema), LK_OK);
    for (size_t i = 0; i < n; i++) {
        lk_field *f = &schema->fields[i];
        char name[8] = {'f', (char)('0' + i / 10), (char)('0' + i % 10), 0};
        f->name = lk_strdup(ctx, name);
        f->missing_mark = lk_strdup(ctx, "");
        f->size = 1;
        f->sd = 1;
        f->high = 1;
        f->mean = 0.5;
        f->n_seen = 10;
        if (kinds[i] == 'b') f->kind = LK_FIELD_BINARY;
        else if (kinds[i] == 'c') {
            f->kind = LK_FIELD_CATEGORY;
            f->n_levels = 3;
            f->levels = lk_alloc(ctx, 3, sizeof *f->levels);
            for (size_t k = 0; k < 3; k++)
                f->levels[k] = lk_strdup(ctx, k == 0 ? "x" : k == 1 ? "y" : "z");
        } else if (kinds[i] == 'g') {
            f->kind = LK_FIELD_GRID;
            f->bounded = true;
            f->high = 4;
            f->mean = 2;
        } else {
            f->kind = LK_FIELD_REAL;
            f->mean = 0;
        }
    }
    assert_int_equal(lk_schema_lay_out(schema), LK_OK);
    return schema;
}

static size_t outcomes(const lk_cell *cell) {
    return cell->kind == LK_FIELD_CATEGORY ? cell->n
           : cell->kind == LK_FIELD_BINARY
               ? 2
               : (size_t)(cell->high - cell->low) + 1;
}

/* The sum of exp(log p) over every possible row. */
static double total_probability(lk_model *model) {
    const lk_schema *schema = model->schema;
    size_t n = schema->n_cells, rows = 1;
    for (size_t i = 0; i < n; i++) rows *= outcomes(&schema->cells[i]);
    lk_batch batch;
    assert_int_equal(lk_batch_create(ctx, rows, n, &batch), LK_OK);
    batch.rows = rows;
    memset(batch.present, 1, rows * n);
    batch.all_present = true;
    for (size_t row = 0; row < rows; row++) {
        size_t left = row;
        batch.row[row] = row;
        for (size_t i = 0; i < n; i++) {
            batch.value[row * n + i] = (double)(left % outcomes(&schema->cells[i]));
            left /= outcomes(&schema->cells[i]);
        }
    }
    double *log_prob = calloc(rows, sizeof *log_prob), total = 0;
    lk_evaluation e = {.particles = 1, .seed = 1, .salt = "test", .log_prob = log_prob};
    if (lk_evaluate(model, tape, &batch, &e) != LK_OK) fail_msg("%s", lk_context_message(ctx));
    assert_int_equal(e.kind, LK_KIND_EXACT);
    for (size_t row = 0; row < rows; row++) total += exp(log_prob[row]);
    lk_batch_destroy(ctx, &batch);
    free(log_prob);
    return total;
}

static void test_made_sums_to_one(void **state) {
    (void)state;
    static const char *const plain[] = {"hidden", "20", NULL},
                             *const deep[] = {"hidden", "16,24", "activation", "tanh", NULL};
    static const char *const several[] = {"hidden", "20", "orderings", "4", NULL};
    static const char *const *const settings[] = {plain, deep, several};
    static const char *const kinds[] = {"bbbbbbbbbbbb", "bcbcgb", "gg", "b"};
    for (size_t k = 0; k < 4; k++)
        for (size_t s = 0; s < 3; s++) {
            lk_model *model = model_of(&lk_family_made, schema_of(kinds[k]), settings[s], 3);
            double total = total_probability(model);
            if (!(fabs(total - 1) < 1e-6)) fail_msg("%s: sums to %.12g", kinds[k], total);
            lk_model_release(model);
        }
}

/* A planted bug: two binary cells that each see the other, as a broken mask would let them. Their
 * "probabilities" do not sum to one, and the check must say so. */
static lk_tensor *cyclic_all(void *self, lk_trace *trace, lk_tensor *x, const uint8_t *present) {
    size_t rows = lk_tensor_rows(x);
    const double *cells = x->data;
    double *logits = lk_arena_alloc(trace->arena, rows * 2, sizeof *logits);
    (void)self;
    (void)present;
    for (size_t row = 0; row < rows; row++) {
        logits[2 * row] = 2 * cells[2 * row + 1] - 1;
        logits[2 * row + 1] = 3 * cells[2 * row] - 1;
    }
    return lk_constant(trace->tape, LK_F64, rows, 2, logits);
}

static void cyclic_joint(lk_model *model, lk_trace *t) {
    static const lk_cell_dist cells[2] = {
        {.form = {.kind = &lk_bernoulli, .n = 1}, .at = 0, .stride = 1, .scale = 1},
        {.form = {.kind = &lk_bernoulli, .n = 1}, .at = 1, .stride = 1, .scale = 1}};
    static const lk_chain chain = {
        .width = 2, .dtype = LK_F64, .marginalises = true, .all = cyclic_all};
    static const lk_dist dist = {2, cells, NULL, NULL, &chain};
    (void)model;
    lk_draw(t, LK_ROW_SITE, &dist);
}

static void test_a_broken_mask_is_seen(void **state) {
    (void)state;
    static const char *const plain[] = {"hidden", "20", NULL};
    lk_model *model = model_of(&lk_family_made, schema_of("bb"), plain, 3);
    lk_family broken = lk_family_made;
    broken.joint = cyclic_joint;
    broken.step = NULL;
    model->family = &broken;
    assert_false(fabs(total_probability(model) - 1) < 1e-6);
    model->family = &lk_family_made;
    lk_model_release(model);
}

/* Chained interval masses of a full-covariance normal mixture on a small bounded grid. */
static void test_chained_masses_sum_to_one(void **state) {
    (void)state;
    static const char *const settings[] = {"components", "2", "covariance", "full", NULL};
    lk_model *model = model_of(&lk_family_gmm, schema_of("gggb"), settings, 1);
    double *means = lk_param_values(&model->params, lk_params_find(&model->params, "means"));
    double *cov = lk_param_values(&model->params, lk_params_find(&model->params, "covariances"));
    static const double m[6] = {1, 2, 3, 3.5, 0.5, 2},
                        c[18] = {1,   0.8, -0.3, 0.8, 1.5, 0.1,  -0.3, 0.1,  0.7,
                                 0.2, 0.1, 0,    0.1, 0.3, 0.05, 0,    0.05, 2};
    memcpy(means, m, sizeof m);
    memcpy(cov, c, sizeof c);
    lk_family_gmm.loaded(model);
    double total = total_probability(model);
    if (!(fabs(total - 1) < 1e-9)) fail_msg("sums to %.15g", total);
    lk_model_release(model);
}

/* ---- The gradient of a whole objective against differences ----------------------------------------------- */

static double objective(lk_model *model, const lk_batch *batch, uint64_t step, lk_bound bound,
                        bool gradients) {
    lk_tape_reset(tape, gradients);
    lk_params_zero_grads(&model->params);
    if (model->family->step) model->family->step(model, 0, true);
    lk_tensor *y = lk_objective(model, tape, batch, step, &bound);
    if (gradients) assert_int_equal(lk_tape_backward(tape, y), LK_OK);
    if (lk_tape_status(tape) != LK_OK) fail_msg("%s", lk_context_message(ctx));
    return *(double *)y->data;
}

/* Central differences by Richardson's extrapolation; signed; fails closed. With networks in float64 (the
 * double-precision build) to 1e-6; in float32 differences are that much noisier, and 2 % is all they say. */
static bool gradient_agrees(double analytic, double numeric, double scale) {
    double tolerance = LK_REAL == LK_F64 ? 1e-6 : 0.02;
    return fabs(analytic - numeric) <= tolerance * (fabs(numeric) + scale);
}

static const char *const vae[] = {"hidden", "9,8", "latents", "3", "components", "2", NULL};
enum { MOST_GUIDED = 1000 };

/* Seven rows of numbers of every kind; of a vae's, some are missing. */
enum { ROWS = 7 };
static void make_rows(const lk_family *family, const lk_model *model, lk_batch *batch) {
    size_t n = model->schema->n_cells;
    assert_int_equal(lk_batch_create(ctx, ROWS, n, batch), LK_OK);
    batch->rows = ROWS;
    lk_rng rng = lk_rng_at(4, "rows", 0, 0, 0);
    for (size_t i = 0; i < ROWS * n; i++) {
        const lk_cell *cell = &model->schema->cells[i % n];
        batch->present[i] = family == &lk_family_vae ? lk_rng_uniform(&rng) < 0.8 : 1;
        batch->value[i] =
            cell->kind == LK_FIELD_REAL
                ? (double)(float)(2 * lk_rng_uniform(&rng) - 1)
                : (double)lk_rng_below(&rng, outcomes(cell) - (cell->kind == LK_FIELD_CATEGORY));
        batch->row[i / n] = i / n;
    }
}

static bool of_guide(const lk_param_info *info) { return !strncmp(info->name, "encoder", 7); }

/* Doubly: differences do not say what a guide's parameters get. */
static void check_gradients(const lk_family *family, const char *const *settings, lk_bound bound) {
    lk_model *model = model_of(family, schema_of("bcgrbg"), settings, 0.8);
    lk_batch batch;
    make_rows(family, model, &batch);
    objective(model, &batch, 0, bound, true);
    lk_rng pick = lk_rng_at(5, "pick", 0, 0, 0);
    double largest = 0;
    unsigned char *grads = malloc(model->params.bytes);
    memcpy(grads, model->params.grads, model->params.bytes);
    for (size_t p = 0; p < model->params.n; p++)
        for (size_t i = 0; i < model->params.info[p].size; i++)
            largest =
                fmax(largest,
                     fabs((double)((lk_real *)(void *)(grads + model->params.info[p].offset))[i]));
    size_t checked = 0, planted = 0;
    for (size_t p = 0; p < model->params.n; p++)
        for (int tries = 0; tries < 6; tries++) {
            const lk_param_info *info = &model->params.info[p];
            if (bound.doubly && of_guide(info)) continue;
            size_t i = (size_t)lk_rng_below(&pick, info->size);
            lk_real *w = (lk_real *)lk_param_values(&model->params, p) + i, kept = *w;
            double d[2];
            for (int level = 0; level < 2; level++) {
                double h = (LK_REAL == LK_F64 ? 1e-4 : 1e-2) * (level ? 2 : 1);
                *w = (lk_real)(kept + h);
                double up = objective(model, &batch, 0, bound, false), above = (double)*w;
                *w = (lk_real)(kept - h);
                double down = objective(model, &batch, 0, bound, false), below = (double)*w;
                *w = kept;
                d[level] = (up - down) / (above - below);
            }
            double numeric = (4 * d[0] - d[1]) / 3;
            double analytic = (double)((lk_real *)(void *)(grads + info->offset))[i];
            if (!gradient_agrees(analytic, numeric, 0.01 * largest))
                fail_msg("%s: d/d%s[%zu] is %.12g, differences say %.12g", family->name, info->name,
                         i, analytic, numeric);
            checked++;
            if (fabs(numeric) < 0.1 * largest)
                continue; /* bugs are planted where there is something to see */
            assert_false(gradient_agrees(-analytic, numeric, 0.01 * largest));
            assert_false(gradient_agrees(NAN, numeric, 0.01 * largest));
            assert_false(gradient_agrees(0, numeric, 0.01 * largest));
            if (LK_REAL == LK_F64)
                assert_false(gradient_agrees(analytic * 1.01, numeric, 0.01 * largest));
            planted++;
        }
    assert_true(checked > 20 && planted > 3);
    free(grads);
    lk_batch_destroy(ctx, &batch);
    lk_model_release(model);
}

static void test_gradients(void **state) {
    (void)state;
    static const char *const made[] = {"hidden",     "12,10", "activation", "tanh",
                                       "components", "2",     NULL};
    static const char *const ordered[] = {"hidden",    "12", "activation", "softplus",
                                          "orderings", "2",  NULL};
    check_gradients(&lk_family_made, made, (lk_bound){1, false, 0});
    check_gradients(&lk_family_made, ordered, (lk_bound){1, false, 0});
    /* The ELBO with its closed KL, the importance-weighted bound; doubly reparameterised, and warming up. */
    for (int i = 0; i < 8; i++)
        check_gradients(&lk_family_vae, vae, (lk_bound){i & 1 ? 5 : 1, i & 2, i & 4 ? 0.3 : 0});
}

/* Means over steps of each gradient of the guide's parameters, and the variances of these means. */
static size_t mean_gradients(lk_bound bound, double *mean, double *variance) {
    enum { STEPS = 4000 };
    lk_model *model = model_of(&lk_family_vae, schema_of("bcgrbg"), vae, 0.8);
    lk_batch batch;
    size_t n = 0;
    make_rows(&lk_family_vae, model, &batch);
    for (uint64_t step = 0; step < STEPS; step++) {
        objective(model, &batch, step, bound, true);
        n = 0;
        for (size_t p = 0; p < model->params.n; p++)
            for (size_t i = 0; of_guide(&model->params.info[p]) && i < model->params.info[p].size;
                 i++, n++) {
                double g = (double)((lk_real *)lk_param_grads(&model->params, p))[i];
                assert_true(n < MOST_GUIDED);
                if (!step) mean[n] = variance[n] = 0;
                mean[n] += g / STEPS;
                variance[n] += g * g / STEPS;
            }
    }
    for (size_t i = 0; i < n; i++) variance[i] = (variance[i] - mean[i] * mean[i]) / STEPS;
    lk_batch_destroy(ctx, &batch);
    lk_model_release(model);
    return n;
}

/* The largest difference of two means, in standard errors. */
static double apart(size_t n, const double *mean, const double *variance, const double *other,
                    const double *of_other) {
    double most = 0;
    for (size_t i = 0; i < n; i++) {
        double error = sqrt(fmax(variance[i], 0) + fmax(of_other[i], 0)) + 1e-7;
        most = fmax(most, fabs(mean[i] - other[i]) / error);
    }
    return most;
}

/* The doubly reparameterised gradient has the mean of the total one, of one particle and of four, also while warming
 * up; among some 200 parameters 5 standard errors are seen once in 10,000 times. Means of other bounds are told apart. */
static void test_doubly_is_unbiased(void **state) {
    (void)state;
    static const lk_bound bounds[] = {
        {1, false, 0},   {1, true, 0},   {4, false, 0},   {4, true, 0},
        {4, false, 0.6}, {4, true, 0.6}, {1, false, 0.6}, {1, true, 0.6}};
    enum { N = sizeof bounds / sizeof *bounds };
    static double mean[N][MOST_GUIDED], variance[N][MOST_GUIDED];
    size_t n = 0;
    for (int i = 0; i < N; i++) n = mean_gradients(bounds[i], mean[i], variance[i]);
    assert_true(n > 100);
    for (int i = 0; i < N; i++)
        for (int j = i + 1; j < N; j++) {
            double off = apart(n, mean[i], variance[i], mean[j], variance[j]);
            if (i / 2 == j / 2 ? !(off < 5) : !(off > 8))
                fail_msg("%g standard errors apart, of %d and %d", off, i, j);
        }
}

/* ---- The linear VAE's optimum is probabilistic PCA ----------------------------------------------------------
 * x = W z + mu + s·e. By Tipping and Bishop (1999), eqs. 7-8, the likelihood's maximum has s² the mean of
 * the discarded eigenvalues of the sample covariance; with a linear guide of free covariance for a diagonal
 * posterior, the ELBO's optimum is that maximum (Lucas et al. 2019, theorem 1). Learned by Adam on the
 * tape's own ops, compared with the closed form. */
enum { D = 5, Z = 2, N_ROWS = 400 };

static double ppca_log_likelihood(const double *x) {
    double mean[D] = {0}, cov[D * D] = {0}, values[D], vectors[D * D], work[D * D], log_det = 0,
           noise = 0;
    for (size_t i = 0; i < N_ROWS * D; i++) mean[i % D] += x[i] / N_ROWS;
    for (size_t r = 0; r < N_ROWS; r++)
        for (size_t i = 0; i < D; i++)
            for (size_t j = 0; j < D; j++)
                cov[i * D + j] += (x[r * D + i] - mean[i]) * (x[r * D + j] - mean[j]) / N_ROWS;
    assert_true(lk_eigen_symmetric(D, cov, values, vectors, work));
    for (size_t i = Z; i < D; i++) noise += values[i] / (D - Z);
    for (size_t i = 0; i < D; i++) log_det += log(i < Z ? values[i] : noise);
    return -0.5 * (D * log(2 * 3.14159265358979323846) + log_det + D);
}

typedef struct linear_vae {
    lk_params params;
    size_t w, mu, log_s, v, log_q;
    lk_cell_dist z_cells[Z], x_cells[D];
    lk_dist prior, posterior, likelihood;
} linear_vae;

static void linear_joint(linear_vae *m, lk_trace *t, size_t rows) {
    lk_tensor *z = lk_draw(t, "z", &m->prior);
    lk_tensor *mean =
        lk_dense(tape, z, lk_param(tape, &m->params, m->w),
                 lk_reshape(tape, lk_param(tape, &m->params, m->mu), 1, D), NULL, LK_LINEAR);
    lk_tensor *scale =
        lk_repeat_rows(tape, lk_reshape(tape, lk_param(tape, &m->params, m->log_s), 1, 1), rows);
    lk_tensor *parts[] = {mean, scale};
    m->likelihood.params = lk_concat_cols(tape, 2, parts);
    lk_draw(t, "x", &m->likelihood);
}

static void test_linear_vae_is_ppca(void **state) {
    (void)state;
    static double x[N_ROWS * D];
    static linear_vae m;
    static lk_trace joint, guide;
    lk_rng rng = lk_rng_at(2, "ppca", 0, 0, 0);
    static const double w[Z][D] = {{2, 1, 0, -1, 0.5}, {0, 1, -1.5, 0.5, 1}};
    for (size_t r = 0; r < N_ROWS; r++) {
        double a = lk_normal_quantile(lk_rng_uniform(&rng)),
               b = lk_normal_quantile(lk_rng_uniform(&rng));
        for (size_t i = 0; i < D; i++)
            x[r * D + i] = 0.3 * (double)i + a * w[0][i] + b * w[1][i] +
                           0.6 * lk_normal_quantile(lk_rng_uniform(&rng));
    }
    lk_params_create(ctx, &m.params);
    size_t zd[2] = {Z, D}, dz[2] = {D, Z}, d1[1] = {D}, one[1] = {1}, z1[1] = {Z};
    m.w = lk_params_add(&m.params, "w", LK_F64, 2, zd, LK_INIT_GLOROT, 1, true);
    m.mu = lk_params_add(&m.params, "mu", LK_F64, 1, d1, LK_INIT_ZERO, 0, true);
    m.log_s = lk_params_add(&m.params, "log_s", LK_F64, 1, one, LK_INIT_ZERO, 0, true);
    m.v = lk_params_add(&m.params, "v", LK_F64, 2, dz, LK_INIT_GLOROT, 1, true);
    m.log_q = lk_params_add(&m.params, "log_q", LK_F64, 1, z1, LK_INIT_ZERO, 0, true);
    size_t c = lk_params_add(&m.params, "c", LK_F64, 1, z1, LK_INIT_ZERO, 0, true);
    assert_int_equal(lk_params_build(&m.params, 1), LK_OK);
    for (size_t i = 0; i < Z; i++)
        m.z_cells[i] =
            (lk_cell_dist){.form = {.kind = &lk_normal, .n = 1}, .at = i, .stride = Z, .scale = 1};
    for (size_t i = 0; i < D; i++)
        m.x_cells[i] = (lk_cell_dist){
            .form = {.kind = &lk_normal, .n = 1}, .at = i, .stride = D - i, .scale = 1};
    double zeros[2 * Z] = {0};
    lk_optimiser optimiser;
    lk_optimiser_options options = {
        .kind = LK_ADAM,
        .learning_rate = 0.02,
        .beta1 = 0.9,
        .beta2 = 0.999,
        .epsilon = 1e-8,
        .schedule = LK_COSINE,
        .total_steps = 3000};
    assert_int_equal(lk_optimiser_create(ctx, &optimiser, &m.params, &options), LK_OK);
    double bound = 0, late = 0;
    for (uint64_t step = 0; step < 3000; step++) {
        lk_tape_reset(tape, true);
        lk_params_zero_grads(&m.params);
        lk_tensor *value = lk_constant(tape, LK_F64, N_ROWS, D, x);
        m.prior = (lk_dist){Z, m.z_cells, NULL, lk_constant(tape, LK_F64, 1, 2 * Z, zeros), NULL};
        m.likelihood = (lk_dist){D, m.x_cells, NULL, NULL, NULL};
        lk_trace_begin(&guide, tape, &lk_reading_reparameterise, N_ROWS, 1, ids, 1, step, "train");
        lk_tensor *mean =
            lk_dense(tape, value, lk_param(tape, &m.params, m.v),
                     lk_reshape(tape, lk_param(tape, &m.params, c), 1, Z), NULL, LK_LINEAR);
        lk_tensor *scale = lk_repeat_rows(
            tape, lk_reshape(tape, lk_param(tape, &m.params, m.log_q), 1, Z), N_ROWS);
        lk_tensor *parts[] = {mean, scale};
        m.posterior = (lk_dist){Z, m.z_cells, NULL, lk_concat_cols(tape, 2, parts), NULL};
        lk_draw(&guide, "z", &m.posterior);
        lk_trace_begin(&joint, tape, &lk_reading_score, N_ROWS, 1, ids, 1, step, "train");
        lk_trace_observe(&joint, "x", value, NULL);
        joint.guide = &guide;
        joint.analytic_kl = true;
        linear_joint(&m, &joint, N_ROWS);
        lk_tensor *y = lk_mean_all(tape, lk_trace_log_marginal(&joint));
        assert_int_equal(lk_tape_backward(tape, lk_affine(tape, y, -1, 0)), LK_OK);
        bound = *(double *)y->data;
        if (step >= 2500) late += bound / 500;
        lk_optimiser_step(&optimiser);
    }
    double truth = ppca_log_likelihood(x);
    /* The late average carries the noise of 500 × 400 reparameterised draws, some 0.005 nats. */
    if (!(fabs(late - truth) < 0.02))
        fail_msg("the bound is %.5f, PPCA's maximum %.5f", late, truth);
    assert_false(
        fabs(late - 0.05 - truth) < 0.02); /* the check sees a missing twentieth of a nat */
    lk_optimiser_destroy(&optimiser);
    lk_params_destroy(&m.params);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_made_sums_to_one, setup, teardown),
        cmocka_unit_test_setup_teardown(test_a_broken_mask_is_seen, setup, teardown),
        cmocka_unit_test_setup_teardown(test_chained_masses_sum_to_one, setup, teardown),
        cmocka_unit_test_setup_teardown(test_gradients, setup, teardown),
        cmocka_unit_test_setup_teardown(test_doubly_is_unbiased, setup, teardown),
        cmocka_unit_test_setup_teardown(test_linear_vae_is_ppca, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
