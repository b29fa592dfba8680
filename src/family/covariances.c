/* M steps of the fourteen models: Celeux and Govaert 1995, sections 3 and 4; names as in covariances.h. Each
 * raises  Σ_k -½ n_k log|Σ_k| - ½ tr(Σ_k⁻¹ S_k)  under its constraint; where that has no closed form a
 * fixed number of rounds of closed partial maxima does, from where the last M step stood or from the
 * scatters' own, so that a round never loses. */
#include "family/covariances.h"

#include "kernels/kernels.h"

#include <string.h>

enum { ROUNDS = 12 };

/* Keeps volumes above 0 where a component has no extent: M steps floor variances much higher. */
#define LEAST 1e-14

static double at_least(double x) { return x > LEAST ? x : LEAST; }

/* ---- Diagonal: s, n are [k, d] ------------------------------------------------------------------- */

static void every(const lk_scatter *t, bool by_component, bool by_cell) {
    size_t k = t->k, d = t->d;
    for (size_t a = 0; a < (by_component ? k : 1); a++)
        for (size_t b = 0; b < (by_cell ? d : 1); b++) {
            double sum = 0, n = 0;
            for (size_t j = by_component ? a : 0; j < (by_component ? a + 1 : k); j++)
                for (size_t i = by_cell ? b : 0; i < (by_cell ? b + 1 : d); i++) {
                    sum += t->s[j * d + i];
                    n += t->n[j * d + i];
                }
            double v = at_least(n > 0 ? sum / n : 0);
            for (size_t j = by_component ? a : 0; j < (by_component ? a + 1 : k); j++)
                for (size_t i = by_cell ? b : 0; i < (by_cell ? b + 1 : d); i++)
                    t->s[j * d + i] = v;
        }
}

static void eii(const lk_scatter *t) { every(t, false, false); }
static void vii(const lk_scatter *t) { every(t, true, false); }
static void eei(const lk_scatter *t) { every(t, false, true); }
static void vvi(const lk_scatter *t) { every(t, true, true); }

/* Volumes and a shape in turn. */
static void vei(const lk_scatter *t) {
    size_t k = t->k, d = t->d;
    double *volume = t->work, *shape = t->work + k;
    for (size_t i = 0; i < d; i++) shape[i] = 1;
    for (int round = 0; round < ROUNDS; round++) {
        for (size_t j = 0; j < k; j++) {
            double sum = 0, n = 0;
            for (size_t i = 0; i < d; i++) {
                sum += t->s[j * d + i] / shape[i];
                n += t->n[j * d + i];
            }
            volume[j] = at_least(sum / n);
        }
        for (size_t i = 0; i < d; i++) {
            double sum = 0, n = 0;
            for (size_t j = 0; j < k; j++) {
                sum += t->s[j * d + i] / volume[j];
                n += t->n[j * d + i];
            }
            shape[i] = at_least(sum / n);
        }
    }
    for (size_t j = 0; j < k; j++)
        for (size_t i = 0; i < d; i++) t->s[j * d + i] = volume[j] * shape[i];
}

/* Of positive extents [d] the geometric mean. */
static double middle(size_t d, const double *extent) {
    double sum = 0;
    for (size_t i = 0; i < d; i++) sum += lk_log(at_least(extent[i]));
    return lk_exp(sum / (double)d);
}

/* One volume, λ = Σ middle(S_k) / Σ n_k; shapes S_k / middle(S_k). n is that of the component's first cell:
 * the M step has made it the same for all its cells. */
static void evi(const lk_scatter *t) {
    size_t k = t->k, d = t->d;
    double sum = 0, n = 0;
    for (size_t j = 0; j < k; j++) {
        t->work[j] = middle(d, t->s + j * d);
        sum += t->work[j];
        n += t->n[j * d];
    }
    for (size_t j = 0; j < k; j++)
        for (size_t i = 0; i < d; i++)
            t->s[j * d + i] = at_least(t->s[j * d + i]) / t->work[j] * (sum / n);
}

/* ---- Dense: s is [k, d, d], n is [k] ------------------------------------------------------------- */

/* The determinant to the power 1/d, of a matrix that may be singular; its factor in `l`. */
static double root_det(size_t d, const double *a, double *l) {
    memcpy(l, a, d * d * sizeof *l);
    double more = LEAST, sum = 0;
    while (lk_cholesky(d, l, l)) {
        memcpy(l, a, d * d * sizeof *l);
        for (size_t i = 0; i < d; i++) l[i * d + i] += more;
        more *= 16;
    }
    for (size_t i = 0; i < d; i++) sum += lk_log(l[i * d + i]);
    return lk_exp(2 * sum / (double)d);
}

static void pooled(const lk_scatter *t, const double *weight, double *out) {
    size_t dd = t->d * t->d;
    memset(out, 0, dd * sizeof *out);
    for (size_t j = 0; j < t->k; j++)
        for (size_t i = 0; i < dd; i++) out[i] += t->s[j * dd + i] * (weight ? weight[j] : 1);
}

static double total(const lk_scatter *t) {
    double n = 0;
    for (size_t j = 0; j < t->k; j++) n += t->n[j];
    return n;
}

static void vvv(const lk_scatter *t) {
    size_t dd = t->d * t->d;
    for (size_t j = 0; j < t->k; j++)
        for (size_t i = 0; i < dd; i++) t->s[j * dd + i] /= t->n[j];
}

/* tr(C⁻¹ S). */
static double trace_of(size_t d, const double *inverse, const double *s) {
    double sum = 0;
    for (size_t i = 0; i < d * d; i++) sum += inverse[i] * s[i];
    return sum;
}

/* The symmetric inverse from the factor l: (l⁻¹)ᵀ l⁻¹, with room for l⁻¹. */
static void inverse_of(size_t d, const double *l, double *room, double *out) {
    lk_inverse_lower(d, l, room);
    for (size_t i = 0; i < d; i++)
        for (size_t j = 0; j <= i; j++) {
            double sum = 0;
            for (size_t q = i; q < d; q++) sum += room[q * d + i] * room[q * d + j];
            out[i * d + j] = out[j * d + i] = sum;
        }
}

static void vee(const lk_scatter *t) {
    size_t k = t->k, d = t->d, dd = d * d;
    double *c = t->work, *l = c + dd, *room = l + dd, *inverse = room + dd, *volume = inverse + dd,
           *share = volume + k;
    pooled(t, NULL, c);
    for (int round = 0; round < ROUNDS; round++) {
        double scale = root_det(d, c, l);
        inverse_of(d, l, room, inverse);
        for (size_t j = 0; j < k; j++) {
            volume[j] = at_least(
                trace_of(d, inverse, t->s + j * dd) * scale / ((double)d * t->n[j]));
            share[j] = 1 / volume[j];
        }
        pooled(t, share, c);
    }
    double scale = root_det(d, c, l);
    for (size_t j = 0; j < k; j++)
        for (size_t i = 0; i < dd; i++) t->s[j * dd + i] = c[i] / scale * volume[j];
}

static void evv(const lk_scatter *t) {
    size_t k = t->k, d = t->d, dd = d * d;
    double *root = t->work, *l = root + k, sum = 0, n = total(t);
    for (size_t j = 0; j < k; j++) {
        root[j] = at_least(root_det(d, t->s + j * dd, l));
        sum += root[j];
    }
    for (size_t j = 0; j < k; j++)
        for (size_t i = 0; i < dd; i++) t->s[j * dd + i] = t->s[j * dd + i] / root[j] * (sum / n);
}

/* Σ = axesᵀ · diag(extent) · axes, axes in rows. */
static void compose(size_t d, const double *axes, const double *extent, double *out) {
    for (size_t i = 0; i < d; i++)
        for (size_t j = 0; j <= i; j++) {
            double sum = 0;
            for (size_t q = 0; q < d; q++) sum += extent[q] * axes[q * d + i] * axes[q * d + j];
            out[i * d + j] = out[j * d + i] = sum;
        }
}

/* Each component's own axes; one shape in the order of extents, with volumes (VEV) or one (EEV). */
static void own_axes(const lk_scatter *t, bool volumes) {
    size_t k = t->k, d = t->d, dd = d * d;
    double *axes = t->work, *extent = axes + k * dd, *volume = extent + k * d, *shape = volume + k,
           *room = shape + d, n = total(t);
    for (size_t j = 0; j < k; j++) {
        (void)lk_eigen_symmetric(d, t->s + j * dd, extent + j * d, axes + j * dd, room);
        for (size_t i = 0; i < d; i++) extent[j * d + i] = at_least(extent[j * d + i]);
        volume[j] = 1;
    }
    for (size_t i = 0; i < d; i++) shape[i] = 0;
    for (int round = 0; round < (volumes ? ROUNDS : 1); round++) {
        for (size_t i = 0; i < d; i++) {
            shape[i] = 0;
            for (size_t j = 0; j < k; j++) shape[i] += extent[j * d + i] / volume[j];
            shape[i] /= n;
        }
        for (size_t j = 0; volumes && j < k; j++) {
            double sum = 0;
            for (size_t i = 0; i < d; i++) sum += extent[j * d + i] / shape[i];
            volume[j] = at_least(sum / ((double)d * t->n[j]));
        }
    }
    for (size_t j = 0; j < k; j++) {
        for (size_t i = 0; i < d; i++) extent[j * d + i] = shape[i] * volume[j];
        compose(d, axes + j * dd, extent + j * d, t->s + j * dd);
    }
}

static void eev(const lk_scatter *t) { own_axes(t, false); }
static void vev(const lk_scatter *t) { own_axes(t, true); }

/* The extents along common axes: diag(axes · S_k · axesᵀ). */
static void extents_along(const lk_scatter *t, const double *turned, double *extent) {
    size_t d = t->d;
    for (size_t j = 0; j < t->k; j++)
        for (size_t i = 0; i < d; i++) extent[j * d + i] = at_least(turned[j * d * d + i * d + i]);
}

/* What the component's own variances along the axes are: n_k·them is extent (VVE), or one volume (EVE). */
static void variances_along(const lk_scatter *t, bool volumes, double *extent, double *root) {
    size_t k = t->k, d = t->d;
    double sum = 0, n = total(t);
    for (size_t j = 0; j < k; j++) {
        root[j] = middle(d, extent + j * d);
        sum += root[j];
    }
    for (size_t j = 0; j < k; j++)
        for (size_t i = 0; i < d; i++)
            extent[j * d + i] =
                volumes ? extent[j * d + i] / t->n[j] : extent[j * d + i] / root[j] * (sum / n);
}

/* Turns axes p and q, in rows, so that Σ_k tr(variances_k⁻¹ · turned_k) is least: as a function of the angle
 * it is a·cos 2θ + b·sin 2θ and a constant. */
static void turn_pair(const lk_scatter *t, size_t p, size_t q, const double *variance, double *axes,
                      double *turned) {
    size_t k = t->k, d = t->d;
    double a = 0, b = 0;
    for (size_t j = 0; j < k; j++) {
        const double *w = turned + j * d * d, *v = variance + j * d;
        double weight = 1 / v[p] - 1 / v[q];
        a += weight * (w[p * d + p] - w[q * d + q]) * 0.5;
        b += weight * w[p * d + q];
    }
    double size = lk_sqrt(a * a + b * b);
    if (!(size > 0)) return;
    double cosine = -a / size, c = lk_sqrt(0.5 * (1 + (cosine > -1 ? cosine : -1)));
    double s = c > 1e-8 ? -b / size / (2 * c) : 1;
    if (c <= 1e-8) c = 0;
    for (size_t i = 0; i < d; i++) {
        double x = axes[p * d + i], y = axes[q * d + i];
        axes[p * d + i] = c * x + s * y;
        axes[q * d + i] = c * y - s * x;
    }
    for (size_t j = 0; j < k; j++) {
        double *w = turned + j * d * d;
        for (size_t i = 0; i < d; i++) {
            double x = w[p * d + i], y = w[q * d + i];
            w[p * d + i] = c * x + s * y;
            w[q * d + i] = c * y - s * x;
        }
        for (size_t i = 0; i < d; i++) {
            double x = w[i * d + p], y = w[i * d + q];
            w[i * d + p] = c * x + s * y;
            w[i * d + q] = c * y - s * x;
        }
    }
}

/* Common axes, turned two by two (Flury and Gautschi 1986 turn likewise), from those of the last M step. */
static void common_axes(const lk_scatter *t, bool volumes) {
    size_t k = t->k, d = t->d, dd = d * d;
    double *turned = t->work, *extent = turned + k * dd, *root = extent + k * d, *room = root + k,
           *axes = t->orientation;
    bool none = true;
    for (size_t i = 0; i < dd; i++) none = none && axes[i] == 0;
    if (none) {
        pooled(t, NULL, turned);
        (void)lk_eigen_symmetric(d, turned, extent, axes, room);
    }
    for (size_t j = 0; j < k; j++)
        for (size_t p = 0; p < d; p++) {
            for (size_t i = 0; i < d; i++) {
                room[i] = 0;
                for (size_t q = 0; q < d; q++)
                    room[i] += axes[p * d + q] * t->s[j * dd + q * d + i];
            }
            for (size_t q = 0; q < d; q++) {
                double sum = 0;
                for (size_t i = 0; i < d; i++) sum += room[i] * axes[q * d + i];
                turned[j * dd + p * d + q] = sum;
            }
        }
    for (int round = 0; round < ROUNDS; round++) {
        extents_along(t, turned, extent);
        variances_along(t, volumes, extent, root);
        for (size_t p = 0; p < d; p++)
            for (size_t q = p + 1; q < d; q++) turn_pair(t, p, q, extent, axes, turned);
    }
    extents_along(t, turned, extent);
    variances_along(t, volumes, extent, root);
    for (size_t j = 0; j < k; j++) compose(d, axes, extent + j * d, t->s + j * dd);
}

static void eve(const lk_scatter *t) { common_axes(t, false); }
static void vve(const lk_scatter *t) { common_axes(t, true); }

/* ---- The list -------------------------------------------------------------------------------------- */

const lk_covariance_model lk_covariance_models[] = {
    {"EII", false, false, LK_STORE_SPHERICAL, eii, 'E', 'I', 'I'},
    {"VII", false, false, LK_STORE_SPHERICAL, vii, 'V', 'I', 'I'},
    {"EEI", false, false, LK_STORE_DIAGONAL, eei, 'E', 'E', 'I'},
    {"VEI", false, false, LK_STORE_DIAGONAL, vei, 'V', 'E', 'I'},
    {"EVI", false, false, LK_STORE_DIAGONAL, evi, 'E', 'V', 'I'},
    {"VVI", false, false, LK_STORE_DIAGONAL, vvi, 'V', 'V', 'I'},
    {"EEE", true, false, LK_STORE_TIED, vvv, 'E', 'E', 'E'},
    {"VEE", true, false, LK_STORE_FULL, vee, 'V', 'E', 'E'},
    {"EVE", true, true, LK_STORE_FULL, eve, 'E', 'V', 'E'},
    {"VVE", true, true, LK_STORE_FULL, vve, 'V', 'V', 'E'},
    {"EEV", true, false, LK_STORE_FULL, eev, 'E', 'E', 'V'},
    {"VEV", true, false, LK_STORE_FULL, vev, 'V', 'E', 'V'},
    {"EVV", true, false, LK_STORE_FULL, evv, 'E', 'V', 'V'},
    {"VVV", true, false, LK_STORE_FULL, vvv, 'V', 'V', 'V'},
    {NULL, false, false, LK_STORE_FULL, NULL, 0, 0, 0}};

const lk_covariance_model *lk_covariance_named(const char *name) {
    static const char *const words[][2] = {
        {"full", "VVV"}, {"tied", "EEE"}, {"diagonal", "VVI"}, {"spherical", "VII"}};
    for (size_t i = 0; i < 4; i++)
        if (!strcmp(name, words[i][0])) name = words[i][1];
    for (const lk_covariance_model *m = lk_covariance_models; m->name; m++)
        if (!strcmp(name, m->name)) return m;
    return NULL;
}

size_t lk_covariance_work(size_t k, size_t d, bool dense) {
    return dense ? k * d * d + k * d + 2 * k + 4 * d * d + d : k + d;
}

size_t lk_covariance_free(const lk_covariance_model *m, size_t k, size_t d) {
    size_t volumes = m->volume == 'V' ? k : 1;
    size_t shapes = m->shape == 'I' ? 0 : m->shape == 'V' ? k : 1;
    size_t axes = m->orientation == 'I' ? 0 : m->orientation == 'V' ? k : 1;
    return d ? volumes + shapes * (d - 1) + axes * (d * (d - 1) / 2) : 0;
}
