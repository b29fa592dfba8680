#include "infer/code.h"

#include "infer/evaluate.h"
#include "trace/coding.h"

#include <math.h>
#include <string.h>

enum { ROW_CODE_VERSION = 1, MIXED_ROW_CODE = 2, MOST_ROWS = 256, GROWTH = 8 };
enum { CLASSES = 64, EXACT_CLASSES = 128, PARTNER_BYTES = 2 * LK_PARTNERS, NO_PARTNER = 0xffff };
enum { MOST_MIXED = 4096 }; /* cells: each has weights of its own */

struct lk_row_coder {
    lk_model *model;
    lk_tape *tape;
    lk_code_options options;
    lk_code_plan plan;
    const char *site;       /* of the latent */
    size_t *order;          /* of the chain's cells */
    bool one_order;         /* all rows have it */
    size_t values;          /* of a finite latent; else 1 */
    size_t cells;           /* of the latent */
    lk_code_window *window; /* [cells of a row] */
    double *posterior, *latent;
    lk_mixed *mixed;         /* while such a chunk is coded */
    double *log_prob;        /* [MOST_ROWS] of the rows that were pushed last, or NULL */
    uint64_t row[MOST_ROWS]; /* 0, 1, …: what is coded depends on no number of a row */
};

/* ---- Traces over a few rows ------------------------------------------------------------------------- */

static void observe(lk_trace *t, size_t rows, size_t n, const double *value, const uint8_t *present,
                    const uint8_t *known) {
    lk_trace_observe_known(t, LK_ROW_SITE, lk_constant(t->tape, LK_F64, rows, n, value), present,
                           known);
}

static void begin(lk_row_coder *c, lk_trace *t, const lk_reading *reading, size_t rows) {
    lk_trace_begin(t, c->tape, reading, rows, 1, c->row, 0, 0, "code");
}

static void reset(lk_row_coder *c) {
    lk_tape_reset(c->tape, false);
    if (c->model->family->step) c->model->family->step(c->model, 0, false);
}

/* The guide's distributions for known rows. */
static void read_guide(lk_row_coder *c, lk_trace *guide, size_t rows, const double *value,
                       const uint8_t *present) {
    begin(c, guide, &lk_reading_reparameterise, rows);
    observe(guide, rows, c->model->schema->n_cells, value, present, NULL);
    c->model->family->guide(c->model, guide);
}

static void score(lk_row_coder *c, lk_trace *joint, lk_trace *guide, size_t rows,
                  const double *value, const uint8_t *present) {
    reset(c);
    begin(c, joint, &lk_reading_score, rows);
    observe(joint, rows, c->model->schema->n_cells, value, present, NULL);
    if (c->model->family->guide) {
        read_guide(c, guide, rows, value, present);
        joint->guide = guide;
    }
    c->model->family->joint(c->model, joint);
}

/* ---- The coder ------------------------------------------------------------------------------------------ */

/* A whole number within the largest window. */
static double window_end(double x) {
    if (!(x > -LK_MOST_WINDOW)) return -LK_MOST_WINDOW;
    return x < LK_MOST_WINDOW ? (double)(int64_t)x : LK_MOST_WINDOW;
}

static lk_code_window window_of(const lk_cell *cell) {
    double span = cell->bounded ? 0 : cell->high - cell->low + 1;
    lk_code_window w = {window_end(cell->low - span), window_end(cell->high + span)};
    if (w.high < w.low) w.high = w.low;
    return w;
}

static lk_status find_plan(lk_row_coder *c) {
    size_t n = c->model->schema->n_cells;
    lk_trace joint, guide;
    double *x = lk_alloc(c->model->ctx, n, sizeof *x);
    if (!x) return LK_NO_MEMORY;
    score(c, &joint, &guide, 1, x, NULL);
    lk_free(c->model->ctx, x);
    if (lk_tape_status(c->tape) != LK_OK) return lk_tape_status(c->tape);
    c->plan = lk_code_plan_of(&joint, LK_ROW_SITE, &c->site);
    if (c->plan == LK_CODE_CANNOT)
        return lk_fail(c->model->ctx, LK_CANNOT, "%s cannot code rows without loss: %s",
                       c->model->family->name, c->site);
    c->values = c->cells = 1;
    const lk_chain *chain = lk_trace_site(&joint, LK_ROW_SITE)->dist->chain;
    c->order = lk_alloc(c->model->ctx, n, sizeof *c->order);
    if (!c->order) return LK_NO_MEMORY;
    bool ordered = chain && chain->order;
    for (size_t i = 0; i < n; i++) c->order[i] = ordered ? chain->order[0][i] : i;
    for (size_t lane = 1; ordered && lane < chain->order_rows; lane++)
        c->one_order &= !memcmp(chain->order[lane], c->order, n * sizeof *c->order);
    if (!c->site) return LK_OK;
    const lk_site *z = lk_trace_site(&joint, c->site);
    c->cells = z->dist->n;
    if (z->enumerated) c->values = z->enumerated;
    return LK_OK;
}

lk_status lk_row_coder_create(lk_model *model, const lk_code_options *options, lk_row_coder **out) {
    static const lk_code_options defaults = LK_CODE_DEFAULTS;
    lk_context *ctx = model->ctx;
    lk_row_coder *c = *out = lk_alloc(ctx, 1, sizeof *c);
    if (!c) return LK_NO_MEMORY;
    c->model = model;
    c->one_order = true;
    c->options = options ? *options : defaults;
    for (size_t i = 0; i < MOST_ROWS; i++) c->row[i] = i;
    size_t n = model->schema->n_cells;
    c->window = lk_alloc(ctx, n, sizeof *c->window);
    c->tape = lk_tape_create(ctx);
    lk_status status = c->window && c->tape ? LK_OK : LK_NO_MEMORY;
    if (status == LK_OK && model->schema->n_known)
        status = lk_fail(ctx, LK_CANNOT,
                         "the model gives p(the others | %s), which cannot code whole rows",
                         model->schema->fields[model->schema->cells[0].field].name);
    unsigned bits = c->options.latent_bits;
    if (status == LK_OK && (bits < LK_LEAST_LATENT_BITS || bits > LK_MOST_LATENT_BITS))
        status = lk_fail(ctx, LK_USAGE, "latents are coded in %d to %d bits, not %u",
                         LK_LEAST_LATENT_BITS, LK_MOST_LATENT_BITS, bits);
    for (size_t i = 0; status == LK_OK && i < n; i++)
        c->window[i] = window_of(&model->schema->cells[i]);
    if (status == LK_OK) status = find_plan(c);
    if (status == LK_OK) {
        c->posterior = lk_alloc(ctx, MOST_ROWS * c->values, sizeof *c->posterior);
        c->latent = lk_alloc(ctx, MOST_ROWS * c->cells, sizeof *c->latent);
        if (!c->posterior || !c->latent) status = LK_NO_MEMORY;
    }
    if (status == LK_OK) return LK_OK;
    lk_row_coder_destroy(c);
    *out = NULL;
    return status;
}

void lk_row_coder_destroy(lk_row_coder *c) {
    if (!c) return;
    lk_context *ctx = c->model->ctx;
    lk_tape_destroy(c->tape);
    lk_free(ctx, c->window);
    lk_free(ctx, c->order);
    lk_free(ctx, c->posterior);
    lk_free(ctx, c->latent);
    lk_free(ctx, c);
}

/* Rows side by side: about 4 million numbers of parameters in flight. It is written into the chunk. */
static size_t side_by_side(const lk_row_coder *c) {
    size_t cells = c->model->schema->n_cells * 16 * c->values, rows = ((size_t)1 << 22) / cells;
    return rows < 1 ? 1 : rows > MOST_ROWS ? MOST_ROWS : rows;
}

/* The rows of a chunk are pushed from the last to the first. Of bits back, what is pushed pays for the latents
 * that the next rows pop: so few rows go side by side until there is much. */
static size_t next_rows(lk_code_plan plan, size_t side, size_t done, size_t left) {
    size_t rows = side;
    if (plan == LK_CODE_FINITE || plan == LK_CODE_BINS)
        rows = done / GROWTH < 1 ? 1 : done / GROWTH < side ? done / GROWTH : side;
    return rows < left ? rows : left;
}

/* Weights of a finite latent's values given known rows. */
static lk_status find_posterior(lk_row_coder *c, size_t rows, const double *value,
                                const uint8_t *present) {
    lk_trace joint, guide;
    score(c, &joint, &guide, rows, value, present);
    if (lk_tape_status(c->tape) != LK_OK) return lk_tape_status(c->tape);
    const double *l = joint.log_joint->data;
    size_t have = lk_tensor_rows(joint.log_joint), k = c->values;
    for (size_t row = 0; row < rows; row++) {
        double *w = c->posterior + row * k, top = -INFINITY;
        for (size_t i = 0; i < k; i++) {
            w[i] = l[(i * rows + row) % have];
            top = w[i] > top ? w[i] : top;
        }
        for (size_t i = 0; i < k; i++) w[i] = top > -INFINITY ? lk_exp(w[i] - top) : 1;
    }
    return LK_OK;
}

static lk_coding coding_of(lk_row_coder *c, lk_rans *stack) {
    return (lk_coding){
        .stack = stack,
        .plan = c->plan,
        .row_site = LK_ROW_SITE,
        .window = c->window,
        .latent_bits = c->options.latent_bits,
        .posterior = c->posterior,
        .mixed = c->mixed,
        .log_prob = c->log_prob,
        .bad_row = SIZE_MAX};
}

static lk_status stack_status(const lk_rans *stack) {
    return stack->out_of_memory ? LK_NO_MEMORY : LK_OK;
}

static lk_status push_rows(lk_row_coder *c, lk_rans *stack, const lk_batch *batch, size_t first,
                           size_t rows) {
    size_t n = batch->n_cells;
    const double *value = batch->value + first * n;
    const uint8_t *present = batch->present + first * n;
    lk_coding coding = coding_of(c, stack);
    lk_trace joint, guide;
    if (c->plan == LK_CODE_FINITE) {
        lk_status status = find_posterior(c, rows, value, present);
        if (status != LK_OK) return status;
    }
    reset(c);
    begin(c, &joint, &lk_reading_push, rows);
    joint.user = &coding;
    observe(&joint, rows, n, value, present, batch->marked ? batch->known + first * n : NULL);
    if (c->plan == LK_CODE_BINS) {
        read_guide(c, &guide, rows, value, present);
        joint.guide = &guide;
    }
    c->model->family->joint(c->model, &joint);
    if (!lk_trace_can_know(&joint) || lk_tape_status(c->tape) != LK_OK)
        return lk_tape_status(c->tape);
    if (coding.bad_row != SIZE_MAX)
        return lk_fail(
            c->model->ctx, LK_BAD_DATA,
            "row %zu cannot be coded: its cell %zu (of the field \"%s\") is missing or has "
            "no such value",
            first + coding.bad_row + 1, coding.bad_cell + 1,
            c->model->schema->fields[c->model->schema->cells[coding.bad_cell].field].name);
    lk_coding_push_end(&joint);
    return stack_status(stack);
}

bool lk_code_row_fits(const lk_model *model, const double *value, const uint8_t *present,
                      size_t *cell) {
    const lk_schema *schema = model->schema;
    bool missing = false;
    for (size_t i = 0; i < schema->n_cells; i++) {
        const lk_cell *about = &schema->cells[i];
        double v = value[i];
        *cell = i;
        bool gated = i > 0 && !about->missingness && schema->fields[about->field].has_missing;
        if (about->missingness) missing = v == 1;
        if (gated && missing) {
            if (present[i]) return false;
            continue;
        }
        if (!present[i]) return false;
        if (about->kind == LK_FIELD_REAL
                ? (double)(float)v != v || v - v != 0
                : !(v >= -0x1p53 && v <= 0x1p53 && v == (double)(int64_t)v))
            return false;
        if (about->n && !(v >= 0 && v < (double)about->n)) return false;
    }
    return true;
}

/* Rows [first, first + rows) of a batch, borrowed. */
static lk_batch part_of(const lk_batch *batch, size_t first, size_t rows) {
    lk_batch part = *batch;
    part.first_row += first;
    part.rows = part.capacity = rows;
    part.row += first;
    part.value += first * batch->n_cells;
    part.present += first * batch->n_cells;
    part.known += first * batch->n_cells;
    if (part.weight) part.weight += first;
    return part;
}

/* The exponent of the distance between a float32 and the next. */
static int float_exponent(double value) {
    float x = (float)value;
    uint32_t word;
    memcpy(&word, &x, sizeof word);
    int exponent = (int)(word >> 23 & 0xff);
    return (exponent ? exponent : 1) - 150;
}

/* Bits of rows [first, first + rows) with these log-probabilities. */
static double bits_of(const lk_row_coder *c, const lk_batch *batch, size_t first, size_t rows,
                      const double *log_prob) {
    const lk_cell *cells = c->model->schema->cells;
    size_t n = batch->n_cells;
    double bits = 0;
    for (size_t i = 0; i < rows; i++) bits -= log_prob[i] * 0x1.71547652b82fep+0; /* 1 / log 2 */
    for (size_t i = first * n; i < (first + rows) * n; i++)
        if (batch->present[i] && cells[i % n].kind == LK_FIELD_REAL)
            bits -= float_exponent(batch->value[i]);
    return bits;
}

lk_status lk_code_predicted(lk_row_coder *c, const lk_batch *batch, double *bits) {
    double log_prob[MOST_ROWS];
    lk_status status = LK_OK;
    *bits = 0;
    for (size_t done = 0, rows; status == LK_OK && done < batch->rows; done += rows) {
        rows = batch->rows - done < MOST_ROWS ? batch->rows - done : MOST_ROWS;
        lk_batch part = part_of(batch, done, rows);
        lk_evaluation e = {.particles = 1, .salt = "code", .log_prob = log_prob};
        part.row = c->row;
        part.first_row = 0;
        status = lk_evaluate(c->model, c->tape, &part, &e);
        if (status == LK_OK) *bits += bits_of(c, batch, done, rows, log_prob);
        if (status == LK_OK && lk_cancelled(c->model->ctx))
            status = lk_fail(c->model->ctx, LK_INTERRUPTED, "interrupted while coding");
    }
    return status;
}

/* ---- Mixed rows ----------------------------------------------------------------------------------------- */

void lk_row_coder_mix(lk_row_coder *c, bool mixed) { c->options.mixed = mixed; }

bool lk_row_coder_mixes(const lk_row_coder *c) {
    return c->options.mixed && c->one_order &&
           (c->plan == LK_CODE_CHAIN || c->plan == LK_CODE_MARGINAL) &&
           c->model->schema->n_cells <= MOST_MIXED;
}

static void mixed_close(lk_row_coder *c, lk_mixed *m) {
    lk_context *ctx = c->model->ctx;
    lk_mixer_destroy(m->mixer);
    lk_free(ctx, m->cell);
    lk_free(ctx, m->above);
    lk_free(ctx, m->above_there);
    c->mixed = NULL;
}

static lk_status mixed_open(lk_row_coder *c, uint64_t rows, const uint8_t *code, size_t n_code,
                            lk_mixed *m) {
    const lk_schema *schema = c->model->schema;
    lk_context *ctx = c->model->ctx;
    size_t n = schema->n_cells;
    *m = (lk_mixed){.n = n};
    m->cell = lk_alloc(ctx, n, sizeof *m->cell);
    m->above = lk_alloc(ctx, n, sizeof *m->above);
    m->above_there = lk_alloc(ctx, n, 1);
    lk_status status = m->cell && m->above && m->above_there ? LK_OK : LK_NO_MEMORY;
    if (status == LK_OK) status = lk_mixer_create(ctx, n, rows * n * 8, code, n_code, &m->mixer);
    for (size_t i = 0; status == LK_OK && i < n; i++) {
        const lk_cell *cell = &schema->cells[i];
        double span = cell->high - cell->low;
        m->cell[i] = (lk_mixed_cell){.window = c->window[i], .partner = {UINT32_MAX, UINT32_MAX}};
        if (cell->kind == LK_FIELD_REAL) continue;
        m->cell[i].low = (int64_t)window_end(cell->low);
        m->cell[i].width = 1;
        if (!cell->n && span >= EXACT_CLASSES)
            m->cell[i].width = (int64_t)window_end(span) / CLASSES + 1;
    }
    c->mixed = m;
    return status;
}

/* How often classes were seen, to tell what a cell costs given others. */
enum { COUNTS = 1 << 14, NEAR = 40, SAMPLE = 4000 };
#define MOST_WORK 4e7

typedef struct tally {
    uint16_t both[COUNTS], given[COUNTS], alone[COUNTS];
} tally;

typedef struct sample {
    size_t rows, n;
    uint32_t *class; /* [rows, n] */
} sample;

/* Nats of cell c given cells a and b (or none), each value told by those before it. */
static double cost(const sample *s, tally *t, size_t c, uint32_t a, uint32_t b) {
    double sum = 0;
    memset(t, 0, sizeof *t);
    for (size_t row = 0; row < s->rows; row++) {
        const uint32_t *x = s->class + row * s->n;
        uint32_t context =
            lk_mix_hash(a == UINT32_MAX ? 0 : x[a] + 1, b == UINT32_MAX ? 0 : x[b] + 1);
        uint16_t *alone = &t->alone[lk_mix_hash(x[c], 1) % COUNTS];
        uint16_t *given = &t->given[lk_mix_hash(context, 2) % COUNTS];
        uint16_t *both = &t->both[lk_mix_hash(context, x[c] + 3) % COUNTS];
        double p = (*alone + 1.0) / ((double)row + CLASSES);
        sum -= lk_log((*both + 2 * p) / (*given + 2.0));
        ++*alone, ++*given, ++*both;
    }
    return sum;
}

static void find_partners(const sample *s, tally *t, const size_t *order, lk_mixed *m) {
    for (size_t i = 1; i < s->n; i++) {
        lk_mixed_cell *cell = &m->cell[order[i]];
        double best = cost(s, t, order[i], UINT32_MAX, UINT32_MAX);
        for (size_t k = 0; k < LK_PARTNERS; k++) {
            for (size_t j = i; j > 0 && i - j < NEAR; j--) {
                uint32_t other = (uint32_t)order[j - 1], first = k ? cell->partner[0] : UINT32_MAX;
                if (other == first) continue;
                double now = cost(s, t, order[i], other, first);
                if (now < best) best = now, cell->partner[k] = other;
            }
            if (cell->partner[k] == UINT32_MAX) break;
        }
    }
}

/* Which earlier cells tell most of each, by some of the rows: told to the decoder. */
static lk_status choose_partners(lk_row_coder *c, const lk_batch *batch, lk_mixed *m) {
    lk_context *ctx = c->model->ctx;
    size_t n = batch->n_cells, pairs = n * (n < NEAR ? n : NEAR);
    sample s = {.n = n, .rows = batch->rows < SAMPLE ? batch->rows : SAMPLE};
    while (s.rows > 100 && (double)s.rows * (double)pairs > MOST_WORK) s.rows /= 2;
    s.class = lk_alloc(ctx, s.rows * n + 1, sizeof *s.class);
    tally *t = lk_alloc(ctx, 1, sizeof *t);
    lk_status status = s.class && t ? LK_OK : LK_NO_MEMORY;
    for (size_t row = 0; status == LK_OK && row < s.rows; row++)
        for (size_t i = 0; i < n; i++) {
            size_t at = (size_t)((uint64_t)row * batch->rows / s.rows) * n + i;
            s.class[row * n + i] =
                lk_mixed_class(&m->cell[i], batch->present[at], batch->value[at]);
        }
    if (status == LK_OK) find_partners(&s, t, c->order, m);
    lk_free(ctx, s.class);
    lk_free(ctx, t);
    return status;
}

static lk_status code_mixed(lk_row_coder *c, const lk_batch *batch, uint8_t **bytes, size_t *n) {
    lk_context *ctx = c->model->ctx;
    size_t side = side_by_side(c), n_cells = batch->n_cells, n_code = 0;
    const uint8_t *code = NULL;
    lk_rans none;
    lk_mixed m;
    lk_rans_begin(&none, ctx, false);
    lk_status status = mixed_open(c, batch->rows, NULL, 0, &m);
    if (status == LK_OK) status = choose_partners(c, batch, &m);
    for (size_t done = 0, rows; status == LK_OK && done < batch->rows; done += rows) {
        rows = batch->rows - done < side ? batch->rows - done : side;
        status = push_rows(c, &none, batch, done, rows);
        if (status == LK_OK && lk_cancelled(ctx))
            status = lk_fail(ctx, LK_INTERRUPTED, "interrupted while coding");
    }
    if (status == LK_OK) status = lk_mixer_finish(m.mixer, &code, &n_code);
    if (status == LK_OK) {
        *n = LK_ROW_CODE_HEAD + PARTNER_BYTES * n_cells + n_code;
        *bytes = lk_alloc(ctx, *n, 1);
        status = *bytes ? LK_OK : LK_NO_MEMORY;
    }
    if (status == LK_OK) {
        uint8_t *to = *bytes;
        *to++ = MIXED_ROW_CODE;
        *to++ = 0;
        *to++ = (uint8_t)(side - 1);
        *to++ = (uint8_t)c->plan;
        for (size_t i = 0; i < n_cells; i++)
            for (size_t k = 0; k < LK_PARTNERS; k++) {
                *to++ = (uint8_t)m.cell[i].partner[k];
                *to++ = (uint8_t)(m.cell[i].partner[k] >> 8);
            }
        if (n_code) memcpy(to, code, n_code);
    }
    mixed_close(c, &m);
    return status;
}

lk_status lk_code_rows(lk_row_coder *c, const lk_batch *batch, uint8_t **bytes, size_t *n,
                       lk_code_report *report) {
    static const char *const how[] = {"chain", "marginal", "bits back", "bits back"};
    lk_context *ctx = c->model->ctx;
    bool back = c->plan == LK_CODE_FINITE || c->plan == LK_CODE_BINS;
    size_t side = side_by_side(c), done = 0;
    double log_prob[MOST_ROWS], predicted = 0;
    lk_rans stack;
    lk_status status = LK_OK;
    *bytes = NULL;
    if (lk_row_coder_mixes(c) && !batch->marked) {
        if (report) *report = (lk_code_report){.how = "mixed", .predicted = -1};
        return code_mixed(c, batch, bytes, n);
    }
    lk_rans_begin(&stack, ctx, back);
    if (!back && report && !batch->marked) c->log_prob = log_prob;
    for (size_t rows; status == LK_OK && done < batch->rows; done += rows) {
        size_t left = batch->rows - done;
        rows = next_rows(c->plan, side, done, left);
        memset(log_prob, 0, sizeof log_prob);
        status = push_rows(c, &stack, batch, left - rows, rows);
        if (status == LK_OK) predicted += bits_of(c, batch, left - rows, rows, log_prob);
        if (status == LK_OK && lk_cancelled(ctx))
            status = lk_fail(ctx, LK_INTERRUPTED, "interrupted while coding");
    }
    if (!c->log_prob) predicted = -1;
    c->log_prob = NULL;
    if (status == LK_OK) {
        *n = LK_ROW_CODE_HEAD + lk_rans_bytes(&stack);
        *bytes = lk_alloc(ctx, *n, 1);
        status = *bytes ? LK_OK : LK_NO_MEMORY;
    }
    if (status == LK_OK) {
        (*bytes)[0] = ROW_CODE_VERSION;
        (*bytes)[1] = (uint8_t)c->options.latent_bits;
        (*bytes)[2] = (uint8_t)(side - 1);
        (*bytes)[3] = (uint8_t)c->plan;
        lk_rans_write(&stack, *bytes + LK_ROW_CODE_HEAD);
        if (report) *report = (lk_code_report){32 * stack.lent, how[c->plan], predicted};
    }
    lk_rans_free(&stack);
    return status;
}

static lk_status pop_rows(lk_row_coder *c, lk_rans *stack, unsigned latent_bits, lk_batch *batch,
                          size_t first, size_t rows) {
    size_t n = batch->n_cells;
    double *value = batch->value + first * n;
    uint8_t *present = batch->present + first * n;
    lk_coding coding = coding_of(c, stack);
    lk_trace joint, guide;
    coding.latent_bits = latent_bits;
    reset(c);
    begin(c, &joint, &lk_reading_pop, rows);
    joint.user = &coding;
    if (batch->marked) observe(&joint, rows, n, value, NULL, batch->known + first * n);
    c->model->family->joint(c->model, &joint);
    if (!lk_trace_can_know(&joint) || lk_tape_status(c->tape) != LK_OK)
        return lk_tape_status(c->tape);
    const lk_site *x = lk_trace_site(&joint, LK_ROW_SITE);
    memcpy(value, x->value->data, rows * n * sizeof *value);
    memcpy(present, x->present, rows * n);
    if (stack->broken) return LK_OK;
    if (c->plan == LK_CODE_BINS) {
        read_guide(c, &guide, rows, value, present);
        if (lk_tape_status(c->tape) != LK_OK) return lk_tape_status(c->tape);
        lk_coding_pop_end_bins(&joint, &guide);
    } else if (c->plan == LK_CODE_FINITE) {
        memcpy(c->latent, coding.latent, rows * sizeof *c->latent);
        lk_status status = find_posterior(c, rows, value, present);
        if (status != LK_OK) return status;
        for (size_t row = rows; row > 0; row--)
            lk_weights_push(c->posterior + (row - 1) * c->values, c->values, stack,
                            (size_t)c->latent[row - 1]);
    }
    return stack_status(stack);
}

/* Sizes of the runs of rows, in the order in which they were pushed. */
static size_t *runs_of(lk_context *ctx, lk_code_plan plan, size_t side, size_t rows,
                       size_t *count) {
    size_t most = rows / side + (size_t)GROWTH * side + 2, done = 0, n = 0;
    if (most > rows + 1) most = rows + 1;
    size_t *runs = lk_alloc(ctx, most, sizeof *runs);
    for (; runs && done < rows; done += runs[n++])
        runs[n] = next_rows(plan, side, done, rows - done);
    *count = n;
    return runs;
}

static lk_status no_code(lk_context *ctx, size_t n) {
    return lk_fail(ctx, LK_BAD_DATA, "these %zu bytes are no rows coded by a model like this one",
                   n);
}

static lk_status decode_mixed(lk_row_coder *c, const uint8_t *bytes, size_t n, size_t rows,
                              lk_batch *batch) {
    lk_context *ctx = c->model->ctx;
    size_t n_cells = batch->n_cells, head = LK_ROW_CODE_HEAD + PARTNER_BYTES * n_cells;
    if (n < head || bytes[3] != c->plan || c->plan > LK_CODE_MARGINAL || batch->marked ||
        !c->one_order)
        return no_code(ctx, n);
    size_t side = (size_t)bytes[2] + 1;
    lk_rans none;
    lk_mixed m;
    lk_rans_begin(&none, ctx, false);
    lk_status status = mixed_open(c, rows, bytes + head, n - head, &m);
    for (size_t i = 0; status == LK_OK && i < n_cells * LK_PARTNERS; i++) {
        const uint8_t *from = bytes + LK_ROW_CODE_HEAD + 2 * i;
        uint32_t partner = (uint32_t)from[0] | (uint32_t)from[1] << 8;
        if (partner == NO_PARTNER) continue;
        if (partner >= n_cells) status = no_code(ctx, n);
        m.cell[i / LK_PARTNERS].partner[i % LK_PARTNERS] = partner;
    }
    for (size_t done = 0, some; status == LK_OK && done < rows && !m.broken; done += some) {
        some = rows - done < side ? rows - done : side;
        status = pop_rows(c, &none, LK_LEAST_LATENT_BITS, batch, done, some);
        if (status == LK_OK && lk_cancelled(ctx))
            status = lk_fail(ctx, LK_INTERRUPTED, "interrupted while decoding");
    }
    if (status == LK_OK && (m.broken || !lk_mixer_is_whole(m.mixer))) status = no_code(ctx, n);
    mixed_close(c, &m);
    return status;
}

static lk_status decode(lk_row_coder *c, lk_rans *stack, const uint8_t *bytes, size_t n,
                        size_t rows, lk_batch *batch) {
    lk_context *ctx = c->model->ctx;
    if (n >= LK_ROW_CODE_HEAD && bytes[0] == MIXED_ROW_CODE)
        return decode_mixed(c, bytes, n, rows, batch);
    if (n < LK_ROW_CODE_HEAD || bytes[0] != ROW_CODE_VERSION || bytes[1] < LK_LEAST_LATENT_BITS ||
        bytes[1] > LK_MOST_LATENT_BITS || bytes[3] != c->plan)
        return no_code(ctx, n);
    size_t side = (size_t)bytes[2] + 1, count;
    lk_status status = lk_rans_read(stack, bytes + LK_ROW_CODE_HEAD, n - LK_ROW_CODE_HEAD);
    if (status != LK_OK) return status;
    size_t *runs = runs_of(ctx, c->plan, side, rows, &count), first = 0;
    if (!runs) return LK_NO_MEMORY;
    for (; status == LK_OK && count && !stack->broken; first += runs[count]) {
        status = pop_rows(c, stack, bytes[1], batch, first, runs[--count]);
        if (status == LK_OK && lk_cancelled(ctx))
            status = lk_fail(ctx, LK_INTERRUPTED, "interrupted while decoding");
    }
    lk_free(ctx, runs);
    if (status == LK_OK && !lk_rans_is_empty(stack))
        status = lk_fail(
            ctx, LK_BAD_DATA,
            "the code is damaged, or was made by another model: it does not end as it began");
    return status;
}

lk_status lk_decode_rows(lk_row_coder *c, const uint8_t *bytes, size_t n, size_t rows,
                         lk_batch *batch) {
    lk_context *ctx = c->model->ctx;
    batch->rows = 0;
    if (rows > batch->capacity || batch->n_cells != c->model->schema->n_cells)
        return lk_fail(ctx, LK_USAGE, "%zu rows of %zu cells do not fit the batch", rows,
                       c->model->schema->n_cells);
    lk_rans stack;
    lk_rans_begin(&stack, ctx, false);
    lk_status status = decode(c, &stack, bytes, n, rows, batch);
    lk_rans_free(&stack);
    if (status != LK_OK) return status;
    batch->rows = rows;
    batch->all_present = true;
    for (size_t i = 0; i < rows * batch->n_cells; i++)
        if (!batch->present[i]) batch->all_present = false;
    for (size_t i = 0; i < rows; i++) batch->row[i] = i;
    batch->weighted = false;
    return LK_OK;
}
