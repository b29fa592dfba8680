/* From a row of network outputs to the log-probability of a cell. A grid value's mass is that of its
 * interval; neighbours compute the edge between them from the same double where the step is 1, so that
 * masses telescope and those of a bounded grid sum to one to rounding. */
#include "dist/cells.h"
#include "dist/special.h"

int lk_cell_n_params(const lk_cell_dist *cell) { return cell->form.kind->n_params(&cell->form); }

/* The parameters where they stand, or gathered into `room`. */
static const double *params_of(const lk_cell_dist *cell, lk_dtype t, const void *row,
                               double *room) {
    int n = lk_cell_n_params(cell);
    LK_ASSERT(n <= LK_MAX_CELL_PARAMS);
    if (t == LK_F64 && cell->stride == 1) return (const double *)row + cell->at;
    size_t at = cell->at, stride = cell->stride;
    if (t == LK_F64)
        for (int j = 0; j < n; j++, at += stride) room[j] = ((const double *)row)[at];
    else
        for (int j = 0; j < n; j++, at += stride) room[j] = (double)((const float *)row)[at];
    return room;
}

static bool on_the_line(const lk_cell_dist *cell) {
    const lk_dist_kind *kind = cell->form.component ? cell->form.component : cell->form.kind;
    return kind->support == LK_SUPPORT_REAL;
}

static double standard(const lk_cell_dist *cell, double value) {
    return (value - cell->shift) / cell->scale;
}

double lk_cell_log_prob(const lk_cell_dist *cell, lk_dtype t, const void *row, double value,
                        double *d_params, double *d_value) {
    double room[LK_MAX_CELL_PARAMS];
    const double *params = params_of(cell, t, row, room);
    const lk_dist_form *form = &cell->form;
    if (!on_the_line(cell)) return form->kind->log_prob(form, params, value, d_params, d_value);
    if (cell->step > 0) {
        if (!(value >= cell->low && value <= cell->high))
            return lk_outside(lk_cell_n_params(cell), d_params, d_value);
        if (d_value) *d_value = 0;
        double half = 0.5 * cell->step;
        double a = value <= cell->low ? -INFINITY : standard(cell, value - half);
        double b = value >= cell->high ? INFINITY : standard(cell, value + half);
        return form->kind->log_mass(form, params, a, b, d_params);
    }
    double log_p = form->kind->log_prob(form, params, standard(cell, value), d_params, d_value);
    if (cell->scale == 1) return log_p;
    if (d_value) *d_value /= cell->scale;
    return log_p - lk_log(cell->scale);
}

double lk_cell_cdf(const lk_cell_dist *cell, lk_dtype t, const void *row, double value) {
    double room[LK_MAX_CELL_PARAMS];
    const double *params = params_of(cell, t, row, room);
    const lk_dist_form *form = &cell->form;
    if (!on_the_line(cell)) return form->kind->cdf(form, params, value);
    if (!(cell->step > 0)) return form->kind->cdf(form, params, standard(cell, value));
    if (value < cell->low) return 0;
    if (value >= cell->high) return 1;
    return form->kind->cdf(form, params, standard(cell, value + 0.5 * cell->step));
}

void lk_cell_log_probs(const lk_cell_dist *cell, lk_dtype t, const void *row, size_t n,
                       double *log_p) {
    double room[LK_MAX_CELL_PARAMS];
    if (cell->form.kind == &lk_categorical && (size_t)cell->form.n == n) {
        lk_categorical_log_probs((int)n, params_of(cell, t, row, room), log_p);
        return;
    }
    for (size_t v = 0; v < n; v++) log_p[v] = lk_cell_log_prob(cell, t, row, (double)v, NULL, NULL);
}

void lk_cell_cumulative(const lk_cell_dist *cell, lk_dtype t, const void *row, double *below) {
    double room[LK_MAX_CELL_PARAMS], top;
    const double *logits = params_of(cell, t, row, room);
    int n = cell->form.n;
    LK_ASSERT(cell->form.kind == &lk_categorical);
    top = logits[0];
    for (int k = 1; k < n; k++)
        if (logits[k] > top) top = logits[k];
    for (int k = 0; k < n; k++) below[k] = lk_exp(logits[k] - top);
    lk_cumulate(n, below, below);
}

/* The value in whose interval y falls: the smallest of the grid whose upper edge is not below y. The
 * grid is anchored at its lower end, else at its upper one, else at 0; it ends at ±2^53. */
static double value_of(const lk_cell_dist *cell, double y) {
    double value = cell->shift + cell->scale * y;
    if (!(cell->step > 0)) return value;
    double anchor = cell->low > -INFINITY ? cell->low : cell->high < INFINITY ? cell->high : 0;
    double steps = lk_whole_above((value - anchor) / cell->step - 0.5);
    value = anchor + cell->step * lk_clamp(steps, -0x1p53, 0x1p53);
    return lk_clamp(value, cell->low, cell->high);
}

double lk_cell_sample(const lk_cell_dist *cell, lk_dtype t, const void *row, lk_rng *rng) {
    double room[LK_MAX_CELL_PARAMS];
    const double *params = params_of(cell, t, row, room);
    double y = cell->form.kind->sample(&cell->form, params, rng);
    return on_the_line(cell) ? value_of(cell, y) : y;
}

double lk_cell_quantile(const lk_cell_dist *cell, lk_dtype t, const void *row, double u) {
    double room[LK_MAX_CELL_PARAMS];
    const double *params = params_of(cell, t, row, room);
    u = lk_open_unit(u);
    double y = cell->form.kind->quantile(&cell->form, params, u);
    if (!on_the_line(cell)) return y;
    double value = value_of(cell, y);
    if (!(cell->step > 0)) return value;
    /* y is rounded: the cumulative function decides, one step either way */
    if (lk_cell_cdf(cell, t, row, value) < u)
        return lk_clamp(value + cell->step, cell->low, cell->high);
    double below = value - cell->step;
    return below >= cell->low && lk_cell_cdf(cell, t, row, below) >= u ? below : value;
}

enum { MOST_SUMMED = 1024 };

/* Of a grid with few values the sum, high - step·sum of P(value' <= v) over v < high; of others the
 * distribution's own mean, between the grid's ends. */
double lk_cell_mean(const lk_cell_dist *cell, lk_dtype t, const void *row) {
    double room[LK_MAX_CELL_PARAMS];
    const double *params = params_of(cell, t, row, room);
    const lk_dist_form *form = &cell->form;
    if (on_the_line(cell) && cell->step > 0 && cell->high - cell->low <= MOST_SUMMED * cell->step) {
        double sum = 0;
        int n = (int)((cell->high - cell->low) / cell->step + 0.5);
        for (int i = 0; i < n; i++)
            sum +=
                form->kind->cdf(form, params, standard(cell, cell->low + (i + 0.5) * cell->step));
        return cell->high - cell->step * sum;
    }
    double y = form->kind->mean(form, params);
    if (!on_the_line(cell)) return y;
    double value = cell->shift + cell->scale * y;
    return cell->step > 0 ? lk_clamp(value, cell->low, cell->high) : value;
}
