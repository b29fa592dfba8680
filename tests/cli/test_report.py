#!/usr/bin/python3
"""Reports: one page that needs nothing else, whose figures are those of score, sample and the data."""
import base64
import csv
import html.parser
import io
import json
import math
import re
import struct
import zlib

import program
from program import Case, GOLDEN, good, run
from test_sounds import SMALL, write

ORCHARD = GOLDEN / "orchard.csv"
ALONE = ("meta", "img", "path", "tr", "td", "th")  # elements that may stay open


class Page(html.parser.HTMLParser):
    """Text and pictures; fails on elements that do not close in order, and on whatever would be asked for elsewhere."""

    def __init__(self, text):
        super().__init__()
        self.open, self.text, self.pictures = [], "", []
        self.feed(text)
        if self.open:
            raise AssertionError(f"not closed: {self.open}")

    def handle_starttag(self, tag, attrs):
        if tag in ("script", "link", "iframe", "object"):
            raise AssertionError(tag)
        for name, value in attrs:
            if name in ("src", "href"):
                if not value.startswith("data:image/png;base64,"):
                    raise AssertionError(value)
                self.pictures.append(png(base64.b64decode(value.split(",")[1], validate=True)))
        if tag not in ALONE:
            self.open.append(tag)

    def handle_endtag(self, tag):
        if tag not in ALONE and (not self.open or self.open.pop() != tag):
            raise AssertionError(f"{tag} at {self.getpos()}")

    def handle_data(self, data):
        self.text += data


def png(raw):
    """Width, height and the filtered lines of a PNG; its checksums hold."""
    assert raw[:8] == b"\x89PNG\r\n\x1a\n"
    at, lines = 8, b""
    while at < len(raw):
        n, kind = struct.unpack_from(">I4s", raw, at)
        body = raw[at + 8:at + 8 + n]
        assert zlib.crc32(kind + body) == struct.unpack_from(">I", raw, at + 8 + n)[0]
        if kind == b"IHDR":
            size = struct.unpack_from(">II", body)
        lines += body if kind == b"IDAT" else b""
        at += 12 + n
    return (*size, zlib.decompress(lines))


def cells(text, column):
    return [row[column] for row in csv.DictReader(io.StringIO(text))]


class Reports(Case):
    def report(self, model, *more):
        good("report", model, *more, "-o", self.path("r.html"), "-f", "-q")
        text = self.path("r.html").read_text("utf-8")
        self.assertNotIn("http", text)
        return text, Page(text)

    def test_tables(self):
        model = self.path("m.lk")
        good("fit", "gmm", ORCHARD, "-o", model, "--components", 3, "-q")
        text, page = self.report(model, ORCHARD, "--rows", 300, "--seed", 4)
        self.assertEqual(text, self.report(model, ORCHARD, "--rows", 300, "--seed", 4, "--threads", 1)[0])
        self.assertNotEqual(text, self.report(model, ORCHARD, "--rows", 300, "--seed", 5)[0])
        about, score = json.loads(good("show", model)), json.loads(good("score", model, ORCHARD, "--json"))
        for known in (about["data_sha256"], about["summary"], f"{score['bits_per_dim']:.4f} (exact)", f"{score['rows']} rows"):
            self.assertIn(known, page.text)
        # What data and samples differ by, from the files themselves.
        sampled = good("sample", model, "-n", 300, "--seed", 4)
        told = dict(re.findall(r"\n(\w+) differ by ([0-9.]+)", page.text))
        fields = {label["name"]: label for label in about["schema"]["fields"]}
        checked = 0
        for name, field in fields.items():
            if field["kind"] not in ("category", "binary") or "levels" not in field:
                continue
            both = [cells(ORCHARD.read_text(), name), cells(sampled, name)]
            shares = [{level: side.count(level) / len(side) for level in set(both[0] + both[1])} for side in both]
            differ = sum(abs(shares[0][level] - shares[1][level]) for level in shares[0]) / 2
            self.assertLess(abs(differ - float(told[name])), 0.0006, name)
            checked += 1
        self.assertGreater(checked, 0)
        self.assertEqual(set(told), {n for n, f in fields.items() if f["kind"] != "text" and not f.get("ignored")})
        alone = self.report(model)[1].text
        self.assertNotIn("differ by", alone)
        self.assertIn("Shares of", alone)

    def test_odd_names(self):
        data = self.path("odd.csv", "<b>&amp;,\"a\"\"b\"\n" + "".join(f"{i % 7},<script>{i % 3}\n" for i in range(60)))
        model = self.path("m.lk")
        good("fit", "independent", data, "-o", model, "-q")
        _, page = self.report(model, data)
        self.assertIn("<b>&amp;", page.text)
        self.assertIn("<script>2", page.text)

    def test_images(self):
        rows = bytes((x * y + 3 * i) % 251 for i in range(30) for y in range(5) for x in range(6))
        head = b"{'descr': '|u1', 'fortran_order': False, 'shape': (30, 5, 6), }".ljust(117) + b"\n"
        data = self.path("greys.npy", b"\x93NUMPY\1\0" + struct.pack("<H", len(head)) + head + rows)
        model = self.path("m.lk")
        good("fit", "vae", data, "-o", model, "--steps", 3, "--hidden", 4, "-q")
        _, page = self.report(model, data)
        (width, height, lines), other = page.pictures
        self.assertEqual((width, height), (8 * 8 - 2, 4 * 7 - 2))  # 30 images of 6 x 5, two apart
        self.assertEqual(other[:2], (8 * 8 - 2, 8 * 7 - 2))

    def test_texts(self):
        model, data = self.path("m.lk"), GOLDEN / "dialogue.txt"
        good("fit", "ngram", data, "-o", model, "--order", 3, "--context", 32, "--text", "chars", "-q")
        text, page = self.report(model, data, "--length", 40)
        score = json.loads(good("score", model, data, "--json"))
        self.assertIn(f"{score['bits_per_symbol']:.4f} (exact)", page.text)
        drawn = good("sample", model, "-n", 3, "--length", 40).split("\n---\n")
        for one in drawn:
            self.assertIn(one, page.text)
        # The text itself, coloured by its bits.
        marks = re.findall(r'<span class="q(\d)">([^<]*)</span>', text)
        self.assertTrue(data.read_text().startswith(html.unescape("".join(m[1] for m in marks))[:1000]))
        first = [float(row.rsplit(",", 1)[1]) for row in good("score", model, data, "--per-field").splitlines()[1:5]]
        self.assertEqual([int(m[0]) for m in marks[:4]], [min(8, int(-x / math.log(2))) for x in first])

    def test_sounds(self):
        at, model = self.path("sounds"), self.path("s.lk")
        at.mkdir()
        for i in range(2):
            write(at / f"{i}.wav", [int(9000 * math.sin(t * (0.2 + 0.1 * i))) for t in range(1500)])
        good("fit", "wavenet", at, "-o", model, *SMALL)
        text, page = self.report(model, at, "--seconds", 0.1)
        self.assertEqual([p[:2] for p in page.pictures], [((800 - 256) // 64 + 1, 128)] * 5)
        self.assertEqual(text.count("spectrogram".capitalize()), 2)
        self.assertIn("0.10 s, 0 to 4.0 kHz", page.text)
        self.assertNotEqual(page.pictures[0], page.pictures[1])

    def test_what_cannot_be(self):
        model = self.path("m.lk")
        good("fit", "made", ORCHARD, "-o", model, "--steps", 3, "--hidden", 4, "--condition", "species", "-q")
        _, page = self.report(model, ORCHARD)
        self.assertIn("--given species=", page.text)
        level = cells(ORCHARD.read_text(), "species")[0]
        self.assertIn("differ by", self.report(model, ORCHARD, "--given", f"species={level}")[1].text)
        here = self.path("here.html", "mine")
        for arguments, code, says in ((("report", model), 2, "-o FILE.html"), (("report", model, "-o", here), 2, "here.html"),
                                      (("report", model, self.path("none.csv"), "-o", "-"), 8, "none.csv"),
                                      (("report", model, ORCHARD, "-o", self.path("x"), "--given", "species=zzz"), 3, "zzz")):
            done = run(*arguments)
            self.assertEqual(done.returncode, code, done)
            self.assertIn(says, done.stderr)
        self.assertEqual(here.read_text(), "mine")
        self.assertFalse(self.path("x").exists())


if __name__ == "__main__":
    program.main()
