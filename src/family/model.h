/* Models: making, destroying, and the model file. */
#ifndef LK_FAMILY_MODEL_H
#define LK_FAMILY_MODEL_H

#include "family/family.h"

/* A new, untrained model. Takes a copy of the schema; takes over `options` (also on failure). */
lk_status lk_model_create(lk_context *ctx, const lk_family *family, const lk_schema *schema,
                          lk_options *options, uint64_t seed, lk_model **out);
/* The same; LK_BAD_MODEL when its parameters would be more than `most` bytes, before any is asked for. */
lk_status lk_model_create_within(lk_context *ctx, const lk_family *family, const lk_schema *schema,
                                 lk_options *options, uint64_t seed, size_t most, lk_model **out);
void lk_model_release(lk_model *model);

/* Beside the parameters, a checkpoint carries named blobs of bytes. */
typedef struct lk_blob {
    const char *name;
    void *bytes;
    size_t n;
} lk_blob;

/* Writes the model as one safetensors file (docs/model-file.md), whole or not at all. */
lk_status lk_model_write(const lk_model *model, const char *path, bool replace,
                         const lk_blob *blobs, size_t n_blobs);
/* The same file as bytes, for lk_free. */
lk_status lk_model_bytes(const lk_model *model, const lk_blob *blobs, size_t n_blobs,
                         unsigned char **bytes, size_t *n);
/* Reads a model. `learning` gives the option table of a family's learning, which stands beside its
 * own. */
typedef const lk_option *(*lk_learning_options_fn)(const lk_family *family);
lk_status lk_model_read(lk_context *ctx, const char *path, lk_learning_options_fn learning,
                        lk_model **out);
/* The same from a model file's bytes; `name` stands for it in messages. */
lk_status lk_model_read_bytes(lk_context *ctx, const char *name, const void *bytes, size_t n,
                              lk_learning_options_fn learning, lk_model **out);
/* Fills blobs from a checkpoint that lk_model_read has accepted. */
lk_status lk_model_read_blobs(lk_context *ctx, const char *path, const lk_blob *blobs, size_t n);

#endif
