#!/usr/bin/python3
"""Sounds, as a user learns, scores and writes them."""
import array
import json
import math
import random
import struct
import sys
import wave

import program
from program import Case, good, run


def write(path, samples, rate=8000):
    data = array.array("h", samples)
    if sys.byteorder == "big":
        data.byteswap()
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(rate)
        file.writeframes(data.tobytes())
    return path


def read(path):
    with wave.open(str(path)) as file:
        data = array.array("h", file.readframes(file.getnframes()))
        if sys.byteorder == "big":
            data.byteswap()
        return file.getframerate(), list(data)


def write_features(path, rows):
    """NumPy's file of float32 [rows, features]."""
    header = f"{{'descr': '<f4', 'fortran_order': False, 'shape': ({len(rows)}, {len(rows[0])}), }}".ljust(117) + "\n"
    path.write_bytes(b"\x93NUMPY\x01\x00" + struct.pack("<H", len(header)) + header.encode() +
                     b"".join(struct.pack(f"<{len(row)}f", *row) for row in rows))
    return path


LEVELS = [max(-32768, min(32767, int(math.copysign(int((256 ** (abs(k - 128) / 128) - 1) / 255 * 32768 + 0.5), k - 128))))
          for k in range(256)]
SMALL = ("--layers", 3, "--residual", 8, "--skip", 8, "--context", 64, "--batch", 4, "--steps", 25, "-f", "-q")


class Sounds(Case):
    def recordings(self):
        at = self.path("sounds")
        at.mkdir(exist_ok=True)
        for i in range(4):
            write(at / f"{i}.wav", [int(9000 * math.sin(t * (0.2 + 0.1 * i))) for t in range(1500)])
        return at

    def fit(self, *more, family="wavenet"):
        model = self.path("sound.lk")
        good("fit", family, self.recordings(), "-o", model, *SMALL, *more)
        return model

    def test_learned_scored_and_written(self):
        model = self.fit()
        tone = self.recordings() / "1.wav"
        about = json.loads(good("score", model, tone, "--json"))
        self.assertEqual((about["symbols"], about["symbol"]), (1500, "sample"))
        self.assertLess(about["bits_per_symbol"], 8)
        wav, flac = self.path("new.wav"), self.path("new.flac")
        good("sample", model, "-o", wav, "--seconds", 0.05)
        rate, samples = read(wav)
        self.assertEqual((rate, len(samples)), (8000, 400))
        self.assertLessEqual(set(samples), set(LEVELS))
        good("sample", model, "-o", flac, "--seconds", 0.05)
        both = [json.loads(good("score", model, path, "--json"))["mean_log_prob"] for path in (wav, flac)]
        self.assertEqual(*both)
        self.assertEqual(good("sample", model, "--seconds", 0.05, text=False), wav.read_bytes())
        good("sample", model, "-o", self.path("many.wav"), "-n", 2, "--seconds", 0.01, "--prompt", tone)
        self.assertEqual(len(read(self.path("many-2.wav"))[1]), 1500 + 80)

    def test_samples_of_16_bits(self):
        model = self.fit("--sound", "pcm")
        about = json.loads(good("score", model, self.recordings(), "--json"))
        self.assertLess(about["bits_per_symbol"], 13)  # of 16; they go up to 9000
        wav = self.path("new.wav")
        good("sample", model, "-o", wav, "--seconds", 0.05)
        self.assertGreater(len(set(read(wav)[1]) - set(LEVELS)), 100)
        refused = run("fit", "ngram", self.recordings(), "--sound", "pcm", "-o", self.path("x"))
        self.assertEqual(refused.returncode, 5)
        self.assertIn("65536", refused.stderr)

    def test_labels(self):
        at = self.path("labelled")
        for name, step in (("low", 0.15), ("high", 1.1)):
            (at / name).mkdir(parents=True)
            for i in range(3):
                write(at / name / f"{i}.wav", [int(8000 * math.sin(step * t + i)) for t in range(1500)])
        model = self.path("labelled.lk")
        good("fit", "wavenet", at, "-o", model, "--condition", "label", "--context", 32, "--layers", 4, "--residual", 16, "--skip", 16,
             "--steps", 400, "-q")
        with_label = json.loads(good("score", model, at, "--json"))
        self.assertEqual((with_label["symbols"], with_label["context"]), (9000, 32))
        changes = {}
        for name in ("low", "high"):
            good("sample", model, "--given", f"label={name}", "-o", self.path(f"{name}.wav"), "--seconds", 0.25)
            x = read(self.path(f"{name}.wav"))[1]
            changes[name] = sum((a < 0) != (b < 0) for a, b in zip(x, x[1:]))
        self.assertLess(changes["low"], changes["high"])
        # The other's sounds are less probable by the one's label.
        swapped = self.path("swapped")
        for a, b in (("low", "high"), ("high", "low")):
            (swapped / a).mkdir(parents=True)
            (swapped / a / "0.wav").write_bytes((at / b / "0.wav").read_bytes())
        self.assertLess(json.loads(good("score", model, swapped, "--json"))["mean_log_prob"], with_label["mean_log_prob"])
        for arguments, says in ((("sample", model, "-o", self.path("x.wav")), "label is to be given"),
                                (("sample", model, "--given", "label=who", "-o", self.path("x.wav")), "low"),
                                (("fit", "rnn", self.recordings(), "--condition", "label", "-o", self.path("x")), "folder")):
            done = run(*arguments)
            self.assertNotEqual(done.returncode, 0)
            self.assertIn(says, done.stderr)

    HOP = 40

    def framed(self, name, seed, recordings=3):
        """Noise that is loud or soft by frames; the log of each frame's energy, and a feature that says nothing."""
        draw, at = random.Random(seed), self.path(name)
        at.mkdir()
        for i in range(recordings):
            frames = [draw.choice((30, 300, 3000)) for _ in range(30)]
            samples = [round(frames[t // self.HOP] * draw.gauss(0, 1)) for t in range(self.HOP * len(frames) - 7)]
            write(at / f"{i}.wav", samples)
            energy = [math.log(sum(x * x for x in samples[f * self.HOP:(f + 1) * self.HOP]) + 1) for f in range(len(frames))]
            write_features(at / f"{i}.npy", [(e, draw.random()) for e in energy])
        return at

    def test_frames(self):
        learned, held = self.framed("learned", 1), self.framed("held", 2)
        settings = ("--layers", 3, "--residual", 8, "--skip", 8, "--context", 64, "--batch", 8, "--steps", 250, "-q")
        plain, model = self.path("plain.lk"), self.path("framed.lk")
        frames = ("--frames", ".npy", "--hop", self.HOP)
        good("fit", "wavenet", learned, "-o", plain, *settings)
        good("fit", "wavenet", learned, "-o", model, *frames, *settings)
        about = [json.loads(good("score", m, held, "--json")) for m in (plain, model)]
        self.assertEqual({a["symbols"] for a in about}, {3 * (30 * self.HOP - 7)})
        self.assertLess(about[1]["bits_per_symbol"], about[0]["bits_per_symbol"] - 0.1)
        # The other recording's frames make it less probable.
        first, second = ((held / f"{i}.npy").read_bytes() for i in (0, 1))
        (held / "0.npy").write_bytes(second)
        (held / "1.npy").write_bytes(first)
        self.assertGreater(json.loads(good("score", model, held, "--json"))["bits_per_symbol"], about[1]["bits_per_symbol"] + 0.1)
        # As many samples as frames have, loud where these say so.
        loud, soft = math.log(3000 ** 2 * self.HOP), math.log(30 ** 2 * self.HOP)
        wanted = write_features(self.path("wanted.npy"), [(loud, 0.5)] * 8 + [(soft, 0.5)] * 8)
        good("sample", model, "--frames", wanted, "-o", self.path("new.wav"))
        x = read(self.path("new.wav"))[1]
        self.assertEqual(len(x), 16 * self.HOP)
        self.assertGreater(sum(map(abs, x[:8 * self.HOP])), 3 * sum(map(abs, x[9 * self.HOP:])))
        narrow = write_features(self.path("narrow.npy"), [(1,)] * 3)
        lacks = self.framed("lacks", 3)
        (lacks / "1.npy").unlink()
        short = self.framed("short", 4)
        write_features(short / "2.npy", [(1, 1)] * 29)
        good("report", model, "-o", self.path("page.html"))
        self.assertIn("features of frames", self.path("page.html").read_text())
        for arguments, code, says in (
                (("sample", model, "-o", self.path("y.wav")), 2, "--frames FILE.npy"),
                (("sample", model, "--frames", wanted, "--prompt", learned / "0.wav", "-o", self.path("y.wav")), 2, "640 samples"),
                (("sample", model, "--frames", narrow, "-o", self.path("y.wav")), 3, "1 features a frame"),
                (("sample", plain, "--frames", wanted, "-o", self.path("y.wav")), 5, "no features"),
                (("sample", model, "--frames", wanted, "--given", "phase=1", "-o", self.path("y.wav")), 2, "phase"),
                (("score", model, lacks), 8, "1.npy"),
                (("score", model, short), 3, "should be 30; its .npy file has 29"),
                (("fit", "wavenet", learned, "--frames", ".npy", "-o", self.path("z")), 2, "--hop"),
                (("fit", "wavenet", program.GOLDEN / "dialogue.txt", *frames, "-o", self.path("z")), 2, "not read as recordings"),
                (("fit", "made", program.GOLDEN / "orchard.csv", *frames, "-o", self.path("z")), 2, "not read as recordings"),
                (("fit", "made", program.GOLDEN / "orchard.csv", "--hop", 40, "-o", self.path("z")), 2, "goes with --frames"),
                (("fit", "wavenet", learned, "--hop", 40, "-o", self.path("z")), 2, "goes with --frames"),
                (("fit", "wavenet", learned, *frames, "--start", plain, "-o", self.path("z")), 2, "a schema with no frames"),
                (("fit", "wavenet", learned, "--frames", ".npy", "--hop", 20, "--start", model, "-o", self.path("z")), 2, "other frames"),
                (("sample", model, "--frames", wanted, "--seconds", 1, "-o", self.path("y.wav")), 2, "leave out --seconds"),
                (("fit", "rnn", learned, *frames, "-o", self.path("z")), 5, "wavenet learns"),
                (("fit", "ngram", learned, *frames, "-o", self.path("z")), 5, "wavenet learns"),
                (("compress", learned / "0.wav", "--model", model, "-o", self.path("z")), 5, "not in the file")):
            done = run(*arguments)
            self.assertEqual(done.returncode, code, done)
            self.assertIn(says, done.stderr)

    def test_no_sounds(self):
        model, table = self.fit(), self.path("table.lk")
        good("fit", "independent", program.GOLDEN / "orchard.csv", "-o", table)
        for arguments, code, says in (
                (("sample", model, "-o", self.path("x.mp3")), 2, ".wav or .flac"),
                (("sample", model, "-o", self.path("x.wav"), "--stop", "a"), 2, "stop"),
                (("fit", "wavenet", program.GOLDEN / "nothing.wav", "-o", self.path("y")), 8, "nothing.wav"),
                (("fit", "wavenet", self.path("text.wav", "no recording"), "-o", self.path("y")), 3, "named like a recording"),
                (("score", table, self.recordings()), 3, "a table's"),
                (("score", table, self.recordings() / "0.wav"), 3, "a table's"),
                (("score", model, program.GOLDEN / "dialogue.txt"), 3, "recording")):
            done = run(*arguments)
            self.assertEqual(done.returncode, code, done)
            self.assertIn(says, done.stderr)
        lies = self.path("lies.wav")
        raw = (self.recordings() / "0.wav").read_bytes()
        lies.write_bytes(raw[:40] + b"\xff\xff\xff\x7f" + raw[44:])
        self.assertEqual(json.loads(good("score", model, lies, "--json"))["symbols"], 1500)
        write(self.path("fast.wav"), [0] * 3000, 16000)
        done = run("score", model, self.path("fast.wav"), "--json")
        self.assertIn("resampled from 16000 Hz to 8000", done.stderr)
        self.assertEqual(json.loads(done.stdout)["symbols"], 1500)


if __name__ == "__main__":
    program.main()
