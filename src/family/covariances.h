/* The models of covariance of Celeux and Govaert (Pattern Recognition 28, 1995), under the names of Banfield
 * and Raftery (1993) and mclust: Σ_k = volume_k · orientation_k · shape_k · orientation_kᵀ, each of the
 * three Equal, Variable by component, or Identity. */
#ifndef LK_FAMILY_COVARIANCES_H
#define LK_FAMILY_COVARIANCES_H

#include <stdbool.h>
#include <stddef.h>

typedef enum lk_covariance_store {
    LK_STORE_FULL,     /* [k, d, d] */
    LK_STORE_TIED,     /* [d, d] */
    LK_STORE_DIAGONAL, /* [k, d] variances */
    LK_STORE_SPHERICAL /* [k] in units of the fields' variances */
} lk_covariance_store;

/* What the M step has, in standardised units (each field over its standard deviation): scatter matrices
 * [k, d, d], dense and symmetric, with n [k] rows; or squares [k, d] with n [k, d] rows. */
typedef struct lk_scatter {
    size_t k, d;
    const double *n;
    double *s; /* scatter in; covariances out, of the same shape */
    double
        *orientation; /* [d, d] columns: common axes so far, in and out; all 0: none yet. NULL for
                            models that do not keep it */
    double *work;     /* lk_covariance_work doubles */
} lk_scatter;

typedef struct lk_covariance_model {
    const char *name;
    bool dense, oriented; /* with covariances; with common axes that are kept */
    lk_covariance_store store;
    void (*fit)(const lk_scatter *t); /* raises the likelihood, or maximises it where it can */
    /* free parameters: how many volumes, shapes and orientations: k or 1, 0 for none */
    char volume, shape, orientation; /* 'E', 'V', 'I' */
} lk_covariance_model;

extern const lk_covariance_model lk_covariance_models[]; /* 14, name NULL at the end */
/* By its name; also full (VVV), tied (EEE), diagonal (VVI), spherical (VII). NULL: no such model. */
const lk_covariance_model *lk_covariance_named(const char *name);
size_t lk_covariance_work(size_t k, size_t d, bool dense);
/* Free parameters of the covariances of k components in d dimensions. */
size_t lk_covariance_free(const lk_covariance_model *m, size_t k, size_t d);

/* The names as an option's choices. */
#define LK_COVARIANCE_CHOICES \
    "auto|full|tied|diagonal|spherical|EII|VII|EEI|VEI|EVI|VVI|EEE|VEE|EVE|VVE|EEV|VEV|EVV|VVV"

#endif
