#include "infer/series_code.h"

#include "base/threads.h"
#include "data/kinds.h"
#include "infer/adapt.h"
#include "trace/coding.h"

#include <string.h>

enum { TRIED = 8 /* windows by which a label is chosen */ };

/* Pieces of symbols in the order in which they are popped. */
typedef struct piece_list {
    struct {
        uint32_t start, size;
        uint8_t bits;
    } * piece;
    size_t n, room;
} piece_list;

struct lk_series_coder {
    lk_model *model;
    lk_tape *tape;
    const lk_field *field;
    size_t labels, stride, symbols; /* cells in front of a row's; new ones of a row; outcomes */
    size_t rows;                    /* evaluated at a time */
    lk_batch batch;                 /* of `rows` rows, or of as many as there are lanes */
    lk_code_window *window;         /* [cells of a row] */
    lk_adapting adapting;           /* between the first and the last window of a run with steps */
};

/* ---- Windows ------------------------------------------------------------------------------------------- */

static size_t lane_begin(const lk_series_run *run, size_t lane) {
    return (size_t)((uint64_t)run->n * lane / run->lanes);
}

/* Windows of the longest lane. */
static size_t steps_of(const lk_series_coder *c, const lk_series_run *run) {
    size_t longest = (run->n + run->lanes - 1) / run->lanes;
    return (longest + c->stride - 1) / c->stride;
}

/* Where lane l's window `step` begins to be new, and how much of it is. */
static size_t fresh_of(const lk_series_coder *c, const lk_series_run *run, size_t step, size_t lane,
                       size_t *first) {
    size_t begin = lane_begin(run, lane), end = lane_begin(run, lane + 1);
    *first = begin + step * c->stride;
    if (*first >= end) return 0;
    return end - *first < c->stride ? end - *first : c->stride;
}

/* Row `at` of the batch: its known cells, and which are new. `all`: with the new ones' values. Without symbols there are no
 * values yet. */
static void lay_row(lk_series_coder *c, const lk_series_run *run, size_t step, size_t lane,
                    const uint16_t *symbols, bool all, size_t at) {
    size_t n = c->field->size, overlap = c->field->overlap, first, row = at * (c->labels + n);
    size_t fresh = fresh_of(c, run, step, lane, &first), before = step * c->stride;
    size_t known = !fresh ? 0 : before < overlap ? before : overlap;
    double *value = c->batch.value + row;
    uint8_t *present = c->batch.present + row, *mark = c->batch.known + row;
    for (size_t i = 0; i < c->labels; i++) {
        *value++ = (double)run->label;
        *present++ = 1;
        *mark++ = LK_KNOWN;
    }
    for (size_t i = 0; i < n; i++) {
        bool context = i < overlap && i + known >= overlap;
        bool new = i >= overlap &&i - overlap < fresh;
        bool there = symbols && (context || (all && new));
        value[i] = there ? symbols[first + i - overlap] : 0;
        present[i] = there;
        mark[i] = context ? LK_KNOWN : new ? 0 : LK_OUTSIDE;
    }
    c->batch.row[at] = at;
}

static lk_status make_room(lk_series_coder *c, size_t rows) {
    if (rows <= c->batch.capacity) return LK_OK;
    lk_context *ctx = c->model->ctx;
    lk_batch_destroy(ctx, &c->batch);
    return lk_batch_create(ctx, rows, c->model->schema->n_cells, &c->batch);
}

static void begin(lk_series_coder *c, lk_trace *t, const lk_reading *reading, size_t rows,
                  void *user, bool present) {
    lk_batch *b = &c->batch;
    lk_tape_reset(c->tape, false);
    if (c->model->family->step) c->model->family->step(c->model, 0, false);
    lk_trace_begin(t, c->tape, reading, rows, 1, b->row, 0, 0, "code");
    t->user = user;
    lk_trace_observe_known(t, LK_ROW_SITE, lk_constant(c->tape, LK_F64, rows, b->n_cells, b->value),
                           present ? b->present : NULL, b->known);
    c->model->family->joint(c->model, t);
}

/* ---- Learning on the way ----------------------------------------------------------------------------------- */

/* The model learns from window `step` of all lanes, if another comes. Each lane has new symbols there: lanes differ by one at the
 * most, so that only the last can be empty. */
static lk_status learn_window(lk_series_coder *c, const lk_series_run *run, size_t step,
                              const uint16_t *symbols) {
    if (!(run->adapt > 0) || step + 1 >= steps_of(c, run)) return LK_OK;
    for (size_t lane = 0; lane < run->lanes; lane++)
        lay_row(c, run, step, lane, symbols, true, lane);
    c->batch.rows = run->lanes;
    c->batch.marked = true;
    c->batch.all_present = false;
    return lk_adapt_step(&c->adapting, c->tape, &c->batch);
}

static lk_status start_learning(lk_series_coder *c, const lk_series_run *run) {
    return run->adapt > 0 ? lk_adapt_start(c->model, run->adapt, &c->adapting) : LK_OK;
}

/* ---- All at once --------------------------------------------------------------------------------------- */

/* What is made of the rows of a batch. */
typedef struct making {
    lk_series_coder *c;
    lk_cell_pieces *pieces; /* [rows, cells]; NULL: the probabilities alone */
    double *log_prob;       /* [rows] */
    bool *bad;              /* [rows] */
    /* of the reading */
    const lk_dist *dist;
    const lk_tensor *params;
} making;

static void make_rows(void *argument, size_t first, size_t end) {
    making *m = argument;
    const lk_series_coder *c = m->c;
    size_t n = m->dist->n, bytes = lk_tensor_cols(m->params) * lk_dtype_size(m->params->dtype);
    for (size_t row = first; row < end; row++) {
        const void *params = (const char *)m->params->data +
                             row % lk_tensor_rows(m->params) * bytes;
        m->log_prob[row] = 0;
        m->bad[row] = false;
        for (size_t i = 0; i < n; i++) {
            size_t at = row * n + i;
            const lk_cell_dist *cell = &m->dist->cells[i];
            if (m->pieces) m->pieces[at].n = 0;
            if (c->batch.known[at]) continue;
            m->log_prob[row] +=
                lk_cell_log_prob(cell, m->params->dtype, params, c->batch.value[at], NULL, NULL);
            if (!m->pieces) continue;
            lk_predictive p = {.cell = cell,
                               .dtype = m->params->dtype,
                               .n = 1,
                               .weight = (const double[]){1},
                               .params = &params};
            m->bad[row] |= !lk_cell_code(&p, c->window[i], c->batch.value[at], &m->pieces[at]);
        }
    }
}

static void make_draw(lk_trace *trace, lk_site *site, const lk_dist *dist) {
    making *m = trace->user;
    if (!site->observed) { /* a latent, which lk_trace_can_know will refuse */
        lk_reading_sample.draw(trace, site, dist);
        return;
    }
    m->dist = dist;
    m->params = lk_dist_params(trace, dist, site->value, site->present);
    if (lk_trace_status(trace) != LK_OK) return;
    lk_parallel(trace->ctx, trace->rows, 1, make_rows, m);
}

static const lk_reading make_reading = {"series", make_draw};

/* The batch's first `rows` rows. */
static lk_status make(lk_series_coder *c, size_t rows, making *m) {
    lk_trace trace;
    begin(c, &trace, &make_reading, rows, m, true);
    if (!lk_trace_can_know(&trace) || lk_tape_status(c->tape) != LK_OK)
        return lk_tape_status(c->tape);
    for (size_t row = 0; row < rows; row++)
        if (m->bad[row])
            return c->adapting.model
                       ? lk_fail(c->model->ctx, LK_CANNOT,
                                 "going on learning at a rate of %g, the model came to have no "
                                 "probabilities any more; take a smaller rate",
                                 c->adapting.optimiser.options.learning_rate)
                       : lk_fail(c->model->ctx, LK_BAD_DATA,
                                 "a symbol is none of the model's alphabet");
    if (lk_cancelled(c->model->ctx))
        return lk_fail(c->model->ctx, LK_INTERRUPTED, "interrupted while coding");
    return LK_OK;
}

static lk_status add_pieces(lk_context *ctx, piece_list *list, const lk_cell_pieces *pieces) {
    if (list->n + pieces->n > list->room) {
        size_t room = list->room ? 2 * list->room : 4096;
        void *grown = lk_resize(ctx, list->piece, list->room, room, sizeof *list->piece);
        if (!grown) return LK_NO_MEMORY;
        list->piece = grown;
        list->room = room;
    }
    for (size_t i = 0; i < pieces->n; i++, list->n++) {
        list->piece[list->n].start = pieces->piece[i].start;
        list->piece[list->n].size = pieces->piece[i].size;
        list->piece[list->n].bits = pieces->piece[i].bits;
    }
    return LK_OK;
}

/* A block of whole steps, whose rows are evaluated `rows` at a time; then their pieces go step by step, cell by cell, lane by
 * lane. */
static lk_status code_block(lk_series_coder *c, const lk_series_run *run, const uint16_t *symbols,
                            size_t step, size_t steps, making *m, piece_list *list,
                            double *log_prob) {
    size_t n = c->batch.n_cells, rows = steps * run->lanes;
    lk_cell_pieces *pieces = m->pieces;
    lk_status status = LK_OK;
    if (!pieces) return LK_NO_MEMORY;
    for (size_t done = 0, some; status == LK_OK && done < rows; done += some) {
        some = rows - done < c->rows ? rows - done : c->rows;
        for (size_t i = 0; i < some; i++)
            lay_row(c, run, step + (done + i) / run->lanes, (done + i) % run->lanes, symbols, true,
                    i);
        m->pieces = pieces + done * n;
        status = make(c, some, m);
        for (size_t i = 0; status == LK_OK && i < some; i++) *log_prob += m->log_prob[i];
    }
    m->pieces = pieces;
    for (size_t s = 0; s < steps; s++)
        for (size_t i = 0; i < n; i++)
            for (size_t lane = 0; status == LK_OK && lane < run->lanes; lane++)
                status = add_pieces(c->model->ctx, list, &pieces[(s * run->lanes + lane) * n + i]);
    return status;
}

static lk_status open_making(lk_series_coder *c, size_t block, making *m) {
    lk_context *ctx = c->model->ctx;
    *m = (making){.c = c};
    if (block) m->pieces = lk_alloc(ctx, block * c->model->schema->n_cells, sizeof *m->pieces);
    m->log_prob = lk_alloc(ctx, c->rows, sizeof *m->log_prob);
    m->bad = lk_alloc(ctx, c->rows, sizeof *m->bad);
    if ((block && !m->pieces) || !m->log_prob || !m->bad) return LK_NO_MEMORY;
    return make_room(c, c->rows);
}

static void close_making(making *m) {
    lk_context *ctx = m->c->model->ctx;
    lk_free(ctx, m->pieces);
    lk_free(ctx, m->log_prob);
    lk_free(ctx, m->bad);
}

lk_status lk_code_series(lk_series_coder *c, const lk_series_run *run, const uint16_t *symbols,
                         lk_rans *stack, double *predicted) {
    size_t steps = steps_of(c, run), at_once = run->adapt > 0 ? 1 : c->rows / run->lanes;
    piece_list list = {0};
    making m;
    double log_prob = 0;
    if (!at_once) at_once = 1;
    lk_status status = open_making(c, at_once * run->lanes, &m);
    if (status == LK_OK && run->adapt > 0) status = make_room(c, run->lanes);
    if (status == LK_OK) status = start_learning(c, run);
    for (size_t step = 0; status == LK_OK && step < steps; step += at_once) {
        size_t some = steps - step < at_once ? steps - step : at_once;
        status = code_block(c, run, symbols, step, some, &m, &list, &log_prob);
        if (status == LK_OK) status = learn_window(c, run, step, symbols);
    }
    lk_adapt_stop(&c->adapting);
    for (size_t i = list.n; status == LK_OK && i > 0; i--)
        lk_rans_push(stack, list.piece[i - 1].start, list.piece[i - 1].size,
                     list.piece[i - 1].bits);
    if (stack->out_of_memory) status = LK_NO_MEMORY;
    *predicted = -log_prob * 0x1.71547652b82fep+0; /* 1 / log 2 */
    close_making(&m);
    lk_free(c->model->ctx, list.piece);
    return status;
}

lk_status lk_series_choose_label(lk_series_coder *c, const uint16_t *symbols, lk_series_run *run) {
    size_t steps = steps_of(c, run), some = steps < TRIED ? steps : TRIED, best = 0;
    double most = 0;
    making m;
    run->label = 0;
    if (!c->labels || !run->n) return LK_OK;
    lk_status status = open_making(c, 0, &m);
    for (size_t label = 0; status == LK_OK && label < c->model->schema->cells[0].n; label++) {
        double log_prob = 0;
        run->label = label;
        for (size_t i = 0; status == LK_OK && i < some; i++) {
            lay_row(c, run, i, 0, symbols, true, 0);
            status = make(c, 1, &m);
            log_prob += m.log_prob[0];
        }
        if (label && !(log_prob > most)) continue;
        most = log_prob;
        best = label;
    }
    run->label = best;
    close_making(&m);
    return status;
}

/* ---- One after the other ------------------------------------------------------------------------------- */

/* Window `step` of all lanes. */
static lk_status decode_window(lk_series_coder *c, const lk_series_run *run, size_t step,
                               lk_rans *stack, uint16_t *symbols) {
    size_t n = c->model->schema->n_cells, front = c->labels + c->field->overlap;
    lk_trace trace;
    lk_coding coding = {.stack = stack,
                        .plan = LK_CODE_CHAIN,
                        .row_site = LK_ROW_SITE,
                        .window = c->window,
                        .bad_row = SIZE_MAX};
    for (size_t lane = 0; lane < run->lanes; lane++)
        lay_row(c, run, step, lane, symbols, false, lane);
    begin(c, &trace, &lk_reading_pop, run->lanes, &coding, false);
    if (!lk_trace_can_know(&trace) || lk_tape_status(c->tape) != LK_OK)
        return lk_tape_status(c->tape);
    if (stack->broken) return LK_BAD_DATA;
    const double *x = lk_trace_site(&trace, LK_ROW_SITE)->value->data;
    for (size_t lane = 0; lane < run->lanes; lane++) {
        size_t first, fresh = fresh_of(c, run, step, lane, &first);
        for (size_t i = 0; i < fresh; i++) {
            double value = x[lane * n + front + i];
            if (!(value >= 0 && value < (double)c->symbols)) return LK_BAD_DATA;
            symbols[first + i] = (uint16_t)value;
        }
    }
    return lk_cancelled(c->model->ctx)
               ? lk_fail(c->model->ctx, LK_INTERRUPTED, "interrupted while decoding")
               : LK_OK;
}

lk_status lk_decode_series(lk_series_coder *c, const lk_series_run *run, lk_rans *stack,
                           uint16_t *symbols) {
    size_t steps = steps_of(c, run);
    lk_status status = make_room(c, run->lanes);
    if (run->label >= (c->labels ? c->model->schema->cells[0].n : 1)) return LK_BAD_DATA;
    if (status == LK_OK) status = start_learning(c, run);
    for (size_t step = 0; status == LK_OK && step < steps; step++) {
        status = decode_window(c, run, step, stack, symbols);
        if (status == LK_OK) status = learn_window(c, run, step, symbols);
    }
    lk_adapt_stop(&c->adapting);
    return status;
}

/* ---- The coder ------------------------------------------------------------------------------------------ */

/* One row of nothing tells whether the joint is a chain that goes forward. */
static lk_status check(lk_series_coder *c) {
    const lk_series_run run = {.lanes = 1};
    lk_rans none;
    lk_trace trace;
    lk_coding coding = {
        .stack = &none, .plan = LK_CODE_CHAIN, .row_site = LK_ROW_SITE, .window = c->window};
    lay_row(c, &run, 0, 0, NULL, false, 0);
    lk_rans_begin(&none, c->model->ctx, false);
    begin(c, &trace, &lk_reading_pop, 1, &coding, false);
    lk_rans_free(&none);
    if (!lk_trace_can_know(&trace) || lk_tape_status(c->tape) != LK_OK)
        return lk_tape_status(c->tape);
    const lk_chain *chain = lk_trace_site(&trace, LK_ROW_SITE)->dist->chain;
    if (chain && chain->order)
        return lk_fail(c->model->ctx, LK_CANNOT,
                       "%s draws the symbols of a window in an order of its own, so that it cannot "
                       "code them one after the other",
                       c->model->family->name);
    return LK_OK;
}

lk_status lk_series_coder_create(lk_model *model, size_t rows, lk_series_coder **out) {
    lk_context *ctx = model->ctx;
    const lk_schema *schema = model->schema;
    size_t series = lk_schema_series(schema);
    *out = NULL;
    if (series == SIZE_MAX)
        return lk_fail(ctx, LK_CANNOT,
                       "the model is of tables; the codec \"series\" is for models of texts and "
                       "sounds, and \"rows\" for those of tables");
    if (schema->fields[series].hop)
        return lk_fail(ctx, LK_CANNOT,
                       "the model gives p(sound | features of frames), and those are not in the "
                       "file; a model without --frames codes it");
    lk_series_coder *c = lk_alloc(ctx, 1, sizeof *c);
    if (!c) return LK_NO_MEMORY;
    c->model = model;
    c->field = &schema->fields[series];
    c->labels = schema->n_known;
    c->stride = c->field->size - c->field->overlap;
    c->symbols = lk_field_symbols(c->field);
    c->rows = rows ? rows : 1;
    c->tape = lk_tape_create(ctx);
    c->window = lk_alloc(ctx, schema->n_cells, sizeof *c->window);
    lk_status status = c->tape && c->window ? make_room(c, 1) : LK_NO_MEMORY;
    for (size_t i = 0; status == LK_OK && i < schema->n_cells; i++)
        c->window[i] = (lk_code_window){0, (double)(c->symbols - 1)};
    if (status == LK_OK) status = check(c);
    if (status == LK_OK) *out = c;
    else lk_series_coder_destroy(c);
    return status;
}

void lk_series_coder_destroy(lk_series_coder *c) {
    if (!c) return;
    lk_context *ctx = c->model->ctx;
    lk_tape_destroy(c->tape);
    if (c->batch.capacity) lk_batch_destroy(ctx, &c->batch);
    lk_free(ctx, c->window);
    lk_free(ctx, c);
}
