/* A text's bytes as symbols of a series and, beside them, what the alphabet cannot tell: so any bytes come back. */
#ifndef LK_DATA_SYMBOL_TEXT_H
#define LK_DATA_SYMBOL_TEXT_H

#include "data/schema.h"

/* The code point of a character of n bytes of UTF-8. */
uint32_t lk_code_point(const unsigned char *text, size_t n);

typedef struct lk_symbol_text lk_symbol_text;
/* For a field that is a series of bytes, characters or tokens, which is borrowed. LK_BAD_MODEL where its levels are no
 * characters. */
lk_status lk_symbol_text_create(lk_context *ctx, const lk_field *field, lk_symbol_text **out);
void lk_symbol_text_destroy(lk_symbol_text *text); /* NULL is fine */
/* The symbols of n bytes; symbols has room for n of them. To `side` goes what characters cannot tell: for each symbol that is
 * none of the levels its bytes, with 0xff before a byte that begins no character of UTF-8. */
lk_status lk_symbol_text_divide(const lk_symbol_text *text, const uint8_t *bytes, size_t n,
                                uint16_t *symbols, size_t *count, lk_text *side);
/* The n bytes that were divided. False: these are not symbols and side of n bytes. */
bool lk_symbol_text_join(const lk_symbol_text *text, const uint16_t *symbols, size_t count,
                         const uint8_t *side, size_t n_side, uint8_t *bytes, size_t n);
/* How many of the n bytes at hand, more of which follow, are better divided by themselves: up to behind the last line feed, else in
 * front of a character that is not whole. 1 … n. */
size_t lk_symbol_text_cut(const uint8_t *bytes, size_t n);

#endif
