#include "base/profile.h"

#include <string.h>
#include <time.h>

enum { MOST_LINES = 64 };

struct lk_profile {
    size_t n;
    lk_profile_line lines[MOST_LINES];
};

static double now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

lk_status lk_context_set_profile(lk_context *ctx, bool on) {
    if (ctx->profile) ctx->allocator.release(ctx->allocator.user, ctx->profile);
    ctx->profile = NULL;
    if (!on) return LK_OK;
    ctx->profile = ctx->allocator.allocate(ctx->allocator.user, sizeof *ctx->profile);
    if (!ctx->profile) return lk_fail(ctx, LK_NO_MEMORY, "out of memory for a profile");
    memset(ctx->profile, 0, sizeof *ctx->profile);
    return LK_OK;
}

bool lk_context_profile(const lk_context *ctx, size_t i, lk_profile_line *out) {
    if (!ctx->profile || i >= ctx->profile->n) return false;
    *out = ctx->profile->lines[i];
    return true;
}

double lk_profile_begin(const lk_context *ctx) { return ctx->profile ? now() : 0; }

void lk_profile_end(lk_context *ctx, double began, const char *name, bool backward,
                    double multiply_adds) {
    struct lk_profile *p = ctx->profile;
    size_t i = 0;
    if (!p || began <= 0) return;
    while (i < p->n && (p->lines[i].backward != backward || strcmp(p->lines[i].name, name) != 0))
        i++;
    if (i == MOST_LINES) return;
    lk_profile_line *line = &p->lines[i];
    if (i == p->n) {
        p->n++;
        line->name = name;
        line->backward = backward;
    }
    line->calls++;
    line->seconds += now() - began;
    line->multiply_adds += multiply_adds;
}
