#!/usr/bin/python3
"""Real data through every family, with default options but few steps: learning, scores, samples, and
the samples scored by the model that drew them."""
import csv
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

    def ask(self, model, whole, holed, fields, family):
        """The questions about cells given others; nothing that comes out is odd, and nothing asked for stays missing."""
        few = [] if family in EXACT else ["--particles", "8"]
        answers = [good("score", model, whole, "--per-field", *few),
                   good("outliers", model, whole, "--top", "4", "--reasons", "2", *few)]
        answers += [good("predict", model, whole, program.label(fields[i]["name"]), *few) for i in (0, -1)]
        for answer in answers:
            self.assertGreater(len(answer.splitlines()), 4)
            self.assertEqual(odd(answer), [])
        lines = list(csv.reader(good("fill", model, holed, *few).splitlines()))
        at = [lines[0].index(program.label(f["name"])) for f in fields]
        for line in lines[1:]:
            for field, i in zip(fields, at):
                spelt = dict(field, missing=False, **{"kind": "real"} if field["kind"] == "grid" else {})
                self.assertTrue(program.plausible(spelt, line[i], True), (field["name"], line[i]))

    def test_questions(self):
        self.assertEqual(odd("a,b\n1,-nan\ninf,2\n"), ["-nan", "inf"])  # planted
        for turn, name in enumerate(("airquality.csv", "titanic.csv", "penguins.csv")):
            source = DATA / "tables" / name
            lines = list(csv.reader(source.read_text().splitlines()))
            few = lines[1::len(lines) // 12]
            holed = [["" if j == i % len(line) else cell for j, cell in enumerate(line)] for i, line in enumerate(few)]
            whole, holed = (self.path(to, "".join(",".join(line) + "\n" for line in [lines[0], *rows]))
                            for to, rows in (("whole.csv", few), ("holed.csv", holed)))
            for family in program.some(FAMILIES, turn):
                with self.subTest(name=name, family=family):
                    model = self.path("model.lk")
                    good("fit", family, source, "-o", model, "-f", *STEPS)
                    fields = [f for f in program.read_model(model)[0]["schema"]["fields"]
                              if f["kind"] != "text" and not f.get("ignored")]
                    self.ask(model, whole, holed, fields, family)

    def test_bounded(self):
        """Samples stay above 0 where the data do, and never leave the ends that the schema states."""
        source, edited = DATA / "tables/airquality.csv", self.path("schema.json")
        schema = json.loads(good("schema", source))
        for turn in (0, 1):
            edited.write_text(json.dumps(schema))
            below = 0
            for family in program.some(FAMILIES, turn):
                with self.subTest(bounded=turn == 1, family=family):
                    model = self.path("model.lk")
                    good("fit", family, source, "-o", model, "-f", "--schema", edited, *STEPS)
                    drawn = list(csv.reader(good("sample", model, "-n", 300).splitlines()))
                    for field in (f for f in schema["fields"] if f["kind"] == "grid" and not f.get("ignored")):
                        cells = [float(line[drawn[0].index(field["name"])] or "inf") for line in drawn[1:]]
                        ends = [field[end] / 10 ** field["places"] for end in ("low", "high")]
                        below += any(x < 0 for x in cells)
                        if turn:
                            self.assertTrue(all(ends[0] <= x <= ends[1] or x == math.inf for x in cells), field)
            self.assertEqual(below, 0)
            for field in schema["fields"]:
                field["bounded"] = field["kind"] == "grid" or field.get("bounded", False)
                if not field["bounded"]:
                    del field["bounded"]

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


def odd(text):
    """The cells that are numbers, but not finite."""
    return [cell for line in text.splitlines() for cell in line.split(",")
            if cell.strip().lower().lstrip("-") in ("nan", "inf", "infinity")]


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
