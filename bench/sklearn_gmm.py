#!/usr/bin/python3
"""sklearn_gmm.py data OUT N D K: writes N rows of K normal clusters in D dimensions.
sklearn_gmm.py time DATA K FEW MANY: prints scikit-learn's seconds an EM iteration, from two runs that differ in
their number of iterations alone."""
import sys
import time
import warnings

import numpy


def data(out, n, d, k):
    draw = numpy.random.default_rng(1)
    means, spread = draw.normal(size=(k, d)) * 3, draw.normal(size=(k, d, d)) * 0.5 + numpy.eye(d)
    z = draw.integers(k, size=n)
    numpy.save(out, (numpy.einsum("nij,nj->ni", spread[z], draw.normal(size=(n, d))) + means[z]).astype("f4"))


def seconds(x, k, few, many):
    from sklearn.mixture import GaussianMixture
    warnings.simplefilter("ignore")
    start = dict(means_init=x[:: max(1, len(x) // k)][:k], weights_init=numpy.full(k, 1 / k),
                 precisions_init=numpy.broadcast_to(numpy.linalg.inv(numpy.cov(x.T)), (k, x.shape[1], x.shape[1])))

    def run(iterations):
        # One k-means start of one iteration costs little; what it costs drops out of the difference.
        began = time.perf_counter()
        GaussianMixture(k, max_iter=iterations, tol=0.0, init_params="random", random_state=1, **start).fit(x)
        return time.perf_counter() - began

    return numpy.median([(run(many) - run(few)) / (many - few) for _ in range(3)])


if sys.argv[1] == "data":
    data(sys.argv[2], *map(int, sys.argv[3:6]))
else:
    print(seconds(numpy.load(sys.argv[2]).astype("f8"), *map(int, sys.argv[3:6])))
