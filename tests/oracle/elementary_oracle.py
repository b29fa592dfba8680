#!/usr/bin/python3
"""elementary_oracle.py > tests/golden/numerics/elementary.txt: elementary functions at fixed arguments,
by mpmath with 60 digits, rounded once to float64. Lines: name, arguments, value, hexadecimal."""
import random
from statistics import NormalDist

import mpmath as mp

mp.mp.dps = 60
rng = random.Random(1)
U = rng.uniform
N = mp.mpf


def quantile(p):
    guess = NormalDist().inv_cdf(p) if p > 1e-300 else -37
    return -mp.findroot(lambda x: mp.log(mp.erfc(x / mp.sqrt(2)) / 2) - mp.log(N(p)), -guess)


one = {
    "exp": (lambda: U(-745, 709), mp.exp),
    "expm1": (lambda: U(-5, 5) * 10 ** U(-6, 0), mp.expm1),
    "log": (lambda: 2 ** U(-1060, 1020), mp.log),
    "log1p": (lambda: 2 ** U(-40, 40) if U(0, 1) < 0.7 else -U(0, 0.999), mp.log1p),
    "tanh": (lambda: U(-20, 20), mp.tanh),
    "sigmoid": (lambda: U(-600, 50), lambda x: 1 / (1 + mp.exp(-x))),
    "softplus": (lambda: U(-600, 50), lambda x: mp.log1p(mp.exp(x))),
    "erf": (lambda: U(-6, 6), mp.erf),
    "erfc": (lambda: U(-6, 26), mp.erfc),
    "log_erfc": (lambda: U(-6, 100) * 10 ** U(-8, 0), lambda x: mp.log(mp.erfc(x))),
    "sin": (lambda: U(-100, 100), mp.sin),
    "cos": (lambda: U(-100, 100), mp.cos),
    "lgamma": (lambda: 2 ** U(-10, 40), mp.loggamma),
    "digamma": (lambda: 2 ** U(-10, 40), mp.digamma),
    "normal_cdf": (lambda: U(-37, 8), lambda x: mp.erfc(-x / mp.sqrt(2)) / 2),
    "log_normal_cdf": (lambda: U(-100, 8) if U(0, 1) < 0.7 else -10 ** U(2, 6), lambda x: mp.log(mp.erfc(-x / mp.sqrt(2)) / 2)),
    "normal_quantile": (lambda: U(0, 1) if U(0, 1) < 0.5 else 2 ** U(-1000, -1), quantile),
}
for name, (argument, function) in one.items():
    for _ in range(60):
        x = argument()
        y = quantile(x) if name == "normal_quantile" else function(N(x))
        print(name, x.hex(), float(y).hex())
for i in range(480):
    width = 10 ** U(-8, 1)
    a = [U(-12, 12), U(-40, 40), -U(0, 1) / width, U(-3, 3) * width][i % 4]
    b = a + width
    low, high = (N(a), N(b)) if a <= 0 else (-N(b), -N(a))
    mass = (mp.erfc(-high / mp.sqrt(2)) - mp.erfc(-low / mp.sqrt(2))) / 2
    print("log_normal_mass", a.hex(), b.hex(), float(mp.log(mass)).hex())
for _ in range(60):
    x, a, b = U(0, 1), 2 ** U(-3, 8), 2 ** U(-3, 8)
    print("beta_regularised", x.hex(), a.hex(), b.hex(), float(mp.betainc(a, b, 0, x, regularized=True)).hex())
    a = 2 ** U(-3, 10)
    x = a * 2 ** U(-2, 1)
    print("gamma_regularised", a.hex(), x.hex(), float(mp.gammainc(a, 0, x, regularized=True)).hex())
