#include "family/family.h"

#include <string.h>

const lk_family *const lk_families[] = {
    &lk_family_bayesnet,    &lk_family_copula,
    &lk_family_fa,          &lk_family_gmm,
    &lk_family_independent, &lk_family_made,
    &lk_family_mixture,     &lk_family_ngram,
    &lk_family_ppca,        &lk_family_rnn,
    &lk_family_transformer, &lk_family_vae,
    &lk_family_wavenet,     NULL};

const lk_family *lk_family_named(const char *name) {
    for (size_t i = 0; lk_families[i]; i++)
        if (!strcmp(lk_families[i]->name, name)) return lk_families[i];
    return NULL;
}
