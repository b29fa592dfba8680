/* The sums of a whole tile of AVX2, 6 rows of 2 vectors, term by term. Compilers make 23 instructions or more of a
 * term's 20. That is nothing where a core is one thread's; but where another thread of it takes every other turn of
 * the decoder, a tile is as slow as it has instructions: so 8 terms at a time, and pointers that move once for all. */
#ifndef LK_KERNELS_TILE_AVX2_H
#define LK_KERNELS_TILE_AVX2_H

/* Term q of row i, whose number is at `at`: both vectors of sums. */
#define LK_TILE_ROW(s, at, x, y) \
    "vbroadcasts" s " " at ", %%ymm2\n\t" \
    "vfmadd231p" s " %%ymm0, %%ymm2, %" #x "\n\t" \
    "vfmadd231p" s " %%ymm1, %%ymm2, %" #y "\n\t"
#define LK_TILE_COLS(q) \
    "vmovups 64*" #q "(%[b]), %%ymm0\n\t" \
    "vmovups 64*" #q "+32(%[b]), %%ymm1\n\t"
/* Of a copied sliver, whose term is 6 numbers side by side. */
#define LK_TILE_COPIED(s, z, q) \
    LK_TILE_COLS(q) \
    LK_TILE_ROW(s, z "*(6*" #q ")(%[a])", 0, 1) \
    LK_TILE_ROW(s, z "*(6*" #q "+1)(%[a])", 2, 3) \
    LK_TILE_ROW(s, z "*(6*" #q "+2)(%[a])", 4, 5) \
    LK_TILE_ROW(s, z "*(6*" #q "+3)(%[a])", 6, 7) \
    LK_TILE_ROW(s, z "*(6*" #q "+4)(%[a])", 8, 9) \
    LK_TILE_ROW(s, z "*(6*" #q "+5)(%[a])", 10, 11)
/* Of rows where they lie, `step` bytes apart; `d` is the fourth. */
#define LK_TILE_IN_PLACE(s, z, q) \
    LK_TILE_COLS(q) \
    LK_TILE_ROW(s, z "*" #q "(%[a])", 0, 1) \
    LK_TILE_ROW(s, z "*" #q "(%[a],%[step])", 2, 3) \
    LK_TILE_ROW(s, z "*" #q "(%[a],%[step],2)", 4, 5) \
    LK_TILE_ROW(s, z "*" #q "(%[d])", 6, 7) \
    LK_TILE_ROW(s, z "*" #q "(%[d],%[step])", 8, 9) \
    LK_TILE_ROW(s, z "*" #q "(%[d],%[step],2)", 10, 11)

/* Every 8 terms, of three rows that come later. */
#define LK_TILE_ASK_NOTHING
#define LK_TILE_ASK \
    "prefetcht1 (%[ask])\n\t" \
    "prefetcht1 (%[ask],%[step])\n\t" \
    "prefetcht1 (%[ask],%[step],2)\n\t" \
    "add %[eight], %[ask]\n\t"

#define LK_TILE_ZERO(x, y, z) \
    "vxorps %" #x ", %" #x ", %" #x "\n\t" \
    "vxorps %" #y ", %" #y ", %" #y "\n\t" \
    "vxorps %" #z ", %" #z ", %" #z "\n\t"
#define LK_TILE_FOUR(TERM, s, z, p, q, r, t) TERM(s, z, p) TERM(s, z, q) TERM(s, z, r) TERM(s, z, t)
/* n terms on, once more if some are left. size: bytes from a term of a's to the next. */
#define LK_TILE_NEXT(n, size, left, again) \
    "add $" n "*" size ", %[a]\n\t" \
    "add $" n "*" size ", %[d]\n\t" \
    "add $" n "*64, %[b]\n\t" \
    "dec %[" left "]\n\t" \
    "jnz " again "b\n"
#define LK_TILE_SKIP(left, to) "test %[" left "], %[" left "]\n\tjz " to "f\n"
/* clang-format off */
#define LK_TILE_SUMS(TERM, ASK, s, z, size) \
    __asm__ volatile( \
        LK_TILE_ZERO(0, 1, 2) LK_TILE_ZERO(3, 4, 5) LK_TILE_ZERO(6, 7, 8) LK_TILE_ZERO(9, 10, 11) \
        LK_TILE_SKIP("eights", "2") ".p2align 5\n1:\n\t" ASK \
        LK_TILE_FOUR(TERM, s, z, 0, 1, 2, 3) LK_TILE_FOUR(TERM, s, z, 4, 5, 6, 7) \
        LK_TILE_NEXT("8", size, "eights", "1") "2:\n\t" \
        LK_TILE_SKIP("rest", "4") "3:\n\t" TERM(s, z, 0) \
        LK_TILE_NEXT("1", size, "rest", "3") "4:\n" \
        : "=&x"(c[0]), "=&x"(c[1]), "=&x"(c[2]), "=&x"(c[3]), "=&x"(c[4]), "=&x"(c[5]), \
          "=&x"(c[6]), "=&x"(c[7]), "=&x"(c[8]), "=&x"(c[9]), "=&x"(c[10]), "=&x"(c[11]), \
          [a] "+r"(a), [d] "+r"(d), [b] "+r"(b), [eights] "+r"(eights), [rest] "+r"(rest), \
          [ask] "+r"(ask) \
        : [step] "r"(step), [eight] "i"(8 * sizeof *a) \
        : "ymm0", "ymm1", "ymm2", "cc", "memory")
/* clang-format on */

/* As in NAME(tile) of product.inc; b's rows lie 64 bytes apart. ak: 1, or 6 with ai 1,
 * where nothing is asked for. */
#define LK_TILE_AVX2(NAME, REAL, VEC, s, z) \
    LK_INLINE void NAME(size_t k, const REAL *a, size_t ai, size_t ak, const REAL *b, \
                        const REAL *ask, VEC acc[ROWS][8]) { \
        VEC c[12]; \
        size_t eights = k / 8, rest = k % 8, step = ai * sizeof(REAL); \
        const REAL *d = a + 3 * ai; \
        if (ak != 1) LK_TILE_SUMS(LK_TILE_COPIED, LK_TILE_ASK_NOTHING, s, z, "6*" z); \
        else if (ask) LK_TILE_SUMS(LK_TILE_IN_PLACE, LK_TILE_ASK, s, z, z); \
        else LK_TILE_SUMS(LK_TILE_IN_PLACE, LK_TILE_ASK_NOTHING, s, z, z); \
        UNROLL for (int i = 0; i < 12; i++) acc[i / 2][i % 2] = c[i]; \
    }
LK_TILE_AVX2(sums_avx2_f32, float, vec32, "s", "4")
LK_TILE_AVX2(sums_avx2_f64, double, vec64, "d", "8")

#endif
