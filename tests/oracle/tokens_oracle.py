#!/usr/bin/python3
"""tokens_oracle.py: byte-pair tokens as Sennrich, Haddow and Birch (2016, algorithm 1) learn and apply them, over
pieces as src/data/tokens.h defines them, by counting everything anew at each merge."""
import collections
import csv
import io
import json
import pathlib
import re
import sys
import tempfile

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "cli"))
import program  # noqa: E402
from program import good  # noqa: E402

RUNS = (r"[ \t-\r]+", r"[0-9]+", r"[A-Za-z\x80-\xff]+", r"[^ \t-\rA-Za-z0-9\x80-\xff]+")


def pieces(text):
    """text: bytes as characters below 256."""
    at = 0
    while at < len(text):
        blank = text[at] == " " and at + 1 < len(text) and not re.match(r"[ \t-\r]", text[at + 1])
        run = next(m for m in (re.compile(r).match(text, at + blank, min(at + 64, len(text))) for r in RUNS) if m)
        end = run.end()
        # White space leaves its last blank to what follows.
        if re.match(RUNS[0], run.group()) and end - at > 1 and end < min(at + 64, len(text)) and text[end - 1] == " ":
            end -= 1
        yield text[at:end]
        at = end


def join(tokens, left, right, into):
    out, at = [], 0
    while at < len(tokens):
        both = tokens[at:at + 2] == [left, right]
        out.append(into if both else tokens[at])
        at += 1 + both
    return out


def learn(text, n):
    words = [(list(map(ord, w)), k) for w, k in collections.Counter(pieces(text)).items()]
    merges = []
    while len(merges) < n:
        count = collections.Counter()
        for word, k in words:
            for pair in zip(word, word[1:]):
                count[pair] += k
        best = min(count, key=lambda p: (-count[p], p), default=None)
        if best is None or count[best] < 2:
            break
        words = [(join(w, *best, 256 + len(merges)), k) for w, k in words]
        merges.append(best)
    return merges


def encode(text, merges):
    for piece in pieces(text):
        word = list(map(ord, piece))
        for rank, pair in enumerate(merges):
            word = join(word, *pair, 256 + rank)
        yield from word


def spell(token, merges):
    return chr(token) if token < 256 else "".join(spell(t, merges) for t in merges[token - 256])


def check(folder, data, n):
    text = data.read_bytes().decode("latin-1")
    schema = json.loads(good("schema", data, "--text", "tokens", "--tokens", 256 + n, "--context", 16))
    got, expected = schema["fields"][0]["merges"], learn(text, n)
    assert [tuple(p) for p in got] == expected, (got, expected)
    assert got[:-1] != expected  # one less would be seen
    model = folder / "m.lk"
    good("fit", "ngram", data, "--text", "tokens", "--tokens", 256 + n, "--context", 16, "--order", 2, "-o", model, "-f")
    each = csv.DictReader(io.StringIO(good("score", model, data, "--per-field", text=False).decode("latin-1"), newline=""))
    said = [e["symbol"] for e in each]
    assert said == [spell(t, expected) for t in encode(text, expected)]
    assert "".join(said) == text
    about = json.loads(good("score", model, data, "--json"))
    assert (about["kind"], about["symbols"], about["bytes"]) == ("bound", len(said), len(text))
    print(f"{data.name}: {len(expected)} merges, {len(text)} bytes in {len(said)} tokens")


def main():
    with tempfile.TemporaryDirectory(prefix="likely-test-") as name:
        folder = pathlib.Path(name)
        odd = folder / "odd.txt"
        odd.write_bytes("été  12ab12ab   x\t\t y\r\n\n  ...  !!! a aaaa aaaaaaaa ".encode() * 5 + b"a" * 200 + b"\xff\xfe " * 9)
        for data, n in ((program.GOLDEN / "dialogue.txt", 60), (program.GOLDEN / "orchard.csv", 200), (odd, 500)):
            check(folder, data, n)
    print("tokens are those of the definition")


if __name__ == "__main__":
    main()
