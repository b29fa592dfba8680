/* Binary images whose pixels are drawn from greys ("dynamic binarization": Burda, Grosse, Salakhutdinov
 * 2016, section 5): the grey is the probability that a pixel is 1, and each visit of learning to a row
 * draws anew. Visit 0 is what every other reader of the rows sees, so that scores are a function of the
 * file. docs/numerics.md, "Random numbers", states the draw. */
#include "base/philox.h"
#include "data/data.h"

#include <math.h>

enum { WHITE = 255 };

lk_status lk_schema_binarize(lk_schema *schema) {
    bool any = false;
    for (size_t i = 0; i < schema->n_fields; i++) {
        lk_field *field = &schema->fields[i];
        any |= field->drawn;
        if (field->kind != LK_FIELD_IMAGE) continue;
        double rate = field->mean / WHITE;
        field->kind = LK_FIELD_BINARY;
        field->drawn = any = true;
        field->low = 0;
        field->high = 1;
        field->mean = rate;
        field->sd = rate > 0 && rate < 1 ? sqrt(rate * (1 - rate)) : 1;
        if (field->rank == 3 && field->shape[2] == 1) field->rank = 2;
    }
    if (any) return LK_OK;
    return lk_fail(
        schema->ctx, LK_USAGE,
        "there is nothing to binarize: no field is an image of greys; leave out --binarize");
}

void lk_draw_greys(const lk_schema *schema, uint64_t visit, uint64_t row, double *value,
                   const uint8_t *present) {
    lk_rng rng = lk_rng_at(0, "binarize", visit, row, 0);
    for (size_t i = 0; i < schema->n_cells; i++) {
        if (!schema->cells[i].drawn || !present[i]) continue;
        uint64_t grey = (uint64_t)value[i];
        /* Black and white need no draw. */
        if (grey > 0 && grey < WHITE) value[i] = (uint64_t)lk_rng_u32(&rng) * WHITE < grey << 32;
        else value[i] = grey == WHITE;
    }
}
