#include "base/hash.h"

#include <sys/types.h>

#include <sha2.h>

void lk_sha256(const void *bytes, size_t n, unsigned char digest[32]) {
    SHA2_CTX state;
    SHA256Init(&state);
    SHA256Update(&state, bytes, n);
    SHA256Final(digest, &state);
}

void lk_hex(const unsigned char *bytes, size_t n, char *hex) {
    static const char digits[] = "0123456789abcdef";
    for (size_t i = 0; i < n; i++) {
        hex[2 * i] = digits[bytes[i] >> 4];
        hex[2 * i + 1] = digits[bytes[i] & 15];
    }
    hex[2 * n] = 0;
}

void lk_sha256_hex(const void *bytes, size_t n, char hex[65]) {
    unsigned char digest[32];
    lk_sha256(bytes, n, digest);
    lk_hex(digest, 32, hex);
}

uint64_t lk_fnv1a64(const char *text) {
    uint64_t h = 0xcbf29ce484222325u;
    for (; *text; text++) h = (h ^ (unsigned char)*text) * 0x100000001b3u;
    return h;
}

static uint64_t finalise(uint64_t x) {
    x = (x ^ x >> 30) * 0xbf58476d1ce4e5b9u;
    x = (x ^ x >> 27) * 0x94d049bb133111ebu;
    return x ^ x >> 31;
}

uint64_t lk_mix64(uint64_t a, uint64_t b) {
    return finalise(finalise(a + 0x9e3779b97f4a7c15u) + b);
}
