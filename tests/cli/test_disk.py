#!/usr/bin/python3
"""A disk that is full, folders and files that may not be written, and signals: told by the exit code and a
sentence with file and reason; what was there before is as it was, and nothing is left half-written."""
import os
import pathlib
import signal
import subprocess
import time

import program
from program import Case, GOLDEN, PROGRAM, good, run

PULSES = GOLDEN / "pulses.csv"
NOBODY = 65534

# Runs "$@" with a disk of 64 KiB at $DISK, seen by nobody else, that holds old.csv and old.lk; says afterwards what is there.
ON_A_SMALL_DISK = """
mount -t tmpfs -o size=64k none "$DISK" || exit 99
for name in csv npy lk; do echo old >"$DISK/old.$name"; done
"$@"
code=$?
for file in "$DISK"/.[!.]* "$DISK"/*; do
    [ -f "$file" ] && echo "$(basename "$file") $(wc -c <"$file")"
done
exit $code
"""


def may_mount():
    return subprocess.run(["unshare", "-m", "sh", "-c", "mount -t tmpfs none /mnt"], stdout=subprocess.DEVNULL,
                          stderr=subprocess.DEVNULL).returncode == 0


class Disk(Case):
    def setUp(self):
        super().setUp()
        self.folder.chmod(0o755)
        self.model = self.path("m.lk")
        good("fit", "gmm", PULSES, "-o", self.model, "--components", "2", "--steps", "5")

    def listing(self, *arguments):
        """Exit code, standard error and what is on the small disk afterwards."""
        disk = self.folder / "disk"
        disk.mkdir(exist_ok=True)
        done = subprocess.run(["unshare", "-m", "sh", "-c", ON_A_SMALL_DISK, "sh", *map(str, arguments)],
                              env={**os.environ, "DISK": str(disk)}, capture_output=True, text=True,
                              timeout=program.SECONDS)
        return done.returncode, done.stderr, sorted(done.stdout.split("\n")[:-1])

    def test_full_disk(self):
        if not may_mount():
            self.skipTest("skipped: a disk of one's own needs root")
        disk, big = self.folder / "disk", ["-n", "100000", "-q"]
        old = ["old.csv 4", "old.lk 4", "old.npy 4"]
        fit = ["fit", "gmm", PULSES, "-q", "--components", "200", "--covariance", "full", "--steps", "2", "--tolerance", "0"]
        for arguments in (["sample", self.model, *big, "-o", disk / "new.csv"],
                          ["sample", self.model, *big, "-f", "-o", disk / "old.csv"],
                          ["sample", self.model, *big, "-f", "-o", disk / "old.npy"],
                          [*fit, "--seed", "3", "-f", "-o", disk / "old.lk"],
                          [*fit, "--checkpoint-seconds", "0", "-o", disk / "new.lk"]):
            if "gmm" in arguments:  # 200 components of two numbers are less than the disk; fill it
                arguments = ["sh", "-c", 'head -c 61000 /dev/zero >"$DISK/filler"; exec "$0" "$@"', PROGRAM, *arguments]
            else:
                arguments = [PROGRAM, *arguments]
            with self.subTest(arguments=[str(a) for a in arguments]):
                code, error, files = self.listing(*arguments)
                self.assertEqual(code, 8, error)
                self.assertIn("No space left on device", error)
                self.assertIn(pathlib.Path(str(arguments[-1])).name, error)
                self.assertEqual([f for f in files if not f.startswith("filler")], old)
        # Planted: what writes in place leaves half a file, and this sees it.
        code, _, files = self.listing("sh", "-c", 'cat /dev/zero >"$DISK/old.csv" 2>/dev/null')
        self.assertNotEqual(code, 0)
        self.assertNotEqual(files, old)

    def test_full_disk_of_archives(self):
        if not may_mount():
            self.skipTest("skipped: a disk of one's own needs root")
        disk = self.folder / "disk"
        big = self.path("big.bin", os.urandom(200000))
        archive, rows = self.folder / "big.lk", self.path("rows.csv", PULSES.read_text() + "".join(PULSES.read_text().split("\n", 1)[1] * 300))
        good("compress", "-q", "-0", big, "-o", archive)
        good("compress", "-q", "--model", self.model, rows)
        old = ["old.csv 4", "old.lk 4", "old.npy 4"]
        for arguments in (["compress", "-q", "-1", big, "-f", "-o", disk / "old.lk"],
                          ["compress", "-q", "-0", big, "-o", disk / "new.lk"],
                          ["decompress", "-q", archive, "-o", disk / "new.bin"],
                          ["decompress", "-q", archive, "--salvage", "-o", disk / "new.bin"],
                          ["decompress", "-q", "--model", self.model, f"{rows}.lk", "-f", "-o", disk / "old.csv"]):
            with self.subTest(arguments=[str(a) for a in arguments]):
                code, error, files = self.listing(PROGRAM, *arguments)
                self.assertEqual((code, files), (8, old), error)
                self.assertIn("No space left on device", error)
                self.assertIn(pathlib.Path(str(arguments[-1])).name, error)

    def as_nobody(self, *arguments):
        more = {"user": NOBODY} if os.geteuid() == 0 else {}
        return run(*arguments, **more)

    def test_no_permission(self):
        closed, target = self.folder / "closed", self.folder / "closed/o.csv"
        closed.mkdir()
        target.write_text("old")
        closed.chmod(0o555)
        for name in ("closed/o.csv", "closed/new.csv"):
            done = self.as_nobody("sample", self.model, "-f", "-o", self.folder / name)
            self.assertEqual(done.returncode, 8, done.stderr)
            self.assertIn(name, done.stderr)
            self.assertIn("Permission denied", done.stderr)
        done = self.as_nobody("fit", "gmm", PULSES, "-o", closed / "o.lk")
        self.assertEqual((done.returncode, "closed/o.lk" in done.stderr), (8, True), done.stderr)
        self.model.chmod(0)
        done = self.as_nobody("score", self.model, PULSES)
        self.assertEqual((done.returncode, "m.lk: Permission denied" in done.stderr), (8, True), done.stderr)
        closed.chmod(0o755)
        self.assertEqual([p.name for p in closed.iterdir()], ["o.csv"])
        self.assertEqual(target.read_text(), "old")

    def test_targets_that_are_no_files(self):
        done = run("sample", self.model, "-f", "-o", self.folder)
        self.assertEqual((done.returncode, str(self.folder) in done.stderr), (2, True), done.stderr)
        done = run("sample", self.model, "-o", "/dev/full", "-n", "100000")
        self.assertEqual(done.returncode, 8, done.stderr)
        self.assertIn("/dev/full: No space left", done.stderr)
        self.assertEqual(run("sample", self.model, "-o", "/dev/null").returncode, 0)

    def test_signals(self):
        """A run that is told to end while it writes ends with 130, and leaves the old file."""
        target = self.path("o.csv", "old")
        for number in (signal.SIGTERM, signal.SIGINT):
            for arguments in (["sample", self.model, "-n", "1000000000", "-f", "-o", target],
                              ["sample", self.model, "-n", "1000000000"]):
                with self.subTest(signal=number, arguments=[str(a) for a in arguments]):
                    running = subprocess.Popen([PROGRAM, *map(str, arguments)], stdout=subprocess.DEVNULL,
                                               stderr=subprocess.PIPE, text=True)
                    time.sleep(0.3)
                    running.send_signal(number)
                    _, error = running.communicate(timeout=program.SECONDS)
                    self.assertEqual(running.returncode, 130, error)
                    self.assertIn("interrupted", error)
                    self.assertEqual(sorted(p.name for p in self.folder.iterdir() if p.is_file()), ["m.lk", "o.csv"])
                    self.assertEqual(target.read_text(), "old")

    def test_signal_while_scoring(self):
        rows = self.path("rows.csv", PULSES.read_text() + "".join(PULSES.read_text().split("\n", 1)[1] * 20000))
        running = subprocess.Popen([PROGRAM, "score", str(self.model), str(rows)], stdout=subprocess.PIPE,
                                   stderr=subprocess.PIPE, text=True)
        running.stdout.readline()
        running.send_signal(signal.SIGTERM)
        _, error = running.communicate(timeout=program.SECONDS)
        self.assertEqual(running.returncode, 130, error)
        self.assertIn("interrupted", error)

    def test_reader_that_goes(self):
        for arguments in (["score", self.model, PULSES], ["sample", self.model, "-n", "1000000"]):
            running = subprocess.Popen([PROGRAM, *map(str, arguments)], stdout=subprocess.PIPE, stderr=subprocess.PIPE)
            running.stdout.readline()
            running.stdout.close()
            error = running.stderr.read().decode()
            running.stderr.close()
            self.assertIn(running.wait(timeout=program.SECONDS), (0, 8), error)
            self.assertNotIn("Sanitizer", error)


if __name__ == "__main__":
    program.main()
