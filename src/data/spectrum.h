/* Sound as a picture: how much of each frequency there is, as time goes by. */
#ifndef LK_DATA_SPECTRUM_H
#define LK_DATA_SPECTRUM_H

#include "base/memory.h"

enum { LK_MOST_COLUMNS = 800 };

/* The short-time Fourier transform of x[0…n), n > 0: power of windows of about 32 ms (a power of two of samples) under a
 * Hann window, each a column; as grey, 0 to half the rate from the bottom up, 80 dB below the most of it white, that black.
 * *pixels [height, width] is for lk_free; at most LK_MOST_COLUMNS wide. */
lk_status lk_spectrogram(lk_context *ctx, const double *x, size_t n, uint32_t rate, size_t *width,
                         size_t *height, uint8_t **pixels);

#endif
