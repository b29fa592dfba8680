/* Ops over sequences by textbook formulas, and the same through the library: rows of test_ops.c's table. To be included after
 * its matrices. `k` holds how many positions and heads there are. */
#ifndef LK_TEST_NAIVE_SEQUENCE_H
#define LK_TEST_NAIVE_SEQUENCE_H

#define HEADS(n, heads) ((n)*8 + (heads))

static void naive_norm(int centre, const matrix *x, matrix *out) {
    size_t cols = x->cols;
    shape(out, x->rows, cols);
    for (size_t i = 0; i < x->rows; i++) {
        double mean = 0, square = 0;
        for (size_t j = 0; centre && j < cols; j++) mean += at(x, i, j) / (double)cols;
        for (size_t j = 0; j < cols; j++)
            square += (at(x, i, j) - mean) * (at(x, i, j) - mean) / (double)cols;
        for (size_t j = 0; j < cols; j++)
            out->v[i * cols + j] =
                (at(x, i, j) - mean) / sqrt(square + 1e-5) * x[1].v[j] + (centre ? x[2].v[j] : 0);
    }
}

static void naive_attention(int k, const matrix *x, matrix *out) {
    size_t n = (size_t)k / 8, heads = (size_t)k % 8, w = x->cols / 3, size = w / heads;
    shape(out, x->rows, w);
    for (size_t i = 0; i < x->rows; i++)
        for (size_t h = 0; h < heads; h++) {
            double weights[128], sum = 0;
            size_t first = i - i % n;
            for (size_t j = first; j <= i; j++) {
                double dot = 0;
                for (size_t c = h * size; c < (h + 1) * size; c++)
                    dot += at(x, i, c) * at(x, j, w + c);
                sum += weights[j - first] = exp(dot / sqrt((double)size));
            }
            for (size_t c = h * size; c < (h + 1) * size; c++) {
                out->v[i * w + c] = 0;
                for (size_t j = first; j <= i; j++)
                    out->v[i * w + c] += weights[j - first] / sum * at(x, j, 2 * w + c);
            }
        }
}

static void naive_rotate(int k, const matrix *x, matrix *out) {
    size_t n = (size_t)k / 8, heads = (size_t)k % 8, w = x->cols / 3, size = w / heads;
    shape(out, x->rows, x->cols);
    for (size_t i = 0; i < x->rows; i++)
        for (size_t j = 0; j < x->cols; j++) {
            double angle = (double)(i % n) * pow(10000, -(double)(j % size - j % 2) / (double)size);
            double c = j < 2 * w ? cos(angle) : 1, s = j < 2 * w ? sin(angle) : 0;
            out->v[i * x->cols + j] = j % 2 ? at(x, i, j - 1) * s + at(x, i, j) * c
                                            : at(x, i, j) * c - at(x, i, j + 1) * s;
        }
}

static double squash(double x) { return 1 / (1 + exp(-x)); }

enum { POSITIONS = 3 };

/* Two units, from a state of zeros at every third row. */
static void naive_recurrent(int k, const matrix *x, matrix *out) {
    size_t w = x[1].rows;
    double h[2] = {0}, c[2] = {0}, before[2];
    shape(out, x->rows, w);
    for (size_t i = 0; i < x->rows; i++) {
        for (size_t j = 0; j < w; j++) {
            if (i % POSITIONS == 0) h[j] = c[j] = 0;
            before[j] = h[j];
        }
        for (size_t j = 0; j < w; j++) {
            double gate[4], from[4];
            for (size_t q = 0; q * w < x->cols; q++) {
                from[q] = 0;
                for (size_t b = 0; b < w; b++) from[q] += before[b] * at(&x[1], b, q * w + j);
                gate[q] = at(x, i, q * w + j);
            }
            if (k == LK_LSTM) {
                c[j] = squash(gate[1] + from[1]) * c[j] +
                       squash(gate[0] + from[0]) * tanh(gate[2] + from[2]);
                h[j] = squash(gate[3] + from[3]) * tanh(c[j]);
            } else {
                double z = squash(gate[1] + from[1]), r = squash(gate[0] + from[0]);
                h[j] = (1 - z) * tanh(gate[2] + r * (from[2] + x[2].v[j])) + z * before[j];
            }
            out->v[i * w + j] = h[j];
        }
    }
}

static lk_tensor *build_norm(lk_tape *t, int centre, lk_tensor **x) {
    return lk_norm_op(t, x[0], x[1], centre ? x[2] : NULL);
}

static lk_tensor *build_attention(lk_tape *t, int k, lk_tensor **x) {
    return lk_attention(t, x[0], (size_t)k / 8, (size_t)k % 8);
}

static lk_tensor *build_rotate(lk_tape *t, int k, lk_tensor **x) {
    size_t n = (size_t)k / 8, heads = (size_t)k % 8, size = lk_tensor_cols(x[0]) / 3 / heads;
    char *table = lk_arena_alloc_raw(lk_tape_arena(t), n * size, sizeof(double));
    if (!table) {
        lk_tape_fail(t, LK_NO_MEMORY, "out of memory for a test");
        return lk_tape_empty(t);
    }
    for (size_t i = 0; i < n; i++)
        lk_rotary_angles(x[0]->dtype, i, size, table + i * size * lk_dtype_size(x[0]->dtype));
    return lk_rotate(t, x[0], n, heads, table);
}

static lk_tensor *build_recurrent(lk_tape *t, int k, lk_tensor **x) {
    return lk_recurrent(t, (lk_cell_kind)k, x[0], x[1], k == LK_GRU ? x[2] : NULL, POSITIONS);
}

enum { TAPS = 3, APART = 2 };

/* Sequences of k positions. */
static void naive_dilate(int k, const matrix *x, matrix *out) {
    size_t n = (size_t)k, w = x->cols;
    shape(out, x->rows, TAPS * w);
    for (size_t i = 0; i < x->rows; i++)
        for (size_t tap = 0; tap < TAPS; tap++)
            for (size_t j = 0; j < w; j++) {
                size_t back = (TAPS - 1 - tap) * APART;
                out->v[(i * TAPS + tap) * w + j] = i % n >= back ? at(x, i - back, j) : 0;
            }
}

static void naive_gated(int k, const matrix *x, matrix *out) {
    size_t w = x->cols / 2;
    shape(out, x->rows, w);
    for (size_t i = 0; i < x->rows; i++)
        for (size_t j = 0; j < w; j++)
            out->v[i * w + j] = tanh((k + 1) * at(x, i, j)) * squash((k + 1) * at(x, i, w + j));
}

static void naive_weight_norm(int k, const matrix *x, matrix *out) {
    (void)k;
    shape(out, x->rows, x->cols);
    for (size_t j = 0; j < x->cols; j++) {
        double square = 0;
        for (size_t i = 0; i < x->rows; i++) square += at(x, i, j) * at(x, i, j);
        for (size_t i = 0; i < x->rows; i++)
            out->v[i * x->cols + j] = square > 0 ? at(x, i, j) / sqrt(square) * x[1].v[j] : 0;
    }
}

static lk_tensor *build_weight_norm(lk_tape *t, int k, lk_tensor **x) {
    return lk_weight_norm(t, k ? lk_add(t, x[0], x[0]) : x[0], x[1]);
}

static lk_tensor *build_dilate(lk_tape *t, int k, lk_tensor **x) {
    return lk_dilate(t, x[0], (size_t)k, TAPS, APART);
}

static lk_tensor *build_gated(lk_tape *t, int k, lk_tensor **x) {
    return lk_gated(t, k ? lk_add(t, x[0], x[0]) : x[0]);
}

#endif
