/* Where a run's time goes: a line for each thing that is timed, told by lk_context_profile. Off, it costs
 * one comparison a call. Only the context's caller is timed, never its threads' pieces. */
#ifndef LK_BASE_PROFILE_H
#define LK_BASE_PROFILE_H

#include "base/context.h"

/* When a thing begins; 0 when nothing is timed. */
double lk_profile_begin(const lk_context *ctx);
/* `name` lives as long as the context; the way back through an op has a line of its own. */
void lk_profile_end(lk_context *ctx, double began, const char *name, bool backward,
                    double multiply_adds);

#endif
