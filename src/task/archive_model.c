/* Models inside archives: packed, and learned from the very file that is compressed. */
#include "base/hash.h"
#include "coder/bytes_model.h"
#include "task/codecs.h"
#include "task/task.h"

#include <string.h>

/* ---- Packing ------------------------------------------------------------------------------------------- */

enum { AS_IT_IS = 0, CODED = 1, MOST_RATIO = 64, STRONG = 1 << 18, LESS = 5 };

/* Where the numbers begin: behind the length of the header, and the header. */
static size_t numbers_at(const uint8_t *file, size_t n) {
    uint64_t length = n < 8 ? 0 : lk_get_u64(file);
    return n < 8 || length > n - 8 ? n : 8 + (size_t)length;
}

/* All highest bytes of numbers of `width`, then those below them, …; or back. */
static void by_planes(uint8_t *to, const uint8_t *from, size_t n, size_t at, size_t width,
                      bool back) {
    size_t count = (n - at) / width, end = at + count * width;
    memcpy(to, from, at);
    for (size_t i = 0; i < count; i++)
        for (size_t b = 0; b < width; b++) {
            size_t apart = at + (width - 1 - b) * count + i, together = at + i * width + b;
            to[back ? together : apart] = from[back ? apart : together];
        }
    memcpy(to + end, from + end, n - end);
}

/* Codes the file with numbers of that width; *made SIZE_MAX: it does not get smaller than `room`. */
static lk_status pack_width(lk_context *ctx, lk_bytes_model *coder, const uint8_t *file, size_t n,
                            size_t width, uint8_t *out, size_t room, size_t *made) {
    uint8_t *planes = lk_alloc(ctx, n, 1);
    if (!planes) return LK_NO_MEMORY;
    by_planes(planes, file, n, numbers_at(file, n), width, false);
    *made = lk_bytes_encode(coder, planes, n, out, room);
    lk_free(ctx, planes);
    return LK_OK;
}

lk_status lk_archive_pack_model(lk_context *ctx, const uint8_t *file, size_t n, uint8_t **body,
                                size_t *n_body) {
    static const uint8_t widths[] = {1, 4, 8};
    int level = n < STRONG ? LK_BYTES_MOST_LEVEL : LESS;
    size_t most = LK_PACKED_MODEL_HEAD + n;
    uint8_t *best = *body = lk_alloc(ctx, most, 1), *trial = lk_alloc(ctx, most, 1);
    lk_bytes_model *coder = NULL;
    lk_status status = best && trial ? lk_bytes_create(ctx, level, n, &coder) : LK_NO_MEMORY;
    if (status == LK_OK) {
        best[0] = AS_IT_IS;
        memcpy(best + LK_PACKED_MODEL_HEAD, file, n);
        *n_body = most;
    }
    for (size_t i = 0; status == LK_OK && i < sizeof widths; i++) {
        size_t made;
        status = pack_width(ctx, coder, file, n, widths[i], trial + LK_PACKED_MODEL_HEAD, n, &made);
        if (status != LK_OK || made >= *n_body - LK_PACKED_MODEL_HEAD || made < n / MOST_RATIO)
            continue;
        memcpy(best, trial, LK_PACKED_MODEL_HEAD + made);
        best[0] = CODED;
        best[1] = (uint8_t)level;
        best[2] = widths[i];
        *n_body = LK_PACKED_MODEL_HEAD + made;
    }
    if (status == LK_OK) lk_put_u32(best + 4, (uint32_t)n);
    lk_bytes_destroy(coder);
    lk_free(ctx, trial);
    if (status == LK_OK) return LK_OK;
    lk_free(ctx, best);
    *body = NULL;
    return status;
}

lk_status lk_archive_unpack_model(lk_context *ctx, const uint8_t *body, size_t n_body,
                                  uint8_t **file, size_t *n) {
    *file = NULL;
    if (n_body < LK_PACKED_MODEL_HEAD || body[0] > CODED) return LK_BAD_DATA;
    const uint8_t *code = body + LK_PACKED_MODEL_HEAD;
    size_t n_code = n_body - LK_PACKED_MODEL_HEAD, width = body[2];
    *n = lk_get_u32(body + 4);
    bool coded = body[0] == CODED;
    if (*n > LK_MOST_MODEL_BYTES || (!coded && *n != n_code)) return LK_BAD_DATA;
    if (coded && (body[1] < LK_BYTES_LEAST_LEVEL || body[1] > LK_BYTES_MOST_LEVEL || !width ||
                  width > 8 || *n / MOST_RATIO > n_code))
        return LK_BAD_DATA;
    uint8_t *out = lk_alloc(ctx, *n, 1), *planes = coded ? lk_alloc(ctx, *n, 1) : NULL;
    lk_bytes_model *coder = NULL;
    lk_status status = out && (planes || !coded) ? LK_OK : LK_NO_MEMORY;
    if (status == LK_OK && coded) status = lk_bytes_create(ctx, body[1], *n, &coder);
    if (status == LK_OK && !coded) memcpy(out, code, *n);
    if (status == LK_OK && coded && !lk_bytes_decode(coder, code, n_code, planes, *n))
        status = LK_BAD_DATA;
    if (status == LK_OK && coded) by_planes(out, planes, *n, numbers_at(planes, *n), width, true);
    lk_bytes_destroy(coder);
    lk_free(ctx, planes);
    if (status == LK_OK) *file = out;
    else lk_free(ctx, out);
    return status;
}

/* ---- Learning ------------------------------------------------------------------------------------------ */

/* The word's highest bits, rounded to so many of the mantissa; infinities and what is no number stay. */
static double rounded(double x, unsigned kept) {
    uint64_t word;
    memcpy(&word, &x, sizeof word);
    if ((word >> 52 & 0x7ff) == 0x7ff) return x;
    word = (word + ((uint64_t)1 << (51 - kept))) >> (52 - kept) << (52 - kept);
    memcpy(&x, &word, sizeof x);
    return x;
}

/* The model's parameters become those of `whole` with so many bits of mantissa. */
static void set_rounded(lk_model *model, const double *whole, unsigned kept) {
    lk_params *p = &model->params;
    for (size_t i = 0; i < p->n; whole += p->info[i++].size)
        for (size_t j = 0; j < p->info[i].size; j++) {
            if (p->info[i].dtype == LK_F64)
                ((double *)lk_param_values(p, i))[j] = rounded(whole[j], kept);
            else ((float *)lk_param_values(p, i))[j] = (float)rounded(whole[j], kept);
        }
    if (model->family->loaded) model->family->loaded(model);
}

/* The rows' log-probability by the model as it is read again: what it derives from its parameters, such as factors of
 * covariances, must not be left from before. */
static lk_status score_anew(const lk_model *model, lk_data *data, double *log_prob) {
    lk_context *ctx = model->ctx;
    lk_score_options options = LK_SCORE_DEFAULTS;
    lk_score_summary score = {0};
    unsigned char *bytes = NULL;
    size_t n;
    lk_model *again = NULL;
    options.particles = 1;
    lk_status status = lk_model_bytes(model, NULL, 0, &bytes, &n);
    if (status == LK_OK)
        status = lk_model_read_bytes(ctx, "the model", bytes, n, lk_task_learning_options, &again);
    if (status == LK_OK) status = lk_score(again, data, &options, NULL, NULL, &score);
    *log_prob = (double)score.rows * score.mean_log_prob;
    if (again) lk_model_release(again);
    lk_free(ctx, bytes);
    return status;
}

/* As few bits of each parameter as make data and model together the shortest. */
static lk_status make_short(lk_model *model, lk_data *data) {
    static const unsigned trials[] = {6, 10, 14, 20};
    lk_params *p = &model->params;
    size_t n = 0, at = 0;
    double best = 0;
    unsigned kept = trials[sizeof trials / sizeof *trials - 1];
    bool found = false;
    for (size_t i = 0; i < p->n; i++) n += p->info[i].size;
    double *whole = lk_alloc(model->ctx, n, sizeof *whole);
    lk_status status = whole ? LK_OK : LK_NO_MEMORY;
    for (size_t i = 0; status == LK_OK && i < p->n; i++)
        for (size_t j = 0; j < p->info[i].size; j++)
            whole[at++] = p->info[i].dtype == LK_F64 ? ((double *)lk_param_values(p, i))[j]
                                                     : ((float *)lk_param_values(p, i))[j];
    for (size_t i = 0; status == LK_OK && i < sizeof trials / sizeof *trials; i++) {
        double log_prob;
        set_rounded(model, whole, trials[i]);
        status = score_anew(model, data, &log_prob);
        double nats = (double)n * trials[i] * 0x1.62e42fefa39efp-1 - log_prob;
        /* Rounded too much, a covariance may be none, and no score a number. */
        if (status != LK_OK || !(nats - nats == 0) || (found && nats >= best)) continue;
        best = nats;
        kept = trials[i];
        found = true;
    }
    if (status == LK_OK) set_rounded(model, whole, kept);
    lk_free(model->ctx, whole);
    /* What nobody needs to decompress. */
    model->n_log = 0;
    model->data_hash[0] = 0;
    return status;
}

lk_status lk_archive_learn(lk_context *ctx, const char *path, const char *family,
                           const char *const *with, uint8_t **model, size_t *n) {
    lk_fit_options options = LK_FIT_DEFAULTS;
    lk_data *data = NULL;
    lk_model *learned = NULL;
    *model = NULL;
    options.options = with;
    lk_status status = lk_data_open(ctx, path, NULL, &data);
    if (status == LK_OK) status = lk_fit(ctx, family, data, &options, &learned);
    if (status == LK_OK) status = make_short(learned, data);
    if (status == LK_OK) status = lk_model_bytes(learned, NULL, 0, model, n);
    lk_model_release(learned);
    lk_data_close(data);
    if (status == LK_OK && *n > LK_MOST_MODEL_BYTES) {
        lk_free(ctx, *model);
        *model = NULL;
        status = lk_fail(ctx, LK_CANNOT, "the model has %zu bytes, more than an archive takes", *n);
    }
    return status;
}
