#!/usr/bin/python3
"""Sounds, as a user learns, scores and writes them."""
import array
import json
import math
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

    def test_no_sounds(self):
        model = self.fit()
        for arguments, code, says in (
                (("sample", model, "-o", self.path("x.mp3")), 2, ".wav or .flac"),
                (("sample", model, "-o", self.path("x.wav"), "--stop", "a"), 2, "stop"),
                (("fit", "wavenet", program.GOLDEN / "nothing.wav", "-o", self.path("y")), 8, "nothing.wav"),
                (("fit", "wavenet", self.path("text.wav", "no recording"), "-o", self.path("y")), 3, "named like a recording"),
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
