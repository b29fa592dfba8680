/* The multivariate normal as a chain, against its textbook form by Gauss-Jordan elimination (Bishop,
 * equations 2.43, 2.81, 2.82), with every pattern of missing cells, and its derivatives against
 * differences. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>

#include <cmocka.h>

#include "dist/dist.h"
#include "dist/gaussian_chain.h"

#include <math.h>
#include <string.h>

enum { N = 5 };

static const double mu[N] = {0.5, -1, 2, 0, 30};
static const double factor[N * N] = {
    1.5,  9,    9,     9,    9, /* above the diagonal nothing is read */
    -0.7, 0.4,  9,     9,    9, /**/
    0.3,  1.1,  2.5,   9,    9, /**/
    2,    -0.2, 0.6,   0.05, 9, /**/
    -1,   0.5,  -0.25, 3,    0.9};
static const double x[N] = {1.25, -1.5, 0.1, 1.2, 28};

/* Inverse of the m×m matrix a and the logarithm of its determinant, a positive definite. */
static double invert(int m, const double *a, double *inverse) {
    double work[N][2 * N], log_det = 0;
    for (int i = 0; i < m; i++)
        for (int j = 0; j < m; j++) {
            work[i][j] = a[i * m + j];
            work[i][m + j] = i == j;
        }
    for (int k = 0; k < m; k++) {
        double pivot = work[k][k];
        log_det += log(pivot);
        for (int j = 0; j < 2 * m; j++) work[k][j] /= pivot;
        for (int i = 0; i < m; i++) {
            double f = work[i][k];
            for (int j = 0; i != k && j < 2 * m; j++) work[i][j] -= f * work[k][j];
        }
    }
    for (int i = 0; i < m; i++)
        for (int j = 0; j < m; j++) inverse[i * m + j] = work[i][m + j];
    return log_det;
}

static double covariance(int i, int j) {
    return lk_gaussian_covariance(N, factor, (size_t)(i > j ? i : j), (size_t)(i > j ? j : i));
}

/* The cells of `of`, given those of `given`: mean and covariance; the log-density of `given` returned. */
static double textbook(int m, const int *of, int g, const int *given, double *mean, double *cov) {
    double a[N * N], inverse[N * N], square = 0;
    for (int i = 0; i < g; i++)
        for (int j = 0; j < g; j++) a[i * g + j] = covariance(given[i], given[j]);
    double log_det = invert(g, a, inverse);
    for (int i = 0; i < m; i++) {
        mean[i] = mu[of[i]];
        for (int j = 0; j < m; j++) cov[i * m + j] = covariance(of[i], of[j]);
    }
    for (int p = 0; p < g; p++)
        for (int q = 0; q < g; q++) {
            double d = inverse[p * g + q], right = x[given[q]] - mu[given[q]];
            square += (x[given[p]] - mu[given[p]]) * d * right;
            for (int i = 0; i < m; i++) {
                mean[i] += covariance(of[i], given[p]) * d * right;
                for (int j = 0; j < m; j++)
                    cov[i * m + j] -= covariance(of[i], given[p]) * d * covariance(of[j], given[q]);
            }
        }
    return -0.5 * (square + log_det + g * log(2 * acos(-1)));
}

static bool near_to(double got, double want) {
    return fabs(got - want) <= 1e-10 * (1 + fabs(want));
}

static double chain_log_density(const double *at_mu, const double *l, const double *at) {
    double mean[N], sd[N], e[N], sum = 0;
    lk_dist_form form = {.kind = &lk_normal, .n = 1};
    lk_gaussian_chain(N, at_mu, l, at, mean, sd, e);
    for (int i = 0; i < N; i++)
        sum += lk_normal.log_prob(&form, (double[]){mean[i], log(sd[i])}, at[i], NULL, NULL);
    return sum;
}

static void test_density(void **state) {
    (void)state;
    const int all[N] = {0, 1, 2, 3, 4};
    double none[N], cov[N * N], want = textbook(0, NULL, N, all, none, cov);
    assert_true(near_to(chain_log_density(mu, factor, x), want));
    assert_false(near_to(-chain_log_density(mu, factor, x), want));
    assert_false(near_to(1.01 * chain_log_density(mu, factor, x), want));
    assert_false(near_to((double)NAN, want));
    assert_false(near_to(chain_log_density(mu, factor, x) + 0.5 * log(2 * acos(-1)), want));
}

/* Every cell given the present ones before it, for all 32 patterns. */
static void test_present(void **state) {
    (void)state;
    double cov_lower[N * N];
    for (int i = 0; i < N; i++)
        for (int j = 0; j < N; j++) cov_lower[i * N + j] = j <= i ? covariance(i, j) : 1e9;
    for (int pattern = 0; pattern < 1 << N; pattern++) {
        uint8_t present[N];
        double masked[N], mean[2][N], sd[2][N], work[N * N + 3 * N + 3], want, variance;
        for (int i = 0; i < N; i++) {
            present[i] = pattern >> i & 1;
            masked[i] = present[i] ? x[i] : (double)NAN; /* not read */
        }
        assert_int_equal(
            lk_gaussian_chain_present(N, mu, factor, NULL, masked, present, mean[0], sd[0], work),
            0);
        assert_int_equal(lk_gaussian_chain_present(N, mu, NULL, cov_lower, masked, present, mean[1],
                                                   sd[1], work),
                         0);
        for (int i = 0; i < N; i++) {
            int given[N], g = 0;
            for (int j = 0; j < i; j++)
                if (present[j]) given[g++] = j;
            textbook(1, &i, g, given, &want, &variance);
            assert_true(near_to(mean[0][i], want) && near_to(sd[0][i], sqrt(variance)));
            /* The factor's own rows, or rows made from the covariance: apart by rounding alone. */
            assert_true(near_to(mean[0][i], mean[1][i]) && near_to(sd[0][i], sd[1][i]));
        }
    }
}

/* The absent cells given the present ones. */
static void test_condition(void **state) {
    (void)state;
    for (int pattern = 0; pattern < 1 << N; pattern++) {
        uint8_t present[N];
        int of[N], given[N], m = 0, g = 0;
        double masked[N], mean[N], l[N * N], log_density, work[N * N + 3 * N + 3], want[N],
            cov[N * N];
        for (int i = 0; i < N; i++) {
            present[i] = pattern >> i & 1;
            masked[i] = present[i] ? x[i] : (double)NAN;
            if (present[i]) given[g++] = i;
            else of[m++] = i;
        }
        assert_int_equal(lk_gaussian_condition(N, mu, factor, NULL, masked, present, mean, l,
                                               &log_density, work),
                         0);
        assert_true(near_to(log_density, textbook(m, of, g, given, want, cov)));
        for (int i = 0; i < m; i++) {
            assert_true(near_to(mean[i], want[i]));
            for (int j = 0; j < m; j++) {
                double sum = 0;
                for (int k = 0; k < m; k++) sum += l[i * m + k] * l[j * m + k];
                assert_true(near_to(sum, cov[i * m + j]));
                assert_true(j <= i || l[i * m + j] == 0);
            }
        }
    }
}

static void test_not_positive(void **state) {
    (void)state;
    const double bad[] = {1, 0, 2, 1};
    const uint8_t present[] = {1, 1};
    double mean[2], sd[2], l[4], work[2 * 2 + 3 * 2 + 3];
    assert_int_equal(lk_gaussian_chain_present(2, mu, NULL, bad, x, present, mean, sd, work), 2);
    assert_int_equal(lk_gaussian_condition(2, mu, NULL, bad, x, present, mean, l, NULL, work), 2);
    const double nan[] = {(double)NAN, 0, 0, 1};
    assert_int_equal(lk_gaussian_chain_present(2, mu, NULL, nan, x, present, mean, sd, work), 1);
}

/* ---- Derivatives of sum of w_i mean_i + v_i sd_i² ----------------------------------------------------- */

static const double w[N] = {1, -2, 0.5, 3, 0.25}, v[N] = {0.3, 1, -1, 2, 0.7};

static double objective(const double *numbers /* mu, factor, x */) {
    double mean[N], sd[N], e[N], sum = 0;
    lk_gaussian_chain(N, numbers, numbers + N, numbers + N + N * N, mean, sd, e);
    for (int i = 0; i < N; i++) sum += w[i] * mean[i] + v[i] * sd[i] * sd[i];
    return sum;
}

typedef enum bug { NO_BUG, SIGN, ONE_PERCENT, NOT_A_NUMBER, MISSING_TERM, N_BUGS } bug;

static int wrong_derivatives(bug planted) {
    enum { ALL = N + N * N + N };
    double numbers[ALL], mean[N], sd[N], e[N], d_sd[N], d[ALL] = {0}, work[N];
    memcpy(numbers, mu, sizeof mu);
    memcpy(numbers + N, factor, sizeof factor);
    memcpy(numbers + N + N * N, x, sizeof x);
    lk_gaussian_chain(N, mu, factor, x, mean, sd, e);
    for (int i = 0; i < N; i++) d_sd[i] = 2 * v[i] * sd[i];
    lk_gaussian_chain_backward(N, factor, e, w, d_sd, d, d + N, d + N + N * N, work);
    int n = 0;
    for (int i = 0; i < ALL; i++) {
        static const double c[] = {4.0 / 5, -1.0 / 5, 4.0 / 105, -1.0 / 280};
        double h = 1e-3, want = 0, at = numbers[i], got = d[i];
        for (int k = 1; k <= 4; k++) {
            numbers[i] = at + k * h;
            want += c[k - 1] * objective(numbers) / h;
            numbers[i] = at - k * h;
            want -= c[k - 1] * objective(numbers) / h;
        }
        numbers[i] = at;
        if (planted == SIGN) got = -got;
        if (planted == ONE_PERCENT) got *= 1.01;
        if (planted == NOT_A_NUMBER && i == 7) got = (double)NAN;
        if (planted == MISSING_TERM && i < N)
            got = w[i]; /* as if later cells did not depend on it */
        n += !(fabs(got - want) <= 1e-6 * fabs(want) + 1e-8);
    }
    return n;
}

static void test_backward(void **state) {
    (void)state;
    for (bug b = SIGN; b < N_BUGS; b++) assert_true(wrong_derivatives(b) > 0);
    assert_int_equal(wrong_derivatives(NO_BUG), 0);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_density),   cmocka_unit_test(test_present),
        cmocka_unit_test(test_condition), cmocka_unit_test(test_not_positive),
        cmocka_unit_test(test_backward),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
