/* The model file: one safetensors file (docs/model-file.md).
 *
 *     8 bytes   length of the header, little-endian
 *     header    JSON: "__metadata__" with our strings, then each tensor's type, shape and place
 *     data      raw little-endian tensors, in the parameter table's order, then a checkpoint's blobs
 *
 * The metadata's "likely" entry is a JSON text with all that is not a tensor; "sha256" is the hash
 * of header and data, with zeros where the hash itself stands. A reader trusts nothing: the header's length is bounded before
 * it is read, every place is checked against the table that the family itself declares, and the
 * hash is compared before anything is used. Reals are written as decimal strings that read back to
 * the same bits. */
#include "family/model.h"

#include "base/decimal.h"
#include "base/files.h"
#include "base/hash.h"
#include "base/json.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

enum { MAX_HEADER = 64 << 20, FORMAT = 1, ORDER_CONTRACT = 1 };
#define MAX_FILE ((size_t)1 << 36)

static bool big_endian(void) {
    const uint16_t one = 1;
    unsigned char first;
    memcpy(&first, &one, 1);
    return first == 0;
}

/* Copies elements of `size` bytes to or from little-endian. */
static void little_endian(void *to, const void *from, size_t count, size_t size) {
    if (!big_endian() || size == 1) {
        memcpy(to, from, count * size);
        return;
    }
    for (size_t i = 0; i < count; i++)
        for (size_t b = 0; b < size; b++)
            ((unsigned char *)to)[i * size + b] =
                ((const unsigned char *)from)[i * size + size - 1 - b];
}

/* ---- Writing ---------------------------------------------------------------------------------------- */

static json_t *real_text(double x) {
    char text[40];
    size_t n = lk_double_text(x, text);
    return json_stringn(text, n);
}

static json_t *log_json(const lk_model *model, bool *failed) {
    json_t *log = json_array();
    for (size_t i = 0; i < model->n_log; i++) {
        json_t *row = json_array();
        lk_json_push(failed, row, json_integer((json_int_t)model->log[i].step));
        lk_json_push(failed, row, real_text(model->log[i].train));
        lk_json_push(failed, row, real_text(model->log[i].valid));
        lk_json_push(failed, log, row);
    }
    return log;
}

static lk_status no_memory(lk_context *ctx) {
    return lk_fail(ctx, LK_NO_MEMORY, "out of memory while describing the model");
}

/* All that is not a tensor, as a JSON text for lk_free. */
static char *describe(const lk_model *model) {
    char *schema_text = NULL, *text = NULL;
    bool failed = false;
    lk_json_error error;
    if (lk_schema_to_json(model->schema, &schema_text) != LK_OK) return NULL;
    json_t *root = json_object(), *options = json_object();
    for (size_t i = 0; lk_options_at(model->options, i); i++) {
        const char *name = lk_options_at(model->options, i)->name;
        lk_json_put(&failed, options, name, json_string(lk_options_text(model->options, name)));
    }
    lk_json_put(&failed, root, "format", json_integer(FORMAT));
    lk_json_put(&failed, root, "version", json_string(LK_VERSION));
    lk_json_put(&failed, root, "order_contract", json_integer(ORDER_CONTRACT));
    lk_json_put(&failed, root, "family", json_string(model->family->name));
    lk_json_put(&failed, root, "options", options);
    lk_json_put(&failed, root, "seed", json_sprintf("%llu", (unsigned long long)model->seed));
    lk_json_put(&failed, root, "steps", json_integer((json_int_t)model->steps));
    lk_json_put(&failed, root, "converged", json_boolean(model->converged));
    lk_json_put(&failed, root, "data_rows", json_integer((json_int_t)model->data_rows));
    lk_json_put(&failed, root, "data_sha256", json_string(model->data_hash));
    if (*model->start_hash)
        lk_json_put(&failed, root, "start_data_sha256", json_string(model->start_hash));
    lk_json_put(&failed, root, "log", log_json(model, &failed));
    lk_json_put(&failed, root, "schema",
                lk_json_parse(model->ctx, schema_text, strlen(schema_text), &error));
    lk_free(model->ctx, schema_text);
    if (!failed) text = lk_json_text(model->ctx, root, JSON_COMPACT);
    json_decref(root);
    if (!text) no_memory(model->ctx);
    return text;
}

static const char *dtype_names[] = {"F32", "F64"};

static json_t *tensor_entry(bool *failed, const char *dtype, int rank, const size_t *shape,
                            size_t begin, size_t end) {
    json_t *entry = json_object(), *dims = json_array(), *offsets = json_array();
    for (int i = 0; i < rank; i++) lk_json_push(failed, dims, json_integer((json_int_t)shape[i]));
    lk_json_push(failed, offsets, json_integer((json_int_t)begin));
    lk_json_push(failed, offsets, json_integer((json_int_t)end));
    lk_json_put(failed, entry, "dtype", json_string(dtype));
    lk_json_put(failed, entry, "shape", dims);
    lk_json_put(failed, entry, "data_offsets", offsets);
    return entry;
}

/* The data section in one block: parameters, then blobs. */
static unsigned char *gather_data(const lk_model *model, const lk_blob *blobs, size_t n_blobs,
                                  json_t *header, bool *failed, size_t *n) {
    size_t total = 0, at = 0;
    const lk_params *p = &model->params;
    for (size_t i = 0; i < p->n; i++) total += p->info[i].size * lk_dtype_size(p->info[i].dtype);
    for (size_t i = 0; i < n_blobs; i++) total += blobs[i].n;
    unsigned char *data = lk_alloc(model->ctx, total, 1);
    if (!data) return NULL;
    for (size_t i = 0; i < p->n; i++) {
        const lk_param_info *info = &p->info[i];
        size_t size = lk_dtype_size(info->dtype), bytes = info->size * size;
        little_endian(data + at, lk_param_values(p, i), info->size, size);
        lk_json_put(failed, header, info->name,
                    tensor_entry(failed, dtype_names[info->dtype], info->rank, info->shape, at,
                                 at + bytes));
        at += bytes;
    }
    for (size_t i = 0; i < n_blobs; i++) {
        memcpy(data + at, blobs[i].bytes, blobs[i].n);
        lk_json_put(failed, header, blobs[i].name,
                    tensor_entry(failed, "U8", 1, &blobs[i].n, at, at + blobs[i].n));
        at += blobs[i].n;
    }
    *n = total;
    return data;
}

#define NO_HASH "0000000000000000000000000000000000000000000000000000000000000000"
enum { HASH = 64 };

/* Of the header (with NO_HASH in it) and the data. */
static void hash_of(const char *header, size_t length, const unsigned char *data, size_t n,
                    char hex[HASH + 1]) {
    unsigned char both[64];
    lk_sha256(header, length, both);
    lk_sha256(data, n, both + 32);
    lk_sha256_hex(both, sizeof both, hex);
}

/* Puts the hash where it belongs. The description before it, a JSON text in a JSON text, may hold as many
 * zeros, but its quotes have backslashes. */
static bool put_hash(char *header, const unsigned char *data, size_t n) {
    static const char key[] = "\"sha256\":\"";
    char hex[HASH + 1], *at = strstr(header, key);
    if (!at) return false;
    hash_of(header, strlen(header), data, n, hex);
    memcpy(at + sizeof key - 1, hex, HASH);
    return true;
}

lk_status lk_model_bytes(const lk_model *model, const lk_blob *blobs, size_t n_blobs,
                         unsigned char **bytes, size_t *size) {
    lk_context *ctx = model->ctx;
    *bytes = NULL;
    char *text = describe(model);
    if (!text) return ctx->status;
    json_t *header = json_object(), *metadata = json_object();
    bool failed = false;
    lk_json_put(&failed, header, "__metadata__", metadata);
    size_t n = 0;
    unsigned char *data = gather_data(model, blobs, n_blobs, header, &failed, &n);
    char *json = NULL;
    if (data && !failed) {
        lk_json_put(&failed, metadata, "format", json_string("likely model"));
        lk_json_put(&failed, metadata, "likely", json_string(text));
        lk_json_put(&failed, metadata, "sha256", json_string(NO_HASH));
        if (!failed) json = lk_json_text(ctx, header, JSON_COMPACT);
    }
    json_decref(header);
    lk_free(ctx, text);
    if (json && put_hash(json, data, n)) {
        size_t used = strlen(json), padded = (used + 7) / 8 * 8;
        *size = 8 + padded + n;
        *bytes = lk_alloc(ctx, *size, 1);
        for (int b = 0; *bytes && b < 8; b++) (*bytes)[b] = (unsigned char)(padded >> (8 * b));
        if (*bytes) memset(*bytes + 8, ' ', padded);
        if (*bytes) memcpy(*bytes + 8, json, used);
        if (*bytes && n) memcpy(*bytes + 8 + padded, data, n);
    }
    lk_free(ctx, json);
    lk_free(ctx, data);
    return *bytes ? LK_OK : no_memory(ctx);
}

lk_status lk_model_write(const lk_model *model, const char *path, bool replace,
                         const lk_blob *blobs, size_t n_blobs) {
    unsigned char *bytes;
    size_t n = 0;
    lk_file *file = NULL;
    lk_status status = lk_model_bytes(model, blobs, n_blobs, &bytes, &n);
    if (status == LK_OK) status = lk_file_create(model->ctx, path, replace, &file);
    if (status == LK_OK) {
        status = lk_file_write(file, bytes, n);
        if (status == LK_OK) status = lk_file_commit(file);
        else lk_file_abandon(file);
    }
    lk_free(model->ctx, bytes);
    return status;
}

/* ---- Reading ---------------------------------------------------------------------------------------- */

typedef struct opened {
    unsigned char *bytes, *data;
    size_t n_data;
    json_t *header, *about;
} opened;

static void close_file(lk_context *ctx, opened *f) {
    json_decref(f->header);
    json_decref(f->about);
    lk_free(ctx, f->bytes);
}

static lk_status broken(lk_context *ctx, const char *path, const char *why) {
    return lk_fail(ctx, LK_BAD_MODEL, "%s: not a model file of likely, or a damaged one: %s", path,
                   why);
}

/* An object from a text of the file's; NULL with the failure recorded. */
static json_t *parse(lk_context *ctx, const char *path, const char *text, size_t n,
                     const char *otherwise) {
    lk_json_error error;
    json_t *json = lk_json_parse(ctx, text, n, &error);
    if (json_is_object(json)) return json;
    if (json || error.text) broken(ctx, path, otherwise);
    json_decref(json);
    return NULL;
}

/* Zeroes the hash in the header's bytes, which nothing reads after this. */
static bool hash_holds(opened *f, uint64_t length, const char *hash) {
    char hex[HASH + 1], *header = (char *)f->bytes + 8, *at = NULL;
    while (length > 0 && header[length - 1] == ' ') length--; /* padding */
    for (uint64_t i = 0; !at && strlen(hash) == HASH && i + HASH <= length; i++)
        if (!memcmp(header + i, hash, HASH)) at = header + i;
    if (!at) return false;
    memcpy(at, NO_HASH, HASH);
    hash_of(header, (size_t)length, f->data, f->n_data, hex);
    return !strcmp(hex, hash);
}

/* Of f->bytes, n of them; `path` for messages. */
static lk_status open_bytes(lk_context *ctx, const char *path, size_t n, opened *f) {
    if (n < 8) return broken(ctx, path, "it is shorter than a header");
    uint64_t length = 0;
    for (int b = 7; b >= 0; b--) length = length << 8 | f->bytes[b];
    if (length > MAX_HEADER || length > n - 8)
        return broken(ctx, path, "its header's length is wrong");
    f->data = f->bytes + 8 + length;
    f->n_data = n - 8 - (size_t)length;
    f->header = parse(ctx, path, (const char *)f->bytes + 8, (size_t)length,
                      "its header is not JSON");
    if (!f->header) return ctx->status;
    json_t *metadata = json_object_get(f->header, "__metadata__");
    const char *text = json_string_value(json_object_get(metadata, "likely"));
    const char *hash = json_string_value(json_object_get(metadata, "sha256"));
    if (!text || !hash) return broken(ctx, path, "its header is not ours");
    if (!hash_holds(f, length, hash)) return broken(ctx, path, "its bytes do not match its hash");
    f->about = parse(ctx, path, text, strlen(text), "its description is not JSON");
    if (!f->about) return ctx->status;
    if (json_integer_value(json_object_get(f->about, "format")) != FORMAT ||
        json_integer_value(json_object_get(f->about, "order_contract")) != ORDER_CONTRACT)
        return lk_fail(ctx, LK_BAD_MODEL,
                       "%s: made by a newer likely (%s) in a format that this one (%s) "
                       "does not know; use that version or newer",
                       path, json_string_value(json_object_get(f->about, "version")), LK_VERSION);
    return LK_OK;
}

static lk_status open_file(lk_context *ctx, const char *path, opened *f) {
    size_t n = 0;
    memset(f, 0, sizeof *f);
    lk_status status = lk_file_read(ctx, path, MAX_FILE, &f->bytes, &n);
    return status == LK_OK ? open_bytes(ctx, path, n, f) : status;
}

/* Where a tensor of exactly these bytes stands; NULL when the header says otherwise. */
static const unsigned char *find_tensor(const opened *f, const char *name, const char *dtype,
                                        int rank, const size_t *shape, size_t bytes) {
    json_t *entry = json_object_get(f->header, name), *dims = json_object_get(entry, "shape");
    json_t *offsets = json_object_get(entry, "data_offsets");
    const char *type = json_string_value(json_object_get(entry, "dtype"));
    json_int_t begin = json_integer_value(json_array_get(offsets, 0));
    json_int_t end = json_integer_value(json_array_get(offsets, 1));
    if (!type || strcmp(type, dtype) || json_array_size(dims) != (size_t)rank) return NULL;
    for (int i = 0; i < rank; i++)
        if (json_integer_value(json_array_get(dims, (size_t)i)) != (json_int_t)shape[i])
            return NULL;
    if (begin < 0 || end < begin || (uint64_t)end > f->n_data || (size_t)(end - begin) != bytes)
        return NULL;
    return f->data + begin;
}

static lk_status read_options(lk_context *ctx, const opened *f, const lk_family *family,
                              lk_learning_options_fn learning, lk_options **out) {
    const char *name;
    json_t *value;
    lk_options *options = lk_options_create(ctx);
    *out = options;
    if (!options) return LK_NO_MEMORY;
    lk_status status = lk_options_add(options, family->options);
    if (status == LK_OK) status = lk_options_add(options, learning(family));
    if (status == LK_OK && family->learned) status = lk_options_add(options, family->learned);
    json_object_foreach(json_object_get(f->about, "options"), name, value) {
        if (status != LK_OK) break;
        if (!lk_options_has(options, name)) continue;
        status =
            lk_options_set(options, name, json_string_value(value) ? json_string_value(value) : "");
    }
    return status;
}

/* "nan" and the infinities are no decimals: what was not measured reads back as NaN. */
static double read_real(const json_t *value) {
    const char *text = json_string_value(value);
    double x;
    return text && lk_decimal_to_double(text, strlen(text), &x) ? x : (double)NAN;
}

static lk_status read_state(lk_model *model, const opened *f, const char *path) {
    const char *hash = json_string_value(json_object_get(f->about, "data_sha256"));
    json_t *log = json_object_get(f->about, "log");
    model->steps = (uint64_t)json_integer_value(json_object_get(f->about, "steps"));
    model->converged = json_is_true(json_object_get(f->about, "converged"));
    model->data_rows = (uint64_t)json_integer_value(json_object_get(f->about, "data_rows"));
    snprintf(model->data_hash, sizeof model->data_hash, "%s", hash ? hash : "");
    hash = json_string_value(json_object_get(f->about, "start_data_sha256"));
    snprintf(model->start_hash, sizeof model->start_hash, "%s", hash ? hash : "");
    for (size_t i = 0; i < json_array_size(log); i++) {
        json_t *row = json_array_get(log, i);
        lk_status status =
            lk_model_log(model, (uint64_t)json_integer_value(json_array_get(row, 0)),
                         read_real(json_array_get(row, 1)), read_real(json_array_get(row, 2)));
        if (status != LK_OK) return status;
    }
    for (size_t i = 0; i < model->params.n; i++) {
        const lk_param_info *info = &model->params.info[i];
        size_t size = lk_dtype_size(info->dtype);
        const unsigned char *from = find_tensor(f, info->name, dtype_names[info->dtype], info->rank,
                                                info->shape, info->size * size);
        if (!from)
            return lk_fail(
                model->ctx, LK_BAD_MODEL,
                "%s: the tensor \"%s\" is missing or has another shape "
                "than the model's options say; the file is damaged or from another build",
                path, info->name);
        little_endian(lk_param_values(&model->params, i), from, info->size, size);
    }
    return LK_OK;
}

/* Each cell has a parameter, so that no schema of a sound file has more cells than data. */
static lk_status read_schema(lk_context *ctx, const opened *f, lk_schema **out) {
    json_t *json = json_object_get(f->about, "schema");
    if (!json_is_object(json)) return lk_fail(ctx, LK_BAD_MODEL, "it has no schema");
    char *text = lk_json_text(ctx, json, JSON_COMPACT);
    if (!text) return LK_NO_MEMORY;
    lk_status status = lk_schema_from_json_within(ctx, text, f->n_data, out);
    lk_free(ctx, text);
    return status;
}

static bool parse_seed(const char *text, uint64_t *seed) {
    *seed = 0;
    if (!text || !*text) return false;
    for (; *text; text++) {
        if (*text < '0' || *text > '9' || *seed > (UINT64_MAX - (uint64_t)(*text - '0')) / 10)
            return false;
        *seed = *seed * 10 + (uint64_t)(*text - '0');
    }
    return true;
}

static lk_status read_model(lk_context *ctx, const char *path, const opened *f,
                            lk_learning_options_fn learning, lk_model **out) {
    const char *name = json_string_value(json_object_get(f->about, "family"));
    const lk_family *family = name ? lk_family_named(name) : NULL;
    uint64_t seed;
    if (!family)
        return lk_fail(ctx, LK_BAD_MODEL, "%s: its family \"%s\" is unknown to this version (%s)",
                       path, name ? name : "", LK_VERSION);
    if (!parse_seed(json_string_value(json_object_get(f->about, "seed")), &seed))
        return broken(ctx, path, "its seed is not a number");
    lk_options *options = NULL;
    lk_status status = read_options(ctx, f, family, learning, &options);
    lk_schema *schema = NULL;
    if (status == LK_OK) status = read_schema(ctx, f, &schema);
    if (status != LK_OK) {
        lk_options_destroy(options);
        return status == LK_NO_MEMORY ? status : (lk_fail_where(ctx, "%s", path), LK_BAD_MODEL);
    }
    status = lk_model_create_within(ctx, family, schema, options, seed, f->n_data, out);
    lk_schema_destroy(schema);
    if (status != LK_OK && status != LK_NO_MEMORY) {
        lk_fail_where(ctx, "%s", path);
        status = LK_BAD_MODEL;
    }
    if (status == LK_OK) status = read_state(*out, f, path);
    bool sound = ctx->status == LK_OK;
    if (status == LK_OK && family->loaded) family->loaded(*out);
    if (status == LK_OK && sound && ctx->status != LK_OK) {
        status = ctx->status;
        lk_fail_where(ctx, "%s", path);
    }
    if (status != LK_OK) {
        lk_model_release(*out);
        *out = NULL;
    }
    return status;
}

lk_status lk_model_read(lk_context *ctx, const char *path, lk_learning_options_fn learning,
                        lk_model **out) {
    opened f;
    *out = NULL;
    lk_status status = open_file(ctx, path, &f);
    if (status == LK_OK) status = read_model(ctx, path, &f, learning, out);
    close_file(ctx, &f);
    return status;
}

lk_status lk_model_read_bytes(lk_context *ctx, const char *name, const void *bytes, size_t n,
                              lk_learning_options_fn learning, lk_model **out) {
    opened f = {0};
    *out = NULL;
    f.bytes = lk_alloc(ctx, n + 1, 1); /* with a zero byte after them, as from a file */
    if (!f.bytes) return LK_NO_MEMORY;
    if (n) memcpy(f.bytes, bytes, n);
    lk_status status = open_bytes(ctx, name, n, &f);
    if (status == LK_OK) status = read_model(ctx, name, &f, learning, out);
    close_file(ctx, &f);
    return status;
}

lk_status lk_model_read_blobs(lk_context *ctx, const char *path, const lk_blob *blobs, size_t n) {
    opened f;
    lk_status status = open_file(ctx, path, &f);
    for (size_t i = 0; status == LK_OK && i < n; i++) {
        const unsigned char *from =
            find_tensor(&f, blobs[i].name, "U8", 1, &blobs[i].n, blobs[i].n);
        if (!from)
            status = broken(ctx, path,
                            "it is a model, but not a checkpoint of this kind of learning");
        else memcpy(blobs[i].bytes, from, blobs[i].n);
    }
    close_file(ctx, &f);
    return status;
}
