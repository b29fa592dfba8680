#!/usr/bin/python3
"""Compression with a model: tables come back to the byte, whatever is in them; a wrong model is refused; every
damaged byte is told."""
import json
import math
import random
import re
import struct
import subprocess
import sys
import unittest

import program
from program import Case, DATA, GOLDEN, good, run

random.seed(4)


def table(rows, seed=1):
    draw = random.Random(seed)
    lines = ["kind,x,y,n,note"]
    for i in range(rows):
        kind = draw.choice("aab")
        x = draw.gauss(2 if kind == "a" else -1, 1)
        y = "" if draw.random() < 0.1 else f"{x + draw.gauss(0, 0.2):.2f}"
        lines.append(f"{kind},{x:.1f},{y},{draw.randrange(5)},id{draw.randrange(10**6)}")
    return "\n".join(lines) + "\n"


def records(archive):
    """Tags and bodies, without where the index begins."""
    at, found = 8, []
    while at < len(archive):
        tag, n = struct.unpack_from("<4sI", archive, at)
        body = archive[at + 12:at + 12 + n]
        found.append((tag, body[:16] + body[24:] if tag == b"DONE" else body))
        at += 16 + n
    return found


class Rows(Case):
    def setUp(self):
        super().setUp()
        self.data = self.path("t.csv", table(400))
        self.model = self.folder / "m.lk"
        good("fit", "gmm", "--components", 2, self.data, "-o", self.model, "-q")

    def back(self, data, *options, model=True):
        """The archive's size, of data that came back."""
        with_model = ["--model", self.model] if model else []
        path = self.path("in", data)
        archive = self.folder / "in.lk"
        done = run("compress", "-f", *with_model, *options, path, "-o", archive)
        self.assertEqual(done.returncode, 0, done.stderr)
        self.told = done.stderr
        again = ["--model", self.model] if model and "--embed" not in options else []
        self.assertEqual(good("decompress", "-qc", archive, *again, text=False), path.read_bytes())
        return archive.stat().st_size

    def test_tables(self):
        whole = self.data.read_bytes()
        size = self.back(whole)
        self.assertLess(size, len(whole) // 2)
        packed = self.back(whole, "--embed") - size
        self.assertTrue(200 < packed < 0.7 * self.model.stat().st_size, packed)
        self.assertLess(self.back(table(300, 7)), size)
        for odd in ("", "\n", "kind,x,y,n,note", "kind,x,y,n,note\n", "zzz\n" * 99,
                    table(100) + "c,1.25,?,9,\n\n\nx,y\n\"q\",+1, ,0x5,\"a,b\"\n" + table(50, 3).replace("\n", "\r\n"),
                    table(60).replace(",", ";"), table(60).replace(",", "\t"), table(60)[:-7]):
            self.back(odd)
            self.back(odd, "--chunk-size", 777)
        self.back(bytes(random.randrange(256) for _ in range(3000)))
        self.assertIn("no rows of the model's table were found", self.told)

    def test_golden(self):
        """Archives of this version stay readable, and are made again to the byte."""
        folder = program.ROOT / "tests/golden/rows"
        for name, model, options in (("table.csv", "table_model.lk", []), ("table.csv", "table_model.lk", ["--embed"]),
                                     ("pixels.idx", "pixels_model.lk", []), ("pixels.idx", "vae_model.lk", [])):
            stored = folder / f"{name}.{model.split('_')[0]}{'.embedded' if options else ''}.archive.lk"
            whole = (folder / name).read_bytes()
            given = [] if options else ["--model", folder / model]
            self.assertEqual(good("decompress", "-cq", *given, stored, text=False), whole, stored)
            good("compress", "-qf", "--model", folder / model, *options, folder / name, "-o", self.folder / "again.lk")
            # Since then archives have a record `rows`, for whoever lists.
            again = records((self.folder / "again.lk").read_bytes())
            self.assertEqual([r for r in again if r[0] != b"rows"], records(stored.read_bytes()), stored)
            self.assertEqual(sum(tag == b"rows" for tag, _ in again), 1)

    def test_listing(self):
        """What the density predicts is what `score` says, and what is listed adds up to the archive."""
        path = self.path("in.csv", table(300, 7))
        good("compress", "-qf", "--model", self.model, "--chunk-size", 4000, path)
        about = json.loads(good("-l", "--json", f"{path}.lk"))
        bits = -sum(program.scores(self.model, path)) / math.log(2)
        self.assertEqual(about["rows"], 300)
        self.assertAlmostEqual(about["predicted_bits"], bits, delta=1)
        self.assertTrue(0 < about["coded_bits"] < 8 * about["archive_bytes"])
        self.assertIn(f"{about['predicted_bits']} bits by the model's density, {about['coded_bits']} as coded",
                      good("-l", f"{path}.lk"))
        good("compress", "-qf", path)
        about = json.loads(good("-l", "--json", f"{path}.lk"))
        self.assertEqual((about["rows"], about["coded_bits"]), (0, 0))

    def test_length_is_what_the_density_says(self):
        text = "\n".join(line.rsplit(",", 1)[0] for line in table(3000).splitlines()) + "\n"
        data, model = self.path("d.csv", text), self.folder / "d-model.lk"
        for family, options in (("gmm", ["--components", 2]), ("independent", []), ("copula", []),
                                ("made", ["--steps", 50])):
            good("fit", family, *options, data, "-o", model, "-qf")
            bits = -sum(program.scores(model, data)) / math.log(2)
            good("compress", "-qf", "--model", model, data)
            size = 8 * (self.folder / "d.csv.lk").stat().st_size
            self.assertLess(size, 1.001 * bits + 64 + 8 * 440, family)  # 40 bytes of them the record `rows`

    def test_what_a_density_does_not_know(self):
        """Multiples of 7, and a column that copies another: learned while coding."""
        draw = random.Random(3)
        rows = [(7 * round(draw.gauss(100, 20)), draw.randrange(200)) for _ in range(2000)]
        data, model = self.path("k.csv", "a,b,c\n" + "".join(f"{a},{b},{b}\n" for a, b in rows)), self.folder / "k-model.lk"
        good("fit", "independent", data, "-o", model, "-q")
        bits = -sum(program.scores(model, data)) / math.log(2)
        good("compress", "-q", "--model", model, data)
        size = 8 * (self.folder / "k.csv.lk").stat().st_size
        self.assertLess(size, bits - 2000 * (math.log2(7) + math.log2(200)) * 0.55)

    def test_arrays(self):
        draw = random.Random(2)
        def npy(descr, width, body, extra=b""):
            head = f"{{'descr': '{descr}', 'fortran_order': False, 'shape': ({len(body) // width}, {extra or 3}), }}"
            return b"\x93NUMPY\1\0" + struct.pack("<H", 118) + head.ljust(117).encode() + b"\n" + body
        numbers = [(draw.randrange(100) / 4, draw.gauss(0, 1), draw.choice((0, 1, 5))) for _ in range(500)]
        pixels = bytes(min(255, max(0, int(draw.gauss(60 * (i % 4), 9)))) for i in range(4000))
        bits = bytes(draw.choice((0, 255, 0x0F)) for _ in range(6000))
        files = {"f4.npy": npy("<f4", 12, b"".join(struct.pack("<3f", *n) for n in numbers)),
                 "be8.npy": npy(">f8", 24, b"".join(struct.pack(">3d", n[0], n[2], 7) for n in numbers)),
                 "i2.npy": npy("<i2", 6, b"".join(struct.pack("<3h", int(n[0]), 4 - int(n[2]), 1000) for n in numbers)),
                 "f.npy": npy("<i2", 6, b"".join(struct.pack("<h", int(n[i])) for i in range(3) for n in numbers)
                              ).replace(b"False", b"True "),
                 "p.idx": struct.pack(">I3I", 0x803, 1000, 2, 2) + pixels,
                 "l.idx": struct.pack(">II", 0x801, 4000) + bytes(p // 50 for p in pixels)}
        for name, data in files.items():
            path, model, archive = self.path(name, data), self.folder / f"{name}.model", self.folder / f"{name}.lk"
            good("fit", "independent", path, "-o", model, "-q")
            for options in ([], ["--chunk-size", 1500], ["--embed"]):
                if name == "f.npy" and "--chunk-size" in options:
                    continue  # its rows are all in one piece
                done = run("compress", "-f", "--model", model, *options, "--verify", "all", path)
                self.assertEqual((done.returncode, "no rows" in done.stderr), (0, False), name)
                self.assertLess(archive.stat().st_size, len(data) + (2300 if "--embed" in options else 200))
                self.assertEqual(good("decompress", "-qc", "--model", model, archive, text=False), data, name)
            for other in (data[:-5], data + b"zz", data[:90], b"\x93NUMPY" + data[6:]):
                good("compress", "-qf", "--model", model, self.path("odd", other), text=False)
                self.assertEqual(good("decompress", "-qc", "--model", model, self.folder / "odd.lk", text=False), other)
        path, model = self.path("bits.npy", npy("|u1", 3, bits)), self.folder / "bits.model"
        good("fit", "made", "--unpack-bits", "--hidden", 16, "--steps", 30, path, "-o", model, "-q")
        done = run("compress", "-f", "--model", model, path)
        self.assertNotIn("no rows", done.stderr)
        self.assertLess((self.folder / "bits.npy.lk").stat().st_size, len(bits) / 2)
        self.assertEqual(good("decompress", "-qc", "--model", model, self.folder / "bits.npy.lk", text=False), path.read_bytes())

    def test_learn(self):
        whole = self.data.read_text()
        for family in ("independent", "copula", "gmm"):
            self.back(whole, "--learn", family, model=False)
            about = json.loads(good("-l", "--json", self.folder / "in.lk"))
            self.assertEqual(about["codec"], "rows")
            self.assertGreater(about["predicted_bits"], 0, family)
        sizes = [self.back(whole, "--learn", learn, model=False) for learn in ("auto", "bytes", "independent")]
        self.assertLessEqual(sizes[0], min(sizes[1:]))
        self.assertEqual(len(re.findall("bytes by", self.told)), 0)
        self.back(whole, "--learn", "auto", model=False)
        self.assertEqual(len(re.findall("bytes by", self.told)), 4)
        self.back(b"\0\1" * 500, "--learn", "auto", model=False)
        for wrong in (["--learn", "gmm", "--model", self.model], ["--learn", "gmm", "--codec", "rows"]):
            self.assertEqual(run("compress", "-c", *wrong, self.data).returncode, 2)
        for how in ("independent", "auto"):  # a stream, to the same archive but for its name
            packed = good("compress", "-q", "--learn", how, input=whole.encode(), text=False)
            self.assertEqual(good("decompress", "-q", input=packed, text=False), whole.encode())
            if how == "independent":
                good("compress", "-qf", "--learn", how, self.data, "-o", self.folder / "in.lk")
                named = records((self.folder / "in.lk").read_bytes())
                self.assertEqual(records(packed)[:-2], [r for r in named[:-2] if r[0] != b"name"])
        self.assertEqual(run("compress", "-c", "--learn", "none", self.data).returncode, 2)

    def test_odd_files(self):
        """Any file comes back, whatever was asked of it; what no model can be learned from goes through `bytes`, and of a table
        that is cut in a line the whole ones are learned from."""
        whole = table(60).encode()
        half = len(whole) // 2 + 3
        first, rest = whole[:half], whole[half:]
        odd = {"cut": first, "ragged": whole + b"\na,b,c,d,e,f,g\nonly\n" + whole, "mixed": first.replace(b"\n", b"\r\n") + rest,
               "quote": first + b'"' + rest, "zeros": first + b"\0\0" + rest, "mark": b"\xef\xbb\xbf" + whole, "latin": first + b"\xe4" + rest,
               "empty": b"", "byte": b"a", "bytes": b"\0\1\2" * 99}
        for name, data in odd.items():
            for how in (["--learn", "auto"], ["--learn", "gmm", "-1"], []):
                self.back(data, *how, model=not how)
            if name in ("cut", "bytes"):
                packed = good("compress", "-q", "--learn", "gmm", input=data, text=False)
                self.assertEqual(good("decompress", "-q", input=packed, text=False), data)
        self.back(odd["cut"], "--learn", "gmm", model=False)
        self.assertNotIn('the codec "bytes"', self.told)
        self.back(odd["ragged"], "--learn", "gmm", model=False)
        self.assertIn('columns where the others have 5', self.told)
        self.assertIn('the codec "bytes" takes the model\'s place', self.told)

    def test_chunks(self):
        data = table(2000)
        path, archive = self.path("big.csv", data), self.folder / "big.csv.lk"
        good("compress", "-q", "--model", self.model, "--embed", "--chunk-size", 9000, path)
        about = json.loads(good("-l", "--json", archive))
        self.assertEqual((about["codec"], about["model"]), ("rows", program.sha256(self.model)))
        self.assertGreater(about["chunks"], 4)
        self.assertEqual(good("decompress", "-c", "-q", archive, "--range", "20000:5000"), data[20000:25000])
        raw = bytearray(archive.read_bytes())
        third = [i for i in range(len(raw)) if raw[i:i + 4] == b"CHNK"][3]
        raw[third + 80] ^= 1
        bad = self.path("bad.lk", bytes(raw))
        done = run("decompress", "-c", bad)
        self.assertEqual(done.returncode, 3)
        self.assertIn("chunk 3", done.stderr)
        self.assertTrue(data.startswith(done.stdout))
        done = run("decompress", "-c", bad, "--salvage")
        self.assertEqual(done.returncode, 3)
        lost = len(data) - len(done.stdout)
        self.assertTrue(0 < lost <= 9000)
        at = next(i for i, (a, b) in enumerate(zip(data, done.stdout)) if a != b)
        self.assertEqual(data[:at] + data[at + lost:], done.stdout)

    def test_every_byte(self):
        self.back(table(30))
        archive = (self.folder / "in.lk").read_bytes()
        step = 1 + len(archive) // 150
        for at in range(0, len(archive), step):
            raw = bytearray(archive)
            raw[at] ^= 1 << random.randrange(8)
            done = run("decompress", "-c", "--model", self.model, self.path("bad.lk", bytes(raw)))
            self.assertIn(done.returncode, (3, 4) if at < 80 else (3,), at)
            self.assertTrue(table(30).startswith(done.stdout))
            done = run("decompress", "-c", "--model", self.model, self.path("bad.lk", archive[:at]))
            self.assertEqual(done.returncode, 3, at)

    def test_models(self):
        other = self.folder / "other.lk"
        good("fit", "gmm", "--components", 2, "--seed", 5, self.data, "-o", other, "-q")
        good("compress", "-q", "--model", self.model, self.data)
        archive = f"{self.data}.lk"
        done = run("decompress", "-c", archive)
        self.assertEqual(done.returncode, 4)
        self.assertIn(program.sha256(self.model), done.stderr)
        done = run("decompress", "-c", archive, "--model", other)
        self.assertEqual((done.returncode, done.stdout), (4, ""))
        for model in (self.model, other):
            self.assertIn(program.sha256(model), done.stderr)
        self.assertEqual(run("compress", "-c", "--embed", self.data).returncode, 2)
        self.assertEqual(run("compress", "-c", "--codec", "rows", self.data).returncode, 2)
        self.assertEqual(run("compress", "-c", "--codec", "bytes", "--model", self.model, self.data).returncode, 2)
        self.assertEqual(run("compress", "-c", "--model", self.data, self.data).returncode, 4)

    def test_threads(self):
        """Chunks side by side: a table with lines that are none of its rows, and an array, whose later chunks are known for
        rows by what the first one says."""
        draw = random.Random(6)
        rows = [struct.pack("<3f", draw.gauss(0, 1), draw.randrange(9), draw.gauss(5, 2)) for _ in range(900)]
        head = f"{{'descr': '<f4', 'fortran_order': False, 'shape': ({len(rows)}, 3), }}"
        array = b"\x93NUMPY\1\0" + struct.pack("<H", 118) + head.ljust(117).encode() + b"\n" + b"".join(rows)
        path, model = self.path("a.npy", array), self.folder / "a.model"
        good("fit", "gmm", "--components", 2, path, "-o", model, "-q")
        odd = table(500) + "what is this?\n" * 40 + table(900, 5)[:-9]
        for name, data, with_model in (("t.csv", odd.encode(), self.model), ("a.npy", array, model)):
            path, archive = self.path(name, data), self.folder / f"{name}.lk"
            for level in ("-1", "-6"):
                made = set()
                for threads in (1, 2, 7):
                    done = run("compress", "-f", level, "--model", with_model, "-T", threads, "--chunk-size", 2500, path)
                    self.assertEqual((done.returncode, done.stderr.count("no rows")), (0, 0), done.stderr)
                    made.add(archive.read_bytes())
                    self.assertEqual(good("decompress", "-qc", "--model", with_model, "-T", threads, archive, text=False), data)
                self.assertEqual(len(made), 1, name)
            self.assertLess(archive.stat().st_size, 0.9 * len(data))
            raw = bytearray(archive.read_bytes())
            chunks = [i for i in range(len(raw)) if raw[i:i + 4] == b"CHNK"]
            self.assertGreater(len(chunks), 4)
            raw[chunks[2] + 60] ^= 1
            told = set()
            for threads in (1, 4):
                done = run("decompress", "-c", "--model", with_model, "-T", threads, "--salvage", self.path("bad.lk", bytes(raw)), text=False)
                self.assertEqual((done.returncode, done.stderr.count("chunk 2")), (3, 1), done.stderr)
                told.add((done.stdout, *re.findall("note: .*", done.stderr)))
            self.assertEqual(len(told), 1)
            lost = len(data) - len(done.stdout)
            at = next(i for i, (a, b) in enumerate(zip(data, done.stdout)) if a != b)
            self.assertTrue(0 < lost <= 2500 and data[:at] + data[at + lost:] == done.stdout)


if __name__ == "__main__":
    unittest.main()
