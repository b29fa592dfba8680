#!/usr/bin/python3
"""bench/plot.py FILE LABEL [--plain] x=1,2,… NAME=1,2,… …: curves over x, a panel each, as SVG; both axes logarithmic, or from 0."""
import sys

import matplotlib

matplotlib.use("svg")
matplotlib.rcParams.update({"svg.hashsalt": "likely", "font.size": 9})
from matplotlib import pyplot  # noqa: E402


def logarithmic(panel, x, y):
    panel.loglog(x, y, "o-", base=2)
    panel.loglog(x, [y[-1] * v / x[-1] for v in x], ":", color="grey", base=2)
    panel.set_xticks(x, [f"{v:,.0f}" for v in x], rotation=45)
    panel.set_yticks(y, [f"{v:,.0f}" for v in y])
    panel.minorticks_off()


def plain(panel, x, y):
    panel.plot(x, y, "o-")
    panel.set_xlim(0, max(x) * 1.03)
    panel.set_ylim(0, max(y) * 1.2)


def main(path, label, *curves):
    draw = plain if curves[0] == "--plain" else logarithmic
    (_, x), *curves = [(name, [float(v) for v in values.split(",")]) for name, _, values in
                       (curve.rpartition("=") for curve in curves if "=" in curve)]
    figure, panels = pyplot.subplots(1, len(curves), figsize=(4 * len(curves), 3), squeeze=False)
    for panel, (name, y) in zip(panels[0], curves):
        draw(panel, x, y)
        panel.set_title(name if draw == plain else f"{name} (dotted: in proportion)")
        panel.set_xlabel(label)
    figure.tight_layout()
    figure.savefig(path, metadata={"Date": None})


main(*sys.argv[1:])
