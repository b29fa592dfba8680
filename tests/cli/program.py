"""What the tests of the program share: running it, and reading a model file without its help."""
import array
import hashlib
import json
import os
import pathlib
import struct
import subprocess
import sys
import tempfile
import unittest

ROOT = pathlib.Path(os.environ.get("LIKELY_ROOT", pathlib.Path(__file__).resolve().parents[2]))
PROGRAM = os.environ.get("LIKELY_PROGRAM", str(ROOT / "build/release/likely"))
DATA = pathlib.Path(os.environ.get("LIKELY_DATA", ROOT / "../shared/data"))
GOLDEN = ROOT / "tests/golden/data"
FAMILIES = ("gmm", "made", "vae")
SECONDS = 240  # after which a run counts as hanging


def run(*arguments, **more):
    """The program's exit code, standard output and standard error; never a crash."""
    more.setdefault("stdout", subprocess.PIPE)
    text = more.pop("text", True)
    done = subprocess.run([PROGRAM, *map(str, arguments)], stderr=subprocess.PIPE, timeout=SECONDS, **more)
    done.stderr = done.stderr.decode(errors="replace")
    if text and done.stdout is not None:
        done.stdout = done.stdout.decode()
    if done.returncode < 0 or "Sanitizer" in done.stderr:
        raise AssertionError(f"{arguments}: crashed with {done.returncode}: {done.stderr}")
    return done


def good(*arguments, **more):
    """Standard output of a run that must succeed."""
    done = run(*arguments, **more)
    if done.returncode:
        raise AssertionError(f"{arguments}: exit code {done.returncode}: {done.stderr}")
    return done.stdout


def scores(model, data, *more):
    return [float(line) for line in good("score", model, data, *more).splitlines()]


def sha256(path):
    return hashlib.sha256(pathlib.Path(path).read_bytes()).hexdigest()


def read_model(path):
    """(description, {tensor: (shape, flat list)}) by the layout that docs/model-file.md states."""
    raw = pathlib.Path(path).read_bytes()
    (length,) = struct.unpack_from("<Q", raw)
    header = json.loads(raw[8:8 + length])
    tensors = {}
    for name, about in header.items():
        if name == "__metadata__" or about["dtype"] == "U8":
            continue
        begin, end = about["data_offsets"]
        values = array.array({"F32": "f", "F64": "d"}[about["dtype"]], raw[8 + length + begin:8 + length + end])
        if sys.byteorder == "big":
            values.byteswap()
        tensors[name] = (about["shape"], values.tolist())
    return json.loads(header["__metadata__"]["likely"]), tensors


class Case(unittest.TestCase):
    """A test with an empty folder of its own."""

    def setUp(self):
        folder = tempfile.TemporaryDirectory(prefix="likely-test-")
        self.addCleanup(folder.cleanup)
        self.folder = pathlib.Path(folder.name)

    def path(self, name, content=None):
        path = self.folder / name
        if content is not None:
            path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return path


def main(needs_data=False):
    if not os.access(PROGRAM, os.X_OK):
        sys.exit(f"there is no program at {PROGRAM}; set LIKELY_PROGRAM")
    if needs_data and not DATA.is_dir():
        print(f"skipped, no data ({DATA})")
        sys.exit(77)
    unittest.main(verbosity=1)
