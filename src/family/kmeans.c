#include "family/kmeans.h"

#include "nn/features.h"

#include <math.h>
#include <string.h>

enum { MOST_ROWS = 8192, LLOYD = 10 };

static double squared_distance(size_t n, const float *a, const float *b) {
    double sum[4] = {0, 0, 0, 0};
    size_t i = 0;
    for (; i + 4 <= n; i += 4)
        for (size_t q = 0; q < 4; q++) {
            double t = (double)a[i + q] - (double)b[i + q];
            sum[q] += t * t;
        }
    for (; i < n; i++) {
        double t = (double)a[i] - (double)b[i];
        sum[0] += t * t;
    }
    return (sum[0] + sum[1]) + (sum[2] + sum[3]);
}

static void seed_centres(lk_kmeans *m, uint64_t seed, uint64_t restart) {
    lk_rng rng = lk_rng_at(seed, "kmeans++", restart, 0, 0);
    size_t chosen = (size_t)lk_rng_below(&rng, m->n);
    for (size_t i = 0; i < m->n; i++) m->distance[i] = INFINITY;
    for (size_t k = 0; k < m->k; k++) {
        memcpy(m->centre + k * m->width, m->x + chosen * m->width, m->width * sizeof *m->x);
        double total = 0;
        for (size_t i = 0; i < m->n; i++) {
            double t = squared_distance(m->width, m->x + i * m->width, m->centre + k * m->width);
            if (t < m->distance[i]) m->distance[i] = t;
            total += m->distance[i];
        }
        double left = lk_rng_uniform(&rng) * total;
        chosen = total > 0 ? m->n - 1 : (size_t)lk_rng_below(&rng, m->n);
        for (size_t i = 0; total > 0 && i < m->n; i++) {
            left -= m->distance[i];
            if (left < 0 && m->distance[i] > 0) {
                chosen = i;
                break;
            }
        }
    }
}

static void lloyd(lk_kmeans *m, bool move) {
    for (size_t i = 0; i < m->n; i++) {
        double best = INFINITY;
        for (size_t k = 0; k < m->k; k++) {
            double t = squared_distance(m->width, m->x + i * m->width, m->centre + k * m->width);
            if (t < best) {
                best = t;
                m->cluster[i] = k;
            }
        }
    }
    if (!move) return;
    memset(m->count, 0, m->k * sizeof *m->count);
    for (size_t i = 0; i < m->n; i++) m->count[m->cluster[i]]++;
    for (size_t k = 0; k < m->k; k++)
        if (m->count[k]) memset(m->centre + k * m->width, 0, m->width * sizeof *m->centre);
    for (size_t i = 0; i < m->n; i++) {
        float *centre = m->centre + m->cluster[i] * m->width,
              share = 1.0f / (float)m->count[m->cluster[i]];
        for (size_t j = 0; j < m->width; j++)
            centre[j] = centre[j] + m->x[i * m->width + j] * share;
    }
}

/* Features of the rows; a field of very many levels takes no part. */
static lk_status read_rows(const lk_model *model, const lk_rows *rows, uint64_t restart,
                           lk_kmeans *m, const lk_features *features) {
    enum { MOST_LEVELS = 1024 };
    uint64_t n = lk_rows_count(rows), *index = lk_alloc(model->ctx, m->n, sizeof *index);
    lk_real wide[MOST_LEVELS];
    if (!index) return LK_NO_MEMORY;
    for (size_t i = 0; i < m->n; i++) index[i] = lk_permute(n, i, model->seed, "start", restart);
    lk_status status = lk_rows_get(rows, m->n, index, &m->batch);
    lk_free(model->ctx, index);
    for (size_t row = 0; status == LK_OK && row < m->n; row++) {
        float *out = m->x + row * m->width;
        for (size_t i = 0; i < m->batch.n_cells; out += features->count[i++]) {
            size_t at = row * m->batch.n_cells + i;
            if (features->count[i] > MOST_LEVELS) continue;
            lk_features_cell(features, i, m->batch.value[at], m->batch.present[at], wide);
            for (size_t q = 0; q < features->count[i]; q++) out[q] = (float)wide[q];
        }
    }
    return status;
}

lk_status lk_kmeans_run(const lk_model *model, const lk_rows *rows, size_t k, uint64_t restart,
                        lk_kmeans *out) {
    lk_context *ctx = model->ctx;
    lk_features features;
    lk_kmeans *m = out;
    *m = (lk_kmeans){.k = k};
    m->n = lk_rows_count(rows) < MOST_ROWS ? (size_t)lk_rows_count(rows) : MOST_ROWS;
    lk_status status = lk_features_create(ctx, model->schema, &features);
    if (status == LK_OK) status = lk_batch_create(ctx, m->n, model->schema->n_cells, &m->batch);
    m->width = features.width;
    m->x = lk_alloc(ctx, m->n * m->width, sizeof *m->x);
    m->centre = lk_alloc(ctx, m->k * m->width, sizeof *m->centre);
    m->distance = lk_alloc(ctx, m->n, sizeof *m->distance);
    m->cluster = lk_alloc(ctx, m->n, sizeof *m->cluster);
    m->count = lk_alloc(ctx, m->k, sizeof *m->count);
    if (!m->x || !m->centre || !m->distance || !m->cluster || !m->count) status = LK_NO_MEMORY;
    if (status == LK_OK) status = read_rows(model, rows, restart, m, &features);
    if (status == LK_OK) {
        seed_centres(m, model->seed, restart);
        for (int i = 0; i < (restart % 2 ? 0 : LLOYD); i++) lloyd(m, true);
        lloyd(m, false);
    }
    lk_features_destroy(ctx, &features);
    return status;
}

void lk_kmeans_destroy(lk_context *ctx, lk_kmeans *m) {
    lk_batch_destroy(ctx, &m->batch);
    lk_free(ctx, m->x);
    lk_free(ctx, m->centre);
    lk_free(ctx, m->distance);
    lk_free(ctx, m->cluster);
    lk_free(ctx, m->count);
}
