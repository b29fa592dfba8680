/* Mixtures of mixed kinds over tables, at the mode under a prior:
 *
 *     z ~ categorical(weights),   numeric cells | z ~ Student's t or normal, mean_z and covariance_z,
 *     counts | z ~ negative binomial or Poisson,   every finite cell | z ~ categorical.
 *
 * mixtures.h says where the parts are, mixture_maximise.c what the prior is. */
#include "family/mixtures.h"

#include <string.h>

static const lk_option options[] = {
    {"components", LK_OPTION_INT, "10", 1, 100000, NULL, "Number of components"},
    {"covariance", LK_OPTION_CHOICE, "auto", 1, 0, LK_COVARIANCE_CHOICES,
     "Shape of the covariances (EII … VVV: volume, shape and orientation Equal, Variable or "
     "Identity); "
     "auto: full up to 32 numeric cells, then diagonal"},
    {"numeric", LK_OPTION_CHOICE, "student-t", 1, 0, "normal|student-t",
     "Distribution of integer and real fields"},
    {"freedom", LK_OPTION_REAL, "0", 0, 1000, NULL,
     "Degrees of freedom of student-t; 0: learned, for each component"},
    {"counts", LK_OPTION_CHOICE, "numeric", 1, 0, "numeric|poisson|negative-binomial",
     "Distribution of integer fields from 0 to 4095 at most; numeric: as other numbers"},
    {"prior", LK_OPTION_REAL, "1", 0, 1000, NULL,
     "How often the prior of means, covariances and weights counts; 0: maximum likelihood"},
    {"floor", LK_OPTION_REAL, "0.000001", 0, 1, NULL,
     "Smallest variance, as a share of the field's"},
    {NULL, LK_OPTION_INT, NULL, 0, 0, NULL, NULL}};

static lk_status create(lk_model *model) {
    const char *numeric = lk_options_text(model->options, "numeric"),
               *counts = lk_options_text(model->options, "counts");
    lk_mixture_ask ask = {
        .heavy = !strcmp(numeric, "student-t"),
        .freedom = lk_options_real(model->options, "freedom"),
        .prior = lk_options_real(model->options, "prior"),
        .counts = !strcmp(counts, "poisson")   ? LK_COUNTS_POISSON
                  : !strcmp(counts, "numeric") ? LK_COUNTS_NONE
                                               : LK_COUNTS_NEGATIVE};
    return lk_mixture_create(model, &ask);
}

const lk_family lk_family_mixture = {
    .name = "mixture",
    .summary =
        "Mixture of mixed kinds (Student's t, normal, counts, categories), by EM with a prior",
    .taxonomy = "latent, tractable",
    .posterior = "exact",
    .options = options,
    .create = create,
    .joint = lk_mixture_joint,
    .destroy = lk_mixture_destroy,
    .loaded = lk_mixture_refresh,
    .em = &lk_mixture_em,
};
