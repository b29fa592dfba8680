#include "dist/cells.h"

#include <math.h>

int lk_cell_n_params(const lk_cell_dist *cell) { return cell->form.kind->n_params(&cell->form); }

static void gather(const lk_cell_dist *cell, lk_dtype t, const void *row, double *params) {
    int n = lk_cell_n_params(cell);
    size_t at = cell->at;
    for (int j = 0; j < n; j++, at += cell->stride)
        params[j] = t == LK_F32 ? (double)((const float *)row)[at] : ((const double *)row)[at];
}

static bool on_the_line(const lk_cell_dist *cell) {
    return cell->form.kind->support == LK_SUPPORT_REAL;
}

/* The interval of a grid value in the distribution's units; its ends absorb the tails. */
static void interval(const lk_cell_dist *cell, double value, double *a, double *b) {
    *a = value <= cell->low ? -INFINITY : (value - 0.5 * cell->step - cell->shift) / cell->scale;
    *b = value >= cell->high ? INFINITY : (value + 0.5 * cell->step - cell->shift) / cell->scale;
}

static bool on_the_grid(const lk_cell_dist *cell, double value) {
    return value >= cell->low && value <= cell->high;
}

double lk_cell_log_prob(const lk_cell_dist *cell, lk_dtype t, const void *row, double value,
                        double *d_params, double *d_value) {
    double params[LK_MAX_CELL_PARAMS];
    const lk_dist_form *form = &cell->form;
    gather(cell, t, row, params);
    if (!on_the_line(cell)) return form->kind->log_prob(form, params, value, d_params, d_value);
    if (cell->step > 0) {
        double a, b;
        if (d_value) *d_value = 0;
        if (!on_the_grid(cell, value)) {
            for (int j = 0; d_params && j < lk_cell_n_params(cell); j++) d_params[j] = 0;
            return -INFINITY;
        }
        interval(cell, value, &a, &b);
        return form->kind->log_mass(form, params, a, b, d_params);
    }
    double l =
        form->kind->log_prob(form, params, (value - cell->shift) / cell->scale, d_params, d_value);
    if (d_value) *d_value /= cell->scale;
    return l - lk_log(cell->scale);
}

/* The grid value nearest to y, ties upwards, kept between the ends. */
static double to_grid(const lk_cell_dist *cell, double value) {
    double steps = value / cell->step;
    if (steps > -0x1p52 && steps < 0x1p52) {
        double whole = (double)(int64_t)steps;
        double rest = steps - whole;
        if (rest >= 0.5) whole += 1;
        else if (rest < -0.5) whole -= 1;
        value = whole * cell->step;
    }
    return value < cell->low ? cell->low : value > cell->high ? cell->high : value;
}

static double from_line(const lk_cell_dist *cell, double y) {
    double value = y * cell->scale + cell->shift;
    return cell->step > 0 ? to_grid(cell, value) : value;
}

double lk_cell_sample(const lk_cell_dist *cell, lk_dtype t, const void *row, lk_rng *rng) {
    double params[LK_MAX_CELL_PARAMS];
    gather(cell, t, row, params);
    double y = cell->form.kind->sample(&cell->form, params, rng);
    return on_the_line(cell) ? from_line(cell, y) : y;
}

double lk_cell_mean(const lk_cell_dist *cell, lk_dtype t, const void *row) {
    double params[LK_MAX_CELL_PARAMS];
    gather(cell, t, row, params);
    double y = cell->form.kind->mean(&cell->form, params);
    return on_the_line(cell) ? y * cell->scale + cell->shift : y;
}

double lk_cell_cdf(const lk_cell_dist *cell, lk_dtype t, const void *row, double value) {
    double params[LK_MAX_CELL_PARAMS];
    gather(cell, t, row, params);
    if (!on_the_line(cell)) return cell->form.kind->cdf(&cell->form, params, value);
    if (cell->step > 0 && value < cell->low) return 0;
    if (cell->step > 0 && value >= cell->high) return 1;
    double edge = cell->step > 0 ? value + 0.5 * cell->step : value;
    return cell->form.kind->cdf(&cell->form, params, (edge - cell->shift) / cell->scale);
}

double lk_cell_quantile(const lk_cell_dist *cell, lk_dtype t, const void *row, double u) {
    double params[LK_MAX_CELL_PARAMS];
    gather(cell, t, row, params);
    double y = cell->form.kind->quantile(&cell->form, params, u);
    return on_the_line(cell) ? from_line(cell, y) : y;
}
