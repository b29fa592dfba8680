#!/usr/bin/python3
"""Real data through every family, with default options but few steps: learning, scores, samples, and
the samples scored by the model that drew them."""
import json
import math
import pathlib

import program
from program import Case, DATA, EXACT, FAMILIES, good, scores

STEPS = ["--steps", "15" if program.SANITIZED else "60"]
IMAGES = tuple(f for f in FAMILIES if f != "bayesnet")  # which looks for edges among 784 cells for a minute
FASHION = pathlib.Path("/usr/share/datasets/fashion-mnist")


class Tables(Case):
    def check_table(self, source, family):
        model, sampled = self.path("model.lk"), self.path("sampled.csv")
        good("fit", family, source, "-o", model, "-f", *STEPS)
        particles = ["--particles", "4"] if family == "vae" else []
        summary = json.loads(good("score", model, source, "--json", *particles))
        self.assertTrue(math.isfinite(summary["mean_log_prob"]), summary)
        self.assertTrue(summary["mean_log_prob"] <= 0 and summary["bits_per_dim"] >= 0, summary)
        rows = json.loads(good("show", model))["data_rows"]
        self.assertEqual(summary["rows"], rows)
        if rows < 6000:
            lines = scores(model, source, *particles)
            self.assertEqual(len(lines), rows)
            self.assertTrue(all(math.isfinite(x) for x in lines))
        good("sample", model, "-n", 300, "-o", sampled, "-f")
        self.assertEqual(program.faults(model, sampled.read_bytes(), 300)[:5], [])
        again = scores(model, sampled, *particles)
        self.assertEqual(len(again), 300)
        self.assertTrue(all(math.isfinite(x) and x <= 0 for x in again), again[:5])

    def check_arrays(self, source, family, *more, steps="60", read=()):
        model, sampled = self.path("model.lk"), self.path("sampled.npy")
        good("fit", family, source, "-o", model, "-f", "--steps", steps, *more, *read)
        summary = json.loads(good("score", model, source, "--json", "--particles", "2", *read))
        self.assertTrue(summary["rows"] > 0 and math.isfinite(summary["mean_log_prob"]), summary)
        good("sample", model, "-n", 50, "-o", sampled, "-f")
        values = load_npy(sampled)
        self.assertEqual(values[0][0], 50)
        self.assertTrue(all(math.isfinite(x) for x in values[1]))

    def test_outliers(self):
        for turn, name in enumerate(("45_wine", "4_breastw", "18_Ionosphere", "29_Pima")):
            for family in program.some(FAMILIES, turn):
                with self.subTest(name=name, family=family):
                    self.check_arrays(DATA / f"outliers/{name}.npz", family, read=["--array", "X"])

    def test_images(self):
        sources = {"binarized": (DATA / "binarized-mnist/valid.packed.npy", ["--unpack-bits"]),
                   "digits": (DATA / "mnist/t10k-images-idx3-ubyte.gz", []),
                   "clothes": (FASHION / "t10k-images-idx3-ubyte.gz", [])}
        for name, (source, read) in sources.items():
            if not source.exists():
                print(f"{name}: skipped, no data ({source})")
                continue
            for family in program.some(IMAGES, 0) if name == "binarized" else ("gmm", "made", "vae"):
                network, mixture = ["--hidden", "20", "--held-out", "0.01"], ["--components", "2"]
                more = {"gmm": mixture, "made": network, "mixture": mixture, "vae": network}.get(family, [])
                with self.subTest(name=name, family=family):
                    self.check_images(source, family, more, read)

    def check_images(self, source, family, more, read):
        model, picture = self.path("model.lk"), self.path("sampled.png")
        good("fit", family, source, "-o", model, "-f", "--steps", "2", *more, *read)
        about = json.loads(good("show", model))
        self.assertEqual(about["dims"], 784)
        self.assertEqual(about["data_rows"], 10000)
        if family in EXACT:
            summary = json.loads(good("score", model, source, "--json", *read))
            self.assertTrue(summary["rows"] == 10000 and math.isfinite(summary["mean_log_prob"]), summary)
        if "--unpack-bits" in read:
            good("sample", model, "-n", 2, "-o", self.path("sampled.npy"), "-f")
            self.assertEqual(load_npy(self.path("sampled.npy"))[0], (2, 28, 28))
        else:
            good("sample", model, "-n", 4, "-o", picture, "-f")
            self.assertEqual(picture.read_bytes()[:8], b"\x89PNG\r\n\x1a\n")


def load_npy(path):
    """(shape, values) of an NPY of numbers."""
    import numpy
    values = numpy.load(path, allow_pickle=False)
    return values.shape, values.ravel().tolist()


def add(source, family):
    setattr(Tables, f"test_{source.name.replace('.', '_')}_{family}", lambda self: self.check_table(source, family))


for table in sorted((DATA / "tables").glob("*")):
    if table.suffix != ".names":
        for name in FAMILIES:
            add(table, name)

if __name__ == "__main__":
    program.main(needs_data=True)
