/* The tape: ops run as they are written, and are remembered in the step's arena as a list that
 * lk_tape_backward walks from its end. Each node adds to its inputs' gradients, so that a tensor used
 * twice gets both parts, and always in the same order.
 *
 * The gradient of an op's result lives from the backward of the last op that reads it to that of its own op;
 * then its memory is the next one's, and near: a network's gradients take the place of a few layers.
 *
 * Everything that a step needs comes from the arena: the second step of the same shapes takes nothing
 * from the system. The first failure stays, and every later op returns `empty`, a tensor of one
 * zero that may be read, but never written by an op, for none runs. */
#include "base/profile.h"
#include "base/threads.h"
#include "tensor/op.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

/* Memory of a gradient that is over, in which this stands. */
typedef struct spare {
    struct spare *next;
    size_t bytes;
} spare;

struct lk_tape {
    lk_context *ctx;
    lk_arena *arena;
    lk_node *last;
    lk_tensor *loss; /* of the last backward */
    spare *spares;
    lk_status status;
    bool gradients;
    char promised; /* its address is a gradient that is wanted, before its memory is given */
    void *scratch;
    size_t scratch_bytes;
    double zero[2]; /* the value of the empty tensor */
    lk_tensor empty;
};

enum { BLOCK = 1 << 20 };

lk_tape *lk_tape_create(lk_context *ctx) {
    lk_tape *tape = lk_alloc(ctx, 1, sizeof *tape);
    if (!tape) return NULL;
    tape->ctx = ctx;
    if (!(tape->arena = lk_arena_create(ctx, BLOCK))) {
        lk_free(ctx, tape);
        return NULL;
    }
    lk_tape_reset(tape, false);
    return tape;
}

void lk_tape_destroy(lk_tape *tape) {
    if (!tape) return;
    lk_arena_destroy(tape->arena);
    lk_free(tape->ctx, tape);
}

void lk_tape_reset(lk_tape *tape, bool gradients) {
    lk_arena_reset(tape->arena);
    tape->last = NULL;
    tape->loss = NULL;
    tape->spares = NULL;
    tape->status = LK_OK;
    tape->gradients = gradients;
    tape->scratch = NULL;
    tape->scratch_bytes = 0;
    tape->zero[0] = tape->zero[1] = 0;
    tape->empty =
        (lk_tensor){.dtype = LK_F64, .rank = 2, .shape = {1, 1}, .size = 1, .data = tape->zero};
}

lk_context *lk_tape_context(lk_tape *tape) { return tape->ctx; }
lk_arena *lk_tape_arena(lk_tape *tape) { return tape->arena; }
lk_status lk_tape_status(const lk_tape *tape) { return tape->status; }
lk_tensor *lk_tape_empty(lk_tape *tape) { return &tape->empty; }

/* ---- Failures ---------------------------------------------------------------------------------- */

static void fail(lk_tape *tape, lk_status status, const char *format, va_list args) {
    char message[512];
    if (tape->status != LK_OK) return;
    vsnprintf(message, sizeof message, format, args);
    tape->status = status;
    lk_fail(tape->ctx, status, "%s", message);
}

void lk_tape_fail(lk_tape *tape, lk_status status, const char *format, ...) {
    va_list args;
    va_start(args, format);
    fail(tape, status, format, args);
    va_end(args);
}

lk_tensor *lk_tape_refuse(lk_tape *tape, const char *format, ...) {
    va_list args;
    va_start(args, format);
    fail(tape, LK_USAGE, format, args);
    va_end(args);
    return &tape->empty;
}

/* ---- Memory of a step -------------------------------------------------------------------------- */

void *lk_tape_alloc(lk_tape *tape, size_t count, size_t size) {
    if (tape->status != LK_OK) return NULL;
    void *piece = lk_arena_alloc_raw(tape->arena, count, size);
    if (!piece)
        lk_tape_fail(tape, LK_NO_MEMORY,
                     "out of memory for %zu numbers of a step; try a smaller batch", count);
    return piece;
}

static void *zeroed(lk_tape *tape, size_t count, size_t size) {
    void *piece = lk_tape_alloc(tape, count, size);
    return piece ? memset(piece, 0, count * size) : NULL;
}

/* An outgrown piece is left to the arena; growing at least twofold, all of them are less than the last. */
void *lk_tape_scratch(lk_tape *tape, size_t count, size_t size) {
    if (tape->status != LK_OK) return NULL;
    if (tape->scratch && count <= tape->scratch_bytes / size) return tape->scratch;
    size_t least = 2 * tape->scratch_bytes / size;
    if (count < least) count = least;
    if ((tape->scratch = lk_tape_alloc(tape, count, size))) tape->scratch_bytes = count * size;
    return tape->scratch;
}

/* ---- Recording and going back ------------------------------------------------------------------ */

/* Without memory for its numbers. NULL: the tape has failed. */
static lk_tensor *new_tensor(lk_tape *tape, lk_dtype t, int rank, const size_t *shape) {
    LK_ASSERT(rank >= 1 && rank <= LK_MAX_RANK);
    lk_tensor *x = zeroed(tape, 1, sizeof *x);
    if (!x) return NULL;
    x->dtype = t;
    x->rank = rank;
    x->size = 1;
    for (int i = 0; i < rank; i++) {
        if (shape[i] && x->size > SIZE_MAX / 16 / shape[i]) {
            lk_tape_fail(tape, LK_NO_MEMORY, "a tensor of %zu rows has too many numbers", shape[0]);
            return NULL;
        }
        x->shape[i] = shape[i];
        x->size *= shape[i];
    }
    return x;
}

lk_tensor *lk_tape_run(lk_tape *tape, const lk_op *op, lk_dtype t, size_t rows, size_t cols,
                       int n_in, lk_tensor *const *in, void *extra) {
    size_t shape[2] = {rows, cols}, size = lk_dtype_size(t);
    lk_tensor *out = new_tensor(tape, t, 2, shape);
    lk_node *node = zeroed(tape, 1, sizeof *node);
    if (!out || !node || !(out->data = lk_tape_alloc(tape, out->size, size))) return &tape->empty;
    LK_ASSERT(n_in <= LK_MAX_INPUTS);
    bool wanted = false;
    node->op = op;
    node->out = out;
    node->n_in = n_in;
    node->extra = extra;
    for (int i = 0; i < n_in; i++) {
        node->in[i] = in[i];
        wanted = wanted || (in[i] && in[i]->grad);
    }
    if (tape->gradients && wanted) {
        if (!(out->fresh = lk_tape_alloc(tape, 1, 1))) return &tape->empty;
        *out->fresh = 1;
        out->grad = &tape->promised;
        out->node = node;
        node->previous = tape->last;
        tape->last = node;
    }
    double began = lk_profile_begin(tape->ctx);
    op->forward(tape, node);
    lk_profile_end(tape->ctx, began, op->name, false, 0);
    return tape->status == LK_OK ? out : &tape->empty;
}

/* ---- Gradients begin ------------------------------------------------------------------------------ */

bool lk_grad_begin(lk_tensor *x) {
    bool fresh = x->fresh && *x->fresh;
    if (fresh) *x->fresh = 0;
    return fresh;
}

static void zero_range(void *argument, size_t begin, size_t end) {
    memset((char *)argument + begin, 0, end - begin);
}

void lk_grad_ready(lk_tape *tape, lk_tensor *x) {
    if (x && x->grad && lk_grad_begin(x))
        lk_parallel(tape->ctx, x->size * lk_dtype_size(x->dtype), 1 << 17, zero_range, x->grad);
}

/* ---- Their memory --------------------------------------------------------------------------------- */

static size_t grad_bytes(const lk_tensor *x) {
    size_t bytes = x->size * lk_dtype_size(x->dtype);
    return bytes < sizeof(spare) ? sizeof(spare) : bytes;
}

/* The least spare that is large enough, and not much too large. */
static void *take_spare(lk_tape *tape, size_t bytes) {
    spare **best = NULL;
    for (spare **at = &tape->spares; *at; at = &(*at)->next)
        if ((*at)->bytes >= bytes && (*at)->bytes / 2 <= bytes &&
            (!best || (*at)->bytes < (*best)->bytes))
            best = at;
    if (!best) return lk_tape_alloc(tape, bytes, 1);
    spare *taken = *best;
    *best = taken->next;
    return taken;
}

/* A view's address may be that of an earlier going back, so that it is taken from what it shows each time. */
static void give_gradient(lk_tape *tape, lk_tensor *x) {
    if (!x || !x->grad) return;
    lk_tensor *base = x->base ? x->base : x;
    if (base->grad == &tape->promised) {
        void *memory = take_spare(tape, grad_bytes(base));
        if (!memory) return; /* the tape has failed */
        base->grad = memory;
    }
    x->grad = base->grad;
}

static void take_gradient_back(lk_tape *tape, lk_tensor *x) {
    spare *over = x->grad;
    *over = (spare){tape->spares, grad_bytes(x)};
    tape->spares = over;
    x->grad = &tape->promised;
}

/* ---- Backward ------------------------------------------------------------------------------------- */

static bool finite(const void *data, size_t n, lk_dtype t) {
    for (size_t i = 0; i < n; i++) {
        double x = t == LK_F32 ? (double)((const float *)data)[i] : ((const double *)data)[i];
        if (x - x != 0) return false;
    }
    return true;
}

/* wrong, if not NULL, becomes the first op met whose result's gradient is not finite. */
static void go_back(lk_tape *tape, const char **wrong) {
    give_gradient(tape, tape->loss);
    if (tape->status != LK_OK) return;
    lk_grad_begin(tape->loss);
    if (tape->loss->dtype == LK_F32) *(float *)tape->loss->grad = 1;
    else *(double *)tape->loss->grad = 1;
    for (lk_node *node = tape->last; node; node = node->previous) {
        lk_tensor *out = node->out;
        if (!node->op->backward || *out->fresh) continue; /* the loss does not depend on it */
        double began = lk_profile_begin(tape->ctx);
        give_gradient(tape, out);
        for (int i = 0; i < node->n_in; i++) give_gradient(tape, node->in[i]);
        if (tape->status != LK_OK) return;
        lk_grad_ready(tape, out);
        for (int i = 0; i < node->n_in && !node->op->begins; i++) lk_grad_ready(tape, node->in[i]);
        if (wrong && !*wrong && !finite(out->grad, out->size, out->dtype)) *wrong = node->op->name;
        node->op->backward(tape, node);
        lk_profile_end(tape->ctx, began, node->op->name, true, 0);
        if (tape->status != LK_OK) return;
        take_gradient_back(tape, out);
    }
}

lk_status lk_tape_backward(lk_tape *tape, lk_tensor *loss) {
    if (tape->status != LK_OK) return tape->status;
    if (loss->size != 1) {
        lk_tape_refuse(tape, "backward starts from one number, not from %zu", loss->size);
        return tape->status;
    }
    if (!loss->grad) return LK_OK; /* it depends on nothing that wants a gradient */
    tape->loss = loss;
    go_back(tape, NULL);
    return tape->status;
}

/* Values go wrong at the first node that has one, gradients at the last; a wrong value explains more. Gradients are
 * not kept, so that they are computed once more, and added to parameters' once more. */
const char *lk_tape_first_nonfinite(lk_tape *tape) {
    const char *value = NULL, *gradient = NULL;
    for (const lk_node *node = tape->last; node; node = node->previous) {
        const lk_tensor *out = node->out;
        if (!finite(out->data, out->size, out->dtype)) value = node->op->name;
        *out->fresh = 1;
    }
    if (!value && tape->loss) go_back(tape, &gradient);
    return value ? value : gradient;
}

/* ---- Leaves ------------------------------------------------------------------------------------ */

lk_tensor *lk_leaf(lk_tape *tape, lk_dtype t, int rank, const size_t *shape, void *data,
                   void *grad) {
    lk_tensor *x = new_tensor(tape, t, rank, shape);
    if (!x) return &tape->empty;
    x->data = data;
    x->grad = tape->gradients ? grad : NULL;
    return x;
}

lk_tensor *lk_constant(lk_tape *tape, lk_dtype t, size_t rows, size_t cols, const void *borrowed) {
    size_t shape[2] = {rows, cols};
    union {
        const void *in;
        void *out;
    } data = {borrowed}; /* never written: it has no gradient */
    return lk_leaf(tape, t, 2, shape, data.out, NULL);
}

lk_tensor *lk_zeros(lk_tape *tape, lk_dtype t, size_t rows, size_t cols) {
    size_t shape[2] = {rows, cols};
    lk_tensor *x = new_tensor(tape, t, 2, shape);
    if (!x || !(x->data = zeroed(tape, x->size, lk_dtype_size(t)))) return &tape->empty;
    return x;
}

/* A view: the same numbers and gradient in another shape. */
lk_tensor *lk_reshape(lk_tape *tape, lk_tensor *x, size_t rows, size_t cols) {
    size_t shape[2] = {rows, cols};
    if (cols ? rows != x->size / cols || x->size % cols : x->size != 0)
        return lk_tape_refuse(tape, "%zu numbers cannot be seen as [%zu, %zu]", x->size, rows,
                              cols);
    lk_tensor *view = lk_leaf(tape, x->dtype, 2, shape, x->data, x->grad);
    if (view->grad) view->fresh = x->fresh;
    if (view != &tape->empty) view->base = x->base ? x->base : x;
    return view;
}

lk_tensor *lk_stop_gradient(lk_tape *tape, lk_tensor *x) {
    return lk_leaf(tape, x->dtype, x->rank, x->shape, x->data, NULL);
}
