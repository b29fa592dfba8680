/* SHA-256 (libmd) and the two small hashes of the random number keys. */
#ifndef LK_BASE_HASH_H
#define LK_BASE_HASH_H

#include <stddef.h>
#include <stdint.h>

void lk_sha256(const void *bytes, size_t n, unsigned char digest[32]);
void lk_sha256_hex(const void *bytes, size_t n, char hex[65]);
void lk_hex(const unsigned char *bytes, size_t n, char *hex); /* 2 n digits and a zero byte */
uint64_t lk_fnv1a64(const char *text);
uint64_t lk_mix64(uint64_t a, uint64_t b); /* two rounds of splitmix64's finaliser */

#endif
