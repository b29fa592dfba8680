/* Ops of networks over sequences. A batch of `rows` sequences of n positions is a tensor [rows·n, width], a
 * sequence's positions one after the other. */
#ifndef LK_TENSOR_SEQUENCE_H
#define LK_TENSOR_SEQUENCE_H

#include "tensor/tensor.h"

/* By row: (x - mean)/√(variance + 1e-5)·gain + bias, gain and bias [1, cols] (layer normalisation; Ba, Kiros,
 * Hinton 2016, eq. 4); without a bias, x/√(mean square + 1e-5)·gain (Zhang and Sennrich 2019, eq. 4). */
lk_tensor *lk_norm_op(lk_tape *tape, lk_tensor *x, lk_tensor *gain, lk_tensor *bias);
/* One row of it. */
void lk_norm_row(lk_dtype t, size_t n, const void *x, const void *gain, const void *bias, void *y);

/* Weights by column as a length and a direction: v [k, cols], gain [1, cols] -> gain·v/‖v‖ (weight normalisation; Salimans and Kingma
 * 2016, eq. 2); 0 where v is 0. */
lk_tensor *lk_weight_norm(lk_tape *tape, lk_tensor *v, lk_tensor *gain);
/* The same numbers without a tape; room [2·cols], of which the first `cols` become 1/‖v‖. */
void lk_weight_norm_values(lk_dtype t, size_t rows, size_t cols, const void *v, const void *gain,
                           double *room, void *w);

/* Causal attention of `heads` heads (Vaswani et al. 2017, section 3.2), each position seeing itself and those before it. x
 * [rows·n, 3w] holds queries, keys and values, w = heads·size; the result is [rows·n, w]. The softmax goes
 * by blocks of 64 keys from the first (Dao et al. 2022, algorithm 1), so that memory is linear in n. */
lk_tensor *lk_attention(lk_tape *tape, lk_tensor *x, size_t n, size_t heads);

/* Queries and keys of x [rows·n, 3w], turned by the angles of their positions (Su et al. 2021, eq. 34): numbers 2i and 2i + 1
 * of a head by table row of the position, [n, size]: cosine and sine for each pair. */
lk_tensor *lk_rotate(lk_tape *tape, lk_tensor *x, size_t n, size_t heads, const void *table);
/* cos and sin of position·10000^(-2i/size), rounded once to t: [size] for one position. */
void lk_rotary_angles(lk_dtype t, size_t position, size_t size, void *out);
/* The same for one row: numbers 0 … heads·size - 1. */
void lk_rotate_row(lk_dtype t, size_t heads, size_t size, const void *angles, void *x);

/* Recurrent cells over each sequence, from a state of zeros. x [rows·n, gates·w] is what the input adds to each gate, w
 * [w, gates·w] what the state before adds.
 * LSTM (Hochreiter and Schmidhuber 1997, with forget gates of Gers et al. 2000): gates input, forget, cell, output.
 * GRU (Cho et al. 2014, with the state's part of the candidate inside the reset gate): reset, update, candidate; `part` [1, w] is
 * that part's bias. The result is [rows·n, w]. */
typedef enum lk_cell_kind { LK_LSTM, LK_GRU } lk_cell_kind;
lk_tensor *lk_recurrent(lk_tape *tape, lk_cell_kind kind, lk_tensor *x, lk_tensor *w,
                        lk_tensor *part, size_t n);
static inline size_t lk_cell_gates(lk_cell_kind kind) { return kind == LK_LSTM ? 4 : 3; }

/* One step of `lanes` sequences, to the bits of the op: gates [lanes, gates·w] hold what the input adds and are overwritten;
 * `packed` may be what lk_pack made of the weights; state [lanes, 2w] holds, for each, what is shown and the cell. work: [lanes, w·gates]. */
lk_status lk_recurrent_step(lk_context *ctx, lk_cell_kind kind, lk_dtype t, size_t lanes, size_t w,
                            const void *weights, const void *packed, const void *part, void *gates,
                            void *state, void *work);
/* Causal dilated convolution (van den Oord et al., "WaveNet", 2016, section 2.1) is a product of the rows that it sees, side
 * by side: x [rows·n, w] -> [rows·n, taps·w], of position i the positions i - (taps - 1)·dilation, …, i - dilation, i, zeros where
 * a sequence has none. */
lk_tensor *lk_dilate(lk_tape *tape, lk_tensor *x, size_t n, size_t taps, size_t dilation);
/* x [rows, 2w] -> [rows, w]: tanh of the first w numbers times sigmoid of the others (eq. 2). */
lk_tensor *lk_gated(lk_tape *tape, lk_tensor *x);
/* One row of it; gates [2w] become their activations. */
void lk_gated_row(lk_dtype t, size_t w, void *gates, void *out);
/* Keys that are kept stand by blocks of 64 positions, of each head a row for each of its numbers: [blocks, heads, size, 64], this
 * many numbers for n positions, zeros at first. lk_keys_keep puts one position's key there. */
size_t lk_keys_room(size_t n, size_t heads, size_t size);
void lk_keys_keep(lk_dtype t, size_t heads, size_t size, size_t position, const void *key,
                  void *keys);
/* One query of `heads` heads at a position, seeing `seen` keys kept so and as many values, in rows `step` apart, to the bits of
 * the op. Runs in the calling thread. */
void lk_attend_one(lk_context *ctx, lk_dtype t, size_t heads, size_t size, size_t seen,
                   const void *query, const void *keys, const void *values, size_t step, void *out);

#endif
