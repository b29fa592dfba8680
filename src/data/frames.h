/* Features of frames (local conditioning): beside a recording stands a NumPy array [frames, features], and frame f is about samples
 * f·hop … f·hop + hop - 1, so that n samples have ⌈n/hop⌉ frames. In front of a window's samples stand known cells: the *phase*, which is
 * how many samples of the first frame come before the window, and then of each feature its values in all frames that a window
 * can meet. A frame before the first or after the last of the recording is outside. */
#ifndef LK_DATA_FRAMES_H
#define LK_DATA_FRAMES_H

#include "data/data.h"

enum { LK_MOST_HOP = 1 << 20, LK_MOST_FEATURES = 4096 };

typedef struct lk_frames {
    size_t hop;             /* samples of a frame; 0: the schema has no frames */
    size_t count, features; /* frames that a window can meet; numbers of a frame */
    size_t phase,
        first; /* the cell of the phase, and that of the first feature in the first frame */
} lk_frames;

/* Where a schema has them in its cells. */
lk_frames lk_schema_frames(const lk_schema *schema);
/* Is the first cell of rows the label of their document? */
bool lk_schema_has_label(const lk_schema *schema);
/* Frames that a window of n samples can meet. */
size_t lk_frames_met(size_t window, size_t hop);
/* Makes fields at … at + features of a schema phase and features of a series, which is laid already. */
lk_status lk_frames_lay(lk_schema *schema, size_t at, size_t features, const lk_field *series);
/* Are the fields in front of the series, with their shapes, those that its hop asks for? Else LK_BAD_DATA. */
lk_status lk_frames_check(lk_context *ctx, const lk_schema *schema);
/* n more frames of what the features' fields tell of (mean, and as sd the sum of squared differences from it until the end). */
void lk_frames_look(lk_schema *schema, size_t at, size_t features, const float *values, uint64_t n);
void lk_frames_end_look(lk_schema *schema, size_t at, size_t features);

/* The known cells of the row at cell `row` of the batch, of a window that begins at sample `from` of a recording (before it: negative)
 * with n frames: values [n, features]. */
void lk_frames_put(const lk_frames *frames, const float *values, uint64_t n, int64_t from,
                   size_t row, lk_batch *batch);

/* An NPY array [frames, features], or [frames] of one feature: *values for lk_free. LK_BAD_DATA for what is none, or not finite. */
lk_status lk_frames_read(lk_context *ctx, const char *path, float **values, uint64_t *n,
                         size_t *features);

#endif
