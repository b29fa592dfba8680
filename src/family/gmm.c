/* Gaussian mixtures over tables, by maximum likelihood:
 *
 *     z ~ categorical(weights),   numeric cells | z ~ N(mean_z, covariance_z),
 *     every finite cell (category, binary, missingness) | z independent, categorical.
 *
 * mixtures.h says where the parts are. "spherical", EII and the other models that are not free of the fields'
 * units are so in standardised units: variance_k · sd_field². */
#include "family/mixtures.h"

static const lk_option options[] = {
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
    {"floor", LK_OPTION_REAL, "0.000001", 0, 1, NULL,
     "Smallest variance, as a share of the field's"},
    {NULL, LK_OPTION_INT, NULL, 0, 0, NULL, NULL}};

static lk_status create(lk_model *model) { return lk_mixture_create(model, &(lk_mixture_ask){0}); }

const lk_family lk_family_gmm = {
    .name = "gmm",
    .summary = "Mixture of Gaussians (and of categories), by EM",
    .taxonomy = "latent, tractable",
    .posterior = "exact",
    .options = options,
    .create = create,
    .joint = lk_mixture_joint,
    .destroy = lk_mixture_destroy,
    .loaded = lk_mixture_refresh,
    .score = lk_mixture_score,
    .em = &lk_mixture_em,
};
