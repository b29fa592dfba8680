"""What the tests of the program share: running it, and reading a model file without its help."""
import array
import csv
import datetime
import hashlib
import io
import json
import math
import os
import pathlib
import re
import struct
import subprocess
import sys
import tempfile
import unittest

ROOT = pathlib.Path(os.environ.get("LIKELY_ROOT", pathlib.Path(__file__).resolve().parents[2]))
PROGRAM = os.environ.get("LIKELY_PROGRAM", str(ROOT / "build/release/likely"))
SANITIZED = b"__asan_init" in pathlib.Path(PROGRAM).read_bytes()  # then memory is no measure
DATA = pathlib.Path(os.environ.get("LIKELY_DATA", ROOT / "../shared/data"))
GOLDEN = ROOT / "tests/golden/data"
FAMILIES = ("bayesnet", "copula", "fa", "gmm", "independent", "made", "mixture", "ppca", "vae")
TEXTS = ("ngram", "rnn", "transformer", "wavenet")  # families that learn texts
EXACT = ("bayesnet", "copula", "fa", "gmm", "independent", "mixture", "ppca")  # every question about cells given others
SECONDS = 240  # after which a run counts as hanging


def some(families, turn):
    """All of them; where each step costs ten times as much, every third, another third at each turn."""
    return families[turn % 3::3] if SANITIZED else families


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


def label(text):
    """A name, mark or level of a schema: text, or bytes that are not UTF-8 in hexadecimal."""
    return bytes.fromhex(text["hex"]).decode("latin-1") if isinstance(text, dict) else text.encode().decode("latin-1")


def faults(model, sampled, rows):
    """What is wrong with a CSV (bytes) that a model has sampled, as sentences."""
    header = read_model(model)[0]
    schema, heavy = header["schema"], header["family"] == "mixture"  # Student's t goes far out

    fields = [f for f in schema["fields"] if f["kind"] != "text" and not f.get("ignored")]
    lines = list(csv.reader(io.StringIO(sampled.decode("latin-1"), newline=""),
                            delimiter=schema.get("delimiter", ",")))
    wrong = []
    if schema.get("header"):
        names = lines.pop(0) if lines else []
        if names != [label(f["name"]) for f in fields]:
            wrong.append(f"names are {names[:9]}")
    if len(lines) != rows:
        wrong.append(f"{len(lines)} rows, not {rows}")
    for line in lines:
        if len(line) != len(fields):
            wrong.append(f"{len(line)} cells, not {len(fields)}: {line[:9]}")
            continue
        wrong += [f"{label(f['name'])}: {cell!r}" for f, cell in zip(fields, line) if not plausible(f, cell, heavy)]
    return wrong


def plausible(field, cell, heavy):
    """A level (or <other>, for one never seen), the mark of a missing cell, or a finite number with the
    field's decimals that is not far from what was seen."""
    if field.get("missing") and cell == label(field.get("missing_mark", "")):
        return True
    if field["kind"] in ("category", "binary") and "levels" in field:
        return cell == "<other>" or cell in [label(level) for level in field["levels"]]
    if field["kind"] == "date":
        try:
            return datetime.datetime.strptime(cell, field["format"]).strftime(field["format"]) == cell
        except ValueError:  # a year that Python does not know
            return bool(re.fullmatch(r"[+-][0-9]{4,}.*", cell))
    try:
        value = float(cell)
    except ValueError:
        return False
    if not math.isfinite(value):
        return False
    if field["kind"] == "binary":
        return value in (0, 1)
    places = field.get("places", 0) if field["kind"] == "grid" else 0
    step = 10.0 ** -places
    if field["kind"] == "grid" and len(cell.partition(".")[2]) != max(places, 0):
        return False
    low, high = field["low"] * step, field["high"] * step
    if field.get("bounded"):
        return low - step / 2 <= value <= high + step / 2
    room = 20 * (high - low) + 1000 * step  # a network after 60 steps still has wide tails
    room *= 1e6 if heavy else 1
    return low - room <= value <= high + room


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
