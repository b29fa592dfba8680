#include "infer/fit.h"

#include <math.h>
#include <stdio.h>
#include <time.h>

double lk_seconds(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + 1e-9 * (double)now.tv_nsec;
}

void lk_clock_start(lk_clock *clock, uint64_t step) {
    clock->began = clock->saved = lk_seconds();
    clock->told = 0;
    clock->first_step = step;
}

bool lk_clock_out(const lk_clock *clock, const lk_fit_control *control) {
    return control->minutes > 0 && lk_seconds() - clock->began >= control->minutes * 60;
}

bool lk_clock_save_due(lk_clock *clock, const lk_fit_control *control) {
    if (!control->checkpoint) return false;
    double now = lk_seconds();
    if (control->checkpoint_seconds > 0 && now - clock->saved < control->checkpoint_seconds)
        return false;
    clock->saved = now;
    return true;
}

/* The least time left over all bounds that are set; negative: unknown. */
static double seconds_left(const lk_clock *clock, const lk_fit_control *control, uint64_t step,
                           uint64_t steps_per_epoch, double rate) {
    double left = -1, now = lk_seconds() - clock->began;
    uint64_t ends[2] = {control->steps, control->epochs * steps_per_epoch};
    for (int i = 0; i < 2; i++)
        if (ends[i] > step && rate > 0) {
            double s = (double)(ends[i] - step) / rate;
            if (left < 0 || s < left) left = s;
        }
    if (control->minutes > 0 && (left < 0 || control->minutes * 60 - now < left))
        left = control->minutes * 60 - now;
    return left;
}

void lk_clock_tell(lk_clock *clock, lk_context *ctx, const lk_fit_control *control, uint64_t step,
                   uint64_t steps_per_epoch, const char *what, double value) {
    double now = lk_seconds();
    if (!ctx->log || now - clock->told < 0.2) return;
    clock->told = now;
    double rate =
        now > clock->began ? (double)(step - clock->first_step) / (now - clock->began) : 0;
    double left = seconds_left(clock, control, step, steps_per_epoch, rate);
    char tail[64] = "";
    if (left >= 0)
        snprintf(tail, sizeof tail, ", at most %d:%02d left", (int)(left / 60), (int)left % 60);
    lk_progress(ctx, "step %llu: %s %.4f nats a row, %.3g steps/s%s", (unsigned long long)step,
                what, value, rate, tail);
}
