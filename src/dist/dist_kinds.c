#include "dist/dist.h"

#include <string.h>

const lk_dist_kind *const lk_dist_kinds[] = {
    &lk_bernoulli,         &lk_categorical, &lk_normal,  &lk_logistic,
    &lk_laplace,           &lk_student_t,   &lk_uniform, &lk_poisson,
    &lk_negative_binomial, &lk_mixture,     NULL};

const lk_dist_kind *lk_dist_kind_named(const char *name) {
    for (size_t i = 0; lk_dist_kinds[i]; i++)
        if (!strcmp(lk_dist_kinds[i]->name, name)) return lk_dist_kinds[i];
    return NULL;
}
