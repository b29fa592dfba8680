/* Learning: one loop for every family that learns by stochastic gradient (train.c), one for every
 * family that learns by expectation-maximisation (em.c), none for those that learn at once (direct.c).
 * Both loops can be stopped at any moment and
 * resumed to the same bits. */
#ifndef LK_INFER_FIT_H
#define LK_INFER_FIT_H

#include "family/model.h"

/* What ends learning and what guards it. Nothing here enters the model: `steps` taken does. */
typedef struct lk_fit_control {
    const lk_rows *valid;      /* held-out rows; NULL: none */
    uint64_t steps, epochs;    /* 0: no bound */
    double minutes;            /* 0: no bound */
    const char *checkpoint;    /* path; NULL: none is written */
    double checkpoint_seconds; /* how often; 0: at every step */
    bool resume;               /* start from the checkpoint */
    const lk_model *start; /* of the same family and schema: begin at its parameters; NULL: anew */
} lk_fit_control;

extern const lk_option lk_em_options[]; /* learning options of the two loops */
extern const lk_option lk_gradient_options[];

/* Learns from rows. LK_INTERRUPTED: the caller asked to stop; the model is usable and a checkpoint
 * is on disk. */
lk_status lk_em_fit(lk_model *model, const lk_rows *rows, const lk_fit_control *control);
lk_status lk_gradient_fit(lk_model *model, const lk_rows *rows, const lk_fit_control *control);
/* For families that learn at once. What was interrupted begins anew when resumed. */
lk_status lk_direct_fit(lk_model *model, const lk_rows *rows, const lk_fit_control *control);

/* Expected statistics over all rows by blocks of LK_EM_BLOCK rows, combined by the fixed tree of
 * docs/numerics.md. Returns the sum of log-probabilities. */
enum { LK_EM_BLOCK = 1024 };
lk_status lk_em_expect(const lk_model *model, const lk_rows *rows, double *stats, double *log_prob);

/* Seconds since some fixed moment, for budgets and rates; never for anything that is stored. */
double lk_seconds(void);
/* When the next checkpoint is due, what the rate is, how long is left. */
typedef struct lk_clock {
    double began, saved, told;
    uint64_t first_step;
} lk_clock;
void lk_clock_start(lk_clock *clock, uint64_t step);
void lk_clock_tell(lk_clock *clock, lk_context *ctx, const lk_fit_control *control, uint64_t step,
                   uint64_t steps_per_epoch, const char *what, double value);
bool lk_clock_out(const lk_clock *clock, const lk_fit_control *control);
bool lk_clock_save_due(lk_clock *clock, const lk_fit_control *control);

#endif
