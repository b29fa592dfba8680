#include "infer/code.h"

#include "infer/evaluate.h"
#include "trace/coding.h"

#include <math.h>
#include <string.h>

enum { ROW_CODE_VERSION = 1, MOST_ROWS = 256, GROWTH = 8 };

struct lk_row_coder {
    lk_model *model;
    lk_tape *tape;
    lk_code_options options;
    lk_code_plan plan;
    const char *site;       /* of the latent */
    size_t values;          /* of a finite latent; else 1 */
    size_t cells;           /* of the latent */
    lk_code_window *window; /* [cells of a row] */
    double *posterior, *latent;
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
    c->options = options ? *options : defaults;
    for (size_t i = 0; i < MOST_ROWS; i++) c->row[i] = i;
    size_t n = model->schema->n_cells;
    c->window = lk_alloc(ctx, n, sizeof *c->window);
    c->tape = lk_tape_create(ctx);
    lk_status status = c->window && c->tape ? LK_OK : LK_NO_MEMORY;
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

lk_status lk_code_rows(lk_row_coder *c, const lk_batch *batch, uint8_t **bytes, size_t *n,
                       lk_code_report *report) {
    static const char *const how[] = {"chain", "marginal", "bits back", "bits back"};
    lk_context *ctx = c->model->ctx;
    bool back = c->plan == LK_CODE_FINITE || c->plan == LK_CODE_BINS;
    size_t side = side_by_side(c), done = 0;
    lk_rans stack;
    lk_status status = LK_OK;
    *bytes = NULL;
    lk_rans_begin(&stack, ctx, back);
    for (size_t rows; status == LK_OK && done < batch->rows; done += rows) {
        rows = next_rows(c->plan, side, done, batch->rows - done);
        status = push_rows(c, &stack, batch, batch->rows - done - rows, rows);
        if (status == LK_OK && lk_cancelled(ctx))
            status = lk_fail(ctx, LK_INTERRUPTED, "interrupted while coding");
    }
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
        if (report)
            *report = (lk_code_report){.initial_bits = 32 * stack.lent, .how = how[c->plan]};
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

static lk_status decode(lk_row_coder *c, lk_rans *stack, const uint8_t *bytes, size_t n,
                        size_t rows, lk_batch *batch) {
    lk_context *ctx = c->model->ctx;
    if (n < LK_ROW_CODE_HEAD || bytes[0] != ROW_CODE_VERSION || bytes[1] < LK_LEAST_LATENT_BITS ||
        bytes[1] > LK_MOST_LATENT_BITS || bytes[3] != c->plan)
        return lk_fail(ctx, LK_BAD_DATA,
                       "these %zu bytes are no rows coded by a model like this one", n);
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
