#!/usr/bin/python3
"""Texts, as a user learns, scores and writes them."""
import csv
import io
import json
import math

import program
from program import Case, GOLDEN, good, run, scores

DIALOGUE = GOLDEN / "dialogue.txt"


class Texts(Case):
    def fit(self, *more, data=DIALOGUE):
        path = self.path("text.lk")
        good("fit", "ngram", data, "-o", path, "-f", *more)
        return path

    def score(self, model, data=DIALOGUE):
        return json.loads(good("score", model, data, "--json"))

    def test_any_file_is_a_text(self):
        csv_text = self.fit(data=GOLDEN / "orchard.csv")  # a family that learns texts need not be told
        about = self.score(csv_text, GOLDEN / "orchard.csv")
        self.assertEqual(about["symbols"], (GOLDEN / "orchard.csv").stat().st_size)
        self.assertEqual((about["symbol"], about["context"], about["overlap"]), ("byte", 256, 128))
        self.assertAlmostEqual(about["bits_per_byte"], about["bits_per_symbol"])
        odd = self.path("odd")
        odd.write_bytes(bytes(range(256)) * 3)
        self.assertEqual(self.score(self.fit(data=odd), odd)["symbols"], 768)
        self.assertEqual(run("fit", "ngram", odd, "--text", "chars", "-o", self.path("x")).returncode, 3)
        table = run("fit", "gmm", DIALOGUE, "--text", "bytes", "-o", self.path("y"))
        self.assertEqual(table.returncode, 5)
        self.assertIn("ngram", table.stderr)

    def test_labels(self):
        lines = self.path("two.jsonl")
        texts = [("loud", 'A"B' * 20, True), ("soft", "xyz" * 20, False)] * 8
        lines.write_text("".join(json.dumps({"who": who, "text": text, "up": up, "n": i % 2}) + "\n"
                                 for i, (who, text, up) in enumerate(texts)))
        folder = self.path("folder")
        for i, (who, text, _) in enumerate(texts):
            (folder / who).mkdir(parents=True, exist_ok=True)
            (folder / who / f"{i}.txt").write_text(text)
        options = {"rnn": ("--width", 48), "transformer": ("--width", 16, "--layers", 1, "--heads", 2),
                   "wavenet": ("--layers", 3, "--residual", 12, "--skip", 12)}
        for (family, small), data, field in zip(options.items(), (lines, folder, lines), ("who", "label", "up")):
            model = self.path(f"{family}.lk")
            good("fit", family, data, "--condition", field, "--context", 24, *small, "--steps", 150, "--learning-rate", 0.02,
                 "-o", model, "-q")
            levels = ("true", "false") if field == "up" else ("loud", "soft")
            for level, known in zip(levels, ('AB"', "xyz")):
                drawn = good("sample", model, "--given", f"{field}={level}", "--length", 60)
                self.assertGreater(sum(c in known for c in drawn), 50, (family, drawn))
            # The label is no symbol: each of the text's is scored once.
            right = self.score(model, data)
            self.assertEqual(right["symbols"], 16 * 60)
            swapped = self.path("swapped.jsonl", "".join(json.dumps({field: {"loud": "soft", "soft": "loud", True: False, False: True}[a],
                                                                     "text": text}) + "\n"
                                                         for who, text, up in texts for a in [up if field == "up" else who]))
            self.assertGreater(self.score(model, swapped)["bits_per_symbol"], right["bits_per_symbol"] + 1)
        self.assertEqual(json.loads(good("schema", lines, "--text", "bytes", "--condition", "n"))["fields"][0]["levels"], ["0", "1"])
        for arguments, code, says in (
                (("fit", "ngram", lines, "--condition", "who"), 5, "p(text | who)"),
                (("fit", "rnn", lines, "--condition", "nobody"), 3, "line 1: expected \"nobody\""),
                (("fit", "rnn", folder, "--condition", "who"), 3, "label"),
                (("fit", "rnn", folder / "loud", "--condition", "label"), 3, "no field to be a condition"),
                (("fit", "rnn", folder / "loud/0.txt", "--condition", "label"), 3, "no field to be a condition"),
                (("fit", "rnn", lines, "--condition", "who,up"), 3, "who,up")):
            done = run(*arguments, "-o", self.path("none"), "--steps", 1)
            self.assertEqual(done.returncode, code, done.stderr)
            self.assertIn(says, done.stderr)

    def test_scores_add_up(self):
        model = self.fit("--text", "chars", "--context", 40, "--overlap", 10, "--order", 4)
        about, rows = self.score(model), scores(model, DIALOGUE)
        text = DIALOGUE.read_text()
        self.assertEqual((about["symbols"], len(rows)), (len(text), -(-len(text) // 30)))
        self.assertAlmostEqual(about["bits_per_symbol"], -sum(rows) / math.log(2) / len(text), places=9)
        each = list(csv.DictReader(io.StringIO(good("score", model, DIALOGUE, "--per-field"), newline="")))
        self.assertEqual("".join(e["symbol"] for e in each), text)
        self.assertEqual([int(e["place"]) for e in each], list(range(len(text))))
        for row, value in enumerate(rows):
            part = math.fsum(float(e["log_prob"]) for e in each[30 * row:30 * row + 30])
            self.assertAlmostEqual(part, value, delta=1e-9 * abs(value))
        total = json.loads(good("score", model, DIALOGUE, "--per-field", "--json"))
        self.assertAlmostEqual(total["log_prob"], sum(rows), delta=1e-6)
        # An order of 4 sees 3 symbols, so a longer window changes nothing.
        longer = self.fit("--text", "chars", "--context", 200, "--order", 4)
        self.assertAlmostEqual(self.score(longer)["bits_per_symbol"], about["bits_per_symbol"], places=12)
        shorter = self.fit("--text", "chars", "--context", 40, "--overlap", 1, "--order", 4)
        self.assertGreater(self.score(shorter)["bits_per_symbol"], about["bits_per_symbol"] + 1e-3)

    def test_the_end_is_held_out(self):
        model = self.fit("--valid", 0.3, "--text", "chars", "--order", 3)
        self.assertLess(json.loads(good("show", model))["data_rows"], 7)  # windows of seven tenths

    def test_samples(self):
        model = self.fit("--text", "chars", "--context", 16, "--order", 5)
        text = good("sample", model, "--prompt", "WIFE: ", "--length", 100)
        self.assertTrue(text.startswith("WIFE: "))
        self.assertEqual(len(text), 106)
        many = good("sample", model, "-n", 40, "--length", 50, "--threads", 2)
        self.assertEqual(many.split("\n---\n")[:2], good("sample", model, "-n", 2, "--length", 50).split("\n---\n"))
        self.assertEqual(len(many.split("\n---\n")), 40)
        self.assertNotEqual(many, good("sample", model, "-n", 40, "--length", 50, "--seed", 2))
        likely = good("sample", model, "--temperature", 0, "--length", 80, "--prompt", "M")
        self.assertEqual(likely, good("sample", model, "--top-k", 1, "--length", 80, "--prompt", "M", "--seed", 9))
        self.assertEqual(good("sample", model, "--length", 0, "--prompt", "M"), "M")
        stopped = good("sample", model, "--stop", "he", "--length", 5000)
        whole = good("sample", model, "--length", 5000)
        self.assertEqual(stopped, whole[:whole.index("he")])
        self.assertEqual(run("sample", model, "--given", "text=a").returncode, 5)
        self.assertEqual(run("fill", model, DIALOGUE).returncode, 5)
        self.assertEqual(run("sample", model, "--top-p", "0").returncode, 2)
        self.assertEqual(run("sample", model, "--prompt", "\udcff").returncode, 3)
        table = self.path("table.lk")
        good("fit", "gmm", GOLDEN / "orchard.csv", "-o", table)
        self.assertEqual(run("sample", table, "--prompt", "a").returncode, 5)

    def test_learning_while_scoring(self):
        same, model = self.path("same.txt"), self.path("net.lk")
        same.write_text("The wheel turns, the wheel turns, the wheel turns. " * 20)
        good("fit", "rnn", DIALOGUE, "--text", "chars", "--context", 16, "--width", 12, "--layers", 1, "--steps", 30,
             "--learning-rate", 0.004, "-o", model)
        before = model.read_bytes()
        plain, gone_on = self.score(model, same), json.loads(good("score", model, same, "--adapt", 0.01, "--json"))
        self.assertEqual(gone_on["kind"], "exact")
        self.assertEqual(gone_on["symbols"], plain["symbols"])
        self.assertLess(gone_on["bits_per_symbol"], 0.7 * plain["bits_per_symbol"])
        self.assertEqual(json.loads(good("score", model, same, "--adapt", 0, "--json"))["bits_per_symbol"],
                         plain["bits_per_symbol"])
        rows = scores(model, same, "--adapt", 0.01)
        self.assertEqual(rows[0], scores(model, same)[0])  # of which nothing has been learned yet
        self.assertEqual(rows, scores(model, same, "--adapt", 0.01, "--threads", 1))
        self.assertEqual(model.read_bytes(), before)
        self.assertEqual(run("score", self.fit("--text", "chars"), same, "--adapt", 0.01).returncode, 5)

    def test_two_together(self):
        low, high = self.path("low.lk"), self.path("high.lk")
        for path, order in ((low, 2), (high, 6)):
            good("fit", "ngram", DIALOGUE, "--text", "chars", "--context", 32, "--order", order, "-o", path)
        other = self.path("other.txt")
        other.write_text("MILLER: The wheel leaks on the ducks, and the geese count the bread.\n" * 3)
        alone = [self.score(m, other)["bits_per_symbol"] for m in (low, high)]
        both = json.loads(good("score", high, other, "--mix", low, "--json"))
        self.assertLess(both["bits_per_symbol"], max(alone))
        self.assertEqual((both["kind"], both["symbols"]), ("exact", len(other.read_text())))
        # A density: over all symbols that may come first (and one for all others) it sums to one.
        total, one = 0.0, self.path("one.txt")
        for symbol in sorted(set(DIALOGUE.read_text())) + ["\u20ac"]:
            one.write_text(symbol)
            total += math.exp(scores(high, one, "--mix", low)[0])
        self.assertAlmostEqual(total, 1, places=12)
        good("fit", "ngram", DIALOGUE, "--text", "chars", "--context", 64, "-o", low, "-f")
        self.assertEqual(run("score", high, other, "--mix", low).returncode, 4)
        self.assertEqual(run("score", high, other, "--mix", low, "--per-field").returncode, 2)

    def test_samples_follow_the_model(self):
        model, one = self.fit("--text", "chars", "--order", 2), self.path("one.txt")
        n = 4000
        got = good("sample", model, "-n", n, "--length", 1, "--prompt", "th").split("\n---\n")
        for symbol in "e .":
            one.write_text("th" + symbol)
            each = list(csv.DictReader(io.StringIO(good("score", model, one, "--per-field"))))
            p = math.exp(float(each[2]["log_prob"]))
            share = got.count("th" + symbol) / n
            self.assertLess(abs(share - p), 4.5 * math.sqrt(p * (1 - p) / n) + 1e-4)
            self.assertFalse(abs(share - p - 0.1) < 4.5 * math.sqrt(p * (1 - p) / n))


if __name__ == "__main__":
    program.main()
