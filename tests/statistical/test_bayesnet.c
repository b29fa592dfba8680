/* Bayesian networks against enumeration: the clique tree, what a learned network says of a row, scores by
 * their formulas; the bins of numbers; EM. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "family/bayesnet.h"
#include "family/binned_cells.h"
#include "family/structure_search.h"
#include "infer/condition.h"
#include "infer/evaluate.h"
#include "task/task.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { N = 7, MOST = 4 };

static lk_context *ctx;

static int setup(void **state) {
    (void)state;
    return (ctx = lk_context_create(NULL)) == NULL;
}

static int teardown(void **state) {
    (void)state;
    lk_context_destroy(ctx);
    return 0;
}

static bool near(double a, double b, double tolerance) {
    if (fabs(a - b) <= tolerance * (fabs(b) > 1 ? fabs(b) : 1)) return true;
    print_error("%.17g against %.17g\n", a, b);
    return false;
}

/* ---- The tree ----------------------------------------------------------------------------------------- */

typedef struct small {
    size_t states[N], parent_at[N + 1], parents[N * N], size[N];
    double tables[N][4096];
    const double *table_of[N];
    lk_states range[N];
} small;

static void make_small(small *s, uint64_t seed) {
    lk_rng rng = lk_rng_at(seed, "test", 0, 0, 0);
    size_t used = 0;
    for (size_t v = 0; v < N; v++) {
        s->states[v] = 1 + lk_rng_below(&rng, MOST);
        size_t rows = 1;
        s->parent_at[v] = used;
        for (size_t u = 0; u < v; u++) /* any of those before */
            if (used - s->parent_at[v] < 4 && lk_rng_below(&rng, 2)) {
                s->parents[used++] = u;
                rows *= s->states[u];
            }
        s->size[v] = rows * s->states[v];
        for (size_t j = 0; j < rows; j++) {
            double sum = 0, *row = s->tables[v] + j * s->states[v];
            for (size_t k = 0; k < s->states[v]; k++) {
                row[k] = lk_rng_below(&rng, 6) ? lk_rng_uniform(&rng) : 0;
                sum += row[k];
            }
            for (size_t k = 0; k < s->states[v]; k++)
                row[k] = sum > 0 ? row[k] / sum : 1 / (double)s->states[v];
        }
        s->table_of[v] = s->tables[v];
        uint32_t low = (uint32_t)lk_rng_below(&rng, s->states[v]);
        s->range[v] =
            lk_rng_below(&rng, 3)
                ? (lk_states){0, (uint32_t)s->states[v]}
                : (lk_states){low, low + 1 + (uint32_t)lk_rng_below(&rng, s->states[v] - low)};
    }
    s->parent_at[N] = used;
}

static size_t row_of(const small *s, size_t v, const size_t *x) {
    size_t at = 0;
    for (size_t p = s->parent_at[v]; p < s->parent_at[v + 1]; p++)
        at = at * s->states[s->parents[p]] + x[s->parents[p]];
    return at * s->states[v] + x[v];
}

static void the_tree_is_enumeration(void **state) {
    (void)state;
    size_t impossible = 0;
    for (uint64_t seed = 0; seed < 200; seed++) {
        static small s;
        static double family[N][4096], expected[N][4096];
        double marginal[N][MOST] = {{0}}, total = 0, got[MOST];
        make_small(&s, seed);
        memset(family, 0, sizeof family);
        memset(expected, 0, sizeof expected);
        size_t x[N], all = 1;
        for (size_t v = 0; v < N; v++) all *= s.states[v];
        for (size_t i = 0; i < all; i++) {
            double p = 1;
            size_t left = i;
            for (size_t v = 0; v < N; v++) {
                x[v] = left % s.states[v];
                left /= s.states[v];
                if (x[v] < s.range[v].low || x[v] >= s.range[v].high) p = 0;
            }
            for (size_t v = 0; v < N; v++) p *= s.tables[v][row_of(&s, v, x)];
            total += p;
            for (size_t v = 0; v < N; v++) {
                marginal[v][x[v]] += p;
                expected[v][row_of(&s, v, x)] += p;
            }
        }
        const lk_factors f = {N, s.states, s.parent_at, s.parents};
        lk_clique_tree tree;
        lk_calibration c;
        assert_int_equal(lk_clique_tree_build(ctx, &f, &tree), LK_OK);
        assert_true(tree.cost == lk_clique_tree_cost(ctx, &f));
        void *room = lk_alloc(ctx, lk_calibration_bytes(&tree), 1);
        lk_calibration_lay(&tree, room, &c);
        lk_calibrate(&tree, s.table_of, s.range, &c);
        impossible += !(total > 0);
        if (total > 0) assert_true(near(c.log_evidence, log(total), 1e-12));
        else assert_true(c.log_evidence == -INFINITY);
        for (size_t v = 0; v < N; v++) {
            lk_calibrated_marginal(&tree, s.range, &c, v, s.states[v], got);
            for (size_t k = 0; k < s.states[v]; k++)
                assert_true(near(got[k], total > 0 ? marginal[v][k] / total : 0, 1e-12));
            lk_calibrated_family(&tree, s.range, &c, v, 2, family[v]);
            for (size_t k = 0; k < s.size[v]; k++)
                assert_true(near(family[v][k], total > 0 ? 2 * expected[v][k] / total : 0, 1e-12));
        }
        lk_free(ctx, room);
        lk_clique_tree_destroy(ctx, &tree);
    }
    assert_true(impossible > 0 && impossible < 100); /* both were met */
}

/* A chain of n costs (n - 1)·k² + k; a table of four parents cannot cost less than itself. */
static void its_cost_is_known(void **state) {
    (void)state;
    size_t states[6] = {3, 3, 3, 3, 3, 3}, at[7] = {0, 0, 1, 2, 3, 4, 5},
           parents[5] = {0, 1, 2, 3, 4};
    const lk_factors chain = {6, states, at, parents};
    assert_true(lk_clique_tree_cost(ctx, &chain) == 5 * 9 + 3);
    size_t star_at[7] = {0, 0, 0, 0, 0, 0, 5};
    const lk_factors star = {6, states, star_at, parents};
    assert_true(lk_clique_tree_cost(ctx, &star) == 729 + 243 + 81 + 27 + 9 + 3);
}

/* ---- Bins ------------------------------------------------------------------------------------------------ */

static void bins_are_proper(void **state) {
    (void)state;
    static const double edges[] = {-1, 0.25, 0.5, 3},
                        mixture[] = {0, -1, -2, 0.2, -0.3, -1, 0.5, 2, 1};
    static const double p[] = {0.1, 0.4, 0.05, 0.3, 0.15};
    const lk_dist_form form = {&lk_binned, &lk_normal, lk_binned_form(5, 3), 0},
                       plain = {&lk_mixture, &lk_normal, 3, 0};
    double params[64], mean = 0, sum = 0;
    assert_int_equal(lk_binned.n_params(&form), 4 * 5 - 1 + 9);
    lk_binned_lay(&form, edges, mixture, params);
    for (double x = -4; x < 6; x += 0.31) { /* as laid it is the mixture itself */
        assert_true(near(lk_binned.log_prob(&form, params, x, NULL, NULL),
                         lk_mixture.log_prob(&plain, mixture, x, NULL, NULL), 1e-12));
        assert_true(
            near(lk_binned.cdf(&form, params, x), lk_mixture.cdf(&plain, mixture, x), 1e-12));
        assert_true(near(lk_binned.log_mass(&form, params, x, x + 1.7, NULL),
                         lk_mixture.log_mass(&plain, mixture, x, x + 1.7, NULL), 1e-10));
    }
    assert_true(near(lk_binned.mean(&form, params), lk_mixture.mean(&plain, mixture), 1e-10));
    for (size_t b = 0; b < 5; b++) {
        params[b] = log(p[b]);
        sum += p[b];
        double low = b ? edges[b - 1] : -INFINITY, high = b < 4 ? edges[b] : INFINITY;
        assert_true(near(lk_binned.log_mass(&form, params, low, high, NULL), log(p[b]), 1e-12));
        if (b < 4) assert_true(near(lk_binned.cdf(&form, params, high), sum, 1e-12));
    }
    for (double x = -30; x < 40; x += 0.0005)
        mean += 0.0005 * x * exp(lk_binned.log_prob(&form, params, x, NULL, NULL));
    assert_true(near(lk_binned.mean(&form, params), mean, 2e-3));
    for (double u = 0.003; u < 1; u += 0.0197) {
        double x = lk_binned.quantile(&form, params, u);
        assert_true(near(lk_binned.cdf(&form, params, x), u, 1e-9));
    }
    assert_true(isfinite(lk_binned.log_prob(&form, params, 1e12, NULL, NULL)));
}

/* ---- Scores ------------------------------------------------------------------------------------------------ */

enum { ROWS = 500 };

static void columns(uint16_t code[3][ROWS]) {
    lk_rng rng = lk_rng_at(5, "columns", 0, 0, 0);
    for (size_t row = 0; row < ROWS; row++) {
        code[0][row] = (uint16_t)lk_rng_below(&rng, 2);
        code[1][row] = (uint16_t)lk_rng_below(&rng, 3);
        code[2][row] = (code[0][row] + code[1][row]) % 2;
        if (!lk_rng_below(&rng, 8)) code[2][row] ^= 1;
    }
}

static void scores_are_their_formulas(void **state) {
    (void)state;
    static uint16_t code[3][ROWS];
    columns(code);
    uint16_t *const column[] = {code[0], code[1], code[2]};
    size_t used[] = {2, 3, 2};
    double counts[6][2] = {{0}}, rows[6] = {0}, bic = 0, bdeu = 0, weight = 10, *room;
    for (size_t row = 0; row < ROWS; row++) {
        counts[code[0][row] * 3 + code[1][row]][code[2][row]]++;
        rows[code[0][row] * 3 + code[1][row]]++;
    }
    for (size_t j = 0; j < 6; j++) {
        bdeu += lgamma(weight / 6) - lgamma(weight / 6 + rows[j]);
        for (size_t k = 0; k < 2; k++) {
            if (counts[j][k] > 0) bic += counts[j][k] * log(counts[j][k] / rows[j]);
            bdeu += lgamma(weight / 12 + counts[j][k]) - lgamma(weight / 12);
        }
    }
    lk_search s = {.ctx = ctx,
                   .n = 3,
                   .rows = ROWS,
                   .code = column,
                   .used = used,
                   .states = used,
                   .total = ROWS,
                   .equivalent = weight};
    lk_parent_set both = {2, {0, 1}}, found[3] = {{0}};
    uint8_t rule[9] = {0};
    room = malloc(lk_search_room(&s) * sizeof *room);
    s.kind = LK_SCORE_BIC;
    assert_true(near(lk_search_family(&s, 2, &both, room), bic - 0.5 * log(ROWS) * 6, 1e-10));
    s.kind = LK_SCORE_AIC;
    assert_true(near(lk_search_family(&s, 2, &both, room), bic - 6, 1e-10));
    s.kind = LK_SCORE_BDEU;
    assert_true(near(lk_search_family(&s, 2, &both, room), bdeu, 1e-10));
    free(room);
    /* Neither parent tells anything by itself, so that only a search that goes on downhill finds both. */
    for (int kind = LK_SCORE_LOO; kind <= LK_SCORE_BDEU; kind++) {
        memset(found, 0, sizeof found);
        s.kind = (lk_score_kind)kind;
        s.most_parents = 2;
        s.most_tree = 100;
        s.rule = rule;
        s.parents = found;
        s.restarts = 5;
        s.seed = 1;
        assert_int_equal(lk_search_run(&s), LK_OK);
        size_t edges = found[0].n + found[1].n + found[2].n;
        assert_true(edges >= 2);
    }
    rule[2 * 3 + 0] = rule[0 * 3 + 2] = LK_EDGE_FORBIDDEN; /* then nothing is to be found there */
    memset(found, 0, sizeof found);
    assert_int_equal(lk_search_run(&s), LK_OK);
    for (size_t k = 0; k < found[2].n; k++) assert_true(found[2].of[k] != 0);
    for (size_t k = 0; k < found[0].n; k++) assert_true(found[0].of[k] != 2);
}

/* ---- A learned network ---------------------------------------------------------------------------------------- */

static lk_model *learn(const char *table, const char *const *options, lk_data **data) {
    char path[4096];
    const char *root = getenv("LIKELY_ROOT");
    lk_fit_options fit = LK_FIT_DEFAULTS;
    lk_model *model;
    fit.options = options;
    snprintf(path, sizeof path, "%s/tests/golden/data/%s", root ? root : ".", table);
    assert_int_equal(lk_data_open(ctx, path, NULL, data), LK_OK);
    if (lk_fit(ctx, "bayesnet", *data, &fit, &model) != LK_OK)
        fail_msg("%s", lk_context_message(ctx));
    return model;
}

/* The row with all values of three of its cells. */
static void enumerate(const lk_batch *row, const size_t *cells, const size_t *k, size_t rows,
                      lk_batch *batch) {
    size_t n = row->n_cells;
    for (size_t r = 0; r < rows; r++) {
        size_t left = r;
        memcpy(batch->value + r * n, row->value, n * sizeof(double));
        memcpy(batch->present + r * n, row->present, n);
        for (size_t c = 0; c < 3; c++) {
            batch->value[r * n + cells[c]] = (double)(left % k[c]);
            batch->present[r * n + cells[c]] = 1;
            left /= k[c];
        }
        batch->row[r] = r;
    }
}

/* All rows that differ from `x` in some unknown cells, each one's probability: of the first unknown cell its
 * conditional. */
static void conditionals_are_the_joint(void **state) {
    static const char *const options[] = {"score=aic", "prior=1", NULL};
    lk_data *data;
    lk_model *model = learn("switches.csv", options, &data);
    lk_bayesnet *s = model->state;
    lk_tape *tape = lk_tape_create(ctx);
    size_t n = model->schema->n_cells, cells[3], k[3];
    lk_batch batch, hidden;
    double log_prob[512];
    (void)state;
    assert_true(s->exact && s->parent_at[s->n] > 2);
    assert_int_equal(lk_batch_create(ctx, 512, n, &batch), LK_OK);
    assert_int_equal(lk_batch_create(ctx, 1, n, &hidden), LK_OK);
    for (size_t first = 0; first + 2 < n && first < 6; first++) {
        size_t rows = 1, found = 0;
        for (size_t i = first; i < n && found < 3; i++) {
            if (model->schema->cells[i].missingness || s->nodes[s->node_of[i]].number ||
                s->dist[i].form.n > 8)
                continue;
            k[found] = s->nodes[s->node_of[i]].values;
            cells[found++] = i;
        }
        if (found < 3) break;
        assert_int_equal(lk_data_rewind(data), LK_OK);
        assert_int_equal(lk_data_next(data, &hidden), LK_OK);
        for (size_t c = 0; c < 3; c++) rows *= k[c];
        enumerate(&hidden, cells, k, rows, &batch);
        batch.rows = rows;
        batch.all_present = false;
        lk_evaluation e = {.particles = 1, .seed = 1, .salt = "test", .log_prob = log_prob};
        assert_int_equal(lk_evaluate(model, tape, &batch, &e), LK_OK);
        assert_int_equal(e.kind, LK_KIND_EXACT);
        for (size_t c = 0; c < 3; c++) hidden.present[cells[c]] = 0;
        hidden.all_present = false;
        lk_condition given;
        assert_int_equal(lk_condition_on(model, tape, &hidden, 10, 1, "test", &given), LK_OK);
        double total = 0;
        for (size_t r = 0; r < rows; r++) total += exp(log_prob[r]);
        assert_true(near(given.log_known[0], log(total), 1e-9));
        for (size_t c = 0; c < 3; c++) {
            lk_predictive p;
            lk_kind_of kind;
            assert_int_equal(lk_condition_cell(&given, 0, cells[c], &p, &kind), LK_OK);
            assert_int_equal(kind, LK_KIND_EXACT);
            for (size_t v = 0; v < k[c]; v++) {
                double sum = 0;
                for (size_t r = 0; r < rows; r++)
                    if (batch.value[r * n + cells[c]] == (double)v) sum += exp(log_prob[r]);
                assert_true(near(exp(lk_predictive_log_prob(&p, (double)v)), sum / total, 1e-9));
            }
        }
    }
    lk_tape_destroy(tape);
    lk_batch_destroy(ctx, &batch);
    lk_batch_destroy(ctx, &hidden);
    lk_model_destroy(model);
    lk_data_close(data);
}

static void em_never_falls(void **state) {
    static const char *const options[] = {"absent=latent", "prior=0.000001", NULL};
    static const char *const tables[] = {"orchard.csv"};
    (void)state;
    for (size_t t = 0; t < 1; t++) {
        lk_data *data;
        lk_model *model = learn(tables[t], options, &data);
        assert_true(model->n_log > 2);
        for (size_t i = 1; i < model->n_log; i++)
            assert_true(model->log[i].train >= model->log[i - 1].train - 1e-10);
        assert_true(model->log[model->n_log - 1].train > model->log[0].train);
        lk_model_destroy(model);
        lk_data_close(data);
    }
}

/* Where nothing is unknown the logged figure is what scoring says. */
static void the_log_is_the_score(void **state) {
    static const char *const options[] = {NULL};
    lk_data *data;
    lk_model *model = learn("orchard.csv", options, &data);
    lk_score_summary summary;
    lk_score_options density = LK_SCORE_DEFAULTS;
    (void)state;
    density.density = false;
    assert_int_equal(lk_score(model, data, &density, NULL, NULL, &summary), LK_OK);
    assert_string_equal(summary.kind, "exact");
    assert_true(near(model->log[0].train, summary.mean_log_prob, 0.02));
    lk_model_destroy(model);
    lk_data_close(data);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_tree_is_enumeration),
        cmocka_unit_test(its_cost_is_known),
        cmocka_unit_test(bins_are_proper),
        cmocka_unit_test(scores_are_their_formulas),
        cmocka_unit_test(conditionals_are_the_joint),
        cmocka_unit_test(em_never_falls),
        cmocka_unit_test(the_log_is_the_score),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
