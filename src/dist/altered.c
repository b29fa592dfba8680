#include "dist/altered.h"

#include "dist/special.h"

bool lk_alters(const lk_alteration *a) {
    return a->temperature != 1 || a->top_k || a->top_p < 1 || a->min_p > 0 || a->repetition != 1;
}

/* The more probable first, of equals the lower. Gaps of Ciura (2001). */
static void sort(size_t n, const double *log_p, size_t *order) {
    static const size_t gaps[] = {1750, 701, 301, 132, 57, 23, 10, 4, 1};
    for (size_t i = 0; i < n; i++) order[i] = i;
    for (size_t g = 0; g < sizeof gaps / sizeof gaps[0]; g++)
        for (size_t i = gaps[g]; i < n; i++) {
            size_t k = order[i], at = i;
            for (; at >= gaps[g]; at -= gaps[g]) {
                size_t other = order[at - gaps[g]];
                if (log_p[other] > log_p[k] || (other < k && log_p[other] >= log_p[k])) break;
                order[at] = other;
            }
            order[at] = k;
        }
}

size_t lk_altered_pick(const lk_alteration *a, size_t n, double *log_p, size_t *order,
                       const uint8_t *recent, double u) {
    double all = lk_log_sum_exp_f64(n, log_p), sum = 0;
    for (size_t k = 0; k < n; k++) {
        log_p[k] -= all;
        if (recent && recent[k]) log_p[k] *= a->repetition;
    }
    sort(n, log_p, order);
    if (!(a->temperature > 0)) return order[0];
    size_t kept = a->top_k && a->top_k < n ? a->top_k : n;
    double top = log_p[order[0]];
    for (size_t i = 0; i < kept; i++)
        sum += log_p[order[i]] = lk_exp((log_p[order[i]] - top) / a->temperature);
    double share = 0;
    for (size_t i = 0; a->top_p < 1 && i < kept; i++) {
        share += log_p[order[i]];
        if (share >= a->top_p * sum) kept = i + 1;
    }
    while (kept > 1 && log_p[order[kept - 1]] < a->min_p) kept--;
    sum = 0;
    for (size_t i = 0; i < kept; i++) sum += log_p[order[i]];
    double below = 0;
    for (size_t i = 0; i + 1 < kept; i++) {
        below += log_p[order[i]];
        if (u * sum <= below) return order[i];
    }
    return order[kept - 1];
}
