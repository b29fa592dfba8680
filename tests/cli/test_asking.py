#!/usr/bin/python3
"""Cells given other cells, as a user asks for them: fill, predict, outliers, encode, score --per-field."""
import csv
import io
import json
import math
import random
import re
import struct

import program
from program import Case, DATA, EXACT, FAMILIES, GOLDEN, good, run, scores

ORCHARD, PULSES = GOLDEN / "orchard.csv", GOLDEN / "pulses.csv"
REALS = ("a", "b", "c")


def table(text):
    return list(csv.DictReader(io.StringIO(text)))


def bh(p):
    """Benjamini and Hochberg's adjusted p-values, as R's p.adjust defines them."""
    order = sorted(range(len(p)), key=lambda i: -p[i])
    out, least = [0.0] * len(p), 1.0
    for place, i in enumerate(order):
        least = min(least, p[i] * len(p) / (len(p) - place))
        out[i] = least
    return out


class Asking(Case):
    def fit(self, family, data=ORCHARD, *more):
        path = self.path(f"{family}.lk")
        options = {"gmm": ("--components", 3), "made": ("--hidden", "24", "--steps", 60),
                   "mixture": ("--components", 3), "vae": ("--hidden", "24", "--steps", 60)}.get(family, ())
        good("fit", family, data, "-o", path, "-f", *options, *more)
        return path

    def holes(self, seed=3):
        """The orchard with holes, odd spelling, CRLF here and there, blank lines and quotes."""
        draw, lines = random.Random(seed), ORCHARD.read_text().splitlines()
        out = [lines[0] + "\r\n"]
        for line in lines[1:41]:
            cells = line.split(",")
            for i in range(len(cells)):
                if draw.random() < 0.2:
                    cells[i] = draw.choice(["", "NA", " ? ", '"NA"'])
                elif draw.random() < 0.2:
                    cells[i] = draw.choice([f" {cells[i]}", f'"{cells[i]}"', f"{cells[i]}  "])
            out.append(",".join(cells) + draw.choice(["\n", "\r\n", "\n\n"]))
        return self.path("holes.csv", "".join(out))

    # ---- fill ---------------------------------------------------------------------------------------
    def test_fill_keeps_every_other_byte(self):
        missing = {"", "NA", "?", '"NA"'}
        for family in program.some(FAMILIES, 0):
            model, holes = self.fit(family), self.holes()
            for how in (["--mean"], ["--mode"], ["--draws", 1]):
                got = good("fill", model, holes, *how, text=False)
                was = holes.read_bytes().split(b"\n")
                now = got.split(b"\n")
                self.assertEqual(len(was), len(now))
                filled = 0
                for a, b in zip(was, now):
                    a, b = a.decode().split(","), b.decode().split(",")
                    self.assertEqual(len(a), len(b))
                    for i, (old, new) in enumerate(zip(a, b)):
                        if len(a) > 1 and old.strip() in missing:
                            self.assertNotIn(new.strip(), missing, (family, how, old))
                            filled += 1
                        else:
                            self.assertEqual(old, new)
                done = run("fill", model, holes, *how, "-o", self.path("filled.csv"), "-f", "--json")
                about = json.loads(done.stdout)
                self.assertEqual(about["cells_filled"], filled)
                self.assertEqual(about["kind"], "exact" if family in EXACT else "estimate")
                self.assertEqual(self.path("filled.csv").read_bytes(), got)
                self.assertEqual(good("fill", model, self.path("filled.csv"), text=False), got)  # nothing left
                for row in table(got.decode()):  # and it reads as the model's data do
                    self.assertTrue(all(math.isfinite(float(row[f])) for f in ("fruits", "girth_cm")), row)

    def test_same_bits(self):
        """Threads, and what else is in the file, change nothing; the seed changes draws."""
        for family in program.some(FAMILIES, 1):
            model, holes = self.fit(family), self.holes()
            for ask in (["fill", model, holes, "--draws", 1], ["predict", model, holes, "species"],
                        ["predict", model, holes, "girth_cm"], ["score", model, holes, "--per-field"],
                        ["outliers", model, holes, "--calibrate", ORCHARD],
                        ["sample", model, "-n", 70, "--given", "girth_cm=70.5"]):
                want = good(*ask, "--threads", 1)
                for threads in (2, 5):
                    self.assertEqual(good(*ask, "--threads", threads), want, (family, ask))
            whole = good("fill", model, holes, "--draws", 1)
            self.assertNotEqual(good("fill", model, holes, "--draws", 1, "--seed", 2), whole)
            part = self.path("part.csv", b"".join(holes.read_bytes().splitlines(True)[:14]))
            whole = good("fill", model, holes, "--draws", 1, text=False)
            self.assertTrue(whole.startswith(good("fill", model, part, "--draws", 1, text=False)), family)

    def test_imputations(self):
        model, holes = self.fit("gmm"), self.holes()
        good("fill", model, holes, "--draws", 4, "-o", self.path("out.csv"))
        files = [self.path(f"out.{i}.csv").read_text() for i in (1, 2, 3, 4)]
        self.assertEqual(len(set(files)), 4)
        self.assertFalse(self.path("out.csv").exists())
        again = run("fill", model, holes, "--draws", 5, "-o", self.path("out.csv"))
        self.assertEqual(again.returncode, 2, again.stderr)
        self.assertFalse(self.path("out.5.csv").exists())  # all of them or none

    def test_fill_arrays(self):
        import numpy
        draw = numpy.random.default_rng(4)
        x = draw.normal(size=(400, 3)) @ numpy.array([[1, 0.8, 0], [0, 0.6, 0.5], [0, 0, 1]])
        hidden = draw.random(x.shape) < 0.15
        holes = numpy.where(hidden, numpy.nan, x)
        numpy.save(self.path("x.npy"), holes)
        model = self.path("x.lk")
        good("fit", "gmm", self.path("x.npy"), "-o", model, "--components", 1)
        good("fill", model, self.path("x.npy"), "-o", self.path("y.npy"))
        y = numpy.load(self.path("y.npy"))
        self.assertTrue(numpy.isfinite(y).all())
        self.assertTrue(numpy.allclose(y[~hidden], x[~hidden], rtol=1e-6))
        means = numpy.nanmean(holes, 0)
        self.assertLess(numpy.square((y - x)[hidden]).mean(), 0.9 * numpy.square((means - x)[hidden]).mean())

    # ---- per field ----------------------------------------------------------------------------------
    def test_per_field_is_the_definition(self):
        """log p(row) - log p(row without the field), for reals and for the last field of a grid."""
        draw = random.Random(8)
        rows = []
        for _ in range(300):
            a = draw.gauss(0, 1)
            b = 0.7 * a + draw.gauss(0, 0.5)
            rows.append((f"{a:.12e}", f"{b:.12e}", f"{a - b + draw.gauss(0, 1):.12e}",
                         draw.choice("xy") if a > 0 else "z"))
        data = self.path("reals.csv", "a,b,c,k\n" + "".join(",".join(r) + "\n" for r in rows))
        for family in ("gmm", "made"):
            model = self.fit(family, data)
            got = table(good("score", model, data, "--per-field"))
            whole = scores(model, data)
            for f, name in enumerate(("a", "b", "c", "k")):
                if family == "made" and name != "k":
                    continue  # estimates: made has a marginal only of what comes last
                without = self.path("without.csv", "a,b,c,k\n" + "".join(
                    ",".join("" if i == f else cell for i, cell in enumerate(r)) + "\n" for r in rows))
                rest = scores(model, without)
                worst = max(abs(float(g[name]) - (w - r)) for g, w, r in zip(got, whole, rest))
                self.assertLess(worst, 1e-9 if family == "gmm" else 1e-4, (family, name))
            about = json.loads(good("score", model, data, "--per-field", "--json"))
            for name in REALS:
                mean = sum(float(g[name]) for g in got) / len(got)
                self.assertAlmostEqual(about["mean_log_prob"][name], mean, places=9)

    # ---- predict -------------------------------------------------------------------------------------
    def test_predict(self):
        for family in program.some(FAMILIES, 2):
            model = self.fit(family)
            truth = table(ORCHARD.read_text())
            rows = table(good("predict", model, ORCHARD, "species"))
            self.assertEqual(len(rows), len(truth))
            hits, log_prob = 0, []
            for row, true in zip(rows, truth):
                p = {k[2:]: float(v) for k, v in row.items() if k.startswith("p_")}
                self.assertAlmostEqual(sum(p.values()), 1, places=9)
                self.assertEqual(row["prediction"], max(p, key=p.get))
                if true["species"] in p:
                    hits += row["prediction"] == true["species"]
                    log_prob.append(float(row["log_prob"]))
                    self.assertAlmostEqual(math.exp(log_prob[-1]), p[true["species"]], places=9)
                else:
                    self.assertEqual(row["log_prob"], "")
            about = json.loads(good("predict", model, ORCHARD, "species", "--json"))
            self.assertEqual(about["rows_with_truth"], len(log_prob))
            self.assertAlmostEqual(about["accuracy"], hits / len(log_prob))
            self.assertAlmostEqual(about["mean_log_prob"], sum(log_prob) / len(log_prob), places=9)
            rows = table(good("predict", model, ORCHARD, "girth_cm", "--quantiles", "0.1,0.5,0.9"))
            for row in rows:
                self.assertLessEqual(float(row["q0.1"]), float(row["q0.5"]))
                self.assertLessEqual(float(row["q0.5"]), float(row["q0.9"]))
                self.assertTrue(math.isfinite(float(row["mean"])))
        # The field's own column says nothing: it may as well not be there.
        model = self.fit("gmm")
        lines = [line.split(",") for line in ORCHARD.read_text().splitlines()]
        at = lines[0].index("species")
        bare = self.path("bare.csv", "".join(
            ",".join(c for i, c in enumerate(line) if i != at) + "\n" for line in lines))
        keep = lambda text: [line.rsplit(",", 1)[0] for line in text.splitlines()]
        self.assertEqual(keep(good("predict", model, bare, "species")), keep(good("predict", model, ORCHARD, "species")))

    # ---- outliers ------------------------------------------------------------------------------------
    def test_conformal_ranks(self):
        """Each of n + 1 exchangeable rows against the other n: the p-values are 1/(n + 1), …, 1, each once."""
        model = self.fit("gmm", PULSES)
        lines = PULSES.read_text().splitlines(True)
        seen, rows = set(), []
        for line, score in zip(lines[1:], scores(model, PULSES)):
            if score not in seen:
                seen.add(score)
                rows.append(line)
        rows = rows[:20]
        self.assertEqual(len(rows), 20)
        found = []
        for i in range(20):
            rest = self.path("rest.csv", lines[0] + "".join(rows[:i] + rows[i + 1:]))
            one = self.path("one.csv", lines[0] + rows[i])
            got = table(good("outliers", model, one, "--calibrate", rest, "--reasons", 0))
            found.append(float(got[0]["p_value"]))
        fair = [(k + 1) / 20 for k in range(20)]
        self.assertTrue(all(abs(a - b) < 1e-12 for a, b in zip(sorted(found), fair)), found)
        planted = [p - 1 / 20 for p in sorted(found)]  # #{…}/(n + 1), without the one that is added
        self.assertFalse(all(abs(a - b) < 1e-12 for a, b in zip(planted, fair)))
        # Ties count against: a row that is among those calibrated with is no odder than itself.
        got = table(good("outliers", model, self.path("one.csv", lines[0] + rows[0]), "--calibrate",
                         self.path("same.csv", lines[0] + rows[0] * 9), "--reasons", 0))
        self.assertEqual(float(got[0]["p_value"]), 1)

    def test_false_discovery_rate(self):
        # The example of Benjamini and Hochberg (1995, section 3.2): 4 of 15 are rejected at 0.05.
        example = [0.0001, 0.0004, 0.0019, 0.0095, 0.0201, 0.0278, 0.0298, 0.0344, 0.0459, 0.3240, 0.4262,
                   0.5719, 0.6528, 0.7590, 1.0000]
        self.assertEqual(sum(q <= 0.05 for q in bh(example)), 4)
        model = self.fit("gmm", PULSES)
        head, *lines = PULSES.read_text().splitlines(True)
        odd = "".join(",".join(str(9000 + i) for _ in head.split(",")) + "\n" for i in range(5))
        data = self.path("data.csv", head + "".join(lines[:40]) + odd)
        ordinary = self.path("ordinary.csv", head + "".join(lines[40:]))
        got = table(good("outliers", model, data, "--calibrate", ordinary, "--fdr", "0.2"))
        self.assertEqual(len(got), 45)
        order = [float(r["log_prob"]) for r in got]
        self.assertEqual(order, sorted(order))
        self.assertEqual(sorted(int(r["row"]) for r in got), list(range(1, 46)))
        self.assertEqual({int(r["row"]) for r in got[:5]}, set(range(41, 46)))
        want, direct = bh([float(r["p_value"]) for r in got]), scores(model, data)
        for row, q in zip(got, want):
            self.assertAlmostEqual(float(row["q_value"]), q, places=12)
            self.assertEqual(row["outlier"], "1" if q <= 0.2 else "0")
            self.assertEqual(float(row["log_prob"]), direct[int(row["row"]) - 1])
        self.assertTrue(all(r["field"] for r in got[:10]) and not any(r["field"] for r in got[10:]))
        about = json.loads(good("outliers", model, data, "--calibrate", ordinary, "--fdr", "0.2", "--json"))
        self.assertEqual(about["outliers"], sum(q <= 0.2 for q in want))
        self.assertEqual([r["row"] for r in about["oddest"]], [int(r["row"]) for r in got])
        # A share of the data to calibrate with: the others are listed, by their place in the file.
        part = table(good("outliers", model, data, "--calibrate-fraction", "0.5", "--top", 9))
        self.assertEqual(len(part), 9)
        for row in part:
            self.assertEqual(float(row["log_prob"]), direct[int(row["row"]) - 1])

    def test_reason(self):
        """One cell is spoilt; it is the reason. (With covariances, what it speaks for is as odd.)"""
        model = self.fit("gmm", ORCHARD, "--covariance", "diagonal")
        lines = ORCHARD.read_text().splitlines()
        at = lines[0].split(",").index("girth_cm")
        cells = next(l for l in lines[1:] if all(l.split(","))).split(",")
        cells[at] = "999.5"
        odd = self.path("odd.csv", lines[0] + "\n" + ",".join(cells) + "\n")
        self.assertEqual(table(good("outliers", model, odd))[0]["field"], "girth_cm")

    # ---- encode ---------------------------------------------------------------------------------------
    def test_encode(self):
        for family, deviations in (("fa", True), ("gmm", False), ("ppca", False), ("vae", False), ("vae", True)):
            model, more = self.fit(family), ["--deviations"] if deviations else []
            good("encode", model, ORCHARD, "-o", self.path("z.csv"), "-f", *more)
            good("encode", model, ORCHARD, "-o", self.path("z.npy"), "-f", *more)
            rows = [list(map(float, r.values())) for r in table(self.path("z.csv").read_text())]
            raw = self.path("z.npy").read_bytes()
            shape = eval(raw[10:128].decode())["shape"]
            self.assertEqual(shape, (len(rows), len(rows[0])))
            flat = struct.unpack(f"<{shape[0] * shape[1]}d", raw[128:])
            self.assertEqual(list(flat), [x for row in rows for x in row])
            inferred = [list(map(float, r.values())) for r in table(good("infer", model, ORCHARD))]
            self.assertEqual(rows, [r[:len(rows[0])] for r in inferred])

    def test_reconstruct(self):
        """Closer to the rows than their mean is; and where a number is missing, what fill puts there: both are E[x | the rest]."""
        lines = ORCHARD.read_text().splitlines()
        for row in (3, 50, 120):
            cells = lines[row].split(",")
            cells[2] = ""
            lines[row] = ",".join(cells)
        data = self.path("holes.csv", "\n".join(lines) + "\n")
        model = self.path("fa.lk")
        good("fit", "fa", data, "-o", model)
        good("encode", model, data, "--reconstruct", "-o", self.path("back.csv"))
        back, whole = table(self.path("back.csv").read_text()), table(data.read_text())
        self.assertEqual(list(back[0]), ["height_m", "girth_cm", "fruits", "planted"])
        for name in ("height_m", "girth_cm", "fruits"):
            pairs = [(float(b[name]), float(w[name])) for b, w in zip(back, whole) if w[name] not in ("", "NA")]
            mean = sum(w for _, w in pairs) / len(pairs)
            self.assertLess(sum((b - w) ** 2 for b, w in pairs), sum((w - mean) ** 2 for _, w in pairs), name)
        filled = table(good("fill", model, data))
        for row in (2, 49, 119):
            self.assertEqual(whole[row]["girth_cm"], "")
            self.assertLess(abs(float(back[row]["girth_cm"]) - float(filled[row]["girth_cm"])), 0.0501)  # rounded to tenths

    # ---- what is wrong is told --------------------------------------------------------------------------
    def test_errors(self):
        model, made = self.fit("gmm", PULSES), self.fit("made", PULSES)
        out = self.path("o.csv")
        first = PULSES.read_text().split(",")[0].strip()
        for arguments, code, words in (
                (["fill", model], 2, ["MODEL DATA"]),
                (["fill", model, PULSES, "--mean", "--mode"], 2, ["--mean", "one of them"]),
                (["fill", model, PULSES, "--draws", 0], 2, ["draws", "0"]),
                (["fill", model, PULSES, "--draws", 201], 2, ["draws", "200"]),
                (["fill", model, PULSES, "--draws", 3], 2, ["path", "NAME.1.csv"]),
                (["fill", model, PULSES, "--json"], 2, ["--json", "-o"]),
                (["fill", model, PULSES, "-o", model], 2, ["gmm.lk", "exists"]),
                (["fill", model, ORCHARD, "-o", out], 3, ["orchard.csv"]),
                (["fill", model, self.path("none.csv")], 8, ["none.csv"]),
                (["fill", PULSES, PULSES], 4, ["pulses.csv"]),
                (["predict", model, PULSES], 2, ["FIELD"]),
                (["predict", model, PULSES, "colour"], 2, ["colour", "likely show"]),
                (["predict", model, PULSES, first, "--quantiles", "0.5,2"], 2, ["quantiles", "2"]),
                (["predict", model, PULSES, first, "--quantiles", ""], 2, ["quantiles"]),
                (["predict", model, PULSES, first, "--particles", 0], 2, ["particles"]),
                (["score", model, PULSES, "--per-field", "--density"], 2, ["density"]),
                (["outliers", model, PULSES, "--fdr", 0], 2, ["fdr"]),
                (["outliers", model, PULSES, "--fdr", 1], 2, ["fdr"]),
                (["outliers", model, PULSES, "--calibrate", self.path("none.csv")], 8, ["none.csv"]),
                (["outliers", model, PULSES, "--calibrate", ORCHARD], 3, ["orchard.csv"]),
                (["outliers", model, PULSES, "--calibrate", PULSES, "--calibrate-fraction", 0.5], 2, ["give one"]),
                (["outliers", model, PULSES, "--calibrate-fraction", 1], 2, ["calibrate-fraction"]),
                (["encode", model, PULSES], 2, ["-o FILE"]),
                (["encode", made, PULSES, "-o", out], 5, ["made", "no latent"]),
                (["encode", self.fit("ppca", self.path("flat.csv", "a\n" + "1\n" * 9)), self.path("flat.csv", "a\n" + "1\n" * 9), "-o", out], 5, ["0 latents"]),
                (["encode", model, PULSES, "-o", out, "--reconstruct"], 5, ["gmm", "fa and ppca"]),
                (["encode", model, PULSES, "-o", out, "--reconstruct", "--hard"], 2, ["one of them"])):
            done = run(*arguments)
            self.assertEqual(done.returncode, code, (arguments, done.stderr))
            for word in words:
                self.assertIn(word, done.stderr, arguments)
            self.assertFalse(out.exists())
            self.assertEqual(done.stdout, "", arguments)

    # ---- real tables -----------------------------------------------------------------------------------
    def test_real(self):
        if not DATA.is_dir():
            self.skipTest(f"no data ({DATA})")
        for name, field in (("penguins.csv", "species"), ("titanic.csv", "age"), ("airquality.csv", "Ozone")):
            lines = (DATA / "tables" / name).read_text().splitlines(True)[:201]
            data = self.path(name, "".join(lines))
            for family in program.some(FAMILIES, 3):
                model = self.fit(family, data)
                filled = good("fill", model, data, "--quiet", "--particles", 64)
                self.assertEqual(len(filled.splitlines()), len(lines))
                for ask in (["predict", model, data, field], ["outliers", model, data, "--calibrate-fraction", 0.5]):
                    text = good(*ask, "--quiet", "--particles", 64)
                    self.assertNotIn("nan", text.lower().replace("name", ""), (name, family, ask))
                    self.assertGreater(len(text.splitlines()), 10)


class Conditions(Case):
    """Fields that are given and not modelled."""

    def table(self):
        draw, path = random.Random(1), self.path("t.csv")
        rows = [(draw.choice("xyz"), draw.randrange(4), draw.random()) for _ in range(1500)]
        rows = [(a, b, "pqrs"[("xyz".index(a) + b) % 4 if u < 0.9 else int(u * 1e6) % 4]) for a, b, u in rows]
        path.write_text("a,b,c\n" + "".join(f"{a},{b},{c}\n" for a, b, c in rows))
        return path

    def test_the_rest_is_learned_given_them(self):
        data, model, other = self.table(), self.path("m.lk"), self.path("o.lk")
        good("fit", "made", data, "--condition", "a,b", "--steps", 600, "--hidden", "100",
             "--learning-rate", 0.004, "-o", model)
        about = json.loads(good("score", model, data, "--json"))
        self.assertEqual((about["kind"], about["dims"]), ("exact", 1))
        self.assertGreater(about["bits_per_dim"], 0.45)  # its entropy is 0.50
        self.assertLess(about["bits_per_dim"], 0.75)
        rows = table(good("sample", model, "-n", 200, "--given", "a=y", "--given", "b=2"))
        self.assertEqual({(r["a"], r["b"]) for r in rows}, {("y", "2")})
        self.assertGreater(sum(r["c"] == "s" for r in rows), 150)
        self.assertEqual(run("sample", model, "--given", "a=y").returncode, 2)
        # Where columns do not depend on each other, what is given is as if it were not there.
        good("fit", "independent", data, "--condition", "a,b", "-o", other)
        given = scores(other, data)
        good("fit", "independent", data, "--ignore", "a,b", "-o", other, "-f")
        self.assertEqual(given, scores(other, data))

    def test_what_cannot_be_given(self):
        data, model = self.table(), self.path("m.lk")
        for family in ("gmm", "mixture", "vae"):
            refused = run("fit", family, data, "--condition", "a", "-o", model)
            self.assertEqual(refused.returncode, 5)
            self.assertIn("latent", refused.stderr)
        for names, says in (("b", "move its column"), ("a,b,c", "nothing to learn"), ("d", "no field")):
            refused = run("fit", "made", data, "--condition", names, "-o", model)
            self.assertEqual(refused.returncode, 3)
            self.assertIn(says, refused.stderr)


class Stability(Case):
    def test_clusters(self):
        """Three clusters far apart come back from each half of the rows; seven of them do not."""
        rows = [(10 * (i % 3) + (i * 37 % 100) / 60, (i * 61 % 100) / 60 - 5 * (i % 3)) for i in range(300)]
        data = self.path("c.csv", "x,y\n" + "".join(f"{x:.3f},{y:.3f}\n" for x, y in rows))
        found = {}
        for k in (3, 7):
            model, out = self.path(f"{k}.lk"), self.path("c.out.csv")
            good("fit", "gmm", data, "-o", model, "--components", k, "--restarts", 5)
            told = run("encode", model, data, "--hard", "-o", out, "-f", "--stability", 5).stderr
            found[k] = float(re.search(r"adjusted Rand index (-?[0-9.]+)", told).group(1))
            jaccard = [float(line.split()[-1]) for line in told.splitlines() if re.match(r"likely: note: +\d+ +\d+ ", line)]
            self.assertEqual(len(jaccard), len(set(out.read_text().split()[1:])), told)
            self.assertTrue(all(0 <= j <= 1 for j in jaccard), told)
        self.assertEqual(found[3], 1)
        self.assertLess(found[7], 0.98)
        good("fit", "fa", data, "-o", model, "-f")
        self.assertEqual(run("encode", model, data, "-o", out, "-f", "--stability", 2).returncode, 5)


if __name__ == "__main__":
    program.main()
