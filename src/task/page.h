/* Pieces of an HTML page as text: words, numbers, and pictures that need no other file. */
#ifndef LK_TASK_PAGE_H
#define LK_TASK_PAGE_H

#include "data/schema.h"

/* Text with what HTML would take for its own replaced; bytes that are no UTF-8, and control characters but for line ends, as \x00. */
void lk_page_words(lk_text *out, const char *text, size_t n);
/* With so many decimals and a point in any locale; what is not finite as a dash. */
void lk_page_number(lk_text *out, double value, int places);
/* A picture [height, width, channels], 1 or 3 of them, as PNG. `css`: of the img element. */
lk_status lk_page_picture(lk_text *out, size_t width, size_t height, size_t channels,
                          const uint8_t *pixels, const char *css);
/* Shares of n bins side by side: the data's as bars, the samples' as a line; either may be NULL. */
void lk_page_bins(lk_text *out, size_t n, const double *data, const double *samples);
/* Shares of one level, one bar under the other; below 0: none. */
void lk_page_bars(lk_text *out, double data, double samples);
/* Up to two lines through (x, y), x increasing; points where y is not finite are left out. Ends of both axes are told. Nothing for
 * a single point. */
void lk_page_lines(lk_text *out, size_t n, const double *x, const double *first,
                   const double *second, int places);

#endif
