/* The rule, for n symbols with P(symbol < j) = C(j): the j-th begins at ⌊C(j)·(2^28 - 2n)⌋ + 2j. So each has
 * at least one quantum even where a cumulative function, rounded, falls by less than one. Alphabets of more
 * than 2^16 are cut into digits of 16 bits, the leading one first, each by its conditional distribution. */
#include "trace/cell_code.h"

#include "dist/special.h"

#include <string.h>

enum { DIGIT = 16, LENGTH_BITS = 6, FLOAT_BITS = 32 };
/* Of less, what is nearly right says little, and the right one is rounded by more than a quantum: then starts may fall, and all must
 * look in the same places. */
#define LEAST_NEAR 0x1p-10
static const uint32_t whole_code = (uint32_t)1 << LK_CODE_BITS;

static uint32_t begins(double c, uint32_t n, uint32_t j) {
    if (!(c > 0)) c = 0; /* and what is not a number */
    if (c > 1) c = 1;
    return (uint32_t)(c * (double)(whole_code - 2 * n)) + 2 * j;
}

/* Symbols below n, of which C tells the shares; C(0) = 0 and C(n) = 1 are not asked for. */
typedef struct alphabet {
    double (*below)(const void *self, uint32_t j);
    const void *self;
    uint32_t n;
    double (*nearly_below)(const void *self, uint32_t j); /* much faster; or NULL */
} alphabet;

static uint32_t start_of(const alphabet *a, uint32_t j) {
    return j == 0 ? 0 : j == a->n ? whole_code : begins(a->below(a->self, j), a->n, j);
}

/* Where to look next in low < … < high, the n-th time: in the middle, or where what nearly is C passes `at`. What is found does
 * not depend on where one looks, for starts increase. */
typedef struct search {
    uint32_t at, low, high, from, to, turns;
    uint32_t last, last_start; /* where one looked, and what was there */
    double slope;              /* of what nearly are starts there */
} search;

static uint32_t within(const search *s, double place) {
    if (!(place >= s->low + 1.0)) return s->low + 1;
    return place < s->high - 1 ? (uint32_t)place : s->high - 1;
}

/* The place whose share of what nearly is C holds `at`, by regula falsi that halves whenever it gets on slowly. */
static uint32_t first_place(const alphabet *a, search *s) {
    double quanta = whole_code - 2 * a->n, at = s->at;
    uint32_t low = s->low, high = s->high;
    double from = s->from, to = s->to; /* what nearly are their starts */
    for (bool slow = false; high - low > 1;) {
        uint32_t width = high - low, place = low + width / 2;
        if (!slow && to > from) place = low + (uint32_t)((at - from) / (to - from) * width);
        if (place <= low) place = low + 1;
        if (place >= high) place = high - 1;
        double start = a->nearly_below(a->self, place) * quanta + 2.0 * place;
        if (start <= at) low = place, from = start;
        else high = place, to = start;
        slow = !slow && high - low > width / 2;
    }
    s->slope = to - from;
    return within(s, low);
}

static uint32_t next_place(const alphabet *a, search *s) {
    uint32_t low = s->low, high = s->high;
    if (!a->nearly_below || high - low < 4 || s->turns % 4 == 3) return low + (high - low) / 2;
    if (!s->turns) return first_place(a, s);
    return within(s, s->last + ((double)s->at - s->last_start) / (s->slope > 2 ? s->slope : 2));
}

static uint32_t find(const alphabet *a, uint32_t at, uint32_t *start, uint32_t *size) {
    search s = {.at = at, .high = a->n, .to = whole_code};
    for (; s.high - s.low > 1; s.turns++) { /* from = start(low) <= at < to = start(high) */
        s.last = next_place(a, &s);
        s.last_start = start_of(a, s.last);
        if (s.last_start <= at) s.low = s.last, s.from = s.last_start;
        else s.high = s.last, s.to = s.last_start;
    }
    *start = s.from;
    *size = s.to - s.from;
    return s.low;
}

static uint32_t pop(const alphabet *a, lk_rans *r) {
    uint32_t start, size, j = find(a, lk_rans_peek(r, LK_CODE_BITS), &start, &size);
    lk_rans_drop(r, start, size, LK_CODE_BITS);
    return j;
}

/* ---- Finite cells ------------------------------------------------------------------------------------ */

static double weight_below(const void *self, uint32_t j) { return ((const double *)self)[j - 1]; }

/* running[j] = P(value <= j). */
static alphabet finite_alphabet(const lk_predictive *p, double *running) {
    const lk_dist_form *form = &p->cell->form;
    uint32_t n = form->kind == &lk_bernoulli ? 2 : (uint32_t)form->n;
    memset(running, 0, n * sizeof *running);
    for (size_t k = 0; k < p->n; k++) {
        if (!(p->weight[k] > 0)) continue;
        if (form->kind != &lk_categorical) {
            for (uint32_t j = 0; j + 1 < n; j++)
                running[j] += p->weight[k] *
                              lk_cell_cdf(p->cell, p->dtype, p->params[k], (double)j);
            continue;
        }
        double below[LK_MAX_CELL_PARAMS];
        lk_predictive_cumulative(p, k, below);
        for (uint32_t j = 0; j + 1 < n; j++) running[j] += p->weight[k] * below[j];
    }
    return (alphabet){weight_below, running, n, NULL};
}

/* ---- The line ------------------------------------------------------------------------------------------ */

/* Values by their place: 0 … places - 1. A grid's first is all below the window, its last all above. */
typedef struct line {
    const lk_predictive *p;
    int64_t low;
    uint64_t places;
    bool real; /* places are float32 values in order */
} line;

static line line_of(const lk_predictive *p, lk_code_window window) {
    const lk_cell_dist *cell = p->cell;
    const lk_dist_kind *kind = cell->form.component ? cell->form.component : cell->form.kind;
    if (kind->support == LK_SUPPORT_REAL && !(cell->step > 0))
        return (line){.p = p, .places = (uint64_t)1 << FLOAT_BITS, .real = true};
    LK_ASSERT(!(cell->step > 0) || cell->step == 1);
    LK_ASSERT(window.high >= window.low && window.low >= -LK_MOST_WINDOW &&
              window.high <= LK_MOST_WINDOW);
    return (line){.p = p,
                  .low = (int64_t)window.low,
                  .places = (uint64_t)((int64_t)window.high - (int64_t)window.low) + 3};
}

uint32_t lk_float_place(float x) {
    uint32_t word;
    memcpy(&word, &x, sizeof word);
    return word >> 31 ? ~word : word | 0x80000000U;
}

float lk_float_at(uint32_t place) {
    uint32_t word = place >> 31 ? place & 0x7fffffffU : ~place;
    float x;
    memcpy(&x, &word, sizeof x);
    return x;
}

#define FIRST_FINITE LK_FIRST_FLOAT
#define LAST_FINITE LK_LAST_FLOAT

/* P(place < at). */
static double below(const line *l, uint64_t at) {
    if (at == 0) return 0;
    if (at >= l->places) return 1;
    if (!l->real) return lk_predictive_cdf(l->p, (double)(l->low + (int64_t)at - 2));
    if (at <= FIRST_FINITE) return 0;
    if (at > LAST_FINITE) return 1;
    return lk_predictive_cdf(
        l->p, 0.5 * ((double)lk_float_at((uint32_t)at - 1) + (double)lk_float_at((uint32_t)at)));
}

/* Nearly so. */
static double nearly_below(const line *l, uint64_t at) {
    if (at == 0) return 0;
    if (at >= l->places) return 1;
    if (!l->real) return lk_predictive_nearly_cdf(l->p, (double)(l->low + (int64_t)at - 2));
    if (at <= FIRST_FINITE) return 0;
    if (at > LAST_FINITE) return 1;
    return lk_predictive_nearly_cdf(l->p, lk_float_at((uint32_t)at));
}

/* Places [from, to) in digits of 2^shift. */
typedef struct digits {
    const line *line;
    uint64_t from, to;
    unsigned shift;
    double low, mass; /* P(place < from), and of [from, to) */
} digits;

static double digit_below(const void *self, uint32_t j) {
    const digits *d = self;
    if (!(d->mass > 0)) return (double)j / (double)(((d->to - d->from - 1) >> d->shift) + 1);
    return (below(d->line, d->from + ((uint64_t)j << d->shift)) - d->low) / d->mass;
}

static double digit_nearly_below(const void *self, uint32_t j) {
    const digits *d = self;
    return (nearly_below(d->line, d->from + ((uint64_t)j << d->shift)) - d->low) / d->mass;
}

static unsigned length_of(uint64_t n) {
    unsigned length = 0;
    for (; n; n >>= 1) length++;
    return length;
}

static alphabet first_digit(const line *l, digits *d) {
    unsigned length = length_of(l->places - 1);
    *d = (digits){l, 0, l->places, length > DIGIT ? length - DIGIT : 0, 0, 1};
    return (alphabet){digit_below, d, (uint32_t)((l->places - 1) >> d->shift) + 1,
                      l->p->mean ? digit_nearly_below : NULL};
}

/* The digits that follow when this one was j. False: there are none. */
static bool next_digit(digits *d, alphabet *a, uint32_t j) {
    if (!d->shift) {
        d->from += j;
        return false;
    }
    uint64_t from = d->from + ((uint64_t)j << d->shift), to = from + ((uint64_t)1 << d->shift);
    d->to = to < d->to ? to : d->to;
    d->from = from;
    d->low = below(d->line, from);
    d->mass = below(d->line, d->to) - d->low;
    d->shift = d->shift > DIGIT ? d->shift - DIGIT : 0;
    a->n = (uint32_t)((d->to - d->from - 1) >> d->shift) + 1;
    if (d->mass < LEAST_NEAR) a->nearly_below = NULL;
    return true;
}

static void add(lk_cell_pieces *out, uint32_t start, uint32_t size, unsigned bits) {
    LK_ASSERT(out->n < LK_MOST_PIECES);
    out->piece[out->n].start = start;
    out->piece[out->n].size = size;
    out->piece[out->n++].bits = (uint8_t)bits;
}

static void code_symbol(const alphabet *a, uint32_t j, lk_cell_pieces *out) {
    uint32_t start = start_of(a, j), end = start_of(a, j + 1);
    LK_ASSERT(end > start);
    if (a->n > 1) add(out, start, end - start, LK_CODE_BITS);
}

static bool code_place(const line *l, uint64_t place, lk_cell_pieces *out) {
    digits d;
    alphabet a = first_digit(l, &d);
    uint32_t j;
    do {
        j = (uint32_t)((place - d.from) >> d.shift);
        code_symbol(&a, j, out);
    } while (next_digit(&d, &a, j));
    return true;
}

/* How far outside the window: the number of bits of n >= 1, then those after the first. */
static void code_escape(uint64_t n, lk_cell_pieces *out) {
    unsigned length = length_of(n);
    add(out, length, 1, LENGTH_BITS);
    for (unsigned left = length - 1; left;) {
        unsigned bits = left % DIGIT ? left % DIGIT : DIGIT;
        left -= bits;
        add(out, (uint32_t)(n >> left) & ((1U << bits) - 1), 1, bits);
    }
}

static bool code_on_line(const lk_predictive *p, lk_code_window window, double value,
                         lk_cell_pieces *out) {
    line l = line_of(p, window);
    if (l.real) {
        float x = (float)value;
        uint32_t place = lk_float_place(x);
        if ((double)x != value || place < FIRST_FINITE || place > LAST_FINITE) return false;
        return code_place(&l, place, out);
    }
    if (!(value >= -0x1p53 && value <= 0x1p53) || (double)(int64_t)value != value) return false;
    int64_t from_low = (int64_t)value - l.low, last = (int64_t)l.places - 3;
    if (from_low >= 0 && from_low <= last) return code_place(&l, (uint64_t)from_low + 1, out);
    code_place(&l, from_low < 0 ? 0 : l.places - 1, out);
    code_escape((uint64_t)(from_low < 0 ? -from_low : from_low - last), out);
    return true;
}

static double decode_on_line(const lk_predictive *p, lk_code_window window, lk_rans *r) {
    line l = line_of(p, window);
    digits d;
    alphabet a = first_digit(&l, &d);
    uint32_t j;
    do j = a.n > 1 ? pop(&a, r) : 0;
    while (next_digit(&d, &a, j));
    uint64_t place = d.from;
    if (l.real) {
        if (place < FIRST_FINITE || place > LAST_FINITE) {
            r->broken = true;
            return 0;
        }
        return (double)lk_float_at((uint32_t)place);
    }
    if (place > 0 && place < l.places - 1) return (double)(l.low + (int64_t)place - 1);
    unsigned length = (unsigned)lk_rans_pop_bits(r, LENGTH_BITS);
    if (length < 1 || length > 55) {
        r->broken = true;
        return (double)l.low;
    }
    int64_t n = (int64_t)1 << (length - 1), most = (int64_t)1 << 53;
    n |= (int64_t)lk_rans_pop_bits(r, length - 1);
    int64_t value = place ? l.low + (int64_t)l.places - 3 + n : l.low - n;
    if (value < -most || value > most) {
        r->broken = true;
        return (double)l.low;
    }
    return (double)value;
}

/* ---- All cells ------------------------------------------------------------------------------------------ */

bool lk_cell_code(const lk_predictive *p, lk_code_window window, double value,
                  lk_cell_pieces *out) {
    double running[LK_MAX_CELL_PARAMS];
    out->n = 0;
    if (p->cell->form.kind->support != LK_SUPPORT_FINITE)
        return code_on_line(p, window, value, out);
    alphabet a = finite_alphabet(p, running);
    if (!(lk_is_count(value) && value < (double)a.n)) return false;
    code_symbol(&a, (uint32_t)value, out);
    return true;
}

void lk_pieces_push(lk_rans *r, const lk_cell_pieces *p) {
    for (size_t i = p->n; i > 0; i--)
        lk_rans_push(r, p->piece[i - 1].start, p->piece[i - 1].size, p->piece[i - 1].bits);
}

double lk_cell_decode(const lk_predictive *p, lk_code_window window, lk_rans *r) {
    double running[LK_MAX_CELL_PARAMS];
    if (p->cell->form.kind->support != LK_SUPPORT_FINITE) return decode_on_line(p, window, r);
    alphabet a = finite_alphabet(p, running);
    return a.n > 1 ? (double)pop(&a, r) : 0;
}

/* ---- Latents -------------------------------------------------------------------------------------------- */

static double bins_below(const void *self, uint32_t j) {
    const lk_bins *b = self;
    double share = (double)j / (double)((uint32_t)1 << b->bits);
    double edge = lk_cell_quantile(b->prior, b->prior_type, b->prior_params, share);
    return lk_cell_cdf(b->given, b->given_type, b->given_params, edge);
}

static alphabet bins_alphabet(const lk_bins *bins) {
    LK_ASSERT(bins->bits >= 1 && bins->bits <= DIGIT);
    return (alphabet){bins_below, bins, (uint32_t)1 << bins->bits, NULL};
}

uint32_t lk_bins_pop(const lk_bins *bins, lk_rans *r) {
    alphabet a = bins_alphabet(bins);
    return pop(&a, r);
}

void lk_bins_push(const lk_bins *bins, lk_rans *r, uint32_t bin) {
    alphabet a = bins_alphabet(bins);
    uint32_t start = start_of(&a, bin), end = start_of(&a, bin + 1);
    LK_ASSERT(end > start);
    lk_rans_push(r, start, end - start, LK_CODE_BITS);
}

double lk_bins_value(const lk_bins *bins, uint32_t bin) {
    double share = ((double)bin + 0.5) / (double)((uint32_t)1 << bins->bits);
    return lk_cell_quantile(bins->prior, bins->prior_type, bins->prior_params, share);
}

/* Shares of weights added in order. */
typedef struct running_weights {
    const double *weights;
    double total;
} running_weights;

static double weights_below(const void *self, uint32_t j) {
    const running_weights *w = self;
    double sum = 0;
    for (uint32_t i = 0; i < j; i++) sum += w->weights[i];
    return sum / w->total;
}

static alphabet weights_alphabet(running_weights *w, size_t n) {
    for (size_t i = 0; i < n; i++) w->total += w->weights[i];
    return (alphabet){weights_below, w, (uint32_t)n, NULL};
}

size_t lk_weights_pop(const double *weights, size_t n, lk_rans *r) {
    running_weights w = {weights, 0};
    alphabet a = weights_alphabet(&w, n);
    return n > 1 ? pop(&a, r) : 0;
}

void lk_weights_push(const double *weights, size_t n, lk_rans *r, size_t value) {
    running_weights w = {weights, 0};
    alphabet a = weights_alphabet(&w, n);
    uint32_t start = start_of(&a, (uint32_t)value), end = start_of(&a, (uint32_t)value + 1);
    LK_ASSERT(end > start);
    if (n > 1) lk_rans_push(r, start, end - start, LK_CODE_BITS);
}
