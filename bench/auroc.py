#!/usr/bin/python3
"""auroc.py forest DATA SEED: the area under the ROC curve of PyOD's isolation forest, fitted on all rows of an ADBench
set (X, and y = 1 for outliers) with its defaults. auroc.py scores DATA FILE: that of log-probabilities, one a
line, where the least probable is the oddest."""
import sys

import numpy
from sklearn.metrics import roc_auc_score


def main():
    what, path, more = sys.argv[1:]
    data = numpy.load(path)
    if what == "forest":
        from pyod.models.iforest import IForest
        odd = IForest(random_state=int(more)).fit(data["X"]).decision_scores_
    else:
        odd = -numpy.loadtxt(more)
        if not numpy.all(numpy.isfinite(odd)):
            sys.exit(f"{path}: {numpy.sum(~numpy.isfinite(odd))} rows have no finite density")
    print(roc_auc_score(data["y"], odd))


main()
