#!/usr/bin/python3
"""Learning that was stopped goes on to the bits of learning that was not: killed at moments that a fixed
seed picks, interrupted by Ctrl-C, or ended by a time budget and replayed by its number of steps."""
import json
import os
import random
import signal
import subprocess
import time

import program
from program import Case, GOLDEN, PROGRAM, good, run, scores, sha256

TABLE = GOLDEN / "orchard.csv"
# Each takes about a second or two on one slow core.
BUDGET = {"gmm": ["--components", "30", "--tolerance", "0", "--steps", "250"],
          "fa": ["--latents", "2", "--tolerance", "0", "--steps", "400"],
          "made": ["--steps", "400"],
          "mixture": ["--components", "30", "--tolerance", "0", "--steps", "250"],
          "vae": ["--steps", "250", "--hidden", "100"]}


class Resume(Case):
    def start(self, family, model, *more):
        return subprocess.Popen([PROGRAM, "fit", family, str(TABLE), "-o", str(model), "--quiet",
                                 "--checkpoint-seconds", "0", *BUDGET[family], *more],
                                stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)

    def whole(self, family):
        model = self.path(f"{family}.whole.lk")
        began = time.monotonic()
        good("fit", family, TABLE, "-o", model, "--quiet", "--checkpoint-seconds", "0", *BUDGET[family])
        return model, time.monotonic() - began

    def wait_for_checkpoint(self, process, model):
        while process.poll() is None and not os.path.exists(f"{model}.checkpoint"):
            time.sleep(0.005)

    def kill_and_resume(self, family):
        whole, seconds = self.whole(family)
        model, delays = self.path(f"{family}.killed.lk"), random.Random(f"kill {family}")
        kills, code, resume = 0, None, []
        while code is None:
            process = self.start(family, model, *resume)
            if kills < 4:
                self.wait_for_checkpoint(process, model)
                time.sleep(delays.uniform(0, seconds / 4))
                process.kill()
            _, message = process.communicate(timeout=program.SECONDS)
            if process.returncode == -signal.SIGKILL:
                self.assertFalse(model.exists(), "a model from a run that was killed")
                kills += 1
                resume = ["--resume"] if os.path.exists(f"{model}.checkpoint") else []
            else:
                code = process.returncode
        self.assertEqual(code, 0, message)
        self.assertGreater(kills, 1, "the budget is too small for this machine: nothing was killed")
        self.assertEqual(sha256(model), sha256(whole))
        self.assertFalse(os.path.exists(f"{model}.checkpoint"))

    def interrupt_and_resume(self, family):
        whole, seconds = self.whole(family)
        model = self.path(f"{family}.interrupted.lk")
        process = self.start(family, model)
        self.wait_for_checkpoint(process, model)
        time.sleep(seconds / 10)
        process.send_signal(signal.SIGINT)
        _, message = process.communicate(timeout=program.SECONDS)
        self.assertEqual(process.returncode, 130, message)
        self.assertIn(b"--resume", message)
        self.assertEqual(len(scores(model, TABLE)), 240)
        self.assertTrue(os.path.exists(f"{model}.checkpoint"))
        self.assertNotEqual(sha256(model), sha256(whole), "it was not interrupted")
        # Another option or other data is not the same run.
        other = run("fit", family, TABLE, "-o", model, "--resume", "--components", "7")
        self.assertEqual(other.returncode, 2, other.stderr)
        other = run("fit", family, GOLDEN / "pulses.csv", "-o", model, "--resume")
        self.assertEqual(other.returncode, 3, other.stderr)
        good("fit", family, TABLE, "-o", model, "--resume", "--quiet", *BUDGET[family])
        self.assertEqual(sha256(model), sha256(whole))
        self.assertFalse(os.path.exists(f"{model}.checkpoint"))

    def minutes_and_replay(self, family):
        timed, replayed = self.path(f"{family}.timed.lk"), self.path(f"{family}.replayed.lk")
        options = BUDGET[family][:-2] if family != "vae" else ["--hidden", "100"]
        if family == "made":
            options = ["--patience", "100000"]
        elif family == "vae":
            options += ["--patience", "100000"]
        good("fit", family, TABLE, "-o", timed, "--minutes", "0.02", *options)
        steps = json.loads(good("show", timed))["steps"]
        self.assertGreater(steps, 0)
        good("fit", family, TABLE, "-o", replayed, "--steps", steps, *options)
        self.assertEqual(sha256(timed), sha256(replayed))
        good("fit", family, TABLE, "-o", replayed, "-f", "--steps", max(steps // 2, 1), *options)
        self.assertNotEqual(sha256(timed), sha256(replayed))

    def test_start(self):
        """--start begins where another model ended: at a rate of 0 it stays there, else it gets better."""
        first, still, better = self.path("first.lk"), self.path("still.lk"), self.path("better.lk")
        small = ["--hidden", "20", "--held-out", "0", "--quiet"]
        good("fit", "vae", TABLE, "-o", first, "--steps", "60", *small)
        good("fit", "vae", TABLE, "-o", still, "--start", first, "--steps", "1", "--learning-rate", "0", *small)
        self.assertEqual(scores(still, TABLE), scores(first, TABLE))
        about = json.loads(good("show", still))
        self.assertEqual(about["start_data_sha256"], about["data_sha256"])
        good("fit", "vae", TABLE, "-o", better, "--start", first, "--steps", "60", *small)
        self.assertGreater(sum(scores(better, TABLE)), sum(scores(first, TABLE)) + 1)
        for code, family, *more in ((2, "made"), (2, "vae", "--hidden", "21"), (5, "gmm"), (2, "auto")):
            bad = run("fit", family, TABLE, "-o", self.path("bad.lk"), "--start", first, "--steps", "1", *more)
            self.assertEqual(bad.returncode, code, bad.stderr)
            self.assertFalse(self.path("bad.lk").exists())

    def test_cosine_of_minutes(self):
        """A cosine that ends when the minutes do is replayed by its number of steps alone."""
        text = GOLDEN / "dialogue.txt"
        small = ["transformer", text, "--context", 12, "--width", 8, "--layers", 1, "--heads", 1, "--warmup", 5,
                 "--accumulate", 2, "--patience", 100000]
        timed, replayed = self.path("timed.lk"), self.path("replayed.lk")
        good("fit", *small, "-o", timed, "--minutes", "0.02")
        about = json.loads(good("show", timed))
        self.assertGreaterEqual(int(about["options"]["decay-steps"]), about["steps"])
        good("fit", *small, "-o", replayed, "--steps", about["steps"], "--decay-steps", about["options"]["decay-steps"])
        self.assertEqual(sha256(timed), sha256(replayed))
        if int(about["options"]["decay-steps"]) == about["steps"]:
            good("fit", *small, "-o", replayed, "-f", "--steps", about["steps"])
            self.assertEqual(sha256(timed), sha256(replayed))
        good("fit", *small, "-o", replayed, "-f", "--steps", about["steps"] + 1)
        self.assertNotEqual(sha256(timed), sha256(replayed))

    def test_found_rate(self):
        """Looking for the learning rate leaves no trace but the rate: --learning-rate learns the same from it, and so does what
        was interrupted in the search and resumed."""
        small = ["made", TABLE, "--steps", 40, "--average", 0.9, "--dropout", 0.1, "--schedule", "cosine", "--warmup", 4]
        found, said, other = self.path("found.lk"), self.path("said.lk"), self.path("other.lk")
        good("fit", *small, "-o", found, "--find-rate", 60)
        rate = json.loads(good("show", found))["options"]["learning-rate"]
        self.assertTrue(1e-5 < float(rate) < 0.1, rate)
        good("fit", *small, "-o", said, "--learning-rate", rate)
        self.assertEqual(scores(said, TABLE), scores(found, TABLE))
        good("fit", *small, "-o", other, "--learning-rate", float(rate) * 1.1)
        self.assertNotEqual(scores(said, TABLE), scores(other, TABLE))
        for options, status, word in ((["--find-rate", 60, "--learning-rate", 0.01], 2, "--learning-rate"),
                                      (["--find-rate", 1], 6, "--find-rate")):
            result = run("fit", *small, "-o", other, "-f", *options)
            self.assertEqual(result.returncode, status)
            self.assertIn(word, result.stderr)
        whole, broken = self.path("whole.lk"), self.path("broken.lk")
        good("fit", *small, "-o", whole, "--find-rate", 1500)
        process = subprocess.Popen([PROGRAM, "fit", *map(str, small), "-o", str(broken), "--find-rate", "1500"],
                                   stderr=subprocess.PIPE)
        time.sleep(0.3)
        process.send_signal(signal.SIGINT)
        _, message = process.communicate(timeout=program.SECONDS)
        if process.returncode: # else it was done before
            self.assertEqual(process.returncode, 130, message)
            good("fit", *small, "-o", broken, "-f", "--find-rate", 1500, "--resume")
        self.assertEqual(sha256(broken), sha256(whole))

    def test_batches_add_up(self):
        """Two batches of 4 make the step that one of 8 makes, to rounding: the same windows, in the same order."""
        text = GOLDEN / "dialogue.txt"
        fits = []
        for name, batch, times in (("one", 8, 1), ("two", 4, 2), ("other", 4, 1)):
            good("fit", "rnn", text, "--context", 12, "--width", 8, "--steps", 4, "--batch", batch, "--accumulate", times,
                 "--held-out", 0, "--schedule", "constant", "--warmup", 0, "-o", self.path(f"{name}.lk"))
            fits.append(scores(self.path(f"{name}.lk"), text))
        far = [max(abs(a - b) for a, b in zip(fits[0], fit)) for fit in fits[1:]]
        self.assertLess(far[0], 1e-3)
        self.assertGreater(far[1], 10 * far[0])


def add(kind, family):
    setattr(Resume, f"test_{kind}_{family}", lambda self: getattr(self, kind)(family))


for name in BUDGET:
    for way in ("kill_and_resume", "interrupt_and_resume", "minutes_and_replay"):
        add(way, name)

if __name__ == "__main__":
    program.main()
