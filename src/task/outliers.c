/* Odd rows: by log-probability, with conformal p-values and false discovery rate control. */
#include "task/task.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

typedef struct scored {
    double log_prob;
    uint64_t row;
} scored;

typedef struct collecting {
    lk_context *ctx;
    double *log_prob;
    uint64_t rows, capacity;
} collecting;

static lk_status collect(void *user, size_t rows, const double *log_prob, const double *error) {
    collecting *c = user;
    (void)error;
    if (c->rows + rows > c->capacity) {
        uint64_t more = 2 * (c->rows + rows);
        double *grown =
            lk_resize(c->ctx, c->log_prob, (size_t)c->capacity, (size_t)more, sizeof *c->log_prob);
        if (!grown) return LK_NO_MEMORY;
        c->log_prob = grown;
        c->capacity = more;
    }
    memcpy(c->log_prob + c->rows, log_prob, rows * sizeof *log_prob);
    c->rows += rows;
    return LK_OK;
}

lk_status lk_task_scores(lk_model *model, lk_data *data, size_t particles, uint64_t seed,
                         double **log_prob, uint64_t *rows, const char **kind) {
    collecting c = {.ctx = model->ctx};
    lk_score_options options = {.particles = particles, .seed = seed};
    lk_score_summary summary;
    lk_status status = lk_score(model, data, &options, collect, &c, &summary);
    *log_prob = c.log_prob;
    *rows = c.rows;
    if (status == LK_OK) *kind = summary.kind;
    return status;
}

/* The least probable first; rows of no probability that can be said (NaN) are the oddest. */
static int by_log_prob(const void *a, const void *b) {
    const scored *p = a, *q = b;
    bool p_nan = p->log_prob != p->log_prob, q_nan = q->log_prob != q->log_prob;
    if (p_nan != q_nan) return p_nan ? -1 : 1;
    if (!p_nan && p->log_prob != q->log_prob) return p->log_prob < q->log_prob ? -1 : 1;
    return p->row < q->row ? -1 : p->row > q->row;
}

static int by_number(const void *a, const void *b) {
    double p = *(const double *)a, q = *(const double *)b;
    return p < q ? -1 : p > q;
}

static int by_row(const void *a, const void *b) {
    const lk_reason *p = a, *q = b;
    return p->row < q->row ? -1 : p->row > q->row;
}

/* How many of n numbers in increasing order are at most x. */
static uint64_t at_most(const double *sorted, uint64_t n, double x) {
    uint64_t low = 0, high = n;
    while (low < high) {
        uint64_t middle = low + (high - low) / 2;
        if (sorted[middle] <= x) low = middle + 1;
        else high = middle;
    }
    return low;
}

static double p_value(const double *sorted, uint64_t n, double log_prob) {
    return (1 + (double)at_most(sorted, n, log_prob)) / ((double)n + 1);
}

/* Benjamini and Hochberg 1995: rows have p-values that grow; q of rank i is the least of
 * rows·p/(rank + 1) from there on. */
static void adjust(const scored *rows, uint64_t m, const double *sorted, uint64_t n, double *q) {
    double least = 1;
    for (uint64_t i = m; i-- > 0;) {
        double here = (double)m * p_value(sorted, n, rows[i].log_prob) / ((double)i + 1);
        if (here < least) least = here;
        q[i] = least;
    }
}

typedef struct finding {
    scored *rows;
    double *calibration, *q;
    uint64_t m, n;
    lk_reason *reason;
    size_t n_reasons;
} finding;

static lk_status score_both(lk_model *model, lk_data *data, const lk_outlier_options *o, finding *f,
                            lk_outlier_summary *about) {
    double *log_prob = NULL;
    const char *kind = NULL;
    lk_status status = LK_OK;
    if (o->calibration) {
        status = lk_task_scores(model, o->calibration, o->particles, o->seed, &f->calibration,
                                &f->n, &kind);
        if (status == LK_OK && !f->n)
            status = lk_fail(model->ctx, LK_BAD_DATA,
                             "%s: there are no rows to calibrate with; give rows that are ordinary "
                             "and that the model has not learned from",
                             lk_data_path(o->calibration));
        if (status == LK_OK) qsort(f->calibration, (size_t)f->n, sizeof(double), by_number);
        for (uint64_t i = 0; status == LK_OK && i < f->n; i++)
            if (f->calibration[i] != f->calibration[i])
                status = lk_fail(model->ctx, LK_BAD_MODEL,
                                 "%s: the model gives a row no log-probability",
                                 lk_data_path(o->calibration));
    }
    if (status == LK_OK)
        status = lk_task_scores(model, data, o->particles, o->seed, &log_prob, &f->m, &about->kind);
    if (status == LK_OK && kind && strcmp(kind, "exact")) about->kind = kind;
    f->rows = status == LK_OK ? lk_alloc(model->ctx, (size_t)f->m, sizeof *f->rows) : NULL;
    if (status == LK_OK && !f->rows) status = LK_NO_MEMORY;
    for (uint64_t i = 0; status == LK_OK && i < f->m; i++) f->rows[i] = (scored){log_prob[i], i};
    lk_free(model->ctx, log_prob);
    if (status == LK_OK) qsort(f->rows, (size_t)f->m, sizeof *f->rows, by_log_prob);
    return status;
}

static lk_status find_reasons(lk_model *model, lk_data *data, const lk_outlier_options *o,
                              finding *f) {
    f->n_reasons = o->reasons < f->m ? o->reasons : (size_t)f->m;
    f->reason = lk_alloc(model->ctx, f->n_reasons, sizeof *f->reason);
    if (!f->reason) return LK_NO_MEMORY;
    for (size_t i = 0; i < f->n_reasons; i++) f->reason[i].row = f->rows[i].row;
    qsort(f->reason, f->n_reasons, sizeof *f->reason, by_row);
    return f->n_reasons
               ? lk_task_reasons(model, data, o->particles, o->seed, f->n_reasons, f->reason)
               : LK_OK;
}

static lk_status tell(lk_model *model, const lk_data *data, const lk_outlier_options *o,
                      const finding *f, lk_outlier_fn fn, void *user, lk_outlier_summary *about) {
    lk_status status = LK_OK;
    for (uint64_t i = 0; i < f->m && status == LK_OK; i++) {
        uint64_t row = f->rows[i].row;
        lk_outlier told = {
            .row = data->rows ? lk_rows_source(data->rows, row) : row,
            .log_prob = f->rows[i].log_prob,
            .p_value = f->q ? p_value(f->calibration, f->n, f->rows[i].log_prob) : (double)NAN,
            .q_value = f->q ? f->q[i] : (double)NAN,
            .reason_tail = (double)NAN};
        told.rejected = told.q_value <= o->fdr;
        about->rejected += told.rejected;
        lk_reason key = {.row = row};
        const lk_reason *why =
            f->n_reasons ? bsearch(&key, f->reason, f->n_reasons, sizeof key, by_row) : NULL;
        if (why && why->field != SIZE_MAX) {
            told.reason = model->schema->fields[why->field].name;
            told.reason_tail = why->tail;
        }
        if (fn) status = fn(user, &told);
    }
    return status;
}

lk_status lk_outliers(lk_model *model, lk_data *data, const lk_outlier_options *options,
                      lk_outlier_fn fn, void *user, lk_outlier_summary *summary) {
    static const lk_outlier_options defaults = LK_OUTLIER_DEFAULTS;
    lk_context *ctx = model->ctx;
    lk_outlier_summary about = {.kind = "exact"};
    finding f = {0};
    lk_clear(ctx);
    if (!options) options = &defaults;
    lk_status status = LK_OK;
    if (!(options->fdr > 0 && options->fdr < 1))
        status = lk_fail(ctx, LK_USAGE,
                         "the false discovery rate is %g, but it should be between 0 and 1",
                         options->fdr);
    if (status == LK_OK) status = score_both(model, data, options, &f, &about);
    if (status == LK_OK && options->calibration) {
        f.q = lk_alloc(ctx, (size_t)f.m, sizeof *f.q);
        if (f.q) adjust(f.rows, f.m, f.calibration, f.n, f.q);
        else status = LK_NO_MEMORY;
    }
    if (status == LK_OK) status = find_reasons(model, data, options, &f);
    if (status == LK_OK) status = tell(model, data, options, &f, fn, user, &about);
    about.rows = f.m;
    about.calibration_rows = f.n;
    if (summary) *summary = about;
    lk_free(ctx, f.rows);
    lk_free(ctx, f.calibration);
    lk_free(ctx, f.q);
    lk_free(ctx, f.reason);
    return status;
}
