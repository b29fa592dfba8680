#include "tensor/params.h"

#include "base/philox.h"

#include <string.h>

void lk_params_create(lk_context *ctx, lk_params *params) {
    memset(params, 0, sizeof *params);
    params->ctx = ctx;
}

void lk_params_destroy(lk_params *params) {
    lk_free(params->ctx, params->info);
    lk_free(params->ctx, params->values);
    lk_free(params->ctx, params->grads);
    memset(params, 0, sizeof *params);
}

size_t lk_params_find(const lk_params *params, const char *name) {
    for (size_t i = 0; i < params->n; i++)
        if (!strcmp(params->info[i].name, name)) return i;
    return SIZE_MAX;
}

size_t lk_params_add(lk_params *params, const char *name, lk_dtype t, int rank, const size_t *shape,
                     lk_init init, double scale, bool trainable) {
    if (strlen(name) >= sizeof params->info->name || lk_params_find(params, name) != SIZE_MAX ||
        rank < 1 || rank > LK_MAX_RANK) {
        lk_fail(params->ctx, LK_USAGE,
                "a parameter cannot be called \"%s\": the name is taken or too long", name);
        return SIZE_MAX;
    }
    if (params->n == params->capacity) {
        size_t more = params->capacity ? 2 * params->capacity : 16;
        void *info =
            lk_resize(params->ctx, params->info, params->capacity, more, sizeof *params->info);
        if (!info) return SIZE_MAX;
        params->info = info;
        params->capacity = more;
    }
    lk_param_info *p = &params->info[params->n];
    memset(p, 0, sizeof *p);
    memcpy(p->name, name, strlen(name) + 1);
    p->dtype = t;
    p->rank = rank;
    p->size = 1;
    for (int i = 0; i < rank; i++) {
        p->shape[i] = shape[i];
        if (shape[i] && p->size > ((size_t)1 << 40) / shape[i]) {
            lk_fail(params->ctx, LK_NO_MEMORY,
                    "the parameter \"%s\" would have more than 2^40 numbers", name);
            return SIZE_MAX;
        }
        p->size *= shape[i];
    }
    p->offset = params->bytes;
    p->init = init;
    p->scale = scale;
    p->trainable = trainable;
    params->bytes += (p->size * lk_dtype_size(t) + 63) / 64 * 64;
    return params->n++;
}

/* One number an element, keyed by its index: neither layout nor other parameters matter. */
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

lk_status lk_params_build(lk_params *params, uint64_t seed) {
    params->values = lk_alloc(params->ctx, params->bytes, 1);
    params->grads = lk_alloc(params->ctx, params->bytes, 1);
    if (!params->values || !params->grads) return LK_NO_MEMORY;
    for (size_t q = 0; q < params->n; q++) {
        const lk_param_info *p = &params->info[q];
        for (size_t i = 0; i < p->size; i++) {
            double x = initial(p, seed, i);
            if (p->dtype == LK_F32) ((float *)lk_param_values(params, q))[i] = (float)x;
            else ((double *)lk_param_values(params, q))[i] = x;
        }
    }
    return LK_OK;
}

/* Offsets are multiples of 64 in blocks that the allocator aligns for any type. */
void *lk_param_values(const lk_params *params, size_t index) {
    return (void *)(params->values + params->info[index].offset);
}

void *lk_param_grads(const lk_params *params, size_t index) {
    return (void *)(params->grads + params->info[index].offset);
}

lk_tensor *lk_param(lk_tape *tape, lk_params *params, size_t index) {
    const lk_param_info *p = &params->info[index];
    return lk_leaf(tape, p->dtype, p->rank, p->shape, lk_param_values(params, index),
                   p->trainable ? lk_param_grads(params, index) : NULL);
}

void lk_params_zero_grads(lk_params *params) { memset(params->grads, 0, params->bytes); }
