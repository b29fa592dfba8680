/* Bayesian networks as BIF: what is read and written again is read the same. */
#include "data/bif.h"

#include "fuzz_help.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    lk_bif first, second;
    fuzz f;
    fuzz_begin(&f, data, size, (size_t)130 << 20, 4096); /* a table is short for 2^24 numbers */
    lk_text once = {.ctx = f.ctx}, twice = {.ctx = f.ctx};
    lk_status status = lk_bif_parse(f.ctx, "input", (const char *)data, size, &first);
    fuzz_status(&f, status);
    if (status == LK_OK) {
        size_t numbers = 0;
        for (size_t i = 0; i < first.n; i++)
            numbers += lk_bif_configurations(&first, i) * first.variables[i].n_states;
        if (numbers < 4096) {
            lk_bif_write(&first, "network", &once);
            status = once.failed ? LK_NO_MEMORY
                                 : lk_bif_parse(f.ctx, "again", once.bytes, once.n, &second);
            FUZZ_CHECK(status == LK_OK || f.refused, "%s\n%s", lk_context_message(f.ctx),
                       once.bytes ? once.bytes : "");
            if (status == LK_OK) {
                lk_bif_write(&second, "network", &twice);
                FUZZ_CHECK(second.n == first.n, "%zu variables, then %zu", first.n, second.n);
                for (size_t i = 0; i < first.n; i++)
                    FUZZ_CHECK(second.variables[i].n_states == first.variables[i].n_states &&
                                   second.variables[i].n_parents == first.variables[i].n_parents,
                               "variable %zu is another", i);
                if (!twice.failed) fuzz_same(once.bytes, twice.bytes);
                lk_bif_free(&second);
            }
        }
        lk_bif_free(&first);
    }
    lk_text_free(&once);
    lk_text_free(&twice);
    fuzz_end(&f);
    return 0;
}
