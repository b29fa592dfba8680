#include "family/factor_start.h"

#include "base/memory.h"
#include "base/philox.h"
#include "kernels/kernels.h"

#include <math.h>
#include <string.h>

#define LOG_2PI 0x1.d67f1c864beb5p+0

enum { JACOBI = 48, SPARE = 8, MOST_TURNS = 400, MOST_STEPS = 2000, MOST_SWEEPS = 100 };

/* ---- Eigenvectors ------------------------------------------------------------------------------------ */

/* Rows made orthonormal, each against those before it, twice. A row that vanishes becomes an axis. */
static void orthonormalise(size_t n, size_t d, double *v) {
    for (size_t i = 0; i < n; i++) {
        double *row = v + i * d, norm = 0;
        for (size_t again = 0, axis = 0; again < 2; again++) {
            for (size_t j = 0; j < i; j++) {
                double along = lk_dot_f64(d, row, v + j * d);
                for (size_t k = 0; k < d; k++) row[k] -= along * v[j * d + k];
            }
            norm = lk_sqrt(lk_dot_f64(d, row, row));
            if (!(norm > 1e-150) && axis < d) {
                memset(row, 0, d * sizeof *row);
                row[(i + axis++) % d] = 1;
                again = SIZE_MAX; /* from the beginning */
                continue;
            }
            for (size_t k = 0; k < d; k++) row[k] /= norm;
        }
    }
}

/* V <- the Ritz vectors of its span, from the image A V (rows); values descending. */
static lk_status project(lk_context *ctx, size_t n, size_t d, double *v, const double *image,
                         double *values, double *room) {
    double *t = room, *turn = t + n * n, *work = turn + n * n, *turned = work + n * n;
    lk_status status = lk_product(ctx, LK_F64, false, true, n, n, d, v, d, image, d, false, t, n);
    for (size_t i = 0; i < n; i++)
        for (size_t j = 0; j < i; j++) t[i * n + j] = 0.5 * (t[i * n + j] + t[j * n + i]);
    (void)lk_eigen_symmetric(n, t, values, turn, work);
    if (status == LK_OK)
        status = lk_product(ctx, LK_F64, false, false, n, d, n, turn, n, v, d, false, turned, d);
    if (status == LK_OK) memcpy(v, turned, n * d * sizeof *v);
    return status;
}

static lk_status iterate(lk_context *ctx, size_t d, const double *a, size_t k, uint64_t seed,
                         bool warm, double *values, double *vectors) {
    size_t n = k + SPARE < d ? k + SPARE : d;
    double *v = lk_alloc(ctx, n * d, sizeof *v), *image = lk_alloc(ctx, n * d, sizeof *image);
    double *now = lk_alloc(ctx, 2 * n, sizeof *now),
           *room = lk_alloc(ctx, 3 * n * n + n * d, sizeof *room);
    lk_status status = v && image && now && room ? LK_OK : LK_NO_MEMORY;
    for (size_t i = 0; status == LK_OK && i < n * d; i++) {
        lk_rng rng = lk_rng_at(seed, "subspace", 0, i, 0);
        v[i] = warm && i < k * d ? vectors[i] : lk_normal_quantile(lk_rng_uniform(&rng));
    }
    double *before = now + n;
    size_t turns = warm ? 3 : MOST_TURNS;
    for (size_t turn = 0; status == LK_OK && turn < turns; turn++) {
        orthonormalise(n, d, v);
        status = lk_product(ctx, LK_F64, false, false, n, d, d, v, d, a, d, false, image, d);
        bool last = turn + 1 == turns, look = last || turn % 5 == 4;
        if (status == LK_OK && look) {
            double far = 0;
            status = project(ctx, n, d, v, image, now, room);
            for (size_t i = 0; i < k; i++) {
                far = fabs(now[i] - before[i]) > far ? fabs(now[i] - before[i]) : far;
                before[i] = now[i];
            }
            if (last || far <= 1e-14 * fabs(now[0])) break;
            continue; /* the image is of the vectors before the turn: once more */
        }
        if (status == LK_OK) memcpy(v, image, n * d * sizeof *v);
    }
    if (status == LK_OK) {
        memcpy(values, now, k * sizeof *values);
        memcpy(vectors, v, k * d * sizeof *vectors);
    }
    lk_free(ctx, v);
    lk_free(ctx, image);
    lk_free(ctx, now);
    lk_free(ctx, room);
    return status;
}

lk_status lk_eigen_largest(lk_context *ctx, size_t d, const double *a, size_t k, uint64_t seed,
                           bool warm, double *values, double *vectors) {
    if (!k) return LK_OK;
    if (d > JACOBI) return iterate(ctx, d, a, k, seed, warm, values, vectors);
    double room[3 * JACOBI * JACOBI + JACOBI], *all = room + 2 * d * d;
    (void)lk_eigen_symmetric(d, a, all, room, room + d * d);
    memcpy(values, all, k * sizeof *values);
    memcpy(vectors, room, k * d * sizeof *vectors);
    return LK_OK;
}

/* ---- The likelihood ------------------------------------------------------------------------------------ */

/* With A = W^T N^-1 W + I = L L^T:  log det = Σ log noise + 2 Σ log L_ii, and the trace is
 * Σ c_ii/noise_i - trace(A^-1 W^T N^-1 C N^-1 W). */
lk_status lk_factor_log_prob(lk_context *ctx, const lk_factor_problem *p, size_t q, size_t stride,
                             const double *loadings, const double *noise, double *log_prob) {
    size_t d = p->d, all = q ? q : 1;
    double *b = lk_alloc(ctx, d * all, sizeof *b), *cb = lk_alloc(ctx, d * all, sizeof *cb);
    double *a = lk_alloc(ctx, 2 * all * all, sizeof *a), *t = a ? a + q * q : NULL;
    double log_det = 0, trace = 0;
    lk_status status = b && cb && a ? LK_OK : LK_NO_MEMORY;
    for (size_t i = 0; status == LK_OK && i < d; i++) {
        log_det += lk_log(noise[i]);
        trace += p->correlation[i * d + i] / noise[i];
        for (size_t k = 0; k < q; k++) b[i * q + k] = loadings[i * stride + k] / noise[i];
    }
    if (status == LK_OK && q)
        status =
            lk_product(ctx, LK_F64, false, false, d, q, d, p->correlation, d, b, q, false, cb, q);
    for (size_t k = 0; status == LK_OK && k < q; k++)
        for (size_t l = 0; l < q; l++) {
            double sum = k == l, inner = 0;
            for (size_t i = 0; i < d; i++) {
                sum += loadings[i * stride + k] * b[i * q + l];
                inner += b[i * q + k] * cb[i * q + l];
            }
            a[k * q + l] = sum;
            t[k * q + l] = inner;
        }
    if (status == LK_OK && q && lk_cholesky(q, a, a) == 0) {
        for (size_t k = 0; k < q; k++) {
            log_det += 2 * lk_log(a[k * q + k]);
            for (size_t l = 0; l < q; l++) cb[l] = t[l * q + k];
            lk_solve_lower(q, a, cb, cb);
            lk_solve_lower_transposed(q, a, cb, cb);
            trace -= cb[k];
        }
    }
    *log_prob = -0.5 * (log_det + trace + (double)d * LOG_2PI);
    lk_free(ctx, b);
    lk_free(ctx, cb);
    lk_free(ctx, a);
    return status;
}

/* ---- Solutions ------------------------------------------------------------------------------------------ */

static void set_loadings(size_t d, size_t q, size_t stride, const double *root,
                         const double *values, const double *vectors, double less,
                         double *loadings) {
    for (size_t k = 0; k < q; k++) {
        double size = values[k] > less ? lk_sqrt(values[k] - less) : 0;
        for (size_t i = 0; i < d; i++)
            loadings[i * stride + k] = size * vectors[k * d + i] * (root ? root[i] : 1);
    }
}

/* Equations 7 and 8: W = U_q (Λ_q - σ² I)^½, σ² the mean of the eigenvalues left out. */
static lk_status principal(lk_context *ctx, const lk_factor_problem *p, size_t q, size_t stride,
                           double *values, double *vectors, double *loadings, double *noise) {
    size_t d = p->d;
    double left = 0, least = INFINITY; /* one noise is none of a coarse field alone */
    lk_status status = lk_eigen_largest(ctx, d, p->correlation, q, p->seed, false, values, vectors);
    for (size_t i = 0; i < d; i++) {
        left += p->correlation[i * d + i];
        least = p->least[i] < least ? p->least[i] : least;
    }
    for (size_t k = 0; status == LK_OK && k < q; k++) left -= values[k];
    left = left / (double)(d - q) > least ? left / (double)(d - q) : least;
    for (size_t i = 0; i < d; i++) noise[i] = left;
    if (status == LK_OK) set_loadings(d, q, stride, NULL, values, vectors, left, loadings);
    return status;
}

/* Given the noise N, loadings are N^½ U (Λ - I)^½ of N^-½ C N^-½; given them, the noise is the diagonal
 * that is left. */
static lk_status analyse(lk_context *ctx, const lk_factor_problem *p, size_t q, size_t stride,
                         double *values, double *vectors, double *loadings, double *noise) {
    size_t d = p->d;
    double *scaled = lk_alloc(ctx, d * d, sizeof *scaled), *root = lk_alloc(ctx, d, sizeof *root);
    lk_status status = scaled && root ? LK_OK : LK_NO_MEMORY;
    for (size_t i = 0; i < d; i++) noise[i] = p->correlation[i * d + i] * 0.5;
    for (size_t step = 0; status == LK_OK && step < MOST_STEPS; step++) {
        double moved = 0;
        for (size_t i = 0; i < d; i++) {
            noise[i] = noise[i] > p->least[i] ? noise[i] : p->least[i];
            root[i] = lk_sqrt(noise[i]);
        }
        for (size_t i = 0; i < d; i++)
            for (size_t j = 0; j < d; j++)
                scaled[i * d + j] = p->correlation[i * d + j] / (root[i] * root[j]);
        status = lk_eigen_largest(ctx, d, scaled, q, p->seed, step > 0, values, vectors);
        if (status != LK_OK) break;
        set_loadings(d, q, stride, root, values, vectors, 1, loadings);
        for (size_t i = 0; i < d; i++) {
            double sum = p->correlation[i * d + i];
            for (size_t k = 0; k < q; k++)
                sum -= loadings[i * stride + k] * loadings[i * stride + k];
            sum = sum > p->least[i] ? sum : p->least[i];
            double change = fabs(sum - noise[i]) / p->correlation[i * d + i];
            moved = change > moved ? change : moved;
            noise[i] = sum;
        }
        if (lk_cancelled(ctx)) status = lk_fail(ctx, LK_INTERRUPTED, "interrupted while starting");
        if (!(moved > (d > JACOBI ? 1e-6 : 1e-10))) break; /* EM goes on from there */
    }
    lk_free(ctx, scaled);
    lk_free(ctx, root);
    return status;
}

lk_status lk_factor_solve(lk_context *ctx, const lk_factor_problem *p, size_t q, size_t stride,
                          double *loadings, double *noise) {
    size_t d = p->d;
    if (!d) return LK_OK;
    double *values = lk_alloc(ctx, q + 1, sizeof *values),
           *vectors = lk_alloc(ctx, (q + 1) * d, sizeof *vectors);
    lk_status status = values && vectors ? LK_OK : LK_NO_MEMORY;
    if (status == LK_OK)
        status = (p->isotropic ? principal
                               : analyse)(ctx, p, q, stride, values, vectors, loadings, noise);
    lk_free(ctx, values);
    lk_free(ctx, vectors);
    return status;
}

/* Means, loadings less the rotations that change nothing, and noise. */
static double n_parameters(const lk_factor_problem *p, size_t q) {
    double d = (double)p->d, k = (double)q;
    return d + d * k - 0.5 * k * (k - 1) + (p->isotropic ? 1 : d);
}

lk_status lk_factor_choose(lk_context *ctx, const lk_factor_problem *p, size_t most, size_t stride,
                           double *loadings, double *noise, size_t *q) {
    enum { PATIENCE = 2 };
    double top = -INFINITY;
    size_t worse = 0;
    lk_status status = LK_OK;
    *q = 0;
    for (size_t k = 0; status == LK_OK && k <= most && worse < PATIENCE; k++) {
        double log_prob, left = (double)(p->d - k);
        /* beyond Ledermann's bound a covariance has no fewer parameters than its factors */
        if (!p->isotropic && left * left < (double)(p->d + k)) break;
        status = lk_factor_solve(ctx, p, k, stride, loadings, noise);
        if (status == LK_OK)
            status = lk_factor_log_prob(ctx, p, k, stride, loadings, noise, &log_prob);
        if (status != LK_OK) break;
        double bic = p->n * log_prob - 0.5 * n_parameters(p, k) * lk_log(p->n > 2 ? p->n : 2);
        worse++;
        if (!(bic > top)) continue;
        top = bic;
        *q = k;
        worse = 0;
    }
    return status == LK_OK ? lk_factor_solve(ctx, p, *q, stride, loadings, noise) : status;
}

/* ---- Rotations ------------------------------------------------------------------------------------------- */

/* The planar rotation of columns j and k that maximises Kaiser's criterion: the angle whose fourfold has
 * the tangent num/den, by halving twice. False: nothing was left to turn. */
static bool turn_pair(size_t d, size_t q, double *v, size_t j, size_t k) {
    double a = 0, b = 0, c = 0, e = 0;
    for (size_t i = 0; i < d; i++) {
        double x = v[i * q + j], y = v[i * q + k], u = x * x - y * y, w = 2 * x * y;
        a += u;
        b += w;
        c += u * u - w * w;
        e += 2 * u * w;
    }
    double num = e - 2 * a * b / (double)d, den = c - (a * a - b * b) / (double)d;
    double h = lk_sqrt(num * num + den * den);
    if (!(h > 0) || fabs(num) <= 1e-12 * h) {
        if (!(h > 0) || den > 0) return false;
    }
    double cos2 = lk_sqrt(0.5 * (1 + den / h)), sin2 = lk_sqrt(0.5 * (1 - den / h));
    if (num < 0) sin2 = -sin2;
    double cosine = lk_sqrt(0.5 * (1 + cos2)), sine = sin2 / (2 * cosine);
    for (size_t i = 0; i < d; i++) {
        double x = v[i * q + j], y = v[i * q + k];
        v[i * q + j] = cosine * x + sine * y;
        v[i * q + k] = cosine * y - sine * x;
    }
    return true;
}

static void turn_to_varimax(size_t d, size_t q, const double *scale, double *v, double *length) {
    for (size_t i = 0; i < d; i++) {
        double sum = 0;
        for (size_t k = 0; k < q; k++) sum += v[i * q + k] * v[i * q + k];
        length[i] = sum > 0 ? lk_sqrt(sum) : scale[i];
        for (size_t k = 0; k < q; k++) v[i * q + k] /= length[i];
    }
    bool turned = true;
    for (size_t sweep = 0; turned && sweep < MOST_SWEEPS; sweep++) {
        turned = false;
        for (size_t j = 0; j < q; j++)
            for (size_t k = j + 1; k < q; k++) turned = turn_pair(d, q, v, j, k) || turned;
    }
    for (size_t i = 0; i < d; i++)
        for (size_t k = 0; k < q; k++) v[i * q + k] *= length[i];
}

/* Columns by their squares in units of scale, the largest first, the first of equals first; signs. */
static void order_columns(size_t d, size_t q, const double *scale, double *v) {
    for (size_t k = 0; k < q; k++) {
        double most = -1, top = 0;
        size_t best = k;
        for (size_t j = k; j < q; j++) {
            double sum = 0;
            for (size_t i = 0; i < d; i++) {
                double x = v[i * q + j] / scale[i];
                sum += x * x;
            }
            if (sum > most) {
                most = sum;
                best = j;
            }
        }
        for (size_t i = 0; i < d; i++) {
            double x = v[i * q + k];
            v[i * q + k] = v[i * q + best];
            v[i * q + best] = x;
            if (fabs(v[i * q + k] / scale[i]) > fabs(top)) top = v[i * q + k] / scale[i];
        }
        for (size_t i = 0; top < 0 && i < d; i++) v[i * q + k] = -v[i * q + k];
    }
}

lk_status lk_factor_rotate(lk_context *ctx, size_t d, size_t q, size_t stride, bool varimax,
                           const double *scale, const double *noise, double *loadings) {
    if (!q || !d) return LK_OK;
    double *a = lk_alloc(ctx, 3 * q * q + q, sizeof *a), *v = lk_alloc(ctx, d * q, sizeof *v);
    double *length = lk_alloc(ctx, d, sizeof *length);
    if (!a || !v || !length) {
        lk_free(ctx, a);
        lk_free(ctx, v);
        lk_free(ctx, length);
        return LK_NO_MEMORY;
    }
    double *vectors = a + q * q, *work = vectors + q * q, *values = work + q * q;
    for (size_t k = 0; k < q; k++)
        for (size_t l = 0; l <= k; l++) {
            double sum = 0;
            for (size_t i = 0; i < d; i++)
                sum += loadings[i * stride + k] * loadings[i * stride + l] / noise[i];
            a[k * q + l] = a[l * q + k] = sum;
        }
    (void)lk_eigen_symmetric(q, a, values, vectors, work);
    for (size_t i = 0; i < d; i++)
        for (size_t k = 0; k < q; k++) {
            double sum = 0;
            for (size_t l = 0; l < q; l++) sum += loadings[i * stride + l] * vectors[k * q + l];
            v[i * q + k] = sum;
        }
    if (varimax && q > 1) turn_to_varimax(d, q, scale, v, length);
    order_columns(d, q, scale, v);
    for (size_t i = 0; i < d; i++) memcpy(loadings + i * stride, v + i * q, q * sizeof *loadings);
    lk_free(ctx, a);
    lk_free(ctx, v);
    lk_free(ctx, length);
    return LK_OK;
}
