/* What the location-scale kinds share: x = mean + scale·e, with log_scale clamped. */
#ifndef LK_DIST_LOCATION_SCALE_H
#define LK_DIST_LOCATION_SCALE_H

#include "dist/dist.h"

#include <math.h>

/* The clamped log scale; *inside is 1 where the derivative passes, 0 where the clamp holds. */
static inline double lk_clamped_log_scale(const lk_dist_form *form, double log_scale,
                                          double *inside) {
    double least = form->least_log_scale != 0 ? form->least_log_scale : LK_LEAST_LOG_SCALE;
    *inside = log_scale >= least && log_scale <= LK_MOST_LOG_SCALE;
    return log_scale < least ? least
           : log_scale > LK_MOST_LOG_SCALE
               ? LK_MOST_LOG_SCALE
               : log_scale;
}

static inline int lk_two_params(const lk_dist_form *form) {
    (void)form;
    return 2;
}

/* dx/dmean = 1, dx/dlog_scale = x - mean. */
static inline void lk_location_scale_reparameterise(const lk_dist_form *form, const double *params,
                                                    double x, double *d_params) {
    double inside;
    lk_clamped_log_scale(form, params[1], &inside);
    d_params[0] = 1;
    d_params[1] = inside * (x - params[0]);
}

#endif
