/* The variational autoencoder (Kingma and Welling 2014; Rezende, Mohamed and Wierstra 2014):
 *
 *     z ~ N(0, I),   x ~ heads(decoder(z)),   guide q(z | x) = N(mean(x), diag exp(2 log_scale(x)))
 *
 * with dense networks. The joint and the guide are all there is: the evidence lower bound, the
 * importance-weighted bound (Burda, Grosse and Salakhutdinov 2016, eq. 8), sampling and inference
 * are readings of the two.
 *
 * Missing cells add nothing to the likelihood of a row (which integrates them out exactly, since
 * cells are independent given z) and are zeros to the encoder, beside their missingness. */
#include "family/family.h"

#include "nn/features.h"
#include "nn/heads.h"
#include "nn/layer.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

enum { MAX_LAYERS = 8 };

typedef struct vae_state {
    lk_features features;
    lk_heads heads;
    size_t latents, depth;
    lk_dense_layer encoder[MAX_LAYERS + 1], decoder[MAX_LAYERS + 1];
    lk_cell_dist *latent_cells;           /* normal: means first, then log scales */
    lk_dist prior, posterior, likelihood; /* their tensors are set anew in each trace */
} vae_state;

static const lk_option options[] = {
    {"latents", LK_OPTION_INT, "0", 0, 4096, NULL,
     "Dimensions of z; 0: half the cells, at least 2 and at most 50"},
    {"hidden", LK_OPTION_TEXT, "200,200", 1, 0, NULL,
     "Sizes of the encoder's hidden layers; the decoder has them in reverse"},
    {"activation", LK_OPTION_CHOICE, "tanh", 1, 0, "tanh|relu|softplus", "Of the hidden layers"},
    {"components", LK_OPTION_INT, "3", 1, 100, NULL,
     "Components of each mixture of logistics (integer and real fields)"},
    {NULL, LK_OPTION_INT, NULL, 0, 0, NULL, NULL}};

static lk_cell_dist *normal_cells(lk_context *ctx, size_t n) {
    lk_cell_dist *cells = lk_alloc(ctx, n, sizeof *cells);
    for (size_t i = 0; cells && i < n; i++) {
        cells[i].form.kind = &lk_normal;
        cells[i].form.n = 1;
        cells[i].at = i;
        cells[i].stride = n;
        cells[i].scale = 1;
        cells[i].low = -INFINITY;
        cells[i].high = INFINITY;
    }
    return cells;
}

static lk_status declare_networks(lk_model *model, vae_state *s) {
    size_t sizes[MAX_LAYERS];
    char name[32];
    s->depth = lk_parse_sizes(model->ctx, "hidden", lk_options_text(model->options, "hidden"),
                              MAX_LAYERS, sizes);
    if (!s->depth) return model->ctx->status;
    lk_activation act = lk_activation_named(lk_options_text(model->options, "activation"));
    size_t in = s->features.width;
    for (size_t i = 0; i <= s->depth; i++) {
        bool last = i == s->depth;
        snprintf(name, sizeof name, "encoder.%zu", i);
        if (!lk_dense_declare(&model->params, &s->encoder[i], name, in,
                              last ? 2 * s->latents : sizes[i], last ? LK_LINEAR : act,
                              last ? 0.1 : 1))
            return model->ctx->status;
        if (!last) in = sizes[i];
    }
    in = s->latents;
    for (size_t i = 0; i <= s->depth; i++) {
        bool last = i == s->depth;
        snprintf(name, sizeof name, "decoder.%zu", i);
        if (!lk_dense_declare(&model->params, &s->decoder[i], name, in,
                              last ? s->heads.width : sizes[s->depth - 1 - i],
                              last ? LK_LINEAR : act, last ? 0.1 : 1))
            return model->ctx->status;
        if (!last) in = sizes[s->depth - 1 - i];
    }
    return LK_OK;
}

static lk_status create(lk_model *model) {
    vae_state *s = model->state = lk_alloc(model->ctx, 1, sizeof *s);
    if (!s) return LK_NO_MEMORY;
    int64_t latents = lk_options_int(model->options, "latents");
    if (!latents) {
        latents = (int64_t)(model->schema->n_cells / 2);
        latents = latents < 2 ? 2 : latents > 50 ? 50 : latents;
    }
    s->latents = (size_t)latents;
    lk_status status = lk_features_create(model->ctx, model->schema, &s->features);
    if (status == LK_OK)
        status = lk_heads_create(model->ctx, model->schema,
                                 (int)lk_options_int(model->options, "components"), &s->heads);
    if (status != LK_OK) return status;
    if (!(s->latent_cells = normal_cells(model->ctx, s->latents))) return LK_NO_MEMORY;
    s->prior = s->posterior = (lk_dist){s->latents, s->latent_cells, NULL, NULL, NULL};
    s->likelihood = (lk_dist){s->heads.n, s->heads.cells, s->heads.gate, NULL, NULL};
    return declare_networks(model, s);
}

static void destroy(lk_model *model) {
    vae_state *s = model->state;
    if (!s) return;
    lk_features_destroy(model->ctx, &s->features);
    lk_heads_destroy(model->ctx, &s->heads);
    lk_free(model->ctx, s->latent_cells);
    lk_free(model->ctx, s);
    model->state = NULL;
}

static lk_status prepare(lk_model *model, const lk_rows *rows) {
    vae_state *s = model->state;
    (void)rows;
    lk_heads_start(&s->heads, model->schema,
                   lk_param_values(&model->params, s->decoder[s->depth].bias));
    return LK_OK;
}

static void joint(lk_model *model, lk_trace *t) {
    vae_state *s = model->state;
    s->prior.params = lk_zeros(t->tape, LK_REAL, 1, 2 * s->latents);
    lk_tensor *h = lk_draw(t, "z", &s->prior);
    h = lk_cast(t->tape, h, LK_REAL);
    for (size_t i = 0; i <= s->depth; i++)
        h = lk_dense_apply(t->tape, &model->params, &s->decoder[i], h, NULL);
    s->likelihood.params = h;
    lk_draw(t, LK_ROW_SITE, &s->likelihood);
}

static void guide(lk_model *model, lk_trace *t) {
    vae_state *s = model->state;
    const uint8_t *present = NULL;
    lk_tensor *x = lk_trace_observed(t, LK_ROW_SITE, &present);
    lk_tensor *h = lk_features_of(t->tape, &s->features, x, present, NULL);
    for (size_t i = 0; i <= s->depth; i++)
        h = lk_dense_apply(t->tape, &model->params, &s->encoder[i], h, NULL);
    s->posterior.params = h;
    lk_draw(t, "z", &s->posterior);
}

const lk_family lk_family_vae = {
    .name = "vae",
    .summary = "Variational autoencoder: continuous latents, dense encoder and decoder",
    .taxonomy = "latent, approximate",
    .posterior = "amortised",
    .options = options,
    .create = create,
    .joint = joint,
    .destroy = destroy,
    .prepare = prepare,
    .guide = guide,
};
