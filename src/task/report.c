/* A model as one page of HTML. */
#include "task/report.h"

#include "base/decimal.h"
#include "base/files.h"
#include "data/frames.h"
#include "data/kinds.h"

#include <math.h>
#include <string.h>

enum { MOST_FIELDS = 200, MOST_POINTS = 400 };

static const char head[] =
    "<!DOCTYPE html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">\n"
    "<meta name=\"viewport\" content=\"width=device-width\">\n<style>\n"
    "body{font:15px/1.45 sans-serif;max-width:72em;margin:2em auto;padding:0 1em;color:#222}\n"
    "table{border-collapse:collapse}td,th{padding:.1em .8em .1em "
    "0;text-align:left;vertical-align:top}\n"
    "th{font-weight:normal;color:#777}pre{white-space:pre-wrap;background:#f6f6f6;padding:.8em;"
    "margin:.5em 0}\n"
    "svg{display:block;overflow:visible}.d{fill:#bbb}.b{fill:#2468b0}.s{fill:none;stroke:#2468b0;"
    "stroke-width:16}\n"
    ".l{fill:none;stroke:#888;stroke-width:16}.all{display:flex;flex-wrap:wrap;gap:1.2em 2em}\n"
    ".axis,.ends{font-size:12px;color:#777}.ends{display:flex;justify-content:space-between}\n"
    ".key b{font-weight:normal;padding:0 .4em}figure{margin:0}figcaption{font-size:13px}\n"
    "img{image-rendering:pixelated;max-width:100%;display:block}\n";

lk_sample_options lk_report_samples(const lk_report_job *job, size_t n) {
    lk_sample_options options = LK_SAMPLE_DEFAULTS;
    options.n = n;
    options.seed = job->options->seed;
    options.given = job->options->given;
    return options;
}

static void begin_row(lk_text *out, const char *what) {
    lk_text_printf(out, "<tr><th>%s<td>", what);
}

static void put_about(lk_report_job *job) {
    const lk_model *model = job->model;
    lk_text *out = &job->out;
    size_t numbers = 0;
    for (size_t i = 0; i < model->params.n; i++) numbers += model->params.info[i].size;
    lk_text_printf(out, "<table>\n");
    begin_row(out, "family");
    lk_text_printf(out, "%s: ", model->family->name);
    lk_page_words(out, model->family->summary, strlen(model->family->summary));
    begin_row(out, "learned from");
    lk_text_printf(out, "%llu %s, SHA-256 %s", (unsigned long long)model->data_rows,
                   lk_schema_series(model->schema) == SIZE_MAX ? "rows" : "windows",
                   model->data_hash);
    begin_row(out, "steps");
    lk_text_printf(out, "%llu%s, seed %llu", (unsigned long long)model->steps,
                   model->converged ? " (nothing more was gained)" : "",
                   (unsigned long long)model->seed);
    begin_row(out, "parameters");
    lk_text_printf(out, "%zu numbers", numbers);
    begin_row(out, "options");
    for (size_t i = 0, n = 0; lk_options_at(model->options, i); i++) {
        const lk_option *o = lk_options_at(model->options, i);
        const char *value = lk_options_text(model->options, o->name);
        bool learned = false;
        for (const lk_option *l = model->family->learned; l && l->name; l++)
            learned = learned || !strcmp(l->name, o->name);
        if (learned || !*value) continue;
        lk_text_printf(out, "%s%s ", n++ ? ", " : "", o->name);
        lk_page_words(out, value, strlen(value) < 80 ? strlen(value) : 80);
    }
    lk_text_printf(out, "</table>\n");
}

static lk_status put_schema(lk_report_job *job) {
    char *table;
    lk_text *out = &job->out;
    lk_status status = lk_schema_to_table(job->model->schema, &table);
    if (status != LK_OK) return status;
    size_t lines = 0, n = 0, whole = strlen(table);
    while (n < whole && (table[n] != '\n' || ++lines <= MOST_FIELDS)) n++;
    lk_text_printf(out, "<details><summary>Fields</summary><pre>");
    lk_page_words(out, table, n);
    if (n < whole) lk_text_printf(out, "\n… %zu fields in all", job->model->schema->n_fields);
    lk_text_printf(out, "</pre></details>\n");
    lk_free(job->model->ctx, table);
    return LK_OK;
}

/* What was recorded while the model was learned, in bits a dimension. */
static lk_status put_learning(lk_report_job *job) {
    const lk_model *model = job->model;
    lk_context *ctx = model->ctx;
    const lk_schema *schema = model->schema;
    size_t dims = lk_schema_dims(schema), every = model->n_log / MOST_POINTS + 1, n = 0;
    size_t series = lk_schema_series(schema);
    double unit = -1 / (lk_log(2) * (double)(dims ? dims : 1)), best = (double)INFINITY;
    /* Windows that are learned from are all new, of those held out the end is. */
    double held_unit = unit;
    if (series != SIZE_MAX)
        held_unit = unit * (double)dims / (double)(dims - schema->fields[series].overlap);
    if (!model->n_log) return LK_OK;
    double *x = lk_alloc(ctx, 3 * model->n_log, sizeof *x);
    if (!x) return LK_NO_MEMORY;
    double *train = x + model->n_log, *valid = train + model->n_log;
    for (size_t i = 0; i < model->n_log; i++) {
        double held = model->log[i].valid * held_unit;
        if (held < best) best = held;
        if (i % every && i + 1 < model->n_log) continue;
        x[n] = (double)model->log[i].step;
        train[n] = model->log[i].train * unit;
        valid[n++] = held;
    }
    lk_text *out = &job->out;
    lk_text_printf(out,
                   "<h2>Learning</h2>\n<p class=\"key\">Bits a %s after %llu steps: <b "
                   "style=\"background:#bbb\">what was learned from</b> ",
                   series == SIZE_MAX ? "dimension" : "symbol",
                   (unsigned long long)model->log[model->n_log - 1].step);
    lk_page_number(out, train[n - 1], 4);
    if (best < (double)INFINITY) {
        lk_text_printf(out, " <b style=\"background:#9bd\">what was held out</b>, at best ");
        lk_page_number(out, best, 4);
    }
    lk_text_printf(out, "</p>\n");
    lk_page_lines(out, n, x, train, valid, 4);
    lk_free(ctx, x);
    return LK_OK;
}

static lk_status put_score(lk_report_job *job) {
    lk_score_options options = LK_SCORE_DEFAULTS;
    lk_score_summary s;
    lk_text *out = &job->out;
    options.seed = job->options->seed;
    lk_status status = lk_score(job->model, job->data, &options, NULL, NULL, &s);
    if (status != LK_OK) return status;
    const char *slash = strrchr(lk_data_path(job->data), '/');
    const char *name = slash && slash[1] ? slash + 1 : lk_data_path(job->data);
    lk_text_printf(out, "<h2>Data</h2>\n<table>\n");
    begin_row(out, "data");
    lk_page_words(out, name, strlen(name));
    lk_text_printf(out, ", %llu %s", (unsigned long long)s.rows, s.symbols ? "windows" : "rows");
    begin_row(out, s.symbols ? "bits a symbol" : "bits a dimension");
    lk_page_number(out, s.bits_per_dim, 4);
    lk_text_printf(out, " (%s)", s.kind);
    if (s.symbols)
        lk_text_printf(out, ", each of %llu given the %zu to %zu before it",
                       (unsigned long long)s.symbols, s.overlap, s.dims - 1);
    if (s.bytes) {
        lk_text_printf(out, "; ");
        lk_page_number(out, s.bits_per_dim * (double)s.symbols / (double)s.bytes, 4);
        lk_text_printf(out, " bits a byte");
    }
    begin_row(out, s.symbols ? "nats a window" : "nats a row");
    lk_page_number(out, s.mean_log_prob, 4);
    if (s.standard_error > 0) {
        lk_text_printf(out, " ± ");
        lk_page_number(out, s.standard_error, 4);
    }
    lk_text_printf(out, "</table>\n");
    return LK_OK;
}

/* Is everything given that the model is conditional on? Else the page says what is not. */
static void look_for_given(lk_report_job *job) {
    const lk_schema *schema = job->model->schema;
    const char *const *given = job->options->given;
    job->draws = !lk_schema_frames(schema).hop;
    if (!job->draws)
        lk_text_printf(&job->out,
                       "<p>The model gives p(sound | features of frames); samples come with "
                       "<code>likely sample --frames</code>.</p>\n");
    for (size_t i = 0; i < schema->n_known; i++) {
        const char *name = schema->fields[schema->cells[i].field].name;
        size_t n = strlen(name);
        bool found = false;
        for (size_t g = 0; given && given[g]; g++)
            found = found || (!strncmp(given[g], name, n) && given[g][n] == '=');
        if (found || !job->draws) continue;
        job->draws = false;
        lk_text_printf(&job->out, "<p>The model gives p(the others | ");
        lk_page_words(&job->out, name, n);
        lk_text_printf(&job->out, "); samples come with <code>--given ");
        lk_page_words(&job->out, name, n);
        lk_text_printf(&job->out, "=…</code>.</p>\n");
    }
}

static lk_status put_page(lk_report_job *job) {
    const char *title = job->options->title ? job->options->title : job->model->family->name;
    lk_text *out = &job->out;
    lk_text_printf(out, "%s", head);
    for (int i = 0; i < 9; i++) lk_text_printf(out, ".q%d{background:rgba(220,60,30,0.%d)}", i, i);
    lk_text_printf(out, "\n</style><title>");
    lk_page_words(out, title, strlen(title));
    lk_text_printf(out, "</title></head><body>\n<h1>");
    lk_page_words(out, title, strlen(title));
    lk_text_printf(out, "</h1>\n");
    put_about(job);
    lk_status status = put_schema(job);
    if (status == LK_OK) status = put_learning(job);
    if (status == LK_OK && job->data) status = put_score(job);
    if (status != LK_OK) return status;
    look_for_given(job);
    status = lk_schema_series(job->model->schema) == SIZE_MAX
                 ? lk_report_table(job)
                 : lk_report_series(job);
    lk_text_printf(out, "</body></html>\n");
    return status == LK_OK && out->failed ? LK_NO_MEMORY : status;
}

lk_status lk_report(lk_model *model, lk_data *data, const lk_report_options *options,
                    const char *path, bool replace) {
    static const lk_report_options defaults = LK_REPORT_DEFAULTS;
    lk_report_job job = {.model = model,
                         .data = data,
                         .options = options ? options : &defaults,
                         .out = {.ctx = model->ctx}};
    lk_file *file = NULL;
    lk_clear(model->ctx);
    if (!(job.options->seconds >= 0 && job.options->seconds <= 600))
        return lk_fail(model->ctx, LK_USAGE, "samples of a report last 0 to 600 seconds");
    lk_status status = lk_file_create(model->ctx, path, replace, &file);
    if (status != LK_OK) return status;
    if (data) status = lk_task_fits(model, data);
    if (status == LK_OK) status = put_page(&job);
    if (status == LK_OK) status = lk_file_write(file, job.out.bytes, job.out.n);
    if (status == LK_NO_MEMORY)
        lk_fail(model->ctx, status,
                "out of memory while writing the report"); /* unless it was said */
    lk_text_free(&job.out);
    if (status == LK_OK) return lk_file_commit(file);
    lk_file_abandon(file);
    return status;
}
