/* How much clusters depend on which rows there were: the family is fitted again, with the model's own options, to halves of
 * the rows that are drawn anew, and every fit says where all rows belong. Of each cluster of the model the Jaccard
 * similarity to the most similar cluster of a fit is told, in the mean over the fits (Hennig 2007, "Cluster-wise assessment of
 * cluster stability", Computational Statistics & Data Analysis 52, scheme "subset"; above 0.75 a cluster is
 * stable, below 0.6 it means little), and of the whole the mean adjusted Rand index (Hubert and Arabie 1985), 1 for the
 * same clusters and 0 for chance. */
#include "infer/evaluate.h"
#include "infer/fit.h"
#include "task/task.h"

#include <string.h>

typedef struct clusters {
    lk_context *ctx;
    const lk_model *model;
    const lk_rows *rows;
    size_t n, k;        /* rows, the model's clusters */
    uint32_t *own, *by; /* [n] by the model, by a fit */
    double *jaccard;    /* [k] sums over the fits */
    uint64_t *size;     /* [k] */
    double rand;
} clusters;

/* The most probable cluster of each row, the first of equals; *k: how many clusters there are. */
static lk_status assign(lk_model *model, const lk_rows *rows, uint32_t *cluster, size_t *k) {
    lk_context *ctx = model->ctx;
    size_t capacity = lk_task_rows(model, 1);
    lk_batch batch;
    lk_tape *tape = lk_tape_create(ctx);
    lk_status status = lk_batch_create(ctx, capacity, model->schema->n_cells, &batch);
    if (!tape) status = LK_NO_MEMORY;
    for (uint64_t first = 0; status == LK_OK && first < lk_rows_count(rows); first += capacity) {
        uint64_t left = lk_rows_count(rows) - first;
        lk_posterior z = {0};
        status = lk_rows_range(rows, first, left < capacity ? (size_t)left : capacity, &batch);
        if (status == LK_OK) status = lk_infer_posterior(model, tape, &batch, 1, model->seed, &z);
        *k = z.columns;
        for (size_t row = 0; status == LK_OK && row < batch.rows; row++) {
            const double *p = z.values + row * z.columns;
            uint32_t best = 0;
            for (uint32_t j = 1; j < z.columns; j++)
                if (p[j] > p[best]) best = j;
            cluster[first + row] = best;
        }
        if (status == LK_OK && lk_cancelled(ctx))
            status = lk_fail(ctx, LK_INTERRUPTED, "interrupted while assigning rows to clusters");
    }
    lk_batch_destroy(ctx, &batch);
    lk_tape_destroy(tape);
    return status;
}

static double pairs(double n) { return n * (n - 1) / 2; }

/* Adds what a fit of k clusters says; both[i, j] rows are in the model's cluster i and the fit's j. */
static lk_status compare(clusters *c, size_t k) {
    uint64_t *both = lk_alloc(c->ctx, c->k * k, sizeof *both),
             *other = lk_alloc(c->ctx, k, sizeof *other);
    double together = 0, mine = 0, theirs = 0;
    lk_status status = both && other ? LK_OK : LK_NO_MEMORY;
    for (size_t row = 0; status == LK_OK && row < c->n; row++) {
        both[c->own[row] * k + c->by[row]]++;
        other[c->by[row]]++;
    }
    for (size_t i = 0; status == LK_OK && i < c->k; i++) {
        double best = 0;
        for (size_t j = 0; j < k; j++) {
            double n = (double)both[i * k + j], any = (double)c->size[i] + (double)other[j] - n;
            if (any > 0 && n / any > best) best = n / any;
            together += pairs(n);
        }
        c->jaccard[i] += best;
        mine += pairs((double)c->size[i]);
    }
    for (size_t j = 0; status == LK_OK && j < k; j++) theirs += pairs((double)other[j]);
    double chance = c->n > 1 ? mine * theirs / pairs((double)c->n) : 0, most = (mine + theirs) / 2;
    c->rand += most > chance ? (together - chance) / (most - chance) : 1;
    lk_free(c->ctx, both);
    lk_free(c->ctx, other);
    return status;
}

/* One more fit, to a half of the rows. */
static lk_status refit(clusters *c, uint64_t seed) {
    const lk_fit_control control = {0};
    lk_rows *half = NULL, *rest = NULL;
    lk_model *model = NULL;
    size_t k = 0;
    lk_options *options = lk_options_create(c->ctx);
    lk_status status = options ? lk_options_copy(options, c->model->options) : LK_NO_MEMORY;
    if (status == LK_OK) status = lk_rows_split(c->rows, 0.5, seed, &half, &rest);
    if (status == LK_OK)
        status = lk_model_create(c->ctx, c->model->family, c->model->schema, options, seed, &model);
    else lk_options_destroy(options);
    if (status == LK_OK) status = lk_em_fit(model, half, &control);
    if (status == LK_OK) status = assign(model, c->rows, c->by, &k);
    if (status == LK_OK) status = compare(c, k);
    lk_model_release(model);
    lk_rows_destroy(half);
    lk_rows_destroy(rest);
    return status;
}

static void tell(const clusters *c, size_t fits) {
    lk_notice(c->ctx, "%8s %12s %8s", "cluster", "rows", "Jaccard");
    for (size_t i = 0; i < c->k; i++)
        if (c->size[i])
            lk_notice(c->ctx, "%8zu %12llu %8.3f", i, (unsigned long long)c->size[i],
                      c->jaccard[i] / (double)fits);
    lk_notice(c->ctx, "stability over %zu fits to halves of the rows: adjusted Rand index %.3f",
              fits, c->rand / (double)fits);
}

lk_status lk_task_stability(lk_model *model, const lk_rows *rows, size_t fits, uint64_t seed) {
    lk_context *ctx = model->ctx;
    clusters c = {.ctx = ctx, .model = model, .rows = rows, .n = (size_t)lk_rows_count(rows)};
    if (!model->family->em || !lk_options_has(model->options, "components"))
        return lk_fail(ctx, LK_CANNOT,
                       "%s has no clusters whose stability could be told; gmm and mixture have",
                       model->family->name);
    if (c.n < 4) return lk_fail(ctx, LK_BAD_DATA, "there are too few rows to fit halves of them");
    c.own = lk_alloc(ctx, c.n, sizeof *c.own);
    c.by = lk_alloc(ctx, c.n, sizeof *c.by);
    lk_status status = c.own && c.by ? assign(model, rows, c.own, &c.k) : LK_NO_MEMORY;
    if (status == LK_OK) {
        c.jaccard = lk_alloc(ctx, c.k, sizeof *c.jaccard);
        c.size = lk_alloc(ctx, c.k, sizeof *c.size);
        if (!c.jaccard || !c.size) status = LK_NO_MEMORY;
    }
    for (size_t row = 0; status == LK_OK && row < c.n; row++) c.size[c.own[row]]++;
    for (size_t i = 0; status == LK_OK && i < fits; i++) status = refit(&c, seed + i);
    if (status == LK_OK) tell(&c, fits);
    lk_free(ctx, c.own);
    lk_free(ctx, c.by);
    lk_free(ctx, c.jaccard);
    lk_free(ctx, c.size);
    return status;
}
