#!/usr/bin/python3
"""compress and decompress: everything comes back, stored archives stay readable, an independent decoder agrees, and
the command line behaves as a compressor's does."""
import json
import os
import pty
import random
import signal
import struct
import subprocess
import sys
import time
import unittest
import zlib

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

PASSES = ((0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2), (0, 1, 1, 2))  # left, top, right, down
CHANNELS = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}


def png_passes(width, height, bits, interlaced):
    """Lines and bytes of a line, of each pass."""
    for left, top, right, down in PASSES if interlaced else ((0, 0, 1, 1),):
        w, h = -(-(width - left) // right), -(-(height - top) // down)
        if w > 0 and h > 0:
            yield h, -(-w * bits // 8)


def png_predict(kind, line, above, i, step):
    a, b, c = line[i - step] if i >= step else 0, above[i], above[i - step] if i >= step else 0
    if kind == 4:
        return min((a, b, c), key=lambda x: abs(a + b - c - x))
    return (0, a, b, (a + b) // 2)[kind]


def png_chunks(data):
    at = 8
    while at < len(data):
        n = int.from_bytes(data[at:at + 4], "big")
        yield data[at + 4:at + 8], data[at + 8:at + 8 + n]
        assert zlib.crc32(data[at + 4:at + 8 + n]) == int.from_bytes(data[at + 8 + n:at + 12 + n], "big")
        at += n + 12


def png_pixels(data):
    """Everything but the image data's chunks, and the lines of the image."""
    parts = list(png_chunks(data))
    width, height, depth, kind, _, _, interlaced = struct.unpack(">IIBBBBB", parts[0][1])
    bits, lines, out = depth * CHANNELS[kind], zlib.decompress(b"".join(b for t, b in parts if t == b"IDAT")), []
    at = 0
    for rows, n in png_passes(width, height, bits, interlaced):
        above = bytes(n)
        for _ in range(rows):
            line = bytearray(lines[at + 1:at + 1 + n])
            for i in range(n):
                line[i] = line[i] + png_predict(lines[at], line, above, i, max(bits // 8, 1)) & 255
            out.append(bytes(line))
            above, at = line, at + n + 1
    assert at == len(lines)
    return [p for p in parts if p[0] != b"IDAT"], out


def make_png(draw, width, height, depth, kind, interlaced, pieces=1):
    def part(tag, body):
        return struct.pack(">I", len(body)) + tag + body + struct.pack(">I", zlib.crc32(tag + body))
    bits, lines = depth * CHANNELS[kind], b""
    for rows, n in png_passes(width, height, bits, interlaced):
        for _ in range(rows):
            lines += bytes([draw.randrange(5)]) + bytes(draw.choice((0, 0, 1, 255, draw.randrange(256))) for _ in range(n))
    packed = zlib.compress(lines, draw.randrange(10))
    cuts = sorted(draw.randrange(len(packed) + 1) for _ in range(pieces - 1))
    body = b"".join(part(b"IDAT", packed[a:b]) for a, b in zip([0, *cuts], [*cuts, len(packed)]))
    before = part(b"gAMA", struct.pack(">I", 45455)) + (part(b"PLTE", draw.randbytes(3 << min(depth, 8))) if kind == 3 else b"")
    return (b"\x89PNG\r\n\x1a\n" + part(b"IHDR", struct.pack(">IIBBBBB", width, height, depth, kind, 0, 0, interlaced)) +
            before + body + part(b"tEXt", b"a\0b") + part(b"IEND", b""))


class Pixels(Case):
    def test_every_kind(self):
        draw, kinds = random.Random(5), [(d, k) for k, depths in ((0, (1, 2, 4, 8, 16)), (2, (8, 16)), (3, (1, 2, 4, 8)), (4, (8, 16)), (6, (8, 16)))
                                         for d in depths]
        for turn, (depth, kind) in enumerate(kinds):
            for interlaced in (0, 1):
                width, height = ((1, 1), (3, 2), (13, 9), (40, 31))[(turn + interlaced) % 4]
                path = self.path("i.png", make_png(draw, width, height, depth, kind, interlaced, 1 + turn % 3))
                good("compress", "-qf", "-1", "--pixels", path)
                back = good("decompress", "-qc", f"{path}.lk", text=False)
                self.assertEqual(png_pixels(back), png_pixels(path.read_bytes()), (depth, kind, interlaced, width, height))
                again = self.path("again.png", back)  # what came back is made of itself
                good("compress", "-qf", "-1", "--pixels", again)
                self.assertEqual(png_pixels(good("decompress", "-qc", f"{again}.lk", text=False)), png_pixels(back))
        # A whole block and one byte more.
        path = self.path("wide.png", make_png(draw, 65535, 1, 8, 0, 0))
        good("compress", "-qf", "-1", "--pixels", path)
        self.assertEqual(png_pixels(good("decompress", "-qc", f"{path}.lk", text=False)), png_pixels(path.read_bytes()))
        good("schema", path.parent / "wide.png")  # libpng reads the same file
        self.path("back.png", good("decompress", "-qc", f"{path}.lk", text=False))
        good("schema", self.folder / "back.png")

    def test_smaller_than_its_bytes(self):
        draw = random.Random(6)
        path = self.path("i.png", make_png(draw, 300, 200, 8, 0, 0))
        sizes = []
        for options in ((), ("--pixels",)):
            good("compress", "-qf", *options, path)
            sizes.append((self.folder / "i.png.lk").stat().st_size)
        self.assertLess(sizes[1], sizes[0] * 0.95)

    def test_refused(self):
        whole = make_png(random.Random(7), 20, 20, 8, 2, 0)
        path = self.path("i.png", whole)
        for data, code, word in ((b"no image", 2, "is no PNG"), (whole[:-30], 3, "cut short"), (whole[:42] + b"x" + whole[43:], 3, "damaged"),
                                 (whole[:24] + b"\3" + whole[25:], 3, "a kind that PNG has not"), (b"", 2, "is no PNG"), (whole[:40], 3, "")):
            bad = self.path("bad.png", data)
            done = run("compress", "--pixels", bad)
            self.assertEqual(done.returncode, code, done.stderr)
            self.assertIn(word, done.stderr)
            self.assertFalse((self.folder / "bad.png.lk").exists())
            if data:
                good("compress", "-qc", bad, text=False)  # as bytes any file goes
        for at in range(0, len(whole), 7):  # never a crash, and what is taken is an image
            bad = bytearray(whole)
            bad[at] ^= 1 << at % 8
            self.assertIn(run("compress", "-qf", "-1", "--pixels", self.path("bad.png", bytes(bad))).returncode, (2, 3))
        self.assertEqual(run("compress", "--pixels", "--learn", "gmm", path).returncode, 2)



if __name__ == "__main__":
    program.main()
