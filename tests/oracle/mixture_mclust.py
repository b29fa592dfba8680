#!/usr/bin/python3
"""mixture_mclust.py [--write]: mclust's fourteen models of covariance. tests/golden/mixtures/mclust.txt has, for each
model and number of components, the log-likelihood that mclust 6.0.0 reaches on the golden table "pulses" in
standardised units, and its number of parameters; --write makes it anew, with R and r-cran-mclust. The best of
our starts must reach as much (up to 0.001 nats a row) with the same number of parameters."""
import pathlib
import re
import subprocess
import sys
import tempfile

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "cli"))
import program  # noqa: E402

DATA, STORED = program.GOLDEN / "pulses.csv", program.ROOT / "tests/golden/mixtures/mclust.txt"
MODELS = "EII VII EEI VEI EVI VVI EEE VEE EVE VVE EEV VEV EVV VVV".split()
COMPONENTS, SLACK = (2, 3), 1e-3
SCRIPT = """
suppressMessages(library(mclust))
x <- as.matrix(read.csv("%s", header = FALSE))
for (g in c(2, 3)) for (m in c("%s")) {
    fit <- Mclust(x, G = g, modelNames = m, verbose = FALSE, control = emControl(tol = c(1e-10, 1e-10), itmax = 5000))
    if (!is.null(fit)) cat(m, g, fit$df, sprintf("%%.6f", fit$loglik), "\\n")
}
"""


def columns():
    """The table's columns, and their standard deviations as our schema has them."""
    lines = [line.split(",") for line in DATA.read_text().split()]
    values = [[float(cell) for cell in column] for column in zip(*lines[1:])]
    deviations = []
    for column in values:
        mean = sum(column) / len(column)
        deviations.append((sum((x - mean) ** 2 for x in column) / len(column)) ** 0.5)
    return values, deviations


def write():
    values, deviations = columns()
    with tempfile.TemporaryDirectory() as folder:
        path = f"{folder}/x.csv"
        with open(path, "w") as file:
            for row in zip(*values):
                file.write(",".join(repr(x / sd) for x, sd in zip(row, deviations)) + "\n")
        done = subprocess.run(["Rscript", "-e", SCRIPT % (path, '", "'.join(MODELS))], check=True, text=True,
                              stdout=subprocess.PIPE)
    STORED.parent.mkdir(exist_ok=True)
    STORED.write_text("# model, components, parameters, log-likelihood: tests/oracle/mixture_mclust.py --write\n" +
                      done.stdout.replace(" \n", "\n"))


class Mclust(program.Case):
    def test_likelihood(self):
        from math import log
        values, deviations = columns()
        n, jacobian = len(values[0]), sum(map(log, deviations))
        lines = [line.split() for line in STORED.read_text().splitlines() if not line.startswith("#")]
        self.assertEqual({line[0] for line in lines}, set(MODELS))
        for model, components, parameters, theirs in lines:
            with self.subTest(model=model, components=components):
                path, best = self.path("m.lk"), -1e300
                for seed in range(1, 13):
                    if best >= float(theirs) / n - SLACK:
                        break
                    program.good("fit", "gmm", DATA, "-o", path, "-f", "-q", "--components", components, "--covariance",
                                 model, "--restarts", 10, "--seed", seed, "--tolerance", "1e-8", "--floor", 0,
                                 "--steps", 2000)
                    best = max(best, sum(program.scores(path, DATA, "--density")) / n + jacobian)
                self.assertTrue(best >= float(theirs) / n - SLACK, (best, float(theirs) / n))
        # A planted difference: fewer shapes reach less.
        self.assertFalse(float(lines[0][3]) >= float(lines[13][3]) - SLACK * n)

    def test_parameters(self):
        stored = dict((tuple(line.split()[:2]), line.split()[2]) for line in STORED.read_text().splitlines()[1:])
        for model in MODELS:
            told = program.run("fit", "gmm", DATA, "-o", self.path("m.lk"), "-f", "--components", "auto", "--covariance",
                               model, "--steps", 3).stderr
            for components in COMPONENTS:
                found = re.search(rf"note: +{components} +([0-9]+) ", told)
                if (model, str(components)) in stored:
                    self.assertEqual(found[1], stored[model, str(components)], (model, components))


if "--write" in sys.argv:
    write()
else:
    program.main()
