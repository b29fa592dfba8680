/* Parameters: one slab of values, one of gradients, one table that says where each stands.
 *
 * Element i of the parameter NAME begins as a function of (seed, NAME, i) alone: a random number
 * keyed by them, so that neither the order of declaration, nor other parameters, nor threads change
 * it. */
#include "tensor/params.h"

#include "base/philox.h"
#include "base/threads.h"

#include <string.h>

enum { GRAIN = 1024 }; /* numbers for a thread: each costs a Philox block and perhaps a quantile */

void lk_params_create(lk_context *ctx, lk_params *params) {
    memset(params, 0, sizeof *params);
    params->ctx = ctx;
    params->left = SIZE_MAX;
}

void lk_params_destroy(lk_params *params) {
    if (!params->ctx) return;
    lk_free(params->ctx, params->info);
    lk_free(params->ctx, params->values);
    lk_free(params->ctx, params->grads);
    lk_free(params->ctx, params->fresh);
    memset(params, 0, sizeof *params);
}

size_t lk_params_find(const lk_params *params, const char *name) {
    for (size_t i = 0; i < params->n; i++)
        if (!strcmp(params->info[i].name, name)) return i;
    return SIZE_MAX;
}

/* ---- Declaring --------------------------------------------------------------------------------- */

static lk_status check_name(const lk_params *params, const char *name) {
    size_t length = strlen(name);
    if (params->values)
        return lk_fail(params->ctx, LK_USAGE,
                       "the parameter \"%s\" comes too late: memory has been shared out", name);
    if (!length || length >= sizeof params->info->name)
        return lk_fail(params->ctx, LK_USAGE,
                       "a parameter cannot be called \"%s\": names have 1 to %zu bytes", name,
                       sizeof params->info->name - 1);
    if (lk_params_find(params, name) != SIZE_MAX)
        return lk_fail(params->ctx, LK_USAGE, "there is a parameter \"%s\" already", name);
    return LK_OK;
}

static lk_status check_shape(const lk_params *params, const char *name, lk_dtype t, int rank,
                             const size_t *shape) {
    size_t size = 1;
    if (rank < 1 || rank > LK_MAX_RANK)
        return lk_fail(params->ctx, LK_USAGE, "the parameter \"%s\" has %d dimensions, not 1 to %d",
                       name, rank, LK_MAX_RANK);
    for (int i = 0; i < rank; i++) {
        if (shape[i] && size > ((size_t)1 << 40) / shape[i])
            return lk_fail(params->ctx, LK_NO_MEMORY,
                           "the parameter \"%s\" would have more than 2^40 numbers", name);
        size *= shape[i];
    }
    if (size > params->left / lk_dtype_size(t))
        return lk_fail(params->ctx, LK_BAD_MODEL,
                       "the options ask for more parameters than the file has, at \"%s\"", name);
    return LK_OK;
}

static bool make_room(lk_params *params) {
    if (params->n < params->capacity) return true;
    size_t more = params->capacity ? 2 * params->capacity : 16;
    void *info = lk_resize(params->ctx, params->info, params->capacity, more, sizeof *params->info);
    if (!info) return false;
    params->info = info;
    params->capacity = more;
    return true;
}

size_t lk_params_add(lk_params *params, const char *name, lk_dtype t, int rank, const size_t *shape,
                     lk_init init, double scale, bool trainable) {
    if (check_name(params, name) != LK_OK || check_shape(params, name, t, rank, shape) != LK_OK ||
        !make_room(params))
        return SIZE_MAX;
    lk_param_info *p = &params->info[params->n];
    *p = (lk_param_info){
        .dtype = t,
        .rank = rank,
        .size = 1,
        .offset = params->bytes,
        .init = init,
        .scale = scale,
        .trainable = trainable};
    memcpy(p->name, name, strlen(name) + 1);
    for (int i = 0; i < rank; i++) p->size *= p->shape[i] = shape[i];
    params->left -= p->size * lk_dtype_size(t);
    params->bytes += (p->size * lk_dtype_size(t) + 63) / 64 * 64;
    return params->n++;
}

/* ---- Initial values ---------------------------------------------------------------------------- */

/* in is the number of rows, [in, out], and 1 for a vector. */
static double initial(const lk_param_info *p, uint64_t seed, size_t i) {
    double in = p->rank > 1 ? (double)p->shape[0] : 1, out = (double)p->shape[p->rank - 1];
    if (p->init == LK_INIT_ZERO) return 0;
    if (p->init == LK_INIT_CONSTANT) return p->scale;
    lk_rng rng = lk_rng_at(seed, p->name, 0, i, 0);
    double u = lk_rng_uniform(&rng);
    switch (p->init) {
    case LK_INIT_GLOROT: return p->scale * lk_sqrt(6 / (in + out)) * (2 * u - 1);
    case LK_INIT_HE: return p->scale * lk_sqrt(2 / in) * lk_normal_quantile(u);
    default: return p->scale * lk_normal_quantile(u);
    }
}

typedef struct fill_job {
    const lk_param_info *p;
    uint64_t seed;
    void *values;
} fill_job;

static void fill_range(void *argument, size_t begin, size_t end) {
    const fill_job *job = argument;
    for (size_t i = begin; i < end; i++) {
        double x = initial(job->p, job->seed, i);
        if (job->p->dtype == LK_F32) ((float *)job->values)[i] = (float)x;
        else ((double *)job->values)[i] = x;
    }
}

lk_status lk_params_build(lk_params *params, uint64_t seed) {
    if (params->values) return lk_fail(params->ctx, LK_USAGE, "parameters are built once");
    params->values = lk_alloc(params->ctx, params->bytes, 1);
    params->grads = lk_alloc(params->ctx, params->bytes, 1);
    params->fresh = lk_alloc(params->ctx, params->n, 1);
    if (!params->values || !params->grads || !params->fresh) {
        lk_free(params->ctx, params->values);
        lk_free(params->ctx, params->grads);
        lk_free(params->ctx, params->fresh);
        params->values = params->grads = params->fresh = NULL;
        return LK_NO_MEMORY;
    }
    for (size_t i = 0; i < params->n && !params->from_file; i++) {
        fill_job job = {&params->info[i], seed, lk_param_values(params, i)};
        lk_parallel(params->ctx, params->info[i].size, GRAIN, fill_range, &job);
    }
    return LK_OK;
}

/* ---- Using ------------------------------------------------------------------------------------- */

/* Offsets are multiples of 64 in blocks that the allocator aligns for any type. */
void *lk_param_values(const lk_params *params, size_t index) {
    return (void *)(params->values + params->info[index].offset);
}

static void *grads_of(const lk_params *params, size_t index) {
    return (void *)(params->grads + params->info[index].offset);
}

void *lk_param_grads(lk_params *params, size_t index) {
    const lk_param_info *p = &params->info[index];
    if (params->fresh[index]) memset(grads_of(params, index), 0, p->size * lk_dtype_size(p->dtype));
    params->fresh[index] = 0;
    return grads_of(params, index);
}

lk_tensor *lk_param(lk_tape *tape, lk_params *params, size_t index) {
    const lk_param_info *p = &params->info[index];
    lk_tensor *x = lk_leaf(tape, p->dtype, p->rank, p->shape, lk_param_values(params, index),
                           p->trainable ? grads_of(params, index) : NULL);
    if (x->grad) x->fresh = &params->fresh[index];
    return x;
}

void lk_params_zero_grads(lk_params *params) {
    memset(params->grads, 0, params->bytes);
    memset(params->fresh, 0, params->n);
}

void lk_param_forget_grad(lk_params *params, size_t index) { params->fresh[index] = 1; }
