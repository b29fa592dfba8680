#include "trace/mixed_code.h"

#include <string.h>

enum { ESCAPED = 1, TREE = 2, LENGTH_BITS = 6, FLOAT_BITS = 32 };

typedef struct walk {
    lk_mixed *m;
    const lk_predictive *p;
    const lk_mixed_sight *sight;
    size_t cell;
    unsigned step;
} walk;

/* Before a decision: `path` is where it stands, `place` what of the path recurs elsewhere (a digit's position and
 * node). */
static void aim(walk *w, uint32_t path, uint32_t place) {
    const lk_mixed_sight *s = w->sight;
    uint32_t here = lk_mix_hash((uint32_t)w->cell + 1, path);
    lk_decision d;
    d.context[0] = here;
    d.context[1] = lk_mix_hash(here, s->left[0]);
    d.context[2] = lk_mix_hash(here, s->partner[0]);
    d.context[3] = lk_mix_hash(lk_mix_hash(here, s->partner[0]), s->partner[1]);
    d.context[4] = lk_mix_hash(here, s->above);
    d.context[5] = lk_mix_hash((uint32_t)w->cell + 1, place);
    d.context[6] = lk_mix_hash(here, s->left[1]);
    d.context[7] = lk_mix_hash(lk_mix_hash(here, s->left[0]), s->left[1]);
    d.context[8] =
        lk_mix_hash(lk_mix_hash(lk_mix_hash(here, s->partner[0]), s->partner[1]), s->left[0]);
    lk_mixer_aim(w->m->mixer, &d);
}

/* The decision that was aimed at; `share` is the model's probability of a 1. */
static int decide(walk *w, double share, int bit) {
    lk_decision d = {.group = w->cell, .step = w->step++, .p = 32768};
    if (share > 0) d.p = share < 1 ? (int)(share * 65536) : 65535;
    else if (share <= 0) d.p = 1;
    d.p = d.p < 1 ? 1 : d.p > 65535 ? 65535 : d.p;
    return lk_mixer_code(w->m->mixer, &d, bit);
}

/* ---- Finite cells ------------------------------------------------------------------------------------------ */

static double code_finite(walk *w, double value) {
    const lk_dist_form *form = &w->p->cell->form;
    size_t n = form->kind == &lk_bernoulli ? 2 : (size_t)form->n, low = 0, high = n;
    double mass[LK_MAX_CELL_PARAMS];
    lk_predictive_probabilities(w->p, n, mass);
    for (uint32_t path = 1; high - low > 1;) {
        size_t middle = low + (high - low) / 2;
        double below = 0, above = 0;
        aim(w, path, path);
        for (size_t i = low; i < middle; i++) below += mass[i];
        for (size_t i = middle; i < high; i++) above += mass[i];
        int bit = decide(w, above / (below + above), value >= (double)middle);
        if (bit) low = middle;
        else high = middle;
        path = path << 1 | (uint32_t)bit;
    }
    return (double)low;
}

/* ---- Grids and counts: decimal digits, so that a grid within the grid is seen -------------------------------- */

static double share_above(double from, double middle, double to) {
    return (to - middle) / (to - from);
}

static double cdf(const walk *w, int64_t v) { return lk_predictive_cdf(w->p, (double)v); }

static double code_escape(walk *w, int64_t low, int64_t high, double value) {
    lk_mixer *mixer = w->m->mixer;
    bool above = value > (double)high;
    uint64_t n = above ? (uint64_t)((int64_t)value - high) : (uint64_t)(low - (int64_t)value);
    unsigned length = 0;
    if (!lk_mixer_decodes(mixer))
        for (uint64_t k = n; k; k >>= 1) length++;
    above = lk_mixer_code_bits(mixer, above, 1) != 0;
    length = (unsigned)lk_mixer_code_bits(mixer, length, LENGTH_BITS);
    if (length < 1 || length > 55) {
        w->m->broken = true;
        return (double)low;
    }
    n = (uint64_t)1 << (length - 1) |
        lk_mixer_code_bits(mixer, n & (((uint64_t)1 << (length - 1)) - 1), length - 1);
    int64_t v = above ? high + (int64_t)n : low - (int64_t)n;
    if (v > (int64_t)1 << 53 || v < -((int64_t)1 << 53)) {
        w->m->broken = true;
        return (double)low;
    }
    return (double)v;
}

static bool is_bounded(const lk_cell_dist *cell) {
    return cell->low > -LK_MOST_WINDOW && cell->high < LK_MOST_WINDOW;
}

/* Digits from the highest: a digit is up to four decisions; those that the window leaves no choice are left
 * out. */
static double code_grid(walk *w, lk_code_window window, double value) {
    int64_t low = (int64_t)window.low, high = (int64_t)window.high, base = 0, scale = 1;
    if (!is_bounded(w->p->cell)) aim(w, ESCAPED, ESCAPED);
    double from = cdf(w, low - 1), to = cdf(w, high);
    int inside = value >= window.low && value <= window.high;
    if (!is_bounded(w->p->cell)) {
        inside = decide(w, to - from, inside);
        if (!inside) return code_escape(w, low, high, value);
    } else if (!inside && !lk_mixer_decodes(w->m->mixer)) {
        w->m->broken = true;
        return value;
    }
    if (low < 0)
        for (base = -1; base > low;) base *= 10;
    while (high - base >= 10 * scale) scale *= 10;
    int64_t v = (int64_t)value;
    for (uint32_t position = 0; scale; scale /= 10, position++) {
        int64_t digit = 0;
        for (int64_t half = 8; half; half /= 2) {
            int64_t middle = base + (digit + half) * scale;
            int bit = 1;
            if (digit + half > 9 || middle > high) continue;
            if (middle > low) {
                uint32_t node = position << 8 | (uint32_t)(digit + half) << 4 | (uint32_t)half;
                uint32_t path =
                    lk_mix_hash((uint32_t)((uint64_t)base >> 32) ^ node, (uint32_t)base);
                aim(w, path, TREE + (node << 2));
                double at = cdf(w, middle - 1);
                bit = decide(w, share_above(from, at, to), v >= middle);
                if (bit) low = middle, from = at;
                else high = middle - 1, to = at;
            }
            if (bit) digit += half;
        }
        base += digit * scale;
    }
    return (double)low;
}

/* ---- Reals: the places of float32 values in order, bit by bit ------------------------------------------------ */

static double code_real(walk *w, double value) {
    uint32_t place = lk_float_place((float)value), base = 0, low = LK_FIRST_FLOAT;
    uint32_t high = LK_LAST_FLOAT;
    double from = 0, to = 1;
    for (uint32_t half = 0x80000000u; half; half /= 2) {
        uint32_t middle = base + half;
        int bit = middle <= low;
        if (middle > low && middle <= high) {
            aim(w, lk_mix_hash(middle, half), half);
            double at = lk_predictive_cdf(
                w->p, 0.5 * ((double)lk_float_at(middle - 1) + (double)lk_float_at(middle)));
            bit = decide(w, share_above(from, at, to), place >= middle);
            if (bit) low = middle, from = at;
            else high = middle - 1, to = at;
        }
        if (bit) base = middle;
    }
    return (double)lk_float_at(low);
}

/* ---- All cells ----------------------------------------------------------------------------------------------- */

double lk_mixed_code(lk_mixed *m, size_t c, const lk_predictive *p, const lk_mixed_sight *sight,
                     double value) {
    walk w = {.m = m, .p = p, .sight = sight, .cell = c};
    const lk_cell_dist *cell = p->cell;
    const lk_dist_kind *kind = cell->form.component ? cell->form.component : cell->form.kind;
    bool encodes = !lk_mixer_decodes(m->mixer);
    if (cell->form.kind->support == LK_SUPPORT_FINITE) {
        double n = cell->form.kind == &lk_bernoulli ? 2 : cell->form.n;
        if (encodes && !(value >= 0 && value < n && value == (double)(int64_t)value))
            m->broken = true;
        return m->broken ? 0 : code_finite(&w, value);
    }
    if (kind->support == LK_SUPPORT_REAL && !(cell->step > 0)) {
        if (encodes && ((double)(float)value != value || value - value != 0)) m->broken = true;
        return m->broken ? 0 : code_real(&w, value);
    }
    if (encodes && !(value >= -0x1p53 && value <= 0x1p53 && value == (double)(int64_t)value))
        m->broken = true;
    return m->broken ? 0 : code_grid(&w, m->cell[c].window, value);
}

uint32_t lk_mixed_class(const lk_mixed_cell *cell, bool there, double value) {
    if (!there) return 0;
    if (!cell->width) return 1 + (lk_float_place((float)value) >> 20);
    double at = value - (double)cell->low;
    if (at < 0) return 1;
    int64_t class = at < 0x1p53 ? (int64_t)at / cell->width : 1 << 20;
    return 2 + (uint32_t)(class < 1 << 20 ? class : 1 << 20);
}
