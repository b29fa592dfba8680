#include "family/bayesnet_codes.h"

#include "family/binned_cells.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { BLOCK = 1024, MOST_ROWS = 100000, LEAST_ROWS = 2000, MOST_NUMBERS = 1 << 23 };

typedef struct weighed {
    double x, w;
} weighed;

static int by_value(const void *a, const void *b) {
    const weighed *p = a, *q = b;
    return p->x < q->x ? -1 : p->x > q->x;
}

/* The cut after the value at each share of the weight: between it and the next larger one. */
static void cut_column(weighed *v, size_t n, bool grid, size_t finest, double *cuts) {
    double total = 0, before = 0;
    size_t i = 0;
    qsort(v, n, sizeof *v, by_value);
    for (size_t k = 0; k < n; k++) total += v[k].w;
    for (size_t j = 1; j < finest; j++) {
        cuts[j] = n ? -INFINITY : INFINITY;
        while (i < n && before < (double)j / (double)finest * total) before += v[i++].w;
        if (!i) continue;
        size_t next = i;
        while (next < n && !(v[next].x > v[i - 1].x)) next++;
        cuts[j] = INFINITY;
        if (next == n) continue;
        double low = v[i - 1].x, high = v[next].x;
        cuts[j] = grid ? low + 0.5 : low + 0.5 * (high - low);
        if (!(cuts[j] < high)) cuts[j] = low;
    }
}

static size_t fine_code(const double *cuts, size_t finest, double x) {
    size_t low = 0, high = finest - 1;
    while (low < high) {
        size_t middle = (low + high) / 2;
        if (cuts[middle + 1] < x) low = middle + 1;
        else high = middle;
    }
    return low;
}

static lk_status allocate(lk_codes *c) {
    lk_context *ctx = c->s->model->ctx;
    size_t n = c->s->n;
    c->raw = lk_alloc(ctx, n, sizeof *c->raw);
    c->code = lk_alloc(ctx, n, sizeof *c->code);
    c->cuts = lk_alloc(ctx, n * c->finest, sizeof *c->cuts);
    c->bins = lk_alloc(ctx, n, sizeof *c->bins);
    c->used = lk_alloc(ctx, n, sizeof *c->used);
    c->states = lk_alloc(ctx, n, sizeof *c->states);
    c->weight = lk_alloc(ctx, c->rows, sizeof *c->weight);
    if (!c->raw || !c->code || !c->cuts || !c->bins || !c->used || !c->states || !c->weight)
        return LK_NO_MEMORY;
    for (size_t v = 0; v < n; v++) {
        c->raw[v] = lk_alloc(ctx, c->rows, sizeof **c->raw);
        c->code[v] = lk_alloc(ctx, c->rows, sizeof **c->code);
        if (!c->raw[v] || !c->code[v]) return LK_NO_MEMORY;
    }
    return LK_OK;
}

/* One pass over the sample; `numbers` [n] are columns of values, filled up to `there` [n]. NULL: codes. */
static lk_status pass(lk_codes *c, const lk_rows *rows, weighed **numbers, size_t *there) {
    const lk_bayesnet *s = c->s;
    lk_context *ctx = s->model->ctx;
    uint64_t index[BLOCK], count = lk_rows_count(rows);
    lk_batch batch;
    lk_status status = lk_batch_create(ctx, BLOCK, s->row.n, &batch);
    for (size_t first = 0; status == LK_OK && first < c->rows; first += BLOCK) {
        size_t n = c->rows - first < BLOCK ? c->rows - first : BLOCK;
        for (size_t i = 0; i < n; i++)
            index[i] = (uint64_t)((double)(first + i) * (double)count / (double)c->rows);
        status = lk_rows_get(rows, n, index, &batch);
        for (size_t i = 0; status == LK_OK && i < n; i++)
            for (size_t v = 0; v < s->n; v++) {
                const lk_net_node *node = &s->nodes[v];
                size_t at = i * s->row.n + node->value;
                bool gone = node->gate != SIZE_MAX && batch.present[i * s->row.n + node->gate] &&
                            batch.value[i * s->row.n + node->gate] == 1;
                bool present = !gone && batch.present[at];
                double x = batch.value[at];
                c->weight[first + i] = batch.weighted ? batch.weight[i] : 1;
                if (numbers) {
                    if (numbers[v] && present && c->weight[first + i] > 0)
                        numbers[v][there[v]++] = (weighed){x, c->weight[first + i]};
                    continue;
                }
                c->raw[v][first + i] =
                    gone           ? LK_ABSENT_CODE - 1
                    : !present     ? LK_ABSENT_CODE
                    : node->number ? (uint16_t)fine_code(c->cuts + v * c->finest, c->finest, x)
                                   : (uint16_t)lk_bayesnet_state(s, v, x);
            }
    }
    lk_batch_destroy(ctx, &batch);
    return status;
}

static lk_status cut_numbers(lk_codes *c, const lk_rows *rows) {
    const lk_bayesnet *s = c->s;
    lk_context *ctx = s->model->ctx;
    weighed **numbers = lk_alloc(ctx, s->n, sizeof(weighed *));
    size_t *there = lk_alloc(ctx, s->n, sizeof *there);
    lk_status status = numbers && there ? LK_OK : LK_NO_MEMORY;
    for (size_t v = 0; status == LK_OK && v < s->n; v++)
        if (s->nodes[v].number && !(numbers[v] = lk_alloc(ctx, c->rows, sizeof **numbers)))
            status = LK_NO_MEMORY;
    if (status == LK_OK) status = pass(c, rows, numbers, there);
    for (size_t v = 0; status == LK_OK && v < s->n; v++)
        if (numbers[v])
            cut_column(numbers[v], there[v], s->dist[s->nodes[v].value].step > 0, c->finest,
                       c->cuts + v * c->finest);
    for (size_t v = 0; numbers && v < s->n; v++) lk_free(ctx, numbers[v]);
    lk_free(ctx, numbers);
    lk_free(ctx, there);
    return status;
}

lk_status lk_codes_read(const lk_bayesnet *s, const lk_rows *rows, size_t finest, lk_codes *c) {
    uint64_t count = lk_rows_count(rows);
    size_t most = MOST_NUMBERS / s->n;
    memset(c, 0, sizeof *c);
    c->s = s;
    c->finest = finest;
    most = most < LEAST_ROWS ? LEAST_ROWS : most > MOST_ROWS ? MOST_ROWS : most;
    c->rows = count < most ? (size_t)count : most;
    lk_status status = allocate(c);
    if (status == LK_OK) status = cut_numbers(c, rows);
    if (status == LK_OK) status = pass(c, rows, NULL, NULL);
    for (size_t i = 0; status == LK_OK && i < c->rows; i++) c->total += c->weight[i];
    return status;
}

void lk_codes_destroy(lk_codes *c) {
    if (!c->s) return;
    lk_context *ctx = c->s->model->ctx;
    for (size_t v = 0; v < c->s->n; v++) {
        if (c->raw) lk_free(ctx, c->raw[v]);
        if (c->code) lk_free(ctx, c->code[v]);
    }
    void *const all[] = {c->raw, c->code, c->cuts, c->bins, c->used, c->states, c->weight};
    for (size_t i = 0; i < sizeof all / sizeof all[0]; i++) lk_free(ctx, all[i]);
    c->s = NULL;
}

size_t lk_codes_edges(const lk_codes *c, size_t v, double *edges) {
    size_t n = 0;
    const double *cuts = c->cuts + v * c->finest;
    for (size_t b = 1; b < c->bins[v]; b++) {
        double x = cuts[b * (c->finest / c->bins[v])];
        if (x - x == 0 && (!n || x > edges[n - 1])) edges[n++] = x;
    }
    return n;
}

void lk_codes_set(lk_codes *c, size_t v, size_t bins) {
    const lk_net_node *node = &c->s->nodes[v];
    uint16_t place[1 << 13];
    size_t step = node->number ? c->finest / bins : 1, used = 0, last = (1 << 13) - 1;
    double edges[LK_MOST_BINS];
    c->bins[v] = bins;
    memset(place, 0, sizeof place);
    for (size_t i = 0; i < c->rows; i++) {
        size_t raw = c->raw[v][i];
        if (raw == LK_ABSENT_CODE) continue;
        place[raw == LK_ABSENT_CODE - 1 ? last : raw / step] = 1;
    }
    for (size_t k = 0; k <= last; k++)
        if (place[k]) place[k] = (uint16_t)used++;
    for (size_t i = 0; i < c->rows; i++) {
        size_t raw = c->raw[v][i];
        c->code[v][i] = raw == LK_ABSENT_CODE       ? LK_ABSENT_CODE
                        : raw == LK_ABSENT_CODE - 1 ? place[last]
                                                    : place[raw / step];
    }
    c->used[v] = used ? used : 1;
    c->states[v] = (node->number ? lk_codes_edges(c, v, edges) + 1 : node->values) +
                   (node->gate != SIZE_MAX);
}

double lk_codes_within(const lk_codes *c, size_t v) {
    double count[LK_MOST_BINS + 1] = {0}, total = 0, sum = 0;
    for (size_t i = 0; i < c->rows; i++) {
        if (c->raw[v][i] >= LK_ABSENT_CODE - 1) continue;
        count[c->code[v][i]] += c->weight[i];
        total += c->weight[i];
    }
    for (size_t b = 0; b < c->used[v] && b <= LK_MOST_BINS; b++)
        if (count[b] > 0) sum -= count[b] * lk_log(count[b] / total);
    return sum;
}
