#!/usr/bin/python3
"""numerics.py [--write]: what docs/numerics.md says, once more in plain Python, sharing no code with the
library. Checks that tests/golden/numerics/vectors.txt is what it says (--write writes it); the C test
`numerics` compares the library with the same file, bit by bit. Numbers are hexadecimal."""
import os
import pathlib
import struct
import sys
from fractions import Fraction

M32, M64 = (1 << 32) - 1, (1 << 64) - 1


def f32(x):
    """A Fraction or float rounded once to float32 (normal range), as a Python float."""
    x = Fraction(x)
    if x == 0:
        return 0.0
    a, e = abs(x), 0
    while a >= 2: a, e = a / 2, e + 1
    while a < 1: a, e = a * 2, e - 1
    scaled = a * 2 ** 23
    n, rest = divmod(scaled.numerator, scaled.denominator)
    half = Fraction(rest, scaled.denominator)
    if half > Fraction(1, 2) or (half == Fraction(1, 2) and n & 1):
        n += 1
    y = float(Fraction(n) * Fraction(2) ** (e - 23))
    return y if x > 0 else -y


def fma32(a, b, c): return f32(Fraction(a) * Fraction(b) + Fraction(c))
def fma64(a, b, c): return float(Fraction(a) * Fraction(b) + Fraction(c))  # Fraction -> float rounds once


# ---- Random numbers ------------------------------------------------------------------------------------
def philox(key, counter):
    k, c = list(key), list(counter)
    for _ in range(10):
        a, b = 0xD2511F53 * c[0], 0xCD9E8D57 * c[2]
        c = [(b >> 32) ^ c[1] ^ k[0], b & M32, (a >> 32) ^ c[3] ^ k[1], a & M32]
        k = [(k[0] + 0x9E3779B9) & M32, (k[1] + 0xBB67AE85) & M32]
    return c


def fnv1a(text):
    h = 0xCBF29CE484222325
    for byte in text.encode():
        h = ((h ^ byte) * 0x100000001B3) & M64
    return h


def finalise(x):
    x = ((x ^ x >> 30) * 0xBF58476D1CE4E5B9) & M64
    x = ((x ^ x >> 27) * 0x94D049BB133111EB) & M64
    return x ^ x >> 31


def mix(a, b): return finalise((finalise((a + 0x9E3779B97F4A7C15) & M64) + b) & M64)


def words(seed, site, step, row, particle):
    key, block = mix(seed, fnv1a(site)), 0
    while True:
        yield from philox([key & M32, key >> 32], [block, step, row & M32, (row >> 32) & 0xFF | (particle << 8) & M32])
        block += 1


def uniforms(stream):
    while True:
        low = next(stream)
        u = low | next(stream) << 32
        yield ((u >> 12) + 0.5) * 2.0 ** -52


def permute(n, i, seed, site, step):
    key, half = mix(seed, fnv1a(site)), 1
    while half < 32 and 1 << 2 * half < n:
        half += 1
    mask = (1 << half) - 1
    while True:
        left, right = i >> half, i & mask
        for r in range(4):
            out = philox([key & M32, key >> 32], [right & M32, step & M32, step >> 32, r])
            left, right = right, (left ^ out[0]) & mask
        i = left << half | right
        if i < n:
            return i


# ---- Sums and products -----------------------------------------------------------------------------------
def lanes(terms, rounded):
    lane = [0.0] * 64
    for i, x in enumerate(terms):
        lane[i % 64] = rounded(lane[i % 64] + x)
    w = 32
    while w:
        for l in range(w):
            lane[l] = rounded(lane[l] + lane[l + w])
        w //= 2
    return lane[0]


def product(a, b, fma, rounded):
    total = None
    for first in range(0, len(a), 256):
        acc = 0.0
        for k in range(first, min(len(a), first + 256)):
            acc = fma(a[k], b[k], acc)
        total = acc if total is None else rounded(total + acc)
    return total


# ---- Elementary functions ----------------------------------------------------------------------------------
H = float.fromhex
TAYLOR = [H("0x1.6124613a86d09p-33"), H("0x1.1eed8eff8d898p-29"), H("0x1.ae64567f544e4p-26"), H("0x1.27e4fb7789f5cp-22"),
          H("0x1.71de3a556c734p-19"), H("0x1.a01a01a01a01ap-16"), H("0x1.a01a01a01a01ap-13"), H("0x1.6c16c16c16c17p-10"),
          H("0x1.1111111111111p-7"), H("0x1.5555555555555p-5"), H("0x1.5555555555555p-3"), 0.5]
LN2_HIGH, LN2_LOW = H("0x1.62e42fee00000p-1"), H("0x1.a39ef35793c76p-33")


def horner(coefficients, x):
    p = coefficients[0]
    for c in coefficients[1:]:
        p = p * x + c
    return p


def exp(x):
    rounder = H("0x1.8p52")
    n = (x * H("0x1.71547652b82fep+0") + rounder) - rounder
    r = (x - n * LN2_HIGH) - n * LN2_LOW
    half = int(abs(n) // 2 * (1 if n >= 0 else -1))  # towards zero, as C divides
    return (1 + (horner(TAYLOR, r) * r * r + r)) * 2.0 ** half * 2.0 ** (int(n) - half)


def log1p_small(f):
    s = f / (2 + f)
    z, half = s * s, 0.5 * f * f
    tail = horner([1.0 / k for k in range(23, 1, -2)], z) * z
    return f - (half - s * (half + 2 * tail))


def log(x):
    bits = struct.unpack("<Q", struct.pack("<d", x))[0]
    n = (bits >> 52) - 1023
    m = struct.unpack("<d", struct.pack("<Q", (bits & (1 << 52) - 1) | 0x3FF << 52))[0]
    if m > H("0x1.6a09e667f3bcdp+0"):
        m, n = m * 0.5, n + 1
    return n * LN2_HIGH + (log1p_small(m - 1) + n * LN2_LOW)


def log1p_unit(e):
    if e > 0.41:
        return LN2_HIGH + (log1p_small(0.5 * (e - 1)) + LN2_LOW)
    return log1p_small(e)


def softplus(x): return (0.0 if x < 0 else x) + log1p_unit(exp(-abs(x)))


def sigmoid(x):
    e = exp(-abs(x))
    return (e if x < 0 else 1.0) / (1 + e)


def log_softmax(x):
    top = max(x)
    total = top + log(lanes([exp(v - top) for v in x], float))
    return [v - total for v in x]


def erf_small_f32(x):
    """float32 erf for |x| < 0.92, all steps in float32."""
    z = f32(Fraction(x) * Fraction(x))
    p = H("0x1.5f9574p-14")
    for c in ("-0x1.ab106cp-11", "0x1.54df1cp-8", "-0x1.b810e8p-6", "0x1.ce2e24p-4", "-0x1.812744p-2", "0x1.06eba8p-3"):
        p = fma32(p, z, H(c))
    return fma32(p, x, x)


def cholesky(n, a):
    l = [[0.0] * n for _ in range(n)]
    for i in range(n):
        for j in range(i + 1):
            total = a[i][j]
            for k in range(j):
                total = total - l[i][k] * l[j][k]
            l[i][j] = total / l[j][j] if j < i else total ** 0.5
    return l


# ---- The vectors --------------------------------------------------------------------------------------------
def vectors():
    u = uniforms(words(11, "numerics", 3, 5, 2))
    yield "philox", [float(w) for w in philox([1, 2], [3, 4, 5, 6])]
    yield "uniform", [next(u) for _ in range(6)]
    yield "permute", [float(permute(1000, i, 7, "shuffle", 9)) for i in range(12)]
    for n in (1, 63, 64, 65, 300):
        x = [f32(next(u) - 0.5) for _ in range(n)]
        yield f"sum_f32 {n}", [lanes(x, f32)]
        x = [next(u) - 0.5 for _ in range(n)]
        yield f"sum_f64 {n}", [lanes(x, float)]
    for k in (1, 255, 256, 257, 600):
        a, b = [f32(next(u) - 0.5) for _ in range(k)], [f32(next(u) - 0.5) for _ in range(k)]
        yield f"product_f32 {k}", [product(a, b, fma32, f32)]
        a, b = [next(u) - 0.5 for _ in range(k)], [next(u) - 0.5 for _ in range(k)]
        yield f"product_f64 {k}", [product(a, b, fma64, float)]
    yield "exp", [exp(1400 * (next(u) - 0.5)) for _ in range(40)]
    yield "log", [log(exp(1300 * (next(u) - 0.5))) for _ in range(40)]
    yield "softplus", [softplus(60 * (next(u) - 0.5)) for _ in range(20)]
    yield "sigmoid", [sigmoid(60 * (next(u) - 0.5)) for _ in range(20)]
    yield "log_softmax", log_softmax([20 * (next(u) - 0.5) for _ in range(40)])
    yield "erf_f32", [erf_small_f32(f32(1.8 * (next(u) - 0.5))) for _ in range(20)]
    n = 6
    b = [[next(u) - 0.5 for _ in range(n)] for _ in range(n)]
    a = [[0.0] * n for _ in range(n)]
    for i in range(n):
        for j in range(n):
            total = 1.0 if i == j else 0.0
            for k in range(n):
                total = total + b[i][k] * b[j][k]
            a[i][j] = total
    yield f"cholesky {n}", [x for row in cholesky(n, a) for x in row]


def main():
    root = pathlib.Path(os.environ.get("LIKELY_ROOT", pathlib.Path(__file__).parents[2]))
    path = root / "tests/golden/numerics/vectors.txt"
    text = "".join(f"{name}: {' '.join(x.hex() for x in values)}\n" for name, values in vectors())
    if "--write" in sys.argv:
        path.write_text(text)
    assert text.replace("p-1", "p-2", 1) != path.read_text(), "a planted difference was not seen"
    if text != path.read_text():
        sys.exit(f"{path} is not what docs/numerics.md says")
    print("vectors agree")


if __name__ == "__main__":
    main()
