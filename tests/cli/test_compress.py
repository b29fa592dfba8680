#!/usr/bin/python3
"""compress and decompress: everything comes back, stored archives stay readable, an independent decoder agrees, and
the command line behaves as a compressor's does."""
import json
import os
import pty
import signal
import subprocess
import sys
import time
import unittest

import program
from program import Case, DATA, GOLDEN, PROGRAM, ROOT, good, run

ARCHIVES = ROOT / "tests/golden/archives"
DECODER = ROOT / "tools/decode_archive.py"


def packed(data, *options):
    return good("compress", "-q", *options, input=data, text=False)


def unpacked(data, *options):
    return good("decompress", "-q", *options, input=data, text=False)


class Archives(Case):
    def test_golden(self):
        original = (ARCHIVES / "original.txt").read_bytes()
        names = sorted(ARCHIVES.glob("*.lk"))
        self.assertEqual(len(names), 13)
        for turn, path in enumerate(names):
            want = b"" if "empty" in path.name else original
            self.assertEqual(good("decompress", "-cq", path, text=False), want, path.name)
            if turn % 3 or program.SANITIZED:  # the plain decoder takes seconds, and no sanitizer sees it
                continue
            done = subprocess.run([sys.executable, DECODER, path], capture_output=True, timeout=600, check=True)
            self.assertEqual(done.stdout, want, path.name)
        for level in (0, 1, 5, 9) if program.SANITIZED else range(10):  # encoding is a function of the input and the options, too
            good("compress", "-q", f"-{level}", ARCHIVES / "original.txt", "-f", "-o", self.folder / "again.lk")
            self.assertEqual((self.folder / "again.lk").read_bytes(), (ARCHIVES / (f"bytes_level_{level}.lk" if level else "order0.lk")).read_bytes())

    def test_decoder_refuses(self):
        data = bytearray((ARCHIVES / "bytes_chunks.lk").read_bytes())
        plain = [] if program.SANITIZED else [sys.executable, DECODER]
        for turn, at in enumerate(range(5, len(data), 97)):
            data[at] ^= 16
            path = self.path("bad.lk", bytes(data))
            data[at] ^= 16
            for command in ([PROGRAM, "decompress", "-c"], plain if turn % 8 == 0 else []):
                if not command:
                    continue
                done = subprocess.run([*command, path], capture_output=True, timeout=600)
                self.assertNotEqual(done.returncode, 0)
                self.assertTrue((ARCHIVES / "original.txt").read_bytes().startswith(done.stdout))

    def test_files(self):
        a, b = self.path("a.txt", "some text " * 50), self.path("b", bytes(range(256)))
        os.utime(a, (1000000000, 1000000000))
        a.chmod(0o640)
        done = run("compress", a, b)
        self.assertEqual((done.returncode, done.stdout), (0, ""))
        self.assertRegex(done.stderr, r"a\.txt: 500 => \d+ bytes, [\d.]+ %, [\d.]+ bits a byte, [\d.]+ MB/s")
        archive = self.folder / "a.txt.lk"
        self.assertEqual((archive.stat().st_mtime, archive.stat().st_mode & 0o777), (1000000000, 0o640))
        self.assertEqual(run("compress", a).returncode, 2)  # it exists
        self.assertEqual(good("compress", "-qf", a), "")
        a.unlink()
        self.assertEqual(good("decompress", "-q", archive), "")
        self.assertEqual(a.read_text(), "some text " * 50)
        self.assertTrue(archive.exists())
        good("decompress", "-qf", "--rm", archive)
        self.assertFalse(archive.exists())
        self.assertEqual(good("decompress", "-qdc", f"{b}.lk", text=False), bytes(range(256)))
        self.assertEqual(good("compress", "-dcq", f"{b}.lk", text=False), bytes(range(256)))

    def test_listing(self):
        path = self.path("a.txt", "abc" * 1000)
        good("compress", "-q", "-3", path)
        for arguments in (["-l"], ["decompress", "--list"]):
            self.assertRegex(good(*arguments, f"{path}.lk"), r"3000 .* 1  bytes -3  .*a\.txt\.lk \(a\.txt\)")
        about = json.loads(good("-l", "--json", f"{path}.lk"))
        self.assertEqual((about["bytes"], about["chunks"], about["sha256"]), (3000, 1, program.sha256(path)))
        self.assertEqual(run("-l", path).returncode, 3)
        self.assertEqual(good("-t", "-q", f"{path}.lk"), "")
        self.assertEqual(json.loads(good("compress", "-f", "--json", path))["bytes"], 3000)

    def test_usage(self):
        path = self.path("a.txt", "x" * 20)
        for arguments, code, word in ((["compress", "-19", path], 2, "levels 1 to 9"),
                                      (["compress", "-0", "--learn", "gmm", path], 2, "order0"),
                                      (["compress", self.folder], 2, "folder"),
                                      (["compress", self.folder / "none"], 8, "No such file"),
                                      (["compress", path, path, "-o", self.folder / "o"], 2, "2 inputs"),
                                      (["decompress", path], 2, "does not end in .lk"),
                                      (["decompress", "-c", path], 3, "no archive"),
                                      (["compress", "--learn", "none", path], 2, "--learn"),
                                      (["decompress", "--range", "x", path], 2, "FIRST:COUNT")):
            done = run(*arguments)
            self.assertEqual(done.returncode, code, (arguments, done.stderr))
            self.assertIn(word, done.stderr)
        self.assertEqual(sorted(p.name for p in self.folder.iterdir()), ["a.txt"])
        # One bad input of three: the others are done, and the exit code is its own.
        other = self.path("b.txt", "y")
        self.assertEqual(run("compress", "-q", path, self.folder / "none", other).returncode, 8)
        self.assertTrue((self.folder / "a.txt.lk").exists() and (self.folder / "b.txt.lk").exists())

    def test_range(self):
        data = os.urandom(3000) + bytes(5000)
        path = self.path("r", data)
        good("compress", "-q", "-1", "--chunk-size", "700", path)
        for first, count in ((0, 1), (0, 9000), (699, 2), (1400, 700), (7999, 5), (8000, 5), (9000, 1), (5, 0)):
            self.assertEqual(good("decompress", "--range", f"{first}:{count}", f"{path}.lk", text=False),
                             data[first:first + count])
        bad = bytearray((self.folder / "r.lk").read_bytes())
        bad[1000] ^= 1  # in the second chunk, which others do not need
        self.path("r.lk", bytes(bad))
        self.assertEqual(good("decompress", "--range", "2800:100", f"{path}.lk", text=False), data[2800:2900])
        self.assertEqual(run("decompress", "--range", "800:100", f"{path}.lk").returncode, 3)

    def test_salvage(self):
        data = os.urandom(5000)
        path = self.path("r", data)
        good("compress", "-q", "--chunk-size", "1000", path)
        bad = bytearray((self.folder / "r.lk").read_bytes())
        bad[2600] ^= 1
        self.path("r.lk", bytes(bad))
        out = self.folder / "out"
        done = run("decompress", f"{path}.lk", "-o", out)
        self.assertEqual((done.returncode, out.exists()), (3, False))
        self.assertIn("chunk 2", done.stderr)
        done = run("decompress", "--salvage", f"{path}.lk", "-o", out)
        self.assertEqual((done.returncode, out.read_bytes()), (3, data[:2000] + data[3000:]))

    def test_streams(self):
        data = b"a line of a log, 17:03:59\n" * 3000
        for options in ([], ["-0"], ["-0", "--chunk-size", "7000", "--verify", "all", "-T", "3"], ["-1", "--chunk-size", "5000", "-T", "2"], ["--codec", "stored"], ["--verify", "all"]):
            archive = packed(data, *options)
            self.assertEqual(unpacked(archive), data)
            self.assertEqual(unpacked(archive, "-T", "1"), data)
        self.assertEqual(packed(data, "--chunk-size", "5000", "-T", "1"), packed(data, "--chunk-size", "5000", "-T", "2"))
        self.assertEqual(unpacked(packed(b"")), b"")

    @unittest.skipIf(program.SANITIZED, "the address sanitizer reserves memory for itself")
    def test_bounded_memory(self):
        for size, how in ((300000000, "--codec stored"), (3000000, "-1")):
            source = f"head -c {size} /dev/zero"
            command = f"{source} | (ulimit -v 400000; {PROGRAM} compress -q {how} -T 1 --chunk-size 100000) | " \
                      f"(ulimit -v 400000; {PROGRAM} decompress -q -T 1) | cksum"
            done = subprocess.run(["bash", "-c", command], capture_output=True, text=True, timeout=600)
            want = subprocess.run(f"{source} | cksum", shell=True, capture_output=True, text=True)
            self.assertEqual(done.stdout, want.stdout, done.stderr)

    def test_terminal(self):
        master, slave = pty.openpty()
        path = self.path("a.txt", "x")
        done = run("compress", "-c", path, stdout=slave)
        self.assertEqual(done.returncode, 2)
        self.assertIn("terminal", done.stderr)
        os.close(slave)
        os.close(master)

    def test_killed_while_decompressing(self):
        """Nothing stands under the final name, and what was there stays."""
        path = self.path("big", b"a line of a log, 17:03:59\n" * 100000)
        good("compress", "-qf", "-2", "--chunk-size", "100000", path, "-o", self.folder / "a.lk")
        old = self.path("old", "old")
        for number in (signal.SIGKILL, signal.SIGTERM):
            for target in (self.folder / "new", old):
                process = subprocess.Popen([PROGRAM, "decompress", "-qf", "-T", "1", self.folder / "a.lk", "-o", target], stderr=subprocess.DEVNULL)
                deadline = time.monotonic() + 60
                # Half-way: its hidden file is there.
                while process.poll() is None and time.monotonic() < deadline and not [p for p in self.folder.iterdir() if p.name.startswith(".")]:
                    time.sleep(0.001)
                process.send_signal(number)
                code = process.wait()
                self.assertNotEqual(code, 0)
                self.assertEqual(code, 130 if number == signal.SIGTERM else -signal.SIGKILL)
                self.assertFalse((self.folder / "new").exists())
                self.assertEqual(old.read_text(), "old")
                for left in self.folder.iterdir():
                    if left.name.startswith("."):
                        self.assertEqual(number, signal.SIGKILL, "a signal that can be caught leaves nothing")
                        left.unlink()

    def test_killed(self):
        path = self.path("big", os.urandom(3000000))
        for number in (signal.SIGKILL, signal.SIGTERM):
            process = subprocess.Popen([PROGRAM, "compress", "-q", "-9", "--chunk-size", "100000", path])
            time.sleep(0.5)
            process.send_signal(number)
            code = process.wait()
            self.assertFalse((self.folder / "big.lk").exists())
            if number == signal.SIGTERM:
                self.assertEqual(code, 130)

    def test_shared_data(self):
        if not DATA.is_dir():
            self.skipTest("skipped, no data")
        for path in sorted(p for p in DATA.rglob("*") if p.is_file()):
            if path.stat().st_size > 30000:
                continue
            out = self.folder / "x.lk"
            good("compress", "-qf", "-2", "--verify", "none", path, "-o", out)
            self.assertEqual(good("decompress", "-qc", out, text=False), path.read_bytes(), path)
        alice = DATA / "canterbury/alice29.txt"
        good("compress", "-qf", "-9", "--learn", "bytes", alice, "-o", out)
        self.assertLess(out.stat().st_size, 37000)
        self.assertEqual(good("decompress", "-qc", out, text=False), alice.read_bytes())


if __name__ == "__main__":
    program.main()
