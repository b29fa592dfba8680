#include "family/structure_search.h"

#include "base/philox.h"
#include "base/threads.h"
#include "family/clique_tree.h"
#include "kernels/kernels.h"

#include <math.h>
#include <string.h>

enum {
    PIECES = 8,
    LEAST_ROOM = 4096,
    MOST_ROOM = 1 << 18,
    TABU = 10,
    TRIES = 15,
    BITS = 64,
    MANY = 64,
    CANDIDATES = 24
};
#define GAIN 1e-7 /* what counts as better, in nats */

/* ---- Scores ---------------------------------------------------------------------------------------------- */

size_t lk_search_room(const lk_search *s) {
    size_t room = 2 * s->rows;
    return room < LEAST_ROOM ? LEAST_ROOM : room > MOST_ROOM ? MOST_ROOM : room;
}

/* Counts [configurations, states]; returns the weight of the rows that are there. */
static double count(const lk_search *s, size_t i, const lk_parent_set *p, size_t size,
                    double *counts) {
    double total = 0;
    const uint16_t *own = s->code[i];
    memset(counts, 0, size * sizeof *counts);
    for (size_t row = 0; row < s->rows; row++) {
        size_t at = 0;
        bool absent = own[row] == LK_ABSENT_CODE;
        for (size_t k = 0; k < p->n; k++) {
            uint16_t code = s->code[p->of[k]][row];
            absent = absent || code == LK_ABSENT_CODE;
            at = at * s->used[p->of[k]] + code;
        }
        if (absent) continue;
        double w = s->weight ? s->weight[row] : 1;
        counts[at * s->used[i] + own[row]] += w;
        total += w;
    }
    return total;
}

static double log_or_0(double x) { return x > 0 ? x * lk_log(x) : 0; }

static double likelihood(size_t q, size_t r, const double *counts) {
    double sum = 0;
    for (size_t j = 0; j < q; j++) {
        double all = 0;
        for (size_t k = 0; k < r; k++) {
            all += counts[j * r + k];
            sum += log_or_0(counts[j * r + k]);
        }
        sum -= log_or_0(all);
    }
    return sum;
}

static double bdeu(size_t q, size_t r, const double *counts, double weight) {
    double sum = 0, row = weight / (double)q, cell = row / (double)r;
    double log_row = lk_lgamma(row), log_cell = lk_lgamma(cell);
    for (size_t j = 0; j < q; j++) {
        double all = 0;
        for (size_t k = 0; k < r; k++) {
            double n = counts[j * r + k];
            all += n;
            if (n > 0) sum += lk_lgamma(cell + n) - log_cell;
        }
        if (all > 0) sum -= lk_lgamma(row + all) - log_row;
    }
    return sum;
}

/* Of weights below 1 no more is left out than is there. */
static double left_out(double n) { return n > 1 ? n - 1 : 0; }

static double leave_one_out(size_t q, size_t r, const double *counts, double total) {
    double sum = 0;
    for (size_t k = 0; k < r; k++) {
        double m = 0;
        for (size_t j = 0; j < q; j++) m += counts[j * r + k];
        m /= total;
        for (size_t j = 0; j < q; j++) {
            double n = counts[j * r + k];
            if (n > 0) sum += n * lk_log(left_out(n) + m);
        }
    }
    for (size_t j = 0; j < q; j++) {
        double all = 0;
        for (size_t k = 0; k < r; k++) all += counts[j * r + k];
        if (all > 0) sum -= all * lk_log(left_out(all) + 1);
    }
    return sum;
}

double lk_search_family(const lk_search *s, size_t i, const lk_parent_set *p, double *room) {
    size_t q = 1, r = s->used[i], most = lk_search_room(s);
    for (size_t k = 0; k < p->n; k++) {
        if (q > most / s->used[p->of[k]]) return -INFINITY;
        q *= s->used[p->of[k]];
    }
    if (q > most / r) return -INFINITY;
    double there = count(s, i, p, q * r, room), scale = there > 0 ? s->total / there : 0;
    double free = (double)q * (double)(r - 1);
    if (!(there > 0)) return 0;
    switch (s->kind) {
    case LK_SCORE_BIC: return scale * likelihood(q, r, room) - 0.5 * lk_log(s->total) * free;
    case LK_SCORE_AIC: return scale * likelihood(q, r, room) - free;
    case LK_SCORE_BDEU: return scale * bdeu(q, r, room, s->equivalent);
    default: return scale * leave_one_out(q, r, room, there);
    }
}

/* ---- Parent sets ----------------------------------------------------------------------------------------- */

static bool has(const lk_parent_set *p, size_t j) {
    for (size_t k = 0; k < p->n; k++)
        if (p->of[k] == j) return true;
    return false;
}

/* j goes, if it is there, else it comes. */
static void toggle(lk_parent_set *p, size_t j) {
    size_t k = 0;
    while (k < p->n && p->of[k] < j) k++;
    if (k < p->n && p->of[k] == j) {
        memmove(p->of + k, p->of + k + 1, (p->n - k - 1) * sizeof *p->of);
        p->n--;
        return;
    }
    memmove(p->of + k + 1, p->of + k, (p->n - k) * sizeof *p->of);
    p->of[k] = j;
    p->n++;
}

double lk_search_tree(const lk_search *s, const lk_parent_set *parents) {
    size_t n = s->n, used = 0;
    for (size_t i = 0; i < n; i++) used += parents[i].n;
    size_t *at = lk_alloc(s->ctx, n + 1, sizeof *at), *all = lk_alloc(s->ctx, used, sizeof *all);
    double cost = -1;
    if (at && all) {
        for (size_t i = 0; i < n; i++) {
            at[i + 1] = at[i] + parents[i].n;
            memcpy(all + at[i], parents[i].of, parents[i].n * sizeof *all);
        }
        const lk_factors f = {n, s->states, at, all};
        cost = lk_clique_tree_cost(s->ctx, &f);
    }
    lk_free(s->ctx, at);
    lk_free(s->ctx, all);
    return cost;
}

/* ---- Climbing --------------------------------------------------------------------------------------------- */

typedef struct climb {
    lk_search *s;
    size_t words, checks, most_checks; /* of the tree; when all are spent, edges only go */
    lk_parent_set *now, *best;
    double *score;      /* [n] of each family */
    double *gain;       /* [n, n] of toggling the edge parent -> child, by child */
    double *room;       /* [PIECES] */
    uint64_t *below;    /* [n, words] descendants */
    uint8_t *candidate; /* [n, n], by child: parents that are tried; NULL: all are */
    uint8_t *blocked;   /* [n, n] turning (2) or adding (1) would make the tree too large */
    size_t *until;      /* [n, n] the step before which the pair stays as it is */
    double total, top;
    size_t child; /* of the row of gains that is being made */
} climb;

typedef struct move {
    size_t child, parent;
    bool turn;
    double gain;
} move;

static void gains(void *argument, size_t begin, size_t end) {
    const climb *c = argument;
    const lk_search *s = c->s;
    size_t i = c->child, n = s->n;
    for (size_t piece = begin; piece < end; piece++)
        for (size_t j = piece * n / PIECES; j < (piece + 1) * n / PIECES; j++) {
            lk_parent_set p = c->now[i];
            double *gain = &c->gain[i * n + j];
            bool there = has(&p, j);
            *gain = -INFINITY;
            if (j == i || (!there && c->candidate && !c->candidate[i * n + j]) ||
                (!there && (p.n >= s->most_parents || s->rule[i * n + j] == LK_EDGE_FORBIDDEN)))
                continue;
            toggle(&p, j);
            *gain = lk_search_family(s, i, &p, c->room + piece * lk_search_room(s)) - c->score[i];
        }
}

static void weigh_child(climb *c, size_t i) {
    c->score[i] = lk_search_family(c->s, i, &c->now[i], c->room);
    c->child = i;
    lk_parallel(c->s->ctx, PIECES, 1, gains, c);
}

/* Descendants, by going up from each node in turn; false: there is a cycle. */
static bool trace_paths(climb *c) {
    size_t n = c->s->n, words = c->words;
    bool more = true;
    memset(c->below, 0, n * words * sizeof *c->below);
    for (size_t pass = 0; more && pass <= n; pass++) {
        more = false;
        for (size_t i = 0; i < n; i++)
            for (size_t k = 0; k < c->now[i].n; k++) {
                uint64_t *up = c->below + c->now[i].of[k] * words, change = 0;
                const uint64_t *down = c->below + i * words;
                for (size_t w = 0; w < words; w++) {
                    uint64_t with = up[w] | down[w];
                    if (w == i / BITS) with |= (uint64_t)1 << (i % BITS);
                    change |= with ^ up[w];
                    up[w] = with;
                }
                more = more || change;
            }
    }
    for (size_t i = 0; i < n; i++)
        if (c->below[i * words + i / BITS] >> (i % BITS) & 1) return false;
    return true;
}

static bool is_below(const climb *c, size_t above, size_t node) {
    return c->below[above * c->words + node / BITS] >> (node % BITS) & 1;
}

/* Would turning parent -> child close a cycle, by another path between them? */
static bool turn_closes(const climb *c, size_t child, size_t parent) {
    for (size_t k = 0; k < c->now[child].n; k++) {
        size_t other = c->now[child].of[k];
        if (other != parent && is_below(c, parent, other)) return true;
    }
    return false;
}

/* The best move that is neither forbidden nor, unless it leads beyond the best so far, tabu. */
static move best_move(const climb *c, size_t step) {
    const lk_search *s = c->s;
    size_t n = s->n;
    move best = {SIZE_MAX, 0, false, -INFINITY};
    bool spent = c->checks >= c->most_checks;
    for (size_t i = 0; i < n; i++)
        for (size_t j = 0; j < n; j++) {
            bool there = has(&c->now[i], j);
            double gain = c->gain[i * n + j];
            bool tabu = c->until[i * n + j] > step;
            if (i == j || !(gain > -INFINITY)) continue;
            if (!there) {
                if (spent || gain <= best.gain || is_below(c, i, j) || (c->blocked[i * n + j] & 1))
                    continue;
                if (!tabu || c->total + gain > c->top + GAIN) best = (move){i, j, false, gain};
                continue;
            }
            if (s->rule[i * n + j] == LK_EDGE_REQUIRED) continue;
            if (gain > best.gain && (!tabu || c->total + gain > c->top + GAIN))
                best = (move){i, j, false, gain};
            gain += c->gain[j * n + i];
            if (!spent && gain > best.gain && !(c->blocked[i * n + j] & 2) &&
                (!tabu || c->total + gain > c->top + GAIN) && !turn_closes(c, i, j))
                best = (move){i, j, true, gain};
        }
    return best;
}

static void change(climb *c, move m) {
    toggle(&c->now[m.child], m.parent);
    if (m.turn) toggle(&c->now[m.parent], m.child);
}

/* Does the tree stay small? What does not is not tried again before an edge goes. */
static bool fits(climb *c, move m) {
    size_t n = c->s->n;
    if (has(&c->now[m.child], m.parent) && !m.turn) return true;
    bool fit = false;
    if (c->checks++ < c->most_checks) {
        change(c, m);
        double cost = lk_search_tree(c->s, c->now);
        fit = cost >= 0 && cost <= c->s->most_tree;
        change(c, m);
    }
    if (!fit) c->blocked[m.child * n + m.parent] |= m.turn ? 2 : 1;
    return fit;
}

static void climb_up(climb *c) {
    lk_search *s = c->s;
    size_t n = s->n, idle = 0;
    memset(c->until, 0, n * n * sizeof *c->until);
    for (size_t step = 1; idle < TRIES && !s->interrupted; step++) {
        move m = best_move(c, step);
        while (m.child != SIZE_MAX && !fits(c, m)) m = best_move(c, step);
        if (m.child == SIZE_MAX) break;
        bool goes = has(&c->now[m.child], m.parent);
        change(c, m);
        weigh_child(c, m.child);
        if (m.turn) weigh_child(c, m.parent);
        if (goes) memset(c->blocked, 0, n * n);
        trace_paths(c);
        c->total = 0;
        for (size_t i = 0; i < n; i++) c->total += c->score[i];
        c->until[m.child * n + m.parent] = c->until[m.parent * n + m.child] = step + TABU;
        if (c->total > c->top + GAIN) {
            c->top = c->total;
            memcpy(c->best, c->now, n * sizeof *c->now);
            idle = 0;
        } else {
            idle++;
        }
        s->interrupted = lk_cancelled(s->ctx);
    }
}

static void begin_from(climb *c, const lk_parent_set *parents) {
    size_t n = c->s->n;
    memmove(c->now, parents, n * sizeof *c->now);
    memset(c->blocked, 0, n * n);
    trace_paths(c);
    c->total = 0;
    for (size_t i = 0; i < n; i++) {
        weigh_child(c, i);
        c->total += c->score[i];
    }
}

/* Where nodes are many, each has the parents that are worth most to it alone as its candidates (the sparse
 * candidate algorithm's first round; Friedman, Nachman, Pe'er 1999): weighing a node anew after each step
 * then costs as much as among few. */
static lk_status choose_candidates(climb *c) {
    size_t n = c->s->n;
    if (n <= MANY) return LK_OK;
    uint8_t *candidate = lk_alloc(c->s->ctx, n * n, 1);
    if (!candidate) return LK_NO_MEMORY;
    for (size_t i = 0; i < n; i++) {
        for (int k = 0; k < CANDIDATES; k++) {
            size_t best = SIZE_MAX;
            for (size_t j = 0; j < n; j++)
                if (!candidate[i * n + j] && c->gain[i * n + j] > -INFINITY &&
                    (best == SIZE_MAX || c->gain[i * n + j] > c->gain[i * n + best]))
                    best = j;
            if (best != SIZE_MAX) candidate[i * n + best] = 1;
        }
        for (size_t j = 0; j < n; j++)
            if (!candidate[i * n + j] && !has(&c->now[i], j)) c->gain[i * n + j] = -INFINITY;
    }
    c->candidate = candidate;
    return LK_OK;
}

/* A quarter as many random changes as there are nodes, each one that is allowed. */
static void shake(climb *c, uint64_t restart) {
    lk_search *s = c->s;
    size_t n = s->n;
    lk_rng rng = lk_rng_at(s->seed, "structure", restart, 0, 0);
    memcpy(c->now, c->best, n * sizeof *c->now);
    for (size_t k = 0; k < n / 4 + 2; k++) {
        move m = {(size_t)lk_rng_below(&rng, n), (size_t)lk_rng_below(&rng, n), false, 0};
        lk_parent_set *p = &c->now[m.child];
        uint8_t rule = s->rule[m.child * n + m.parent];
        if (m.child == m.parent || rule != LK_EDGE_FREE) continue;
        if (!has(p, m.parent) && (p->n >= s->most_parents || is_below(c, m.child, m.parent)))
            continue;
        change(c, m);
        if (!(lk_search_family(s, m.child, p, c->room) > -INFINITY) ||
            !(lk_search_tree(s, c->now) <= s->most_tree))
            change(c, m);
        trace_paths(c);
    }
    memcpy(s->parents, c->now, n * sizeof *c->now);
}

static bool allocate(climb *c) {
    lk_context *ctx = c->s->ctx;
    size_t n = c->s->n;
    c->words = n / BITS + 1;
    c->most_checks = n <= MANY ? 20 * n + 1000 : 2 * n + 18 * MANY + 1000;
    c->now = lk_alloc(ctx, n, sizeof *c->now);
    c->best = lk_alloc(ctx, n, sizeof *c->best);
    c->score = lk_alloc(ctx, n, sizeof *c->score);
    c->gain = lk_alloc(ctx, n * n, sizeof *c->gain);
    c->room = lk_alloc(ctx, PIECES * lk_search_room(c->s), sizeof *c->room);
    c->below = lk_alloc(ctx, n * c->words, sizeof *c->below);
    c->blocked = lk_alloc(ctx, n * n, 1);
    c->until = lk_alloc(ctx, n * n, sizeof *c->until);
    return c->now && c->best && c->score && c->gain && c->room && c->below && c->blocked &&
           c->until;
}

lk_status lk_search_run(lk_search *s) {
    climb c = {.s = s};
    lk_context *ctx = s->ctx;
    lk_status status = allocate(&c) ? LK_OK : LK_NO_MEMORY;
    if (status == LK_OK) {
        memcpy(c.now, s->parents, s->n * sizeof *c.now);
        if (!trace_paths(&c))
            status =
                lk_fail(ctx, LK_USAGE,
                        "the edges that are required make a cycle; a Bayesian network has none");
    }
    if (status == LK_OK) {
        begin_from(&c, s->parents);
        status = choose_candidates(&c);
    }
    if (status == LK_OK) {
        c.top = c.total;
        memcpy(c.best, c.now, s->n * sizeof *c.now);
        climb_up(&c);
        for (uint64_t restart = 1; restart <= s->restarts && !s->interrupted; restart++) {
            memcpy(c.now, c.best, s->n * sizeof *c.now);
            trace_paths(&c);
            shake(&c, restart);
            begin_from(&c, s->parents);
            climb_up(&c);
        }
        memcpy(s->parents, c.best, s->n * sizeof *c.best);
        /* a tree whose cost could not be told for want of memory is no reason to go on without it */
        if (ctx->status == LK_NO_MEMORY) status = LK_NO_MEMORY;
    }
    void *const all[] = {c.now,   c.best,    c.score, c.gain,     c.room,
                         c.below, c.blocked, c.until, c.candidate};
    for (size_t i = 0; i < sizeof all / sizeof all[0]; i++) lk_free(ctx, all[i]);
    return status;
}
