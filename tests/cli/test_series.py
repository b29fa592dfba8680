#!/usr/bin/python3
"""Compression of texts and sounds by models of them: they come back to the byte, whatever is in them, in as many bits as `score`
says; a wrong model is refused; every damaged byte is told."""
import array
import json
import math
import random
import struct
import sys
import unittest
import zlib

import program
from program import Case, GOLDEN, good, run

random.seed(6)
STORED = program.ROOT / "tests/golden/series"


def text(n, seed=1):
    """Words that a model soon knows, some beyond ASCII."""
    draw = random.Random(seed)
    words = ["the", "wind", "and", "rain", "über", "old", "stone", "bridge", "→", "calls", "him,", "again.\n"]
    out = ""
    while len(out.encode()) < n:
        out += draw.choice(words) + " "
    return out


def wav(samples, rate=8000, channels=1, extra=b"", behind=b"", size=None, bits=16, code=1):
    if bits == 16:
        data = array.array("h", samples)
        if sys.byteorder == "big":
            data.byteswap()
        samples = data.tobytes()
    block = channels * bits // 8
    head = b"WAVEfmt " + struct.pack("<IHHIIHH", 16, code, channels, rate, rate * block, block, bits) + extra
    head += b"data" + struct.pack("<I", len(samples) if size is None else size)
    return b"RIFF" + struct.pack("<I", len(head) + len(samples) + len(behind)) + head + samples + behind


def tone(n, step=0.2):
    draw = random.Random(n)
    return [int(3000 * math.sin(step * i) + draw.gauss(0, 1000)) for i in range(n)]


class Series(Case):
    def back(self, data, *options, model):
        """What is listed of the archive of data that came back."""
        path = self.path("in", data)
        archive = self.folder / "in.lk"
        done = run("compress", "-f", "--model", model, *options, path, "-o", archive)
        self.assertEqual(done.returncode, 0, done.stderr)
        self.told = done.stderr
        again = [] if "--embed" in options else ["--model", model]
        self.assertEqual(good("decompress", "-qc", archive, *again, text=False), path.read_bytes())
        return json.loads(good("-l", "--json", archive))

    def learn(self, family="ngram", kind="chars", name="m.lk", data=None, more=()):
        path = self.path("learned.txt", data or text(6000, 9))
        model = self.folder / name
        good("fit", family, path, "--text", kind, "--context", 32, "--overlap", 12, "-o", model, "-qf", *more)
        return model

    def learn_sounds(self, kind, *more):
        at = self.path("sounds")
        at.mkdir(exist_ok=True)
        for i in range(3):
            (at / f"{i}.wav").write_bytes(wav(tone(2000, 0.15 + 0.1 * i)))
        model = self.folder / f"{kind}.lk"
        good("fit", "wavenet", at, "--sound", kind, "--context", 48, "--layers", 4, "--residual", 8, "--skip", 8,
             "--components", 3, "--steps", 100,
             "--learning-rate", 0.01, "-o", model, "-qf", *more)
        return model

    def test_length_is_what_score_says(self):
        for kind, symbols in (("bytes", None), ("chars", None), ("tokens", None)):
            model, data = self.learn(kind=kind), text(5000)
            about = self.back(data, "-9", model=model)
            scored = json.loads(good("score", model, self.folder / "in", "--json"))
            bits = scored["bits_per_symbol"] * scored["symbols"]
            self.assertEqual((about["codec"], about["rows"]), ("series", scored["symbols"]), kind)
            self.assertAlmostEqual(about["predicted_bits"], bits, delta=1)
            self.assertTrue(bits < about["coded_bits"] + 1 < 1.001 * bits + 64 + 32, kind)
            self.assertLess(8 * about["archive_bytes"], about["coded_bits"] + 8 * 400)
            lanes = self.back(data, "-1", model=model)  # side by side: each begins anew
            self.assertTrue(about["coded_bits"] < lanes["coded_bits"] < 1.3 * bits, kind)
        good("-l", self.folder / "in.lk")

    def test_networks(self):
        """Of each family and each alphabet an archive that decodes: the lengths are in tests/conformance."""
        sizes = {"rnn": ("--width", 16), "transformer": ("--layers", 2, "--width", 16, "--heads", 2),
                 "wavenet": ("--layers", 4, "--residual", 8, "--skip", 8)}
        for turn, family in enumerate(program.some(list(sizes), 0)):
            for kind in ("tokens", "chars", "bytes")[turn::3] if program.SANITIZED else ("tokens", "chars", "bytes"):
                model = self.learn(family, kind, more=(*sizes[family], "--steps", 60))
                self.back(text(1200, 4), "-2", model=model)
                self.back(text(600, 4), "-1", "--adapt", 0.003, model=model)

    def test_any_bytes(self):
        for kind in ("chars", "bytes", "tokens"):
            model = self.learn(kind=kind)
            for data in (b"", b"t", b"the", "é".encode(), b"\xc3", b"\xc3x\xa9\xff\xff\xc3\xa9", text(300).replace("\n", "\r\n"),
                         text(900).encode() + b"\0\xfe" + "日本\U0001f600".encode() + b"\xed\xa0\x80" + text(600).encode()[:-1],
                         b"\n" * 2000, bytes(random.randrange(256) for _ in range(1500))):
                self.back(data, model=model)
            self.assertEqual(self.back("0123456789" * 200, model=model)["rows"], 0)
            self.assertIn("takes the model's place", self.told)
            about = self.back(text(3000).encode() + b"\xff\0" + "日".encode() * 3, model=model)
            self.assertGreater(about["rows"], 500, kind)
            about = self.back(text(20000, 3).replace("e", "日"), "--chunk-size", 3001, model=model)
            self.assertGreater(about["chunks"], 5)

    def test_sounds(self):
        samples = tone(3000)
        for kind in ("mulaw", "pcm"):
            model = self.learn_sounds(kind)
            about = self.back(wav(samples), "-9", model=model)
            scored = json.loads(good("score", model, self.folder / "in", "--json"))
            self.assertEqual(about["rows"], 3000)
            bits = scored["bits_per_symbol"] * 3000
            if kind == "mulaw":  # and which of a level's samples each is
                edges = self.levels()
                bits += sum(math.log2(edges[s]) for s in samples)
            self.assertAlmostEqual(about["predicted_bits"], bits, delta=1)
            self.assertTrue(bits < about["coded_bits"] + 1 < 1.001 * bits + 96)
            gone_on = self.back(wav(samples), "-9", "--adapt", 0.003, model=model)
            again = json.loads(good("score", model, self.folder / "in", "--adapt", 0.003, "--json"))
            apart = (scored["bits_per_symbol"] - again["bits_per_symbol"]) * 3000
            self.assertAlmostEqual(about["predicted_bits"] - gone_on["predicted_bits"], apart, delta=2)
            self.assertNotEqual(gone_on["predicted_bits"], about["predicted_bits"])
            for data in (wav(samples, extra=b"LIST\x05\0\0\0notes\0", behind=b"id3 \2\0\0\0zz"), wav(samples[:1]), wav([]),
                         wav(samples, size=0xFFFFFFFF), wav(samples, size=0), wav(samples)[:-1], wav(samples)[:43],
                         wav(samples, size=5001), wav(samples[:2999], channels=2), wav(samples, channels=7, rate=44100),
                         wav(bytes(range(256)) * 4, bits=8), wav(samples, code=3), wav(samples)[:20] + b"zz" + wav(samples)[22:],
                         b"fLaC" + bytes(range(200)), wav(samples, channels=0)):
                self.back(data, model=model)
                if len(data) % 3 == 0:
                    self.back(data, "--chunk-size", 1001, model=model)
            self.back(wav(samples, rate=16000), model=model)
            self.assertIn("16000 Hz", self.told)
            if kind == "mulaw":  # what a model has made has nothing between the levels
                good("sample", model, "-o", self.path("new.wav"), "--seconds", 0.2)
                about = self.back(self.path("new.wav").read_bytes(), "-9", model=model)
                bits = json.loads(good("score", model, self.path("new.wav"), "--json"))["bits_per_symbol"] * 1600
                self.assertAlmostEqual(about["predicted_bits"], bits, delta=1)

    @staticmethod
    def levels():
        """How many samples the level of each sample has."""
        level = [int(math.copysign(int((256 ** (abs(k - 128) / 128) - 1) / 255 * 32768 + 0.5), k - 128)) for k in range(256)]
        level = [min(32767, x) for x in level]
        nearest, at = {}, 0
        for s in range(-32768, 32768):
            while at < 255 and abs(level[at + 1] - s) < abs(level[at] - s):
                at += 1
            nearest[s] = at
        count = [0] * 256
        for s in nearest:
            count[nearest[s]] += 1
        return {s: count[k] for s, k in nearest.items()}

    def test_labels(self):
        at = self.path("labelled")
        for name, step in (("low", 0.1), ("high", 0.9)):
            (at / name).mkdir(parents=True)
            (at / name / "0.wav").write_bytes(wav(tone(3000, step)))
        model = self.path("labels.lk")
        good("fit", "wavenet", at, "-o", model, "--condition", "label", "--context", 32, "--layers", 4, "--residual", 12,
             "--skip", 12, "--steps", 150, "-q")
        self.assertEqual(self.back(wav(tone(1000, 0.9)), model=model)["rows"], 1000)

    def test_golden(self):
        """Archives of this version stay readable, and are made again to the byte."""
        for name, model, level in (("dialogue.txt", "text_model.lk", 1), ("tone.wav", "sound_model.lk", 2)):
            archive, model = STORED / f"{name}.archive.lk", STORED / model
            self.assertEqual(good("decompress", "-cq", "--model", model, archive, text=False), (GOLDEN / name).read_bytes())
            for threads in (1, 3):
                again = self.folder / "again.lk"
                good("compress", "-qf", f"-{level}", "--model", model, "-T", threads, GOLDEN / name, "-o", again)
                self.assertEqual(again.read_bytes(), archive.read_bytes())
            self.assertGreater(json.loads(good("-l", "--json", archive))["rows"], 400)
            archive = STORED / f"{name}.adapted.lk"
            self.assertEqual(good("decompress", "-cq", "--model", model, archive, text=False), (GOLDEN / name).read_bytes())
            good("compress", "-qf", f"-{level}", "--adapt", 0.002, "--model", model, GOLDEN / name, "-o", again)
            self.assertEqual(again.read_bytes(), archive.read_bytes())

    def test_learning_on(self):
        """The model goes on learning on both sides: `score --adapt` says the length; chunks and threads do not matter."""
        model = self.learn("rnn", more=("--width", 32, "--batch", 16, "--learning-rate", 0.02, "--steps", 200))
        data = text(700, 4).replace("stone", "onset")  # which it has not seen before
        plain = self.back(data, "-9", model=model)
        about = self.back(data, "-9", "--adapt", 0.01, model=model)
        scored = json.loads(good("score", model, self.folder / "in", "--adapt", 0.01, "--json"))
        bits = scored["bits_per_symbol"] * scored["symbols"]
        self.assertAlmostEqual(about["predicted_bits"], bits, delta=1)
        self.assertTrue(bits < about["coded_bits"] + 1 < 1.001 * bits + 64 + 32)
        self.assertLess(about["coded_bits"], 0.95 * plain["coded_bits"])
        about = self.back(data, "-1", "--chunk-size", 300, "--adapt", 0.01, model=model)
        self.assertGreater(about["chunks"], 2)
        archive = (self.folder / "in.lk").read_bytes()
        for threads in (1, 3):
            again = self.folder / "again.lk"
            good("compress", "-qf", "-1", "--chunk-size", 300, "--adapt", 0.01, "--model", model, "-T", threads,
                 self.folder / "in", "-o", again)
            self.assertEqual(again.read_bytes(), archive)
        data = data.encode()  # the last chunk needs no other
        self.assertEqual(good("decompress", "-qc", self.folder / "in.lk", "--model", model, "--range", "610:50", text=False),
                         data[610:660])
        bad = self.other_rate(archive, 0.01, 0.011)
        done = run("decompress", "-c", "--model", model, self.path("bad.lk", bad))
        self.assertEqual(done.returncode, 3)
        self.assertIn("does not decode to what its checksum says", done.stderr)
        back = run("decompress", "-c", "--salvage", "--model", model, self.path("bad.lk", bad), text=False).stdout
        self.assertTrue(0 < len(back) < len(data) and data.endswith(back))

    @staticmethod
    def other_rate(archive, rate, other):
        """Planted: the first chunk says another rate, and the record's checksum agrees."""
        raw = bytearray(archive)
        at = raw.index(b"CHNK")
        n = struct.unpack_from("<I", raw, at + 4)[0]
        place = at + 12 + 24 + 17
        assert struct.unpack_from("<d", raw, place)[0] == rate
        struct.pack_into("<d", raw, place, other)
        struct.pack_into("<I", raw, at + 12 + n, zlib.crc32(raw[at + 12:at + 12 + n]))
        return bytes(raw)

    def test_what_cannot_learn_on(self):
        data, model = self.path("a.txt", text(900)), self.learn()
        for options, code, says in ((("--model", model, "--adapt", 0.01), 5, "not learned by gradients"),
                                    (("--model", model, "--adapt", 11), 2, "10"),
                                    (("--model", model, "--adapt", "-1"), 2, ""),
                                    (("--model", model, "--codec", "rows", "--adapt", 0.01), 2, "rows"),
                                    (("--adapt", 0.01), 2, "--model")):
            done = run("compress", "-c", *options, data)
            self.assertEqual((done.returncode, done.stdout), (code, ""), options)
            self.assertIn(says, done.stderr)

    def test_chunks_and_streams(self):
        data, model = text(30000, 5).encode(), self.learn()
        about = self.back(data, "--chunk-size", 8000, "--embed", "--verify", "all", model=model)
        self.assertGreater(about["chunks"], 3)
        archive = self.folder / "in.lk"
        self.assertEqual(good("decompress", "-qc", archive, "--range", "20000:50", text=False), data[20000:20050])
        packed = good("compress", "-q", "--model", model, "--chunk-size", 8000, input=data, text=False)
        self.assertEqual(good("decompress", "-q", "--model", model, input=packed, text=False), data)
        raw = bytearray(archive.read_bytes())
        second = [i for i in range(len(raw)) if raw[i:i + 4] == b"CHNK"][1]
        raw[second + 80] ^= 1
        done = run("decompress", "-c", self.path("bad.lk", bytes(raw)), "--salvage", text=False)
        self.assertEqual(done.returncode, 3)
        self.assertIn("chunk 1", done.stderr)
        self.assertTrue(0 < len(data) - len(done.stdout) <= 8000)

    def test_every_byte(self):
        model = self.learn()
        for data in (text(150), text(90) + "日\0"):
            self.back(data, "-1", model=model)
            archive = (self.folder / "in.lk").read_bytes()
            for at in range(0, len(archive), 1 + len(archive) // (30 if program.SANITIZED else 80)):
                for bad in (archive[:at] + bytes([archive[at] ^ 1 << random.randrange(8)]) + archive[at + 1:], archive[:at]):
                    done = run("decompress", "-c", "--model", model, self.path("bad.lk", bad))
                    self.assertIn(done.returncode, (3, 4) if at < 80 else (3,), at)
                    self.assertTrue(data.startswith(done.stdout))

    def test_models(self):
        model, other = self.learn(), self.learn("rnn", name="other.lk", more=("--width", 8, "--steps", 5))
        data = self.path("a.txt", text(400))
        good("compress", "-q", "--model", model, data)
        for more, says in (([], program.sha256(model)), (["--model", other], program.sha256(other))):
            done = run("decompress", "-c", f"{data}.lk", *more)
            self.assertEqual((done.returncode, done.stdout), (4, ""))
            self.assertIn(says, done.stderr)
        table = self.path("t.csv", "a,b\n" + "1,2\n3,4\n" * 30)
        good("fit", "independent", table, "-o", self.path("t.model"), "-q")
        done = run("compress", "-c", "--codec", "series", "--model", self.path("t.model"), table)
        self.assertEqual(done.returncode, 5)
        self.assertIn("tables", done.stderr)
        self.assertEqual(run("compress", "-c", "--codec", "series", data).returncode, 2)
        self.assertEqual(run("compress", "-c", "--codec", "bytes", "--model", model, data).returncode, 2)
        good("compress", "-qf", "--codec", "rows", "--model", model, data)
        self.assertEqual(good("decompress", "-qc", "--model", model, f"{data}.lk"), data.read_text())


if __name__ == "__main__":
    program.main()
