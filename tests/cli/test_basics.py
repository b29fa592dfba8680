#!/usr/bin/python3
"""Each command does what its help says, and its outputs agree with each other."""
import csv
import json
import math
import re
import threading

import program
from program import Case, EXACT, FAMILIES, TEXTS, GOLDEN, good, run, scores, sha256

ORCHARD, PULSES = GOLDEN / "orchard.csv", GOLDEN / "pulses.csv"
COMMANDS = ("fit", "score", "sample", "infer", "compare", "import", "report", "show", "families", "schema",
            "compress", "decompress")
QUICK = {"gmm": ["--components", "4"], "independent": ["--components", "3"], "mixture": ["--components", "4"],
         "bayesnet": ["--parents", "2"], "copula": ["--components", "3"], "fa": ["--latents", "2"], "ppca": ["--latents", "1"],
         "made": ["--hidden", "20", "--steps", "300"],
         "vae": ["--hidden", "20", "--steps", "300"]}


def close(a, b, tolerance=1e-12):
    return abs(a - b) <= tolerance * max(1, abs(b))


def table(text):
    lines = list(csv.reader(text.splitlines()))
    return [dict(zip(lines[0], line)) for line in lines[1:]]


class Basics(Case):
    def fit(self, family, data=ORCHARD, *more):
        model = self.path(f"{family}.lk")
        good("fit", family, data, "-o", model, "-f", "--quiet", *QUICK[family], *more)
        return model

    def test_help_and_version(self):
        self.assertRegex(good("--version"), r"^likely \d+\.\d+\.\d+\n$")
        self.assertEqual(good("--version"), good("-V"))
        overview = good("--help")
        self.assertEqual(overview, good("help"))
        for command in COMMANDS:
            self.assertRegex(overview, rf"(?m)^  {command} ")
            text = good(command, "--help")
            self.assertTrue(text.startswith(f"likely {command}"), text)
            self.assertIn(f"example: likely {command}", text)
            self.assertEqual(text, good("help", command))
        for option in ("--covariance", "--tolerance", "--steps", "--seed"):
            self.assertIn(option, good("fit", "gmm", "--help"))

    def test_families_and_show(self):
        families = json.loads(good("families", "--json"))
        self.assertEqual([f["name"] for f in families], sorted(FAMILIES + TEXTS))
        for family in families:
            if family["name"] in TEXTS:
                continue
            model = self.fit(family["name"])
            about = json.loads(good("show", model))
            self.assertEqual((about["family"], about["summary"]), (family["name"], family["summary"]))
            known = {o["name"]: o["default"] for o in family["options"] + family["learning_options"]}
            self.assertEqual(set(about["options"]), set(known))
            given = {name[2:] for name in QUICK[family["name"]][::2]}
            for name, value in about["options"].items():
                if name not in given and re.fullmatch(r"[a-z]+", known[name]):
                    self.assertEqual(value, known[name])
            for option in known:
                self.assertIn(f"--{option}", good("fit", family["name"], "--help"))
            self.assertEqual(json.loads(good("score", model, ORCHARD, "--json"))["kind"], family["log_prob"])
            stored, tensors = program.read_model(model)
            self.assertEqual(stored["schema"], about["schema"])
            self.assertEqual({t["name"]: t["shape"] for t in about["tensors"]},
                             {name: shape for name, (shape, _) in tensors.items()})
            self.assertEqual(about["parameters"], sum(len(values) for _, values in tensors.values()))
            self.assertEqual(about["data_rows"], 240)

    def test_profile(self):
        model = self.path("p.lk")
        done = run("fit", "made", ORCHARD, "-o", model, "--profile", *QUICK["made"])
        self.assertEqual(done.returncode, 0, done.stderr)
        shares = [float(x) for x in re.findall(r"(?m)^.* (\d+\.\d)%$", done.stderr)]
        self.assertIn("dense, backward", done.stderr)
        self.assertRegex(done.stderr, r"matrix products.* \d+% of the peak of \d+")
        self.assertEqual(shares, sorted(shares, reverse=True))
        self.assertTrue(5 < sum(shares) <= 100.5, shares)
        plain = self.fit("made")
        self.assertEqual(sha256(plain), sha256(model))

    def test_scores(self):
        for family in FAMILIES:
            model = self.fit(family)
            for more in ([], ["--density"]):
                lines = scores(model, ORCHARD, *more)
                summary = json.loads(good("score", model, ORCHARD, "--json", *more))
                self.assertEqual((len(lines), summary["rows"], summary["dims"]), (240, 240, 6))
                self.assertTrue(close(math.fsum(lines) / 240, summary["mean_log_prob"]), family)
                self.assertFalse(close(math.fsum(lines[1:]) / 240, summary["mean_log_prob"]), "planted")
                self.assertTrue(close(-summary["mean_log_prob"] / 6 / math.log(2), summary["bits_per_dim"]))
                self.assertEqual(summary["standard_error"] > 0, summary["kind"] != "exact")
                self.assertTrue(summary["mean_log_prob"] < summary["mean_log_prob_missing"] < 0)
            # A row's score is of that row alone.
            lines = ORCHARD.read_text().splitlines(keepends=True)
            if family != "vae":
                part = self.path("part.csv", lines[0] + "".join(lines[101:111]))
                self.assertEqual(scores(model, part), scores(model, ORCHARD)[100:110])

    def test_samples(self):
        for family in FAMILIES:
            model = self.fit(family)
            for n in (0, 1, 70, 300):
                self.assertEqual(program.faults(model, good("sample", model, "-n", n, text=False), n), [])
            first = good("sample", model, "-n", 50)
            self.assertEqual(first, good("sample", model, "-n", 50, "--seed", 1))
            self.assertNotEqual(first, good("sample", model, "-n", 50, "--seed", 2))
            self.assertEqual(first, "".join(good("sample", model, "-n", 90).splitlines(True)[:51]))
            out = self.path("sampled.csv")
            good("sample", model, "-n", 50, "-o", out)
            self.assertEqual(out.read_text(), first)
            out.unlink()

    def test_the_checker_of_samples(self):
        """Planted: a row too many, another name, a level never seen, a decimal too many, nan, far away."""
        model = self.fit("gmm")
        text = "species,height_m,girth_cm,fruits,grafted,planted\napple,2.84,79.0,60,yes,2002-09-15\n"
        self.assertEqual(program.faults(model, text.encode(), 1), [])
        for before, after in (("apple", "apple,2.84,79.0,60,yes,2002-09-15\napple"), ("girth_cm", "girth"), ("apple", "plum"),
                              ("79.0", "79.00"), ("79.0", "nan"), ("60", "-inf"), ("2.84", "99999.84"),
                              ("79.0", ""), ("09-15", "9-15"), ("09-15", "09-31")):
            self.assertNotEqual(program.faults(model, text.replace(before, after).encode(), 1), [], after)

    def test_sample_formats(self):
        import numpy
        numbers, pictures = self.fit("gmm", PULSES), self.path("pictures.lk")
        out = self.path("sampled.npy")
        good("sample", numbers, "-n", 30, "-o", out)
        rows = [list(map(float, row.values())) for row in table(good("sample", numbers, "-n", 30))]
        self.assertTrue(numpy.allclose(numpy.load(out), rows, rtol=1e-6))
        self.assertEqual(run("sample", numbers, "-o", out).returncode, 2)
        good("sample", numbers, "-n", 3, "-o", self.path("sampled.tsv"))
        self.assertIn("\t", self.path("sampled.tsv").read_text())
        draw = __import__("random").Random(5)
        numpy.save(self.path("images.npy"), numpy.array(
            [[[draw.randrange(90 * (i > 2), 256) for _ in range(5)] for i in range(4)] for _ in range(80)], "u1"))
        good("fit", "gmm", self.path("images.npy"), "-o", pictures, "--components", 2)
        good("sample", pictures, "-n", 6, "-o", self.path("grid.png"))
        raw = self.path("grid.png").read_bytes()
        self.assertEqual(raw[:8] + raw[12:16], b"\x89PNG\r\n\x1a\nIHDR")
        done = run("sample", numbers, "-n", 3, "-o", self.path("rows.png"))
        self.assertNotEqual(done.returncode, 0)
        self.assertFalse(self.path("rows.png").exists())

    def test_given(self):
        for family in FAMILIES:
            model = self.fit(family)
            for field, value in (("species", "pear"), ("fruits", "60"), ("girth_cm", "70.5"), ("grafted", "no")):
                done = run("sample", model, "-n", 40, "--given", f"{field}={value}", "--particles", "32")
                self.assertEqual(done.returncode, 0, done.stderr)
                self.assertEqual({row[field] for row in table(done.stdout)}, {value}, family)
                # some condition exactly; made where its first cell is given: there is nothing to weigh
                exact = family in EXACT or family == "made" and field == "species"
                self.assertEqual("estimate" in done.stderr, not exact, (family, field, done.stderr))
            rows = table(good("sample", model, "-n", 20, "--given", "species=pear", "--given", "fruits=60"))
            self.assertEqual({(row["species"], row["fruits"]) for row in rows}, {("pear", "60")})
        # What is given has a say in the rest: trunks are as thick as that species has them.
        model = self.fit("gmm")
        seen = {kind: [float(r["girth_cm"]) for r in table(ORCHARD.read_text()) if r["species"] == kind]
                for kind in ("apple", "quince")}
        drawn = {kind: [float(r["girth_cm"]) for r in table(good("sample", model, "-n", 200, "--given",
                                                                f"species={kind}"))] for kind in seen}
        spread = max(max(v) for v in seen.values()) - min(min(v) for v in seen.values())
        for kind in seen:
            difference = sum(drawn[kind]) / 200 - sum(seen[kind]) / len(seen[kind])
            self.assertTrue(abs(difference) < 0.15 * spread, (kind, difference, spread))

    def test_infer(self):
        posterior = table(good("infer", self.fit("gmm"), ORCHARD))
        self.assertEqual(len(posterior), 240)
        for row in posterior:
            self.assertTrue(abs(math.fsum(map(float, row.values())) - 1) <= 1e-12, row)
            self.assertTrue(all(0 <= float(p) <= 1 for p in row.values()))
        result = json.loads(good("infer", self.fit("gmm"), ORCHARD, "--json"))
        self.assertEqual((result["rows"], result["kind"]), (240, "exact"))
        self.assertEqual(result["posterior"], [list(map(float, row.values())) for row in posterior])
        result = json.loads(good("infer", self.fit("vae"), ORCHARD, "--json", "--particles", 8))
        self.assertEqual(result["rows"], 240)
        for row in result["posterior"]:
            self.assertTrue(all(math.isfinite(x) for x in row) and all(x > 0 for x in row[len(row) // 2:]))

    def test_compare(self):
        done = run("compare", ORCHARD, "--steps", 20, "--set", "made.hidden=10", "--set", "vae.hidden=10")
        self.assertEqual(done.returncode, 0, done.stderr)
        lines = done.stdout.splitlines()
        self.assertEqual([line.split()[0] for line in lines], ["family", *FAMILIES])
        results = json.loads(good("compare", ORCHARD, "--steps", 20, "--json", "--set", "made.hidden=10",
                                  "--set", "vae.hidden=10"))
        for line, result in zip(lines[1:], results):
            self.assertEqual(line.split()[0], result["family"])
            self.assertTrue(abs(float(line.split()[1]) - result["bits_per_dim"]) < 1e-4)
            self.assertTrue(0 < result["rows"] < 240)
        self.assertEqual(len({result["rows"] for result in results}), 1)
        good("compare", ORCHARD, "--steps", 5, "--families", "gmm", "--save", self.path("kept"))
        self.assertEqual(len(scores(self.path("kept-gmm.lk"), ORCHARD)), 240)
        self.assertEqual(run("compare", ORCHARD, "--steps", 5, "--families", "gmm", "--save",
                             self.path("kept")).returncode, 2)

    def test_auto(self):
        """Every family's figure is shown, the best is kept, and it is the one that `fit` makes by its name."""
        model, same = self.path("auto.lk"), self.path("same.lk")
        done = run("fit", "auto", PULSES, "-o", model, "--steps", 20)
        self.assertRegex(done.stderr, "note: [a-z]+ needs the fewest bits")
        self.assertEqual(done.returncode, 0, done.stderr)
        lines = {line.split()[0]: line.split() for line in done.stderr.splitlines()}
        self.assertTrue(set(FAMILIES) <= set(lines), done.stderr)
        best = min(FAMILIES, key=lambda family: float(lines[family][1]))
        self.assertEqual(json.loads(good("show", model))["family"], best)
        good("fit", best, PULSES, "-o", same, "--steps", 20)
        self.assertEqual(sha256(model), sha256(same))
        done = run("fit", "auto", PULSES, "-o", self.path("no.lk"), "--components", 3)
        self.assertEqual(done.returncode, 2, done.stderr)

    def test_seed_and_threads(self):
        for family in FAMILIES:
            hashes, outputs = set(), set()
            for threads in (1, 2, 7):
                model = self.fit(family, ORCHARD, "--threads", threads)
                hashes.add(sha256(model))
                outputs.add((good("score", model, ORCHARD, "--threads", threads, "--particles", 8),
                             good("sample", model, "-n", 100, "--threads", threads, "--given", "species=apple",
                                  "--particles", 8),
                             run("infer", model, ORCHARD, "--threads", threads).stdout))
            self.assertEqual((len(hashes), len(outputs)), (1, 1), family)
            self.assertNotIn(sha256(self.fit(family, ORCHARD, "--seed", 2)), hashes)
        model = self.fit("vae")
        self.assertNotEqual(scores(model, ORCHARD, "--seed", 1), scores(model, ORCHARD, "--seed", 2))

    def test_standard_input(self):
        model, other = self.fit("gmm"), self.path("piped.lk")
        content = ORCHARD.read_bytes()
        good("fit", "gmm", "-", "-o", other, *QUICK["gmm"], input=content)
        self.assertEqual(sha256(model), sha256(other))
        self.assertEqual(good("score", model, "-", input=content), good("score", model, ORCHARD))
        self.assertEqual(good("schema", "-", input=content), good("schema", ORCHARD))

    def test_schema_is_read_back(self):
        schema, model = self.path("orchard.json", good("schema", ORCHARD)), self.path("by_schema.lk")
        good("fit", "gmm", ORCHARD, "--schema", schema, "-o", model, *QUICK["gmm"])
        self.assertEqual(sha256(model), sha256(self.fit("gmm")))
        edited = json.loads(schema.read_text())
        edited["fields"][3]["ignored"] = True
        self.path("edited.json", json.dumps(edited))
        good("fit", "gmm", ORCHARD, "--schema", self.path("edited.json"), "-o", model, "-f", *QUICK["gmm"])
        self.assertEqual(json.loads(good("show", model))["dims"], 5)

    def test_outputs_are_not_overwritten(self):
        kept = self.path("kept.lk", "mine")
        for arguments in (["fit", "gmm", PULSES, "-o", kept], ["sample", self.fit("gmm"), "-o", kept]):
            done = run(*arguments)
            self.assertEqual(done.returncode, 2, done.stderr)
            self.assertIn("kept.lk", done.stderr)
            self.assertEqual(kept.read_text(), "mine")
        good("fit", "gmm", PULSES, "-o", kept, "-f")
        self.assertEqual(len(scores(kept, PULSES)), 200)

    def test_writes_are_whole(self):
        """Whoever reads the path while it is replaced again and again reads one model or the other."""
        model = self.fit("gmm")
        models = {model.read_bytes()}
        target = self.path("target.lk", model.read_bytes())
        seen, done = set(), threading.Event()

        def watch():
            while not done.is_set():
                seen.add(target.read_bytes())

        watcher = threading.Thread(target=watch)
        watcher.start()
        try:
            for seed in range(8):
                good("fit", "gmm", ORCHARD, "-o", target, "-f", "--seed", seed, "--quiet", "--components", 20)
                models.add(target.read_bytes())
        finally:
            done.set()
            watcher.join()
        self.assertTrue(seen <= models)
        self.assertGreater(len(seen), 1)
        self.assertEqual({path.name for path in self.folder.iterdir()}, {"gmm.lk", "target.lk"})


if __name__ == "__main__":
    program.main()
