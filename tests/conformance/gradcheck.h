/* A gradient checker: claimed derivatives of any function of numbers in memory against differences.
 *
 * D(h) = (f(x + h) - f(x - h)) / 2h is off by c₂h² + c₄h⁴ + …. Richardson's extrapolation over h, h/2
 * and h/4 removes the first two terms, so that with h = 10⁻³ what is left is rounding: about 10⁻¹¹ of f.
 *
 * Signs count (a checker of absolute values lets a flipped sign pass), the error is relative to the
 * number that the differences give, or to `floor` where that is tiny, and everything that is not
 * known to be good is bad: a NaN on either side fails, and so does a gradient in which there was
 * nothing to see. gradcheck_catches plants bugs in the claim and says which of them would pass. */
#ifndef LK_TEST_GRADCHECK_H
#define LK_TEST_GRADCHECK_H

#include <math.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

typedef struct gradcheck {
    double (*f)(void *user); /* of the numbers as they are in memory now */
    void *user;
    double step, tolerance, floor; /* 0: the defaults below */
    /* What was found: */
    size_t checked, visible; /* visible: |derivative| > floor */
    double worst;            /* error / (tolerance · size): at most 1 is good */
    char message[200];       /* the first that is wrong */
} gradcheck;

enum { GRADCHECK_LEVELS = 3 };

/* d f / d *x by differences; *x is put back. */
static inline double gradcheck_difference(const gradcheck *c, double *x) {
    double kept = *x, h = c->step > 0 ? c->step : 1e-3, d[GRADCHECK_LEVELS];
    for (int i = 0; i < GRADCHECK_LEVELS; i++, h /= 2) {
        double right = kept + h, left = kept - h;
        *x = right;
        double up = c->f(c->user);
        *x = left;
        d[i] = (up - c->f(c->user)) / (right - left);
    }
    *x = kept;
    double first = (4 * d[1] - d[0]) / 3, second = (4 * d[2] - d[1]) / 3;
    return (16 * second - first) / 15;
}

/* At most 1 where the claim is good; infinite where either is not a number. */
static inline double gradcheck_error(const gradcheck *c, double claimed, double numeric) {
    double floor = c->floor > 0 ? c->floor : 1e-2, size = fabs(numeric);
    double tolerance = c->tolerance > 0 ? c->tolerance : 1e-6;
    double error = fabs(claimed - numeric) / (tolerance * (size > floor ? size : floor));
    return error <= 1 || error > 1 ? error : INFINITY;
}

/* Adds the n numbers at x to what is checked; false at the first wrong claim, with a message. */
static inline bool gradcheck_add(gradcheck *c, size_t n, double *x, const double *claimed) {
    double floor = c->floor > 0 ? c->floor : 1e-2;
    for (size_t i = 0; i < n; i++) {
        double numeric = gradcheck_difference(c, &x[i]);
        double error = gradcheck_error(c, claimed[i], numeric);
        c->checked++;
        if (fabs(numeric) > floor) c->visible++;
        if (!(error <= c->worst)) c->worst = error;
        if (error <= 1) continue;
        snprintf(c->message, sizeof c->message,
                 "element %zu: the gradient is %.12g, differences say %.12g", i, claimed[i],
                 numeric);
        return false;
    }
    return true;
}

/* After the last gradcheck_add: was there anything to see? */
static inline bool gradcheck_good(gradcheck *c) {
    if (c->checked && c->worst <= 1 && c->visible) return true;
    if (!c->message[0])
        snprintf(c->message, sizeof c->message, "%zu derivatives, none of them away from 0",
                 c->checked);
    return false;
}

/* NULL when each planted bug is caught in the visible number at x with derivative `claimed`; else the
 * name of the bug that passes. */
static inline const char *gradcheck_catches(const gradcheck *c, double *x, double claimed) {
    const struct {
        const char *name;
        double planted;
    } bugs[] = {{"sign", -claimed},
                {"1 % too large", 1.01 * claimed},
                {"1 % too small", claimed * 0.99},
                {"missing", 0},
                {"not a number", NAN},
                {"infinite", INFINITY},
                {"twice", 2 * claimed}};
    for (size_t i = 0; i < sizeof bugs / sizeof *bugs; i++) {
        gradcheck copy = *c;
        if (gradcheck_add(&copy, 1, x, &bugs[i].planted)) return bugs[i].name;
    }
    return NULL;
}

#endif
