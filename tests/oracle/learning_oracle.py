#!/usr/bin/python3
"""learning_oracle.py [--write]: initial values of parameters and a few steps of every optimiser, written
from the papers' algorithms and docs/numerics.md with numpy's float32 and float64, sharing no code with
the library. Checks that tests/golden/learning/transcripts.txt is what it says (--write writes it); the C
tests `params` and `optimiser` compare the library with the same file.

A line is a name, a colon and hexadecimal numbers. The optimisers' toy: four weights that begin at 1,
-0.5, 2 and 0.25, and the gradient curvature·w - pull·t at step t = 1, 2, …, computed in the weights'
type; two weights are in the parameter "a" and two in "b"."""
import math
import os
import pathlib
import sys

import mpmath as mp
import numpy as np

from numerics import lanes, uniforms, words

CURVATURE, PULL, BEGIN, STEPS = [1.0, 3.0, 0.5, 10.0], [0.5, -1.0, 2.0, 0.125], [1.0, -0.5, 2.0, 0.25], 12
DEFAULT = dict(rate=0.1, beta1=0.9, beta2=0.999, epsilon=1e-8, decay=0.0, momentum=0.0, clip=0.0,
               schedule="constant", warmup=0, total=0, average=0.0)
RUNS = {
    "adam": dict(),
    "adam clipped and averaged": dict(clip=1.5, average=0.75),
    "adam cosine": dict(schedule="cosine", warmup=3, total=10),
    "adamw": dict(decay=0.05, beta1=0.8, beta2=0.95, epsilon=1e-6),
    "adamw cosine": dict(decay=0.05, schedule="cosine", warmup=2, total=20, average=0.5),
    "sgd": dict(rate=0.01),
    "sgd momentum": dict(rate=0.01, momentum=0.9, clip=2.0, warmup=4, average=0.9),
}


def quantile(u):
    """Of the normal distribution, rounded once from 40 digits."""
    with mp.workdps(40):
        return float(mp.sqrt(2) * mp.erfinv(2 * mp.mpf(u) - 1))


def power(x, n):
    """By squaring, low bit first."""
    result = 1.0
    while n:
        if n & 1:
            result *= x
        x, n = x * x, n >> 1
    return result


def learning_rate(o, step):
    """Of the update that follows `step` others."""
    if step < o["warmup"]:
        return o["rate"] * ((step + 1) / o["warmup"])
    if o["schedule"] == "cosine":
        done = (step - o["warmup"]) / (o["total"] - o["warmup"])
        return o["rate"] * (0.0 if done >= 1 else 0.5 * (1 + math.cos(math.pi * done)))
    return o["rate"]


def norm(gradients):
    """Parameter by parameter, each a dot product of 64 lanes in float64."""
    return math.sqrt(sum((lanes([float(g) * float(g) for g in part], float)
                          for part in (gradients[:2], gradients[2:])), 0.0))


def transcript(kind, o, real):
    """Yields (norm, weights, averages) after each step; every operation is one of `real`."""
    w = [real(x) for x in BEGIN]
    average = list(w)
    m, v = [real(0)] * 4, [real(0)] * 4
    for t in range(1, STEPS + 1):
        g = [real(c) * x - real(p) * real(t) for c, p, x in zip(CURVATURE, PULL, w)]
        size, rate = norm(g), learning_rate(o, t - 1)
        clip = real(o["clip"] / size if 0 < o["clip"] < size else 1.0)
        g = [x * clip for x in g]
        if kind == "sgd":
            m = [real(o["momentum"]) * a + x for a, x in zip(m, g)]
            w = [x - real(rate) * a for x, a in zip(w, m)]
        else:
            b1, b2 = o["beta1"], o["beta2"]
            m = [real(b1) * a + real(1 - b1) * x for a, x in zip(m, g)]
            v = [real(b2) * a + real(1 - b2) * x * x for a, x in zip(v, g)]
            step = real(rate * (1 / (1 - power(b1, t))))
            root = real(math.sqrt(1 / (1 - power(b2, t))))
            keep = real(1 - rate * o["decay"] if kind == "adamw" else 1.0)
            w = [keep * x - step * a / (np.sqrt(b) * root + real(o["epsilon"])) for x, a, b in zip(w, m, v)]
        if o["average"]:
            average = [real(o["average"]) * a + real(1 - o["average"]) * x for a, x in zip(average, w)]
        assert all(type(x) is real for x in w + m + average)
        yield size, w, average


def textbook(kind, o, steps):
    """The algorithms as the papers print them, in plain floats: what `transcript` may not depart from."""
    w, m, v = list(BEGIN), [0.0] * 4, [0.0] * 4
    for t in range(1, steps + 1):
        g = [c * x - p * t for c, p, x in zip(CURVATURE, PULL, w)]
        size, rate = math.sqrt(sum(x * x for x in g)), learning_rate(o, t - 1)
        if 0 < o["clip"] < size:
            g = [x * o["clip"] / size for x in g]
        for i in range(4):
            if kind == "sgd":
                m[i] = o["momentum"] * m[i] + g[i]
                w[i] -= rate * m[i]
                continue
            m[i] = o["beta1"] * m[i] + (1 - o["beta1"]) * g[i]
            v[i] = o["beta2"] * v[i] + (1 - o["beta2"]) * g[i] ** 2
            m_hat, v_hat = m[i] / (1 - o["beta1"] ** t), v[i] / (1 - o["beta2"] ** t)
            if kind == "adamw":
                w[i] -= rate * o["decay"] * w[i]
            w[i] -= rate * m_hat / (math.sqrt(v_hat) + o["epsilon"])
    return w


def lines():
    first = [next(uniforms(words(42, "layer.weight", 0, i, 0))) for i in range(12)]  # [4, 3]
    yield "uniform", first
    yield "glorot", [1.5 * math.sqrt(6 / (4 + 3)) * (2 * u - 1) for u in first]
    yield "he", [1.5 * math.sqrt(2 / 4) * quantile(u) for u in first]
    yield "normal", [1.5 * quantile(u) for u in first]
    for name, changes in RUNS.items():
        o, kind = {**DEFAULT, **changes}, name.split()[0]
        for real in (np.float32, np.float64):
            for t, (size, w, average) in enumerate(transcript(kind, o, real), 1):
                yield f"{name}, {real.__name__}, {t}", [size, *w, *average]
            expected, tolerance = textbook(kind, o, STEPS), 2e-5 if real is np.float32 else 1e-13
            assert all(abs(float(a) - b) <= tolerance * (1 + abs(b)) for a, b in zip(w, expected)), name
            assert not all(abs(1.01 * float(a) - b) <= tolerance * (1 + abs(b)) for a, b in zip(w, expected))


def main():
    root = pathlib.Path(os.environ.get("LIKELY_ROOT", pathlib.Path(__file__).parents[2]))
    path = root / "tests/golden/learning/transcripts.txt"
    text = "".join(f"{name}: {' '.join(float(x).hex() for x in values)}\n" for name, values in lines())
    if "--write" in sys.argv:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    assert text.replace("p-1", "p-2", 1) != path.read_text(), "a planted difference was not seen"
    if text != path.read_text():
        sys.exit(f"{path} is not what this script says")
    print(f"{text.count(chr(10))} lines agree")


main()
