#include "family/marginals.h"

#include "base/threads.h"
#include "nn/heads.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#define LEVEL_SMOOTHING 0.5
#define WIDE_LOG_SD 0x1.62e42fefa39efp+0 /* log 4: of the wide normal, in deviations of the field */
#define UNUSED_LOGIT (-1000.0)

enum { BLOCK = 1024, LEAST_ATOMS = 512, MOST_ATOMS = 4096, FITTED = 256, MOST_COMPONENTS = 100 };
enum { MOST_STEPS = 40, PATIENCE = 2 };
enum { AT_ONCE = 32 }; /* cells learned between two looks at whether to go on */

/* ---- What the cells are ------------------------------------------------------------------------------ */

static bool is_number(const lk_cell *cell) {
    return cell->kind == LK_FIELD_REAL || cell->kind == LK_FIELD_GRID;
}

static void set_cell(lk_cell_dist *dist, const lk_cell *cell, int components) {
    *dist = (lk_cell_dist){
        .form = {&lk_bernoulli, NULL, 1, 0},
        .stride = 1,
        .scale = 1,
        .low = -INFINITY,
        .high = INFINITY,
        .missingness = cell->missingness};
    if (cell->kind == LK_FIELD_CATEGORY) {
        dist->form.kind = &lk_categorical;
        dist->form.n = (int)cell->n;
    }
    if (!is_number(cell)) return;
    dist->form.kind = &lk_mixture;
    dist->form.component = &lk_normal;
    dist->form.n = components + 1; /* and the wide one, the last */
    dist->shift = cell->mean;
    dist->scale = cell->sd;
    dist->step = cell->kind == LK_FIELD_GRID ? 1 : 0;
    if (!cell->bounded) return;
    dist->low = cell->low;
    dist->high = cell->high;
}

lk_status lk_marginals_create(lk_context *ctx, const lk_schema *schema, int components,
                              lk_marginals *m) {
    memset(m, 0, sizeof *m);
    m->n = schema->n_cells;
    m->cells = lk_alloc(ctx, m->n, sizeof *m->cells);
    m->gate = lk_schema_gates(ctx, schema);
    if (!m->cells || !m->gate) return LK_NO_MEMORY;
    for (size_t i = 0; i < m->n; i++) {
        const lk_cell *cell = &schema->cells[i];
        if (cell->kind == LK_FIELD_CATEGORY && cell->n > LK_MAX_CELL_PARAMS)
            return lk_fail(
                ctx, LK_CANNOT,
                "field \"%s\" has %zu levels, more than a cell's distribution takes (%d); "
                "leave it out or group its levels",
                schema->fields[cell->field].name, cell->n, LK_MAX_CELL_PARAMS);
        set_cell(&m->cells[i], cell, components);
        m->cells[i].at = m->width;
        m->width += (size_t)lk_cell_n_params(&m->cells[i]);
    }
    return LK_OK;
}

void lk_marginals_destroy(lk_context *ctx, lk_marginals *m) {
    lk_free(ctx, m->cells);
    lk_free(ctx, m->gate);
    memset(m, 0, sizeof *m);
}

/* ---- Sketches ------------------------------------------------------------------------------------------ */

/* Values near to each other: their weight and the sums of weighted values and squares, standardised. */
typedef struct atom {
    double w, x, xx;
} atom;

typedef struct sketch {
    const lk_cell_dist *dist;
    atom *atom;
    size_t n;
    double log_prob;
} sketch;

static double place_of(const atom *a) { return a->x / a->w; }

static int by_place(const void *p, const void *q) {
    const atom *a = p, *b = q;
    double x = place_of(a), y = place_of(b);
    if (x != y) return x < y ? -1 : 1;
    if (a->w != b->w) return a->w < b->w ? -1 : 1;
    return a->xx < b->xx ? -1 : a->xx > b->xx;
}

static void join(atom *a, const atom *b) {
    a->w += b->w;
    a->x += b->x;
    a->xx += b->xx;
}

/* Sorts, joins equal values, and if there are more than `most` still, those whose middles fall in the
 * same `most`-th of the weight. */
static void compact(sketch *s, size_t most) {
    size_t n = 0;
    double total = 0, before = 0;
    if (!s->n) return;
    qsort(s->atom, s->n, sizeof *s->atom, by_place);
    for (size_t i = 0; i < s->n; i++) {
        total += s->atom[i].w;
        if (n && place_of(&s->atom[n - 1]) == place_of(&s->atom[i]))
            join(&s->atom[n - 1], &s->atom[i]);
        else s->atom[n++] = s->atom[i];
    }
    s->n = n;
    if (n <= most) return;
    double group = -1;
    n = 0;
    for (size_t i = 0; i < s->n; i++) {
        atom a = s->atom[i];
        double middle = (double)(size_t)((before + a.w / 2) / total * (double)most);
        before += a.w;
        if (n && middle == group) join(&s->atom[n - 1], &a);
        else s->atom[n++] = a;
        group = middle;
    }
    s->n = n;
}

/* ---- A mixture of normals of one column ------------------------------------------------------------------ */

typedef struct mixture {
    size_t k;
    double weight[MOST_COMPONENTS], mean[MOST_COMPONENTS], log_sd[MOST_COMPONENTS];
    double log_prob;
} mixture;

/* The smallest deviation: a tenth of a grid's step, e^-7 of a real field's. */
static double least_sd(const lk_cell_dist *dist) {
    return dist->step > 0 ? 0.1 * dist->step / dist->scale : 0x1.de16b9c24a98fp-11;
}

/* Atoms [first, last) as one normal; the twice negative log-likelihood per weight of it, but a constant. */
static double cost(const atom *sum, size_t first, size_t last, double least, double *mean,
                   double *variance) {
    double w = sum[last].w - sum[first].w, x = sum[last].x - sum[first].x;
    if (!(w > 0)) return 0;
    *mean = x / w;
    *variance = (sum[last].xx - sum[first].xx) / w - *mean * *mean;
    if (!(*variance > least)) *variance = least;
    return w * lk_log(*variance);
}

/* Cuts the atoms in k runs, one by one where a cut gains most in likelihood. */
static void cut(const sketch *s, size_t k, double least, mixture *out) {
    atom sum[FITTED + 1];
    size_t end[MOST_COMPONENTS + 1], runs = 1;
    double mean = 0, variance = least;
    sum[0] = (atom){0, 0, 0};
    for (size_t i = 0; i < s->n; i++) {
        sum[i + 1] = sum[i];
        join(&sum[i + 1], &s->atom[i]);
    }
    end[0] = 0;
    end[1] = s->n;
    while (runs < k) {
        double most = 0;
        size_t run = 0, at = 0;
        for (size_t r = 0; r < runs; r++) {
            double whole = cost(sum, end[r], end[r + 1], least, &mean, &variance);
            for (size_t i = end[r] + 1; i < end[r + 1]; i++) {
                double gain = whole - cost(sum, end[r], i, least, &mean, &variance) -
                              cost(sum, i, end[r + 1], least, &mean, &variance);
                if (gain > most) {
                    most = gain;
                    run = r;
                    at = i;
                }
            }
        }
        if (!at) break;
        for (size_t r = ++runs; r > run + 1; r--) end[r] = end[r - 1];
        end[run + 1] = at;
    }
    out->k = runs;
    for (size_t r = 0; r < runs; r++) {
        (void)cost(sum, end[r], end[r + 1], least, &mean, &variance);
        out->weight[r] = (sum[end[r + 1]].w - sum[end[r]].w) / sum[s->n].w;
        out->mean[r] = mean;
        out->log_sd[r] = 0.5 * lk_log(variance);
    }
}

/* log-probability of an atom under a normal, with its derivatives by mean and log deviation. Of a value
 * x that is only known to lie in an interval they are E(x - mean)/sd² and E(x - mean)²/sd² - 1. */
static double log_normal(const lk_cell_dist *dist, double x, const double *params, double d[2]) {
    const lk_dist_form form = {&lk_normal, NULL, 1, 0};
    if (!(dist->step > 0)) return lk_normal.log_prob(&form, params, x, d, NULL);
    double half = 0.5 * dist->step / dist->scale;
    double low = (dist->low - dist->shift) / dist->scale,
           high = (dist->high - dist->shift) / dist->scale;
    double a = x - 0.5 * half <= low ? -INFINITY : x - half;
    double b = x + 0.5 * half >= high ? INFINITY : x + half;
    return lk_normal.log_mass(&form, params, a, b, d);
}

/* One step of EM. Returns the log-probability before it. */
static double climb(const sketch *s, double least, mixture *m) {
    double n[MOST_COMPONENTS] = {0}, first[MOST_COMPONENTS] = {0}, second[MOST_COMPONENTS] = {0};
    double log_p[MOST_COMPONENTS], d[MOST_COMPONENTS][2], total = 0, weight = 0;
    for (size_t i = 0; i < s->n; i++) {
        const atom *a = &s->atom[i];
        double x = place_of(a), top = -INFINITY, sum = 0;
        double inside = a->xx / a->w - x * x; /* the atom's own variance */
        for (size_t k = 0; k < m->k; k++) {
            double params[2] = {m->mean[k], m->log_sd[k]};
            log_p[k] = lk_log(m->weight[k]) + log_normal(s->dist, x, params, d[k]);
            top = log_p[k] > top ? log_p[k] : top;
        }
        for (size_t k = 0; k < m->k; k++) sum += log_p[k] = lk_exp(log_p[k] - top);
        total += a->w * (top + lk_log(sum));
        weight += a->w;
        for (size_t k = 0; k < m->k; k++) {
            double r = a->w * (log_p[k] / sum), sd = lk_exp(m->log_sd[k]);
            n[k] += r;
            first[k] += r * (sd * sd * d[k][0]);
            second[k] += r * (sd * sd * (1 + d[k][1]) + (inside > 0 ? inside : 0));
        }
    }
    for (size_t k = 0; k < m->k; k++) {
        if (!(n[k] > 1e-6 * weight)) {
            m->weight[k] = 1e-6;
            continue;
        }
        double off = first[k] / n[k], variance = second[k] / n[k] - off * off;
        m->weight[k] = n[k] / weight;
        m->mean[k] += off;
        m->log_sd[k] = 0.5 * lk_log(variance > least ? variance : least);
    }
    return total;
}

static void fit_mixture(const sketch *s, size_t k, mixture *m) {
    double least = least_sd(s->dist), before = -INFINITY, weight = 0;
    least *= least;
    for (size_t i = 0; i < s->n; i++) weight += s->atom[i].w;
    cut(s, k, least, m);
    for (int step = 0; step < MOST_STEPS; step++) {
        mixture last = *m;
        double now = climb(s, least, m);
        if (step && !(now > before)) { /* a floor took away what was gained */
            *m = last;
            m->log_prob = now > before ? now : before;
            return;
        }
        m->log_prob = now;
        if (now - before < 1e-5 * weight) return;
        before = now;
    }
}

static void write_mixture(const lk_cell_dist *dist, const mixture *m, double rows, double *params) {
    size_t room = (size_t)dist->form.n;
    double *mean = params + room;
    for (size_t k = 0; k < room; k++) {
        bool used = m && k < m->k, wide = k + 1 == room;
        params[k] = used   ? lk_log(m->weight[k] * rows / (rows + 0.5))
                    : wide ? lk_log(0.5 / (rows + 0.5))
                           : UNUSED_LOGIT;
        mean[2 * k] = used ? m->mean[k] : 0;
        mean[2 * k + 1] = used ? m->log_sd[k] : WIDE_LOG_SD;
    }
}

/* More components, `most` of them, as long as BIC, log p - (3k - 1)/2·log n, gains. */
static void learn_number(sketch *s, size_t most, double *params) {
    const lk_cell_dist *dist = s->dist;
    mixture best, m;
    double top = -INFINITY, rows = 0;
    size_t worse = 0;
    compact(s, FITTED);
    for (size_t i = 0; i < s->n; i++) rows += s->atom[i].w;
    if (!(rows > 0)) {
        write_mixture(dist, NULL, 0, params + dist->at);
        return;
    }
    memset(&best, 0, sizeof best);
    for (size_t k = 1; k <= most && k <= s->n && worse < PATIENCE; k += k < 4 ? 1 : 2) {
        fit_mixture(s, k, &m);
        double bic = m.log_prob - 0.5 * (3 * (double)k - 1) * lk_log(rows > 2 ? rows : 2);
        worse++;
        if (!(bic > top)) continue;
        top = bic;
        best = m;
        worse = 0;
    }
    write_mixture(dist, &best, rows, params + dist->at);
    s->log_prob = best.log_prob - (dist->step > 0 ? 0 : rows * lk_log(dist->scale));
}

/* ---- The pass -------------------------------------------------------------------------------------------- */

typedef struct pass {
    const lk_marginals *m;
    lk_batch batch;
    sketch *sketches; /* [n]; of numbers */
    double *counts;   /* [width]; of finite cells, two for a binary one */
    size_t *count_at; /* [n] */
    size_t capacity;  /* of a sketch */
    double *params;
    size_t first; /* of the cells that are learned now */
    bool hurried; /* interrupted: numbers are one normal */
} pass;

static void add_cells(void *argument, size_t begin, size_t end) {
    const pass *p = argument;
    const lk_batch *batch = &p->batch;
    for (size_t i = begin; i < end; i++) {
        const lk_cell_dist *dist = &p->m->cells[i];
        sketch *s = &p->sketches[i];
        for (size_t row = 0; row < batch->rows; row++) {
            size_t at = row * batch->n_cells + i;
            double w = batch->weighted ? batch->weight[row] : 1;
            if (!batch->present[at] || !(w > 0)) continue;
            if (!s->atom) {
                p->counts[p->count_at[i] + (size_t)batch->value[at]] += w;
                continue;
            }
            double x = (batch->value[at] - dist->shift) / dist->scale;
            if (s->n == p->capacity) compact(s, p->capacity / 2);
            s->atom[s->n++] = (atom){w, w * x, w * x * x};
        }
    }
}

static void learn_cells(void *argument, size_t begin, size_t end) {
    const pass *p = argument;
    for (size_t i = p->first + begin; i < p->first + end; i++) {
        const lk_cell_dist *dist = &p->m->cells[i];
        const double *c = p->counts + p->count_at[i];
        double *out = p->params + dist->at, total = 0;
        sketch *s = &p->sketches[i];
        if (s->atom) {
            learn_number(s, p->hurried ? 1 : (size_t)dist->form.n - 1, p->params);
            continue;
        }
        size_t levels = dist->form.kind == &lk_bernoulli ? 2 : (size_t)dist->form.n;
        for (size_t v = 0; v < levels; v++) total += c[v] + LEVEL_SMOOTHING;
        for (size_t v = 0; v < levels; v++) {
            double log_p = lk_log((c[v] + LEVEL_SMOOTHING) / total);
            if (dist->form.kind != &lk_bernoulli) out[v] = log_p;
            s->log_prob += c[v] * log_p;
        }
        if (dist->form.kind == &lk_bernoulli)
            out[0] = lk_log((c[1] + LEVEL_SMOOTHING) / (c[0] + LEVEL_SMOOTHING));
    }
}

static lk_status lay_out(lk_context *ctx, pass *p) {
    size_t numbers = 0, levels = 0, n = p->m->n;
    p->sketches = lk_alloc(ctx, n, sizeof *p->sketches);
    p->count_at = lk_alloc(ctx, n, sizeof *p->count_at);
    if (!p->sketches || !p->count_at) return LK_NO_MEMORY;
    for (size_t i = 0; i < n; i++) {
        const lk_dist_form *form = &p->m->cells[i].form;
        p->count_at[i] = levels;
        if (form->component) numbers++;
        else levels += form->kind == &lk_bernoulli ? 2 : (size_t)form->n;
    }
    size_t atoms = numbers ? ((size_t)1 << 21) / numbers : 0;
    atoms = atoms < LEAST_ATOMS ? LEAST_ATOMS : atoms > MOST_ATOMS ? MOST_ATOMS : atoms;
    p->capacity = 2 * atoms;
    p->counts = lk_alloc(ctx, levels, sizeof *p->counts);
    if (!p->counts) return LK_NO_MEMORY;
    for (size_t i = 0; i < n; i++) {
        p->sketches[i].dist = &p->m->cells[i];
        if (!p->m->cells[i].form.component) continue;
        p->sketches[i].atom = lk_alloc(ctx, p->capacity, sizeof(atom));
        if (!p->sketches[i].atom) return LK_NO_MEMORY;
    }
    return LK_OK;
}

static lk_status read_rows(lk_context *ctx, const lk_rows *rows, pass *p) {
    lk_status status = lk_batch_create(ctx, BLOCK, p->m->n, &p->batch);
    uint64_t n = lk_rows_count(rows);
    for (uint64_t first = 0; status == LK_OK && first < n; first += BLOCK) {
        status =
            lk_rows_range(rows, first, n - first < BLOCK ? (size_t)(n - first) : BLOCK, &p->batch);
        if (status == LK_OK) lk_parallel(ctx, p->m->n, 1, add_cells, p);
        if (status == LK_OK && lk_cancelled(ctx))
            status = lk_fail(ctx, LK_INTERRUPTED, "interrupted after %llu rows",
                             (unsigned long long)(first + p->batch.rows));
    }
    lk_batch_destroy(ctx, &p->batch);
    return status;
}

lk_status lk_marginals_learn(const lk_marginals *m, const lk_schema *schema, const lk_rows *rows,
                             double *params, double *log_prob) {
    lk_context *ctx = schema->ctx;
    pass p = {.m = m, .params = params};
    lk_status status = lay_out(ctx, &p);
    if (status == LK_OK) status = read_rows(ctx, rows, &p);
    if (status == LK_OK || status == LK_INTERRUPTED) {
        p.hurried = status == LK_INTERRUPTED;
        for (; p.first < m->n; p.first += AT_ONCE) {
            lk_parallel(ctx, m->n - p.first < AT_ONCE ? m->n - p.first : AT_ONCE, 1, learn_cells,
                        &p);
            if (p.hurried || !lk_cancelled(ctx)) continue;
            p.hurried = true;
            status = lk_fail(ctx, LK_INTERRUPTED, "interrupted after %zu of %zu columns",
                             p.first + AT_ONCE < m->n ? p.first + AT_ONCE : m->n, m->n);
        }
        *log_prob = 0;
        for (size_t i = 0; i < m->n; i++) *log_prob += p.sketches[i].log_prob;
    }
    for (size_t i = 0; p.sketches && i < m->n; i++) lk_free(ctx, p.sketches[i].atom);
    lk_free(ctx, p.sketches);
    lk_free(ctx, p.counts);
    lk_free(ctx, p.count_at);
    return status;
}
