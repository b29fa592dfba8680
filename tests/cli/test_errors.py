#!/usr/bin/python3
"""What is wrong is told: exit code, what, where. Nothing crashes, nothing is left half-written, and what
was there before is as it was."""
import gzip
import os
import random
import struct
import subprocess

import program
from program import Case, FAMILIES, GOLDEN, PROGRAM, good, run

PULSES, ORCHARD = GOLDEN / "pulses.csv", GOLDEN / "orchard.csv"
FIT = ("fit", "gmm")

# Arguments, exit code, what the message must have. {m} is a model of pulses, {made} a made of pulses,
# {o} a fresh path, {folder} an existing folder.
INVOCATIONS = [
    ([], 2, ["usage"]),
    (["fitt"], 2, ["fitt", "--help"]),
    (["fit"], 2, ["FAMILY DATA -o MODEL"]),
    (["fit", "gmm", PULSES], 2, ["-o MODEL"]),
    (["fit", "gmm", PULSES, "extra", "-o", "{o}"], 2, ["extra"]),
    (["fit", "gmmm", PULSES, "-o", "{o}"], 2, ["gmmm", "families"]),
    (["fit", "gmm", PULSES, "-o"], 2, ["--output", "value"]),
    (["fit", "gmm", PULSES, "-o", "{o}", "--components", "0"], 2, ["components", "0"]),
    (["fit", "gmm", PULSES, "-o", "{o}", "--components", "-3"], 2, ["components", "-3"]),
    (["fit", "gmm", PULSES, "-o", "{o}", "--components", "three"], 2, ["components", "three"]),
    (["fit", "gmm", PULSES, "-o", "{o}", "--components="], 2, ["components"]),
    (["fit", "gmm", PULSES, "-o", "{o}", "--componets", "3"], 2, ["--componets", "perhaps --components"]),
    (["fit", "gmm", PULSES, "-o", "{o}", "--covariance", "round"], 2, ["covariance", "round", "full"]),
    (["fit", "gmm", PULSES, "-o", "{o}", "--floor", "nan"], 2, ["floor", "nan"]),
    (["fit", "made", PULSES, "-o", "{o}", "--hidden", "10,,x"], 2, ["hidden"]),
    (["fit", "made", PULSES, "-o", "{o}", "--hidden", "999999999999,999999999999"], 2, ["hidden"]),
    (["fit", "made", PULSES, "-o", "{o}", "--hidden", "10," * 200 + "10"], 2, ["hidden"]),
    (["fit", "made", PULSES, "-o", "{o}", "--learning-rate", "fast"], 2, ["learning-rate", "fast"]),
    (["fit", "made", PULSES, "-o", "{o}", "--covariance", "full"], 2, ["--covariance"]),
    (["fit", "gmm", PULSES, "-o", "{o}", "--steps", "1e30"], 2, ["steps"]),
    (["fit", "gmm", PULSES, "-o", "{o}", "--seed", "-1"], 2, ["seed", "-1"]),
    (["fit", "gmm", PULSES, "-o", "{o}", "--resume"], 2, ["resume", "o.lk.checkpoint"]),
    (["fit", "gmm", PULSES, "-o", "{m}"], 2, ["m.lk", "-f"]),
    (["fit", "gmm", PULSES, "-o", "{folder}/none/o.lk"], 8, ["none/o.lk"]),
    (["fit", "gmm", PULSES, "-o", "{folder}", "-f"], 2, ["{folder}"]),
    (["fit", "gmm", "{folder}/no.csv", "-o", "{o}"], 8, ["no.csv", "No such file"]),
    (["fit", "gmm", "{folder}", "-o", "{o}"], 3, ["{folder}"]),
    (["fit", "gmm", PULSES, "-o", "{o}", "--valid", "{folder}/no.csv"], 8, ["no.csv"]),
    (["fit", "gmm", PULSES, "-o", "{o}", "--valid", ORCHARD], 3, ["orchard.csv"]),
    (["fit", "gmm", PULSES, "-o", "{o}", "--schema", "{folder}/no.json"], 8, ["no.json"]),
    (["fit", "gmm", PULSES, "-o", "{o}", "--schema", PULSES], 3, ["pulses.csv"]),
    (["score", "{folder}/no.lk", PULSES], 8, ["no.lk", "No such file"]),
    (["score", PULSES, PULSES], 4, ["pulses.csv"]),
    (["score", "{m}", ORCHARD], 3, ["orchard.csv"]),
    (["score", "{m}", "{folder}/no.csv"], 8, ["no.csv"]),
    (["score", "{m}", PULSES, "--particles", "0"], 2, ["particles"]),
    (["infer", "{made}", PULSES], 5, ["made", "no latent", "gmm"]),
    (["sample", "{m}", "--given", "wait"], 2, ["wait", "field=value"]),
    (["sample", "{m}", "--given", "colour=red"], 2, ["colour"]),
    (["sample", "{m}", "--given", "wait=red"], 3, ["wait", "red"]),
    (["sample", "{m}", "--given", "wait="], 3, ["wait", "missing"]),
    (["sample", "{m}", "--given", "wait=80", "--given", "wait=81"], 2, ["wait", "twice"]),
    (["families", "extra"], 2, ["no arguments", "extra"]),
    (["sample", "{m}", "-n", "-1"], 2, ["rows", "-1"]),
    (["sample", "{m}", "-n", "many"], 2, ["rows", "many"]),
    (["sample", "{m}", "-o", "{m}"], 2, ["m.lk"]),
    (["sample", "{m}", "-o", "{folder}/o.xyz"], 2, ["o.xyz", ".csv", ".tsv", ".npy", ".png"]),
    (["sample", "{m}", "-o", "{folder}/o"], 2, ["/o:", ".csv, .tsv, .npy or .png"]),
    (["show", "{folder}/no.lk"], 8, ["no.lk"]),
    (["show", "{m}", "--threads", "2"], 2, ["--threads"]),
    (["show", "{m}", "--seed", "2"], 2, ["--seed"]),
    (["families", "--seed", "2"], 2, ["--seed"]),
    (["schema", PULSES, "--threads", "2"], 2, ["--threads"]),
    (["fit", "vae", PULSES, "-o", "{o}", "--hidden", "8", "--steps", "300", "--learning-rate", "10"], 6,
     ["diverged", "--learning-rate"]),
    (["schema", "{folder}/no.csv"], 8, ["no.csv"]),
    (["compare", PULSES, "--families", "hmm"], 2, ["hmm", "families"]),
    (["compare", PULSES, "--families", "gmm,hmm", "--steps", "2"], 2, ["hmm"]),
    (["compare", PULSES, "--set", "gmm.componets=3", "--families", "gmm"], 2, ["componets"]),
    (["compare", PULSES, "--set", "components=3", "--families", "gmm"], 2, ["components=3", "FAMILY.OPTION"]),
    (["compare", PULSES, "--share", "2"], 2, ["share"]),
    (["compare", "{folder}/no.csv"], 8, ["no.csv"]),
]

# Contents of a table, exit code of a fit (None: either good or told), what the message must have.
TABLES = {
    "empty.csv": (b"", 3, ["empty.csv"]),
    "blank.csv": (b"\n\n\n", 3, ["blank.csv"]),
    "header.csv": (b"a,b\n", None, []),  # one line may as well be one row; see test_header_only
    "ragged.csv": (b"a,b\n1,2\n3\n4,5\n", 3, ["ragged.csv", "line 3"]),
    "quote.csv": (b'a,b\n1,2\n3,"4\n5,6\n', 3, ["quote.csv", "line 3"]),
    "one_row.csv": (b"a,b\n1,2\n", None, []),
    "two_rows.csv": (b"a,b\n1,2\n3,5\n", None, []),
    "constant.csv": (b"a,b\n" + b"1,2\n" * 50, 0, []),
    "constant_real.csv": (b"a,b\n" + b"1.5e-300,x\n" * 50, None, []),
    "part_constant.csv": (b"a,b\n" + b"".join(b"%d,7\n" % i for i in range(50)), 0, []),
    "all_missing.csv": (b"a,b\n" + b"".join(b"%d,\n" % i for i in range(50)), 0, []),
    "nothing.csv": (b"a,b\n" + b",\n" * 50, 3, ["nothing.csv", "nothing to learn"]),
    "nan.csv": (b"a,b\n" + b"".join(b"%d.5,%s\n" % (i, b"nan" if i % 5 == 0 else b"%d" % i) for i in range(50)), 0, []),
    "inf.csv": (b"a,b\n" + b"".join(b"%d.5,%s\n" % (i, b"inf" if i % 5 == 0 else b"%d" % i) for i in range(50)), None, []),
    "huge.csv": (b"a,b\n" + b"".join(b"%d,%de300\n" % (i, i + 1) for i in range(50)), None, []),
    "digits.csv": (b"a\n" + b"".join(b"%d%s\n" % (i + 1, b"0" * 400) for i in range(50)), None, []),
    "tiny.csv": (b"a,b\n" + b"".join(b"%d,%de-320\n" % (i, i + 1) for i in range(50)), None, []),
    "duplicates.csv": (b"a,b\n" + b"1,2\n3,4\n" * 100, 0, []),
    "same_names.csv": (b"a,a\n" + b"".join(b"%d,%d\n" % (i, i * i) for i in range(50)), None, []),
    "text.csv": (b"".join(b"x%dy\n" % (i * i) for i in range(300)), 3, ["text.csv", "nothing to learn"]),
    "no_names.csv": (b",\n" + b"".join(b"%d,%d\n" % (i, i * i) for i in range(50)), None, []),
    "zero_bytes.csv": (b"a,b\n1,2\n\0\0,\0\n3,4\n", None, []),
    "latin.csv": (b"a,b\n" + b"".join(b"%d,%s\n" % (i, [b"\xe9t\xe9", b"hiver"][i % 2]) for i in range(50)), 0, []),
    "bom_crlf.csv": (b"\xef\xbb\xbfa,b\r\n" + b"".join(b"%d,%d\r\n" % (i, i * 3 % 7) for i in range(50)), 0, []),
    "old_mac.csv": (b"a,b\r" + b"".join(b"%d,%d\r" % (i, i * 3 % 7) for i in range(50)), None, []),
    "long_line.csv": (b"a,b\n1," + b"9" * 3000000 + b"\n2,3\n", None, []),
    "many_columns.csv": ((b",".join(b"%d" % i for i in range(3000)) + b"\n") * 3, None, []),
    "garbage.csv": (random.Random(1).randbytes(20000), None, []),
    "garbage.npy": (random.Random(2).randbytes(20000), 3, ["garbage.npy"]),
    "garbage.npz": (random.Random(3).randbytes(20000), 3, ["garbage.npz"]),
    "garbage.png": (random.Random(4).randbytes(20000), 3, ["garbage.png"]),
    "garbage.idx": (random.Random(5).randbytes(20000), None, []),
    "garbage-idx3-ubyte.gz": (gzip.compress(random.Random(6).randbytes(2000)), 3, ["garbage-idx3-ubyte.gz"]),
    "cut-idx3-ubyte": (struct.pack(">4I", 0x803, 1000, 28, 28) + b"\1" * 900, 3, ["cut-idx3-ubyte"]),
    "vast-idx3-ubyte": (struct.pack(">4I", 0x803, 2 ** 32 - 1, 2 ** 32 - 1, 2 ** 32 - 1), 3, ["vast-idx3-ubyte"]),
    "cut.npy": ((GOLDEN / "cube.npy").read_bytes()[:-5], 3, ["cut.npy"]),
    "cut.npz": ((GOLDEN / "types.npz").read_bytes()[:-50], 3, ["cut.npz"]),
    "empty.npy": (b"", 3, ["empty.npy"]),
    "cut.png": ((GOLDEN / "pictures/rgb.png").read_bytes()[:-30], 3, ["cut.png"]),
}
QUICK = {"gmm": ["--components", "2", "--steps", "5"], "bayesnet": [], "copula": [], "independent": [],
         "fa": ["--steps", "5"], "ppca": ["--steps", "5"], "made": ["--hidden", "8", "--steps", "5"],
         "mixture": ["--components", "2", "--steps", "5"],
         "vae": ["--hidden", "8", "--steps", "5"]}


class Errors(Case):
    def setUp(self):
        super().setUp()
        self.model, self.made = self.path("m.lk"), self.path("made.lk")
        good("fit", "gmm", PULSES, "-o", self.model, "--components", "2")
        good("fit", "made", PULSES, "-o", self.made, *QUICK["made"])
        self.before = self.files()

    def files(self):
        return {path.name: path.read_bytes() for path in self.folder.iterdir() if path.is_file()}

    def check(self, done, code, words):
        self.assertEqual(done.returncode, code, done.stderr)
        for word in words:
            self.assertIn(word, done.stderr)
        self.assertTrue(done.stderr.startswith("likely"), done.stderr)
        self.assertEqual(self.files(), self.before, "a failed run changed files")

    def test_the_checker(self):
        """Planted: another exit code, a message without the place, a file left behind, one that changed."""
        done = run("show", self.path("no.lk"))
        self.check(done, 8, ["no.lk"])
        for code, words in ((4, ["no.lk"]), (8, ["line 3"])):
            self.assertRaises(AssertionError, self.check, done, code, words)
        self.path("left.tmp", "half")
        self.assertRaises(AssertionError, self.check, done, 8, ["no.lk"])
        self.path("left.tmp").unlink()
        self.path("m.lk", "changed")
        self.assertRaises(AssertionError, self.check, done, 8, ["no.lk"])

    def test_invocations(self):
        names = {"m": self.model, "made": self.made, "o": self.path("o.lk"), "folder": self.folder}
        for arguments, code, words in INVOCATIONS:
            with self.subTest(arguments=[str(a) for a in arguments]):
                done = run(*[str(a).format(**names) for a in arguments])
                self.check(done, code, [word.format(**names) for word in words])
                self.assertEqual(done.stdout if arguments[:1] != ["compare"] else "", "")

    def test_tables(self):
        for turn, (name, (content, code, words)) in enumerate(TABLES.items()):
            table, model = self.path(name, content), self.path("table.lk")
            self.before = self.files()
            for family in program.some(FAMILIES, turn) if code in (0, None) else ["gmm"]:
                with self.subTest(table=name, family=family):
                    model.unlink(missing_ok=True)
                    done = run("fit", family, table, "-o", model, *QUICK[family])
                    if done.returncode:
                        self.check(done, code or 3, words)
                        continue
                    self.assertIn(code, (0, None), done.stderr)
                    self.use(model, table)
                    model.unlink()
                    self.assertEqual(self.files(), self.before)
            model.unlink(missing_ok=True)
            table.unlink()

    def test_header_only(self):
        table = self.path("header.csv", "a,b\n")
        self.before = self.files()
        self.check(run(*FIT, table, "-o", self.path("o.lk"), "--header", "yes"), 3, ["header.csv"])

    def use(self, model, table):
        """Scores are numbers, and what is sampled has none that is not finite."""
        for line in good("score", model, table).splitlines():
            self.assertTrue(abs(float(line)) < 1e12, line)
        self.assertEqual(program.faults(model, good("sample", model, "-n", "20", text=False), 20), [])

    def test_more_than_the_model_knows(self):
        """Levels, ranges and cells that learning never saw have a score all the same."""
        table = self.path("seen.csv", "n,c\n" + "".join(f"{i % 10},{'ab'[i % 2]}\n" for i in range(60)))
        unseen = self.path("unseen.csv", "n,c\n5,z\n-99999999,a\n,b\n3,\n")
        for family in FAMILIES:
            model = self.path(f"{family}.seen.lk")
            good("fit", family, table, "-o", model, *QUICK[family])
            for line in good("score", model, unseen).splitlines():
                self.assertTrue(-float("inf") < float(line) <= 0, (family, line))

    def test_model_files(self):
        """Cut anywhere or with any byte changed, a model is refused, not believed."""
        raw, dice = self.model.read_bytes(), random.Random(7)
        bad = [raw[:n] for n in (0, 1, 7, 8, 9, 100, len(raw) // 2, len(raw) - 1)] + [raw + b"\0"]
        bad += [struct.pack("<Q", n) + raw[8:] for n in (0, 1, 2 ** 20, 2 ** 40, 2 ** 63, 2 ** 64 - 1)]
        for at in [dice.randrange(8, len(raw)) for _ in range(60)]:
            bad.append(raw[:at] + bytes([raw[at] ^ 1 << dice.randrange(8)]) + raw[at + 1:])
        for content in bad:
            model = self.path("bad.lk", content)
            self.before = self.files()
            if content.rstrip() == raw.rstrip():
                continue
            done = run("score", model, PULSES)
            self.check(done, 4, ["bad.lk"])
            self.assertEqual(done.stdout, "")

    def test_outputs(self):
        """A full disk and a reader that has gone are told by the exit code."""
        for arguments in (["sample", self.model, "-n", "100000"], ["score", self.model, PULSES],
                          ["infer", self.model, PULSES], ["show", self.model], ["families"], ["--version"],
                          ["schema", PULSES], ["--help"], ["score", self.model, PULSES, "--json"]):
            with self.subTest(arguments=[str(a) for a in arguments]):
                with open("/dev/full", "wb") as full:
                    done = run(*arguments, stdout=full)
                self.check(done, 8, ["No space"])
                read, write = os.pipe()
                os.close(read)
                done = run(*arguments, stdout=write)
                os.close(write)
                self.assertEqual(done.returncode, 8, done.stderr)
                self.assertIn(done.stderr, ("", "likely: cannot write standard output: Broken pipe\n"))

    def test_folder_without_permission(self):
        if os.geteuid() == 0:
            self.skipTest("skipped: root may write everywhere")
        closed = self.folder / "closed"
        closed.mkdir(mode=0o555)
        self.check(run("fit", "gmm", PULSES, "-o", closed / "o.lk"), 8, ["closed/o.lk"])

    def test_file_size_limit(self):
        """A write that is cut short leaves neither a half model nor a temporary file."""
        for arguments in (["fit", "gmm", PULSES, "-o", self.path("o.lk"), "--components", "200", "--steps", "2"],
                          ["sample", self.model, "-n", "100000", "-o", self.path("o.csv")]):
            done = subprocess.run(["sh", "-c", 'trap "" XFSZ; ulimit -f 8; exec "$0" "$@"', PROGRAM,
                                   *map(str, arguments)], stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                                  timeout=program.SECONDS)
            done.stderr = done.stderr.decode()
            self.check(done, 8, ["o."])


if __name__ == "__main__":
    program.main()
