#include "nn/layer.h"

#include <stdio.h>
#include <string.h>

bool lk_dense_declare(lk_params *params, lk_dense_layer *layer, const char *name, size_t in,
                      size_t out, lk_activation act, double gain) {
    char full[80];
    size_t shape[2] = {in, out}, bias_shape[1] = {out};
    layer->in = in;
    layer->out = out;
    layer->act = act;
    snprintf(full, sizeof full, "%s.weight", name);
    layer->weight = lk_params_add(params, full, LK_REAL, 2, shape,
                                  act == LK_ACT_RELU ? LK_INIT_HE : LK_INIT_GLOROT, gain, true);
    snprintf(full, sizeof full, "%s.bias", name);
    layer->bias = lk_params_add(params, full, LK_REAL, 1, bias_shape, LK_INIT_ZERO, 0, true);
    return layer->weight != SIZE_MAX && layer->bias != SIZE_MAX;
}

lk_tensor *lk_dense_apply(lk_tape *tape, lk_params *params, const lk_dense_layer *layer,
                          lk_tensor *x, const lk_prefixes *mask) {
    lk_tensor *w = lk_param(tape, params, layer->weight);
    lk_tensor *b = lk_reshape(tape, lk_param(tape, params, layer->bias), 1, layer->out);
    return lk_dense(tape, x, w, b, mask, layer->act);
}

static const struct {
    const char *name;
    lk_activation act;
    lk_unary map;
} activations[] = {
    {"linear", LK_LINEAR, LK_UNARY_COUNT},
    {"relu", LK_ACT_RELU, LK_RELU},
    {"tanh", LK_ACT_TANH, LK_TANH},
    {"sigmoid", LK_ACT_SIGMOID, LK_SIGMOID},
    {"softplus", LK_ACT_SOFTPLUS, LK_SOFTPLUS},
};

lk_activation lk_activation_named(const char *name) {
    for (size_t i = 0; i < sizeof activations / sizeof activations[0]; i++)
        if (!strcmp(activations[i].name, name)) return activations[i].act;
    return LK_LINEAR;
}

void lk_activate(lk_context *ctx, lk_activation act, size_t n, lk_real *y) {
    for (size_t i = 0; i < sizeof activations / sizeof activations[0]; i++)
        if (activations[i].act == act && activations[i].map != LK_UNARY_COUNT)
            lk_map(ctx, activations[i].map, LK_REAL, n, y, y);
}

size_t lk_parse_sizes(lk_context *ctx, const char *option, const char *text, size_t most,
                      size_t *sizes) {
    size_t n = 0;
    const char *at = text;
    for (;;) {
        size_t value = 0, digits = 0;
        while (*at >= '0' && *at <= '9' && digits < 8) {
            value = value * 10 + (size_t)(*at++ - '0');
            digits++;
        }
        if (!digits || value == 0 || value > 1000000 || (*at && *at != ',') || n == most) {
            lk_fail(ctx, LK_USAGE,
                    "--%s is \"%s\", but it takes up to %zu sizes from 1 to 1000000 "
                    "separated by commas, as in 500,500",
                    option, text, most);
            return 0;
        }
        sizes[n++] = value;
        if (!*at) return n;
        at++;
    }
}
