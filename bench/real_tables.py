#!/usr/bin/python3
"""bench/real_tables.py [PROGRAM] [-k WORD …]: every real table and every set of outliers through every family of tables with
default options: fit, score, sample, fill, outliers. No number that comes out may be NaN or infinite, nothing may fail but by
a sentence that the family cannot; notices are counted. made and vae learn for at most half a minute each. Exit status 1
when something did not hold."""
import json
import math
import pathlib
import subprocess
import sys
import tempfile

ROOT = pathlib.Path(__file__).resolve().parent.parent
DATA = ROOT.parent / "shared/data"
words = [w for w in sys.argv[1:] if w != "-k"]
PROGRAM = words.pop(0) if words and pathlib.Path(words[0]).is_file() else ROOT / "build/bench/likely"
SLOW = {"made": ["--minutes", "0.5"], "vae": ["--minutes", "0.5"]}


def run(*arguments):
    done = subprocess.run([str(PROGRAM), *map(str, arguments)], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    return done.returncode, done.stdout, done.stderr


def odd_numbers(text):
    """Cells that are nan or infinite, whatever their column."""
    return sum(cell.strip().lower() in ("nan", "inf", "-inf", "infinity", "-infinity") for line in text.splitlines()
               for cell in line.split(","))


def one(family, table, folder):
    model, wrong = folder / "m.lk", []
    code, _, told = run("fit", family, table, "-o", model, "-f", *SLOW.get(family, []))
    notices = told.count("note:")
    if code == 5:
        return [], notices, told.strip().splitlines()[-1][:100]
    if code:
        return [f"fit: {code}: {told.strip().splitlines()[-1:]}"], notices, ""
    if "ended" in told and "not finite" in told:
        wrong.append(f"fit: {told[-200:]}")
    code, out, told = run("score", model, table, "--json")
    mean = json.loads(out).get("mean_log_prob") if not code else None
    if mean is None or not math.isfinite(mean):
        wrong.append(f"score: {code}: {mean}: {told[-200:]}")
    asked = [("score --csv", ("score", model, table, "--csv")), ("sample", ("sample", model, "-n", 200)),
             ("fill", ("fill", model, table)), ("outliers", ("outliers", model, table, "--top", 5))]
    before = odd_numbers(table.read_text(errors="replace")) if table.suffix not in (".npz", ".npy") else 0
    for what, arguments in asked:
        code, out, told = run(*arguments)
        if code == 2 and "csv" in what:
            continue
        if code and code != 5:
            wrong.append(f"{what}: {code}: {told.strip().splitlines()[-1:]}")
        elif odd_numbers(out) > (before if what == "fill" else 0):
            wrong.append(f"{what}: {odd_numbers(out)} odd numbers")
        notices += told.count("note:")
    return wrong, notices, "" if mean is None else f"{-mean / math.log(2):.4g} bits a row"


def main():
    tables = sorted(p for p in (DATA / "tables").glob("*") if p.suffix not in (".names", ".md", ".txt"))
    tables += sorted((DATA / "outliers").glob("*.npz"))
    if not tables:
        print("skipped, no data")
        return 0
    code, out, _ = run("families", "--json")
    families = [f["name"] for f in json.loads(out) if f["name"] not in ("ngram", "rnn", "transformer")]
    bad = 0
    with tempfile.TemporaryDirectory() as folder:
        for table in tables:
            for family in families:
                if words and not any(w in f"{table.name} {family}" for w in words):
                    continue
                wrong, notices, what = one(family, table, pathlib.Path(folder))
                bad += len(wrong)
                print(f"{table.name:24} {family:12} {notices:3} notices  {what} {'WRONG ' + '; '.join(wrong) if wrong else ''}",
                      flush=True)
    print(f"{bad} things do not hold")
    return bad != 0


sys.exit(main())
