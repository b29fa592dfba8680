"""Bayesian networks in BIF: known networks with their published answers, all answers against enumeration, interventions,
what is written and read again, and refusals."""
import csv
import io
import itertools
import json
import pathlib
import unittest

from program import Case, GOLDEN, good, run

NETWORKS = pathlib.Path(GOLDEN).parent / "networks"
YES = ("yes", "no")
PARENTS = {"asia": (), "tub": ("asia",), "smoke": (), "lung": ("smoke",), "bronc": ("smoke",), "either": ("lung", "tub"),
           "xray": ("either",), "dysp": ("bronc", "either")}
# P(yes | parents), Lauritzen and Spiegelhalter 1988, table 1
TABLE = {"asia": {(): .01}, "tub": {("yes",): .05, ("no",): .01}, "smoke": {(): .5}, "lung": {("yes",): .1, ("no",): .01},
         "bronc": {("yes",): .6, ("no",): .3}, "xray": {("yes",): .98, ("no",): .05},
         "either": {("yes", "yes"): 1, ("no", "yes"): 1, ("yes", "no"): 1, ("no", "no"): 0},
         "dysp": {("yes", "yes"): .9, ("no", "yes"): .7, ("yes", "no"): .8, ("no", "no"): .1}}


def probability(known, changed=()):
    """P(known) by enumeration; tables of `changed` are out of force."""
    total = 0
    for values in itertools.product(YES, repeat=len(PARENTS)):
        x, p = dict(zip(PARENTS, values)), 1
        if any(x[name] != value for name, value in known.items()):
            continue
        for name, parents in PARENTS.items():
            if name not in changed:
                yes = TABLE[name][tuple(x[q] for q in parents)]
                p *= yes if x[name] == "yes" else 1 - yes
        total += p
    return total


class Networks(Case):
    def imported(self, name):
        model = self.path(name + ".lk")
        good("import", NETWORKS / (name + ".bif"), "-o", model)
        return model

    def rows(self, name, fields, rows):
        with open(self.path(name), "w") as file:
            file.write(",".join(fields) + "\n")
            for row in rows:
                file.write(",".join(row.get(f, "?") for f in fields) + "\n")
        return self.path(name)

    def yes(self, model, data, field, *more):
        return [float(r["p_yes"]) for r in csv.DictReader(io.StringIO(good("predict", model, data, field, *more)))]

    def test_asia(self):
        model = self.imported("asia")
        evidence = [{}, {"asia": "yes", "dysp": "yes"}, {"dysp": "yes", "xray": "no"}, {"smoke": "yes", "either": "yes"},
                    {"xray": "yes", "bronc": "no", "asia": "yes"}]
        data = self.rows("asia.csv", list(PARENTS), evidence)
        for field in PARENTS:
            for known, got in zip(evidence, self.yes(model, data, field)):
                rest = {k: v for k, v in known.items() if k != field}
                expected = probability({**rest, field: "yes"}) / probability(rest)
                self.assertAlmostEqual(got, expected, delta=1e-9)
        # the paper's own: 0.064828 of "either", and tuberculosis after a visit to Asia with dyspnoea
        self.assertAlmostEqual(self.yes(model, data, "either")[0], 0.064828, delta=5e-7)
        self.assertAlmostEqual(self.yes(model, data, "tub")[1], 0.0878, delta=5e-5)
        self.assertGreater(abs(self.yes(model, data, "tub")[1] - 0.0104), 0.05)

    def test_scores_sum_up(self):
        model = self.imported("asia")
        data = self.rows("one.csv", list(PARENTS), [{"smoke": "yes", "dysp": "no", "tub": "no"}])
        score = json.loads(good("score", model, data, "--json"))
        self.assertEqual(score["kind"], "exact")
        import math
        self.assertAlmostEqual(math.exp(score["mean_log_prob"]), probability({"smoke": "yes", "dysp": "no", "tub": "no"}),
                               delta=1e-9)

    def test_interventions(self):
        model = self.imported("asia")
        data = self.rows("asia.csv", list(PARENTS), [{}, {"dysp": "yes"}])
        for field, known in (("smoke", {}), ("lung", {}), ("either", {}), ("tub", {})):
            for row, rest in enumerate(({}, {"dysp": "yes"})):
                rest = {**rest, "bronc": "yes"}
                expected = probability({**rest, field: "yes"}, ["bronc"]) / probability(rest, ["bronc"])
                self.assertAlmostEqual(self.yes(model, data, field, "--do", "bronc=yes")[row], expected, delta=1e-9)
        # seeing is not doing: bronchitis tells of smoking, causing it does not
        self.assertAlmostEqual(self.yes(model, data, "smoke", "--do", "bronc=yes")[0], 0.5, delta=1e-9)
        known = self.rows("known.csv", list(PARENTS), [{"bronc": "yes"}])
        self.assertAlmostEqual(self.yes(model, known, "smoke")[0], 2 / 3, delta=1e-9)
        drawn = list(csv.DictReader(io.StringIO(good("sample", model, "-n", 2000, "--do", "bronc=yes"))))
        self.assertTrue(all(r["bronc"] == "yes" for r in drawn))
        self.assertAlmostEqual(sum(r["smoke"] == "yes" for r in drawn) / 2000, 0.5, delta=0.05)
        lawn = self.imported("sprinkler")
        lawn_data = self.rows("lawn.csv", ["Cloudy", "Sprinkler", "Rain", "Wet grass"], [{}])
        self.assertAlmostEqual(self.yes(lawn, lawn_data, "Rain", "--do", "Sprinkler=on")[0], 0.5, delta=1e-9)
        wet = self.rows("wet.csv", ["Cloudy", "Sprinkler", "Rain", "Wet grass"], [{"Wet grass": "yes"}])
        self.assertAlmostEqual(self.yes(lawn, wet, "Rain")[0], 0.4581 / 0.6471, delta=1e-9)  # Russell and Norvig

    def test_round_trip(self):
        for name in ("asia", "sprinkler"):
            model, again = self.imported(name), self.path("again.lk")
            text = good("show", model, "--bif")
            with open(self.path("again.bif"), "w") as file:
                file.write(text)
            good("import", self.path("again.bif"), "-o", again, "-f")
            self.assertEqual(good("show", again, "--bif"), text)
            about = json.loads(good("show", model))
            self.assertIn(["smoke", "lung"] if name == "asia" else ["Cloudy", "Rain"], about["edges"])

    def test_learned_networks_are_told(self):
        model = self.path("orchard.lk")
        good("fit", "bayesnet", GOLDEN / "orchard.csv", "-o", model, "--forbid", "species>fruits", "--require",
             "girth_cm>height_m", "--order", "girth_cm,fruits")
        edges = json.loads(good("show", model))["edges"]
        self.assertIn(["girth_cm", "height_m"], edges)
        self.assertNotIn(["species", "fruits"], edges)
        self.assertNotIn(["fruits", "girth_cm"], edges)
        with open(self.path("orchard.bif"), "w") as file:
            file.write(good("show", model, "--bif"))
        good("import", self.path("orchard.bif"), "-o", self.path("states.lk"))
        taken = self.path("taken.lk")
        good("fit", "bayesnet", GOLDEN / "orchard.csv", "-o", taken, "--structure", self.path("orchard.bif"))
        self.assertEqual(sorted(json.loads(good("show", taken))["edges"]), sorted(edges))

    def test_refusals(self):
        model = self.imported("asia")
        with open(self.path("bad.bif"), "w") as file:
            file.write("network x { }\nvariable a { type discrete [ 2 ] { u, v }; }\nprobability ( a ) { table 0.5, 0.9; }\n")
        for arguments, code, words in (
                (("import", self.path("bad.bif"), "-o", self.path("x.lk")), 3, ("line 3", "1.4")),
                (("sample", model, "--do", "asia"), 2, ("field=value",)),
                (("sample", model, "--do", "asia=yes", "--given", "asia=no"), 2, ("both",)),
                (("predict", model, self.rows("r.csv", list(PARENTS), [{}]), "tub", "--do", "tub=yes"), 2, ("tub",)),
                (("fit", "bayesnet", GOLDEN / "orchard.csv", "-o", self.path("x.lk"), "--require",
                  "species>fruits,fruits>species"), 2, ("cycle",)),
                (("fit", "bayesnet", GOLDEN / "orchard.csv", "-o", self.path("x.lk"), "--order", "colour"), 2, ("colour",))):
            done = run(*arguments)
            self.assertEqual(done.returncode, code, done.stderr)
            for word in words:
                self.assertIn(word, done.stderr)
        other = self.fit("gmm") if hasattr(self, "fit") else self.path("g.lk")
        if not hasattr(self, "fit"):
            good("fit", "gmm", GOLDEN / "orchard.csv", "-o", other)
        done = run("sample", other, "--do", "species=pear")
        self.assertEqual(done.returncode, 5, done.stderr)
        self.assertIn("directed edges", done.stderr)
        self.assertEqual(run("show", other, "--bif").returncode, 5)

    def test_beyond_the_tree(self):
        """What is too large for the tree is estimated, and says so."""
        model = self.path("small.lk")
        data = GOLDEN / "orchard.csv"
        fit = ("fit", "bayesnet", data, "-o", model, "--tree")
        done = run(*fit, 20, "--require", "girth_cm>height_m,species>height_m", "--bins", 8)
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertIn("estimates", done.stderr)
        self.assertEqual(json.loads(good("score", model, data, "--json"))["kind"], "exact")
        self.assertEqual(json.loads(good("predict", model, data, "girth_cm", "--json"))["kind"], "estimate")


if __name__ == "__main__":
    unittest.main()
