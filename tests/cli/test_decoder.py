#!/usr/bin/python3
"""Archives of tables with a model of the family made, decoded by tools/decode_archive.py, which shares nothing with the
program: the same bytes. What is damaged it refuses, and what it does not know it names."""
import random
import subprocess
import sys
import unittest

import program
from program import Case, GOLDEN, ROOT, good

DECODER = ROOT / "tools/decode_archive.py"


def table(rows):
    draw = random.Random(1)
    lines = ['kind,x,y,f,n,"no,te"']
    for i in range(rows):
        kind, x = draw.choice(("a", "a", "b", '"c,c"')), draw.gauss(0, 1)
        y = "" if draw.random() < 0.2 else f"{1234.5 + 1000 * x:.2f}"
        f = f"{draw.gauss(0, 1) * 10.0 ** draw.randrange(-7, 20, 3):.5g}"
        lines.append(f"{kind},{x:.1f},{y},{f},{100 + i},id{draw.randrange(100)}")
    return "\n".join(lines) + "\n"


def decoded(archive, *options):
    return subprocess.run([sys.executable, DECODER, *options, archive], capture_output=True, timeout=600)


@unittest.skipIf(program.SANITIZED, "no sanitizer sees the plain decoder, and the archives are those of test_rows.py")
class Decoder(Case):
    def archive(self, text, fit, *compress, learn=None):
        data, model = self.path("d.csv", text), self.folder / "d.model"
        good("fit", *fit, self.path("learn.csv", learn or text), "-o", model, "-qf")
        good("compress", "-qf", "--model", model, *compress, data)
        return self.folder / "d.csv.lk", model

    def test_embedded(self):
        text = "\n".join((GOLDEN / "switches.csv").read_text().splitlines()[:30]) + "\n"
        archive, _ = self.archive(text, ["made", "--steps", 20, "--hidden", 8], "--embed")
        done = decoded(archive)
        self.assertEqual((done.returncode, done.stdout.decode()), (0, text), done.stderr)

    def test_tables(self):
        odd = table(12).replace("\n", "\n\nno row\n", 3) + '"a" , +1.50,,0x5,7,"q"\n' + table(4).split("\n", 1)[1][:-1]
        for text, level, more in ((table(30), "-6", []), (odd, "-6", ["--activation", "tanh"]), (odd, "-1", []),
                                  (table(20), "-6", ["--activation", "softplus", "--hidden", "5,300"]),
                                  (table(30), "-1", [])):
            archive, model = self.archive(text, ["made", "--steps", 20, "--hidden", 8, *more], level, "--chunk-size", 600,
                                          learn=table(40))
            done = decoded(archive, "--model", model)
            self.assertEqual((done.returncode, done.stdout.decode()), (0, text), done.stderr)
            if text != odd:
                self.damage(archive, model)

    def damage(self, archive, model):
        data = bytearray(archive.read_bytes())
        for at in range(9, len(data), 1 + len(data) // 7):
            data[at] ^= 4
            done = decoded(self.path("bad.lk", bytes(data)), "--model", model)
            data[at] ^= 4
            self.assertEqual((done.returncode, done.stdout), (1, b""), at)
            self.assertRegex(done.stderr, rb"^decode_archive.py: ")

    def test_no_rows(self):
        archive, model = self.archive(table(12), ["made", "--steps", 1, "--hidden", 2])
        text = self.path("other", "nothing of the kind\n" * 3)
        good("compress", "-qf", "--model", model, text)
        self.assertEqual(decoded(f"{text}.lk", "--model", model).stdout, text.read_bytes())
        for given, word in (([], program.sha256(model)), (["--model", archive], program.sha256(model))):
            done = decoded(archive, *given)
            self.assertEqual((done.returncode, done.stdout), (1, b""))
            self.assertIn(word, done.stderr.decode())

    def test_names_what_it_does_not_know(self):
        for fit, word in ((["gmm", "--components", 1], "gmm"),
                          (["made", "--orderings", 2, "--steps", 1, "--hidden", 2], "2 ordering")):
            archive, model = self.archive(table(12), fit)
            done = decoded(archive, "--model", model)
            self.assertEqual((done.returncode, done.stdout), (1, b""))
            self.assertIn(word, done.stderr.decode())


if __name__ == "__main__":
    program.main()
