/* Dense linear algebra in float64, in plain loops whose order is the definition: a product, then an
 * addition or subtraction, each rounded. */
#include "kernels/kernels.h"

#include <math.h>
#include <string.h>

enum { SIDE = 4 }; /* rows side by side, whose sums do not wait for each other */

/* Columns 0 … i - 1 of the rows from i on, `rows` of them. */
static void cholesky_left(size_t n, size_t i, size_t rows, const double *a, double *l) {
    const double *of[SIDE];
    for (size_t r = 0; r < SIDE; r++) of[r] = l + (i + (r < rows ? r : 0)) * n;
    for (size_t j = 0; j < i; j++) {
        const double *with = l + j * n;
        double sum[SIDE];
        for (size_t r = 0; r < SIDE; r++) sum[r] = a[(i + (r < rows ? r : 0)) * n + j];
        for (size_t k = 0; k < j; k++)
            for (size_t r = 0; r < SIDE; r++) sum[r] -= of[r][k] * with[k];
        for (size_t r = 0; r < rows; r++) l[(i + r) * n + j] = sum[r] / with[j];
    }
}

size_t lk_cholesky(size_t n, const double *a, double *l) {
    for (size_t i = 0; i < n; i++) {
        if (i % SIDE == 0) cholesky_left(n, i, n - i < SIDE ? n - i : SIDE, a, l);
        for (size_t j = i - i % SIDE; j <= i; j++) {
            double sum = a[i * n + j];
            for (size_t k = 0; k < j; k++) sum -= l[i * n + k] * l[j * n + k];
            if (j < i) {
                l[i * n + j] = sum / l[j * n + j];
            } else {
                if (!(sum > 0)) return i + 1;
                l[i * n + i] = sqrt(sum);
            }
        }
        for (size_t j = i + 1; j < n && l != a; j++) l[i * n + j] = 0;
    }
    for (size_t i = 0; l == a && i < n; i++)
        for (size_t j = i + 1; j < n; j++) l[i * n + j] = 0;
    return 0;
}

void lk_solve_lower(size_t n, const double *l, const double *b, double *x) {
    for (size_t i = 0; i < n; i++) {
        double sum = b[i];
        for (size_t k = 0; k < i; k++) sum -= l[i * n + k] * x[k];
        x[i] = sum / l[i * n + i];
    }
}

void lk_solve_lower_transposed(size_t n, const double *l, const double *b, double *x) {
    for (size_t i = n; i-- > 0;) {
        double sum = b[i];
        for (size_t k = i + 1; k < n; k++) sum -= l[k * n + i] * x[k];
        x[i] = sum / l[i * n + i];
    }
}

void lk_inverse_lower(size_t n, const double *l, double *inverse) {
    for (size_t j = 0; j < n; j++)
        for (size_t i = 0; i < n; i++) {
            if (i < j) {
                inverse[i * n + j] = 0;
                continue;
            }
            double sum = i == j ? 1 : 0;
            for (size_t k = j; k < i; k++) sum -= l[i * n + k] * inverse[k * n + j];
            inverse[i * n + j] = sum / l[i * n + i];
        }
}

/* The rotation that makes a[p][q] zero (Golub and Van Loan, 4th ed., algorithm 8.5.1). */
static void rotate(size_t n, double *a, double *vectors, size_t p, size_t q) {
    double apq = a[p * n + q];
    if (apq == 0) return;
    double tau = (a[q * n + q] - a[p * n + p]) / (2 * apq);
    double t = (tau >= 0 ? 1 : -1) / ((tau >= 0 ? tau : -tau) + sqrt(1 + tau * tau));
    double c = 1 / sqrt(1 + t * t), s = t * c;
    for (size_t k = 0; k < n; k++) {
        double kp = a[k * n + p], kq = a[k * n + q];
        a[k * n + p] = c * kp - s * kq;
        a[k * n + q] = s * kp + c * kq;
    }
    for (size_t k = 0; k < n; k++) {
        double pk = a[p * n + k], qk = a[q * n + k];
        a[p * n + k] = c * pk - s * qk;
        a[q * n + k] = s * pk + c * qk;
        double vp = vectors[p * n + k], vq = vectors[q * n + k];
        vectors[p * n + k] = c * vp - s * vq;
        vectors[q * n + k] = s * vp + c * vq;
    }
    a[p * n + q] = a[q * n + p] = 0;
}

/* Descending by selection, the first of equals first; signs so that the largest component is positive. */
static void order_and_sign(size_t n, double *values, double *vectors) {
    for (size_t i = 0; i < n; i++) {
        size_t best = i;
        for (size_t j = i + 1; j < n; j++)
            if (values[j] > values[best]) best = j;
        double v = values[best];
        values[best] = values[i];
        values[i] = v;
        for (size_t k = 0; best != i && k < n; k++) {
            double x = vectors[best * n + k];
            vectors[best * n + k] = vectors[i * n + k];
            vectors[i * n + k] = x;
        }
        size_t top = 0;
        for (size_t k = 1; k < n; k++)
            if (fabs(vectors[i * n + k]) > fabs(vectors[i * n + top])) top = k;
        if (vectors[i * n + top] < 0)
            for (size_t k = 0; k < n; k++) vectors[i * n + k] = -vectors[i * n + k];
    }
}

bool lk_eigen_symmetric(size_t n, const double *a, double *values, double *vectors, double *work) {
    double total = 0, off = 0;
    for (size_t i = 0; i < n; i++)
        for (size_t j = 0; j < n; j++) {
            work[i * n + j] = i >= j ? a[i * n + j] : a[j * n + i];
            vectors[i * n + j] = i == j;
            total += work[i * n + j] * work[i * n + j];
        }
    bool done = false;
    for (int sweep = 0; sweep < 60 && !done; sweep++) {
        off = 0;
        for (size_t p = 0; p < n; p++)
            for (size_t q = p + 1; q < n; q++) off += work[p * n + q] * work[p * n + q];
        done = off <= 1e-32 * total;
        for (size_t p = 0; !done && p < n; p++)
            for (size_t q = p + 1; q < n; q++) rotate(n, work, vectors, p, q);
    }
    for (size_t i = 0; i < n; i++) values[i] = work[i * n + i];
    order_and_sign(n, values, vectors);
    return done;
}
