#include "family/bayesnet.h"
#include "family/binned_cells.h"

static lk_status wrong(const lk_bayesnet *s, size_t node, const char *what) {
    return lk_fail(s->model->ctx, LK_BAD_MODEL, "the model's network is damaged at node %zu: %s",
                   node, what);
}

/* Digits, at least one; false beyond `most`. */
static bool number(const char **text, size_t most, size_t *out) {
    const char *p = *text;
    *out = 0;
    if (*p < '0' || *p > '9') return false;
    for (; *p >= '0' && *p <= '9'; p++) {
        *out = *out * 10 + (size_t)(*p - '0');
        if (*out > most) return false;
    }
    *text = p;
    return true;
}

static lk_status parse_node(lk_bayesnet *s, size_t v, const char **text, size_t *used,
                            size_t room) {
    lk_net_node *node = &s->nodes[v];
    size_t values;
    if (!number(text, LK_MOST_BINS, &values) || (values > 0) != node->number)
        return wrong(s, v, "its number of bins");
    if (node->number) node->values = values;
    s->parent_at[v] = *used;
    for (char before = '<'; **text == before; before = ',') {
        size_t parent;
        (*text)++;
        if (!number(text, s->n - 1, &parent) || parent == v)
            return wrong(s, v, "a parent is no other node");
        if (*used > s->parent_at[v] && s->parents[*used - 1] >= parent)
            return wrong(s, v, "its parents are not in order");
        if (*used == room || *used - s->parent_at[v] == LK_MOST_PARENTS)
            return wrong(s, v, "it has too many parents");
        s->parents[(*used)++] = parent;
    }
    s->parent_at[v + 1] = *used;
    if (**text != (v + 1 < s->n ? ';' : 0)) return wrong(s, v, "what follows it");
    if (**text) (*text)++;
    return LK_OK;
}

lk_status lk_network_parse(lk_bayesnet *s, const char *text) {
    size_t room = 0, used = 0;
    for (const char *p = text; *p; p++) room += *p == '<' || *p == ',';
    s->parent_at = lk_alloc(s->model->ctx, s->n + 1, sizeof *s->parent_at);
    s->parents = lk_alloc(s->model->ctx, room, sizeof *s->parents);
    if (!s->parent_at || !s->parents) return LK_NO_MEMORY;
    for (size_t v = 0; v < s->n; v++)
        if (s->nodes[v].number) s->nodes[v].values = 1;
    for (size_t v = 0; *text && v < s->n; v++) {
        lk_status status = parse_node(s, v, &text, &used, room);
        if (status != LK_OK) return status;
    }
    return LK_OK;
}

lk_status lk_network_write(lk_context *ctx, size_t n, const size_t *values, const size_t *parent_at,
                           const size_t *parents, lk_text *out) {
    *out = (lk_text){.ctx = ctx};
    for (size_t v = 0; v < n; v++) {
        lk_text_printf(out, "%s%zu", v ? ";" : "", values[v]);
        for (size_t p = parent_at[v]; p < parent_at[v + 1]; p++)
            lk_text_printf(out, "%c%zu", p > parent_at[v] ? ',' : '<', parents[p]);
    }
    return out->failed ? LK_NO_MEMORY : LK_OK;
}
