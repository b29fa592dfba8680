#!/usr/bin/python3
"""bench/plot.py FILE LABEL x=1,2,… NAME=1,2,… …: curves over x, both axes logarithmic, a panel each, as SVG."""
import sys

import matplotlib

matplotlib.use("svg")
matplotlib.rcParams.update({"svg.hashsalt": "likely", "font.size": 9})
from matplotlib import pyplot  # noqa: E402


def main(path, label, *curves):
    (_, x), *curves = [(name, [float(v) for v in values.split(",")]) for name, _, values in
                       (curve.rpartition("=") for curve in curves)]
    figure, panels = pyplot.subplots(1, len(curves), figsize=(4 * len(curves), 3), squeeze=False)
    for panel, (name, y) in zip(panels[0], curves):
        panel.loglog(x, y, "o-", base=2)
        panel.loglog(x, [y[-1] * v / x[-1] for v in x], ":", color="grey", base=2)
        panel.set_title(f"{name} (dotted: in proportion)")
        panel.set_xlabel(label)
        panel.set_xticks(x, [f"{v:,.0f}" for v in x], rotation=45)
        panel.set_yticks(y, [f"{v:,.0f}" for v in y])
        panel.minorticks_off()
    figure.tight_layout()
    figure.savefig(path, metadata={"Date": None})


main(*sys.argv[1:])
