#include "dist/search.h"

double lk_search_real(const lk_dist_form *form, const double *params, double u, double centre,
                      double width) {
    double low = centre - width, high = centre + width;
    for (int i = 0; i < 200 && form->kind->cdf(form, params, low) >= u; i++) low -= width *= 2;
    for (int i = 0; i < 200 && form->kind->cdf(form, params, high) < u; i++) high += width *= 2;
    for (int i = 0; i < 200; i++) {
        double middle = low + 0.5 * (high - low);
        if (!(middle > low && middle < high)) break;
        if (form->kind->cdf(form, params, middle) >= u) high = middle;
        else low = middle;
    }
    return high;
}

double lk_search_count(const lk_dist_form *form, const double *params, double u) {
    double low = -1, high = 1; /* cdf(low) < u <= cdf(high) */
    while (high < 0x1p53 && form->kind->cdf(form, params, high) < u) {
        low = high;
        high *= 2;
    }
    while (high - low > 1) {
        double middle = low + (double)(int64_t)((high - low) / 2);
        if (form->kind->cdf(form, params, middle) >= u) high = middle;
        else low = middle;
    }
    return high;
}
