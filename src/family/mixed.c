/* Mixtures of mixed kinds over tables, at the mode under a prior:
 *
 *     z ~ categorical(weights),   numeric cells | z ~ Student's t or normal, mean_z and covariance_z,
 *     counts | z ~ negative binomial or Poisson,   every finite cell | z ~ categorical.
 *
 * mixtures.h says where the parts are, mixture_maximise.c what the prior is. */
#include "family/mixtures.h"

#include <string.h>

enum { FEW = 32, MOST_COUNT = 4095 }; /* counts have tables, as levels do */

static const lk_option options[] = {
    {"for", LK_OPTION_CHOICE, "density", 1, 0, "density|outliers",
     "What the others' defaults are for; outliers: one component, covariance full, counts few, "
     "trim 0.5"},
    {"components", LK_OPTION_INT, "10", 1, 100000, "auto",
     "Number of components; auto: chosen by --criterion"},
    {"criterion", LK_OPTION_CHOICE, "bic", 1, 0, "bic|icl|held-out",
     "What chooses components: Schwarz's criterion, the same with the entropy of responsibilities, "
     "or bits of "
     "a fifth of the rows that is held out"},
    {"covariance", LK_OPTION_CHOICE, "auto", 1, 0, LK_COVARIANCE_CHOICES,
     "Shape of the covariances (EII … VVV: volume, shape and orientation Equal, Variable or "
     "Identity); "
     "auto: full up to 32 numeric cells, then diagonal"},
    {"numeric", LK_OPTION_CHOICE, "student-t", 1, 0, "normal|student-t",
     "Distribution of integer and real fields"},
    {"freedom", LK_OPTION_REAL, "0", 0, 1000, NULL,
     "Degrees of freedom of student-t; 0: learned, for each component"},
    {"counts", LK_OPTION_CHOICE, "numeric", 1, 0, "few|numeric|negative-binomial|poisson",
     "Distribution of integer fields from 0 to 4095 at most; numeric: as other numbers; few: "
     "negative "
     "binomial up to 32, else numeric"},
    {"prior", LK_OPTION_REAL, "0.0001", 0, 1000, NULL,
     "How often the prior of means, covariances and weights counts; 0: maximum likelihood"},
    {"floor", LK_OPTION_REAL, "0.000001", 0, 1, NULL,
     "Smallest variance, as a share of the field's"},
    {NULL, LK_OPTION_INT, NULL, 0, 0, NULL, NULL}};

/* To find outliers in the rows that are learned from. One component: a second would be free to sit on a
 * cluster of outliers, which then are probable. The less probable half is left out: more than half no
 * method could tell from the rest, so this bears the most contamination that can be borne (Rousseeuw
 * and Leroy 1987, chapter 7). Heavy tails for what is left in. Whole numbers from 0 to few are counts,
 * whose rare values a normal with the rounding's variance would call impossible. */
static const char *const for_outliers[] = {"components=1", "covariance=full", "counts=few",
                                           "trim=0.5", NULL};
static const lk_preset presets[] = {{"for", "outliers", for_outliers}, {NULL, NULL, NULL}};

static lk_status create(lk_model *model) {
    const char *numeric = lk_options_text(model->options, "numeric"),
               *counts = lk_options_text(model->options, "counts");
    lk_mixture_ask ask = {
        .heavy = !strcmp(numeric, "student-t"),
        .freedom = lk_options_real(model->options, "freedom"),
        .prior = lk_options_real(model->options, "prior"),
        .counts = !strcmp(counts, "numeric")   ? NULL
                  : !strcmp(counts, "poisson") ? &lk_poisson
                                               : &lk_negative_binomial,
        .most = !strcmp(counts, "few") ? FEW : MOST_COUNT};
    return lk_mixture_create(model, &ask);
}

const lk_family lk_family_mixture = {
    .name = "mixture",
    .summary =
        "Mixture of mixed kinds (Student's t, normal, counts, categories), by EM with a prior",
    .taxonomy = "latent, tractable",
    .posterior = "exact",
    .options = options,
    .presets = presets,
    .create = create,
    .joint = lk_mixture_joint,
    .destroy = lk_mixture_destroy,
    .loaded = lk_mixture_refresh,
    .score = lk_mixture_score,
    .em = &lk_mixture_em,
};
