/* The codec `order0`: exact division, the same bits from every variant, shares that cost what they must, and codes
 * that nobody made. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "base/philox.h"
#include "coder/order0.h"
#include "kernels/isa.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { MOST = 300000, ROOM = MOST + 4096 };
static lk_context *ctx;
static uint8_t in[MOST], out[MOST], code[ROOM], other[ROOM];

static int setup(void **state) {
    (void)state;
    ctx = lk_context_create(NULL);
    return ctx ? 0 : -1;
}

static int teardown(void **state) {
    (void)state;
    lk_context_destroy(ctx);
    return 0;
}

/* Is x / size what both ways of dividing give, at and beside every multiple of size? */
static size_t wrong_quotients(const lk_byte_shares *s, uint32_t size, uint32_t step) {
    size_t wrong = 0;
    const lk_byte_share *put = &s->put[0];
    uint32_t share = s->share[0];
    for (uint64_t q = 0; q < 1 << 20; q += step)
        for (uint64_t x = q * size; x<(q + 1) * size; x += size> 1 ? size - 1 : 1) {
            wrong += (x + put->plus) * put->reciprocal >> 43 != q;
            wrong += (x + (share >> 30)) * s->reciprocal[0] >> (share >> 24 & 63) != q;
        }
    return wrong;
}

static void test_division(void **state) {
    (void)state;
    static lk_byte_shares s;
    uint16_t size[256] = {0};
    lk_byte_shares_begin(&s);
    for (uint16_t k = 1; k < LK_SHARES; k++) {
        size[0] = k;
        size[1] = (uint16_t)(LK_SHARES - k);
        lk_byte_shares_set(&s, size);
        assert_int_equal(wrong_quotients(&s, k, k % 64 == 1 ? 1 : 4093), 0);
        assert_int_equal(wrong_quotients(&s, k, (1 << 20) - 1), 0); /* the first and the last */
    }
    s.reciprocal[0]--; /* planted */
    assert_true(wrong_quotients(&s, LK_SHARES - 1, 1) > 0);
}

/* Noise, text, few bytes, one byte but for one, one byte. */
static void make(size_t n, int kind) {
    lk_rng rng = lk_rng_at(1, "bytes", (uint64_t)kind, 0, 0);
    for (size_t i = 0; i < n; i++) {
        uint32_t x = lk_rng_u32(&rng);
        in[i] = kind == 0   ? (uint8_t)x
                : kind == 1 ? (uint8_t) "the quick, lazy 0123\n"[x % 21]
                : kind == 2 ? (uint8_t)(x % 5 * 51)
                : kind == 3 ? i == n / 2
                            : 7;
    }
}

static double ideal_bits(size_t n) {
    double count[256] = {0}, bits = 0;
    for (size_t i = 0; i < n; i++) count[in[i]]++;
    for (size_t b = 0; b < 256; b++)
        if (count[b] > 0) bits -= count[b] * log2(count[b] / (double)n);
    return bits;
}

static void test_variants(void **state) {
    (void)state;
    static const size_t sizes[] = {0, 1, 2, 31, 32, 33, 64, 100, 1000, 1023, 65536, MOST};
    lk_order0 *first, *coder;
    assert_int_equal(lk_order0_create(ctx, MOST, &lk_isa_scalar, &first), LK_OK);
    for (size_t v = 0; lk_isa_at(v); v++) {
        if (!lk_isa_runs_here(lk_isa_at(v))) continue;
        assert_int_equal(lk_order0_create(ctx, MOST, lk_isa_at(v), &coder), LK_OK);
        for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++)
            for (int kind = 0; kind < 5; kind++) {
                size_t n = sizes[i];
                make(n, kind);
                size_t made = lk_order0_encode(coder, in, n, code, ROOM);
                assert_int_equal(lk_order0_encode(first, in, n, other, ROOM), made);
                if (n < 2) assert_true(made == SIZE_MAX);
                if (made == SIZE_MAX) continue;
                assert_memory_equal(code, other, made);
                memset(out, 1, n);
                assert_true(lk_order0_decode(coder, code, made, out, n));
                assert_memory_equal(out, in, n);
                assert_false(lk_order0_decode(coder, code, made, out, n - 1) && kind < 4);
                /* Head, at most 2 bytes a share, 64 bits a lane; shares of 2^12 cost less than 0.5 %. */
                assert_true(
                    8.0 * (double)made < 1.005 * ideal_bits(n) + 8 * 545 + 64 * LK_RANS_LANES);
                assert_true(lk_order0_encode(coder, in, n, other, made - 1) == SIZE_MAX);
            }
        lk_order0_destroy(coder);
    }
    lk_order0_destroy(first);
}

/* No share can be moved from one byte to another at a gain. */
static void test_shares(void **state) {
    (void)state;
    for (int turn = 0; turn < 50; turn++) {
        lk_rng rng = lk_rng_at(2, "counts", 0, (uint64_t)turn, 0);
        uint32_t count[256] = {0}, n = 0;
        uint16_t size[256];
        unsigned sum = 0;
        for (int b = 0; b < 256; b++) {
            if (turn % 3 == 0 || lk_rng_below(&rng, 3) == 0)
                count[b] = 1 + (uint32_t)lk_rng_below(&rng, (uint64_t)1 << lk_rng_below(&rng, 20));
            n += count[b];
        }
        lk_order0_shares(count, n, size);
        for (int b = 0; b < 256; b++) {
            assert_int_equal(size[b] > 0, count[b] > 0);
            sum += size[b];
        }
        assert_int_equal(sum, LK_SHARES);
        double gain = 0;
        for (int a = 0; a < 256; a++)
            for (int b = 0; b < 256; b++)
                if (size[a] > 1 && size[b] && a != b)
                    gain = fmax(gain, count[b] * log2(1 + 1.0 / size[b]) +
                                          count[a] * log2(1 - 1.0 / size[a]));
        assert_true(gain < 1e-3 * n);
    }
}

static void test_codes_that_nobody_made(void **state) {
    (void)state;
    enum { N = 700 };
    for (size_t v = 0; lk_isa_at(v); v++) {
        lk_order0 *coder;
        size_t wrong = 0;
        if (!lk_isa_runs_here(lk_isa_at(v))) continue;
        assert_int_equal(lk_order0_create(ctx, N, lk_isa_at(v), &coder), LK_OK);
        make(N, 2);
        size_t made = lk_order0_encode(coder, in, N, code, ROOM);
        for (size_t at = 0; at < made; at++) {
            uint8_t *exact = malloc(at + 1); /* so that a sanitizer sees a byte too far */
            assert_non_null(exact);
            if (at) memcpy(exact, code, at);
            assert_false(lk_order0_decode(coder, exact, at, out, N));
            free(exact);
            for (int bit = 0; bit < 8; bit++) {
                code[at] ^= (uint8_t)(1 << bit);
                wrong += lk_order0_decode(coder, code, made, out, N);
                code[at] ^= (uint8_t)(1 << bit);
            }
        }
        /* 32 states that end as they began are a checksum, but no proof: the container's hash is. */
        assert_int_equal(wrong, 0);
        lk_order0_destroy(coder);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_division, setup, teardown),
        cmocka_unit_test_setup_teardown(test_variants, setup, teardown),
        cmocka_unit_test_setup_teardown(test_shares, setup, teardown),
        cmocka_unit_test_setup_teardown(test_codes_that_nobody_made, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
