#!/usr/bin/python3
"""bench/real_tables.py [PROGRAM] [-k WORD …] [--seconds N]: every real table and every set of outliers, smallest first,
through every family of tables with default options: fit, score, score --per-field, sample, fill, outliers, predict. made and
vae learn for few steps. Nothing may crash or fail but by a sentence that the family cannot; no number may be NaN or
infinite; no sampled or filled cell may be one that the field cannot hold: no unknown level, no missing cell that was asked
for, no other decimals; negative numbers where none was seen are counted. A run longer than N seconds (300) is named, not
judged. Exit status 1 when something did not hold."""
import csv
import io
import json
import math
import os
import pathlib
import subprocess
import sys
import tempfile
import time

ROOT = pathlib.Path(__file__).resolve().parent.parent
words = sys.argv[1:]
SECONDS = float(words.pop(words.index("--seconds") + 1)) if "--seconds" in words else 300
words = [w for w in words if w not in ("-k", "--seconds")]
PROGRAM = words.pop(0) if words and pathlib.Path(words[0]).is_file() else ROOT / "build/bench/likely"
os.environ["LIKELY_PROGRAM"] = str(PROGRAM)
sys.path.insert(0, str(ROOT / "tests/cli"))
import program  # noqa: E402

FEW = 12
ARRAYS = (".npz", ".npy")
MORE = {"made": ["--steps", "30"], "vae": ["--steps", "30"]}
CHEAP = ["--particles", "16"]  # of made and vae, whose conditionals are estimated


def run(*arguments):
    """(exit code or what ended it, standard output, standard error)."""
    try:
        done = subprocess.run([str(PROGRAM), *map(str, arguments)], stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                              timeout=SECONDS)
    except subprocess.TimeoutExpired:
        return "slow", "", ""
    return done.returncode, done.stdout.decode("latin-1"), done.stderr.decode(errors="replace")


def odd_numbers(text):
    """Cells that are nan or infinite, whatever their column."""
    return sum(cell.strip().lower() in ("nan", "-nan", "inf", "-inf", "infinity", "-infinity") for line in text.splitlines()
               for cell in line.split(","))


def rows_of(table):
    """The names (or None) and the cells of a table, as text."""
    if table.suffix in ARRAYS:
        import numpy
        with numpy.load(table, allow_pickle=False) as arrays:
            return None, [[repr(float(x)) for x in row] for row in arrays["X"][:FEW * 20]]
    lines = [line for line in csv.reader(io.StringIO(table.read_bytes().decode("latin-1"), newline="")) if line]
    return lines[0], lines[1:]


def few_rows(table, header, folder):
    """Some rows, whole, and again with a cell of each made missing; a file of each, and how many rows."""
    names, rows = rows_of(table)
    width = max(len(row) for row in rows)
    rows = [row for row in rows if len(row) == width][::max(1, len(rows) // FEW)][:FEW]
    first = [names] if header and names else []
    whole, holed = folder / "few.csv", folder / "holed.csv"
    for path, lines in ((whole, rows), (holed, [[("" if i % width == j else cell) for j, cell in enumerate(row)]
                                                for i, row in enumerate(rows)])):
        with path.open("w", newline="", encoding="latin-1") as out:
            csv.writer(out, lineterminator="\n").writerows(first + lines)
    return whole, holed, len(rows)


def filled_wrong(fields, text, header, rows, heavy):
    """What is wrong with a filled file: cells that are still missing, or that the field cannot hold."""
    lines = list(csv.reader(io.StringIO(text, newline="")))[1 if header else 0:]
    wrong = [] if len(lines) == rows else [f"{len(lines)} rows, not {rows}"]
    for line in lines:
        for field, cell in zip(fields, line):
            if field["kind"] == "text" or field.get("ignored"):
                continue
            # cells that were seen keep their spelling: 7 where others have 7.0
            spelt = {**field, "missing": False, "kind": "real"} if field["kind"] == "grid" else {**field, "missing": False}
            if not program.plausible(spelt, cell.strip(), heavy):
                wrong.append(f"{field['name']}: {cell!r}")
    return wrong


def negatives(fields, text, header):
    """For each field of numbers that never was negative, the share of negative samples, when there are any."""
    lines = list(csv.reader(io.StringIO(text, newline="")))[1 if header else 0:]
    found = {}
    for j, field in enumerate(fields):
        if field["kind"] in ("grid", "real") and field["low"] >= 0:
            count = sum(line[j].startswith("-") and float(line[j]) < 0 for line in lines if len(line) > j)
            if count:
                found[program.label(field["name"])] = count
    return found


def questions(model, table, family, fields, header, folder):
    """Every question but the scores of the whole table: yields (what, what is wrong or "slow", notices)."""
    cheap = CHEAP if family in ("made", "vae") else []
    heavy = family == "mixture"
    modelled = [f for f in fields if f["kind"] != "text" and not f.get("ignored")]
    whole, holed, count = few_rows(table, header, folder)
    sampled = folder / "sampled.csv"
    read = ["--array", "X"] if table.suffix in ARRAYS else []

    def asked(what, *arguments):
        code, out, told = run(*arguments)
        if code in ("slow", 5):
            return what, out, f"{what}: {'slow' if code == 'slow' else told.strip().splitlines()[-1][:100]}", [], told
        if code:
            return what, out, "", [f"{what}: {code}: {told.strip().splitlines()[-1:]}"], told
        return what, out, "", [f"{what}: {odd_numbers(out)} odd numbers"] * (odd_numbers(out) > 0), told

    yield asked("score --per-field", "score", model, whole, "--per-field", *cheap)
    what, out, slow, wrong, told = asked("sample", "sample", model, "-n", 200)
    if not slow and not wrong:
        out = out.split("\n", 1)[1] if table.suffix in ARRAYS else out  # samples of arrays bring the names c1, …
        wrong += [f"sample: {w}" for w in program.faults(model, out.encode("latin-1"), 200)[:3]]
        sampled.write_bytes(out.encode("latin-1"))
        below = negatives(modelled, out, header)
        if below:
            slow = f"sample: negative {below}"
    yield what, out, slow, wrong, told
    if out:
        yield asked("score of samples", "score", model, sampled, *cheap)
    what, out, slow, wrong, told = asked("fill", "fill", model, holed, *cheap)
    if not slow and not wrong:
        wrong += [f"fill: {w}" for w in filled_wrong(fields, out, header, count, heavy)[:3]]
    yield what, out, slow, wrong, told
    yield asked("outliers", "outliers", model, table, "--top", 5, "--reasons", 2, "--calibrate-fraction", 0.3, *cheap, *read)
    for field in dict.fromkeys(program.label(modelled[i]["name"]) for i in (0, len(modelled) // 2, -1)):
        yield asked(f"predict {field}", "predict", model, whole, field, *cheap)


def one(family, table, folder):
    """What is wrong, what was seen good, how many notices, and a remark."""
    model = folder / "m.lk"
    code, _, told = run("fit", family, table, "-o", model, "-f", *MORE.get(family, []))
    notices, good = told.count("note:"), []
    if code in (5, "slow"):
        return [], good, notices, "fit: slow" if code == "slow" else told.strip().splitlines()[-1][:100]
    if code:
        return [f"fit: {code}: {told.strip().splitlines()[-1:]}"], good, notices, ""
    wrong = [f"fit: {told[-200:]}"] if "ended" in told and "not finite" in told else []
    good += [] if wrong else ["fit"]
    code, out, told = run("score", model, table, "--json", *(CHEAP if family == "vae" else []))
    mean = json.loads(out).get("mean_log_prob") if code == 0 else None
    if code == "slow":
        remarks = ["score: slow"]
    else:
        remarks = [f"{-mean / math.log(2):.4g} bits a row"] if mean is not None else []
        if mean is None or not math.isfinite(mean):
            wrong.append(f"score: {code}: {mean}: {told[-200:]}")
        else:
            good.append("score")
    schema = program.read_model(model)[0]["schema"]
    for what, _, remark, faults, told in questions(model, table, family, schema["fields"], schema.get("header"), folder):
        notices += told.count("note:")
        wrong += faults
        remarks += [remark] if remark else []
        good += [what] if not faults and (not remark or "negative" in remark) else []
    return wrong, good, notices, "; ".join(remarks)


def main():
    tables = [p for p in (program.DATA / "tables").glob("*") if p.suffix not in (".names", ".md", ".txt")]
    tables += (program.DATA / "outliers").glob("*.npz")
    if not tables:
        print("skipped, no data")
        return 0
    code, out, _ = run("families", "--json")
    families = [f["name"] for f in json.loads(out) if f["name"] not in program.TEXTS]
    bad = 0
    with tempfile.TemporaryDirectory() as folder:
        for table in sorted(tables, key=lambda p: p.stat().st_size * (1 if p.suffix not in ARRAYS else 3)):
            for family in families:
                if words and not any(w in f"{table.name} {family}" for w in words):
                    continue
                begin = time.monotonic()
                wrong, good, notices, what = one(family, table, pathlib.Path(folder))
                bad += len(wrong)
                print(f"{table.name:20} {family:12} {time.monotonic() - begin:6.1f} s {notices:3} notices  good: "
                      f"{', '.join(good)}.  {what} {'WRONG ' + '; '.join(wrong) if wrong else ''}", flush=True)
    print(f"{bad} things do not hold")
    return bad != 0


sys.exit(main())
