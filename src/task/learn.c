#include "infer/evaluate.h"
#include "infer/fit.h"
#include "task/task.h"

#include <stdio.h>
#include <string.h>

static const lk_option none[] = {{NULL, LK_OPTION_INT, NULL, 0, 0, NULL, NULL}};

const lk_option *lk_task_learning_options(const lk_family *family) {
    return family->learn ? none : family->em ? lk_em_options : lk_gradient_options;
}

/* One "name=value", by lk_options_set or lk_options_preset. */
static lk_status set_option(lk_context *ctx, lk_options *options, const char *text,
                            lk_status (*set)(lk_options *, const char *, const char *)) {
    const char *equals = strchr(text, '=');
    char name[64];
    if (!equals || (size_t)(equals - text) >= sizeof name)
        return lk_fail(ctx, LK_USAGE, "the option \"%s\" is not of the form name=value", text);
    memcpy(name, text, (size_t)(equals - text));
    name[equals - text] = 0;
    return set(options, name, equals + 1);
}

/* "name=value" strings into checked options. */
static lk_status set_options(lk_context *ctx, const lk_family *family, const char *const *texts,
                             lk_options **out) {
    lk_options *options = *out = lk_options_create(ctx);
    if (!options) return LK_NO_MEMORY;
    lk_status status = lk_options_add(options, family->options);
    if (status == LK_OK) status = lk_options_add(options, lk_task_learning_options(family));
    for (size_t i = 0; status == LK_OK && texts && texts[i]; i++)
        status = set_option(ctx, options, texts[i], lk_options_set);
    for (const lk_preset *p = family->presets; status == LK_OK && p && p->option; p++) {
        if (p->value && strcmp(lk_options_text(options, p->option), p->value)) continue;
        for (size_t i = 0; status == LK_OK && p->settings[i]; i++)
            status = set_option(ctx, options, p->settings[i], lk_options_preset);
    }
    if (status == LK_OK && family->learned) status = lk_options_add(options, family->learned);
    return status;
}

/* A checkpoint goes on only what it began with. */
static lk_status check_resumed(lk_model *model, const lk_options *asked, const lk_rows *rows,
                               const lk_fit_options *o) {
    const char *path = o->checkpoint;
    char hash[65];
    lk_context *ctx = model->ctx;
    for (size_t i = 0; lk_options_at(asked, i); i++) {
        const char *name = lk_options_at(asked, i)->name;
        if (lk_options_is_set(asked, name) &&
            strcmp(lk_options_text(asked, name), lk_options_text(model->options, name)))
            return lk_fail(ctx, LK_USAGE,
                           "%s was begun with --%s %s, not %s; resume with the same options, or "
                           "start anew without --resume",
                           path, name, lk_options_text(model->options, name),
                           lk_options_text(asked, name));
    }
    if (o->seed != model->seed)
        return lk_fail(ctx, LK_USAGE,
                       "%s was begun with --seed %llu, not %llu; resume with the same seed, or "
                       "start anew without --resume",
                       path, (unsigned long long)model->seed, (unsigned long long)o->seed);
    if (o->steps && model->steps > o->steps)
        return lk_fail(ctx, LK_USAGE,
                       "%s is at step %llu already, beyond --steps %llu; ask for more steps, or "
                       "start anew without --resume",
                       path, (unsigned long long)model->steps, (unsigned long long)o->steps);
    lk_rows_hash(rows, hash);
    if (!*hash) return ctx->status;
    if (strcmp(hash, model->data_hash))
        return lk_fail(ctx, LK_BAD_DATA,
                       "%s was begun on other data (its rows' hash is %.16s…, these have %.16s…); "
                       "resume with the same file",
                       path, model->data_hash, hash);
    return LK_OK;
}

static lk_status say_data(lk_model *model, const lk_rows *rows) {
    model->data_rows = lk_rows_count(rows);
    lk_rows_hash(rows, model->data_hash);
    return *model->data_hash ? LK_OK : model->ctx->status;
}

static lk_status begin(lk_context *ctx, const lk_family *family, const lk_rows *rows,
                       const lk_fit_options *o, lk_model **model) {
    lk_options *options = NULL;
    lk_status status = set_options(ctx, family, o->options, &options);
    if (status == LK_OK && o->resume) {
        status = lk_model_read(ctx, o->checkpoint, lk_task_learning_options, model);
        if (status == LK_OK && (*model)->family != family)
            status = lk_fail(ctx, LK_USAGE, "%s is a checkpoint of %s, not of %s", o->checkpoint,
                             (*model)->family->name, family->name);
        if (status == LK_OK) status = check_resumed(*model, options, rows, o);
        lk_options_destroy(options);
        return status;
    }
    if (status != LK_OK) {
        lk_options_destroy(options);
        return status;
    }
    status = lk_model_create(ctx, family, lk_rows_schema(rows), options, o->seed, model);
    return status == LK_OK ? say_data(*model, rows) : status;
}

/* A weight counts rows: all of them 0 leave nothing to learn from, and small ones little. */
static lk_status check_weights(lk_context *ctx, const lk_rows *rows) {
    double weight = lk_rows_weight(rows), n = (double)lk_rows_count(rows);
    if (n > 0 && !(weight > 0 && weight - weight == 0))
        return lk_fail(ctx, LK_BAD_DATA,
                       "the weights of the rows add to %g, which is nothing to learn from", weight);
    if (weight < n / 2)
        lk_notice(
            ctx,
            "the weights of the %.0f rows add to %g; the model is learned as from that many rows "
            "(a "
            "weight of 2 counts as the row twice), so scale them up if each stands for one or more",
            n, weight);
    return LK_OK;
}

/* Do the options leave the number of components to a criterion? */
static bool is_to_choose(const lk_options *options) {
    return lk_options_has(options, "components") && lk_options_has(options, "criterion") &&
           !lk_options_int(options, "components");
}

static lk_status choose(lk_context *ctx, const lk_family *family, const lk_rows *rows,
                        const lk_options *options, const lk_fit_options *o, lk_model **out) {
    lk_task_fit fit = {
        .family = family,
        .rows = rows,
        .options = options,
        .seed = o->seed,
        .control = {
            .steps = o->steps, .epochs = o->epochs, .minutes = o->minutes, .resume = o->resume}};
    lk_status status = lk_task_choose(ctx, &fit, out);
    if (*out && say_data(*out, rows) != LK_OK) {
        lk_model_release(*out);
        *out = NULL;
        status = LK_NO_MEMORY;
    }
    return status;
}

/* Does the family learn rows of this kind? */
static lk_status check_kind(lk_context *ctx, const lk_family *family, const lk_schema *schema) {
    bool series = lk_schema_series(schema) != SIZE_MAX;
    if (family->series && !series)
        return lk_fail(
            ctx, LK_CANNOT,
            "%s learns texts and other series, and these data are a table; `likely families` "
            "lists what learns tables, and --text bytes reads any file as a text",
            family->name);
    if (series && !family->series && (family->em || family->learn || family->guide))
        return lk_fail(
            ctx, LK_CANNOT,
            "%s learns rows of a table, and these data are a text; ngram learns texts, and so do "
            "other families that draw one symbol after the other",
            family->name);
    return LK_OK;
}

/* Can the model be given what is known of a row? One row says so. */
static lk_status check_conditions(lk_model *model, const lk_rows *rows) {
    lk_batch batch = {0};
    double log_prob;
    lk_evaluation e = {.particles = 1, .seed = 1, .salt = "check", .log_prob = &log_prob};
    lk_tape *tape = lk_tape_create(model->ctx);
    lk_status status = tape ? lk_batch_create(model->ctx, 1, model->schema->n_cells, &batch)
                            : LK_NO_MEMORY;
    if (status == LK_OK && lk_rows_count(rows)) {
        status = lk_rows_range(rows, 0, 1, &batch);
        if (status == LK_OK) status = lk_evaluate(model, tape, &batch, &e);
    }
    lk_batch_destroy(model->ctx, &batch);
    lk_tape_destroy(tape);
    return status;
}

/* A model to begin at reads its numbers as this one does. */
static lk_status check_start(const lk_model *model, const lk_model *start) {
    lk_context *ctx = model->ctx;
    char *own = NULL, *other = NULL;
    if (!start) return LK_OK;
    if (model->family->em || model->family->learn)
        return lk_fail(
            ctx, LK_CANNOT,
            "%s does not learn by gradients, so that there is nothing to begin at; leave out "
            "the model to start from",
            model->family->name);
    if (start->family != model->family)
        return lk_fail(ctx, LK_USAGE, "a %s cannot begin at the parameters of a %s",
                       model->family->name, start->family->name);
    lk_status status = lk_schema_to_json(model->schema, &own);
    if (status == LK_OK) status = lk_schema_to_json(start->schema, &other);
    if (status == LK_OK && strcmp(own, other))
        status = lk_fail(
            ctx, LK_BAD_DATA,
            "the data are read by another schema than those of the model to begin at, whose "
            "numbers would mean something else; read them by its schema");
    lk_free(ctx, own);
    lk_free(ctx, other);
    return status;
}

static lk_status fit_rows(lk_context *ctx, const lk_family *family, const lk_rows *rows,
                          const lk_rows *valid, const lk_fit_options *o, lk_model **out) {
    lk_model *model = NULL;
    lk_options *options = NULL;
    lk_status status = check_kind(ctx, family, lk_rows_schema(rows));
    if (status == LK_OK) status = set_options(ctx, family, o->options, &options);
    if (status == LK_OK && is_to_choose(options)) {
        status = choose(ctx, family, rows, options, o, out);
        lk_options_destroy(options);
        return status;
    }
    lk_options_destroy(options);
    if (status == LK_OK) status = begin(ctx, family, rows, o, &model);
    if (status == LK_OK) status = check_start(model, o->start);
    if (status == LK_OK && lk_rows_schema(rows)->n_known) status = check_conditions(model, rows);
    lk_fit_control control = {
        .valid = valid,
        .steps = o->steps,
        .epochs = o->epochs,
        .minutes = o->minutes,
        .checkpoint = o->checkpoint,
        .checkpoint_seconds = o->checkpoint_seconds,
        .resume = o->resume,
        .start = o->start};
    if (status == LK_OK)
        status = family->learn ? lk_direct_fit(model, rows, &control)
                 : family->em  ? lk_em_fit(model, rows, &control)
                               : lk_gradient_fit(model, rows, &control);
    if (status != LK_OK && status != LK_INTERRUPTED) {
        lk_model_release(model);
        return status;
    }
    if (status == LK_OK && o->checkpoint) remove(o->checkpoint);
    *out = model;
    return status;
}

lk_status lk_fit(lk_context *ctx, const char *name, lk_data *data, const lk_fit_options *options,
                 lk_model **out) {
    static const lk_fit_options defaults = LK_FIT_DEFAULTS;
    const lk_family *family = lk_family_named(name);
    const lk_rows *rows = NULL, *valid = NULL;
    lk_rows *own_rows = NULL, *own_valid = NULL;
    lk_clear(ctx);
    *out = NULL;
    if (!options) options = &defaults;
    if (!family)
        return lk_fail(ctx, LK_USAGE, "there is no family \"%s\"; `likely families` lists them",
                       name);
    if (options->resume && !options->checkpoint)
        return lk_fail(ctx, LK_USAGE, "resuming needs the path of a checkpoint");
    lk_status status = lk_data_all(data, &rows, &own_rows);
    if (status == LK_OK && options->valid) {
        status = lk_data_all(options->valid, &valid, &own_valid);
        if (status == LK_OK && lk_rows_schema(valid)->n_cells != lk_rows_schema(rows)->n_cells)
            status = lk_fail(ctx, LK_BAD_DATA,
                             "%s: read as %zu cells a row, but the data to learn from have %zu; "
                             "give both one --schema",
                             options->valid->path, lk_rows_schema(valid)->n_cells,
                             lk_rows_schema(rows)->n_cells);
    }
    if (status == LK_OK) status = check_weights(ctx, rows);
    if (status == LK_OK) status = fit_rows(ctx, family, rows, valid, options, out);
    lk_rows_destroy(own_valid);
    lk_rows_destroy(own_rows);
    return status;
}

void lk_model_destroy(lk_model *model) { lk_model_release(model); }

lk_status lk_model_save(const lk_model *model, const char *path, bool replace) {
    lk_clear(model->ctx);
    return lk_model_write(model, path, replace, NULL, 0);
}

lk_status lk_model_load(lk_context *ctx, const char *path, lk_model **out) {
    lk_clear(ctx);
    return lk_model_read(ctx, path, lk_task_learning_options, out);
}

static const char *const *own_defaults(const lk_family *family) {
    for (const lk_preset *p = family->presets; p && p->option; p++)
        if (!p->value) return p->settings;
    return NULL;
}

bool lk_family_at(size_t i, lk_family_info *info) {
    const lk_family *f = lk_families[i];
    if (!f) return false;
    *info = (lk_family_info){
        .name = f->name,
        .summary = f->summary,
        .taxonomy = f->taxonomy,
        .log_prob = f->guide ? "bound" : "exact",
        .posterior = f->posterior,
        .learning = f->learn ? "closed form"
                    : f->em  ? "EM"
                             : "stochastic gradient",
        .options = f->options,
        .learning_options = lk_task_learning_options(f),
        .defaults = own_defaults(f),
        .series = f->series};
    return true;
}
