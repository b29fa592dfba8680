/* Linear latent models against dense algebra: the chain, the posterior, the closed forms, rotations, the
 * number of latents, and EM's optimum where cells are missing. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "dist/factor_chain.h"
#include "dist/gaussian_chain.h"
#include "family/factor_start.h"
#include "infer/evaluate.h"
#include "infer/fit.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { D = 7, Q = 3 };

static lk_context *ctx;

static int setup(void **state) {
    (void)state;
    ctx = lk_context_create(NULL);
    return !ctx;
}

static int teardown(void **state) {
    (void)state;
    lk_context_destroy(ctx);
    return 0;
}

static double normal(const char *what, size_t i) {
    lk_rng rng = lk_rng_at(11, what, 0, i, 0);
    return lk_normal_quantile(lk_rng_uniform(&rng));
}

static bool near(double a, double b, double tolerance) {
    return fabs(a - b) <= tolerance * (fabs(b) > 1 ? fabs(b) : 1);
}

typedef struct model {
    double mu[D], w[D * Q], noise[D], covariance[D * D];
    lk_factor factor;
    double room[D * Q + D + Q * Q], work[3 * Q + Q * Q];
} model;

static void make(model *m) {
    for (size_t i = 0; i < D; i++) {
        m->mu[i] = normal("mu", i);
        m->noise[i] = exp(normal("noise", i) - (i == 2 ? 12 : 0)); /* one nearly without noise */
        for (size_t k = 0; k < Q; k++) m->w[i * Q + k] = normal("w", i * Q + k);
    }
    for (size_t i = 0; i < D; i++)
        for (size_t j = 0; j < D; j++) {
            double sum = i == j ? m->noise[i] : 0;
            for (size_t k = 0; k < Q; k++) sum += m->w[i * Q + k] * m->w[j * Q + k];
            m->covariance[i * D + j] = sum;
        }
    m->factor =
        (lk_factor){.d = D, .q = Q, .stride = Q, .mu = m->mu, .loadings = m->w, .noise = m->noise};
    lk_factor_prepare(&m->factor, m->room, m->work);
}

/* Every pattern of presence, seen forwards and backwards: the conditionals are those of the dense normal. */
static void test_chain(void **state) {
    model m;
    double x[D], mean[D], sd[D], work[D * D + 3 * D + 3], room[3 * Q + Q * Q];
    (void)state;
    make(&m);
    assert_true(sizeof work / sizeof *work >= lk_conditioner_doubles(D));
    for (size_t i = 0; i < D; i++) x[i] = m.mu[i] + 2 * normal("x", i);
    for (unsigned pattern = 0; pattern < 1u << D; pattern++) {
        uint8_t present[D];
        double dense = 0, forwards = 0, backwards = 0;
        for (size_t i = 0; i < D; i++) present[i] = pattern >> i & 1;
        assert_int_equal(
            lk_gaussian_chain_present(D, m.mu, NULL, m.covariance, x, present, mean, sd, work), 0);
        lk_factor_state f, b;
        double other[3 * Q + Q * Q];
        lk_factor_begin(&f, &m.factor, room);
        lk_factor_begin(&b, &m.factor, other);
        for (size_t i = 0; i < D; i++) {
            size_t j = D - 1 - i;
            if (present[i]) {
                lk_factor_predict(&f, i);
                assert_true(near(f.mean, mean[i], 1e-9) && near(sqrt(f.variance), sd[i], 1e-9));
                assert_false(near(f.mean + 1e-3, mean[i], 1e-9));
                double e = (x[i] - f.mean) * (x[i] - f.mean) / f.variance;
                forwards += e + log(f.variance);
                dense += (x[i] - mean[i]) * (x[i] - mean[i]) / (sd[i] * sd[i]) + 2 * log(sd[i]);
                lk_factor_observe(&f, i, x[i]);
            }
            if (!present[j]) continue;
            lk_factor_predict(&b, j);
            backwards += (x[j] - b.mean) * (x[j] - b.mean) / b.variance + log(b.variance);
            lk_factor_observe(&b, j, x[j]);
        }
        assert_true(near(forwards, dense, 1e-8) && near(backwards, dense, 1e-8));
        /* z: (I + W^T N^-1 W)^-1 over what is there, and that times W^T N^-1 (x - mu) */
        double a[Q * Q] = {0}, r[Q] = {0}, covariance[Q * Q], by_back[Q * Q];
        for (size_t k = 0; k < Q; k++) {
            for (size_t l = 0; l < Q; l++) a[k * Q + l] = k == l;
            for (size_t i = 0; i < D; i++) {
                double g = present[i] ? m.w[i * Q + k] / m.noise[i] : 0;
                r[k] += g * (x[i] - m.mu[i]);
                for (size_t l = 0; l < Q; l++) a[k * Q + l] += g * m.w[i * Q + l];
            }
        }
        assert_int_equal(lk_cholesky(Q, a, a), 0);
        lk_solve_lower(Q, a, r, r);
        lk_solve_lower_transposed(Q, a, r, r);
        lk_factor_posterior(&f, covariance);
        lk_factor_posterior(&b, by_back);
        for (size_t k = 0; k < Q; k++) {
            double e[Q] = {0};
            assert_true(near(f.m[k], r[k], 1e-7) && near(b.m[k], r[k], 1e-7));
            e[k] = 1;
            lk_solve_lower(Q, a, e, e);
            lk_solve_lower_transposed(Q, a, e, e);
            for (size_t l = 0; l < Q; l++)
                assert_true(near(covariance[k * Q + l], e[l], 1e-8) &&
                            near(by_back[k * Q + l], e[l], 1e-8));
        }
    }
}

static void random_covariance(size_t d, size_t rank, double *a) {
    for (size_t i = 0; i < d; i++)
        for (size_t j = 0; j <= i; j++) {
            double sum = i == j ? 0.3 + 0.1 * (double)(i % 5) : 0;
            for (size_t k = 0; k < rank; k++)
                sum += normal("c", i * rank + k) * normal("c", j * rank + k);
            a[i * d + j] = a[j * d + i] = sum;
        }
}

/* Orthogonal iteration finds what Jacobi's rotations find. */
static void test_largest(void **state) {
    enum { N = 60, K = 5 };
    static double a[N * N], all[N], vectors[N * N], work[N * N], some[K], rows[K * N];
    (void)state;
    random_covariance(N, 6, a);
    assert_true(lk_eigen_symmetric(N, a, all, vectors, work));
    assert_int_equal(lk_eigen_largest(ctx, N, a, K, 1, false, some, rows), LK_OK);
    for (size_t k = 0; k < K; k++) {
        assert_true(near(some[k], all[k], 1e-10));
        assert_false(near(some[k], all[k + 1], 1e-10));
        double along = 0;
        for (size_t i = 0; i < N; i++) along += rows[k * N + i] * vectors[k * N + i];
        assert_true(near(fabs(along), 1, 1e-6));
    }
}

static void no_neighbour_is_better(const lk_factor_problem *p, size_t q, double *w, double *noise) {
    double best, other;
    assert_int_equal(lk_factor_log_prob(ctx, p, q, q, w, noise, &best), LK_OK);
    for (size_t at = 0; at < p->d * (q + 1); at++)
        for (int sign = -1; sign < 2; sign += 2) {
            double *x = at < p->d * q ? &w[at] : &noise[at - p->d * q], kept = *x;
            if (p->isotropic && x >= noise && x < noise + p->d) {
                for (size_t i = 0; i < p->d; i++) noise[i] = kept * (1 + 0.01 * sign);
            } else {
                *x = kept + 0.01 * sign * (x == &w[at] ? 1 : kept);
            }
            assert_int_equal(lk_factor_log_prob(ctx, p, q, q, w, noise, &other), LK_OK);
            if (!(other < best)) fail_msg("number %zu: %.12g, then %.12g", at, best, other);
            for (size_t i = 0; p->isotropic && i < p->d; i++)
                noise[i] = kept < 0 ? noise[i] : noise[i];
            if (p->isotropic && x >= noise && x < noise + p->d)
                for (size_t i = 0; i < p->d; i++) noise[i] = kept;
            *x = kept;
        }
}

/* Tipping and Bishop, equation 8, and the likelihood that their equation 4 gives at it. */
static void test_ppca(void **state) {
    static double c[D * D], values[D], vectors[D * D], work[D * D], least[D], w[D * Q], noise[D];
    double log_prob, left = 0, log_det = 0;
    (void)state;
    random_covariance(D, 4, c);
    assert_true(lk_eigen_symmetric(D, c, values, vectors, work));
    lk_factor_problem p = {D, 100, c, least, true, 1};
    assert_int_equal(lk_factor_solve(ctx, &p, Q, Q, w, noise), LK_OK);
    for (size_t i = Q; i < D; i++) left += values[i] / (D - Q);
    for (size_t i = 0; i < Q; i++) log_det += log(values[i]);
    log_det += (D - Q) * log(left);
    assert_true(near(noise[0], left, 1e-12) && near(noise[D - 1], left, 1e-12));
    assert_int_equal(lk_factor_log_prob(ctx, &p, Q, Q, w, noise, &log_prob), LK_OK);
    assert_true(near(log_prob, -0.5 * (log_det + D + D * log(8 * atan(1))), 1e-12));
    no_neighbour_is_better(&p, Q, w, noise);
}

/* A covariance that is one of two factors: the likelihood is its entropy's, and no neighbour is better. */
static void test_fa(void **state) {
    static double c[D * D], least[D], w[D * 2], noise[D], l[D * D];
    double log_prob, log_det = 0;
    (void)state;
    random_covariance(D, 2, c);
    lk_factor_problem p = {D, 500, c, least, false, 1};
    assert_int_equal(lk_factor_solve(ctx, &p, 2, 2, w, noise), LK_OK);
    for (size_t i = 0; i < D; i++) {
        assert_true(near(noise[i], 0.3 + 0.1 * (double)(i % 5), 1e-4));
        least[i] = 0;
    }
    assert_int_equal(lk_cholesky(D, c, l), 0);
    for (size_t i = 0; i < D; i++) log_det += 2 * log(l[i * D + i]);
    assert_int_equal(lk_factor_log_prob(ctx, &p, 2, 2, w, noise, &log_prob), LK_OK);
    assert_true(near(log_prob, -0.5 * (log_det + D + D * log(8 * atan(1))), 1e-7));
    no_neighbour_is_better(&p, 2, w, noise);
    /* BIC sees that there are two */
    static double room[D * 4];
    size_t q;
    assert_int_equal(lk_factor_choose(ctx, &p, 4, 4, room, noise, &q), LK_OK);
    assert_int_equal(q, 2);
}

static double kaiser(size_t d, size_t q, const double *w) {
    double total = 0;
    for (size_t k = 0; k < q; k++) {
        double squares = 0, fourths = 0;
        for (size_t i = 0; i < d; i++) {
            double length = 0;
            for (size_t j = 0; j < q; j++) length += w[i * q + j] * w[i * q + j];
            double s = w[i * q + k] * w[i * q + k] / length;
            squares += s / (double)d;
            fourths += s * s / (double)d;
        }
        total += fourths - squares * squares;
    }
    return total;
}

/* A simple structure, turned away from, is found again; the covariance stays. */
static void test_rotations(void **state) {
    enum { N = 9 };
    double simple[N * Q] = {0}, w[N * Q], turn[Q * Q], scale[N], noise[N], before[N * N];
    double values[Q], work[Q * Q], symmetric[Q * Q];
    (void)state;
    for (size_t i = 0; i < N; i++) {
        simple[i * Q + i % Q] = 1 + 0.1 * (double)i;
        scale[i] = noise[i] = 1;
    }
    for (size_t i = 0; i < Q; i++)
        for (size_t j = 0; j <= i; j++)
            symmetric[i * Q + j] = symmetric[j * Q + i] = normal("turn", i * Q + j);
    assert_true(lk_eigen_symmetric(Q, symmetric, values, turn, work));
    for (size_t i = 0; i < N; i++)
        for (size_t k = 0; k < Q; k++) {
            w[i * Q + k] = 0;
            for (size_t l = 0; l < Q; l++) w[i * Q + k] += simple[i * Q + l] * turn[l * Q + k];
        }
    for (size_t i = 0; i < N; i++)
        for (size_t j = 0; j < N; j++) {
            before[i * N + j] = 0;
            for (size_t k = 0; k < Q; k++) before[i * N + j] += w[i * Q + k] * w[j * Q + k];
        }
    assert_true(kaiser(N, Q, w) < kaiser(N, Q, simple) - 0.1);
    for (int varimax = 0; varimax < 2; varimax++) {
        assert_int_equal(lk_factor_rotate(ctx, N, Q, Q, varimax, scale, noise, w), LK_OK);
        for (size_t i = 0; i < N; i++)
            for (size_t j = 0; j < N; j++) {
                double sum = 0;
                for (size_t k = 0; k < Q; k++) sum += w[i * Q + k] * w[j * Q + k];
                assert_true(near(sum, before[i * N + j], 1e-12));
            }
        for (size_t k = 0; !varimax && k < Q; k++)
            for (size_t l = 0; l < k; l++) {
                double sum = 0;
                for (size_t i = 0; i < N; i++) sum += w[i * Q + k] * w[i * Q + l];
                assert_true(near(sum, 0, 1e-10));
            }
    }
    assert_true(near(kaiser(N, Q, w), kaiser(N, Q, simple), 1e-10));
    for (size_t i = 0; i < N; i++) /* the largest loading of each latent is positive, so all are */
        assert_true(w[i * Q] >= -1e-9 && w[i * Q + 1] >= -1e-9 && w[i * Q + 2] >= -1e-9);
}

/* ---- EM with missing cells ------------------------------------------------------------------------------- */

static double total_density(lk_model *m, lk_tape *tape, const lk_rows *rows, lk_batch *batch) {
    double log_prob[400], total = 0;
    size_t n = (size_t)lk_rows_count(rows);
    assert_true(n <= 400);
    if (m->family->loaded) m->family->loaded(m);
    assert_int_equal(lk_rows_range(rows, 0, n, batch), LK_OK);
    lk_evaluation e = {
        .particles = 1, .density = true, .seed = 1, .salt = "test", .log_prob = log_prob};
    assert_int_equal(lk_evaluate(m, tape, batch, &e), LK_OK);
    for (size_t i = 0; i < n; i++) total += log_prob[i];
    return total;
}

/* At EM's end no mean, loading or noise can be moved to a better one. */
static void check_optimum(const char *family) {
    char path[] = "/tmp/likely-factor-XXXXXX";
    int fd = mkstemp(path);
    FILE *f = fdopen(fd, "w");
    lk_data *data;
    lk_model *m;
    lk_reader *reader;
    lk_rows *rows;
    lk_batch batch;
    lk_tape *tape = lk_tape_create(ctx);
    assert_true(f && tape);
    fputs("a,b,c,d,e\n", f);
    for (size_t i = 0; i < 300; i++) {
        double z = normal("z", i);
        for (size_t k = 0; k < 5; k++) {
            const char *end = k == 4 ? "\n" : ",";
            if (k && (i * 7 + k * 3) % 11 == 0) fprintf(f, "%s", end);
            else
                fprintf(f, "%.7g%s",
                        (double)(float)((double)k + z * (1 + (double)k) / 2 +
                                        normal("e", i * 5 + k)),
                        end);
        }
    }
    assert_int_equal(fclose(f), 0);
    static const char *const options[] = {"latents=1", "tolerance=1e-13", NULL};
    lk_fit_options fit = LK_FIT_DEFAULTS;
    fit.options = options;
    fit.steps = 3000;
    assert_int_equal(lk_data_open(ctx, path, NULL, &data), LK_OK);
    if (lk_fit(ctx, family, data, &fit, &m) != LK_OK) fail_msg("%s", lk_context_message(ctx));
    assert_true(m->converged);
    lk_read_options read = {.header = -1};
    assert_int_equal(lk_reader_open(ctx, path, &read, &reader), LK_OK);
    assert_int_equal(lk_rows_read(reader, &rows), LK_OK);
    assert_int_equal(lk_batch_create(ctx, 400, m->schema->n_cells, &batch), LK_OK);
    double best = total_density(m, tape, rows, &batch);
    const double *noise = lk_param_values(&m->params, lk_params_find(&m->params, "noise"));
    static const char *const moved[] = {"means", "loadings", "noise"};
    for (size_t p = 0; p < 3; p++) {
        double *x = lk_param_values(&m->params, lk_params_find(&m->params, moved[p]));
        bool shared = p == 2 && !strcmp(family, "ppca");
        for (size_t i = 0; i < (shared ? 1 : 5); i++)
            for (int sign = -1; sign < 2; sign += 2) {
                double kept[5];
                memcpy(kept, x, sizeof kept);
                for (size_t k = 0; k < 5; k++)
                    if (k == i || shared) x[k] += sign * 0.01 * (p == 2 ? x[k] : sqrt(noise[k]));
                double other = total_density(m, tape, rows, &batch);
                if (!(other < best))
                    fail_msg("%s %zu: %.12g, then %.12g", moved[p], i, best, other);
                memcpy(x, kept, sizeof kept);
            }
    }
    lk_tape_destroy(tape);
    lk_batch_destroy(ctx, &batch);
    lk_rows_destroy(rows);
    lk_reader_close(reader);
    lk_model_destroy(m);
    lk_data_close(data);
    remove(path);
}

static void test_em_optimum(void **state) {
    (void)state;
    check_optimum("fa");
    check_optimum("ppca");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_chain),     cmocka_unit_test(test_largest),
        cmocka_unit_test(test_ppca),      cmocka_unit_test(test_fa),
        cmocka_unit_test(test_rotations), cmocka_unit_test(test_em_optimum),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
